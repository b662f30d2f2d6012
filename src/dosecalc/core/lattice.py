"""Moving quantities between a voxel grid and its finer or coarser relatives."""

from __future__ import annotations

import numpy as np
from numba import prange

from dosecalc.core._jit import jit, jit_parallel

__all__ = ["coarsen", "interpolate_up", "times_material"]


@jit_parallel
def times_material(values, material, table, result):
    """Multiply values by what a table says of each voxel's material.

    values : (nz, ny, nx) float32; material : (nz, ny, nx) uint8; table : (nmaterials,) float32;
    result : (nz, ny, nx) float32, overwritten, may be `values`
    """
    nz, ny, nx = values.shape
    for k in prange(nz):
        for j in range(ny):
            for i in range(nx):
                result[k, j, i] = values[k, j, i] * table[material[k, j, i]]


@jit_parallel
def coarsen(fine, factors, coarse):
    """Sum blocks of voxels; blocks that stick out of `fine` count what there is.

    fine : (mz, my, mx) float32; factors : (fz, fy, fx); coarse : (nz, ny, nx) float32, overwritten
    """
    nz, ny, nx = coarse.shape
    mz, my, mx = fine.shape
    fz, fy, fx = factors
    for k in prange(nz):
        for j in range(ny):
            for i in range(nx):
                total = 0.0
                for a in range(k * fz, min((k + 1) * fz, mz)):
                    for b in range(j * fy, min((j + 1) * fy, my)):
                        for c in range(i * fx, min((i + 1) * fx, mx)):
                            total += fine[a, b, c]
                coarse[k, j, i] = total


@jit
def _place(index, factor, count):
    """Lower coarse neighbour of a fine voxel and the weight of the upper one."""
    position = (index + 0.5) / factor - 0.5
    lower = int(np.floor(position))
    if lower < 0:
        return 0, 0.0
    if lower >= count - 1:
        return max(count - 2, 0), 1.0 if count > 1 else 0.0
    return lower, position - lower


@jit_parallel
def interpolate_up(coarse, factors, fine):
    """Trilinear interpolation from block centres to voxel centres, constant beyond the last.

    coarse : (nz, ny, nx) float32; factors : (fz, fy, fx); fine : (mz, my, mx) float32, overwritten
    """
    nz, ny, nx = coarse.shape
    mz, my, mx = fine.shape
    for k in prange(mz):
        k0, wk = _place(k, factors[0], nz)
        k1 = min(k0 + 1, nz - 1)
        for j in range(my):
            j0, wj = _place(j, factors[1], ny)
            j1 = min(j0 + 1, ny - 1)
            for i in range(mx):
                i0, wi = _place(i, factors[2], nx)
                i1 = min(i0 + 1, nx - 1)
                c00 = (1 - wi) * coarse[k0, j0, i0] + wi * coarse[k0, j0, i1]
                c01 = (1 - wi) * coarse[k0, j1, i0] + wi * coarse[k0, j1, i1]
                c10 = (1 - wi) * coarse[k1, j0, i0] + wi * coarse[k1, j0, i1]
                c11 = (1 - wi) * coarse[k1, j1, i0] + wi * coarse[k1, j1, i1]
                low = (1 - wj) * c00 + wj * c01
                high = (1 - wj) * c10 + wj * c11
                fine[k, j, i] = (1 - wk) * low + wk * high
