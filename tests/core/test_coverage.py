"""Exact even-odd area coverage against point sampling, analytic areas and its own invariances."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.core.coverage import cover_slices, edge_moments, even_odd_edges, outlines_agree
from tests.naive import area_coverage, even_odd_area

Outline = NDArray[np.float64]
Polygons = list[Outline]
SQUARE = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])


def pieces_of(polygons: Polygons) -> NDArray[np.float64]:
    starts = np.cumsum([0, *(len(p) for p in polygons)], dtype=np.int64)
    return even_odd_edges(np.concatenate(polygons), starts)


def area_of(polygons: Polygons) -> float:
    return edge_moments(pieces_of(polygons))[0]


def cover(
    polygons: Polygons, lower: tuple[float, float], spacing: tuple[float, float], n: tuple[int, int]
) -> NDArray[np.float32]:
    """Coverage (y, x) of one plane that fills the only slice."""
    pieces = pieces_of(polygons)
    out = np.zeros((1, n[1], n[0]), dtype=np.float32)
    cover_slices(
        pieces,
        np.array([0, len(pieces)]),
        np.array([[0.0, 1.0]]),
        np.array([*lower, 0.0]),
        np.array([*spacing, 1.0]),
        out,
    )
    return out[0]


def shifted(x: float, y: float) -> Outline:
    return SQUARE + np.array([x, y])


def star(rng: np.random.Generator, n: int, centre: tuple[float, float], size: float) -> Outline:
    """A closed outline around a centre, not convex, without self-crossing."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, n))
    radius = size * rng.uniform(0.5, 1.0, n)
    return np.column_stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)])


def keyhole(outer: Outline, hole: Outline) -> Outline:
    """One outline that runs around `outer`, along a bridge, around `hole`, and back."""
    return np.concatenate([outer, outer[:1], hole, hole[:1]])


def random_polygons(rng: np.random.Generator, kind: str) -> Polygons:
    outer = star(rng, 30, (1.0, -2.0), 40.0)
    if kind == "simple":
        return [outer]
    if kind == "hole and island":
        return [outer, star(rng, 12, (0.0, 0.0), 15.0), star(rng, 8, (1.0, 1.0), 6.0)]
    if kind == "keyhole":
        return [keyhole(outer, star(rng, 12, (0.0, 0.0), 15.0)[::-1])]
    if kind == "overlap":
        return [outer, star(rng, 20, (15.0, 10.0), 30.0), star(rng, 9, (-20.0, 5.0), 25.0)]
    return [rng.uniform(-40, 40, (15, 2)), rng.uniform(-40, 40, (9, 2))]


KINDS = ["simple", "hole and island", "keyhole", "overlap", "tangle"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_point_sampling(kind: str, seed: int) -> None:
    polygons = random_polygons(np.random.default_rng(seed), kind)
    lower, spacing, n = (-45.0, -46.0), (3.0, 4.0), (31, 24)
    found = cover(polygons, lower, spacing, n)
    x_edges = lower[0] + spacing[0] * np.arange(n[0] + 1)
    y_edges = lower[1] + spacing[1] * np.arange(n[1] + 1)
    expected = area_coverage(polygons, x_edges, y_edges, 40)
    # 40 x 40 points: an edge misjudges up to about one row of points, 1/40, per cell,
    # and several edges of a tangle may share a cell; in the mean, errors cancel.
    assert np.abs(found - expected).max() < 0.04
    assert abs(found.mean() - expected.mean()) < 2e-4


@pytest.mark.parametrize("seed", range(40))
def test_touching_coincident_and_crossing_edges(seed: int) -> None:
    # Whole coordinates from a small range: corners on edges, edges on edges, spikes,
    # repeated corners and crossings at corners all happen.
    rng = np.random.default_rng(seed)
    polygons = [
        rng.integers(0, 8, (int(rng.integers(3, 12)), 2)).astype(float)
        for _ in range(int(rng.integers(1, 5)))
    ]
    expected = even_odd_area(polygons)
    # Bands and order changes below 1e-9 mm are taken as rounding.
    assert area_of(polygons) == pytest.approx(expected, abs=1e-7)
    assert cover(polygons, (-0.3, -0.3), (0.9, 0.7), (10, 13)).sum(dtype=float) * 0.63 == (
        pytest.approx(expected, abs=1e-5)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_area_is_conserved_on_any_grid(kind: str) -> None:
    rng = np.random.default_rng(5)
    polygons = random_polygons(rng, kind)
    area = area_of(polygons)
    for _ in range(10):
        spacing = rng.uniform(0.7, 9.0, 2)
        lower = rng.uniform(-60.0, -45.0, 2)
        n = np.ceil((60.0 - lower) / spacing).astype(int)
        found = cover(polygons, tuple(lower), tuple(spacing), tuple(n))
        # Stored as float32: 6e-8 per cell, nothing else is approximate.
        assert found.sum(dtype=float) * spacing.prod() == pytest.approx(area, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_order_direction_and_start_of_points_do_not_matter(kind: str) -> None:
    rng = np.random.default_rng(6)
    polygons = random_polygons(rng, kind)
    other = [np.roll(p, int(rng.integers(len(p))), axis=0)[::-1] for p in polygons[::-1]]
    arguments = ((-45.0, -46.0), (3.0, 4.0), (31, 24))
    np.testing.assert_allclose(cover(polygons, *arguments), cover(other, *arguments), atol=1e-7)


def test_mirrored_polygons_give_mirrored_coverage() -> None:
    polygons = random_polygons(np.random.default_rng(7), "overlap")
    arguments = ((-45.0, -45.0), (3.0, 3.0), (30, 30))
    found = cover(polygons, *arguments)
    swapped = cover([p[:, ::-1] for p in polygons], *arguments)
    np.testing.assert_allclose(swapped, found.T, atol=1e-7)
    flipped = cover([p * [-1.0, 1.0] for p in polygons], *arguments)
    np.testing.assert_allclose(flipped, found[:, ::-1], atol=1e-7)


def test_known_areas() -> None:
    assert area_of([SQUARE]) == pytest.approx(100)
    assert area_of([SQUARE, SQUARE * 0.5 + 2]) == pytest.approx(75)
    assert area_of([SQUARE, SQUARE + 3]) == pytest.approx(200 - 2 * 49)
    assert area_of([SQUARE, SQUARE]) == pytest.approx(0)
    assert area_of([SQUARE, shifted(20, 0), shifted(0, -10)]) == pytest.approx(300)
    bow_tie = np.array([[0.0, 0.0], [10.0, 10.0], [10.0, 0.0], [0.0, 10.0]])
    assert area_of([bow_tie]) == pytest.approx(50)


def test_pentagram_is_five_tips_without_its_core() -> None:
    # The core is a pentagon of circumradius 1 / golden^2; its corners touch the tips.
    angles = 4 * np.pi / 5 * np.arange(5)
    pentagram = np.column_stack([np.cos(angles), np.sin(angles)])
    core_radius = ((np.sqrt(5) - 1) / 2) ** 2
    tip_base = 2 * core_radius * np.sin(np.pi / 5)
    tip_height = 1 - core_radius * np.cos(np.pi / 5)
    assert area_of([pentagram]) == pytest.approx(5 * tip_base * tip_height / 2)


def test_moments_of_a_triangle_with_a_hole() -> None:
    triangle = np.array([[1.0, 2.0], [13.0, 2.0], [1.0, 20.0]])
    hole = np.array([[2.0, 4.0], [4.0, 4.0], [4.0, 8.0], [2.0, 8.0]])
    area, moment_x, moment_y = edge_moments(pieces_of([triangle, hole]))
    assert area == pytest.approx(108 - 8)
    assert moment_x == pytest.approx(108 * 5 - 8 * 3)
    assert moment_y == pytest.approx(108 * 8 - 8 * 6)


def test_keyhole_equals_separate_hole() -> None:
    rng = np.random.default_rng(8)
    outer, hole = star(rng, 30, (0.0, 0.0), 40.0), star(rng, 10, (0.0, 0.0), 12.0)
    arguments = ((-45.0, -45.0), (2.5, 2.5), (36, 36))
    for direction in (1, -1):
        joined = cover([keyhole(outer, hole[::direction])], *arguments)
        np.testing.assert_allclose(joined, cover([outer, hole], *arguments), atol=1e-7)


def test_keyhole_bridge_of_rounded_coordinates_encloses_next_to_nothing() -> None:
    # The way back along the bridge is stored 0.01 mm beside the way there.
    outer, hole = SQUARE * 10.0, SQUARE[::-1] * 2.0 + 40.0
    back = np.array([[hole[0, 0] + 0.01, hole[0, 1]], [outer[0, 0] + 0.01, outer[0, 1]]])
    joined = np.concatenate([outer, outer[:1], hole, back])
    bridge = np.hypot(*(hole[0] - outer[0]))
    assert area_of([joined]) == pytest.approx(10000 - 400, abs=0.02 * bridge)


def test_no_area_no_coverage() -> None:
    line = np.array([[0.0, 0.0], [10.0, 0.0], [5.0, 0.0]])
    slanted = np.array([[0.0, 0.0], [10.0, 5.0], [4.0, 2.0]])
    point = np.ones((5, 2))
    for polygon in (line, slanted, point):
        assert area_of([polygon]) == pytest.approx(0, abs=1e-9)
        assert not cover([polygon], (-5.0, -5.0), (1.0, 1.0), (20, 20)).any()


def test_repeated_points_change_nothing() -> None:
    repeated = np.repeat(np.concatenate([SQUARE, SQUARE[:1]]), 3, axis=0)
    arguments = ((-1.5, -1.5), (1.0, 1.0), (13, 13))
    np.testing.assert_array_equal(cover([repeated], *arguments), cover([SQUARE], *arguments))


def test_whole_cells_are_exactly_one_and_empty_cells_exactly_zero() -> None:
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    circle = np.column_stack([30 * np.cos(angle), 30 * np.sin(angle)])
    found = cover([circle], (-40.0, -40.0), (1.7, 1.3), (48, 62))
    x, y = np.meshgrid(-40 + 1.7 * (np.arange(48) + 0.5), -40 + 1.3 * (np.arange(62) + 0.5))
    distance = np.hypot(x, y)
    assert (found[distance < 28.5] == 1).all()
    assert (found[distance > 31.5] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_part_of_a_grid_sees_what_the_whole_grid_sees(kind: str) -> None:
    polygons = random_polygons(np.random.default_rng(9), kind)
    whole = cover(polygons, (-48.0, -48.0), (3.0, 4.0), (32, 24))
    part = cover(polygons, (-48.0 + 3 * 12, -48.0 + 4 * 9), (3.0, 4.0), (7, 5))
    np.testing.assert_allclose(part, whole[9:14, 12:19], atol=1e-7)
    beside = cover(polygons, (-500.0, -48.0), (3.0, 4.0), (32, 24))
    assert not beside.any()


def test_slices_get_their_share_of_each_slab() -> None:
    pieces = [pieces_of([SQUARE]), pieces_of([SQUARE * 0.5])]
    starts = np.cumsum([0, *(len(p) for p in pieces)])
    # Slabs 0..3 and 3..4 mm, slices of 2 mm from -1 mm up.
    slabs = np.array([[0.0, 3.0], [3.0, 4.0]])
    out = np.zeros((4, 10, 10), dtype=np.float32)
    cover_slices(
        np.concatenate(pieces),
        starts,
        slabs,
        np.array([0.0, 0.0, -1.0]),
        np.array([1, 1, 2.0]),
        out,
    )
    np.testing.assert_allclose(out[:, 2, 2], [0.5, 1.0, 0.5, 0.0])
    np.testing.assert_allclose(out[:, 8, 8], [0.5, 1.0, 0.0, 0.0])


def test_outlines_that_agree_lie_near_each_other_at_every_corner() -> None:
    assert outlines_agree(SQUARE, SQUARE, 1e-9)
    assert outlines_agree(SQUARE, SQUARE + 0.05, 0.1)
    assert not outlines_agree(SQUARE, SQUARE + 0.15, 0.1)
    # Other corners on the same line, and one of two that follows the other in part only.
    more = np.insert(SQUARE, 1, (SQUARE[0] + SQUARE[1]) / 2, axis=0)
    assert outlines_agree(SQUARE, more, 1e-9)
    half = SQUARE * np.array([0.5, 1.0])
    assert not outlines_agree(SQUARE, half, 0.1)
    assert not outlines_agree(half, SQUARE, 0.1)
