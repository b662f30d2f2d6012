"""Print which rule finds which planted error, as the tables of docs/verification.md.

    python -m tests.planted.table ../shared/dicom-samples

Takes some minutes: every error is planted in the phantom and in the real CT.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from dosecalc.errors import DosecalcError
from tests.planted.errors import CLIPPED, DICOM_ERRORS, PLAN_ERRORS, Planted
from tests.planted.patients import Patient, lung_patient, thorax_patient
from tests.planted.verifying import planted_in, spoken


def found(patient: Patient, error: Planted, place: Path) -> str:
    """Outcome, and the rules behind it or the first words of the refusal."""
    try:
        verification = planted_in(patient, error, place)
    except DosecalcError as refusal:
        return f"REFUSED: {str(refusal).splitlines()[0][:90]}"
    finally:
        shutil.rmtree(place, ignore_errors=True)
    rules = [f.rule for f in sorted(verification.findings, key=lambda f: -f.outcome)]
    loud = spoken(verification)
    named = ", ".join(rule for rule in dict.fromkeys(rules) if rule in loud)
    return f"{verification.outcome.name}: {named}"


def main() -> None:
    """Print the table."""
    work = Path(tempfile.mkdtemp())
    patients = (thorax_patient(work / "thorax"), lung_patient(Path(sys.argv[1]), work / "lung"))
    print("| error | synthetic thorax | real CT |\n|---|---|---|")
    for error in (*PLAN_ERRORS, CLIPPED, *DICOM_ERRORS):
        cells = [found(one, error, work / "planted") for one in patients]
        print("| " + " | ".join((error.name, *cells)) + " |", flush=True)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
