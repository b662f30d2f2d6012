"""One beam of an RT Plan: every control point with nothing left to inherit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pydicom.dataset import Dataset

from dosecalc.errors import DicomError, InputError, UnsupportedError
from dosecalc.io.dicom._common import integer, items, number, text
from dosecalc.io.dicom._plan_devices import Aperture, apertures, read_devices
from dosecalc.io.dicom._plan_motion import (
    COLLIMATOR,
    GANTRY,
    couch_angle,
    fixed_isocentre,
    inherited,
    refuse_moving_table,
    refuse_tilts,
    rotation,
)
from dosecalc.io.dicom._plan_refusals import (
    bolus_numbers,
    fluence_mode,
    refuse_matter_in_beam,
    refuse_radiation,
)
from dosecalc.model import Beam, ControlPoint
from dosecalc.model.motion import gantry_turn_deg, technique_of

__all__ = ["BeamReference", "read_beam"]

_LAST_WEIGHT_TOLERANCE = 1e-5
"""Relative difference between the last and the final meterset weight that is rounding."""


class BeamReference(NamedTuple):
    """What the fraction group says of a beam: MU, Gy at a point (LPS, mm), both of one fraction."""

    mu: float
    dose_gy: float | None
    dose_point: tuple[float, float, float] | None


def read_beam(beam: Dataset, number_: int, reference: BeamReference, where: str) -> Beam:
    """Convert one treatment beam.

    Raises
    ------
    DicomError
        The beam is incomplete or contradicts itself.
    UnsupportedError
        It asks for something that is not modelled.
    """
    notes: list[str] = []
    refuse_radiation(beam, where)
    points = _points(beam, where)
    refuse_matter_in_beam(beam, points, where, notes)
    bolus = bolus_numbers(beam, where)
    if bolus:
        notes.append(f"bolus in the beam: ROI {', '.join(str(n) for n in bolus)}")
    mode = fluence_mode(beam, where, notes)
    devices = read_devices(beam, where)
    shapes = apertures(points, devices, where, notes)
    control_points = _control_points(beam, points, shapes, where)
    try:
        technique = technique_of(control_points)
        notes += _remarks(beam, control_points, technique, reference.mu, where)
        return Beam(
            number=number_,
            name=text(beam, "BeamName", where),
            energy_mv=_energy(points, where),
            fluence_mode=mode,
            machine_name=text(beam, "TreatmentMachineName", where),
            sad_mm=_source_axis_distance(beam, where),
            mu=reference.mu,
            control_points=tuple(control_points),
            leaf_boundaries=devices.boundaries,
            leaf_axis=devices.leaf_axis,
            technique=technique,
            prescribed_dose_gy=reference.dose_gy,
            dose_point=reference.dose_point,
            notes=tuple(notes),
            bolus=bolus,
        )
    except InputError as error:
        raise DicomError(f"{where}: {error}") from error


def _remarks(
    beam: Dataset, points: Sequence[ControlPoint], technique: str, mu: float, where: str
) -> list[str]:
    """Return what is allowed and yet worth reading."""
    remarks = []
    if mu == 0:
        remarks.append("the plan states 0 MU")
    if text(beam, "BeamType", where) == "STATIC" and technique not in ("STATIC", "STEP_AND_SHOOT"):
        remarks.append(f"BeamType is STATIC, the control points describe {technique}")
    if len(points) == 2 and abs(gantry_turn_deg(*points)) > 359.0:
        angle, direction = points[0].gantry_deg, points[0].gantry_direction
        remarks.append(f"the gantry turns fully, {direction} from {angle:g} degrees")
    return remarks


def _points(beam: Dataset, where: str) -> list[Dataset]:
    points = items(beam, "ControlPointSequence", where)
    if len(points) < 2:
        raise DicomError(f"{where}: {len(points)} control points; at least two are needed")
    stated = integer(beam, "NumberOfControlPoints", where, len(points))
    if stated != len(points):
        raise DicomError(
            f"{where}: {len(points)} control points, but NumberOfControlPoints (300A,0110) "
            f"is {stated}; the beam is incomplete"
        )
    indices = [integer(point, "ControlPointIndex", where) for point in points]
    if indices != list(range(len(points))):
        wrong = next(i for i, index in enumerate(indices) if index != i)
        repeated = " again" if indices[wrong] in indices[:wrong] else ""
        raise DicomError(
            f"{where}: ControlPointIndex (300A,0112) of control point {wrong} is "
            f"{indices[wrong]}{repeated}; indices must run 0, 1, 2 ..."
        )
    return points


def _control_points(
    beam: Dataset, points: list[Dataset], shapes: list[Aperture], where: str
) -> list[ControlPoint]:
    fractions = _meterset_fractions(beam, points, where)
    refuse_tilts(points, where)
    refuse_moving_table(points, where)
    couch = couch_angle(points, where)
    isocentre = fixed_isocentre(points, where)
    gantry = rotation(points, GANTRY, fractions, where)
    collimator = rotation(points, COLLIMATOR, fractions, where)
    return [
        ControlPoint(
            meterset_fraction=fractions[i],
            gantry_deg=gantry.angles[i],
            collimator_deg=collimator.angles[i],
            couch_deg=couch,
            isocentre=isocentre,
            jaws_x=shapes[i].jaws_x,
            jaws_y=shapes[i].jaws_y,
            leaves=shapes[i].leaves,
            gantry_direction=gantry.senses[i],
            collimator_direction=collimator.senses[i],
        )
        for i in range(len(points))
    ]


def _meterset_fractions(beam: Dataset, points: Sequence[Dataset], where: str) -> list[float]:
    """Return the share of MU delivered at each control point, exactly 0 at first, 1 at last."""
    final = number(beam, "FinalCumulativeMetersetWeight", where)
    if final <= 0:
        raise DicomError(
            f"{where}: FinalCumulativeMetersetWeight (300A,010E) is {final:g}; "
            "it must be above zero"
        )
    weights = [
        number(point, "CumulativeMetersetWeight", f"{where}, control point {i}")
        for i, point in enumerate(points)
    ]
    for i, (before, after) in enumerate(pairwise(weights)):
        if after < before:
            raise DicomError(
                f"{where}: CumulativeMetersetWeight (300A,0134) falls from {before:g} to "
                f"{after:g} at control point {i + 1}"
            )
    if weights[0] != 0:
        raise DicomError(
            f"{where}: CumulativeMetersetWeight (300A,0134) of control point 0 is "
            f"{weights[0]:g}; it must be 0"
        )
    if abs(weights[-1] - final) > _LAST_WEIGHT_TOLERANCE * final:
        raise DicomError(
            f"{where}: the last CumulativeMetersetWeight (300A,0134) is {weights[-1]:g}, "
            f"FinalCumulativeMetersetWeight (300A,010E) is {final:g}; the two must agree"
        )
    return [min(weight / final, 1.0) for weight in weights[:-1]] + [1.0]


def _energy(points: Sequence[Dataset], where: str) -> float:
    energies = inherited(points, "NominalBeamEnergy", where)
    if len(set(energies)) > 1:
        raise UnsupportedError(
            f"{where}: NominalBeamEnergy (300A,0114) changes during the beam: "
            f"{sorted(set(energies))} MV; one energy per beam is modelled"
        )
    if energies[0] <= 0:
        raise DicomError(f"{where}: NominalBeamEnergy (300A,0114) is {energies[0]:g} MV")
    return energies[0]


def _source_axis_distance(beam: Dataset, where: str) -> float:
    distance = number(beam, "SourceAxisDistance", where)
    if distance <= 0:
        raise DicomError(f"{where}: SourceAxisDistance (300A,00B4) is {distance:g} mm")
    return distance
