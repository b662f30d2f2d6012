"""Random numbers: the small fast counting generator SFC64 of Doty-Humphrey (PractRand, 2010).

Each history has a stream of its own, made from its number and the seed; nothing is carried from
one history to the next, so histories give the same numbers wherever and in whatever order
they run. A counter in the state keeps a stream from repeating for 2^64 numbers, and
the three other words, hashed, keep streams apart.
"""

from __future__ import annotations

import numpy as np

from dosecalc.core._jit import jit, jit_inline

__all__ = ["STREAM_WORDS", "advance", "restart", "set_words", "uniform"]

# A stream is an array of uint64: three words and the counter.
STREAM_WORDS = 4
# What the author found to be enough to mix the words of a seed.
_ROUNDS_TO_MIX = 12

_ONE = np.uint64(1)
_SHIFT_RIGHT, _SHIFT_LEFT = np.uint64(11), np.uint64(3)
_TURN, _TURN_BACK = np.uint64(24), np.uint64(40)
# 52 bits, and half of the last: a double holds that, and neither 0 nor 1 occurs.
_DROPPED, _UNIT = np.uint64(12), 2.0**-52


@jit_inline
def advance(stream):
    """Return the next 64 bits of a stream."""
    a, b, c, count = stream[0], stream[1], stream[2], stream[3]
    result = a + b + count
    stream[0] = b ^ (b >> _SHIFT_RIGHT)
    stream[1] = c + (c << _SHIFT_LEFT)
    stream[2] = ((c << _TURN) | (c >> _TURN_BACK)) + result
    stream[3] = count + _ONE
    return result


@jit
def set_words(stream, a, b, c):
    """Start a stream from three words, uint64."""
    stream[0], stream[1], stream[2], stream[3] = a, b, c, _ONE
    for _ in range(_ROUNDS_TO_MIX):
        advance(stream)


@jit_inline
def _scattered(word):
    """Hash of a word that is another for each (the finaliser of SplitMix64, Steele and others)."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@jit
def restart(stream, seed, history):
    """Set a stream to the first number of a history; seed and history are uint64."""
    gap = np.uint64(0x9E3779B97F4A7C15)
    set_words(stream, _scattered(history + gap), _scattered(seed + gap + gap), history)


@jit_inline
def uniform(stream):
    """Return the next number of a stream, strictly between 0 and 1."""
    return (float(advance(stream) >> _DROPPED) + 0.5) * _UNIT
