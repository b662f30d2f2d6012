"""Phantoms of simple solids: boxes, slabs, cylinders, spheres and half-spaces on any grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.core.solids import Cuts, Solids, fill_voxels
from dosecalc.data.materials import load_material
from dosecalc.errors import InputError
from dosecalc.model import Grid, Phantom, VoxelSource

__all__ = [
    "Filling",
    "Solid",
    "box",
    "cylinder",
    "fill_solids",
    "half_space",
    "slab",
    "sphere",
]

N_RAYS = 8
# Faces closer to a voxel's edge than this (mm) lie on it.
_ON_EDGE = 1e-6

Vector = tuple[float, float, float]
_ORIGIN = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Filling:
    """A material and its mass density, g/cm3; the nominal one where none is given."""

    material: str
    density: float

    @classmethod
    def of(cls, material: str, density: float | None = None) -> Filling:
        """Check the name and the density, and look up the nominal density where none is given."""
        nominal = load_material(material).density_g_cm3
        value = nominal if density is None else float(density)
        if not np.isfinite(value) or value < 0:
            raise InputError(f"density {density} g/cm3 of {material!r} must be zero or more")
        return cls(material, value)


@dataclass(frozen=True)
class Solid:
    """A convex solid: where all planes and the round face agree.

    Parameters
    ----------
    planes : (n, 4) float64
        Outward unit normal and offset, mm: inside is ``normal . p <= offset``.
    radius : float, mm
        Of the ball or the endless cylinder; 0 for neither.
    centre : (x, y, z), mm
    axis : unit vector of the cylinder; zero for a ball
    filling : Filling
    """

    planes: NDArray[np.float64]
    filling: Filling
    radius: float = 0.0
    centre: Vector = _ORIGIN
    axis: Vector = _ORIGIN


def _unit(vector: ArrayLike, what: str) -> NDArray[np.float64]:
    array = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(array))
    if array.shape != (3,) or not np.isfinite(length) or length == 0:
        raise InputError(
            f"{what} {vector!r} is no direction; three numbers, not all zero, are needed"
        )
    return np.asarray(array / length)


def _faces(axes: NDArray[np.float64], lower: ArrayLike, upper: ArrayLike) -> NDArray[np.float64]:
    """Planes of ``lower <= axes . p <= upper``, one pair for every row of `axes`."""
    low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise InputError(f"a solid from {lower!r} to {upper!r} mm is empty or not finite")
    return np.concatenate([np.column_stack([axes, high]), np.column_stack([-axes, -low])])


def box(
    lower: Vector,
    upper: Vector,
    filling: Filling,
    *,
    rotation_axis: Vector = (0.0, 0.0, 1.0),
    rotation_deg: float = 0.0,
) -> Solid:
    """Box between two corners, mm, turned about its centre by the right-hand rule."""
    centre = (np.asarray(lower) + np.asarray(upper)) / 2
    half = (np.asarray(upper) - np.asarray(lower)) / 2
    axes = _rotation(_unit(rotation_axis, "rotation axis"), rotation_deg).T
    middle = axes @ centre
    return Solid(_faces(axes, middle - half, middle + half), filling)


def _rotation(axis: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Rotation matrix by the formula of Rodrigues; exact for no rotation."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.asarray(
        np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross), dtype=np.float64
    )


def slab(normal: Vector, start: float, stop: float, filling: Filling) -> Solid:
    """Endless layer from `start` to `stop`, mm, along a direction through the origin."""
    return Solid(_faces(_unit(normal, "slab normal")[None], [start], [stop]), filling)


def half_space(point: Vector, direction: Vector, filling: Filling) -> Solid:
    """Everything on that side of a plane through `point`, mm, towards which `direction` points."""
    outward = -_unit(direction, "half-space direction")
    offset = outward @ np.asarray(point, dtype=np.float64)
    return Solid(np.append(outward, offset)[None], filling)


def sphere(centre: Vector, radius: float, filling: Filling) -> Solid:
    """Ball, mm."""
    return Solid(np.empty((0, 4)), filling, _radius(radius), centre)


def cylinder(
    centre: Vector, axis: Vector, radius: float, filling: Filling, *, length: float | None = None
) -> Solid:
    """Cylinder around an axis through its centre, mm; endless where no length is given."""
    along = _unit(axis, "cylinder axis")
    planes = np.empty((0, 4))
    if length is not None:
        middle = float(along @ np.asarray(centre))
        planes = _faces(along[None], [middle - length / 2], [middle + length / 2])
    direction = (float(along[0]), float(along[1]), float(along[2]))
    return Solid(planes, filling, _radius(radius), centre, direction)


def _radius(radius: float) -> float:
    if not (np.isfinite(radius) and radius > 0):
        raise InputError(f"radius {radius} mm; it must be above zero")
    return float(radius)


def fill_solids(
    grid: Grid, background: Filling, solids: Sequence[Solid], *, notes: tuple[str, ...] = ()
) -> Phantom:
    """Make a phantom; later solids take the place of earlier ones.

    Parameters
    ----------
    grid : Grid
    background : Filling
        Everywhere outside the solids.
    solids : sequence of Solid

    Returns
    -------
    Phantom
        Density is the mean over the voxel, the material that with the largest mass.
        Exact for faces along the axes wherever they lie; voxels cut by oblique and
        round faces are measured along 64 lines each, see `dosecalc.core.solids`.
    """
    fillings = [background, *(s.filling for s in solids)]
    names = tuple(dict.fromkeys(f.material for f in fillings))
    density = np.empty(grid.shape, dtype=np.float32)
    material = np.empty(grid.shape, dtype=np.uint8)
    fill_voxels(
        _geometry(solids),
        np.array([f.density for f in fillings], dtype=np.float64),
        np.array([names.index(f.material) for f in fillings], dtype=np.int64),
        (_cuts(grid, solids, "x"), _cuts(grid, solids, "y"), _cuts(grid, solids, "z")),
        N_RAYS,
        density,
        material,
    )
    source = np.full(grid.shape, VoxelSource.RECIPE, dtype=np.uint8)
    return Phantom(grid, density, material, names, source, notes)


def _geometry(solids: Sequence[Solid]) -> Solids:
    counts = [s.planes.shape[0] for s in solids]
    planes = np.concatenate([np.empty((0, 4)), *(s.planes for s in solids)])
    rounds = np.array([(s.radius, *s.centre, *s.axis) for s in solids], dtype=np.float64)
    starts = np.cumsum([0, *counts], dtype=np.int64)
    return Solids(np.ascontiguousarray(planes), starts, rounds.reshape(-1, 7))


def _cuts(grid: Grid, solids: Sequence[Solid], axis: str) -> Cuts:
    """Voxel edges along one axis, and between them the faces that are normal to it."""
    i = "xyz".index(axis)
    edges = grid.edges(axis)
    planes = np.concatenate([np.empty((0, 4)), *(s.planes for s in solids)])
    normal = np.abs(np.abs(planes[:, i]) - 1) < 1e-12
    faces = np.unique(planes[normal, 3] * np.sign(planes[normal, i]))
    inside = (faces > edges[0]) & (faces < edges[-1])
    gap = np.abs(faces[:, None] - edges).min(axis=1, initial=np.inf)
    extra = faces[inside & (gap > _ON_EDGE)]
    every = np.concatenate([edges, extra])
    order = np.argsort(every, kind="stable")
    starts = np.flatnonzero(order < edges.size).astype(np.int64)
    return Cuts(np.ascontiguousarray(every[order]), starts)
