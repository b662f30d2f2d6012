"""Planning objectives: what a dose distribution costs, and how that changes with every voxel."""

from __future__ import annotations

import numpy as np
from numba import prange

from dosecalc.core._jit import jit, jit_parallel
from dosecalc.core.influence import add_row, row_times

__all__ = [
    "MEAN",
    "OVERDOSE",
    "UNDERDOSE",
    "UNIFORM",
    "add_penalty",
    "fused_penalties",
    "pack_rows",
]

OVERDOSE, UNDERDOSE, UNIFORM, MEAN = range(4)


@jit
def add_penalty(kind, goal, limit, weight, voxels, volumes, dose, slope):
    """Add one objective's gradient to `slope` and return its value.

    With volumes v that sum to 1 over the structure and d the dose of a voxel, the value is

    - OVERDOSE: weight sum v (d - goal)^2 over voxels with goal < d <= limit;
    - UNDERDOSE: weight sum v (d - goal)^2 over voxels with limit <= d < goal;
    - UNIFORM: weight sum v (d - goal)^2 over all;
    - MEAN: weight (sum v d - goal)^2 where the mean is above the goal.

    The limit makes a dose-volume objective of the first two: voxels beyond it are those that the
    objective allows to be there.

    Parameters
    ----------
    kind : int
    goal, limit, weight : float
        limit is infinite (or minus infinite) without a volume.
    voxels : (n,) int64
        Places in `dose`.
    volumes : (n,) float64
    dose, slope : (rows,) float64
    """
    total = 0.0
    if kind == MEAN:
        mean = 0.0
        for n in range(voxels.size):
            mean += volumes[n] * dose[voxels[n]]
        excess = max(mean - goal, 0.0)
        for n in range(voxels.size):
            slope[voxels[n]] += 2.0 * weight * excess * volumes[n]
        return weight * excess * excess
    for n in range(voxels.size):
        d = dose[voxels[n]]
        if kind == OVERDOSE and not (goal < d <= limit):
            continue
        if kind == UNDERDOSE and not (limit <= d < goal):
            continue
        off = d - goal
        total += volumes[n] * off * off
        slope[voxels[n]] += np.float64(2.0) * weight * volumes[n] * off
    return weight * total


# Rows that a block takes in turn: neighbours cost alike, and blocks must cost alike.
_RUN = 64


@jit
def _row_penalty(first, last, goal, volume, goals, dose):
    """Value and slope of one row's penalties."""
    value = slope = 0.0
    for n in range(first, last):
        kind, wanted, limit, weight = goals[goal[n]]
        if kind == OVERDOSE and not (wanted < dose <= limit):
            continue
        if kind == UNDERDOSE and not (limit <= dose < wanted):
            continue
        off = dose - wanted
        share = weight * volume[n]
        value += share * off * off
        slope += 2.0 * share * off
    return value, slope


@jit_parallel
def pack_rows(starts, indices, data, rows, packed_starts, packed_indices, packed, scales):
    """Copy rows of a matrix into half the memory: entries as 16-bit parts of the row's largest.

    An entry is wrong by at most the row's largest over 131070.

    Parameters
    ----------
    starts, indices, data : a matrix by rows, of entries that are not negative
    rows : (n,) int64
        The rows that are copied.
    packed_starts : (n + 1,) int64
        Where they begin in the copy.
    packed_indices, packed : (entries,) uint16 (indices uint32 where there are more columns)
        Overwritten.
    scales : (n,) float32
        Overwritten: entries are ``packed * scales``.
    """
    for n in prange(rows.size):
        start, end, place = starts[rows[n]], starts[rows[n] + 1], packed_starts[n]
        largest = np.float32(0.0)
        for i in range(start, end):
            largest = max(largest, data[i])
        scales[n] = largest / np.float32(65535.0)
        factor = np.float32(65535.0) / largest if largest > 0 else np.float32(0.0)
        for i in range(start, end):
            packed_indices[place + i - start] = indices[i]
            packed[place + i - start] = np.uint16(data[i] * factor + np.float32(0.5))


@jit_parallel
def fused_penalties(starts, indices, packed, scales, weights, rules, values, partial):
    """Penalties of the dose by beamlet weights, and their gradient, reading the matrix once.

    Every objective but the mean costs each voxel by that voxel's dose alone. So the row that
    gave the dose is still in the cache when its slope is known, and rows that cost nothing
    (most of the body) are left at once.

    Parameters
    ----------
    starts, indices, packed, scales : rows as `pack_rows` makes them
    weights : (columns,) float64
    rules : (first, goal, volume, goals)
        Row r has the objectives ``goal[first[r] : first[r + 1]]``, with its share of the
        structure's volume in `volume`; ``goals[g]`` is kind, dose, limit and weight as in
        `add_penalty`, MEAN excluded; int32, int32, float64, (n, 4) float64.
    values : (blocks,) float64
        Overwritten; their sum is the value.
    partial : (blocks, columns) float64
        Overwritten; their sum is the gradient. What a block takes does not depend on threads.
    """
    first, goal, volume, goals = rules
    blocks, rows = partial.shape[0], scales.size
    runs = (rows + _RUN - 1) // _RUN
    for block in prange(blocks):
        mine = partial[block]
        mine[:] = 0.0
        value = 0.0
        for run in range(block, runs, blocks):
            for row in range(run * _RUN, min((run + 1) * _RUN, rows)):
                start, end = starts[row], starts[row + 1]
                dose = scales[row] * row_times(indices[start:end], packed[start:end], weights)
                more, slope = _row_penalty(first[row], first[row + 1], goal, volume, goals, dose)
                value += more
                if slope != 0.0:
                    add_row(indices[start:end], packed[start:end], slope * scales[row], mine)
        values[block] = value
