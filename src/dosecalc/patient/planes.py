"""Which contours lie on one plane, and the slab of z that each plane stands for.

Contours lie on image slices, so the spacing of the slices decides what a plane stands for.
It is, in this order: what the caller says; `Structure.slice_spacing`, which a structure set
that is read with its CT has from the CT; and the structure's own smallest spacing that
covers a fifth of it or more. A structure that is drawn on finer planes than the slices goes
by its own spacing.

- Contours within a fifth of the distance to the planes around them, or of the slice
  spacing, are on one plane.
- A slab reaches half-way to the neighbouring planes, across one missing plane too.
  Where nobody states the spacing, it reaches across any even steps in a row.
- Where two planes or more are missing, nothing is drawn and nothing is invented: the
  structure falls into two pieces. Only the body (type EXTERNAL) is filled there, because
  air in place of tissue would be the greater error.
- The first and last slab of a piece reach half the spacing beyond their plane: that of
  the planes at this end, where two steps in a row agree, otherwise that of the slices.
  Where the last sections shrink, `end_reach` sets the reach.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import GeometryError
from dosecalc.model import Contour, Structure
from dosecalc.model.spacing import POSITION_MM
from dosecalc.patient.ends import EndReach, end_reach
from dosecalc.patient.outlines import without_repeats

__all__ = ["PlaneSpacing", "contour_planes", "plane_spacing_of", "regular_spacing", "slab_bounds"]

Planes = tuple[tuple[float, tuple[Contour, ...]], ...]

# Planes closer than this (mm) are one, even where nothing else tells the spacing.
_ROUNDING = POSITION_MM
# Planes within this share of the distances around them are one, up to this distance (mm):
# there are slices 0.6 mm apart.
_ONE_PLANE = 0.2
_ONE_PLANE_MM = 0.5
# Steps within this share of each other are the same spacing.
_SAME_STEP = 0.1
# A spacing is the structure's own if steps of it cover this share of its extent.
_OWN_SHARE = 0.2
# No planning CT has slices further apart (mm): such steps tell no spacing.
_WIDEST = 10.0
# Up to this many spacings from plane to plane nothing is missing; up to the next, one plane is.
_NONE_MISSING, _ONE_MISSING = 1.5, 2.5
_EVEN = 0.01
# So many even steps in a row are slices of their own spacing.
_ROW = 3


class PlaneSpacing(NamedTuple):
    """Distances between planes, mm.

    slices : what gaps are judged by
    own : what the structure's own planes tell, None where they do not
    stated : whether the spacing of the slices is stated, and not taken from the planes
    """

    slices: float
    own: float | None
    stated: bool = False


def contour_planes(structure: Structure, *, plane_spacing: float | None = None) -> Planes:
    """Contours by plane, as (z in mm, contours), in order of rising z.

    A contour that is stored twice on a plane, within 0.1 mm, is there once.
    """
    contours = sorted(structure.contours, key=lambda c: c.z)
    if not contours:
        return ()
    z = np.array([c.z for c in contours])
    known = _known_spacing(structure, plane_spacing)
    groups: list[tuple[int, int]] = []
    _gather(z, (0, z.size), (np.inf, np.inf), known, groups)
    planes = []
    for first, last in groups:
        on_it = contours[first:last]
        middle = sum(c.z for c in on_it) / len(on_it)
        planes.append((middle, without_repeats(on_it)))
    return tuple(planes)


def _gather(
    z: NDArray[np.float64],
    span: tuple[int, int],
    around: tuple[float, float],
    known: float | None,
    groups: list[tuple[int, int]],
) -> None:
    """Split the rising heights of a span at their widest steps, down to single planes.

    `around` holds the steps to the heights before and after the span, `known` is the
    spacing of the slices.
    """
    first, last = span
    near = [step for step in (*around, known or np.inf) if step <= _WIDEST]
    limit = min(_ONE_PLANE * min(near), _ONE_PLANE_MM) if near else _ROUNDING
    if last - first == 1 or z[last - 1] - z[first] <= limit:
        groups.append(span)
        return
    steps = np.diff(z[first:last])
    cuts = np.flatnonzero(steps > steps.max() / 2) + 1
    edges = [first, *(first + cuts).tolist(), last]
    gaps = [around[0], *steps[cuts - 1].tolist(), around[1]]
    for part, beside in zip(pairwise(edges), pairwise(gaps), strict=True):
        _gather(z, part, beside, known, groups)


def _known_spacing(structure: Structure, plane_spacing: float | None) -> float | None:
    """Spacing of the slices as stated, None where nobody states one."""
    known = structure.slice_spacing if plane_spacing is None else plane_spacing
    return known if known is not None and np.isfinite(known) and known > 0 else None


def regular_spacing(steps: NDArray[np.float64]) -> float | None:
    """Return the smallest spacing that a fifth or more of the extent is drawn with, mm.

    The lower median of the steps that agree with it: a step that occurs, never a mean of
    two. Steps above 10 mm count only as gaps; None where there are no others.
    """
    steps = np.sort(steps[(steps > 0) & (steps <= _WIDEST)])
    for smallest in steps:
        alike = steps[(steps >= smallest) & (steps <= smallest * (1 + 2 * _SAME_STEP))]
        if alike.sum() >= _OWN_SHARE * steps.sum():
            return float(alike[(alike.size - 1) // 2])
    return float(steps[(steps.size - 1) // 2]) if steps.size else None


def plane_spacing_of(
    z: NDArray[np.float64], structure: Structure, plane_spacing: float | None
) -> PlaneSpacing:
    """Return the spacings of a structure whose planes are at `z`, mm.

    Raises
    ------
    GeometryError
        Nothing tells the spacing of the slices.
    """
    known = _known_spacing(structure, plane_spacing)
    own = regular_spacing(np.diff(z))
    if own is None and known is None:
        if z.size == 1:
            raise GeometryError(
                f"structure {structure.name!r} is drawn on one plane only, z = {z[0]:g} mm, and "
                "nothing tells the spacing of the CT slices; give it in mm "
                "(--plane-spacing)"
            )
        raise GeometryError(
            f"structure {structure.name!r} is drawn on planes at least {np.diff(z).min():g} mm "
            "apart, and nothing tells the spacing of the CT slices; give it in mm "
            "(--plane-spacing)"
        )
    if known is None or (own is not None and own <= (1 + _SAME_STEP) * known):
        return PlaneSpacing(float(own or 0.0), own, known is not None)
    return PlaneSpacing(known, own, stated=True)


def missing_planes(
    z: NDArray[np.float64], spacing: PlaneSpacing
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the steps that are bridged, and of those that are gaps.

    Bridged are steps that one plane is missing in. Where nobody states the spacing of the
    slices, so are even steps in a row: there the slices were that far apart.
    """
    steps = np.diff(z)
    wide = steps > _NONE_MISSING * spacing.slices
    gaps = steps > _ONE_MISSING * (1 + _EVEN) * spacing.slices
    if not spacing.stated:
        gaps &= ~_in_a_row(steps)
    return np.flatnonzero(wide & ~gaps), np.flatnonzero(gaps)


def _in_a_row(steps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find the steps of up to 10 mm of which several in a row are the same."""
    found = np.zeros(steps.size, dtype=bool)
    for first in range(steps.size - _ROW + 1):
        row = steps[first : first + _ROW]
        if row.max() <= _WIDEST and np.ptp(row) <= _SAME_STEP * row[0]:
            found[first : first + _ROW] = True
    return found


def slab_bounds(
    z: NDArray[np.float64], areas: NDArray[np.float64], spacing: PlaneSpacing, *, filled: bool
) -> NDArray[np.float64]:
    """Lower and upper z of each plane's slab, mm.

    Parameters
    ----------
    z : (p,) float64, mm, rising
    areas : (p,) float64, mm2
    spacing : PlaneSpacing
    filled : bool
        Whether slabs meet across every gap, as the body's do.
    """
    bounds = np.empty((z.size, 2))
    middles = (z[1:] + z[:-1]) / 2
    bounds[1:, 0] = middles
    bounds[:-1, 1] = middles
    breaks = missing_planes(z, spacing)[1] + 1
    for piece in np.split(np.arange(z.size), [] if filled else breaks):
        first, last = piece[0], piece[-1]
        steps = np.diff(z[piece])
        low, at_low = _end(areas[piece], steps, spacing)
        high, at_high = _end(areas[piece][::-1], steps[::-1], spacing)
        bounds[first, 0] = z[first] - at_low * low.beyond
        bounds[last, 1] = z[last] + at_high * high.beyond
        if low.inwards:
            bounds[first, 1] = bounds[first + 1, 0] = bounds[first, 1] - at_low * low.inwards
        if high.inwards:
            bounds[last, 0] = bounds[last - 1, 1] = bounds[last, 0] + at_high * high.inwards
    return bounds


def _end(
    areas: NDArray[np.float64], steps: NDArray[np.float64], spacing: PlaneSpacing
) -> tuple[EndReach, float]:
    """Reach of a piece's first slab in spacings of its end, and that spacing, mm."""
    at_end = _end_spacing(steps, spacing)
    even = bool((np.abs(steps[:3] - at_end) < _EVEN * at_end).all())
    return end_reach(areas[:4], even), at_end


def _end_spacing(steps: NDArray[np.float64], spacing: PlaneSpacing) -> float:
    """Spacing at the end that `steps` begin with, mm."""
    if steps.size == 0:
        return spacing.slices
    first = float(steps[0])
    agrees = steps.size > 1 and abs(steps[1] - first) <= _SAME_STEP * first
    for usual in (spacing.slices, spacing.own):
        if usual is None or abs(first - usual) > _SAME_STEP * usual:
            continue
        if agrees or usual == spacing.slices:
            return usual
    longest = _ONE_MISSING * (1 + _EVEN) * spacing.slices
    if not spacing.stated:
        longest = max(longest, _WIDEST)
    return first if agrees and first <= longest else min(first, spacing.slices)
