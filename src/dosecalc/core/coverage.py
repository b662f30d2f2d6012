"""Exact area coverage of grid cells by polygons that combine by the even-odd rule.

Two steps. `even_odd_edges` sweeps a plane's polygons from low to high y and
rewrites them as straight pieces that do not cross, each with the sign that the
even-odd rule gives it: +1 where the inside begins to its right, -1 where it
ends. After that, every integral over the inside is a signed sum over pieces:
the area right of each piece, cell by cell (`cover_slices`), or the moments of
the region (`edge_moments`). Orientation, nesting, keyholes, self-crossings and
islands need no further thought, and no sub-sampling is involved.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dosecalc.core._jit import jit

__all__ = ["area_of_cells", "cover_slices", "edge_moments", "even_odd_edges", "outlines_agree"]

# Bands thinner than this and order changes smaller than this are rounding (mm).
_TINY = 1e-9
# Coverage this close to 0 or 1 differs from it by the rounding of running sums only.
_SNAP = 1e-9


@jit
def _sorted_edges(points: Any, starts: Any) -> Any:
    """Edges ``(n, 4)`` x_low, y_low, x_high, y_high of closed polygons, by rising y_low.

    Horizontal edges bound no area to their right and are left out.
    """
    edges = np.empty((points.shape[0], 4), dtype=np.float64)
    count = 0
    for c in range(starts.shape[0] - 1):
        previous = starts[c + 1] - 1
        for i in range(starts[c], starts[c + 1]):
            a, b = previous, i
            previous = i
            if points[a, 1] == points[b, 1]:
                continue
            if points[a, 1] > points[b, 1]:
                a, b = b, a
            edges[count, 0] = points[a, 0]
            edges[count, 1] = points[a, 1]
            edges[count, 2] = points[b, 0]
            edges[count, 3] = points[b, 1]
            count += 1
    return edges[:count][np.argsort(edges[:count, 1])]


@jit
def _x_at(edge: Any, y: float) -> Any:
    """Position x of an edge at height y, exact at both ends."""
    if y == edge[3]:
        return edge[2]
    return edge[0] + (y - edge[1]) * ((edge[2] - edge[0]) / (edge[3] - edge[1]))


@jit
def _admit(edges: Any, active: Any, n_active: int, waiting: int, y: float) -> Any:
    """Move the edges that begin at or below y from the queue to the active ones."""
    while waiting < edges.shape[0] and edges[waiting, 1] <= y:
        active[n_active] = waiting
        n_active += 1
        waiting += 1
    return n_active, waiting


@jit
def _next_end(edges: Any, active: Any, waiting: int) -> float:
    """Lowest height above at which an active edge ends or another edge begins."""
    high = edges[waiting, 1] if waiting < edges.shape[0] else np.inf
    for e in active:
        high = min(high, edges[e, 3])
    return high


@jit
def _band_top(edges: Any, active: Any, low: float, high: float, x_low: Any, x_high: Any) -> float:
    """Height of the lowest crossing of active edges between low and high, or high.

    Two edges cross where their order at the top of the band is not that at its bottom.
    """
    top = high
    for i, e in enumerate(active):
        x_low[i] = _x_at(edges[e], low)
        x_high[i] = _x_at(edges[e], high)
        for j in range(i):
            below = x_low[i] - x_low[j]
            above = x_high[i] - x_high[j]
            if below * above < 0 and min(abs(below), abs(above)) > _TINY:
                y = low + (high - low) * below / (below - above)
                if low + _TINY < y < top:
                    top = y
    return top


@jit
def _order_at(edges: Any, active: Any, y: float, x: Any) -> Any:
    """Order of the active edges by x at height y."""
    for i, e in enumerate(active):
        x[i] = _x_at(edges[e], y)
    return np.argsort(x[: active.shape[0]])


@jit
def _append(pieces: Any, count: int, edge: Any, low: float, high: float, sign: float) -> Any:
    """Store the part low..high of an edge; returns the array, larger where it was full."""
    if count == pieces.shape[0]:
        larger = np.empty((2 * count, 5), dtype=np.float64)
        larger[:count] = pieces
        pieces = larger
    pieces[count, 0] = _x_at(edge, low)
    pieces[count, 1] = low
    pieces[count, 2] = _x_at(edge, high)
    pieces[count, 3] = high
    pieces[count, 4] = sign
    return pieces, count + 1


@jit
def even_odd_edges(points: Any, starts: Any) -> Any:
    """Rewrite polygons as signed pieces that bound the region inside by the even-odd rule.

    Parameters
    ----------
    points : (n, 2) float64, mm
        Corners of all polygons of one plane, one polygon after the other.
    starts : (m + 1,) int64
        Polygon i holds points ``starts[i]`` to ``starts[i + 1] - 1``; it is closed.

    Returns
    -------
    (k, 5) float64
        x, y of the lower end, x, y of the upper end, and the sign: +1 where the
        region lies to the right of the piece (larger x), -1 where it lies to the left.

    Notes
    -----
    A sweep over bands in y within which no edge begins, ends or crosses another:
    sorted by x at mid-band, edges alternately enter and leave the region. A piece
    is as long as its edge keeps its sign. Coincident edges (keyhole bridges) may
    sort either way and enclose nothing.
    """
    edges = _sorted_edges(points, starts)
    n_edges = edges.shape[0]
    active = np.empty(n_edges, dtype=np.int64)
    sign, begun = np.zeros(n_edges), np.empty(n_edges)
    x_low, x_high = np.empty(n_edges), np.empty(n_edges)
    pieces, count = np.empty((n_edges + 8, 5)), 0
    n_active, waiting, y = 0, 0, 0.0
    while n_active > 0 or waiting < n_edges:
        if n_active == 0:
            y = edges[waiting, 1]
        n_active, waiting = _admit(edges, active, n_active, waiting, y)
        high = _next_end(edges, active[:n_active], waiting)
        if high - y > _TINY:
            high = _band_top(edges, active[:n_active], y, high, x_low, x_high)
            order = _order_at(edges, active[:n_active], 0.5 * (y + high), x_low)
            for rank in range(n_active):
                e = active[order[rank]]
                entering = 1.0 - 2.0 * (rank % 2)
                if sign[e] == -entering:
                    pieces, count = _append(pieces, count, edges[e], begun[e], y, sign[e])
                if sign[e] != entering:
                    sign[e], begun[e] = entering, y
        y = high
        kept = 0
        for e in active[:n_active]:
            if edges[e, 3] > y:
                active[kept] = e
                kept += 1
            elif sign[e] != 0.0:
                pieces, count = _append(pieces, count, edges[e], begun[e], edges[e, 3], sign[e])
        n_active = kept
    return pieces[:count].copy()


@jit
def _near(point: Any, outline: Any, distance: float) -> bool:
    """Whether a point lies within a distance of the closed line through `outline`, (n, 2)."""
    for i in range(outline.shape[0]):
        a, b = outline[i - 1], outline[i]
        dx, dy = b[0] - a[0], b[1] - a[1]
        ux, uy = point[0] - a[0], point[1] - a[1]
        squared = dx * dx + dy * dy
        if squared > 0.0:
            along = min(max((ux * dx + uy * dy) / squared, 0.0), 1.0)
            ux -= along * dx
            uy -= along * dy
        if ux * ux + uy * uy <= distance * distance:
            return True
    return False


@jit
def outlines_agree(first: Any, second: Any, distance: float) -> bool:
    """Whether each corner of two closed polygons, (n, 2) and (m, 2), lies near the other's line."""
    for points, outline in ((first, second), (second, first)):
        for i in range(points.shape[0]):
            if not _near(points[i], outline, distance):
                return False
    return True


@jit
def edge_moments(pieces: Any) -> Any:
    """Area (mm2) and first moments in x and y (mm3) of the region bounded by signed pieces.

    With u the distance from the piece to a far line on its right, the area right
    of a piece is its height times mean u; lines cancel between the two signs, so
    x itself (with the opposite sign) may stand for u.
    """
    area = 0.0
    moment_x = 0.0
    moment_y = 0.0
    for i in range(pieces.shape[0]):
        xa, ya, xb, yb, sign = pieces[i]
        height = yb - ya
        area -= sign * height * 0.5 * (xa + xb)
        moment_x -= sign * height * (xa * xa + xa * xb + xb * xb) / 6.0
        moment_y -= sign * height * (xa * (2.0 * ya + yb) + xb * (ya + 2.0 * yb)) / 6.0
    return area, moment_x, moment_y


@jit
def _add_within_row(row: Any, ua: float, ub: float, height: float, n_cells: int) -> None:
    """Add the area right of a piece that lies within one row of cells, all in cell units.

    `row` holds differences along x: after a running sum, cell k holds the area of
    its part to the right of the piece.
    """
    if ua > ub:
        ua, ub = ub, ua
    if ua >= n_cells:
        return
    if ub <= 0.0:
        row[0] += height
        return
    if ua < 0.0:
        row[0] += height * (-ua) / (ub - ua)
        height *= ub / (ub - ua)
        ua = 0.0
    if ub > n_cells:
        height *= (n_cells - ua) / (ub - ua)
        ub = float(n_cells)
    cell = min(int(ua), n_cells - 1)
    while True:
        right = cell + 1.0
        end = min(ub, right)
        part = height if ub <= right else height * (end - ua) / (ub - ua)
        covered = part * (right - 0.5 * (ua + end))
        row[cell] += covered
        row[cell + 1] += part - covered
        if ub <= right:
            return
        height -= part
        ua = right
        cell += 1


@jit
def _add_piece(rows: Any, piece: Any, weight: float) -> None:
    """Add one signed piece, in cell units, to the rows it passes through."""
    n_rows = rows.shape[0]
    n_cells = rows.shape[1] - 1
    ua, va, ub, vb = piece[0], piece[1], piece[2], piece[3]
    signed = weight * piece[4]
    low, high = max(va, 0.0), min(vb, float(n_rows))
    if high <= low:
        return
    slope = (ub - ua) / (vb - va)
    u = ua if low == va else ua + (low - va) * slope
    for j in range(int(low), n_rows):
        top = min(high, j + 1.0)
        u_top = ub if top == vb else ua + (top - va) * slope
        if top > low:
            _add_within_row(rows[j], u, u_top, signed * (top - low), n_cells)
        if top >= high:
            return
        low, u = top, u_top


@jit
def _write_slice(rows: Any, box: Any, out: Any) -> None:
    """Turn differences along x into coverage within a box of cells, and clear them."""
    for j in range(box[0], box[1]):
        total = 0.0
        for i in range(box[2], box[3]):
            total += rows[j, i]
            value = min(max(total, 0.0), 1.0)
            if value < _SNAP:
                value = 0.0
            elif value > 1.0 - _SNAP:
                value = 1.0
            out[j, i] = value
        rows[j, :] = 0.0


@jit
def _cells_touched(pieces: Any, n_rows: int, n_cells: int) -> Any:
    """Ranges of rows and of cells (first, one past last, first, one past last) under pieces."""
    u_low, v_low, u_high, v_high = np.inf, np.inf, -np.inf, -np.inf
    for i in range(pieces.shape[0]):
        u_low = min(u_low, pieces[i, 0], pieces[i, 2])
        u_high = max(u_high, pieces[i, 0], pieces[i, 2])
        v_low = min(v_low, pieces[i, 1])
        v_high = max(v_high, pieces[i, 3])
    if not (u_low < n_cells and v_low < n_rows and u_high > 0.0 and v_high > 0.0):
        return np.zeros(4, dtype=np.int64)
    box = np.empty(4, dtype=np.int64)
    box[0] = int(max(v_low, 0.0))
    box[1] = int(min(v_high + 1.0, n_rows))
    box[2] = int(max(u_low, 0.0))
    box[3] = int(min(u_high + 1.0, n_cells))
    return box


@jit
def area_of_cells(pieces: Any, out: Any, box: Any) -> None:
    """Fraction of each cell's area inside one section.

    Parameters
    ----------
    pieces : (k, 5) float64
        Signed pieces (`even_odd_edges`), in cells from the lower corner of cell [0, 0].
    out : (rows, cells) float64
        Receives the fractions within `box`; the rest becomes zero.
    box : (4,) int64
        Receives the first row, one past the last, the first cell and one past the last that
        the section touches.
    """
    box[:] = _cells_touched(pieces, out.shape[0], out.shape[1])
    out[:] = 0.0
    rows = np.zeros((box[1] - box[0], box[3] - box[2] + 1))
    moved = np.empty(5)
    for i in range(pieces.shape[0]):
        moved[:] = pieces[i]
        moved[0] -= box[2]
        moved[2] -= box[2]
        moved[1] -= box[0]
        moved[3] -= box[0]
        _add_piece(rows, moved, 1.0)
    whole = np.array([0, rows.shape[0], 0, rows.shape[1] - 1])
    _write_slice(rows, whole, out[box[0] : box[1], box[2] : box[3]])


@jit
def cover_slices(
    pieces: Any, plane_starts: Any, slabs: Any, lower: Any, spacing: Any, out: Any
) -> None:
    """Fraction of each voxel's volume inside a stack of slabs of constant cross-section.

    Parameters
    ----------
    pieces : (k, 5) float64, mm
        Signed pieces of all planes (`even_odd_edges`), plane after plane.
    plane_starts : (p + 1,) int64
        Plane i holds pieces ``plane_starts[i]`` to ``plane_starts[i + 1] - 1``.
    slabs : (p, 2) float64, mm
        Lower and upper z of each plane's slab, rising; slabs do not overlap.
    lower : (3,) float64, mm
        x, y, z of the outer corner of voxel ``[0, 0, 0]``.
    spacing : (3,) float64, mm
        Voxel size x, y, z.
    out : (nz, ny, nx) float32
        Zeros; receives the fractions, 0 to 1, with an error below 1e-6 for
        coordinates up to 10 m.
    """
    scaled = np.empty_like(pieces)
    for i in range(pieces.shape[0]):
        for k in range(4):
            scaled[i, k] = (pieces[i, k] - lower[k % 2]) / spacing[k % 2]
        scaled[i, 4] = pieces[i, 4]
    box = _cells_touched(scaled, out.shape[1], out.shape[2])
    rows = np.zeros((out.shape[1], out.shape[2] + 1), dtype=np.float64)
    first = 0
    for k in range(out.shape[0]):
        z_low = lower[2] + k * spacing[2]
        z_high = lower[2] + (k + 1) * spacing[2]
        while first < slabs.shape[0] and slabs[first, 1] <= z_low:
            first += 1
        plane = first
        while plane < slabs.shape[0] and slabs[plane, 0] < z_high:
            share = (min(slabs[plane, 1], z_high) - max(slabs[plane, 0], z_low)) / spacing[2]
            if share > 0.0:
                for i in range(plane_starts[plane], plane_starts[plane + 1]):
                    _add_piece(rows, scaled[i], share)
            plane += 1
        if plane > first:
            _write_slice(rows, box, out[k])
