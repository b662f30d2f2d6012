"""A real thorax CT from the plan writer through the command to an RTDOSE that reads back."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from dosecalc.cli.main import PASSED, main
from dosecalc.io.dicom import import_folder, read_dose_file
from dosecalc.model import Dose
from dosecalc.workflow import calculate as calculating

EXAMPLE = Path(__file__).parents[2] / "examples" / "four_field_plan.py"


def test_four_fields_on_a_thorax(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient, out = tmp_path / "patient", tmp_path / "out"
    arguments = [str(EXAMPLE), str(samples / "lung1-001-tcia"), "PTV-1", str(patient)]
    arguments += ["--engine", "pencil-beam", "--grid", "6"]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    written: list[Dose] = []
    original = calculating.write_dose

    def remember(dose: Dose, *others: object, **named: object) -> Path:
        written.append(dose)
        return original(dose, *others, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(calculating, "write_dose", remember)
    options = ["--machine", "generic-6mv", "--hu-curve", "generic-120kvp", "--body", "Patient"]
    code = main(["calc", str(patient), *options, "--grid", "6", "--out", str(out), "--no-progress"])
    assert code == PASSED
    (dose,) = written
    again = read_dose_file(out / "RTDOSE.dcm").dose
    assert again.grid.shape == dose.grid.shape
    # What a planning system would notice: a tenth of a millimetre, a thousandth of the dose.
    np.testing.assert_allclose(again.grid.origin, dose.grid.origin, rtol=0, atol=0.1)
    np.testing.assert_allclose(again.grid.spacing, dose.grid.spacing, rtol=0, atol=1e-3)
    np.testing.assert_allclose(again.gray, dose.gray, rtol=1e-3, atol=1e-6 * dose.gray.max())
    case = import_folder(patient)
    assert case.plan is not None and case.structures is not None
    top = np.unravel_index(int(again.gray.argmax()), again.gray.shape)
    x, y, z = np.array(again.grid.origin) + np.array(top[::-1]) * again.grid.spacing
    target = case.structures["PTV-1"].contours
    points = np.vstack([contour.points for contour in target])
    planes = [contour.z for contour in target]
    # 30 mm: the four fields overlap in the target and its margin, and have their build-up there.
    assert (points.min(axis=0) - 30 < (x, y)).all() and (points.max(axis=0) + 30 > (x, y)).all()
    assert min(planes) - 30 < z < max(planes) + 30
