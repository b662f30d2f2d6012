"""The superposition of primary and scattered energy, and the compiled sweep in it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.cases import Calls, replaced
from benchmarks.conftest import Baseline, Timing
from benchmarks.costs import SweepCount, count_sweep
from benchmarks.machine import Limits
from dosecalc.core.superposition import sweep
from dosecalc.engines.collapsed_cone import lattice as cone_lattice


class SweepClock:
    """The sweep with a clock: seconds spent in it, per run of the work it is part of."""

    def __init__(self) -> None:
        self.sweep = sweep
        self.seconds: list[float] = []

    def __call__(self, *arguments: Any) -> None:
        """Sweep and add the time to the last run's."""
        start = time.perf_counter()
        self.sweep(*arguments)
        self.seconds[-1] += time.perf_counter() - start


@pytest.fixture(scope="module")
def counts(w1_stages: dict[str, Calls]) -> dict[str, SweepCount]:
    """Voxel steps of the sweeps of each stage."""
    result = {}
    for name in ("primary", "scatter"):
        parts: list[SweepCount] = []

        def count(*arguments: Any, parts: list[SweepCount] = parts) -> None:
            parts.append(count_sweep(*arguments))

        with replaced(cone_lattice, "sweep", count):
            w1_stages[name].again()
        result[name] = sum(parts, SweepCount())
    return result


@pytest.mark.parametrize("which", ["one", "all"])
@pytest.mark.parametrize("stage", ["primary", "scatter"])
def test_superposition(
    timed: Timing,
    limits: Limits,
    w1_stages: dict[str, Calls],
    counts: dict[str, SweepCount],
    use_threads: Callable[[str], int],
    stage: str,
    which: str,
) -> None:
    threads = use_threads(which)
    count = counts[stage]
    clock = SweepClock()

    def work() -> None:
        clock.seconds.append(0.0)
        w1_stages[stage].again()

    def info(median: float) -> dict[str, Any]:
        in_sweep = statistics.median(clock.seconds[1:])
        moved, done = count.size / in_sweep, count.operations / in_sweep
        return {
            "threads": threads,
            "sweep_share": in_sweep / median,
            "voxel_steps": count.steps,
            "share_of_possible_steps": count.steps / count.possible,
            "share_that_releases": count.releases / count.steps,
            "ns_per_voxel_step": 1e9 * in_sweep / count.steps,
            "gb_per_s": moved / 1e9,
            "share_of_triad": moved / limits.triad[threads],
            "operations_per_step": count.operations / count.steps,
            "gflop_per_s": done / 1e9,
            "share_of_matrix_product": done / limits.flops[threads],
        }

    bound = max(
        limits.memory_seconds(count.size, threads),
        limits.arithmetic_seconds(count.operations, threads),
    )
    baseline = Baseline("what memory and arithmetic allow its sweeps", bound)
    with replaced(cone_lattice, "sweep", clock):
        timed(work, baseline, info)
