"""Reading tables of a recipe so that every mistake is named with its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from dosecalc.errors import InputError

__all__ = ["check_keys", "number", "numbers", "one_of", "table", "tables", "text", "vector"]

Table = Mapping[str, Any]
Vector = tuple[float, float, float]


def check_keys(content: Table, known: Iterable[str], where: str) -> None:
    """Refuse keys that are not known, with the nearest known one."""
    names = tuple(known)
    for key in content:
        if key not in names:
            near = get_close_matches(key, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(f"{where}: unknown key {key!r}.{hint} Known: {', '.join(names)}")


def table(content: Table, key: str, where: str) -> Table:
    """Return a sub-table that must be there."""
    value = content.get(key)
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: a table [{key}] is needed")
    return value


def tables(content: Table, key: str, where: str) -> list[Table]:
    """Return an array of tables, empty where there is none."""
    value = content.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, Mapping) for v in value):
        raise InputError(f"{where}: {key} must be written as [[{key}]] tables")
    return value


def text(content: Table, key: str, where: str, default: str | None = None) -> str:
    """Return a string; one that must be there where no default is given."""
    value = content.get(key, default)
    if not isinstance(value, str):
        raise InputError(f"{where}: {key} is {value!r}; a text in quotes is needed")
    return value


def number(content: Table, key: str, where: str, default: float | None = None) -> float:
    """Return a finite number; one that must be there where no default is given."""
    value = content.get(key, default)
    if not _is_number(value):
        raise InputError(f"{where}: {key} is {value!r}; a finite number is needed")
    return float(value)


def numbers(content: Table, key: str, where: str, count: int) -> tuple[float, ...]:
    """Return exactly `count` finite numbers that must be there."""
    value = content.get(key)
    if not isinstance(value, list) or len(value) != count or not all(map(_is_number, value)):
        raise InputError(f"{where}: {key} is {value!r}; {count} numbers in [ ] are needed")
    return tuple(float(v) for v in value)


def vector(content: Table, key: str, where: str, default: Vector | None = None) -> Vector:
    """Return three numbers x, y, z; they must be there where no default is given."""
    if default is not None and key not in content:
        return default
    x, y, z = numbers(content, key, where, 3)
    return x, y, z


def one_of(content: Table, keys: tuple[str, str], where: str) -> str:
    """Return which of two keys is given; refuse both and neither."""
    given = [key for key in keys if key in content]
    if len(given) != 1:
        raise InputError(f"{where}: exactly one of {keys[0]} and {keys[1]} is needed")
    return given[0]


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
    )
