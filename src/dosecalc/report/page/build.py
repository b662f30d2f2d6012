"""Puts the page together: words of both languages, viewer, style and script in one file.

Everything is inside, and the page's own policy forbids it to fetch, send or run anything
else: the style and the script are allowed by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from dosecalc.messages.findings import Outcome
from dosecalc.records.record import to_json
from dosecalc.report.page._html import Html, element, joined, json_block
from dosecalc.report.page.contents import Contents, Listing, contents_of
from dosecalc.report.page.histogram import histogram_html
from dosecalc.report.page.tables import Cell, Table
from dosecalc.report.page.viewer import bev_html, viewer_data, viewer_html
from dosecalc.report.page.words import LANGUAGES, Words, load_words
from dosecalc.text import name_text
from dosecalc.verification.verification import Verification

__all__ = ["page_text", "write_page"]

_SCRIPTS = ("volumes.js", "contours.js", "colours.js", "planes.js", "beams.js", "viewer.js")
# A sign for each outcome that differs by shape: circle, triangle, octagon, barred square.
_SIGNS = {
    Outcome.PASS: (
        "circle",
        "M7 12.5 L10.5 16 L17 8.5",
        "M12 2 A10 10 0 1 0 12 22 A10 10 0 1 0 12 2 Z",
    ),
    Outcome.REVIEW: ("triangle", "M12 9 V15 M12 17.5 V18.5", "M12 2 L23 21.5 L1 21.5 Z"),
    Outcome.FAIL: (
        "octagon",
        "M8 8 L16 16 M16 8 L8 16",
        "M8 2 H16 L22 8 V16 L16 22 H8 L2 16 V8 Z",
    ),
    Outcome.REFUSED: ("square", "M6 12 H18", "M2 2 H22 V22 H2 Z"),
}  # fmt: skip


def write_page(verification: Verification, path: Path | str, language: str = "en") -> Path:
    """Write the report as one HTML file and return its path.

    Parameters
    ----------
    verification : Verification
    path : Path or str
    language : {"en", "fr"}
        In which it opens; the page can be switched to the other.

    Raises
    ------
    InputError
        The language is unknown.
    """
    place = Path(path)
    place.write_text(page_text(verification, language), encoding="utf-8", newline="\n")
    return place


def page_text(v: Verification, language: str = "en") -> str:
    """Return the page; equal verifications give equal text."""
    words = load_words(language)
    verdict = words(f"verdict_{v.outcome.name.lower()}")
    style = _asset("page.css")
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", words("topic_line", topic=name_text(v.label), text=verdict)),
        element("style", Html(style)),
    )
    every = [load_words(one) for one in LANGUAGES]
    body = element(
        "body",
        _bar(words),
        element("div", *(_first_page(v, w, language) for w in every), id="first"),
        viewer_html(v, words),
        histogram_html(v, words),
        bev_html(v, words),
        element("div", *(_tables(v, w, language) for w in every), id="tables"),
        _record(v, words),
        *(_footer(v, w, language) for w in every),
        json_block("data", viewer_data(v, language)),
        element("script", Html(script), type="module"),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang=language)}\n"


def _asset(name: str) -> str:
    return files("dosecalc.report.page").joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _bar(words: Words) -> Html:
    """Links to the parts of the page, and the switch of language."""
    parts = (("first", "first"), ("viewer", "viewer"), ("dvh", "dvh"), ("bev", "bev"),
             ("tables", "tables"), ("record", "record"))  # fmt: skip
    links = (
        element("a", words(f"contents_{key}"), href=f"#{to}", data_word=f"contents_{key}")
        for to, key in parts
    )
    switches = (
        element("button", load_words(one)("language_name"), type="button", data_language=one,
                lang=one, aria_pressed="true" if one == words.language else "false")
        for one in LANGUAGES
    )  # fmt: skip
    return element("nav", *links, element("span", *switches, class_="languages"), class_="screen")


def _only_in(words: Words, language: str) -> dict[str, str | bool | None]:
    """Attributes of a part that is there in each language and shown in one."""
    return {
        "lang": words.language,
        "data_part": words.language,
        "hidden": words.language != language,
    }


def _first_page(v: Verification, words: Words, language: str) -> Html:
    """Say what a reader needs first, in that order; long lists and tables come after it."""
    said = contents_of(v, words)
    lists = said.lists
    not_passed = [_table(said.tables["open"], words)] if "open" in said.tables else []
    return element(
        "main",
        element("h1", said.title),
        element("p", " \u00b7 ".join(said.identity), class_="identity"),
        _verdict(said),
        _largest(v, said, words),
        *(element("section", table) for table in not_passed),
        _listing(lists["not_checked"], words),
        element("section", _facts(said), class_="card"),
        _goals(said, words),
        element(
            "div", *(_listing(lists[key], words) for key in ("shared", "caveats")), class_="lists"
        ),
        _decision(words),
        element("section", _table(said.tables["rules"], words)),
        **_only_in(words, language),
    )


def _verdict(said: Contents) -> Html:
    return element(
        "section",
        _sign(said.outcome),
        element(
            "div",
            element("p", said.verdict, class_="word"),
            *(element("p", line, class_="objection") for line in said.objections),
            element("p", said.meaning, " ", said.counts, "."),
            element("p", said.signing, class_="signing"),
        ),
        class_=f"verdict {said.outcome.name.lower()}",
        data_outcome=said.outcome.name,
    )


def _sign(outcome: Outcome) -> Html:
    shape, mark, outline = _SIGNS[outcome]
    drawing = (
        element("path", d=outline, class_="outline"),
        element("path", d=mark, class_="inner"),
    )
    return element("svg", *drawing, viewBox="0 0 24 24", class_=f"sign {shape}", aria_hidden="true")


def _largest(v: Verification, said: Contents, words: Words) -> Html:
    places = [("largest", v.largest is not None), ("gamma", v.gamma is not None)]
    buttons = (
        element("button", words(f"show_{to}"), type="button", data_go=to)
        for to, there in places
        if there
    )
    return element(
        "section",
        element("h2", words("largest_title")),
        *(element("p", line) for line in said.largest),
        element("p", *buttons, class_="screen"),
        class_="card largest",
    )


def _facts(said: Contents) -> Html:
    entries = (
        joined((element("dt", fact.topic), *(element("dd", line) for line in fact.lines)))
        for fact in said.facts
    )
    return element("dl", *(element("div", entry) for entry in entries), class_="facts")


def _goals(said: Contents, words: Words) -> Html:
    if "goals" in said.tables:
        return element("section", _table(said.tables["goals"], words))
    return element("section", element("h2", words("table_goals")), element("p", words("no_goals")))


def _table(table: Table, words: Words) -> Html:
    heads = (
        element("th", column.heading, scope="col", class_="n" if column.numeric else None)
        for column in table.columns
    )
    rows = (
        element(
            "tr",
            *(
                _cell(cell, words, numeric=column.numeric)
                for cell, column in zip(row, table.columns, strict=True)
            ),
        )
        for row in table.rows
    )
    return joined(
        (
            element("h2", table.title),
            element("p", table.note, class_="note") if table.note else Html(""),
            element(
                "div",
                element(
                    "table",
                    element("thead", element("tr", *heads)),
                    element("tbody", *rows),
                    class_=f"t-{table.key}",
                ),
                class_="wide",
            ),
        )
    )


def _cell(cell: Cell, words: Words, *, numeric: bool) -> Html:
    if isinstance(cell, Outcome):
        name = cell.name.lower()
        return element("td", _sign(cell), words(f"outcome_{name}"), class_=f"outcome {name}")
    return element("td", cell, class_="n" if numeric else None)


def _listing(listing: Listing, words: Words) -> Html:
    entries = [element("li", line) for line in listing.lines]
    body = element("ul", *entries) if entries else element("p", words("nothing_listed"))
    return element(
        "section",
        element("h2", listing.title),
        element("p", listing.note, class_="note"),
        body,
        class_=f"card list-{listing.key.replace('_', '-')}",
    )


def _decision(words: Words) -> Html:
    """Room for a person's decision on paper; the program leaves it empty."""
    lines = (
        element("div", element("span", words(f"decision_{key}")), class_="line")
        for key in ("name", "decision", "reason", "date")
    )
    return element(
        "section",
        element("h2", words("decision_title")),
        element("p", words("decision_note"), class_="note"),
        *lines,
        class_="card decision",
    )


def _tables(v: Verification, words: Words, language: str) -> Html:
    tables = contents_of(v, words).tables
    shown = (
        tables[key]
        for key in ("structures", "conformity", "beams", "points", "engines")
        if key in tables
    )
    return element(
        "section",
        *(_table(table, words) for table in shown),
        **_only_in(words, language),
    )


def _record(v: Verification, words: Words) -> Html:
    return element(
        "section",
        element("h2", words("record_title"), data_word="record_title"),
        element(
            "details",
            element("summary", words("record_note"), data_word="record_note"),
            element("pre", to_json(v.record)),
        ),
        id="record",
    )


def _footer(v: Verification, words: Words, language: str) -> Html:
    said = contents_of(v, words)
    lines = (element("p", line) for line in (said.footer, said.files))
    return element("footer", *lines, **_only_in(words, language))
