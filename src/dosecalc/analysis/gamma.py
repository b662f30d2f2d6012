"""The gamma index of a dose against a reference (Low et al., Med. Phys. 25 (1998) 656).

For every reference point, gamma is the least of

    sqrt(distance^2 / distance criterion^2 + dose difference^2 / dose criterion^2)

over all positions on the evaluated dose, which is trilinear between its voxel centres.
The least is found by bounds, not by sampling (`dosecalc.core.gamma`), so that gamma does
not depend on a step: sampling finds a gamma that is too large where the dose is steep.

Reference and evaluated dose are not interchangeable. Only the evaluated dose is
interpolated, gamma is given at the reference's voxels, and noise in the evaluated dose
lowers gamma (Low and Dempsey, Med. Phys. 30 (2003) 2455). So the reference is what is
believed, and an evaluated Monte Carlo dose needs noise well below the dose criterion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.analysis.difference import chosen, of_choice
from dosecalc.core.gamma import ACCURACY, gamma_of_points, prepare_search
from dosecalc.errors import GeometryError, InputError
from dosecalc.messages.message import Message, say
from dosecalc.model import Dose, Grid
from dosecalc.model.checks import finite, positive, read_only

__all__ = ["GammaCriteria", "GammaResult", "gamma_at_points", "gamma_index"]

# Gamma is known to this from above: a point exactly at the criteria has to pass.
_PASSES = 1.0 + ACCURACY
# Files give positions rounded.
_ROUNDING_MM = 1e-3
# Voxels across the planes count as this many distance criteria: never worth crossing.
_FORBIDDEN = 1e6
_MOST_CELLS = 4_000_000
_CHUNK = 2**20


@dataclass(frozen=True)
class GammaCriteria:
    """What gamma is relative to, and which points count.

    Parameters
    ----------
    dose_percent : float, > 0
        Dose criterion: of the normalisation dose, or of the reference dose at each point
        if `local`.
    distance_mm : float, > 0
    local : bool
    threshold_percent : float, 0 to 100
        Reference points below this share of the normalisation dose do not count. Above
        zero if `local`, as there is no percentage of no dose.
    max_gamma : float, above 1
        Larger gamma is not told apart; the search reaches this many distance criteria.
    normalisation : float or None
        In the unit of the doses; the maximum of the reference if None.
    planes_across : {"x", "y", "z"} or None
        For gamma in two dimensions: the axis across which the planes lie that the search
        keeps to. A dose of a single plane needs no such word.
    """

    dose_percent: float
    distance_mm: float
    local: bool = False
    threshold_percent: float = 10.0
    max_gamma: float = 2.0
    normalisation: float | None = None
    planes_across: str | None = None

    def __post_init__(self) -> None:
        positive((self.dose_percent, self.distance_mm), "gamma criteria (percent, mm)")
        if self.normalisation is not None:
            positive((self.normalisation,), "gamma normalisation dose")
        threshold = finite(self.threshold_percent, "gamma threshold (percent)")
        if not 0 <= threshold <= 100 or (self.local and threshold == 0):
            raise InputError(
                f"gamma threshold is {threshold} %; it must be 0 to 100, above 0 for local gamma"
            )
        if not finite(self.max_gamma, "maximum gamma") > _PASSES:
            raise InputError(
                f"maximum gamma is {self.max_gamma}; it must be above 1, or every point passes"
            )
        if self.planes_across not in (None, "x", "y", "z"):
            raise InputError(f"planes_across is {self.planes_across!r}; say 'x', 'y', 'z' or None")

    @property
    def label(self) -> str:
        """For example "3 % global / 2 mm, above 10 %"."""
        return say(self.message)

    @property
    def message(self) -> Message:
        """The criteria, for a reader of any language."""
        return Message.of(
            "gamma.criteria",
            percent=self.dose_percent,
            kind=Message("gamma.local" if self.local else "gamma.global"),
            distance_mm=self.distance_mm,
            threshold=self.threshold_percent,
            across=self.planes_across,
        )


@dataclass(frozen=True)
class GammaResult:
    """Gamma at the voxels of the reference.

    Parameters
    ----------
    grid : Grid
        Of the reference.
    gamma : (nz, ny, nx) float32
        At most ``criteria.max_gamma``; NaN below the threshold; infinite at points that
        count and lie outside of the evaluated grid, about which nothing is known.
    criteria : GammaCriteria
    normalisation : float
        The dose that percentages are of, in the unit of the doses.
    notes : tuple of str
        What differs between the doses without changing gamma.
    """

    grid: Grid
    gamma: NDArray[np.float32]
    criteria: GammaCriteria
    normalisation: float
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        view = np.ascontiguousarray(self.gamma, dtype=np.float32).view()
        if view.shape != self.grid.shape:
            raise InputError(f"gamma has shape {view.shape}, its grid {self.grid.shape}")
        view.flags.writeable = False
        object.__setattr__(self, "gamma", view)

    @property
    def points(self) -> int:
        """Number of reference points that count: at the threshold or above."""
        return int(np.count_nonzero(~np.isnan(self.gamma)))

    @property
    def outside(self) -> int:
        """Number of those that lie outside of the evaluated grid; they do not pass."""
        return int(np.count_nonzero(np.isinf(self.gamma)))

    @property
    def passed(self) -> int:
        """Number of points with a gamma of one or less."""
        return int(np.count_nonzero(self.gamma <= _PASSES))

    @property
    def pass_percent(self) -> float:
        """Share that passes of all points that count, those outside included."""
        return 100.0 * self.passed / self.points

    @property
    def pass_rate(self) -> float:
        """The same as `pass_percent`, %."""
        return self.pass_percent

    def __repr__(self) -> str:
        return f"GammaResult({self.criteria.label!r}, pass_rate={self.pass_percent:.2f})"

    @property
    def mean(self) -> float:
        """Mean gamma of the points within the evaluated grid."""
        return float(np.mean(self.gamma[np.isfinite(self.gamma)], dtype=np.float64))

    @property
    def largest(self) -> float:
        """Largest gamma within the evaluated grid; `max_gamma` stands for all above."""
        return float(self.gamma[np.isfinite(self.gamma)].max())

    @property
    def worst_position(self) -> tuple[float, float, float]:
        """Where the largest gamma is, the first of several: x, y, z, mm, LPS."""
        known = np.where(np.isfinite(self.gamma), self.gamma, -1.0)
        index = np.unravel_index(int(known.argmax()), known.shape)
        x, y, z = self.grid.position_of(np.array(index, dtype=np.float64))
        return float(x), float(y), float(z)


def gamma_index(
    reference: Dose,
    evaluated: Dose,
    criteria: GammaCriteria,
    *,
    within: NDArray[np.bool_] | None = None,
    besides: NDArray[np.bool_] | None = None,
) -> GammaResult:
    """Gamma at the voxel centres of a reference against an evaluated dose.

    Parameters
    ----------
    reference, evaluated : Dose
        In one unit, on any two grids. A dose of one slice is a plane: gamma of two
        such is in two dimensions, and any distance between both planes counts.
    criteria : GammaCriteria
    within : (nz, ny, nx) bool or None
        Reference points that may count, such as those in the patient; all if None. What
        the evaluated dose is searched for is not limited by it.
    besides : (nz, ny, nx) bool or None
        Reference points that count though they do not reach the threshold, such as those where
        the evaluated dose does.

    Returns
    -------
    GammaResult

    Raises
    ------
    InputError
        The units differ; the reference has no dose, or none at the threshold; the search
        radius takes in too many voxels. (Values that are not finite no `Dose` can hold.)
    GeometryError
        No reference point that counts lies on the evaluated grid.
    """
    if reference.unit != evaluated.unit:
        raise InputError(
            f"gamma: the reference is in {reference.unit}, the evaluated dose in "
            f"{evaluated.unit}; bring both to one unit first"
        )
    doses = reference.gray
    normalisation = _normalisation(doses, criteria)
    counts = _counts(doses, criteria, normalisation)
    if besides is not None:
        counts |= chosen(besides, reference.grid, "gamma")
    counts &= chosen(within, reference.grid, "gamma")
    points = int(np.count_nonzero(counts))
    if points == 0:
        raise InputError(
            f"gamma: no reference dose{of_choice(within)} reaches {criteria.threshold_percent:g} % "
            f"of {normalisation:g} {reference.unit}; lower the threshold or the normalisation dose"
        )
    axes = [reference.grid.centres(axis) for axis in "zyx"]
    inside_z, inside_y, inside_x = (
        _inside(centres, evaluated.grid, axis) for centres, axis in zip(axes, "zyx", strict=True)
    )
    inside = counts & (inside_z[:, None, None] & inside_y[:, None] & inside_x)
    flat = np.flatnonzero(inside)
    if flat.size == 0:
        raise GeometryError(
            f"gamma: none of the {points} reference points that count lies on the evaluated grid. "
            f"Reference: {_extent(reference.grid)}. Evaluated: {_extent(evaluated.grid)}. "
            "Do both share one frame of reference?"
        )
    gamma = np.where(counts, np.float32(np.inf), np.float32(np.nan))
    for first in range(0, flat.size, _CHUNK):
        part = flat[first : first + _CHUNK]
        at = [line[n] for line, n in zip(axes, np.unravel_index(part, doses.shape), strict=True)]
        positions = np.stack(at[::-1], axis=-1)
        gamma.flat[part] = _search(positions, doses.flat[part], evaluated, criteria, normalisation)
    notes = _notes(reference, evaluated, points - flat.size)
    return GammaResult(reference.grid, gamma, criteria, normalisation, notes)


def gamma_at_points(
    points: ArrayLike, doses: ArrayLike, evaluated: Dose, criteria: GammaCriteria
) -> NDArray[np.float64]:
    """Gamma of single reference points, such as measurements, against an evaluated dose.

    Parameters
    ----------
    points : (n, 3) x, y, z, mm, LPS
    doses : (n,)
        Reference dose at the points, in the unit of the evaluated dose.
    evaluated : Dose
    criteria : GammaCriteria
        Without a normalisation, the largest of `doses` is it.

    Returns
    -------
    (n,) float64
        NaN below the threshold; infinite outside of the evaluated grid.

    Raises
    ------
    InputError
        Values are not finite or do not belong together; there is no dose.
    """
    positions = read_only(points, np.float64, what="gamma points", ndim=2)
    given = read_only(doses, np.float64, what="gamma doses", ndim=1)
    if positions.shape != (given.size, 3) or given.size == 0:
        raise InputError(
            f"gamma: {given.size} doses for points of shape {positions.shape}; one dose and "
            "x, y, z are needed for each point"
        )
    normalisation = _normalisation(given, criteria)
    counts = _counts(given, criteria, normalisation)
    inside = counts.copy()
    for k, axis in enumerate("xyz"):
        inside &= _inside(positions[:, k], evaluated.grid, axis)
    gamma = np.where(counts, np.inf, np.nan)
    gamma[inside] = _search(positions[inside], given[inside], evaluated, criteria, normalisation)
    return gamma


def _search(
    positions: NDArray[np.float64],
    doses: NDArray[np.floating],
    evaluated: Dose,
    criteria: GammaCriteria,
    normalisation: float,
) -> NDArray[np.float64]:
    """Gamma of points (n, 3) x, y, z on the evaluated grid."""
    steps = np.array(evaluated.grid.spacing[::-1]) / criteria.distance_mm
    if criteria.planes_across is not None:
        steps["zyx".index(criteria.planes_across)] = _FORBIDDEN
    _refuse_wide_search(steps, criteria, evaluated.grid)
    searched = prepare_search(evaluated.gray, steps, criteria.max_gamma)
    given = np.ascontiguousarray(doses, dtype=np.float64)
    base = given if criteria.local else np.full(given.shape, normalisation)
    out = np.empty(given.shape)
    indices = np.ascontiguousarray(evaluated.grid.index_of(positions))
    gamma_of_points(searched, indices, given, 100.0 / (criteria.dose_percent * base), out)
    return out


def _refuse_wide_search(steps: NDArray[np.float64], criteria: GammaCriteria, grid: Grid) -> None:
    widths = np.minimum(2 * criteria.max_gamma / steps + 3, 2 * np.array(grid.shape))
    if widths.prod() > _MOST_CELLS:
        raise InputError(
            f"gamma: a maximum of {criteria.max_gamma:g} at {criteria.distance_mm:g} mm means to "
            f"search {widths.prod():.2g} voxels around each point; lower the maximum gamma"
        )


def _normalisation(doses: NDArray[np.floating], criteria: GammaCriteria) -> float:
    if criteria.normalisation is not None:
        return float(criteria.normalisation)
    largest = float(doses.max())
    if largest <= 0:
        raise InputError(f"gamma: the largest reference dose is {largest:g}; there is no dose")
    return largest


def _counts(
    doses: NDArray[np.floating], criteria: GammaCriteria, normalisation: float
) -> NDArray[np.bool_]:
    """Whether doses reach the threshold, compared in double precision."""
    return np.asarray(doses >= np.float64(criteria.threshold_percent / 100 * normalisation))


def _inside(positions: NDArray[np.float64], grid: Grid, axis: str) -> NDArray[np.bool_]:
    """Whether positions lie between the outer faces of a grid."""
    k = "xyz".index(axis)
    low, high = grid.lower[k] - _ROUNDING_MM, grid.upper[k] + _ROUNDING_MM
    return np.asarray((positions >= low) & (positions <= high))


def _extent(grid: Grid) -> str:
    spans = zip("xyz", grid.lower, grid.upper, strict=True)
    return ", ".join(f"{axis} {low:g} to {high:g} mm" for axis, low, high in spans)


def _notes(reference: Dose, evaluated: Dose, outside: int) -> tuple[str, ...]:
    notes = []
    if outside:
        notes.append(
            f"{outside} reference points that count lie outside of the evaluated grid: "
            "they could not be compared and do not pass"
        )
    for name in ("summation", "dose_to"):
        ours, theirs = getattr(reference, name), getattr(evaluated, name)
        if ours != theirs:
            notes.append(f"{name} of the reference is {ours}, of the evaluated dose {theirs}")
    return tuple(notes)
