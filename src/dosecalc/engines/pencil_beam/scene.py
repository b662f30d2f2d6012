"""What a stationary beam of the pencil-beam engine meets: its field, view and rays.

The field says which pixels of the fluence map matter, the view which part of the voxel grid they
reach; rays through the view carry water-equivalent depth and lateral scales. Near the field they
are as close as voxels and every voxel is calculated, elsewhere both are some way apart.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from dosecalc.beam.fluence import Fluence
from dosecalc.core.fan import QUANTITIES, FanLattice, trace_fan
from dosecalc.core.pencil import Near
from dosecalc.core.terma import BeamGeometry
from dosecalc.data.materials import load_material
from dosecalc.engines.geometry import beam_geometry
from dosecalc.engines.machines import BeamQuality
from dosecalc.engines.pencil_beam.tables import DEEPEST_CM, PencilQuality, make_quality
from dosecalc.errors import GeometryError, OutsideValidityError
from dosecalc.model import Grid, Phantom

__all__ = [
    "FARTHEST_MM",
    "NEAR_MM",
    "Field",
    "Scene",
    "View",
    "beam_scene",
    "everywhere",
    "field_of",
    "near_field",
    "usual_scales",
    "view_of",
    "water_first",
]

# How far scattered energy is followed in the isocentre plane, mm.
FARTHEST_MM = 150.0

# Within so much (mm) of pixels that hold this share of the largest fluence, every voxel is
# calculated; where that is has a resolution too, mm.
NEAR_MM, _LIT, _CELL_MM = 20.0, 0.05, 4.0

# Rays looked at for the scales that occur, share that is left out, and density that counts as air.
_EVERY, _RARE, _AIR = 3, 0.03, 0.05

# Density, material, and per material the scales of depth and of lateral density.
Medium = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]


class Field(NamedTuple):
    """Which pixels of a fluence map matter.

    u, v : outer edges, mm in the isocentre plane, of the pixels with any fluence
    rows, columns : their numbers
    open_u, open_v : outer edges of the pixels with more than half of the largest fluence
    """

    u: tuple[float, float]
    v: tuple[float, float]
    rows: slice
    columns: slice
    open_u: tuple[float, float]
    open_v: tuple[float, float]


class View(NamedTuple):
    """What part of the voxel grid is looked at from the source.

    u, v : (low, high), mm
        In the isocentre plane.
    w : (low, high), mm
        Distance from the source along the beam.
    thickness_cm : float
        Of voxels along the beam: their extent over the square root of twelve.
    width_u, width_v : float, mm
        Of voxels across the beam at the isocentre: boxes with the same second moments.
    """

    u: tuple[float, float]
    v: tuple[float, float]
    w: tuple[float, float]
    thickness_cm: float
    width_u: float
    width_v: float


class Scene(NamedTuple):
    """What a stationary beam meets, before anything is convolved.

    view, wide_fan : what is seen in all, by rays that are some way apart
    near, inner, fan : where every voxel is calculated, the part of the view behind it, and its
        rays
    every : (3,) int
        Elsewhere one voxel of so many along z, y, x is calculated.
    phantom : with water as the first of its materials
    """

    geometry: BeamGeometry
    field: Field
    view: View
    wide_fan: FanLattice
    near: Near
    inner: View
    fan: FanLattice
    every: NDArray[np.int64]
    phantom: Phantom
    quality: PencilQuality


def beam_scene(
    phantom: Phantom,
    fluence: Fluence,
    apart_mm: float,
    near_mm: float = NEAR_MM,
) -> Scene:
    """Trace a stationary beam through a phantom.

    Every voxel whose ray passes within `near_mm` of the field is to be calculated for itself,
    elsewhere nodes at most `apart_mm` apart.

    Raises
    ------
    GeometryError
        The dose grid reaches behind the source.
    OutsideValidityError
        A ray passes more matter than the kernels know.
    """
    phantom = water_first(phantom)
    quality = _quality(BeamQuality(fluence), phantom.materials)
    geometry = beam_geometry(fluence, phantom.grid)
    field = field_of(fluence)
    view = view_of(geometry, phantom.grid, field)
    least = min(phantom.grid.spacing)
    every = np.array([max(1, int(apart_mm / h + 1e-6)) for h in phantom.grid.spacing[::-1]])
    near = everywhere(view) if every.max() == 1 else near_field(fluence, near_mm)
    medium = (phantom.density, phantom.material, quality.depth_scale, quality.density_scale)
    wide_fan = _fan(geometry, view, max(least, apart_mm), 2 * least, medium, quality)
    deepest = float(wide_fan.values[..., -1, 0].max())
    if deepest > DEEPEST_CM:
        raise OutsideValidityError(
            f"a ray passes {deepest:.0f} g/cm2 of water equivalent; pencil kernels end at "
            f"{DEEPEST_CM:.0f}: use the collapsed cone or Monte Carlo"
        )
    inner = _seen_through(near, view)
    fan = _fan(geometry, inner, least, least, medium, quality)
    return Scene(geometry, field, view, wide_fan, near, inner, fan, every, phantom, quality)


def field_of(fluence: Fluence) -> Field:
    """Find which pixels of a map matter."""

    def edges(numbers: NDArray[np.int64], first: float, pixel: float) -> tuple[float, float]:
        return first + pixel * float(numbers[0]), first + pixel * float(numbers[-1] + 1)

    top = float(fluence.values.max())
    ends = []
    for share in (0.0, 0.5):
        rows, columns = (
            np.flatnonzero(np.asarray((fluence.values > share * top).any(axis=axis)))
            for axis in (1, 0)
        )
        ends.append(
            (edges(columns, fluence.u0, fluence.pixel_u), edges(rows, fluence.v0, fluence.pixel_v))
        )
        if share == 0.0:
            used = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Field(*ends[0], *used, *ends[1])


def view_of(beam: BeamGeometry, grid: Grid, field: Field) -> View:
    """See `View`; no further from the field than scattered energy is followed."""
    ends = [(low, high) for low, high in zip(grid.lower, grid.upper, strict=True)]
    corners = np.array([(x, y, z) for x in ends[0] for y in ends[1] for z in ends[2]])
    u, v, w = beam.axes @ (corners - beam.source).T
    if w.min() <= 0:
        raise GeometryError(
            f"the dose grid reaches {-w.min():.0f} mm behind the source of a beam; "
            "it must lie in front of it"
        )
    u, v = u * beam.sad / w, v * beam.sad / w
    reach = FARTHEST_MM
    spacing = np.array(grid.spacing)
    across = [float(np.sqrt(((beam.axes[n] * spacing) ** 2).sum())) for n in range(3)]
    return View(
        u=(max(u.min(), field.u[0] - reach), min(u.max(), field.u[1] + reach)),
        v=(max(v.min(), field.v[0] - reach), min(v.max(), field.v[1] + reach)),
        w=(float(w.min()), float(w.max())),
        thickness_cm=across[2] / 10 / np.sqrt(12),
        width_u=across[0],
        width_v=across[1],
    )


def near_field(fluence: Fluence, margin_mm: float) -> Near:
    """Cells of the isocentre plane that lie within a margin of a field."""
    rows, columns = np.nonzero(fluence.values > _LIT * float(fluence.values.max()))
    # One cell more on each side: light may lie at the edge of its cell.
    cells = ceil(margin_mm / _CELL_MM) + 1
    found, first = [], []
    for lit, start, pixel in (
        (rows, fluence.v0, fluence.pixel_v),
        (columns, fluence.u0, fluence.pixel_u),
    ):
        places = start + pixel * (lit + 0.5)
        first.append(float(places.min()) - cells * _CELL_MM)
        found.append(((places - first[-1]) / _CELL_MM).astype(int))
    dark = np.ones([int(at.max()) + cells + 1 for at in found], np.bool_)
    dark[found[0], found[1]] = False
    near = distance_transform_edt(dark) <= margin_mm / _CELL_MM + 1
    return Near(first[1], first[0], _CELL_MM, near)


def everywhere(view: View) -> Near:
    """Call all of a view near."""
    pixel = 1 + max(view.u[1] - view.u[0], view.v[1] - view.v[0])
    return Near(view.u[0], view.v[0], pixel, np.ones((1, 1), np.bool_))


def _seen_through(near: Near, view: View) -> View:
    """Part of a view behind the cells of `near`."""
    nv, nu = near.mask.shape
    ends = [
        (float(np.clip(low, *seen)), float(np.clip(low + near.pixel * count, *seen)))
        for low, count, seen in ((near.u0, nu, view.u), (near.v0, nv, view.v))
    ]
    return view._replace(u=ends[0], v=ends[1])


def _fan(
    beam: BeamGeometry,
    view: View,
    apart: float,
    step_w: float,
    medium: Medium,
    quality: PencilQuality,
) -> FanLattice:
    """Trace rays no further apart than `apart` at the isocentre, with nodes every `step_w`."""
    # On multiples of the distance, so that the same ray is the same in every part of a view.
    first_u, first_v = (floor(low / apart) for low, _ in (view.u, view.v))
    nu, nv = (
        max(2, ceil(high / apart) - first + 1)
        for first, (_, high) in ((first_u, view.u), (first_v, view.v))
    )
    nw = ceil((view.w[1] - view.w[0]) / step_w) + 1
    values = np.empty((nv, nu, nw, QUANTITIES), np.float32)
    fan = FanLattice(first_u * apart, first_v * apart, apart, view.w[0], step_w, values)
    trace_fan(beam, medium, quality.reach, fan)
    return fan


def usual_scales(fan: FanLattice, kind: int) -> tuple[float, float]:
    """Range of the logarithm of the lateral scale in matter, but for the rarest.

    Voxels that a surface cuts hold any density down to air's, and every scale costs maps of its
    own: 3 in 100 at each end take the nearest instead.
    """
    thin = fan.values[::_EVERY, ::_EVERY]
    matter = np.diff(thin[..., 0], axis=2) > _AIR * fan.step_w / 10
    scales = thin[..., 1:, kind][matter]
    if scales.size == 0:
        return 0.0, 0.0
    low, high = np.quantile(scales, (_RARE, 1 - _RARE))
    return float(low), float(high)


def water_first(phantom: Phantom) -> Phantom:
    """Return the same phantom with water as the first of its materials."""
    if phantom.materials[0] == "water":
        return phantom
    names = ("water", *(m for m in phantom.materials if m != "water"))
    index = np.array([names.index(m) for m in phantom.materials], np.uint8)
    return replace(phantom, material=index[phantom.material], materials=names)


@lru_cache(maxsize=16)
def _quality(beam: BeamQuality, names: tuple[str, ...]) -> PencilQuality:
    return make_quality(beam.spectrum, beam.softening, [load_material(name) for name in names])
