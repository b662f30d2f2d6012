"""Records and report texts without what differs from run to run, and their differences in words."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

__all__ = ["normalised", "page_text", "text_difference", "value_differences"]

# Of numbers in records: relative, and absolute for what is nothing but rounding (Gy, mm, %).
RELATIVE, ABSOLUTE = 1e-5, 1e-7

_FOLDER, _TIME, _DAY, _UID = "<folder>", "<time>", "<day>", "<uid>"
_VERSION, _SHA256, _HOST, _SECONDS = "<version>", "<sha256>", "<host>", "<seconds>"

# Below these, hashes are of files that hold times, paths or versions. Hashes of shipped data stay.
_OWN_HASHES = {"program", "inputs", "outputs_sha256", "reference", "seal"}
_NAMING = ("rule", "name", "number")
_CURVES, _EVERY = ("curve_gy", "curve_percent"), 20


def normalised(value: Any, folder: Path, within: tuple[str, ...] = ()) -> Any:
    """Return a record with placeholders for paths, times, versions, UIDs and hashes.

    Of the CT slices among the inputs the first one stays, and of curves every 20th point.

    Parameters
    ----------
    value : what `json.loads` returned, or a part of it
    folder : Path
        The folder in which everything of the run lies.
    within : tuple of str
        Names of the entries around the part.
    """
    key = within[-1] if within else ""
    if isinstance(value, dict):
        return {name: normalised(one, folder, (*within, name)) for name, one in value.items()}
    if key == "command" and isinstance(value, list):
        return ["<command>"]
    if isinstance(value, list):
        if key in _CURVES:
            value = value[::_EVERY]
        if key == "inputs":
            value = _without_slices(value)
        return [normalised(one, folder, within) for one in value]
    around = set(within[:-1])
    if "host" in around:
        return _HOST
    if "timings_s" in around:
        return _SECONDS
    if "program" in around and key not in ("name", "sources_sha256"):
        return _VERSION
    if isinstance(value, float):
        return float(f"{value:.8g}")
    return _plain_text(value, folder, within) if isinstance(value, str) else value


def _plain_text(text: str, folder: Path, within: tuple[str, ...]) -> str:
    if within[-1] == "calculated_at":
        return _TIME
    if re.fullmatch(r"[0-9a-f]{64}", text) and _OWN_HASHES & set(within):
        return _SHA256
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text) and within[-1] == "on":
        return _DAY
    if re.fullmatch(r"2\.25\.\d+", text):
        return _UID
    return _without_run(text, folder)


def _without_run(text: str, folder: Path) -> str:
    """Text without the folder, the version and the sign of a number that is rounded to zero."""
    text = text.replace(str(folder), _FOLDER)
    text = re.sub(r"dosecalc \d+\.\d+[\w.+]*[\w+]", f"dosecalc {_VERSION}", text)
    return re.sub(r"[-+\u2212](0[.,]0+)(?!\d)", r"\1", text)


def _without_slices(inputs: list[Any]) -> list[Any]:
    slices = [one for one in inputs if one.get("kind") == "CT"]
    rest = [one for one in inputs if one.get("kind") != "CT"]
    if not slices:
        return rest
    return [slices[0], {"name": "CT slices", "number": len(slices)}, *rest]


def value_differences(now: Any, golden: Any) -> list[str]:
    """Every entry that differs between two normalised records, one line each."""
    new, old = dict(_entries(now)), dict(_entries(golden))
    lines = [f"{path}: new, {new[path]!r}" for path in new if path not in old]
    lines += [f"{path}: missing, golden {old[path]!r}" for path in old if path not in new]
    lines += [
        f"{path}: {new[path]!r}, golden {old[path]!r}"
        for path in new
        if path in old and not _same(new[path], old[path])
    ]
    return lines


def _same(one: Any, other: Any) -> bool:
    numbers = all(type(v) in (int, float) for v in (one, other))
    if numbers:
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(one) is type(other) and bool(one == other)


def _entries(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a record with their paths; items of a list go by their names where they have one.

    So that an item more or less is one difference and does not shift all that follow.
    """
    if isinstance(value, Mapping) and value:
        for name, one in value.items():
            yield from _entries(one, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        seen: dict[str, int] = {}
        for index, one in enumerate(value):
            named = [one[n] for n in _NAMING if n in one] if isinstance(one, Mapping) else []
            name = str(named[0]) if named else str(index)
            seen[name] = seen.get(name, 0) + 1
            again = f" ({seen[name]})" if seen[name] > 1 else ""
            yield from _entries(one, f"{path}[{name}{again}]")
    else:
        yield path, value


class _Part(HTMLParser):
    """Texts of a report in one of its languages, hidden or not.

    What stands outside of the parts in a language is in the one in which the page opens.
    """

    _UNSEEN = ("script", "style", "head", "noscript", "pre")
    _VOID = ("br", "hr", "img", "input", "meta", "path", "rect", "line", "circle", "polyline")

    def __init__(self, language: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._language = language
        self._opens_in = ""
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "html":
            self._opens_in = names.get("lang") or ""
        elif tag not in self._VOID:
            part = names.get("data-part")
            unseen = self._inside_unseen() if part is None else part != self._language
            self._open.append((tag, unseen or tag in self._UNSEEN))

    def handle_endtag(self, tag: str) -> None:
        while self._open and tag not in self._VOID:
            if self._open.pop()[0] == tag:
                return

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._inside_unseen():
            self.texts.append(" ".join(data.split()))

    def _inside_unseen(self) -> bool:
        if not self._open:
            return self._opens_in != self._language
        return self._open[-1][1]


def page_text(page: str, language: str, folder: Path) -> str:
    """Return the text of a report (HTML) in a language, without tags, times and hashes."""
    parser = _Part(language)
    parser.feed(page)
    text = _without_run("\n".join(parser.texts), folder)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", _TIME, text)
    return re.sub(r"\b[0-9a-f]{16,64}\b", _SHA256, text) + "\n"


def text_difference(now: str, golden: str) -> list[str]:
    """Lines of text that differ, as a diff from the golden ones."""
    lines = difflib.unified_diff(golden.splitlines(), now.splitlines(), "golden", "now", "", "", 1)
    return [line.rstrip("\n") for line in lines]
