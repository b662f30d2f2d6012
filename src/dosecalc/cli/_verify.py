"""What ``dosecalc verify`` does: examine, write a report, show it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dosecalc.cli._examine import VerifyOptions, examine
from dosecalc.cli._output import PARTIAL, check_output, output_folder, refuse_over_inputs
from dosecalc.cli._recorded import options_record
from dosecalc.cli._say import printing, say, say_heading, say_json, show
from dosecalc.cli._show import Stages
from dosecalc.errors import DosecalcError, InputError
from dosecalc.io.dicom import references_for, write_dose
from dosecalc.records.record import file_sha256, run_record, to_json
from dosecalc.records.result import evaluate
from dosecalc.records.seal import SEAL, sealed
from dosecalc.report.page.build import write_page
from dosecalc.report.page.printed import write_pdf
from dosecalc.report.tables import TextTable
from dosecalc.text import name_text
from dosecalc.verification.as_values import verification_values
from dosecalc.verification.evaluate import NEVER_CHECKED
from dosecalc.verification.verification import Verification

__all__ = ["Verified", "show_verification", "verify_case", "verify_into"]


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


def show_verification(outcome: Verified, *, as_json: bool) -> None:
    """Print verdict, rules and what was not checked."""
    with printing(outcome.folder):
        if as_json:
            say_json(outcome.values)
            return
        found = outcome.verification
        show(_rules_table(found))
        if any(one.rule == "single beam" and one.outcome for one in found.findings):
            say(
                "single beam: what would have to be changed in the calculated beam to fit the "
                "reference; an error in the plan has the opposite sign"
            )
        say_heading("not checked")
        for line in found.not_checked:
            say(f"- {line}")
        say()
        say(
            f"The program reports; a named person decides. {outcome.folder}/: report.html, "
            "report.pdf, verification.json, RTDOSE.dcm"
        )
        say(f"Seal of verification.json, to be noted elsewhere: {outcome.values[SEAL][:16]}")


def _rules_table(found: Verification) -> TextTable:
    """Lay out the findings, the worst first, under the verdict."""
    # One line of a narrow terminal, so that no line begins with what a file made of its label.
    table = TextTable(f"{name_text(found.label)}: {found.outcome.name}")
    table.head("outcome", "rule", "what was found", "review", "fail")
    for one in sorted(found.findings, key=lambda f: -f.outcome):
        limits = ("" if v is None else f"{v:g} {one.unit}" for v in (one.review, one.fail))
        name = one.outcome.name if one.outcome else "pass" if one.judged else "shown"
        table.put(name, one.rule, one.sentence, *limits)
    return table
