"""Where the dose is calculated: a grid around structures or a scan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dosecalc.errors import GeometryError, InputError
from dosecalc.model import CtImage, Grid, Structure
from dosecalc.patient.coverage import slab_stack

__all__ = ["bounds", "dose_grid"]

Corner = tuple[float, float, float]


def bounds(
    structures: Iterable[Structure], *, slices: float | None = None
) -> tuple[Corner, Corner]:
    """Lower and upper corner (x, y, z), mm, of the box around one or more structures.

    `slices` is the spacing of the image slices, mm, for structures that do not state it.
    """
    lower, upper = [], []
    for structure in structures:
        if structure.is_empty:
            raise GeometryError(
                f"structure {structure.name!r} has no contours, so it has no extent; "
                "draw it or name another one"
            )
        points = np.concatenate([c.points for c in structure.contours])
        z = slab_stack(structure, plane_spacing=structure.slice_spacing or slices).bounds
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
        The margin then ends where the scan ends, but for the last part of a voxel.

    Returns
    -------
    Grid
        It covers the region, so nothing of a body inside the scan is cut off.
    """
    steps = spacing if isinstance(spacing, tuple) else (spacing, spacing, spacing)
    if isinstance(region, CtImage):
        return Grid.covering(region.grid.lower, region.grid.upper, steps)
    several = (region,) if isinstance(region, Structure) else region
    low, high = bounds(several, slices=None if ct is None else ct.grid.spacing[2])
    first = np.array(low) - margin
    last = np.array(high) + margin
    if ct is not None:
        first = np.maximum(first, ct.grid.lower)
        last = np.minimum(last, ct.grid.upper)
        if (first >= last).any():
            raise GeometryError(
                f"the region from {low} to {high} mm lies outside the CT, which reaches from "
                f"{ct.grid.lower} to {ct.grid.upper} mm; the structures belong to another CT"
            )
    return Grid.covering(
        (float(first[0]), float(first[1]), float(first[2])),
        (float(last[0]), float(last[1]), float(last[2])),
        steps,
    )
