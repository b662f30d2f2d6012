"""The dose a verification is held against: what is said of where it comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dosecalc.errors import InputError
from dosecalc.io.dicom import DoseReferences, Subject, import_folder, write_dose, write_plan
from dosecalc.io.dose_files import write_npz_dose
from dosecalc.messages.findings import Outcome
from dosecalc.model import Beam, ControlPoint, Dose, Grid, PatientPosition, Plan
from dosecalc.report.page.words import load_words
from dosecalc.workflow.reference import Reading, find_reference

SUBJECT = Subject("P1", "Reference^Test", "1.2.3")
GRID = Grid(shape=(3, 4, 5), spacing=(4.0, 5.0, 3.0), origin=(-8.0, -7.5, 0.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plan and its dose."""
    point = ControlPoint(0.0, 0.0, 0.0, 0.0, (0.0, 0.0, 3.0), (-20.0, 20.0), (-30.0, 30.0))
    last = ControlPoint(1.0, 0.0, 0.0, 0.0, (0.0, 0.0, 3.0), (-20.0, 20.0), (-30.0, 30.0))
    beam = Beam(1, "field", 6.0, "STANDARD", "linac", 1000.0, 100.0, (point, last))
    plan = Plan(
        (beam,),
        PatientPosition.HFS,
        fractions=25,
        label="one",
        uid="1.2.50",
        frame_of_reference_uid="1.2.4",
        patient_id="P1",
    )
    write_plan(plan, tmp_path / "plan.dcm", subject=SUBJECT)
    dose = Dose(GRID, np.ones(GRID.shape, dtype=np.float32), "medium")
    write_dose(dose, tmp_path / "dose.dcm", DoseReferences(SUBJECT, "1.2.4", "1.2.50"))
    return tmp_path


def test_a_reference_whose_name_is_spelt_otherwise(folder: Path) -> None:
    path = folder / "dose.dcm"
    case = import_folder(folder)
    assert case.plan is not None
    for name, number, reason, findings in (
        ("Reference^Test^Q", "P1", None, 0),
        ("Somebody^Else", "P1", "the name changed", 1),
        ("Reference^Test", "P2", "the number changed", 1),
    ):
        ds = pydicom.dcmread(path)
        ds.PatientName, ds.PatientID = name, number
        ds.save_as(folder.parent / "other.dcm")
        given = folder.parent / "other.dcm"
        if findings:
            with pytest.raises(
                InputError, match=r"name the dose of this plan, or .*--same-patient"
            ):
                find_reference(case, case.plan, given)
        found = find_reference(case, case.plan, given, same_patient=reason).findings
        doubts = [one for one in found if one.rule == "patient"]
        assert len(doubts) == findings
        for one in doubts:
            assert one.outcome is Outcome.REVIEW
            assert str(reason) in one.sentence
            french = load_words("fr").message(one.message)
            assert french.startswith("des fichiers qui diffèrent par")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["WATER"], "was calculated in water ("),
        (["ROI_OVERRIDE", "WATER"], "was calculated in water, apart from structures"),
        (["IMAGE", "WATER"], "was calculated with some beams in water"),
        (["IMAGE", "ROI_OVERRIDE"], ""),
    ],
)
def test_a_reference_in_water_is_found(folder: Path, values: list[str], words: str) -> None:
    path = folder / "dose.dcm"
    ds = pydicom.dcmread(path)
    ds.TissueHeterogeneityCorrection = values
    ds.save_as(path)
    case = import_folder(folder)
    assert case.plan is not None
    for given in (None, path):
        found = find_reference(case, case.plan, given).findings
        in_water = [one for one in found if one.message.code == "reference.other_densities"]
        assert len(in_water) == bool(words)
        for one in in_water:
            assert one.outcome is Outcome.REVIEW
            assert words in one.sentence
            french = load_words("fr").message(one.message)
            assert "dans l'eau" in french
            assert "water" not in french


def test_a_reference_of_one_fraction_keeps_its_relative_uncertainty(folder: Path) -> None:
    """2 +- 0.1 Gy in each of 25 fractions are 50 +- 2.5 Gy."""
    case = import_folder(folder)
    assert case.plan is not None and case.plan.fractions == 25
    gray, spread = np.full(GRID.shape, 2.0), np.full(GRID.shape, 0.1)
    one = Dose(GRID, gray, "medium", uncertainty=spread, summation="FRACTION")
    path = write_npz_dose(one, folder.parent / "reference.npz")
    found = find_reference(case, case.plan, path)
    assert found.dose is not None and found.dose.uncertainty is not None
    assert found.dose.summation == "PLAN"
    np.testing.assert_allclose(found.dose.gray, 50.0, rtol=1e-6)
    np.testing.assert_allclose(found.dose.uncertainty, 2.5, rtol=1e-6)
    assert any("multiplied by 25" in note for note in found.notes)


def _with_beams(folder: Path, gray: dict[int, float], whole: float = 50.0) -> Path:
    """Two beams, the dose of the plan, and doses of single beams, all even."""
    case = import_folder(folder)
    assert case.plan is not None
    (first,) = case.plan.beams
    plan = replace(case.plan, beams=(first, replace(first, number=2, name="other")), uid="1.2.51")
    (folder / "plan.dcm").unlink()
    (folder / "dose.dcm").unlink()
    write_plan(plan, folder / "plan.dcm", subject=SUBJECT)
    even = np.ones(GRID.shape, dtype=np.float32)
    links = DoseReferences(SUBJECT, "1.2.4", "1.2.51", fraction_group=1)
    write_dose(Dose(GRID, whole * even, "medium"), folder / "dose.dcm", links)
    for number, value in gray.items():
        dose = Dose(GRID, value * even, "medium", summation="BEAM")
        write_dose(dose, folder / f"beam{number}.dcm", replace(links, beam_number=number))
    return folder


@pytest.mark.parametrize(
    ("gray", "each"),
    [
        ({1: 20.0, 2: 30.0}, {1: 0.8, 2: 1.2}),  # of all fractions, as DICOM defines them
        ({1: 0.8, 2: 1.2}, {1: 0.8, 2: 1.2}),  # of one fraction: their sum says so
        ({1: 20.0}, {1: 0.8}),  # not all: DICOM is believed
        ({}, {}),
    ],
)
def test_doses_of_single_beams_are_those_of_one_fraction(
    folder: Path, gray: dict[int, float], each: dict[int, float]
) -> None:
    case = import_folder(_with_beams(folder, gray))
    assert case.plan is not None
    found = find_reference(case, case.plan, None)
    assert found.beams == pytest.approx(each, rel=1e-4)
    assert not [f for f in found.findings if f.rule == "reference against plan"]
    assert len([n for n in found.notes if n.startswith("doses of single beams")]) == bool(gray)


def test_doses_of_single_beams_that_are_not_of_the_plan_are_found(folder: Path) -> None:
    case = import_folder(_with_beams(folder, {1: 20.0, 2: 40.0}))
    assert case.plan is not None
    found = find_reference(case, case.plan, None)
    (finding,) = (f for f in found.findings if f.rule == "reference against plan")
    assert finding.outcome is Outcome.REVIEW and finding.message.code == "reference.no_sum_of_beams"
    assert finding.message.values["percent"] == pytest.approx(120, abs=1)
    assert found.beams == {}


def test_a_reference_without_ties_is_a_finding(folder: Path) -> None:
    path = folder / "dose.dcm"
    ds = pydicom.dcmread(path)
    for keyword in ("FrameOfReferenceUID", "StudyInstanceUID", "ReferencedRTPlanSequence"):
        delattr(ds, keyword)
    ds.save_as(path)
    case = import_folder(folder)
    assert case.plan is not None
    for given in (None, path):
        found = find_reference(case, case.plan, given)
        assert found.dose is not None
        codes = {one.message.code for one in found.findings}
        assert {"reference.no_frame", "reference.no_plan"} <= codes


def test_a_3ddose_reference_is_read_as_the_options_say(folder: Path) -> None:
    """6 voxels of 10 mm with 2 Gy; the file has neither unit nor axes, and no patient."""
    path = folder / "reference.3ddose"
    text = "3 2 1\n0 1 2 3\n0 1 2\n0 1\n" + "2.0 " * 6 + "\n" + "0.01 " * 6
    path.write_text(text)
    case = import_folder(folder)
    assert case.plan is not None
    with pytest.raises(InputError, match="say --3ddose-unit Gy"):
        find_reference(case, case.plan, path)
    with pytest.raises(InputError, match="in Gy cm2, a plan is compared in Gy"):
        find_reference(case, case.plan, path, reading=Reading("Gy cm2"))
    found = find_reference(case, case.plan, path, reading=Reading("Gy", "+y,+x,-z"))
    assert found.dose is not None
    assert found.dose.grid.shape == (1, 3, 2)
    assert found.dose.gray.max() == 2.0
    assert any("taken as the whole plan" in note for note in found.notes)
    assert "reference.no_owner" in [one.message.code for one in found.findings]
    with pytest.raises(InputError, match=r"--3ddose-unit: .*dose.dcm is no .3ddose file"):
        find_reference(case, case.plan, folder / "dose.dcm", reading=Reading("Gy"))
