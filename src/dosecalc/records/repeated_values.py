"""Values of a record beside those of the same calculation done again, each with each.

Numbers in texts are compared as numbers, so that a falsified sentence shows as a falsified value
does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["NEARLY", "SAME", "Closeness", "changed_text", "changed_values"]

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Closeness:
    """How close two numbers have to be: within `relative` of the larger, or within `floor`.

    Parameters
    ----------
    relative : float
    floor : float
        In the unit of the number (Gy, %, mm, degrees).
    places : bool
        Whether places (entries whose name ends in ``at_mm``) are compared. The place of a largest
        value moves by whole voxels where two voxels have nearly the same.
    words : bool
        Whether texts have to have the same words. Those of another version may be put otherwise.
    """

    relative: float
    floor: float
    places: bool = True
    words: bool = True


SAME = Closeness(1e-6, 1e-6)
"""Of the same dose, bit for bit: what the last digits of a sum over threads leave."""

NEARLY = Closeness(5e-3, 0.02, places=False)
"""Of doses that differ by up to 0.1 % of the maximum. Project default: a tenth of the narrowest
limits of the rules (3 %, 0.5 mm)."""


def changed_values(
    recorded: object, again: object, close: Closeness, where: str = ""
) -> Iterator[str]:
    """Say of every value that is not the same what it was and what it is now.

    Parameters
    ----------
    recorded, again : plain JSON values
    close : Closeness
    where : str
        What the values are, for the sentences; "" at the top.
    """
    if isinstance(recorded, Mapping) and isinstance(again, Mapping):
        for key in dict.fromkeys((*recorded, *again)):
            if close.places or not str(key).endswith("at_mm"):
                at = f"{where}.{key}" if where else str(key)
                yield from changed_values(recorded.get(key), again.get(key), close, at)
    elif isinstance(recorded, list) and isinstance(again, list):
        yield from _changed_lists(recorded, again, close, where)
    elif isinstance(recorded, str) and isinstance(again, str):
        if changed_text(recorded, again, close):
            yield f"{where}: {_short(recorded)}, now {_short(again)}"
    elif not _alike(recorded, again, close):
        yield f"{where}: {_short(recorded)}, now {_short(again)}"


def changed_text(recorded: str, again: str, close: Closeness) -> bool:
    """Whether two texts differ in a number, or in their words where these count."""
    if recorded == again:
        return False
    if _NUMBER.sub("#", recorded) != _NUMBER.sub("#", again):
        return close.words
    pairs = zip(_NUMBER.findall(recorded), _NUMBER.findall(again), strict=True)
    return not all(_alike(float(a), float(b), close) for a, b in pairs)


def _changed_lists(
    recorded: Sequence[Any], again: Sequence[Any], close: Closeness, where: str
) -> Iterator[str]:
    if len(recorded) != len(again):
        yield f"{where}: {len(recorded)} entries, now {len(again)}"
        return
    for number, (one, other) in enumerate(zip(recorded, again, strict=True), start=1):
        yield from changed_values(one, other, close, f"{where}[{_name(other, number)}]")


def _name(entry: object, number: int) -> str:
    """Name an entry of a list by its own name where it has one."""
    if isinstance(entry, Mapping):
        for key in ("name", "rule"):
            if isinstance(entry.get(key), str):
                return f"{number}, {entry[key]}"
    return str(number)


def _alike(recorded: object, again: object, close: Closeness) -> bool:
    numbers = [
        one
        for one in (recorded, again)
        if isinstance(one, int | float) and not isinstance(one, bool)
    ]
    if len(numbers) < 2:
        return recorded == again
    a, b = numbers
    return abs(a - b) <= max(close.floor, close.relative * max(abs(a), abs(b)))


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 160 else text[:157] + "..."
