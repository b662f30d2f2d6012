"""Stored values of an image, decoded once, with every doubt about their meaning refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dosecalc.errors import DicomError, UnsupportedError
from dosecalc.io.dicom._common import attribute, integer, label, name_of, text

__all__ = ["stored_values"]


def stored_values(dataset: Dataset, frames: int = 1) -> NDArray[Any]:
    """Return the stored integers, ``(frames, rows, columns)``, before any rescaling.

    Raises
    ------
    UnsupportedError
        Colour, MONOCHROME1, a lookup table, a high bit that is not the last
        one, or a compression no installed plugin decodes.
    DicomError
        No pixels, or fewer than rows, columns and frames need.
    """
    where = name_of(dataset)
    rows, columns = _check_description(dataset, where)
    stated_frames = integer(dataset, "NumberOfFrames", where, 1)
    if stated_frames != frames:
        raise DicomError(f"{where}: {stated_frames} frames of pixels, {frames} are described")
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData")):
        raise DicomError(f"{where}: PixelData (7FE0,0010) is missing: the file has no pixels")
    if "FloatPixelData" in dataset:
        raise UnsupportedError(f"{where}: FloatPixelData; only integer pixels are read")
    if attribute(dataset, "PixelData", where) is None:
        raise DicomError(f"{where}: PixelData (7FE0,0010) is empty: the file has no pixels")
    values = _decode(dataset, where)
    if values.size != frames * rows * columns:
        raise DicomError(
            f"{where}: {values.size} pixels decoded, {frames} x {rows} x {columns} are described"
        )
    if values.dtype.kind not in "iu":
        raise UnsupportedError(f"{where}: pixels of type {values.dtype}; integers are needed")
    return values.reshape(frames, rows, columns)


def _check_description(dataset: Dataset, where: str) -> tuple[int, int]:
    rows, columns = integer(dataset, "Rows", where), integer(dataset, "Columns", where)
    if rows < 1 or columns < 1:
        raise DicomError(f"{where}: an image of {rows} rows and {columns} columns")
    samples = integer(dataset, "SamplesPerPixel", where)
    meaning = text(dataset, "PhotometricInterpretation", where)
    if samples != 1 or meaning != "MONOCHROME2":
        raise UnsupportedError(
            f"{where}: {samples} samples per pixel, PhotometricInterpretation {meaning!r}; "
            "one sample of MONOCHROME2 is needed, where higher values mean more"
        )
    if attribute(dataset, "ModalityLUTSequence", where) is not None:
        raise UnsupportedError(f"{where}: a modality lookup table; only a linear rescale is read")
    allocated = integer(dataset, "BitsAllocated", where)
    stored, high = integer(dataset, "BitsStored", where), integer(dataset, "HighBit", where)
    if allocated not in (8, 16, 32) or not 1 <= stored <= allocated or high != stored - 1:
        raise UnsupportedError(
            f"{where}: {label('BitsAllocated')} {allocated}, BitsStored {stored}, HighBit {high}; "
            "8, 16 or 32 bits with the value in the lowest ones are read"
        )
    if integer(dataset, "PixelRepresentation", where) not in (0, 1):
        raise DicomError(f"{where}: {label('PixelRepresentation')} is neither 0 nor 1")
    return rows, columns


def _decode(dataset: Dataset, where: str) -> NDArray[Any]:
    _complete_transfer_syntax(dataset, where)
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        return np.asarray(dataset.pixel_array)
    except (NotImplementedError, ImportError) as error:
        raise UnsupportedError(_no_decoder(where, syntax.name, error)) from error
    except Exception as error:
        if syntax.is_encapsulated and "missing dependencies" in str(error):
            raise UnsupportedError(_no_decoder(where, syntax.name, error)) from error
        raise DicomError(f"{where}: pixels cannot be decoded ({error})") from error


def _no_decoder(where: str, syntax: str, error: BaseException) -> str:
    return (
        f"{where}: pixels compressed as {syntax}, which no installed pydicom plugin decodes "
        f"({str(error).splitlines()[0]}); install one or export the images uncompressed"
    )


def _complete_transfer_syntax(dataset: Dataset, where: str) -> None:
    """State the syntax a file without meta header was read in, which pydicom needs to decode."""
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and meta.get("TransferSyntaxUID"):
        return
    if meta is None or not isinstance(dataset, FileDataset):
        raise DicomError(f"{where}: no transfer syntax is known, so pixels cannot be decoded")
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
