"""Random numbers against the published answers of SFC64, and as numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.core._jit import jit
from dosecalc.core.transport.random import STREAM_WORDS, advance, restart, set_words, uniform

# First numbers of two seeds as NumPy publishes them (numpy/random/tests/data/sfc64-testset-*.csv).
KNOWN = {
    0xDEADBEAF: (0xA475F55FBB6BC638, 0xB2D594B6C29D971C, 0x275BC4ECE4484FB1),
    0x0: (0x91959E5FB96A6332, 0x3C1DD8A25A7E9F21, 0x657BDFFC99798D9E),
}


@jit
def draw(stream, count):
    result = np.empty(count)
    for index in range(count):
        result[index] = uniform(stream)
    return result


def numbers(seed: int, history: int, count: int) -> NDArray[np.float64]:
    stream = np.zeros(STREAM_WORDS, np.uint64)
    restart(stream, np.uint64(seed), np.uint64(history))
    return np.asarray(draw(stream, count))


@jit
def draw_bits(stream, count):
    result = np.empty(count, np.uint64)
    for index in range(count):
        result[index] = advance(stream)
    return result


@pytest.mark.parametrize("seed", KNOWN)
def test_known_answers(seed: int) -> None:
    stream = np.zeros(STREAM_WORDS, np.uint64)
    set_words(stream, *np.random.SeedSequence(seed).generate_state(3, np.uint64))
    np.testing.assert_array_equal(draw_bits(stream, 3), np.array(KNOWN[seed], np.uint64))


def test_a_stream_is_that_of_numpy() -> None:
    """A million numbers of 52 bits from the state that a history starts with."""
    stream = np.zeros(STREAM_WORDS, np.uint64)
    restart(stream, np.uint64(2**40 + 7), np.uint64(2**33 + 5))
    other = np.random.SFC64()
    other.state = {
        "bit_generator": "SFC64",
        "state": {"state": stream.copy()},
        "has_uint32": 0,
        "uinteger": 0,
    }
    expected = ((other.random_raw(1_000_000) >> np.uint64(12)) + 0.5) / 2.0**52
    np.testing.assert_array_equal(draw(stream, 1_000_000), expected)


def test_restart_gives_the_same_numbers() -> None:
    stream = np.zeros(STREAM_WORDS, np.uint64)
    restart(stream, np.uint64(7), np.uint64(11))
    first = draw(stream, 10)
    for used in (1, 2, 3, 5):
        draw(stream, used)
        restart(stream, np.uint64(7), np.uint64(11))
        np.testing.assert_array_equal(draw(stream, 10), first)


def test_histories_and_seeds_have_streams_of_their_own() -> None:
    """10 000 numbers of 52 bits from each: none would be alike by chance."""
    streams = [
        numbers(seed, history, 10_000)
        for seed in (0, 1, 1 << 32)
        for history in (0, 1, 2, 1 << 32, (1 << 32) + 1)
    ]
    for index, one in enumerate(streams):
        for other in streams[:index]:
            assert np.intersect1d(one, other).size == 0
            # Of 10 000 independent pairs the correlation is 0 within 0.01; 4.5 of that.
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.045


def test_numbers_are_even_and_never_0_or_1() -> None:
    count = 1_000_000
    found = numbers(3, 5, count)
    assert found.min() > 0
    assert found.max() < 1
    # The extreme words, 0 and 2^64 - 1, give numbers inside as well.
    assert 0 < draw(np.zeros(STREAM_WORDS, np.uint64), 1)[0] < 1e-15
    assert 1 - 1e-15 < draw(np.array([2**64 - 1, 0, 0, 0], np.uint64), 1)[0] < 1
    # 4 standard deviations: of the mean 1/sqrt(12 n), of the variance 1/sqrt(180 n).
    assert found.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * count))
    assert found.var() == pytest.approx(1 / 12, abs=4 / np.sqrt(180 * count))
    # In 100 bins chi-square is 99 with standard deviation 14.
    bins = np.histogram(found, 100, (0, 1))[0]
    assert 99 - 4 * 14 < ((bins - count / 100) ** 2).sum() / (count / 100) < 99 + 4 * 14


def test_successive_numbers_are_not_related() -> None:
    found = numbers(4, 6, 400_000)
    for lag in (1, 2, 3, 4, 5, 8):
        correlation = np.corrcoef(found[lag:], found[:-lag])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(found.size)
