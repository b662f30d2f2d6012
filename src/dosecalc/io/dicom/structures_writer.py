"""Structures to an RT Structure Set file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, RTStructureSetStorage

from dosecalc.errors import InputError
from dosecalc.io.dicom._writing import Subject, base_dataset, decimal, write_dataset
from dosecalc.io.dicom.uids import new_uid
from dosecalc.model import Contour, CtImage, Structure, StructureSet
from dosecalc.model.spacing import position_tolerance

__all__ = ["write_structures"]

# Detached Study Management: retired, but the only class the reference may name.
_STUDY_REFERENCE_CLASS = "1.2.840.10008.3.1.2.3.1"
_CONTOUR_DATA = Tag("ContourData")
_COLOURS = (
    (0, 160, 0),
    (200, 0, 0),
    (0, 90, 220),
    (230, 140, 0),
    (150, 0, 180),
    (0, 160, 170),
    (120, 80, 30),
    (240, 90, 160),
)


def write_structures(
    structure_set: StructureSet,
    path: Path | str,
    *,
    ct: CtImage | None,
    subject: Subject,
    series_uid: str = "",
    series_number: int = 1,
) -> Path:
    """Write structures as an RT Structure Set Storage file and return its path.

    All contours are CLOSED_PLANAR, which every planning system reads; several on
    one plane stand for their even-odd combination, as in the model. Coordinates
    keep the 16 characters a decimal string has. The transfer syntax is implicit VR
    little endian: with explicit VR a contour could not exceed 64 KiB of text.

    Parameters
    ----------
    structure_set : StructureSet
        Its UID and frame of reference are kept; where it has none, the UID is derived
        from the content and the frame of reference is that of `ct`.
    path : Path or str
    ct : CtImage or None
        The scan the structures lie on: the file refers to its study, series and
        slices, and every contour to the slice it is on, if it is on one.
    subject : Subject
        Patient and study of the written file.
    series_uid : str
        Derived from the structure set's UID where empty.
    series_number : int

    Raises
    ------
    InputError
        Patient, frame of reference or series disagree between structures, CT and
        subject; a name or label cannot be stored; the CT does not know its UIDs.
    DicomError
        The file cannot be written.
    """
    frame = _frame_of_reference(structure_set, ct)
    _check(structure_set, ct, subject)
    uid = structure_set.uid or new_uid(frame, subject.patient_id, _content(structure_set))
    ds = base_dataset(
        RTStructureSetStorage,
        uid,
        "RTSTRUCT",
        subject,
        series_uid=series_uid or new_uid("RTSTRUCT series", uid),
        series_number=series_number,
        frame_of_reference_uid=frame,
    )
    ds.StructureSetLabel = structure_set.label or "STRUCTURES"
    ds.StructureSetDate = subject.when.strftime("%Y%m%d") if subject.when else ""
    ds.StructureSetTime = subject.when.strftime("%H%M%S") if subject.when else ""
    ds.ReferencedFrameOfReferenceSequence = [_frame_item(frame, ct)]
    ds.StructureSetROISequence = [_roi_item(s, frame) for s in structure_set]
    ds.ROIContourSequence = [
        _contour_item(s, ct, _COLOURS[i % len(_COLOURS)]) for i, s in enumerate(structure_set)
    ]
    ds.RTROIObservationsSequence = [
        _observation_item(s, number) for number, s in enumerate(structure_set, start=1)
    ]
    ds.ApprovalStatus = "UNAPPROVED"
    return write_dataset(ds, path, transfer_syntax=ImplicitVRLittleEndian)


def _frame_of_reference(structure_set: StructureSet, ct: CtImage | None) -> str:
    own = structure_set.frame_of_reference_uid
    scan = ct.frame_of_reference_uid if ct is not None else ""
    if own and scan and own != scan:
        raise InputError(
            f"the structures lie in the frame of reference {own}, the CT in {scan}; "
            "give the CT they were drawn on"
        )
    if not own and not scan:
        raise InputError(
            "neither the structures nor a CT state a frame of reference; give one with new_uid()"
        )
    return own or scan


def _check(structure_set: StructureSet, ct: CtImage | None, subject: Subject) -> None:
    patients = {"subject": subject.patient_id, "structures": structure_set.patient_id}
    if ct is not None:
        patients["CT"] = ct.patient_id
        if len(ct.slice_uids) != ct.grid.shape[0] or not ct.series_uid or not ct.study_uid:
            raise InputError(
                "the CT does not know the UIDs of its study, series and slices; "
                "write it to files and read them back, then give that"
            )
        if structure_set.image_series_uid not in ("", ct.series_uid):
            raise InputError(
                f"the structures were drawn on series {structure_set.image_series_uid}, "
                f"the CT given is series {ct.series_uid}"
            )
    if len(set(patients.values()) - {""}) > 1:
        raise InputError(f"patient identifiers disagree: {patients}")
    if not structure_set.structures:
        raise InputError("a structure set without structures cannot be written; add one")
    numbers = [s.number for s in structure_set]
    if len(set(numbers)) != len(numbers):
        raise InputError(f"structure numbers {numbers} are not unique; renumber the structures")
    _check_text(structure_set.label, 16, "structure set label")
    for structure in structure_set:
        _check_text(structure.name, 64, f"name of structure {structure.number}")
        if not structure.name.strip():
            raise InputError(f"structure {structure.number} has no name; name it")


def _check_text(text: str, longest: int, what: str) -> None:
    if len(text) > longest or "\\" in text or not text.isprintable() or text != text.strip():
        raise InputError(
            f"{what} {text!r} cannot be stored: at most {longest} characters, no backslash, "
            "no control characters, no space at either end"
        )


def _content(structure_set: StructureSet) -> str:
    """Digest of everything a reader gets back, for the UID."""
    pieces: list[str | bytes] = [structure_set.label]
    for s in structure_set:
        pieces.append(f"{s.number} {s.name} {s.kind} {s.density}")
        for contour in s.contours:
            pieces += [repr(contour.z), contour.points.tobytes()]
    return new_uid(*pieces)


def _frame_item(frame: str, ct: CtImage | None) -> Dataset:
    item = Dataset()
    item.FrameOfReferenceUID = frame
    if ct is None:
        return item
    series = Dataset()
    series.SeriesInstanceUID = ct.series_uid
    series.ContourImageSequence = [_image_item(uid) for uid in ct.slice_uids]
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_REFERENCE_CLASS
    study.ReferencedSOPInstanceUID = ct.study_uid
    study.RTReferencedSeriesSequence = [series]
    item.RTReferencedStudySequence = [study]
    return item


def _image_item(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = CTImageStorage
    item.ReferencedSOPInstanceUID = uid
    return item


def _roi_item(structure: Structure, frame: str) -> Dataset:
    item = Dataset()
    item.ROINumber = structure.number
    item.ReferencedFrameOfReferenceUID = frame
    item.ROIName = structure.name
    item.ROIGenerationAlgorithm = ""
    return item


def _contour_item(structure: Structure, ct: CtImage | None, colour: Sequence[int]) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = list(colour)
    if structure.contours:
        item.ContourSequence = [
            _one_contour(contour, number, ct)
            for number, contour in enumerate(structure.contours, start=1)
        ]
    item.ReferencedROINumber = structure.number
    return item


def _one_contour(contour: Contour, number: int, ct: CtImage | None) -> Dataset:
    item = Dataset()
    if ct is not None:
        k = round((contour.z - ct.grid.origin[2]) / ct.grid.spacing[2])
        distance = abs(ct.grid.origin[2] + k * ct.grid.spacing[2] - contour.z)
        if 0 <= k < ct.grid.shape[0] and distance < position_tolerance(ct.grid.spacing[2]):
            item.ContourImageSequence = [_image_item(ct.slice_uids[k])]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(contour.points)
    item.ContourNumber = number
    item[_CONTOUR_DATA] = _contour_data(contour)
    # Tells pydicom that the raw text above is already in the encoding of the file.
    item.set_original_encoding(True, True, "iso8859")
    return item


def _contour_data(contour: Contour) -> RawDataElement:
    """Contour Data as the text it is stored as, without an object per number.

    pydicom's decimal class would take 20 times as long over a body contour.
    """
    z = _shortest(contour.z)
    text = "\\".join(f"{_shortest(x)}\\{_shortest(y)}\\{z}" for x, y in contour.points.tolist())
    value = (text + " " * (len(text) % 2)).encode("ascii")
    return RawDataElement(_CONTOUR_DATA, "DS", len(value), value, 0, True, True)


def _shortest(value: float) -> str:
    """Decimal string of a finite number: as Python writes it where 16 characters are enough."""
    text = repr(value)
    return text if len(text) <= 16 else decimal(value)


def _observation_item(structure: Structure, number: int) -> Dataset:
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = structure.number
    if structure.density is not None:
        stated = Dataset()
        stated.ROIPhysicalProperty = "REL_MASS_DENSITY"
        stated.ROIPhysicalPropertyValue = decimal(structure.density)
        item.ROIPhysicalPropertiesSequence = [stated]
    item.RTROIInterpretedType = structure.kind
    item.ROIInterpreter = ""
    return item
