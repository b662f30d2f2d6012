"""The machine itself, measured a second time: how steady it is while the benchmarks run."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.conftest import Baseline, Timing
from benchmarks.machine import Limits, MatrixProduct, StreamArrays


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


def test_arithmetic(timed: Timing, limits: Limits, all_threads: int) -> None:
    product = MatrixProduct()

    def info(median: float) -> dict[str, Any]:
        return {"threads": all_threads, "gflop_per_s": product.operations / median / 1e9}

    expected = limits.arithmetic_seconds(product.operations, all_threads)
    timed(product.run, Baseline("the same, measured before", expected), info, seconds=0.5)
