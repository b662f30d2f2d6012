"""The whole engine on W1, and how it scales with voxels, directions and threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.cases import DEFAULT, PLAIN, Box, water_box
from benchmarks.conftest import Baseline, Timing
from benchmarks.costs import BYTES_PER_STEP
from benchmarks.machine import Limits
from dosecalc.engines.collapsed_cone import CollapsedConeSettings, fluence_dose


def _time_whole(
    timed: Timing, limits: Limits, box: Box, settings: CollapsedConeSettings, threads: int
) -> None:
    """Time a dose; the baseline is a sweep of the dose grid that waits for memory only."""
    steps = settings.directions * box.voxels

    def info(median: float) -> dict[str, Any]:
        return {
            "threads": threads,
            "voxels": box.voxels,
            "directions": settings.directions,
            "ns_per_voxel_and_direction": 1e9 * median / steps,
        }

    text = "reading one and updating another array per direction"
    baseline = Baseline(text, limits.memory_seconds(BYTES_PER_STEP * steps, threads))
    timed(lambda: fluence_dose(box.phantom, box.fluence, settings), baseline, info)


@pytest.mark.parametrize("which", ["one", "all"])
@pytest.mark.parametrize("settings", [DEFAULT, PLAIN], ids=["default", "plain"])
def test_w1(
    timed: Timing,
    limits: Limits,
    w1: Box,
    use_threads: Callable[[str], int],
    settings: CollapsedConeSettings,
    which: str,
) -> None:
    _time_whole(timed, limits, w1, settings, use_threads(which))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [DEFAULT, PLAIN], ids=["default", "plain"])
@pytest.mark.parametrize("voxels", [60, 120, 180, 240])
def test_voxels(
    timed: Timing,
    limits: Limits,
    all_threads: int,
    settings: CollapsedConeSettings,
    voxels: int,
) -> None:
    box = water_box(voxels)
    if settings is PLAIN:
        # Nothing divided and nothing joined, so that the work grows with the voxels alone.
        step = box.phantom.grid.spacing[0]
        settings = replace(PLAIN, primary_voxel_mm=step, scatter_voxel_mm=2 * step)
    _time_whole(timed, limits, box, settings, all_threads)


@pytest.mark.slow
@pytest.mark.parametrize("base", [DEFAULT, PLAIN], ids=["default", "plain"])
@pytest.mark.parametrize("directions", [48, 96, 192])
def test_directions(
    timed: Timing,
    limits: Limits,
    w1: Box,
    all_threads: int,
    base: CollapsedConeSettings,
    directions: int,
) -> None:
    _time_whole(timed, limits, w1, replace(base, directions=directions), all_threads)
