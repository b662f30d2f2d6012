"""Which engine calculates, with what settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, TypeAlias

from dosecalc.engines import collapsed_cone, monte_carlo, pencil_beam
from dosecalc.engines.collapsed_cone import CollapsedCone
from dosecalc.engines.monte_carlo import MonteCarlo
from dosecalc.engines.pencil_beam import PencilBeam
from dosecalc.errors import InputError
from dosecalc.model import Dose
from dosecalc.workflow.prepare import Prepared
from dosecalc.workflow.progress import Advance
from dosecalc.workflow.request_parts import EngineRequest

__all__ = [
    "COMPUTE",
    "Settings",
    "calculate_dose",
    "engine_settings",
    "settings_of_beam",
    "settings_record",
]

Settings: TypeAlias = PencilBeam | CollapsedCone | MonteCarlo

COMPUTE: dict[str, Callable[..., Dose]] = {
    "pencil-beam": pencil_beam.compute,
    "collapsed-cone": collapsed_cone.compute,
    "monte-carlo": monte_carlo.compute,
}
"""What calculates, by the name of the engine."""


def engine_settings(request: EngineRequest) -> Settings:
    """Return the engine's settings: its own defaults but for what the request says.

    Raises
    ------
    InputError
        A setting is not one of the engine, or has a value that cannot be.
    """
    return _with_others(_named_settings(request), request.settings)


def _named_settings(request: EngineRequest) -> Settings:
    if request.name == "monte-carlo":
        settings = MonteCarlo(dose_to=request.dose_to, histories=request.histories)
        if request.uncertainty is not None:
            settings = replace(settings, uncertainty=request.uncertainty)
        return settings if request.seed is None else replace(settings, seed=request.seed)
    if request.name == "pencil-beam":
        return PencilBeam(dose_to=request.dose_to)
    plain = CollapsedCone(dose_to=request.dose_to)
    return plain if request.directions is None else replace(plain, directions=request.directions)


def _with_others(settings: Settings, others: Mapping[str, Any]) -> Settings:
    known = {one.name for one in fields(settings)}
    odd = [name for name in others if name not in known]
    if odd:
        raise InputError(f"the engine has no setting {odd[0]!r}; there are {', '.join(known)}")
    return replace(settings, **others) if others else settings


def settings_record(settings: Settings) -> dict[str, Any]:
    """Return the settings that are not at their defaults, as plain JSON values."""
    given = {one.name: getattr(settings, one.name) for one in fields(settings)}
    plain = {one.name: one.default for one in fields(settings) if one.default is not MISSING}
    return {n: v for n, v in given.items() if n not in plain or plain[n] != v}


def calculate_dose(prepared: Prepared, request: EngineRequest, advance: Advance) -> Dose:
    """Dose of one fraction by the engine that the request names."""
    settings, compute = engine_settings(request), COMPUTE[request.name]
    plan = prepared.plan
    if not request.beams_apart:
        return compute(prepared.phantom, plan, prepared.machines, settings, advance)
    doses = {}
    for n, beam in enumerate(plan.beams):
        alone = replace(plan, beams=(beam,))
        own = settings_of_beam(settings, beam.number)

        def tell(what: str, done: int, of: int, n: int = n) -> None:
            advance(what, n * of + done, len(plan.beams) * of)

        doses[beam.number] = compute(prepared.phantom, alone, prepared.machines, own, tell)
    return Dose.sum_of(doses.values(), names=list(doses))


def settings_of_beam(settings: Any, number: int) -> Any:
    """Return the settings of one beam: in Monte Carlo it has random numbers of its own.

    With the same ones the noise of two beams would be alike, and its sum larger than that of
    independent beams.
    """
    if not isinstance(settings, MonteCarlo):
        return settings
    return replace(settings, seed=(settings.seed + (number << 32)) % 2**63)
