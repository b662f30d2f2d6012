"""CT series to a volume of Hounsfield units along the patient axes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

from dosecalc.errors import DicomError, DosecalcError, UnsupportedError
from dosecalc.io.dicom._common import integer, name_of, number, text, uid, vector
from dosecalc.io.dicom._orientation import ROOM_AXES, image_axes, layout
from dosecalc.io.dicom._pixels import stored_values
from dosecalc.io.dicom.identity import identify, person_of
from dosecalc.model import CtImage, PatientPosition
from dosecalc.model.spacing import ROUNDING_MM, position_tolerance, spacing_of

__all__ = ["cone_beam_sign", "is_localizer", "read_ct", "read_position", "volume_problem"]

_COARSE_MM = 10.0
# What one decimal makes of the distance of two positions, and of the mean of a few others.
_TWO_ROUNDED_MM = 0.15
_AIR_HU = -1000.0
_PADDING_BELOW_HU = -900.0
_HU_LIMIT = 1e5
_TILT_TOLERANCE_DEG = 0.01
# What accelerators, and the systems that sort their images, call cone-beam CT.
_CONE_BEAM = re.compile(
    r"CBCT|cone.?beam|on.?board imager|\bOBI\b|\bXVI\b|halcyon|truebeam|\bethos\b",
    re.IGNORECASE,
)


class _Slice(NamedTuple):
    dataset: Dataset
    where: str
    axes: NDArray[np.float64]
    corner: NDArray[np.float64]
    pixel_spacing: NDArray[np.float64]
    height: float


def read_ct(
    datasets: Iterable[Dataset],
    *,
    slice_thickness_ok: bool = False,
    position: PatientPosition | None = None,
    checked: bool = False,
) -> CtImage:
    """Return the volume of one axial, coronal or sagittal CT series.

    Slices may come in any order. The volume is transposed and flipped to the
    patient axes; nothing is resampled.

    Parameters
    ----------
    datasets : iterable of pydicom.Dataset
        All images of one series. Localizers among them are left out with a note.
    slice_thickness_ok : bool
        Whether a single slice may be given the extent its SliceThickness states.
        A series of two and more never needs it.
    position : PatientPosition or None
        How the patient lay, for files that do not say; refused where they say otherwise.
    checked : bool
        Whether the caller knows that all images are of one patient and of one CT, though they
        may be of several series.

    Returns
    -------
    CtImage

    Raises
    ------
    DicomError
        An attribute is missing or garbled; slices are missing, duplicate or unevenly
        spaced (:mod:`dosecalc.model.spacing`); slices of several series are mixed.
    UnsupportedError
        Oblique images, gantry tilt, multi-frame CT, unknown compression,
        values that are no Hounsfield units.
    """
    axial, notes = _without_localizers(list(datasets))
    slices = [_describe(ds) for ds in axial]
    first = slices[0]
    _check_alike(slices, several_series=checked)
    if not checked:
        people = (person_of(s.dataset, s.where) for s in slices)
        notes += identify(people, what="the CT slices are of").notes
    slices.sort(key=lambda s: s.height)
    step = _slice_step(slices, notes, slice_thickness_ok)
    lies = _agreed_position(first, position, notes)
    _note_odd_drawing(first, lies, notes)
    rows, columns = integer(first.dataset, "Rows"), integer(first.dataset, "Columns")
    between_rows, between_columns = first.pixel_spacing
    place = layout(
        slices[0].corner,
        first.axes,
        (step, float(between_rows), float(between_columns)),
        (len(slices), rows, columns),
    )
    hu = place.arrange(_hounsfield(slices, (rows, columns), notes))
    uids = [uid(s.dataset, "SOPInstanceUID", s.where) for s in slices]
    ds = first.dataset
    return CtImage(
        grid=place.grid,
        hu=hu,
        position=lies,
        patient_id=text(ds, "PatientID"),
        patient_name=text(ds, "PatientName"),
        study_uid=uid(ds, "StudyInstanceUID"),
        series_uid=_main_series(slices),
        frame_of_reference_uid=uid(ds, "FrameOfReferenceUID"),
        slice_uids=tuple(reversed(uids) if place.flipped[place.order.index(0)] else uids),
        manufacturer=text(ds, "Manufacturer"),
        model_name=text(ds, "ManufacturerModelName"),
        kvp=number(ds, "KVP", first.where, None),
        notes=tuple(dict.fromkeys(notes)),
    )


def volume_problem(datasets: Iterable[Dataset]) -> str:
    """Return why images of several series do not make one volume, "" where they do."""
    try:
        slices = [_describe(ds) for ds in _without_localizers(list(datasets))[0]]
        _check_alike(slices, several_series=True)
        slices.sort(key=lambda s: s.height)
        _slice_step(slices, [], False)
    except DosecalcError as error:
        return str(error)
    return ""


def cone_beam_sign(dataset: Dataset) -> str:
    """Return what says that an image is cone-beam CT of an accelerator, "" where nothing does."""
    for keyword in ("ImageType", "ManufacturerModelName", "SeriesDescription", "ProtocolName"):
        value = text(dataset, keyword)
        if _CONE_BEAM.search(value):
            return f"{keyword} {value!r}"
    return ""


def is_localizer(dataset: Dataset) -> bool:
    """Whether an image is a projection used to plan the scan (scout, topogram)."""
    return "LOCALIZER" in text(dataset, "ImageType").upper().split("\\")


def read_position(dataset: Dataset, where: str = "") -> PatientPosition | None:
    """Return the patient position a data set states, None where it states none."""
    stated = text(dataset, "PatientPosition", where)
    if not stated:
        return None
    try:
        return PatientPosition(stated)
    except ValueError as error:
        known = ", ".join(p.value for p in PatientPosition)
        raise UnsupportedError(
            f"{where or name_of(dataset)}: PatientPosition (0018,5100) is {stated!r}; "
            f"known are {known}"
        ) from error


def _without_localizers(datasets: Sequence[Dataset]) -> tuple[list[Dataset], list[str]]:
    axial = [ds for ds in datasets if not is_localizer(ds)]
    notes = []
    if len(axial) < len(datasets):
        notes.append(f"{len(datasets) - len(axial)} localizer images of the series left out")
    if not axial:
        raise DicomError("no CT slices: the series is empty or holds localizers only")
    return axial, notes


def _describe(dataset: Dataset) -> _Slice:
    """Read what orders a slice, and refuse what is not a slice of a plain CT."""
    where = name_of(dataset)
    kind = text(dataset, "SOPClassUID", where)
    frames = integer(dataset, "NumberOfFrames", where, 1)
    enhanced = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
    if kind in enhanced or frames != 1:
        raise UnsupportedError(
            f"{where}: multi-frame (enhanced) CT; export it as single-frame CT images"
        )
    modality = text(dataset, "Modality", where)
    if kind != CTImageStorage or modality not in ("", "CT"):
        what = f" ({UID(kind).name}, Modality {modality or 'missing'})" if kind else ""
        raise DicomError(
            f"{where}: SOP class {kind or 'missing'}{what} is not a CT image: only a CT has the "
            "Hounsfield units that densities are made of"
        )
    tilt = number(dataset, "GantryDetectorTilt", where, 0.0)
    if abs(tilt) > _TILT_TOLERANCE_DEG:
        raise UnsupportedError(
            f"{where}: GantryDetectorTilt (0018,1120) is {tilt:g} degrees; "
            "scan or reconstruct without gantry tilt"
        )
    axes = image_axes(vector(dataset, "ImageOrientationPatient", 6, where), where)
    corner = vector(dataset, "ImagePositionPatient", 3, where)
    pixel_spacing = vector(dataset, "PixelSpacing", 2, where)
    if (pixel_spacing <= 0).any():
        raise DicomError(f"{where}: PixelSpacing (0028,0030) is {pixel_spacing.tolist()} mm")
    return _Slice(dataset, where, axes, corner, pixel_spacing, float(axes[0] @ corner))


_SHARED = (
    ("SeriesInstanceUID", "series"),
    ("StudyInstanceUID", "studies"),
    ("FrameOfReferenceUID", "frames of reference"),
    ("PatientPosition", "patient positions"),
    ("Rows", "image sizes (Rows)"),
    ("Columns", "image sizes (Columns)"),
)
# CT numbers of one volume are of one scanner and tube voltage.
_OF_SEVERAL_SERIES = (
    *_SHARED[1:],
    ("Manufacturer", "manufacturers"),
    ("ManufacturerModelName", "scanner models"),
)


def _check_alike(slices: list[_Slice], *, several_series: bool) -> None:
    first = slices[0]
    for keyword, what in _OF_SEVERAL_SERIES if several_series else _SHARED:
        found = {text(s.dataset, keyword, s.where): s.where for s in slices}
        if len(found) > 1:
            listed = "; ".join(f"{value or 'none'} in {where}" for value, where in found.items())
            raise DicomError(f"the CT slices are of {len(found)} {what}: {listed[:600]}")
    voltages = sorted({number(s.dataset, "KVP", s.where, None) or 0.0 for s in slices})
    if several_series and len(voltages) > 1:
        listed = ", ".join(f"{kvp:g}" if kvp else "not stated" for kvp in voltages)
        raise DicomError(f"the CT slices are of {len(voltages)} tube voltages (kVp {listed})")
    # What a difference in pixel spacing moves is the far edge of the image.
    extent = max(integer(first.dataset, "Rows"), integer(first.dataset, "Columns"))
    allowed = position_tolerance(float(first.pixel_spacing.min()))
    for other in slices[1:]:
        if not np.array_equal(other.axes, first.axes):
            raise DicomError(f"the CT slices {first.where} and {other.where} are oriented apart")
        if extent * np.abs(other.pixel_spacing - first.pixel_spacing).max() > allowed:
            raise DicomError(
                f"the CT slices {first.where} and {other.where} differ in PixelSpacing: "
                f"{first.pixel_spacing.tolist()} and {other.pixel_spacing.tolist()} mm"
            )
        in_plane = first.axes[1:] @ (other.corner - first.corner)
        if np.abs(in_plane).max() > allowed:
            raise UnsupportedError(
                f"the CT slices {first.where} and {other.where} are shifted against each other by "
                f"{np.round(in_plane, 3).tolist()} mm in their plane (gantry tilt?)"
            )


def _slice_step(slices: list[_Slice], notes: list[str], slice_thickness_ok: bool) -> float:
    """Return the distance between slices, mm, after checking that it is one distance."""
    thickness = number(slices[0].dataset, "SliceThickness", slices[0].where, None)
    if len(slices) == 1:
        if not slice_thickness_ok:
            raise DicomError(
                f"{slices[0].where}: the series has one slice, so its extent is unknown; "
                "give all slices"
            )
        if thickness is None or thickness <= 0:
            raise DicomError(f"{slices[0].where}: one slice, and its SliceThickness is {thickness}")
        notes.append(f"one slice only: SliceThickness {thickness:g} mm taken as its extent")
        return thickness
    heights = np.array([s.height for s in slices])
    step = _even_step(heights, [s.where for s in slices], notes)
    stated = [number(s.dataset, "SliceThickness", s.where, None) for s in slices]
    allowed = position_tolerance(step)
    different = {t for t in stated if t is not None and abs(t - step) > allowed}
    if different:
        listed = ", ".join(f"{t:g}" for t in sorted(different)[:3])
        notes.append(f"SliceThickness {listed} mm differs from the slice spacing; {step:g} mm used")
    if step > _COARSE_MM:
        notes.append(f"CT slices are {step:g} mm apart: what lies between them is not seen")
    return step


def _even_step(
    heights: NDArray[np.float64], names: list[str], notes: list[str] | None = None
) -> float:
    """Return the one distance between slices, mm, of heights that rise; refuse uneven ones."""
    steps = np.diff(heights)
    fit = spacing_of(heights)
    worst, median = fit.worst, fit.median
    between = (
        f"at {heights[worst]:.2f} mm ({Path(names[worst]).name}) and "
        f"{heights[worst + 1]:.2f} mm ({Path(names[worst + 1]).name})"
    )
    same = int(np.argmin(steps))
    if steps[same] < max(ROUNDING_MM, position_tolerance(median)):
        raise DicomError(
            f"two CT slices at the same position {heights[same]:.2f} mm: {names[same]} and "
            f"{names[same + 1]}; export the series again or remove one"
        )
    if not fit.is_even:
        # The median is one of the rounded steps; what most of them are in the mean is not.
        usual = float(steps[steps < 1.5 * median].mean())
        ratio = steps[worst] / usual
        rounded = min(_TWO_ROUNDED_MM, 0.4 * usual)
        if ratio > 1.5 and abs(ratio - round(ratio)) * usual < max(0.1 * usual, rounded):
            raise DicomError(
                f"{round(ratio) - 1} CT slices are missing between the slices {between}: "
                f"the others are {usual:.4g} mm apart"
            )
        raise DicomError(
            f"the CT slices are unevenly spaced: {steps[worst]:g} mm between the slices {between}, "
            f"{median:g} mm in the median; up to {fit.off:.2f} mm off an even grid, "
            f"{position_tolerance(fit.mean):.2f} mm is allowed"
        )
    if notes is not None and fit.off > ROUNDING_MM:
        notes.append(
            f"CT slices lie up to {fit.off:.2f} mm off even spacing of {fit.mean:g} mm: "
            "taken as even"
        )
    return fit.mean


def _main_series(slices: list[_Slice]) -> str:
    """Return the series of the slices, that of most of them where they are of several."""
    return Counter(uid(s.dataset, "SeriesInstanceUID", s.where) for s in slices).most_common(1)[0][
        0
    ]


def _agreed_position(
    first: _Slice, given: PatientPosition | None, notes: list[str]
) -> PatientPosition:
    stated = read_position(first.dataset, first.where)
    if stated is None and given is None:
        raise DicomError(
            f"{first.where}: PatientPosition (0018,5100) is missing or empty; "
            "say how the patient lay with --position, for example --position HFS"
        )
    if stated is not None and given is not None and stated != given:
        raise DicomError(
            f"{first.where}: PatientPosition is {stated.value}, not {given.value} as given; "
            "correct the one that is wrong"
        )
    if stated is None and given is not None:
        notes.append(f"PatientPosition missing; {given.value} as the user states")
        return given
    return stated or PatientPosition.HFS


def _note_odd_drawing(first: _Slice, lies: PatientPosition, notes: list[str]) -> None:
    """Note axial images whose columns do not run towards the floor, as the position has it.

    Positions in the patient stay right, but one of the two statements may be wrong.
    """
    down = np.array(ROOM_AXES[lies][1])
    if first.axes[0][2] != 0 and not np.array_equal(first.axes[1], down):
        notes.append(
            f"the images are not drawn as scanned in {lies.value} (columns towards the floor): "
            "check PatientPosition"
        )


def _hounsfield(
    slices: list[_Slice], shape: tuple[int, int], notes: list[str]
) -> NDArray[np.float32]:
    """Return HU as (slice, row, column), each slice with its own slope and intercept."""
    try:
        volume = np.empty((len(slices), *shape), dtype=np.float32)
    except MemoryError as error:
        size = f"{len(slices)} slices of {shape[0]} x {shape[1]}"
        raise DicomError(f"a CT series of {size} pixels does not fit in memory") from error
    padded = 0
    for i, one in enumerate(slices):
        slope, intercept = _rescale(one)
        stored = stored_values(one.dataset)[0]
        np.multiply(stored, np.float32(slope), out=volume[i], casting="unsafe")
        volume[i] += np.float32(intercept)
        padding = _padding_mask(one, stored, slope, intercept)
        if padding is not None:
            padded += int(np.count_nonzero(padding))
            volume[i][padding] = _AIR_HU
        low, high = float(volume[i].min()), float(volume[i].max())
        if not (low > -_HU_LIMIT and high < _HU_LIMIT):
            raise DicomError(f"{one.where}: CT numbers from {low:g} to {high:g} are no HU")
    if padded:
        notes.append(f"{padded} padding pixels taken as air ({_AIR_HU:g} HU)")
    return volume


def _rescale(one: _Slice) -> tuple[float, float]:
    slope = number(one.dataset, "RescaleSlope", one.where)
    intercept = number(one.dataset, "RescaleIntercept", one.where)
    kind = text(one.dataset, "RescaleType", one.where)
    if slope <= 0:
        raise DicomError(f"{one.where}: RescaleSlope (0028,1053) is {slope:g}; it must be above 0")
    if kind not in ("", "HU", "US"):
        raise UnsupportedError(
            f"{one.where}: RescaleType (0028,1054) is {kind!r}; Hounsfield units (HU) are needed"
        )
    return slope, intercept


def _padding_mask(
    one: _Slice, stored: NDArray[Any], slope: float, intercept: float
) -> NDArray[np.bool_] | None:
    """Return which pixels are padding, None where none is.

    Padding that stands for air or less is harmless. Where its value would be
    tissue, pixels of that value may be either, so the slice is refused.
    """
    value = integer(one.dataset, "PixelPaddingValue", one.where, None)
    if value is None:
        return None
    limit = integer(one.dataset, "PixelPaddingRangeLimit", one.where, value)
    low, high = sorted(_as_stored(v, stored.dtype) for v in (value, limit))
    mask: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    if not mask.any():
        return None
    if slope * high + intercept > _PADDING_BELOW_HU:
        raise UnsupportedError(
            f"{one.where}: PixelPaddingValue {value} is {slope * high + intercept:g} HU and occurs "
            f"in {int(np.count_nonzero(mask))} pixels; padding cannot be told from tissue"
        )
    return mask


def _as_stored(value: int, dtype: np.dtype[Any]) -> int:
    """Return a padding value in the pixels' own signedness, whichever the file encoded it in."""
    bits = 8 * int(dtype.itemsize)
    if dtype.kind == "i" and value >= 1 << (bits - 1):
        return value - (1 << bits)
    if dtype.kind == "u" and value < 0:
        return value + (1 << bits)
    return value
