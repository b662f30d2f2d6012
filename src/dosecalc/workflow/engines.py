"""Which engine calculates, and with what settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dosecalc.engines import collapsed_cone, monte_carlo, pencil_beam
from dosecalc.engines.collapsed_cone import CollapsedConeSettings
from dosecalc.engines.monte_carlo import MonteCarloSettings
from dosecalc.engines.pencil_beam import PencilBeamSettings
from dosecalc.workflow.prepare import Prepared
from dosecalc.workflow.requests import CalcOptions

if TYPE_CHECKING:
    from dosecalc.model import Dose

__all__ = ["calculate_dose", "engine_settings"]


def engine_settings(
    options: CalcOptions,
) -> PencilBeamSettings | CollapsedConeSettings | MonteCarloSettings:
    """Return the engine's settings: its own defaults but for what the options say."""
    if options.engine == "monte-carlo":
        settings = MonteCarloSettings(dose_to=options.dose_to, histories=options.histories)
        if options.uncertainty is not None:
            settings = replace(settings, uncertainty=options.uncertainty)
        return settings if options.seed is None else replace(settings, seed=options.seed)
    if options.engine == "pencil-beam":
        return PencilBeamSettings(dose_to=options.dose_to)
    plain = CollapsedConeSettings(dose_to=options.dose_to)
    return plain if options.directions is None else replace(plain, directions=options.directions)


def calculate_dose(
    prepared: Prepared, options: CalcOptions, advance: Callable[[str, int, int], None]
) -> Dose:
    """Dose of one fraction by the engine that the options name."""
    settings = engine_settings(options)
    case = (prepared.phantom, prepared.plan, prepared.machines)
    if isinstance(settings, MonteCarloSettings):
        return monte_carlo.compute(*case, settings, advance)
    if isinstance(settings, PencilBeamSettings):
        return pencil_beam.compute(*case, settings, advance)
    return collapsed_cone.compute(*case, settings, advance)
