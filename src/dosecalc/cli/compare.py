"""``dosecalc compare``: any two doses, by difference, gamma and histograms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dosecalc.cli._dose_options import (
    GAMMA_LIMITS_SOURCE,
    dose_options,
    gamma_options,
    gamma_outcome,
    plane_spacing_option,
    print_notes,
)

if TYPE_CHECKING:
    from dosecalc.analysis.difference import DoseDifference
    from dosecalc.cli.dvh import StructureDvh
    from dosecalc.workflow.doses import NamedDose, NamedStructures

__all__ = ["compare"]

_COLUMNS = ("D98", "D50", "D2", "mean")


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--structures",
    type=click.Path(path_type=Path),
    help="RTSTRUCT file: histograms of its structures in both doses.",
)
@click.option("--structure", "names", multiple=True, metavar="NAME", help="Only this; repeatable.")
@plane_spacing_option
@gamma_options
@dose_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def compare(
    a: Path,
    b: Path,
    structures: Path | None,
    names: tuple[str, ...],
    plane_spacing: float | None,
    unit: str | None,
    axes: str,
    strangers: bool,
    pass_from: float,
    fail_below: float,
    as_json: bool,
    **criteria: Any,
) -> int:
    """Compare the dose B with the reference dose A (RTDOSE, .npz or .3ddose files).

    Differences are B minus A at A's voxels, B linear between its own, in percent of the
    normalisation dose, of points at the threshold or above; points outside of B's grid are
    counted apart and never taken as zero. Exit code 0 (pass), 2 (review) or 1 (fail) by
    gamma's pass rate: 95 % and 90 % by default (AAPM TG-218 and MPPG 5.b).
    """
    from dosecalc.analysis.difference import dose_difference
    from dosecalc.analysis.gamma import gamma_index
    from dosecalc.cli.gamma import gamma_criteria
    from dosecalc.errors import InputError
    from dosecalc.workflow.doses import (
        read_any_dose,
        read_structure_file,
        refuse_strangers,
        structure_notes,
    )

    if names and structures is None:
        raise InputError("--structure: only with --structures, the file they are in")
    gamma_outcome(100.0, pass_from, fail_below)
    first, second = (read_any_dose(path, unit=unit, axes=axes, plane=True) for path in (a, b))
    notes = [*first.notes, *second.notes, *refuse_strangers(first, second, accepted=strangers)]
    pairs: list[tuple[StructureDvh, StructureDvh]] = []
    if structures is not None:
        drawn = read_structure_file(structures, plane_spacing)
        for one in (first, second):
            notes += refuse_strangers(one, drawn, accepted=strangers)
        pairs = _histograms(drawn, names, (first, second))
        notes += structure_notes(drawn, names)
    made = gamma_criteria(**criteria)
    difference = dose_difference(
        first.dose,
        second.dose,
        normalisation=made.normalisation,
        threshold_percent=made.threshold_percent,
    )
    gamma = gamma_index(first.dose, second.dose, made)
    outcome = gamma_outcome(gamma.pass_percent, pass_from, fail_below)
    notes += [*gamma.notes, *(row.remark for pair in pairs for row in pair if row.remark)]
    limits = {"pass_from_percent": pass_from, "fail_below_percent": fail_below}
    shown = {
        "a": str(a),
        "b": str(b),
        "unit": first.dose.unit,
        "limits": limits | {"source": GAMMA_LIMITS_SOURCE},
        "outcome": outcome.name.lower(),
        "notes": list(dict.fromkeys(notes)),
    }
    _show(shown, difference, gamma, pairs, as_json=as_json)
    return int(outcome.exit_code)


def _histograms(
    structures: NamedStructures,
    names: Sequence[str],
    doses: tuple[NamedDose, NamedDose],
) -> list[tuple[StructureDvh, StructureDvh]]:
    from dosecalc.cli.dvh import chosen_structures, dvh_of

    rows = []
    for one in chosen_structures(structures, names):
        a, b = (dvh_of(one, d.dose, refuse=bool(names)) for d in doses)
        rows.append((a, b))
    return rows


def _show(
    shown: dict[str, Any],
    difference: DoseDifference,
    gamma: Any,
    pairs: Sequence[tuple[StructureDvh, StructureDvh]],
    *,
    as_json: bool,
) -> None:
    from dosecalc.cli._say import say, say_json, show
    from dosecalc.cli.dvh import dvh_record
    from dosecalc.cli.gamma import gamma_facts, gamma_record
    from dosecalc.report.tables import fact_table

    if as_json:
        records = [{"a": dvh_record(x), "b": dvh_record(y)} for x, y in pairs]
        record = {
            **shown,
            "difference": _difference_record(difference),
            "gamma": gamma_record(gamma),
            "structures": records,
        }
        say_json(record)
        return
    show(fact_table(_difference_facts(difference, shown["unit"]), "B minus A"))
    show(fact_table(gamma_facts(gamma, shown["unit"]), "gamma, A is the reference"))
    if pairs:
        show(_table(pairs, shown["unit"], difference.normalisation))
    limits = shown["limits"]
    say(
        f"{shown['outcome'].upper()}: pass from {limits['pass_from_percent']:g} %, fail below "
        f"{limits['fail_below_percent']:g} % of points with gamma up to 1 ({limits['source']})"
    )
    print_notes(shown["notes"])


def _difference_record(one: DoseDifference) -> dict[str, Any]:
    from dataclasses import fields

    kept = [f.name for f in fields(one) if f.name not in ("grid", "percent")]
    return {name: getattr(one, name) for name in kept}


def _difference_facts(one: DoseDifference, unit: str) -> list[tuple[str, str]]:
    place = "x {:.1f}, y {:.1f}, z {:.1f} mm".format(*one.worst_position)
    rows = [
        ("100 %", f"{one.normalisation:.5g} {unit}; points from {one.threshold_percent:g} % up"),
        ("mean, rms", f"{one.mean_percent:+.3f} %, {one.rms_percent:.3f} %"),
        ("99th percentile", f"{one.p99_percent:.3f} % (of absolute differences)"),
        (
            "worst voxel",
            f"{one.worst_percent:+.3f} % at {place}: A {one.worst_reference:.5g}, "
            f"B {one.worst_evaluated:.5g} {unit}",
        ),
    ]
    if one.outside:
        rows.append(("outside", f"{one.outside} of {one.points} points lie outside of B's grid"))
    return rows


def _table(
    pairs: Sequence[tuple[StructureDvh, StructureDvh]], unit: str, normalisation: float
) -> Any:
    """Lay out doses of each structure in A and B, and the largest of their differences."""
    from dosecalc.cli.dvh import dvh_record, volume_text
    from dosecalc.report.tables import TextTable

    title = f"structures: doses in {unit}; largest of B - A, % of {normalisation:.5g} {unit}"
    table = TextTable(title)
    table.head("structure", bold=True)
    headings = [heading for key in _COLUMNS for heading in (f"{key} A", f"{key} B")]
    table.head("cm3", *headings, "largest", numeric=True)
    for x, y in pairs:
        a, b = dvh_record(x), dvh_record(y)
        if "D98" not in a or "D98" not in b:
            table.put(a["name"], *["-"] * (2 + len(headings)))
            continue
        doses = [f"{record[key]:.2f}" for key in _COLUMNS for record in (a, b)]
        largest = max((b[key] - a[key] for key in _COLUMNS), key=abs)
        share = f"{100 * largest / normalisation:+.2f}"
        table.put(a["name"], volume_text(a["volume_cm3"]), *doses, share)
    return table
