"""The words of a report, in English and French, and its numbers.

What the program's own rules say is English text. It is translated sentence by sentence, by
the patterns in the language's file; a sentence without a pattern, or one from a file of the
patient or of the department, stays as it is.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from dosecalc.errors import InputError

__all__ = ["LANGUAGES", "Words", "load_words"]

LANGUAGES = ("en", "fr")

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_MINUS = "\u2212"


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
    patterns: tuple[tuple[re.Pattern[str], str], ...]

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

    def sentence(self, text: str) -> str:
        """Translate a sentence of the program's own."""
        for pattern, translation in self.patterns:
            found = pattern.fullmatch(text)
            if found is not None:
                return translation.format(*(self.sentence(part) for part in found.groups()))
        if self.decimal != "." and _NUMBER.fullmatch(text):
            return text.replace(".", self.decimal)
        return text

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
    content = files("dosecalc.report.page").joinpath(f"words_{language}.toml").read_bytes()
    table: dict[str, Any] = tomllib.loads(content.decode())
    pairs = [(one["en"], one["to"]) for one in table.get("sentence", ())]
    pairs.sort(key=lambda pair: -len(pair[0].replace("{}", "").replace("{n}", "")))
    patterns = tuple((_pattern(english), translated) for english, translated in pairs)
    return Words(language, table["texts"], table["decimal"], patterns)


def _pattern(english: str) -> re.Pattern[str]:
    """Return what matches a sentence in which {} is anything and {n} a number."""
    text = re.escape(english).replace(r"\{\}", "(.+?)")
    return re.compile(text.replace(r"\{n\}", r"([+-]?\d+(?:\.\d+)?)"), re.DOTALL)
