"""Planning objectives: what a dose distribution costs, and how that changes with every voxel."""

from __future__ import annotations

import numpy as np

from dosecalc.core._jit import jit

__all__ = ["MEAN", "OVERDOSE", "UNDERDOSE", "UNIFORM", "add_penalty"]

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
