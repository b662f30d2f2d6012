"""RTDOSE to a dose along the patient axes, and what the file says it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RTDoseStorage

from dosecalc.errors import DicomError, UnsupportedError
from dosecalc.io.dicom._common import (
    attribute,
    integer,
    items,
    name_of,
    number,
    present,
    read_dataset,
    require,
    text,
    uid,
    vector,
)
from dosecalc.io.dicom._orientation import Layout, image_axes, layout
from dosecalc.io.dicom._pixels import stored_values
from dosecalc.io.dicom._writing import MANUFACTURER, Subject, read_subject
from dosecalc.model import Dose
from dosecalc.model.spacing import ROUNDING_MM, position_tolerance, spacing_of

__all__ = [
    "DoseReferences",
    "ImportedDose",
    "dose_grid",
    "import_dose",
    "read_dose",
    "read_dose_file",
]

_FRAME_OFFSETS = 0x3004000C
_SUMMATIONS = (
    "PLAN",
    "MULTI_PLAN",
    "PLAN_OVERVIEW",
    "FRACTION",
    "BEAM",
    "BRACHY",
    "FRACTION_SESSION",
    "BEAM_SESSION",
    "BRACHY_SESSION",
    "CONTROL_POINT",
    "RECORD",
)


@dataclass(frozen=True)
class DoseReferences:
    """What a dose belongs to.

    Parameters
    ----------
    subject : Subject
    frame_of_reference_uid : str
        "" where the file names none.
    plan_uid : str
        SOP Instance UID of the plan, "" where the file names none.
    structure_set_uid : str
    fraction_group : int or None
    beam_number : int or None
        The beam of a dose that is summed over one beam only.
    """

    subject: Subject
    frame_of_reference_uid: str
    plan_uid: str = ""
    structure_set_uid: str = ""
    fraction_group: int | None = None
    beam_number: int | None = None


@dataclass(frozen=True)
class ImportedDose:
    """A dose that was read, with its own UID, its references, and what was odd about it."""

    dose: Dose
    uid: str
    references: DoseReferences
    notes: tuple[str, ...] = ()
    path: str = ""


def read_dose_file(path: Path | str, *, slice_thickness_ok: bool = False) -> ImportedDose:
    """Read one RTDOSE file; see :func:`import_dose`."""
    return import_dose(read_dataset(path), slice_thickness_ok=slice_thickness_ok)


def read_dose(dataset: Dataset, *, slice_thickness_ok: bool = False) -> Dose:
    """Return the dose of an RTDOSE data set alone; see :func:`import_dose`."""
    return import_dose(dataset, slice_thickness_ok=slice_thickness_ok).dose


def import_dose(dataset: Dataset, *, slice_thickness_ok: bool = False) -> ImportedDose:
    """Return a physical dose in Gy, flipped and transposed to the patient axes.

    Parameters
    ----------
    dataset : pydicom.Dataset
    slice_thickness_ok : bool
        Whether a dose of one frame may be given the extent its SliceThickness states.

    Returns
    -------
    ImportedDose
        ``dose.dose_to`` is "unknown" unless this program wrote the file.

    Raises
    ------
    UnsupportedError
        Relative, effective or error dose; oblique grids.
    DicomError
        Anything missing, garbled or contradictory; uneven frames.
    """
    where = name_of(dataset)
    summation = _check_kind(dataset, where)
    notes: list[str] = []
    place = dose_grid(dataset, slice_thickness_ok=slice_thickness_ok, notes=notes)
    references = _references(dataset, summation, where, notes)
    gray = place.arrange(_gray(dataset, where, notes))
    heterogeneity = text(dataset, "TissueHeterogeneityCorrection", where)
    if heterogeneity:
        notes.append(f"tissue heterogeneity correction: {heterogeneity}")
    densities = _densities_of(heterogeneity)
    sop_uid = uid(dataset, "SOPInstanceUID", where)
    provenance = {
        "source": where,
        "sop_instance_uid": sop_uid,
        "manufacturer": text(dataset, "Manufacturer", where),
        "model": text(dataset, "ManufacturerModelName", where),
        "software": text(dataset, "SoftwareVersions", where).replace("\\", ", "),
        "comment": text(dataset, "DoseComment", where),
        "densities": densities,
        "notes": tuple(notes),
    }
    dose = Dose(
        grid=place.grid,
        gray=gray,
        dose_to=_dose_to(dataset, where),
        summation=summation,
        provenance=provenance,
    )
    return ImportedDose(dose, sop_uid, references, tuple(notes), where)


def dose_grid(
    dataset: Dataset, *, slice_thickness_ok: bool = False, notes: list[str] | None = None
) -> Layout:
    """Return where the dose of an RTDOSE lies, from its header alone.

    Frame positions follow DICOM PS3.3 C.8.8.3.2: a first offset of 0 means
    offsets from the image position along the image normal; a first offset
    equal to the z of the image position of an image with rows along +x and
    columns along +y means absolute z. Anything else is refused.

    Parameters
    ----------
    notes : list of str or None
        Receives what was accepted though odd.
    """
    where = name_of(dataset)
    notes = [] if notes is None else notes
    axes = image_axes(vector(dataset, "ImageOrientationPatient", 6, where), where)
    corner = vector(dataset, "ImagePositionPatient", 3, where)
    spacing = vector(dataset, "PixelSpacing", 2, where)
    if (spacing <= 0).any():
        raise DicomError(f"{where}: PixelSpacing (0028,0030) is {spacing.tolist()} mm")
    frames = integer(dataset, "NumberOfFrames", where, 1)
    if frames < 1:
        raise DicomError(f"{where}: NumberOfFrames (0028,0008) is {frames}")
    if attribute(dataset, "GridFrameOffsetVector", where) is None and frames == 1:
        offsets = np.zeros(1)
    else:
        offsets = vector(dataset, "GridFrameOffsetVector", None, where)
    if offsets.size != frames:
        raise DicomError(
            f"{where}: GridFrameOffsetVector (3004,000C) has {offsets.size} values, "
            f"the dose {frames} frames"
        )
    _check_frame_pointer(dataset, frames, where, notes)
    _check_first_offset(offsets, corner, axes, where)
    step = _frame_step(dataset, offsets, where, slice_thickness_ok, notes)
    shape = (frames, integer(dataset, "Rows", where), integer(dataset, "Columns", where))
    return layout(corner, axes, (step, float(spacing[0]), float(spacing[1])), shape)


def _check_kind(dataset: Dataset, where: str) -> str:
    kind = text(dataset, "SOPClassUID", where)
    if kind != RTDoseStorage:
        raise DicomError(f"{where}: SOP class {kind or 'missing'} is not an RT dose")
    require(dataset, "DoseUnits", where)
    units = text(dataset, "DoseUnits", where)
    if units != "GY":
        raise UnsupportedError(f"{where}: DoseUnits (3004,0002) is {units!r}; dose in GY is needed")
    require(dataset, "DoseType", where)
    dose_type = text(dataset, "DoseType", where)
    if dose_type != "PHYSICAL":
        raise UnsupportedError(
            f"{where}: DoseType (3004,0004) is {dose_type!r}; PHYSICAL dose is needed"
        )
    require(dataset, "DoseSummationType", where)
    summation = text(dataset, "DoseSummationType", where)
    if summation not in _SUMMATIONS:
        raise DicomError(
            f"{where}: DoseSummationType (3004,000A) is {summation!r}; "
            f"known are {', '.join(_SUMMATIONS)}"
        )
    return summation


def _check_frame_pointer(dataset: Dataset, frames: int, where: str, notes: list[str]) -> None:
    if frames == 1:
        return
    pointer = attribute(dataset, "FrameIncrementPointer", where)
    if pointer is None:
        notes.append("FrameIncrementPointer missing; frames taken by GridFrameOffsetVector")
    elif pointer != _FRAME_OFFSETS:
        raise UnsupportedError(
            f"{where}: FrameIncrementPointer (0028,0009) is {pointer}; frames that step by "
            "GridFrameOffsetVector (3004,000C) are needed"
        )


def _check_first_offset(
    offsets: NDArray[np.float64],
    corner: NDArray[np.float64],
    axes: NDArray[np.float64],
    where: str,
) -> None:
    first = float(offsets[0])
    near = position_tolerance(float(np.median(np.diff(offsets))) if offsets.size > 1 else 1.0)
    if abs(first) < near:
        return
    at_corner = abs(first - corner[2]) < near
    if np.array_equal(axes, [[0, 0, 1], [0, 1, 0], [1, 0, 0]]):
        if at_corner:
            return
        raise DicomError(
            f"{where}: GridFrameOffsetVector (3004,000C) starts with {first:g}: neither with 0 "
            f"(relative offsets) nor with the z of ImagePositionPatient, {corner[2]:g} (absolute)"
        )
    rows, columns = (_named_direction(axes[k]) for k in (2, 1))
    which = ", the z of ImagePositionPatient" if at_corner else ""
    raise DicomError(
        f"{where}: GridFrameOffsetVector (3004,000C) starts with {first:g}{which}. DICOM allows "
        "offsets that are absolute z only for images with rows along +x and columns along +y; "
        f"the rows of this dose run along {rows}, its columns along {columns}, so its offsets "
        "must start with 0. Export the dose with relative frame offsets"
    )


def _named_direction(axis: NDArray[np.float64]) -> str:
    k = int(np.abs(axis).argmax())
    return f"{'-' if axis[k] < 0 else '+'}{'xyz'[k]}"


def _frame_step(
    dataset: Dataset,
    offsets: NDArray[np.float64],
    where: str,
    slice_thickness_ok: bool,
    notes: list[str],
) -> float:
    """Return the distance between frames, mm; negative where they run against the normal."""
    if offsets.size == 1:
        thickness = number(dataset, "SliceThickness", where, None)
        if thickness is None or thickness <= 0:
            raise DicomError(
                f"{where}: a dose of one frame has no extent across it (SliceThickness "
                f"{'missing' if thickness is None else thickness}); give a dose of several frames"
            )
        if not slice_thickness_ok:
            raise DicomError(
                f"{where}: a dose of one frame, {thickness:g} mm thick: that is a plane and not "
                "the dose of a volume; give a dose of several frames (the commands gamma and "
                "compare take a plane)"
            )
        notes.append(f"one frame only: SliceThickness {thickness:g} mm taken as its extent")
        return thickness
    fit = spacing_of(offsets)
    if abs(fit.median) < ROUNDING_MM:
        raise DicomError(f"{where}: the dose frames are {fit.median:g} mm apart")
    if not fit.is_even:
        before, after = offsets[fit.worst : fit.worst + 2]
        raise DicomError(
            f"{where}: the dose frames are unevenly spaced: {after - before:g} mm between "
            f"the offsets {before:g} and {after:g}, {fit.median:g} mm in the "
            "median; export the dose on an even grid"
        )
    if fit.off > ROUNDING_MM:
        notes.append(
            f"dose frames lie up to {fit.off:.2f} mm off even spacing of {abs(fit.mean):g} mm: "
            "taken as even"
        )
    return fit.mean


def _gray(dataset: Dataset, where: str, notes: list[str]) -> NDArray[np.float32]:
    scaling = number(dataset, "DoseGridScaling", where)
    if scaling <= 0:
        raise DicomError(f"{where}: DoseGridScaling (3004,000E) is {scaling:g}; it must be above 0")
    stored = stored_values(dataset, integer(dataset, "NumberOfFrames", where, 1))
    if stored.min() < 0:
        raise DicomError(f"{where}: {int((stored < 0).sum())} voxels of negative dose")
    if not stored.any():
        notes.append("the dose is zero everywhere")
    with np.errstate(over="ignore"):
        gray: NDArray[np.float32] = np.multiply(stored, scaling, dtype=np.float64).astype(
            np.float32
        )
    if not np.isfinite(gray).all():
        raise DicomError(f"{where}: DoseGridScaling {scaling:g} makes doses that are not finite")
    return gray


def _densities_of(heterogeneity: str) -> str:
    r"""Return the code of what a dose in water was calculated in ("": on the image, or unknown).

    Tissue Heterogeneity Correction has up to three values (DICOM PS3.3, C.8.8.3): WATER, all of
    the volume as water; IMAGE, those of the image; ROI_OVERRIDE, those of structures in place of
    either. IMAGE and WATER together say that beams were calculated in different ways.
    """
    values = {value.strip().upper() for value in heterogeneity.split("\\")}
    if "WATER" not in values:
        return ""
    if "IMAGE" in values:
        return "reference.in_water_some_beams"
    if "ROI_OVERRIDE" in values:
        return "reference.in_water_with_structures"
    return "reference.in_water"


def _dose_to(dataset: Dataset, where: str) -> str:
    if text(dataset, "Manufacturer", where) == MANUFACTURER:
        for medium in ("medium", "water"):
            if text(dataset, "DoseComment", where).startswith(f"dose to {medium}"):
                return medium
    return "unknown"


def _references(dataset: Dataset, summation: str, where: str, notes: list[str]) -> DoseReferences:
    plans = items(dataset, "ReferencedRTPlanSequence", where)
    structure_sets = items(dataset, "ReferencedStructureSetSequence", where)
    if not plans:
        notes.append("the dose names no plan")
    if not present(dataset, "FrameOfReferenceUID"):
        notes.append("the dose names no frame of reference")
    if not present(dataset, "StudyInstanceUID"):
        notes.append("the dose names no study")
    frame = present(dataset, "FrameOfReferenceUID")
    if len(plans) > 1 and summation not in ("MULTI_PLAN", "PLAN_OVERVIEW"):
        raise DicomError(f"{where}: a {summation} dose that names {len(plans)} plans")
    group = beam = None
    if len(plans) == 1:
        group, beam = _fraction_group_and_beam(plans[0], where)
    if summation == "BEAM" and beam is None:
        notes.append("a BEAM dose that does not name its beam")
    return DoseReferences(
        subject=read_subject(dataset, without_study=True),
        frame_of_reference_uid=uid(dataset, "FrameOfReferenceUID", where) if frame else "",
        plan_uid=uid(plans[0], "ReferencedSOPInstanceUID", where) if len(plans) == 1 else "",
        structure_set_uid=(
            uid(structure_sets[0], "ReferencedSOPInstanceUID", where) if structure_sets else ""
        ),
        fraction_group=group,
        beam_number=beam,
    )


def _fraction_group_and_beam(plan: Dataset, where: str) -> tuple[int | None, int | None]:
    groups = items(plan, "ReferencedFractionGroupSequence", where)
    if len(groups) != 1:
        return None, None
    group = integer(groups[0], "ReferencedFractionGroupNumber", where, None)
    beams = items(groups[0], "ReferencedBeamSequence", where)
    if len(beams) != 1:
        return group, None
    return group, integer(beams[0], "ReferencedBeamNumber", where)
