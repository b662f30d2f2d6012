"""Dose of convolved fluence maps: each voxel looks up its depth, its scale and its place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dosecalc.core._jit import jit, jit_fused, jit_parallel

__all__ = [
    "TERMS",
    "Convolved",
    "DepthTable",
    "RadialTable",
    "depth_terms",
    "on_fan",
    "pencil_dose",
    "times_transforms",
]

# Products of a function of depth and one of the place across the beam, per kind of energy.
TERMS = 5


class DepthTable(NamedTuple):
    """Functions of depth at 0, step, 2 step ... g/cm2; values (nd, TERMS) float32, Gy cm2."""

    step: float
    values: NDArray[np.float32]


class RadialTable(NamedTuple):
    """Transforms of functions across the beam, even in the logarithm of frequency.

    first, step : float
        Logarithm of the first frequency (per cm) and step. Below the first, values go to those
        at zero with the square of the frequency.
    values : (nk, families, TERMS) float32
    at_zero : (families, TERMS) float32
    """

    first: float
    step: float
    values: NDArray[np.float32]
    at_zero: NDArray[np.float32]


class Convolved(NamedTuple):
    """One kind of energy: functions of depth, and convolved fluence for several lateral scales.

    depth_step, along : see `DepthTable`

    u0, v0, pixel_u, pixel_v : mm
        Centre of the first pixel and size of the pixels, in the isocentre plane.
    first, step : float
        Logarithm of the first scale (g/cm2 across the beam per cm of the isocentre plane) and
        step from one to the next.
    values : (ns, nv, nu, TERMS) float32
    """

    depth_step: float
    along: NDArray[np.float32]
    u0: float
    v0: float
    pixel_u: float
    pixel_v: float
    first: float
    step: float
    values: NDArray[np.float32]


@jit
def _cell(place, count):
    """Lower node and share of the upper, for a place on nodes 0 to count - 1, kept on them."""
    place = min(max(place, 0.0), count - 1.0)
    node = min(int(place), max(count - 2, 0))
    return node, np.float32(place - node)


@jit_fused
def _at_depth(kind, depth, out):
    """Add half of the functions of depth at a depth."""
    node, share = _cell(depth / kind.depth_step, kind.along.shape[0])
    low, high = kind.along[node], kind.along[node + 1]
    for t in range(TERMS):
        out[t] += np.float32(0.5) * (low[t] + share * (high[t] - low[t]))


@jit
def depth_terms(kind, upper, lower, out):
    """Functions of depth, the mean of those at two depths."""
    out[:] = 0
    _at_depth(kind, upper, out)
    _at_depth(kind, lower, out)


@jit_fused
def _across(maps, scale, u, v, depths):
    """Sum over the terms, linear in scale and place; nothing outside the maps."""
    ns, nv, nu, _ = maps.values.shape
    pu, pv = (u - maps.u0) / maps.pixel_u, (v - maps.v0) / maps.pixel_v
    if pu < 0.0 or pv < 0.0 or pu > nu - 1.0 or pv > nv - 1.0:
        return np.float32(0.0)
    i, fu = _cell(pu, nu)
    j, fv = _cell(pv, nv)
    s, fs = _cell((scale - maps.first) / maps.step, ns)
    one = np.float32(1.0)
    total = np.float32(0.0)
    for n in range(2):
        weight = fs if n == 1 else one - fs
        if weight == 0.0:
            continue
        near, far = maps.values[s + n, j], maps.values[s + n, j + 1]
        part = np.float32(0.0)
        for t in range(TERMS):
            a = near[i, t] + fu * (near[i + 1, t] - near[i, t])
            b = far[i, t] + fu * (far[i + 1, t] - far[i, t])
            part += depths[t] * (a + fv * (b - a))
        total += weight * part
    return total


@jit_fused
def on_fan(fan, u, v, w, found):
    """Interpolate a fan's quantities linearly at a point."""
    nv, nu, nw, count = fan.values.shape
    i, fu = _cell((u - fan.u0) / fan.step, nu)
    j, fv = _cell((v - fan.v0) / fan.step, nv)
    k, fw = _cell((w - fan.w0) / fan.step_w, nw)
    a, b = fan.values[j, i], fan.values[j, i + 1]
    c, d = fan.values[j + 1, i], fan.values[j + 1, i + 1]
    for q in range(count):
        a0 = a[k, q] + fw * (a[k + 1, q] - a[k, q])
        b0 = b[k, q] + fw * (b[k + 1, q] - b[k, q])
        c0 = c[k, q] + fw * (c[k + 1, q] - c[k, q])
        d0 = d[k, q] + fw * (d[k + 1, q] - d[k, q])
        low, high = a0 + fu * (b0 - a0), c0 + fu * (d0 - c0)
        found[q] = low + fv * (high - low)


@jit_fused
def _transform_row(spectra, radial, row_frequency, frequencies, filter_row, scale, row, out):
    """Do what `times_transforms` says for one row of frequencies."""
    count, families, terms = radial.values.shape
    lowest = np.exp(radial.first)
    for i in range(frequencies.size):
        k = np.sqrt(row_frequency * row_frequency + frequencies[i] * frequencies[i]) / scale
        if k < lowest:
            share, node, f = np.float32((k / lowest) ** 2), 0, np.float32(0.0)
        else:
            share = np.float32(1.0)
            node, f = _cell((np.log(k) - radial.first) / radial.step, count)
        low, high = radial.values[node], radial.values[node + 1]
        for t in range(terms):
            total = np.complex64(0)
            for q in range(families):
                value = low[q, t] + f * (high[q, t] - low[q, t])
                value = radial.at_zero[q, t] + share * (value - radial.at_zero[q, t])
                total += spectra[q, row, i] * (value * filter_row[i])
            out[t, row, i] = total


@jit_parallel
def times_transforms(spectra, radial, across, along, filter_across, filter_along, scale, out):
    """Multiply transforms of fluence maps with those of functions across the beam.

    Parameters
    ----------
    spectra : (families, nv, nu / 2 + 1) complex64
        Of the shares of the fluence.
    radial : RadialTable
    across, along : (nu / 2 + 1,) and (nv,) float64
        Frequencies of columns and rows, per cm of the isocentre plane.
    filter_across, filter_along : of the same shapes, float32
        Factors of columns and rows.
    scale : float
        Water-equivalent length across the beam per length in the isocentre plane.
    out : (TERMS, nv, nu / 2 + 1) complex64
    """
    for row in prange(along.size):
        _transform_row(
            spectra,
            radial,
            along[row],
            across,
            filter_across * filter_along[row],
            scale,
            row,
            out,
        )


@jit
def _row(beam, fan, medium, thickness, primary, scatter, k, j, dose):
    """Do what `pencil_dose` says for one row of voxels."""
    density, material, factors, depth_scale = medium
    a = beam.axes
    dy = beam.origin[1] + j * beam.spacing[1] - beam.source[1]
    dz = beam.origin[2] + k * beam.spacing[2] - beam.source[2]
    found = np.empty(3, np.float32)
    depths = np.empty(TERMS, np.float32)
    for i in range(dose.size):
        if density[k, j, i] <= 0:
            continue
        dx = beam.origin[0] + i * beam.spacing[0] - beam.source[0]
        w = a[2, 0] * dx + a[2, 1] * dy + a[2, 2] * dz
        if w <= 0:
            continue
        scale = beam.sad / w
        u = (a[0, 0] * dx + a[0, 1] * dy + a[0, 2] * dz) * scale
        v = (a[1, 0] * dx + a[1, 1] * dy + a[1, 2] * dz) * scale
        on_fan(fan, u, v, w, found)
        m = material[k, j, i]
        # Gauss' rule of two points for the mean over the voxel's thickness.
        half = thickness * density[k, j, i] * depth_scale[m]
        upper, lower = max(found[0] - half, 0.0), found[0] + half
        total = np.float32(0.0)
        magnified = -np.log(scale)
        for part in range(2):
            kind = primary if part == 0 else scatter
            depth_terms(kind, upper, lower, depths)
            total += factors[part, m] * _across(kind, found[1 + part] + magnified, u, v, depths)
        distance_square = dx * dx + dy * dy + dz * dz
        dose[i] = total * (beam.sad * beam.sad / distance_square)


@jit_parallel
def pencil_dose(beam, fan, medium, thickness, primary, scatter, dose):
    """Dose in every voxel that holds matter.

    Parameters
    ----------
    beam : BeamGeometry
    fan : FanLattice
    medium : (density, material, factors, depth_scale)
        Voxels [z, y, x]; per material, dose relative to water of both kinds of energy,
        (2, nm) float32, and water-equivalent depth per mass per area (nm,).
    thickness : float, cm
        Voxels along the beam: half their extent over the square root of three.
    primary, scatter : Convolved
    dose : (nz, ny, nx) float32
        Overwritten where there is matter.
    """
    nz, ny, _ = dose.shape
    for row in prange(nz * ny):
        k, j = row // ny, row % ny
        _row(beam, fan, medium, thickness, primary, scatter, k, j, dose[k, j])
