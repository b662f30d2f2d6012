"""A calculated dose as the RTDOSE of a patient folder that was read."""

from __future__ import annotations

from pathlib import Path

from dosecalc.io.dicom.dose_writer import write_dose
from dosecalc.io.dicom.folder import Case, references_for
from dosecalc.model import Dose
from dosecalc.model.methods import fill

__all__ = ["write_case_dose"]


def write_case_dose(dose: Dose, path: Path, case: Case) -> Path:
    """Write a dose as an RTDOSE file that refers to the plan and structures of a case.

    Parameters
    ----------
    dose : Dose
        In Gy.
    path : Path
    case : Case

    Raises
    ------
    DosecalcError
        See `write_dose` and `references_for`.
    """
    return write_dose(dose, path, references_for(case))


fill("Dose.write_rtdose", write_case_dose)
