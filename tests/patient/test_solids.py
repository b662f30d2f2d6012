"""Solids on a grid against their analytic volumes and against brute-force sampling."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.errors import InputError
from dosecalc.model import Grid
from dosecalc.patient.solids import (
    Filling,
    box,
    cylinder,
    fill_solids,
    half_space,
    slab,
    sphere,
)

ONE = Filling.of("water", 1.0)
NOTHING = Filling.of("air", 0.0)
# Not aligned with any solid below, not cubic.
GRID = Grid((41, 52, 50), (2.5, 2.3, 3.1), (-75.3, -58.1, -62.2))


def volume_cm3(*solids, grid=GRID):
    phantom = fill_solids(grid, NOTHING, solids)
    return phantom.density.sum(dtype=np.float64) * grid.voxel_volume_cm3


@pytest.mark.parametrize("radius", [4.0, 15.0, 50.0])
def test_volume_of_spheres(radius):
    # 0.5 % is what is promised; a sphere of three voxels across is the worst case.
    expected = 4 / 3 * np.pi * radius**3 / 1000
    assert volume_cm3(sphere((1.3, 2.1, -3.7), radius, ONE)) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("axis", [(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1), (0.1, 2, 0.3)])
def test_volume_of_cylinders_in_any_direction(axis):
    solid = cylinder((1.3, 2.1, -3.7), axis, 17.0, ONE, length=61.0)
    assert volume_cm3(solid) == pytest.approx(np.pi * 1.7**2 * 6.1, rel=1e-3)


@pytest.mark.parametrize("degrees", [0.0, 7.0, 30.0, 45.0, 90.0])
def test_volume_of_boxes_turned_anyhow(degrees):
    solid = box(
        (-30.1, -20.2, -21.3), (10.4, 22.5, 13.6), ONE, rotation_axis=(1, 2, -1),
        rotation_deg=degrees,
    )  # fmt: skip
    # Boxes along the axes are exact to the rounding of float32.
    tolerance = 1e-6 if degrees == 0 else 1e-3
    assert volume_cm3(solid) == pytest.approx(4.05 * 4.27 * 3.49, rel=tolerance)


def test_rotation_is_right_handed_about_the_centre():
    grid = Grid((1, 40, 40), (1, 1, 1), (-19.5, -19.5, 0))
    solid = box((-15, -2, -1), (15, 2, 1), ONE, rotation_axis=(0, 0, 1), rotation_deg=45)
    inside = fill_solids(grid, NOTHING, [solid]).density[0] > 0.5
    # x towards y: the bar runs from (-, -) to (+, +).
    assert inside[20 + 9, 20 + 9]
    assert inside[20 - 10, 20 - 10]
    assert not inside[20 + 9, 20 - 10]


@pytest.mark.parametrize("normal", [(0, 1, 0), (1, 1, 0), (1, -2, 3)])
def test_half_space_and_slab_share_the_grid_exactly(normal):
    unit = np.array(normal) / np.linalg.norm(normal)
    point = tuple(12.3 * unit)
    phantom = fill_solids(
        GRID,
        NOTHING,
        [half_space(point, normal, Filling.of("water", 2.0)), slab(normal, -900, 12.3, ONE)],
    )
    # Together they fill everything, so what the slab leaves is the half-space, to rounding.
    share = phantom.density - 1
    assert share.min() > -1e-6
    assert share.max() < 1 + 1e-6
    centre = np.stack(np.meshgrid(*(GRID.centres(a) for a in "zyx"), indexing="ij"))[::-1]
    distance = np.tensordot(unit, centre, axes=1) - 12.3
    assert (share[distance > 3] == 1).all()
    assert (share[distance < -3] == 0).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slab_edges_may_lie_anywhere(axis):
    grid = Grid((20, 20, 20), (2.5, 2.5, 2.5), (0, 0, 0))
    normal = tuple(float(i == axis) for i in range(3))
    phantom = fill_solids(grid, NOTHING, [slab(normal, 10.3, 21.05, ONE)])
    profile = phantom.density.astype(float).mean(axis=tuple(i for i in range(3) if i != 2 - axis))
    edges = grid.edges("xyz"[axis])
    covered = np.minimum(edges[1:], 21.05) - np.maximum(edges[:-1], 10.3)
    np.testing.assert_allclose(profile, np.clip(covered, 0, None) / 2.5, atol=1e-6)


def test_touching_and_nested_faces_inside_a_voxel_are_exact():
    grid = Grid((1, 1, 2), (10, 10, 10), (5, 5, 5))
    heavy = Filling.of("cortical_bone", 2.0)
    phantom = fill_solids(
        grid,
        NOTHING,
        [
            box((0, 0, 0), (4, 10, 10), ONE),
            box((4, 0, 0), (7, 10, 10), heavy),  # touches the first
            box((12, 0, 0), (18, 10, 10), ONE),
            box((12, 0, 0), (14, 5, 10), heavy),  # nested in the third, flush with its face
        ],
    )
    np.testing.assert_allclose(phantom.density[0, 0], [0.4 + 0.6, 0.2 + 0.5 - 0.1 + 0.1], rtol=1e-6)


def test_later_solids_replace_earlier_ones():
    ball = sphere((0, 0, 0), 30.0, ONE)
    hole = sphere((0, 0, 0), 20.0, NOTHING)
    shell = 4 / 3 * np.pi * (27.0 - 8.0)
    assert volume_cm3(ball, hole) == pytest.approx(shell, rel=1e-3)
    assert volume_cm3(hole, ball) == pytest.approx(4 / 3 * np.pi * 27.0, rel=1e-3)


def test_material_is_that_of_the_largest_mass():
    grid = Grid((1, 1, 1), (10, 10, 10), (5, 5, 5))
    # 30 % of the volume, but 0.3 x 4.54 = 1.36 g/cm3 against 0.7.
    metal = slab((1, 0, 0), 0, 3, Filling.of("titanium"))
    phantom = fill_solids(grid, ONE, [metal])
    assert phantom.materials[phantom.material[0, 0, 0]] == "titanium"
    assert phantom.density[0, 0, 0] == pytest.approx(0.7 + 0.3 * 4.54, rel=1e-6)
    thin = slab((1, 0, 0), 0, 1, Filling.of("titanium"))
    phantom = fill_solids(grid, ONE, [thin])
    assert phantom.materials[phantom.material[0, 0, 0]] == "water"


def test_vacuum_takes_the_material_of_the_larger_volume():
    grid = Grid((1, 1, 1), (10, 10, 10), (5, 5, 5))
    phantom = fill_solids(grid, NOTHING, [slab((1, 0, 0), 0, 6, Filling.of("lung", 0.0))])
    assert phantom.materials[phantom.material[0, 0, 0]] == "lung"


def test_oblique_and_round_solids_against_dense_sampling():
    grid = Grid((9, 10, 11), (2.5, 2.5, 2.5), (-13, -14, -10.5))
    phantom = fill_solids(
        grid,
        NOTHING,
        [
            sphere((0, 0, 0), 10.3, ONE),
            half_space((1, 0, 0), (1, 2, 3), Filling.of("water", 3.0)),
            cylinder((1, 2, 3), (1, 1, 0), 4.0, Filling.of("water", 2.0)),
        ],
    )
    n = 16
    inner = (np.arange(n) + 0.5) / n - 0.5
    z, y, x = np.meshgrid(
        *((grid.centres(a)[:, None] + inner * 2.5).ravel() for a in "zyx"), indexing="ij"
    )
    sampled = np.where(x * x + y * y + z * z < 10.3**2, 1.0, 0.0)
    sampled[x - 1 + 2 * y + 3 * z > 0] = 3.0
    across = ((x - 1) - (y - 2)) ** 2 / 2 + (z - 3) ** 2
    sampled[across < 16] = 2.0
    mean = sampled.reshape(9, n, 10, n, 11, n).mean(axis=(1, 3, 5))
    # A plane cut by 16^3 points is itself uncertain by about 1/16^2 of the step in density.
    assert np.abs(phantom.density - mean).max() < 0.04
    assert abs(phantom.density.mean() - mean.mean()) < 2e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sphere((0, 0, 0), 0, ONE), "radius 0"),
        (lambda: box((0, 0, 0), (1, 0, 1), ONE), "empty"),
        (lambda: slab((0, 1, 0), 5, 5, ONE), "empty"),
        (lambda: slab((0, 0, 0), 1, 2, ONE), "no direction"),
        (lambda: cylinder((0, 0, 0), (0, 0, 1), 3, ONE, length=-1), "empty"),
        (lambda: Filling.of("water", -1.0), "zero or more"),
        (lambda: Filling.of("unobtainium"), "no material"),
    ],
)
def test_impossible_solids_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
