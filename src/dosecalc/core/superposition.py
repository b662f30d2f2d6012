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
voxel then lies on exactly one line: no two lines write to one voxel, so results
do not depend on the number of threads, and the inner loop runs along contiguous
memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from dosecalc.core._jit import jit, jit_parallel

__all__ = ["STAGES", "Directions", "Medium", "sweep"]

STAGES = 5

# Added to every stage in every voxel so that what has all but died away does not reach
# the denormal numbers, which are a hundred times slower; released energy is of order 1.
FLOOR = np.float32(1e-30)

# Range of the radiological length of one voxel, in units of 1/a. Nothing survives the
# longest; the shortest stands for vacuum.
SHORTEST = np.float32(1e-6)
LONGEST = np.float32(39.0)


class Medium(NamedTuple):
    """What the energy is released in, with axes [b, d, c]: d the axis of advance, c contiguous.

    scaling : (nb, nd, nc) float32
        Radiological length per geometric length, relative to water.
    released : (channels, nb, nd, nc) float32
        Energy released per voxel and spectral channel, scaled to be of order 1.
    node : (nb, nd, nc) int16
        Row of the amplitude table that holds for the voxel's ray direction.
    first, last : (nb, nd) int32
        Range of c in which energy is released, last excluded; empty rows have first >= last.
    """

    scaling: NDArray[np.float32]
    released: NDArray[np.float32]
    node: NDArray[np.int16]
    first: NDArray[np.int32]
    last: NDArray[np.int32]


class Directions(NamedTuple):
    """Directions that advance along axis d of the medium.

    forward : (n,) bool
        True where d rises along the direction.
    slope_b, slope_c : (n,) float64
        Voxels moved sideways per plane advanced.
    rate : (n,) float32
        The stage rate a times the path length per plane: 1 / relative scaling.
    amplitude : (n, nodes, channels, STAGES) float32
        Fraction of a channel's energy sent into each stage.
    """

    forward: NDArray[np.bool_]
    slope_b: NDArray[np.float64]
    slope_c: NDArray[np.float64]
    rate: NDArray[np.float32]
    amplitude: NDArray[np.float32]


@jit
def _fill_sources(medium, amplitude, b, d, source):
    """Energy entering each stage, (STAGES, nc), for the voxels of one row that release energy.

    Works on runs of voxels with the same node, so that the inner loop has
    constant coefficients and is vectorised.
    """
    channels = medium.released.shape[0]
    node = medium.node[b, d]
    c, last = medium.first[b, d], medium.last[b, d]
    while c < last:
        end = c + 1
        while end < last and node[end] == node[c]:
            end += 1
        for stage in range(STAGES):
            into = source[stage][c:end]
            factor = amplitude[node[c], 0, stage]
            values = medium.released[0, b, d][c:end]
            for i in range(into.size):
                into[i] = factor * values[i]
            for channel in range(1, channels):
                factor = amplitude[node[c], channel, stage]
                values = medium.released[channel, b, d][c:end]
                for i in range(into.size):
                    into[i] += factor * values[i]
        c = end


# The loops below are vectorised because each writes to one array and reads few:
# with more arrays the compiler would not check at run time that none overlap.


@jit
def _path_and_survival(rate, scaling, path, survival):
    """Radiological length p of each voxel and exp(-p), to 2e-6 relative for p < 39.

    The exponential is a polynomial of p/32 squared five times, because a call
    in the loop would keep it from being vectorised. The smallest p keeps the
    division by p in `_emerging` finite.
    """
    for i in range(path.size):
        p = SHORTEST + rate * scaling[i]
        path[i] = p if p < LONGEST else LONGEST
    for i in range(path.size):
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
        survival[i] = e * e


@jit
def _rows(stages, start, n):
    """The n entries of each stage from `start` on, as contiguous one-dimensional arrays."""
    end = start + n
    return (
        stages[0][start:end],
        stages[1][start:end],
        stages[2][start:end],
        stages[3][start:end],
        stages[4][start:end],
    )


@jit
def _sum_stages(rows, total):
    """Add the energy in transit, summed over the stages, to `total`."""
    s0, s1, s2, s3, s4 = rows
    for i in range(total.size):
        total[i] += s0[i] + s1[i] + s2[i] + s3[i] + s4[i]


@jit
def _through_voxels(rows, path, survival):
    """Carry the stages through one voxel each: the homogeneous part of the solution, in place."""
    r0, r1, r2, r3, r4 = rows
    half, third, quarter = np.float32(1 / 2), np.float32(1 / 3), np.float32(1 / 4)
    for i in range(path.size):
        p = path[i]
        r0[i] = FLOOR + survival[i] * (
            r0[i] + p * (r1[i] + half * p * (r2[i] + third * p * (r3[i] + quarter * p * r4[i])))
        )
    for i in range(path.size):
        p = path[i]
        r1[i] = FLOOR + survival[i] * (
            r1[i] + p * (r2[i] + half * p * (r3[i] + third * p * r4[i]))
        )
    for i in range(path.size):
        p = path[i]
        r2[i] = FLOOR + survival[i] * (r2[i] + p * (r3[i] + half * p * r4[i]))
    for i in range(path.size):
        r3[i] = FLOOR + survival[i] * (r3[i] + path[i] * r4[i])
    for i in range(path.size):
        r4[i] = FLOOR + survival[i] * r4[i]


@jit
def _emerging(rows, path, survival, average):
    """What of the energy released in a voxel leaves it, stage by stage, in place.

    With g_k = (1/p) P(k + 1, p), found by g_k = g_{k-1} - e^{-p} p^{k-1} / k!, whose
    rounding error stays below 1e-7 of the energy released.
    """
    s0, s1, s2, s3, s4 = rows
    half, third, quarter = np.float32(1 / 2), np.float32(1 / 3), np.float32(1 / 4)
    one = np.float32(1.0)
    for i in range(path.size):
        average[i] = (one - survival[i]) / path[i]
    # s_m <- sum_k g_k s_{m+k}, written as g_0 times the whole sum less e^{-p} times what
    # the recurrence takes off, so that each loop reads at most eight arrays.
    for i in range(path.size):
        p = path[i]
        t4 = s4[i]
        t3 = s3[i] + t4
        t2 = s2[i] + t3
        t1 = s1[i] + t2
        taken = t1 + half * p * (t2 + third * p * (t3 + quarter * p * t4))
        s0[i] = average[i] * (s0[i] + t1) - survival[i] * taken
    for i in range(path.size):
        p = path[i]
        t4 = s4[i]
        t3 = s3[i] + t4
        t2 = s2[i] + t3
        taken = t2 + half * p * (t3 + third * p * t4)
        s1[i] = average[i] * (s1[i] + t2) - survival[i] * taken
    for i in range(path.size):
        t4 = s4[i]
        t3 = s3[i] + t4
        s2[i] = average[i] * (s2[i] + t3) - survival[i] * (t3 + half * path[i] * t4)
    for i in range(path.size):
        s3[i] = average[i] * (s3[i] + s4[i]) - survival[i] * s4[i]
    for i in range(path.size):
        s4[i] = average[i] * s4[i]


@jit
def _absorb(before, rows, absorbed):
    """Add to each voxel what its line had before it and no longer has behind it."""
    r0, r1, r2, r3, r4 = rows
    for i in range(absorbed.size):
        absorbed[i] += before[i] - (r0[i] + r1[i] + r2[i] + r3[i] + r4[i])


@jit
def _advance(state, line, scaling, rate, source, c0, first, last, work, absorbed):
    """Carry the lines of one row through one plane.

    state : (STAGES, lines), updated; the row's lines begin at `line`
    scaling, absorbed : (n,) of the voxels from c0 on; `absorbed` is added to
    source : (STAGES, nc), energy entering the stages at first <= c < last; overwritten
    work : (4, >= n) scratch
    """
    n = absorbed.size
    path, survival = work[0][:n], work[1][:n]
    before, average = work[2][:n], work[3][:n]
    _path_and_survival(rate, scaling, path, survival)
    before[:] = np.float32(0.0)
    rows = _rows(state, line, n)
    _sum_stages(rows, before)
    _through_voxels(rows, path, survival)
    if first < last:
        i0, i1 = first - c0, last - c0
        entering = _rows(source, first, last - first)
        _sum_stages(entering, before[i0:i1])
        _emerging(entering, path[i0:i1], survival[i0:i1], average[i0:i1])
        for stage in range(STAGES):
            into = state[stage][line + i0 : line + i1]
            leaving = source[stage][first:last]
            for i in range(into.size):
                into[i] += leaving[i]
    _absorb(before, rows, absorbed)


@jit
def _shift(slope, n):
    """Whole voxels moved sideways after n planes."""
    return int(np.floor(slope * n + 0.5))


@jit
def _trim(state, low, high, tiny):
    """Shrink the range of lines to those that still carry more than `tiny`."""
    while low < high and (
        state[0, low] + state[1, low] + state[2, low] + state[3, low] + state[4, low] <= tiny
    ):
        low += 1
    while high > low and (
        state[0, high - 1]
        + state[1, high - 1]
        + state[2, high - 1]
        + state[3, high - 1]
        + state[4, high - 1]
        <= tiny
    ):
        high -= 1
    return low, high


@jit
def _sweep_row(medium, directions, k, row, tiny, absorbed):
    """All lines of direction k that start in row `row`, from the first plane to the last.

    `row` counts the lattice rows; those that enter through a side face have
    numbers outside the grid. A line's number j is its c in the first plane plus
    an offset that keeps it from being negative.
    """
    nb, nd, nc = medium.scaling.shape
    slope_b, slope_c = directions.slope_b[k], directions.slope_c[k]
    rate = directions.rate[k]
    amplitude = directions.amplitude[k]
    total_shift = _shift(slope_c, nd - 1)
    offset = max(0, total_shift)
    lines = nc + abs(total_shift)
    state = np.zeros((STAGES, lines), np.float32)
    source = np.zeros((STAGES, nc), np.float32)
    work = np.empty((4, nc), np.float32)
    low, high = lines, 0
    for n in range(nd):
        d = n if directions.forward[k] else nd - 1 - n
        b = row + _shift(slope_b, n)
        if b < 0 or b >= nb:
            continue
        start = offset - _shift(slope_c, n)  # number of the line at c = 0
        first, last = medium.first[b, d], medium.last[b, d]
        if first < last:
            low, high = min(low, start + first), max(high, start + last)
            _fill_sources(medium, amplitude, b, d, source)
        j0, j1 = max(low, start), min(high, start + nc)
        if j0 >= j1:
            continue
        c0, c1 = j0 - start, j1 - start
        _advance(
            state,
            j0,
            medium.scaling[b, d, c0:c1],
            rate,
            source,
            c0,
            first,
            last,
            work,
            absorbed[b, d, c0:c1],
        )
        if first >= last:
            low, high = _trim(state, low, high, tiny)
            if low >= high:
                low, high = lines, 0


@jit_parallel
def sweep(medium, directions, tiny, absorbed):
    """Carry the released energy of a medium along all its directions.

    Parameters
    ----------
    medium : Medium
    directions : Directions
    tiny : float32
        Lines that carry less than this are dropped.
    absorbed : (nb, nd, nc) float32
        Energy absorbed per voxel is added to it, direction by direction, in order.
    """
    nb, nd, _ = medium.scaling.shape
    for k in range(directions.forward.size):
        reach = _shift(directions.slope_b[k], nd - 1)
        first_row = -max(0, reach)
        rows = nb + abs(reach)
        for i in prange(rows):
            _sweep_row(medium, directions, k, first_row + i, tiny, absorbed)
