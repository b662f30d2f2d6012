"""Volume per dose of a structure of planar sections in a dose that is trilinear between voxels.

The structure comes as thin layers of constant section. A layer is cut into cells of a
lattice that divides every voxel evenly. The part of a cell inside the section is exact
(:mod:`dosecalc.core.coverage`). The dose is trilinear, and what is covered is spread evenly
over the doses between the two faces across which the dose changes most: neighbouring cells
join without steps, and a section that fills its cells in a dose linear along an axis has
its exact histogram whatever the size of the cells. Of a cell that is covered in part, the
side is taken that the neighbours' coverage points to. The error falls with the square of
the size of the cells.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dosecalc.core._jit import jit
from dosecalc.core.coverage import area_of_cells

__all__ = ["Axis", "Layers", "Scale", "collect_layers"]

# Rounding of where a cell ends, in voxels.
_SLACK = 1e-9


class Layers(NamedTuple):
    """Layers of a structure; n of them, in order of rising z.

    middle, thickness : (n,) float64, fractional voxel index and mm
    plane : (n,) int64, whose section it has, never falling
    """

    middle: Any
    thickness: Any
    plane: Any


class Axis(NamedTuple):
    """Cells along x or y: of each its voxels and how far it lies between their centres.

    voxel : (m,) int64, the voxel whose centre is at or below the cell's
    after : (m,) int64, the one that is interpolated to; the same beyond the outermost centres
    share : (m,) float64, how far the cell's centre lies from the one to the other
    size : float, of a cell over that of a voxel
    """

    voxel: Any
    after: Any
    share: Any
    size: float


class Scale(NamedTuple):
    """Doses of the bins: the first begins at `lowest`, each is `width` wide."""

    lowest: float
    width: float


@jit
def _spread(change: Any, low: float, high: float, volume: float) -> None:
    """Add a volume spread evenly from `low` to `high`, in bins, to the changes between bins."""
    last = change.shape[0] - 2
    first, final = min(max(int(low), 0), last), min(max(int(high), 0), last)
    if first == final:
        change[first] += volume
        change[first + 1] -= volume
        return
    slope = volume / (high - low)
    part = slope * (low - first)
    change[first] += slope - part
    change[first + 1] += part
    part = slope * (high - final)
    change[final] -= slope - part
    change[final + 1] -= part


@jit
def _between_slices(gray: Any, index: float, thickness: float, plane: Any, rise: Any) -> None:
    """Interpolate a slice of the dose, and its change across a layer; constant at the rim."""
    count = gray.shape[0]
    low = min(max(int(np.floor(index)), 0), count - 1)
    high = min(low + 1, count - 1) if index > 0.0 else low
    share = index - low if high > low else 0.0
    for j in range(plane.shape[0]):
        for i in range(plane.shape[1]):
            step = np.float64(gray[high, j, i]) - gray[low, j, i]
            plane[j, i] = gray[low, j, i] + share * step
            rise[j, i] = step * thickness


@jit
def _between_rows(plane: Any, rise: Any, rows: Any, row: int, lines: Any) -> None:
    """Interpolate a line of the slice at a row of cells, and its changes across a cell."""
    low, high, share = rows.voxel[row], rows.after[row], rows.share[row]
    for i in range(lines.shape[1]):
        step = plane[high, i] - plane[low, i]
        lines[0, i] = plane[low, i] + share * step
        lines[1, i] = step * rows.size
        lines[2, i] = rise[low, i] + share * (rise[high, i] - rise[low, i])


@jit
def _inward(section: Any, j: int, i: int) -> Any:
    """Direction (x, y) in which the section lies from a cell that it covers in part.

    Of unit length; zero where the neighbours do not tell.
    """
    last_j, last_i = section.shape[0] - 1, section.shape[1] - 1
    x = section[j, min(i + 1, last_i)] - section[j, max(i - 1, 0)]
    y = section[min(j + 1, last_j), i] - section[max(j - 1, 0), i]
    length = np.sqrt(x * x + y * y)
    if length == 0.0:
        return 0.0, 0.0
    return x / length, y / length


@jit
def _collect_row(
    section: Any, j: int, span: Any, thickness: float, lines: Any, columns: Any, scale: Any,
    change: Any, reach: Any,
) -> float:  # fmt: skip
    """Spread the cells of one row over the doses; returns the sum of what they cover.

    section : (rows, cells), share of each cell that is covered
    j, span : the row, and its first and one past its last cell to look at
    lines : (3, nx), dose, and its change across a cell in y and in z
    reach : (2,), lowest and highest dose met so far
    """
    total = 0.0
    value, along_y, along_z = lines[0], lines[1], lines[2]
    for i in range(span[0], span[1]):
        share = section[j, i]
        if share <= 0.0:
            continue
        low, high, at = columns.voxel[i], columns.after[i], columns.share[i]
        step = value[high] - value[low]
        dose = value[low] + at * step
        wx = step * columns.size
        wy = along_y[low] + at * (along_y[high] - along_y[low])
        wz = along_z[low] + at * (along_z[high] - along_z[low])
        if share < 1.0:
            # What is covered lies on the section's side of the cell, and is narrower than it.
            x, y = _inward(section, j, i)
            dose += 0.5 * (1.0 - share) * (x * wx + y * wy)
            wx *= 1.0 - (1.0 - share) * abs(x)
            wy *= 1.0 - (1.0 - share) * abs(y)
        half = 0.5 * max(abs(wx), max(abs(wy), abs(wz)))
        reach[0] = min(reach[0], dose - half)
        reach[1] = max(reach[1], dose + half)
        place = (dose - scale.lowest) / scale.width
        half /= scale.width
        _spread(change, place - half, place + half, share * thickness)
        total += share * thickness
    return total


@jit
def _touched(low: int, after: int, share: float, half: float) -> int:
    """Voxel whose centre a cell touches that is `half` a voxel's share to each side; -1: none."""
    if share <= half:
        return low
    return after if share >= 1.0 - half else -1


@jit
def _meet_centres(section: Any, j: int, span: Any, line: Any, columns: Any, reach: Any) -> None:
    """Let the doses (nx,) of voxel centres count that a covered cell of a row touches.

    The dose is highest and lowest at centres of voxels, which are corners of cells.
    """
    half = 0.5 * columns.size + _SLACK
    for i in range(span[0], span[1]):
        if section[j, i] >= 1.0:
            voxel = _touched(columns.voxel[i], columns.after[i], columns.share[i], half)
            if voxel >= 0:
                reach[0] = min(reach[0], line[voxel])
                reach[1] = max(reach[1], line[voxel])


@jit
def collect_layers(
    pieces: Any, starts: Any, layers: Any, rows: Any, columns: Any, gray: Any, step_z: float,
    scale: Any, change: Any, reach: Any,
) -> float:  # fmt: skip
    """Collect the volume per dose of a structure, in cells times mm of thickness.

    Parameters
    ----------
    pieces : (k, 5) float64
        Signed pieces of all planes, x and y in cells from the first cell's lower corner.
    starts : (p + 1,) int64
        Plane i holds pieces ``starts[i]`` to ``starts[i + 1] - 1``.
    layers : Layers
    rows, columns : Axis
        Cells in y and x.
    gray : (nz, ny, nx) float32
    step_z : float, mm
        Voxel size in z.
    scale : Scale
    change : (n + 1,) float64
        Zeros; its running sum becomes the volume in each of n bins.
    reach : (2,) float64
        Infinity and minus infinity; becomes the lowest and the highest dose met.

    Returns
    -------
    float
        All of the volume.
    """
    section = np.zeros((rows.voxel.shape[0], columns.voxel.shape[0]))
    box, held, total = np.zeros(4, dtype=np.int64), -1, 0.0
    plane, rise = np.empty(gray.shape[1:]), np.empty(gray.shape[1:])
    lines = np.empty((3, gray.shape[2]))
    for n in range(layers.middle.shape[0]):
        wanted, thickness = layers.plane[n], layers.thickness[n]
        if held != wanted:
            area_of_cells(pieces[starts[wanted] : starts[wanted + 1]], section, box)
            held = wanted
        _between_slices(gray, layers.middle[n], thickness / step_z, plane, rise)
        below = min(max(int(np.floor(layers.middle[n])), 0), gray.shape[0] - 1)
        above = min(below + 1, gray.shape[0] - 1)
        aside = max(layers.middle[n] - below, 0.0) if above > below else 0.0
        slice_at = _touched(below, above, aside, 0.5 * thickness / step_z + _SLACK)
        for j in range(box[0], box[1]):
            row_at = _touched(rows.voxel[j], rows.after[j], rows.share[j], 0.5 * rows.size + _SLACK)
            if slice_at >= 0 and row_at >= 0:
                line = gray[slice_at, row_at]
                _meet_centres(section, j, (box[2], box[3]), line, columns, reach)
            _between_rows(plane, rise, rows, j, lines)
            total += _collect_row(
                section, j, (box[2], box[3]), thickness, lines, columns, scale, change, reach
            )
    return total
