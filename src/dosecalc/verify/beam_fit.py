"""Which beam is off, by how much: the difference of two doses as errors of single beams.

The calculated dose of each beam is known alone. To first order a beam whose MU are off by a share
m, that lies by (a, b) beside where it should in the isocentre plane, is turned by r about its
axis, and is wider by (p, q), changes the total by

    m D - a dD/du - b dD/dv - r (u dD/dv - v dD/du) - p/2 s(u) dD/du - q/2 s(v) dD/dv,

with D its calculated dose, u, v the axes of the beam limiting device, and s the side (-1 or 1) of
the field's middle. These numbers, for all beams at once, are found by linear least squares from
reference less calculated. A leaf bank or both, a collimator or a couch angle, an isocentre, or MU
of one field, that the sum of many fields hides from gamma, each has its own shape here; and the
finding names the beam.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam import beam_axes
from dosecalc.model import Beam, ControlPoint, Dose, Grid, PatientPosition
from dosecalc.verify.difference import on_grid

__all__ = ["BeamFit", "BeamFits", "fit_beams"]

# Combinations of errors that change the dose less than this share of what the strongest changes
# (fields against each other) are not told apart: they are shared out evenly.
_WEAKEST = 3e-3
# Beyond these, a dose is not changed in proportion to a shift (mm, of the size of a penumbra) or
# a turn (degrees).
_FAR_MM, _FAR_DEG = 6.0, 10.0
_FEWEST = 500
_MOST = 400_000


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
    """

    beams: tuple[BeamFit, ...]
    unexplained: float

    @property
    def are_small(self) -> bool:
        """Whether no beam moves or turns beyond what first order can tell, or loses all its MU."""
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
    grid = reference.grid
    doses = {n: fractions * on_grid(dose, grid) for n, dose in beam_doses.items()}
    total = np.sum(list(doses.values()), axis=0)
    used = counts & np.isfinite(total)
    for dose in doses.values():
        for one in _gradient(dose, grid):
            used &= np.isfinite(one)
    chosen = np.flatnonzero(used)
    if chosen.size < _FEWEST:
        return BeamFits((), 0.0)
    chosen = chosen[:: max(1, chosen.size // _MOST)]
    index = np.unravel_index(chosen, used.shape)
    places = np.stack([grid.centres(a)[i] for a, i in zip("zyx", index, strict=True)][::-1], -1)
    columns, owners = [], []
    for number, dose in doses.items():
        given = (parts or {}).get(number)
        pieces = [(beams[number], dose)]
        if given:
            pieces = [(beam, fractions * on_grid(part, grid)) for beam, part in given]
        shapes = [0.01 * dose.ravel()[chosen]]
        if given or not _turns(beams[number]):
            each = [_shapes(part, grid, b, position, chosen, places) for b, part in pieces]
            shapes += [np.sum(same, axis=0) for same in zip(*each, strict=True)]
        columns += shapes
        owners.append((number, len(shapes)))
    missing = (reference.gray.astype(np.float64) - total).ravel()[chosen]
    matrix = np.stack(columns, axis=1)
    found = np.linalg.lstsq(matrix, missing, rcond=_WEAKEST)[0]
    size = float(np.linalg.norm(missing))
    left = float(np.linalg.norm(missing - matrix @ found)) / size if size > 0 else 0.0
    fits, first = [], 0
    for number, count in owners:
        fits.append(BeamFit(number, *(float(v) for v in found[first : first + count])))
        first += count
    return BeamFits(tuple(fits), left)


def _shapes(
    dose: NDArray[np.float64],
    grid: Grid,
    beam: Beam,
    position: PatientPosition,
    chosen: NDArray[np.intp],
    places: NDArray[np.float64],
) -> list[NDArray[np.float64]]:
    """Change of the dose per mm along u and v, degree, and mm of width in u and v."""
    point = _middle(beam)
    u_axis, v_axis, w_axis = beam_axes(
        position, point.gantry_deg, point.collimator_deg, point.couch_deg
    )
    offset = places - np.array(point.isocentre)
    magnified = 1 + offset @ w_axis / beam.sad_mm
    slope = np.stack([one.ravel()[chosen] for one in _gradient(dose, grid)], axis=-1)
    slope = np.nan_to_num(slope)
    along_u, along_v = slope @ u_axis * magnified, slope @ v_axis * magnified
    u, v = offset @ u_axis / magnified, offset @ v_axis / magnified
    turn = np.radians(1.0) * (v * along_u - u * along_v)
    weight = np.maximum(np.nan_to_num(dose.ravel()[chosen]), 0.0)
    middle = [float(np.average(one, weights=weight)) if weight.any() else 0.0 for one in (u, v)]
    wider = [
        -0.5 * np.sign(place - centre) * along
        for place, centre, along in ((u, middle[0], along_u), (v, middle[1], along_v))
    ]
    return [-along_u, -along_v, turn, *wider]


def _turns(beam: Beam) -> bool:
    return any(p.gantry_direction != "NONE" for p in beam.control_points)


def _middle(beam: Beam) -> ControlPoint:
    """Control point at which half of the MU are given."""
    return min(beam.control_points, key=lambda p: abs(p.meterset_fraction - 0.5))


def _gradient(values: NDArray[np.float64], grid: Grid) -> list[NDArray[np.float64]]:
    """Gradient along x, y, z, per mm."""
    return [
        np.gradient(values, step, axis=axis) if values.shape[axis] > 1 else np.zeros_like(values)
        for axis, step in enumerate(grid.spacing[::-1])
    ][::-1]
