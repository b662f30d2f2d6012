"""How much of each voxel a structure fills, and its volume, from its planar contours.

The model of a structure between its contour planes is a stack of slabs:

- The contours of one plane combine by the even-odd rule; the section is the same
  through the plane's slab. Areas are exact: no sub-sampling, no binary mask.
- A slab reaches half-way to the neighbouring planes.
- Where two planes are more than 1.5 times the usual spacing apart (the lower
  median of the structure's own gaps), nothing is drawn between them and nothing is
  invented: the structure falls into two pieces. `plane_gaps` tells where.
- The first and last slab of a piece reach half the usual spacing beyond their
  plane. Where the sections of the last four planes shrink towards an end that lies
  within one spacing, `_end_thickness` sets the reach between a quarter and three
  quarters of the spacing, such that the volume of round ends is right.

With planes 2-3 mm apart the volumes of spheres, capsules, cylinders (upright or
lying) and rings of 15 mm radius or more come out within 0.5 % wherever the planes
happen to cut them; only where a plane grazes the end of a lying cylinder or ring
within 0.02 spacings can 1.4 % be missing. Without the last rule a 15 mm sphere is
up to 0.9 % off and a lying cylinder 2.2 %; on the clinical structures it was tried
on, the rule changes 0.2 % at most. What planes cannot tell, nobody can: the
position of a flat end between two planes is uncertain by half a spacing.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.core.coverage import cover_slices, edge_moments, even_odd_edges, polygons_cross
from dosecalc.errors import GeometryError
from dosecalc.model import Contour, Grid, Structure

__all__ = [
    "SlabStack",
    "centroid",
    "contour_planes",
    "crossing_planes",
    "plane_gaps",
    "same_outline",
    "slab_stack",
    "volume_cm3",
    "volume_fraction",
    "volume_outside",
]

# Contours closer than this in z (mm) are on one plane: decimal strings are rounded.
_SAME_PLANE = 0.02
# Repeated contours agree to the rounding of their decimal strings (mm).
_SAME_BOX = 0.02
_GAP = 1.5
_EVEN = 0.01
_QUADRATURE = np.polynomial.legendre.leggauss(12)


class SlabStack(NamedTuple):
    """A structure as slabs of constant section, in order of rising z.

    z : (p,) float64, mm, the contour planes
    bounds : (p, 2) float64, mm, lower and upper z of each slab
    moments : (p, 3) float64, area (mm2) and its first moments in x and y (mm3)
    pieces, starts : signed edges of all planes and where each plane's begin, see
        :func:`dosecalc.core.coverage.even_odd_edges`
    """

    z: NDArray[np.float64]
    bounds: NDArray[np.float64]
    moments: NDArray[np.float64]
    pieces: NDArray[np.float64]
    starts: NDArray[np.int64]

    @property
    def volumes(self) -> NDArray[np.float64]:
        """Volume of each slab, mm3."""
        return np.asarray(self.moments[:, 0] * (self.bounds[:, 1] - self.bounds[:, 0]))


def contour_planes(structure: Structure) -> tuple[tuple[float, tuple[Contour, ...]], ...]:
    """Contours by plane, as (z in mm, contours), in order of rising z."""
    planes: list[list[Contour]] = []
    for contour in sorted(structure.contours, key=lambda c: c.z):
        if planes and contour.z - planes[-1][-1].z <= _SAME_PLANE:
            planes[-1].append(contour)
        else:
            planes.append([contour])
    return tuple((sum(c.z for c in plane) / len(plane), tuple(plane)) for plane in planes)


def plane_gaps(structure: Structure) -> tuple[tuple[float, float], ...]:
    """Pairs of neighbouring planes (z, z in mm) between which the structure is interrupted."""
    z = np.array([position for position, _ in contour_planes(structure)])
    if z.size < 2:
        return ()
    steps = np.diff(z)
    return tuple(
        (float(z[i]), float(z[i + 1]))
        for i in np.flatnonzero(steps > _GAP * _usual_spacing(steps, structure, None))
    )


def slab_stack(structure: Structure, *, plane_spacing: float | None = None) -> SlabStack:
    """Turn a structure's contours into slabs.

    Parameters
    ----------
    structure : Structure
    plane_spacing : float or None, mm
        Distance between the planes the structure was drawn on, usually the
        spacing of the CT slices. Used only where the structure has a single plane
        and cannot tell itself.

    Raises
    ------
    GeometryError
        The structure has contours on one plane only and `plane_spacing` is None.
    """
    planes = contour_planes(structure)
    z = np.array([position for position, _ in planes], dtype=np.float64)
    parts = [_signed_edges(contours) for _, contours in planes]
    starts = np.cumsum([0, *(len(p) for p in parts)], dtype=np.int64)
    pieces = np.concatenate(parts) if parts else np.empty((0, 5))
    moments = np.array([edge_moments(p) for p in parts], dtype=np.float64).reshape(-1, 3)
    if not planes:
        return SlabStack(z, np.empty((0, 2)), moments, pieces, starts)
    spacing = _usual_spacing(np.diff(z), structure, plane_spacing)
    return SlabStack(z, _slab_bounds(z, moments[:, 0], spacing), moments, pieces, starts)


def volume_fraction(
    structure: Structure, grid: Grid, *, plane_spacing: float | None = None
) -> NDArray[np.float32]:
    """Fraction of every voxel's volume that lies inside a structure.

    What lies outside the grid is left out (`volume_outside` measures it). An
    empty structure gives zeros.

    Returns
    -------
    (nz, ny, nx) float32, 0 to 1
        The sum times the voxel volume is `volume_cm3` for a structure within the grid.

    Raises
    ------
    GeometryError
        See `slab_stack`.
    """
    stack = slab_stack(structure, plane_spacing=plane_spacing)
    out = np.zeros(grid.shape, dtype=np.float32)
    cover_slices(
        stack.pieces, stack.starts, stack.bounds, np.array(grid.lower), np.array(grid.spacing), out
    )
    return out


def volume_cm3(structure: Structure, *, plane_spacing: float | None = None) -> float:
    """Volume of a structure, cm3: areas times slab thicknesses, whatever the grid."""
    return float(slab_stack(structure, plane_spacing=plane_spacing).volumes.sum()) / 1000.0


def volume_outside(
    structure: Structure, grid: Grid, *, plane_spacing: float | None = None
) -> float:
    """Volume of a structure beyond the outer faces of a grid, cm3; 0 where all of it is inside.

    Differences below 1e-6 of the structure's volume are rounding and count as 0.
    """
    total = volume_cm3(structure, plane_spacing=plane_spacing)
    fraction = volume_fraction(structure, grid, plane_spacing=plane_spacing)
    outside = total - float(fraction.sum(dtype=np.float64)) * grid.voxel_volume_cm3
    return outside if outside > 1e-6 * total else 0.0


def centroid(
    structure: Structure, *, plane_spacing: float | None = None
) -> tuple[float, float, float]:
    """Centre of volume (x, y, z) of a structure, mm, LPS.

    Raises
    ------
    GeometryError
        The structure encloses no volume.
    """
    stack = slab_stack(structure, plane_spacing=plane_spacing)
    volumes = stack.volumes
    if not volumes.sum() > 0:
        raise GeometryError(
            f"structure {structure.name!r} encloses no volume, so it has no centre; draw it first"
        )
    thickness = stack.bounds[:, 1] - stack.bounds[:, 0]
    x, y = (stack.moments[:, 1:] * thickness[:, None]).sum(axis=0) / volumes.sum()
    z = (volumes * stack.bounds.mean(axis=1)).sum() / volumes.sum()
    return float(x), float(y), float(z)


def same_outline(first: Contour, second: Contour) -> bool:
    """Whether two contours enclose the same area: what only one of them encloses is below 0.1 %."""
    for corner in (np.min, np.max):
        if np.abs(corner(first.points, axis=0) - corner(second.points, axis=0)).max() > _SAME_BOX:
            return False
    common = edge_moments(_signed_edges((first, second)))[0]
    return bool(common <= 1e-3 * edge_moments(_signed_edges((first,)))[0])


def crossing_planes(structure: Structure) -> tuple[float, ...]:
    """Planes (z in mm) on which outlines of different contours cross, so that parts overlap."""
    return tuple(
        z
        for z, contours in contour_planes(structure)
        if any(polygons_cross(a.points, b.points) for a, b in combinations(contours, 2))
    )


def _signed_edges(contours: tuple[Contour, ...]) -> NDArray[np.float64]:
    points = np.concatenate([c.points for c in contours])
    starts = np.cumsum([0, *(len(c.points) for c in contours)], dtype=np.int64)
    return np.asarray(even_odd_edges(points, starts))


def _usual_spacing(
    steps: NDArray[np.float64], structure: Structure, plane_spacing: float | None
) -> float:
    """Lower median of the steps between planes: a step that occurs, never a mean of two."""
    if steps.size:
        return float(np.sort(steps)[(steps.size - 1) // 2])
    if plane_spacing is None or not (np.isfinite(plane_spacing) and plane_spacing > 0):
        raise GeometryError(
            f"structure {structure.name!r} is drawn on one plane only, z = "
            f"{structure.contours[0].z} mm, and plane_spacing is {plane_spacing}: its thickness "
            "is unknown; give the spacing of the CT slices in mm"
        )
    return float(plane_spacing)


def _slab_bounds(
    z: NDArray[np.float64], areas: NDArray[np.float64], spacing: float
) -> NDArray[np.float64]:
    """Lower and upper z of each plane's slab, mm."""
    bounds = np.empty((z.size, 2))
    middles = (z[1:] + z[:-1]) / 2
    bounds[1:, 0] = middles
    bounds[:-1, 1] = middles
    breaks = np.flatnonzero(np.diff(z) > _GAP * spacing) + 1
    for piece in np.split(np.arange(z.size), breaks):
        even = np.abs(np.diff(z[piece]) - spacing) < _EVEN * spacing
        first, last = piece[0], piece[-1]
        low, high = areas[piece][:4], areas[piece][::-1][:4]
        bounds[first, 0] = z[first] - spacing * _end_thickness(low, bool(even[:3].all()))
        bounds[last, 1] = z[last] + spacing * _end_thickness(high, bool(even[-3:].all()))
    return bounds


def _end_thickness(areas: NDArray[np.float64], even: bool) -> float:
    """How far the end slab reaches beyond its plane, in plane spacings.

    A parabola through the last three sections is followed outwards to where it
    vanishes: for areas as they are (a tip that is round in both directions, as a
    sphere's, has areas quadratic in z), or for their squares (an edge that is round
    in one direction, as a lying cylinder's or a ring's), whichever foretells the
    fourth section better. The reach makes areas times thicknesses equal to the
    integral of that curve, less the end correction h^2/12 A' that the trapezoidal
    sum over the remaining planes carries (Euler-Maclaurin formula).

    Parameters
    ----------
    areas : (4,) float64, mm2
        Sections from the end inwards.
    even : bool
        Whether these planes are evenly spaced.

    Returns
    -------
    float
        0.25 to 0.75; 0.5 where fewer than four sections are there, they do not
        shrink towards the end, or they point to an end more than one spacing away.
    """
    if areas.size < 4 or not even or not 0 < areas[0] < areas[1] < areas[2]:
        return 0.5
    misses = [abs(max(_extrapolated(areas**n), 0.0) ** (1 / n) - areas[3]) for n in (1, 2)]
    power = 1 if misses[0] <= misses[1] else 2
    q = areas**power
    bend = (q[2] - 2 * q[1] + q[0]) / 2
    slope = q[1] - q[0] - bend
    discriminant = slope**2 - 4 * bend * q[0]
    if discriminant < 0 or slope + np.sqrt(discriminant) <= 0:
        return 0.5
    beyond = 2 * q[0] / (slope + np.sqrt(discriminant))
    if beyond > 1:
        return 0.5
    # x = t^2 - beyond takes the root out of the integrand at its end.
    nodes, weights = _QUADRATURE
    t = (nodes + 1) / 2 * np.sqrt(2 + beyond)
    x = t**2 - beyond
    curve = np.maximum(q[0] + slope * x + bend * x**2, 0.0) ** (1 / power)
    integral = float(np.sum(weights * curve * t)) * np.sqrt(2 + beyond)
    gradient = (slope + 4 * bend) * areas[2] / (power * q[2])
    reach = (integral + gradient / 12 - areas[1] - areas[2] / 2) / areas[0] - 0.5
    return float(min(max(reach, 0.25), 0.75))


def _extrapolated(q: NDArray[np.float64]) -> float:
    """Fourth value of the parabola through the first three."""
    return float(q[0] - 3 * q[1] + 3 * q[2])
