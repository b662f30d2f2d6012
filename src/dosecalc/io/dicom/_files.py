"""What lies in a folder: every file hashed, DICOM files told apart by their content."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.uid import UID

from dosecalc.errors import DicomError, InputError
from dosecalc.io.dicom._common import looks_like_dicom, parse_dataset, text
from dosecalc.io.dicom.identity import Identity, identify, person_of

__all__ = ["BROKEN", "FoundFile", "SourceFile", "check_patient", "read_file", "scan_folder"]

BROKEN = "damaged "
"""How the remark of `read_file` begins that cannot be read and that no dose needs."""

_KINDS = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.481.2": "RTDOSE",
    "1.2.840.10008.5.1.4.1.1.481.3": "RTSTRUCT",
    "1.2.840.10008.5.1.4.1.1.481.5": "RTPLAN",
    "1.2.840.10008.5.1.4.1.1.481.8": "RTPLAN",
}
"""SOP classes that matter, multi-frame CT and ion plans included so that they are refused by name.

What has another SOP class is told by its Modality: planning systems write
plans under private classes.
"""


@dataclass(frozen=True)
class SourceFile:
    """One file of the folder and what became of it.

    Parameters
    ----------
    name : str
        Path below the folder.
    kind : {"CT", "RTSTRUCT", "RTPLAN", "RTDOSE", "other DICOM", "not DICOM"}
    sha256 : str
    uid : str
        SOP Instance UID.
    used : bool
        Whether the case was built from it.
    remark : str
        Why it was left out, or what it is.
    """

    name: str
    kind: str
    sha256: str
    uid: str = ""
    used: bool = False
    remark: str = ""


@dataclass(frozen=True)
class FoundFile:
    """A file with its data set, None where it is not DICOM."""

    source: SourceFile
    dataset: Dataset | None


def scan_folder(folder: Path) -> list[FoundFile]:
    """Read every file below `folder` once, in the order of their names.

    Raises
    ------
    InputError
        `folder` is not a folder.
    DicomError
        A DICOM file is damaged, or two different files carry the same SOP Instance UID.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder; give the folder that holds the DICOM files")
    found = [read_file(path, folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    return _without_copies(found)


def read_file(path: Path, folder: Path) -> FoundFile:
    """Read one file below `folder` and tell what it is."""
    name = path.relative_to(folder).as_posix()
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
            stream.seek(0)
            if not looks_like_dicom(start):
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                return FoundFile(SourceFile(name, "not DICOM", digest), None)
            data = stream.read()
    except OSError as error:
        raise DicomError(f"{path}: cannot be read ({error.strerror or error})") from error
    digest = hashlib.sha256(data).hexdigest()
    try:
        return _told(parse_dataset(data, path), name, digest)
    except DicomError as error:
        kind = _irrelevant(data)
        if not kind:
            raise
        reason = str(error).removeprefix(f"{path}: ")
        remark = f"damaged {kind}, which no dose needs ({reason})"
        return FoundFile(SourceFile(name, "other DICOM", digest, remark=remark), None)


def _told(dataset: Dataset, name: str, digest: str) -> FoundFile:
    """Tell what a data set is."""
    sop_class = text(dataset, "SOPClassUID")
    modality = text(dataset, "Modality")
    kind = _KINDS.get(sop_class) or (modality if modality in _KINDS.values() else "other DICOM")
    remark = ""
    if kind == "CT" and modality not in ("", "CT"):
        # Images of another kind, written as CT by a system that knows no other.
        kind, remark = "other DICOM", f"{modality} images written as CT"
    elif kind == "other DICOM":
        remark = UID(sop_class).name or "no SOP class"
    uid = text(dataset, "SOPInstanceUID")
    if kind == "other DICOM":
        person_of(dataset, name)  # refuses what is unreadable
    return FoundFile(SourceFile(name, kind, digest, uid, remark=remark), dataset)


def _irrelevant(data: bytes) -> str:
    """Return what a damaged file is where that is certain and no dose needs it, else ""."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Only as far as the group that says what the object is: the damage may lie behind.
            start = read_partial(BytesIO(data), lambda tag, *_: tag.group > 0x0008, force=True)
        sop_class, modality = text(start, "SOPClassUID"), text(start, "Modality")
    except Exception:
        # Whatever pydicom makes of garbage: what the file is stays unknown.
        return ""
    name = UID(sop_class).name if sop_class else ""
    known = name and name != sop_class
    relevant = sop_class in _KINDS or modality in _KINDS.values() or modality == "RTIONPLAN"
    return "" if relevant or not known or not modality else name


def _without_copies(found: list[FoundFile]) -> list[FoundFile]:
    """Keep one of identical DICOM files; refuse different ones that claim to be the same object."""
    first: dict[str, SourceFile] = {}
    kept = []
    for one in found:
        source = one.source
        earlier = first.setdefault(source.uid, source) if source.uid else source
        if earlier is source:
            kept.append(one)
        elif earlier.sha256 == source.sha256:
            copy = SourceFile(
                source.name,
                source.kind,
                source.sha256,
                source.uid,
                remark=f"copy of {earlier.name}",
            )
            kept.append(FoundFile(copy, None))
        elif source.kind == earlier.kind == "other DICOM":
            kept.append(one)  # no dose needs either of them
        else:
            raise DicomError(
                f"{earlier.name} and {source.name} differ but both are SOP instance {source.uid}; "
                "keep the one that is meant"
            )
    return kept


def check_patient(found: Iterable[FoundFile], same_patient: str | None) -> Identity:
    """Refuse files of several patients; return what to say of those of one.

    A file that leaves PatientID or PatientName empty is not of another patient.
    """
    people = (person_of(f.dataset, f.source.name) for f in found if f.dataset is not None)
    return identify(people, what="the folder holds", same_patient=same_patient)
