"""Dose differences point by point: evaluated minus reference, at the reference's voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import GeometryError, InputError
from dosecalc.model import Dose, Grid
from dosecalc.model.checks import finite, positive

__all__ = ["DoseDifference", "chosen", "dose_difference"]


@dataclass(frozen=True)
class DoseDifference:
    """Evaluated minus reference dose at the reference's voxel centres that count.

    Percentages are of `normalisation`. The statistics are of the points within the
    evaluated grid; those outside are `outside` and in no other number.

    Parameters
    ----------
    grid : Grid
        Of the reference.
    percent : (nz, ny, nx) float32
        NaN below the threshold and outside of the evaluated grid.
    normalisation : float
        The dose that percentages are of, in the unit of the doses.
    threshold_percent : float
        Reference doses below this share of the normalisation do not count.
    points, outside : int
        Points that count, and those of them that lie outside of the evaluated grid.
    mean_percent, rms_percent : float
    p99_percent : float
        99 % of the absolute differences are at most this.
    worst_percent : float
        The largest difference in absolute value, with its sign.
    worst_position : (x, y, z), mm, LPS
        The first of several.
    worst_reference, worst_evaluated : float
        Doses there, in the unit of the doses.
    notes : tuple of str
    """

    grid: Grid
    percent: NDArray[np.float32]
    normalisation: float
    threshold_percent: float
    points: int
    outside: int
    mean_percent: float
    rms_percent: float
    p99_percent: float
    worst_percent: float
    worst_position: tuple[float, float, float]
    worst_reference: float
    worst_evaluated: float
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        view = np.ascontiguousarray(self.percent, dtype=np.float32).view()
        if view.shape != self.grid.shape:
            raise InputError(f"dose difference has shape {view.shape}, its grid {self.grid.shape}")
        view.flags.writeable = False
        object.__setattr__(self, "percent", view)


def dose_difference(
    reference: Dose,
    evaluated: Dose,
    *,
    normalisation: float | None = None,
    threshold_percent: float = 10.0,
    within: NDArray[np.bool_] | None = None,
    besides: NDArray[np.bool_] | None = None,
) -> DoseDifference:
    """Compare two doses point by point.

    Parameters
    ----------
    reference, evaluated : Dose
        In one unit, on any two grids. The evaluated dose is trilinear between its voxel
        centres, and stays what it is there in the half voxel up to the faces of its grid.
    normalisation : float or None
        In the unit of the doses, such as the prescription; the reference's maximum if None.
    threshold_percent : float, 0 to 100
    within : (nz, ny, nx) bool or None
        Reference points that may count, such as those in the patient; all if None.
    besides : (nz, ny, nx) bool or None
        Reference points that count though they do not reach the threshold.

    Raises
    ------
    InputError
        The units differ, or no reference dose reaches the threshold.
    GeometryError
        No point that counts lies on the evaluated grid.
    """
    if reference.unit != evaluated.unit:
        raise InputError(
            f"dose difference: the reference is in {reference.unit}, the evaluated dose in "
            f"{evaluated.unit}; bring both to one unit first"
        )
    threshold = finite(threshold_percent, "threshold of the dose difference (percent)")
    if not 0 <= threshold <= 100:
        raise InputError(f"threshold of the dose difference is {threshold} %; 0 to 100 is needed")
    full = _full(reference, normalisation)
    counts = reference.gray >= np.float32(threshold / 100 * full)
    if besides is not None:
        counts |= chosen(besides, reference.grid, "dose difference")
    counts &= chosen(within, reference.grid, "dose difference")
    points = int(np.count_nonzero(counts))
    if points == 0:
        raise InputError(
            f"dose difference: no reference dose{of_choice(within)} reaches {threshold:g} % of "
            f"{full:g} {reference.unit}; lower the threshold or the normalisation dose"
        )
    found = evaluated.on(reference.grid)
    used = counts & ~np.isnan(found)
    if not used.any():
        raise GeometryError(
            "dose difference: no reference point that counts lies on the evaluated grid, "
            f"{evaluated.grid.lower} to {evaluated.grid.upper} mm (x, y, z)"
        )
    percent = np.where(used, 100 / full * (found - reference.gray), np.nan).astype(np.float32)
    return _statistics(reference, found, percent, full, threshold, points)


def chosen(within: NDArray[np.bool_] | None, grid: Grid, what: str) -> NDArray[np.bool_]:
    """Points of a grid that may count, checked; all without a choice.

    Raises
    ------
    InputError
        The choice is not one of truth values on this grid.
    """
    if within is None:
        return np.ones(grid.shape, dtype=bool)
    found = np.asarray(within)
    if found.dtype != np.bool_ or found.shape != grid.shape:
        raise InputError(
            f"{what}: the points to count are {found.dtype} of shape {found.shape}; truth values "
            f"of the reference's shape {grid.shape} are needed"
        )
    return found


def of_choice(within: NDArray[np.bool_] | None) -> str:
    """Words for messages: whose doses were looked at."""
    return "" if within is None else " within the choice of points"


def _full(reference: Dose, normalisation: float | None) -> float:
    if normalisation is not None:
        return positive((normalisation,), "normalisation dose")[0]
    largest = float(reference.gray.max())
    if largest <= 0:
        raise InputError(
            f"dose difference: the largest reference dose is {largest:g}; there is no dose"
        )
    return largest


def _statistics(
    reference: Dose,
    found: NDArray[np.float64],
    percent: NDArray[np.float32],
    full: float,
    threshold: float,
    points: int,
) -> DoseDifference:
    known = percent[~np.isnan(percent)].astype(np.float64)
    worst = int(np.nanargmax(np.abs(percent)))
    index = np.unravel_index(worst, percent.shape)
    x, y, z = reference.grid.position_of(np.array(index, dtype=np.float64))
    outside = points - known.size
    notes = []
    if outside:
        notes.append(
            f"{outside} of {points} reference points that count lie outside of the evaluated "
            "grid: they are in no other number"
        )
    return DoseDifference(
        grid=reference.grid,
        percent=percent,
        normalisation=full,
        threshold_percent=threshold,
        points=points,
        outside=outside,
        mean_percent=float(known.mean()),
        rms_percent=float(np.sqrt(np.mean(known**2))),
        p99_percent=float(np.percentile(np.abs(known), 99)),
        worst_percent=float(percent[index]),
        worst_position=(float(x), float(y), float(z)),
        worst_reference=float(reference.gray[index]),
        worst_evaluated=float(found[index]),
        notes=tuple(notes),
    )
