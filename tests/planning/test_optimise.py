"""Beamlet weights: the optimum where it is known, and what cannot be optimised."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from dosecalc.data.machines import load_machine
from dosecalc.engines.pencil_beam import compute
from dosecalc.engines.pencil_beam.influence import InfluenceMatrix, dose_influence
from dosecalc.errors import InputError
from dosecalc.model import PatientPosition, Plan
from dosecalc.planning import Objective, optimise_fluence, step_and_shoot
from dosecalc.planning.fused import fuse_objectives, fused_value
from dosecalc.planning.objectives import StructureVoxels, objective_value
from tests.engines.cases import cube
from tests.engines.test_influence import lattice

MACHINE = load_machine("generic-6mv")
PHANTOM = cube(30, 7.0)


@pytest.fixture(scope="module")
def influence() -> InfluenceMatrix:
    beams = [lattice(16, 12, gantry_deg=g) for g in (0.0, 72.0, 144.0, 216.0, 288.0)]
    return dose_influence(PHANTOM, beams, MACHINE)


@pytest.fixture(scope="module")
def structures() -> dict[str, np.ndarray]:
    """A ring's half about a core, and the body around."""
    z, y, x = np.meshgrid(*(PHANTOM.grid.centres(a) for a in "zyx"), indexing="ij")
    radius = np.hypot(x, y)
    target = (radius > 14) & (radius < 32) & (y < 5) & (np.abs(z) < 20)
    core = (radius < 9) & (np.abs(z) < 20)
    return {"target": target, "core": core, "body": ~target}


OBJECTIVES = (
    Objective("target", "uniform", 2.0, weight=100.0),
    Objective("core", "max", 0.8, weight=20.0),
    Objective("body", "mean", 0.0),
)


def test_spares_the_core_and_covers_the_target(
    influence: InfluenceMatrix, structures: dict[str, np.ndarray]
) -> None:
    found = optimise_fluence(influence, structures, OBJECTIVES)
    assert (found.weights >= 0).all()
    assert (np.diff(found.history) <= 1e-9).all()
    dose = influence.times(found.weights).reshape(PHANTOM.grid.shape)
    even = influence.times(np.ones(influence.matrix.shape[1])).reshape(PHANTOM.grid.shape)
    even *= 2.0 / even[structures["target"]].mean()
    target, core = structures["target"], structures["core"]
    assert dose[target].mean() == pytest.approx(2.0, rel=0.02)
    assert dose[target].std() < 0.08
    assert dose[core].mean() < 0.65 * even[core].mean()


@pytest.mark.parametrize("threads", [1, 2])
def test_fused_objectives_are_the_objectives_of_the_dose(
    influence: InfluenceMatrix, structures: dict[str, np.ndarray], threads: int
) -> None:
    objectives = (
        *OBJECTIVES,
        Objective("target", "min", 1.8, weight=7.0, volume_percent=95.0),
        Objective("core", "max", 0.4, weight=3.0, volume_percent=10.0),
        Objective("core", "mean", 0.5, weight=2.0),
        Objective("body", "max", 1.0, weight=4.0),
    )
    parts = {name: StructureVoxels.from_fraction(mask) for name, mask in structures.items()}
    weights = np.random.default_rng(7).random(influence.matrix.shape[1])
    weights *= 2.0 / influence.times(weights)[parts["target"].voxels].mean()
    slope = np.empty(influence.matrix.shape[0])
    expected = objective_value(objectives, parts, influence.times(weights), slope)
    gradient = influence.transposed_times(slope)

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        found, fused_gradient = fused_value(fuse_objectives(influence, parts, objectives), weights)
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    # Entries are rounded to 1/65535 of their row's largest.
    assert found == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(fused_gradient, gradient, rtol=0, atol=2e-3 * np.abs(gradient).max())


def test_means_alone_have_a_gradient(
    influence: InfluenceMatrix, structures: dict[str, np.ndarray]
) -> None:
    parts = {name: StructureVoxels.from_fraction(mask) for name, mask in structures.items()}
    fused = fuse_objectives(influence, parts, [Objective("body", "mean", 0.0)])
    value, slope = fused_value(fused, np.ones(influence.matrix.shape[1]))
    assert value > 0 and (slope > 0).all()


def test_segments_add_up_to_the_weights(
    influence: InfluenceMatrix, structures: dict[str, np.ndarray]
) -> None:
    """More levels, less rounding; the deliverable dose is that of the weights within 4 %."""
    found = optimise_fluence(influence, structures, OBJECTIVES, iterations=20)
    wanted = influence.times(found.weights).reshape(PHANTOM.grid.shape)
    target, missed = structures["target"], []
    for levels in (3, 30):
        beams, first = [], 0
        for n, grid in enumerate(influence.beams, start=1):
            part = found.weights[first : first + grid.count]
            beams.append(step_and_shoot(grid, part, MACHINE, number=n, levels=levels))
            first += grid.count
        plan = Plan(beams=tuple(beams), position=PatientPosition.HFS, fractions=1)
        dose = compute(PHANTOM, plan, MACHINE).gray
        missed.append(np.abs(dose - wanted)[target].mean() / 2.0)
    assert missed[1] < 0.04
    assert missed[1] < missed[0]


def test_one_row_is_swept_by_its_edges() -> None:
    """Levels 1 2 2 0 1: rises at 0, 1, 4 and falls at 3, 3, 5 give three segments."""
    grid = lattice(5, 1, v0=2.5)
    beam = step_and_shoot(grid, np.array([1.0, 2.0, 2.0, 0.0, 1.0]), MACHINE, number=1, levels=2)
    assert beam.mu == pytest.approx(3.0)
    assert beam.technique == "STEP_AND_SHOOT"
    mlc = MACHINE.mlc
    assert mlc is not None
    row = int(np.searchsorted(mlc.boundaries_mm, 2.5)) - 1
    tips = [p.leaves[:, row] for p in beam.control_points[::2] if p.leaves is not None]
    edges = grid.u0 - 2.5 + 5.0 * np.arange(6)
    expected = [(edges[0], edges[3]), (edges[1], edges[3]), (edges[4], edges[5])]
    offset = np.array([mlc.tip_offset_mm, -mlc.tip_offset_mm])
    np.testing.assert_allclose(tips, np.array(expected) + offset, atol=0.006)
    # All other pairs are closed, behind the jaw.
    leaves = beam.control_points[0].leaves
    assert leaves is not None
    others = np.delete(leaves, row, axis=1)
    assert (others[0] == others[1]).all()
    assert (others[0] < beam.control_points[0].jaws_x[0]).all()  # type: ignore[index]


def test_what_cannot_be_optimised_or_delivered_is_refused(
    influence: InfluenceMatrix, structures: dict[str, np.ndarray]
) -> None:
    with pytest.raises(InputError, match="no objective"):
        optimise_fluence(influence, structures, [])
    with pytest.raises(InputError, match="there are: target"):
        optimise_fluence(influence, structures, [Objective("lung", "max", 1.0)])
    with pytest.raises(InputError, match="asks for dose"):
        optimise_fluence(influence, structures, [Objective("core", "max", 1.0)])
    with pytest.raises(InputError, match="one each"):
        step_and_shoot(lattice(), np.ones(3), MACHINE, number=1)
    with pytest.raises(InputError, match="levels"):
        step_and_shoot(lattice(), np.ones(48), MACHINE, number=1, levels=0)
