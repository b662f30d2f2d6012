"""The only decorators for compiled code, so that every compiled function obeys the same rules."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any

import numba
from numba.extending import overload

from dosecalc.core.kept import compile_and_keep

__all__ = ["for_types", "jit", "jit_fused", "jit_inline", "jit_parallel"]

# error_model="numpy": a division by zero gives inf, as in numpy, instead of raising,
# because an exception inside a parallel loop is swallowed.
# nogil: serial functions may run in several Python threads at once.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile serial numerics; results are cached on disk."""
    return compile_and_keep(numba.njit(**_OPTIONS), function)


def jit_fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile serial numerics that may multiply and add in one instruction, rounded once.

    Results then differ in the last bits between processors with and without it.
    """
    return compile_and_keep(numba.njit(fastmath={"contract"}, **_OPTIONS), function)


def jit_inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of a few lines into its callers.

    Without it the compiler decides, and it cannot where it finds the function ready in the cache:
    speed would depend on what was compiled when.
    """
    return compile_and_keep(numba.njit(inline="always", **_OPTIONS), function)


def for_types(
    function: Callable[..., Any],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let the decorated function choose what compiled code calls for a function, by types.

    It becomes part of its callers, with which it is kept.
    """
    options: Any = _OPTIONS
    return overload(function, inline="always", jit_options=options)


# Numba has several libraries for parallel loops, and one of them ends the whole process when two
# Python threads begin a loop at once. A loop takes all cores, so that waiting costs nothing.
_one_at_a_time = Lock()


def _let_child_begin() -> None:
    """Do not let a forked process wait for a loop of its parent."""
    global _one_at_a_time
    _one_at_a_time = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_child_begin)


def jit_parallel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a thin driver with ``prange`` over serial compiled functions.

    It is for Python to call, from as many threads as there may be: they take turns. Compiled code
    cannot call it.
    """
    compiled = compile_and_keep(numba.njit(parallel=True, **_OPTIONS), function)

    @wraps(function)
    def driver(*arguments: Any) -> Any:
        with _one_at_a_time:
            return compiled(*arguments)

    driver.py_func = function  # type: ignore[attr-defined]
    return driver
