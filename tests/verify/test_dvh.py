"""Histograms against solids in doses whose histograms can be written down."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.errors import GeometryError, InputError
from dosecalc.model import Contour, Dose, Grid, Structure
from dosecalc.verify.dvh import Dvh, structure_dvh

GRID = Grid.covering((-40.0, -40.0, -40.0), (40.0, 40.0, 40.0), (2.0, 2.0, 2.0))


def ball(radius: float, centre: float = 0.0, step: float = 2.0) -> Structure:
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    contours = []
    for z in np.arange(-radius + step / 2, radius, step):
        r = np.sqrt(radius**2 - z**2)
        points = np.column_stack((centre + r * np.cos(angle), r * np.sin(angle)))
        contours.append(Contour(float(z), points))
    return Structure(1, "ball", "ORGAN", tuple(contours))


def box(half: float, centre: float = 0.0) -> Structure:
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    planes = np.arange(-half + 1, half, 2.0)
    contours = tuple(Contour(float(z), corners + np.array([centre, 0.0])) for z in planes)
    return Structure(2, "box", "ORGAN", contours)


def along_x(grid: Grid, gradient: float, middle: float = 10.0) -> Dose:
    gray = np.broadcast_to(middle + gradient * grid.centres("x"), grid.shape)
    return Dose(grid, gray, "medium")


def test_a_uniform_dose_is_the_same_at_every_volume():
    dvh = structure_dvh(ball(20.0), Dose(GRID, np.full(GRID.shape, 3.5), "medium"))
    assert [dvh.dose_at_volume(v) for v in (0, 2, 50, 98, 100)] == pytest.approx([3.5] * 5)
    assert dvh.mean_gy == pytest.approx(3.5)
    assert dvh.volume_at_dose([0.0, 3.5, 3.6]) == pytest.approx([dvh.inside_cm3, dvh.inside_cm3, 0])


def test_a_ball_in_a_gradient_has_the_volumes_of_its_caps():
    radius, gradient = 25.0, 0.1
    dvh = structure_dvh(ball(radius), along_x(GRID, gradient))
    volume = 4 / 3 * np.pi * (radius / 10) ** 3
    # 0.5 %: what the contours' volume itself is known to.
    assert dvh.total_cm3 == pytest.approx(volume, rel=0.005)
    for depth in (5.0, 12.0, 25.0, 40.0):
        height = depth / 10
        cap = np.pi * height**2 * (3 * radius / 10 - height) / 3
        # Voxels are taken whole: half a voxel of the ball's cross section at that place.
        tolerance = np.pi * depth * (2 * radius - depth) / 100 * 0.1 + 0.005 * volume
        level = 10.0 + gradient * (radius - depth)
        assert float(dvh.volume_at_dose(level)) == pytest.approx(cap, abs=tolerance)
    # Caps of 2 % of a ball's volume are 0.1641 radii high (root of h^2 (3 - h) / 4 = 0.02).
    high = 10.0 + gradient * radius * (1 - 0.1641)
    half_voxel = gradient * 1.0
    assert dvh.dose_at_volume(2) == pytest.approx(high, abs=half_voxel)
    assert dvh.dose_at_volume(98) == pytest.approx(20.0 - high, abs=half_voxel)
    assert dvh.dose_at_volume(50) == pytest.approx(10.0, abs=half_voxel)
    assert dvh.mean_gy == pytest.approx(10.0, abs=0.002 * gradient * radius)


def test_voxels_on_the_edge_count_by_the_part_that_is_inside():
    # The box ends in the middle of voxels: half of each edge voxel, a quarter of each edge.
    dvh = structure_dvh(box(9.0), along_x(GRID, 1.0, middle=100.0))
    assert dvh.total_cm3 == pytest.approx(1.8**3, rel=1e-6)
    assert dvh.inside_cm3 == pytest.approx(dvh.total_cm3, rel=1e-6)
    assert dvh.mean_gy == pytest.approx(100.0, abs=1e-4)


def test_a_structure_that_leaves_the_grid_says_by_how_much():
    dvh = structure_dvh(box(10.0, centre=35.0), along_x(GRID, 0.0))
    # From x = 25 to 45 mm, the grid ends at 40 mm: a quarter is outside.
    assert dvh.outside_cm3 == pytest.approx(2.0, rel=1e-4)
    assert dvh.inside_cm3 == pytest.approx(6.0, rel=1e-4)
    assert not dvh.is_complete
    assert structure_dvh(box(10.0), along_x(GRID, 0.0)).is_complete


def test_no_dose_is_told_where_none_is_known():
    dose = along_x(GRID, 0.0)
    with pytest.raises(GeometryError, match="outside the dose grid"):
        structure_dvh(box(10.0, centre=200.0), dose)
    with pytest.raises(GeometryError, match="no contours"):
        structure_dvh(Structure(3, "empty"), dose)


def test_volumes_fall_with_dose_and_begin_with_the_whole_structure():
    dvh = structure_dvh(ball(20.0), along_x(GRID, 0.3))
    volumes = dvh.volume_at_dose(np.linspace(0, 30, 301))
    assert volumes[0] == pytest.approx(dvh.inside_cm3)
    assert (np.diff(volumes) <= 0).all()
    assert volumes[-1] == 0


def test_the_grid_cut_finer_gives_the_same_histogram():
    fine = Grid.covering((-40.0, -40.0, -40.0), (40.0, 40.0, 40.0), (1.0, 1.0, 1.0))
    coarse = structure_dvh(ball(20.0), along_x(GRID, 0.2))
    finer = structure_dvh(ball(20.0), along_x(fine, 0.2))
    for volume in (2, 20, 50, 80, 98):
        # Half of the coarse voxel times the gradient.
        assert coarse.dose_at_volume(volume) == pytest.approx(finer.dose_at_volume(volume), abs=0.2)


def test_values_that_are_no_histogram_are_refused():
    with pytest.raises(InputError, match="fall"):
        Dvh("x", 1, np.array([1.0, 2.0]), np.ones(2))
    with pytest.raises(InputError, match="0 to 100"):
        structure_dvh(ball(20.0), along_x(GRID, 0.0)).dose_at_volume(101)
