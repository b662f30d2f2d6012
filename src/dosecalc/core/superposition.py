"""Transport of released energy along a lattice of parallel lines: the collapsed-cone sweep.

Energy released in a voxel and sent into one cone of directions is "collapsed"
onto the line through that voxel (Ahnesjo, Med Phys 16:577 (1989)). Along the
line it passes through a chain of stages. From stage m it moves on to stage
m - 1, and from stage 0 it is absorbed, always at the rate ``a`` per unit of
radiological path. Energy that enters at stage n is therefore absorbed at the
distance r with the density of an Erlang distribution,

    k_n(r) = a (a r)**n / n! exp(-a r),

so a kernel along a cone is a sum of such terms with amplitudes that are never
negative. One stage is the exponential of Ahnesjo's method; more stages describe
the range of the electrons, which a sum of exponentials follows badly.

Over a voxel of radiological length p (in units of 1/a) with the energy S_m
released uniformly into stage m the solution is exact,

    R_m(out) = sum_k R_{m+k}(in) e^{-p} p^k / k!  +  sum_k S_{m+k} g_k(p),
    g_k(p) = (1/p) * integral_0^p e^{-t} t^k / k! dt,

and what the stages lose is what the voxel absorbs, so energy is conserved to
rounding whatever the amplitudes are.

The lines of one direction advance plane by plane along the axis on which the
direction is longest and move sideways by whole voxels. In each plane every
voxel then lies on exactly one line, and the inner loop runs along contiguous
memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dosecalc.core._jit import jit, jit_fused, jit_parallel

__all__ = [
    "PADDING",
    "STAGES",
    "TERMS",
    "Directions",
    "Medium",
    "emitting_range",
    "sweep",
    "turned",
]

STAGES = 5

# Energy, its moments along two axes within a cell of ray directions, and its hardness.
TERMS = 4

# Lines carried together, a multiple of LANES: what they carry stays in the nearest cache.
TILE = 240

# Rows of lines carried together.
ROWS = 8

# Lines that the processor works on at once, or a multiple.
LANES = 8

# Empty voxels at both ends of a row, so that whole groups of lines fit.
PADDING = LANES

# Rows of the array of one tile: the energy in each stage, then what enters each.
_R0, _R1, _R2, _R3, _R4, _S0, _S1, _S2, _S3, _S4 = (np.uint64(TILE * i) for i in range(10))

# Added to every stage in every voxel so that what has all but died away does not reach
# the denormal numbers, which are a hundred times slower; released energy is of order 1.
FLOOR = np.float32(1e-30)

# Range of the radiological length of one voxel, in units of 1/a. Nothing survives the
# longest; the shortest stands for vacuum.
SHORTEST = np.float32(1e-6)
LONGEST = np.float32(39.0)


class Medium(NamedTuple):
    """What the energy is released in, with axes [d, b, c]: d the axis of advance, c contiguous.

    scaling : (nd, nb, PADDING + nc + PADDING) float32
        Radiological length per geometric length, relative to water; zero in the padding.
    voxels_c : int
        nc, the voxels along c without the padding.
    released : (TERMS, md, mb, PADDING + mc + PADDING) float32
        Energy released per voxel, in the terms of the amplitudes, scaled to be of order
        1, in the box that begins at voxel (start_d, start_b, start_c); none elsewhere.
    cell : (md, mb, PADDING + mc + PADDING) int16
        Row of the amplitude table that holds for the voxel's ray direction.
    first, last : (nd, nb) int32
        Range of c in which energy is released, last excluded; empty rows have first >= last.
    """

    scaling: NDArray[np.float32]
    voxels_c: int
    released: NDArray[np.float32]
    cell: NDArray[np.int16]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    start_d: int
    start_b: int
    start_c: int


class Directions(NamedTuple):
    """Directions that advance along axis d of the medium.

    forward : (n,) bool
        True where d rises along the direction.
    slope_b, slope_c : (n,) float64
        Voxels moved sideways per plane advanced.
    rate : (n,) float32
        The stage rate a times the path length per plane: 1 / relative scaling.
    amplitude : (n, cells, STAGES, TERMS) float32
        Fraction of each term of the released energy sent into each stage.
    """

    forward: NDArray[np.bool_]
    slope_b: NDArray[np.float64]
    slope_c: NDArray[np.float64]
    rate: NDArray[np.float32]
    amplitude: NDArray[np.float32]


# The functions below work on a tile of TILE lines in one plane at a time. What the lines carry
# and what enters them lies in one array `work` of ten rows, stage after stage, at offsets that
# the compiler knows: only then does it see that nothing overlaps and vectorise a loop that
# writes five stages at once. The bounds of loops are unsigned for the same reason: an index
# that might be negative is checked in every turn. Ranges are whole groups of LANES lines,
# so that no line is left for the slow rest of a vectorised loop.


@jit_fused
def _mix(work, start, n, factors, v0, v1, v2, v3, first):
    """Energy entering each stage of n lines: each term of the released energy times its factor.

    Line `start` of the tile is at voxel `first` of the rows of terms.
    """
    s0, s1, s2, s3, s4 = start + _S0, start + _S1, start + _S2, start + _S3, start + _S4
    f00, f01, f02, f03 = factors[0, 0], factors[0, 1], factors[0, 2], factors[0, 3]
    f10, f11, f12, f13 = factors[1, 0], factors[1, 1], factors[1, 2], factors[1, 3]
    f20, f21, f22, f23 = factors[2, 0], factors[2, 1], factors[2, 2], factors[2, 3]
    f30, f31, f32, f33 = factors[3, 0], factors[3, 1], factors[3, 2], factors[3, 3]
    f40, f41, f42, f43 = factors[4, 0], factors[4, 1], factors[4, 2], factors[4, 3]
    for i in range(n):
        x, y, z, w = v0[first + i], v1[first + i], v2[first + i], v3[first + i]
        work[s0 + i] = f00 * x + f01 * y + f02 * z + f03 * w
        work[s1 + i] = f10 * x + f11 * y + f12 * z + f13 * w
        work[s2 + i] = f20 * x + f21 * y + f22 * z + f23 * w
        work[s3 + i] = f30 * x + f31 * y + f32 * z + f33 * w
        work[s4 + i] = f40 * x + f41 * y + f42 * z + f43 * w


@jit
def _fill_sources(medium, amplitude, place, line, end, offset, work):
    """Energy entering each stage of lines `line` to `end`, whole groups, in voxels that release it.

    Works on runs of voxels with the same cell, so that the loop has constant
    coefficients. A run that begins within a group of lanes is done in two parts, because what is
    written at other boundaries than it is read at has to wait for memory. Line 0 is at
    voxel `offset`.
    """
    d, b, start = place[0] - medium.start_d, place[1] - medium.start_b, place[2]
    cell = medium.cell[d, b]
    v0, v1 = medium.released[0, d, b], medium.released[1, d, b]
    v2, v3 = medium.released[2, d, b], medium.released[3, d, b]
    shift = offset - medium.start_c + PADDING
    while line < end:
        here = cell[line + shift]
        last = line + 1
        while last < end and cell[last + shift] == here:
            last += 1
        whole = min(-(-line // LANES) * LANES, last)
        for first, n in ((line, whole - line), (whole, last - whole)):
            if n > 0:
                row, voxel = np.uint64(start + first), np.uint64(first + shift)
                _mix(work, row, np.uint64(n), amplitude[here], v0, v1, v2, v3, voxel)
        line = last


@jit_fused
def _path(rate, scaling):
    """Radiological length p of a voxel, in units of 1/a."""
    return min(SHORTEST + rate * scaling, LONGEST)


@jit_fused
def _lost(p):
    """Compute 1 - exp(-p) to 3e-7, and to 4e-6 of itself, for p up to LONGEST.

    A polynomial of m = exp(-p/32) - 1 and five times (1 + m)^2 - 1 = m (m + 2), because a call
    in the loop would keep it from being vectorised and because a difference from 1
    would lose what thin voxels, such as those of air, absorb.
    """
    y = p * np.float32(-1.0 / 32.0)
    m = np.float32(1.0 / 6.0) + y * np.float32(1.0 / 24.0)
    m = np.float32(0.5) + y * m
    m = y + y * y * m
    m = m * (m + np.float32(2.0))
    m = m * (m + np.float32(2.0))
    m = m * (m + np.float32(2.0))
    m = m * (m + np.float32(2.0))
    m = m * (m + np.float32(2.0))
    return -m


@jit_fused
def _pass(work, row, first, last, rate, scaling, absorbed, offset):
    """Carry lines `first` to `last` of a row of the tile through one voxel each.

    The row begins at `row` in `work`, and its line 0 is at `offset` in the rows of voxels.
    """
    half, third, quarter = np.float32(1 / 2), np.float32(1 / 3), np.float32(1 / 4)
    start, voxel = np.uint64(row + first), np.uint64(offset + first)
    m0, m1, m2, m3, m4 = start + _R0, start + _R1, start + _R2, start + _R3, start + _R4
    for i in range(np.uint64(last - first)):
        p = _path(rate, scaling[voxel + i])
        survival = np.float32(1.0) - _lost(p)
        p2, p3, p4 = half * p, third * p, quarter * p
        r0, r1, r2 = work[m0 + i], work[m1 + i], work[m2 + i]
        r3, r4 = work[m3 + i], work[m4 + i]
        before = r0 + r1 + r2 + r3 + r4
        r0 = FLOOR + survival * (r0 + p * (r1 + p2 * (r2 + p3 * (r3 + p4 * r4))))
        r1 = FLOOR + survival * (r1 + p * (r2 + p2 * (r3 + p3 * r4)))
        r2 = FLOOR + survival * (r2 + p * (r3 + p2 * r4))
        r3 = FLOOR + survival * (r3 + p * r4)
        r4 = FLOOR + survival * r4
        work[m0 + i], work[m1 + i], work[m2 + i] = r0, r1, r2
        work[m3 + i], work[m4 + i] = r3, r4
        absorbed[voxel + i] += before - (r0 + r1 + r2 + r3 + r4)


@jit_fused
def _pass_and_emit(work, row, first, last, rate, scaling, absorbed, offset):
    """Like `_pass`, through voxels that release energy.

    What emerges of it needs g_k = (1/p) P(k + 1, p), found by
    g_k = g_{k-1} - e^{-p} p^{k-1} / k!, whose rounding error stays below 1e-7 of the energy
    released. The sum over k of g_k s_{m+k} is g_0 times the sum of the s less e^{-p}
    times what the recurrence takes off; the latter has the form of what passes through,
    so that both share their polynomial.
    """
    half, third, quarter = np.float32(1 / 2), np.float32(1 / 3), np.float32(1 / 4)
    start, voxel = np.uint64(row + first), np.uint64(offset + first)
    m0, m1, m2, m3, m4 = start + _R0, start + _R1, start + _R2, start + _R3, start + _R4
    n0, n1, n2, n3, n4 = start + _S0, start + _S1, start + _S2, start + _S3, start + _S4
    for i in range(np.uint64(last - first)):
        p = _path(rate, scaling[voxel + i])
        lost = _lost(p)
        survival, mean = np.float32(1.0) - lost, lost / p
        p2, p3, p4 = half * p, third * p, quarter * p
        r0, r1, r2 = work[m0 + i], work[m1 + i], work[m2 + i]
        r3, r4 = work[m3 + i], work[m4 + i]
        # Sums of what enters stage m or a later one.
        t4 = work[n4 + i]
        t3 = work[n3 + i] + t4
        t2 = work[n2 + i] + t3
        t1 = work[n1 + i] + t2
        t0 = work[n0 + i] + t1
        before = r0 + r1 + r2 + r3 + r4 + t0
        through = r0 - t1
        through += p * (
            r1 - half * t2 + p2 * (r2 - third * t3 + p3 * (r3 - quarter * t4 + p4 * r4))
        )
        r0 = FLOOR + mean * t0 + survival * through
        through = r1 - t2 + p * (r2 - half * t3 + p2 * (r3 - third * t4 + p3 * r4))
        r1 = FLOOR + mean * t1 + survival * through
        r2 = FLOOR + mean * t2 + survival * (r2 - t3 + p * (r3 - half * t4 + p2 * r4))
        r3 = FLOOR + mean * t3 + survival * (r3 - t4 + p * r4)
        r4 = FLOOR + mean * t4 + survival * r4
        work[m0 + i], work[m1 + i], work[m2 + i] = r0, r1, r2
        work[m3 + i], work[m4 + i] = r3, r4
        absorbed[voxel + i] += before - (r0 + r1 + r2 + r3 + r4)


@jit
def _shift(slope, n):
    """Whole voxels moved sideways after n planes."""
    return int(np.floor(slope * n + 0.5))


@jit
def _carried(work, i):
    """Energy in all stages of the line whose first stage is at i."""
    return work[_R0 + i] + work[_R1 + i] + work[_R2 + i] + work[_R3 + i] + work[_R4 + i]


@jit
def _trim(work, row, low, high, tiny):
    """Shrink the range of lines of a row to those that still carry more than `tiny`."""
    while low < high and _carried(work, np.uint64(row + low)) <= tiny:
        low += 1
    while high > low and _carried(work, np.uint64(row + high - 1)) <= tiny:
        high -= 1
    return low, high


@jit
def _groups(low, high):
    """Grow a range of lines to whole groups of lanes."""
    return low // LANES * LANES, -(-high // LANES) * LANES


@jit
def _pass_row(medium, rate, amplitude, place, offset, lines, tiny, work, absorbed):
    """Carry a row of the tile through the voxels of one plane.

    `place` is (d, b, first of the row in `work`), and line 0 of the row is at voxel `offset`. The
    range of lines that may carry energy is `lines`; returns the range after the plane.
    """
    d, b, row = place
    low, high = lines
    first = max(medium.first[d, b] - offset, 0)
    last = min(medium.last[d, b] - offset, TILE)
    if first < last:
        low, high = min(low, first), max(high, last)
    low, high = max(low, -offset), min(high, medium.voxels_c - offset)
    if low >= high:
        return TILE, 0
    begin, end = _groups(low, high)
    at = PADDING + offset
    scaling, sink = medium.scaling[d, b], absorbed[d, b]
    if first >= last:
        _pass(work, row, begin, end, rate, scaling, sink, at)
        low, high = _trim(work, row, low, high, tiny)
        return (low, high) if low < high else (TILE, 0)
    emit, quiet = _groups(first, last)
    _fill_sources(medium, amplitude, (d, b, row), emit, quiet, offset, work)
    _pass(work, row, begin, emit, rate, scaling, sink, at)
    _pass_and_emit(work, row, emit, quiet, rate, scaling, sink, at)
    _pass(work, row, quiet, end, rate, scaling, sink, at)
    return low, high


@jit
def _sweep_tile(medium, directions, k, strip, tile, tiny, lines, work, absorbed):
    """Rows of TILE lines of direction k, from the first plane to the last.

    `strip` and `tile` are the first lattice row and the first of the lines in it; those that enter
    through a side face have numbers outside the grid. The rows advance together,
    because their voxels in one plane are neighbours in memory.
    """
    nd, nb, _ = medium.scaling.shape
    rate, amplitude = directions.rate[k], directions.amplitude[k]
    rows = lines.shape[0]
    work[:] = np.float32(0.0)
    lines[:, 0], lines[:, 1] = TILE, 0
    for n in range(nd):
        d = n if directions.forward[k] else nd - 1 - n
        b = strip + _shift(directions.slope_b[k], n)
        offset = tile + _shift(directions.slope_c[k], n)
        for row in range(max(0, -b), min(rows, nb - b)):
            place = (d, b + row, row * 2 * STAGES * TILE)
            low, high = lines[row]
            lines[row] = _pass_row(
                medium, rate, amplitude, place, offset, (low, high), tiny, work, absorbed
            )


@jit
def _sweep_strips(medium, directions, k, part, parts, tiny, absorbed):
    """Every parts-th strip of the lines of direction k, from number `part` on."""
    nd, nb, nc = medium.scaling.shape[0], medium.scaling.shape[1], medium.voxels_c
    work = np.empty(ROWS * 2 * STAGES * TILE, np.float32)
    lines = np.empty((ROWS, 2), np.int64)
    reach_b = _shift(directions.slope_b[k], nd - 1)
    reach_c = _shift(directions.slope_c[k], nd - 1)
    first = -max(0, reach_b) + part * ROWS
    for strip in range(first, nb - min(0, reach_b), parts * ROWS):
        for tile in range(-max(0, reach_c), nc - min(0, reach_c), TILE):
            _sweep_tile(medium, directions, k, strip, tile, tiny, lines, work, absorbed)


@jit_parallel
def turned(values, factor, padded):
    """Copy a part of the medium in the order that the sweep reads, scaled and between paddings.

    values : (nd, nb, nc), any strides; padded : (nd, nb, PADDING + nc + PADDING), overwritten
    """
    nd, nb, nc = values.shape
    for b in prange(nb):
        for d in range(nd):
            padded[d, b, :PADDING] = 0
            for c in range(nc):
                padded[d, b, c + PADDING] = values[d, b, c] * factor
            padded[d, b, nc + PADDING :] = 0


@jit_parallel
def emitting_range(released, start, first, last):
    """Range of c in which each row of voxels releases energy, last excluded.

    released : (md, mb, PADDING + mc + PADDING); start : the box's first voxel along c
    first, last : (md, mb) int32, overwritten
    """
    md, mb, mc = released.shape
    for d in prange(md):
        for b in range(mb):
            low, high = 0, mc
            while low < high and released[d, b, low] <= 0:
                low += 1
            while high > low and released[d, b, high - 1] <= 0:
                high -= 1
            first[d, b] = low - PADDING + start if low < high else 0
            last[d, b] = high - PADDING + start if low < high else 0


@jit_parallel
def sweep(medium, directions, tiny, parts, absorbed):
    """Carry the released energy of a medium along all its directions.

    The strips of one direction are shared among the threads. No two of its lines meet a
    voxel in common, and the directions follow each other, so the result does not
    depend on the number of threads.

    Parameters
    ----------
    medium : Medium
    directions : Directions
    tiny : float32
        Lines that carry less than this are dropped.
    parts : int
        Number of threads to share the lines.
    absorbed : (nd, nb, nc) float32, any strides
        Energy absorbed per voxel is added to it.
    """
    nd, nb, padded = medium.scaling.shape
    total = np.zeros((nd, nb, padded), np.float32)
    for k in range(directions.forward.size):
        for part in prange(parts):
            _sweep_strips(medium, directions, k, part, parts, tiny, total)
    for b in prange(nb):
        for d in range(nd):
            for c in range(medium.voxels_c):
                absorbed[d, b, c] += total[d, b, c + PADDING]
