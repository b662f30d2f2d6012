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

from dosecalc.core._jit import jit, jit_parallel

__all__ = ["STAGES", "TERMS", "Directions", "Medium", "sweep"]

STAGES = 5

# Energy, its moments along two axes within a cell of ray directions, and its hardness.
TERMS = 4

# Directions are dealt to this many groups, which can run at the same time.
GROUPS = 4

# Added to every stage in every voxel so that what has all but died away does not reach
# the denormal numbers, which are a hundred times slower; released energy is of order 1.
FLOOR = np.float32(1e-30)

# Range of the radiological length of one voxel, in units of 1/a. Nothing survives the
# longest; the shortest stands for vacuum.
SHORTEST = np.float32(1e-6)
LONGEST = np.float32(39.0)

# Radiological length of a voxel below which exp(-p) is taken from a series in p.
THIN = np.float32(0.15)


class Medium(NamedTuple):
    """What the energy is released in, with axes [b, d, c]: d the axis of advance, c contiguous.

    scaling : (nb, nd, nc) float32
        Radiological length per geometric length, relative to water.
    released : (TERMS, mb, md, mc) float32
        Energy released per voxel, in the terms of the amplitudes, scaled to be of order
        1, in the box that begins at voxel (start_b, start_d, start_c); none elsewhere.
    cell : (mb, md, mc) int16
        Row of the amplitude table that holds for the voxel's ray direction.
    first, last : (nb, nd) int32
        Range of c in which energy is released, last excluded; empty rows have first >= last.
    """

    scaling: NDArray[np.float32]
    released: NDArray[np.float32]
    cell: NDArray[np.int16]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    start_b: int
    start_d: int
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


# The functions below work on whole rows and a range of voxels c0 <= c < c1 in them, because
# slices cost more than the arithmetic on a row. The range comes as unsigned integers: an
# index that might be negative is checked in every turn and keeps a loop from being
# vectorised. A line is stored at the c of the voxel it is in;
# when the lines move sideways, what they carry is moved. Each loop writes to one array and
# reads few: with more, the compiler would not check that none overlap and would not vectorise it.


@jit
def _mix(into, start, c0, c1, factors, stage, v0, v1, v2, v3):
    """Energy entering one stage: the terms of the released energy, each times its factor.

    The terms' rows begin at voxel `start` of the row `into`.
    """
    f0, f1, f2, f3 = factors[stage, 0], factors[stage, 1], factors[stage, 2], factors[stage, 3]
    for i in range(c0, c1):
        into[i + start] = f0 * v0[i] + f1 * v1[i] + f2 * v2[i] + f3 * v3[i]


@jit
def _fill_sources(medium, amplitude, b, d, source):
    """Energy entering each stage for the voxels of one row that release energy.

    Works on runs of voxels with the same cell, so that the inner loop has constant
    coefficients.
    """
    start = np.uint64(medium.start_c)
    c, last = medium.first[b, d] - medium.start_c, medium.last[b, d] - medium.start_c
    b, d = b - medium.start_b, d - medium.start_d
    cell = medium.cell[b, d]
    v0, v1 = medium.released[0, b, d], medium.released[1, b, d]
    v2, v3 = medium.released[2, b, d], medium.released[3, b, d]
    while c < last:
        end = c + 1
        while end < last and cell[end] == cell[c]:
            end += 1
        factors = amplitude[cell[c]]
        c0, c1 = np.uint64(c), np.uint64(end)
        _mix(source[0], start, c0, c1, factors, 0, v0, v1, v2, v3)
        _mix(source[1], start, c0, c1, factors, 1, v0, v1, v2, v3)
        _mix(source[2], start, c0, c1, factors, 2, v0, v1, v2, v3)
        _mix(source[3], start, c0, c1, factors, 3, v0, v1, v2, v3)
        _mix(source[4], start, c0, c1, factors, 4, v0, v1, v2, v3)
        c = end


@jit
def _mean_survival(p):
    """Compute (1 - exp(-p)) / p by its series, to 1e-7 for p < THIN."""
    f = np.float32(1.0) - p * np.float32(1.0 / 5.0)
    f = np.float32(1.0) - p * np.float32(1.0 / 4.0) * f
    f = np.float32(1.0) - p * np.float32(1.0 / 3.0) * f
    return np.float32(1.0) - p * np.float32(1.0 / 2.0) * f


@jit
def _path_and_survival(rate, scaling, c0, c1, path, survival):
    """Radiological length p of each voxel and exp(-p), to 2e-6 absolute.

    The exponential is a polynomial of p/32 squared five times, because a call
    in the loop would keep it from being vectorised. For thin voxels, such as those of
    air, its error would exceed the share that they absorb: there it is the series.
    """
    for i in range(c0, c1):
        p = SHORTEST + rate * scaling[i]
        path[i] = p if p < LONGEST else LONGEST
    for i in range(c0, c1):
        y = path[i] * np.float32(-1.0 / 32.0)
        e = np.float32(1.0 / 24.0) + y * np.float32(1.0 / 120.0)
        e = np.float32(1.0 / 6.0) + y * e
        e = np.float32(0.5) + y * e
        e = np.float32(1.0) + y * e
        e = np.float32(1.0) + y * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        thick, thin = e * e, np.float32(1.0) - path[i] * _mean_survival(path[i])
        survival[i] = thick if path[i] > THIN else thin


@jit
def _in_transit(stages, c0, c1, total):
    """Energy in transit, summed over the stages."""
    r0, r1, r2, r3, r4 = stages
    for i in range(c0, c1):
        total[i] = r0[i] + r1[i] + r2[i] + r3[i] + r4[i]


@jit
def _through_voxels(state, c0, c1, path, survival):
    """Carry the stages through one voxel each: the homogeneous part of the solution, in place."""
    r0, r1, r2, r3, r4 = state
    half, third, quarter = np.float32(1 / 2), np.float32(1 / 3), np.float32(1 / 4)
    for i in range(c0, c1):
        p = path[i]
        r0[i] = FLOOR + survival[i] * (
            r0[i] + p * (r1[i] + half * p * (r2[i] + third * p * (r3[i] + quarter * p * r4[i])))
        )
    for i in range(c0, c1):
        p = path[i]
        r1[i] = FLOOR + survival[i] * (r1[i] + p * (r2[i] + half * p * (r3[i] + third * p * r4[i])))
    for i in range(c0, c1):
        p = path[i]
        r2[i] = FLOOR + survival[i] * (r2[i] + p * (r3[i] + half * p * r4[i]))
    for i in range(c0, c1):
        r3[i] = FLOOR + survival[i] * (r3[i] + path[i] * r4[i])
    for i in range(c0, c1):
        r4[i] = FLOOR + survival[i] * r4[i]


@jit
def _emerging(source, c0, c1, path, survival, average):
    """Find what of the energy released in a voxel leaves it, stage by stage, in place.

    With g_k = (1/p) P(k + 1, p), found by g_k = g_{k-1} - e^{-p} p^{k-1} / k!, whose
    rounding error stays below 1e-7 of the energy released. The sum over k of
    g_k s_{m+k} is g_0 times the sum of the s less e^{-p} times what the recurrence takes off.
    """
    s0, s1, s2, s3, s4 = source
    half, third, quarter = np.float32(1 / 2), np.float32(1 / 3), np.float32(1 / 4)
    for i in range(c0, c1):
        thick, thin = (np.float32(1.0) - survival[i]) / path[i], _mean_survival(path[i])
        average[i] = thick if path[i] > THIN else thin
    for i in range(c0, c1):
        p = path[i]
        t4 = s4[i]
        t3 = s3[i] + t4
        t2 = s2[i] + t3
        t1 = s1[i] + t2
        taken = t1 + half * p * (t2 + third * p * (t3 + quarter * p * t4))
        s0[i] = average[i] * (s0[i] + t1) - survival[i] * taken
    for i in range(c0, c1):
        p = path[i]
        t4 = s4[i]
        t3 = s3[i] + t4
        t2 = s2[i] + t3
        taken = t2 + half * p * (t3 + third * p * t4)
        s1[i] = average[i] * (s1[i] + t2) - survival[i] * taken
    for i in range(c0, c1):
        t4 = s4[i]
        t3 = s3[i] + t4
        s2[i] = average[i] * (s2[i] + t3) - survival[i] * (t3 + half * path[i] * t4)
    for i in range(c0, c1):
        s3[i] = average[i] * (s3[i] + s4[i]) - survival[i] * s4[i]
    for i in range(c0, c1):
        s4[i] = average[i] * s4[i]


@jit
def _add(into, c0, c1, values):
    """Add a range of one row to another."""
    for i in range(c0, c1):
        into[i] += values[i]


@jit
def _absorb(before, state, c0, c1, absorbed):
    """Add to each voxel what its line had before it and no longer has behind it."""
    r0, r1, r2, r3, r4 = state
    for i in range(c0, c1):
        absorbed[i] += before[i] - (r0[i] + r1[i] + r2[i] + r3[i] + r4[i])


@jit
def _shift(slope, n):
    """Whole voxels moved sideways after n planes."""
    return int(np.floor(slope * n + 0.5))


@jit
def _trim(state, low, high, tiny):
    """Shrink the range of lines to those that still carry more than `tiny`."""
    r0, r1, r2, r3, r4 = state
    while low < high and r0[low] + r1[low] + r2[low] + r3[low] + r4[low] <= tiny:
        low += 1
    while high > low:
        last = high - 1
        if r0[last] + r1[last] + r2[last] + r3[last] + r4[last] > tiny:
            break
        high -= 1
    return low, high


@jit
def _move(values, by, low, high):
    """Move a range of a row by one voxel up or down; what leaves the row is lost."""
    one = np.uint64(1)
    if by > 0:
        end = np.uint64(min(high, values.size - 1))
        for i in range(end - np.uint64(low)):
            values[end - i] = values[end - i - one]
        values[low] = np.float32(0.0)
    else:
        for c in range(np.uint64(max(low, 1)), np.uint64(high)):
            values[c - one] = values[c]
        values[high - 1] = np.float32(0.0)


@jit
def _five(n):
    """Five rows of n zeros, one for each stage."""
    z = np.float32
    return np.zeros(n, z), np.zeros(n, z), np.zeros(n, z), np.zeros(n, z), np.zeros(n, z)


@jit
def _sweep_row(medium, directions, k, row, tiny, absorbed):
    """All lines of direction k that start in row `row`, from the first plane to the last.

    `row` counts the lattice rows; those that enter through a side face have
    numbers outside the grid. Lines low <= c < high may carry energy.
    """
    nb, nd, nc = medium.scaling.shape
    slope_b, slope_c = directions.slope_b[k], directions.slope_c[k]
    rate = directions.rate[k]
    state, source = _five(nc), _five(nc)
    path, survival, before, average, _ = _five(nc)
    low, high = nc, 0
    for n in range(nd):
        by = _shift(slope_c, n) - _shift(slope_c, n - 1) if n > 0 else 0
        if by != 0 and low < high:
            _move(state[0], by, low, high)
            _move(state[1], by, low, high)
            _move(state[2], by, low, high)
            _move(state[3], by, low, high)
            _move(state[4], by, low, high)
            low, high = max(low + min(by, 0), 0), min(high + max(by, 0), nc)
        d = n if directions.forward[k] else nd - 1 - n
        b = row + _shift(slope_b, n)
        if b < 0 or b >= nb:
            continue
        first, last = medium.first[b, d], medium.last[b, d]
        if first < last:
            low, high = min(low, first), max(high, last)
        if low >= high:
            continue
        c0, c1 = np.uint64(low), np.uint64(high)
        _path_and_survival(rate, medium.scaling[b, d], c0, c1, path, survival)
        _in_transit(state, c0, c1, before)
        _through_voxels(state, c0, c1, path, survival)
        if first < last:
            _fill_sources(medium, directions.amplitude[k], b, d, source)
            s0, s1 = np.uint64(first), np.uint64(last)
            _in_transit(source, s0, s1, average)
            _add(before, s0, s1, average)
            _emerging(source, s0, s1, path, survival, average)
            _add(state[0], s0, s1, source[0])
            _add(state[1], s0, s1, source[1])
            _add(state[2], s0, s1, source[2])
            _add(state[3], s0, s1, source[3])
            _add(state[4], s0, s1, source[4])
        _absorb(before, state, c0, c1, absorbed[b, d])
        if first >= last:
            low, high = _trim(state, low, high, tiny)
            if low >= high:
                low, high = nc, 0


@jit
def _sweep_direction(medium, directions, k, tiny, absorbed):
    """All lines of direction k."""
    nb, nd, _ = medium.scaling.shape
    reach = _shift(directions.slope_b[k], nd - 1)
    first_row = -max(0, reach)
    for i in range(nb + abs(reach)):
        _sweep_row(medium, directions, k, first_row + i, tiny, absorbed)


@jit_parallel
def sweep(medium, directions, tiny, absorbed):
    """Carry the released energy of a medium along all its directions.

    Directions are dealt to a fixed number of groups, each with its own result, and
    the results are added in order: the sum does not depend on the number of threads,
    and threads wait for each other once, not once per direction.

    Parameters
    ----------
    medium : Medium
    directions : Directions
    tiny : float32
        Lines that carry less than this are dropped.
    absorbed : (nb, nd, nc) float32
        Energy absorbed per voxel is added to it.
    """
    nb, nd, nc = medium.scaling.shape
    partial = np.zeros((GROUPS, nb, nd, nc), np.float32)
    for group in prange(GROUPS):
        for k in range(group, directions.forward.size, GROUPS):
            _sweep_direction(medium, directions, k, tiny, partial[group])
    for b in prange(nb):
        for group in range(GROUPS):
            for d in range(nd):
                for c in range(nc):
                    absorbed[b, d, c] += partial[group, b, d, c]
