"""What the machine can do, measured in the same run as everything that is compared with it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Limits", "MatrixProduct", "StreamArrays", "measure_limits", "median_seconds"]

# 64 MiB per array, as large as the engine's: more than a core's own caches hold. What a
# last cache of hundreds of MiB, shared by all cores of a server, does for one it does for both.
_STREAM_FLOATS = 16 * 2**20
_BLOCK = 2**16
_MATRIX = 1536
_REPEATS = 7


@dataclass(frozen=True)
class Limits:
    """Rates by number of threads.

    copy, triad : bytes per second, counting each array read or written once
    flops : float32 operations per second of a matrix product, the most that any code gets
    """

    copy: dict[int, float]
    triad: dict[int, float]
    flops: dict[int, float]

    def memory_seconds(self, size: float, threads: int) -> float:
        """Time that moving `size` bytes takes at the rate of the triad."""
        return size / self.triad[threads]

    def arithmetic_seconds(self, operations: float, threads: int) -> float:
        """Time of that many float32 operations at the rate of the matrix product."""
        return operations / self.flops[threads]

    def sentence(self) -> str:
        """Say the rates in one line."""
        return "; ".join(
            f"{n} thread{'s' if n > 1 else ''}: copy {self.copy[n] / 1e9:.1f} GB/s, "
            f"triad {self.triad[n] / 1e9:.1f} GB/s, float32 {self.flops[n] / 1e9:.0f} GFLOP/s"
            for n in sorted(self.copy)
        )


class StreamArrays:
    """Three arrays and the two plain operations on them that show the memory's speed."""

    def __init__(self) -> None:
        self.a: NDArray[np.float32] = np.zeros(_STREAM_FLOATS, np.float32)
        self.b: NDArray[np.float32] = np.ones(_STREAM_FLOATS, np.float32)
        self.c: NDArray[np.float32] = np.full(_STREAM_FLOATS, 2, np.float32)

    def copy(self, threads: int) -> int:
        """Copy one array to another; bytes read and written."""

        def part(span: slice) -> None:
            np.copyto(self.a[span], self.b[span])

        self._in_threads(part, threads)
        return 2 * self.a.nbytes

    def triad(self, threads: int) -> int:
        """Compute a = b + 3 c; bytes read and written.

        In blocks that stay in the cache of a core between numpy's two passes.
        """
        factor = np.float32(3)

        def part(span: slice) -> None:
            for start in range(span.start, span.stop, _BLOCK):
                block = slice(start, min(start + _BLOCK, span.stop))
                np.multiply(self.c[block], factor, out=self.a[block])
                np.add(self.a[block], self.b[block], out=self.a[block])

        self._in_threads(part, threads)
        return 3 * self.a.nbytes

    def _in_threads(self, part: Callable[[slice], None], threads: int) -> None:
        edges = np.linspace(0, self.a.size, threads + 1).astype(int)
        spans = [slice(int(low), int(high)) for low, high in pairwise(edges)]
        if threads == 1:
            part(spans[0])
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, spans))


def median_seconds(work: Callable[[], Any], repeats: int = _REPEATS) -> float:
    """Median time of some repeats after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _matmul_rate(threads: int) -> float:
    """Operations per second of a float32 matrix product, in a process of its own.

    The library behind numpy reads its number of threads once, when it is loaded.
    """
    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    command = [sys.executable, str(Path(__file__).resolve())]
    done = subprocess.run(  # noqa: S603
        command, env=environment, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


class MatrixProduct:
    """A float32 matrix product with as many threads as the library behind numpy uses here."""

    operations = 2 * _MATRIX**3

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        self.a = random.random((_MATRIX, _MATRIX), np.float32)
        self.b = random.random((_MATRIX, _MATRIX), np.float32)
        self.out = np.empty_like(self.a)

    def run(self) -> None:
        """Compute it once."""
        np.matmul(self.a, self.b, out=self.out)


def measure_limits(all_threads: int) -> Limits:
    """Measure for one thread and for all; takes about three seconds."""
    counts = sorted({1, all_threads})
    arrays = StreamArrays()
    return Limits(
        copy={n: _stream_rate(arrays.copy, n) for n in counts},
        triad={n: _stream_rate(arrays.triad, n) for n in counts},
        flops={n: _matmul_rate(n) for n in counts},
    )


def _stream_rate(operation: Callable[[int], int], threads: int) -> float:
    return operation(threads) / median_seconds(lambda: operation(threads))


if __name__ == "__main__":
    print(MatrixProduct.operations / median_seconds(MatrixProduct().run))
