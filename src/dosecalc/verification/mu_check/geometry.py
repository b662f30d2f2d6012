"""Geometry of the independent MU check: where the point lies in the beam, and how deep.

Written apart from `dosecalc.beam`, from IEC 61217 and DICOM alone, so that a wrong sign there
does not repeat itself here. All rotations are right-handed turns of column vectors:

    patient on the couch:  turn about the long axis (`_ROLL`), then end for end if feet first;
    couch:                 turn about Z (up);
    gantry:                turn about Y (towards the gantry), Z goes to X;
    collimator:            turn about the beam, X goes to Y.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, cos, radians, sin

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.materials import load_material
from dosecalc.data.mu_tables import MuTables
from dosecalc.errors import InputError, OutsideValidityError
from dosecalc.model import Beam, ControlPoint, PatientPosition, Phantom

__all__ = ["Piece", "Ray", "device_axes", "ray_to", "seen_in_beam", "stationary_pieces"]

_Array = NDArray[np.float64]

# A supine patient, head to the gantry: left is X, superior is Y, anterior is Z (up).
_SUPINE = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
# Degrees from supine about the long axis of a patient who lies with the head to the gantry;
# right down (DR) brings the left side up, X to Z, which is a negative turn about Y.
_ROLL = {"S": 0.0, "P": 180.0, "DR": -90.0, "DL": 90.0}

_STEP_MM = 0.25
_MATTER, _LIGHT = 0.1, 0.6  # g/cm3
# More water than the skins of a couch, less than a chest wall.
_WALL_MM = 10.0
# Scatter of megavoltage photons comes from about so far.
_ABOUT_MM = 50.0
_TURN_DEG, _TRAVEL_MM = 2.0, 2.0


def _about_y(degrees: float) -> _Array:
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _about_z(degrees: float) -> _Array:
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def device_axes(
    position: PatientPosition, gantry_deg: float, collimator_deg: float, couch_deg: float
) -> _Array:
    """Matrix (3, 3) from LPS to the frame of the beam limiting device.

    Its rows are the device's x and y axes and the direction to the source, in LPS.
    """
    head_first = position.value.startswith("H")
    on_couch = _about_z(0.0 if head_first else 180.0) @ _about_y(_ROLL[position.value[2:]])
    in_room = _about_z(couch_deg) @ on_couch @ _SUPINE
    room_from_device = _about_y(gantry_deg) @ _about_z(collimator_deg)
    return np.asarray(room_from_device.T @ in_room)


def seen_in_beam(
    axes: _Array, point: _Array, isocentre: _Array, sad_mm: float
) -> tuple[float, float, float]:
    """Place of a point: x and y projected to the isocentre plane, distance along the axis, mm.

    Raises
    ------
    OutsideValidityError
        The point lies no further from the source than a quarter of the way to the isocentre.
    """
    x, y, z = (float(v) for v in axes @ (point - isocentre))
    distance = sad_mm - z
    if distance < sad_mm / 4:
        raise OutsideValidityError(f"the point lies {distance:.0f} mm from the source's plane")
    return x * sad_mm / distance, y * sad_mm / distance, distance


@dataclass(frozen=True)
class Ray:
    """What lies between the source and the point.

    depth_mm : from where matter begins to the point
    effective_mm : the same in water of equal electrons per area
    light_mm : way through less than 0.6 g/cm3, behind 10 mm of water in denser matter: a couch's
        core and the gap above it are none of the patient
    behind_mm : effective depth of the 100 mm behind the point
    density : of the voxel of the point, g/cm3
    light_about : share of the matter within 50 mm of the point that is below 0.6 g/cm3
    """

    depth_mm: float
    effective_mm: float
    light_mm: float
    behind_mm: float
    density: float
    light_about: float


def ray_to(phantom: Phantom, source: _Array, point: _Array) -> Ray:
    """Sample the ray from the source to a point of a phantom, every 0.25 mm.

    Electrons per area relative to water: mass density times Z/A of the voxel's material.

    Raises
    ------
    OutsideValidityError
        The point is outside the phantom or in air.
    """
    if not phantom.grid.contains(point):
        raise OutsideValidityError("the point lies outside the phantom")
    whole = float(np.linalg.norm(point - source))
    towards = (point - source) / whole
    corners = np.array([phantom.grid.lower, phantom.grid.upper])
    span = float(np.linalg.norm(corners[1] - corners[0]))
    # Midpoints of steps, counted back from the point.
    back = (np.arange(ceil(min(span, whole) / _STEP_MM)) + 0.5) * _STEP_MM
    mass, electrons = _sampled(phantom, point - back[:, None] * towards)
    ahead = (np.arange(ceil(100.0 / _STEP_MM)) + 0.5) * _STEP_MM
    _, beyond = _sampled(phantom, point + ahead[:, None] * towards)
    (density,), _ = _sampled(phantom, point[None])
    if density < _MATTER:
        raise OutsideValidityError(f"the point lies in air ({density:.3f} g/cm3)")
    matter = np.flatnonzero(mass >= _MATTER)
    deepest = int(matter[-1]) + 1 if matter.size else 0
    inside = mass[:deepest]
    return Ray(
        depth_mm=deepest * _STEP_MM,
        effective_mm=float(electrons.sum() * _STEP_MM),
        light_mm=_light_way(inside, electrons[:deepest]),
        behind_mm=float(beyond.sum() * _STEP_MM),
        density=float(density),
        light_about=_light_about(phantom, point),
    )


def _light_way(mass: _Array, electrons: _Array) -> float:
    """Way through low density in the patient, mm; steps are counted back from the point."""
    dense = np.where(mass >= _LIGHT, electrons, 0.0)
    before = np.cumsum(dense[::-1])[::-1] * _STEP_MM
    return float(np.count_nonzero((mass < _LIGHT) & (before >= _WALL_MM)) * _STEP_MM)


def _light_about(phantom: Phantom, point: _Array) -> float:
    """Share of low density in the matter that scatters most to the point; air is no matter."""
    steps = np.arange(-_ABOUT_MM, _ABOUT_MM + 1, 5.0)
    offsets = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    offsets = offsets[(offsets**2).sum(axis=1) <= _ABOUT_MM**2]
    mass, _ = _sampled(phantom, point + offsets)
    matter = mass >= _MATTER
    return float(np.count_nonzero(mass[matter] < _LIGHT) / np.count_nonzero(matter))


def _sampled(phantom: Phantom, points: _Array) -> tuple[_Array, _Array]:
    """Mass density, and electron density relative to water, of points (n, 3); 0 outside."""
    index = np.rint(phantom.grid.index_of(points)).astype(int)
    inside = ((index >= 0) & (index < phantom.grid.shape)).all(axis=1)
    where = tuple(index[inside].T)
    mass, electrons = np.zeros(len(points)), np.zeros(len(points))
    mass[inside] = phantom.density[where]
    water = load_material("water").z_over_a
    per_mass = np.array([load_material(name).z_over_a / water for name in phantom.materials])
    electrons[inside] = mass[inside] * per_mass[phantom.material[where]]
    return mass, electrons


@dataclass(frozen=True)
class Piece:
    """The machine over a short part of a beam, held still.

    mu : delivered in it
    gantry_deg, collimator_deg : float
    jaws_x, jaws_y : (low, high), mm in the isocentre plane; None where the machine has none
    tips : (pairs, 2) low and high leaf tip, mm in the isocentre plane, or None
    leaf_edges : (pairs + 1,) edges across the leaves, mm, or None
    leaf_axis : {"x", "y", None}, along which the leaves travel
    """

    mu: float
    gantry_deg: float
    collimator_deg: float
    jaws_x: tuple[float, float] | None
    jaws_y: tuple[float, float] | None
    tips: _Array | None
    leaf_edges: _Array | None
    leaf_axis: str | None


def stationary_pieces(beam: Beam, tables: MuTables) -> tuple[Piece, ...]:
    """Cut a beam into pieces over which it turns at most 2 degrees and moves at most 2 mm.

    Raises
    ------
    OutsideValidityError
        The beam uses a device the tables do not know.
    """
    pieces: list[Piece] = []
    for start, stop in pairwise(beam.control_points):
        mu = beam.mu * (stop.meterset_fraction - start.meterset_fraction)
        if mu > 0:
            pieces.extend(_interval(beam, start, stop, mu, tables))
    return tuple(pieces)


def _interval(
    beam: Beam, start: ControlPoint, stop: ControlPoint, mu: float, tables: MuTables
) -> Iterator[Piece]:
    gantry = _turn(start.gantry_deg, stop.gantry_deg, start.gantry_direction, "CW", "gantry")
    # Seen along the beam, a collimator angle rises counter-clockwise.
    collimator = _turn(
        start.collimator_deg, stop.collimator_deg, start.collimator_direction, "CC", "collimator"
    )
    ends = [(_jaws(p, "x", tables), _jaws(p, "y", tables), _tips(p, tables)) for p in (start, stop)]
    moved = [np.abs(np.subtract(b, a)).max() for a, b in zip(*ends, strict=True) if a is not None]
    travel = max(moved, default=0.0)
    count = max(1, ceil(max(abs(gantry), abs(collimator)) / _TURN_DEG), ceil(travel / _TRAVEL_MM))
    for share in (np.arange(count) + 0.5) / count:
        x, y, tips = (
            None if a is None else np.asarray(a) + share * np.subtract(b, a)
            for a, b in zip(*ends, strict=True)
        )
        yield Piece(
            mu=mu / count,
            gantry_deg=start.gantry_deg + share * gantry,
            collimator_deg=start.collimator_deg + share * collimator,
            jaws_x=None if x is None else (float(x[0]), float(x[1])),
            jaws_y=None if y is None else (float(y[0]), float(y[1])),
            tips=tips,
            leaf_edges=beam.leaf_boundaries,
            leaf_axis=beam.leaf_axis,
        )


def _turn(start: float, stop: float, sense: str, rising: str, what: str) -> float:
    """Signed degrees from one angle to the next."""
    way = (stop - start) % 360.0
    if sense == "NONE":
        if abs(way - 180.0) < 1e-3:
            raise InputError(f"the {what} makes half a turn and the plan does not say which way")
        return way if way < 180.0 else way - 360.0
    # Equal angles, but for their rounding, with a stated sense are a full turn.
    if min(way, 360.0 - way) < 1e-3:
        return 360.0 if sense == rising else -360.0
    return way if sense == rising else way - 360.0


def _jaws(point: ControlPoint, axis: str, tables: MuTables) -> tuple[float, float] | None:
    stated: tuple[float, float] | None = getattr(point, f"jaws_{axis}")
    half = tables.widest_mm / 2
    if getattr(tables, f"through_{axis}") is not None:
        return stated or (-half, half)
    if stated is not None and (stated[0] > 1 - half or stated[1] < half - 1):
        raise OutsideValidityError(f"the plan uses {axis} jaws, for which there are no tables")
    return None


def _tips(point: ControlPoint, tables: MuTables) -> _Array | None:
    if point.leaves is None:
        return None
    if tables.through_leaves is None:
        raise OutsideValidityError("the plan uses leaves, for which there are no tables")
    offset = tables.leaf_tip_offset_mm
    return np.asarray(point.leaves.T + np.array([-offset, offset]))
