"""Print which rule finds which planted error, as the tables of docs/verification.md.

    python -m tests.planted.table
    python -m tests.planted.table ../shared/dicom-samples
    python -m tests.planted.table ../shared/dicom-samples doses

The first form prints what has to find each error, as the tests hold it and the docs show it. The
second prints every rule that speaks, in both patients, the third errors of the reference's dose
and right plans, with what each does to the target. These two take some minutes: every error is
planted, and its plan judged.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dosecalc.errors import DosecalcError
from dosecalc.messages.findings import Outcome
from dosecalc.verification.evaluate import judge
from dosecalc.verification.inputs import Evidence
from dosecalc.verification.tolerances import load_tolerances
from dosecalc.verification.verification import Verification
from tests.planted.clean import CLEAN, Clean
from tests.planted.doses import DOSE_ERRORS, DoseError, effect_of
from tests.planted.errors import CLIPPED, DICOM_ERRORS, PLAN_ERRORS, Planted
from tests.planted.patients import Patient, arc_patient, lung_patient, thorax_patient
from tests.planted.verifying import calculated_once, evidence_of, planted_in, spoken

__all__ = ["clean_row", "dose_row", "expected_rows", "found"]


def found(patient: Patient, error: Planted, place: Path) -> str:
    """Outcome, and the rules behind it or the first words of the refusal."""
    try:
        verification = planted_in(patient, error, place)
    except DosecalcError as refusal:
        return f"REFUSED: {str(refusal).splitlines()[0][:90]}"
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return f"{verification.outcome.name}: {_rules(verification)}"


def expected_rows() -> list[str]:
    """Rows of the errors of plans and files, and what has to find each."""
    rows = ["| error | has to be found by |", "|---|---|"]
    for error in (*PLAN_ERRORS, CLIPPED, *DICOM_ERRORS):
        words = error.refusal.replace("|", '" or "')
        by = ", ".join(error.rules) or f'refused: "{words}"'
        rows.append(f"| {error.name} | {by} |")
    return rows


def _rules(verification: Verification) -> str:
    """Rules that speak, the worst first."""
    rules = [f.rule for f in sorted(verification.findings, key=lambda f: -f.outcome)]
    loud = spoken(verification)
    return ", ".join(rule for rule in dict.fromkeys(rules) if rule in loud)


def dose_row(name: str, right: Evidence, error: DoseError) -> str:
    """Row of an error of the reference's dose: verdict, rules, and what it does to the target."""
    wrong = error.plant(right)
    verification = judge(wrong, load_tolerances())
    loud = spoken(verification)
    own = ", ".join(error.rules) if loud >= set(error.rules) else "NOT FOUND"
    effect = effect_of(right, wrong)
    numbers = ["as it was", "", ""]
    if effect is not None:
        numbers = [f"{effect.mean:+.1f}", f"{effect.worst:+.0f}", f"{effect.connected_cm3:.1f}"]
    cells = (error.name, error.size, name, verification.outcome.name, own, *numbers)
    return "| " + " | ".join(cells) + " |"


def clean_row(name: str, right: Evidence, clean: Clean) -> str:
    """Row of a right plan: verdict, and what came nearest to a limit of the rules on places."""
    verification = judge(clean.change(right), load_tolerances())
    most = max(
        (f for f in verification.findings if f.judged and f.review and f.unit in ("%", "cm3")
         and f.rule != "gamma" and f.value is not None),
        key=lambda f: abs(f.value or 0.0) / (f.review or 1.0),
    )  # fmt: skip
    verdict = verification.outcome.name
    if verification.outcome is not Outcome.PASS:
        verdict += f": {_rules(verification)}"
    nearest = f"{most.rule}: {most.value:.2f} of {most.review:g} {most.unit}"
    return f"| {clean.name} | {name} | {verdict} | {nearest} |"


def _doses(patients: Mapping[str, Patient]) -> None:
    known = {name: evidence_of(patient) for name, patient in patients.items()}
    print("| error | size | patient | verdict | rules it is planted for | target mean % | ", end="")
    print("worst voxel % | cm3 beyond 10 % |\n|---|---|---|---|---|---|---|---|")
    for error in DOSE_ERRORS:
        for name in error.patients:
            print(dose_row(name, known[name], error), flush=True)
    print("\n| right plan | patient | verdict | nearest to its limit |\n|---|---|---|---|")
    for clean in CLEAN:
        for name in clean.patients:
            print(clean_row(name, known[name], clean), flush=True)


def main() -> None:
    """Print the tables."""
    if len(sys.argv) == 1:
        print("\n".join(expected_rows()))
        return
    work = Path(tempfile.mkdtemp())
    patients = {
        "thorax": thorax_patient(work / "thorax"),
        "lung": lung_patient(Path(sys.argv[1]), work / "lung"),
    }
    with calculated_once():
        if sys.argv[2:] == ["doses"]:
            _doses(patients | {"arc": arc_patient(work / "arc")})
        else:
            print("| error | synthetic thorax | real CT |\n|---|---|---|")
            for error in (*PLAN_ERRORS, CLIPPED, *DICOM_ERRORS):
                cells = [found(one, error, work / "planted") for one in patients.values()]
                print("| " + " | ".join((error.name, *cells)) + " |", flush=True)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
