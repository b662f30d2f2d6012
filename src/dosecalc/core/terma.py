"""Attenuation of the photon beam: radiological paths and released energy per voxel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dosecalc.core._jit import jit, jit_fused, jit_parallel

__all__ = [
    "BeamGeometry",
    "Spectral",
    "attenuate",
    "divide_release",
    "tilt_cells",
    "voxel_fluence",
]


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
def _project(beam, x, y, z):
    """U and v where the ray to a point crosses the map's plane, and the depth along w."""
    dx, dy, dz = x - beam.source[0], y - beam.source[1], z - beam.source[2]
    a = beam.axes
    w = a[2, 0] * dx + a[2, 1] * dy + a[2, 2] * dz
    if w <= 0:
        return np.inf, np.inf, w
    scale = beam.sad / w
    u = (a[0, 0] * dx + a[0, 1] * dy + a[0, 2] * dz) * scale
    v = (a[1, 0] * dx + a[1, 1] * dy + a[1, 2] * dz) * scale
    return u, v, w


@jit
def _pixel(position, count):
    """Pixel and place within it of a position in pixels from the lower end, kept on the map."""
    position = min(max(position, 0.0), float(count))
    index = min(int(position), count - 1)
    return index, position - index


@jit
def _integral_over(beam, u_low, u_high, v_low, v_high):
    """Integral of the fluence map over a rectangle, exact for a map constant in each pixel."""
    rows, columns = beam.integral.shape[0] - 1, beam.integral.shape[1] - 1
    i0, fu0 = _pixel((u_low - beam.u0) / beam.pixel_u, columns)
    i1, fu1 = _pixel((u_high - beam.u0) / beam.pixel_u, columns)
    j0, fv0 = _pixel((v_low - beam.v0) / beam.pixel_v, rows)
    j1, fv1 = _pixel((v_high - beam.v0) / beam.pixel_v, rows)
    a00, a01 = beam.integral[j0, i0], beam.integral[j0, i0 + 1]
    a10, a11 = beam.integral[j0 + 1, i0], beam.integral[j0 + 1, i0 + 1]
    b00, b01 = beam.integral[j0, i1], beam.integral[j0, i1 + 1]
    b10, b11 = beam.integral[j0 + 1, i1], beam.integral[j0 + 1, i1 + 1]
    lower_0, lower_1 = a00 + fu0 * (a01 - a00), a10 + fu0 * (a11 - a10)
    upper_0, upper_1 = b00 + fu1 * (b01 - b00), b10 + fu1 * (b11 - b10)
    below = upper_0 - lower_0 + fv0 * ((upper_1 - lower_1) - (upper_0 - lower_0))
    a00, a01 = beam.integral[j1, i0], beam.integral[j1, i0 + 1]
    a10, a11 = beam.integral[j1 + 1, i0], beam.integral[j1 + 1, i0 + 1]
    b00, b01 = beam.integral[j1, i1], beam.integral[j1, i1 + 1]
    b10, b11 = beam.integral[j1 + 1, i1], beam.integral[j1 + 1, i1 + 1]
    lower_0, lower_1 = a00 + fu0 * (a01 - a00), a10 + fu0 * (a11 - a10)
    upper_0, upper_1 = b00 + fu1 * (b01 - b00), b10 + fu1 * (b11 - b10)
    above = upper_0 - lower_0 + fv1 * ((upper_1 - lower_1) - (upper_0 - lower_0))
    return above - below


@jit
def _voxel_mean(beam, x, y, z):
    """Map value averaged over a voxel's shadow, times the inverse square of the distance.

    The shadow is taken as a rectangle along u and v with the second moments of
    the true one. For a voxel seen face on that is the exact shadow; otherwise it
    is right in area and in the width of the field's edge.
    """
    u, v, w = _project(beam, x, y, z)
    if w <= 0:
        return 0.0
    inverse = 1.0 / w
    longest = max(max(beam.spacing[0], beam.spacing[1]), beam.spacing[2])
    # More than half the shadow's width along u and along v.
    reach = longest * (beam.sad + max(abs(u), abs(v))) * inverse
    rows, columns = beam.integral.shape
    if (
        u + reach < beam.u0
        or v + reach < beam.v0
        or u - reach > beam.u0 + (columns - 1) * beam.pixel_u
        or v - reach > beam.v0 + (rows - 1) * beam.pixel_v
    ):
        return 0.0
    scale = beam.sad * inverse
    square_u = square_v = 0.0
    for axis in range(3):
        h = beam.spacing[axis]
        tilt = beam.axes[2, axis] * inverse
        across_u = h * (beam.axes[0, axis] * scale - u * tilt)
        across_v = h * (beam.axes[1, axis] * scale - v * tilt)
        square_u += across_u * across_u
        square_v += across_v * across_v
    half_u, half_v = 0.5 * np.sqrt(square_u), 0.5 * np.sqrt(square_v)
    total = _integral_over(beam, u - half_u, u + half_u, v - half_v, v + half_v)
    # What is left of the rounding of four large integrals is not fluence.
    if total <= 1e-12 * beam.integral[-1, -1]:
        return 0.0
    # (sad / distance)^2: the point is at (u, v, sad) * w / sad in the beam's axes.
    inverse_square = scale * scale * beam.sad * beam.sad / (u * u + v * v + beam.sad * beam.sad)
    return total / (4 * half_u * half_v) * inverse_square


@jit_parallel
def voxel_fluence(beam, shape, fluence):
    """Photon fluence without attenuation, averaged over each voxel, into `fluence` [z, y, x]."""
    for k in prange(shape[0]):
        z = beam.origin[2] + k * beam.spacing[2]
        for j in range(shape[1]):
            y = beam.origin[1] + j * beam.spacing[1]
            for i in range(shape[2]):
                x = beam.origin[0] + i * beam.spacing[0]
                fluence[k, j, i] = _voxel_mean(beam, x, y, z)


@jit
def _first_crossing(place, origin, spacing, direction):
    """Voxel of a place on one axis, its step, distances to the first plane and between planes."""
    position = (place - origin) / spacing + 0.5
    index = int(np.floor(position))
    within = position - index
    if direction > 1e-12:
        between = spacing / direction
        return index, 1, (1 - within) * between, between
    if direction < -1e-12:
        between = -spacing / direction
        return index, -1, within * between, between
    return index, 0, np.inf, np.inf


@jit
def _add_mass(mass, coefficients, paths):
    """Add mass per area, in mm g/cm3, of one material to its basis coefficients' integrals."""
    for b in range(paths.size):
        paths[b] += 0.1 * mass * coefficients[b]


@jit
def _path_integrals(beam, density, material, coefficients, x, y, z, paths):
    """Integrate density times each basis coefficient from the source to a point, g/cm2.

    Siddon's algorithm (Med Phys 12:252 (1985)) in its incremental form. It walks
    from the point towards the source, so it starts inside the grid and stops as
    soon as it leaves.
    """
    for b in range(paths.size):
        paths[b] = 0.0
    dx, dy, dz = beam.source[0] - x, beam.source[1] - y, beam.source[2] - z
    length = np.sqrt(dx * dx + dy * dy + dz * dz)
    (ox, oy, oz), (hx, hy, hz) = beam.origin, beam.spacing
    i, step_i, next_i, between_i = _first_crossing(x, ox, hx, dx / length)
    j, step_j, next_j, between_j = _first_crossing(y, oy, hy, dy / length)
    k, step_k, next_k, between_k = _first_crossing(z, oz, hz, dz / length)
    nz, ny, nx = density.shape
    travelled, mass, run = 0.0, 0.0, material[k, j, i]
    while 0 <= i < nx and 0 <= j < ny and 0 <= k < nz:
        voxel = np.uint64(k), np.uint64(j), np.uint64(i)
        if material[voxel] != run:
            _add_mass(mass, coefficients[run], paths)
            mass, run = 0.0, material[voxel]
        end = min(min(next_i, next_j), min(next_k, length))
        mass += (end - travelled) * density[voxel]
        travelled = end
        if end == next_i:
            i += step_i
            next_i += between_i
        elif end == next_j:
            j += step_j
            next_j += between_j
        elif end == next_k:
            k += step_k
            next_k += between_k
        else:
            break
    _add_mass(mass, coefficients[run], paths)


# Optical depth beyond which nothing is left, exp(-40) = 4e-18.
_OPAQUE = 40.0


@jit_fused
def _transmit(energy_fluence, optical_depth, transmitted):
    """Energy fluence per bin behind the optical depths, to 3e-9.

    exp(-t) as a polynomial of t/64 squared six times, because a call in the loop would keep
    it from being vectorised. Where the beam is softened, t may be a little below zero.
    """
    for e in range(optical_depth.size):
        y = min(optical_depth[e], _OPAQUE) * (-1.0 / 64.0)
        p = 1.0 / 720.0 + y * (1.0 / 5040.0 + y * (1.0 / 40320.0 + y * (1.0 / 362880.0)))
        p = 1.0 / 6.0 + y * (1.0 / 24.0 + y * (1.0 / 120.0 + y * p))
        p = 1.0 + y * (1.0 + y * (0.5 + y * p))
        p = p * p
        p = p * p
        p = p * p
        p = p * p
        p = p * p
        transmitted[e] = energy_fluence[e] * (p * p)


@jit_fused
def _optical_depths(basis, paths, water, soft, depths):
    """Optical depth per energy of the paths less `soft` g/cm2 of water."""
    depths[:] = 0.0
    for b in range(paths.size):
        path, row = paths[b] - soft * water[b], basis[b]
        for e in range(depths.size):
            depths[e] += path * row[e]


@jit_fused
def _release(spectral, material, transmitted, factor, out):
    """Energy released per volume into each channel, MeV/cm3, for one voxel."""
    release = spectral.release[material]
    for channel in range(out.size):
        row, total = release[channel], 0.0
        for e in range(transmitted.size):
            total += transmitted[e] * row[e]
        out[channel] = total * factor


@jit
def _attenuate_row(beam, spectral, density, material, fluence, start, place, released):
    """Do what `attenuate` says for row `place` (box_k, box_j) of the box."""
    channels, _, _, mx = released.shape
    k, j = place[0] + start[0], place[1] + start[1]
    y = beam.origin[1] + j * beam.spacing[1]
    z = beam.origin[2] + k * beam.spacing[2]
    paths = np.empty(spectral.basis.shape[0], np.float64)
    depths = np.empty(spectral.basis.shape[1], np.float64)
    transmitted = np.empty(spectral.basis.shape[1], np.float64)
    out = np.empty(channels, np.float64)
    for box_i in range(mx):
        i = box_i + start[2]
        flux = fluence[place[0], place[1], box_i]
        if flux <= 0 or density[k, j, i] <= 0:
            continue
        x = beam.origin[0] + i * beam.spacing[0]
        u, v, _ = _project(beam, x, y, z)
        radius = np.sqrt(u * u + v * v)
        soft = np.interp(radius, spectral.softening_radius, spectral.softening_path)
        norm = np.interp(radius, spectral.softening_radius, spectral.softening_norm)
        _path_integrals(beam, density, material, spectral.coefficients, x, y, z, paths)
        _optical_depths(spectral.basis, paths, spectral.water_coefficients, soft, depths)
        _transmit(spectral.energy_fluence, depths, transmitted)
        factor = flux * density[k, j, i] * norm
        _release(spectral, material[k, j, i], transmitted, factor, out)
        for c in range(channels):
            released[c, place[0], place[1], box_i] = out[c]


@jit_parallel
def attenuate(beam, spectral, density, material, fluence, start, released):
    """Energy released per volume, MeV/cm3, in a box of voxels.

    Parameters
    ----------
    beam : BeamGeometry
    spectral : Spectral
    density : (nz, ny, nx) float32, g/cm3
    material : (nz, ny, nx) uint8
    fluence : (mz, my, mx) float32, 1/cm2
        In the box, from `voxel_fluence`; voxels with none are skipped.
    start : (3,) int64
        First voxel of the box, z, y, x.
    released : (nchannels, mz, my, mx) float32
        Result on the box, overwritten where fluence is above zero.
    """
    _, mz, my, _ = released.shape
    for row in prange(mz * my):
        place = (row // my, row % my)
        _attenuate_row(beam, spectral, density, material, fluence, start, place, released)


@jit
def _divide_voxel(fine, released, voxel, factors, start, shares, divided):
    """Do what `divide_release` says for one voxel of the box; `shares` is room for subvoxels."""
    k, j, i = voxel
    fz, fy, fx = factors
    total, part = 0.0, 0
    for a in range(k * fz, (k + 1) * fz):
        z = fine.origin[2] + a * fine.spacing[2]
        for b in range(j * fy, (j + 1) * fy):
            y = fine.origin[1] + b * fine.spacing[1]
            for c in range(i * fx, (i + 1) * fx):
                shares[part] = _voxel_mean(fine, fine.origin[0] + c * fine.spacing[0], y, z)
                total += shares[part]
                part += 1
    if total <= 0:
        return
    for n in range(released.shape[0]):
        per_fluence, part = released[n, k, j, i] / total, 0
        for a in range((start[0] + k) * fz, (start[0] + k + 1) * fz):
            for b in range((start[1] + j) * fy, (start[1] + j + 1) * fy):
                for c in range((start[2] + i) * fx, (start[2] + i + 1) * fx):
                    divided[n, a, b, c] += per_fluence * shares[part]
                    part += 1


@jit_parallel
def divide_release(fine, released, factors, start, divided):
    """Share each voxel's released energy among its subvoxels in proportion to their fluence.

    Parameters
    ----------
    fine : BeamGeometry
        The beam over the subvoxels of a box of voxels.
    released : (channels, mz, my, mx) float32
        In the box. A voxel whose subvoxels see no fluence loses its energy, so the
        caller gives none to such voxels.
    factors : (fz, fy, fx) int
        Subvoxels per voxel.
    start : (3,) int64
        First voxel of the box, z, y, x, in the lattice of `divided`.
    divided : (channels, nz * fz, ny * fy, nx * fx) float32
        Added to.
    """
    _, mz, my, mx = released.shape
    for k in prange(mz):
        shares = np.empty(factors[0] * factors[1] * factors[2], np.float64)
        for j in range(my):
            for i in range(mx):
                if released[0, k, j, i] > 0:
                    _divide_voxel(fine, released, (k, j, i), factors, start, shares, divided)


@jit_parallel
def tilt_cells(beam, tilts, released, cell, moment_u, moment_v):
    """Cell of the tilt grid that each voxel's ray lies in, and its energy's place in the cell.

    Parameters
    ----------
    beam : BeamGeometry
    tilts : (first_u, first_v, step, cells_u, cells_v)
        Nodes at the tangents first_u + step * i and first_v + step * j.
    released : (nz, ny, nx) float32
    cell : (nz, ny, nx) int16
        j * cells_u + i, of the nearest cell where the ray is in none, overwritten.
    moment_u, moment_v : (nz, ny, nx) float32
        Released energy times the place within the cell, 0 to 1, overwritten.
    """
    nz, ny, nx = cell.shape
    first_u, first_v, step, cells_u, cells_v = tilts
    scale = 1.0 / (beam.sad * step)
    for k in prange(nz):
        z = beam.origin[2] + k * beam.spacing[2]
        for j in range(ny):
            y = beam.origin[1] + j * beam.spacing[1]
            for i in range(nx):
                u, v, _ = _project(beam, beam.origin[0] + i * beam.spacing[0], y, z)
                place_u = u * scale - first_u / step
                place_v = v * scale - first_v / step
                column = int(min(max(place_u, 0.0), cells_u - 1.0))
                row = int(min(max(place_v, 0.0), cells_v - 1.0))
                cell[k, j, i] = row * cells_u + column
                energy = released[k, j, i]
                moment_u[k, j, i] = energy * (place_u - column) if energy > 0 else 0.0
                moment_v[k, j, i] = energy * (place_v - row) if energy > 0 else 0.0
