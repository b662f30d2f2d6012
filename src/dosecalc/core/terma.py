"""Attenuation of the photon beam: radiological paths and released energy per voxel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dosecalc.core._jit import jit, jit_parallel

__all__ = ["BeamGeometry", "Spectral", "attenuate", "tilt_cells", "voxel_fluence"]


class BeamGeometry(NamedTuple):
    """Where the beam comes from and how its fluence map lies; lengths in mm, LPS.

    source : (3,) x, y, z
    axes : (3, 3) rows u, v, w
    sad : distance of the map's plane from the source
    integral : (nv + 1, nu + 1) float64
        Integral of the map over u and v from its lower corner, mm2.
    u0, v0, pixel_u, pixel_v : outer lower corner and pixel size of the map
    origin, spacing : (3,) x, y, z of the voxel grid
    """

    source: NDArray[np.float64]
    axes: NDArray[np.float64]
    sad: float
    integral: NDArray[np.float64]
    u0: float
    v0: float
    pixel_u: float
    pixel_v: float
    origin: NDArray[np.float64]
    spacing: NDArray[np.float64]


class Spectral(NamedTuple):
    """The beam's spectrum and the interaction data at its energies.

    energy_fluence : (ne,) float64
        Energy fluence per bin for unit photon fluence on the axis, MeV.
    basis : (nbasis, ne) float64, cm2/g
        Basis functions of the mass attenuation coefficients.
    coefficients : (nmaterials, nbasis) float64
        mu/rho(E) = sum_b coefficients[m, b] basis[b, E].
    release : (nmaterials, nchannels, ne) float64, cm2/g
        mu/rho times the share of the energy that goes to each channel.
    softening_radius, softening_path, softening_norm : (nr,) float64
        Water path (g/cm2) taken from the beam at a radius (mm) in the map's
        plane and the factor that keeps the energy fluence unchanged by it.
    water_coefficients : (nbasis,) float64
    """

    energy_fluence: NDArray[np.float64]
    basis: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    release: NDArray[np.float64]
    softening_radius: NDArray[np.float64]
    softening_path: NDArray[np.float64]
    softening_norm: NDArray[np.float64]
    water_coefficients: NDArray[np.float64]


@jit
def _integral_at(beam, u, v):
    """Integral of the fluence map up to (u, v), exact for a map constant in each pixel."""
    rows, columns = beam.integral.shape
    x = min(max((u - beam.u0) / beam.pixel_u, 0.0), columns - 1.0)
    y = min(max((v - beam.v0) / beam.pixel_v, 0.0), rows - 1.0)
    i, j = min(int(x), columns - 2), min(int(y), rows - 2)
    fx, fy = x - i, y - j
    return (1 - fy) * ((1 - fx) * beam.integral[j, i] + fx * beam.integral[j, i + 1]) + fy * (
        (1 - fx) * beam.integral[j + 1, i] + fx * beam.integral[j + 1, i + 1]
    )


@jit
def _project(beam, x, y, z):
    """U and v where the ray to a point crosses the map's plane, depth along w, distance."""
    dx, dy, dz = x - beam.source[0], y - beam.source[1], z - beam.source[2]
    a = beam.axes
    w = a[2, 0] * dx + a[2, 1] * dy + a[2, 2] * dz
    if w <= 0:
        return np.inf, np.inf, w, 0.0
    scale = beam.sad / w
    u = (a[0, 0] * dx + a[0, 1] * dy + a[0, 2] * dz) * scale
    v = (a[1, 0] * dx + a[1, 1] * dy + a[1, 2] * dz) * scale
    return u, v, w, np.sqrt(dx * dx + dy * dy + dz * dz)


@jit
def _voxel_mean(beam, x, y, z):
    """Map value averaged over a voxel's shadow, times the inverse square of the distance.

    The shadow is taken as a rectangle along u and v with the second moments of
    the true one. For a voxel seen face on that is the exact shadow; otherwise it
    is right in area and in the width of the field's edge.
    """
    u, v, w, distance = _project(beam, x, y, z)
    if w <= 0:
        return 0.0, u, v
    half_u = half_v = 0.0
    scale = beam.sad / w
    for axis in range(3):
        h = beam.spacing[axis]
        tilt = beam.axes[2, axis] / w
        half_u += (h * (beam.axes[0, axis] * scale - u * tilt)) ** 2
        half_v += (h * (beam.axes[1, axis] * scale - v * tilt)) ** 2
    half_u, half_v = 0.5 * np.sqrt(half_u), 0.5 * np.sqrt(half_v)
    total = (
        _integral_at(beam, u + half_u, v + half_v)
        - _integral_at(beam, u - half_u, v + half_v)
        - _integral_at(beam, u + half_u, v - half_v)
        + _integral_at(beam, u - half_u, v - half_v)
    )
    # What is left of the rounding of four large integrals is not fluence.
    if total <= 1e-12 * beam.integral[-1, -1]:
        return 0.0, u, v
    mean = total / (4 * half_u * half_v)
    return mean * (beam.sad / distance) ** 2, u, v


@jit_parallel
def voxel_fluence(beam, shape, fluence):
    """Photon fluence without attenuation, averaged over each voxel, into `fluence` [z, y, x]."""
    for k in prange(shape[0]):
        z = beam.origin[2] + k * beam.spacing[2]
        for j in range(shape[1]):
            y = beam.origin[1] + j * beam.spacing[1]
            for i in range(shape[2]):
                x = beam.origin[0] + i * beam.spacing[0]
                fluence[k, j, i] = _voxel_mean(beam, x, y, z)[0]


@jit
def _path_integrals(beam, weights, material, coefficients, point, paths):
    """Integrate density times each basis coefficient from the source to `point`, g/cm2.

    Siddon's algorithm (Med Phys 12:252 (1985)) in its incremental form. It walks
    from the point towards the source, so it starts inside the grid and stops as
    soon as it leaves.
    """
    for b in range(paths.size):
        paths[b] = 0.0
    index = np.empty(3, np.int64)
    step = np.empty(3, np.int64)
    to_next = np.empty(3, np.float64)
    between = np.empty(3, np.float64)
    length = 0.0
    for axis in range(3):
        length += (beam.source[axis] - point[axis]) ** 2
    length = np.sqrt(length)
    for axis in range(3):
        direction = (beam.source[axis] - point[axis]) / length
        h = beam.spacing[axis]
        place = (point[axis] - beam.origin[axis]) / h + 0.5
        index[axis] = int(np.floor(place))
        within = place - index[axis]
        if direction > 1e-12:
            step[axis], between[axis] = 1, h / direction
            to_next[axis] = (1 - within) * between[axis]
        elif direction < -1e-12:
            step[axis], between[axis] = -1, -h / direction
            to_next[axis] = within * between[axis]
        else:
            step[axis], between[axis], to_next[axis] = 0, np.inf, np.inf
    nz, ny, nx = weights.shape
    travelled = 0.0
    while 0 <= index[0] < nx and 0 <= index[1] < ny and 0 <= index[2] < nz:
        axis = 0
        if to_next[1] < to_next[axis]:
            axis = 1
        if to_next[2] < to_next[axis]:
            axis = 2
        end = min(to_next[axis], length)
        mass = (end - travelled) * 0.1 * weights[index[2], index[1], index[0]]
        row = coefficients[material[index[2], index[1], index[0]]]
        for b in range(paths.size):
            paths[b] += mass * row[b]
        if end >= length:
            break
        travelled = end
        index[axis] += step[axis]
        to_next[axis] += between[axis]


@jit
def _release(spectral, material, paths, density, fluence, radius, out):
    """Energy released per volume into each channel, MeV/cm3, for one voxel."""
    soft = np.interp(radius, spectral.softening_radius, spectral.softening_path)
    norm = np.interp(radius, spectral.softening_radius, spectral.softening_norm)
    for channel in range(out.size):
        out[channel] = 0.0
    for e in range(spectral.energy_fluence.size):
        tau = 0.0
        for b in range(paths.size):
            tau += spectral.basis[b, e] * (paths[b] - soft * spectral.water_coefficients[b])
        psi = spectral.energy_fluence[e] * np.exp(-tau)
        for channel in range(out.size):
            out[channel] += psi * spectral.release[material, channel, e]
    for channel in range(out.size):
        out[channel] *= fluence * density * norm


@jit_parallel
def attenuate(beam, spectral, density, material, fluence, start, released):
    """Energy released per volume, MeV/cm3, in a box of voxels.

    Parameters
    ----------
    beam : BeamGeometry
    spectral : Spectral
    density : (nz, ny, nx) float32, g/cm3
    material : (nz, ny, nx) uint8
    fluence : (nz, ny, nx) float32, 1/cm2
        From `voxel_fluence`; voxels with none are skipped.
    start : (3,) int64
        First voxel of the box, z, y, x.
    released : (nchannels, mz, my, mx) float32
        Result on the box, overwritten where fluence is above zero.
    """
    channels_n, mz, my, mx = released.shape
    for box_k in prange(mz):
        k = box_k + start[0]
        point = np.empty(3, np.float64)
        paths = np.empty(spectral.basis.shape[0], np.float64)
        channels = np.empty(channels_n, np.float64)
        for j in range(start[1], start[1] + my):
            for i in range(start[2], start[2] + mx):
                if fluence[k, j, i] <= 0 or density[k, j, i] <= 0:
                    continue
                point[0] = beam.origin[0] + i * beam.spacing[0]
                point[1] = beam.origin[1] + j * beam.spacing[1]
                point[2] = beam.origin[2] + k * beam.spacing[2]
                u, v, _, _ = _project(beam, point[0], point[1], point[2])
                _path_integrals(beam, density, material, spectral.coefficients, point, paths)
                radius = np.sqrt(u * u + v * v)
                m = material[k, j, i]
                _release(spectral, m, paths, density[k, j, i], fluence[k, j, i], radius, channels)
                for c in range(channels_n):
                    released[c, box_k, j - start[1], i - start[2]] = channels[c]


@jit_parallel
def tilt_cells(beam, tilts, fluence, cell, along_u, along_v):
    """Cell of the tilt grid that each voxel's ray lies in, and where in the cell.

    Parameters
    ----------
    beam : BeamGeometry
    tilts : (first_u, first_v, step, cells_u, cells_v)
        Nodes at the tangents first_u + step * i and first_v + step * j.
    fluence : (nz, ny, nx) float32
        Voxels without any get cell 0.
    cell : (nz, ny, nx) int16
        j * cells_u + i, overwritten.
    along_u, along_v : (nz, ny, nx) float32
        Place within the cell, 0 to 1, overwritten.
    """
    nz, ny, nx = cell.shape
    first_u, first_v, step, cells_u, cells_v = tilts
    for k in prange(nz):
        z = beam.origin[2] + k * beam.spacing[2]
        for j in range(ny):
            y = beam.origin[1] + j * beam.spacing[1]
            for i in range(nx):
                cell[k, j, i] = 0
                along_u[k, j, i] = along_v[k, j, i] = 0
                if fluence[k, j, i] <= 0:
                    continue
                u, v, _, _ = _project(beam, beam.origin[0] + i * beam.spacing[0], y, z)
                place_u = (u / beam.sad - first_u) / step
                place_v = (v / beam.sad - first_v) / step
                column = min(max(int(np.floor(place_u)), 0), cells_u - 1)
                row = min(max(int(np.floor(place_v)), 0), cells_v - 1)
                cell[k, j, i] = row * cells_u + column
                along_u[k, j, i] = place_u - column
                along_v[k, j, i] = place_v - row
