"""Dose-volume histograms of structures in an interpolated dose.

A structure is what its contours say: a stack of slabs with exact sections
(:mod:`dosecalc.patient.coverage`). The dose is trilinear between voxel centres; in the half
voxel between the outermost centres and the faces of the dose grid it stays what it is at
those centres; beyond the faces it is unknown. The part of each voxel that a structure
fills is cut into cells where it lies, 2 to 32 per voxel and axis: the finer, the thinner the
structure (:mod:`dosecalc.core.dvh`). What this leaves open is below 0.1 % of the volume and
0.02 mm times the dose gradient for compact structures, 0.3 % of the volume for a shell of
3 mm in a dose that falls by 10 Gy/mm. What contours leave open stays open: a stack of slabs is a
staircase, and planes of 3 mm leave 0.7 % of the volume of a sphere of 24 mm undecided in a
dose that rises across them, planes of 2 mm 0.4 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.analysis.sampling import collect
from dosecalc.errors import GeometryError, InputError
from dosecalc.model import Dose, Structure
from dosecalc.model.checks import read_only
from dosecalc.model.methods import fill
from dosecalc.model.pictures import fact_table_html, needed_library
from dosecalc.patient.coverage import slab_stack

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Dvh", "dvh_from_fraction", "structure_dvh"]

# A structure has left the dose grid where more than this share of its volume has.
_OUTSIDE_SHARE = 1e-4
# A smaller share outside is rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Dvh:
    """Dose and volume of the parts of one structure.

    Names are those of ICRU Report 83 (2010): near-minimum, median and near-maximum dose are
    D98, D50 and D2.

    Parameters
    ----------
    name : str
    number : int
        ROI number of the structure.
    dose_gy : (n,) float64, Gy, falling
        Of each part.
    volumes_cm3 : (n,) float64, cm3, > 0
        Of each part.
    outside_cm3 : float
        Volume of the structure beyond the dose grid, about which nothing is known.
    ends_gy : (lowest, highest) or None, Gy
        Doses of points, which no part needs to hold; those of the parts if None.
    """

    name: str
    number: int
    dose_gy: NDArray[np.float64]
    volumes_cm3: NDArray[np.float64]
    outside_cm3: float = 0.0
    ends_gy: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for field in ("dose_gy", "volumes_cm3"):
            array = read_only(getattr(self, field), np.float64, what=f"DVH {field}", ndim=1)
            object.__setattr__(self, field, array)
        if self.dose_gy.size == 0 or self.dose_gy.shape != self.volumes_cm3.shape:
            raise InputError(f"DVH of {self.name!r}: one volume for each of one or more doses")
        if (np.diff(self.dose_gy) > 0).any() or (self.volumes_cm3 <= 0).any():
            raise InputError(f"DVH of {self.name!r}: doses must fall, volumes be above zero")
        if self.minimum_gy > self.dose_gy[-1] or self.maximum_gy < self.dose_gy[0]:
            raise InputError(f"DVH of {self.name!r}: {self.ends_gy} Gy leave out doses")

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

    @property
    def minimum_gy(self) -> float:
        """Lowest dose, Gy; D98 is the safer number, as the lowest hangs on every contour point."""
        return float(self.dose_gy[-1]) if self.ends_gy is None else self.ends_gy[0]

    @property
    def maximum_gy(self) -> float:
        """Highest dose of any point, Gy; D2 or D0.03cc are the safer numbers."""
        return float(self.dose_gy[0]) if self.ends_gy is None else self.ends_gy[1]

    @property
    def d98(self) -> float:
        """Dose that 98 % of the volume receive at least, Gy."""
        return self.dose_at_volume(98)

    @property
    def d95(self) -> float:
        """Dose that 95 % of the volume receive at least, Gy."""
        return self.dose_at_volume(95)

    @property
    def d50(self) -> float:
        """Median dose, Gy."""
        return self.dose_at_volume(50)

    @property
    def d2(self) -> float:
        """Dose that 2 % of the volume receive at least, Gy."""
        return self.dose_at_volume(2)

    @property
    def near_minimum_gy(self) -> float:
        """D98, Gy."""
        return self.d98

    @property
    def median_gy(self) -> float:
        """D50, Gy."""
        return self.d50

    @property
    def near_maximum_gy(self) -> float:
        """D2, Gy."""
        return self.d2

    def dose_at_volume(self, percent: float) -> float:
        """Return the dose that the hottest `percent` of the volume receive at least, Gy.

        D98 is ``dose_at_volume(98)``. Linear between parts, each of which stands at
        the middle of its own volume; 0 and 100 give maximum and minimum.

        Raises
        ------
        InputError
            `percent` is not between 0 and 100.
        """
        if not 0 <= percent <= 100:
            raise InputError(f"dose at {percent} % of the volume: 0 to 100 % is needed")
        middle = np.cumsum(self.volumes_cm3) - self.volumes_cm3 / 2
        volumes = np.concatenate(([0.0], middle, [self.inside_cm3]))
        doses = np.concatenate(([self.maximum_gy], self.dose_gy, [self.minimum_gy]))
        return float(np.interp(percent / 100 * self.inside_cm3, volumes, doses))

    def dose_at_cm3(self, cm3: float) -> float:
        """Return the dose that the hottest `cm3` receive at least, Gy: D2cc for 2.

        Raises
        ------
        GeometryError
            There is less of the structure than that within the dose grid.
        """
        if not 0 <= cm3 <= self.inside_cm3:
            raise GeometryError(
                f"dose at {cm3:g} cm3 of {self.name!r}: 0 to {self.inside_cm3:.4g} cm3 of it "
                "lie within the dose grid"
            )
        return self.dose_at_volume(100 * cm3 / self.inside_cm3)

    def volume_at_dose(self, gray: ArrayLike) -> NDArray[np.float64]:
        """Volume that receives at least each of the doses `gray` (Gy), cm3.

        This is the cumulative histogram; `differential` is the other one.
        """
        rising = self.dose_gy[::-1]
        below = np.concatenate(([0.0], np.cumsum(self.volumes_cm3[::-1])))
        index = np.searchsorted(rising, np.asarray(gray, dtype=np.float64), side="left")
        return np.asarray(np.maximum(below[-1] - below[index], 0.0))

    def percent_at_dose(self, gray: ArrayLike) -> NDArray[np.float64]:
        """Volume that receives at least each of the doses `gray` (Gy), % of `inside_cm3`."""
        return np.asarray(100.0 * self.volume_at_dose(gray) / self.inside_cm3)

    def curve(
        self, levels: int = 400, *, most_gy: float | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the cumulative histogram as a curve to be drawn.

        Parameters
        ----------
        levels : int
            Number of points.
        most_gy : float, optional
            Dose of the last point; `maximum_gy` if left out.

        Returns
        -------
        doses, percent : (levels,) float64
            Doses from 0, Gy, and the volume that receives at least each, % of `inside_cm3`.
        """
        doses = np.linspace(0.0, self.maximum_gy if most_gy is None else most_gy, levels)
        return doses, self.percent_at_dose(doses)

    def plot(self, axes: Axes | None = None, *, most_gy: float | None = None, **style: Any) -> Axes:
        """Draw the cumulative histogram.

        Parameters
        ----------
        axes : matplotlib Axes, optional
            To draw into; the current ones of pyplot if left out.
        most_gy : float, optional
            Dose at which the curve ends; `maximum_gy` if left out.
        **style
            Of the line, for `Axes.plot`, such as `color` and `label`.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        DosecalcError
            matplotlib is not installed.
        """
        if axes is None:
            axes = needed_library("matplotlib.pyplot", "Dvh.plot").gca()
            axes.set(xlabel="dose / Gy", ylabel="volume receiving at least this dose / %")
        axes.plot(*self.curve(most_gy=most_gy), **({"label": self.name} | style))
        return axes

    def __repr__(self) -> str:
        return (
            f"Dvh({self.name!r}, {self.total_cm3:.4g} cm3, D98 {self.d98:.4g}, D50 {self.d50:.4g}, "
            f"D2 {self.d2:.4g}, mean {self.mean_gy:.4g} Gy)"
        )

    def _repr_html_(self) -> str:
        rows = [("volume", f"{self.total_cm3:.4g} cm3")]
        if self.outside_cm3:
            rows.append(("outside the dose grid", f"{self.outside_cm3:.4g} cm3"))
        doses = {"D98": self.d98, "D95": self.d95, "D50": self.d50, "D2": self.d2}
        doses |= {"mean": self.mean_gy, "maximum": self.maximum_gy}
        rows += [(name, f"{value:.4g} Gy") for name, value in doses.items()]
        return fact_table_html(f"DVH of {self.name}", rows)

    def differential(self, edges_gy: ArrayLike) -> NDArray[np.float64]:
        """Volume in each bin between rising edges (Gy), cm3; the upper edge does not count.

        Raises
        ------
        InputError
            The edges are fewer than two or do not rise.
        """
        edges = np.asarray(edges_gy, dtype=np.float64)
        if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
            raise InputError("differential histogram: two or more rising edges are needed")
        return np.asarray(-np.diff(self.volume_at_dose(edges)))


def structure_dvh(structure: Structure, dose: Dose, *, plane_spacing: float | None = None) -> Dvh:
    """Return the histogram of a structure in a dose that is interpolated between voxels.

    Parameters
    ----------
    structure : Structure
    dose : Dose
        In Gy.
    plane_spacing : float, mm, optional
        See :func:`dosecalc.patient.coverage.slab_stack`.

    Returns
    -------
    Dvh
        In at most 16384 parts of equal range of dose. A part that reaches out of the
        dose grid is left out and its volume told.

    Raises
    ------
    GeometryError
        The structure is empty, or no part of it lies within the dose grid.
    """
    if structure.is_empty:
        raise _no_contours(structure)
    stack = slab_stack(structure, plane_spacing=plane_spacing)
    total = float(stack.volumes.sum()) / 1000
    found = collect(stack, dose)
    if found is None:
        raise _outside(structure, total)
    outside = max(total - found.inside_cm3, 0.0)
    return Dvh(
        name=structure.name,
        number=structure.number,
        dose_gy=found.dose_gy,
        volumes_cm3=found.volumes_cm3,
        outside_cm3=outside if outside > _ROUNDING * total else 0.0,
        ends_gy=found.ends_gy,
    )


fill("Dose.dvh", structure_dvh)


def dvh_from_fraction(
    structure: Structure, fraction: NDArray[np.float32], dose: Dose, total_cm3: float
) -> Dvh:
    """Return the histogram of a structure of which only the volume fractions are known.

    The dose is taken as constant in a voxel, so in structures of a few voxels and in steep
    gradients the ends of the curve are as coarse as the dose grid: `structure_dvh` is
    better wherever there are contours.

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
        raise _no_contours(structure)
    chosen = fraction > 0
    if not chosen.any():
        raise _outside(structure, total_cm3)
    gray = dose.gray[chosen].astype(np.float64)
    volumes = fraction[chosen].astype(np.float64) * dose.grid.voxel_volume_cm3
    order = np.argsort(-gray, kind="stable")
    outside = max(total_cm3 - float(volumes.sum()), 0.0)
    return Dvh(
        name=structure.name,
        number=structure.number,
        dose_gy=gray[order],
        volumes_cm3=volumes[order],
        outside_cm3=outside if outside > _ROUNDING * total_cm3 else 0.0,
    )


def _no_contours(structure: Structure) -> GeometryError:
    return GeometryError(f"structure {structure.name!r} has no contours, so it has no dose")


def _outside(structure: Structure, total_cm3: float) -> GeometryError:
    return GeometryError(
        f"structure {structure.name!r} lies outside the dose grid with all of its "
        f"{total_cm3:.4g} cm3; its dose is not known"
    )
