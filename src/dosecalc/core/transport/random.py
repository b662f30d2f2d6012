"""Random numbers by counting: Philox4x32-10.

Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (SC11, 2011). The
n-th block of four numbers of a stream is a scrambled n; nothing is carried from one
history to the next, so histories give the same numbers wherever and in whatever
order they run.
"""

from __future__ import annotations

import numpy as np

from dosecalc.core._jit import jit, jit_inline

__all__ = ["STREAM_WORDS", "philox", "restart", "uniform"]

_MASK = np.uint64(0xFFFFFFFF)
_BITS = np.uint64(32)
_MULTIPLY_0, _MULTIPLY_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_ROUNDS = 10
_PER_BLOCK = np.uint64(4)

# A stream is an array of uint64: four numbers, how many of them are used, the block, the
# history (two words), the seed (two words).
STREAM_WORDS = 10
_UNIT = 1.0 / 4294967296.0


@jit
def philox(c0, c1, c2, c3, k0, k1):
    """Scramble a counter of four 32-bit words under a key of two; all as uint64."""
    for _ in range(_ROUNDS):
        product_0, product_1 = _MULTIPLY_0 * c0, _MULTIPLY_1 * c2
        c0, c1, c2, c3 = (
            (product_1 >> _BITS) ^ c1 ^ k0,
            product_1 & _MASK,
            (product_0 >> _BITS) ^ c3 ^ k1,
            product_0 & _MASK,
        )
        k0, k1 = (k0 + _WEYL_0) & _MASK, (k1 + _WEYL_1) & _MASK
    return c0, c1, c2, c3


@jit
def restart(stream, seed, history):
    """Set a stream to the first number of a history; seed and history are uint64."""
    stream[4] = _PER_BLOCK
    stream[5] = np.uint64(0)
    stream[6], stream[7] = history & _MASK, history >> _BITS
    stream[8], stream[9] = seed & _MASK, seed >> _BITS


@jit
def _refill(stream):
    """Scramble the next block of four numbers."""
    block = stream[5]
    numbers = philox(block & _MASK, block >> _BITS, stream[6], stream[7], stream[8], stream[9])
    stream[0], stream[1], stream[2], stream[3] = numbers
    stream[4] = np.uint64(0)
    stream[5] = block + np.uint64(1)


@jit_inline
def uniform(stream):
    """Return the next number of a stream, strictly between 0 and 1."""
    if stream[4] == _PER_BLOCK:
        _refill(stream)
    used = stream[4]
    stream[4] = used + np.uint64(1)
    return (float(stream[used]) + 0.5) * _UNIT
