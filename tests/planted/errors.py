"""The errors that are planted, one by one, as changes of a right patient's files or options.

Names follow the list of planted errors in the project's clinical brief.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.planted.patients import DOSE, PLAN, STRUCTURES, edit, replace_file

__all__ = ["CLIPPED", "DICOM_ERRORS", "PLAN_ERRORS", "Planted"]


@dataclass(frozen=True)
class Planted:
    """One error.

    name : str
    plant : callable(folder)
    rules : each of which has to speak; empty where the folder must be refused
    words : changes of the options
    refusal : words of the message, where it must be refused: no other refusal counts
    """

    name: str
    plant: Callable[[Path], None]
    rules: tuple[str, ...] = ()
    words: dict[str, Any] = field(default_factory=dict)
    refusal: str = ""


def _nothing(_folder: Path) -> None:
    """Leave the files: the error is in the options."""


def _plan(change: Callable[[Dataset], None]) -> Callable[[Path], None]:
    return lambda folder: edit(folder, PLAN, change)


def _dose(change: Callable[[Dataset], None]) -> Callable[[Path], None]:
    return lambda folder: edit(folder, DOSE, change)


def _each_beam(change: Callable[[Dataset, Dataset], None]) -> Callable[[Path], None]:
    """Change every beam, given its data set and its place in the fraction group."""

    def apply(plan: Dataset) -> None:
        stated = plan.FractionGroupSequence[0].ReferencedBeamSequence
        for beam in plan.BeamSequence:
            (reference,) = [r for r in stated if r.ReferencedBeamNumber == beam.BeamNumber]
            change(beam, reference)

    return _plan(apply)


def _each_point(change: Callable[[Dataset], None]) -> Callable[[Path], None]:
    def apply(beam: Dataset, _reference: Dataset) -> None:
        for point in beam.ControlPointSequence:
            change(point)

    return _each_beam(apply)


def _times_mu(factor: float) -> Callable[[Dataset, Dataset], None]:
    def change(_beam: Dataset, reference: Dataset) -> None:
        reference.BeamMeterset = str(round(float(reference.BeamMeterset) * factor, 4))

    return change


def _no_mu(plan: Dataset) -> None:
    plan.FractionGroupSequence[0].ReferencedBeamSequence[1].BeamMeterset = "0"


def _angle(name: str, new: Callable[[float], float]) -> Callable[[Dataset], None]:
    def change(point: Dataset) -> None:
        if name in point:
            setattr(point, name, str(round(new(float(getattr(point, name))) % 360, 4)))

    return change


def _devices(change: Callable[[dict[str, Dataset]], None]) -> Callable[[Dataset], None]:
    def apply(point: Dataset) -> None:
        if "BeamLimitingDevicePositionSequence" in point:
            sequence = point.BeamLimitingDevicePositionSequence
            change({d.RTBeamLimitingDeviceType: d for d in sequence})

    return apply


def _swap_jaws(devices: dict[str, Dataset]) -> None:
    x, y = (devices.get(name) or devices[f"ASYM{name}"] for name in "XY")
    x.LeafJawPositions, y.LeafJawPositions = list(y.LeafJawPositions), list(x.LeafJawPositions)


def _leaves(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, Dataset]], None]:
    def apply(devices: dict[str, Dataset]) -> None:
        if "MLCX" in devices:
            given = np.array([float(v) for v in devices["MLCX"].LeafJawPositions]).reshape(2, -1)
            moved = change(given)
            devices["MLCX"].LeafJawPositions = [f"{v:.3f}" for v in moved.ravel()]

    return apply


def _one_bank(leaves: np.ndarray) -> np.ndarray:
    return np.stack([leaves[0], np.maximum(leaves[1] - 1.0, leaves[0])])


def _both_banks(leaves: np.ndarray) -> np.ndarray:
    return leaves + np.array([[-0.5], [0.5]])


def _isocentre(point: Dataset) -> None:
    if "IsocenterPosition" in point:
        x, y, z = (float(v) for v in point.IsocenterPosition)
        point.IsocenterPosition = [str(x + 5.0), str(y), str(z)]


def _weights(beam: Dataset, _reference: Dataset) -> None:
    beam.ControlPointSequence[-1].CumulativeMetersetWeight = "0.7"


def _wedge(beam: Dataset, _reference: Dataset) -> None:
    beam.NumberOfWedges = 1
    wedge = Dataset()
    wedge.WedgeNumber, wedge.WedgeType, wedge.WedgeAngle = 1, "STANDARD", "30"
    wedge.WedgeOrientation, wedge.WedgeFactor = "180", "0.6"
    beam.WedgeSequence = [wedge]


def _ten_mv(beam: Dataset, _reference: Dataset) -> None:
    for point in beam.ControlPointSequence:
        if "NominalBeamEnergy" in point:
            point.NominalBeamEnergy = "10"


def _fff(beam: Dataset, _reference: Dataset) -> None:
    mode = Dataset()
    mode.FluenceMode, mode.FluenceModeID = "NON_STANDARD", "FFF"
    beam.PrimaryFluenceModeSequence = [mode]


def _same_number(plan: Dataset) -> None:
    plan.BeamSequence[1].BeamNumber = plan.BeamSequence[0].BeamNumber


def _scaling(factor: float) -> Callable[[Dataset], None]:
    def change(dose: Dataset) -> None:
        dose.DoseGridScaling = f"{float(dose.DoseGridScaling) * factor:.9e}"

    return change


def _half_voxel(dose: Dataset) -> None:
    x, y, z = (float(v) for v in dose.ImagePositionPatient)
    row, column = (float(v) for v in dose.PixelSpacing)
    dose.ImagePositionPatient = [str(x + column / 2), str(y + row / 2), str(z)]


def _cut_grid(dose: Dataset) -> None:
    """Keep the lower part of the dose grid, up to the middle of the target."""
    offsets = [float(v) for v in dose.GridFrameOffsetVector]
    keep = len(offsets) // 2
    frames = dose.pixel_array[:keep]
    dose.GridFrameOffsetVector = [str(v) for v in offsets[:keep]]
    dose.NumberOfFrames = keep
    dose.PixelData = frames.tobytes()


def _summation(kind: str) -> Callable[[Dataset], None]:
    def change(dose: Dataset) -> None:
        dose.DoseSummationType = kind

    return change


def _sphere(factor: float, radius_mm: float) -> Callable[[Dataset], None]:
    """Scale the dose in a sphere 6 cm beside its maximum, on the side with more dose."""

    def change(dose: Dataset) -> None:
        values = dose.pixel_array.copy()
        row, column = (float(v) for v in dose.PixelSpacing)
        offsets = [float(v) for v in dose.GridFrameOffsetVector]
        k, j, i = np.unravel_index(int(values.argmax()), values.shape)
        beside = round(60 / column)
        middle = max(
            (m for m in (i - beside, i + beside) if 0 <= m < values.shape[2]),
            key=lambda m: values[k, j, m],
        )
        steps = (abs(offsets[1] - offsets[0]), row, column)
        z, y, x = (
            (np.arange(n) - centre) * step
            for n, centre, step in zip(values.shape, (k, j, middle), steps, strict=True)
        )
        inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < radius_mm**2
        values[inside] = (values[inside] * factor).astype(values.dtype)
        dose.PixelData = values.tobytes()

    return change


def _no_plan(dose: Dataset) -> None:
    del dose.ReferencedRTPlanSequence


def _in_water(dose: Dataset) -> None:
    dose.TissueHeterogeneityCorrection = "WATER"


def _beside_the_target(dose: Dataset) -> None:
    """Keep so few frames that none of them holds any of the target."""
    offsets = [float(v) for v in dose.GridFrameOffsetVector][:8]
    frames = dose.pixel_array[:8]
    dose.GridFrameOffsetVector = [str(v) for v in offsets]
    dose.NumberOfFrames = 8
    dose.PixelData = frames.tobytes()


def _half_prescribed(plan: Dataset) -> None:
    for one in plan.DoseReferenceSequence:
        one.TargetPrescriptionDose = str(round(float(one.TargetPrescriptionDose) / 2, 3))


def _rejected(plan: Dataset) -> None:
    plan.ApprovalStatus = "REJECTED"
    plan.ReviewDate, plan.ReviewTime, plan.ReviewerName = "20260101", "120000", "SOMEBODY"


def _slices(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*.dcm")):
        data = pydicom.dcmread(path, stop_before_pixels=True)
        if data.Modality == "CT":
            found.append((float(data.ImagePositionPatient[2]), path))
    return [path for _, path in sorted(found)]


def _ct(change: Callable[[Dataset], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        for path in _slices(folder):
            data = pydicom.dcmread(path)
            change(data)
            replace_file(data, path)

    return apply


def _drop_slice(folder: Path) -> None:
    paths = _slices(folder)
    paths[len(paths) // 2].unlink()


def _other_series(folder: Path) -> None:
    series = generate_uid(entropy_srcs=["planted"])
    for path in _slices(folder):
        data = pydicom.dcmread(path)
        data.SeriesInstanceUID = series
        data.SOPInstanceUID = generate_uid(entropy_srcs=["planted", str(data.SOPInstanceUID)])
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        replace_file(data, path)


def _clip(data: Dataset) -> None:
    stored = data.pixel_array.copy()
    slope, intercept = float(data.RescaleSlope), float(data.RescaleIntercept)
    top = (400.0 - intercept) / slope
    data.PixelData = np.minimum(stored, stored.dtype.type(top)).tobytes()


def _swap_spacing(data: Dataset) -> None:
    row, column = data.PixelSpacing
    data.PixelSpacing = [str(float(row) * 1.25), str(float(column) * 0.8)]


def _position(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        _ct(lambda data: setattr(data, "PatientPosition", name))(folder)
        edit(folder, PLAN, lambda plan: setattr(
            plan.PatientSetupSequence[0], "PatientPosition", name
        ))  # fmt: skip

    return apply


def _frame(data: Dataset) -> None:
    other = generate_uid(entropy_srcs=["planted frame"])
    for one in data.ReferencedFrameOfReferenceSequence:
        one.FrameOfReferenceUID = other
    for one in data.StructureSetROISequence:
        one.ReferencedFrameOfReferenceUID = other


def _other_patient(data: Dataset) -> None:
    data.PatientID = "SOMEBODY-ELSE"


def _not_a_number(dose: Dataset) -> None:
    dose.DoseGridScaling = "NaN"


# What an error of geometry that is not small does to any plan.
DIFFERENCE = ("gamma", "largest connected failing volume", "large difference")
AGAINST_PLAN = "reference against plan"

PLAN_ERRORS = (
    Planted("MU x 1.05", _each_beam(_times_mu(1.05)), ("target mean", "point dose")),
    Planted("MU x fractions", _each_beam(_times_mu(30)), ("prescription",)),
    Planted("one beam at 0 MU", _plan(_no_mu), ("monitor units",)),
    Planted("couch sign", _each_point(_angle("PatientSupportAngle", lambda a: -a)), DIFFERENCE),
    Planted(
        "collimator +2 degrees",
        _each_point(_angle("BeamLimitingDeviceAngle", lambda a: a + 2)),
        ("beam fit",),
    ),
    Planted(
        "collimator wrong sign",
        _each_point(_angle("BeamLimitingDeviceAngle", lambda a: -a)),
        DIFFERENCE,
    ),
    Planted("gantry scale", _each_point(_angle("GantryAngle", lambda a: 180 - a)), DIFFERENCE),
    Planted("X and Y jaws swapped", _each_point(_devices(_swap_jaws)), DIFFERENCE),
    Planted("one MLC bank 1 mm off", _each_point(_devices(_leaves(_one_bank))), ("beam fit",)),
    Planted(
        "leaf order reversed", _each_point(_devices(_leaves(lambda m: m[:, ::-1]))), DIFFERENCE
    ),
    Planted("isocentre +5 mm", _each_point(_isocentre), ("displacement",)),
    Planted("Gy and cGy swapped", _dose(_scaling(100.0)), (AGAINST_PLAN, "gamma")),
    Planted("fraction read as total", _dose(_scaling(1 / 30)), (AGAINST_PLAN, "gamma")),
    Planted("dose grid half a voxel off", _dose(_half_voxel), ("displacement",)),
    Planted("target partly outside the dose grid", _dose(_cut_grid), ("dose grid",)),
    Planted("beam dose read as plan dose", _dose(_summation("BEAM")), ("reference",)),
    Planted("pixel spacing swapped", _ct(_swap_spacing), DIFFERENCE),
    Planted(
        "both MLC banks 0.5 mm open", _each_point(_devices(_leaves(_both_banks))), ("beam fit",)
    ),
    Planted(
        "no dose in 14 cm3 of an organ",
        _dose(_sphere(0.0, 15.0)),
        ("largest connected failing volume", "large difference"),
    ),
    Planted(
        "three quarters of the dose there",
        _dose(_sphere(0.75, 25.0)),
        ("largest connected failing volume", "local dose"),
    ),
    Planted("dose of twice the prescription", _plan(_half_prescribed), (AGAINST_PLAN,)),
    Planted("dose that names no plan", _dose(_no_plan), ("reference",)),
    Planted("dose calculated in water", _dose(_in_water), ("reference",)),
    Planted(
        "dose grid beside the target",
        _dose(_beside_the_target),
        refusal="no reference dose|no reference point",
    ),
    Planted("a plan that was rejected", _plan(_rejected), ("approval",)),
    Planted("HFS labelled HFP", _position("HFP"), DIFFERENCE),
    Planted("HFS labelled FFS", _position("FFS"), DIFFERENCE),
)
"""Errors that calculate: a rule has to find them."""

CLIPPED = Planted("HU clipped", _ct(_clip), ("CT numbers",))
"""Of a CT that has numbers to clip."""

DICOM_ERRORS = (
    Planted("6 for 10 MV", _each_beam(_ten_mv), refusal="the plan says 10 MV"),
    Planted("FFF for flat", _each_beam(_fff), refusal="fluence mode is FFF"),
    Planted(
        "another machine",
        _nothing,
        words={"machines": ("generic-6mv-agility",)},
        refusal="model of the planned machine",
    ),
    Planted(
        "no such machine",
        _nothing,
        words={"machines": ("generic-6mv-hd120",)},
        refusal="no machine model is named",
    ),
    Planted(
        "control-point weights not normalised",
        _each_beam(_weights),
        refusal="FinalCumulativeMetersetWeight",
    ),
    Planted("wedge turned", _each_beam(_wedge), refusal="wedge"),
    Planted("a CT slice missing", _drop_slice, refusal="1 are not in the folder"),
    Planted(
        "another CT of the same patient",
        _other_series,
        refusal="structure set refers to is not in the folder",
    ),
    Planted(
        "structure set of another frame",
        lambda f: edit(f, STRUCTURES, _frame),
        refusal="differ in frame of reference",
    ),
    Planted("NaN in the dose", _dose(_not_a_number), refusal="nan, not a finite number"),
    Planted("duplicate beam number", _plan(_same_number), refusal="unique beam numbers"),
    Planted("two PatientIDs", _dose(_other_patient), refusal="2 patients"),
    Planted("no HU curve named", _nothing, words={"hu_curve": None}, refusal="no HU curve"),
    Planted(
        "body contour lost",
        _nothing,
        words={"body": "NO SUCH"},
        refusal="no structure is named 'NO SUCH'",
    ),
)
"""Errors that must not even calculate."""
