"""Cubic B-splines on regular grids: values and slopes at scattered places, in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from dosecalc.core._jit import jit, jit_inline

__all__ = ["spline_slopes", "spline_values"]


@jit_inline
def _weights(place: float, count: int, index: Any, share: Any, slope: Any) -> None:
    """Four knots about a place along one axis, mirrored at the ends, and their weights."""
    inside = 0.0 <= place <= count - 1
    place = min(max(place, 0.0), count - 1.0)
    first = min(int(np.floor(place)), max(count - 2, 0))
    t = place - first
    for k in range(4):
        knot = abs(first - 1 + k)
        knot = 2 * (count - 1) - knot if knot > count - 1 else knot
        index[k] = max(knot, 0)
    share[0] = (1 - t) ** 3 / 6
    share[1] = (4 - 6 * t**2 + 3 * t**3) / 6
    share[2] = (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6
    share[3] = t**3 / 6
    slope[0] = -((1 - t) ** 2) / 2
    slope[1] = (3 * t**2 - 4 * t) / 2
    slope[2] = (1 + 2 * t - 3 * t**2) / 2
    slope[3] = t**2 / 2
    if not inside:
        slope[:] = 0.0


@jit
def spline_slopes(knots: Any, places: Any, values: Any, slopes: Any) -> None:
    """Sample a spline and its derivatives; constant beyond the outermost voxel centres.

    Parameters
    ----------
    knots : (nz, ny, nx) float64
        Coefficients of the cubic B-spline, mirrored at the outermost voxel centres.
    places : (3, n) float64
        Indices in z, y, x.
    values : (n,) float64, output
    slopes : (3, n) float64, output
        Derivatives by the indices in z, y, x.
    """
    nz, ny, nx = knots.shape
    index, share, slope = np.empty((3, 4), np.int64), np.empty((3, 4)), np.empty((3, 4))
    for n in range(places.shape[1]):
        _weights(places[0, n], nz, index[0], share[0], slope[0])
        _weights(places[1, n], ny, index[1], share[1], slope[1])
        _weights(places[2, n], nx, index[2], share[2], slope[2])
        value, by_z, by_y, by_x = 0.0, 0.0, 0.0, 0.0
        for k in range(4):
            plane, plane_y, plane_x = 0.0, 0.0, 0.0
            for j in range(4):
                line, line_x = 0.0, 0.0
                for i in range(4):
                    knot = knots[index[0, k], index[1, j], index[2, i]]
                    line += share[2, i] * knot
                    line_x += slope[2, i] * knot
                plane += share[1, j] * line
                plane_y += slope[1, j] * line
                plane_x += share[1, j] * line_x
            value += share[0, k] * plane
            by_z += slope[0, k] * plane
            by_y += share[0, k] * plane_y
            by_x += share[0, k] * plane_x
        values[n] = value
        slopes[0, n], slopes[1, n], slopes[2, n] = by_z, by_y, by_x


@jit
def spline_values(knots: Any, places: Any, values: Any) -> None:
    """Sample a spline without its derivatives; see :func:`spline_slopes`."""
    nz, ny, nx = knots.shape
    index, share, slope = np.empty((3, 4), np.int64), np.empty((3, 4)), np.empty((3, 4))
    for n in range(places.shape[1]):
        _weights(places[0, n], nz, index[0], share[0], slope[0])
        _weights(places[1, n], ny, index[1], share[1], slope[1])
        _weights(places[2, n], nx, index[2], share[2], slope[2])
        value = 0.0
        for k in range(4):
            for j in range(4):
                line = 0.0
                for i in range(4):
                    line += share[2, i] * knots[index[0, k], index[1, j], index[2, i]]
                value += share[0, k] * share[1, j] * line
        values[n] = value
