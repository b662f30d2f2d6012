"""Values on a grid between its voxel centres: trilinear, and nothing beyond the outer faces.

In the half voxel between the outermost centres and the faces of the grid a value stays what it is
at those centres.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.errors import InputError
from dosecalc.model.grid import Grid

__all__ = ["along_axis", "at_points", "on_grid"]

# Files give positions rounded.
_ROUNDING_MM = 1e-3


def at_points(values: NDArray[Any], grid: Grid, points: ArrayLike) -> NDArray[np.float64]:
    """Interpolate at points.

    Parameters
    ----------
    values : (nz, ny, nx)
    grid : Grid
        Of the values.
    points : (..., 3), mm, LPS
        x, y, z.

    Returns
    -------
    (...) float64
        NaN outside the outer faces of the grid.

    Raises
    ------
    InputError
        The points do not have three coordinates each.
    """
    places = np.asarray(points, dtype=np.float64)
    if places.ndim == 0 or places.shape[-1] != 3:
        raise InputError(f"points have shape {places.shape}; (..., 3) is needed: x, y, z in mm")
    index = grid.index_of(places)
    rounding = _ROUNDING_MM / np.array(grid.spacing[::-1])
    counts = np.array(grid.shape)
    with np.errstate(invalid="ignore"):
        within = (index >= -0.5 - rounding) & (index <= counts - 0.5 + rounding)
        inside = np.asarray(within.all(axis=-1))
    clipped = np.where(inside[..., None], index, 0.0).clip(0, counts - 1)
    low = np.floor(clipped).astype(np.int64).clip(0, np.maximum(counts - 2, 0))
    weight, high = clipped - low, np.minimum(low + 1, counts - 1)
    found = np.zeros(places.shape[:-1])
    for corner in np.ndindex(2, 2, 2):
        part = np.where(corner, weight, 1.0 - weight).prod(axis=-1)
        z, y, x = np.moveaxis(np.where(corner, high, low), -1, 0)
        found += part * values[z, y, x]
    return np.where(inside, found, np.nan)


def on_grid(values: NDArray[Any], grid: Grid, other: Grid) -> NDArray[np.float64]:
    """Interpolate at the voxel centres of another grid.

    Parameters
    ----------
    values : (nz, ny, nx)
    grid, other : Grid
        Of the values, and of the result.

    Returns
    -------
    (mz, my, mx) float64
        NaN outside the outer faces of `grid`.
    """
    found = values.astype(np.float64)
    for k, axis in enumerate("zyx"):
        spacing = grid.spacing[2 - k]
        place = (other.centres(axis) - grid.centres(axis)[0]) / spacing
        found = along_axis(found, place, k, _ROUNDING_MM / spacing)
    return found


def along_axis(
    values: NDArray[Any], place: NDArray[np.float64], axis: int, rounding: float = np.inf
) -> NDArray[np.float64]:
    """Interpolate along one axis.

    Parameters
    ----------
    values : array
    place : (n,) float64
        Fractional indices along the axis.
    axis : int
    rounding : float
        Beyond the outer faces by more than this (voxels) there is NaN; the outermost value
        everywhere where it is infinite.
    """
    count = values.shape[axis]
    outside = (place < -0.5 - rounding) | (place > count - 0.5 + rounding)
    clipped = place.clip(0, count - 1)
    low = np.floor(clipped).astype(np.int64).clip(0, max(count - 2, 0))
    high = np.minimum(low + 1, count - 1)
    weight = np.where(outside, np.nan, clipped - low)
    weight = weight.reshape([-1 if k == axis else 1 for k in range(values.ndim)])
    first = np.take(values, low, axis=axis)
    return np.asarray(first + weight * (np.take(values, high, axis=axis) - first))
