"""Averages over another grid: mass, known values, and a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosecalc.errors import GeometryError
from dosecalc.model import Grid
from dosecalc.patient.resample import covered_fraction, crop_to, volume_average

AXES = "zyx"


def overlap_matrix(source, target, axis):
    """Length shared by every pair of voxels over the length of the target's, one pair at a time."""
    a, b = source.edges(axis), target.edges(axis)
    matrix = np.zeros((b.size - 1, a.size - 1))
    for i in range(b.size - 1):
        for j in range(a.size - 1):
            shared = min(a[j + 1], b[i + 1]) - max(a[j], b[i])
            matrix[i, j] = max(shared, 0) / (b[i + 1] - b[i])
    return matrix


def naive_average(values, source, target):
    z, y, x = (overlap_matrix(source, target, axis) for axis in AXES)
    return np.einsum("ak,bj,ci,kji->abc", z, y, x, values)


grids = st.builds(
    Grid,
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 4.0)] * 3),
    origin=st.tuples(*[st.floats(-5.0, 5.0)] * 3),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(source=grids, target=grids)
def test_agrees_with_the_slow_reference(source, target):
    values = np.random.default_rng(1).random(source.shape)
    expected = naive_average(values, source, target)
    np.testing.assert_allclose(volume_average(values, source, target), expected, atol=1e-7)
    whole = naive_average(np.ones(source.shape), source, target)
    np.testing.assert_allclose(covered_fraction(source, target), whole, atol=1e-6)


@pytest.mark.parametrize("spacing", [(0.4, 0.5, 0.6), (2.5, 2.5, 2.5), (7.0, 3.0, 11.0)])
def test_mass_is_conserved_where_the_target_covers_the_source(spacing):
    source = Grid((9, 30, 31), (0.977, 0.977, 3.0), (-14.3, -10.1, 2.2))
    density = np.random.default_rng(2).random(source.shape, dtype=np.float32) * 2
    target = Grid.covering(
        tuple(v - 3.3 for v in source.lower), tuple(v + 1.7 for v in source.upper), spacing
    )
    before = density.sum(dtype=np.float64) * source.voxel_volume_cm3
    after = volume_average(density, source, target).sum() * target.voxel_volume_cm3
    assert after == pytest.approx(before, rel=1e-12)


def test_same_grid_changes_nothing():
    grid = Grid((4, 5, 6), (1.1, 2.3, 0.7), (3.0, -8.0, 0.1))
    values = np.random.default_rng(3).random(grid.shape)
    np.testing.assert_allclose(volume_average(values, grid, grid), values, rtol=1e-12)
    assert (covered_fraction(grid, grid) == 1).all()


def test_two_halves_make_one():
    source = Grid((1, 1, 4), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5))
    target = Grid((1, 1, 3), (2.0, 1.0, 1.0), (1.0, 0.5, 0.5))
    result = volume_average(np.array([[[1.0, 3.0, 5.0, 9.0]]]), source, target)
    np.testing.assert_allclose(result, [[[2.0, 7.0, 0.0]]])
    np.testing.assert_array_equal(covered_fraction(source, target), [[[1, 1, 0]]])


def test_grids_that_miss_each_other_share_nothing():
    source = Grid((2, 2, 2), (1, 1, 1), (0, 0, 0))
    target = Grid((2, 2, 2), (1, 1, 1), (50, 0, 0))
    assert volume_average(np.ones((2, 2, 2)), source, target).sum() == 0
    assert covered_fraction(source, target).sum() == 0


def test_a_shape_that_is_not_the_grids_is_refused():
    grid = Grid((2, 2, 2), (1, 1, 1), (0, 0, 0))
    with pytest.raises(GeometryError, match="shape"):
        volume_average(np.ones((2, 2, 3)), grid, grid)


def test_crop_holds_every_voxel_that_reaches_into_the_box():
    grid = Grid((10, 11, 12), (1.0, 2.0, 3.0), (0.5, 1.0, 1.5))  # outer corner at 0
    slices, part = crop_to(grid, (2.5, 4.0, -9.0), (5.0, 7.9, 3.1))
    assert slices == (slice(0, 2), slice(2, 4), slice(2, 5))
    assert part.lower == pytest.approx((2.0, 4.0, 0.0))
    assert part.shape == (2, 2, 3)


def test_crop_to_a_box_elsewhere_is_one_voxel():
    grid = Grid((3, 3, 3), (1, 1, 1), (0, 0, 0))
    _, part = crop_to(grid, (50, 50, 50), (60, 60, 60))
    assert part.shape == (1, 1, 1)
    assert part.origin == (2, 2, 2)
