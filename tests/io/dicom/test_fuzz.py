"""Damaged attributes: a correct import or a DosecalcError, never anything else, never a guess.

Small files are made with the project's own writers, one attribute at a time is
damaged in its stored bytes (as a transfer or another system would), and read.
The oracle for "no silent default": where an attribute was deleted, blanked or
turned into something that is no number, whatever is read must equal what the
undamaged file gives, or be visibly empty, or come with a note it did not have.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from dosecalc.errors import DosecalcError
from dosecalc.io.dicom._common import parse_dataset
from dosecalc.io.dicom._writing import Subject
from dosecalc.io.dicom.ct import read_ct
from dosecalc.io.dicom.ct_writer import write_ct
from dosecalc.io.dicom.dose import DoseReferences, import_dose
from dosecalc.io.dicom.dose_writer import write_dose
from dosecalc.io.dicom.plan import read_plan
from dosecalc.io.dicom.plan_writer import write_plan
from dosecalc.io.dicom.structures import read_structures
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

_SETTINGS = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class Kind(NamedTuple):
    """A kind of file: undamaged bytes, and how data sets of it are read."""

    files: tuple[bytes, ...]
    read: Callable[[list[Dataset]], Any]
    expected: Any


# ---- undamaged files ------------------------------------------------------------------------
# Nothing is at a value a reader might assume: no zero angles, no unit slope, no HFS.

_SUBJECT = Subject("P1", "Fuzz^Patient", "1.2.3")
_FRAME = "1.2.4"


def _grid() -> Grid:
    return Grid(shape=(3, 4, 5), spacing=(1.5, 2.5, 3.0), origin=(-3.0, 4.0, 5.0))


def _ct() -> CtImage:
    hu = np.random.default_rng(5).integers(-900, 1500, (3, 4, 5)).astype(np.float32)
    return CtImage(
        _grid(),
        hu,
        PatientPosition.HFP,
        patient_id="P1",
        patient_name="Fuzz^Patient",
        study_uid="1.2.3",
        series_uid="1.2.30",
        frame_of_reference_uid=_FRAME,
        slice_uids=("1.2.31", "1.2.32", "1.2.33"),
        kvp=120.0,
    )


def _plan() -> Plan:
    leaves = np.array([[-20.0, -25.0, -15.0], [22.0, 18.0, 17.0]])
    points = tuple(
        ControlPoint(
            meterset_fraction=fraction,
            gantry_deg=30.0 + 20 * fraction,
            collimator_deg=15.0,
            couch_deg=10.0,
            isocentre=(1.0, 2.0, 3.0),
            jaws_x=(-31.0, 29.0),
            jaws_y=(-28.0, 33.0),
            leaves=leaves + 3 * fraction,
            gantry_direction="CW" if fraction < 1 else "NONE",
        )
        for fraction in (0.0, 0.4, 1.0)
    )
    beams = tuple(
        Beam(
            number=number,
            name=f"field {number}",
            energy_mv=6.0 + 4 * number,
            fluence_mode="STANDARD",
            machine_name="linac",
            sad_mm=1000.0,
            mu=100.0 + number,
            control_points=points,
            leaf_boundaries=np.array([-30.0, -10.0, 10.0, 30.0]),
            leaf_axis="x",
            technique="VMAT",
            prescribed_dose_gy=1.1 * number,
            dose_point=(1.0, 2.0, 4.0),
        )
        for number in (1, 2)
    )
    return Plan(
        beams,
        PatientPosition.HFP,
        fractions=17,
        prescriptions=(Prescription("target", 56.1, "TARGET", structure_number=2),),
        label="fuzz",
        uid="1.2.50",
        structure_set_uid="1.2.60",
        frame_of_reference_uid=_FRAME,
        patient_id="P1",
    )


def _structures() -> StructureSet:
    square = np.array([[-2.0, 5.0], [2.5, 5.0], [2.5, 11.0], [-2.0, 11.0]])
    contours = tuple(Contour(z, square) for z in (5.0, 8.0, 11.0))
    return StructureSet(
        (
            Structure(1, "body", "EXTERNAL", contours),
            Structure(2, "target", "PTV", contours[1:], density=1.1),
        ),
        label="fuzz",
        uid="1.2.60",
        frame_of_reference_uid=_FRAME,
        image_series_uid="1.2.30",
        patient_id="P1",
    )


def _dose() -> Dose:
    gray = np.random.default_rng(6).random((3, 4, 5), dtype=np.float32) * 50
    return Dose(_grid(), gray, "medium", summation="BEAM")


@functools.cache
def kind(name: str) -> Kind:
    with tempfile.TemporaryDirectory() as folder:
        paths, read = _write(name, Path(folder))
        files = tuple(path.read_bytes() for path in paths)
    if name == "CT":
        files = tuple(_unusual_slope(data) for data in files)
    return Kind(files, read, read([parse_dataset(data, f"{name}.dcm") for data in files]))


def _write(name: str, folder: Path) -> tuple[list[Path], Callable[[list[Dataset]], Any]]:
    if name == "CT":
        return list(write_ct(_ct(), folder)), read_ct
    if name == "RTDOSE":
        references = DoseReferences(_SUBJECT, _FRAME, "1.2.50", "1.2.60", 1, 2)
        return [write_dose(_dose(), folder / "d.dcm", references)], lambda ds: import_dose(ds[0])
    if name == "RTSTRUCT":
        path = write_structures(_structures(), folder / "s.dcm", ct=_ct(), subject=_SUBJECT)
        return [path], lambda ds: read_structures(ds[0])
    path = folder / "p.dcm"
    write_plan(_plan(), path, subject=_SUBJECT)
    return [path], lambda ds: read_plan(ds[0])


def _unusual_slope(data: bytes) -> bytes:
    """Slope 2, where 1 is what a reader might assume."""
    element = b"\x28\x00\x53\x10DS\x02\x00"
    assert element + b"1 " in data
    return data.replace(element + b"1 ", element + b"2 ")


# ---- damage ---------------------------------------------------------------------------------

_CONTROL_POINTS = Tag("ControlPointSequence")
_DELETE, _BLANK = "delete", "blank"
_NO_NUMBERS = (
    b"abc ",
    b"nan ",
    b"inf ",
    b"-inf",
    b"1e999 ",
    b"1,5 ",
    b"--1 ",
    b"\xff\xfe",
    b"?" * 40,
)
_NUMBERS = (
    b"0 ",
    b"-1",
    b"1e300 ",
    b"-1e300",
    b"99999999999 ",
    b"3.7 ",
    b"1\\2 ",
    b"1\\2\\3 ",
    b"1\\\\3",
    b"1\\nan\\3\\4\\5\\6",
    b"1\\2\\3\\4\\5\\6\\7 ",
    b"HFS ",
    b"1.2.3.4 ",
    b"0" * 4096,
)


def _paths(ds: Dataset, above: tuple[tuple[BaseTag, int], ...] = ()) -> Iterator[Any]:
    """Every element of a data set and its items, as the way to it and its tag."""
    for element in ds:
        yield above, element.tag
        if element.VR == "SQ":
            for i, item in enumerate(element.value):
                yield from _paths(item, (*above, (element.tag, i)))


@functools.cache
def _places(name: str) -> tuple[Any, ...]:
    """Places of the first file; pixel data is damaged once, not in proportion to its size."""
    return tuple(_paths(parse_dataset(kind(name).files[0], f"{name}.dcm")))


def _damage(ds: Dataset, place: Any, damage: str | bytes) -> None:
    above, tag = place
    for step, i in above:
        ds = ds[step].value[i]
    if damage == _DELETE:
        del ds[tag]
        return
    value = b"" if damage == _BLANK else damage
    assert isinstance(value, bytes)
    vr = ds[tag].VR
    # As the parser leaves it: bytes with the VR of the file, converted when first looked at.
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def _read(name: str, place: Any, damage: str | bytes, *, everywhere: bool) -> Any | None:
    """Return what is read from damaged files, None where it is refused."""
    one = kind(name)
    sets = [deepcopy(ds) for ds in _parsed(name)]
    for ds in sets if everywhere else sets[:1]:
        _damage(ds, place, damage)
    try:
        return one.read(sets)
    except DosecalcError as error:
        assert len(str(error)) > 15, "a refusal must be a sentence"
        return None


@functools.cache
def _parsed(name: str) -> list[Dataset]:
    return [parse_dataset(data, f"{name}.dcm") for data in kind(name).files]


# ---- the oracle -----------------------------------------------------------------------------


def _notes(value: Any) -> int:
    if dataclasses.is_dataclass(value):
        own = len(getattr(value, "notes", ()))
        return own + sum(_notes(getattr(value, f.name)) for f in dataclasses.fields(value))
    return sum(_notes(v) for v in value) if isinstance(value, tuple) else 0


_EMPTY = ("", (), "unknown", "UNSPECIFIED")


def _changes(expected: Any, read: Any, where: str = "") -> Iterator[str]:
    """Where `read` differs from `expected` with something that is not visibly empty."""
    empty = read is None or (
        isinstance(read, str | tuple) and read in ("", (), "unknown", "UNSPECIFIED")
    )
    if empty or where.endswith((".notes", ".provenance", ".description")):
        return  # a description is a label: one without text is called by its kind
    if dataclasses.is_dataclass(expected) and dataclasses.is_dataclass(read):
        for f in dataclasses.fields(expected):
            yield from _changes(
                getattr(expected, f.name), getattr(read, f.name), f"{where}.{f.name}"
            )
    elif isinstance(expected, np.ndarray):
        if not np.array_equal(expected, read):
            yield where
    elif isinstance(expected, tuple):
        if not isinstance(read, tuple) or len(expected) != len(read):
            yield where
        else:
            for i, (a, b) in enumerate(zip(expected, read, strict=True)):
                yield from _changes(a, b, f"{where}[{i}]")
    elif expected != read:
        yield where


_KINDS = ("CT", "RTDOSE", "RTSTRUCT", "RTPLAN")


@pytest.mark.parametrize("name", _KINDS)
@_SETTINGS
@given(data=st.data())
def test_what_is_lost_is_never_replaced_in_silence(name: str, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(_places(name)))
    damage = data.draw(st.sampled_from([_DELETE, _BLANK, *_NO_NUMBERS]))
    everywhere = data.draw(st.booleans())
    read = _read(name, place, damage, everywhere=everywhere)
    if read is None or _notes(read) > _notes(kind(name).expected):
        return
    element = _element(name, place)
    if isinstance(damage, bytes) and element.VR not in ("DS", "IS"):
        return  # other text is other text: a name may be "abc"
    if damage in (_DELETE, _BLANK) and _is_inherited(place):
        return
    assert not list(_changes(kind(name).expected, read)), f"{element.keyword} {damage!r}"


def _is_inherited(place: Any) -> bool:
    """Whether the standard lets what is absent here stand for what was stated before."""
    return any(step == _CONTROL_POINTS and i > 0 for step, i in place[0])


def _element(name: str, place: Any) -> Any:
    ds = _parsed(name)[0]
    for step, i in place[0]:
        ds = ds[step].value[i]
    return ds[place[1]]


@pytest.mark.parametrize("name", _KINDS)
@_SETTINGS
@given(data=st.data())
def test_other_values_are_read_or_refused(name: str, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(_places(name)))
    damage = data.draw(st.sampled_from(_NUMBERS) | st.binary(max_size=12))
    _read(name, place, damage, everywhere=data.draw(st.booleans()))


@pytest.mark.parametrize("name", _KINDS)
@_SETTINGS
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    """Bytes overwritten, cut off or inserted anywhere in the file."""
    one = kind(name)
    first = bytearray(one.files[0])
    at = data.draw(st.integers(0, len(first) - 1))
    kind_of_damage = data.draw(st.sampled_from(["overwrite", "cut", "insert"]))
    junk = data.draw(st.binary(min_size=1, max_size=6))
    if kind_of_damage == "overwrite":
        first[at : at + len(junk)] = junk
    elif kind_of_damage == "cut":
        del first[at:]
    else:
        first[at:at] = junk
    try:
        rest = [deepcopy(ds) for ds in _parsed(name)[1:]]
        one.read([parse_dataset(bytes(first), "damaged"), *rest])
    except DosecalcError:
        pass


_NEEDED = {
    "CT": "PatientPosition RescaleSlope RescaleIntercept PixelSpacing ImagePositionPatient "
    "ImageOrientationPatient Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation "
    "SamplesPerPixel PhotometricInterpretation PixelData FrameOfReferenceUID SOPInstanceUID "
    "SeriesInstanceUID StudyInstanceUID SOPClassUID",
    "RTDOSE": "DoseUnits DoseType DoseSummationType DoseGridScaling GridFrameOffsetVector "
    "PixelSpacing ImagePositionPatient ImageOrientationPatient NumberOfFrames Rows Columns "
    "BitsAllocated BitsStored HighBit PixelRepresentation PixelData SOPInstanceUID SOPClassUID",
    "RTSTRUCT": "SOPClassUID SOPInstanceUID StructureSetROISequence",
    "RTPLAN": "SOPInstanceUID BeamSequence FractionGroupSequence PatientSetupSequence",
}


@pytest.mark.parametrize("damage", [_DELETE, _BLANK])
@pytest.mark.parametrize(
    ("name", "keyword"), [(name, word) for name, words in _NEEDED.items() for word in words.split()]
)
def test_nothing_needed_is_assumed(name: str, keyword: str, damage: str) -> None:
    place = next(p for p in _places(name) if not p[0] and _element(name, p).keyword == keyword)
    assert _read(name, place, damage, everywhere=True) is None
