"""What moves between two control points, and what kind of delivery that makes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from dosecalc.errors import InputError
from dosecalc.model.control_point import ControlPoint

__all__ = ["aperture_moves", "collimator_turn_deg", "gantry_turn_deg", "technique_of"]

ANGLE_TOLERANCE_DEG = 1e-3
"""Smaller turns are no motion: 0.009 mm at 500 mm from the axis."""

POSITION_TOLERANCE_MM = 1e-3
"""Smaller steps of a leaf or a jaw are no motion."""


def gantry_turn_deg(start: ControlPoint, stop: ControlPoint) -> float:
    """Degrees the gantry turns from `start` to the next control point, with rising angle positive.

    DICOM states the sense as seen from the isocentre, looking at the gantry:
    clockwise is rising angle in IEC 61217. Equal angles with a sense are a full
    turn of 360 degrees.

    Raises
    ------
    InputError
        No sense is stated and the beam is on over a half turn.
    """
    rising = {"CW": 1, "CC": -1, "NONE": 0}[start.gantry_direction]
    if rising == 0 and _beam_on(start, stop):
        _refuse_half_turn(start.gantry_deg, stop.gantry_deg, "gantry")
    return _turn(start.gantry_deg, stop.gantry_deg, rising)


def collimator_turn_deg(start: ControlPoint, stop: ControlPoint) -> float:
    """Degrees the collimator turns from `start` to the next control point, rising angle positive.

    DICOM states the sense as seen from the source, looking along the beam, where
    the collimator's axis of IEC 61217 points at the eye: counter-clockwise is
    rising angle, opposite to the gantry.

    Raises
    ------
    InputError
        No sense is stated and the beam is on over a half turn.
    """
    rising = {"CW": -1, "CC": 1, "NONE": 0}[start.collimator_direction]
    if rising == 0 and _beam_on(start, stop):
        _refuse_half_turn(start.collimator_deg, stop.collimator_deg, "collimator")
    return _turn(start.collimator_deg, stop.collimator_deg, rising)


def _beam_on(start: ControlPoint, stop: ControlPoint) -> bool:
    return stop.meterset_fraction > start.meterset_fraction


def _refuse_half_turn(start: float, stop: float, what: str) -> None:
    if abs((stop - start) % 360.0 - 180.0) < ANGLE_TOLERANCE_DEG:
        raise InputError(
            f"the {what} turns from {start:g} to {stop:g} degrees without a stated direction; "
            "state CW or CC"
        )


def _turn(start: float, stop: float, rising: int) -> float:
    apart = (stop - start + 180.0) % 360.0 - 180.0
    if rising == 0:
        return apart
    # Written angles are rounded: a full turn may end a little before or after its start.
    if abs(apart) < ANGLE_TOLERANCE_DEG:
        return rising * 360.0 + apart
    return rising * (rising * (stop - start) % 360.0)


def aperture_moves(start: ControlPoint, stop: ControlPoint) -> bool:
    """Whether jaws, leaves or collimator change between two control points."""
    if abs(collimator_turn_deg(start, stop)) > ANGLE_TOLERANCE_DEG:
        return True
    for name in ("jaws_x", "jaws_y", "leaves"):
        before, after = getattr(start, name), getattr(stop, name)
        if (before is None) != (after is None):
            return True
        if before is None:
            continue
        if np.shape(before) != np.shape(after):
            return True
        if np.abs(np.subtract(after, before)).max(initial=0.0) > POSITION_TOLERANCE_MM:
            return True
    return False


def technique_of(points: Sequence[ControlPoint]) -> str:
    """Return what kind of delivery the control points of one beam describe.

    "STATIC": nothing changes. "STEP_AND_SHOOT": things change only while no MU
    are delivered. "SLIDING_WINDOW": leaves, jaws or collimator move while the beam
    is on. "ARC": the gantry does, with a fixed aperture. "VMAT": both.
    """
    moved = turning = shaping = False
    for start, stop in pairwise(points):
        turns = abs(gantry_turn_deg(start, stop)) > ANGLE_TOLERANCE_DEG
        shapes = aperture_moves(start, stop)
        moved = moved or turns or shapes
        if _beam_on(start, stop):
            turning = turning or turns
            shaping = shaping or shapes
    if turning:
        return "VMAT" if shaping else "ARC"
    if shaping:
        return "SLIDING_WINDOW"
    return "STEP_AND_SHOOT" if moved else "STATIC"
