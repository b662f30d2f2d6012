"""The machine itself, measured a second time: how steady it is while the benchmarks run."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.conftest import Baseline, Timing
from benchmarks.machine import Limits, StreamArrays, matmul_rate


@pytest.fixture(scope="module")
def arrays() -> StreamArrays:
    return StreamArrays()


@pytest.mark.parametrize("operation", ["copy", "triad"])
@pytest.mark.parametrize("which", ["one", "all"])
def test_memory(
    timed: Timing,
    limits: Limits,
    arrays: StreamArrays,
    all_threads: int,
    operation: str,
    which: str,
) -> None:
    threads = 1 if which == "one" else all_threads
    rate = getattr(limits, operation)[threads]
    work = getattr(arrays, operation)
    size = work(threads)

    def info(median: float) -> dict[str, Any]:
        return {"threads": threads, "gb_per_s": size / median / 1e9}

    baseline = Baseline("the same, measured before", size / rate)
    timed(lambda: work(threads), baseline, info, seconds=0.5)


@pytest.mark.parametrize("which", ["one", "all"])
def test_arithmetic(timed: Timing, limits: Limits, all_threads: int, which: str) -> None:
    # Each round is a process that measures the rate; how long it lives says little.
    threads = 1 if which == "one" else all_threads
    rates: list[float] = []

    def info(_: float) -> dict[str, Any]:
        best, before = max(rates), limits.flops[threads]
        return {"threads": threads, "gflop_per_s": best / 1e9, "before": before / 1e9}

    baseline = Baseline("one second", 1.0)
    timed(lambda: rates.append(matmul_rate(threads)), baseline, info, seconds=0.1)
