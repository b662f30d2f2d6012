"""``dosecalc dvh``: dose-volume histograms of structures in any dose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dosecalc.cli._dose_options import dose_options, measure, plane_spacing_option, print_notes

if TYPE_CHECKING:
    from dosecalc.analysis.dvh import Dvh
    from dosecalc.analysis.metrics import PlanIndices
    from dosecalc.model import Dose, Structure
    from dosecalc.workflow.doses import NamedStructures

__all__ = ["StructureDvh", "chosen_structures", "dvh", "dvh_of", "dvh_record", "volume_text"]

_LEVELS = 1001
_PICTURES = ("png", "pdf", "svg")
_COLOURS = ("#a50f15", "#08519c", "#006d2c", "#6a3d9a", "#d94801", "#303030", "#1b9e77", "#7a5230")
_DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)), (0, (1, 1)))


@dataclass(frozen=True)
class StructureDvh:
    """A structure, its histogram or None, and why there is none or what is missing in it."""

    structure: Structure
    dvh: Dvh | None
    remark: str = ""


@click.command()
@click.argument("dose", type=click.Path(path_type=Path))
@click.argument("structures", type=click.Path(path_type=Path))
@click.option("--structure", "names", multiple=True, metavar="NAME", help="Only this; repeatable.")
@click.option(
    "--quantity",
    "quantities",
    multiple=True,
    metavar="NAME",
    help="A further column, such as D95%, D2cc, V20Gy or 'V20Gy cc'; with --prescription also "
    "V95%, 'V95% cc' or 'D98% %'; repeatable.",
)
@click.option(
    "--prescription",
    **measure("Gy"),
    metavar="GY",
    help="Prescribed dose: homogeneity, conformity and gradient of the targets, and what "
    "quantities such as V95% are of.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Targets of the prescription; structures of type PTV if left out; repeatable.",
)
@click.option("--body", metavar="NAME", help="Structure that isodose volumes are taken within.")
@plane_spacing_option
@dose_options
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="File for the curves.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    help="File for the curves as a picture: .png, .pdf or .svg.",
)
@click.option("--force", is_flag=True, help="Replace those files if they are there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def dvh(
    dose: Path,
    structures: Path,
    names: tuple[str, ...],
    quantities: tuple[str, ...],
    prescription: float | None,
    targets: tuple[str, ...],
    body: str | None,
    plane_spacing: float | None,
    unit: str | None,
    axes: str,
    strangers: bool,
    csv_file: Path | None,
    picture: Path | None,
    force: bool,
    as_json: bool,
) -> int:
    """Histograms of the STRUCTURES (RTSTRUCT) in a DOSE (RTDOSE, .npz or .3ddose).

    The dose is linear between voxel centres, and the part of each voxel inside a structure is
    sampled where it lies. What lies outside the dose grid is told and never counted as zero.
    Names follow ICRU Report 83.
    """
    from dosecalc.analysis.metrics import plan_indices
    from dosecalc.errors import InputError
    from dosecalc.workflow.doses import (
        read_any_dose,
        read_structure_file,
        refuse_strangers,
        structure_notes,
    )
    from dosecalc.workflow.output import check_file, write_file

    if (targets or body) and prescription is None:
        raise InputError("--target and --body: only with --prescription")
    _refuse_shares(quantities, prescription)
    kind = "" if picture is None else _picture_kind(picture)
    for place in (csv_file, picture):
        check_file(place, force=force)
    given = read_any_dose(dose, unit=unit, axes=axes)
    drawn = read_structure_file(structures, plane_spacing)
    notes = [*given.notes, *refuse_strangers(given, drawn, accepted=strangers)]
    rows = [dvh_of(one, given.dose, refuse=bool(names)) for one in chosen_structures(drawn, names)]
    if all(row.dvh is None for row in rows):
        raise InputError(f"no structure of {structures} has a dose: {rows[0].remark}")
    indices = []
    if prescription is not None:
        wanted = _targets(drawn, targets)
        inside = None if body is None else drawn[body]
        indices = [plan_indices(t, given.dose, prescription, body=inside) for t in wanted]
        if given.dose.summation != "PLAN":
            notes.append(
                f"the dose is a {given.dose.summation} dose: is the prescription, too, of that?"
            )
    if csv_file is not None:
        write_file(csv_file, curves_csv(rows, given.dose).encode())
    if picture is not None:
        write_file(picture, _picture(rows, given.dose, kind))
    notes += [row.remark for row in rows if row.remark]
    shown = {*names, *targets, *(() if body is None else (body,))} if names else ()
    notes += structure_notes(drawn, shown)
    records = [dvh_record(row, quantities, prescription) for row in rows]
    _show(records, indices, given.dose, notes, as_json=as_json)
    return 0


def _refuse_shares(quantities: Sequence[str], prescription: float | None) -> None:
    """Refuse shares of a prescribed dose that nobody stated, and a dose that is none."""
    from dosecalc.analysis.metrics import is_of_prescription
    from dosecalc.errors import InputError

    if prescription is not None and not prescription > 0:
        raise InputError(f"--prescription {prescription:g} Gy: a dose above zero is needed")
    shares = [text for text in quantities if is_of_prescription(text)]
    if shares and prescription is None:
        raise InputError(
            f"--quantity {', '.join(shares)}: a share of the prescribed dose; say --prescription GY"
        )


def _picture_kind(path: Path) -> str:
    """Return the format that a picture's ending names."""
    from dosecalc.errors import InputError

    kind = path.suffix.lower().removeprefix(".")
    if kind not in _PICTURES:
        raise InputError(
            f"--picture {path}: a picture ends in {', '.join(f'.{k}' for k in _PICTURES)}; give "
            "the file one of these endings"
        )
    return kind


def chosen_structures(structures: NamedStructures, names: Sequence[str]) -> list[Structure]:
    """Structures by name, or all that are drawn.

    Raises
    ------
    InputError
        There is none of that name, or none is drawn.
    """
    from dosecalc.errors import InputError

    if names:
        return [structures[name] for name in dict.fromkeys(names)]
    drawn = [one for one in structures.structures if not one.is_empty]
    if not drawn:
        raise InputError(f"{structures.path} has no contours: there is nothing to look at")
    return drawn


def dvh_of(structure: Structure, dose: Dose, *, refuse: bool = False) -> StructureDvh:
    """Histogram of a structure; a remark in its place where it has none, unless `refuse`."""
    from dosecalc.analysis.dvh import structure_dvh
    from dosecalc.errors import GeometryError

    try:
        found = structure_dvh(structure, dose)
    except GeometryError as error:
        if refuse:
            raise
        return StructureDvh(structure, None, str(error))
    if found.is_complete:
        return StructureDvh(structure, found)
    return StructureDvh(
        structure,
        found,
        f"{found.outside_cm3:.4g} of {found.total_cm3:.4g} cm3 of {structure.name!r} lie outside "
        "the dose grid and are left out",
    )


def _targets(structures: NamedStructures, names: Sequence[str]) -> list[Structure]:
    from dosecalc.errors import InputError

    found = [structures[name] for name in names]
    found = found or [s for s in structures.structures.of_kind("PTV") if not s.left_out]
    if not found:
        raise InputError(
            f"{structures.path}: no structure is of type PTV; name the targets with --target"
        )
    return found


def dvh_record(
    row: StructureDvh, quantities: Iterable[str] = (), prescription: float | None = None
) -> dict[str, Any]:
    """Return the numbers of one structure as plain JSON values, Gy and cm3."""
    record: dict[str, Any] = {
        "name": row.structure.name,
        "number": row.structure.number,
        "notes": list(row.structure.notes),
    }
    found = row.dvh
    if found is None:
        return record | {"remark": row.remark}
    record |= {
        "volume_cm3": found.total_cm3,
        "outside_grid_cm3": found.outside_cm3,
        "D98": found.near_minimum_gy,
        "D50": found.median_gy,
        "D2": found.near_maximum_gy,
        "mean": found.mean_gy,
        "minimum": found.minimum_gy,
        "maximum": found.maximum_gy,
    }
    record["quantities"] = {text: _quantity(found, text, prescription) for text in quantities}
    return record


def _quantity(found: Dvh, text: str, prescription: float | None) -> dict[str, Any]:
    """Value and unit of a quantity; no value where the structure is too small for it."""
    from dosecalc.analysis.metrics import is_of_prescription, quantity
    from dosecalc.errors import GeometryError

    try:
        one = quantity(found, text, prescription)
    except GeometryError:
        return {"value": None, "unit": "%" if is_of_prescription(text) else "Gy"}
    return {"value": one.value, "unit": one.unit}


def curves_csv(rows: Iterable[StructureDvh], dose: Dose) -> str:
    """Cumulative and differential histograms, one line per structure and dose."""
    import csv
    import io

    import numpy as np

    from dosecalc.text import CELL, csv_text, shortened

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["structure", f"dose_{dose.unit}", "cumulative_cm3", "cumulative_percent",
         "differential_cm3"]
    )  # fmt: skip
    known = [row for row in rows if row.dvh is not None]
    top = max((row.dvh.maximum_gy for row in known if row.dvh), default=1.0) or 1.0
    levels = np.linspace(0.0, top, _LEVELS)
    edges = np.append(levels, np.nextafter(levels[-1], np.inf))
    for row in known:
        if row.dvh is None:
            continue
        name = csv_text(shortened(row.structure.name, CELL))
        columns = zip(
            levels, row.dvh.volume_at_dose(levels), row.dvh.percent_at_dose(levels),
            row.dvh.differential(edges), strict=True,
        )  # fmt: skip
        for values in columns:
            writer.writerow([name, *(f"{v:.6g}" for v in values)])
    return stream.getvalue()


def _picture(rows: Iterable[StructureDvh], dose: Dose, kind: str) -> bytes:
    """Cumulative histograms as a picture; curves differ in colour and dash."""
    import io

    from matplotlib.figure import Figure

    from dosecalc.report.drawn_names import drawn

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    panel = figure.add_subplot()
    top = 0.0
    for i, row in enumerate(row for row in rows if row.dvh is not None):
        if row.dvh is None:
            continue
        name = drawn(row.structure.name) + ("" if row.dvh.is_complete else " (part)")
        style: dict[str, Any] = {"color": _COLOURS[i % len(_COLOURS)]}
        row.dvh.plot(panel, ls=_DASHES[i % len(_DASHES)], lw=1.5, label=name, **style)
        top = max(top, row.dvh.maximum_gy)
    panel.set_xlim(0, 1.05 * top or 1.0)
    panel.set_ylim(0, 105)
    panel.set_xlabel(f"dose / {dose.unit}")
    panel.set_ylabel("volume receiving at least this dose / %")
    panel.grid(visible=True, color="0.85", lw=0.6)
    panel.legend(fontsize=8, handlelength=4, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, dpi=150)
    return stream.getvalue()


def _show(
    records: Sequence[dict[str, Any]],
    indices: Sequence[PlanIndices],
    dose: Dose,
    notes: Sequence[str],
    *,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    from dosecalc.cli._say import say_json, show

    if as_json:
        record = {
            "unit": dose.unit,
            "dose_to": dose.dose_to,
            "summation": dose.summation,
            "structures": records,
            "indices": [asdict(one) for one in indices],
            "notes": list(dict.fromkeys(notes)),
        }
        say_json(record)
        return
    show(_table(records, dose))
    if indices:
        show(_index_table(indices))
    print_notes(notes)


def volume_text(cm3: float) -> str:
    """Return a volume with two digits or more."""
    return f"{cm3:.1f}" if cm3 >= 100 else f"{cm3:.2f}"


def _table(records: Sequence[dict[str, Any]], dose: Dose) -> Any:
    from dosecalc.report.tables import TextTable

    table = TextTable(f"structures: doses in {dose.unit}, to {dose.dose_to}, {dose.summation}")
    table.head("structure", bold=True)
    asked: dict[str, Any] = next((r["quantities"] for r in records if "quantities" in r), {})
    keys = ("D98", "D50", "D2", "mean", "minimum", "maximum")
    more = [f"{text}\n{one['unit']}" for text, one in asked.items()]
    table.head("cm3", *(k.removesuffix("imum") for k in keys), *more, numeric=True)
    for record in records:
        if "D98" not in record:
            table.put(record["name"], *["-"] * (1 + len(keys) + len(more)))
            continue
        values = [record[k] for k in keys] + [record["quantities"][t]["value"] for t in asked]
        texts = ["-" if value is None else f"{value:.2f}" for value in values]
        table.put(record["name"], volume_text(record["volume_cm3"]), *texts)
    return table


def _index_table(indices: Sequence[PlanIndices]) -> Any:
    from dosecalc.report.tables import fact_table

    rows = []
    for one in indices:
        paddick, gradient = (
            "not defined" if value is None else f"{value:.3f}"
            for value in (one.paddick, one.gradient)
        )
        tv, piv, both, half = (
            volume_text(v)
            for v in (one.target_cm3, one.isodose_cm3, one.covered_cm3, one.half_isodose_cm3)
        )
        sentences = (
            f"prescribed {one.prescribed_gy:g} Gy; isodose volumes within {one.within}",
            f"TV {tv}, PIV {piv}, TV_PIV {both}, PIV50 {half} cm3",
            f"HI = (D2 - D98) / D50 {one.homogeneity:.3f}, RTOG PIV / TV {one.rtog:.3f}",
            f"Paddick TV_PIV^2 / (TV PIV) {paddick}, gradient PIV50 / PIV {gradient}",
            *one.notes,
        )
        rows += [(one.target, sentence) for sentence in sentences]
    return fact_table(rows, "homogeneity and conformity")
