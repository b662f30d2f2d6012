"""HTML from Python values: every string is escaped unless it was made here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dosecalc.text import html_text

__all__ = ["Html", "element", "joined", "json_block"]

_VOID = {"input", "meta", "br", "hr"}
_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028"}


class Html(str):
    """Text that is HTML already and is put in as it stands."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | bool | None) -> Html:
    """Return one element; children that are not `Html` are cleaned and escaped, as every attribute.

    Underscores in names of attributes stand for hyphens, one at the end for nothing
    (``class_``, ``data_word``); True gives a bare attribute, False and None none.
    """
    given = ""
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        bare = key.rstrip("_").replace("_", "-")
        given += f" {bare}" if value is True else f' {bare}="{html_text(value)}"'
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Html:
    """Put pieces behind one another, escaping those that are not HTML."""
    return Html("".join(c if isinstance(c, Html) else html_text(c) for c in children))


def json_block(identity: str, values: Any) -> Html:
    """Return values as a JSON block that no content can end before its time."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, code in _IN_SCRIPT.items():
        text = text.replace(character, code)
    return Html(f'<script type="application/json" id="{html_text(identity)}">{text}</script>')
