"""The words of a report, in English and French, and its numbers.

What the program's own rules find are messages, said in each language by its catalogue
(`dosecalc.messages`). Notes, caveats and remarks are still English text. They are translated
sentence by sentence, by the patterns in the language's file of sentences; a sentence without a
pattern, or one from a file of the patient or of the department, stays as it is.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from dosecalc.errors import InputError
from dosecalc.messages.message import LANGUAGES, Message, say
from dosecalc.text import CELL, shortened, visible

__all__ = ["LANGUAGES", "Words", "load_words"]

_REMEMBERED = 4096
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_MINUS = "\u2212"


class Pattern(NamedTuple):
    """An English sentence: what matches it, the pieces that it holds in any case, its French."""

    match: re.Pattern[str]
    pieces: tuple[str, ...]
    translation: str


@dataclass(frozen=True)
class Words:
    """Words of one language.

    Parameters
    ----------
    language : str
    texts : mapping of key to text, with ``{name}`` where a value goes
    decimal : the decimal mark
    patterns : English sentences and their translation, the most literal first
    """

    language: str
    texts: Mapping[str, str]
    decimal: str
    patterns: tuple[Pattern, ...]

    def __call__(self, key: str, **values: str) -> str:
        """Return a text with its values put in."""
        return self.texts[key].format(**values)

    def number(self, value: float | None, digits: int = 2, *, signed: bool = False) -> str:
        """Return a number with so many decimals; a dash where there is none."""
        if value is None or value != value:
            return "\u2013"
        text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
        if float(text) == 0:
            text = text.lstrip("+-")
        return text.replace("-", _MINUS).replace(".", self.decimal)

    def short(self, value: float | None) -> str:
        """Return a number with as many digits as it needs, up to four."""
        if value is None or value != value:
            return "\u2013"
        return f"{value:.4g}".replace("-", _MINUS).replace(".", self.decimal)

    def rate(self, value: float | None, digits: int = 1) -> str:
        """Return a percentage of points or volume: never 100 where any is missing.

        It is cut and not rounded, and a share that is there is never none.
        """
        if value is None or value != value:
            return self.number(value)
        # What binary fractions take away from 99.9 must not make it 99.8.
        shown = math.floor(value * 10**digits + 1e-9) / 10**digits
        if shown == 0 and value > 0:
            return self("rate_under", value=self.number(10.0**-digits, digits))
        return self.number(shown, digits)

    def measured(self, value: float | None, *limits: float | None) -> str:
        """Return a number with three digits, two decimals at most, on its side of all limits."""
        if value is None or value != value:
            return self.number(value)
        known = [limit for limit in limits if limit is not None]
        decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
        decimals = 0 if value == round(value) else decimals
        while decimals < 6 and _sides(round(value, decimals), known) != _sides(value, known):
            decimals += 1
        return self.number(value, decimals)

    def with_unit(self, text: str, unit: str) -> str:
        """Put a unit behind a number, on the same line; an angle's without a space."""
        if unit == "degrees":
            return f"{text}\u00b0"
        return f"{text}\u00a0{self.sentence(unit)}" if unit else text

    def message(self, message: Message | str) -> str:
        """Say a message; a text is data and stays as it is."""
        if isinstance(message, str):
            return shortened(visible(message), CELL)
        said = say(message, self.language, self.sentence)
        return shortened(visible(said), CELL)

    def sentence(self, text: str) -> str:
        """Translate a sentence of the program's own."""
        shown = shortened(visible(text), CELL)
        return _translated(self.language, shown) if self.patterns else shown

    def rule(self, name: str) -> str:
        """Name of a rule; of "gamma, monte-carlo" the first part is translated."""
        first, comma, rest = name.partition(",")
        return self.texts.get(f"rule_{first.replace(' ', '_').lower()}", first) + comma + rest


@cache
def load_words(language: str) -> Words:
    """Return the words of a language.

    Raises
    ------
    InputError
        There are none.
    """
    if language not in LANGUAGES:
        raise InputError(f"no report in {language!r}; there are {', '.join(LANGUAGES)}")
    table = _table(f"words_{language}.toml")
    pairs = [] if language == "en" else list(_table(f"sentences_{language}.toml").items())
    pairs.sort(key=lambda pair: -len(pair[0].replace("{}", "").replace("{n}", "")))
    patterns = tuple(_pattern(english, translated) for english, translated in pairs)
    return Words(language, table["texts"], table["decimal"], patterns)


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(files("dosecalc.report.page").joinpath(name).read_text(encoding="utf-8"))


def _sides(value: float, limits: Sequence[float]) -> list[bool]:
    """On which side of each limit a number lies, by its size."""
    return [abs(value) > abs(limit) for limit in limits] + [abs(value) < abs(x) for x in limits]


def _pattern(english: str, translated: str) -> Pattern:
    """Return what matches a sentence in which {} is anything and {n} a number."""
    text = re.escape(english).replace(r"\{\}", "(.+?)")
    match = re.compile(text.replace(r"\{n\}", r"([+-]?\d+(?:\.\d+)?)"), re.DOTALL)
    return Pattern(match, tuple(filter(None, re.split(r"\{n?\}", english))), translated)


@lru_cache(_REMEMBERED)
def _translated(language: str, text: str) -> str:
    """Translate a sentence as a whole, else what stands on both sides of a mark in it."""
    words = load_words(language)
    found = [
        (match.groups(), pattern.translation)
        for pattern in words.patterns
        if all(piece in text for piece in pattern.pieces)
        and (match := pattern.match.fullmatch(text)) is not None
    ]
    # What opens a bracket in one value and closes it in another is no match of that sentence.
    whole = [one for one in found if all(_is_balanced(part) for part in one[0])]
    if whole:
        return _filled(language, *whole[0])
    if _NUMBER.fullmatch(text):
        return text.replace(".", words.decimal)
    for mark in (": ", "; "):
        first, parted, rest = text.partition(mark)
        if parted:
            parts = _translated(language, first), _translated(language, rest)
            if parts != (first, rest):
                return f" {mark}".join(parts)
    return _filled(language, *found[0]) if found else text


def _filled(language: str, values: Sequence[str], translation: str) -> str:
    return translation.format(*(_translated(language, value) for value in values))


def _is_balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0
