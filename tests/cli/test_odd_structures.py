"""Patients with a body whose planes are missing, or with a structure that cannot be used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dosecalc.cli.main import main

QUICK = (
    *("--machine", "generic-6mv", "--hu-curve", "generic-120kvp"),
    *("--grid", "12", "--no-progress"),
)


def roi(ds: Dataset, name: str) -> Dataset:
    """Contours of an ROI."""
    number = next(r.ROINumber for r in ds.StructureSetROISequence if r.ROIName == name)
    return next(r for r in ds.ROIContourSequence if r.ReferencedROINumber == number)


def changed(patient: Path, folder: Path, name: str, change: Callable[[Dataset], None]) -> Path:
    """Copy a patient with one ROI changed."""
    shutil.copytree(patient, folder)
    ds = pydicom.dcmread(folder / "RTSTRUCT.dcm")
    change(roi(ds, name))
    ds.save_as(folder / "RTSTRUCT.dcm")
    return folder


def dose_of(folder: Path, out: Path) -> tuple[np.ndarray, list[str]]:
    """Calculate quickly; the dose in Gy, and the notes."""
    engine = ("--engine", "pencil-beam", "--out", str(out))
    assert main(["calc", str(folder), *QUICK, *engine]) == 0
    ds = pydicom.dcmread(out / "RTDOSE.dcm")
    notes = json.loads((out / "run.json").read_text(encoding="utf-8"))["notes"]
    return ds.pixel_array * float(ds.DoseGridScaling), notes


def without_planes_about_the_isocentre(body: Dataset) -> None:
    kept = [c for c in body.ContourSequence if not -8 < float(c.ContourData[2]) < 8]
    assert len(kept) < len(body.ContourSequence)
    body.ContourSequence = kept


def tilted(drawn: Dataset) -> None:
    values = [float(v) for v in drawn.ContourSequence[0].ContourData]
    values[2] += 1.0
    drawn.ContourSequence[0].ContourData = values


def test_a_body_with_missing_planes_keeps_its_dose_and_says_so(
    patient: Path, tmp_path: Path
) -> None:
    clean, _ = dose_of(patient, tmp_path / "clean")
    gap = changed(patient, tmp_path / "gap", "BODY", without_planes_about_the_isocentre)
    dose, notes = dose_of(gap, tmp_path / "out")
    # The thorax phantom is the same on every slice of the gap, so nothing may change.
    np.testing.assert_allclose(dose, clean, atol=1e-4 * clean.max())
    assert any(note.startswith("body: no contour between z = -10.5 and 10.5 mm") for note in notes)


def test_a_structure_that_cannot_be_used_is_refused_only_where_it_is_named(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = changed(patient, tmp_path / "odd", "HEART", tilted)
    _, notes = dose_of(odd, tmp_path / "out")
    assert any(note.startswith("HEART: left out: contour 1: its z runs from") for note in notes)
    template = tmp_path / "goals.toml"
    template.write_text(
        'name = "t"\nversion = "1"\n'
        '[[goal]]\nstructure = "HEART"\nquantity = "mean"\nat_most = 5\nsource = "x"\n',
        encoding="utf-8",
    )
    for words in (
        ["calc", str(odd), *QUICK, "--override", "HEART=1.0"],
        ["calc", str(odd), *QUICK, "--body", "HEART"],
        ["calc", str(odd), *QUICK, "--couch", "HEART"],
        ["verify", str(odd), *QUICK, "--template", str(template)],
    ):
        capsys.readouterr()
        assert main([*words, "--out", str(tmp_path / "never")]) == 3
        said = capsys.readouterr().err
        assert "structure 'HEART' cannot be used" in said
        assert "its z runs from" in said
    assert not (tmp_path / "never").exists()


def test_a_body_that_cannot_be_used_is_refused_with_its_reason(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = changed(patient, tmp_path / "odd", "BODY", tilted)
    assert main(["calc", str(odd), *QUICK, "--out", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert "the body: structure 'BODY' cannot be used" in said
    assert "its z runs from" in said
