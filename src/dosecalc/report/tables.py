"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from dosecalc.records.result import Result
from dosecalc.text import CELL, NAME, terminal_text
from dosecalc.validation.agreement import Agreement
from dosecalc.validation.cases import Extract, ReferenceCase

__all__ = [
    "Comparison",
    "TextTable",
    "agreement_table",
    "dose_table",
    "fact_table",
    "structure_table",
]

# Of a column that may wrap, so many characters are kept side by side.
_LEAST = 12
# Space and line between columns.
_BETWEEN = 3


class TextTable(Table):
    """A table for the terminal whose cells may hold anything: they are shown and never obeyed.

    Parameters
    ----------
    title : str
    """

    def __init__(self, title: str = "") -> None:
        super().__init__(
            title=Text(terminal_text(title, CELL)) if title else None, title_justify="left",
            title_style="bold", box=SIMPLE, pad_edge=False, padding=(0, 1), expand=False,
        )  # fmt: skip

    def head(
        self, *headings: str, numeric: bool = False, bold: bool = False, whole: bool = False
    ) -> None:
        """Add columns; those of numbers and whole ones stay on one line, others may wrap."""
        for heading in headings:
            lines = "\n".join(terminal_text(line, NAME) for line in heading.split("\n"))
            self.add_column(
                Text(lines), justify="right" if numeric else "left", no_wrap=numeric or whole,
                style="bold" if bold else None, overflow="fold",
            )  # fmt: skip

    def put(self, *cells: str) -> None:
        """Add a row; the first cell is a name."""
        longest = (NAME, *[CELL] * len(cells))
        texts = (terminal_text(cell, most) for cell, most in zip(cells, longest, strict=False))
        self.add_row(*(Text(text) for text in texts))

    def widths(self) -> tuple[int, int]:
        """Return the width below which cells would be lost, and the one above which none wraps."""
        least = most = 0
        for column in self.columns:
            texts = [str(column.header), *(str(cell) for cell in column.cells)]
            wide = max(cell_len(line) for text in texts for line in text.split("\n"))
            most += wide + _BETWEEN
            least += (wide if column.no_wrap else min(wide, _LEAST)) + _BETWEEN
        return least, most


@dataclass(frozen=True)
class Comparison:
    """One line of a validation: the case, how it agrees, how long it took, what is cautioned."""

    case: ReferenceCase
    extract: Extract
    agreement: Agreement
    seconds: float
    cautions: tuple[str, ...] = ()


def fact_table(rows: Iterable[tuple[str, str]], title: str = "") -> TextTable:
    """Two columns: topic and sentence; a topic is not repeated on the lines after it."""
    table = TextTable(title)
    table.show_header = False
    table.head("", bold=True, whole=True)
    table.head("")
    last = ""
    for topic, sentence in rows:
        table.put("" if topic == last else topic, sentence)
        last = topic
    return table


def dose_table(result: Result) -> TextTable:
    """Maximum, isocentre and what 100 % is."""
    dose = result.dose
    highest, place = result.maximum
    unit = dose.unit

    def percent(value: float) -> str:
        return f"{100 * value / result.full.gray:.1f} %"

    rows = [
        ("dose to", f"{dose.dose_to}, {_sum_name(result)}"),
        ("100 %", f"{result.full.gray:.5g} {unit} ({result.full.meaning})"),
        ("maximum", f"{highest:.5g} {unit} = {percent(highest)} at {_position(place)}"),
    ]
    central = result.at_isocentre
    text = "outside the dose grid" if central is None else f"{central:.5g} {unit}"
    if central is not None:
        text += f" = {percent(central)} at {_position(result.isocentre)}"
    rows.append(("isocentre", text))
    return fact_table(rows, f"dose of {result.label}")


def _sum_name(result: Result) -> str:
    if result.dose.unit != "Gy":
        return "per unit photon fluence in air at the isocentre"
    if result.dose.summation == "PLAN" and result.plan.fractions is not None:
        return f"whole plan of {result.plan.fractions} fractions"
    return {"FRACTION": "one fraction", "BEAM": "one beam"}.get(result.dose.summation, "whole plan")


def _position(point: tuple[float, float, float]) -> str:
    return "x {:.1f}, y {:.1f}, z {:.1f} mm".format(*point)


def structure_table(result: Result) -> TextTable:
    """D98, D50, D2 and mean of every structure, in the unit of the dose."""
    table = TextTable("structures")
    table.head("structure", bold=True)
    table.head("cm3", *(f"{h} Gy" for h in ("D98", "D50", "D2", "mean", "max")), numeric=True)
    if any(one.remark for one in result.structures):
        table.head("remark")
    for one in result.structures:
        if one.dvh is None:
            table.put(one.structure.name, *["-"] * 6, "outside the dose grid")
            continue
        dvh = one.dvh
        doses = (*(dvh.dose_at_volume(v) for v in (98, 50, 2)), dvh.mean_gy, dvh.maximum_gy)
        share = 100 * dvh.outside_cm3 / dvh.total_cm3
        remark = "" if dvh.is_complete else f"without {share:.1f} % outside the grid"
        table.put(
            one.structure.name,
            f"{dvh.total_cm3:.1f}",
            *(f"{d:.2f}" for d in doses),
            *([remark] if remark else []),
        )
    return table


def agreement_table(comparisons: Sequence[Comparison]) -> TextTable:
    """Differences d and the reference's standard deviation s, % of its maximum on the axis.

    Gamma columns are the share of points that pass, %. The verdict stands on the two
    columns that take 2 s off every difference.
    """
    table = TextTable("against EGSnrc, absolute")
    table.head("case", bold=True)
    table.head(
        "|d|\nmax",
        "less\n2s",
        "d\nmean",
        "d\nrms",
        "s\nrms",
        "gamma\naxis",
        "gamma\nacross",
        "gamma\nless 2s",
        numeric=True,
    )
    table.head("")
    for one in comparisons:
        a = one.agreement
        table.put(
            one.case.name,
            f"{a.axis_largest_percent:.2f}",
            f"{a.axis_beyond_noise_percent:.2f}",
            f"{a.axis_mean_percent:+.2f}",
            f"{a.axis_rms_percent:.2f}",
            f"{a.axis_sigma_percent:.2f}",
            f"{a.gamma_axis_share_percent:.1f}",
            f"{a.gamma_profile_share_percent:.1f}",
            f"{a.gamma_beyond_noise_share_percent:.1f}",
            "ok" if a.within else "NOT OK",
        )
    return table
