"""Fixtures of the benchmarks: the machine's limits, and how a time is taken and reported."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numba
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

# The folder of samples is found by one rule for tests and benchmarks.
from tests.conftest import samples

from benchmarks.cases import DEFAULT, Box, Calls, stage_calls, water_box
from benchmarks.machine import Limits, measure_limits

__all__ = ["Baseline", "Timing", "samples"]

_LINES = pytest.StashKey[list[str]]()
_FEWEST, _MOST = 3, 15


def pytest_configure(config: pytest.Config) -> None:
    """Switch on what the project's default options switch off for the tests."""
    config.stash[_LINES] = []
    if not config.getoption("benchmark_skip"):
        config.option.benchmark_enable = True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the table of times does not show."""
    lines = terminalreporter.config.stash.get(_LINES, [])
    if lines:
        terminalreporter.section("medians against the machine's limits in this run")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def all_threads() -> int:
    """Return the number of threads that the engine uses by default."""
    return int(numba.get_num_threads())


@pytest.fixture(scope="session")
def limits(all_threads: int, pytestconfig: pytest.Config) -> Limits:
    """Measure what the machine can do just now."""
    found = measure_limits(all_threads)
    pytestconfig.stash[_LINES].insert(0, found.sentence())
    return found


@pytest.fixture(scope="session")
def w1() -> Box:
    """Return the speed case: 120^3 voxels of 2.5 mm of water."""
    return water_box()


@pytest.fixture(scope="session")
def w1_stages(w1: Box) -> dict[str, Calls]:
    """Return the calls of the engine's stages on W1 with default settings."""
    return stage_calls(w1, DEFAULT)


@pytest.fixture
def use_threads(all_threads: int) -> Iterator[Callable[[str], int]]:
    """Set the number of threads, "one" or "all", for one benchmark; returns the number."""

    def use(which: str) -> int:
        count = 1 if which == "one" else all_threads
        numba.set_num_threads(count)
        return count

    yield use
    numba.set_num_threads(all_threads)


@dataclass(frozen=True)
class Baseline:
    """What a time is divided by: `text` says what the machine would do in those `seconds`."""

    text: str
    seconds: float


Timing = Callable[..., float]


@pytest.fixture
def timed(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Timing:
    """Time a piece of work.

    ``timed(work, baseline, info)`` runs it once unrecorded and then 3 to 15 times, within
    about `seconds`, and returns the median in seconds. `info` is called with the median
    and returns more entries for ``extra_info``.
    """

    def run(
        work: Callable[[], Any],
        baseline: Baseline,
        info: Callable[[float], dict[str, Any]] | None = None,
        seconds: float = 2.0,
    ) -> float:
        start = time.perf_counter()
        work()
        once = time.perf_counter() - start
        rounds = min(max(int(seconds / once), _FEWEST), _MOST)
        busy = time.process_time()
        benchmark.pedantic(work, rounds=rounds, iterations=1)  # type: ignore[no-untyped-call]
        busy = time.process_time() - busy
        taken = [once] if benchmark.stats is None else benchmark.stats.stats.data
        median = float(statistics.median(taken))
        entries: dict[str, Any] = {
            "baseline": baseline.text,
            "baseline_s": baseline.seconds,
            "ratio_to_baseline": median / baseline.seconds,
            "spread": (max(taken) - min(taken)) / median,
            "cores_busy": busy / sum(taken),
            "load_average": os.getloadavg()[0],
            **(info(median) if info is not None else {}),
        }
        benchmark.extra_info.update(entries)
        request.config.stash[_LINES].extend(_lines(request.node.name, median, entries))
        return median

    return run


def _lines(name: str, median: float, entries: dict[str, Any]) -> list[str]:
    rest = [
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in entries.items()
        if not key.startswith("baseline") and key != "ratio_to_baseline"
    ]
    first = f"{name}: {1e3 * median:.1f} ms = {entries['ratio_to_baseline']:.3g} x"
    return [f"{first} {entries['baseline']}", f"    {', '.join(rest)}"]
