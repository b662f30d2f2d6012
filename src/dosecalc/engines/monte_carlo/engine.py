"""The Monte Carlo engine: photons and electrons followed one by one, with an honest uncertainty.

It shares geometry, materials and the fluence map with the deterministic engines and no dose
kernel. Batches of histories have tallies of their own; the dose is their mean and its
uncertainty comes from their scatter. See docs/physics-monte-carlo.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from dosecalc import __version__
from dosecalc.beam import beam_fluences, beam_notes, check_bolus
from dosecalc.data.electrons import water_to_medium
from dosecalc.engines.machines import machines_of
from dosecalc.engines.monte_carlo.calibration import monte_carlo_fluence_per_mu
from dosecalc.engines.monte_carlo.settings import MonteCarlo
from dosecalc.engines.monte_carlo.simulation import (
    MEV_PER_G_TO_GRAY,
    Progress,
    WeightedSource,
    batch_size,
    simulate,
)
from dosecalc.engines.monte_carlo.tables import HIGHEST_MEV, source_tables
from dosecalc.errors import InputError, UnsupportedError
from dosecalc.model import Dose, Machine, Phantom, Plan

__all__ = ["compute"]


def compute(
    phantom: Phantom,
    plan: Plan,
    machine: Machine | Mapping[int, Machine],
    settings: MonteCarlo | None = None,
    progress: Progress | None = None,
) -> Dose:
    """Dose of one fraction of a plan, with its standard uncertainty per voxel.

    Parameters
    ----------
    phantom : Phantom
    plan : Plan
    machine : Machine or mapping of beam number to Machine
        One beam model for all beams, or one each.
    settings : MonteCarlo
    progress : callable(state, batches done, batches expected), optional

    Returns
    -------
    Dose
        On the phantom's grid; Gy for one fraction, or Gy cm2 per unit fluence for a bare
        point source. If it is interrupted (KeyboardInterrupt) after a batch or more, what there
        is, and provenance["stopped"] says so.
    """
    settings = settings or MonteCarlo()
    beams, machines = _beams(phantom, plan, machine, settings)
    run, stopped = simulate(phantom, beams, settings, progress)
    mean, deviation = run.mean_and_deviation()
    mass = phantom.mass_g
    to_gray = np.divide(MEV_PER_G_TO_GRAY, mass, out=np.zeros_like(mean), where=mass > 0)
    if settings.dose_to == "water":
        to_gray *= water_to_medium(phantom.materials)[phantom.material]
    unit = "Gy cm2" if next(iter(machines.values())).calibration.per_fluence else "Gy"
    return Dose(
        grid=phantom.grid,
        gray=(mean * to_gray).astype(np.float32),
        uncertainty=(deviation * to_gray).astype(np.float32),
        dose_to=settings.dose_to,
        unit=unit,
        summation="FRACTION",
        fractions=plan.fractions,
        provenance={
            "program": f"dosecalc {__version__}",
            "engine": "monte-carlo",
            "settings": asdict(settings),
            "seed": settings.seed,
            "batches": run.batches,
            "histories": run.batches * batch_size(settings),
            "uncertainty_above_half_maximum": run.uncertainty(phantom),
            "share_of_energy_that_left": float(run.balance[1] / run.balance[0]),
            "stopped": stopped,
            "machines": {
                str(n): dict(m.provenance) | {"name": m.name} for n, m in machines.items()
            },
            "notes": [
                *([f"{stopped}: the dose is less certain than was asked for"] if stopped else []),
                *(note for b in plan.beams for note in beam_notes(b, machines[b.number])),
            ],
        },
    )


def _beams(
    phantom: Phantom,
    plan: Plan,
    machine: Machine | Mapping[int, Machine],
    settings: MonteCarlo,
) -> tuple[list[WeightedSource], dict[int, Machine]]:
    machines = machines_of(plan, machine)
    check_bolus(plan, phantom.bolus)
    beams = []
    for beam in plan.beams:
        model = machines[beam.number]
        highest = float(model.spectrum.edges_high.max())
        if highest > HIGHEST_MEV:
            raise UnsupportedError(
                f"machine {model.name!r} has photons of {highest:g} MeV; the tables of the Monte "
                f"Carlo engine end at {HIGHEST_MEV:g} MeV"
            )
        factor = (
            1.0 if model.calibration.per_fluence else monte_carlo_fluence_per_mu(model, settings)
        )
        for fluence in beam_fluences(
            beam,
            plan.position,
            model,
            pixel_mm=settings.fluence_pixel_mm,
            arc_bin_deg=settings.arc_bin_deg,
        ):
            if fluence.values.any():
                source, photons = source_tables(fluence, phantom.grid)
                beams.append(WeightedSource(source, photons * factor, photons * factor))
    if not beams:
        raise InputError("no photon leaves the collimators in any beam of the plan")
    return beams, machines
