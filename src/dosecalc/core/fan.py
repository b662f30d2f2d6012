"""Water-equivalent depth and nearby density along diverging rays, on a lattice of the beam."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dosecalc.core._jit import jit, jit_parallel

__all__ = ["QUANTITIES", "FanLattice", "trace_fan"]

# Depth (g/cm2 of water), and logarithms of the two lateral scales.
QUANTITIES = 3

# Before the first matter denser than this (g/cm3) nothing spreads that matters: air outside the
# patient is no source. What lies deeper than so much (g/cm2) counts whatever its density.
_THIN, _SURFACE = 0.05, 0.1
_LIGHTEST = 0.1


class FanLattice(NamedTuple):
    """Nodes where the rays through a mesh of the isocentre plane cross planes normal to the beam.

    u0, v0, step : mm
        First node and spacing of the mesh in the isocentre plane.
    w0, step_w : mm
        Distance of the first plane from the source, and between planes.
    values : (nv, nu, nw, QUANTITIES) float32
    """

    u0: float
    v0: float
    step: float
    w0: float
    step_w: float
    values: NDArray[np.float32]


@jit
def _entry(source, low, high, direction):
    """Distances along a ray at which it enters and leaves a box; entry is at least 0."""
    near, far = 0.0, np.inf
    for axis in range(3):
        if abs(direction[axis]) < 1e-12:
            if source[axis] < low[axis] or source[axis] > high[axis]:
                return np.inf, -np.inf
            continue
        one = (low[axis] - source[axis]) / direction[axis]
        other = (high[axis] - source[axis]) / direction[axis]
        near = max(near, min(one, other))
        far = min(far, max(one, other))
    return near, far


@jit
def _next_face(position, cell, low, spacing, direction):
    """Distance to the face of a cell that a ray leaves through along one axis."""
    if direction > 1e-12:
        return (low + (cell + 1) * spacing - position) / direction
    if direction < -1e-12:
        return (low + cell * spacing - position) / direction
    return np.inf


@jit
def _pass(sums, mass, length, reach):
    """Carry sums over the sources of spreading energy across a piece of matter.

    sums : energy under way, and its mean distances from where it was set free times it: in
        length, and in mass per area. It is absorbed exponentially over `reach`, g/cm2.

    exp(-x) as 1 / (1 + x + x^2 / 2): above it by less than x^3 / 6 for the short ways here.
    """
    x = mass / reach
    left = 1.0 / (1.0 + x + 0.5 * x * x)
    sums[1] = (sums[1] + sums[0] * length) * left + 0.5 * mass * length
    sums[2] = (sums[2] + sums[0] * mass) * left + 0.5 * mass * mass
    sums[0] = sums[0] * left + mass


@jit
def _log_density(sums):
    """Logarithm of the mean density on the way from the sources; of water if there are none.

    Not below that of the lightest lung.
    """
    return np.log(max(sums[2] / sums[1], _LIGHTEST)) if sums[1] > 0.0 else 0.0


@jit
def _follow(beam, medium, reach, direction, w_per_length, w0, step_w, line):
    """Fill one ray's nodes; see `trace_fan`."""
    density, material, depth_scale, density_scale = medium
    nz, ny, nx = density.shape
    spacing = beam.spacing
    low = beam.origin - 0.5 * spacing
    high = low + spacing * np.array([nx, ny, nz])
    near, far = _entry(beam.source, low, high, direction)
    depth = 0.0
    electrons, photons = np.zeros(3), np.zeros(3)
    of_electrons = of_photons = 0.0
    count, node = line.shape[0], 0
    travelled = near
    cells = np.zeros(3, np.int64)
    if near < far:
        for axis in range(3):
            place = (beam.source[axis] + near * direction[axis] - low[axis]) / spacing[axis]
            cells[axis] = int(min(max(place, 0.0), density.shape[2 - axis] - 1.0))
    while node < count:
        at_node = (w0 + node * step_w) / w_per_length
        inside = near < far and travelled < far and at_node > near
        if inside:
            i, j, k = np.uint64(cells[0]), np.uint64(cells[1]), np.uint64(cells[2])
            face, through = np.inf, 0
            for axis in range(3):
                distance = _next_face(
                    beam.source[axis], cells[axis], low[axis], spacing[axis], direction[axis]
                )
                if distance < face:
                    face, through = distance, axis
            face = min(max(face, travelled), far)
            end = min(face, at_node)
            m = material[k, j, i]
            length = 0.1 * (end - travelled)
            mass = length * density[k, j, i]
            depth += mass * depth_scale[m]
            if depth > _SURFACE or density[k, j, i] > _THIN:
                _pass(electrons, mass * density_scale[0, m], length, reach[0])
                _pass(photons, mass * density_scale[1, m], length, reach[1])
            # Nobody asks for dose in air: nodes there have the value of the matter before.
            if density[k, j, i] > _THIN:
                of_electrons, of_photons = _log_density(electrons), _log_density(photons)
            travelled = end
            if end < at_node:
                cells[through] += 1 if direction[through] > 0 else -1
                shape = density.shape[2 - through]
                if cells[through] < 0 or cells[through] >= shape or face >= far:
                    travelled = far
                continue
        line[node, 0] = depth
        line[node, 1], line[node, 2] = of_electrons, of_photons
        node += 1


@jit_parallel
def trace_fan(beam, medium, reach, fan):
    """Follow the rays of a lattice through the voxels, exactly from face to face.

    Parameters
    ----------
    beam : BeamGeometry
    medium : (density, material, depth_scale, density_scale)
        Voxels [z, y, x]; per material, water-equivalent depth per mass per area (nm,), and
        relative to water what counts as density for electrons and for scattered photons, (2, nm).
    reach : (2,) float64, g/cm2
        Way of both kinds of energy through water from where they are set free.
    fan : FanLattice
        Its values are overwritten: depth from the first voxel on, g/cm2; logarithms of the mean
        densities on the ways of electrons and of scattered photons to the node, relative to
        water.
    """
    nv, nu = fan.values.shape[:2]
    for ray in prange(nv * nu):
        u = fan.u0 + (ray % nu) * fan.step
        v = fan.v0 + (ray // nu) * fan.step
        length = np.sqrt(u * u + v * v + beam.sad * beam.sad)
        a = beam.axes
        direction = (
            (a[0, 0] * u + a[1, 0] * v + a[2, 0] * beam.sad) / length,
            (a[0, 1] * u + a[1, 1] * v + a[2, 1] * beam.sad) / length,
            (a[0, 2] * u + a[1, 2] * v + a[2, 2] * beam.sad) / length,
        )
        line = fan.values[ray // nu, ray % nu]
        _follow(beam, medium, reach, direction, beam.sad / length, fan.w0, fan.step_w, line)
