"""Reading attributes so that every failure is a sentence.

pydicom converts values when they are first looked at and raises whatever the
conversion raises. The accessors here are the only way the readers look at a
value: what is missing, empty, garbled or not finite becomes a
:class:`~dosecalc.errors.DicomError` that names the attribute and the place.
"""

from __future__ import annotations

import re
import warnings
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any, overload

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dosecalc.errors import DicomError

__all__ = [
    "attribute",
    "integer",
    "items",
    "label",
    "looks_like_dicom",
    "name_of",
    "number",
    "parse_dataset",
    "present",
    "read_dataset",
    "require",
    "text",
    "uid",
    "vector",
]

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
# First element of a file without preamble: group 0002 or 0008 in either byte
# order, an element below 0100, then a VR or a length below 65,536.
_BARE_START = re.compile(
    rb"[\x02\x08]\x00.\x00([A-Z]{2}|..\x00\x00)|\x00[\x02\x08]\x00.([A-Z]{2}|\x00\x00..)",
    re.DOTALL,
)


def read_dataset(path: Path | str) -> Dataset:
    """Read one DICOM file, with or without the 128-byte preamble.

    Raises
    ------
    DicomError
        The file cannot be opened, is not DICOM, or ends early.
    """
    place = Path(path)
    try:
        data = place.read_bytes()
    except OSError as error:
        raise DicomError(f"{place}: cannot be read ({error.strerror or error})") from error
    return parse_dataset(data, place)


def parse_dataset(data: bytes, path: Path | str) -> Dataset:
    """Return the data set held in `data`; `path` names it in messages and in ``ds.filename``."""
    if not looks_like_dicom(data):
        raise DicomError(f"{path}: not a DICOM file (no DICM mark, no DICOM elements at its start)")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dataset = pydicom.dcmread(BytesIO(data), force=True)
        cut = not len(dataset) or _is_cut_off(dataset) or _has_remnant(dataset, data)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
    except Exception as error:
        raise DicomError(f"{path}: damaged or truncated DICOM file ({_reason(error)})") from error
    if syntax is not None and not isinstance(syntax, str):
        raise DicomError(f"{path}: {label('TransferSyntaxUID')} is {syntax!r}, not one UID")
    if cut or any("end of file" in str(w.message).lower() for w in caught):
        raise DicomError(f"{path}: the file ends early (truncated); export or copy it again")
    dataset.filename = str(path)
    if _looks_bare(data) and not text(dataset, "SOPClassUID"):
        raise DicomError(f"{path}: not a DICOM file (neither a DICM mark nor a SOP Class UID)")
    return dataset


def looks_like_dicom(data: bytes) -> bool:
    """Whether the start of a file (132 bytes and more) is that of a DICOM file."""
    return data[128:132] == b"DICM" or _looks_bare(data)


def _looks_bare(data: bytes) -> bool:
    return data[128:132] != b"DICM" and bool(_BARE_START.match(data))


def _is_cut_off(dataset: Dataset) -> bool:
    """Whether an element is shorter than its stated length, also inside parsed sequences."""
    for tag in dataset.keys():  # noqa: SIM118 - iterating a Dataset would convert every value
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            cut = element.length != 0xFFFFFFFF and len(element.value or b"") < element.length
        else:
            nested = element.value if element is not None and element.VR == "SQ" else ()
            cut = any(_is_cut_off(item) for item in nested)
        if cut:
            return True
    return False


def _has_remnant(dataset: FileDataset, data: bytes) -> bool:
    """Whether a piece of an element's header is left after the last whole element."""
    if _transfer_syntax(dataset) == DeflatedExplicitVRLittleEndian:
        return False
    last = dataset.get_item(list(dataset.keys())[-1])
    if not isinstance(last, RawDataElement) or last.length == 0xFFFFFFFF:
        return False
    remnant = data[last.value_tell + last.length :]
    return 0 < len(remnant) < 8 and any(remnant)


def _transfer_syntax(dataset: FileDataset) -> str:
    return str(dataset.file_meta.get("TransferSyntaxUID", ""))


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def name_of(dataset: Dataset) -> str:
    """Return the file a data set came from, for messages, or what it is if it has none."""
    filename = dataset.filename if isinstance(dataset, FileDataset) else None
    return str(filename) if isinstance(filename, str | Path) else "data set"


def label(keyword: str) -> str:
    """Return an attribute's keyword with its tag, as messages show it."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is not a DICOM keyword")
    return f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def attribute(dataset: Dataset, keyword: str, where: str = "") -> Any:
    """Return the value of an attribute, or None where it is absent or empty.

    Raises
    ------
    DicomError
        The stored value cannot be converted to what the attribute holds.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is not a DICOM keyword")
    try:
        if tag not in dataset:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = dataset[tag].value
        if value is None or (hasattr(value, "__len__") and len(value) == 0):
            return None
        if isinstance(value, str) and not value.strip(" \0"):
            return None
    except Exception as error:
        place = where or name_of(dataset)
        raise DicomError(f"{place}: {label(keyword)} is unreadable ({_reason(error)})") from error
    return value


def present(dataset: Dataset, keyword: str) -> bool:
    """Whether an attribute is there and not empty."""
    return attribute(dataset, keyword) is not None


def require(dataset: Dataset, keyword: str, where: str = "") -> Any:
    """Return the value of an attribute; refuse its absence or emptiness by name."""
    value = attribute(dataset, keyword, where)
    if value is None:
        raise DicomError(f"{where or name_of(dataset)}: {label(keyword)} is missing or empty")
    return value


def _to_float(value: Any, keyword: str, place: str) -> float:
    try:
        converted = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DicomError(f"{place}: {label(keyword)} is {value!r}, not a number") from error
    if not isfinite(converted):
        raise DicomError(f"{place}: {label(keyword)} is {converted}, not a finite number")
    return converted


class _Required:
    """Marks a number without a default."""


_REQUIRED = _Required()


@overload
def number(dataset: Dataset, keyword: str, where: str = ...) -> float: ...
@overload
def number(dataset: Dataset, keyword: str, where: str, default: float) -> float: ...
@overload
def number(dataset: Dataset, keyword: str, where: str, default: None) -> float | None: ...
def number(
    dataset: Dataset, keyword: str, where: str = "", default: float | _Required | None = _REQUIRED
) -> float | None:
    """Return one finite number.

    `default` is returned only where the attribute is absent or empty; without
    one, that is refused. A garbled, multiple or infinite value is always refused.
    """
    needed = isinstance(default, _Required)
    value = require(dataset, keyword, where) if needed else attribute(dataset, keyword, where)
    if value is None:
        return None if isinstance(default, _Required) else default
    place = where or name_of(dataset)
    if isinstance(value, MultiValue | list | tuple | Sequence):
        raise DicomError(f"{place}: {label(keyword)} has {len(value)} values, one is needed")
    return _to_float(value, keyword, place)


@overload
def integer(dataset: Dataset, keyword: str, where: str = ...) -> int: ...
@overload
def integer(dataset: Dataset, keyword: str, where: str, default: int) -> int: ...
@overload
def integer(dataset: Dataset, keyword: str, where: str, default: None) -> int | None: ...
def integer(
    dataset: Dataset, keyword: str, where: str = "", default: int | _Required | None = _REQUIRED
) -> int | None:
    """Return one whole number; as :func:`number` otherwise."""
    if isinstance(default, _Required):
        value: float | None = number(dataset, keyword, where)
    else:
        value = number(dataset, keyword, where, None)
    if value is None:
        return None if isinstance(default, _Required) else default
    if value != round(value):
        place = where or name_of(dataset)
        raise DicomError(f"{place}: {label(keyword)} is {value}, not a whole number")
    return int(value)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def vector(
    dataset: Dataset, keyword: str, n: int | None = None, where: str = ""
) -> NDArray[np.float64]:
    """Return `n` finite numbers, any number of them (one or more) where `n` is None."""
    value = require(dataset, keyword, where)
    place = where or name_of(dataset)
    if isinstance(value, str | bytes | Sequence):
        raise DicomError(f"{place}: {label(keyword)} does not hold numbers")
    many = isinstance(value, MultiValue | list | tuple)
    try:
        values = np.array(list(value) if many else [value], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        wrong = next((str(v) for v in value if not _is_number(v)), "") if many else str(value)
        raise DicomError(
            f"{place}: {label(keyword)} does not hold numbers only ({wrong!r})"
        ) from error
    if values.ndim != 1 or (n is not None and values.size != n):
        raise DicomError(f"{place}: {label(keyword)} has {values.size} values, {n} are needed")
    if not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise DicomError(f"{place}: {label(keyword)} has {bad} values that are not finite numbers")
    return values


def text(dataset: Dataset, keyword: str, where: str = "") -> str:
    r"""Return an attribute as stripped text, "" where absent; several values joined by ``\``."""
    value = attribute(dataset, keyword, where)
    if value is None:
        return ""
    if isinstance(value, Sequence | bytes):
        raise DicomError(f"{where or name_of(dataset)}: {label(keyword)} does not hold text")
    try:
        if isinstance(value, MultiValue | list | tuple):
            return "\\".join(str(part).strip() for part in value)
        return str(value).strip(" \0")
    except Exception as error:
        place = where or name_of(dataset)
        raise DicomError(f"{place}: {label(keyword)} is unreadable ({_reason(error)})") from error


def uid(dataset: Dataset, keyword: str, where: str = "") -> str:
    """Return an attribute that must be a UID; refuse what is missing or malformed."""
    require(dataset, keyword, where)
    value = text(dataset, keyword, where)
    if len(value) > 64 or not _UID.fullmatch(value):
        place = where or name_of(dataset)
        raise DicomError(f"{place}: {label(keyword)} is {value!r}, not a UID")
    return value


def items(dataset: Dataset, keyword: str, where: str = "") -> list[Dataset]:
    """Return the items of a sequence, an empty list where it is absent or empty."""
    value = attribute(dataset, keyword, where)
    if value is None:
        return []
    if not isinstance(value, Sequence):
        raise DicomError(
            f"{where or name_of(dataset)}: {label(keyword)} is not a sequence of items"
        )
    return list(value)
