"""Stages before the superposition: fluence per voxel, and the energy it releases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.cases import Calls
from benchmarks.conftest import Baseline, Timing
from benchmarks.costs import ray_crossings, release_operations
from benchmarks.machine import Limits


@pytest.mark.parametrize("which", ["one", "all"])
def test_voxel_fluence(
    timed: Timing,
    limits: Limits,
    w1_stages: dict[str, Calls],
    use_threads: Callable[[str], int],
    which: str,
) -> None:
    threads = use_threads(which)
    calls = w1_stages["fluence"]
    size = sum(arguments[2].nbytes for arguments in calls.arguments)

    def info(median: float) -> dict[str, Any]:
        return {"threads": threads, "ns_per_voxel": 1e9 * median / (size / 4)}

    baseline = Baseline("writing the result", limits.memory_seconds(size, threads))
    timed(calls.again, baseline, info, seconds=1.0)


@pytest.mark.parametrize("which", ["one", "all"])
def test_attenuation(
    timed: Timing,
    limits: Limits,
    w1_stages: dict[str, Calls],
    use_threads: Callable[[str], int],
    which: str,
) -> None:
    threads = use_threads(which)
    calls = w1_stages["terma"]
    voxels = crossings = exponentials = operations = 0
    for geometry, spectral, _, _, fluence, start, released in calls.arguments:
        inside = tuple(slice(s, s + n) for s, n in zip(start, released.shape[1:], strict=True))
        used = np.zeros_like(fluence)
        used[inside] = fluence[inside]
        here, crossed = int(np.count_nonzero(used)), ray_crossings(geometry, used)
        voxels, crossings = voxels + here, crossings + crossed
        exponentials += here * spectral.energy_fluence.size
        operations += release_operations(spectral, here, crossed)

    def info(median: float) -> dict[str, Any]:
        return {
            "threads": threads,
            "voxels": voxels,
            "voxels_crossed_by_rays": crossings,
            "exponentials": exponentials,
            "ns_per_crossing_and_exponential": 1e9 * median / (crossings + exponentials),
            "gflop_per_s_estimate": operations / median / 1e9,
        }

    # They are float64, of which a vector register holds half as many: 2 is the least.
    text = "its operations at the rate of a float32 matrix product"
    baseline = Baseline(text, limits.arithmetic_seconds(operations, threads))
    timed(calls.again, baseline, info, seconds=2.0)
