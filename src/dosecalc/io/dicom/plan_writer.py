"""Plans to RT Plan files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import RTPlanStorage, RTStructureSetStorage

from dosecalc.errors import InputError
from dosecalc.io.dicom._writing import (
    NOT_FOR_CLINIC,
    Subject,
    base_dataset,
    decimal,
    decimals,
    write_dataset,
)
from dosecalc.io.dicom.uids import new_uid
from dosecalc.model import Beam, ControlPoint, Plan, Prescription
from dosecalc.model.motion import collimator_turn_deg, gantry_turn_deg

__all__ = ["write_plan"]

_MOST_IN_ONE_STEP_DEG = 350.0
# Integer strings hold 32 bits.
_LARGEST_NUMBER = 2**31 - 1
_DYNAMIC = ("SLIDING_WINDOW", "ARC", "VMAT")


def write_plan(
    plan: Plan,
    path: Path | str | None,
    *,
    subject: Subject,
    series_uid: str = "",
    series_number: int = 1,
    series_description: str = "",
) -> Dataset:
    """Return a plan as an RT Plan data set, and write it to `path` if one is given.

    Angles, positions, MU and weights are decimal strings of at most 16
    characters, so that lengths come back within 1e-9 mm of what they were. What
    stays as it is during a beam is stated at its first control point only.

    The file always says UNAPPROVED, whatever `plan.approval` is: an approval
    belongs to the file a person signed.

    Parameters
    ----------
    plan : Plan
        Its UID is kept; where it has none, the UID follows from the content, so that
        the same plan gives the same file. A plan that was read and then changed is
        another plan: give it ``uid=""``.
    path : Path, str or None
    subject : Subject
        Patient and study; its `when` dates the plan.
    series_uid : str
        Derived from the plan's UID where empty.
    series_number : int
    series_description : str

    Raises
    ------
    InputError
        The patient differs from the plan's, a text cannot be stored, or a beam holds
        what the format cannot say: no jaws and no leaves, jaws at some control points
        only, a full turn that is one of several intervals.
    DicomError
        The file cannot be written.
    """
    _check(plan, subject)
    content = _plan_content(plan)
    uid = plan.uid or new_uid("RT plan", subject.patient_id, content.to_json())
    ds = base_dataset(
        RTPlanStorage,
        uid,
        "RTPLAN",
        subject,
        series_uid=series_uid or new_uid("RT plan series", uid),
        series_number=series_number,
        series_description=series_description,
        frame_of_reference_uid=plan.frame_of_reference_uid,
    )
    ds.RTPlanDate = subject.when.strftime("%Y%m%d") if subject.when else ""
    ds.RTPlanTime = subject.when.strftime("%H%M%S") if subject.when else ""
    ds.update(content)
    if path is not None:
        write_dataset(ds, path)
    return ds


def _check(plan: Plan, subject: Subject) -> None:
    if plan.patient_id and plan.patient_id != subject.patient_id:
        raise InputError(
            f"the plan is of patient {plan.patient_id!r}, the subject is {subject.patient_id!r}"
        )
    if plan.fractions is not None and plan.fractions > _LARGEST_NUMBER:
        raise InputError(f"{plan.fractions} fractions cannot be stored; at most {_LARGEST_NUMBER}")
    if not plan.beams:
        raise InputError("a plan without beams cannot be written; add one")
    _check_text(plan.label, 16, "plan label")
    for beam in plan.beams:
        if not 0 <= beam.number <= _LARGEST_NUMBER:
            raise InputError(f"beam number {beam.number} cannot be stored: 0 to {_LARGEST_NUMBER}")
        _check_text(beam.name, 64, f"name of beam {beam.number}")
        _check_text(beam.machine_name, 16, f"machine name of beam {beam.number}")
        _check_beam(beam, f"beam {beam.number} ({beam.name})")
    for prescription in plan.prescriptions:
        _check_text(prescription.description, 64, "prescription description")
        if prescription.kind not in ("TARGET", "ORGAN_AT_RISK"):
            raise InputError(
                f"prescription kind {prescription.kind!r} is not TARGET or ORGAN_AT_RISK"
            )


def _check_beam(beam: Beam, what: str) -> None:
    for value, name in ((beam.energy_mv, "MV"), (beam.sad_mm, "mm source-axis distance")):
        if not (isfinite(value) and value > 0):
            raise InputError(f"{what}: {value:g} {name}; it must be above zero")
    points = beam.control_points
    devices = {(p.jaws_x is None, p.jaws_y is None, p.leaves is None) for p in points}
    if devices == {(True, True, True)}:
        raise InputError(f"{what} has neither jaws nor leaves; give it one of them")
    if len(devices) > 1:
        raise InputError(f"{what}: jaws must be there at all control points or at none")
    if len(points) > 2 and any(
        abs(turn(a, b)) > _MOST_IN_ONE_STEP_DEG
        for turn in (gantry_turn_deg, collimator_turn_deg)
        for a, b in pairwise(points)
    ):
        raise InputError(
            f"{what}: a full turn between two of {len(points)} control points cannot be told "
            "from none; put a control point within the turn"
        )


def _check_text(text: str, longest: int, what: str) -> None:
    if len(text) > longest or "\\" in text or not text.isprintable() or text != text.strip():
        raise InputError(
            f"{what} {text!r} cannot be stored: at most {longest} characters, no backslash, "
            "no control characters, no space at either end"
        )


def _item(**attributes: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def _plan_content(plan: Plan) -> Dataset:
    """Everything that makes the plan what it is, without patient, study and date."""
    ds = _item(
        RTPlanLabel=plan.label or "dosecalc",
        RTPlanDescription=f"Written by dosecalc; {NOT_FOR_CLINIC}",
        RTPlanGeometry="PATIENT" if plan.structure_set_uid else "TREATMENT_DEVICE",
        ApprovalStatus="UNAPPROVED",
        FractionGroupSequence=[_fraction_group(plan)],
        PatientSetupSequence=[_item(PatientSetupNumber=1, PatientPosition=plan.position.value)],
        BeamSequence=[_beam(beam) for beam in plan.beams],
    )
    if plan.prescriptions:
        ds.DoseReferenceSequence = [
            _dose_reference(number, prescription)
            for number, prescription in enumerate(plan.prescriptions, start=1)
        ]
    if plan.structure_set_uid:
        ds.ReferencedStructureSetSequence = [
            _item(
                ReferencedSOPClassUID=RTStructureSetStorage,
                ReferencedSOPInstanceUID=plan.structure_set_uid,
            )
        ]
    return ds


def _dose_reference(number: int, prescription: Prescription) -> Dataset:
    ds = _item(
        DoseReferenceNumber=number,
        DoseReferenceStructureType="SITE",
        DoseReferenceDescription=prescription.description,
        DoseReferenceType=prescription.kind,
    )
    if prescription.structure_number is not None:
        ds.DoseReferenceStructureType = "VOLUME"
        ds.ReferencedROINumber = prescription.structure_number
    if prescription.point is not None:
        ds.DoseReferenceStructureType = "COORDINATES"
        ds.DoseReferencePointCoordinates = decimals(prescription.point)
    if prescription.kind == "ORGAN_AT_RISK":
        ds.OrganAtRiskMaximumDose = decimal(prescription.dose_gy)
    else:
        ds.TargetPrescriptionDose = decimal(prescription.dose_gy)
    return ds


def _fraction_group(plan: Plan) -> Dataset:
    references = []
    for beam in plan.beams:
        ds = _item(ReferencedBeamNumber=beam.number, BeamMeterset=decimal(beam.mu))
        if beam.prescribed_dose_gy is not None:
            ds.BeamDose = decimal(beam.prescribed_dose_gy)
        if beam.dose_point is not None:
            ds.BeamDoseSpecificationPoint = decimals(beam.dose_point)
        references.append(ds)
    return _item(
        FractionGroupNumber=1,
        NumberOfFractionsPlanned=plan.fractions,
        NumberOfBeams=len(plan.beams),
        NumberOfBrachyApplicationSetups=0,
        ReferencedBeamSequence=references,
    )


def _beam(beam: Beam) -> Dataset:
    ds = _item(
        BeamNumber=beam.number,
        BeamName=beam.name,
        BeamType="DYNAMIC" if beam.technique in _DYNAMIC else "STATIC",
        RadiationType="PHOTON",
        PrimaryFluenceModeSequence=[_fluence_mode(beam)],
        TreatmentMachineName=beam.machine_name,
        PrimaryDosimeterUnit="MU",
        SourceAxisDistance=decimal(beam.sad_mm),
        BeamLimitingDeviceSequence=_devices(beam),
        ReferencedPatientSetupNumber=1,
        TreatmentDeliveryType="TREATMENT",
        NumberOfWedges=0,
        NumberOfCompensators=0,
        NumberOfBoli=len(beam.bolus),
        NumberOfBlocks=0,
        FinalCumulativeMetersetWeight=decimal(1.0),
        NumberOfControlPoints=len(beam.control_points),
    )
    if beam.bolus:
        ds.ReferencedBolusSequence = [_item(ReferencedROINumber=number) for number in beam.bolus]
    ds.ControlPointSequence = _control_points(beam)
    return ds


def _fluence_mode(beam: Beam) -> Dataset:
    if beam.fluence_mode == "FFF":
        return _item(FluenceMode="NON_STANDARD", FluenceModeID="FFF")
    return _item(FluenceMode=beam.fluence_mode)


def _devices(beam: Beam) -> list[Dataset]:
    first = beam.control_points[0]
    devices = [
        _item(RTBeamLimitingDeviceType=kind, NumberOfLeafJawPairs=1)
        for kind, jaws in (("ASYMX", first.jaws_x), ("ASYMY", first.jaws_y))
        if jaws is not None
    ]
    if beam.leaf_boundaries is not None:
        devices.append(
            _item(
                RTBeamLimitingDeviceType=_mlc_type(beam),
                NumberOfLeafJawPairs=beam.leaf_boundaries.size - 1,
                LeafPositionBoundaries=decimals(beam.leaf_boundaries),
            )
        )
    return devices


def _mlc_type(beam: Beam) -> str:
    return "MLCY" if beam.leaf_axis == "y" else "MLCX"


def _control_points(beam: Beam) -> list[Dataset]:
    """Return the control points; what changes anywhere in the beam is stated at every one."""
    states = [_state(point, beam) for point in beam.control_points]
    moving = {key for key in states[0] if any(state[key] != states[0][key] for state in states)}
    items = []
    for index, (point, state) in enumerate(zip(beam.control_points, states, strict=True)):
        ds = _item(
            ControlPointIndex=index, CumulativeMetersetWeight=decimal(point.meterset_fraction)
        )
        for key, attributes in state.items():
            if index == 0 or key in moving:
                _state_one(ds, key, attributes)
        if index == 0:
            ds.update(_item(**_fixed(beam)))
        items.append(ds)
    return items


def _state_one(ds: Dataset, key: str, attributes: Mapping[str, Any]) -> None:
    """Add one moving part's attributes to a control point; a device's become an item."""
    if not key.startswith("device"):
        ds.update(_item(**attributes))
    elif "BeamLimitingDevicePositionSequence" in ds:
        ds.BeamLimitingDevicePositionSequence.append(_item(**attributes))
    else:
        ds.BeamLimitingDevicePositionSequence = [_item(**attributes)]


def _state(point: ControlPoint, beam: Beam) -> dict[str, dict[str, Any]]:
    """Return the attributes of each part that can move; an angle goes with its direction."""
    state: dict[str, dict[str, Any]] = {
        "gantry": {
            "GantryAngle": decimal(point.gantry_deg),
            "GantryRotationDirection": point.gantry_direction,
        },
        "collimator": {
            "BeamLimitingDeviceAngle": decimal(point.collimator_deg),
            "BeamLimitingDeviceRotationDirection": point.collimator_direction,
        },
        "couch": {
            "PatientSupportAngle": decimal(point.couch_deg),
            "PatientSupportRotationDirection": "NONE",
        },
        "isocentre": {"IsocenterPosition": decimals(point.isocentre)},
    }
    leaves = None if point.leaves is None else point.leaves.ravel()
    for kind, positions in (
        ("ASYMX", point.jaws_x),
        ("ASYMY", point.jaws_y),
        (_mlc_type(beam), leaves),
    ):
        if positions is not None:
            state[f"device {kind}"] = {
                "RTBeamLimitingDeviceType": kind,
                "LeafJawPositions": decimals(positions),
            }
    return state


def _fixed(beam: Beam) -> dict[str, Any]:
    """Return what the first control point must state and no beam here changes."""
    return {
        "NominalBeamEnergy": decimal(beam.energy_mv),
        "TableTopEccentricAngle": decimal(0.0),
        "TableTopEccentricRotationDirection": "NONE",
        "TableTopPitchAngle": 0.0,
        "TableTopPitchRotationDirection": "NONE",
        "TableTopRollAngle": 0.0,
        "TableTopRollRotationDirection": "NONE",
        "TableTopVerticalPosition": None,
        "TableTopLongitudinalPosition": None,
        "TableTopLateralPosition": None,
    }
