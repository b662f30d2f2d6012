"""Gamma of two doses of 100^3 voxels, against a plain search of the same dose.

The pair is W3 of the project's peer benchmarks, or one made here that needs no file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from benchmarks.conftest import Baseline, Timing
from dosecalc.analysis.gamma import GammaCriteria, gamma_index
from dosecalc.model import Dose, Grid

_GRID = Grid((100, 100, 100), (2.5, 2.5, 2.5), (-123.75, 0.0, -123.75))
# What is asked of W3 on two cores, warm, s.
_LIMITS = {3.0: 0.3, 1.0: 0.6}
# Of the plain search: samples per distance criterion, and points it is timed on.
_SAMPLES, _POINTS = 10, 400


def _field(shift: float, factor: float) -> Dose:
    """Return something like a field of 10 x 10 cm2 in water, with penumbra and build-up."""
    z, y, x = np.meshgrid(*(_GRID.centres(axis) for axis in "zyx"), indexing="ij")
    half = 50 * (1 + y / 1000)

    def edge(t: Any) -> Any:
        return 1 / (1 + np.exp((np.abs(t) - half) / 1.5))

    depth = np.exp(-y / 220) - 0.5 * np.exp(-y / 4)
    gray = factor * (edge(x - shift) * edge(z) + 0.02) * depth
    return Dose(_GRID, gray.astype(np.float32), "water")


def _plain_search(reference: Dose, evaluated: Dose, criteria: GammaCriteria) -> float:
    """Seconds for all points of a search on a fixed lattice of shifts, nearest first."""
    largest = float(reference.gray.max())
    index = np.argwhere(reference.gray >= criteria.threshold_percent / 100 * largest)
    chosen = index[np.random.default_rng(1).integers(0, len(index), _POINTS)]
    doses = reference.gray[tuple(chosen.T)]
    reach = int(criteria.max_gamma * _SAMPLES)
    steps = np.arange(-reach, reach + 1) / _SAMPLES
    shifts = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    squares = (shifts**2).sum(axis=1)
    shells = np.argsort(squares, kind="stable")
    shells = shells[squares[shells] <= criteria.max_gamma**2]
    start = time.perf_counter()
    best = np.full(_POINTS, criteria.max_gamma**2)
    for some in np.array_split(shells, max(len(shells) // 60, 1)):
        left = np.flatnonzero(best > squares[some[0]])
        if left.size == 0:
            break
        at = chosen[left][:, None] + shifts[some] * criteria.distance_mm / 2.5
        found = map_coordinates(evaluated.gray, at.reshape(-1, 3).T, order=1, mode="nearest")
        off = found.reshape(at.shape[:2]) - doses[left][:, None]
        f = (off / (criteria.dose_percent / 100 * largest)) ** 2 + squares[some]
        best[left] = np.minimum(best[left], f.min(axis=1))
    return (time.perf_counter() - start) * len(index) / _POINTS


def _w3(samples: Path) -> tuple[Dose, Dose]:
    """Read the pair that other programs were timed on."""
    with np.load(samples.parent / "bench" / "W3.npz") as data:
        first = float(data["axis_mm"][0])
        grid = Grid(data["ref"].shape, (2.5, 2.5, 2.5), (first, first, first))
        return Dose(grid, data["ref"], "water"), Dose(grid, data["ev"], "water")


@pytest.mark.parametrize("which", ["one", "all"])
@pytest.mark.parametrize(("percent", "mm"), [(3.0, 2.0), (1.0, 1.0)])
def test_volume(
    timed: Timing, use_threads: Callable[[str], int], which: str, percent: float, mm: float
) -> None:
    use_threads(which)
    _time(timed, (_field(0.0, 1.0), _field(1.0, 1.01)), GammaCriteria(percent, mm))


@pytest.mark.samples
@pytest.mark.parametrize(("percent", "mm"), [(3.0, 2.0), (1.0, 1.0)])
def test_w3(timed: Timing, samples: Path, percent: float, mm: float) -> None:
    median = _time(timed, _w3(samples), GammaCriteria(percent, mm))
    assert median < _LIMITS[percent]


def _time(timed: Timing, doses: tuple[Dose, Dose], criteria: GammaCriteria) -> float:
    reference, evaluated = doses
    result = gamma_index(reference, evaluated, criteria)

    def info(median: float) -> dict[str, Any]:
        return {
            "points": result.points,
            "ns_per_point": 1e9 * median / result.points,
            "pass_percent": result.pass_percent,
        }

    plain = _plain_search(reference, evaluated, criteria)
    text = f"a plain search, {_SAMPLES} samples per criterion, scaled up from {_POINTS} points"
    return timed(lambda: gamma_index(reference, evaluated, criteria), Baseline(text, plain), info)
