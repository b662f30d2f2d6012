"""What the command says of folders whose files are of two names, or hold no CT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from dosecalc.cli.main import REFUSED, main
from dosecalc.io.dicom import Subject, write_ct, write_plan, write_structures
from dosecalc.model import (
    Beam,
    Contour,
    ControlPoint,
    CtImage,
    Grid,
    PatientPosition,
    Plan,
    Structure,
    StructureSet,
)

SUBJECT = Subject("P1", "Folder^Test", "1.2.3")
GRID = Grid(shape=(4, 4, 5), spacing=(4.0, 5.0, 3.0), origin=(-8.0, -7.5, 0.0))
CALC = ("--machine", "generic-6mv", "--hu-curve", "generic-120kvp", "--no-progress")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A CT of four slices, a body and a plan."""
    root = tmp_path / "case"
    ct = CtImage(
        GRID,
        np.zeros(GRID.shape, dtype=np.float32),
        PatientPosition.HFS,
        patient_id="P1",
        patient_name="Folder^Test",
        study_uid="1.2.3",
        series_uid="1.2.30",
        frame_of_reference_uid="1.2.4",
        slice_uids=("1.2.31", "1.2.32", "1.2.33", "1.2.34"),
        kvp=120.0,
    )
    square = np.array([[-6.0, -6.0], [6.0, -6.0], [6.0, 6.0], [-6.0, 6.0]])
    body = Structure(1, "BODY", "EXTERNAL", tuple(Contour(3.0 * k, square) for k in range(4)))
    drawn = StructureSet(
        (body,), "drawn", "1.2.60", frame_of_reference_uid="1.2.4", image_series_uid="1.2.30"
    )
    states = tuple(
        ControlPoint(f, 0.0, 0.0, 0.0, (0.0, 0.0, 4.5), (-20.0, 20.0), (-20.0, 20.0))
        for f in (0.0, 1.0)
    )
    plan = Plan(
        (Beam(1, "field", 6.0, "STANDARD", "linac", 1000.0, 100.0, states),),
        PatientPosition.HFS,
        fractions=1,
        uid="1.2.50",
        structure_set_uid="1.2.60",
        frame_of_reference_uid="1.2.4",
        patient_id="P1",
    )
    write_ct(ct, root / "ct")
    write_structures(drawn, root / "set.dcm", ct=ct, subject=SUBJECT)
    write_plan(plan, root / "plan.dcm", subject=SUBJECT)
    return root


def edit(path: Path, **attributes: object) -> None:
    ds = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.save_as(path)


def test_info_takes_two_spellings_and_a_reason_for_two_names(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(folder / "plan.dcm", PatientName="FOLDER, TEST Q")
    assert main(["info", str(folder)]) == 0
    assert "PatientName is written in different ways" in " ".join(capsys.readouterr().out.split())
    edit(folder / "plan.dcm", PatientName="Somebody^Else")
    assert main(["info", str(folder)]) == REFUSED
    assert "--same-patient REASON" in capsys.readouterr().err
    assert main(["info", str(folder), "--same-patient", "name changed"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "taken as one patient's, as the user states: name changed" in said
    assert main(["calc", str(folder), *CALC, "--same-patient", " "]) == REFUSED
    assert "needs the reason" in capsys.readouterr().err


def test_mr_in_place_of_the_ct_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (folder / "ct").iterdir():
        edit(path, SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR")
    assert main(["calc", str(folder), *CALC]) == REFUSED
    assert "drawn on 4 MR images, which have no Hounsfield units" in capsys.readouterr().err
    assert main(["calc", str(folder), *CALC, "--incomplete"]) == REFUSED
    said = capsys.readouterr().err
    assert "no CT to calculate on (there: 4 files of MR Image Storage" in said
    assert "--inside water" in said
