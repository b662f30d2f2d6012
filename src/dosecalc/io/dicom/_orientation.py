"""From the orientation a file states to the patient axes every grid here runs along."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.errors import DicomError, UnsupportedError
from dosecalc.model import Grid, PatientPosition
from dosecalc.model.spacing import COSINE_TOLERANCE

__all__ = ["ROOM_AXES", "Layout", "image_axes", "layout"]

# Row and column direction in LPS of an image drawn in the scanner's frame
# (row to the right of somebody standing at the foot of the couch, column
# downwards), for each way a patient can lie. Eclipse writes its dose this way.
ROOM_AXES: dict[PatientPosition, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    PatientPosition.HFS: ((1, 0, 0), (0, 1, 0)),
    PatientPosition.HFP: ((-1, 0, 0), (0, -1, 0)),
    PatientPosition.HFDL: ((0, -1, 0), (1, 0, 0)),
    PatientPosition.HFDR: ((0, 1, 0), (-1, 0, 0)),
    PatientPosition.FFS: ((-1, 0, 0), (0, 1, 0)),
    PatientPosition.FFP: ((1, 0, 0), (0, -1, 0)),
    PatientPosition.FFDL: ((0, 1, 0), (1, 0, 0)),
    PatientPosition.FFDR: ((0, -1, 0), (-1, 0, 0)),
}


class Layout(NamedTuple):
    """How an array stored as ``[slice, row, column]`` becomes ``[z, y, x]`` on `grid`.

    `order` goes to :func:`numpy.transpose`; `flipped` says which of the
    resulting axes (z, y, x) then run backwards in the file.
    """

    grid: Grid
    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def arrange(self, stored: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `stored` along +z, +y, +x, C-contiguous; no copy where nothing moves."""
        turned = np.transpose(stored, self.order)
        steps = tuple(slice(None, None, -1 if back else 1) for back in self.flipped)
        return np.ascontiguousarray(turned[steps])


def image_axes(orientation: ArrayLike, where: str) -> NDArray[np.float64]:
    """Return the directions of slices, rows and columns as rows of a 3 x 3 matrix of 0 and +-1.

    "Direction of columns" is the direction in which the column index rises.

    Parameters
    ----------
    orientation : (6,) float
        Image Orientation (Patient): direction of rising column index, then of rising row index.

    Raises
    ------
    UnsupportedError
        The image is oblique: not along the patient axes within 2e-4.
    DicomError
        The two directions are no pair of perpendicular unit vectors.
    """
    along_row, down_column = np.asarray(orientation, dtype=np.float64).reshape(2, 3)
    lengths = np.hypot.reduce(along_row), np.hypot.reduce(down_column)
    stated = np.round(np.concatenate([along_row, down_column]), 6).tolist()
    if max(abs(length - 1) for length in lengths) > 1e-3 or abs(along_row @ down_column) > 1e-3:
        raise DicomError(
            f"{where}: ImageOrientationPatient {stated} is no pair of perpendicular unit vectors"
        )
    snapped = np.round([along_row, down_column])
    if np.abs(np.array([along_row, down_column]) - snapped).max() > COSINE_TOLERANCE:
        raise UnsupportedError(
            f"{where}: oblique image, ImageOrientationPatient {stated} is not along the patient "
            "axes; reconstruct it without gantry tilt or rotation"
        )
    return np.array([np.cross(snapped[0], snapped[1]), snapped[1], snapped[0]]) + 0.0


def layout(
    first: ArrayLike,
    axes: NDArray[np.float64],
    steps: tuple[float, float, float],
    shape: tuple[int, int, int],
) -> Layout:
    """Return where a stored array lies in the patient.

    Parameters
    ----------
    first : (x, y, z), mm, LPS
        Centre of the stored voxel [0, 0, 0].
    axes : (3, 3)
        Directions of rising slice, row and column index, as :func:`image_axes` gives them.
    steps : (slice, row, column), mm
        Distances between voxel centres; the first may be negative (slices against the normal).
    shape : (slices, rows, columns)
    """
    moves = axes * np.array(steps)[:, None]
    patient_axis = np.abs(moves).argmax(axis=1)
    order = tuple(int(np.flatnonzero(patient_axis == axis)[0]) for axis in (2, 1, 0))
    signed = [float(moves[stored, axis]) for stored, axis in zip(order, (2, 1, 0), strict=True)]
    flipped = tuple(step < 0 for step in signed)
    origin = np.array(first, dtype=np.float64)
    for stored, axis, back in zip(order, (2, 1, 0), flipped, strict=True):
        if back:
            origin[axis] += moves[stored, axis] * (shape[stored] - 1)
    sizes = [shape[stored] for stored in order]
    grid = Grid(
        shape=(sizes[0], sizes[1], sizes[2]),
        spacing=(abs(signed[2]), abs(signed[1]), abs(signed[0])),
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
    )
    return Layout(grid, (order[0], order[1], order[2]), (flipped[0], flipped[1], flipped[2]))
