"""A message is a code with values; its sentence stands in the catalogue of a language.

Rules, readers and engines say what they found as a `Message`. Who needs to know what was said
looks at code and values; `say` makes a sentence of it for a reader, in the reader's language.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Any, TypeAlias, Union

from dosecalc.errors import InputError

__all__ = ["LANGUAGES", "Catalogue", "Message", "Value", "load_catalogue", "of_note", "say"]

LANGUAGES = ("en", "fr")

Value: TypeAlias = Union[str, int, float, "Message", tuple["Value", ...], None]

_NOTE = "note"
_NO_NUMBER = "\u2013"


@dataclass(frozen=True)
class Message:
    """What is said, without its words.

    Parameters
    ----------
    code : str
        Of an entry of the catalogues, such as "gamma.pass_rate".
    values : mapping of name to Value
        What goes into the entry's placeholders. A text is data, such as the name of a structure,
        and is the same in all languages; a part of the sentence that is not is a message itself.

    Raises
    ------
    TypeError
        A value is neither text, number, None, message nor a tuple of those.
    """

    code: str
    values: Mapping[str, Value] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            _check(value, f"{self.code}, {name}")

    @classmethod
    def of(cls, code: str, /, **values: Value) -> Message:
        """Return the message of a code with these values."""
        return cls(code, values)

    def __str__(self) -> str:
        """Return the English sentence."""
        return say(self)

    def as_json(self) -> dict[str, Any]:
        """Return code and values as JSON knows them; what is no finite number is None."""
        return {
            "code": self.code,
            "values": {name: _as_json(value) for name, value in self.values.items()},
        }


def of_note(text: str) -> Message:
    """Return a message of an English sentence that has no code yet: a note of a reader or engine.

    Its French comes from the patterns of `dosecalc.report.page.words`.
    """
    return Message(_NOTE, {"text": text})


@dataclass(frozen=True)
class Catalogue:
    """The sentences of one language.

    Parameters
    ----------
    language : str
    decimal, minus : str
        Marks of numbers.
    texts : mapping of code to text
        With ``{name:format}`` where a value goes. The format of a number is Python's. That of a
        list is what stands between its items. ``{name:?; }`` is left out where the value is None,
        and "; " stands before it otherwise.
    """

    language: str
    decimal: str
    minus: str
    texts: Mapping[str, str]


@cache
def load_catalogue(language: str) -> Catalogue:
    """Return the sentences of a language.

    Raises
    ------
    InputError
        There are none.
    """
    if language not in LANGUAGES:
        raise InputError(f"no messages in {language!r}; there are {', '.join(LANGUAGES)}")
    content = files("dosecalc.messages").joinpath(f"{language}.toml").read_text(encoding="utf-8")
    table = tomllib.loads(content)
    # Spaces that must not end a line: before : and ; in French, between a number and its unit.
    unbroken = table["unbroken"]
    texts = {
        f"{subject}.{name}" if isinstance(entries, dict) else subject: text
        for subject, entries in table["texts"].items()
        for name, text in (entries if isinstance(entries, dict) else {"": entries}).items()
    }
    if unbroken:
        texts = {code: re.sub(unbroken, "\u00a0", text) for code, text in texts.items()}
    return Catalogue(language, table["decimal"], table["minus"], texts)


def say(
    message: Message, language: str = "en", translate: Callable[[str], str] | None = None
) -> str:
    """Return the sentence of a message.

    Parameters
    ----------
    message : Message
    language : {"en", "fr"}
    translate : callable, optional
        What makes the language's sentence of an English one that has no code (see `of_note`).

    Raises
    ------
    InputError
        No such language.
    KeyError
        The code or one of its values is missing.
    """
    if message.code == _NOTE:
        text = str(message.values["text"])
        return text if translate is None else translate(text)
    catalogue = load_catalogue(language)

    def shown(value: Value, form: str, conversion: str | None) -> str:
        if form.startswith("?"):
            return "" if value is None else form[1:] + shown(value, "", conversion)
        if isinstance(value, Message):
            return say(value, language, translate)
        if isinstance(value, tuple):
            return form.join(shown(one, "", conversion) for one in value)
        if isinstance(value, str):
            return repr(value) if conversion == "r" else value
        return _number(value, form, catalogue)

    return "".join(
        literal + ("" if name is None else shown(message.values[name], form or "", conversion))
        for literal, name, form, conversion in Formatter().parse(catalogue.texts[message.code])
    )


def _number(value: float | None, form: str, catalogue: Catalogue) -> str:
    """Write a number; zero has no sign, and what is no number is a dash."""
    if value is None or not math.isfinite(value):
        return _NO_NUMBER
    text = format(value, form)
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", catalogue.minus).replace(".", catalogue.decimal)


def _check(value: Value, where: str) -> None:
    if isinstance(value, tuple):
        for one in value:
            _check(one, where)
    elif isinstance(value, bool) or not (
        value is None or isinstance(value, (str, int, float, Message))
    ):
        raise TypeError(f"{where}: {value!r} is no value of a message")


def _as_json(value: Value) -> Any:
    if isinstance(value, Message):
        return value.as_json()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_as_json(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
