"""Whether one dose is another one moved: an error of half a voxel that gamma forgives.

A dose moved by a small vector t differs from the original by -grad D . t. The three numbers t
that explain most of the difference between two doses are found by linear least squares over the
voxels with dose, together with a common factor and a common offset, which are no displacement.
Edges on all sides of a field must agree on t, so that it shows far above what different engines
make of one edge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosecalc.model import Grid

__all__ = ["dose_displacement"]

_FEWEST = 50
# Beyond this the columns are too alike to tell a displacement along each axis.
_WORST_CONDITION = 1e6


def dose_displacement(
    grid: Grid,
    reference: NDArray[np.floating],
    evaluated: NDArray[np.floating],
    counts: NDArray[np.bool_],
) -> tuple[float, float, float] | None:
    """Displacement (x, y, z) of the evaluated dose from the reference, mm, LPS.

    Right to a few percent of itself while it is small against the width of an edge.

    Parameters
    ----------
    grid : Grid
    reference, evaluated : (nz, ny, nx)
        Doses in one unit at the voxels of `grid`; NaN where one is not known.
    counts : (nz, ny, nx) bool
        Voxels that are looked at. Build-up had better not be among them: it is as steep as an
        edge, and engines and grids differ in it.

    Returns
    -------
    tuple of float or None
        None where too few voxels, or no gradients along some axis, are left.
    """
    mean = 0.5 * (reference.astype(np.float64) + evaluated)
    gradient = [
        np.gradient(mean, step, axis=axis) if mean.shape[axis] > 1 else np.zeros_like(mean)
        for axis, step in enumerate(grid.spacing[::-1])
    ][::-1]
    # A voxel beside one that is not known has no gradient.
    used = counts & np.isfinite(mean) & np.isfinite(gradient).all(axis=0)
    if np.count_nonzero(used) < _FEWEST:
        return None
    columns = [-one[used] for one in gradient]
    columns += [reference[used].astype(np.float64), np.ones(columns[0].size)]
    matrix = np.stack(columns, axis=1)
    length = np.linalg.norm(matrix, axis=0)
    if not length.all() or np.linalg.cond(matrix / length) > _WORST_CONDITION:
        return None
    difference = (evaluated - reference)[used].astype(np.float64)
    found = np.linalg.lstsq(matrix / length, difference, rcond=None)[0] / length
    return float(found[0]), float(found[1]), float(found[2])
