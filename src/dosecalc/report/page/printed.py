"""The printable part of a report as a PDF: what the page says in words, with one picture.

Black on white: outcomes are words in boxes, lines in the picture differ by dashes and numbers.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from fpdf import FPDF
from fpdf.enums import TableBordersLayout, WrapMode, XPos, YPos
from fpdf.fonts import FontFace

from dosecalc.messages.findings import Outcome
from dosecalc.report._letters import font_file, printed_text
from dosecalc.report.page.contents import Contents, Fact, Listing, contents_of
from dosecalc.report.page.picture import draw_comparison
from dosecalc.report.page.tables import Column, Table
from dosecalc.report.page.words import Words, load_words
from dosecalc.verification.verification import Verification

__all__ = ["Paper", "column_widths", "pdf_bytes", "write_pdf"]

_FONT = "DejaVu"
_BESIDE = 40.0
"""Width of the topics beside which facts stand, mm."""
_SIDES = 1.2
_SIZES = (7.5, 7.0, 6.5, 6.0, 5.5, 5.0)
"""Sizes of letters in tables: the first at which no word has to be broken."""
_LONG_WORD = 45.0
"""Words longer than this (hashes, file names) may be broken, mm."""
_SHORT_TABLE = 25
_LONG_TABLES = ("rules",)
# Where the record states no time; equal verifications give equal files.
_NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)


def write_pdf(verification: Verification, path: Path | str, language: str = "en") -> Path:
    """Write the printable report and return its path.

    Raises
    ------
    InputError
        The language is unknown.
    """
    place = Path(path)
    place.write_bytes(pdf_bytes(verification, language))
    return place


def pdf_bytes(v: Verification, language: str = "en") -> bytes:
    """Return the printable report; equal verifications give equal bytes."""
    words = load_words(language)
    said = contents_of(v, words, printed_text)
    pdf = Paper(said, words)
    _first_page(pdf, said, words)
    _numbered_table(pdf, said.tables["rules"], words)
    pdf.add_page()
    pdf.heading(words("print_isocentre" if v.largest is None else "print_largest"))
    pdf.image(io.BytesIO(draw_comparison(v, words)), w=pdf.epw)
    for key in ("structures", "conformity", "beams", "points", "engines"):
        if key in said.tables:
            _table(pdf, said.tables[key], words)
    return bytes(pdf.output())


class Paper(FPDF):
    """A4; below, the plan's name, the hashes that tie the page to its run, its number."""

    def __init__(self, said: Contents, words: Words) -> None:
        super().__init__(format="A4")
        self.add_font(_FONT, "", font_file())
        self.add_font(_FONT, "B", font_file("DejaVuSans-Bold"))
        self.set_creation_date(_aware(said.written))
        self.set_title(words("topic_line", topic=said.title, text=said.verdict))
        self.set_lang(words.language)
        self.set_margins(14, 12)
        self.set_auto_page_break(True, 22)
        self.said, self.words = said, words
        self.set_font(_FONT, size=9)
        self.add_page()

    def footer(self) -> None:
        """Print what every page has to say."""
        said = self.said
        about = self.words("topic_line", topic=said.title, text=said.verdict)
        self.set_y(-20)
        self.set_font(_FONT, size=6.5)
        for text in (" \u00b7 ".join((about, *said.identity)), said.files, said.footer):
            self.multi_cell(0, 2.9, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        number = self.words("printed_page", n=str(self.page_no()), of="{nb}")
        self.cell(0, 2.9, number, align="R")

    def line_of(self, text: str, *, size: float = 9, bold: bool = False) -> None:
        """Print a paragraph."""
        self.set_font(_FONT, "B" if bold else "", size)
        self.multi_cell(
            0, size * 0.47, text, align="L", wrapmode=_wrap(text),
            new_x=XPos.LMARGIN, new_y=YPos.NEXT,
        )  # fmt: skip

    def heading(self, text: str) -> None:
        """Print a title, never as the last line of a page."""
        if self.will_page_break(25):
            self.add_page()
        self.ln(2)
        self.line_of(text, size=11, bold=True)
        self.ln(0.6)


def _aware(when: datetime | None) -> datetime:
    if when is None:
        return _NO_DATE
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _wrap(text: str) -> WrapMode:
    """Hashes and UIDs have no spaces to break at."""
    return WrapMode.CHAR if any(len(part) > 60 for part in text.split()) else WrapMode.WORD


def _first_page(pdf: Paper, said: Contents, words: Words) -> None:
    """Verdict, what objects, what was not checked, facts; then lists that may be long."""
    pdf.line_of(said.title, size=14, bold=True)
    pdf.line_of(" \u00b7 ".join(said.identity), size=8.5)
    pdf.ln(1)
    _verdict(pdf, said)
    pdf.heading(words("largest_title"))
    for line in said.largest:
        pdf.line_of(line, size=8.5)
    if "open" in said.tables:
        _table(pdf, said.tables["open"], words)
    _listing(pdf, said.lists["not_checked"], words)
    pdf.ln(2)
    for fact in said.facts:
        _fact(pdf, fact)
    if "goals" in said.tables:
        _table(pdf, said.tables["goals"], words)
    else:
        pdf.heading(words("table_goals"))
        pdf.line_of(words("no_goals"), size=8.5)
    for key in ("shared", "caveats"):
        _listing(pdf, said.lists[key], words)
    _decision(pdf, words)


def _verdict(pdf: Paper, said: Contents) -> None:
    """Print the verdict in a box, and which rules object; the worse, the thicker the box."""
    top, margin = pdf.get_y(), pdf.l_margin
    pdf.set_left_margin(margin + 3)
    pdf.set_y(top + 2)
    pdf.line_of(said.verdict, size=18, bold=True)
    for line in said.objections:
        pdf.line_of(line, size=9, bold=True)
    pdf.line_of(f"{said.meaning} {said.counts}.", size=8.5)
    pdf.line_of(said.signing, size=8.5)
    pdf.set_left_margin(margin)
    bottom = pdf.get_y() + 2
    pdf.set_line_width(0.4 + 0.5 * int(said.outcome))
    pdf.rect(margin, top, pdf.epw, bottom - top)
    pdf.set_line_width(0.2)
    pdf.set_y(bottom)


def _fact(pdf: Paper, fact: Fact) -> None:
    """Print a topic, and beside it what is to say of it."""
    if pdf.will_page_break(4.5 * len(fact.lines)):
        pdf.add_page()
    margin = pdf.l_margin
    top = pdf.get_y()
    pdf.set_font(_FONT, "B", 8)
    pdf.multi_cell(_BESIDE - 2, 3.8, fact.topic, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    low = pdf.get_y()
    pdf.set_left_margin(margin + _BESIDE)
    pdf.set_y(top)
    for line in fact.lines:
        pdf.line_of(line, size=7.2 if "SHA-256" in line else 8)
    pdf.set_left_margin(margin)
    pdf.set_y(max(low, pdf.get_y()) + 0.8)


def _listing(pdf: Paper, listing: Listing, words: Words) -> None:
    pdf.heading(listing.title)
    pdf.line_of(listing.note, size=7.5)
    for line in listing.lines or (words("nothing_listed"),):
        pdf.line_of(f"\u2022 {line}", size=8)


def _decision(pdf: Paper, words: Words) -> None:
    """Room for a person's decision on paper; the program leaves it empty."""
    if pdf.will_page_break(45):
        pdf.add_page()
    pdf.heading(words("decision_title"))
    pdf.line_of(words("decision_note"), size=7.5)
    for key in ("name", "decision", "reason", "date"):
        pdf.ln(2)
        pdf.set_font(_FONT, size=9)
        pdf.cell(40, 6, words(f"decision_{key}"))
        pdf.cell(0, 6, "", border="B", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _table(pdf: Paper, table: Table, words: Words) -> None:
    """Print a table; a short one is not broken over two pages."""
    if table.key not in _LONG_TABLES and len(table.rows) <= _SHORT_TABLE:
        with pdf.offset_rendering() as trial:
            _draw_table(cast(Paper, trial), table, words)
        if trial.page_break_triggered:
            pdf.add_page()
    _draw_table(pdf, table, words)


def _numbered_table(pdf: Paper, table: Table, words: Words) -> None:
    """Print a table with numbers for the texts of its last column, and the texts below it."""
    last = [_text(row[-1], words) for row in table.rows]
    numbers = {text: f"[{n}]" for n, text in enumerate(dict.fromkeys(filter(None, last)), start=1)}
    rows = tuple(
        (*row[:-1], numbers.get(text, "")) for row, text in zip(table.rows, last, strict=True)
    )
    columns = (*table.columns[:-1], replace(table.columns[-1], share=0.6))
    _table(pdf, replace(table, columns=columns, rows=rows), words)
    pdf.ln(1.5)
    for text, number in numbers.items():
        pdf.line_of(f"{number} {text}", size=7)


def _draw_table(pdf: Paper, table: Table, words: Words) -> None:
    pdf.heading(table.title)
    if table.note:
        pdf.line_of(table.note, size=7.5)
    columns = _used(table)
    heads = [table.columns[n].heading for n in columns]
    rows = [[_text(row[n], words) for n in columns] for row in table.rows]
    widths = column_widths(pdf, [heads, *rows], [table.columns[n].share for n in columns])
    with pdf.table(
        headings_style=FontFace(emphasis="BOLD"),
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        col_widths=widths,
        text_align=tuple("RIGHT" if table.columns[n].numeric else "LEFT" for n in columns),
        line_height=0.47 * pdf.font_size_pt,
        padding=(0.5, _SIDES),
        wrapmode=WrapMode.WORD,
    ) as drawn:
        for row in (heads, *rows):
            drawn.row(row)


def column_widths(
    pdf: Paper, rows: Sequence[Sequence[str]], shares: Sequence[float]
) -> list[float]:
    """Choose widths in which no word is broken, and letters small enough for that; mm.

    What is left over is given out by the columns' shares.
    """
    least: list[float] = []
    for size in _SIZES:
        least = []
        for n in range(len(shares)):
            found = 0.0
            for k, row in enumerate(rows):
                pdf.set_font(_FONT, "" if k else "B", size)
                found = max([found, *(pdf.get_string_width(word) for word in row[n].split(" "))])
            least.append(min(found, _LONG_WORD) + 2 * _SIDES + 0.6)
        pdf.set_font(_FONT, size=size)
        if sum(least) <= pdf.epw:
            break
    spare, total = max(pdf.epw - sum(least), 0.0), sum(shares)
    wanted = [
        max(pdf.epw * share / total - low, 0.0) for low, share in zip(least, shares, strict=True)
    ]
    scale = spare / sum(wanted) if sum(wanted) > 0 else 0.0
    return [low + scale * more for low, more in zip(least, wanted, strict=True)]


def _used(table: Table) -> list[int]:
    """Columns in which anything stands: paper is narrow."""

    def filled(cells: Iterable[str | Outcome]) -> bool:
        return any(isinstance(cell, Outcome) or cell.strip() for cell in cells)

    numbered: Iterable[tuple[int, Column]] = enumerate(table.columns)
    return [n for n, _ in numbered if filled(row[n] for row in table.rows)]


def _text(cell: str | Outcome, words: Words) -> str:
    """Write a cell."""
    if isinstance(cell, Outcome):
        return words(f"outcome_{cell.name.lower()}")
    return cell
