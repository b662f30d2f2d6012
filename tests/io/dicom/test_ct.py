"""CT: whatever order, orientation and scale the slices come in, the volume is the same."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, JPEG2000Lossless, RLELossless

from dosecalc.errors import DicomError, DosecalcError, UnsupportedError
from dosecalc.io.dicom._common import read_dataset
from dosecalc.io.dicom.ct import read_ct
from dosecalc.io.dicom.ct_writer import write_ct
from dosecalc.model import CtImage, Grid, PatientPosition
from tests.outside import program

# Every axis differs in length, spacing and origin, so that no mix-up can hide.
GRID = Grid(shape=(5, 6, 7), spacing=(1.5, 2.5, 3.0), origin=(-10.3, 20.1, -100.7))


def image(position: PatientPosition = PatientPosition.HFS) -> CtImage:
    """A volume of random HU: no symmetry of any kind."""
    hu = np.random.default_rng(1).integers(-1000, 2000, GRID.shape).astype(np.float32)
    return CtImage(GRID, hu, position, patient_id="P1", patient_name="Test^Volume", kvp=120.0)


def datasets(folder: Path, position: PatientPosition = PatientPosition.HFS) -> list[Dataset]:
    return [read_dataset(path) for path in write_ct(image(position), folder)]


def assert_same(read: CtImage, expected: CtImage) -> None:
    assert np.array_equal(read.hu, expected.hu)  # whole HU survive exactly
    assert read.grid.shape == expected.grid.shape
    # Decimal strings hold these numbers exactly; 1e-6 mm is rounding in the mean step.
    np.testing.assert_allclose(read.grid.spacing, expected.grid.spacing, atol=1e-6)
    np.testing.assert_allclose(read.grid.origin, expected.grid.origin, atol=1e-6)


@pytest.mark.parametrize("position", PatientPosition)
def test_round_trip_in_all_patient_positions(tmp_path: Path, position: PatientPosition) -> None:
    read = read_ct(datasets(tmp_path, position))
    assert_same(read, image())
    assert read.position is position
    assert (read.patient_id, read.patient_name, read.kvp) == ("P1", "Test^Volume", 120.0)


@pytest.mark.parametrize(
    ("position", "orientation"),
    [
        # The four that Eclipse writes for its doses, and the decubitus ones by the same rule:
        # row to the right of somebody at the foot of the couch, column towards the floor.
        ("HFS", [1, 0, 0, 0, 1, 0]),
        ("HFP", [-1, 0, 0, 0, -1, 0]),
        ("FFS", [-1, 0, 0, 0, 1, 0]),
        ("FFP", [1, 0, 0, 0, -1, 0]),
        ("HFDL", [0, -1, 0, 1, 0, 0]),
        ("HFDR", [0, 1, 0, -1, 0, 0]),
        ("FFDL", [0, 1, 0, 1, 0, 0]),
        ("FFDR", [0, -1, 0, -1, 0, 0]),
    ],
)
def test_written_orientation_is_the_scanners(
    tmp_path: Path, position: str, orientation: list[int]
) -> None:
    written = datasets(tmp_path, PatientPosition(position))
    assert all(list(ds.ImageOrientationPatient) == orientation for ds in written)


def test_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    slices = datasets(tmp_path)
    shuffled = [slices[i] for i in (3, 0, 4, 1, 2)]
    assert_same(read_ct(shuffled), image())
    assert read_ct(shuffled).slice_uids == read_ct(slices).slice_uids


def test_slice_uids_rise_with_z_also_feet_first(tmp_path: Path) -> None:
    slices = datasets(tmp_path, PatientPosition.FFS)
    by_z = sorted(slices, key=lambda ds: ds.ImagePositionPatient[2])
    assert read_ct(slices).slice_uids == tuple(ds.SOPInstanceUID for ds in by_z)


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ((1, 0, 0), (0, 0, -1)),  # coronal, as displays show it
        ((0, 1, 0), (0, 0, -1)),  # sagittal
        ((0, 0, 1), (1, 0, 0)),
    ],
)
def test_reformatted_planes_become_the_same_volume(
    tmp_path: Path, row: tuple[int, ...], column: tuple[int, ...]
) -> None:
    """Images along other patient axes are turned, each pixel by its own stated position."""
    ct = image()
    steps = np.array(ct.grid.spacing)
    normal = np.cross(row, column)
    template = datasets(tmp_path)[0]
    along = {int(np.abs(v).argmax()): v for v in (row, column, normal)}
    counts = ct.grid.shape[::-1]
    start = np.array(
        [0 if along[axis][axis] > 0 else counts[axis] - 1 for axis in range(3)], dtype=int
    )
    n_axis, r_axis, c_axis = (int(np.abs(v).argmax()) for v in (normal, row, column))
    slices = []
    for i in range(counts[n_axis]):
        ds = deepcopy(template)
        pixels = np.empty((counts[c_axis], counts[r_axis]), dtype="<i2")
        for y in range(counts[c_axis]):
            for x in range(counts[r_axis]):
                ix, iy, iz = start + i * normal + y * np.array(column) + x * np.array(row)
                pixels[y, x] = ct.hu[iz, iy, ix] + 1024
        ds.ImagePositionPatient = list(np.array(ct.grid.origin) + steps * (start + i * normal))
        ds.ImageOrientationPatient = [*row, *column]
        ds.PixelSpacing = [steps[c_axis], steps[r_axis]]
        ds.Rows, ds.Columns = pixels.shape
        ds.PixelData = pixels.tobytes()
        ds.SOPInstanceUID = f"1.2.3.{i + 1}"
        slices.append(ds)
    assert_same(read_ct(slices), ct)


def test_rescale_per_slice(tmp_path: Path) -> None:
    slices = datasets(tmp_path)
    for i, ds in enumerate(slices):
        ds.RescaleSlope = 2 + i
        ds.RescaleIntercept = -1000 + 10 * i
    stored = image().hu + 1024
    factor = np.arange(5, dtype=np.float32)[:, None, None]
    expected = (2 + factor) * stored - 1000 + 10 * factor
    np.testing.assert_allclose(read_ct(slices).hu, expected, rtol=1e-6)  # float32


def test_padding_is_air_with_a_note(tmp_path: Path) -> None:
    slices = datasets(tmp_path)
    for ds in slices:
        pixels = ds.pixel_array.copy()
        pixels[0, 0] = -2000
        ds.PixelData = pixels.tobytes()
        # 63536 is -2000 as unsigned, the way some scanners store it.
        ds.add_new("PixelPaddingValue", "US", 63536)
    read = read_ct(slices)
    assert (read.hu[:, 0, 0] == -1000).all()
    assert any("5 padding pixels" in note for note in read.notes)


def test_padding_that_could_be_tissue_is_refused(tmp_path: Path) -> None:
    slices = datasets(tmp_path)
    value = int(slices[0].pixel_array.max())
    slices[0].add_new("PixelPaddingValue", "SS", value)
    with pytest.raises(UnsupportedError, match="padding cannot be told from tissue"):
        read_ct(slices)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_slices(tmp_path: Path, syntax: pydicom.uid.UID) -> None:
    # JPEG 2000 encoders want more pixels than the small volume has.
    larger = Grid(shape=(3, 48, 64), spacing=GRID.spacing, origin=GRID.origin)
    hu = np.random.default_rng(2).integers(-1000, 2000, larger.shape)
    ct = replace(image(), grid=larger, hu=hu)
    slices = [read_dataset(path) for path in write_ct(ct, tmp_path)]
    for ds in slices:
        ds.compress(syntax, generate_instance_uid=False)
    assert_same(read_ct(slices), ct)


_ENCODINGS: dict[str, dict[str, bool]] = {
    "implicit": {"implicit_vr": True, "little_endian": True},
    "big": {"implicit_vr": False, "little_endian": False},
}


@pytest.mark.parametrize("endianness", ["implicit", "big"])
def test_other_uncompressed_syntaxes_and_no_preamble(tmp_path: Path, endianness: str) -> None:
    slices = []
    for i, ds in enumerate(datasets(tmp_path)):
        if endianness == "big":
            ds.PixelData = ds.pixel_array.astype(">i2").tobytes()
            ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        else:
            ds.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        path = tmp_path / f"other{i}.dcm"
        pydicom.dcmwrite(path, ds, force_encoding=True, **_ENCODINGS[endianness])
        if endianness == "implicit":
            # Some systems store the bare data set, without preamble and meta header.
            data = path.read_bytes()
            start = data.index(b"\x08\x00\x05\x00")
            path.write_bytes(data[start:])
        slices.append(read_dataset(path))
    assert_same(read_ct(slices), image())


def test_slice_thickness_differing_from_spacing_is_noted(tmp_path: Path) -> None:
    slices = datasets(tmp_path)
    for ds in slices:
        ds.SliceThickness = 5
    read = read_ct(slices)
    assert read.grid.spacing[2] == 3.0
    assert any("SliceThickness 5 mm differs" in note for note in read.notes)


def test_localizers_are_left_out_with_a_note(tmp_path: Path) -> None:
    slices = datasets(tmp_path)
    scout = deepcopy(slices[0])
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    read = read_ct([scout, *slices])
    assert_same(read, image())
    assert any("1 localizer" in note for note in read.notes)


def test_single_slice_needs_permission(tmp_path: Path) -> None:
    one = datasets(tmp_path)[:1]
    with pytest.raises(DicomError, match="one slice"):
        read_ct(one)
    read = read_ct(one, slice_thickness_ok=True)
    assert read.grid.shape == (1, 6, 7)
    assert read.grid.spacing[2] == 3.0
    assert any("SliceThickness 3 mm taken" in note for note in read.notes)


def test_missing_position_must_be_stated_and_not_contradicted(tmp_path: Path) -> None:
    slices = datasets(tmp_path)
    for ds in slices:
        ds.PatientPosition = ""
    with pytest.raises(DicomError, match="PatientPosition"):
        read_ct(slices)
    assert read_ct(slices, position=PatientPosition.FFP).position is PatientPosition.FFP
    for ds in slices:
        ds.PatientPosition = "HFS"
    with pytest.raises(DicomError, match="HFS, not FFP"):
        read_ct(slices, position=PatientPosition.FFP)


def test_images_drawn_upside_down_for_their_position_are_noted(tmp_path: Path) -> None:
    """Supine data relabelled as prone: the anatomy cannot tell, the drawing can."""
    slices = datasets(tmp_path)
    assert not read_ct(slices).notes
    for ds in slices:
        ds.PatientPosition = "HFP"
    assert any("check PatientPosition" in note for note in read_ct(slices).notes)


@pytest.mark.parametrize("start", [-100.7, -98.33, 12.34, -512.77])
def test_positions_of_two_decimals(tmp_path: Path, start: float) -> None:
    """Slices 10/3 mm apart, and corners that two decimals put on either side of a half."""
    slices = datasets(tmp_path)
    for k, ds in enumerate(slices):
        x, y, _ = ds.ImagePositionPatient
        ds.ImagePositionPatient = [
            f"{x + 0.01 * (k % 2):.2f}",
            f"{y:.2f}",
            f"{start + 10 / 3 * k:.2f}",
        ]
        ds.PixelSpacing = [2.5, 1.5 + 1e-7 * k]
        ds.SliceThickness = "3.33 "
    read = read_ct(slices)
    # Of five positions off by 0.005 mm at most, the mean step is off by 0.002 mm at most.
    assert read.grid.spacing[2] == pytest.approx(10 / 3, abs=0.0021)
    assert not read.notes


def test_slices_off_even_spacing_are_noted(tmp_path: Path) -> None:
    slices = datasets(tmp_path)
    x, y, z = slices[2].ImagePositionPatient
    slices[2].ImagePositionPatient = [x, y, z + 0.08]
    read = read_ct(slices)
    assert read.grid.spacing[2] == pytest.approx(3.0, abs=1e-6)
    assert any("off even spacing of 3 mm: taken as even" in note for note in read.notes)


def test_gantry_tilt_shows_in_the_positions(tmp_path: Path) -> None:
    """Half a degree over five slices of 3 mm moves the last by 0.105 mm within its plane."""
    slices = datasets(tmp_path)
    for k, ds in enumerate(slices):
        x, y, z = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, y + 3 * k * np.tan(np.deg2rad(0.5)), z]
    with pytest.raises(UnsupportedError, match="shifted against each other"):
        read_ct(slices)


def _drop(slices: list[Dataset]) -> None:
    del slices[2]


def _repeat(slices: list[Dataset]) -> None:
    copy = deepcopy(slices[2])
    copy.SOPInstanceUID = "1.2.3.4"
    slices.append(copy)


def _shift(slices: list[Dataset]) -> None:
    x, y, z = slices[3].ImagePositionPatient
    slices[3].ImagePositionPatient = [x, y, z + 0.3]


def _creep(slices: list[Dataset]) -> None:
    """A sheared stack: what a tilted gantry leaves when only positions tell of it."""
    for i, ds in enumerate(slices):
        x, y, z = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, y + 0.5 * i, z]


def _set(keyword: str, value: object, which: slice = slice(None)) -> Callable[..., None]:
    def change(slices: list[Dataset]) -> None:
        for ds in slices[which]:
            setattr(ds, keyword, value)

    return change


_ONE = slice(1, 2)
_TILT = [1, 0, 0, 0, 0.9848, 0.1736]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (_drop, DicomError, "1 CT slices are missing between .* -97.70 .* -91.70"),
        (_repeat, DicomError, "two CT slices at the same position"),
        (_shift, DicomError, "unevenly spaced"),
        (_creep, UnsupportedError, "shifted against each other"),
        (_set("GantryDetectorTilt", 12), UnsupportedError, "GantryDetectorTilt .* 12 degrees"),
        (_set("ImageOrientationPatient", _TILT), UnsupportedError, "oblique"),
        (_set("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), DicomError, "perpendicular"),
        (_set("ImageOrientationPatient", [-1, 0, 0, 0, 1, 0], _ONE), DicomError, "oriented"),
        (_set("SeriesInstanceUID", "1.9", _ONE), DicomError, "2 series"),
        (_set("FrameOfReferenceUID", "1.9", _ONE), DicomError, "2 frames of reference"),
        (_set("PatientID", "P2", _ONE), DicomError, "2 patients"),
        (_set("PixelSpacing", [2.5, 1.4], _ONE), DicomError, "differ in PixelSpacing"),
        (_set("PixelSpacing", [2.5, -1.4]), DicomError, "PixelSpacing"),
        (_set("Rows", 5, _ONE), DicomError, "image sizes"),
        (_set("PatientPosition", "SITTING"), UnsupportedError, "'SITTING'"),
        (_set("PhotometricInterpretation", "MONOCHROME1"), UnsupportedError, "MONOCHROME1"),
        (_set("NumberOfFrames", 20), UnsupportedError, "multi-frame"),
        (_set("SOPClassUID", EnhancedCTImageStorage), UnsupportedError, "multi-frame"),
        (_set("SOPClassUID", "1.2.840.10008.5.1.4.1.1.4"), DicomError, "not a CT image"),
        (_set("RescaleSlope", 0), DicomError, "RescaleSlope"),
        (_set("RescaleSlope", None), DicomError, "RescaleSlope"),
        (_set("RescaleSlope", 1e6), DicomError, "no HU"),
        (_set("RescaleType", "HU_MOD"), UnsupportedError, "HU_MOD"),
        (_set("PixelData", b"\x00" * 10), DicomError, "cannot be decoded"),
        (_set("PixelData", None), DicomError, "no pixels"),
        (_set("HighBit", 14), UnsupportedError, "HighBit 14"),
        (_set("BitsAllocated", 12), UnsupportedError, "BitsAllocated"),
    ],
)
def test_refused_by_name(
    tmp_path: Path,
    change: Callable[[list[Dataset]], None],
    error: type[DosecalcError],
    words: str,
) -> None:
    slices = datasets(tmp_path)
    change(slices)
    with pytest.raises(error, match=words):
        read_ct(slices)


def test_undecodable_compression_names_the_syntax(tmp_path: Path) -> None:
    slices = datasets(tmp_path)
    for ds in slices:
        ds.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
        ds.PixelData = pydicom.encaps.encapsulate([ds.PixelData])
        ds["PixelData"].is_undefined_length = True
    with pytest.raises(UnsupportedError, match="MPEG2"):
        read_ct(slices)


def test_empty_series() -> None:
    with pytest.raises(DicomError, match="no CT slices"):
        read_ct([])


def test_hu_beyond_16_bits_is_not_written(tmp_path: Path) -> None:
    bright = replace(image(), hu=np.full(GRID.shape, 40000, dtype=np.float32))
    with pytest.raises(DosecalcError, match="16 bits"):
        write_ct(bright, tmp_path)


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_ct(image(), tmp_path / name) for name in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


@pytest.mark.system
@pytest.mark.parametrize("position", [PatientPosition.HFS, PatientPosition.FFDR])
def test_written_slices_pass_dciodvfy(tmp_path: Path, position: PatientPosition) -> None:
    check_with_dciodvfy(write_ct(image(position), tmp_path)[2])


def check_with_dciodvfy(path: Path) -> None:
    """Fail on any error of dicom3tools' validator; skip where it is absent, but not in CI."""
    program("dciodvfy", "dicom3tools")
    result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert not errors


@pytest.mark.samples
def test_a_whole_thorax_reads_quickly_and_right(samples: Path) -> None:
    start = time.process_time()
    slices = [read_dataset(path) for path in sorted((samples / "lung1-001-tcia").iterdir())]
    read = read_ct([ds for ds in slices if ds.Modality == "CT"])
    # 1.5 s of one slow core; 3 s is what an interactive import may take. Of the processor, so that
    # what else runs on the machine decides nothing.
    assert time.process_time() - start < 3
    assert read.grid.shape == (134, 512, 512)
    assert read.grid.spacing == (0.9765625, 0.9765625, 3.0)
    assert read.position is PatientPosition.HFS
    # Air around the patient, and soft tissue as the commonest of what is not air.
    assert read.hu.min() == -1024
    counts, edges = np.histogram(read.hu, bins=np.arange(-200, 201, 20))
    assert -120 <= edges[counts.argmax()] <= 80
