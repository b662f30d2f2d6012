"""What all written files share: identification, equipment, number format, encoding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from dosecalc import __version__
from dosecalc.errors import DicomError, InputError
from dosecalc.io.dicom._common import present, text, uid
from dosecalc.io.dicom.uids import IMPLEMENTATION_CLASS_UID

__all__ = [
    "NOT_FOR_CLINIC",
    "Subject",
    "base_dataset",
    "decimal",
    "decimals",
    "read_subject",
    "write_dataset",
]

MANUFACTURER = "dosecalc"
NOT_FOR_CLINIC = "not for clinical use without commissioning"


@dataclass(frozen=True)
class Subject:
    """Patient and study a written file belongs to.

    `when` dates the file; None leaves every date and time empty, which the
    standard allows for all of them, so that the same input gives the same bytes.
    `study_uid` is "" for a file that was read and names no study; nothing is written beside it.
    """

    patient_id: str
    patient_name: str
    study_uid: str
    birth_date: str = ""
    sex: str = ""
    study_id: str = ""
    study_date: str = ""
    study_time: str = ""
    when: datetime | None = None


def read_subject(dataset: Dataset, *, without_study: bool = False) -> Subject:
    """Return the patient and study of a data set that was read, for files written beside it.

    `without_study` accepts a data set that names no study, which nothing can be written beside.
    """
    no_study = without_study and not present(dataset, "StudyInstanceUID")
    return Subject(
        patient_id=text(dataset, "PatientID"),
        patient_name=text(dataset, "PatientName"),
        study_uid="" if no_study else uid(dataset, "StudyInstanceUID"),
        birth_date=text(dataset, "PatientBirthDate"),
        sex=text(dataset, "PatientSex"),
        study_id=text(dataset, "StudyID"),
        study_date=text(dataset, "StudyDate"),
        study_time=text(dataset, "StudyTime"),
    )


def base_dataset(
    sop_class_uid: str,
    sop_instance_uid: str,
    modality: str,
    subject: Subject,
    *,
    series_uid: str,
    series_number: int = 1,
    series_description: str = "",
    frame_of_reference_uid: str = "",
) -> Dataset:
    """Return the patient, study, series, equipment and SOP common modules, filled in."""
    if not subject.study_uid:
        raise InputError("a written DICOM file needs a study UID; make one with new_uid()")
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = sop_instance_uid
    ds.Modality = modality
    ds.PatientID = subject.patient_id
    ds.PatientName = subject.patient_name
    ds.PatientBirthDate = subject.birth_date
    ds.PatientSex = subject.sex
    ds.StudyInstanceUID = subject.study_uid
    ds.StudyID = subject.study_id
    ds.StudyDate = subject.study_date
    ds.StudyTime = subject.study_time
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.SeriesInstanceUID = series_uid
    ds.SeriesNumber = series_number
    ds.OperatorsName = ""
    if series_description:
        ds.SeriesDescription = series_description
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = "dosecalc"
    ds.SoftwareVersions = __version__
    if subject.when is not None:
        ds.InstanceCreationDate = subject.when.strftime("%Y%m%d")
        ds.InstanceCreationTime = subject.when.strftime("%H%M%S")
    if frame_of_reference_uid:
        ds.FrameOfReferenceUID = frame_of_reference_uid
        ds.PositionReferenceIndicator = ""
    return ds


def decimal(value: float) -> str:
    """Return a number as a DICOM decimal string: at most 16 characters, all digits they allow."""
    return str(format_number_as_ds(float(value)))


def decimals(values: Iterable[float]) -> list[str]:
    """Return numbers as DICOM decimal strings."""
    return [decimal(v) for v in values]


def write_dataset(
    dataset: Dataset, path: Path | str, *, transfer_syntax: str = ExplicitVRLittleEndian
) -> Path:
    """Write a data set as a DICOM file, little endian, and return its path.

    Raises
    ------
    DicomError
        A value cannot be encoded, or the file cannot be written.
    """
    place = Path(path)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = f"DOSECALC_{__version__}"[:16]
    dataset.file_meta = meta
    encoded = BytesIO()
    try:
        dataset.save_as(encoded, enforce_file_format=True)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise DicomError(f"{place}: cannot be written ({error})") from error
    # Written here and not by pydicom, whose errors hold its traceback and not the system's number.
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encoded.getbuffer())
    except OSError as error:
        raise DicomError(
            f"{place}: cannot be written ({error.strerror or error}); free space there or allow "
            "it, and run it again"
        ) from error
    return place
