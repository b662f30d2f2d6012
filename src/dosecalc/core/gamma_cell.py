"""The least of squared gamma within a cell of an interpolated dose, certified.

Lengths are in units of the distance criterion and doses in units of the dose
criterion, both relative to the reference point, so that squared gamma at x is

    f(x) = |x|^2 + r(x)^2,

r being the evaluated dose less the reference dose. Between voxel centres r is
trilinear. Its least value over a cell is sought by branch and bound on boxes:

* A box is first cut to what lies nearer than the least f so far. It is then dropped
  where a lower bound of f on it is no lower. Two bounds are used: distance of
  the box and the range of r, which a trilinear function takes at its corners; and
  the least of f with r replaced by its linear part, less the most that the rest
  of it can contribute. The latter is a convex problem with one multiplier, found in
  at most six steps; any multiplier gives a valid bound (weak duality).
* From the point that the bound suggests, Gauss-Newton steps within the box lower f.
* At a point x where |r(x)| times the norm of the second derivatives of r is one at
  most, the tangent plane of f bounds f from below on the whole box. For f is nowhere less
  than |x|^2 + h(r), h being r^2 up to |r(x)| and its tangent beyond; that is convex, its
  second derivatives being those of |x|^2 and at most |r(x)| times those of r, and it
  touches f at x.
* A box that none of this settles is halved.

No step samples: what is returned is f at some point, and nowhere on the dose is
gamma lower by more than ``ACCURACY``.

A box is eight corners of r, x fastest, then y, then z, and its faces (x, y, z).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dosecalc.core._jit import jit

__all__ = ["ACCURACY", "MOST_BOXES", "least_in_cell", "worth_finding"]

# How far the gamma of a point may lie above its true value.
ACCURACY = 1e-5

_DESCENTS = 10
# A halved box waits for each level of halving; 2^-64 of a cell is below rounding.
MOST_BOXES = 192


@jit
def _cut_x(c: Any, a: float, b: float) -> Any:
    """Corners of the part from a to b (0 to 1 being the box) along x."""
    d0, d1, d2, d3 = c[1] - c[0], c[3] - c[2], c[5] - c[4], c[7] - c[6]
    return (
        c[0] + a * d0, c[0] + b * d0, c[2] + a * d1, c[2] + b * d1,
        c[4] + a * d2, c[4] + b * d2, c[6] + a * d3, c[6] + b * d3,
    )  # fmt: skip


@jit
def _cut_y(c: Any, a: float, b: float) -> Any:
    d0, d1, d2, d3 = c[2] - c[0], c[3] - c[1], c[6] - c[4], c[7] - c[5]
    return (
        c[0] + a * d0, c[1] + a * d1, c[0] + b * d0, c[1] + b * d1,
        c[4] + a * d2, c[5] + a * d3, c[4] + b * d2, c[5] + b * d3,
    )  # fmt: skip


@jit
def _cut_z(c: Any, a: float, b: float) -> Any:
    d0, d1, d2, d3 = c[4] - c[0], c[5] - c[1], c[6] - c[2], c[7] - c[3]
    return (
        c[0] + a * d0, c[1] + a * d1, c[2] + a * d2, c[3] + a * d3,
        c[0] + b * d0, c[1] + b * d1, c[2] + b * d2, c[3] + b * d3,
    )  # fmt: skip


@jit
def _clip(x: float, low: float, high: float) -> Any:
    return min(max(x, low), high)


@jit
def _inverse(length: float) -> Any:
    """One over a length, zero for none: along an axis without extent nothing changes."""
    return 1.0 / length if length > 0.0 else 0.0


@jit
def _inverses(low: Any, high: Any) -> Any:
    return _inverse(high[0] - low[0]), _inverse(high[1] - low[1]), _inverse(high[2] - low[2])


@jit
def _bound_of_range(c: Any, near: float) -> Any:
    """Lower bound of f where the box is `near` away (squared) and r keeps its sign."""
    least = min(min(min(c[0], c[1]), min(c[2], c[3])), min(min(c[4], c[5]), min(c[6], c[7])))
    most = max(max(max(c[0], c[1]), max(c[2], c[3])), max(max(c[4], c[5]), max(c[6], c[7])))
    gap = max(max(least, -most), 0.0)
    return near + gap * gap


@jit
def _shrink(c: Any, low: Any, high: Any, best: float) -> Any:
    """Cut a box to what may be nearer than `best` (squared)."""
    x, y, z = _clip(0.0, low[0], high[0]), _clip(0.0, low[1], high[1]), _clip(0.0, low[2], high[2])
    inverse_x, inverse_y, inverse_z = _inverses(low, high)
    reach = np.sqrt(max(best - y * y - z * z, 0.0))
    x_low, x_high = max(low[0], -reach), min(high[0], reach)
    if x_high - x_low < high[0] - low[0]:
        c = _cut_x(c, (x_low - low[0]) * inverse_x, (x_high - low[0]) * inverse_x)
    reach = np.sqrt(max(best - x * x - z * z, 0.0))
    y_low, y_high = max(low[1], -reach), min(high[1], reach)
    if y_high - y_low < high[1] - low[1]:
        c = _cut_y(c, (y_low - low[1]) * inverse_y, (y_high - low[1]) * inverse_y)
    reach = np.sqrt(max(best - x * x - y * y, 0.0))
    z_low, z_high = max(low[2], -reach), min(high[2], reach)
    if z_high - z_low < high[2] - low[2]:
        c = _cut_z(c, (z_low - low[2]) * inverse_z, (z_high - low[2]) * inverse_z)
    return c, (x_low, y_low, z_low), (x_high, y_high, z_high)


@jit
def _expand(c: Any) -> Any:
    """Mean, slopes (x, y, z), twists (xy, xz, yz) and the triple term of r over a box.

    With u, v, w from -1/2 to 1/2 across the box, r = mean + slopes . (u, v, w)
    + twists . (uv, uw, vw) + triple uvw.
    """
    s0, s1, s2, s3 = c[0] + c[1], c[2] + c[3], c[4] + c[5], c[6] + c[7]
    d0, d1, d2, d3 = c[1] - c[0], c[3] - c[2], c[5] - c[4], c[7] - c[6]
    mean = 0.125 * ((s0 + s1) + (s2 + s3))
    slopes = (
        0.25 * ((d0 + d1) + (d2 + d3)),
        0.25 * ((s1 - s0) + (s3 - s2)),
        0.25 * ((s2 + s3) - (s0 + s1)),
    )
    twists = (
        0.5 * ((d1 - d0) + (d3 - d2)),
        0.5 * ((d2 + d3) - (d0 + d1)),
        0.5 * ((s3 - s2) - (s1 - s0)),
    )
    return mean, slopes, twists, (d3 - d2) - (d1 - d0)


@jit
def _residual(m: float, e: float, g: Any, low: Any, high: Any) -> Any:
    """E + g.x at the point x of a box that belongs to a multiplier: -m g, clipped to the box."""
    return (
        e
        + g[0] * _clip(-m * g[0], low[0], high[0])
        + g[1] * _clip(-m * g[1], low[1], high[1])
        + g[2] * _clip(-m * g[2], low[2], high[2])
    )


@jit
def _multiplier(e: float, g: Any, low: Any, high: Any) -> Any:
    """Multiplier of the least |x|^2 + (e + g.x)^2 over a box; it is the residual there.

    So it is the root of residual(m) - m, which falls and is linear between the values of m
    at which an axis reaches a face. Those that lie within the bracket narrow it.
    """
    sign = 1.0 if _residual(0.0, e, g, low, high) >= 0.0 else -1.0
    e, g = sign * e, (sign * g[0], sign * g[1], sign * g[2])
    right = _residual(0.0, e, g, low, high)
    left = right / (1.0 + g[0] * g[0] + g[1] * g[1] + g[2] * g[2])
    for k in range(3):
        for face in (low[k], high[k]):
            m = -face / g[k] if g[k] != 0.0 else 0.0
            if left < m < right:
                if _residual(m, e, g, low, high) > m:
                    left = m
                else:
                    right = m
    middle = 0.5 * (left + right)
    slope = 1.0
    for k in range(3):
        if low[k] < -middle * g[k] < high[k]:
            slope += g[k] * g[k]
    return sign * (middle + (_residual(middle, e, g, low, high) - middle) / slope)


@jit
def _bound_of_slope(mean: float, g: Any, rest: float, low: Any, high: Any, near: float) -> Any:
    """Lower bound of f where r differs from ``mean + g.(x - middle)`` by `rest` at most; and m.

    The second value is the multiplier that belongs to the bound.
    """
    e = mean - 0.5 * (
        g[0] * (low[0] + high[0]) + g[1] * (low[1] + high[1]) + g[2] * (low[2] + high[2])
    )
    nearest = _residual(0.0, e, g, low, high)
    if abs(nearest) <= rest:
        return near, 0.0
    e -= rest if nearest > 0.0 else -rest
    m = _multiplier(e, g, low, high)
    x = _clip(-m * g[0], low[0], high[0])
    y = _clip(-m * g[1], low[1], high[1])
    z = _clip(-m * g[2], low[2], high[2])
    residual = e + g[0] * x + g[1] * y + g[2] * z
    return x * x + y * y + z * z + m * (2.0 * residual - m), m


@jit
def _fall(d: Any, x: Any, low: Any, high: Any) -> Any:
    """How far a function with half the gradient d at x falls within a box if it is linear."""
    return 2.0 * (
        max(d[0] * (x[0] - low[0]), d[0] * (x[0] - high[0]))
        + max(d[1] * (x[1] - low[1]), d[1] * (x[1] - high[1]))
        + max(d[2] * (x[2] - low[2]), d[2] * (x[2] - high[2]))
    )


@jit
def _bound_of_tangent(
    f: float, d: Any, fall: float, x: Any, low: Any, high: Any, lack: float
) -> Any:
    """Lower bound of f from its value and half its gradient d at x.

    `lack` times (x - low).(high - x) is taken off f to make it convex, if `lack` is above 0.
    """
    if lack <= 0.0:
        return f - fall
    off = (x[0] - low[0]) * (high[0] - x[0]) + (x[1] - low[1]) * (high[1] - x[1])
    off += (x[2] - low[2]) * (high[2] - x[2])
    d = (
        d[0] - lack * (0.5 * (low[0] + high[0]) - x[0]),
        d[1] - lack * (0.5 * (low[1] + high[1]) - x[1]),
        d[2] - lack * (0.5 * (low[2] + high[2]) - x[2]),
    )
    return f - lack * off - _fall(d, x, low, high)


@jit
def _descend(
    mean: float, slopes: Any, twists: Any, triple: float, low: Any, high: Any, inverse: Any,
    start: Any, bend: float,
) -> Any:  # fmt: skip
    """Lower f within a box by Gauss-Newton steps; returns the least f, and a lower bound."""
    x, y, z = start
    least, bound = np.inf, -np.inf
    for _ in range(_DESCENTS):
        u = (x - low[0]) * inverse[0] - 0.5
        v = (y - low[1]) * inverse[1] - 0.5
        w = (z - low[2]) * inverse[2] - 0.5
        gx = slopes[0] + twists[0] * v + (twists[1] + triple * v) * w
        gy = slopes[1] + twists[0] * u + (twists[2] + triple * u) * w
        gz = slopes[2] + twists[1] * u + (twists[2] + triple * u) * v
        r = mean + u * gx + v * (slopes[1] + twists[2] * w) + w * slopes[2]
        g = (gx * inverse[0], gy * inverse[1], gz * inverse[2])
        f = x * x + y * y + z * z + r * r
        d = (x + r * g[0], y + r * g[1], z + r * g[2])
        fall = _fall(d, (x, y, z), low, high)
        least = min(least, f)
        bound = max(bound, _bound_of_tangent(f, d, fall, (x, y, z), low, high, abs(r) * bend - 1.0))
        if fall <= ACCURACY * np.sqrt(least):
            break
        m = _multiplier(r - g[0] * x - g[1] * y - g[2] * z, g, low, high)
        x = _clip(-m * g[0], low[0], high[0])
        y = _clip(-m * g[1], low[1], high[1])
        z = _clip(-m * g[2], low[2], high[2])
    return least, bound


@jit
def _bend(twists: Any, triple: float, inverse: Any) -> Any:
    """Upper bound of the norm of the second derivatives of r in a box: largest sum of a row."""
    half = 0.5 * abs(triple)
    xy = (abs(twists[0]) + half) * inverse[0] * inverse[1]
    xz = (abs(twists[1]) + half) * inverse[0] * inverse[2]
    yz = (abs(twists[2]) + half) * inverse[1] * inverse[2]
    return max(xy + xz, max(xy + yz, xz + yz))


@jit
def _axis_to_halve(twists: Any, triple: float, low: Any, high: Any) -> int:
    """Axis along which r bends others most, the longer one of two."""
    xy, xz, yz = abs(twists[0]), abs(twists[1]), abs(twists[2])
    half = 0.5 * abs(triple)
    x = (xy + xz + half) * (high[0] - low[0])
    y = (xy + yz + half) * (high[1] - low[1])
    z = (xz + yz + half) * (high[2] - low[2])
    return 0 if x >= max(y, z) else (1 if y >= z else 2)


@jit
def worth_finding(best: float) -> Any:
    """Squared gamma that a search must stay below to be worth it, given the least so far."""
    goal = max(np.sqrt(best) - ACCURACY, 0.0)
    return goal * goal


@jit
def _examine(c: Any, low: Any, high: Any, best: float) -> Any:
    """Lower `best` within a box if possible.

    Returns `best`, the axis to halve the box along, or -1 where it holds nothing
    lower, and the box, cut to what is within reach.
    """
    goal = worth_finding(best)
    x, y, z = _clip(0.0, low[0], high[0]), _clip(0.0, low[1], high[1]), _clip(0.0, low[2], high[2])
    near = x * x + y * y + z * z
    if _bound_of_range(c, near) >= goal:
        return best, -1, c, low, high
    c, low, high = _shrink(c, low, high, best)
    if _bound_of_range(c, near) >= goal:
        return best, -1, c, low, high
    inverse = _inverses(low, high)
    mean, slopes, twists, triple = _expand(c)
    xy, xz, yz = abs(twists[0]), abs(twists[1]), abs(twists[2])
    rest = 0.25 * (xy + xz + yz) + 0.125 * abs(triple)
    g = (slopes[0] * inverse[0], slopes[1] * inverse[1], slopes[2] * inverse[2])
    bound, m = _bound_of_slope(mean, g, rest, low, high, near)
    if bound >= goal:
        return best, -1, c, low, high
    start = (
        _clip(-m * g[0], low[0], high[0]),
        _clip(-m * g[1], low[1], high[1]),
        _clip(-m * g[2], low[2], high[2]),
    )
    bend = _bend(twists, triple, inverse)
    least, tangent = _descend(mean, slopes, twists, triple, low, high, inverse, start, bend)
    best, bound = min(best, least), max(bound, tangent)
    if bound >= worth_finding(best):
        return best, -1, c, low, high
    return best, _axis_to_halve(twists, triple, low, high), c, low, high


@jit
def _halve(c: Any, low: Any, high: Any, axis: int) -> Any:
    """Both halves of a box, the lower one first."""
    if axis == 0:
        middle = 0.5 * (low[0] + high[0])
        first, second = _cut_x(c, 0.0, 0.5), _cut_x(c, 0.5, 1.0)
        first_high, second_low = (middle, high[1], high[2]), (middle, low[1], low[2])
    elif axis == 1:
        middle = 0.5 * (low[1] + high[1])
        first, second = _cut_y(c, 0.0, 0.5), _cut_y(c, 0.5, 1.0)
        first_high, second_low = (high[0], middle, high[2]), (low[0], middle, low[2])
    else:
        middle = 0.5 * (low[2] + high[2])
        first, second = _cut_z(c, 0.0, 0.5), _cut_z(c, 0.5, 1.0)
        first_high, second_low = (high[0], high[1], middle), (low[0], low[1], middle)
    return first, first_high, second, second_low, middle


@jit
def _store(box: Any, c: Any, low: Any, high: Any) -> None:
    for k in range(8):
        box[k] = c[k]
    for k in range(3):
        box[8 + k] = low[k]
        box[11 + k] = high[k]


@jit
def least_in_cell(c: Any, low: Any, high: Any, best: float, waiting: Any) -> Any:
    """Return the least squared gamma in a cell, or `best` where that is lower."""
    count = 0
    while True:
        best, axis, c, low, high = _examine(c, low, high, best)
        if axis >= 0 and count < waiting.shape[0]:
            first, first_high, second, second_low, middle = _halve(c, low, high, axis)
            # The half nearer to the reference point is the likelier to hold the least.
            if middle > 0.0:
                _store(waiting[count], second, second_low, high)
                c, high = first, first_high
            else:
                _store(waiting[count], first, low, first_high)
                c, low = second, second_low
            count += 1
            continue
        if count == 0:
            return best
        count -= 1
        b = waiting[count]
        c = (b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7])
        low, high = (b[8], b[9], b[10]), (b[11], b[12], b[13])
