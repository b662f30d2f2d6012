"""Where the dose is calculated: a grid around structures or a scan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor

import numpy as np

from dosecalc.errors import GeometryError, InputError
from dosecalc.model import CtImage, Grid, Structure
from dosecalc.patient.coverage import slab_stack

__all__ = ["bounds", "dose_grid"]

Corner = tuple[float, float, float]


def bounds(
    structures: Iterable[Structure], *, plane_spacing: float | None = None
) -> tuple[Corner, Corner]:
    """Lower and upper corner (x, y, z), mm, of the box around one or more structures.

    `plane_spacing` is that of :func:`dosecalc.patient.coverage.slab_stack`.
    """
    lower, upper = [], []
    for structure in structures:
        if structure.is_empty:
            raise GeometryError(
                f"structure {structure.name!r} has no contours, so it has no extent; "
                "draw it or name another one"
            )
        points = np.concatenate([c.points for c in structure.contours])
        z = slab_stack(structure, plane_spacing=plane_spacing).bounds
        lower.append((*points.min(axis=0), z.min()))
        upper.append((*points.max(axis=0), z.max()))
    if not lower:
        raise InputError("no structure was given to put a box around")
    low, high = np.min(lower, axis=0), np.max(upper, axis=0)
    return (
        (float(low[0]), float(low[1]), float(low[2])),
        (float(high[0]), float(high[1]), float(high[2])),
    )


def dose_grid(
    region: Structure | Sequence[Structure] | CtImage,
    *,
    spacing: float | Corner = 2.5,
    margin: float = 10.0,
    ct: CtImage | None = None,
) -> Grid:
    """Return a grid around structures (usually the body) or around all of a scan.

    Parameters
    ----------
    region : Structure, sequence of Structure, or CtImage
    spacing : float or (sx, sy, sz), mm
    margin : float, mm
        Added on every side of structures; a scan gets none.
    ct : CtImage, optional
        The grid then stays inside the scan, where it has the room of a voxel at least.

    Returns
    -------
    Grid
        Centred on the region, except where the scan ends earlier on one side.
    """
    steps = spacing if isinstance(spacing, tuple) else (spacing, spacing, spacing)
    if isinstance(region, CtImage):
        low, high = region.grid.lower, region.grid.upper
        limits = region.grid
    else:
        several = (region,) if isinstance(region, Structure) else region
        low, high = bounds(several, plane_spacing=None if ct is None else ct.grid.spacing[2])
        low = (low[0] - margin, low[1] - margin, low[2] - margin)
        high = (high[0] + margin, high[1] + margin, high[2] + margin)
        if ct is None:
            return Grid.covering(low, high, steps)
        limits = ct.grid
    counts, origin = [], []
    for i in range(3):
        n, first = _axis_inside(low[i], high[i], steps[i], limits.lower[i], limits.upper[i])
        counts.append(n)
        origin.append(first)
    return Grid((counts[2], counts[1], counts[0]), steps, (origin[0], origin[1], origin[2]))


def _axis_inside(
    low: float, high: float, step: float, first: float, last: float
) -> tuple[int, float]:
    """Count and first centre of voxels around low..high that do not reach beyond first..last."""
    if high <= first or low >= last:
        raise GeometryError(
            f"the region from {low:.1f} to {high:.1f} mm lies outside the CT, which reaches from "
            f"{first:.1f} to {last:.1f} mm; the structures belong to another CT"
        )
    room = max(1, floor((last - first) / step + 1e-6))
    n = min(ceil((high - low) / step - 1e-6), room)
    start = (low + high - n * step) / 2
    start = max(first, min(start, last - n * step))
    return n, start + step / 2
