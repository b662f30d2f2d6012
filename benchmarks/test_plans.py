"""Whole plans: a VMAT plan with both fast engines, and TG-119 from beamlets to weights."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from benchmarks.conftest import Baseline, Timing
from benchmarks.engines_side_by_side import arc_case
from benchmarks.machine import Limits
from dosecalc.beam import beam_fluences
from dosecalc.data.machines import load_machine
from dosecalc.engines import collapsed_cone, pencil_beam
from dosecalc.engines.pencil_beam.influence import dose_influence
from dosecalc.planning import optimise_fluence
from examples import tg119_c_shape

_VMAT = "plans-6tps/RP1.2.752.243.1.1.20230623170950828.2520.26087.dcm"
_ENGINES = {"pencil-beam": pencil_beam, "collapsed-cone": collapsed_cone}


@pytest.mark.slow
@pytest.mark.samples
@pytest.mark.parametrize("engine", _ENGINES)
def test_vmat(timed: Timing, samples: Path, engine: str) -> None:
    """Two arcs of 90 bins in a water cylinder of 30 cm, 2.5 mm; the baseline: each bin a field.

    One field of the plan, times the number of bins: what arcs cost without anything shared.
    """
    phantom, plan, _ = arc_case(samples / _VMAT)
    machine, module = load_machine("generic-6mv"), _ENGINES[engine]
    settings = (
        pencil_beam.PencilBeamSettings()
        if engine == "pencil-beam"
        else collapsed_cone.CollapsedConeSettings()
    )
    bins = [
        fluence for beam in plan.beams for fluence in beam_fluences(beam, plan.position, machine)
    ]
    module.fluence_dose(phantom, bins[0], settings)
    start = perf_counter()
    for fluence in bins[::30]:
        module.fluence_dose(phantom, fluence, settings)
    alone = (perf_counter() - start) * len(bins) / len(bins[::30])

    def info(_median: float) -> dict[str, Any]:
        return {"bins": len(bins), "voxels": phantom.density.size}

    baseline = Baseline("every bin alone", alone)
    timed(lambda: module.compute(phantom, plan, machine, settings), baseline, info)


@pytest.mark.slow
@pytest.mark.samples
@pytest.mark.parametrize("work", ["matrix", "optimisation"])
def test_tg119(timed: Timing, limits: Limits, samples: Path, work: str) -> None:
    """The C-shape: five beams, 5 mm voxels; writing or reading the entries is the baseline."""
    given = samples.parent / "bench" / "W2.npz"
    phantom, masks, target, about = tg119_c_shape.read(given, 5.0)
    machine = load_machine("generic-6mv")
    grids = tg119_c_shape.beamlet_grids(target, about)
    influence = dose_influence(phantom, grids, machine)
    entries = influence.matrix.nnz
    once = limits.memory_seconds(8 * entries, 2)
    if work == "matrix":

        def info(median: float) -> dict[str, Any]:
            return {"entries": entries, "million_entries_per_s": 1e-6 * entries / median}

        baseline = Baseline("writing its entries", once)
        timed(lambda: dose_influence(phantom, grids, machine), baseline, info)
        return
    steps = len(optimise_fluence(influence, masks, tg119_c_shape.OBJECTIVES).history)
    baseline = Baseline(
        f"reading the entries twice in each of {steps} iterations", 2 * steps * once
    )
    timed(lambda: optimise_fluence(influence, masks, tg119_c_shape.OBJECTIVES), baseline)
