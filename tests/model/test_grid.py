"""The voxel grid and what is refused as one."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.errors import GeometryError, InputError
from dosecalc.model import Grid

GRID = Grid((3, 4, 5), (2.0, 2.5, 3.0), (-4.0, 10.0, 1.0))


def test_positions_and_indices_are_inverse() -> None:
    points = np.random.default_rng(1).uniform(-50, 50, (20, 3))
    np.testing.assert_allclose(GRID.position_of(GRID.index_of(points)), points, atol=1e-12)
    np.testing.assert_allclose(GRID.index_of((0.0, 12.5, 4.0)), [1, 1, 2])


def test_faces_lie_half_a_voxel_outside_the_centres() -> None:
    assert GRID.lower == (-5.0, 8.75, -0.5)
    assert GRID.upper == (5.0, 18.75, 8.5)
    for axis, n in zip("xyz", (5, 4, 3), strict=True):
        edges, centres = GRID.edges(axis), GRID.centres(axis)
        assert (edges.size, centres.size) == (n + 1, n)
        np.testing.assert_allclose((edges[1:] + edges[:-1]) / 2, centres)
    assert GRID.contains(GRID.lower) and GRID.contains(GRID.upper)
    assert not GRID.contains((5.1, 10.0, 1.0))
    assert GRID.voxel_volume_cm3 == pytest.approx(0.015)


def test_covering_is_centred_on_its_box() -> None:
    found = Grid.covering((0.0, 0.0, 0.0), (10.0, 11.0, 12.5), (2.5, 2.5, 2.5))
    assert found.shape == (5, 5, 4)
    assert (found.lower, found.upper) == ((0.0, -0.75, 0.0), (10.0, 11.75, 12.5))
    with pytest.raises(GeometryError, match="empty"):
        Grid.covering((0.0, 0.0, 0.0), (1.0, 0.0, 1.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("shape", "spacing", "origin", "match"),
    [
        ((0, 1, 1), (1, 1, 1), (0, 0, 0), "shape"),
        ((4000, 4000, 4000), (1, 1, 1), (0, 0, 0), "shape"),
        ((2, 2), (1, 1, 1), (0, 0, 0), "shape"),
        ((2, 2, 2), (1, 0, 1), (0, 0, 0), "spacing"),
        ((2, 2, 2), (1, 1), (0, 0, 0), "three values"),
        ((2, 2, 2), (1, 1, float("nan")), (0, 0, 0), "spacing"),
        ((2, 2, 2), (1, 1, 1), (0, float("inf"), 0), "origin"),
    ],
)
def test_refused(shape: object, spacing: object, origin: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        Grid(shape, spacing, origin)  # type: ignore[arg-type]
