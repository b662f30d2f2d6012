"""A dose to an RTDOSE file that planning systems load."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import RTDoseStorage, RTPlanStorage, RTStructureSetStorage

from dosecalc.errors import InputError, UnsupportedError
from dosecalc.io.dicom._writing import (
    NOT_FOR_CLINIC,
    base_dataset,
    decimal,
    decimals,
    write_dataset,
)
from dosecalc.io.dicom.dose import DoseReferences
from dosecalc.io.dicom.uids import new_uid
from dosecalc.model import Dose

__all__ = ["DvhCurve", "write_dose"]

_NEEDS_GROUP = ("FRACTION", "BEAM")
_SUMMATIONS = ("PLAN", *_NEEDS_GROUP)
_MAX_BINS = 3000
"""As many bins as surely fit into the 65,534 bytes of an explicit-VR decimal string."""


@dataclass(frozen=True)
class DvhCurve:
    """Cumulative dose-volume histogram of one structure, as an RTDOSE carries it.

    Parameters
    ----------
    structure_number : int
        ROI Number in the structure set the dose refers to.
    dose_gy : (n,) float64, Gy
        Dose levels, rising from 0.
    volume_cm3 : (n,) float64, cm3
        Volume that receives at least that dose; the first is the whole structure.
    """

    structure_number: int
    dose_gy: NDArray[np.float64]
    volume_cm3: NDArray[np.float64]

    def __post_init__(self) -> None:
        dose = np.array(self.dose_gy, dtype=np.float64)
        volume = np.array(self.volume_cm3, dtype=np.float64)
        where = f"DVH of structure {self.structure_number}"
        if dose.ndim != 1 or dose.shape != volume.shape or not 2 <= dose.size <= _MAX_BINS:
            raise InputError(f"{where}: 2 to {_MAX_BINS} doses with as many volumes are needed")
        if not (np.isfinite(dose).all() and np.isfinite(volume).all()):
            raise InputError(f"{where}: values that are not finite numbers")
        if dose[0] != 0 or (np.diff(dose) <= 0).any():
            raise InputError(f"{where}: the doses must rise from 0")
        if (volume < 0).any() or (np.diff(volume) > 0).any():
            raise InputError(f"{where}: the volumes must fall and not be negative")
        for name, array in (("dose_gy", dose), ("volume_cm3", volume)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)


def write_dose(
    dose: Dose,
    path: Path | str,
    references: DoseReferences,
    *,
    bits: int = 32,
    dvhs: Many[DvhCurve] = (),
) -> Path:
    """Write a dose in Gy as RTDOSE and return its path.

    Frames run along +z with relative offsets, rows along +x, columns along +y.
    Integers use their whole range: the rounding error is at most half of the
    maximum dose over 2^32 (2^16 for 16 bits).

    Parameters
    ----------
    dose : Dose
        In Gy, summed over PLAN, FRACTION or BEAM, nowhere negative.
    references : DoseReferences
        The plan is needed; FRACTION and BEAM need the fraction group, BEAM the beam.
    bits : {32, 16}
        16 for readers that cannot take 32.
    dvhs : sequence of DvhCurve
        Histograms to carry along. The standard ties the reference to the
        structure set to them: a file with that reference and no histogram loads
        everywhere, but strict validators report the missing histograms.

    Raises
    ------
    UnsupportedError
        Dose per fluence, or another summation.
    InputError
        A reference is missing, a dose is negative, or `bits` is neither 16 nor 32.
    """
    _check(dose, references, bits)
    if dvhs and not references.structure_set_uid:
        raise InputError("dose-volume histograms need the UID of their structure set")
    scaling, stored = _integers(dose.gray, bits)
    what = f"{dose.grid} {dose.summation} {references} {bits} {len(dvhs)}"
    identity = new_uid(what, scaling, stored.tobytes())
    ds = base_dataset(
        RTDoseStorage,
        identity,
        "RTDOSE",
        references.subject,
        series_uid=new_uid(references.subject.study_uid, references.plan_uid, "RTDOSE"),
        series_description="dosecalc dose",
        frame_of_reference_uid=references.frame_of_reference_uid,
    )
    ds.InstanceNumber = 1
    _add_grid(ds, dose)
    ds.DoseUnits = "GY"
    ds.DoseType = "PHYSICAL"
    ds.DoseSummationType = dose.summation
    ds.DoseComment = f"dose to {dose.dose_to}; {NOT_FOR_CLINIC}"
    ds.DoseGridScaling = scaling
    _add_references(ds, dose.summation, references)
    if dvhs:
        ds.DVHSequence = Sequence([_dvh_item(curve) for curve in dvhs])
    _add_pixels(ds, stored, bits)
    return write_dataset(ds, path)


def _check(dose: Dose, references: DoseReferences, bits: int) -> None:
    if dose.unit != "Gy":
        raise UnsupportedError(f"a dose in {dose.unit!r} cannot be an RTDOSE; it needs MU and Gy")
    if dose.summation not in _SUMMATIONS:
        raise UnsupportedError(
            f"dose summation {dose.summation!r} is not written; {', '.join(_SUMMATIONS)} are"
        )
    if bits not in (16, 32):
        raise InputError(f"{bits} bits for a dose; 16 or 32")
    if not references.plan_uid or not references.frame_of_reference_uid:
        raise InputError("an RTDOSE needs the UIDs of its plan and of its frame of reference")
    if dose.summation in _NEEDS_GROUP and references.fraction_group is None:
        raise InputError(f"a {dose.summation} dose needs the number of its fraction group")
    if (dose.summation == "BEAM") != (references.beam_number is not None):
        raise InputError(
            f"a {dose.summation} dose with beam number {references.beam_number}: "
            "BEAM doses name one beam, others none"
        )
    if float(dose.gray.min()) < 0:
        raise InputError(f"the dose falls to {float(dose.gray.min()):g} Gy; it cannot be negative")


def _integers(gray: NDArray[np.float32], bits: int) -> tuple[str, NDArray[np.unsignedinteger]]:
    """Return the scaling as DICOM text, Gy per count, and the counts.

    The scaling is rounded to 16 characters before the counts are made, so that
    what is written and what the reader multiplies are the same number.
    """
    limit = 2**bits - 1
    highest = float(gray.max())
    scaling = decimal(highest / limit * (1 + 1e-8)) if highest > 0 else "1"
    counts = np.rint(np.divide(gray, float(scaling), dtype=np.float64))
    return scaling, np.minimum(counts, limit).astype("<u4" if bits == 32 else "<u2")


def _add_grid(ds: Dataset, dose: Dose) -> None:
    sx, sy, sz = dose.grid.spacing
    frames = dose.grid.shape[0]
    ds.ImagePositionPatient = decimals(dose.grid.origin)
    ds.ImageOrientationPatient = decimals([1, 0, 0, 0, 1, 0])
    ds.PixelSpacing = decimals([sy, sx])
    ds.SliceThickness = decimal(sz)
    ds.NumberOfFrames = frames
    ds.FrameIncrementPointer = 0x3004000C
    ds.GridFrameOffsetVector = decimals(sz * k for k in range(frames))


def _add_references(ds: Dataset, summation: str, references: DoseReferences) -> None:
    plan = _reference(RTPlanStorage, references.plan_uid)
    if summation in _NEEDS_GROUP:
        group = Dataset()
        group.ReferencedFractionGroupNumber = references.fraction_group
        if references.beam_number is not None:
            beam = Dataset()
            beam.ReferencedBeamNumber = references.beam_number
            group.ReferencedBeamSequence = Sequence([beam])
        plan.ReferencedFractionGroupSequence = Sequence([group])
    ds.ReferencedRTPlanSequence = Sequence([plan])
    if references.structure_set_uid:
        structures = _reference(RTStructureSetStorage, references.structure_set_uid)
        ds.ReferencedStructureSetSequence = Sequence([structures])


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _dvh_item(curve: DvhCurve) -> Dataset:
    """Return one histogram: pairs of bin width and the volume at the bin's lower edge."""
    roi = Dataset()
    roi.ReferencedROINumber = curve.structure_number
    roi.DVHROIContributionType = "INCLUDED"
    item = Dataset()
    item.DVHReferencedROISequence = Sequence([roi])
    item.DVHType = "CUMULATIVE"
    item.DoseUnits = "GY"
    item.DoseType = "PHYSICAL"
    item.DVHDoseScaling = "1"
    item.DVHVolumeUnits = "CM3"
    item.DVHNumberOfBins = curve.dose_gy.size
    widths = np.diff(curve.dose_gy, append=2 * curve.dose_gy[-1] - curve.dose_gy[-2])
    pairs = zip(widths, curve.volume_cm3, strict=True)
    item.DVHData = [f"{value:.6g}" for pair in pairs for value in pair]
    return item


def _add_pixels(ds: Dataset, stored: NDArray[np.unsignedinteger], bits: int) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[1:]
    ds.BitsAllocated = bits
    ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = 0
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"
