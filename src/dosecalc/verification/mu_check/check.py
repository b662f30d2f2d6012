"""The independent check of monitor units: dose at a point from tables, as AAPM TG-114 does it.

For each gantry position (Stern et al., Med Phys 38:504 (2011), isocentric form),

    D = MU k Sc OAR (SPD_ref / SPD)^2 F Sp(s) TPR(d, s),

k: dose per MU at the reference point; Sc: head scatter; OAR: primary off-axis ratio;
SPD: distance from the source along the axis; F: fluence at the point relative to the open
field's; d: radiological depth; s: equivalent square at the depth of the point, by Clarkson's
integral in rings about the point:

    F Sp(s) TPR(d, s) = F T(d, 0) + sum over rings of w (T(d, outer) - T(d, inner)),

T = Sp TPR, w: mean fluence in the ring, off-axis ratio included, both relative to what
they are about the axis in the tables. Fluence is 1, times the transmission of every
device in the way, weighted with MU. No engine, no fluence map and no frame of the engines is
used; only plan, phantom and tables are. See docs/mu-check.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.data.mu_tables import MuTables, check_mu_tables, load_mu_tables
from dosecalc.errors import DosecalcError, InputError, OutsideValidityError
from dosecalc.model import Beam, Machine, Phantom, Plan
from dosecalc.verification.mu_check.fluence import (
    FAINT,
    RINGS_MM,
    SQUARE_OF_CIRCLE,
    Seen,
    look_at_source,
)
from dosecalc.verification.mu_check.geometry import (
    Piece,
    Ray,
    device_axes,
    ray_to,
    seen_in_beam,
    stationary_pieces,
)

__all__ = ["HandDose", "HandTerms", "hand_dose"]

_Array = NDArray[np.float64]
Point = tuple[float, float, float]

# Fluence at the point is the mean over _SPOT; within _FLAT it may change by _STEEPEST; mm.
_SPOT_MM, _FLAT_MM, _STEEPEST = 4.0, 8.0, 0.3
_LIGHT_MM, _LIGHT, _LIGHT_ABOUT, _BEHIND_MM = 20.0, 0.6, 0.1, 30.0
# Share of a beam's dose that may come through low density: tables are up to 12 % off in it.
_LIGHT_DOSE = 0.1
_SMALL_FIELD_MM, _OFF_AXIS_MM, _BLOCKED = 40.0, 20.0, 0.1


@dataclass(frozen=True)
class HandTerms:
    """The arithmetic of one gantry position; `gray` is the product of what stands here.

    gray = mu gray_per_mu head_scatter off_axis inverse_square (fluence primary + scatter),
    and the bracket is fluence phantom_scatter tpr where there is an equivalent square.

    Parameters
    ----------
    gantry_deg, collimator_deg : float
    mu : of one fraction
    gray_per_mu : k, at the reference point
    head_scatter : Sc, mean over MU
    collimator_mm : equivalent square of the jaws, mean over MU, mm
    off_axis_mm : distance from the axis in the isocentre plane
    off_axis : primary off-axis ratio at that distance and depth
    source_distance_mm : SPD along the axis
    inverse_square : (reference distance / SPD)^2
    fluence : F, share of the open fluence that reaches the point
    depth_mm, effective_depth_mm : along the ray, and in water
    primary : T(d, 0)
    scatter : sum over rings
    equivalent_square_mm : s at the depth of the point; None where no square scatters so
    phantom_scatter, tpr : Sp(s) and TPR(d, s), or None
    gray : Gy
    """

    gantry_deg: float
    collimator_deg: float
    mu: float
    gray_per_mu: float
    head_scatter: float
    collimator_mm: float
    off_axis_mm: float
    off_axis: float
    source_distance_mm: float
    inverse_square: float
    fluence: float
    depth_mm: float
    effective_depth_mm: float
    primary: float
    scatter: float
    equivalent_square_mm: float | None
    phantom_scatter: float | None
    tpr: float | None
    gray: float


@dataclass(frozen=True)
class HandDose:
    """Dose of one beam and one fraction at a point, by hand.

    Parameters
    ----------
    beam, name : of the beam
    point : mm, LPS
    gray : Gy; None where it cannot be calculated, and `remark` says why
    remark : str
    terms : one for each gantry position
    caveats : what makes the number less certain than in open water fields
    situation : {"", "simple", "off axis", "small field", "modulated", "blocked", "low density"}
        For the choice of tolerance; of those that hold, the last in this order: tables judge
        nothing in low density, however the field is shaped.
    """

    beam: int
    name: str
    point: Point
    gray: float | None
    remark: str = ""
    terms: tuple[HandTerms, ...] = ()
    caveats: tuple[str, ...] = ()
    situation: str = ""


def hand_dose(
    plan: Plan,
    machine: Machine | Mapping[int, Machine],
    phantom: Phantom,
    points: Mapping[int, ArrayLike] | None = None,
    tables: Mapping[str, MuTables] | None = None,
) -> tuple[HandDose, ...]:
    """Dose of each beam, Gy of one fraction, at a point, from the machine's tables.

    Parameters
    ----------
    plan : Plan
    machine : Machine or mapping of beam number to Machine
    phantom : Phantom
    points : mapping of beam number to (x, y, z), mm, LPS, optional
        Where one is missing: the beam's dose specification point, else its isocentre.
    tables : mapping of machine name to MuTables, optional
        Instead of the shipped tables of those machines.

    Returns
    -------
    tuple of HandDose
        In the order of the beams. A dose that cannot be calculated is None, with the reason:
        tables missing, stale, or of another quality; point outside the phantom, in air, within
        the build-up region or the penumbra; anything outside the tables.
    """
    found = []
    for beam in plan.beams:
        place = (points or {}).get(beam.number)
        if place is None:
            place = beam.dose_point or beam.control_points[0].isocentre
        point = np.asarray(place, dtype=np.float64)
        if point.shape != (3,) or not np.isfinite(point).all():
            raise InputError(f"beam {beam.number}: point {place!r} is not x, y and z in mm")
        at = (float(point[0]), float(point[1]), float(point[2]))
        try:
            model = machine.get(beam.number) if isinstance(machine, Mapping) else machine
            if model is None:
                raise InputError(f"no machine is given for beam {beam.number}")
            ours = (tables or {}).get(model.name) or load_mu_tables(model)
            check_mu_tables(ours, model)
            _check_quality(beam, ours)
            found.append(_beam_dose(beam, plan, phantom, point, ours))
        except DosecalcError as error:
            found.append(HandDose(beam.number, beam.name, at, None, str(error)))
    return tuple(found)


def _check_quality(beam: Beam, tables: MuTables) -> None:
    planned = (beam.energy_mv, beam.fluence_mode)
    if planned != (tables.energy_mv, tables.fluence_mode):
        raise OutsideValidityError(
            f"the beam is {planned[0]:g} MV {planned[1]}, the tables are for "
            f"{tables.energy_mv:g} MV {tables.fluence_mode}"
        )
    if abs(beam.sad_mm - tables.sad_mm) > 1:
        raise OutsideValidityError(
            f"the plan's source-axis distance is {beam.sad_mm:g} mm, the tables' "
            f"{tables.sad_mm:g} mm"
        )
    for moved in ("couch_deg", "isocentre"):
        if len({getattr(point, moved) for point in beam.control_points}) > 1:
            raise OutsideValidityError(f"{moved} changes during the beam")


class _Position(NamedTuple):
    """A gantry and collimator angle and all that is delivered there."""

    pieces: tuple[Piece, ...]
    axes: _Array
    x_mm: float
    y_mm: float
    distance_mm: float
    ray: Ray


def _beam_dose(
    beam: Beam, plan: Plan, phantom: Phantom, point: _Array, tables: MuTables
) -> HandDose:
    pieces = stationary_pieces(beam, tables)
    at = (float(point[0]), float(point[1]), float(point[2]))
    if not pieces:
        return HandDose(beam.number, beam.name, at, 0.0, "the beam has no monitor units")
    angles = groupby(pieces, key=lambda piece: (piece.gantry_deg, piece.collimator_deg))
    positions = [_position(tuple(g), beam, plan, phantom, point, tables) for _, g in angles]
    seen = [
        look_at_source(
            position.pieces, position.x_mm, position.y_mm, position.ray.effective_mm, tables
        )
        for position in positions
    ]
    _check_flat(seen)
    terms = tuple(_terms(p, s, tables) for p, s in zip(positions, seen, strict=True))
    caveats, situation = _judged(positions, terms, pieces)
    return HandDose(
        beam=beam.number,
        name=beam.name,
        point=at,
        gray=sum(term.gray for term in terms),
        terms=terms,
        caveats=caveats,
        situation=situation,
    )


def _position(
    pieces: tuple[Piece, ...],
    beam: Beam,
    plan: Plan,
    phantom: Phantom,
    point: _Array,
    tables: MuTables,
) -> _Position:
    state = beam.control_points[0]
    isocentre = np.array(state.isocentre)
    axes = device_axes(
        plan.position, pieces[0].gantry_deg, pieces[0].collimator_deg, state.couch_deg
    )
    source = isocentre + tables.sad_mm * axes[2]
    ray = ray_to(phantom, source, point)
    if ray.effective_mm < tables.buildup_mm:
        raise OutsideValidityError(
            f"gantry {pieces[0].gantry_deg:.1f}: the point is {ray.effective_mm:.1f} mm deep in "
            f"water, within the build-up region ({tables.buildup_mm:g} mm)"
        )
    return _Position(pieces, axes, *seen_in_beam(axes, point, isocentre, tables.sad_mm), ray)


def _check_flat(seen: list[Seen]) -> None:
    """Refuse a point about which the beam's fluence changes too much."""
    near = (RINGS_MM[1:] <= _FLAT_MM).nonzero()[0]
    summed = np.sum([view.samples[near] for view in seen], axis=0)
    fluence = summed / sum(view.total for view in seen)
    low, high = float(fluence.min()), float(fluence.max())
    if high <= 0:
        raise OutsideValidityError("the point lies outside the field, where nothing is tabulated")
    if high - low > _STEEPEST * high:
        raise OutsideValidityError(
            f"within {_FLAT_MM:g} mm of the point the fluence changes from {low:.3f} to "
            f"{high:.3f} of the open field's: penumbra or a steep gradient; choose another point"
        )


def _rings_summed(
    position: _Position, seen: Seen, off_axis: float, tables: MuTables
) -> tuple[float, float, float]:
    """Fluence at the point, T(d, 0), and the sum over rings, relative to the off-axis ratio."""
    squares = SQUARE_OF_CIRCLE * RINGS_MM * position.distance_mm / tables.sad_mm
    reach = int(np.searchsorted(squares, tables.field_mm[-1], side="right"))
    weighted = seen.weighted / seen.total
    if (weighted[reach - 1 :] > FAINT * max(weighted.max(), FAINT)).any():
        raise OutsideValidityError(
            f"the field reaches beyond the square of {tables.field_mm[-1]:g} mm at the point's "
            "depth, the last of the tables"
        )
    factor = tables.field_factor(position.ray.effective_mm, squares[:reach])
    scatter = float(np.sum(weighted[: reach - 1] * np.diff(factor))) / off_axis
    spot = RINGS_MM[1:] <= _SPOT_MM
    area = np.diff(RINGS_MM**2)[spot]
    fluence = float(np.average(seen.samples.mean(axis=1)[spot], weights=area)) / seen.total
    return fluence, float(factor[0]), scatter


def _terms(position: _Position, seen: Seen, tables: MuTables) -> HandTerms:
    """Work out one gantry position."""
    depth = position.ray.effective_mm
    off_axis_mm = float(np.hypot(position.x_mm, position.y_mm))
    off_axis = float(tables.off_axis(off_axis_mm, depth))
    fluence, primary, scatter = _rings_summed(position, seen, off_axis, tables)
    mu = sum(piece.mu for piece in position.pieces)
    head = seen.total / mu
    inverse_square = (tables.reference.distance_mm / position.distance_mm) ** 2
    in_air = mu * tables.reference.gray_per_mu * head * off_axis * inverse_square
    square = _equivalent_square(fluence, primary, scatter, depth, tables)
    sp = None if square is None else float(tables.phantom_scatter_of(square))
    return HandTerms(
        gantry_deg=position.pieces[0].gantry_deg % 360.0,
        collimator_deg=position.pieces[0].collimator_deg % 360.0,
        mu=mu,
        gray_per_mu=tables.reference.gray_per_mu,
        head_scatter=head,
        collimator_mm=seen.collimator_mm,
        off_axis_mm=off_axis_mm,
        off_axis=off_axis,
        source_distance_mm=position.distance_mm,
        inverse_square=inverse_square,
        fluence=fluence,
        depth_mm=position.ray.depth_mm,
        effective_depth_mm=depth,
        primary=primary,
        scatter=scatter,
        equivalent_square_mm=square,
        phantom_scatter=sp,
        tpr=None if sp is None else (primary + scatter / fluence) / sp,
        gray=in_air * (fluence * primary + scatter),
    )


def _equivalent_square(
    fluence: float, primary: float, scatter: float, depth: float, tables: MuTables
) -> float | None:
    """Side of the square field that scatters as much, mm; None where there is none."""
    if fluence <= 0:
        return None
    wanted = primary + scatter / fluence
    known = tables.field_factor(depth, tables.field_mm)
    # Fields too narrow for the electrons may have less than field 0.
    least = int(np.argmin(known))
    known, sides = known[least:], tables.field_mm[least:]
    if not known[0] < wanted <= known[-1] or (np.diff(known) <= 0).any():
        return None
    return float(np.interp(wanted, known, sides))


def _judged(
    positions: list[_Position], terms: tuple[HandTerms, ...], pieces: tuple[Piece, ...]
) -> tuple[tuple[str, ...], str]:
    """Say what a reader must know, and how hard a case it is."""
    caveats: list[str] = []
    situation = "simple"
    mu = sum(term.mu for term in terms)
    fluence = sum(term.mu * term.fluence for term in terms) / mu
    squares = [t.equivalent_square_mm for t in terms if t.equivalent_square_mm is not None]
    if max(term.off_axis_mm for term in terms) > _OFF_AXIS_MM:
        situation = "off axis"
    if squares and min(squares) < _SMALL_FIELD_MM:
        situation = "small field"
        caveats.append(f"equivalent square of {min(squares):.0f} mm: a small field")
    if any(not _same_aperture(piece, pieces[0]) for piece in pieces):
        situation = "modulated"
        caveats.append("the aperture changes: fluence about the point is a mean over MU")
    if fluence < _BLOCKED:
        situation = "blocked"
        caveats.append(
            f"{100 * (1 - fluence):.0f} % of the fluence at the point is blocked: what passes "
            "round the edges of leaves and jaws is not in the tables"
        )
    light = _in_low_density(positions, terms)
    if light:
        # Last, as it decides whether tables judge at all: a modulated field in lung is in lung.
        situation = "low density"
        caveats.append(f"{light}: scatter is taken as that of water")
    if min(p.ray.behind_mm for p in positions) < _BEHIND_MM:
        caveats.append("little matter behind the point: backscatter is missing")
    return tuple(caveats), situation


def _in_low_density(positions: list[_Position], terms: tuple[HandTerms, ...]) -> str:
    """Say where low density lies, in words; nothing where tables know all that scatters."""
    about = positions[0].ray.light_about
    if positions[0].ray.density < _LIGHT:
        return "the point lies in low density"
    through = sum(
        t.gray for p, t in zip(positions, terms, strict=True) if p.ray.light_mm > _LIGHT_MM
    )
    if through > _LIGHT_DOSE * sum(term.gray for term in terms):
        return "low density on the way"
    if about > _LIGHT_ABOUT:
        return f"low density in {100 * about:.0f} % of the matter within 50 mm of the point"
    return ""


def _same_aperture(a: Piece, b: Piece) -> bool:
    jaws = (a.jaws_x, a.jaws_y) == (b.jaws_x, b.jaws_y)
    if a.tips is None or b.tips is None:
        return jaws
    return jaws and bool(np.array_equal(a.tips, b.tips))
