"""How much of each voxel a structure fills, and its volume, from its planar contours.

The model of a structure between its contour planes is a stack of slabs:

- The contours of one plane combine by the even-odd rule; the section is the same
  through the plane's slab. Areas are exact: no sub-sampling, no binary mask.
- Which contours are on one plane, and from where to where each slab reaches, is decided in
  :mod:`dosecalc.patient.planes`, for all that is done with structures.

With planes 2-3 mm apart the volumes of spheres, capsules, cylinders (upright or
lying) and rings of 15 mm radius or more come out within 0.5 % wherever the planes
happen to cut them, on their poles too. Without the rule for round ends a 15 mm sphere is
up to 0.9 % off and a lying cylinder 2.2 %; on the clinical structures it was tried
on, the rule changes 0.2 % at most. What planes cannot tell, nobody can: the
position of a flat end between two planes is uncertain by half a spacing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.core.coverage import cover_slices, edge_moments
from dosecalc.errors import GeometryError
from dosecalc.model import Contour, Grid, Structure
from dosecalc.patient.outlines import overlaps, same_outline, signed_edges
from dosecalc.patient.planes import contour_planes, missing_planes, plane_spacing_of, slab_bounds

__all__ = [
    "SlabStack",
    "bridged_planes",
    "centroid",
    "contour_planes",
    "corner_points",
    "crossing_planes",
    "holds",
    "plane_gaps",
    "same_outline",
    "slab_stack",
    "volume_cm3",
    "volume_fraction",
    "volume_outside",
]

# A face further from its plane than this share of the slice spacing lies over a missing plane.
_FAR_FACE = 0.8


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


def plane_gaps(
    structure: Structure, *, plane_spacing: float | None = None
) -> tuple[tuple[float, float], ...]:
    """Pairs of neighbouring planes (z, z in mm) with two planes or more missing between them.

    Where nothing tells the spacing of the slices, that is every pair.
    """
    return _steps(structure, plane_spacing)[1]


def bridged_planes(
    structure: Structure, *, plane_spacing: float | None = None
) -> tuple[tuple[float, float], ...]:
    """Pairs of neighbouring planes (z, z in mm) with one plane missing between them."""
    return _steps(structure, plane_spacing)[0]


def _steps(
    structure: Structure, plane_spacing: float | None
) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Pairs of planes that are bridged, and pairs that are not."""
    planes = contour_planes(structure, plane_spacing=plane_spacing)
    z = np.array([position for position, _ in planes], dtype=np.float64)
    if z.size < 2:
        return (), ()
    try:
        chosen = missing_planes(z, plane_spacing_of(z, structure, plane_spacing))
    except GeometryError:
        chosen = np.arange(0), np.arange(z.size - 1)
    return tuple(tuple((float(z[i]), float(z[i + 1])) for i in steps) for steps in chosen)


def slab_stack(structure: Structure, *, plane_spacing: float | None = None) -> SlabStack:
    """Turn a structure's contours into slabs.

    Parameters
    ----------
    structure : Structure
    plane_spacing : float or None, mm
        Distance of the image slices the structure was drawn on. It decides where planes are
        missing, and goes before `Structure.slice_spacing`; without either the structure's
        own planes decide.

    Raises
    ------
    GeometryError
        Nothing tells the distance of the slices: the structure has one plane only, or
        planes more than 10 mm apart.
    """
    planes = contour_planes(structure, plane_spacing=plane_spacing)
    z = np.array([position for position, _ in planes], dtype=np.float64)
    parts = [signed_edges(contours) for _, contours in planes]
    starts = np.cumsum([0, *(len(p) for p in parts)], dtype=np.int64)
    pieces = np.concatenate(parts) if parts else np.empty((0, 5))
    moments = np.array([edge_moments(p) for p in parts], dtype=np.float64).reshape(-1, 3)
    if not planes:
        return SlabStack(z, np.empty((0, 2)), moments, pieces, starts)
    spacing = plane_spacing_of(z, structure, plane_spacing)
    bounds = slab_bounds(z, moments[:, 0], spacing, filled=structure.kind == "EXTERNAL")
    return SlabStack(z, bounds, moments, pieces, starts)


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


def holds(
    structure: Structure, point: tuple[float, float, float], *, plane_spacing: float | None = None
) -> bool:
    """Whether a point (x, y, z), mm, lies within a structure; never where it has no thickness."""
    x, y, z = point
    try:
        stack = slab_stack(structure, plane_spacing=plane_spacing)
    except GeometryError:
        return False
    (slabs,) = np.nonzero((stack.bounds[:, 0] <= z) & (z < stack.bounds[:, 1]))
    if slabs.size == 0:
        return False
    inside = False
    for contour in contour_planes(structure, plane_spacing=plane_spacing)[slabs[0]][1]:
        u, v = contour.points.T
        before = np.roll(u, 1), np.roll(v, 1)
        across = (v > y) != (before[1] > y)
        du, dv = u[across] - before[0][across], v[across] - before[1][across]
        inside ^= bool(np.count_nonzero(u[across] + (y - v[across]) * du / dv > x) % 2)
    return inside


def corner_points(structure: Structure) -> NDArray[np.float64]:
    """Corners of all contours, (n, 3) x, y, z, mm, on their planes.

    Where a plane is missing or filled they are also on the faces of the slabs that reach
    over it, so that a margin around the points leaves no part of the structure out.
    """
    points = [_at(c, c.z) for c in structure.contours]
    try:
        stack = slab_stack(structure)
        spacing = plane_spacing_of(stack.z, structure, None).slices
    except GeometryError:
        return np.concatenate(points)
    planes = contour_planes(structure)
    for (z, contours), faces in zip(planes, stack.bounds, strict=True):
        far = [face for face in faces if abs(face - z) > _FAR_FACE * spacing]
        points += [_at(c, float(face)) for face in far for c in contours]
    return np.concatenate(points)


def _at(contour: Contour, z: float) -> NDArray[np.float64]:
    return np.column_stack((contour.points, np.full(len(contour.points), z)))


def crossing_planes(structure: Structure) -> tuple[float, ...]:
    """Planes (z in mm) on which parts of contours overlap, so that what they share is outside."""
    return tuple(z for z, contours in contour_planes(structure) if overlaps(contours))
