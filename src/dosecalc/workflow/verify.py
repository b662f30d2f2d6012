"""A verification as a folder: examined, reports and record written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
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
from dosecalc.workflow.prepare import Prepared
from dosecalc.workflow.progress import Stages
from dosecalc.workflow.recorded import options_record
from dosecalc.workflow.requests import VerificationRequest

__all__ = ["Examination", "Verified", "examined", "verify_case", "verify_into"]


@dataclass(frozen=True)
class Verified:
    """A finished verification, as it was written, and where."""

    verification: Verification
    values: dict[str, Any]
    folder: Path


def verify_into(options: VerificationRequest, stages: Stages) -> Verified:
    """Verify and put everything into the output folder, completely or not at all.

    Raises
    ------
    DosecalcError
        The input is refused, or the output folder cannot be written.
    """
    calc = options.calcs[0]
    out = calc.output.out or Path(f"{calc.path.resolve().stem}-verification")
    return _written(
        options, out, calc.output.force, lambda folder: verify_case(options, folder, stages)
    )


def _written(
    options: VerificationRequest, out: Path, force: bool, write: Callable[[Path], Verified]
) -> Verified:
    """Let an output folder be written, completely or not at all."""
    calc = options.calcs[0]
    named = (options.reference, options.template, options.tolerances)
    refuse_over_inputs(out, calc.path, (*named, *calc.machines, calc.phantom.hu_curve))
    check_output(out, force=force)
    try:
        with output_folder(out, force=force) as folder:
            verified = write(folder)
    except DosecalcError as error:
        if not (out / "verification.json").exists():
            raise
        raise type(error)(f"{error}. What lies in {out} is of an earlier run") from error
    return replace(verified, folder=out)


def verify_case(options: VerificationRequest, folder: Path, stages: Stages) -> Verified:
    """Verify and write into a folder that is there."""
    asked = options_record(options, folder)
    return _write(Examination(options, *examine(options, stages), stages, asked), folder)


@dataclass(frozen=True)
class Examination:
    """A plan that was verified; nothing is written yet.

    Parameters
    ----------
    options : VerificationRequest
    prepared : Prepared
    verification : Verification
    choices : mapping
        What the user decided, for the record.
    stages : Stages
    asked : mapping
        The options as the record states them, with the hashes of their files.
    """

    options: VerificationRequest
    prepared: Prepared
    verification: Verification
    choices: Mapping[str, Any]
    stages: Stages
    asked: Mapping[str, Any]

    def write(self, out: Path, *, language: str = "en", force: bool = False) -> Verified:
        """Write reports and record into an output folder, as ``dosecalc verify`` does.

        Parameters
        ----------
        out : Path
            Anything in it that is not an earlier output is never replaced.
        language : {"en", "fr"}
            Of the PDF, and in which the page opens.
        force : bool
            Replace an earlier output.

        Raises
        ------
        InputError
            The folder cannot be written, or a file that an option names has changed since.
        """
        options = replace(self.options, language=language)

        def write(folder: Path) -> Verified:
            asked = options_record(options, folder)
            if _contents(asked) != _contents(self.asked):
                raise InputError(
                    "a file that the verification was made with has changed since; verify again"
                )
            return _write(replace(self, options=options, asked=asked), folder)

        return _written(options, out, force, write)


def examined(options: VerificationRequest, stages: Stages) -> Examination:
    """Verify and write nothing.

    Raises
    ------
    DosecalcError
        The input is refused.
    """
    asked = options_record(options, Path.cwd())
    return Examination(options, *examine(options, stages), stages, asked)


def _contents(asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and hashes of the files that recorded options name."""
    return [(one["name"], one["sha256"]) for one in asked["files"]]


def _write(done: Examination, folder: Path) -> Verified:
    """Write what was examined into a folder that is there."""
    options, prepared, verification = done.options, done.prepared, done.verification
    stages, asked = done.stages, done.asked
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
            choices=dict(done.choices) | {"options": asked},
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
