"""Small validations shared by the model's dataclasses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError

__all__ = ["finite", "known", "positive", "read_only", "whole"]


def read_only(values: Any, dtype: Any, *, what: str, ndim: int) -> NDArray[Any]:
    """Return a C-contiguous, finite, read-only array of the stated type and number of axes.

    The caller's array is never made read-only behind its back: the result is a
    view where nothing had to be converted, a copy otherwise.
    """
    array = np.ascontiguousarray(values, dtype=dtype)
    if array.ndim != ndim:
        raise InputError(f"{what} has {array.ndim} axes, shape {array.shape}; {ndim} are needed")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise InputError(f"{what} holds {bad} values that are not finite numbers")
    view = array.view()
    view.flags.writeable = False
    return view


def finite(value: float, what: str) -> float:
    """Return `value` as float, or refuse it by name if it is not a finite number."""
    number = float(value)
    if not np.isfinite(number):
        raise InputError(f"{what} is {value!r}; a finite number is needed")
    return number


def known(value: float) -> float | None:
    """Return a number, or None for NaN: what lies outside a grid, in records and tables."""
    return None if np.isnan(value) else float(value)


def whole(value: float, what: str) -> int:
    """Return `value` as int, or refuse it by name if it is no whole number (30.0 is one)."""
    if isinstance(value, bool) or finite(value, what) != int(value):
        raise InputError(f"{what} is {value!r}; a whole number is needed")
    return int(value)


def positive(values: Iterable[float], what: str) -> tuple[float, ...]:
    """Return `values` as a tuple of floats, all of them finite and above zero."""
    numbers = tuple(float(v) for v in values)
    if not all(np.isfinite(v) and v > 0 for v in numbers):
        raise InputError(f"{what} is {numbers}; every value must be finite and above zero")
    return numbers
