"""Dose of convolved fluence maps: each voxel looks up its depth, its scale and its place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dosecalc.core._jit import jit, jit_fused, jit_inline, jit_parallel

__all__ = [
    "TERMS",
    "Convolved",
    "DepthTable",
    "Near",
    "RadialTable",
    "depth_terms",
    "dose_between",
    "on_fan",
    "pencil_dose",
    "thinned_dose",
    "thinned_nodes",
    "times_transforms",
]

# Products of a function of depth and one of the place across the beam, per kind of energy.
TERMS = 5

# Below this density, g/cm3, nobody asks for dose.
_AIR = 0.05


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


class Near(NamedTuple):
    """Cells of the isocentre plane in which, or near which, the field lies.

    u0, v0, pixel : mm
        Lower corner of the first cell, and size.
    mask : (nv, nu) bool
    """

    u0: float
    v0: float
    pixel: float
    mask: NDArray[np.bool_]


@jit
def _cell(place, count):
    """Lower node and share of the upper, for a place on nodes 0 to count - 1, kept on them."""
    place = min(max(place, 0.0), count - 1.0)
    node = min(int(place), max(count - 2, 0))
    return node, np.float32(place - node)


@jit_fused
def depth_terms(kind, upper, lower, out):
    """Functions of depth, the mean of those at two depths."""
    count = kind.along.shape[0]
    node, share = _cell(upper / kind.depth_step, count)
    other, part = _cell(lower / kind.depth_step, count)
    a, b = kind.along[node], kind.along[node + 1]
    c, d = kind.along[other], kind.along[other + 1]
    for t in range(TERMS):
        out[t] = np.float32(0.5) * ((a[t] + share * (b[t] - a[t])) + (c[t] + part * (d[t] - c[t])))


@jit_fused
def _kind_dose(kind, depth, half, scale, u, v):
    """Sum over the terms, linear in scale and place; nothing outside the maps.

    The mean over 2 sqrt(3) half of depth, by the rule of Gauss with two points.
    """
    values, along = kind.values, kind.along
    ns, nv, nu, _ = values.shape
    pu, pv = (u - kind.u0) / kind.pixel_u, (v - kind.v0) / kind.pixel_v
    if pu < 0.0 or pv < 0.0 or pu > nu - 1.0 or pv > nv - 1.0:
        return np.float32(0.0)
    i, fu = _cell(pu, nu)
    j, fv = _cell(pv, nv)
    s, fs = _cell((scale - kind.first) / kind.step, ns)
    one = np.float32(1.0)
    wa, wb, wc, wd = (one - fu) * (one - fv), fu * (one - fv), (one - fu) * fv, fu * fv
    a, b, c, d = values[s, j, i], values[s, j, i + 1], values[s, j + 1, i], values[s, j + 1, i + 1]
    s += 1
    e, f, g, h = values[s, j, i], values[s, j, i + 1], values[s, j + 1, i], values[s, j + 1, i + 1]
    node, share = _cell((depth - half) / kind.depth_step, along.shape[0])
    upper, below_upper = along[node], along[node + 1]
    total = np.float32(0.0)
    if half == 0.0:
        for t in range(TERMS):
            narrow = wa * a[t] + wb * b[t] + wc * c[t] + wd * d[t]
            wide = wa * e[t] + wb * f[t] + wc * g[t] + wd * h[t]
            there = upper[t] + share * (below_upper[t] - upper[t])
            total += there * (narrow + fs * (wide - narrow))
        return total
    other, part = _cell((depth + half) / kind.depth_step, along.shape[0])
    lower, below_lower = along[other], along[other + 1]
    for t in range(TERMS):
        narrow = wa * a[t] + wb * b[t] + wc * c[t] + wd * d[t]
        wide = wa * e[t] + wb * f[t] + wc * g[t] + wd * h[t]
        there = upper[t] + share * (below_upper[t] - upper[t])
        there += lower[t] + part * (below_lower[t] - lower[t])
        total += there * (narrow + fs * (wide - narrow))
    return np.float32(0.5) * total


@jit_fused
def on_fan(fan, u, v, w):
    """Interpolate a fan's quantities linearly at a point."""
    values = fan.values
    nv, nu, nw, _ = values.shape
    i, fu = _cell((u - fan.u0) / fan.step, nu)
    j, fv = _cell((v - fan.v0) / fan.step, nv)
    k, fw = _cell((w - fan.w0) / fan.step_w, nw)
    one = np.float32(1.0)
    wa, wb, wc, wd = (one - fu) * (one - fv), fu * (one - fv), (one - fu) * fv, fu * fv
    a, b, c, d = values[j, i], values[j, i + 1], values[j + 1, i], values[j + 1, i + 1]
    gw, n = one - fw, k + 1
    depth = gw * (wa * a[k, 0] + wb * b[k, 0] + wc * c[k, 0] + wd * d[k, 0])
    depth += fw * (wa * a[n, 0] + wb * b[n, 0] + wc * c[n, 0] + wd * d[n, 0])
    narrow = gw * (wa * a[k, 1] + wb * b[k, 1] + wc * c[k, 1] + wd * d[k, 1])
    narrow += fw * (wa * a[n, 1] + wb * b[n, 1] + wc * c[n, 1] + wd * d[n, 1])
    wide = gw * (wa * a[k, 2] + wb * b[k, 2] + wc * c[k, 2] + wd * d[k, 2])
    wide += fw * (wa * a[n, 2] + wb * b[n, 2] + wc * c[n, 2] + wd * d[n, 2])
    return depth, narrow, wide


@jit_fused
def times_transforms(spectra, radial, log_k, filter_across, filter_along, log_scale, out):
    """Multiply transforms of fluence maps with those of functions across the beam.

    Parameters
    ----------
    spectra : (families, nv, nu / 2 + 1, 2) float32
        Of the shares of the fluence, real and imaginary.
    radial : RadialTable
    log_k : (nv / 2 + 1, nu / 2 + 1) float32
        Logarithm of frequencies, per cm of the isocentre plane. Rows above the middle have
        those of the rows as far below it.
    filter_across, filter_along : (nu / 2 + 1,) and (nv,) float32
        Factors of columns and rows; the latter even as well.
    log_scale : float
        Logarithm of the water-equivalent length across the beam per length in the isocentre plane.
    out : (TERMS, nv, nu / 2 + 1, 2) float32
    """
    count, families, _ = radial.values.shape
    nv = out.shape[1]
    zero = radial.at_zero
    for row in range(log_k.shape[0]):
        # The row of the opposite frequency; the same one for none and for the highest.
        mirror = (nv - row) % nv
        for i in range(log_k.shape[1]):
            place = (log_k[row, i] - log_scale - radial.first) / radial.step
            node, f = _cell(place, count)
            share = np.float32(1.0)
            if place < 0.0:
                share = np.float32(np.exp(2.0 * place * radial.step))
            low, high = radial.values[node], radial.values[node + 1]
            factor = filter_across[i] * filter_along[row]
            for t in range(TERMS):
                re = im = mirror_re = mirror_im = np.float32(0.0)
                for q in range(families):
                    value = low[q, t] + f * (high[q, t] - low[q, t])
                    value = factor * (zero[q, t] + share * (value - zero[q, t]))
                    re += value * spectra[q, row, i, 0]
                    im += value * spectra[q, row, i, 1]
                    mirror_re += value * spectra[q, mirror, i, 0]
                    mirror_im += value * spectra[q, mirror, i, 1]
                out[t, row, i, 0], out[t, row, i, 1] = re, im
                out[t, mirror, i, 0], out[t, mirror, i, 1] = mirror_re, mirror_im


@jit_inline
def _water_dose(beam, fan, half, kinds, point):
    """Primary and scattered dose to water at a point, given relative to the source.

    half : see `_kind_dose`, g/cm2 of water; scattered energy varies too little over a voxel
    """
    dx, dy, dz, u, v, w = point
    depth, narrow, wide = on_fan(fan, u, v, w)
    primary, scatter = kinds
    spread = np.float32(beam.sad * beam.sad / (dx * dx + dy * dy + dz * dz))
    first = _kind_dose(primary, depth, half, narrow, u, v)
    second = _kind_dose(scatter, depth, np.float32(0.0), wide, u, v)
    return first * spread, second * spread


@jit_inline
def _seen(beam, i, dy, dz):
    """Place of voxel i of a row: relative to the source, in the isocentre plane, and along w."""
    a = beam.axes
    dx = beam.origin[0] + i * beam.spacing[0] - beam.source[0]
    w = a[2, 0] * dx + a[2, 1] * dy + a[2, 2] * dz
    scale = beam.sad / w
    u = (a[0, 0] * dx + a[0, 1] * dy + a[0, 2] * dz) * scale
    v = (a[1, 0] * dx + a[1, 1] * dy + a[1, 2] * dz) * scale
    return dx, dy, dz, u, v, w


@jit
def _row_start(beam, k, j):
    """Place of a row of voxels along y and z, relative to the source."""
    return (
        beam.origin[1] + j * beam.spacing[1] - beam.source[1],
        beam.origin[2] + k * beam.spacing[2] - beam.source[2],
    )


@jit
def _thin_row(beam, fan, kinds, every, k, j, out):
    """Do what `thinned_dose` says for one row of nodes."""
    dy, dz = _row_start(beam, every[0] * k, every[1] * j)
    for i in range(out.shape[3]):
        point = _seen(beam, every[2] * i, dy, dz)
        first, second = _water_dose(beam, fan, np.float32(0.0), kinds, point)
        out[0, k, j, i] = first
        out[1, k, j, i] = second


def thinned_nodes(voxels: int, every: int) -> int:
    """Count nodes at every so many voxels that have all voxels between them."""
    return (voxels + every - 1) // every + 1


@jit_parallel
def thinned_dose(beam, fan, primary, scatter, every, out):
    """Dose to water of both kinds of energy at some voxels.

    Parameters
    ----------
    beam : BeamGeometry
    fan : FanLattice
    primary, scatter : Convolved
    every : (3,) int
        Along z, y, x: one of so many.
    out : (2, nodes along z, y, x) float32
        Overwritten. `thinned_nodes` says how many nodes belong to how many voxels.
    """
    _, nz, ny, _ = out.shape
    for row in prange(nz * ny):
        _thin_row(beam, fan, (primary, scatter), every, row // ny, row % ny, out)


@jit_fused
def _between(thin, every, k, j, corners, line):
    """Values between the nodes of a thinned lattice, (2, nx), for one row of voxels."""
    k0, j0 = k // every[0], j // every[1]
    fz = np.float32((k - k0 * every[0]) / every[0])
    fy = np.float32((j - j0 * every[1]) / every[1])
    one = np.float32(1.0)
    per = np.float32(1.0 / every[2])
    for kind in range(2):
        a, b = thin[kind, k0, j0], thin[kind, k0, j0 + 1]
        c, d = thin[kind, k0 + 1, j0], thin[kind, k0 + 1, j0 + 1]
        for i in range(a.size):
            near, far = a[i] + fy * (b[i] - a[i]), c[i] + fy * (d[i] - c[i])
            corners[i] = near + fz * (far - near)
        for i in range(a.size - 1):
            for n in range(every[2]):
                share = per * np.float32(n)
                value = (one - share) * corners[i] + share * corners[i + 1]
                line[kind, i * every[2] + n] = value


@jit
def _between_row(medium, thin, every, k, j, total):
    """Do what `dose_between` says for one row of voxels."""
    density, material, factors = medium
    nodes = thin.shape[3]
    line = np.empty((2, every[2] * nodes), np.float32)
    _between(thin, every, k, j, np.empty(nodes, np.float32), line)
    for i in range(total.size):
        if density[k, j, i] > 0:
            m = material[k, j, i]
            total[i] += factors[0, m] * line[0, i] + factors[1, m] * line[1, i]


@jit_parallel
def dose_between(medium, thin, every, total):
    """Add the dose between the nodes of `thinned_dose` to every voxel that holds matter.

    Parameters
    ----------
    medium : (density, material, factors)
        See `pencil_dose`.
    thin, every : see `thinned_dose`
    total : (nz, ny, nx) float64
        Added to.
    """
    nz, ny, _ = total.shape
    for row in prange(nz * ny):
        k, j = row // ny, row % ny
        _between_row(medium, thin, every, k, j, total[k, j])


@jit_inline
def _is_near(near, u, v):
    j, i = int(np.floor((v - near.v0) / near.pixel)), int(np.floor((u - near.u0) / near.pixel))
    nv, nu = near.mask.shape
    return 0 <= j < nv and 0 <= i < nu and near.mask[j, i]


@jit_inline
def _from(first, last, at_zero, slope):
    """Narrow a range of whole numbers to those where a straight line is not below zero."""
    if slope > 0.0:
        first = max(first, -at_zero / slope)
    elif slope < 0.0:
        last = min(last, -at_zero / slope)
    elif at_zero < 0.0:
        last = first - 1.0
    return first, last


@jit
def _near_range(beam, near, dy, dz, count):
    """First voxel of a row that may be near, and the one after the last."""
    nv, nu = near.mask.shape
    a = beam.axes
    x = beam.origin[0] - beam.source[0]
    h = beam.spacing[0]
    w, w_step = a[2, 0] * x + a[2, 1] * dy + a[2, 2] * dz, a[2, 0] * h
    first, last = 0.0, count - 1.0
    for axis in range(2):
        low = near.u0 if axis == 0 else near.v0
        high = low + near.pixel * (nu if axis == 0 else nv)
        place, step = a[axis, 0] * x + a[axis, 1] * dy + a[axis, 2] * dz, a[axis, 0] * h
        # Seen at low or beyond: place sad >= low w, for w is above zero.
        low, high = low / beam.sad, high / beam.sad
        first, last = _from(first, last, place - low * w, step - low * w_step)
        first, last = _from(first, last, high * w - place, high * w_step - step)
    if first > last:
        return 0, 0
    return max(int(first), 0), min(int(last) + 2, count)


@jit
def _row(beam, fan, medium, thickness, kinds, near, thinned, k, j, factor, total):
    """Do what `pencil_dose` says for one row of voxels."""
    density, material, factors, depth_scale = medium
    thin, every = thinned
    dy, dz = _row_start(beam, k, j)
    begin, end = _near_range(beam, near, dy, dz, total.size)
    if begin == end:
        return
    nodes = thin.shape[3]
    line = np.zeros((2, max(every[2] * nodes, total.size)), np.float32)
    if nodes > 0:
        _between(thin, every, k, j, np.empty(nodes, np.float32), line)
    for i in range(begin, end):
        here = density[k, j, i]
        # Air in a field keeps what lies between nodes, if there are any.
        if here <= 0 or (nodes > 0 and here < _AIR):
            continue
        point = _seen(beam, i, dy, dz)
        if _is_near(near, point[3], point[4]):
            m = material[k, j, i]
            half = np.float32(thickness * here * depth_scale[m])
            first, second = _water_dose(beam, fan, half, kinds, point)
            first, second = first - line[0, i], second - line[1, i]
            total[i] += factor * (factors[0, m] * first + factors[1, m] * second)


@jit_parallel
def pencil_dose(beam, fan, medium, thickness, primary, scatter, near, thin, every, factor, total):
    """Add the dose, less what lies between nodes, to every voxel near the field with matter.

    Parameters
    ----------
    beam : BeamGeometry
    fan : FanLattice
        Of what is seen through `near`.
    medium : (density, material, factors, depth_scale)
        Voxels [z, y, x]; per material, dose relative to water of both kinds of energy,
        (2, nm) float32, and water-equivalent depth per mass per area (nm,).
    thickness : float, cm
        Voxels along the beam: half their extent over the square root of three.
    primary, scatter : Convolved
    near : Near
        Where dose is calculated in every voxel.
    thin, every : see `thinned_dose`
        Of this beam; no nodes if voxels elsewhere get nothing.
    factor : float
        Of the dose.
    total : (nz, ny, nx) float64
        Added to.
    """
    nz, ny, _ = total.shape
    for row in prange(nz * ny):
        k, j = row // ny, row % ny
        _row(
            beam,
            fan,
            medium,
            thickness,
            (primary, scatter),
            near,
            (thin, every),
            k,
            j,
            factor,
            total[k, j],
        )
