"""A folder: sorted by content, tied by UIDs, and refused where the ties do not hold."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

import dosecalc.io.dicom
from dosecalc.errors import DicomError, InputError
from dosecalc.io.dicom._banner import banner
from dosecalc.io.dicom._writing import Subject
from dosecalc.io.dicom.ct_writer import write_ct
from dosecalc.io.dicom.dose import DoseReferences, read_dose_file
from dosecalc.io.dicom.dose_writer import write_dose
from dosecalc.io.dicom.folder import Case, import_folder, references_for
from dosecalc.io.dicom.plan_writer import write_plan
from dosecalc.io.dicom.structures_writer import write_structures
from dosecalc.model import (
    Beam,
    Contour,
    ControlPoint,
    CtImage,
    Dose,
    Grid,
    PatientPosition,
    Plan,
    Prescription,
    Structure,
    StructureSet,
)

SUBJECT = Subject("P1", "Folder^Test", "1.2.3")
GRID = Grid(shape=(3, 8, 10), spacing=(4.0, 5.0, 3.0), origin=(-18.0, -17.5, 0.0))


def ct(**changes: object) -> CtImage:
    made = CtImage(
        GRID,
        np.full(GRID.shape, 20, dtype=np.float32),
        PatientPosition.HFS,
        patient_id="P1",
        patient_name="Folder^Test",
        study_uid="1.2.3",
        series_uid="1.2.30",
        frame_of_reference_uid="1.2.4",
        slice_uids=("1.2.31", "1.2.32", "1.2.33"),
        manufacturer="Maker",
        model_name="Scanner",
        kvp=120.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def structures(**changes: object) -> StructureSet:
    square = np.array([[-10.0, -10.0], [10.0, -10.0], [10.0, 10.0], [-10.0, 10.0]])
    body = Structure(1, "BODY", "EXTERNAL", tuple(Contour(z, square) for z in (0.0, 3.0, 6.0)))
    made = StructureSet(
        (body,),
        label="drawn",
        uid="1.2.60",
        frame_of_reference_uid="1.2.4",
        image_series_uid="1.2.30",
        patient_id="P1",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def plan(**changes: object) -> Plan:
    points = tuple(
        ControlPoint(f, 90.0, 15.0, 0.0, (0.0, 0.0, 3.0), (-20.0, 20.0), (-30.0, 30.0))
        for f in (0.0, 1.0)
    )
    beams = tuple(
        Beam(n, f"field {n}", 6.0, "STANDARD", "linac", 1000.0, 100.0 * n, points) for n in (1, 2)
    )
    beams = tuple(
        replace(b, prescribed_dose_gy=d, dose_point=(0.0, 0.0, 3.0))
        for b, d in zip(beams, (0.8, 1.2), strict=True)
    )
    made = Plan(
        beams,
        PatientPosition.HFS,
        fractions=25,
        prescriptions=(Prescription("PTV", 50.0),),
        label="box",
        uid="1.2.50",
        structure_set_uid="1.2.60",
        frame_of_reference_uid="1.2.4",
        patient_id="P1",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def dose(folder: Path, name: str = "dose", **changes: str) -> Path:
    gray = np.linspace(0, 50, num=240, dtype=np.float32).reshape(GRID.shape)
    references = replace(DoseReferences(SUBJECT, "1.2.4", "1.2.50", "1.2.60"), **changes)
    return write_dose(Dose(GRID, gray, "medium"), folder / name, references)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete case, with names and places that say nothing about the content."""
    root = tmp_path / "case"
    write_ct(ct(), root / "b" / "c")
    write_structures(structures(), root / "x.txt", ct=ct(), subject=SUBJECT)
    write_plan(plan(), root / "b" / "CT_1", subject=SUBJECT)
    dose(root, "RTPLAN.dcm")
    (root / "readme.md").write_text("nothing to see")
    return root


def test_a_complete_case(folder: Path) -> None:
    case = import_folder(folder)
    assert case.ct is not None
    assert case.structures is not None
    assert case.plan is not None
    assert case.ct.series_uid == "1.2.30"
    assert case.structures.uid == "1.2.60"
    assert case.plan.uid == "1.2.50"
    assert [d.references.plan_uid for d in case.doses] == ["1.2.50"]
    assert case.subject == SUBJECT


def test_every_file_is_accounted_for(folder: Path) -> None:
    case = import_folder(folder)
    found = {f.name: f for f in case.files}
    assert len(found) == 7
    for name, source in found.items():
        assert source.sha256 == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert {n for n, f in found.items() if not f.used} == {"readme.md"}
    assert found["RTPLAN.dcm"].kind == "RTDOSE"
    assert found["b/CT_1"].kind == "RTPLAN"
    assert any("readme.md" in note for note in case.notes)


def _texts(case: Case, topic: str) -> str:
    return "\n".join(row.sentence for row in banner(case) if row.topic == topic)


def test_banner_says_what_a_physicist_asks_first(folder: Path) -> None:
    case = import_folder(folder)
    assert _texts(case, "patient") == "P1 Folder^Test"
    assert _texts(case, "position") == "CT: HFS\nplan: HFS"
    assert "linac (SAD 1000 mm)" in _texts(case, "machine")
    assert _texts(case, "energy") == "6 MV"
    assert "gantry 90, collimator 15, couch 0" in _texts(case, "beam")
    assert _texts(case, "MU") == "300.00 MU x 25 fractions = 7500.00 MU"
    assert "50 Gy" in _texts(case, "prescription")
    assert _texts(case, "closure").endswith("= 50 Gy, prescribed 50 Gy: closes")
    tree = _texts(case, "UIDs")
    assert all(uid in tree for uid in ("1.2.50", "1.2.60", "1.2.30"))
    assert "RTPLAN: b/CT_1" in _texts(case, "files")
    assert "readme.md" in _texts(case, "note")


def test_banner_shouts_when_the_dose_does_not_close(folder: Path) -> None:
    """25 fractions read as 5, or MU of all fractions as of one, must meet the eye."""
    write_plan(plan(fractions=5), folder / "b" / "CT_1", subject=SUBJECT)
    assert "DOES NOT CLOSE (-80.0%)" in _texts(import_folder(folder), "closure")


def test_banner_does_not_shout_where_two_points_differ(folder: Path) -> None:
    """Beam doses at a point need not add up to what is prescribed to a volume."""
    given = plan()
    beams = tuple(
        replace(b, prescribed_dose_gy=1.04 * (b.prescribed_dose_gy or 0.0)) for b in given.beams
    )
    write_plan(replace(given, beams=beams), folder / "b" / "CT_1", subject=SUBJECT)
    said = _texts(import_folder(folder), "closure")
    assert "(+4.0%): no error by itself" in said and "DOES NOT CLOSE" not in said


def test_references_of_a_new_dose(folder: Path, tmp_path: Path) -> None:
    case = import_folder(folder)
    references = references_for(case)
    gray = np.ones(GRID.shape, dtype=np.float32)
    written = write_dose(Dose(GRID, gray, "medium"), tmp_path / "new.dcm", references)
    assert read_dose_file(written).references.plan_uid == "1.2.50"
    beam = references_for(case, beam_number=2)
    assert (beam.fraction_group, beam.beam_number) == (1, 2)
    with pytest.raises(DicomError, match="no beam 3"):
        references_for(case, beam_number=3)


def test_several_plans_need_a_name(folder: Path) -> None:
    write_plan(plan(uid="1.2.51", label="boost"), folder / "other", subject=SUBJECT)
    with pytest.raises(DicomError, match=r"2 plans.*1\.2\.50 \(box.*1\.2\.51 \(boost"):
        import_folder(folder)
    chosen = import_folder(folder, plan_uid="1.2.51")
    assert chosen.plan is not None
    assert chosen.plan.label == "boost"
    assert not chosen.doses  # the dose is of the other plan
    assert any("it is of plan 1.2.50" in note for note in chosen.notes)
    with pytest.raises(DicomError, match=r"1\.2\.52"):
        import_folder(folder, plan_uid="1.2.52")


def test_several_structure_sets_and_the_one_the_plan_names(folder: Path) -> None:
    write_structures(structures(uid="1.2.61"), folder / "s2", ct=ct(), subject=SUBJECT)
    case = import_folder(folder)
    assert case.structures is not None
    assert case.structures.uid == "1.2.60"
    (folder / "b" / "CT_1").unlink()
    with pytest.raises(DicomError, match="2 structure sets"):
        import_folder(folder)
    case = import_folder(folder, structure_set_uid="1.2.61")
    assert case.structures is not None
    assert case.structures.uid == "1.2.61"


def test_several_series_and_the_one_the_structures_name(folder: Path) -> None:
    other = ct(series_uid="1.2.40", slice_uids=("1.2.41", "1.2.42", "1.2.43"))
    write_ct(other, folder / "z")
    case = import_folder(folder)
    assert case.ct is not None
    assert case.ct.series_uid == "1.2.30"
    (folder / "b" / "CT_1").unlink()
    (folder / "x.txt").unlink()
    with pytest.raises(DicomError, match=r"2 CT series.*1\.2\.30 \(3 images\)"):
        import_folder(folder)
    case = import_folder(folder, ct_series_uid="1.2.40")
    assert case.ct is not None
    assert case.ct.series_uid == "1.2.40"


def test_a_plan_without_structure_set_is_fine_with_a_note(folder: Path) -> None:
    write_plan(plan(structure_set_uid=""), folder / "b" / "CT_1", subject=SUBJECT)
    case = import_folder(folder)
    assert case.structures is not None
    assert any("no structure set; x.txt taken" in note for note in case.notes)


def test_ct_alone_and_plan_alone(folder: Path, tmp_path: Path) -> None:
    write_ct(ct(), tmp_path / "scan")
    scan = import_folder(tmp_path / "scan")
    assert scan.ct is not None
    assert scan.plan is None
    write_plan(plan(), tmp_path / "plan" / "p", subject=SUBJECT)
    with pytest.raises(DicomError, match=r"structure set 1\.2\.60 .* is not in the folder"):
        import_folder(tmp_path / "plan")
    alone = import_folder(tmp_path / "plan", incomplete_ok=True)
    assert alone.plan is not None
    assert alone.ct is None
    assert any("1.2.60" in note for note in alone.notes)


def test_without_ct_when_asked(folder: Path) -> None:
    shutil.rmtree(folder / "b" / "c")
    with pytest.raises(DicomError, match=r"CT series 1\.2\.30 .* is not in the folder"):
        import_folder(folder)
    assert import_folder(folder, use_ct=False).ct is None


def test_copies_are_ignored_with_a_note(folder: Path) -> None:
    shutil.copy(folder / "x.txt", folder / "y")
    case = import_folder(folder)
    assert any("1 copies of other files" in note for note in case.notes)


def test_localizer_series_is_left_out(folder: Path) -> None:
    paths = write_ct(
        ct(series_uid="1.2.40", slice_uids=("1.2.41", "1.2.42", "1.2.43")), folder / "z"
    )
    for path in paths:
        _edit(path, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    (folder / "x.txt").unlink()
    (folder / "b" / "CT_1").unlink()
    case = import_folder(folder)
    assert case.ct is not None
    assert any("localizer" in note for note in case.notes)


def test_a_dose_that_cannot_be_read_stays_out_with_the_reason(folder: Path) -> None:
    _edit(folder / "RTPLAN.dcm", DoseUnits="RELATIVE")
    case = import_folder(folder)
    assert not case.doses
    assert any("dose left out" in note and "RELATIVE" in note for note in case.notes)
    assert not next(f for f in case.files if f.name == "RTPLAN.dcm").used


def _edit(path: Path, **attributes: object) -> None:
    ds = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.save_as(path)


def _second_patient(folder: Path) -> None:
    _edit(folder / "x.txt", PatientID="P2")


def _second_name(folder: Path) -> None:
    _edit(folder / "RTPLAN.dcm", PatientName="Somebody^Else")


def _lose_a_slice_at_the_end(folder: Path) -> None:
    (folder / "b" / "c" / "CT.0003.dcm").unlink()


def _truncate(folder: Path) -> None:
    path = folder / "x.txt"
    path.write_bytes(path.read_bytes()[:-20])


def _another_frame(folder: Path) -> None:
    write_plan(plan(frame_of_reference_uid="1.2.9"), folder / "b" / "CT_1", subject=SUBJECT)


def _another_position(folder: Path) -> None:
    write_plan(plan(position=PatientPosition.HFP), folder / "b" / "CT_1", subject=SUBJECT)


def _dose_of_an_absent_plan(folder: Path) -> None:
    dose(folder, "RTPLAN.dcm", plan_uid="1.2.59")


def _dose_of_another_frame(folder: Path) -> None:
    dose(folder, "RTPLAN.dcm", frame_of_reference_uid="1.2.9")


def _two_files_one_uid(folder: Path) -> None:
    write_plan(plan(label="later"), folder / "p2", subject=SUBJECT)


def _stale_structure_set(folder: Path) -> None:
    write_structures(structures(uid="1.2.69"), folder / "x.txt", ct=ct(), subject=SUBJECT)


def _another_scan(folder: Path) -> None:
    shutil.rmtree(folder / "b" / "c")
    write_ct(ct(series_uid="1.2.40", slice_uids=("1.2.41", "1.2.42", "1.2.43")), folder / "z")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_second_patient, "2 patients by PatientID: .*P1.*P2|2 patients by PatientID: .*P2.*P1"),
        (_second_name, "2 patients by PatientName"),
        (_lose_a_slice_at_the_end, r"of the 3 CT images it names, 1 are not .* 1\.2\.33"),
        (_truncate, "x.txt.*truncated"),
        (_another_frame, r"frame of reference .*plan: 1\.2\.9"),
        (_another_position, "plan has the patient HFP, the CT HFS"),
        (_dose_of_an_absent_plan, r"plan 1\.2\.59 of the dose RTPLAN.dcm is not there"),
        (_dose_of_another_frame, r"frame of reference 1\.2\.9"),
        (_two_files_one_uid, r"differ but both are SOP instance 1\.2\.50"),
        (_stale_structure_set, r"structure set 1\.2\.60 that the plan refers to .* 1\.2\.69"),
        (_another_scan, r"CT series 1\.2\.30 that the structure set refers to .* 1\.2\.40"),
    ],
)
def test_refused_by_name(folder: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(folder)
    with pytest.raises(DicomError, match=words):
        import_folder(folder)


def test_every_refusal_names_the_folder(folder: Path) -> None:
    _second_patient(folder)
    with pytest.raises(DicomError) as caught:
        import_folder(folder)
    assert str(caught.value).startswith(f"{folder}: the folder holds 2 patients by PatientID")
    _truncate(folder)
    with pytest.raises(DicomError) as caught:
        import_folder(folder)
    assert str(caught.value).count(str(folder)) == 1


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_images_that_are_no_dicom_are_named(folder: Path, content: bytes) -> None:
    images = folder / "b" / "c"
    (images / "CT.0003.dcm").write_bytes(content)
    with pytest.raises(DicomError, match=r"CT.0003.dcm is not DICOM and was ignored\); export"):
        import_folder(folder)
    for path in images.iterdir():
        path.write_bytes(content)
    with pytest.raises(DicomError, match=r"CT series 1\.2\.30 .*CT.0003.dcm are not DICOM"):
        import_folder(folder)


def test_one_number_and_two_spellings_of_the_name(folder: Path) -> None:
    """The scanner writes a middle name, the planning system does not."""
    for path in (folder / "b" / "c").iterdir():
        _edit(path, PatientName="Folder^Test^Q")
    case = import_folder(folder)
    assert any("PatientName is written in different ways" in note for note in case.notes)
    assert case.doubts == ()
    assert case.subject == SUBJECT


@pytest.mark.parametrize("spoil", [_second_patient, _second_name])
def test_the_user_says_that_it_is_one_patient(folder: Path, spoil: Callable[[Path], None]) -> None:
    spoil(folder)
    with pytest.raises(DicomError, match="--same-patient REASON"):
        import_folder(folder)
    case = import_folder(folder, same_patient="number changed on 3 May")
    (doubt,) = case.doubts
    assert doubt.rule == "patient"
    assert doubt.message.values["reason"] == "number changed on 3 May"
    assert str(doubt.message) in _texts(case, "note")


def _rt_image(folder: Path, name: str = "image") -> Path:
    """Write an RT Image beside the case, with as many bytes behind its first group as it likes."""
    ds = pydicom.dcmread(folder / "b" / "CT_1")
    image = pydicom.dataset.Dataset()
    image.file_meta = ds.file_meta
    image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.1"
    image.SOPClassUID, image.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.1", "1.2.99"
    image.Modality, image.PatientID = "RTIMAGE", "P1"
    image.RTImageDescription = "portal " * 20
    image.PixelData = bytes(600)
    image["PixelData"].VR = "OW"
    image.save_as(folder / name, enforce_file_format=True)
    return folder / name


def test_a_damaged_object_that_no_dose_needs_is_left_aside(folder: Path) -> None:
    path = _rt_image(folder)
    whole = import_folder(folder)
    assert any("1 other DICOM files ignored: image" in note for note in whole.notes)
    data = path.read_bytes()
    for cut in (data[:-300], data[: data.index(b"portal") + 20]):
        path.write_bytes(cut)
        case = import_folder(folder)
        (note,) = (n for n in case.notes if n.startswith("image left aside"))
        assert "damaged RT Image Storage, which no dose needs" in note
        assert case.doses
    # What it is must be certain: a plan that is damaged in the same way is refused.
    other = folder / "b" / "CT_1"
    other.write_bytes(other.read_bytes()[:-300])
    with pytest.raises(DicomError, match="truncated"):
        import_folder(folder)


def test_two_images_of_one_uid_are_no_dose_matter(folder: Path) -> None:
    first, second = _rt_image(folder), _rt_image(folder, "image2")
    _edit(second, RTImageDescription="another")
    assert first.read_bytes() != second.read_bytes()
    assert import_folder(folder).plan is not None


def test_a_dose_without_frame_study_and_plan_is_read(folder: Path) -> None:
    path = folder / "RTPLAN.dcm"
    ds = pydicom.dcmread(path)
    for keyword in ("FrameOfReferenceUID", "StudyInstanceUID", "ReferencedRTPlanSequence"):
        delattr(ds, keyword)
    ds.save_as(path)
    (one,) = import_folder(folder).doses
    assert (one.references.frame_of_reference_uid, one.references.subject.study_uid) == ("", "")
    for what in ("plan", "frame of reference", "study"):
        assert f"the dose names no {what}" in one.notes
    assert not any("studies" in note for note in import_folder(folder).notes)


def test_no_folder_and_nothing_in_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        import_folder(tmp_path / "missing")
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(DicomError, match=f"^{tmp_path}: the folder holds no DICOM file"):
        import_folder(tmp_path)


def test_public_names_resolve() -> None:
    for name in dosecalc.io.dicom.__all__:
        assert getattr(dosecalc.io.dicom, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dosecalc.io.dicom.nothing  # noqa: B018 - looking it up is the test


@pytest.mark.samples
def test_a_real_scan_with_its_structures(samples: Path) -> None:
    case = import_folder(samples / "lung1-001-tcia")
    assert case.ct is not None
    assert case.structures is not None
    assert case.ct.grid.shape == (134, 512, 512)
    assert case.structures.image_series_uid == case.ct.series_uid
    assert "EXTERNAL" in {s.kind for s in case.structures} | set(case.structures.names)


@pytest.mark.samples
def test_a_real_plan_with_structures_and_dose(samples: Path) -> None:
    folder = samples / "breast-swin-imrt"
    with pytest.raises(DicomError):  # one CT slice of 98
        import_folder(folder)
    case = import_folder(folder, use_ct=False)
    assert case.plan is not None
    assert case.structures is not None
    assert len(case.doses) == 1
    assert case.doses[0].references.plan_uid == case.plan.uid
