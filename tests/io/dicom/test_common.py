"""Reading files and attributes: every failure is a sentence that names the place."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dosecalc.errors import DicomError, InputError
from dosecalc.io.dicom._common import (
    attribute,
    integer,
    items,
    number,
    parse_dataset,
    read_dataset,
    require,
    text,
    uid,
    vector,
)
from dosecalc.io.dicom._writing import Subject, base_dataset, decimal, write_dataset
from dosecalc.io.dicom.uids import new_uid

SUBJECT = Subject("P1", "Jürgen^Tést", "1.2.3")


def raw(keyword: str, vr: str, value: bytes) -> Dataset:
    """A data set with one element as the parser leaves it: bytes, not yet converted."""
    ds = Dataset()
    tag = Tag(keyword)
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return ds


def file(folder: Path) -> Path:
    ds = base_dataset("1.2.840.10008.5.1.4.1.1.2", "1.2.9", "CT", SUBJECT, series_uid="1.2.8")
    return write_dataset(ds, folder / "some.dcm")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"abc ", "'abc', not a number"),
        (b"nan ", "not a finite number"),
        (b"inf ", "not a finite number"),
        (b"1e999 ", "not a finite number"),
        (b"1\\2 ", "2 values, one is needed"),
        (b"", "missing or empty"),
        (b"    ", "missing or empty"),
    ],
)
def test_numbers_that_are_none(value: bytes, words: str) -> None:
    ds = raw("RescaleSlope", "DS", value)
    with pytest.raises(DicomError, match=rf"slice 3: RescaleSlope \(0028,1053\).*{words}"):
        number(ds, "RescaleSlope", "slice 3")


def test_a_default_stands_for_absence_only() -> None:
    assert number(Dataset(), "RescaleSlope", "here", 1.0) == 1.0
    assert integer(Dataset(), "InstanceNumber", "here", None) is None
    with pytest.raises(DicomError, match="not a number"):
        number(raw("RescaleSlope", "DS", b"abc "), "RescaleSlope", "here", 1.0)


def test_integers_are_whole() -> None:
    assert integer(raw("InstanceNumber", "IS", b"7 "), "InstanceNumber") == 7
    with pytest.raises(DicomError, match="InstanceNumber"):
        integer(raw("InstanceNumber", "IS", b"7.5 "), "InstanceNumber")


def test_vectors_have_their_length_and_are_finite() -> None:
    ds = raw("ImagePositionPatient", "DS", b"1\\2\\3 ")
    assert np.array_equal(vector(ds, "ImagePositionPatient", 3), [1, 2, 3])
    with pytest.raises(DicomError, match="has 3 values, 6 are needed"):
        vector(ds, "ImagePositionPatient", 6)
    with pytest.raises(DicomError, match="not finite"):
        vector(raw("ImagePositionPatient", "DS", b"1\\nan\\3 "), "ImagePositionPatient", 3)
    with pytest.raises(DicomError, match="does not hold numbers"):
        vector(raw("PatientName", "PN", b"Doe "), "PatientName", 1)


def test_sequences_and_what_is_none() -> None:
    assert items(Dataset(), "BeamSequence") == []
    with pytest.raises(DicomError, match="BeamSequence"):
        items(raw("BeamSequence", "LO", b"beam"), "BeamSequence")


def test_text_and_uids() -> None:
    ds = raw("ImageType", "CS", b"ORIGINAL\\PRIMARY\\AXIAL ")
    assert text(ds, "ImageType") == "ORIGINAL\\PRIMARY\\AXIAL"
    assert text(ds, "PatientName") == ""
    assert attribute(ds, "PatientName") is None
    with pytest.raises(DicomError, match="'abc', not a UID"):
        uid(raw("FrameOfReferenceUID", "UI", b"abc\0"), "FrameOfReferenceUID")
    with pytest.raises(DicomError, match=r"FrameOfReferenceUID \(0020,0052\) is missing"):
        require(ds, "FrameOfReferenceUID")


def test_names_keep_their_letters(tmp_path: Path) -> None:
    assert text(read_dataset(file(tmp_path)), "PatientName") == "Jürgen^Tést"


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DicomError, match=r"missing\.dcm: cannot be read"):
        read_dataset(tmp_path / "missing.dcm")
    (tmp_path / "text.dcm").write_text("a letter, not an image")
    with pytest.raises(DicomError, match=r"text\.dcm: not a DICOM file"):
        read_dataset(tmp_path / "text.dcm")
    with pytest.raises(DicomError, match="not a DICOM file"):
        parse_dataset(b"", "empty")


def test_a_file_cut_off_anywhere_inside_an_element_is_refused(tmp_path: Path) -> None:
    data = file(tmp_path).read_bytes()
    elements = len(parse_dataset(data, "whole"))
    unnoticed = set()
    for length in range(340, len(data)):  # behind the first element, the character set
        try:
            unnoticed.add((length, len(parse_dataset(data[:length], "cut"))))
        except DicomError:
            continue
    # Only cuts between two elements go unnoticed here; what is lost is then missing by name.
    assert [count for _, count in sorted(unnoticed)] == list(range(2, elements))


def test_uids_follow_from_content() -> None:
    assert new_uid("ab", "c") == new_uid("ab", "c")
    assert new_uid("ab", "c") != new_uid("a", "bc")
    assert new_uid() != new_uid()
    assert all(len(u) <= 64 and u.startswith("2.25.") for u in (new_uid(), new_uid("x")))


@pytest.mark.parametrize("value", [1 / 3, -1 / 3e-9, 1.5e300, 123456789.123456789, 0.0])
def test_decimal_strings_fit_and_keep_their_digits(value: float) -> None:
    written = decimal(value)
    assert len(written) <= 16
    # 16 characters less sign, point and a three-digit exponent leave nine digits.
    assert float(written) == pytest.approx(value, rel=1e-8)


def test_a_disk_that_is_full_is_one_sentence(tmp_path: Path, monkeypatch) -> None:
    """pydicom hides the system's error behind its own traceback, which a reader does not need."""

    class Full:
        def __init__(self, *_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", Full)
    with pytest.raises(
        DicomError, match=r"cannot be written \(No space left on device\)"
    ) as caught:
        file(tmp_path)
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_subject_needs_a_study() -> None:
    with pytest.raises(InputError, match="study UID"):
        base_dataset("1.2", "1.3", "RTPLAN", Subject("P1", "Name", ""), series_uid="1.4")
