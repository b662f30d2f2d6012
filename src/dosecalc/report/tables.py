"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from dosecalc.report.result import Result
from dosecalc.verify.agreement import Agreement
from dosecalc.verify.reference import Extract, ReferenceCase

__all__ = ["Comparison", "agreement_table", "dose_table", "fact_table", "structure_table"]


@dataclass(frozen=True)
class Comparison:
    """One line of a validation: the case, how it agrees, how long it took, what is cautioned."""

    case: ReferenceCase
    extract: Extract
    agreement: Agreement
    seconds: float
    cautions: tuple[str, ...] = ()


def fact_table(rows: Iterable[tuple[str, str]], title: str = "") -> Table:
    """Two columns: topic and sentence; a topic is not repeated on the lines after it."""
    table = _table(title)
    table.show_header = False
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    last = ""
    for topic, sentence in rows:
        table.add_row("" if topic == last else topic, Text(sentence))
        last = topic
    return table


def dose_table(result: Result) -> Table:
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


def structure_table(result: Result) -> Table:
    """D98, D50, D2 and mean of every structure, in the unit of the dose."""
    table = _table("structures")
    table.add_column("structure", style="bold", overflow="fold")
    for heading in ("cm3", "D98", "D50", "D2", "mean", "max"):
        table.add_column(f"{heading} Gy" if heading != "cm3" else heading, justify="right")
    if any(one.remark for one in result.structures):
        table.add_column("remark", overflow="fold")
    for one in result.structures:
        if one.dvh is None:
            table.add_row(one.structure.name, *["-"] * 6, "outside the dose grid")
            continue
        dvh = one.dvh
        doses = (*(dvh.dose_at_volume(v) for v in (98, 50, 2)), dvh.mean_gy, dvh.maximum_gy)
        share = 100 * dvh.outside_cm3 / dvh.total_cm3
        remark = "" if dvh.is_complete else f"without {share:.1f} % outside the grid"
        table.add_row(
            one.structure.name,
            f"{dvh.total_cm3:.1f}",
            *(f"{d:.2f}" for d in doses),
            *([remark] if remark else []),
        )
    return table


def agreement_table(comparisons: Sequence[Comparison]) -> Table:
    """Differences d and the reference's standard deviation s, % of its maximum on the axis.

    Gamma columns are the share of points that pass, %. The verdict stands on the two
    columns that take 2 s off every difference.
    """
    table = _table("against EGSnrc, absolute")
    table.add_column("case", style="bold", overflow="fold")
    for heading in (
        "|d|\nmax",
        "less\n2s",
        "d\nmean",
        "d\nrms",
        "s\nrms",
        "gamma\naxis",
        "gamma\nacross",
        "gamma\nless 2s",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", justify="left", no_wrap=True)
    for one in comparisons:
        a = one.agreement
        table.add_row(
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


def _table(title: str) -> Table:
    return Table(
        title=title or None, title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False,
        padding=(0, 1), expand=False,
    )  # fmt: skip
