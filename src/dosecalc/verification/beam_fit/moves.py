"""The dose of a beam that is moved, turned or wider, or has other MU, at chosen places.

No engine is asked again: the calculated dose is carried along with the field. With u, v the axes
of the beam limiting device in the isocentre plane, and s the side (-1 to 1) of the field's middle,
what lies at (u, v) after a shift (a, b), a turn t about the beam's axis and a widening (p, q) comes
from

    (u', v') = R(-t) (u - a, v - b),   u'' = u' - s(u') p/2,   v'' = v' - s(v') q/2

at the same distance from the source. Depths below an oblique surface move along: an error of the
order of the attenuation over the shift (0.5 % per mm).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from dosecalc.beam import beam_axes
from dosecalc.core.spline import spline_slopes, spline_values
from dosecalc.model import Beam, ControlPoint, Dose, PatientPosition

__all__ = ["CHANGES", "MovedBeam", "moved_beam", "turns"]

_Array = NDArray[np.float64]

CHANGES = ("mu", "u", "v", "turn", "wider_u", "wider_v", "x", "y", "z")
"""What a beam's changes are, in this order: %, mm, mm, degrees, mm, mm; the isocentre's place in
the patient, mm, which for a beam that stands still says the same as u and v."""

# The two halves of a field part smoothly, over so many mm.
_SEAM_MM = 2.0


@dataclass(frozen=True)
class _Field:
    """One direction of a beam.

    knots : (nz, ny, nx) coefficients of the cubic spline through the dose
    rest : (3, n) indices of the places in it
    step : (2, 3) indices (z, y, x) per mm along u and v
    axes : (2, 3) u and v in LPS
    u, v : (n,) places in the isocentre plane, mm
    magnified : (n,) distance from the source, relative to the isocentre's
    middle : u and v about which the field gets wider
    """

    knots: _Array
    rest: _Array
    step: _Array
    axes: _Array
    u: _Array
    v: _Array
    magnified: _Array
    middle: tuple[float, float]

    def at(self, some: NDArray[np.intp]) -> _Field:
        """Return the same at some of the places."""
        places = {name: getattr(self, name)[some] for name in ("u", "v", "magnified")}
        return replace(self, rest=self.rest[:, some], **places)

    def come_from(self, change: _Array) -> tuple[_Array, ...]:
        """Places (n,) in the field at rest; those before it gets wider; and their sides."""
        shift = change[1:3] + self.axes @ change[6:9]
        angle = np.radians(change[3])
        a, b = self.u - shift[0], self.v - shift[1]
        a, b = a * np.cos(angle) + b * np.sin(angle), b * np.cos(angle) - a * np.sin(angle)
        sides = [
            np.tanh((one - centre) / _SEAM_MM)
            for one, centre in zip((a, b), self.middle, strict=True)
        ]
        return (
            *(a - 0.5 * change[4] * sides[0], b - 0.5 * change[5] * sides[1]),
            *(a, b, sides[0], sides[1]),
        )

    def _indices(self, u: _Array, v: _Array) -> _Array:
        """Return indices (3, n) of places of the field at rest."""
        along_u, along_v = (u - self.u) * self.magnified, (v - self.v) * self.magnified
        return np.asarray(
            self.rest + self.step[0][:, None] * along_u + self.step[1][:, None] * along_v
        )

    def dose(self, change: _Array) -> _Array:
        """Dose (n,), Gy."""
        return _sampled(self.knots, self._indices(*self.come_from(change)[:2]))

    def add_slopes(self, change: _Array, factor: float, found: _Array) -> _Array:
        """Dose (n,); its derivatives (8, n) by all changes but the MU are added to `found`."""
        u, v, a, b, side_u, side_v = self.come_from(change)
        dose, slopes = np.empty(u.size), np.empty((3, u.size))
        spline_slopes(self.knots, self._indices(u, v), dose, slopes)
        by_u, by_v = factor * self.magnified * (self.step @ slopes)
        cos, sin = np.cos(np.radians(change[3])), np.sin(np.radians(change[3]))
        along_u, along_v = sin * by_v - cos * by_u, -sin * by_u - cos * by_v
        found[0] += along_u
        found[1] += along_v
        found[2] += np.radians(1.0) * (b * by_u - a * by_v)
        found[3] -= 0.5 * side_u * by_u
        found[4] -= 0.5 * side_v * by_v
        found[5:] += self.axes[0][:, None] * along_u + self.axes[1][:, None] * along_v
        return dose


@dataclass(frozen=True)
class MovedBeam:
    """Dose of one beam at chosen places, as a function of its changes (see `CHANGES`).

    fields : directions that it is made of; none where a beam turns and its parts are not known
    besides : (n,) what the beam's dose is more than its directions together, Gy
    """

    fields: tuple[_Field, ...]
    besides: _Array

    @property
    def has_axes(self) -> bool:
        """Whether anything but its MU can change."""
        return bool(self.fields)

    def at(self, some: NDArray[np.intp]) -> MovedBeam:
        """Return the same at some of the places."""
        return MovedBeam(tuple(one.at(some) for one in self.fields), self.besides[some])

    def in_its_axes(self, change: _Array) -> _Array:
        """Put the isocentre's place into u and v, where the beam has one direction."""
        if len(self.fields) != 1:
            return change
        found = change.copy()
        found[1:3] += self.fields[0].axes @ change[6:9]
        found[6:9] = 0.0
        return found

    def dose(self, change: _Array) -> _Array:
        """Dose (n,), Gy."""
        total = self.besides.copy()
        for one in self.fields:
            total += one.dose(change)
        return np.asarray((1 + 0.01 * change[0]) * total)

    def slopes(self, change: _Array, found: _Array) -> _Array:
        """Dose (n,), Gy; its derivatives by the changes are put into `found` (9, n)."""
        total, factor = self.besides.copy(), 1 + 0.01 * change[0]
        found[1:] = 0.0
        for one in self.fields:
            total += one.add_slopes(change, factor, found[1:])
        found[0] = 0.01 * total
        return np.asarray(factor * total)


def moved_beam(
    beam: Beam,
    dose: Dose,
    parts: Sequence[tuple[Beam, Dose]],
    position: PatientPosition,
    places: _Array,
    times: float,
) -> MovedBeam:
    """Prepare the dose of a beam.

    Parameters
    ----------
    beam : Beam
    dose : Dose
        Calculated.
    parts : pairs of Beam and Dose
        Short arcs with approximate doses, of a beam that turns; may be empty.
    position : PatientPosition
    places : (n, 3) x, y, z, mm
    times : float
        Factor of all doses: fractions.

    Returns
    -------
    MovedBeam
    """
    knots = _knots(dose, times)
    whole = _sampled(knots, _indices(dose, places))
    if parts:
        fields = [_field(b, d, _knots(d, times), position, places) for b, d in parts]
    elif turns(beam):
        return MovedBeam((), whole)
    else:
        fields = [_field(beam, dose, knots, position, places)]
    directions = np.sum([_sampled(one.knots, one.rest) for one in fields], axis=0)
    return MovedBeam(tuple(fields), whole - directions)


def turns(beam: Beam) -> bool:
    """Whether the gantry moves while the beam is on."""
    return any(p.gantry_direction != "NONE" for p in beam.control_points)


def _field(
    beam: Beam, dose: Dose, knots: _Array, position: PatientPosition, places: _Array
) -> _Field:
    point = _middle(beam)
    axes = beam_axes(position, point.gantry_deg, point.collimator_deg, point.couch_deg)
    offset = places - np.array(point.isocentre)
    magnified = 1 + offset @ axes[2] / beam.sad_mm
    u, v = offset @ axes[0] / magnified, offset @ axes[1] / magnified
    rest = _indices(dose, places)
    weight = np.maximum(_sampled(knots, rest), 0.0)
    middle = [float(np.average(one, weights=weight)) if weight.any() else 0.0 for one in (u, v)]
    return _Field(
        knots=knots,
        rest=rest,
        step=(axes[:2] / np.array(dose.grid.spacing))[:, ::-1],
        axes=axes[:2],
        u=u,
        v=v,
        magnified=magnified,
        middle=(middle[0], middle[1]),
    )


def _middle(beam: Beam) -> ControlPoint:
    """Control point at which half of the MU are given."""
    return min(beam.control_points, key=lambda p: abs(p.meterset_fraction - 0.5))


def _knots(dose: Dose, times: float) -> _Array:
    return np.asarray(spline_filter(times * dose.gray.astype(np.float64), order=3))


def _sampled(knots: _Array, indices: _Array) -> _Array:
    found = np.empty(indices.shape[1])
    spline_values(knots, indices, found)
    return found


def _indices(dose: Dose, places: _Array) -> _Array:
    """Return indices (3, n) in z, y and x."""
    return np.ascontiguousarray(dose.grid.index_of(places).T)
