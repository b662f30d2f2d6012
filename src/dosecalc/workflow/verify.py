"""A verification as a folder: examined, reports and record written."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dosecalc.errors import DosecalcError, InputError
from dosecalc.io.dicom import references_for, write_dose
from dosecalc.records.record import file_sha256, run_record, to_json
from dosecalc.records.result import evaluate
from dosecalc.records.seal import sealed
from dosecalc.report.page.build import write_page
from dosecalc.report.page.printed import write_pdf
from dosecalc.verification.as_values import verification_values
from dosecalc.verification.evaluate import NEVER_CHECKED
from dosecalc.verification.verification import Verification
from dosecalc.workflow.examine import examine
from dosecalc.workflow.output import PARTIAL, check_output, output_folder, refuse_over_inputs
from dosecalc.workflow.progress import Stages
from dosecalc.workflow.recorded import options_record
from dosecalc.workflow.requests import VerifyOptions

__all__ = ["Verified", "verify_case", "verify_into"]


@dataclass(frozen=True)
class Verified:
    """A finished verification, as it was written, and where."""

    verification: Verification
    values: dict[str, Any]
    folder: Path


def verify_into(options: VerifyOptions, stages: Stages) -> Verified:
    """Verify and put everything into the output folder, completely or not at all.

    Raises
    ------
    DosecalcError
        The input is refused, or the output folder cannot be written.
    """
    calc = options.calcs[0]
    out = calc.out or Path(f"{calc.path.resolve().stem}-verification")
    named = (options.reference, options.template, options.tolerances)
    refuse_over_inputs(out, calc.path, (*named, *calc.machines, calc.hu_curve))
    check_output(out, force=calc.force)
    try:
        with output_folder(out, force=calc.force) as folder:
            verified = verify_case(options, folder, stages)
    except DosecalcError as error:
        if not (out / "verification.json").exists():
            raise
        raise type(error)(f"{error}. What lies in {out} is of an earlier run") from error
    return replace(verified, folder=out)


def verify_case(options: VerifyOptions, folder: Path, stages: Stages) -> Verified:
    """Verify and write into a folder that is there."""
    asked = options_record(options, folder)
    prepared, verification, choices = examine(options, stages)
    case, calculated = prepared.case, verification.calculated
    if case is None:
        raise InputError(f"{options.calcs[0].path} holds no patient")
    result = evaluate(
        prepared.label,
        calculated,
        prepared.phantom,
        prepared.plan,
        structures=case.structures,
        ct=case.ct,
        notes=prepared.notes,
    )
    with stages.stage("writing the report"):
        written = write_dose(calculated, folder / "RTDOSE.dcm", references_for(case))
        record = run_record(
            result,
            command=sys.argv,
            inputs=prepared.inputs,
            outputs={"RTDOSE.dcm": file_sha256(written)},
            timings_s=stages.seconds,
            choices=choices | {"options": asked},
            not_checked=NEVER_CHECKED,
        )
        record |= {
            "calculated_at": datetime.now().astimezone().isoformat(timespec="seconds"),
            "patient": {"id": case.subject.patient_id, "name": case.subject.patient_name},
        }
        verification = replace(verification, record=record)
        page, printed, values_file = (
            folder / (name + PARTIAL) for name in ("report.html", "report.pdf", "verification.json")
        )
        write_page(verification, page, options.language)
        write_pdf(verification, printed, options.language)
        # The reports show the record; that they are these is said in the record beside them.
        hashes = {one.name.removesuffix(PARTIAL): file_sha256(one) for one in (page, printed)}
        hashes = record["outputs_sha256"] | hashes
        verification = replace(verification, record=record | {"outputs_sha256": hashes})
        values = sealed(verification_values(verification))
        values_file.write_text(to_json(values), encoding="utf-8")
        for one in (page, printed, values_file):
            one.rename(one.with_name(one.name.removesuffix(PARTIAL)))
    return Verified(verification, values, folder)
