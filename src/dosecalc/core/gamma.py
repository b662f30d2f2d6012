"""The gamma index on an interpolated dose: least squared distance in space and dose, certified.

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
* Where |r| times the norm of the second derivatives of r stays below one, f is
  convex on the box, and its tangent plane at the last point bounds it from below.
* A box that none of this settles is halved.

No step samples: what is returned is f at some point, and nowhere on the dose is
gamma lower by more than ``ACCURACY``.

A box is eight corners of r, x fastest, then y, then z, and its faces (x, y, z).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from dosecalc.core._jit import jit, jit_parallel

__all__ = ["ACCURACY", "gamma_of_points", "search_order"]

# How far the gamma of a point may lie above its true value.
ACCURACY = 1e-4

_DESCENTS = 10
# A halved box waits for each level of halving; 2^-64 of a cell is below rounding.
_MOST_BOXES = 192
_BLOCK = 256
# Share of a voxel.
_AT_VOXEL = 1e-3


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
def _clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


@jit
def _inverse(length: float) -> float:
    """One over a length, zero for none: along an axis without extent nothing changes."""
    return 1.0 / length if length > 0.0 else 0.0


@jit
def _inverses(low: Any, high: Any) -> Any:
    return _inverse(high[0] - low[0]), _inverse(high[1] - low[1]), _inverse(high[2] - low[2])


@jit
def _bound_of_range(c: Any, near: float) -> float:
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
def _residual(m: float, e: float, g: Any, low: Any, high: Any) -> float:
    """E + g.x at the point x of a box that belongs to a multiplier: -m g, clipped to the box."""
    return (
        e
        + g[0] * _clip(-m * g[0], low[0], high[0])
        + g[1] * _clip(-m * g[1], low[1], high[1])
        + g[2] * _clip(-m * g[2], low[2], high[2])
    )


@jit
def _multiplier(e: float, g: Any, low: Any, high: Any) -> float:
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
            m = -face / g[k]
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
def _descend(
    mean: float, slopes: Any, twists: Any, triple: float, low: Any, high: Any, inverse: Any,
    start: Any,
) -> Any:  # fmt: skip
    """Lower f within a box by Gauss-Newton steps; the least f, and its bound were f convex."""
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
        dx, dy, dz = x + r * g[0], y + r * g[1], z + r * g[2]
        fall = 2.0 * (
            max(dx * (x - low[0]), dx * (x - high[0]))
            + max(dy * (y - low[1]), dy * (y - high[1]))
            + max(dz * (z - low[2]), dz * (z - high[2]))
        )
        least, bound = min(least, f), max(bound, f - fall)
        if fall <= ACCURACY * np.sqrt(least):
            break
        m = _multiplier(r - g[0] * x - g[1] * y - g[2] * z, g, low, high)
        x = _clip(-m * g[0], low[0], high[0])
        y = _clip(-m * g[1], low[1], high[1])
        z = _clip(-m * g[2], low[2], high[2])
    return least, bound


@jit
def _is_convex(c: Any, twists: Any, triple: float, inverse: Any) -> Any:
    """Whether |r| times the norm of its second derivatives stays below one in a box."""
    most = max(
        max(max(abs(c[0]), abs(c[1])), max(abs(c[2]), abs(c[3]))),
        max(max(abs(c[4]), abs(c[5])), max(abs(c[6]), abs(c[7]))),
    )
    half = 0.5 * abs(triple)
    xy = (abs(twists[0]) + half) * inverse[0] * inverse[1]
    xz = (abs(twists[1]) + half) * inverse[0] * inverse[2]
    yz = (abs(twists[2]) + half) * inverse[1] * inverse[2]
    return most * max(xy + xz, max(xy + yz, xz + yz)) <= 1.0


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
def _goal(best: float) -> float:
    """Squared gamma that is not worth looking for any more."""
    goal = max(np.sqrt(best) - ACCURACY, 0.0)
    return goal * goal


@jit
def _examine(c: Any, low: Any, high: Any, best: float) -> Any:
    """Lower `best` within a box if possible.

    Returns `best`, the axis to halve the box along, or -1 where it holds nothing
    lower, and the box, cut to what is within reach.
    """
    goal = _goal(best)
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
    least, tangent = _descend(mean, slopes, twists, triple, low, high, inverse, start)
    best = min(best, least)
    if _is_convex(c, twists, triple, inverse):
        bound = max(bound, tangent)
    if bound >= _goal(best):
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
def _least_in_cell(c: Any, low: Any, high: Any, best: float, waiting: Any) -> float:
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


@jit
def _span(cell: int, index: float, count: int, step: float) -> Any:
    """Faces of a cell along an axis relative to the point; both its centre if there is one voxel."""
    low = (cell - index) * step
    return low, low if count == 1 else low + step


@jit
def _gap(low: float, high: float) -> float:
    """Squared distance from zero to an interval."""
    off = max(max(low, -high), 0.0)
    return off * off


@jit
def _corners(values: Any, k: int, j: int, i: int, dose: float, scale: float) -> Any:
    """R at the corners of a cell."""
    nz, ny, nx = values.shape
    k1, j1, i1 = min(k + 1, nz - 1), min(j + 1, ny - 1), min(i + 1, nx - 1)
    return (
        (values[k, j, i] - dose) * scale, (values[k, j, i1] - dose) * scale,
        (values[k, j1, i] - dose) * scale, (values[k, j1, i1] - dose) * scale,
        (values[k1, j, i] - dose) * scale, (values[k1, j, i1] - dose) * scale,
        (values[k1, j1, i] - dose) * scale, (values[k1, j1, i1] - dose) * scale,
    )  # fmt: skip


@jit
def _runs_down(off: float, below: float, above: float) -> Any:
    """Whether the lower of the cells on both sides of the nearest voxel is the likelier one.

    It is where it holds the point, `off` from that voxel; or, for a point at the voxel,
    where the evaluated dose comes nearer to the reference dose on that side.
    """
    if abs(off) > _AT_VOXEL:
        return off < 0.0
    return below < above


@jit
def _mirrored(values: Any, k: int, j: int, i: int, offs: Any, dose: float) -> Any:
    """For z, y, x: whether the search begins on the lower side of the nearest voxel."""
    nz, ny, nx = values.shape
    sign = 1.0 if values[k, j, i] >= dose else -1.0
    below, above = values[max(k - 1, 0), j, i], values[min(k + 1, nz - 1), j, i]
    down_z = nz > 1 and _runs_down(offs[0], sign * below, sign * above)
    below, above = values[k, max(j - 1, 0), i], values[k, min(j + 1, ny - 1), i]
    down_y = ny > 1 and _runs_down(offs[1], sign * below, sign * above)
    below, above = values[k, j, max(i - 1, 0)], values[k, j, min(i + 1, nx - 1)]
    down_x = nx > 1 and _runs_down(offs[2], sign * below, sign * above)
    return down_z, down_y, down_x


@jit
def _point(
    values: Any, index: Any, dose: float, scale: float, steps: Any, order: Any, near: Any,
    best: float, waiting: Any,
) -> float:  # fmt: skip
    """Squared gamma of one reference point, `best` at most."""
    nz, ny, nx = values.shape
    node_z = min(max(round(index[0]), 0), nz - 1)
    node_y = min(max(round(index[1]), 0), ny - 1)
    node_x = min(max(round(index[2]), 0), nx - 1)
    offs = (index[0] - node_z, index[1] - node_y, index[2] - node_x)
    r = (values[node_z, node_y, node_x] - dose) * scale
    z, y, x = offs[0] * steps[0], offs[1] * steps[1], offs[2] * steps[2]
    best = min(best, x * x + y * y + z * z + r * r)
    down_z, down_y, down_x = _mirrored(values, node_z, node_y, node_x, offs, dose)
    for n in range(order.shape[0]):
        goal = _goal(best)
        if near[n] >= goal:
            break
        k = node_z + (-1 - order[n, 0] if down_z else order[n, 0])
        j = node_y + (-1 - order[n, 1] if down_y else order[n, 1])
        i = node_x + (-1 - order[n, 2] if down_x else order[n, 2])
        if k < 0 or j < 0 or i < 0:
            continue
        if k >= max(nz - 1, 1) or j >= max(ny - 1, 1) or i >= max(nx - 1, 1):
            continue
        z_low, z_high = _span(k, index[0], nz, steps[0])
        y_low, y_high = _span(j, index[1], ny, steps[1])
        x_low, x_high = _span(i, index[2], nx, steps[2])
        if _gap(z_low, z_high) + _gap(y_low, y_high) + _gap(x_low, x_high) >= goal:
            continue
        corners = _corners(values, k, j, i, dose, scale)
        low, high = (x_low, y_low, z_low), (x_high, y_high, z_high)
        best = _least_in_cell(corners, low, high, best, waiting)
    return best


@jit
def _block(
    first: int, last: int, values: Any, indices: Any, doses: Any, scales: Any, steps: Any,
    order: Any, near: Any, largest: float, out: Any,
) -> None:  # fmt: skip
    """Gamma of a run of reference points."""
    waiting = np.empty((_MOST_BOXES, 14))
    for n in range(first, last):
        squared = _point(
            values, indices[n], doses[n], scales[n], steps, order, near, largest**2, waiting
        )
        out[n] = np.sqrt(squared)


@jit_parallel
def gamma_of_points(
    values: Any, indices: Any, doses: Any, scales: Any, steps: Any, order: Any, near: Any,
    largest: float, out: Any,
) -> None:  # fmt: skip
    """Gamma of reference points against an evaluated dose.

    Parameters
    ----------
    values : (nz, ny, nx) float32
        Evaluated dose at voxel centres; trilinear between them and absent beyond. An axis
        of one voxel is a plane: nothing is found off it.
    indices : (n, 3) float64
        Reference points as fractional indices z, y, x into `values`.
    doses : (n,) float64
        Reference dose at the points.
    scales : (n,) float64
        One over the dose criterion at each point.
    steps : (3,) float64
        Voxel size z, y, x over the distance criterion.
    order : (m, 3) int64
    near : (m,) float64
        From :func:`search_order`, for at least `largest`.
    largest : float
        Gamma above this is not looked for: it is what such points get.
    out : (n,) float64
        At most `ACCURACY` above the true gamma, never below. Each point has one owner, so
        results do not depend on the number of threads.
    """
    count = indices.shape[0]
    blocks = (count + _BLOCK - 1) // _BLOCK
    for b in prange(blocks):
        first = b * _BLOCK
        last = min(first + _BLOCK, count)
        _block(first, last, values, indices, doses, scales, steps, order, near, largest, out)


def search_order(steps: Any, shape: Any, largest: float) -> Any:
    """Return the cells to look into around the voxel nearest to a point, nearest first.

    Parameters
    ----------
    steps : (3,) float64
        Voxel size z, y, x over the distance criterion.
    shape : (nz, ny, nx)
        An axis of one voxel has one cell.
    largest : float
        Gamma up to which to look.

    Returns
    -------
    order : (m, 3) int64
        Cells, as offsets of their lower corner from that voxel.
    near : (m,) float64
        Rising lower bound of the squared distance from a point at most half a voxel off.
    """
    offsets, gaps, centres = [], [], []
    for step, n in zip(steps, shape, strict=True):
        reach = 0 if n == 1 else min(int(np.ceil(largest / step + 0.5)), n)
        o = np.arange(-reach - 1, reach + 1) if n > 1 else np.zeros(1, dtype=np.int64)
        offsets.append(o)
        gaps.append((np.maximum(np.maximum(o, -o - 1) - 0.5, 0.0) * step) ** 2)
        # Of cells as near as each other, those on the upper side come first.
        centres.append(((o + 0.5) * step) ** 2 - 1e-6 * o)
    near = sum(np.meshgrid(*gaps, indexing="ij")).ravel()
    centre = sum(np.meshgrid(*centres, indexing="ij")).ravel()
    cells = np.stack(np.meshgrid(*offsets, indexing="ij"), axis=-1).reshape(-1, 3)
    rank = np.lexsort((centre, near))
    rank = rank[near[rank] < largest**2]
    return np.ascontiguousarray(cells[rank], dtype=np.int64), near[rank]
