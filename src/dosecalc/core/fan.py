"""Water-equivalent depth and nearby density along diverging rays, on a lattice of the beam."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dosecalc.core._jit import jit, jit_inline, jit_parallel

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
def _first_face(position, cell, low, spacing, direction):
    """Distance to the face of a cell that a ray leaves through along one axis."""
    if direction > 1e-12:
        return (low + (cell + 1) * spacing - position) / direction
    if direction < -1e-12:
        return (low + cell * spacing - position) / direction
    return np.inf


@jit
def _cell_of(position, low, spacing, count):
    return int(min(max((position - low) / spacing, 0.0), count - 1.0))


@jit_inline
def _pass(energy, by_length, by_mass, length, mass, per_reach):
    """Carry sums over the sources of spreading energy across a piece of matter.

    energy : energy under way
    by_length, by_mass : it times its mean distance, in length and in mass per area, from where it
        was set free. It is absorbed exponentially, `per_reach` per g/cm2.

    exp(-x) as 1 / (1 + x + x^2 / 2): above it by less than x^3 / 6 for the short ways here.
    """
    x = mass * per_reach
    left = 1.0 / (1.0 + x + 0.5 * x * x)
    return (
        energy * left + mass,
        (by_length + energy * length) * left + 0.5 * mass * length,
        (by_mass + energy * mass) * left + 0.5 * mass * mass,
    )


@jit_inline
def _log_density(by_length, by_mass):
    """Logarithm of the mean density on the way from the sources; of water if there are none.

    Not below that of the lightest lung.
    """
    return np.log(np.float32(max(by_mass / by_length, _LIGHTEST))) if by_length > 0.0 else 0.0


@jit
def _follow(beam, medium, reach, direction, w_per_length, w0, step_w, log_away, line):
    """Fill one ray's nodes; see `trace_fan`."""
    density, material, depth_scale, density_scale = medium
    nz, ny, nx = density.shape
    hx, hy, hz = beam.spacing[0], beam.spacing[1], beam.spacing[2]
    dx, dy, dz = direction
    source = beam.source
    low = beam.origin - 0.5 * beam.spacing
    near, far = _entry(source, low, low + beam.spacing * np.array([nx, ny, nz]), direction)
    i = _cell_of(source[0] + near * dx, low[0], hx, nx) if near < far else 0
    j = _cell_of(source[1] + near * dy, low[1], hy, ny) if near < far else 0
    k = _cell_of(source[2] + near * dz, low[2], hz, nz) if near < far else 0
    face_x = _first_face(source[0], i, low[0], hx, dx)
    face_y = _first_face(source[1], j, low[1], hy, dy)
    face_z = _first_face(source[2], k, low[2], hz, dz)
    step_x, step_y, step_z = 1 if dx > 0 else -1, 1 if dy > 0 else -1, 1 if dz > 0 else -1
    depth = 0.0
    electrons = electrons_length = electrons_mass = 0.0
    photons = photons_length = photons_mass = 0.0
    of_electrons = of_photons = 0.0
    per_reach = 1.0 / reach
    travelled = near
    inside = near < far
    for node in range(line.shape[0]):
        at_node = (w0 + node * step_w) / w_per_length
        # What spreads is carried from node to node: sources in between have its mean place.
        length = mass_electrons = mass_photons = 0.0
        dense = False
        while inside and travelled < at_node:
            face = min(face_x, face_y, face_z, far)
            end = max(min(face, at_node), travelled)
            m = material[k, j, i]
            here = density[k, j, i]
            way = 0.1 * (end - travelled)
            mass = way * here
            depth += mass * depth_scale[m]
            if depth > _SURFACE or here > _THIN:
                length += way
                mass_electrons += mass * density_scale[0, m]
                mass_photons += mass * density_scale[1, m]
            dense |= here > _THIN
            travelled = end
            if face <= at_node:
                if face == face_x:
                    i += step_x
                    face_x += hx / abs(dx)
                    inside = 0 <= i < nx
                elif face == face_y:
                    j += step_y
                    face_y += hy / abs(dy)
                    inside = 0 <= j < ny
                else:
                    k += step_z
                    face_z += hz / abs(dz)
                    inside = 0 <= k < nz
                inside &= face < far
        if length > 0.0:
            electrons, electrons_length, electrons_mass = _pass(
                electrons, electrons_length, electrons_mass, length, mass_electrons, per_reach[0]
            )
            photons, photons_length, photons_mass = _pass(
                photons, photons_length, photons_mass, length, mass_photons, per_reach[1]
            )
        # Nobody asks for dose in air: nodes there have the value of the matter before.
        if dense:
            of_electrons = _log_density(electrons_length, electrons_mass)
            of_photons = _log_density(photons_length, photons_mass)
        line[node, 0] = depth
        line[node, 1] = of_electrons + log_away[node]
        line[node, 2] = of_photons + log_away[node]


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
        Its values are overwritten: depth from the first voxel on, g/cm2; logarithms of the scales
        of electrons and of scattered photons: the mean density on their ways to the node,
        relative to water, times the distance from the source over that of the isocentre.
    """
    nv, nu, nw, _ = fan.values.shape
    log_away = np.log((fan.w0 + fan.step_w * np.arange(nw)) / beam.sad).astype(np.float32)
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
        _follow(
            beam,
            medium,
            reach,
            direction,
            beam.sad / length,
            fan.w0,
            fan.step_w,
            log_away,
            line,
        )
