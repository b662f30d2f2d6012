"""Random numbers against the published answers of Philox4x32-10, and as numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.core._jit import jit
from dosecalc.core.transport.random import STREAM_WORDS, philox, restart, uniform

ONES = 0xFFFFFFFF
# Counter, key and result: kat_vectors of Random123 (Salmon and others, SC11, 2011).
KNOWN = {
    "zeros": ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    "ones": ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    "pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
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


@pytest.mark.parametrize("case", KNOWN)
def test_known_answers(case: str) -> None:
    counter, key, expected = KNOWN[case]
    found = philox(*(np.uint64(word) for word in counter + key))
    assert tuple(int(word) for word in found) == expected


def test_a_stream_is_the_scrambled_count_of_its_blocks() -> None:
    """Block, history and seed go into counter and key word by word, low words first."""
    seed, history = 0x1234567890ABCDEF, 0x0FEDCBA987654321
    found = numbers(seed, history, 12).reshape(3, 4)
    for block in range(3):
        words = (block, 0, history & ONES, history >> 32, seed & ONES, seed >> 32)
        scrambled = philox(*(np.uint64(word) for word in words))
        expected = [(float(word) + 0.5) / 2**32 for word in scrambled]
        np.testing.assert_array_equal(found[block], expected)


def test_restart_gives_the_same_numbers_in_the_middle_of_a_block() -> None:
    stream = np.zeros(STREAM_WORDS, np.uint64)
    restart(stream, np.uint64(7), np.uint64(11))
    first = draw(stream, 10)
    for used in (1, 2, 3, 5):
        draw(stream, used)
        restart(stream, np.uint64(7), np.uint64(11))
        np.testing.assert_array_equal(draw(stream, 10), first)


def test_histories_and_seeds_have_streams_of_their_own() -> None:
    """10 000 numbers of 32 bits from each: about 0.02 of a pair's would be alike by chance."""
    streams = [
        numbers(seed, history, 10_000)
        for seed in (0, 1, 1 << 32)
        for history in (0, 1, 2, 1 << 32, (1 << 32) + 1)
    ]
    for index, one in enumerate(streams):
        for other in streams[:index]:
            assert np.intersect1d(one, other).size <= 3
            # Of 10 000 independent pairs the correlation is 0 within 0.01; 4.5 of that.
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.045


def test_numbers_are_even_and_never_0_or_1() -> None:
    count = 1_000_000
    found = numbers(3, 5, count)
    assert found.min() > 0
    assert found.max() < 1
    # The extreme words, 0 and 2^32 - 1, give numbers inside as well.
    stream = np.zeros(STREAM_WORDS, np.uint64)
    stream[1] = np.uint64(ONES)
    lowest, highest = draw(stream, 2)
    assert 0 < lowest < 2e-10
    assert 1 - 2e-10 < highest < 1
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
