"""Connected pieces of a dose difference, and differences without the noise of single voxels.

A number of voxels says little: 3 % of noise spreads a thousand wrong voxels over a target, a lost
slice puts them side by side. So volumes are connected ones, and small differences are looked at in
means over a ball, in which noise and the sizes of voxels cancel and an error stays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, label

from dosecalc.model import Grid

__all__ = ["BALL_MM", "Piece", "ball_mean", "largest_piece"]

BALL_MM = 5.0
"""Radius of the ball that means are taken over: 0.5 cm3."""


class Piece(NamedTuple):
    """The largest connected piece of a set of voxels.

    cm3 : 0 where there is none
    middle : x, y, z, mm, LPS, of its voxels; of the grid's first voxel where there is none
    voxels : (nz, ny, nx) bool
    """

    cm3: float
    middle: tuple[float, float, float]
    voxels: NDArray[np.bool_]


def largest_piece(chosen: NDArray[np.bool_], grid: Grid) -> Piece:
    """Return the largest piece whose voxels share faces, edges or corners."""
    pieces, count = label(chosen, np.ones((3, 3, 3)))
    if not count:
        return Piece(0.0, grid.origin, np.zeros(grid.shape, dtype=bool))
    sizes = np.bincount(pieces.ravel())[1:]
    voxels = np.asarray(pieces == 1 + int(sizes.argmax()))
    x, y, z = grid.position_of(np.argwhere(voxels).mean(axis=0))
    return Piece(float(sizes.max()) * grid.voxel_volume_cm3, (float(x), float(y), float(z)), voxels)


def ball_mean(
    values: NDArray[np.float64],
    counts: NDArray[np.bool_],
    grid: Grid,
    radius_mm: float = BALL_MM,
) -> NDArray[np.float64]:
    """Mean over the ball around each voxel, of those voxels in it that count.

    Parameters
    ----------
    values : (nz, ny, nx)
        May be NaN where they do not count.
    counts : (nz, ny, nx) bool

    Returns
    -------
    (nz, ny, nx) float64
        NaN at voxels that do not count.
    """
    found = np.full(values.shape, np.nan)
    if not counts.any():
        return found
    # Only the box around what counts is needed: targets are small in their grids.
    reach = [int(radius_mm // step) for step in grid.spacing[::-1]]
    index = [np.flatnonzero(counts.any(axis=tuple({0, 1, 2} - {k}))) for k in range(3)]
    place = tuple(
        slice(max(int(i[0]) - r, 0), int(i[-1]) + r + 1) for i, r in zip(index, reach, strict=True)
    )
    steps = [np.arange(-r, r + 1) * step for r, step in zip(reach, grid.spacing[::-1], strict=True)]
    z, y, x = np.meshgrid(*steps, indexing="ij", sparse=True)
    ball = (z**2 + y**2 + x**2 <= radius_mm**2).astype(np.float64)
    inside = counts[place]
    total = convolve(np.where(inside, values[place], 0.0), ball, mode="constant")
    number = convolve(inside.astype(np.float64), ball, mode="constant")
    found[place] = np.where(inside, total / np.maximum(number, 1.0), np.nan)
    return found
