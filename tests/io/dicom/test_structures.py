"""RT structure sets: what is read, what is refused and why, and that written files come back."""

from __future__ import annotations

import subprocess
import zipfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dosecalc.errors import (
    DicomError,
    DosecalcError,
    GeometryError,
    InputError,
    UnsupportedError,
)
from dosecalc.io.dicom._common import parse_dataset, read_dataset
from dosecalc.io.dicom._writing import Subject
from dosecalc.io.dicom.structures import RT_STRUCTURE_SET_STORAGE, read_structures
from dosecalc.io.dicom.structures_writer import write_structures
from dosecalc.model import Contour, CtImage, Grid, PatientPosition, Structure, StructureSet
from dosecalc.patient.coverage import volume_cm3
from tests.outside import program

SQUARE = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
FRAME = "1.2.3.4"


def contour_item(
    points: ArrayLike = SQUARE, z: ArrayLike = 0.0, kind: str = "CLOSED_PLANAR"
) -> Dataset:
    xy = np.asarray(points, dtype=float)
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(xy)
    item.ContourData = np.column_stack([xy, np.broadcast_to(z, len(xy))]).ravel().tolist()
    return item


def roi(number: int, *contours: Dataset, name: str = "thing", frame: str = FRAME) -> Dataset:
    """What a structure set says about one ROI, kept together until `structure_set` sorts it."""
    bundle = Dataset()
    bundle.ROINumber = number
    bundle.ROIName = name
    bundle.ReferencedFrameOfReferenceUID = frame
    bundle.ContourSequence = list(contours)
    return bundle


def observation(number: int, kind: str = "", **properties: float) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber = number
    item.RTROIInterpretedType = kind
    item.ROIPhysicalPropertiesSequence = []
    for name, value in properties.items():
        stated = Dataset()
        stated.ROIPhysicalProperty = name
        stated.ROIPhysicalPropertyValue = value
        item.ROIPhysicalPropertiesSequence.append(stated)
    return item


def frame_item(frame: str, **images_by_series: list[str]) -> Dataset:
    item = Dataset()
    item.FrameOfReferenceUID = frame
    study = Dataset()
    study.RTReferencedSeriesSequence = []
    for series_number, images in images_by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = "1.9." + series_number[1:]
        series.ContourImageSequence = [image_item(uid) for uid in images]
        study.RTReferencedSeriesSequence.append(series)
    item.RTReferencedStudySequence = [study]
    return item


def image_item(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPInstanceUID = uid
    return item


def structure_set(
    *rois: Dataset, observations: tuple[Dataset, ...] = (), frames: tuple[Dataset, ...] = ()
) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = RT_STRUCTURE_SET_STORAGE
    ds.SOPInstanceUID = "1.2.3"
    ds.StructureSetLabel = "test"
    ds.PatientID = "P1"
    ds.ReferencedFrameOfReferenceSequence = list(frames) or [frame_item(FRAME, s1=["1.5.1"])]
    ds.StructureSetROISequence = []
    ds.ROIContourSequence = []
    for bundle in rois:
        contours = Dataset()
        contours.ReferencedROINumber = bundle.ROINumber
        contours.ContourSequence = bundle.ContourSequence
        ds.ROIContourSequence.append(contours)
        ds.StructureSetROISequence.append(bundle)
    ds.RTROIObservationsSequence = list(observations)
    return ds


def planes(*positions: float) -> list[Dataset]:
    return [contour_item(z=z) for z in positions]


def test_everything_a_structure_says_is_read() -> None:
    ds = structure_set(
        roi(4, *planes(-3.0, 0.0, 3.0), name="PTV Größe"),
        roi(2, name="BODY"),
        observations=(observation(4, "PTV"), observation(2, "EXTERNAL")),
    )
    read = read_structures(ds)
    assert (read.label, read.uid, read.patient_id) == ("test", "1.2.3", "P1")
    assert (read.frame_of_reference_uid, read.image_series_uid) == (FRAME, "1.9.1")
    assert [(s.number, s.name, s.kind) for s in read] == [
        (4, "PTV Größe", "PTV"),
        (2, "BODY", "EXTERNAL"),
    ]
    assert [c.z for c in read["PTV Größe"].contours] == [-3.0, 0.0, 3.0]
    np.testing.assert_array_equal(read["PTV Größe"].contours[0].points, SQUARE)
    assert read["PTV Größe"].notes == ()
    assert read["BODY"].is_empty
    assert read["BODY"].notes == ("no closed contours: the structure is empty",)
    assert read.notes == ()


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_hole_drawn_as_its_own_contour(kind: str) -> None:
    entries = [
        contour_item(points, z, kind)
        for z in (0.0, 3.0, 6.0)
        for points in (SQUARE, SQUARE * 0.5 + 2)
    ]
    (read,) = read_structures(structure_set(roi(1, *entries)))
    assert volume_cm3(read) == pytest.approx(0.075 * 9)
    assert read.notes == ()


def test_keyhole() -> None:
    hole = (SQUARE * 0.5 + 2)[::-1]
    outline = np.concatenate([SQUARE, SQUARE[:1], hole, hole[:1]])
    (read,) = read_structures(structure_set(roi(1, *(contour_item(outline, z) for z in (0, 3)))))
    assert volume_cm3(read) == pytest.approx(0.075 * 6)


def test_points_and_open_contours_are_left_out_with_a_note() -> None:
    entries = [
        contour_item([[1.0, 2.0]], kind="POINT"),
        contour_item(kind="OPEN_PLANAR"),
        contour_item(z=[0, 1, 2, 3], kind="OPEN_NONPLANAR"),
        contour_item(SQUARE[:2]),
        contour_item(SQUARE[:1]),
        *planes(0, 3),
    ]
    (read,) = read_structures(structure_set(roi(1, *entries)))
    assert len(read.contours) == 2
    assert read.notes == (
        "left out: 1 x POINT contour",
        "left out: 1 x OPEN_PLANAR contour",
        "left out: 1 x OPEN_NONPLANAR contour",
        "left out: 2 x closed contour of fewer than three points",
    )


def test_contour_without_any_points_is_left_out() -> None:
    entry = contour_item()
    entry.ContourData = None
    entry.NumberOfContourPoints = 0
    (read,) = read_structures(structure_set(roi(1, entry)))
    assert read.is_empty


def test_repeated_contours_count_once() -> None:
    # Even-odd would make the structure vanish; XiO writes such files.
    again = contour_item(np.roll(SQUARE, 1, axis=0)[::-1])
    (read,) = read_structures(structure_set(roi(1, *planes(0, 3), again)))
    assert volume_cm3(read) == pytest.approx(0.1 * 6)
    assert read.notes == ("left out: 1 x repeated contour",)


def test_repeated_exclusive_contours_cancel_as_the_standard_says() -> None:
    entries = [contour_item(z=z, kind="CLOSEDPLANAR_XOR") for z in (0, 0, 3, 6)]
    (read,) = read_structures(structure_set(roi(1, *entries)))
    assert volume_cm3(read) == pytest.approx(0.1 * 6)


def test_a_contour_repeated_within_a_tenth_of_a_millimetre_counts_once() -> None:
    entries = [contour_item(SQUARE + n * 0.06, z + n * 0.06) for z in (0, 3, 6) for n in (0, 1)]
    (read,) = read_structures(structure_set(roi(1, *entries)))
    assert volume_cm3(read) == pytest.approx(0.1 * 9)
    assert read.notes == ("left out: 3 x repeated contour",)


def test_few_planes_go_by_the_spacing_of_the_set() -> None:
    read = read_structures(
        structure_set(
            roi(1, *planes(0, 30), name="clips"),
            roi(2, *planes(6), name="lens"),
            roi(3, *planes(*range(-30, 60, 3)), name="BODY"),
        )
    )
    assert volume_cm3(read["clips"]) == pytest.approx(0.1 * 6)
    assert volume_cm3(read["lens"]) == pytest.approx(0.1 * 3)
    assert read["clips"].notes == ("nothing drawn between z = 0 and 30 mm: taken as two pieces",)
    alone = read_structures(structure_set(roi(1, *planes(0, 30))))["thing"]
    with pytest.raises(GeometryError, match=r"planes at least 30 mm apart.*--plane-spacing"):
        volume_cm3(alone)
    assert volume_cm3(alone, plane_spacing=2.0) == pytest.approx(0.1 * 4)


def test_a_body_on_even_planes_tells_the_slices_however_far_apart() -> None:
    body = (observation(1, "EXTERNAL"),)
    read = read_structures(
        structure_set(roi(1, *planes(-75, 0, 75)), roi(2, *planes(0), name="x"), observations=body)
    )
    assert volume_cm3(read["thing"]) == pytest.approx(0.1 * 225)
    assert volume_cm3(read["x"]) == pytest.approx(0.1 * 75)


def test_overlap_and_gap_are_noted() -> None:
    entries = [*planes(0, 3, 6, 15, 18), contour_item(SQUARE + 5.0, 3)]
    (read,) = read_structures(structure_set(roi(1, *entries)))
    assert len(read.notes) == 2
    assert "nothing drawn between z = 6 and 15 mm" in read.notes[0]
    assert "contours overlap on z = 3 mm" in read.notes[1]


def test_a_contour_whose_points_are_rounded_in_z_is_flat() -> None:
    """Points of one slice at 2.39999999998 and 2.4, or off by one decimal: one plane."""
    wavy = [contour_item(z=[z, z - 2e-11, z + 0.08, z]) for z in (0.0, 2.4, 4.8)]
    (read,) = read_structures(structure_set(roi(1, *wavy)))
    assert not read.notes
    assert [c.z for c in read.contours] == pytest.approx([0.04, 2.44, 4.84])


def refused(ds: Dataset, complaint: str, name: str = "thing") -> StructureSet:
    """Read a set whose one structure cannot be used, and ask for it."""
    read = read_structures(ds)
    with pytest.raises(InputError, match=rf"'{name}' cannot be used: .*{complaint}"):
        read[name]
    return read


def test_contour_out_of_the_axial_planes_is_refused_by_name() -> None:
    ds = structure_set(
        roi(1, contour_item(z=[0, 0, 0.5, 0.5]), name="sagittal"),
        roi(2, *planes(0, 3), name="PTV"),
    )
    read = refused(ds, r"'sagittal', contour 1: its z runs from 0 to 0.5", "sagittal")
    (odd,) = (s for s in read if s.name == "sagittal")
    assert odd.is_empty
    assert odd.notes[0].startswith(
        "left out: contour 1: its z runs from 0 to 0.5 mm; only contours"
    )
    assert volume_cm3(read["PTV"]) == pytest.approx(0.1 * 6)


def test_rounding_of_z_is_no_tilt() -> None:
    (read,) = read_structures(structure_set(roi(1, contour_item(z=[3.0, 3.001, 2.999, 3.0]))))
    assert read.contours[0].z == pytest.approx(3.0)


def test_contour_moved_by_an_offset_is_refused() -> None:
    entry = contour_item()
    entry.ContourOffsetVector = [0, 0, 0]
    assert len(read_structures(structure_set(roi(1, entry)))["thing"].contours) == 1
    entry.ContourOffsetVector = [0, 0, 1.5]
    refused(structure_set(roi(1, entry)), r"offset by \[0.0, 0.0, 1.5\]")


@pytest.mark.parametrize("kind", ["SPLINE", ""])
def test_unknown_contour_type_is_refused(kind: str) -> None:
    refused(structure_set(roi(1, contour_item(kind=kind))), "contour type")


def raw_contour(text: bytes) -> Dataset:
    entry = contour_item()
    tag = Tag("ContourData")
    entry[tag] = RawDataElement(tag, "DS", len(text), text, 0, True, True)
    entry.NumberOfContourPoints = text.count(b"\\") // 3 + 1
    return entry


def test_stored_text_is_read_as_it_stands() -> None:
    entry = raw_contour(b"0\\0\\1.5\\ 1e1 \\0\\1.5\\10.0\\ +10\\1.5\\-0\\10\\1.5 \0")
    (read,) = read_structures(structure_set(roi(1, entry)))
    np.testing.assert_array_equal(read.contours[0].points, SQUARE)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"0\\0\\0\\nan\\0\\0\\9\\9\\0", "finite"),
        (b"0\\0\\0\\inf\\0\\0\\9\\9\\0", "finite"),
        (b"0\\0\\0\\ten\\0\\0\\9\\9\\0", "ContourData"),
        (b"0\\0\\0\\\\0\\0\\9\\9\\0", "ContourData"),
        (b"0\\0\\0\\9\\0\\0\\9\\9", "no whole number of x, y, z points"),
        (b"0\\0\\0\\9\\0\\0\\9\\9\\1e200", "no position"),
        (b"0\\0\\0\\9\\0\\0\\9e6\\9\\0", "no position"),
    ],
)
def test_damaged_coordinates_are_refused(text: bytes, complaint: str) -> None:
    read = refused(structure_set(roi(1, raw_contour(text))), complaint)
    assert "ROI 1 'thing', contour 1" in read.structures[0].left_out


def test_point_count_must_match() -> None:
    entry = contour_item()
    entry.NumberOfContourPoints = 5
    refused(structure_set(roi(1, entry)), "4 points are stored, 5 are stated")


def test_mass_density_is_read_and_other_properties_are_noted() -> None:
    ds = structure_set(
        roi(1, name="bolus"),
        roi(2, name="lung"),
        observations=(
            observation(1, REL_MASS_DENSITY=1.03, EFFECTIVE_Z=6.6),
            observation(2, REL_ELEC_DENSITY=0.35),
        ),
    )
    read = read_structures(ds)
    assert read["bolus"].density == 1.03
    assert "physical properties not used: EFFECTIVE_Z = 6.6" in read["bolus"].notes
    assert read["lung"].density is None
    assert "physical properties not used: REL_ELEC_DENSITY = 0.35" in read["lung"].notes


@pytest.mark.parametrize("values", [(-0.1,), (26.0,), (1.0, 1.1)])
def test_impossible_densities_are_refused(values: tuple[float, ...]) -> None:
    seen = tuple(observation(1, REL_MASS_DENSITY=v) for v in values)
    refused(structure_set(roi(1), observations=seen), "mass densit")


def test_observations_that_disagree_are_refused() -> None:
    seen = (observation(1, "EXTERNAL"), observation(1, "ORGAN"))
    refused(structure_set(roi(1), observations=seen), "disagree.*EXTERNAL, ORGAN")
    same = (observation(1, "ORGAN"), observation(1), observation(1, "ORGAN"))
    assert read_structures(structure_set(roi(1), observations=same))["thing"].kind == "ORGAN"


def test_references_to_rois_that_are_not_there_are_noted() -> None:
    ds = structure_set(roi(1, *planes(0, 3)), observations=(observation(9, "PTV"),))
    stray = Dataset()
    stray.ReferencedROINumber = 7
    stray.ContourSequence = planes(0)
    ds.ROIContourSequence.append(stray)
    assert read_structures(ds).notes == (
        "ROIContourSequence refers to ROI numbers that are not defined, left out: 7",
        "RTROIObservationsSequence refers to ROI numbers that are not defined, left out: 9",
    )


def test_items_without_an_roi_number_are_noted() -> None:
    ds = structure_set(roi(1, *planes(0, 3)), observations=(observation(1, "PTV"),))
    ds.ROIContourSequence.append(Dataset())
    read = read_structures(ds)
    assert read.notes == ("ROIContourSequence refers 1 times to no ROI number, left out",)
    assert volume_cm3(read["thing"]) == pytest.approx(0.1 * 6)


def test_repeated_names_are_noted() -> None:
    read = read_structures(structure_set(roi(1, name="a"), roi(2, name="a")))
    assert read.notes == ("structure names used more than once: a",)


def test_contours_listed_twice_for_one_roi_are_refused() -> None:
    ds = structure_set(roi(1, *planes(0, 3)))
    ds.ROIContourSequence.append(ds.ROIContourSequence[0])
    refused(ds, "ROIContourSequence lists it 2 times")


def test_nameless_roi_is_called_by_its_number() -> None:
    assert read_structures(structure_set(roi(5, name=""))).names == ("ROI 5",)


def test_a_structure_in_another_frame_than_the_images_is_left_out() -> None:
    """One structure of an old MR does not stop a plan; asked for, it is refused with the reason."""
    read = read_structures(
        structure_set(
            roi(1, contour_item(), name="PTV"),
            roi(2, contour_item(), name="OLD", frame="1.7.7"),
            frames=(frame_item(FRAME, s1=["1.5.1"]),),
        )
    )
    ptv, old = read.structures
    assert read.frame_of_reference_uid == FRAME
    assert ptv.contours and not ptv.left_out
    assert old.is_empty and "it lies in the frame of reference 1.7.7" in old.left_out
    assert any("1.7.7" in note for note in (*read.notes, *old.notes))


def test_a_roi_without_a_number_is_left_out() -> None:
    ds = structure_set(
        roi(1, contour_item(), name="PTV"), roi(2, contour_item(), name="LOST"), roi(3, name="C")
    )
    del ds.StructureSetROISequence[1].ROINumber
    read = read_structures(ds)
    assert read.names == ("PTV", "LOST", "C")
    assert [bool(s.left_out) for s in read.structures] == [False, True, False]
    assert "has no ROI number" in read.structures[1].left_out
    assert read.structures[1].notes and read.structures[1].is_empty


def test_structures_of_one_number_are_left_out_and_the_others_are_not() -> None:
    ds = structure_set(*(roi(n, contour_item(), name=name) for n, name in enumerate("ABC", 1)))
    ds.StructureSetROISequence[2].ROINumber = 1
    read = read_structures(ds)
    assert read.names == ("A", "B", "C")
    for one, whole in zip(read.structures, (False, True, False), strict=True):
        assert one.is_empty is not whole
        assert bool(one.left_out) is not whole
    assert "ROI number 1 is used 2 times ('A', 'C')" in read.structures[0].left_out


def test_structures_in_two_frames_of_reference_are_refused() -> None:
    frames = (frame_item(FRAME), frame_item("1.7.7"))
    two = structure_set(
        roi(1, *planes(0, 3), name="on CT"),
        roi(2, *planes(0, 3), name="on MR", frame="1.7.7"),
        frames=frames,
    )
    with pytest.raises(UnsupportedError, match=r"1\.2\.3\.4: on CT; 1\.7\.7: on MR"):
        read_structures(two)
    # A point in another frame harms nobody.
    point = contour_item([[1.0, 2.0]], kind="POINT")
    read = read_structures(
        structure_set(roi(1, *planes(0, 3)), roi(2, point, frame="1.7.7"), frames=frames)
    )
    assert read.frame_of_reference_uid == FRAME
    assert read.notes[-1] == "other frames of reference are mentioned and not used: 1.7.7"


def test_frame_of_reference_that_only_the_set_states() -> None:
    assert read_structures(structure_set(roi(1, *planes(0, 3), frame=""))).notes == ()
    ds = structure_set(roi(1, *planes(0, 3), frame=""))
    ds.ReferencedFrameOfReferenceSequence = []
    read = read_structures(ds)
    assert read.frame_of_reference_uid == ""
    assert "no frame of reference is stated" in read.notes[0]


def test_the_series_is_the_one_the_contours_name() -> None:
    entry = contour_item()
    frame = frame_item(FRAME, s1=["1.5.1", "1.5.2"], s2=["1.6.1", "1.6.2"])
    undecided = read_structures(structure_set(roi(1, entry), frames=(frame,)))
    assert undecided.image_series_uid == ""
    assert "drawn on one of 2 image series" in undecided.notes[0]
    entry.ContourImageSequence = [image_item("1.6.2")]
    assert (
        read_structures(structure_set(roi(1, entry), frames=(frame,))).image_series_uid == "1.9.2"
    )


def test_what_is_no_structure_set_is_refused() -> None:
    ds = structure_set(roi(1))
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    with pytest.raises(DicomError, match=r"scan\.dcm.*is not an RT structure set"):
        read_structures(ds, where="scan.dcm")
    with pytest.raises(DicomError, match="defines no ROI"):
        read_structures(structure_set())


def scan(n: int = 5) -> CtImage:
    grid = Grid((n, 8, 8), (2.0, 2.0, 3.0), (-8.0, -8.0, -6.0))
    return CtImage(
        grid,
        np.zeros(grid.shape, np.float32),
        PatientPosition.HFS,
        patient_id="P1",
        study_uid="1.2.30",
        series_uid="1.2.31",
        frame_of_reference_uid="1.2.32",
        slice_uids=tuple(f"1.2.33.{k}" for k in range(n)),
    )


SUBJECT = Subject("P1", "Tëst^Patient", "1.2.30", when=datetime(2026, 11, 23, 9, 30))


def drawn_set() -> StructureSet:
    rng = np.random.default_rng(3)

    def outline(n: int, scale: float) -> NDArray[np.float64]:
        angle = 2 * np.pi * np.arange(n) / n
        size = scale * rng.uniform(0.8, 1.0, n)
        return np.column_stack([size * np.cos(angle), size * np.sin(angle)])

    body = [Contour(z, outline(50, 30.0)) for z in (-6.0, -3.0, 0.0, 3.0, 6.0)]
    shell = [Contour(z, outline(20, size)) for z in (-1.5, 1.3333333333) for size in (12.0, 6.0)]
    return StructureSet(
        structures=(
            Structure(1, "BODY", "EXTERNAL", tuple(body)),
            Structure(7, "Höhlung µ/²", "ORGAN", tuple(shell), density=0.26),
            Structure(3, "empty", "", notes=("no closed contours: the structure is empty",)),
        ),
        label="plan 1",
        uid="2.25.1234",
        frame_of_reference_uid="1.2.32",
        image_series_uid="1.2.31",
        patient_id="P1",
    )


def assert_same(read: StructureSet, expected: StructureSet) -> None:
    for name in ("label", "uid", "frame_of_reference_uid", "image_series_uid", "patient_id"):
        assert getattr(read, name) == getattr(expected, name)
    for one, other in zip(read, expected, strict=True):
        for name in ("number", "name", "kind", "density", "notes"):
            assert getattr(one, name) == getattr(other, name)
        for a, b in zip(one.contours, other.contours, strict=True):
            # A decimal string of 16 characters keeps at least 12 digits behind the point.
            assert a.z == pytest.approx(b.z, abs=1e-12)
            np.testing.assert_allclose(a.points, b.points, atol=1e-12)


def test_written_structures_come_back(tmp_path: Path) -> None:
    path = write_structures(drawn_set(), tmp_path / "RS.dcm", ct=scan(), subject=SUBJECT)
    assert_same(read_structures(read_dataset(path)), drawn_set())


def test_contours_refer_to_the_slices_they_are_drawn_on(tmp_path: Path) -> None:
    path = write_structures(drawn_set(), tmp_path / "RS.dcm", ct=scan(), subject=SUBJECT)
    ds = read_dataset(path)
    body, shell, _ = ds.ROIContourSequence
    named = [c.ContourImageSequence[0].ReferencedSOPInstanceUID for c in body.ContourSequence]
    assert named == list(scan().slice_uids)
    assert not any("ContourImageSequence" in c for c in shell.ContourSequence)
    (frame,) = ds.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    assert study.ReferencedSOPInstanceUID == "1.2.30"
    (series,) = study.RTReferencedSeriesSequence
    assert len(series.ContourImageSequence) == 5


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    bare = StructureSet(drawn_set().structures, label="x", patient_id="P1")
    paths = [
        write_structures(bare, tmp_path / name, ct=scan(), subject=SUBJECT) for name in ("a", "b")
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    first = read_structures(read_dataset(paths[0]))
    fewer = StructureSet(bare.structures[:2], label="x", patient_id="P1")
    path = write_structures(fewer, tmp_path / "c", ct=scan(), subject=SUBJECT)
    assert read_structures(read_dataset(path)).uid != first.uid
    assert first.frame_of_reference_uid == scan().frame_of_reference_uid


def test_contour_of_more_text_than_explicit_vr_can_hold(tmp_path: Path) -> None:
    angle = 2 * np.pi * np.arange(4000) / 4000
    outline = 200 * np.column_stack([np.cos(angle), np.sin(angle)])
    contours = tuple(Contour(z, outline) for z in (0.0, 3.0))
    many = StructureSet((Structure(1, "fine", contours=contours),), frame_of_reference_uid="1.2.3")
    path = write_structures(many, tmp_path / "RS.dcm", ct=None, subject=SUBJECT)
    read = read_structures(read_dataset(path))["fine"]
    np.testing.assert_allclose(read.contours[1].points, outline, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"frame_of_reference_uid": "1.99"}, "frame of reference 1.99, the CT in 1.2.32"),
        ({"image_series_uid": "1.99"}, "drawn on series 1.99"),
        ({"patient_id": "P2"}, "patient identifiers disagree"),
        ({"label": "a label of more than 16"}, "label .* at most 16"),
        ({"structures": ()}, "without structures"),
        ({"structures": (Structure(1, "a"), Structure(1, "b"))}, "not unique"),
        ({"structures": (Structure(1, "a\\b"),)}, "backslash"),
        ({"structures": (Structure(1, "a\nb"),)}, "control characters"),
        ({"structures": (Structure(1, ""),)}, "no name"),
        ({"structures": (Structure(1, "n" * 65),)}, "at most 64"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    parts = {
        name: getattr(drawn_set(), name)
        for name in ("structures", "label", "frame_of_reference_uid", "image_series_uid")
    }
    with pytest.raises(InputError, match=complaint):
        write_structures(
            StructureSet(**{**parts, **change}), tmp_path / "RS.dcm", ct=scan(), subject=SUBJECT
        )
    assert not (tmp_path / "RS.dcm").exists()


def test_structures_that_nothing_places_are_refused(tmp_path: Path) -> None:
    lost = StructureSet((Structure(1, "a"),))
    with pytest.raises(InputError, match="state a frame of reference"):
        write_structures(lost, tmp_path / "RS.dcm", ct=None, subject=SUBJECT)
    nameless = replace(scan(), slice_uids=())
    with pytest.raises(InputError, match="does not know the UIDs"):
        write_structures(lost, tmp_path / "RS.dcm", ct=nameless, subject=SUBJECT)


@pytest.mark.system
@pytest.mark.parametrize("with_ct", [True, False])
def test_written_file_passes_dciodvfy(tmp_path: Path, with_ct: bool) -> None:
    program("dciodvfy", "dicom3tools")
    ct = scan() if with_ct else None
    path = write_structures(drawn_set(), tmp_path / "RS.dcm", ct=ct, subject=SUBJECT)
    result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    assert "RTStructureSet" in result.stderr
    assert [line for line in result.stderr.splitlines() if line.startswith("Error")] == []


KEYWORDS = (
    "ContourData",
    "ContourGeometricType",
    "ContourOffsetVector",
    "ContourSequence",
    "FrameOfReferenceUID",
    "NumberOfContourPoints",
    "PatientID",
    "ROIContourSequence",
    "ROIName",
    "ROINumber",
    "ROIPhysicalPropertyValue",
    "RTROIInterpretedType",
    "RTROIObservationsSequence",
    "ReferencedFrameOfReferenceSequence",
    "ReferencedFrameOfReferenceUID",
    "ReferencedROINumber",
    "ReferencedSOPInstanceUID",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StructureSetROISequence",
)
DAMAGE = st.one_of(
    st.none(),
    st.binary(max_size=12),
    st.sampled_from(
        [b"", b"nan", b"1e400", b"-1", b"1\\2\\3", b"x\\y", b"\xff\xfe", b"0\\0\\0" * 3]
    ),
)


@given(keyword=st.sampled_from(KEYWORDS), value=DAMAGE, where=st.integers(0, 5))
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_damage_is_read_or_refused_and_nothing_else(
    keyword: str, value: bytes | None, where: int
) -> None:
    ds = structure_set(
        roi(1, *planes(0, 3, 6)),
        roi(2, *planes(0, 3)),
        observations=(observation(1, "PTV", REL_MASS_DENSITY=1.0), observation(2, "ORGAN")),
    )
    places: list[Dataset] = []
    ds.walk(lambda item, element: places.append(item) if element.keyword == keyword else None)
    tag = Tag(keyword)
    target = places[where % len(places)] if places else ds
    if value is None:
        target.pop(tag, None)
    else:
        target[tag] = RawDataElement(tag, None, len(value), value, 0, True, True)
    try:
        read = read_structures(ds)
    except DosecalcError as error:
        assert len(str(error)) > 20
    else:
        assert len(read.structures) == 2


# What every structure set among the samples holds: structures, those not empty, and the volume
# in cm3 of one of them. Sampling its contours with 400 x 400 points a plane gave the same.
SAMPLES: dict[str, tuple[int, int, str, float]] = {
    "breast-swin-imrt/rtss.dcm": (10, 9, "Heart", 439.7),
    "lung1-001-tcia/RTSTRUCT_00395085_1_4ba2286b.dcm": (17, 8, "Lung R", 2957.4),
    "monaco-misc-pymedphys/RTSTRUCT_1523415120_b0af18c9.dcm": (5, 5, "ANT Box", 215.7),
    "monaco-misc-pymedphys/RTSTRUCT_1547522480_277aad51.dcm": (2, 2, "patient", 12120.3),
    "monaco-misc-pymedphys/RTSTRUCT_1589498490_300191f4.dcm": (2, 2, "patient", 25500.0),
    "oncentra-phantom/samples/single_struct/rtstruct.dcm": (4, 2, "Small", 600.0),
    "quirks/brian_water4/RTSTRUCT_00.55154_1_342e8743.dcm": (1, 1, "test", 15.24),
    "quirks/brian_water4/RTSTRUCT_50488484__3a4d5593.dcm": (2, 2, "BODY", 163.8),
    "quirks/brian_water4/RTSTRUCT_52320320__441cdc96.dcm": (1, 0, "Template", 0.0),
    "quirks/pydicom_test_files/rtstruct.dcm": (3, 1, "patient", 3600.0),
    "quirks/rtutils_mock/invalid_reference_rt.dcm": (4, 4, "ROI-4", 10.96),
    "quirks/rtutils_mock/non_existent_reference_rt.dcm": (4, 4, "ROI-4", 10.96),
    "quirks/rtutils_mock/rt.dcm": (1, 1, "ROI-1", 0.3515 * 3),
}


@pytest.mark.samples
@pytest.mark.parametrize("name", SAMPLES)
def test_real_structure_sets(samples: Path, name: str) -> None:
    count, drawn, example, volume = SAMPLES[name]
    read = read_structures(read_dataset(samples / name))
    assert len(read.structures) == count
    assert sum(not s.is_empty for s in read) == drawn
    chosen = read[example]
    # Structures on a few planes go by the spacing of the whole set; one alone cannot tell.
    spacing = chosen.slice_spacing or 3.0
    assert volume_cm3(chosen, plane_spacing=spacing) == pytest.approx(volume, rel=2e-3)
    assert all(s.notes for s in read if s.is_empty)


@pytest.mark.samples
def test_real_structure_sets_by_what_is_special_about_them(samples: Path) -> None:
    def read(name: str) -> StructureSet:
        return read_structures(read_dataset(samples / name))

    xio = read("lung1-001-tcia/RTSTRUCT_00395085_1_4ba2286b.dcm")
    assert [s.name for s in xio.of_kind("EXTERNAL")] == ["Patient"]
    # Every one of its outlines is stored twice.
    assert "left out: 85 x repeated contour" in xio["1,SUV_primair"].notes
    assert volume_cm3(xio["1,SUV_primair"]) > 100
    assert "physical properties not used: REL_ELEC_DENSITY = 0.35" in xio["Lung L"].notes
    monaco = read("monaco-misc-pymedphys/RTSTRUCT_1589498490_300191f4.dcm")
    assert "contours overlap on z = -100, 0, 100 mm" in monaco["tumor"].notes[0]
    oncentra = read("oncentra-phantom/samples/single_struct/rtstruct.dcm")
    assert "other frames of reference" in oncentra.notes[0]
    # The anonymisation wrote the name of the class in place of its UID.
    with pytest.raises(DicomError, match="is not an RT structure set"):
        read("monaco-misc-pymedphys/RTSTRUCT_Anonymous_0d68824a.dcm")


@pytest.mark.samples
def test_structures_of_a_water_cube_with_its_density(samples: Path) -> None:
    (archive,) = (samples / "raystation-water").glob("*.zip")
    with zipfile.ZipFile(archive) as files:
        (name,) = [n for n in files.namelist() if Path(n).name.startswith("RS")]
        read = read_structures(parse_dataset(files.read(name), name))
    cube = read["Water_External"]
    assert (cube.kind, cube.density) == ("EXTERNAL", 1.0)
    # 501 mm x 501 mm sections on 501 planes 1 mm apart.
    assert volume_cm3(cube) == pytest.approx(50.1**3, rel=1e-4)
    assert all(s.is_empty for s in read if s is not cube)


@pytest.mark.samples
def test_no_structure_set_among_the_samples_was_forgotten(samples: Path) -> None:
    def is_structure_set(path: Path) -> bool:
        with path.open("rb") as file:
            return RT_STRUCTURE_SET_STORAGE.encode() in file.read(2000)

    found = {
        str(path.relative_to(samples)) for path in samples.rglob("*.dcm") if is_structure_set(path)
    }
    known = set(SAMPLES)
    copies = {n for n in found - known if "simple_phantom" in n and "/RS" in n}
    assert len(copies) == 2
    for name in copies:
        assert len(read_structures(read_dataset(samples / name)).structures) == 7
    assert {n for n in found - known - copies if "plan" not in n.lower()} == set()


def test_reading_does_not_depend_on_how_pydicom_holds_the_numbers(tmp_path: Path) -> None:
    path = write_structures(drawn_set(), tmp_path / "RS.dcm", ct=None, subject=SUBJECT)
    as_stored, converted = read_dataset(path), read_dataset(path)
    converted.walk(lambda item, element: None)
    one, other = read_structures(as_stored), read_structures(converted)
    for a, b in zip(one["BODY"].contours, other["BODY"].contours, strict=True):
        np.testing.assert_array_equal(a.points, b.points)
