"""Random numbers by counting: Philox4x32-10.

Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (SC11, 2011). The
n-th block of four numbers of a stream is a scrambled n; nothing is carried from one
history to the next, so histories give the same numbers wherever and in whatever
order they run.
"""

from __future__ import annotations

import numpy as np

from dosecalc.core._jit import jit

__all__ = ["new_stream", "philox", "restart", "uniform"]

_MASK = np.uint64(0xFFFFFFFF)
_BITS = np.uint64(32)
_MULTIPLY_0, _MULTIPLY_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_ROUNDS = 10
_PER_BLOCK = np.uint64(4)
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
def new_stream():
    """Memory of a stream: four numbers, how many of them are used, block, history (2), seed (2)."""
    return np.zeros(10, np.uint64)


@jit
def restart(stream, seed, history):
    """Set a stream to the first number of a history; seed and history are uint64."""
    stream[4] = _PER_BLOCK
    stream[5] = np.uint64(0)
    stream[6], stream[7] = history & _MASK, history >> _BITS
    stream[8], stream[9] = seed & _MASK, seed >> _BITS


@jit
def uniform(stream):
    """Return the next number of a stream, strictly between 0 and 1."""
    used = stream[4]
    if used == _PER_BLOCK:
        block = stream[5]
        a, b, c, d = philox(
            block & _MASK, block >> _BITS, stream[6], stream[7], stream[8], stream[9]
        )
        stream[0], stream[1], stream[2], stream[3] = a, b, c, d
        stream[5] = block + np.uint64(1)
        used = np.uint64(0)
    stream[4] = used + np.uint64(1)
    return (float(stream[used]) + 0.5) * _UNIT
