"""Which beam is off, by how much: the difference of two doses as errors of single beams.

The calculated dose of each beam is known alone. To first order a beam whose MU are off by a share
m, that lies by (a, b) beside where it should in the isocentre plane, is turned by r about its
axis, and is wider by (p, q), changes the total by

    m D - a dD/du - b dD/dv - r (u dD/dv - v dD/du) - p/2 s(u) dD/du - q/2 s(v) dD/dv,

with D its calculated dose, u, v the axes of the beam limiting device, and s the side (-1 to 1) of
the field's middle. These numbers, for all beams at once, are found by linear least squares from
reference less calculated. A leaf bank or both, a collimator or a couch angle, an isocentre, or MU
of one field, that the sum of many fields hides from gamma, each has its own shape here; and the
finding names the beam.

Where the numbers are not small, the first order is not enough: the most likely causes are sought
one by one (`beam_causes`), and all numbers are found again about them, with the beams moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.model import Beam, Dose, PatientPosition
from dosecalc.model.interpolation import on_grid
from dosecalc.verification.beam_fit.causes import (
    SMALL,
    Cause,
    Difference,
    likely_causes,
    settled,
    solved,
)
from dosecalc.verification.beam_fit.moves import MovedBeam, moved_beam

__all__ = ["BeamFit", "BeamFits", "Cause", "fit_beams"]

# Combinations of errors that change the dose less than this share of what the strongest changes
# (fields against each other) are not told apart: they are shared out evenly.
_WEAKEST = 3e-3
# Beyond these, a dose is not changed in proportion to a shift (mm, of the size of a penumbra) or
# a turn (degrees).
_FAR_MM, _FAR_DEG = 6.0, 10.0
# MU, u, v, turn, and both widths.
_FITTED = 6
_FEWEST = 500
_MOST, _FOR_CAUSES = 40_000, 12_000
_ROUNDS = 3
_ROUNDING_MM = 1e-6


class BeamFit(NamedTuple):
    """What would bring the calculated dose of one beam to the reference.

    mu_percent : change of its MU
    u_mm, v_mm : displacement along the axes of the beam limiting device, isocentre plane
    turn_deg : about the beam's axis, from u to v
    wider_u_mm, wider_v_mm : change of its width

    All but the first are None for a beam that turns while it is on and whose parts are not known:
    it has no axes to fit along.
    """

    beam: int
    mu_percent: float
    u_mm: float | None = None
    v_mm: float | None = None
    turn_deg: float | None = None
    wider_u_mm: float | None = None
    wider_v_mm: float | None = None


class BeamFits(NamedTuple):
    """Errors of all beams, fitted together.

    beams : tuple of BeamFit
        Empty where too few voxels are left.
    unexplained : float
        What the fit leaves of the difference, ratio of root mean squares.
    causes : tuple of Cause
        What explains most of the difference, the most likely first; none where all numbers are
        small.
    apart : tuple of BeamFit
        The same less what the causes say of all beams alike; empty where they say nothing of it.
    """

    beams: tuple[BeamFit, ...]
    unexplained: float
    causes: tuple[Cause, ...] = ()
    apart: tuple[BeamFit, ...] = ()

    @property
    def are_small(self) -> bool:
        """Whether all numbers are of a size that means something."""
        return all(
            np.hypot(fit.u_mm or 0.0, fit.v_mm or 0.0) <= _FAR_MM
            and abs(fit.turn_deg or 0.0) <= _FAR_DEG
            and max(abs(fit.wider_u_mm or 0.0), abs(fit.wider_v_mm or 0.0)) <= 2 * _FAR_MM
            and fit.mu_percent >= -100.0
            for fit in self.beams
        )


def fit_beams(
    reference: Dose,
    beam_doses: Mapping[int, Dose],
    beams: Mapping[int, Beam],
    position: PatientPosition,
    fractions: int,
    counts: NDArray[np.bool_],
    parts: Mapping[int, tuple[tuple[Beam, Dose], ...]] | None = None,
) -> BeamFits:
    """Fit the errors of all beams to the difference of the doses.

    Parameters
    ----------
    reference : Dose
        Of the whole plan, Gy.
    beam_doses : mapping of beam number to Dose
        Calculated, of one fraction; all beams of the plan.
    beams : mapping of beam number to Beam
        Beams that turn while they are on have no axes to fit along: without `parts` they get a
        factor only.
    position : PatientPosition
    fractions : int
    counts : (nz, ny, nx) bool
        Voxels of the reference's grid that are looked at.
    parts : mapping of beam number to pairs of Beam and Dose, optional
        Of beams that turn: short arcs with doses of one fraction, each of which has the axes of its
        middle. They say how the dose changes with the beam's place; an approximate dose is enough.

    Returns
    -------
    BeamFits
    """
    places, given = _places(reference, beam_doses, counts)
    if len(places) < _FEWEST:
        return BeamFits((), 0.0)
    moved = {
        number: moved_beam(
            beams[number], dose, (parts or {}).get(number, ()), position, places, fractions
        )
        for number, dose in beam_doses.items()
    }
    noise = len(places) * _noise(reference, beam_doses, fractions, counts) ** 2
    difference = Difference(moved, given, noise)
    ways = np.stack(
        [
            _unit(difference.at_rest, n, k)
            for n, beam in enumerate(moved.values())
            for k in range(_fitted(beam))
        ]
    )
    missing, slopes = difference.slopes(difference.at_rest)
    size = float(missing @ missing)
    if size <= 0:
        return BeamFits(_fits(moved, difference.at_rest), 0.0)
    sizes = solved(slopes, missing, ways, _WEAKEST)
    found = np.tensordot(sizes, ways, axes=1)
    remains = missing - np.tensordot(found, slopes, axes=2)
    left = float(remains @ remains)
    if not (np.abs(found) > SMALL).any():
        return BeamFits(_fits(moved, found), float(np.sqrt(left / size)))
    some = np.arange(0, len(places), max(1, len(places) // _FOR_CAUSES))
    causes, about, alike = likely_causes(difference.at(some))
    rest = np.zeros(len(ways))
    sizes, left = settled(difference, ways, rest, _ROUNDS, _WEAKEST, about)
    found = about + np.tensordot(sizes, ways, axes=1)
    apart = _fits(moved, found - alike) if alike.any() else ()
    return BeamFits(_fits(moved, found), float(np.sqrt(left / size)), causes, apart)


def _places(
    reference: Dose, beam_doses: Mapping[int, Dose], counts: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places (n, 3), mm, that count and lie within all doses, and the reference there, Gy."""
    grid = reference.grid
    used = counts.copy()
    for dose in beam_doses.values():
        for axis, name in enumerate("zyx"):
            centres = grid.centres(name)
            low, high = dose.grid.lower[2 - axis], dose.grid.upper[2 - axis]
            inside = (centres >= low - _ROUNDING_MM) & (centres <= high + _ROUNDING_MM)
            used &= inside.reshape([-1 if k == axis else 1 for k in range(3)])
    chosen = np.flatnonzero(used)
    if chosen.size > _FOR_CAUSES:
        chosen = np.random.default_rng(1).permutation(chosen)[:_MOST]
    index = np.unravel_index(chosen, used.shape)
    z, y, x = (grid.centres(name)[i] for name, i in zip("zyx", index, strict=True))
    return np.stack((x, y, z), axis=-1), reference.gray.ravel()[chosen].astype(np.float64)


def _noise(
    reference: Dose, beam_doses: Mapping[int, Dose], fractions: int, counts: NDArray[np.bool_]
) -> float:
    """Estimate the standard deviation of what changes from voxel to voxel in the difference, Gy.

    From second differences along x, whose median edges of fields do not reach.
    """
    total = np.sum(
        [on_grid(dose.gray, dose.grid, reference.grid) for dose in beam_doses.values()], axis=0
    )
    off = np.where(counts, reference.gray - fractions * total, np.nan)
    second = np.abs(off[..., 2:] - 2 * off[..., 1:-1] + off[..., :-2])
    second = second[np.isfinite(second)]
    return float(1.4826 * np.median(second) / np.sqrt(6)) if second.size else 0.0


def _unit(rest: NDArray[np.float64], beam: int, change: int) -> NDArray[np.float64]:
    way = rest.copy()
    way[beam, change] = 1.0
    return way


def _fits(moved: Mapping[int, MovedBeam], changes: NDArray[np.float64]) -> tuple[BeamFit, ...]:
    return tuple(
        BeamFit(number, *(float(v) for v in beam.in_its_axes(c)[: _fitted(beam)]))
        for (number, beam), c in zip(moved.items(), changes, strict=True)
    )


def _fitted(beam: MovedBeam) -> int:
    """Say how many of the changes are fitted to a beam, all beams at once."""
    return _FITTED if beam.has_axes else 1
