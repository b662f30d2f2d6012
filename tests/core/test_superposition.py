"""The sweep along lattice lines: energy, ranges, an independent oracle, threads."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gammaincc

from dosecalc.core.superposition import (
    PADDING,
    STAGES,
    TERMS,
    Directions,
    Medium,
    _lost,
    emitting_range,
    sweep,
    turned,
)
from tests import naive

NOTHING_DROPPED = np.float32(0)


def medium(
    scaling: NDArray[Any], released: NDArray[Any], cell: NDArray[np.int16] | None = None
) -> Medium:
    """Medium that releases energy, of the first term or of all, in the box where there is any.

    Axes [d, b, c], the axis of advance first.
    """
    terms = np.zeros((TERMS, *scaling.shape), np.float32)
    terms[: released.shape[0] if released.ndim == 4 else 1] = released
    box = [slice(int(n.min()), int(n.max()) + 1) for n in np.nonzero(terms[0])]
    cells = np.zeros(scaling.shape, np.int16) if cell is None else cell
    packed = np.stack([padded(term[tuple(box)]) for term in terms])
    first, last = np.zeros((2, *scaling.shape[:2]), np.int32)
    rows = (box[0], box[1])
    emitting_range(packed[0], box[2].start, first[rows], last[rows])
    return Medium(
        scaling=padded(np.asarray(scaling, np.float32)),
        voxels_c=scaling.shape[2],
        released=packed,
        cell=padded(cells[tuple(box)]),
        first=first,
        last=last,
        start_d=box[0].start,
        start_b=box[1].start,
        start_c=box[2].start,
    )


def padded(values: NDArray[Any]) -> NDArray[Any]:
    result = np.full((*values.shape[:2], values.shape[2] + 2 * PADDING), -1, values.dtype)
    turned(values, values.dtype.type(1), result)
    return result


def directions(
    slopes: list[tuple[float, float]],
    rate: float,
    amplitude: NDArray[Any],
    forward: list[bool] | None = None,
) -> Directions:
    """Directions of one rate; `amplitude` (stages, terms) or (cells, stages, terms) for all."""
    n = len(slopes)
    table = amplitude if amplitude.ndim == 3 else amplitude[None]
    return Directions(
        forward=np.ones(n, bool) if forward is None else np.array(forward),
        slope_b=np.array([s[0] for s in slopes], np.float64),
        slope_c=np.array([s[1] for s in slopes], np.float64),
        rate=np.full(n, rate, np.float32),
        amplitude=np.ascontiguousarray(np.broadcast_to(table, (n, *table.shape)), np.float32),
    )


def into_stage(stage: int) -> NDArray[np.float32]:
    amplitude = np.zeros((STAGES, TERMS), np.float32)
    amplitude[stage, 0] = 1
    return amplitude


def absorbed_in(
    lines: Directions, matter: Medium, tiny: np.float32 = NOTHING_DROPPED
) -> NDArray[np.float32]:
    absorbed = np.zeros((*matter.scaling.shape[:2], matter.voxels_c), np.float32)
    sweep(matter, lines, tiny, numba.get_num_threads(), absorbed)
    return absorbed


def test_share_lost_is_that_of_the_exponential() -> None:
    paths = np.concatenate([np.geomspace(1e-6, 1, 2000), np.linspace(1, 39, 4000)])
    lost = np.array([_lost(p) for p in paths.astype(np.float32)], np.float64)
    expected = -np.expm1(-paths.astype(np.float32).astype(np.float64))
    # What the function states: five squarings multiply a rounding of 6e-8 by up to 32.
    np.testing.assert_allclose(lost, expected, rtol=4e-6, atol=3e-7)
    np.testing.assert_allclose(lost[paths < 1], expected[paths < 1], rtol=4e-6)


@pytest.mark.parametrize("seed", [1, 2])
def test_agrees_with_sums_of_erlang_distributions(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape, cells = (6, 8, 7), 3
    released = random.random((TERMS, *shape)) * (random.random(shape) < 0.3)
    released[0, 2, :3] = 0  # rows that release nothing
    scaling = random.choice([0.02, 0.3, 1.0, 5.0], shape)
    matter = medium(scaling, released, random.integers(0, cells, shape).astype(np.int16))
    slopes = [(0.0, 0.0), (0.93, -0.41), (-0.57, 0.88), (-0.2, -0.99), (0.31, 0.07)]
    lines = directions(
        slopes, 0.7, random.random((cells, STAGES, TERMS)), [True, False, True, False, True]
    )
    expected = naive.swept(matter, lines)
    # The survival exp(-p) is good to 2e-6, and what leaves a voxel holds it divided by p,
    # which is 0.15 or more where that is done.
    np.testing.assert_allclose(absorbed_in(lines, matter), expected, atol=1.5e-5 * expected.max())


@pytest.mark.parametrize("slopes", [(0.0, 0.0), (0.77, -0.36), (-0.98, 0.55)])
def test_energy_absorbed_and_leaving_is_energy_released(slopes: tuple[float, float]) -> None:
    """What leaves a block ends in black voxels around it, and nothing else changes."""
    random = np.random.default_rng(3)
    n, wall = 12, 1
    inside = (slice(0, n), slice(wall, wall + n), slice(wall, wall + n))
    block, source = random.random((n, n, n)), random.random((n, n, n))
    scaling, released = np.full((2, n + wall, n + 2 * wall, n + 2 * wall), [[[[1e4]]], [[[0]]]])
    scaling[inside], released[inside] = block, source
    lines = directions([slopes], 0.3, random.random((STAGES, TERMS)))
    closed = absorbed_in(lines, medium(scaling, released))
    total = float(lines.amplitude[0, 0, :, 0].astype(float).sum() * source.sum())
    # Only rounding: each voxel's energy is a difference of float32 numbers (6e-8), and
    # those of 2000 voxels are summed.
    assert closed.sum(dtype=float) == pytest.approx(total, rel=1e-6)
    alone = absorbed_in(lines, medium(block, source))
    np.testing.assert_allclose(closed[inside], alone, rtol=0, atol=1e-6 * float(alone.max()))
    assert 0.05 * total < alone.sum(dtype=float) < 0.95 * total  # something does leave


@pytest.mark.parametrize("stage", range(STAGES))
@pytest.mark.parametrize("forward", [True, False])
def test_mean_distance_along_a_line_is_erlang(stage: int, forward: bool) -> None:
    """Energy entering stage n is absorbed (n + 1)/a away on the mean, however coarse the voxels.

    It is released evenly over a voxel, so which voxel it ends in is a fair rounding of
    the distance, and the mean voxel number is exact.
    """
    n, rate = 120, 0.4
    source = np.zeros((n, 1, 1))
    start = 5 if forward else n - 6
    source[start] = 1
    lines = directions([(0.0, 0.0)], rate, into_stage(stage), [forward])
    absorbed = absorbed_in(lines, medium(np.ones(source.shape), source))[:, 0, 0].astype(float)
    distance = np.abs(np.arange(n) - start)
    # Rounding of float32 differences, each weighted with a distance of up to 100 voxels.
    assert absorbed @ distance == pytest.approx((stage + 1) / rate, rel=1e-5)
    behind = np.s_[:start] if forward else np.s_[start + 1 :]
    assert (absorbed[behind] == 0).all()
    if stage == 0:
        # The variance of an exponential, 1/a^2, plus that of release and absorption
        # within voxels, together 1/6 of a voxel squared less the fair rounding.
        variance = absorbed @ distance**2 - (absorbed @ distance) ** 2
        assert variance == pytest.approx(1 / rate**2 + 1 / 6, rel=0.01)


def test_profile_along_a_line_is_erlang() -> None:
    """Fine voxels behind a source follow the density of the distribution."""
    n, rate, stage = 200, 0.1, 3
    source = np.zeros((n, 1, 1))
    source[0] = 1
    lines = directions([(0.0, 0.0)], rate, into_stage(stage))
    absorbed = absorbed_in(lines, medium(np.ones(source.shape), source))[:, 0, 0]
    middle = np.arange(1, n) * rate
    expected = gammaincc(stage + 1, middle - rate / 2) - gammaincc(stage + 1, middle + rate / 2)
    # Release over the voxel's length, not in its middle, is second order: p^2/24 times the
    # density's relative curvature.
    np.testing.assert_allclose(absorbed[1:], expected, atol=2e-3 * expected.max())


@pytest.mark.parametrize("slopes", [(0.31, 0.0), (0.618, -0.414), (-0.93, 0.71)])
def test_mean_displacement_across_the_line(slopes: tuple[float, float]) -> None:
    """Lines move sideways by whole voxels, on the mean as the direction does."""
    n, rate, stage = 96, 0.5, 2
    source = np.zeros((n, n, n))
    planes = np.arange(8, 48)
    source[planes, 48, 48] = 1
    lines = directions([slopes], rate, into_stage(stage))
    absorbed = absorbed_in(lines, medium(np.ones(source.shape), source)).astype(float)
    d, b, c = np.indices(source.shape)
    mean = [float((absorbed * axis).sum() / absorbed.sum()) for axis in (b, d, c)]
    expected = (stage + 1) / rate
    assert mean[1] - planes.mean() == pytest.approx(expected, rel=1e-4)
    # Each line is rounded to whole voxels; over 40 starting planes the error averages out.
    assert mean[0] - 48 == pytest.approx(slopes[0] * expected, abs=0.03)
    assert mean[2] - 48 == pytest.approx(slopes[1] * expected, abs=0.03)


def test_vacuum_absorbs_nothing() -> None:
    scaling = np.ones((30, 3, 3))
    scaling[8:20] = 0
    source = np.zeros(scaling.shape)
    source[2, 1, 1] = 1
    for stage in range(STAGES):
        lines = directions([(0.0, 0.0)], 0.3, into_stage(stage))
        absorbed = absorbed_in(lines, medium(scaling, source))
        # A vacuum voxel has the least radiological length, 1e-6, and the sum over it is
        # rounded at 6e-8 of the energy passing.
        assert np.abs(absorbed[8:20]).max() < 2e-6
        without_gap = absorbed_in(lines, medium(np.ones((18, 3, 3)), source[:18]))
        joined = np.delete(absorbed, np.s_[8:20], axis=0)
        # Twelve vacuum voxels take 1.2e-5 at most.
        np.testing.assert_allclose(joined, without_gap, atol=1.5e-5)


def test_thin_matter_absorbs_in_proportion_to_its_length() -> None:
    """A voxel of air, p = 1e-4, absorbs what it should, from itself and from others."""
    p = 1e-4
    scaling = np.ones((6, 1, 1))
    scaling[:3] = p
    source = np.zeros(scaling.shape)
    source[0] = 1
    absorbed = absorbed_in(directions([(0, 0)], 1.0, into_stage(0)), medium(scaling, source))
    # The least radiological length, 1e-6, is added to each, and a difference of numbers
    # near 1 in float32 is good to 2e-7.
    np.testing.assert_allclose(absorbed[:3, 0, 0], [p / 2, p, p], atol=1.3e-6)


def test_released_in_vacuum_is_absorbed_elsewhere() -> None:
    scaling = np.zeros((20, 1, 1))
    scaling[10:] = 50
    source = np.zeros(scaling.shape)
    source[3] = 1
    absorbed = absorbed_in(directions([(0, 0)], 1.0, into_stage(1)), medium(scaling, source))
    assert np.abs(absorbed[:10]).max() < 2e-6
    assert absorbed[10:].sum() == pytest.approx(1, abs=1e-5)


def test_dropping_faint_lines_loses_no_more_than_stated() -> None:
    random = np.random.default_rng(5)
    source = np.zeros((60, 10, 10))
    source[3:6, 2:8, 2:8] = random.random((3, 6, 6))
    matter = medium(np.ones(source.shape), source)
    lines = directions([(0.0, 0.0), (0.4, -0.3)], 0.5, random.random((STAGES, TERMS)))
    exact = absorbed_in(lines, matter).sum(dtype=float)
    tiny = np.float32(1e-3)
    lost = exact - absorbed_in(lines, matter, tiny).sum(dtype=float)
    # At most `tiny` for each line that starts, two directions over the source's 36 lines and
    # those that sideways moves add.
    assert 0 < lost < tiny * 2 * 100


def test_same_bits_with_one_and_two_threads() -> None:
    random = np.random.default_rng(6)
    shape = (13, 17, 19)
    matter = medium(random.random(shape), random.random(shape))
    slopes = [(0.3, 0.8), (-0.9, 0.2), (0.0, -0.5)]
    lines = directions(slopes, 0.6, random.random((STAGES, TERMS)), [True, False, True])
    results = []
    before = numba.get_num_threads()
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            results.append(absorbed_in(lines, matter, np.float32(1e-4)))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
