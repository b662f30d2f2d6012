"""Global gamma in three dimensions of reference points against an interpolated dose; for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from dosecalc.model import Dose


def gamma_3d(
    points: NDArray[np.float64],
    reference: NDArray[np.float64],
    dose: Dose,
    *,
    dose_criterion: float,
    distance_mm: float,
    step: float = 0.25,
    largest: float = 1.2,
) -> NDArray[np.float64]:
    """Gamma of every reference point, up to `largest`.

    Shifts on a lattice of `step` times the distance criterion are tried from the nearest
    on; a point is done when no further shift can lower its gamma.

    Parameters
    ----------
    points : (n, 3) x, y, z, mm
    reference : (n,)
    dose : what is searched, linear between voxel centres
    dose_criterion : in the unit of the dose
    """
    steps = np.arange(-np.ceil(largest / step), np.ceil(largest / step) + 1) * step
    shifts = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    squares = (shifts**2).sum(axis=1)
    order = np.argsort(squares, kind="stable")
    best = np.full(reference.size, largest**2)
    gray = dose.gray.astype(np.float64)
    for shift, square in zip(shifts[order], squares[order], strict=True):
        open_points = np.flatnonzero(best > square)
        if open_points.size == 0 or square >= largest**2:
            break
        at = dose.grid.index_of(points[open_points] + shift * distance_mm)
        found = map_coordinates(gray, at.T, order=1, mode="nearest")
        difference = (found - reference[open_points]) / dose_criterion
        best[open_points] = np.minimum(best[open_points], square + difference**2)
    return np.asarray(np.sqrt(best))
