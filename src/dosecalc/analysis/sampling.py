"""How a structure is cut into layers and cells, where its dose is looked up for a histogram."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.core.dvh import Axis, Layers, Scale, collect_layers
from dosecalc.model import Dose, Grid
from dosecalc.patient.coverage import SlabStack

__all__ = ["Collected", "box_stack", "collect"]

# Doses are told apart to one part in this many of their range around the structure.
_BINS = 16384
# Cells per radius of a disc, or per thickness of a shell: what is wanted while there are few
# cells, and what is needed even where there are many.
_WANTED, _NEEDED = 24, 4
# A voxel is cut an even number of times, so that no cell lies on both sides of its centre,
# where the dose bends.
_DIVISIONS = (2, 4, 6, 8, 12, 16, 24, 32)
_FEW_CELLS, _MANY_CELLS = 1_000_000, 4_000_000
# Layers thinner than this are rounding (mm).
_THIN = 1e-6
# Less than this share of the volume in a bin is rounding of the running sum.
_NOISE = 1e-12

Span = tuple[int, int]


class Collected(NamedTuple):
    """What a structure holds: doses (n,), Gy, falling; volumes (n,), cm3; their sum, cm3.

    ends_gy : lowest and highest dose, which may be those of a point
    """

    dose_gy: NDArray[np.float64]
    volumes_cm3: NDArray[np.float64]
    inside_cm3: float
    ends_gy: tuple[float, float]


class _Part(NamedTuple):
    """The voxels of a dose grid that a structure can need, and the first of them, z, y, x."""

    gray: NDArray[np.float32]
    first: tuple[int, int, int]


def collect(stack: SlabStack, dose: Dose, *, divisions: int | None = None) -> Collected | None:
    """Collect the volume per dose of a structure.

    Parameters
    ----------
    stack : SlabStack
    dose : Dose
    divisions : int or None, even
        Cells per voxel along each axis; chosen for the structure's size if None.

    Returns
    -------
    Collected or None
        None where nothing lies within the outer faces of the dose grid.
    """
    grid = dose.grid
    spans = _touched(stack, grid)
    if spans is None:
        return None
    n = divisions or _divisions(stack, grid)
    layers = _layers(stack, grid, grid.spacing[2] / n)
    if layers.middle.size == 0:
        return None
    part = _part(dose, spans, layers)
    (first_y, last_y), (first_x, last_x) = spans
    rows = _axis((first_y, last_y), grid.shape[1], n, part.first[1])
    columns = _axis((first_x, last_x), grid.shape[2], n, part.first[2])
    pieces = _in_cells(stack.pieces, grid, (first_x, first_y), n)
    scale = _scale(part.gray)
    change, reach = np.zeros(_BINS + 1), np.array([np.inf, -np.inf])
    layers = layers._replace(middle=layers.middle - part.first[0])
    total = collect_layers(
        pieces, stack.starts, layers, rows, columns, part.gray, grid.spacing[2], scale, change,
        reach,
    )  # fmt: skip
    if not total > 0:
        return None
    cell = grid.spacing[0] * grid.spacing[1] / n**2 / 1000
    volumes = np.cumsum(change)[:-1]
    held = np.flatnonzero(volumes > _NOISE * total)[::-1]
    doses = scale.lowest + (held + 0.5) * scale.width
    # Cells are taken for linear, which no interpolated dose is quite: voxels are the bounds.
    low, high = float(part.gray.min()), float(part.gray.max())
    ends = max(float(reach[0]), low), min(float(reach[1]), high)
    return Collected(np.clip(doses, *ends), volumes[held] * cell, total * cell, ends)


def box_stack(lower: tuple[float, float, float], upper: tuple[float, float, float]) -> SlabStack:
    """Return a box as a stack of one slab, mm."""
    (x0, y0, z0), (x1, y1, z1) = lower, upper
    pieces = np.array([[x0, y0, x0, y1, 1.0], [x1, y0, x1, y1, -1.0]])
    area = (x1 - x0) * (y1 - y0)
    return SlabStack(
        z=np.array([(z0 + z1) / 2]),
        bounds=np.array([[z0, z1]]),
        moments=np.array([[area, area * (x0 + x1) / 2, area * (y0 + y1) / 2]]),
        pieces=pieces,
        starts=np.array([0, 2], dtype=np.int64),
    )


def _touched(stack: SlabStack, grid: Grid) -> tuple[Span, Span] | None:
    """Voxels (first, one past last) in y and x under the sections; None where there are none."""
    if stack.pieces.size == 0:
        return None
    spans = []
    for k in (1, 0):
        edges = (stack.pieces[:, [k, k + 2]] - grid.lower[k]) / grid.spacing[k]
        first = max(int(np.floor(edges.min())), 0)
        last = min(int(np.ceil(edges.max())), grid.shape[2 - k])
        if last <= first:
            return None
        spans.append((first, last))
    return spans[0], spans[1]


def _divisions(stack: SlabStack, grid: Grid) -> int:
    """Cells per voxel and axis: as fine as the structure is thin, unless that makes too many."""
    pieces = stack.pieces
    outline = float(np.hypot(pieces[:, 2] - pieces[:, 0], pieces[:, 3] - pieces[:, 1]).sum())
    radius = 2 * float(stack.moments[:, 0].sum()) / outline
    voxels = float(stack.volumes.sum()) / (1000 * grid.voxel_volume_cm3)
    found = _DIVISIONS[0]
    for cells, most in ((_WANTED, _FEW_CELLS), (_NEEDED, _MANY_CELLS)):
        enough = cells * max(grid.spacing[:2]) / max(radius, 1e-9)
        allowed = [n for n in _DIVISIONS if n**3 * voxels <= most] or [_DIVISIONS[0]]
        found = max(found, next((n for n in allowed if n >= enough), allowed[-1]))
    return found


def _axis(span: Span, count: int, n: int, start: int) -> Axis:
    """Cells of the voxels `span` of an axis of `count`, whose voxels are numbered from `start`."""
    place = span[0] - 0.5 + (np.arange((span[1] - span[0]) * n) + 0.5) / n
    low = np.floor(place).clip(0, count - 1).astype(np.int64)
    inner = (place > 0) & (place < count - 1)
    after = np.where(inner, low + 1, low)
    return Axis(low - start, after - start, np.where(inner, place - low, 0.0), 1.0 / n)


def _in_cells(pieces: NDArray[np.float64], grid: Grid, first: Span, n: int) -> NDArray[np.float64]:
    """Pieces in cells from the lower corner of voxel (x, y) `first`."""
    scaled = pieces.copy()
    for column in range(4):
        k = column % 2
        voxel = (pieces[:, column] - grid.lower[k]) / grid.spacing[k]
        scaled[:, column] = n * (voxel - first[k])
    return scaled


def _layers(stack: SlabStack, grid: Grid, thickest: float) -> Layers:
    """Cut slabs at voxel centres, where the dose bends, and further until layers are thin."""
    low, high = grid.lower[2], grid.upper[2]
    cuts = np.concatenate((stack.bounds.ravel(), grid.centres("z"), np.array([low, high])))
    cuts = np.unique(cuts[(cuts >= low) & (cuts <= high)])
    steps = np.diff(cuts)
    cuts, steps = cuts[:-1][steps > _THIN], steps[steps > _THIN]
    counts = np.ceil(steps / thickest - 1e-9).astype(np.int64)
    thickness = np.repeat(steps / counts, counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    middle = np.repeat(cuts, counts) + (within + 0.5) * thickness
    slab = (np.searchsorted(stack.bounds[:, 0], middle) - 1).clip(0)
    held = (middle > stack.bounds[slab, 0]) & (middle < stack.bounds[slab, 1])
    place = (middle[held] - grid.origin[2]) / grid.spacing[2]
    return Layers(place, thickness[held], slab[held])


def _part(dose: Dose, spans: tuple[Span, Span], layers: Layers) -> _Part:
    """Cut out the voxels whose centres the cells lie between."""
    first, last = int(np.floor(layers.middle.min())), int(np.floor(layers.middle.max())) + 2
    ranges = [(first, last), *((low - 1, high + 1) for low, high in spans)]
    z, y, x = (slice(max(low, 0), high) for low, high in ranges)
    gray = np.ascontiguousarray(dose.gray[z, y, x])
    return _Part(gray, (z.start, y.start, x.start))


def _scale(gray: NDArray[np.float32]) -> Scale:
    """Bins for all doses between the lowest and the highest of some voxels."""
    lowest, highest = float(gray.min()), float(gray.max())
    width = (highest - lowest) / _BINS
    return Scale(lowest, width if width > 0 else max(abs(highest), 1.0) / _BINS)
