"""A dose distribution with what it takes to trust and repeat it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.errors import InputError
from dosecalc.model.checks import read_only, whole
from dosecalc.model.grid import Grid
from dosecalc.model.interpolation import at_points, on_grid
from dosecalc.model.methods import filled
from dosecalc.model.pictures import draw_plane, fact_table_html, needed_library, picture_html
from dosecalc.model.structures import Structure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Dose", "joined_provenance"]

# What Monte Carlo says of a beam and nobody can say of a sum.
_OF_EACH_BEAM = (
    "seed",
    "batches",
    "histories",
    "uncertainty_above_half_maximum",
    "share_of_energy_that_left",
)


@dataclass(frozen=True)
class Dose:
    """Absorbed dose on a grid.

    Parameters
    ----------
    grid : Grid
    gray : (nz, ny, nx) float32
        Dose, in `unit`.
    dose_to : {"medium", "water", "unknown"}
        "unknown" only for doses read from files that do not say.
    unit : {"Gy", "Gy cm2"}
        "Gy cm2" is dose per unit photon fluence at the reference point
        (1/cm2), as the recipes with a bare point source give it.
    uncertainty : (nz, ny, nx) float32 or None
        One standard deviation, in `unit`; None where the engine has no statistical noise.
    summation : {"PLAN", "BEAM", "FRACTION", ...}
        DICOM Dose Summation Type: PLAN is all fractions, FRACTION is one.
    provenance : mapping
        Program version, engine, settings, SHA-256 of inputs and data, seed.
    fractions : int or None
        Fractions of the course, for a dose of one fraction; None where that is not known.

    Raises
    ------
    InputError
        A value that cannot be, or arrays that do not fit the grid.

    Examples
    --------
    >>> import numpy as np
    >>> import dosecalc as dc
    >>> grid = dc.Grid(shape=(3, 4, 5), spacing=(2.0, 2.0, 2.5), origin=(0.0, 0.0, 0.0))
    >>> gray = np.linspace(0.0, 2.0, 60).reshape(grid.shape)
    >>> dose = dc.Dose(grid, gray, dose_to="water", summation="FRACTION", fractions=30)
    >>> dose
    Dose(3 x 4 x 5 voxels of 2 x 2 x 2.5 mm, maximum 2 Gy, to water, FRACTION)
    >>> dose.total
    Dose(3 x 4 x 5 voxels of 2 x 2 x 2.5 mm, maximum 60 Gy, to water, PLAN)
    >>> round(dose.at((8.0, 6.0, 5.0)), 3)
    2.0
    """

    grid: Grid
    gray: NDArray[np.float32]
    dose_to: str
    unit: str = "Gy"
    uncertainty: NDArray[np.float32] | None = None
    summation: str = "PLAN"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    fractions: int | None = None
    _last: dict[Grid, NDArray[np.float64]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.dose_to not in ("medium", "water", "unknown"):
            raise InputError(f"dose_to is {self.dose_to!r}; say 'medium' or 'water'")
        if self.unit not in ("Gy", "Gy cm2"):
            raise InputError(f"dose unit {self.unit!r} is not 'Gy' or 'Gy cm2'")
        for name in ("gray", "uncertainty"):
            values = getattr(self, name)
            if values is None:
                continue
            array = read_only(values, np.float32, what=f"dose ({name})", ndim=3)
            if array.shape != self.grid.shape:
                raise InputError(f"dose {name} has shape {array.shape}, its grid {self.grid.shape}")
            object.__setattr__(self, name, array)
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))
        if self.fractions is not None and whole(self.fractions, "fractions of a dose") < 1:
            raise InputError(f"{self.fractions} fractions of a dose: at least one is needed")

    @property
    def maximum(self) -> float:
        """Largest dose of a voxel, in `unit`."""
        return float(self.gray.max())

    @property
    def maximum_point(self) -> tuple[float, float, float]:
        """Centre (x, y, z) of the voxel with the largest dose, the first of several, mm, LPS."""
        index = np.unravel_index(int(self.gray.argmax()), self.gray.shape)
        x, y, z = self.grid.position_of(index)
        return float(x), float(y), float(z)

    def at(self, points: ArrayLike) -> Any:
        """Return the dose at points, trilinear between voxel centres.

        In the half voxel between the outermost centres and the faces of the grid the dose stays
        what it is at those centres.

        Parameters
        ----------
        points : (..., 3), mm, LPS
            x, y, z of one point or of many.

        Returns
        -------
        float, or (...) float64
            In `unit`; NaN outside the grid.

        Raises
        ------
        InputError
            The points do not have three coordinates each.
        """
        found = at_points(self.gray, self.grid, points)
        return float(found) if found.ndim == 0 else found

    def on(self, grid: Grid) -> NDArray[np.float64]:
        """Return the dose at the voxel centres of another grid, trilinear.

        Parameters
        ----------
        grid : Grid

        Returns
        -------
        (mz, my, mx) float64, read-only
            In `unit`; NaN outside this dose's grid, about which nothing is known. The result for
            the last grid is kept, so asking again costs nothing.
        """
        if grid not in self._last:
            found = on_grid(self.gray, self.grid, grid)
            found.flags.writeable = False
            self._last.clear()
            self._last[grid] = found
        return self._last[grid]

    def scaled(self, factor: float, *, summation: str | None = None) -> Dose:
        """Return this dose times a factor, with its uncertainty times the same factor.

        Parameters
        ----------
        factor : float, >= 0
            Such as the number of fractions: every fraction repeats the same calculated dose, so
            the relative uncertainty stays.
        summation : str, optional
            What the result is; as before if left out.

        Raises
        ------
        InputError
            The factor is negative or not finite.
        """
        if not (math.isfinite(factor) and factor >= 0):
            raise InputError(f"a dose times {factor}: the factor must be zero or more")
        times = np.float32(factor)
        return replace(
            self,
            gray=self.gray * times,
            uncertainty=None if self.uncertainty is None else self.uncertainty * times,
            summation=self.summation if summation is None else summation,
        )

    @property
    def total(self) -> Dose:
        """Dose of all fractions: itself where it is that, else one fraction times `fractions`.

        Raises
        ------
        InputError
            It is the dose of a beam or fraction, and the number of fractions is not known.
        """
        if self.summation == "PLAN":
            return self
        if self.fractions is None:
            raise InputError(
                f"the dose ({self.summation}) does not say how many fractions there are; use "
                'dose.scaled(number, summation="PLAN")'
            )
        return replace(self.scaled(self.fractions, summation="PLAN"), fractions=None)

    def __add__(self, other: Dose) -> Dose:
        """Return the sum of two doses on one grid; see `sum_of`."""
        if not isinstance(other, Dose):
            return NotImplemented
        return Dose.sum_of((self, other))

    @classmethod
    def sum_of(cls, doses: Iterable[Dose], *, names: Sequence[object] | None = None) -> Dose:
        """Add doses that lie on one grid, such as those of the beams of a fraction.

        Parameters
        ----------
        doses : iterable of Dose
            On one grid, in one unit, to one of medium and water, of one summation.
        names : sequence, optional
            Of the doses, for the provenance, such as beam numbers; 1, 2, ... if left out.

        Returns
        -------
        Dose
            Uncertainties add in squares, as of independent doses; there is none where one of the
            doses has none. Summed in double precision.

        Raises
        ------
        InputError
            There is no dose, or they differ in grid, unit, dose to, summation or fractions.
        """
        each = list(doses)
        if not each:
            raise InputError("a sum of doses needs at least one dose")
        first = each[0]
        for what in ("grid", "unit", "dose_to", "summation", "fractions"):
            found = list(dict.fromkeys(getattr(one, what) for one in each))
            if len(found) > 1:
                raise InputError(
                    f"doses cannot be added: {what} is {found[0]} and {found[1]}"
                    + ("; bring them to one grid with Dose.on" if what == "grid" else "")
                )
        gray = np.sum([one.gray for one in each], axis=0, dtype=np.float64)
        spreads = [one.uncertainty for one in each if one.uncertainty is not None]
        spread = None
        if len(spreads) == len(each):
            squares = np.sum([np.square(one, dtype=np.float64) for one in spreads], axis=0)
            spread = np.asarray(np.sqrt(squares), np.float32)
        known = range(1, len(each) + 1) if names is None else names
        about = joined_provenance({str(n): d.provenance for n, d in zip(known, each, strict=True)})
        return replace(
            first, gray=np.asarray(gray, np.float32), uncertainty=spread, provenance=about
        )

    def dvh(self, structure: Structure, *, plane_spacing: float | None = None) -> Any:
        """Return the dose-volume histogram of a structure.

        Parameters
        ----------
        structure : Structure
        plane_spacing : float, mm, optional
            Distance of the slices it was drawn on, where the structure does not say.

        Returns
        -------
        dosecalc.analysis.dvh.Dvh

        Raises
        ------
        GeometryError
            The structure is empty, or lies outside the dose grid.
        """
        return filled("Dose.dvh")(structure, self, plane_spacing=plane_spacing)

    def write_rtdose(self, path: Path | str, case: Any) -> Path:
        """Write the dose as a DICOM RTDOSE file of a patient.

        Parameters
        ----------
        path : Path or str
            The file; its folder must be there.
        case : dosecalc.io.dicom.Case
            As `read_patient` returns it: patient, plan and frame of reference of the file.

        Returns
        -------
        Path

        Raises
        ------
        DosecalcError
            The dose is not in Gy, the case has no plan, or the file cannot be written.
        """
        return Path(filled("Dose.write_rtdose")(self, Path(path), case))

    def plot(
        self, point: tuple[float, float, float] | None = None, *, figure: Figure | None = None
    ) -> Figure:
        """Draw axial, coronal and sagittal planes through a point.

        Parameters
        ----------
        point : (x, y, z), mm, LPS, optional
            The largest dose if left out.
        figure : matplotlib Figure, optional
            To draw into; a new one of pyplot if left out, which notebooks show.

        Returns
        -------
        matplotlib Figure

        Raises
        ------
        DosecalcError
            matplotlib is not installed.
        """
        x, y, z = self.maximum_point if point is None else point
        if figure is None:
            pyplot = needed_library("matplotlib.pyplot", "Dose.plot")
            figure = pyplot.figure(figsize=(11.0, 3.6), layout="constrained")
        panels = figure.subplots(1, 3)
        for panel, (axis, position) in zip(panels, (("z", z), ("y", y), ("x", x)), strict=True):
            image = draw_plane(self, axis, position, panel)
        figure.colorbar(image, ax=list(panels), label=f"dose to {self.dose_to} / {self.unit}")
        return figure

    def to_xarray(self) -> Any:
        """Return the dose as an `xarray.DataArray` with coordinates in mm (LPS).

        Returns
        -------
        xarray.DataArray
            Dimensions z, y, x; attributes `units`, `dose_to` and `summation`.

        Raises
        ------
        DosecalcError
            xarray is not installed.
        """
        xarray = needed_library("xarray", "Dose.to_xarray")
        places = {a: (a, self.grid.centres(a), {"units": "mm"}) for a in "zyx"}
        about = {"units": self.unit, "dose_to": self.dose_to, "summation": self.summation}
        return xarray.DataArray(
            self.gray, dims=("z", "y", "x"), coords=places, name="dose", attrs=about
        )

    def __repr__(self) -> str:
        return (
            f"Dose({self.grid.voxels_text}, maximum {self.maximum:.4g} {self.unit}, "
            f"to {self.dose_to}, {self.summation})"
        )

    def _repr_html_(self) -> str:
        x, y, z = self.maximum_point
        rows = [
            ("grid", self.grid.voxels_text),
            ("maximum", f"{self.maximum:.4g} {self.unit} at ({x:.1f}, {y:.1f}, {z:.1f}) mm"),
            ("dose to", self.dose_to),
            ("summation", self.summation),
        ]
        if self.provenance.get("engine"):
            rows.append(("engine", str(self.provenance["engine"])))
        return f"<div>{fact_table_html('Dose', rows)}{picture_html(self)}</div>"


def joined_provenance(each: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the provenance of a sum: what is said of one of its doses is said of the sum.

    Parameters
    ----------
    each : mapping of name (such as a beam number) to provenance
    """
    found = dict(next(iter(each.values())))
    for key in ("notes", "cautions"):
        texts = (text for one in each.values() for text in one.get(key, ()))
        found[key] = list(dict.fromkeys(texts))
    if any("machines" in one for one in each.values()):
        found["machines"] = {
            k: v for one in each.values() for k, v in one.get("machines", {}).items()
        }
    for key in _OF_EACH_BEAM:
        if key in found:
            found[key] = {name: one.get(key) for name, one in each.items()}
    if "stopped" in found:
        reasons = [f"beam {n}: {one['stopped']}" for n, one in each.items() if one.get("stopped")]
        found["stopped"] = "; ".join(reasons) or None
    return found
