"""Dose differences whose values can be written down, and points that cannot be compared."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.analysis.difference import dose_difference
from dosecalc.errors import GeometryError, InputError
from dosecalc.model import Dose, Grid

GRID = Grid.covering((-30.0, -30.0, -30.0), (30.0, 30.0, 30.0), (3.0, 3.0, 3.0))


def dose(values, grid: Grid = GRID, **more) -> Dose:
    return Dose(grid, np.broadcast_to(values, grid.shape), "water", **more)


def trilinear(grid: Grid) -> np.ndarray:
    z, y, x = np.meshgrid(*(grid.centres(a) for a in "zyx"), indexing="ij")
    return 50 + 0.2 * x - 0.3 * y + 0.1 * z + 0.002 * x * y * z / 30


def test_an_even_offset_is_told_in_percent_of_the_normalisation():
    found = dose_difference(dose(2.0), dose(2.03))
    assert found.mean_percent == pytest.approx(1.5, abs=1e-4)
    assert found.rms_percent == pytest.approx(1.5, abs=1e-4)
    assert found.p99_percent == pytest.approx(1.5, abs=1e-4)
    assert found.worst_percent == pytest.approx(1.5, abs=1e-4)
    assert (found.points, found.outside, found.notes) == (8000, 0, ())
    other = dose_difference(dose(2.0), dose(2.03), normalisation=6.0)
    assert other.mean_percent == pytest.approx(0.5, abs=1e-4)


def test_other_grids_are_interpolated_linearly():
    other = Grid.covering((-33.0, -33.0, -33.0), (33.0, 33.0, 33.0), (2.0, 4.4, 5.5))
    found = dose_difference(dose(trilinear(GRID)), dose(trilinear(other), other))
    # Linear along every axis is linear between any voxels; the cubic term bends by nothing.
    assert np.nanmax(np.abs(found.percent)) < 1e-4


def test_the_worst_voxel_keeps_its_sign_and_place():
    reference, evaluated = np.full(GRID.shape, 5.0), np.full(GRID.shape, 5.1)
    evaluated[3, 4, 5] = 4.0
    reference[7, 7, 7], evaluated[7, 7, 7] = 0.2, 3.0
    found = dose_difference(dose(reference), dose(evaluated))
    assert found.worst_percent == pytest.approx(-20, abs=1e-4)
    assert found.worst_position == pytest.approx(tuple(GRID.position_of([3, 4, 5])))
    assert found.worst_reference == pytest.approx(5.0)
    assert found.worst_evaluated == pytest.approx(4.0)
    # Below the threshold nothing counts.
    assert np.isnan(found.percent[7, 7, 7])
    assert found.points == 7999
    assert found.p99_percent == pytest.approx(2.0, abs=1e-3)


def test_points_outside_are_counted_and_never_zero():
    small = Grid.covering((-30.0, -30.0, -30.0), (30.0, 30.0, 15.0), (3.0, 3.0, 3.0))
    found = dose_difference(dose(2.0), dose(2.0, small))
    assert found.outside == 2000
    assert found.points == 8000
    assert found.mean_percent == 0
    assert np.isnan(found.percent[15:]).all()
    assert "2000 of 8000" in found.notes[0]
    # In the half voxel beyond the outermost centres the dose is theirs.
    ramp = GRID.centres("x")
    fine = Grid.covering(GRID.lower, GRID.upper, (1.0, 1.0, 1.0))
    edge = dose(ramp).on(fine)
    assert edge[0, 0, :2] == pytest.approx(ramp[0])
    assert edge[0, 0, 2:4] == pytest.approx(ramp[0] + [1.0, 2.0])


def test_what_cannot_be_compared_is_refused():
    away = Grid(GRID.shape, GRID.spacing, (500.0, 0.0, 0.0))
    with pytest.raises(GeometryError, match="no reference point"):
        dose_difference(dose(1.0), dose(1.0, away))
    with pytest.raises(InputError, match="Gy cm2"):
        dose_difference(dose(1.0), dose(1.0, unit="Gy cm2"))
    with pytest.raises(InputError, match="no dose"):
        dose_difference(dose(0.0), dose(1.0))
    with pytest.raises(InputError, match="threshold"):
        dose_difference(dose(1.0), dose(1.0), normalisation=100.0)
    with pytest.raises(InputError, match="0 to 100"):
        dose_difference(dose(1.0), dose(1.0), threshold_percent=101)


def test_only_points_within_a_choice_count():
    reference, evaluated = np.full(GRID.shape, 5.0), np.full(GRID.shape, 5.1)
    evaluated[3, 4, 5] = 1.0
    within = np.ones(GRID.shape, dtype=bool)
    within[:, 4] = False
    found = dose_difference(dose(reference), dose(evaluated), within=within)
    assert found.worst_percent == pytest.approx(2.0, abs=1e-4)
    assert found.points == 7600
    assert np.isnan(found.percent[:, 4]).all() and not np.isnan(found.percent[within]).any()
    with pytest.raises(InputError, match="choice"):
        dose_difference(dose(2.0), dose(2.0), within=np.zeros(GRID.shape, dtype=bool))


@pytest.mark.parametrize("within", [np.ones((20, 20, 19), bool), np.ones(GRID.shape)])
def test_a_choice_on_another_grid_or_of_numbers_is_refused(within):
    with pytest.raises(InputError, match="truth values"):
        dose_difference(dose(2.0), dose(2.0), within=within)
