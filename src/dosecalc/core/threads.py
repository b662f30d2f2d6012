"""How many threads compiled loops may use."""

from __future__ import annotations

import numba

__all__ = ["thread_count"]


def thread_count() -> int:
    """Threads of the next parallel loop: NUMBA_NUM_THREADS, or fewer where the caller said so."""
    return int(numba.get_num_threads())
