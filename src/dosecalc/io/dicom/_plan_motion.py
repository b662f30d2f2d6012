"""How gantry, collimator and couch stand and turn during a beam of an RT Plan."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from dosecalc.errors import DicomError, UnsupportedError
from dosecalc.io.dicom._common import attribute, number, text, vector
from dosecalc.model.motion import ANGLE_TOLERANCE_DEG, POSITION_TOLERANCE_MM

__all__ = [
    "COLLIMATOR",
    "GANTRY",
    "Axis",
    "Rotation",
    "couch_angle",
    "fixed_isocentre",
    "inherited",
    "refuse_moving_table",
    "refuse_tilts",
    "rotation",
]


class Axis(NamedTuple):
    """A rotation axis: its name and attributes, and the sense in which its angle rises."""

    name: str
    angle: str
    direction: str
    rising: str


GANTRY = Axis("gantry", "GantryAngle", "GantryRotationDirection", "CW")
"""Clockwise as seen from the isocentre, looking at the gantry."""

COLLIMATOR = Axis(
    "collimator", "BeamLimitingDeviceAngle", "BeamLimitingDeviceRotationDirection", "CC"
)
"""Counter-clockwise as seen from the source: the axis of IEC 61217 points at the eye."""


class Rotation(NamedTuple):
    """Angle (degrees) at each control point and sense of rotation ("CW", "CC", "NONE") after it."""

    angles: list[float]
    senses: list[str]


_MOST_IN_ONE_STEP_DEG = 350.0
"""Among several intervals, a longer turn is rounding that runs against the stated sense."""

_MOST_WITHOUT_TURNING_BACK_DEG = 370.0
"""From stop to stop: no gantry of a C-arm and no collimator turns further in one sense."""

_STILL_ANGLES = (
    ("GantryPitchAngle", "gantry pitch"),
    ("TableTopEccentricAngle", "table top eccentric angle"),
    ("TableTopPitchAngle", "table top pitch"),
    ("TableTopRollAngle", "table top roll"),
)
_TABLE_POSITIONS = (
    "TableTopVerticalPosition",
    "TableTopLongitudinalPosition",
    "TableTopLateralPosition",
)


def inherited(points: Sequence[Dataset], keyword: str, where: str) -> list[float]:
    """Return a number at every control point; it keeps its value until another is stated.

    Raises
    ------
    DicomError
        Control point 0 does not state it, or a value is not a finite number.
    """
    values: list[float] = []
    for i, point in enumerate(points):
        place = f"{where}, control point {i}"
        values.append(
            number(point, keyword, place, values[-1]) if values else number(point, keyword, place)
        )
    return values


def _angles(points: Sequence[Dataset], keyword: str, where: str) -> list[float]:
    angles = inherited(points, keyword, where)
    for i, angle in enumerate(angles):
        if abs(angle) > 360:
            raise DicomError(
                f"{where}, control point {i}: {keyword} is {angle:g}; degrees up to 360 are needed"
            )
    return angles


def rotation(
    points: Sequence[Dataset], axis: Axis, fractions: Sequence[float], where: str
) -> Rotation:
    """Return angles and senses that mean what `ControlPoint` says they mean.

    There, equal angles with a sense are a full turn. In the file they are one only
    where the beam has no other interval: among several control points they stand
    for a gantry that waits, and the sense becomes "NONE".

    Raises
    ------
    DicomError
        The angle changes while the beam is on and no sense is stated; it never
        changes over several intervals for which a sense is stated; or the sense is
        against the angles, so that one of several intervals is nearly a full turn,
        or all of them together are more than one.
    """
    angles = _angles(points, axis.angle, where)
    senses = _senses(points, axis, where)
    what = f"{where}: the {axis.name}"
    apart = [(after - before + 180.0) % 360.0 - 180.0 for before, after in pairwise(angles)]
    still = [abs(step) < ANGLE_TOLERANCE_DEG for step in apart]
    if len(angles) == 2 and (still[0] or senses[0] != "NONE"):
        return Rotation(angles, senses)
    if all(still) and any(sense != "NONE" for sense in senses):
        raise DicomError(
            f"{what} stands at {angles[0]:g} degrees at all {len(angles)} control points, yet "
            f"{axis.direction} is stated; whether it turns fully or not at all is unknown"
        )
    for i, stands in enumerate(still):
        if stands:
            senses[i] = "NONE"
        elif fractions[i + 1] > fractions[i]:
            _check_sense(angles[i], angles[i + 1], senses[i], axis, f"{what} turns", i)
    _check_course(angles, senses, fractions, axis, what)
    return Rotation(angles, senses)


def _senses(points: Sequence[Dataset], axis: Axis, where: str) -> list[str]:
    senses: list[str] = []
    for i, point in enumerate(points):
        sense = text(point, axis.direction, where) or (senses[-1] if senses else "NONE")
        if sense not in ("CW", "CC", "NONE"):
            raise DicomError(
                f"{where}, control point {i}: {axis.direction} is {sense!r}; "
                "CW, CC and NONE are known"
            )
        senses.append(sense)
    # The sense is that of the interval that follows, and none does.
    senses[-1] = "NONE"
    return senses


def _check_sense(start: float, stop: float, sense: str, axis: Axis, what: str, index: int) -> None:
    course = f"{what} from {start:g} to {stop:g} degrees after control point {index}"
    if sense == "NONE":
        raise DicomError(f"{course} while the beam is on, but {axis.direction} is NONE")
    turn = _turn(start, stop, sense, axis)
    if turn > _MOST_IN_ONE_STEP_DEG:
        raise DicomError(
            f"{course}, {turn:g} degrees {sense}: {axis.direction} contradicts the angles; "
            "correct the plan in the planning system"
        )


def _turn(start: float, stop: float, sense: str, axis: Axis) -> float:
    return (stop - start if sense == axis.rising else start - stop) % 360.0


def _check_course(
    angles: Sequence[float],
    senses: Sequence[str],
    fractions: Sequence[float],
    axis: Axis,
    what: str,
) -> None:
    """Refuse more than a full turn in one sense: an arc whose sense is reversed makes many."""
    turned, before = 0.0, ""
    for i, sense in enumerate(senses[:-1]):
        if sense == "NONE":
            continue
        turned, before = (turned if sense == before else 0.0), sense
        if fractions[i + 1] > fractions[i]:
            turned += _turn(angles[i], angles[i + 1], sense, axis)
        if turned > _MOST_WITHOUT_TURNING_BACK_DEG:
            raise DicomError(
                f"{what} turns from {angles[0]:g} to {angles[i + 1]:g} degrees at control point "
                f"{i + 1}, {turned:g} degrees {sense} in all, more than one full turn: "
                f"{axis.direction} contradicts the angles; correct the plan in the planning system"
            )


def refuse_tilts(points: Sequence[Dataset], where: str) -> None:
    """Refuse a pitched gantry and a table top that is turned off its axis or tilted."""
    for keyword, what in _STILL_ANGLES:
        for i, point in enumerate(points):
            angle = number(point, keyword, f"{where}, control point {i}", 0.0)
            if abs((angle + 180.0) % 360.0 - 180.0) > ANGLE_TOLERANCE_DEG:
                raise UnsupportedError(
                    f"{where}, control point {i}: {what} ({keyword}) is {angle:g} degrees; "
                    "only 0 is modelled"
                )


def refuse_moving_table(points: Sequence[Dataset], where: str) -> None:
    """Refuse a table top that travels during the beam; where it stands is of no consequence."""
    for keyword in _TABLE_POSITIONS:
        positions = [number(point, keyword, where, None) for point in points]
        stated = [position for position in positions if position is not None]
        if stated and max(stated) - min(stated) > POSITION_TOLERANCE_MM:
            raise UnsupportedError(
                f"{where}: {keyword} moves from {min(stated):g} to {max(stated):g} mm during the "
                "beam; moving tables are not modelled"
            )


def couch_angle(points: Sequence[Dataset], where: str) -> float:
    """Return the patient support angle, degrees; refuse one that changes during the beam."""
    angles = _angles(points, "PatientSupportAngle", where)
    directions = {text(point, "PatientSupportRotationDirection", where) for point in points[:-1]}
    turning = sorted(directions - {"", "NONE"})
    moved = max(abs((a - angles[0] + 180.0) % 360.0 - 180.0) for a in angles)
    if moved > ANGLE_TOLERANCE_DEG or turning:
        raise UnsupportedError(
            f"{where}: the patient support rotates during the beam ({min(angles):g} to "
            f"{max(angles):g} degrees{', direction ' if turning else ''}{', '.join(turning)}); "
            "only a fixed couch is modelled"
        )
    return angles[0]


def fixed_isocentre(points: Sequence[Dataset], where: str) -> tuple[float, float, float]:
    """Return the isocentre (LPS, mm), stated at control point 0 and the same throughout."""
    first = vector(points[0], "IsocenterPosition", 3, f"{where}, control point 0")
    for i, point in enumerate(points[1:], start=1):
        if attribute(point, "IsocenterPosition", where) is None:
            continue
        other = vector(point, "IsocenterPosition", 3, f"{where}, control point {i}")
        if np.abs(other - first).max() > POSITION_TOLERANCE_MM:
            raise UnsupportedError(
                f"{where}: the isocentre moves from {first.tolist()} to {other.tolist()} mm at "
                f"control point {i}; only a fixed isocentre is modelled"
            )
    return float(first[0]), float(first[1]), float(first[2])
