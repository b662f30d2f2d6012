"""The gamma index of points against an interpolated dose: which cells to look into, and when.

Cells are visited by rising distance from the point until none can hold a lower gamma, for
its distance and for the least dose difference anywhere within reach.
What a cell holds is found in :mod:`dosecalc.core.gamma_cell`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from dosecalc.core._jit import jit, jit_parallel
from dosecalc.core.gamma_cell import ACCURACY, MOST_BOXES, least_in_cell, worth_finding

__all__ = ["ACCURACY", "Searched", "gamma_of_points", "prepare_search"]

_LANES = 64
_RUN = 128
# Share of a voxel.
_AT_VOXEL = 1e-3
# Voxels along each axis of a block that shares one range of doses within reach.
_SHARED = 4


class Searched(NamedTuple):
    """An evaluated dose and how to search it; see :func:`prepare_search`.

    values : (nz, ny, nx) float32
        Dose at voxel centres; trilinear between them and absent beyond. An axis of one
        voxel is a plane: nothing is found off it.
    lowest, highest : (mz, my, mx) float32
        Bounds of the dose within reach of any point whose nearest voxel is in a block.
    steps : (3,) float64
        Voxel size z, y, x over the distance criterion.
    order : (m, 3) int64
        Cells around the voxel nearest to a point, as offsets of their lower corner from it.
    near : (m,) float64
        Rising lower bound of their squared distance from a point at most half a voxel off.
    largest : float
        Gamma above this is not looked for.
    """

    values: Any
    lowest: Any
    highest: Any
    steps: Any
    order: Any
    near: Any
    largest: float


@jit
def _span(cell: int, index: float, count: int, step: float) -> Any:
    """Faces of a cell along an axis relative to the point; one and the same for a single voxel."""
    low = (cell - index) * step
    return low, low if count == 1 else low + step


@jit
def _gap(low: float, high: float) -> float:
    """Squared distance from zero to an interval."""
    off = max(max(low, -high), 0.0)
    return off * off


@jit
def _corners(values: Any, k: int, j: int, i: int, dose: float, scale: float) -> Any:
    """Dose differences at the corners of a cell, in dose criteria."""
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
def _gap_in_reach(searched: Any, k: int, j: int, i: int, dose: float) -> Any:
    """By how much all doses within reach differ from the reference dose at least."""
    block = k // _SHARED, j // _SHARED, i // _SHARED
    return max(max(searched.lowest[block] - dose, dose - searched.highest[block]), 0.0)


@jit
def _nearest(index: float, count: int) -> Any:
    """Voxel nearest to a fractional index."""
    return min(max(round(index), 0), count - 1)


@jit
def _point(searched: Any, index: Any, dose: float, scale: float, waiting: Any) -> Any:
    """Squared gamma of one reference point."""
    values, steps, order, near = searched.values, searched.steps, searched.order, searched.near
    nz, ny, nx = values.shape
    node_z, node_y, node_x = _nearest(index[0], nz), _nearest(index[1], ny), _nearest(index[2], nx)
    offs = (index[0] - node_z, index[1] - node_y, index[2] - node_x)
    r = (values[node_z, node_y, node_x] - dose) * scale
    z, y, x = offs[0] * steps[0], offs[1] * steps[1], offs[2] * steps[2]
    best = min(searched.largest**2, x * x + y * y + z * z + r * r)
    gap = (_gap_in_reach(searched, node_z, node_y, node_x, dose) * scale) ** 2
    down_z, down_y, down_x = _mirrored(values, node_z, node_y, node_x, offs, dose)
    for n in range(order.shape[0]):
        goal = worth_finding(best)
        if near[n] + gap >= goal:
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
        if _gap(z_low, z_high) + _gap(y_low, y_high) + _gap(x_low, x_high) + gap >= goal:
            continue
        corners = _corners(values, k, j, i, dose, scale)
        low, high = (x_low, y_low, z_low), (x_high, y_high, z_high)
        best = least_in_cell(corners, low, high, best, waiting)
    return best


@jit
def _lane(lane: int, searched: Any, indices: Any, doses: Any, scales: Any, out: Any) -> None:
    """Gamma of every so many runs of points: hard ones lie together, so they are shared out."""
    waiting = np.empty((MOST_BOXES, 14))
    count = indices.shape[0]
    for first in range(lane * _RUN, count, _LANES * _RUN):
        for n in range(first, min(first + _RUN, count)):
            out[n] = np.sqrt(_point(searched, indices[n], doses[n], scales[n], waiting))


@jit_parallel
def gamma_of_points(searched: Any, indices: Any, doses: Any, scales: Any, out: Any) -> None:
    """Gamma of reference points against an evaluated dose.

    Parameters
    ----------
    searched : Searched
    indices : (n, 3) float64
        Reference points as fractional indices z, y, x into its values, at most half a voxel
        beyond the outermost.
    doses : (n,) float64
        Reference dose at the points.
    scales : (n,) float64
        One over the dose criterion at each point.
    out : (n,) float64
        At most `ACCURACY` above the true gamma, never below; ``searched.largest`` where
        gamma is that or more. Each point has one owner, so results do not depend on the
        number of threads.
    """
    for lane in prange(_LANES):
        _lane(lane, searched, indices, doses, scales, out)


def prepare_search(values: Any, steps: Any, largest: float) -> Searched:
    """Put together what the search of an evaluated dose needs.

    Parameters
    ----------
    values : (nz, ny, nx) float32
    steps : (3,) float64
        Voxel size z, y, x over the distance criterion.
    largest : float
        Gamma up to which to look.
    """
    offsets, gaps, centres, reaches = [], [], [], []
    for step, n in zip(steps, values.shape, strict=True):
        reach = 0 if n == 1 else min(int(np.ceil(largest / step + 0.5)), n)
        o = np.arange(-reach - 1, reach + 1) if n > 1 else np.zeros(1, dtype=np.int64)
        reaches.append(reach + 1)
        offsets.append(o)
        gaps.append((np.maximum(np.maximum(o, -o - 1) - 0.5, 0.0) * step) ** 2)
        # Of cells as near as each other, those on the upper side come first.
        centres.append(((o + 0.5) * step) ** 2 - 1e-6 * o)
    near = np.sum(np.meshgrid(*gaps, indexing="ij"), axis=0).ravel()
    centre = np.sum(np.meshgrid(*centres, indexing="ij"), axis=0).ravel()
    cells = np.stack(np.meshgrid(*offsets, indexing="ij"), axis=-1).reshape(-1, 3)
    rank = np.lexsort((centre, near))
    rank = rank[near[rank] < largest**2]
    order = np.ascontiguousarray(cells[rank], dtype=np.int64)
    lowest, highest = (_within_reach(values, reaches, f) for f in (np.minimum, np.maximum))
    return Searched(values, lowest, highest, steps, order, near[rank], float(largest))


def _within_reach(values: Any, reaches: Any, extreme: Any) -> Any:
    """Extreme of the values at most `reaches` voxels away from each block, axis by axis."""
    for axis, reach in enumerate(reaches):
        starts = np.arange(0, values.shape[axis], _SHARED)
        values = np.moveaxis(extreme.reduceat(values, starts, axis=axis), axis, 0)
        blocks = -(-reach // _SHARED)
        wide = values.copy()
        for shift in range(1, min(blocks, len(values) - 1) + 1):
            wide[shift:] = extreme(wide[shift:], values[:-shift])
            wide[:-shift] = extreme(wide[:-shift], values[shift:])
        values = np.moveaxis(wide, 0, axis)
    return np.ascontiguousarray(values)
