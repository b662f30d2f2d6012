"""Voxel fractions and volumes of structures against analytic solids and point sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.errors import GeometryError
from dosecalc.model import Contour, Grid, Structure
from dosecalc.patient.coverage import (
    centroid,
    contour_planes,
    crossing_planes,
    plane_gaps,
    same_outline,
    slab_stack,
    volume_cm3,
    volume_fraction,
    volume_outside,
)
from tests.naive import inside_even_odd

Section = Callable[[float], list[NDArray[np.float64]]]


def drawn(section: Section, planes: Iterable[float]) -> Structure:
    """A structure with the outlines that `section` gives on each plane."""
    contours = [Contour(float(z), outline) for z in planes for outline in section(z)]
    return Structure(number=1, name="solid", contours=tuple(contours))


def circle(radius: float, x: float = 0.0, y: float = 0.0, n: int = 40) -> NDArray[np.float64]:
    """A polygon of the area of the circle, so that only the planes' spacing matters."""
    angle = 2 * np.pi * np.arange(n) / n
    radius *= np.sqrt(2 * np.pi / n / np.sin(2 * np.pi / n))
    return np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])


def box(half_x: float, half_y: float, x: float = 0.0, y: float = 0.0) -> NDArray[np.float64]:
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    return corners * [half_x, half_y] + [x, y]


def planes_between(low: float, high: float, spacing: float, phase: float) -> NDArray[np.float64]:
    """Planes strictly between two heights, the first `phase` spacings above the lower."""
    return np.arange(low + phase * spacing, high - 1e-9, spacing)


PHASES = np.linspace(0.02, 0.98, 9)
SPACINGS = [(15.0, 2.0), (15.0, 2.5), (15.0, 3.0), (30.0, 3.0), (60.0, 2.0), (60.0, 3.0)]


@pytest.mark.parametrize(("radius", "spacing"), SPACINGS)
def test_sphere(radius: float, spacing: float) -> None:
    exact = 4 / 3 * np.pi * radius**3 / 1000
    for phase in PHASES:
        planes = planes_between(-radius, radius, spacing, phase)
        solid = drawn(lambda z: [circle(np.sqrt(radius**2 - z**2))], planes)
        assert volume_cm3(solid) == pytest.approx(exact, rel=0.005)


@pytest.mark.parametrize(("radius", "spacing"), SPACINGS)
def test_cylinder_lying_along_x(radius: float, spacing: float) -> None:
    exact = np.pi * radius**2 * 100 / 1000
    for phase in PHASES:
        planes = planes_between(-radius, radius, spacing, phase)
        solid = drawn(lambda z: [box(50, np.sqrt(radius**2 - z**2))], planes)
        assert volume_cm3(solid) == pytest.approx(exact, rel=0.005)


@pytest.mark.parametrize(("radius", "spacing"), SPACINGS)
@pytest.mark.parametrize("as_keyhole", [False, True])
def test_ring_with_a_hole(radius: float, spacing: float, as_keyhole: bool) -> None:
    large = radius + 25
    exact = 2 * np.pi**2 * large * radius**2 / 1000

    def section(z: float) -> list[NDArray[np.float64]]:
        half = np.sqrt(radius**2 - z**2)
        outer, inner = circle(large + half), circle(large - half)
        if as_keyhole:
            return [np.concatenate([outer, outer[:1], inner[::-1], inner[-1:]])]
        return [outer, inner]

    for phase in PHASES[::3]:
        solid = drawn(section, planes_between(-radius, radius, spacing, phase))
        assert volume_cm3(solid) == pytest.approx(exact, rel=0.005)


@pytest.mark.parametrize("spacing", [2.0, 2.5, 3.0])
def test_capsule(spacing: float) -> None:
    exact = (np.pi * 15**2 * 20 + 4 / 3 * np.pi * 15**3) / 1000
    for phase in PHASES:
        solid = drawn(
            lambda z: [circle(np.sqrt(15**2 - max(abs(z) - 10, 0) ** 2))],
            planes_between(-25, 25, spacing, phase),
        )
        assert volume_cm3(solid) == pytest.approx(exact, rel=0.005)


@pytest.mark.parametrize(
    ("height", "spacing"), [(30.0, 2.0), (60.0, 2.5), (60.0, 3.0), (90.0, 3.0)]
)
def test_cone_on_a_flat_base(height: float, spacing: float) -> None:
    # The base lies between the slices, half a spacing below the first plane.
    solid = drawn(
        lambda z: [circle(30 * (1 - z / height))], planes_between(0, height, spacing, 0.5)
    )
    assert volume_cm3(solid) == pytest.approx(np.pi * 30**2 * height / 3 / 1000, rel=0.005)


@pytest.mark.parametrize("tilt", [0.0, 0.5, 2.0])
def test_upright_and_slanting_cylinder(tilt: float) -> None:
    planes = planes_between(-30, 30, 3, 0.5)
    solid = drawn(lambda z: [circle(20, x=tilt * z), circle(8, x=tilt * z)], planes)
    assert volume_cm3(solid) == pytest.approx(np.pi * (20**2 - 8**2) * 60 / 1000, rel=1e-9)
    np.testing.assert_allclose(centroid(solid), (0, 0, 0), atol=1e-9)


def test_flat_ends_reach_half_a_spacing_beyond_the_last_planes() -> None:
    stack = slab_stack(drawn(lambda z: [circle(20)], [0.0, 3.0, 6.0, 9.0, 12.0]))
    np.testing.assert_allclose(stack.bounds[:, 0], [-1.5, 1.5, 4.5, 7.5, 10.5])
    np.testing.assert_allclose(stack.bounds[:, 1], [1.5, 4.5, 7.5, 10.5, 13.5])


def test_round_ends_reach_between_a_quarter_and_three_quarters_of_a_spacing() -> None:
    for phase in np.linspace(0.001, 0.999, 20):
        planes = planes_between(-20, 20, 3, phase)
        for power in (1, 2, 0.5):
            solid = drawn(
                lambda z, p=power: [circle((20**2 - z**2) ** (p / 2) / 20 ** (p - 1))], planes
            )
            stack = slab_stack(solid)
            for reach in (stack.z[0] - stack.bounds[0, 0], stack.bounds[-1, 1] - stack.z[-1]):
                assert 0.75 - 1e-9 <= reach <= 2.25 + 1e-9


def test_uneven_planes_meet_half_way() -> None:
    solid = drawn(lambda z: [circle(20)], [0.0, 3.0, 5.0, 8.0, 11.5])
    stack = slab_stack(solid)
    np.testing.assert_allclose(stack.bounds[1:, 0], [1.5, 4.0, 6.5, 9.75])
    np.testing.assert_allclose(stack.bounds[[0, -1], [0, 1]], [-1.5, 13.0])
    assert plane_gaps(solid) == ()


def test_missing_planes_split_a_structure() -> None:
    solid = drawn(lambda z: [circle(20)], [0.0, 3.0, 6.0, 15.0, 30.0, 33.0])
    assert plane_gaps(solid) == ((6.0, 15.0), (15.0, 30.0))
    stack = slab_stack(solid)
    np.testing.assert_allclose(stack.bounds[2:5], [[4.5, 7.5], [13.5, 16.5], [28.5, 31.5]])
    assert volume_cm3(solid) == pytest.approx(np.pi * 400 * 18 / 1000)
    grid = Grid.covering((-25, -25, -6), (25, 25, 39), (5, 5, 1.5))
    fraction = volume_fraction(solid, grid)
    between = (grid.centres("z") > 7.5) & (grid.centres("z") < 13.5)
    assert not fraction[between].any()


def test_one_and_a_half_spacings_are_no_gap_yet() -> None:
    assert plane_gaps(drawn(lambda z: [circle(20)], [0.0, 2.0, 4.0, 7.0, 9.0])) == ()


def test_single_plane_needs_a_spacing() -> None:
    solid = drawn(lambda z: [circle(20)], [4.0])
    assert volume_cm3(solid, plane_spacing=3.0) == pytest.approx(np.pi * 400 * 3 / 1000)
    np.testing.assert_allclose(slab_stack(solid, plane_spacing=3.0).bounds, [[2.5, 5.5]])
    for spacing in (None, 0.0, np.nan):
        with pytest.raises(GeometryError, match=r"'solid'.*one plane only.*--plane-spacing"):
            volume_cm3(solid, plane_spacing=spacing)


def test_spacing_given_is_not_used_where_the_structure_tells_itself() -> None:
    solid = drawn(lambda z: [circle(20)], [0.0, 3.0, 6.0])
    assert volume_cm3(solid, plane_spacing=50.0) == volume_cm3(solid)


def test_empty_structure() -> None:
    empty = Structure(number=1, name="nothing")
    grid = Grid((2, 3, 4), (1, 1, 1), (0, 0, 0))
    assert volume_cm3(empty) == 0
    assert volume_outside(empty, grid) == 0
    assert volume_fraction(empty, grid).shape == (2, 3, 4)
    assert not volume_fraction(empty, grid).any()
    assert plane_gaps(empty) == ()
    with pytest.raises(GeometryError, match="'nothing' encloses no volume"):
        centroid(empty)


def test_contours_of_one_plane_belong_together_in_spite_of_rounding() -> None:
    planes = contour_planes(
        Structure(
            number=1,
            name="rounded",
            contours=tuple(
                Contour(z, circle(5, x=n))
                for n, z in enumerate((3.0, -92.6, 0, -92.599999, 3.000001))
            ),
        )
    )
    assert [len(contours) for _, contours in planes] == [2, 1, 2]
    np.testing.assert_allclose([z for z, _ in planes], [-92.6, 0, 3], atol=1e-5)


def wobbly(rng: np.random.Generator) -> Structure:
    """Outline, hole, island and an overlapping piece that change from plane to plane."""
    planes = np.cumsum(rng.choice([2.0, 2.5, 3.0], 14)) - 18

    def section(z: float) -> list[NDArray[np.float64]]:
        size = 25 + 4 * np.sin(z / 5)
        return [
            circle(size, x=z / 4, n=24) + rng.uniform(-1, 1, (24, 2)),
            circle(size / 2, x=z / 4, n=12) + rng.uniform(-1, 1, (12, 2)),
            circle(size / 5, y=-z / 9, n=7),
            box(20, 6, x=20, y=8),
        ]

    return drawn(section, planes)


def sampled_fraction(structure: Structure, grid: Grid, n: int) -> NDArray[np.float64]:
    """Voxel fractions from n^3 points per voxel of the slab model."""
    stack = slab_stack(structure)
    planes = contour_planes(structure)
    offsets = (np.arange(n) + 0.5) / n - 0.5
    x, y, z = (
        (grid.centres(a)[:, None] + grid.spacing["xyz".index(a)] * offsets).ravel() for a in "xyz"
    )
    sections = np.array(
        [
            inside_even_odd(x[None, :], y[:, None], [c.points for c in contours])
            for _, contours in planes
        ]
    )
    nz, ny, nx = grid.shape
    by_plane = sections.reshape(len(planes), ny, n, nx, n).mean(axis=(2, 4))
    belongs = (z[:, None] >= stack.bounds[:, 0]) & (z[:, None] < stack.bounds[:, 1])
    share = belongs.reshape(nz, n, len(planes)).mean(axis=1)
    return np.einsum("kp,pji->kji", share, by_plane)


@pytest.mark.parametrize("seed", range(3))
def test_fractions_agree_with_point_sampling(seed: int) -> None:
    structure = wobbly(np.random.default_rng(seed))
    grid = Grid((13, 16, 17), (5.0, 4.5, 3.7), (-40.0, -34.0, -22.0))
    found = volume_fraction(structure, grid)
    expected = sampled_fraction(structure, grid, 20)
    # 20 points along each edge: an error of up to one point in 20 along z and in the plane.
    assert np.abs(found - expected).max() < 0.08
    assert abs(found.mean() - expected.mean()) < 1e-3


def test_volume_is_conserved_on_any_grid() -> None:
    rng = np.random.default_rng(11)
    structure = wobbly(rng)
    total = volume_cm3(structure)
    for _ in range(12):
        spacing = rng.uniform(0.9, 8.0, 3)
        lower = rng.uniform(-70, -50, 3)
        counts = np.ceil((70 - lower) / spacing).astype(int)
        grid = Grid(tuple(counts[::-1]), tuple(spacing), tuple(lower + spacing / 2))
        fraction = volume_fraction(structure, grid)
        assert fraction.min() >= 0
        assert fraction.max() <= 1
        assert fraction.sum(dtype=float) * grid.voxel_volume_cm3 == pytest.approx(total, rel=1e-4)
        assert volume_outside(structure, grid) == 0


def test_centroid_moves_with_the_structure_and_is_that_of_the_fractions() -> None:
    structure = wobbly(np.random.default_rng(12))
    shift = np.array([1000.0, 50.0])
    moved = Structure(
        number=1,
        name="moved",
        contours=tuple(Contour(c.z - 300, c.points + shift) for c in structure.contours),
    )
    expected = np.add(centroid(structure), (1000, 50, -300))
    np.testing.assert_allclose(centroid(moved), expected, atol=1e-6)
    grid = Grid.covering((-60, -60, -40), (60, 60, 40), (1, 1, 1))
    weights = volume_fraction(structure, grid).astype(float)
    axes = [grid.centres(a) for a in "xyz"]
    sums = [weights.sum(axis=(0, 1)) @ axes[0], weights.sum(axis=(0, 2)) @ axes[1]]
    sums.append(weights.sum(axis=(1, 2)) @ axes[2])
    # Voxels of 1 mm place their content at their centre.
    np.testing.assert_allclose(np.array(sums) / weights.sum(), centroid(structure), atol=0.02)


def test_part_outside_the_grid_is_measured_and_left_out() -> None:
    solid = drawn(lambda z: [box(20, 20)], planes_between(-30, 30, 3, 0.5))
    grid = Grid.covering((0, -25, 0), (50, 25, 50), (2.5, 2.5, 2.5))
    fraction = volume_fraction(solid, grid)
    assert fraction.sum(dtype=float) * grid.voxel_volume_cm3 == pytest.approx(24.0)
    assert volume_outside(solid, grid) == pytest.approx(96.0 - 24.0)
    elsewhere = Grid.covering((500, 500, 500), (600, 600, 600), (10, 10, 10))
    assert not volume_fraction(solid, elsewhere).any()
    assert volume_outside(solid, elsewhere) == pytest.approx(96.0)


def test_same_outline_knows_repeats_whatever_their_points() -> None:
    outline = Contour(0.0, circle(20, n=30))
    turned = Contour(0.0, np.roll(outline.points, 7, axis=0)[::-1])
    middle = (outline.points + np.roll(outline.points, -1, axis=0)) / 2
    finer = Contour(0.0, np.stack([outline.points, middle], axis=1).reshape(-1, 2))
    assert same_outline(outline, turned)
    assert same_outline(outline, finer)
    assert same_outline(outline, Contour(0.0, outline.points + np.array([0.06, -0.06])))
    assert not same_outline(outline, Contour(0.0, circle(19.85, n=30)))
    assert not same_outline(outline, Contour(0.0, circle(20, x=0.12, n=30)))
    bump = outline.points.copy()
    bump[5] *= 0.98
    assert not same_outline(outline, Contour(0.0, bump))
    assert not same_outline(Contour(0.0, box(20, 20)), outline)


def test_overlapping_contours_are_found() -> None:
    nested = drawn(lambda z: [circle(20), circle(10)], [0.0, 3.0, 6.0])
    assert crossing_planes(nested) == ()
    overlapping = drawn(lambda z: [circle(20), circle(10, x=z * 7)], [0.0, 3.0, 6.0])
    assert crossing_planes(overlapping) == (3.0,)
