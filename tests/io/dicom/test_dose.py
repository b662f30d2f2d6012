"""RTDOSE: what is written reloads to within rounding, and every frame finds its place."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dosecalc.errors import DicomError, DosecalcError, InputError, UnsupportedError
from dosecalc.io.dicom._common import read_dataset
from dosecalc.io.dicom._writing import Subject
from dosecalc.io.dicom.dose import DoseReferences, dose_grid, import_dose, read_dose, read_dose_file
from dosecalc.io.dicom.dose_writer import DvhCurve, write_dose
from dosecalc.model import Dose, Grid
from tests.outside import program

GRID = Grid(shape=(4, 5, 6), spacing=(2.5, 2.0, 3.0), origin=(-11.25, 30.5, -123.4))
REFERENCES = DoseReferences(
    Subject("P1", "Test^Dose", "1.2.3"), "1.2.4", plan_uid="1.2.5", structure_set_uid="1.2.6"
)

BEAM = replace(REFERENCES, fraction_group=1, beam_number=3)


def dose(highest: float = 72.3, **changes: object) -> Dose:
    gray = np.random.default_rng(3).random(GRID.shape, dtype=np.float32)
    made = Dose(GRID, gray / gray.max() * highest, "medium")
    return replace(made, **changes)  # type: ignore[arg-type]


def dataset(folder: Path, *, bits: int = 32) -> Dataset:
    return read_dataset(write_dose(dose(), folder / "dose.dcm", REFERENCES, bits=bits))


@pytest.mark.parametrize("bits", [32, 16])
@pytest.mark.parametrize("highest", [1e-6, 2.0, 72.3, 1234.5])
def test_reloads_within_rounding(tmp_path: Path, bits: int, highest: float) -> None:
    made = dose(highest)
    read = read_dose(read_dataset(write_dose(made, tmp_path / "d.dcm", REFERENCES, bits=bits)))
    # Half a count of the integers, plus float32 rounding.
    tolerance = 0.5 * highest / 2**bits * 1.01 + highest * 2e-7
    assert np.abs(read.gray - made.gray).max() <= tolerance
    np.testing.assert_allclose(read.grid.origin, GRID.origin, atol=1e-6)
    np.testing.assert_allclose(read.grid.spacing, GRID.spacing, atol=1e-6)
    assert (read.dose_to, read.summation, read.unit) == ("medium", "PLAN", "Gy")


def test_references_survive(tmp_path: Path) -> None:
    path = write_dose(dose(summation="BEAM"), tmp_path / "d.dcm", BEAM)
    read = read_dose_file(path)
    assert read.references == BEAM
    assert read.dose.summation == "BEAM"
    plan = read_dataset(path).ReferencedRTPlanSequence[0]
    assert plan.ReferencedSOPInstanceUID == "1.2.5"
    group = plan.ReferencedFractionGroupSequence[0]
    assert group.ReferencedBeamSequence[0].ReferencedBeamNumber == 3


def test_comment_says_what_it_is(tmp_path: Path) -> None:
    comment = dataset(tmp_path).DoseComment
    assert "medium" in comment
    assert "not for clinical use without commissioning" in comment
    assert len(comment) <= 64  # VR LO


def test_zero_dose_is_written_and_noted(tmp_path: Path) -> None:
    empty = replace(dose(), gray=np.zeros(GRID.shape, dtype=np.float32))
    read = read_dose_file(write_dose(empty, tmp_path / "d.dcm", REFERENCES))
    assert not read.dose.gray.any()
    assert any("zero everywhere" in note for note in read.notes)


def test_absolute_offsets_mean_z(tmp_path: Path) -> None:
    ds = dataset(tmp_path)
    ds.GridFrameOffsetVector = [GRID.origin[2] + 3.0 * k for k in range(4)]
    read = read_dose(ds)
    np.testing.assert_allclose(read.grid.origin, GRID.origin, atol=1e-6)
    assert np.array_equal(read.gray, read_dose(dataset(tmp_path)).gray)


@pytest.mark.parametrize("absolute", [False, True])
def test_descending_frames_are_flipped(tmp_path: Path, absolute: bool) -> None:
    ds = dataset(tmp_path)
    top = GRID.origin[2] + 9.0
    x, y, _ = ds.ImagePositionPatient
    ds.ImagePositionPatient = [x, y, top]
    ds.GridFrameOffsetVector = [(top if absolute else 0.0) - 3.0 * k for k in range(4)]
    ds.PixelData = ds.pixel_array[::-1].tobytes()
    read = read_dose(ds)
    np.testing.assert_allclose(read.grid.origin, GRID.origin, atol=1e-6)
    assert np.array_equal(read.gray, read_dose(dataset(tmp_path)).gray)


def test_rounding_noise_in_the_offsets(tmp_path: Path) -> None:
    ds = dataset(tmp_path)
    ds.GridFrameOffsetVector = ["0", "2.39999999998", "4.79999999996", "7.20000000002"]
    assert read_dose(ds).grid.spacing[2] == pytest.approx(2.4, abs=1e-5)


@pytest.mark.parametrize("absolute", [False, True])
def test_positions_of_two_decimals(tmp_path: Path, absolute: bool) -> None:
    """Frames 10/3 mm apart: steps of 3.33 and 3.34 mm, whatever the last bits say."""
    ds = dataset(tmp_path)
    for start in (-100.0, -98.33, 12.34, -512.77):
        x, y, _ = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, y, start]
        first = start if absolute else 0.0
        ds.GridFrameOffsetVector = [f"{first + 10 / 3 * k:.2f}" for k in range(4)]
        # Of four positions off by 0.005 mm at most, the mean step is off by 0.0033 mm at most.
        assert read_dose(ds).grid.spacing[2] == pytest.approx(10 / 3, abs=0.0034)


def test_absolute_offsets_of_a_prone_dose_are_explained(tmp_path: Path) -> None:
    """DICOM PS3.3, C.8.8.3.2: absolute z is for rows along +x and columns along +y alone."""
    ds = dataset(tmp_path)
    ds.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
    z = float(ds.ImagePositionPatient[2])
    ds.GridFrameOffsetVector = [z + 3.0 * k for k in range(4)]
    with pytest.raises(DicomError) as caught:
        read_dose(ds)
    said = str(caught.value)
    assert "the z of ImagePositionPatient. DICOM allows" in said
    assert "rows of this dose run along -x, its columns along -y" in said
    assert "must start with 0" in said
    assert "nor" not in said.split()  # nothing denies what was just found


@pytest.mark.parametrize(
    ("orientation", "flip"),
    [
        ([1, 0, 0, 0, 1, 0], (False, False, False)),
        ([-1, 0, 0, 0, -1, 0], (False, True, True)),
        ([-1, 0, 0, 0, 1, 0], (True, False, True)),
        ([1, 0, 0, 0, -1, 0], (True, True, False)),
    ],
)
def test_every_orientation_gives_the_same_dose(
    tmp_path: Path, orientation: list[int], flip: tuple[bool, bool, bool]
) -> None:
    """The four ways in which a planning system stores a dose of the same patient."""
    ds = dataset(tmp_path)
    expected = read_dose(ds)
    backwards = tuple(slice(None, None, -1 if f else 1) for f in flip)
    corner = GRID.position_of([f * (n - 1) for f, n in zip(flip, GRID.shape, strict=True)])
    ds.PixelData = ds.pixel_array[backwards].tobytes()
    ds.ImagePositionPatient = list(corner)
    ds.ImageOrientationPatient = orientation
    assert dose_grid(ds).flipped == flip
    read = read_dose(ds)
    assert np.array_equal(read.gray, expected.gray)
    np.testing.assert_allclose(read.grid.origin, GRID.origin, atol=1e-6)


def test_single_frame_needs_permission(tmp_path: Path) -> None:
    ds = dataset(tmp_path)
    ds.NumberOfFrames = 1
    ds.GridFrameOffsetVector = 0
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 4]
    with pytest.raises(DicomError, match="a dose of one frame, 3 mm thick: that is a plane"):
        read_dose(ds)
    read = import_dose(ds, slice_thickness_ok=True)
    assert read.dose.grid.shape == (1, 5, 6)
    assert any("SliceThickness 3 mm taken" in note for note in read.notes)
    assert np.array_equal(read.dose.gray[0], read_dose(dataset(tmp_path)).gray[0])


def test_a_plane_without_thickness_is_none(tmp_path: Path) -> None:
    ds = dataset(tmp_path)
    ds.NumberOfFrames = 1
    ds.GridFrameOffsetVector = 0
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 4]
    ds.SliceThickness = None
    for allowed in (False, True):
        with pytest.raises(DicomError, match=r"no extent across it \(SliceThickness missing"):
            import_dose(ds, slice_thickness_ok=allowed)


def test_dose_of_others_is_to_unknown(tmp_path: Path) -> None:
    ds = dataset(tmp_path)
    ds.Manufacturer = "Somebody else"
    ds.TissueHeterogeneityCorrection = "IMAGE"
    read = import_dose(ds)
    assert read.dose.dose_to == "unknown"
    assert any("heterogeneity correction: IMAGE" in note for note in read.notes)


@pytest.mark.parametrize(
    ("values", "densities"),
    [
        (["IMAGE"], ""),
        (["IMAGE", "ROI_OVERRIDE"], ""),  # the usual: CT, with structures of a set density
        (["ROI_OVERRIDE"], ""),
        (["WATER"], "reference.in_water"),
        (["WATER", "ROI_OVERRIDE"], "reference.in_water_with_structures"),
        (["ROI_OVERRIDE", "WATER "], "reference.in_water_with_structures"),
        (["IMAGE", "WATER"], "reference.in_water_some_beams"),
        (
            ["IMAGE", "ROI_OVERRIDE", "WATER"],
            "reference.in_water_some_beams",
        ),
        ([], ""),
    ],
)
def test_a_dose_in_water_is_known_by_any_of_its_values(
    tmp_path: Path, values: list[str], densities: str
) -> None:
    """DICOM PS3.3, C.8.8.3: the attribute has up to three values, in any order."""
    ds = dataset(tmp_path)
    ds.TissueHeterogeneityCorrection = values
    assert read_dose(ds).provenance["densities"] == densities


def _set(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda ds: setattr(ds, keyword, value)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (_set("DoseUnits", "RELATIVE"), UnsupportedError, "'RELATIVE'"),
        (_set("DoseUnits", None), DicomError, "DoseUnits"),
        (_set("DoseType", "EFFECTIVE"), UnsupportedError, "'EFFECTIVE'"),
        (_set("DoseType", "ERROR"), UnsupportedError, "'ERROR'"),
        (_set("DoseSummationType", "SOMETIMES"), DicomError, "'SOMETIMES'"),
        (_set("DoseGridScaling", 0), DicomError, "DoseGridScaling"),
        (_set("DoseGridScaling", -1e-5), DicomError, "DoseGridScaling"),
        (_set("DoseGridScaling", None), DicomError, "DoseGridScaling"),
        (_set("DoseGridScaling", 1e38), DicomError, "not finite"),
        (_set("GridFrameOffsetVector", [0, 3, 6]), DicomError, "3 values"),
        (_set("GridFrameOffsetVector", [0, 3, 6, 9.5]), DicomError, "unevenly spaced"),
        (_set("GridFrameOffsetVector", [0, 0, 0, 0]), DicomError, "0 mm apart"),
        (_set("GridFrameOffsetVector", [5, 8, 11, 14]), DicomError, "starts with 5"),
        (_set("GridFrameOffsetVector", None), DicomError, "GridFrameOffsetVector"),
        (_set("FrameIncrementPointer", 0x00181063), UnsupportedError, "FrameIncrementPointer"),
        (_set("NumberOfFrames", None), DicomError, "4 values, the dose 1 frames"),
        (_set("ImageOrientationPatient", [0.8, 0.6, 0, -0.6, 0.8, 0]), UnsupportedError, "oblique"),
        (_set("PixelSpacing", [0, 2]), DicomError, "PixelSpacing"),
        (_set("PixelData", None), DicomError, "no pixels"),
        (_set("PixelData", b"\0\0\0\0"), DicomError, "cannot be decoded"),
        (_set("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"), DicomError, "not an RT dose"),
        (_set("FrameOfReferenceUID", "abc"), DicomError, "not a UID"),
        (_set("SamplesPerPixel", 3), UnsupportedError, "3 samples"),
    ],
)
def test_refused_by_name(
    tmp_path: Path, change: Callable[[Dataset], None], error: type[DosecalcError], words: str
) -> None:
    ds = dataset(tmp_path)
    change(ds)
    with pytest.raises(error, match=words):
        read_dose(ds)


def test_negative_dose_is_refused(tmp_path: Path) -> None:
    ds = dataset(tmp_path)
    ds.PixelRepresentation = 1
    with pytest.raises(DicomError, match="negative dose"):
        read_dose(ds)


@pytest.mark.parametrize(
    ("made", "references", "bits", "words"),
    [
        (dose(unit="Gy cm2"), REFERENCES, 32, "Gy cm2"),
        (dose(), REFERENCES, 8, "8 bits"),
        (dose(), replace(REFERENCES, plan_uid=""), 32, "plan"),
        (dose(), BEAM, 32, "beam number 3"),
        (dose(summation="BEAM"), REFERENCES, 32, "fraction group"),
        (dose(summation="RECORD"), REFERENCES, 32, "RECORD"),
        (dose(-1.0), REFERENCES, 32, "negative"),
    ],
)
def test_not_written(
    tmp_path: Path, made: Dose, references: DoseReferences, bits: int, words: str
) -> None:
    with pytest.raises(DosecalcError, match=words):
        write_dose(made, tmp_path / "d.dcm", references, bits=bits)
    assert not list(tmp_path.iterdir())


def test_histograms_are_carried(tmp_path: Path) -> None:
    curve = DvhCurve(7, np.array([0.0, 10.0, 15.0]), np.array([100.0, 40.0, 2.5]))
    ds = read_dataset(write_dose(dose(), tmp_path / "d.dcm", REFERENCES, dvhs=[curve]))
    item = ds.DVHSequence[0]
    # Bin widths and the volume at each bin's lower edge; the last width repeats.
    assert list(item.DVHData) == [10, 100, 5, 40, 5, 2.5]
    assert item.DVHReferencedROISequence[0].ReferencedROINumber == 7


def test_histograms_must_fall(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fall"):
        DvhCurve(1, np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    with pytest.raises(InputError, match="rise from 0"):
        DvhCurve(1, np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    curve = DvhCurve(1, np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    with pytest.raises(InputError, match="structure set"):
        write_dose(
            dose(), tmp_path / "d.dcm", replace(REFERENCES, structure_set_uid=""), dvhs=[curve]
        )


def test_the_same_dose_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_dose(dose(), tmp_path / name, REFERENCES) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.system
@pytest.mark.parametrize("kind", ["plan", "beam", "with histograms"])
def test_written_dose_passes_dciodvfy(tmp_path: Path, kind: str) -> None:
    """The 16-bit twin: the validator aborts on 32 bits."""
    program("dciodvfy", "dicom3tools")
    made = dose(summation="BEAM" if kind == "beam" else "PLAN")
    references = BEAM if kind == "beam" else REFERENCES
    curves = [DvhCurve(1, np.linspace(0, 80, 3000), np.linspace(12345.678, 0, 3000))]
    if kind == "with histograms":
        path = write_dose(made, tmp_path / "d.dcm", references, bits=16, dvhs=curves)
    else:
        # The validator ties the structure set to histograms.
        references = replace(references, structure_set_uid="")
        path = write_dose(made, tmp_path / "d.dcm", references, bits=16)
    result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert not errors


@pytest.mark.samples
@pytest.mark.parametrize(
    ("name", "origin", "shape"),
    [
        # Eclipse, prone and feet first: LPS of the first voxel once rows and columns are flipped.
        ("RTDOSE_22211720__b340db10.dcm", (-351.0475, -161.4519, -1259.5), (101, 111, 228)),
        ("RTDOSE_22212002__b28fb1af.dcm", (-348.9525, -55.2831, -1256.5), (101, 70, 350)),
        ("RTDOSE_22212111__1f121d66.dcm", (-348.9521, -56.1171, 1057.0), (101, 64, 350)),
        ("RTDOSE_22212216__8d6dbf6e.dcm", (-349.0479, -76.6169, 1052.0), (101, 68, 350)),
    ],
)
def test_eclipse_grids_in_four_positions(
    samples: Path, name: str, origin: tuple[float, ...], shape: tuple[int, ...]
) -> None:
    ds = read_dataset(samples / "rtdose-orientations" / name)
    place = dose_grid(ds)
    np.testing.assert_allclose(place.grid.origin, origin, atol=1e-6)
    assert place.grid.shape == shape
    with pytest.raises(DicomError, match="no pixels"):
        read_dose(ds)


@pytest.mark.samples
def test_a_dose_of_a_real_plan(samples: Path) -> None:
    read = read_dose_file(samples / "breast-swin-imrt" / "rtdose.dcm")
    assert read.dose.grid.shape == (98, 129, 194)
    assert read.dose.grid.spacing == (2.5, 2.5, 3.0)
    assert read.dose.summation == "PLAN"
    assert 10 < read.dose.gray.max() < 80
