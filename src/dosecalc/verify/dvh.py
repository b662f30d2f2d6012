"""Cumulative dose-volume histograms from volume fractions.

A structure is the list of its voxels, each with the dose at the voxel and the
part of the voxel's volume that lies inside the structure. There are no dose bins:
every number is read from the sorted list. The dose is taken as constant in a
voxel, so in structures of a few voxels and in steep gradients the ends of the
curve (D98, D2, minimum, maximum) are as coarse as the dose grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.errors import GeometryError, InputError
from dosecalc.model import Dose, Structure
from dosecalc.model._checks import read_only
from dosecalc.patient.coverage import volume_cm3, volume_fraction

__all__ = ["Dvh", "dvh_from_fraction", "structure_dvh"]

# A structure has left the dose grid where more than this share of its volume has.
_OUTSIDE_SHARE = 1e-4


@dataclass(frozen=True)
class Dvh:
    """Dose and volume of the voxels of one structure.

    Parameters
    ----------
    name : str
    number : int
        ROI number of the structure.
    dose_gy : (n,) float64, Gy, falling
    volumes_cm3 : (n,) float64, cm3, > 0
        Volume of the structure in each of those voxels.
    outside_cm3 : float
        Volume of the structure beyond the dose grid, about which nothing is known.
    """

    name: str
    number: int
    dose_gy: NDArray[np.float64]
    volumes_cm3: NDArray[np.float64]
    outside_cm3: float = 0.0

    def __post_init__(self) -> None:
        for field in ("dose_gy", "volumes_cm3"):
            array = read_only(getattr(self, field), np.float64, what=f"DVH {field}", ndim=1)
            object.__setattr__(self, field, array)
        if self.dose_gy.size == 0 or self.dose_gy.shape != self.volumes_cm3.shape:
            raise InputError(f"DVH of {self.name!r}: one volume for each of one or more doses")
        if (np.diff(self.dose_gy) > 0).any() or (self.volumes_cm3 <= 0).any():
            raise InputError(f"DVH of {self.name!r}: doses must fall, volumes be above zero")

    @property
    def inside_cm3(self) -> float:
        """Volume within the dose grid, cm3; all other numbers are about this part."""
        return float(self.volumes_cm3.sum())

    @property
    def total_cm3(self) -> float:
        """Volume of the whole structure, cm3."""
        return self.inside_cm3 + self.outside_cm3

    @property
    def is_complete(self) -> bool:
        """Whether all of the structure lies within the dose grid (all but 0.01 %)."""
        return self.outside_cm3 <= _OUTSIDE_SHARE * self.total_cm3

    @property
    def mean_gy(self) -> float:
        """Mean dose, Gy."""
        return float(np.average(self.dose_gy, weights=self.volumes_cm3))

    def dose_at_volume(self, percent: float) -> float:
        """Return the dose that the hottest `percent` of the volume receive at least, Gy.

        D98 is ``dose_at_volume(98)``. Linear between voxels, each of which stands at
        the middle of its own volume; 0 and 100 give maximum and minimum.

        Raises
        ------
        InputError
            `percent` is not between 0 and 100.
        """
        if not 0 <= percent <= 100:
            raise InputError(f"dose at {percent} % of the volume: 0 to 100 % is needed")
        middle = np.cumsum(self.volumes_cm3) - self.volumes_cm3 / 2
        return float(np.interp(percent / 100 * self.inside_cm3, middle, self.dose_gy))

    def volume_at_dose(self, gray: ArrayLike) -> NDArray[np.float64]:
        """Volume that receives at least each of the doses `gray` (Gy), cm3."""
        rising = self.dose_gy[::-1]
        below = np.concatenate(([0.0], np.cumsum(self.volumes_cm3[::-1])))
        index = np.searchsorted(rising, np.asarray(gray, dtype=np.float64), side="left")
        return np.asarray(np.maximum(below[-1] - below[index], 0.0))


def structure_dvh(structure: Structure, dose: Dose, *, plane_spacing: float | None = None) -> Dvh:
    """Return the histogram of a structure in a dose.

    Parameters
    ----------
    structure : Structure
    dose : Dose
        In Gy.
    plane_spacing : float, mm, optional
        See :func:`dosecalc.patient.coverage.slab_stack`.

    Raises
    ------
    GeometryError
        The structure is empty, or no part of it lies within the dose grid.
    """
    fraction = volume_fraction(structure, dose.grid, plane_spacing=plane_spacing)
    total = volume_cm3(structure, plane_spacing=plane_spacing)
    return dvh_from_fraction(structure, fraction, dose, total)


def dvh_from_fraction(
    structure: Structure, fraction: NDArray[np.float32], dose: Dose, total_cm3: float
) -> Dvh:
    """Return the histogram of a structure whose volume fraction is at hand.

    Parameters
    ----------
    structure : Structure
    fraction : (nz, ny, nx) float32
        Of every voxel of the dose grid.
    dose : Dose
    total_cm3 : float, cm3
        Volume of the whole structure, within the grid or not.

    Raises
    ------
    GeometryError
        See `structure_dvh`.
    """
    if fraction.shape != dose.grid.shape:
        raise InputError(f"volume fraction {fraction.shape} on a dose grid {dose.grid.shape}")
    if structure.is_empty:
        raise GeometryError(f"structure {structure.name!r} has no contours, so it has no dose")
    chosen = fraction > 0
    if not chosen.any():
        raise GeometryError(
            f"structure {structure.name!r} lies outside the dose grid; its dose is not known"
        )
    gray = dose.gray[chosen].astype(np.float64)
    volumes = fraction[chosen].astype(np.float64) * dose.grid.voxel_volume_cm3
    order = np.argsort(-gray, kind="stable")
    outside = max(total_cm3 - float(volumes.sum()), 0.0)
    return Dvh(
        name=structure.name,
        number=structure.number,
        dose_gy=gray[order],
        volumes_cm3=volumes[order],
        # The fractions are single precision: below their rounding nothing is outside.
        outside_cm3=outside if outside > 1e-6 * total_cm3 else 0.0,
    )
