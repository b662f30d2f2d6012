"""From one regular grid to another so that what is integrated over volume stays the same."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.core.resample import average_overlap
from dosecalc.errors import GeometryError
from dosecalc.model import Grid

__all__ = ["covered_fraction", "crop_to", "overlap_pieces", "volume_average"]

# Pieces thinner than this part of a voxel are rounding of the edges.
_TINY = 1e-9


class Pieces(NamedTuple):
    """How two sets of voxels overlap along one axis.

    voxels : (n, 2) int64, source and target voxel of each piece, rising
    share : (n,) float64, length of the piece over that of the target voxel
    """

    voxels: NDArray[np.int64]
    share: NDArray[np.float64]


def overlap_pieces(source: Grid, target: Grid, axis: str) -> Pieces:
    """Cut one axis at the voxel edges of both grids, where the grids overlap."""
    a, b = source.edges(axis), target.edges(axis)
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    cuts = np.unique(np.concatenate([a, b]).clip(low, max(low, high)))
    middle, length = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    spacing = float(target.spacing["xyz".index(axis)])
    real = length > _TINY * spacing
    pairs = [
        (np.searchsorted(edges, middle[real], side="right") - 1).clip(0, edges.size - 2)
        for edges in (a, b)
    ]
    voxels = np.ascontiguousarray(np.stack(pairs, axis=1), dtype=np.int64)
    return Pieces(voxels, np.ascontiguousarray(length[real] / spacing))


def volume_average(values: NDArray[Any], source: Grid, target: Grid) -> NDArray[np.float64]:
    """Average a quantity over every voxel of another grid, with nothing beyond the source.

    A voxel of the target that the source covers in part counts the rest as zero:
    add ``(1 - covered_fraction(source, target)) * value`` for another value there.
    The average times the voxel volume, summed, is the same on both grids wherever
    the target covers the source: mass densities conserve mass.

    Parameters
    ----------
    values : (nz, ny, nx), on `source`; constant within each voxel
    source, target : Grid

    Returns
    -------
    (mz, my, mx) float64

    Notes
    -----
    Exact volume of overlap per pair of voxels, accumulated in float64; closes to
    about 1e-12 for float64 values and to their own rounding for float32.
    """
    if values.shape != source.shape:
        raise GeometryError(f"values have shape {values.shape}, their grid {source.shape}")
    array = np.ascontiguousarray(
        values, dtype=np.float32 if values.dtype == np.float32 else np.float64
    )
    out = np.empty(target.shape, dtype=np.float64)
    z, y, x = (overlap_pieces(source, target, axis) for axis in "zyx")
    average_overlap(array, z, y, x, out)
    return out


def covered_fraction(source: Grid, target: Grid) -> NDArray[np.float64]:
    """Fraction of every target voxel's volume that lies inside the source grid.

    Returns
    -------
    (mz, my, mx) float64, 0 to 1; exactly 1 where all of the voxel is inside.
    """
    parts = []
    for axis, n in zip("zyx", target.shape, strict=True):
        pieces = overlap_pieces(source, target, axis)
        share = np.bincount(pieces.voxels[:, 1], weights=pieces.share, minlength=n)
        parts.append(np.where(share > 1 - 1e-6, 1.0, share))
    return np.asarray(parts[0][:, None, None] * parts[1][:, None] * parts[2])


def crop_to(
    grid: Grid, lower: tuple[float, float, float], upper: tuple[float, float, float]
) -> tuple[tuple[slice, slice, slice], Grid]:
    """Smallest part of a grid that holds all of its voxels which reach into a box.

    Parameters
    ----------
    grid : Grid
    lower, upper : (x, y, z), mm, LPS

    Returns
    -------
    slices : of an array ``[z, y, x]`` on `grid`
    grid : Grid of that part; one voxel at the nearest corner where the box misses the grid
    """
    slices, origin = [], []
    for i in range(3):
        n, step, start = grid.shape[2 - i], grid.spacing[i], grid.lower[i]
        first = int(np.floor((lower[i] - start) / step + _TINY))
        last = int(np.ceil((upper[i] - start) / step - _TINY))
        first = min(max(first, 0), n - 1)
        last = min(max(last, first + 1), n)
        slices.append(slice(first, last))
        origin.append(grid.origin[i] + first * step)
    z, y, x = slices[2], slices[1], slices[0]
    shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
    return (z, y, x), Grid(shape, grid.spacing, (origin[0], origin[1], origin[2]))
