"""Dose of many equal beamlets at once, as rows of a sparse matrix, and products with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dosecalc.core._jit import jit, jit_fused, jit_parallel
from dosecalc.core.pencil import TERMS, depth_terms, on_fan

__all__ = ["BeamletMaps", "Lattice", "count_beamlets", "fill_rows", "times", "transposed_times"]

# Rows of the matrix are dealt to as many blocks whatever the number of threads, so that sums do
# not depend on it.
_BLOCKS = 64


class Lattice(NamedTuple):
    """Beamlets side by side in the isocentre plane.

    u0, v0 : mm
        Centre of the first.
    size_u, size_v : mm
    column : (nv, nu) int32
        Column of the matrix that a beamlet has; -1 for one that is not there.
    weight : (nv, nu) float32
        Factor of a beamlet's dose.
    reach : mm
        Half width, along u and v, of the window about a voxel's ray beyond which beamlets do
        not count.
    """

    u0: float
    v0: float
    size_u: float
    size_v: float
    column: NDArray[np.int32]
    weight: NDArray[np.float32]
    reach: float


class BeamletMaps(NamedTuple):
    """One kind of energy of a single beamlet, convolved, for several lateral scales.

    Pixels are an even part of the beamlet. Those that lie whole beamlets apart are neighbours in
    memory: what a voxel gets from a row of beamlets is a row of them.

    depth_step, along : functions of depth, see `DepthTable`
    first, step : logarithm of the first scale and step to the next
    blocks : int, odd
        Beamlets along u and v that the maps cover: all within reach of a voxel, and one more.
    values : (ns, families, parts, parts, TERMS, blocks * (blocks + 1)) float32
        The pixel `parts * (j - blocks // 2) + n` along v and `parts * (i - blocks // 2) + m` along
        u from the middle of the beamlet is at [.., n, m, .., j * blocks + i]; a row of
        zeros ends it.
    """

    depth_step: float
    along: NDArray[np.float32]
    first: float
    step: float
    blocks: int
    values: NDArray[np.float32]


@jit
def _window(place, size, count, reach):
    """First beamlet and number of beamlets within reach of a place from the first's middle."""
    first = max(int(np.ceil((place - reach) / size)), 0)
    last = min(int(np.floor((place + reach) / size)), count - 1)
    return first, max(last - first + 1, 0)


@jit
def _seen(beam, x, y, z):
    """Place u, v of a point's ray in the isocentre plane, distance w along the beam and square."""
    dx, dy, dz = x - beam.source[0], y - beam.source[1], z - beam.source[2]
    a = beam.axes
    w = a[2, 0] * dx + a[2, 1] * dy + a[2, 2] * dz
    scale = beam.sad / w
    u = (a[0, 0] * dx + a[0, 1] * dy + a[0, 2] * dz) * scale
    v = (a[1, 0] * dx + a[1, 1] * dy + a[1, 2] * dz) * scale
    return u, v, w, dx * dx + dy * dy + dz * dz


@jit_parallel
def count_beamlets(beam, lattice, points, counts):
    """Add the number of beamlets within reach of points (n, 3), x, y, z, to counts (n,)."""
    nv, nu = lattice.column.shape
    for n in prange(counts.size):
        u, v, _, _ = _seen(beam, points[n, 0], points[n, 1], points[n, 2])
        i0, ni = _window(u - lattice.u0, lattice.size_u, nu, lattice.reach)
        j0, nj = _window(v - lattice.v0, lattice.size_v, nv, lattice.reach)
        found = 0
        for j in range(j0, j0 + nj):
            for i in range(i0, i0 + ni):
                found += lattice.column[j, i] >= 0
        counts[n] += found


@jit
def _phase(place, size, parts, first):
    """Pixels on both sides of a place, as seen from beamlet `first`.

    Returns, for the pixel below and the one above, number within a beamlet and block; and
    the share of the one above.
    """
    pixels = parts * (first - place / size)
    low = int(np.floor(pixels))
    share = np.float32(pixels - low)
    below = low % parts
    above = (low + 1) % parts
    return below, (low - below) // parts, above, (low + 1 - above) // parts, share


@jit_fused
def _add_terms(table, start, depths, factor, line):
    """Add all terms of one map to a run of pixels; the terms are written out to be read once."""
    end = start + line.size
    t0, t1, t2 = table[0, start:end], table[1, start:end], table[2, start:end]
    t3, t4 = table[3, start:end], table[4, start:end]
    f0, f1, f2 = factor * depths[0], factor * depths[1], factor * depths[2]
    f3, f4 = factor * depths[3], factor * depths[4]
    for i in range(line.size):
        line[i] += f0 * t0[i] + f1 * t1[i] + f2 * t2[i] + f3 * t3[i] + f4 * t4[i]


@jit
def _add_rows(maps, kind, weights, depths, u_phase, v_phase, nj, out):
    """Add one kind of energy to the first nj rows of the window `out`, which are `blocks` long.

    Rows of window and maps are equally long, so that all rows are one run. What the run adds
    behind the beamlets within reach, nobody reads.
    """
    scale, families = kind
    middle = maps.blocks // 2
    for corner in range(4):
        if corner < 2:
            pv, bv, wv = v_phase[0], v_phase[1], np.float32(1.0) - v_phase[4]
        else:
            pv, bv, wv = v_phase[2], v_phase[3], v_phase[4]
        if corner % 2 == 0:
            pu, bu, wu = u_phase[0], u_phase[1], np.float32(1.0) - u_phase[4]
        else:
            pu, bu, wu = u_phase[2], u_phase[3], u_phase[4]
        if wu * wv == 0.0:
            continue
        start = (bv + middle) * maps.blocks + bu + middle
        for q in range(families):
            table = maps.values[scale, q, pv, pu]
            _add_terms(table, start, depths, weights[q] * wu * wv, out[: nj * maps.blocks])


@jit
def _fill_row(beam, fan, softness, lattice, tables, voxel, window, depths, row):
    """Do what `fill_rows` says for one voxel; `row` is (indices, data, first place)."""
    primary, scatter = tables
    x, y, z, half, primary_factor, scatter_factor = voxel
    indices, data, place = row
    u, v, w, square = _seen(beam, x, y, z)
    nv, nu = lattice.column.shape
    i0, ni = _window(u - lattice.u0, lattice.size_u, nu, lattice.reach)
    j0, nj = _window(v - lattice.v0, lattice.size_v, nv, lattice.reach)
    if ni == 0 or nj == 0:
        return
    depth, narrow, wide = on_fan(fan, u, v, w)
    window[: nj * primary.blocks] = 0
    soft = 0.0
    if softness.size > 1:
        soft = np.interp(np.sqrt(u * u + v * v), softness[0], softness[1])
    weights = (np.float32(1.0 - soft), np.float32(soft))
    for part in range(2):
        maps = primary if part == 0 else scatter
        factor = primary_factor if part == 0 else scatter_factor
        families, parts = maps.values.shape[1], maps.values.shape[2]
        depth_terms(maps, max(depth - half, 0.0), depth + half, depths)
        for t in range(TERMS):
            depths[t] *= factor
        scale = round(((narrow if part == 0 else wide) - maps.first) / maps.step)
        scale = min(max(scale, 0), maps.values.shape[0] - 1)
        u_phase = _phase(u - lattice.u0, lattice.size_u, parts, i0)
        v_phase = _phase(v - lattice.v0, lattice.size_v, parts, j0)
        _add_rows(maps, (scale, families), weights, depths, u_phase, v_phase, nj, window)
    inverse_square = np.float32(beam.sad * beam.sad / square)
    for j in range(nj):
        for i in range(ni):
            column = lattice.column[j0 + j, i0 + i]
            if column >= 0:
                indices[place] = column
                factor = inverse_square * lattice.weight[j0 + j, i0 + i]
                data[place] = window[j * primary.blocks + i] * factor
                place += 1


@jit_parallel
def fill_rows(beam, fan, softness, lattice, primary, scatter, points, properties, starts, out):
    """Dose per unit weight of every beamlet within reach, for all points.

    Parameters
    ----------
    beam : BeamGeometry
    fan : FanLattice
    softness : (2, n) float64
        Radii, and share of the softest spectrum there; (2, 0) if there is one spectrum.
    lattice : Lattice
    primary, scatter : BeamletMaps
        Of equally many blocks.
    points : (n, 3) float64, x, y, z, mm
    properties : (n, 3) float32
        Half the voxel's water-equivalent thickness over the square root of three, g/cm2;
        dose relative to water of primary and of scattered energy.
    starts : (n,) int64
        Where in `indices` and `data` a point's entries begin.
    out : (indices, data)
        int32 and float32; entries of this beam are written.
    """
    indices, data = out
    n = points.shape[0]
    per_block = (n + _BLOCKS - 1) // _BLOCKS
    windows = np.zeros((_BLOCKS, primary.blocks * primary.blocks), np.float32)
    terms = np.zeros((_BLOCKS, TERMS), np.float32)
    for block in prange(_BLOCKS):
        for m in range(block * per_block, min((block + 1) * per_block, n)):
            voxel = (
                points[m, 0],
                points[m, 1],
                points[m, 2],
                properties[m, 0],
                properties[m, 1],
                properties[m, 2],
            )
            _fill_row(
                beam,
                fan,
                softness,
                lattice,
                (primary, scatter),
                voxel,
                windows[block],
                terms[block],
                (indices, data, starts[m]),
            )


@jit_fused
def row_times(indices, data, weights):
    """Product of one row with weights. Unsigned indices need no test for counting from the end."""
    total = 0.0
    for n in range(data.size):
        total += data[n] * weights[np.uint32(indices[n])]
    return total


@jit_fused
def add_row(indices, data, value, result):
    """Add a row times a value to `result` (columns,)."""
    for n in range(data.size):
        result[np.uint32(indices[n])] += value * data[n]


@jit_parallel
def times(starts, indices, data, weights, result):
    """Product of a matrix by rows with weights (columns,), into result (rows,)."""
    for row in prange(result.size):
        start, end = starts[row], starts[row + 1]
        result[row] = row_times(indices[start:end], data[start:end], weights)


@jit_parallel
def transposed_times(starts, indices, data, values, partial):
    """Product of the transpose with values (rows,): the sum over the rows of `partial`.

    partial : (blocks, columns) float64, overwritten; each block takes an even part of the rows.
    """
    blocks, rows = partial.shape[0], values.size
    per_block = (rows + blocks - 1) // blocks
    for block in prange(blocks):
        mine = partial[block]
        mine[:] = 0.0
        for row in range(block * per_block, min((block + 1) * per_block, rows)):
            if values[row] != 0.0:
                start, end = starts[row], starts[row + 1]
                add_row(indices[start:end], data[start:end], values[row], mine)
