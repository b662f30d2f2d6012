"""Lattices of voxels on which released energy is carried along cones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam.fluence import Fluence
from dosecalc.core.lattice import coarsen, interpolate_up
from dosecalc.core.superposition import (
    PADDING,
    TERMS,
    Directions,
    Medium,
    emitting_range,
    sweep,
    turned,
)
from dosecalc.core.terma import BeamGeometry, tilt_cells
from dosecalc.core.threads import thread_count
from dosecalc.engines.collapsed_cone.kernels import UPRIGHT, ConeTable, TiltGrid, tilt_grid

__all__ = [
    "Box",
    "Lattice",
    "Tilted",
    "coarser",
    "finer",
    "joined",
    "joining",
    "local_absorption",
    "per_mass",
    "spread",
    "subgrid_geometry",
    "tilted",
    "tilts_of",
    "transport",
    "unblurred",
]

Box = tuple[slice, slice, slice]

_Number = TypeVar("_Number", np.float32, np.int16)


class Lattice(NamedTuple):
    """Voxels with what the cones need of them.

    geometry : BeamGeometry
        Place of the voxels, and the beam.
    scaling : (nz, ny, nx) float32
        Radiological length per length, relative to water of 1 g/cm3.
    released : (channels, nz, ny, nx) float32
        Energy released per voxel.
    """

    geometry: BeamGeometry
    scaling: NDArray[np.float32]
    released: NDArray[np.float32]


def subgrid_geometry(
    geometry: BeamGeometry, region: Box, factors: tuple[int, int, int]
) -> BeamGeometry:
    """Describe the same beam over a part of the grid with divided voxels."""
    start = np.array([s.start for s in region][::-1], float)
    parts = np.array(factors[::-1], float)
    lower = geometry.origin + (start - 0.5) * geometry.spacing
    spacing = geometry.spacing / parts
    return geometry._replace(origin=lower + spacing / 2, spacing=spacing)


def tilts_of(fluences: Sequence[Fluence]) -> TiltGrid:
    """Tilt grid over all rays of the fluence maps."""
    lower, upper = [], []
    for fluence in fluences:
        rows, columns = fluence.values.shape
        corner = np.array([fluence.u0, fluence.v0])
        size = np.array([columns * fluence.pixel_u, rows * fluence.pixel_v])
        lower.append(corner / fluence.sad_mm)
        upper.append((corner + size) / fluence.sad_mm)
    low, high = np.min(lower, axis=0), np.max(upper, axis=0)
    return tilt_grid((float(low[0]), float(low[1])), (float(high[0]), float(high[1])))


class Tilted(NamedTuple):
    """Released energy in the terms of a `ConeTable`, in a box of a lattice.

    terms : (TERMS, mz, my, mx) float32
    cell : (mz, my, mx) int16
    start : first voxel of the box in the lattice, z, y, x
    """

    terms: NDArray[np.float32]
    cell: NDArray[np.int16]
    start: tuple[int, int, int] = (0, 0, 0)


def tilted(geometry: BeamGeometry, tilts: TiltGrid, released: NDArray[np.float32]) -> Tilted:
    """Released energy (channels, nz, ny, nx) in the terms of the cone tables."""
    shape = released.shape[1:]
    cell = np.zeros(shape, np.int16)
    terms = np.zeros((TERMS, *shape), np.float32)
    if tilts != UPRIGHT:
        grid = (tilts.first_u, tilts.first_v, tilts.step, tilts.cells_u, tilts.cells_v)
        tilt_cells(geometry, grid, released[0], cell, terms[1], terms[2])
    terms[0] = released[0]
    if released.shape[0] > 1:
        terms[3] = released[1]
    return Tilted(terms, cell)


def joining(spacing: NDArray[np.float64], voxel_mm: float) -> tuple[int, int, int]:
    """How many voxels along z, y, x to join so that the result is no larger than `voxel_mm`."""
    z, y, x = (max(1, int(voxel_mm / s + 1e-6)) for s in spacing[::-1])
    return z, y, x


def coarser(lattice: Lattice, voxel_mm: float) -> Lattice:
    """Join voxels as `joining` says: energies are summed, scalings averaged."""
    factors = joining(lattice.geometry.spacing, voxel_mm)
    if factors == (1, 1, 1):
        return lattice
    shape = tuple(-(-n // f) for n, f in zip(lattice.scaling.shape, factors, strict=True))
    scaling = np.empty(shape, np.float32)
    coarsen(lattice.scaling, factors, scaling)
    scaling /= np.float32(np.prod(factors))
    released = np.empty((lattice.released.shape[0], *shape), np.float32)
    for channel, energy in enumerate(lattice.released):
        coarsen(np.ascontiguousarray(energy), factors, released[channel])
    return Lattice(joined(lattice.geometry, factors), scaling, released)


def joined(geometry: BeamGeometry, factors: tuple[int, int, int]) -> BeamGeometry:
    """Describe the same beam over blocks of voxels."""
    parts = np.array(factors[::-1], float)
    origin = geometry.origin + (parts - 1) / 2 * geometry.spacing
    return geometry._replace(origin=origin, spacing=geometry.spacing * parts)


def finer(
    values: NDArray[np.float32], coarse: BeamGeometry, fine: BeamGeometry, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Interpolate means over coarse voxels to the fine ones that they were joined from."""
    ratio = np.rint(coarse.spacing / fine.spacing).astype(int)
    if (ratio == 1).all():
        return values
    result = np.empty(shape, np.float32)
    interpolate_up(_sharpened(values), (int(ratio[2]), int(ratio[1]), int(ratio[0])), result)
    return result


def _sharpened(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values whose linear interpolation has, to second order, the given means over voxels.

    A line through the means of three voxels has the mean (v[-1] + 6 v[0] + v[1]) / 8
    over the middle one; taking off an eighth of the second difference undoes that.
    """
    values = means.copy()
    for axis in range(3):
        if means.shape[axis] < 3:
            continue
        moved = np.moveaxis(values, axis, 0)
        moved[1:-1] -= np.diff(moved, n=2, axis=0) / 8
    return np.maximum(values, 0)


def spread(lattice: Lattice, tilts: TiltGrid, table: ConeTable) -> NDArray[np.float32]:
    """Energy absorbed per voxel, MeV, by lines and locally."""
    source = tilted(lattice.geometry, tilts, lattice.released)
    absorbed = transport(lattice.geometry, lattice.scaling, source, table)
    return absorbed + local_absorption(lattice.released, table)


def local_absorption(released: NDArray[np.float32], table: ConeTable) -> NDArray[np.float32]:
    """Energy absorbed (or, where negative, taken back) in the voxel that releases it."""
    # Not a matrix product: the threads that numpy's library starts for it would go on
    # waiting on the cores that the next sweep needs.
    local: NDArray[np.float32] = released[0] * np.float32(table.local[0])
    for share, energy in zip(table.local[1:], released[1:], strict=True):
        local += energy * np.float32(share)
    return local


def per_mass(lattice: Lattice, absorbed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Energy per water-equivalent mass, MeV/g.

    It varies slowly across interfaces, so it is what is interpolated; the
    material of each voxel then says how much of it is absorbed there.
    """
    mass = lattice.scaling * np.float32(np.prod(lattice.geometry.spacing) / 1000)
    result: NDArray[np.float32] = np.divide(
        absorbed, mass, out=np.zeros_like(absorbed), where=mass > 1e-7
    )
    return result


_LARGEST_FLOW = 0.02


def unblurred(
    values: NDArray[np.float32], lattice: Lattice, table: ConeTable
) -> NDArray[np.float32]:
    """Energy per mass without the blur of lines that step by whole voxels, to second order.

    Where energy is released and where it is absorbed a line is up to half a voxel beside its
    true place, evenly: two such errors add to a variance of 1/6 voxel squared, along the two
    axes that a line does not lead on. Half of that times the second difference is taken off,
    as flows between neighbours that both hold matter, so that none is made or lost. A flow
    takes 2 % of the smaller at most: scatter varies less, single lines far from the field more.
    """
    spacing = lattice.geometry.spacing[::-1]
    leading = _leading((table.directions @ lattice.geometry.axes)[:, ::-1], spacing)
    energy = table.amplitudes[:, :, :, 0].astype(np.float64).mean(axis=1).sum(axis=1)
    share = np.bincount(leading, energy, 3) / energy.sum()
    held = np.float32(_LARGEST_FLOW) * values * (lattice.scaling > 0)
    result = values.copy()
    for axis in range(3):
        flow = np.diff(values, axis=axis) * np.float32((1 - share[axis]) / 12)
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        most = np.minimum(held[tuple(ahead)], held[tuple(behind)])
        np.clip(flow, -most, most, out=flow)
        result[tuple(ahead)] += flow
        result[tuple(behind)] -= flow
    return result


def _leading(directions: NDArray[np.float64], spacing: NDArray[np.float64]) -> NDArray[np.intp]:
    """Axis along which each line crosses most voxels."""
    # Rounded, so that mirror images of a direction between two axes choose the same one.
    return np.asarray(np.argmax(np.round(np.abs(directions) / spacing, 9), axis=1))


# Lines that carry less than this share of the largest release of a voxel are dropped.
_LEAST = 1e-6

# Orders of axes (d, b, c) of the arrays swept along z, y and x: d the axis of advance,
# c contiguous in memory.
_ORDERS = ((0, 1, 2), (1, 0, 2), (2, 0, 1))


def transport(
    geometry: BeamGeometry,
    scaling: NDArray[np.float32],
    source: Tilted,
    table: ConeTable,
) -> NDArray[np.float32]:
    """Energy absorbed per voxel [z, y, x] of the energy released, both MeV per voxel."""
    unit = np.float32(source.terms[0].max())
    absorbed = np.zeros(scaling.shape, np.float32)
    if unit <= 0:
        return absorbed
    directions = (table.directions @ geometry.axes)[:, ::-1]
    spacing = geometry.spacing[::-1]
    leading = _leading(directions, spacing)
    for axis in (1, 0, 2):
        chosen = np.flatnonzero(leading == axis)
        if chosen.size == 0:
            continue
        order = _ORDERS[axis]
        medium = _medium(scaling, source, unit, order)
        lines = _directions(directions[chosen], spacing, order, table, chosen)
        threads = thread_count()
        sweep(medium, lines, np.float32(_LEAST), threads, absorbed.transpose(order))
    absorbed *= unit
    return absorbed


def _medium(
    scaling: NDArray[np.float32],
    source: Tilted,
    unit: np.float32,
    order: tuple[int, int, int],
) -> Medium:
    """Turn everything so that the axis `order[0]` leads, with released energies in `unit`."""
    start_d, start_b, start_c = (source.start[a] for a in order)
    radiological = _turned(scaling, order, np.float32(1))
    shape = tuple(source.cell.shape[a] for a in order)
    released = np.empty((TERMS, *shape[:2], shape[2] + 2 * PADDING), np.float32)
    for term, values in enumerate(source.terms):
        turned(values.transpose(order), np.float32(1 / unit), released[term])
    first = np.zeros(radiological.shape[:2], np.int32)
    last = np.zeros(radiological.shape[:2], np.int32)
    box = (slice(start_d, start_d + shape[0]), slice(start_b, start_b + shape[1]))
    emitting_range(released[0], start_c, first[box], last[box])
    return Medium(
        scaling=radiological,
        voxels_c=scaling.shape[order[2]],
        released=released,
        cell=_turned(source.cell, order, np.int16(1)),
        first=first,
        last=last,
        start_d=start_d,
        start_b=start_b,
        start_c=start_c,
    )


def _turned(
    values: NDArray[_Number], order: tuple[int, int, int], factor: _Number
) -> NDArray[_Number]:
    nd, nb, nc = (values.shape[a] for a in order)
    result = np.empty((nd, nb, nc + 2 * PADDING), values.dtype)
    turned(values.transpose(order), factor, result)
    return result


def _directions(
    directions: NDArray[np.float64],
    spacing: NDArray[np.float64],
    order: tuple[int, int, int],
    table: ConeTable,
    chosen: NDArray[np.intp],
) -> Directions:
    """Lines of the chosen directions; rates per plane, because a plane is crossed in one step."""
    d, b, c = order
    along = np.abs(directions[:, d])
    step_cm = spacing[d] / along / 10
    return Directions(
        forward=directions[:, d] > 0,
        slope_b=directions[:, b] / along * spacing[d] / spacing[b],
        slope_c=directions[:, c] / along * spacing[d] / spacing[c],
        rate=(table.rates[chosen] * step_cm).astype(np.float32),
        amplitude=np.ascontiguousarray(table.amplitudes[chosen]),
    )
