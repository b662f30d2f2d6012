"""What a reader of a page sees, and whether any of it is English."""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["english_in", "shown_texts"]

# Words that no French sentence holds and hardly an English one does without.
_ENGLISH = re.compile(
    r"\b(the|is|are|was|were|not|of|and|with|which|that|from|than|has|have|had|its|by|where|used|"
    r"left|taken|lies|no|out|to|below|above|they|there|this|be|been|cannot|does|states?|"
    r"outside|without|beyond|only one|look|say)\b"
)
_VOID = {"br", "hr", "input", "meta", "path", "rect", "line", "circle", "polyline"}
_UNSEEN = {"script", "style", "head", "noscript", "pre"}


def english_in(text: str) -> list[str]:
    """English words of a text; names in quotes may hold any."""
    return [m[0] for m in _ENGLISH.finditer(re.sub(r"'[^' ]*'", "''", text))]


class _Shown(HTMLParser):
    """Texts that are not hidden; the record, which is data, is none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        for key in ("aria-label", "title"):
            if names.get(key) and not self._hidden():
                self.texts.append(str(names[key]))
        if tag not in _VOID:
            self._open.append((tag, self._hidden() or "hidden" in names or tag in _UNSEEN))

    def handle_endtag(self, tag: str) -> None:
        while self._open and tag not in _VOID:
            if self._open.pop()[0] == tag:
                return

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._hidden():
            self.texts.append(data.strip())

    def _hidden(self) -> bool:
        return bool(self._open) and self._open[-1][1]


def shown_texts(page: str) -> list[str]:
    """Texts that a page shows before its script has run, in order."""
    parser = _Shown()
    parser.feed(page)
    return parser.texts
