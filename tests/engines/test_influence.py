"""The dose-influence matrix: against whole fields, its own bookkeeping, and its refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from scipy import sparse

from dosecalc.beam.beamlets import BeamletGrid
from dosecalc.data.machines import load_machine
from dosecalc.engines.pencil_beam import PencilBeamSettings, compute
from dosecalc.engines.pencil_beam.influence import (
    InfluenceMatrix,
    InfluenceSettings,
    dose_influence,
)
from dosecalc.errors import GeometryError, InputError
from dosecalc.model import PatientPosition
from tests.engines.cases import SIX_MV, beam, cube, plan, with_solid

WATER = cube(40, 5.0, ("water", "lung"))
# Everything within reach: nothing is dropped.
FAR = InfluenceSettings(reach_mm=150.0)


def lattice(nu: int = 8, nv: int = 6, **changes: object) -> BeamletGrid:
    """Beamlets of 5 mm about the axis."""
    place = {
        "position": PatientPosition.HFS,
        "gantry_deg": 0.0,
        "collimator_deg": 0.0,
        "couch_deg": 0.0,
        "isocentre": (0.0, 0.0, 0.0),
        "u0": -2.5 * (nu - 1),
        "v0": -2.5 * (nv - 1),
        "size_u": 5.0,
        "size_v": 5.0,
        "chosen": np.ones((nv, nu), bool),
    }
    return BeamletGrid(**(place | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def matrix() -> InfluenceMatrix:
    return dose_influence(WATER, [lattice()], SIX_MV, FAR)


@pytest.mark.parametrize("gantry", [0.0, 50.0])
def test_beamlets_add_up_to_the_field(gantry: float) -> None:
    """With nothing out of reach: 0.5 % of the maximum (the nearest lateral scale is taken)."""
    found = dose_influence(WATER, [lattice(gantry_deg=gantry)], SIX_MV, FAR)
    together = found.dose(np.ones(48)).gray
    whole = compute(WATER, plan(beam(SIX_MV, (-20, 20, -15, 15), gantry_deg=gantry)), SIX_MV).gray
    assert np.abs(together - whole).max() < 0.005 * whole.max()
    # The field is not followed beyond 150 mm, the matrix is.
    assert abs(found.dropped[0]) < 0.004


def test_beamlets_of_a_machine_have_its_profile_and_calibration() -> None:
    machine = load_machine("generic-6fff")
    grid = lattice(24, 8, u0=-2.5 * 23 + 40)
    found = dose_influence(WATER, [grid], machine, FAR)
    together = found.dose(np.ones(grid.count)).gray
    planned = plan(beam(machine, (-20, 100, -20, 20), mu=1.0))
    whole = compute(WATER, planned, machine).gray
    x = WATER.grid.centres("x")
    inside = np.ix_(range(18, 22), range(4, 36), np.flatnonzero((x > -12) & (x < 80)))
    # Leakage, and the wide source seen past other edges, are missing in beamlets: 1 %.
    assert together[inside] == pytest.approx(whole[inside], abs=0.012 * float(whole.max()))


def test_a_column_is_the_dose_of_its_beamlet(matrix: InfluenceMatrix) -> None:
    one = np.zeros(48)
    one[8 * 2 + 5] = 1.0
    alone = beam(SIX_MV, (5.0, 10.0, -5.0, 0.0))
    field = compute(WATER, plan(alone), SIX_MV).gray
    assert np.abs(matrix.dose(one).gray - field).max() < 0.01 * field.max()


def test_beams_have_their_columns_one_after_the_other(matrix: InfluenceMatrix) -> None:
    chosen = np.ones((6, 8), bool)
    chosen[0, :3] = False
    both = dose_influence(WATER, [lattice(gantry_deg=90.0, chosen=chosen), lattice()], SIX_MV, FAR)
    assert both.matrix.shape == (WATER.density.size, 45 + 48)
    np.testing.assert_array_equal(both.matrix[:, 45:].toarray(), matrix.matrix.toarray())


def test_products_are_those_of_the_matrix(matrix: InfluenceMatrix) -> None:
    random = np.random.default_rng(3)
    weights, values = random.random(48), random.random(WATER.density.size)
    dense = matrix.matrix.astype(np.float64)
    np.testing.assert_allclose(matrix.times(weights), dense @ weights, rtol=1e-12)
    np.testing.assert_allclose(matrix.transposed_times(values), dense.T @ values, rtol=1e-12)
    assert matrix.matrix.indices.dtype == np.int32
    assert matrix.matrix.data.dtype == np.float32
    with pytest.raises(InputError, match="47"):
        matrix.times(weights[:47])


def test_threads_change_no_bit(matrix: InfluenceMatrix) -> None:
    values = np.random.default_rng(4).random(WATER.density.size)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = dose_influence(WATER, [lattice()], SIX_MV, FAR)
        transposed = alone.transposed_times(values)
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(alone.matrix.data, matrix.matrix.data)
    np.testing.assert_array_equal(transposed, matrix.transposed_times(values))


def test_what_is_out_of_reach_is_reported() -> None:
    """The share that is dropped is what the sum lacks of the whole field's energy."""
    short = dose_influence(WATER, [lattice()], SIX_MV, InfluenceSettings(reach_mm=25.0))
    whole = compute(WATER, plan(beam(SIX_MV, (-20, 20, -15, 15))), SIX_MV).gray
    mass = WATER.mass_g
    kept = float((short.dose(np.ones(48)).gray * mass).sum()) / float((whole * mass).sum())
    assert short.dropped[0] == pytest.approx(1 - kept, abs=0.003)
    assert 0.1 < short.dropped[0] < 0.5


def test_lung_and_dose_to_water_are_in_the_matrix() -> None:
    y = WATER.grid.centres("y")[None, :, None]
    lung = with_solid(WATER, np.broadcast_to((y > -50) & (y < 20), WATER.grid.shape), 1, 0.26)
    for dose_to in ("medium", "water"):
        found = dose_influence(lung, [lattice()], SIX_MV, FAR, dose_to=dose_to)
        settings = PencilBeamSettings(dose_to=dose_to)
        whole = compute(lung, plan(beam(SIX_MV, (-20, 20, -15, 15))), SIX_MV, settings).gray
        assert np.abs(found.dose(np.ones(48)).gray - whole).max() < 0.008 * whole.max()


def test_saved_matrix_opens_in_scipy(matrix: InfluenceMatrix, tmp_path: Path) -> None:
    matrix.save(tmp_path / "matrix.npz")
    there = sparse.load_npz(tmp_path / "matrix.npz")
    np.testing.assert_array_equal(there.data, matrix.matrix.data)
    assert there.shape == matrix.matrix.shape
    with np.load(tmp_path / "matrix.npz") as data:
        about = json.loads(str(data["dosecalc"]))
    assert about["unit"] == "Gy cm2"
    assert about["beams"][0]["gantry_deg"] == 0.0
    again = InfluenceMatrix.load(tmp_path / "matrix.npz")
    assert again.grid == matrix.grid
    np.testing.assert_array_equal(again.beams[0].chosen, matrix.beams[0].chosen)
    np.testing.assert_array_equal(again.times(np.ones(48)), matrix.times(np.ones(48)))


def test_what_makes_no_matrix_is_refused() -> None:
    with pytest.raises(InputError, match="largest_gb"):
        dose_influence(WATER, [lattice()], SIX_MV, replace(FAR, largest_gb=0.001))
    with pytest.raises(InputError, match="no beam"):
        dose_influence(WATER, [], SIX_MV)
    with pytest.raises(GeometryError, match="gantry 0"):
        dose_influence(WATER, [lattice(u0=300.0)], SIX_MV)
    with pytest.raises(InputError, match="at least one beamlet"):
        lattice(chosen=np.zeros((6, 8), bool))
    with pytest.raises(InputError, match="above zero"):
        lattice(size_u=0.0)
    for reach in (-1.0, 151.0):
        with pytest.raises(InputError, match="reach_mm"):
            InfluenceSettings(reach_mm=reach)
