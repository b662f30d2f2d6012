"""Layers into bins of dose: areas of cells, and what must not depend on how it is cut."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.core.coverage import area_of_cells, even_odd_edges
from dosecalc.core.dvh import Axis, Layers, Scale, collect_layers
from tests.naive import area_coverage

# A star that crosses itself, in cells, on no line of the lattice.
_TURN = 2 * np.pi * np.arange(5) * 2 / 5 + 0.3
STAR = np.column_stack((6.13 + 4.2 * np.cos(_TURN), 5.47 + 3.9 * np.sin(_TURN)))
SHAPE = (11, 13)


def pieces(outline: np.ndarray) -> np.ndarray:
    return even_odd_edges(outline, np.array([0, len(outline)], dtype=np.int64))


def axis(count: int, voxels: int) -> Axis:
    """Cells as large as voxels."""
    place = np.arange(count, dtype=np.int64)
    return Axis(place, np.minimum(place + 1, voxels - 1), np.zeros(count), 1.0)


def collected(outline: np.ndarray, gray: np.ndarray, bins: int = 50) -> tuple[np.ndarray, float]:
    layers = Layers(np.array([0.0, 0.5]), np.array([1.0, 0.5]), np.zeros(2, dtype=np.int64))
    own = pieces(outline)
    scale = Scale(float(gray.min()), (float(np.ptp(gray)) or 1.0) / bins)
    change, reach = np.zeros(bins + 1), np.array([np.inf, -np.inf])
    rows, columns = axis(SHAPE[0], gray.shape[1]), axis(SHAPE[1], gray.shape[2])
    starts = np.array([0, len(own)], dtype=np.int64)
    total = collect_layers(own, starts, layers, rows, columns, gray, 1.0, scale, change, reach)
    return np.cumsum(change)[:-1], total


def test_areas_of_cells_agree_with_points_and_are_zero_elsewhere():
    section, box = np.full(SHAPE, 9.0), np.empty(4, dtype=np.int64)
    area_of_cells(pieces(STAR), section, box)
    points = area_coverage([STAR], np.arange(14.0), np.arange(12.0), 40)
    # Of 40 x 40 points in a cell, a line misjudges a row's worth; the star has four in one.
    assert np.abs(section - points).max() < 4 / 40
    assert section.sum() == pytest.approx(points.sum(), rel=2e-3)
    outside = np.ones(SHAPE, dtype=bool)
    outside[box[0] : box[1], box[2] : box[3]] = False
    assert (section[outside] == 0).all()


def test_a_section_beyond_the_cells_covers_nothing():
    section, box = np.full(SHAPE, 9.0), np.empty(4, dtype=np.int64)
    area_of_cells(pieces(STAR + 100.0), section, box)
    assert (section == 0).all()
    assert (box[1] - box[0]) * (box[3] - box[2]) == 0


def test_all_of_the_volume_is_in_some_bin():
    gray = np.random.default_rng(2).random((3, *SHAPE), dtype=np.float32)
    volumes, total = collected(STAR, gray)
    section, box = np.zeros(SHAPE), np.empty(4, dtype=np.int64)
    area_of_cells(pieces(STAR), section, box)
    assert total == pytest.approx(1.5 * section.sum(), rel=1e-12)
    assert volumes.sum() == pytest.approx(total, rel=1e-9)
    assert volumes.min() > -1e-9 * total


@pytest.mark.parametrize("along", [1, 2])
def test_a_box_in_a_ramp_fills_its_doses_evenly(along):
    box = np.array([[2.0, 2.0], [8.0, 2.0], [8.0, 8.0], [2.0, 8.0]])
    ramp = np.arange(SHAPE[along - 1], dtype=np.float32)
    shape = [1, 1, 1]
    shape[along] = -1
    gray = np.ascontiguousarray(np.broadcast_to(ramp.reshape(shape), (3, *SHAPE)))
    volumes, total = collected(box, gray, bins=SHAPE[along - 1] - 1)
    # Cells here reach half a voxel to both sides of a centre: from 1.5 to 7.5.
    expected = np.zeros(SHAPE[along - 1] - 1)
    expected[1:8] = np.array([0.5, 1, 1, 1, 1, 1, 0.5]) * total / 6
    assert volumes == pytest.approx(expected, abs=1e-9 * total)


def test_an_even_dose_is_one_bin():
    volumes, total = collected(STAR, np.full((3, *SHAPE), 2.5, dtype=np.float32))
    assert np.count_nonzero(np.abs(volumes) > 1e-9 * total) == 1
