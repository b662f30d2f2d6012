"""A volume of Hounsfield units to CT image files, as a scanner stores them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from dosecalc.errors import InputError
from dosecalc.io.dicom._orientation import ROOM_AXES
from dosecalc.io.dicom._writing import (
    Subject,
    base_dataset,
    decimal,
    decimals,
    write_dataset,
)
from dosecalc.io.dicom.uids import new_uid
from dosecalc.model import CtImage

__all__ = ["write_ct"]


def write_ct(
    image: CtImage,
    folder: Path | str,
    *,
    subject: Subject | None = None,
    intercept: int = -1024,
    description: str = "",
) -> tuple[Path, ...]:
    """Write one CT Image Storage file per slice, ``CT.0001.dcm`` and on, and return the paths.

    Images are oriented as a scanner shows them for the patient's position (row
    to the right of somebody at the foot of the couch, column downwards), so a
    prone patient gets ImageOrientationPatient (-1, 0, 0, 0, -1, 0). Values are
    16-bit signed integers with slope 1: HU are rounded to whole numbers.

    Parameters
    ----------
    image : CtImage
        UIDs it lacks are derived from its content.
    subject : Subject or None
        Patient and study; None takes what the image carries.
    intercept : int, HU
        Rescale intercept: 0 or -1024 are customary.

    Raises
    ------
    InputError
        HU outside what 16 bits hold.
    """
    identity = _identity(image)
    if subject is None:
        study = image.study_uid or new_uid(identity, "study")
        subject = Subject(image.patient_id, image.patient_name, study)
    row, column = (np.array(axis, dtype=float) for axis in ROOM_AXES[image.position])
    z_step = int(np.cross(row, column)[2])
    order = range(image.grid.shape[0])[::z_step]
    paths = []
    for number, k in enumerate(order, start=1):
        pixels, corner, spacing = _oriented(image, k, row, column)
        uids = image.slice_uids
        sop_uid = uids[k] if len(uids) == len(order) else new_uid(identity, f"slice {k}")
        ds = base_dataset(
            CTImageStorage,
            sop_uid,
            "CT",
            subject,
            series_uid=image.series_uid or new_uid(identity, "series"),
            series_description=description,
            frame_of_reference_uid=image.frame_of_reference_uid or new_uid(identity, "frame"),
        )
        _add_acquisition(ds, image, number)
        ds.ImagePositionPatient = decimals(corner)
        ds.ImageOrientationPatient = decimals([*row, *column])
        ds.PixelSpacing = decimals(spacing)
        _add_pixels(ds, pixels, intercept)
        paths.append(write_dataset(ds, Path(folder) / f"CT.{number:04d}.dcm"))
    return tuple(paths)


def _identity(image: CtImage) -> str:
    lies = f"{image.grid} {image.position.value} {image.patient_id} {image.study_uid}"
    return new_uid(lies, image.hu.tobytes())


def _oriented(
    image: CtImage, k: int, row: NDArray[np.float64], column: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64], tuple[float, float]]:
    """Return slice `k` as the scanner shows it, the position of its first pixel, its spacing.

    The spacing is in DICOM's order: between rows first, between columns second.
    """
    pixels = image.hu[k]
    along_row, down_column = int(np.abs(row).argmax()), int(np.abs(column).argmax())
    if along_row == 1:
        pixels = pixels.T
    pixels = pixels[:: int(column.sum()), :: int(row.sum())]
    corner = image.grid.position_of([k, 0, 0])
    counts = image.grid.shape[::-1]
    for axis, direction in ((along_row, row), (down_column, column)):
        if direction[axis] < 0:
            corner[axis] += image.grid.spacing[axis] * (counts[axis] - 1)
    return pixels, corner, (image.grid.spacing[down_column], image.grid.spacing[along_row])


def _add_acquisition(ds: Dataset, image: CtImage, number: int) -> None:
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    ds.PatientPosition = image.position.value
    ds.KVP = "" if image.kvp is None else decimal(image.kvp)
    ds.Laterality = ""
    ds.AcquisitionNumber = 1
    ds.InstanceNumber = number
    ds.SliceThickness = decimal(image.grid.spacing[2])
    if image.manufacturer:
        ds.Manufacturer = image.manufacturer
    if image.model_name:
        ds.ManufacturerModelName = image.model_name


def _add_pixels(ds: Dataset, hu: NDArray[np.float32], intercept: int) -> None:
    stored = np.rint(hu) - np.float32(intercept)
    limits = np.iinfo(np.int16)
    if stored.min() < limits.min or stored.max() > limits.max:
        raise InputError(
            f"CT numbers from {hu.min():g} to {hu.max():g} HU do not fit into 16 bits "
            f"with the intercept {intercept}"
        )
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = hu.shape
    ds.BitsAllocated = 16
    ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    ds.RescaleIntercept = decimal(intercept)
    ds.RescaleSlope = "1"
    ds.RescaleType = "HU"
    ds.PixelData = np.ascontiguousarray(stored, dtype="<i2").tobytes()
    ds["PixelData"].VR = "OW"
