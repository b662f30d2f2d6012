"""The regular voxel grid: the only place that maps voxels to patient positions."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.errors import GeometryError
from dosecalc.model.checks import finite, positive

__all__ = ["Grid"]

_MAX_VOXELS = 2**31


@dataclass(frozen=True)
class Grid:
    """A regular grid whose axes are the patient axes of DICOM (LPS).

    Arrays on the grid are indexed ``[z, y, x]`` and C-contiguous. Everything
    that is a vector in space (spacing, origin, positions) is ordered x, y, z.
    Index axes always run along +x, +y, +z: readers flip and transpose what a
    file stores otherwise, and refuse what cannot be brought to this form.

    Parameters
    ----------
    shape : (nz, ny, nx)
        Number of voxels.
    spacing : (sx, sy, sz), mm
        Voxel size.
    origin : (x, y, z), mm, LPS
        Centre of voxel ``[0, 0, 0]``.

    Raises
    ------
    GeometryError
        A shape, spacing or origin that cannot be.

    Examples
    --------
    >>> import dosecalc as dc
    >>> grid = dc.Grid(shape=(10, 20, 30), spacing=(2.0, 2.5, 3.0), origin=(0.0, 0.0, 0.0))
    >>> grid.position_of((1, 2, 3)).tolist()
    [6.0, 5.0, 3.0]
    >>> grid.index_of((6.0, 5.0, 3.0)).tolist()
    [1.0, 2.0, 3.0]
    >>> dc.Grid.covering((-100, -100, 0), (100, 100, 50), spacing=(2.5, 2.5, 5.0)).shape
    (10, 80, 80)
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1 or np.prod(shape, dtype=float) > _MAX_VOXELS:
            raise GeometryError(
                f"grid shape {self.shape}: three counts (nz, ny, nx) from 1 up are needed, "
                f"with fewer than {_MAX_VOXELS} voxels in all"
            )
        spacing = positive(self.spacing, "grid spacing (mm)")
        origin = tuple(finite(v, "grid origin (mm)") for v in self.origin)
        if len(spacing) != 3 or len(origin) != 3:
            raise GeometryError("grid spacing and origin need three values each, x, y, z")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "spacing", spacing)
        object.__setattr__(self, "origin", origin)

    @property
    def voxel_volume_cm3(self) -> float:
        """Volume of one voxel, cm3."""
        sx, sy, sz = self.spacing
        return sx * sy * sz / 1000.0

    @property
    def voxels_text(self) -> str:
        """Shape (z, y, x) and spacing (x, y, z) in words."""
        shape = " x ".join(str(n) for n in self.shape)
        return f"{shape} voxels of {' x '.join(f'{s:g}' for s in self.spacing)} mm"

    @property
    def lower(self) -> tuple[float, float, float]:
        """Lower outer corner (x, y, z) of the grid, mm: half a voxel before the origin."""
        return tuple(o - s / 2 for o, s in zip(self.origin, self.spacing, strict=True))  # type: ignore[return-value]

    @property
    def upper(self) -> tuple[float, float, float]:
        """Upper outer corner (x, y, z) of the grid, mm."""
        counts = self.shape[::-1]
        return tuple(
            o + (n - 0.5) * s for o, n, s in zip(self.origin, counts, self.spacing, strict=True)
        )  # type: ignore[return-value]

    def centres(self, axis: str) -> NDArray[np.float64]:
        """Voxel centres along ``"x"``, ``"y"`` or ``"z"``, mm."""
        i = "xyz".index(axis)
        steps = np.arange(self.shape[2 - i], dtype=np.float64)
        return np.asarray(self.origin[i] + self.spacing[i] * steps)

    def edges(self, axis: str) -> NDArray[np.float64]:
        """Voxel edges along one axis, mm; one more than there are voxels."""
        i = "xyz".index(axis)
        steps = np.arange(self.shape[2 - i] + 1, dtype=np.float64) - 0.5
        return np.asarray(self.origin[i] + self.spacing[i] * steps)

    def index_of(self, points: ArrayLike) -> NDArray[np.float64]:
        """Fractional indices (..., 3) in order z, y, x of points (..., 3) in x, y, z, mm."""
        positions = np.asarray(points, dtype=np.float64)
        return np.asarray(((positions - np.array(self.origin)) / np.array(self.spacing))[..., ::-1])

    def position_of(self, indices: ArrayLike) -> NDArray[np.float64]:
        """Positions ``(..., 3)`` in x, y, z, mm of fractional indices ``(..., 3)`` in z, y, x."""
        steps = np.asarray(indices, dtype=np.float64)[..., ::-1]
        return np.asarray(np.array(self.origin) + steps * np.array(self.spacing))

    def contains(self, point: ArrayLike) -> bool:
        """Whether a point (x, y, z), mm, lies inside the outer faces of the grid."""
        position = np.asarray(point, dtype=np.float64)
        return bool(np.all(position >= self.lower) and np.all(position <= self.upper))

    @classmethod
    def covering(
        cls,
        lower: tuple[float, float, float],
        upper: tuple[float, float, float],
        spacing: tuple[float, float, float],
    ) -> Grid:
        """Smallest grid of the given spacing, centred on the box ``lower`` to ``upper``, mm.

        Where the box is not a whole number of voxels, the grid reaches beyond it
        by the same amount on both sides.
        """
        counts, origin = [], []
        for low, high, step in zip(
            lower, upper, positive(spacing, "grid spacing (mm)"), strict=True
        ):
            if not high > low:
                raise GeometryError(f"box from {lower} to {upper} mm is empty")
            n = max(1, ceil((high - low) / step - 1e-6))
            counts.append(n)
            origin.append((low + high) / 2 - (n - 1) / 2 * step)
        return cls((counts[2], counts[1], counts[0]), spacing, (origin[0], origin[1], origin[2]))
