"""Light that moving collimators let through to a plane, averaged over pixels and over time.

Everything happens in the isocentre plane. Along one axis a collimator is an
opening [low, high] whose edges move linearly with time. Seen from a Gaussian
source, the share of the source visible at x past an edge at e is Phi((e - x) / s),
Phi the normal distribution and s the source's standard deviation projected
through the collimator (`dosecalc.beam.head`). Two collimators of different s
that act on the same axis are seen by the same source points, so the visible
share is the overlap of two intervals of source points,

    P(x) = max(0, Phi(min_d (high_d - x) / s_d) - Phi(max_d (low_d - x) / s_d)),

and not the product of two blurred openings. Means over a pixel and over the
motion of an edge are integrals of Phi, which are elementary.

A source that is a product of Gaussians along both axes makes the map of a leaf
bank a sum over leaf pairs of (across the leaves) x (along the leaves), exactly.
"""

from __future__ import annotations

from math import ceil, erfc, exp, floor, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.core._jit import jit

__all__ = ["LEAST_SIGMA", "WIDE_OPEN", "Collimation", "Motion", "add_openings"]

LEAST_SIGMA = 1e-9
"""mm; stands for a point source, whose edges are then sharp to rounding."""

WIDE_OPEN = 1e6
"""mm; edge position of a collimator that is not there."""

_SATURATED = 8.0  # beyond so many sigma Phi is 0 or 1 to rounding
_INV_SQRT_2PI = 0.3989422804014327


class Motion(NamedTuple):
    """Collimators during n intervals of constant speed; edges in mm in the isocentre plane.

    The last axis of the edges is: low at start, low at end, high at start, high at end.

    weight : (n,) float64
        What the interval adds where everything is open.
    along : (n, 4) float64
        Jaws that act along the leaves' travel.
    across : (n, 4) float64
        Jaws that act across it.
    leaves : (n, rows, 4) float64
    boundaries : (rows + 1,) float64
        Edges of the leaf pairs across the travel. Nothing passes beside the bank.
    """

    weight: NDArray[np.float64]
    along: NDArray[np.float64]
    across: NDArray[np.float64]
    leaves: NDArray[np.float64]
    boundaries: NDArray[np.float64]


class Collimation(NamedTuple):
    """What one source sees: sigma and magnification per device, and transmitted fractions.

    Sigmas in mm in the isocentre plane, at least `LEAST_SIGMA`. The magnification
    multiplies the edges of a device: a source below the target sees them projected
    further out.
    """

    sigma_along: float
    sigma_across: float
    sigma_tip: float
    sigma_side: float
    zoom_along: float
    zoom_across: float
    zoom_mlc: float
    through_along: float
    through_across: float
    through_mlc: float


@jit
def _ramp(z: Any) -> Any:
    """Integral of Phi up to z."""
    if z > _SATURATED:
        return z
    if z < -_SATURATED:
        return 0.0
    return z * 0.5 * erfc(-z / sqrt(2.0)) + _INV_SQRT_2PI * exp(-0.5 * z * z)


@jit
def _ramp_integral(z: Any) -> Any:
    """Integral of `_ramp` up to z."""
    if z > _SATURATED:
        return 0.5 * (z * z + 1.0)
    if z < -_SATURATED:
        return 0.0
    bell = _INV_SQRT_2PI * exp(-0.5 * z * z)
    return 0.5 * ((z * z + 1.0) * 0.5 * erfc(-z / sqrt(2.0)) + z * bell)


@jit
def _lit_beyond(start: Any, stop: Any, sigma: Any, x: Any) -> Any:
    """Integral over positions above x of the light past an edge, mean over its motion, mm."""
    if start == stop:
        return sigma * _ramp((start - x) / sigma)
    a = (start - x) / sigma
    b = (stop - x) / sigma
    if min(a, b) > _SATURATED:
        return 0.5 * (start + stop) - x
    if max(a, b) < -_SATURATED:
        return 0.0
    if abs(b - a) < 0.01:
        # Simpson's rule; the difference quotient below would lose digits.
        return sigma * (_ramp(a) + 4 * _ramp(0.5 * (a + b)) + _ramp(b)) / 6
    return sigma * (_ramp_integral(b) - _ramp_integral(a)) / (b - a)


@jit
def _lit_pixels(
    first: Any, sigma1: Any, second: Any, sigma2: Any, pick: Any, edges: Any, out: Any
) -> None:
    """Lit length of each pixel below the limiting one of two edges, mm.

    first, second : (start, stop)
    pick : +1 takes the edge nearer in sigma (high sides), -1 the further one (low sides)
    """
    mid1, mid2 = 0.5 * (first[0] + first[1]), 0.5 * (second[0] + second[1])
    meet = np.inf
    if sigma1 != sigma2:
        meet = (mid1 * sigma2 - mid2 * sigma1) / (sigma2 - sigma1)
    x = edges[0]
    one = pick * ((mid1 - x) / sigma1 - (mid2 - x) / sigma2) <= 0
    if one:
        lit = _lit_beyond(first[0], first[1], sigma1, x)
    else:
        lit = _lit_beyond(second[0], second[1], sigma2, x)
    for i in range(out.size):
        x_next = edges[i + 1]
        one_next = pick * ((mid1 - x_next) / sigma1 - (mid2 - x_next) / sigma2) <= 0
        if one_next:
            lit_next = _lit_beyond(first[0], first[1], sigma1, x_next)
        else:
            lit_next = _lit_beyond(second[0], second[1], sigma2, x_next)
        out[i] = lit - lit_next
        if one != one_next and x < meet < x_next:
            change = _lit_beyond(first[0], first[1], sigma1, meet) - _lit_beyond(
                second[0], second[1], sigma2, meet
            )
            out[i] += change if one_next else -change
        x, one, lit = x_next, one_next, lit_next


@jit
def _meeting_times(a: Any, b: Any, times: Any, count: Any) -> Any:
    """Append the times within (0, 1) at which edges of two openings pass each other."""
    for i in range(0, 4, 2):
        for j in range(0, 4, 2):
            before = a[i] - b[j]
            after = a[i + 1] - b[j + 1]
            if before * after < 0:
                times[count] = before / (before - after)
                count += 1
    return count


@jit
def _steps(a: Any, sigma1: Any, b: Any, sigma2: Any, pixel: Any) -> Any:
    """Into how many steps to cut the motion so that the limiting edge does not change within one.

    One, unless edges that move against each other come within each other's blur.
    """
    largest = 0.0
    for i in range(0, 4, 2):
        before = a[i] - b[i]
        after = a[i + 1] - b[i + 1]
        near = min(abs(before), abs(after)) < 6 * (sigma1 + sigma2)
        if near or before * after < 0:
            largest = max(largest, abs(after - before))
    return ceil(largest / max(0.25 * min(sigma1, sigma2), 0.5 * pixel))


@jit
def _at(opening: Any, start: Any, stop: Any, out: Any) -> None:
    """Edges of an opening during the part [start, stop] of its motion."""
    for i in range(0, 4, 2):
        way = opening[i + 1] - opening[i]
        out[i] = opening[i] + start * way
        out[i + 1] = opening[i] + stop * way


@jit
def _lit_range(a: Any, sigma1: Any, b: Any, sigma2: Any, edges: Any) -> Any:
    """First and one past the last pixel that any light reaches during the motion."""
    low = max(min(a[0], a[1]) - _SATURATED * sigma1, min(b[0], b[1]) - _SATURATED * sigma2)
    high = min(max(a[2], a[3]) + _SATURATED * sigma1, max(b[2], b[3]) + _SATURATED * sigma2)
    n = edges.size - 1
    pixel = edges[1] - edges[0]
    # One pixel more on both sides, for rounding.
    first = floor(min(max((low - edges[0]) / pixel - 1, 0.0), n))
    last = ceil(min(max((high - edges[0]) / pixel + 1, 0.0), n))
    return first, max(first, last)


@jit
def _visible(a: Any, sigma1: Any, b: Any, sigma2: Any, all_edges: Any, all_out: Any) -> None:
    """Mean over pixels and time of the source share seen through two openings, into `all_out`."""
    all_out[:] = 0.0
    first, last = _lit_range(a, sigma1, b, sigma2, all_edges)
    edges, out = all_edges[first : last + 1], all_out[first:last]
    n = out.size
    if n == 0:
        return
    times = np.empty(6, np.float64)
    times[0] = 0.0
    count = _meeting_times(a, b, times, 1)
    times[count] = 1.0
    cuts = np.sort(times[: count + 1])
    pixel = edges[1] - edges[0]
    steps = _steps(a, sigma1, b, sigma2, pixel)
    part_a, part_b = np.empty(4, np.float64), np.empty(4, np.float64)
    low, high = np.empty(n, np.float64), np.empty(n, np.float64)
    for c in range(count):
        pieces = max(1, ceil(steps * (cuts[c + 1] - cuts[c])))
        duration = (cuts[c + 1] - cuts[c]) / pieces
        for s in range(pieces):
            start = cuts[c] + s * duration
            _at(a, start, start + duration, part_a)
            _at(b, start, start + duration, part_b)
            _lit_pixels(part_a[2:], sigma1, part_b[2:], sigma2, 1.0, edges, high)
            _lit_pixels(part_a[:2], sigma1, part_b[:2], sigma2, -1.0, edges, low)
            for i in range(n):
                out[i] += duration * max(0.0, high[i] - low[i])
    for i in range(n):
        out[i] /= edges[i + 1] - edges[i]


@jit
def _zoomed(opening: Any, zoom: Any) -> Any:
    """Edges times a magnification; the edges of absent collimators stay where they are."""
    result = np.empty(4, np.float64)
    for i in range(4):
        result[i] = opening[i] if abs(opening[i]) >= WIDE_OPEN else zoom * opening[i]
    return result


@jit
def _across_leaves(jaws: Any, boundaries: Any, head: Any, edges: Any) -> Any:
    """Visible share across the leaves, per leaf pair and pixel, jaw transmission included."""
    rows = boundaries.size - 1
    result = np.zeros((rows, edges.size - 1), np.float64)
    open_wide = np.array([-WIDE_OPEN, -WIDE_OPEN, WIDE_OPEN, WIDE_OPEN])
    bare = np.empty(edges.size - 1, np.float64)
    through = head.through_across
    opening = np.empty(4, np.float64)
    for r in range(rows):
        opening[:2] = boundaries[r]
        opening[2:] = boundaries[r + 1]
        leaf = _zoomed(opening, head.zoom_mlc)
        _visible(jaws, head.sigma_across, leaf, head.sigma_side, edges, result[r])
        if through > 0:
            _visible(open_wide, head.sigma_across, leaf, head.sigma_side, edges, bare)
            for i in range(bare.size):
                result[r, i] = through * bare[i] + (1 - through) * result[r, i]
    return result


@jit
def _along_leaves(jaws: Any, leaf: Any, head: Any, edges: Any, jaws_only: Any, out: Any) -> None:
    """Visible share along one leaf pair, transmission of jaws and leaves included.

    jaws_only : share through the jaws alone, the same for every leaf pair
    """
    through_jaw, through_leaf = head.through_along, head.through_mlc
    _visible(jaws, head.sigma_along, leaf, head.sigma_tip, edges, out)
    leaf_only = np.ones(out.size, np.float64)
    if through_jaw > 0:
        open_wide = np.array([-WIDE_OPEN, -WIDE_OPEN, WIDE_OPEN, WIDE_OPEN])
        _visible(open_wide, head.sigma_along, leaf, head.sigma_tip, edges, leaf_only)
    for i in range(out.size):
        past_jaws = (1 - through_leaf) * out[i] + through_leaf * jaws_only[i]
        in_jaws = (1 - through_leaf) * leaf_only[i] + through_leaf
        out[i] = (1 - through_jaw) * past_jaws + through_jaw * in_jaws


@jit
def add_openings(motion: Any, head: Any, along_edges: Any, across_edges: Any, out: Any) -> None:
    """Add the map of one source for all intervals.

    Jaws across the leaves that move are taken in steps of at most half a pixel
    (or a quarter of their blur, where that is more), because their motion does
    not separate from that of the leaves; within a step the product of the two
    time averages is used. All else is exact for the stated model.

    Parameters
    ----------
    motion : Motion
    head : Collimation
    along_edges : (n + 1,) float64, mm
        Pixel edges along the leaves' travel, evenly spaced.
    across_edges : (m + 1,) float64, mm
    out : (m, n) float64
        Added to.
    """
    m, n = out.shape
    rows = motion.boundaries.size - 1
    pixel = across_edges[1] - across_edges[0]
    part_along, part_across = np.empty(4, np.float64), np.empty(4, np.float64)
    part_leaf = np.empty(4, np.float64)
    jaws_only, line = np.zeros(n, np.float64), np.empty(n, np.float64)
    open_wide = np.array([-WIDE_OPEN, -WIDE_OPEN, WIDE_OPEN, WIDE_OPEN])
    for k in range(motion.weight.size):
        a = motion.across[k]
        way = max(abs(a[1] - a[0]), abs(a[3] - a[2])) * head.zoom_across
        steps = max(1, ceil(way / max(0.5 * pixel, 0.25 * head.sigma_across)))
        for s in range(steps):
            start, stop = s / steps, (s + 1) / steps
            _at(a, start, stop, part_across)
            _at(motion.along[k], start, stop, part_along)
            jaws_across = _zoomed(part_across, head.zoom_across)
            jaws_along = _zoomed(part_along, head.zoom_along)
            side = _across_leaves(jaws_across, motion.boundaries, head, across_edges)
            if head.through_mlc > 0:
                _visible(
                    jaws_along, head.sigma_along, open_wide, head.sigma_tip, along_edges, jaws_only
                )
            for r in range(rows):
                if side[r].max() < 1e-9:
                    continue
                _at(motion.leaves[k, r], start, stop, part_leaf)
                leaf = _zoomed(part_leaf, head.zoom_mlc)
                _along_leaves(jaws_along, leaf, head, along_edges, jaws_only, line)
                for j in range(m):
                    factor = motion.weight[k] / steps * side[r, j]
                    if factor > 0:
                        for i in range(n):
                            out[j, i] += factor * line[i]
