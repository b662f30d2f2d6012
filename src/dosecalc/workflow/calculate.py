"""A dose as a folder: calculated, written, recorded."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dosecalc.errors import InputError
from dosecalc.io.dicom import DvhCurve, references_for, write_dose
from dosecalc.io.dose_files import write_npz_dose
from dosecalc.model import Dose, Plan
from dosecalc.records.record import (
    NOT_CHECKED,
    NOT_CHECKED_RECIPE,
    file_sha256,
    run_record,
    to_json,
)
from dosecalc.records.result import Result, evaluate
from dosecalc.records.seal import sealed
from dosecalc.report.picture import draw_result
from dosecalc.verification.checks.inputs import unused_structures
from dosecalc.workflow.beam_hits import hits_of, refuse_low, refuse_missing
from dosecalc.workflow.engines import calculate_dose, engine_settings
from dosecalc.workflow.output import check_output, output_folder, refuse_over_inputs
from dosecalc.workflow.prepare import Prepared, prepare
from dosecalc.workflow.progress import Stages
from dosecalc.workflow.recorded import options_record
from dosecalc.workflow.requests import DoseRequest

__all__ = ["Outcome", "calculate", "calculate_into", "write_calculated"]

_DVH_BINS = 1000


@dataclass(frozen=True)
class Outcome:
    """A finished calculation: facts to read first, the result, its record, where it lies."""

    facts: tuple[tuple[str, str], ...]
    result: Result
    record: dict[str, Any]
    folder: Path


def calculate_into(options: DoseRequest, stages: Stages) -> Outcome:
    """Calculate and put everything into the folder the options name, completely or not at all.

    Raises
    ------
    DosecalcError
        The input is refused, or the output folder cannot be written.
    """
    out = options.output.out or Path(f"{options.path.resolve().stem}-dose")
    refuse_over_inputs(out, options.path, (*options.machines, options.phantom.hu_curve))
    check_output(out, force=options.output.force)
    with output_folder(out, force=options.output.force) as temporary:
        outcome = calculate(options, temporary, stages)
    return replace(outcome, folder=out)


def calculate(options: DoseRequest, folder: Path, stages: Stages) -> Outcome:
    """Calculate and write dose, picture and record into a folder that is there."""
    # Settings that cannot be are refused before the case is read.
    engine_settings(options.engine)
    asked = options_record(options, folder)
    prepared = prepare(options, stages)
    hits = hits_of(prepared, options)
    said = refuse_missing(prepared, options, hits)
    dose = _fraction(prepared, options, stages)
    said += refuse_low(prepared, options, hits, dose)
    dose = _dose(prepared, options, dose)
    return write_calculated(prepared, options, dose, folder, stages, asked=asked, notes=said)


def write_calculated(
    prepared: Prepared,
    options: DoseRequest,
    dose: Dose,
    folder: Path,
    stages: Stages,
    *,
    asked: Mapping[str, Any],
    notes: Sequence[str] = (),
    also: Sequence[Path] = (),
) -> Outcome:
    """Write a dose that was calculated, its picture and its record, into a folder that is there.

    Parameters
    ----------
    prepared : Prepared
        What it was calculated on.
    options : DoseRequest
    dose : Dose
        Of what is written: one fraction, or the whole plan.
    folder : Path
    stages : Stages
    asked : mapping
        The options as the record states them.
    notes : sequence of str
        What is to be said besides what was said when the case was prepared.
    also : sequence of Path
        Further outputs that lie in the folder already, such as a plan.
    """
    case, said = prepared.case, tuple(notes)
    if case is not None:
        said += unused_structures(case.structures, options.phantom.named_structures)
    with stages.stage("histograms of the structures"):
        result = evaluate(
            prepared.label,
            dose,
            prepared.phantom,
            prepared.plan,
            structures=None if case is None else case.structures,
            ct=None if case is None else case.ct,
            notes=(*prepared.notes, *said),
        )
    with stages.stage("writing the dose"):
        written = _write_dose(result, prepared, folder)
    with stages.stage("drawing the picture"):
        picture = draw_result(result, folder / "picture.png")
    values = run_record(
        result,
        command=sys.argv,
        inputs=prepared.inputs,
        outputs={path.name: file_sha256(path) for path in (*also, *written, picture)},
        timings_s=stages.seconds,
        choices=dict(prepared.choices) | {"options": asked},
        not_checked=NOT_CHECKED_RECIPE if case is None else NOT_CHECKED,
    )
    record = sealed(values)
    (folder / "run.json").write_text(to_json(record), encoding="utf-8")
    return Outcome(prepared.facts, result, record, folder)


def _fraction(prepared: Prepared, options: DoseRequest, stages: Stages) -> Dose:
    with stages.stage("calculating the dose") as advance:
        return calculate_dose(prepared, options.engine, advance)


def _dose(prepared: Prepared, options: DoseRequest, dose: Dose) -> Dose:
    """Bring the dose of a fraction to what was asked for."""
    if dose.unit != "Gy" or options.per_fraction:
        return dose
    return _over_all_fractions(dose, prepared.plan)


def _over_all_fractions(dose: Dose, plan: Plan) -> Dose:
    if plan.fractions is None:
        raise InputError("the number of fractions is not known; say --per-fraction")
    return dose.total


def _write_dose(result: Result, prepared: Prepared, folder: Path) -> list[Path]:
    """Write RTDOSE for a patient, arrays for a recipe and wherever voxels have uncertainties."""
    dose, written = result.dose, []
    if prepared.case is not None:
        place, references = folder / "RTDOSE.dcm", references_for(prepared.case)
        written.append(write_dose(dose, place, references, dvhs=_dvh_curves(result)))
    if prepared.case is None or dose.uncertainty is not None:
        written.append(write_npz_dose(dose, folder / "dose.npz"))
    return written


def _dvh_curves(result: Result) -> list[DvhCurve]:
    """Histograms for the RTDOSE, of structures that lie completely within the dose grid."""
    levels = np.linspace(0.0, max(result.maximum[0], 1e-6), _DVH_BINS)
    return [
        DvhCurve(s.dvh.number, levels, s.dvh.volume_at_dose(levels))
        for s in result.structures
        if s.dvh is not None and s.dvh.is_complete
    ]
