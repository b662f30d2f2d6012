"""Averages over the overlap of two regular grids that share their axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from dosecalc.core._jit import jit

__all__ = ["average_overlap"]


@jit
def _reduce_slice(values: Any, rows: Any, columns: Any, line: Any, plane: Any) -> None:
    """Sum one slice of the source, weighted by overlap, into cells of the target's y and x."""
    plane[:] = 0.0
    current = -1
    for piece in range(rows.voxels.shape[0]):
        j = rows.voxels[piece, 0]
        if j != current:
            current = j
            line[:] = 0.0
            for k in range(columns.voxels.shape[0]):
                line[columns.voxels[k, 1]] += columns.share[k] * values[j, columns.voxels[k, 0]]
        share = rows.share[piece]
        target = plane[rows.voxels[piece, 1]]
        for i in range(line.shape[0]):
            target[i] += share * line[i]


@jit
def average_overlap(values: Any, slices: Any, rows: Any, columns: Any, out: Any) -> None:
    """Average an array over the cells of another grid, exactly for values constant per voxel.

    The overlap of two boxes is a product over the axes, so the sum is taken axis
    by axis: x and y within a slice, then the slice is added to the target slices
    it overlaps.

    Parameters
    ----------
    values : (nz, ny, nx) float32 or float64
    slices, rows, columns : NamedTuple of ``voxels`` (n, 2) int64 and ``share`` (n,) float64
        For z, y and x: the pieces into which the voxel edges of both grids cut the
        axis, in rising order, as source voxel, target voxel, and the length of the
        piece over that of the target voxel.
    out : (mz, my, mx) float64
        Receives the sums of share times value; nothing is added outside the source.
    """
    line = np.zeros(out.shape[2])
    plane = np.zeros(out.shape[1:])
    out[:] = 0.0
    current = -1
    for piece in range(slices.voxels.shape[0]):
        k = slices.voxels[piece, 0]
        if k != current:
            current = k
            _reduce_slice(values[k], rows, columns, line, plane)
        share = slices.share[piece]
        target = out[slices.voxels[piece, 1]]
        for j in range(plane.shape[0]):
            for i in range(plane.shape[1]):
                target[j, i] += share * plane[j, i]
