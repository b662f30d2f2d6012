"""Slow, plain references: what the fast code must agree with, written to be read at a glance."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

from dosecalc.core.superposition import PADDING, Directions, Medium


def inside_even_odd(
    x: NDArray[np.float64], y: NDArray[np.float64], polygons: list[NDArray[np.float64]]
) -> NDArray[np.bool_]:
    """Whether points lie inside polygons by the even-odd rule: a ray to +x, crossings counted."""
    inside = np.zeros(np.broadcast(x, y).shape, dtype=bool)
    for polygon in polygons:
        for (xa, ya), (xb, yb) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if ya != yb:
                spans = (ya > y) != (yb > y)
                crossing = xa + (y - ya) * (xb - xa) / (yb - ya)
                inside ^= spans & (x < crossing)
    return inside


def area_coverage(
    polygons: list[NDArray[np.float64]],
    x_edges: NDArray[np.float64],
    y_edges: NDArray[np.float64],
    n: int,
) -> NDArray[np.float64]:
    """Fraction of each cell (y, x) inside polygons, from n x n points in each cell."""

    def points(edges: NDArray[np.float64]) -> NDArray[np.float64]:
        offsets = (np.arange(n) + 0.5) / n
        return (edges[:-1, None] + np.diff(edges)[:, None] * offsets).ravel()

    x, y = points(x_edges), points(y_edges)
    inside = inside_even_odd(x[None, :], y[:, None], polygons)
    return inside.reshape(y_edges.size - 1, n, x_edges.size - 1, n).mean(axis=(1, 3))


def even_odd_area(polygons: list[NDArray[np.float64]]) -> float:
    """Area inside polygons by the even-odd rule, exact but for rounding.

    The inside length of a horizontal line is linear in y between the heights at which
    edges begin, end or cross, so its value half-way between them is its mean.
    """
    edges = [(a, b) for p in polygons for a, b in zip(p, np.roll(p, -1, axis=0), strict=True)]
    heights = {float(a[1]) for a, _ in edges}
    for i, (a, b) in enumerate(edges):
        for c, d in edges[:i]:
            u, v, w = b - a, d - c, c - a
            cross = u[0] * v[1] - u[1] * v[0]
            if cross != 0:
                s, t = (w[0] * v[1] - w[1] * v[0]) / cross, (w[0] * u[1] - w[1] * u[0]) / cross
                if 0 <= s <= 1 and 0 <= t <= 1:
                    heights.add(float(a[1] + s * u[1]))
    levels = sorted(heights)
    area = 0.0
    for low, high in pairwise(levels):
        y = (low + high) / 2
        x = sorted(
            a[0] + (y - a[1]) * (b[0] - a[0]) / (b[1] - a[1])
            for a, b in edges
            if (a[1] > y) != (b[1] > y)
        )
        area += (high - low) * sum(b - a for a, b in zip(x[::2], x[1::2], strict=True))
    return area


def _beyond(stage: int, path: float) -> float:
    """Integral from `path` to infinity of the share that stage `stage` has not yet deposited."""
    n = stage + 1
    return float(n * gammaincc(n + 1, path) - path * gammaincc(n, path))


def swept(medium: Medium, directions: Directions) -> NDArray[np.float64]:
    """What `dosecalc.core.superposition.sweep` absorbs, voxel by voxel and without a recursion.

    Energy that enters at stage n travels an Erlang distance of order n + 1; released
    evenly over a voxel of length p it is beyond the path P behind that voxel with the
    share (1/p) times the integral from P to P + p of the upper incomplete gamma function.
    """
    nd, nb, nc = *medium.scaling.shape[:2], medium.voxels_c
    absorbed = np.zeros((nd, nb, nc))
    for k in range(directions.forward.size):
        sideways = [
            np.floor(slope[k] * np.arange(nd) + 0.5).astype(int)
            for slope in (directions.slope_b, directions.slope_c)
        ]
        for d, b, c in np.ndindex(nd, nb, nc):
            if not medium.first[d, b] <= c < medium.last[d, b]:
                continue
            voxel = (d - medium.start_d, b - medium.start_b, c - medium.start_c + PADDING)
            terms = medium.released[(slice(None), *voxel)].astype(float)
            entering = directions.amplitude[k, medium.cell[voxel]].astype(float) @ terms
            own = float(directions.rate[k] * medium.scaling[d, b, c + PADDING])
            before, path = entering.sum(), 0.0
            first = d if directions.forward[k] else nd - 1 - d
            for n in range(first, nd):
                bn = b + sideways[0][n] - sideways[0][first]
                cn = c + sideways[1][n] - sideways[1][first]
                dn = n if directions.forward[k] else nd - 1 - n
                if not (0 <= bn < nb and 0 <= cn < nc):
                    break
                if n > first:
                    path += float(directions.rate[k] * medium.scaling[dn, bn, cn + PADDING])
                behind = sum(
                    s * (_beyond(m, path) - _beyond(m, path + own)) / own
                    for m, s in enumerate(entering)
                )
                absorbed[dn, bn, cn] += before - behind
                before = behind
    return absorbed
