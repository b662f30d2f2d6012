"""How far a structure with round ends reaches beyond its last planes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["EndReach", "end_reach"]

_QUADRATURE = np.polynomial.legendre.leggauss(12)
# An end on the next plane has no contour there, and rounding must not hide it.
_NEXT_PLANE = 1.05
_LEAST, _MOST = 0.25, 0.75


class EndReach(NamedTuple):
    """Limits of the slab at an end, in plane spacings.

    beyond : how far it reaches beyond its plane
    inwards : how far the next slab reaches over half-way towards this one
    """

    beyond: float
    inwards: float = 0.0


def end_reach(areas: NDArray[np.float64], even: bool) -> EndReach:
    """Return how far the end slab reaches, such that the volume of round ends is right.

    A parabola through the last three sections is followed outwards to where it
    vanishes: for areas as they are (a tip that is round in both directions, as a
    sphere's, has areas quadratic in z), or for their squares (an edge that is round
    in one direction, as a lying cylinder's or a ring's), whichever foretells the
    fourth section better. The reach makes areas times thicknesses equal to the
    integral of that curve, less the end correction h^2/12 A' that the trapezoidal
    sum over the remaining planes carries (Euler-Maclaurin formula). A plane that grazes
    the end has too small a section for that; the next slab then reaches over to it.

    Parameters
    ----------
    areas : (4,) float64, mm2
        Sections from the end inwards.
    even : bool
        Whether these planes are evenly spaced.

    Returns
    -------
    EndReach
        `beyond` is 0.25 to 0.75; 0.5 where fewer than four sections are there, they do not
        shrink towards the end, or they point to an end more than one spacing away.
        `inwards` is 0 to 0.25.
    """
    if areas.size < 4 or not even or not 0 < areas[0] < areas[1] < areas[2]:
        return EndReach(0.5)
    misses = [abs(max(_extrapolated(areas**n), 0.0) ** (1 / n) - areas[3]) for n in (1, 2)]
    power = 1 if misses[0] <= misses[1] else 2
    q = areas**power
    bend = (q[2] - 2 * q[1] + q[0]) / 2
    slope = q[1] - q[0] - bend
    discriminant = slope**2 - 4 * bend * q[0]
    if discriminant < 0 or slope + np.sqrt(discriminant) <= 0:
        return EndReach(0.5)
    beyond = 2 * q[0] / (slope + np.sqrt(discriminant))
    if beyond > _NEXT_PLANE:
        return EndReach(0.5)
    # x = t^2 - beyond takes the root out of the integrand at its end.
    nodes, weights = _QUADRATURE
    t = (nodes + 1) / 2 * np.sqrt(2 + beyond)
    x = t**2 - beyond
    curve = np.maximum(q[0] + slope * x + bend * x**2, 0.0) ** (1 / power)
    integral = float(np.sum(weights * curve * t)) * np.sqrt(2 + beyond)
    gradient = (slope + 4 * bend) * areas[2] / (power * q[2])
    reach = (integral + gradient / 12 - areas[1] - areas[2] / 2) / areas[0] - 0.5
    inwards = (reach - _MOST) * areas[0] / (areas[1] - areas[0]) if reach > _MOST else 0.0
    return EndReach(float(min(max(reach, _LEAST), _MOST)), float(min(inwards, _LEAST)))


def _extrapolated(q: NDArray[np.float64]) -> float:
    """Fourth value of the parabola through the first three."""
    return float(q[0] - 3 * q[1] + 3 * q[2])
