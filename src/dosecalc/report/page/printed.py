"""The printable part of a report as a PDF: what the page says in words, with one picture.

Black on white: outcomes are words in boxes, lines in the picture differ by dashes and numbers.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import matplotlib
from fpdf import FPDF
from fpdf.enums import TableBordersLayout, WrapMode, XPos, YPos
from fpdf.fonts import FontFace

from dosecalc.report.page.contents import Contents, Listing, contents_of
from dosecalc.report.page.picture import draw_comparison
from dosecalc.report.page.tables import Column, Table
from dosecalc.report.page.words import Words, load_words
from dosecalc.verify.outcome import Outcome
from dosecalc.verify.verification import Verification

__all__ = ["pdf_bytes", "write_pdf"]

_FONT = "DejaVu"
_WIDE_TABLES = ("rules", "structures", "beams")
# The page states when it was made in the record; equal verifications give equal files.
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
    said = contents_of(v, words)
    pdf = _Paper(said, words)
    _first_page(pdf, said, words)
    pdf.add_page()
    pdf.heading(words("print_isocentre" if v.largest is None else "print_largest"))
    pdf.image(io.BytesIO(draw_comparison(v, words)), w=pdf.epw)
    for key in ("structures", "conformity", "beams", "points", "engines"):
        if key in said.tables:
            _table(pdf, said.tables[key], words)
    return bytes(pdf.output())


class _Paper(FPDF):
    """A4, with the plan's name and the page's number below."""

    def __init__(self, said: Contents, words: Words) -> None:
        super().__init__(format="A4")
        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        self.add_font(_FONT, "", fonts / "DejaVuSans.ttf")
        self.add_font(_FONT, "B", fonts / "DejaVuSans-Bold.ttf")
        self.set_creation_date(_NO_DATE)
        self.set_title(f"{said.title}: {said.verdict}")
        self.set_lang(words.language)
        self.set_margins(14, 12)
        self.set_auto_page_break(True, 18)
        self.said = said
        self.set_font(_FONT, size=9)
        self.add_page()

    def footer(self) -> None:
        """Print what every page has to say."""
        self.set_y(-16)
        self.set_font(_FONT, size=6.5)
        self.multi_cell(
            0, 3, f"{self.said.title}: {self.said.verdict}. {self.said.footer}", align="L",
            new_x=XPos.LMARGIN, new_y=YPos.NEXT,
        )  # fmt: skip
        self.cell(0, 3, f"{self.page_no()} / {{nb}}", align="R")

    def line_of(self, text: str, *, size: float = 9, bold: bool = False) -> None:
        """Print a paragraph."""
        self.set_font(_FONT, "B" if bold else "", size)
        self.multi_cell(
            0, size * 0.5, text, align="L", wrapmode=_wrap(text),
            new_x=XPos.LMARGIN, new_y=YPos.NEXT,
        )  # fmt: skip

    def heading(self, text: str) -> None:
        """Print a title, never as the last line of a page."""
        if self.will_page_break(25):
            self.add_page()
        self.ln(2.5)
        self.line_of(text, size=11, bold=True)
        self.ln(0.8)


def _wrap(text: str) -> WrapMode:
    """Hashes and UIDs have no spaces to break at."""
    return WrapMode.CHAR if any(len(part) > 60 for part in text.split()) else WrapMode.WORD


def _first_page(pdf: _Paper, said: Contents, words: Words) -> None:
    pdf.line_of(said.title, size=14, bold=True)
    pdf.ln(1)
    top = pdf.get_y()
    pdf.set_xy(pdf.l_margin + 3, top + 2.5)
    pdf.set_font(_FONT, "B", 20)
    pdf.cell(60, 10, said.verdict)
    pdf.set_xy(pdf.l_margin + 62, top + 2)
    pdf.set_font(_FONT, size=8.5)
    pdf.multi_cell(
        pdf.epw - 64, 4, f"{said.meaning} {said.counts}.\n{said.signing}", align="L",
        new_x=XPos.LMARGIN, new_y=YPos.NEXT,
    )  # fmt: skip
    bottom = max(pdf.get_y() + 2, top + 15)
    # The worse, the thicker.
    pdf.set_line_width(0.4 + 0.5 * int(said.outcome))
    pdf.rect(pdf.l_margin, top, pdf.epw, bottom - top)
    pdf.set_line_width(0.2)
    pdf.set_y(bottom)
    pdf.heading(words("largest_title"))
    for line in said.largest:
        pdf.line_of(line)
    for fact in said.facts:
        pdf.ln(1)
        pdf.line_of(fact.topic, size=8, bold=True)
        for line in fact.lines:
            pdf.line_of(line, size=8.5)
    if "goals" in said.tables:
        _table(pdf, said.tables["goals"], words)
    else:
        pdf.heading(words("table_goals"))
        pdf.line_of(words("no_goals"))
    for key in ("not_checked", "shared", "caveats"):
        _listing(pdf, said.lists[key], words)
    _decision(pdf, words)
    _table(pdf, said.tables["rules"], words)


def _listing(pdf: _Paper, listing: Listing, words: Words) -> None:
    pdf.heading(listing.title)
    pdf.line_of(listing.note, size=7.5)
    for line in listing.lines or (words("nothing_listed"),):
        pdf.line_of(f"\u2022 {line}", size=8.5)


def _decision(pdf: _Paper, words: Words) -> None:
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


def _table(pdf: _Paper, table: Table, words: Words) -> None:
    pdf.heading(table.title)
    if table.note:
        pdf.line_of(table.note, size=7.5)
    pdf.set_font(_FONT, size=6 if table.key in _WIDE_TABLES else 7.5)
    columns = _used(table)
    with pdf.table(
        headings_style=FontFace(emphasis="BOLD"),
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        col_widths=tuple(table.columns[n].share for n in columns),
        text_align=tuple("RIGHT" if table.columns[n].numeric else "LEFT" for n in columns),
        line_height=3.4,
        padding=(0.6, 1.2),
        wrapmode=WrapMode.WORD,
    ) as drawn:
        drawn.row([table.columns[n].heading for n in columns])
        for row in table.rows:
            drawn.row([_text(row[n], words) for n in columns])


def _used(table: Table) -> list[int]:
    """Columns in which anything stands: paper is narrow."""

    def filled(cells: Iterable[str | Outcome]) -> bool:
        return any(isinstance(cell, Outcome) or cell.strip() for cell in cells)

    numbered: Iterable[tuple[int, Column]] = enumerate(table.columns)
    return [n for n, _ in numbered if filled(row[n] for row in table.rows)]


def _text(cell: str | Outcome, words: Words) -> str:
    return words(f"outcome_{cell.name.lower()}") if isinstance(cell, Outcome) else cell
