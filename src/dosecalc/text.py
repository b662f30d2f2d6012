r"""Text from files made fit for the place where it is shown.

Names in a patient's files may hold anything: line breaks that forge a line of a verdict, escape
sequences that steer a terminal, marks that turn the direction of writing, formulas of
spreadsheets. Each place has one function here that everything shown there goes through. What a
reader could not see is shown as an escape (``\n``, ``\x1b``, ``\u202e``), and never left out.
"""

from __future__ import annotations

import html
import re
import sys
import unicodedata
from collections.abc import Container

__all__ = [
    "CELL",
    "LINE",
    "NAME",
    "csv_text",
    "csv_value",
    "file_text",
    "html_text",
    "json_text",
    "log_text",
    "name_text",
    "paper_text",
    "shortened",
    "terminal_text",
    "visible",
]

NAME, CELL, LINE = 64, 600, 4000
"""Characters that are shown of a name, of a sentence in a table or list, and of a line."""

# Marks on one letter: no writing needs more, and many cover the lines above and below.
_MOST_MARKS = 4
# So many spaces and more would push what follows to a line of its own.
_SPACES = re.compile("[ \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]{17,}")
# Letters and marks that are drawn as nothing: fillers, joiners, selectors of variants.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# How spreadsheets know a formula, also after spaces and in full width.
_FORMULA = re.compile("\\s*[=+@\\-\uff1d\uff0b\uff20\uff0d]")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f/\\:*?"<>|]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
# Bytes of a file's name, of which systems allow 255: an ending must have room.
_NAME_BYTES = 200


def visible(text: object, *, keep: str = "") -> str:
    """Return text with escapes in the place of what cannot be seen or moves what can.

    Control characters, line breaks, marks of direction, characters of no width, letters without
    form, halves of surrogate pairs and more marks on a letter than any writing has.

    Parameters
    ----------
    text : object
        Its string is taken.
    keep : str
        Characters that stay all the same, such as a line break.
    """
    plain = str(text)
    if plain.isascii() and plain.isprintable():
        return _SPACES.sub("   ", plain)
    shown, marks = [], 0
    for character in plain:
        kind = unicodedata.category(character)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        seen = character.isprintable() or kind == "Zs"
        if character in keep or (seen and marks <= _MOST_MARKS and not _is_blank(character)):
            shown.append(character)
        else:
            shown.append(_escaped(character))
    return _SPACES.sub("   ", "".join(shown))


def _is_blank(character: str) -> bool:
    return bool(_BLANK.match(character)) or 0xE0100 <= ord(character) <= 0xE01EF


def _escaped(character: str) -> str:
    code = ord(character)
    short = _NAMED.get(character)
    return short or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else
        f"\\U{code:08x}"
    )  # fmt: skip


def shortened(text: str, longest: int) -> str:
    """Cut the middle out of a text that is too long, so that its beginning and its end are read."""
    if len(text) <= longest:
        return text
    left_out = f"...({len(text) - longest} characters)..."
    end = max((longest - len(left_out)) // 2, 1)
    return f"{text[:end]}{left_out}{text[-end:]}"


def name_text(text: object) -> str:
    """Return a name as it is shown beside others."""
    return shortened(visible(text), NAME)


def terminal_text(text: object, longest: int = LINE, encoding: str | None = None) -> str:
    """Return one line for a terminal or a pipe, in letters that its encoding has.

    Parameters
    ----------
    text : object
    longest : int
        Characters.
    encoding : str, optional
        That of standard output if left out.
    """
    line = shortened(visible(text), longest)
    known = encoding or getattr(sys.stdout, "encoding", None) or "utf-8"
    return line.encode(known, "backslashreplace").decode(known)


def log_text(text: str) -> str:
    """Return lines of a log or a traceback, each marked, so that none passes for a line of ours."""
    return "\n".join(f"| {visible(line)}" for line in text.rstrip("\n").split("\n"))


def csv_text(value: object) -> object:
    """Return a cell of a table; text that a spreadsheet would take for a formula is quoted."""
    if not isinstance(value, str):
        return value
    text = shortened(visible(value), LINE)
    formula = _FORMULA.match(text) is not None and _NUMBER.fullmatch(text) is None
    return f"'{text}" if formula else text


def csv_value(text: str) -> str:
    """Return what `csv_text` wrote, without its quote."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) is not None else text


def html_text(text: object) -> str:
    """Return text for HTML, between tags or in an attribute."""
    return html.escape(visible(text, keep="\n"), quote=True)


def json_text(dumped: str, *, ascii_only: bool = False) -> str:
    """Return a JSON document that says the same, with escapes for what a terminal would obey.

    Parameters
    ----------
    dumped : str
        A JSON document; outside of its strings it is ASCII.
    ascii_only : bool
        Whether all letters beyond ASCII become escapes: any encoding can write it.
    """
    if dumped.isascii() and "\x7f" not in dumped:
        return dumped

    def escaped(character: str) -> str:
        if character == "\n" or (
            character.isprintable() and not (ascii_only and ord(character) > 126)
        ):
            return character
        code = ord(character)
        if code < 0x10000:
            return f"\\u{code:04x}"
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"

    return "".join(map(escaped, dumped))


def paper_text(text: object, known: Container[int], longest: int = LINE) -> str:
    """Return text for print or a picture, with escapes for letters that the font lacks.

    Parameters
    ----------
    text : object
    known : container of int
        Characters that the font has.
    longest : int
        Characters.
    """
    shown = "".join(
        character if character.isascii() or ord(character) in known else _escaped(character)
        for character in visible(text)
    )
    return shortened(shown, longest)


def file_text(text: object) -> str:
    """Return what can be the name of one file or folder on any system, near to the text."""
    name = _NOT_IN_NAMES.sub("_", visible(str(text), keep="\t\n\r")).strip(" .")
    while len(name.encode("utf-8")) > _NAME_BYTES:
        name = name[:-1]
    name = name.rstrip(" .") or "unnamed"
    return f"{name}_" if _DEVICES.fullmatch(name) else name
