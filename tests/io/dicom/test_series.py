"""Which CT a structure set belongs to: found by the images it names, never by lying beside it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dosecalc.errors import DicomError
from dosecalc.io.dicom import Subject, import_folder, write_ct, write_structures
from dosecalc.messages.message import Message
from dosecalc.model import Contour, CtImage, Grid, PatientPosition, Structure, StructureSet
from dosecalc.report.page.words import load_words

SUBJECT = Subject("P1", "Series^Test", "1.2.3")
GRID = Grid(shape=(8, 4, 5), spacing=(4.0, 5.0, 3.0), origin=(-8.0, -7.5, 0.0))
MR = "1.2.840.10008.5.1.4.1.1.4"


def ct(series: str = "1.2.30", first: int = 31) -> CtImage:
    return CtImage(
        GRID,
        np.arange(160, dtype=np.float32).reshape(GRID.shape),
        PatientPosition.HFS,
        patient_id="P1",
        patient_name="Series^Test",
        study_uid="1.2.3",
        series_uid=series,
        frame_of_reference_uid="1.2.4",
        slice_uids=tuple(f"1.2.{first + k}" for k in range(8)),
        manufacturer="Maker",
        model_name="Scanner",
        kvp=120.0,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A CT of eight slices and a body drawn on all of them."""
    square = np.array([[-6.0, -6.0], [6.0, -6.0], [6.0, 6.0], [-6.0, 6.0]])
    contours = tuple(Contour(3.0 * k, square) for k in range(8))
    body = Structure(1, "BODY", "EXTERNAL", contours)
    drawn = StructureSet(
        (body,),
        label="drawn",
        uid="1.2.60",
        frame_of_reference_uid="1.2.4",
        image_series_uid="1.2.30",
        patient_id="P1",
    )
    write_ct(ct(), tmp_path / "ct")
    write_structures(drawn, tmp_path / "set.dcm", ct=ct(), subject=SUBJECT)
    return tmp_path


def slices(folder: Path) -> list[Path]:
    return sorted((folder / "ct").iterdir())


def edit(path: Path, change: Callable[[Dataset], None]) -> None:
    ds = pydicom.dcmread(path)
    change(ds)
    ds.save_as(path)


def listed(ds: Dataset) -> Dataset:
    """The one series that the structure set lists."""
    study = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    return study.RTReferencedSeriesSequence[0]


def second_series(paths: list[Path]) -> None:
    for path in paths:
        edit(path, lambda ds: setattr(ds, "SeriesInstanceUID", "1.2.99"))


def names_both(folder: Path) -> None:
    """The structure set lists the first five images and the last three by their two series."""

    def change(ds: Dataset) -> None:
        study = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        first, other = (copy.deepcopy(listed(ds)) for _ in range(2))
        other.SeriesInstanceUID = "1.2.99"
        first.ContourImageSequence = first.ContourImageSequence[:5]
        other.ContourImageSequence = other.ContourImageSequence[5:]
        study.RTReferencedSeriesSequence = [first, other]

    edit(folder / "set.dcm", change)


def contours_name_nothing(ds: Dataset) -> None:
    for contour in ds.ROIContourSequence[0].ContourSequence:
        contour.ContourImageSequence = []


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("contours", [False, True])
def test_a_ct_in_two_series_is_one(folder: Path, both: bool, contours: bool) -> None:
    """The scanner wrote the last three slices into a series of their own."""
    second_series(slices(folder)[5:])
    if both:
        names_both(folder)
    if not contours:
        edit(folder / "set.dcm", contours_name_nothing)
    case = import_folder(folder)
    assert case.ct is not None
    assert np.array_equal(case.ct.hu, ct().hu)
    assert case.ct.grid == GRID
    assert case.ct.series_uid == "1.2.30"
    (note,) = (note for note in case.notes if note.startswith("one CT of 2 series"))
    assert "1.2.30 (5 images)" in note and "1.2.99 (3 images)" in note
    assert load_words("fr").sentence(note).startswith("un seul CT de 2 séries")


def test_images_that_the_set_does_not_name_do_not_stand_in_the_way(folder: Path) -> None:
    """The second series repeats a slice of the first; the structure set names it once."""
    second_series(slices(folder)[5:])
    repeated = pydicom.dcmread(slices(folder)[2])
    repeated.SeriesInstanceUID = "1.2.99"
    repeated.SOPInstanceUID = repeated.file_meta.MediaStorageSOPInstanceUID = "1.2.88"
    repeated.save_as(folder / "ct" / "again.dcm")
    names_both(folder)
    case = import_folder(folder)
    assert case.ct is not None
    assert np.array_equal(case.ct.hu, ct().hu)
    assert any("1 images that it does not name left out" in note for note in case.notes)


def _up(ds: Dataset) -> None:
    x, y, z = ds.ImagePositionPatient
    ds.ImagePositionPatient = [x, y, z + 3]


def _gap(folder: Path) -> None:
    for path in slices(folder)[5:]:
        edit(
            path, lambda ds: ds.ImagePositionPatient.__setitem__(2, ds.ImagePositionPatient[2] + 3)
        )


def _voltage(folder: Path) -> None:
    for path in slices(folder)[5:]:
        edit(path, lambda ds: setattr(ds, "KVP", 80))


def _scanner(folder: Path) -> None:
    for path in slices(folder)[5:]:
        edit(path, lambda ds: setattr(ds, "ManufacturerModelName", "Another"))


def _frame(folder: Path) -> None:
    for path in slices(folder)[5:]:
        edit(path, lambda ds: setattr(ds, "FrameOfReferenceUID", "1.2.5"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_gap, "1 CT slices are missing"),
        (_voltage, r"2 tube voltages \(kVp 80, 120\)"),
        (_scanner, "2 scanner models"),
        (_frame, "2 frames of reference"),
    ],
)
def test_series_that_make_no_volume_are_refused_truly(
    folder: Path, spoil: Callable[[Path], None], words: str
) -> None:
    second_series(slices(folder)[5:])
    spoil(folder)
    names_both(folder)
    with pytest.raises(DicomError) as caught:
        import_folder(folder)
    said = str(caught.value)
    assert "names images of 2 CT series (1.2.30 (5 images); 1.2.99 (3 images))" in said
    assert "which do not make one volume: " in said
    assert re.search(words, said)
    assert "--series UID" in said
    assert "not in the folder" not in said


def test_half_of_a_ct_that_is_not_there_is_missed(folder: Path) -> None:
    second_series(slices(folder)[5:])
    names_both(folder)
    for path in slices(folder)[5:]:
        path.unlink()
    with pytest.raises(DicomError, match=r"of the 8 CT images it names, 3 are not in the folder"):
        import_folder(folder)


def test_a_series_of_another_name_with_the_same_images(folder: Path) -> None:
    """An archive gave the series a new UID; the images kept theirs."""
    second_series(slices(folder))
    case = import_folder(folder)
    assert case.ct is not None
    assert case.ct.series_uid == "1.2.99"
    assert any("lists its images under series 1.2.30" in note for note in case.notes)


def test_contours_lead_to_the_images_where_the_series_does_not(folder: Path) -> None:
    """The set lists a series of another name without its images; its contours name the images."""

    def change(ds: Dataset) -> None:
        listed(ds).SeriesInstanceUID = "1.2.98"
        listed(ds).ContourImageSequence = []

    edit(folder / "set.dcm", change)
    case = import_folder(folder)
    assert case.ct is not None
    assert case.ct.series_uid == "1.2.30"
    slices(folder)[4].unlink()
    with pytest.raises(DicomError, match="of the 8 CT images it names, 1 are not in the folder"):
        import_folder(folder)


def test_two_parts_that_nothing_names(folder: Path) -> None:
    (folder / "set.dcm").unlink()
    second_series(slices(folder)[5:])
    with pytest.raises(DicomError, match=r"--series UID, or merge them, as together they are one"):
        import_folder(folder)


def _no_frame(ds: Dataset) -> None:
    for roi in ds.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = ""
    ds.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = ""


def _no_frame_at_all(ds: Dataset) -> None:
    _no_frame(ds)
    del ds.ReferencedFrameOfReferenceSequence


def _nothing_named(ds: Dataset) -> None:
    _no_frame_at_all(ds)
    contours_name_nothing(ds)


@pytest.mark.parametrize("change", [_no_frame, _no_frame_at_all])
def test_a_set_without_frame_follows_the_ct_it_names(
    folder: Path, change: Callable[[Dataset], None]
) -> None:
    edit(folder / "set.dcm", change)
    write_ct(ct("1.2.40", 71), folder / "other")  # of the same frame, and not named
    case = import_folder(folder)
    assert case.ct is not None
    assert case.ct.series_uid == "1.2.30"
    assert any("names no frame of reference" in note for note in case.notes)
    assert not case.doubts


def test_a_set_that_names_nothing_is_a_doubt(folder: Path) -> None:
    edit(folder / "set.dcm", _nothing_named)
    case = import_folder(folder)
    assert case.ct is not None
    (doubt,) = case.doubts
    assert doubt.rule == "structures"
    assert doubt.message == Message("structures.only_ct_taken")
    write_ct(ct("1.2.40", 71), folder / "other")
    with pytest.raises(DicomError, match=r"2 CT series and no structure set names one.*--series"):
        import_folder(folder)


def _mr(ds: Dataset) -> None:
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MR
    ds.Modality = "MR"


@pytest.mark.parametrize("modality", ["MR", "PT"])
@pytest.mark.parametrize("class_too", [True, False])
def test_images_that_are_no_ct_are_named(folder: Path, modality: str, class_too: bool) -> None:
    for path in slices(folder):
        edit(path, _mr if class_too else lambda ds: None)
        edit(path, lambda ds: setattr(ds, "Modality", modality))
    kind = "PET" if modality == "PT" else modality
    with pytest.raises(DicomError) as caught:
        import_folder(folder)
    said = str(caught.value)
    assert f"drawn on 8 {kind} images, which have no Hounsfield units" in said
    assert "--inside water" in said
    assert import_folder(folder, incomplete_ok=True).ct is None


def _on_mr(ds: Dataset) -> None:
    for image in listed(ds).ContourImageSequence:
        image.ReferencedSOPClassUID = MR
    for contour in ds.ROIContourSequence[0].ContourSequence:
        contour.ContourImageSequence[0].ReferencedSOPClassUID = MR


def test_a_set_drawn_on_mr_takes_the_ct_of_its_frame(folder: Path) -> None:
    edit(folder / "set.dcm", _on_mr)
    case = import_folder(folder)
    assert case.ct is not None
    assert any("drawn on 8 MR images; the only CT series" in note for note in case.notes)
    edit(folder / "set.dcm", _no_frame)
    with pytest.raises(DicomError, match=r"drawn on 8 MR images.*nothing ties it to a CT"):
        import_folder(folder)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ManufacturerModelName", "On-Board Imager"),
        ("ManufacturerModelName", "XVI"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "AXIAL", "CBCT"]),
        ("SeriesDescription", "Pelvis kV_CBCT"),
    ],
)
def test_cone_beam_ct_is_a_doubt(folder: Path, keyword: str, value: object) -> None:
    assert not import_folder(folder).doubts
    for path in slices(folder):
        edit(path, lambda ds: setattr(ds, keyword, value))
    (doubt,) = import_folder(folder).doubts
    assert doubt.rule == "CT numbers"
    assert doubt.message.code == "ct_numbers.cone_beam"
    assert str(doubt.message.values["sign"]).startswith(f"{keyword} ")


def test_several_series_of_one_frame_and_the_one_contours_name(folder: Path) -> None:
    """Phases of a 4D CT: all are listed, the contours name the images of one."""
    write_ct(ct("1.2.40", 71), folder / "other")

    def change(ds: Dataset) -> None:
        other = copy.deepcopy(listed(ds))
        other.SeriesInstanceUID = "1.2.40"
        for k, image in enumerate(other.ContourImageSequence):
            image.ReferencedSOPInstanceUID = f"1.2.{71 + k}"
        study = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        study.RTReferencedSeriesSequence = [listed(ds), other]

    edit(folder / "set.dcm", change)
    case = import_folder(folder)
    assert case.ct is not None
    assert case.ct.series_uid == "1.2.30"
    edit(folder / "set.dcm", contours_name_nothing)
    with pytest.raises(DicomError, match=r"do not make one volume: two CT slices at the same"):
        import_folder(folder)
    chosen = import_folder(folder, ct_series_uid="1.2.40")
    assert chosen.ct is not None
    assert chosen.ct.series_uid == "1.2.40"
    with pytest.raises(DicomError, match=r"was drawn on series .*, not on 1\.2\.77"):
        import_folder(folder, ct_series_uid="1.2.77")
