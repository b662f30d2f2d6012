"""Which voxels of a dose lie in the patient, and which of them deep enough for equilibrium."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_fill_holes, distance_transform_edt

from dosecalc.data.electrons import water_to_medium
from dosecalc.model import Grid, Phantom

__all__ = ["SKIN_MM", "deep_voxels", "patient_voxels", "stopping_ratio"]

SKIN_MM = 5.0
"""Above this depth the sizes of voxels alone change a dose that builds up."""

_Value = TypeVar("_Value", np.bool_, np.float64)

# g/cm3: well above air, well below any lung.
_AIR = 0.05
# A voxel at the surface that is less than half filled has its centre in the air.
_HALF = 0.5
_BUILD_UP_MM = 20.0


def patient_voxels(
    phantom: Phantom, grid: Grid, apart: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Voxels of `grid` other than those in the air around the patient.

    Air that matter encloses within its axial plane (windpipe, lung, bowel) is the patient's;
    air that reaches an edge of the plane is not, nor are voxels beside that air with less than
    half a tissue's density: the surface cuts them, and their centres lie in the air. Beyond the
    phantom a voxel is what the nearest voxel of the phantom is: past a face that ends in air
    there is air, past one that cuts the patient off there is more of him.

    Parameters
    ----------
    phantom : Phantom
    grid : Grid
    apart : (nz, ny, nx) bool, on the phantom's grid, or None
        Couch and bolus, which are no more the patient's than the air is.

    Returns
    -------
    (nz, ny, nx) bool
    """
    density = phantom.density if apart is None else np.where(apart, np.float32(0), phantom.density)
    inside = np.stack([_within(plane) for plane in density])
    return _at_centres(inside, phantom.grid, grid, beyond=None)


def _within(density: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels of an axial plane that are the patient's."""
    held = np.asarray(binary_fill_holes(density > _AIR))
    beside = binary_dilation(~held, np.ones((3, 3), dtype=bool))
    return np.asarray(held & ~(beside & (density < _HALF)))


def deep_voxels(phantom: Phantom, grid: Grid, depth_mm: float = _BUILD_UP_MM) -> NDArray[np.bool_]:
    """Voxels of `grid` that lie at least so deep within matter; a build-up's depth by default."""
    matter = np.pad(phantom.density > _AIR, 1)
    depth = distance_transform_edt(matter, sampling=phantom.grid.spacing[::-1])
    inside = depth[1:-1, 1:-1, 1:-1] >= depth_mm
    return _at_centres(inside, phantom.grid, grid, beyond=False)


def stopping_ratio(phantom: Phantom, grid: Grid) -> NDArray[np.float64]:
    """Dose to water over dose to medium at the voxels of `grid`; 1 beyond the phantom."""
    ratios = water_to_medium(phantom.materials)[phantom.material]
    return np.asarray(_at_centres(ratios, phantom.grid, grid, beyond=1.0), dtype=np.float64)


def _at_centres(
    values: NDArray[_Value], own: Grid, other: Grid, beyond: bool | float | None
) -> NDArray[_Value]:
    """Values of the voxels that hold the centres of another grid.

    Outside of all it is `beyond`, or the value of the nearest voxel where that is None.
    """
    known = np.ones((1, 1, 1), dtype=bool)
    held = []
    for k, axis in enumerate("zyx"):
        place = np.rint((other.centres(axis) - own.origin[2 - k]) / own.spacing[2 - k]).astype(int)
        shape = [-1 if j == k else 1 for j in range(3)]
        known = known & ((place >= 0) & (place < values.shape[k])).reshape(shape)
        held.append(place.clip(0, values.shape[k] - 1))
    nearest = values[np.ix_(*held)]
    return np.asarray(nearest if beyond is None else np.where(known, nearest, beyond))
