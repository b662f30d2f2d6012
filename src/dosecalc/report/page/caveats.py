"""Caveats that say the same of many structures or beams, each kind in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dosecalc.report.page.words import Words

__all__ = ["gathered"]

_BEAM = re.compile(r"beam \d+ \(.*?\)(?=: )")


def gathered(lines: Iterable[str], names: Iterable[str], words: Words) -> tuple[str, ...]:
    """Put lines "X: kind: detail" of several structures or beams X into one line per kind.

    Parameters
    ----------
    lines : iterable of str
        As the program said them, in English.
    names : iterable of str
        Names of structures, which may hold colons themselves.
    words : Words
        In whose language the lines are returned.
    """
    longest_first = sorted(set(names), key=len, reverse=True)
    kinds: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for line in dict.fromkeys(lines):
        owner = _owner(line, longest_first)
        said = line.removeprefix(f"{owner}: ") if owner else line
        kind = said.partition(": ")[0] if owner else line
        kinds.setdefault((kind, "of" if owner else ""), []).append((owner, said))
    return tuple(_one_line(kind, entries, words) for (kind, _), entries in kinds.items())


def _owner(line: str, names: Sequence[str]) -> str:
    """Structure or beam that a line begins with, "" where it speaks of neither."""
    for name in names:
        for written in (name, repr(name)):
            if line.startswith(f"{written}: "):
                return written
    beam = _BEAM.match(line)
    return "" if beam is None else beam[0]


def _one_line(kind: str, entries: Sequence[tuple[str, str]], words: Words) -> str:
    owner, said = entries[0]
    if len(entries) == 1:
        about = words.sentence(said)
        if owner and about != said:
            return words("topic_line", topic=_named(owner, words), text=about)
        return words.sentence(f"{owner}: {said}" if owner else said)
    by_detail: dict[str, list[str]] = {}
    for owner, said in entries:
        detail = said.removeprefix(kind).removeprefix(": ")
        by_detail.setdefault(detail, []).append(_named(owner, words))
    details = [
        f"{words.sentence(detail)} ({', '.join(owners)})" if detail else ", ".join(owners)
        for detail, owners in by_detail.items()
    ]
    return words("topic_line", topic=words.sentence(kind), text=words("parts_apart").join(details))


def _named(owner: str, words: Words) -> str:
    """Name a beam in words, a structure as it is called, whatever that means elsewhere."""
    return words.sentence(owner) if _BEAM.match(f"{owner}: ") else owner
