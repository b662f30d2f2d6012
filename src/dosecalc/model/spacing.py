"""How far a position in a file may lie from where it belongs: one rule for all that is read.

Systems write positions with one, two or more decimals: slices 10/3 mm apart come as 0, 3.33, 6.67,
10. Such a position is accepted within a tenth of the spacing and within 0.1 mm, whichever is less:
no dose changes noticeably over 0.1 mm, and a slice that is missing, doubled or elsewhere is off by
far more than a tenth of the spacing. One decimal of a mm is off by 0.05 mm, which is accepted where
it is no more than a fifth of the spacing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = [
    "COSINE_TOLERANCE",
    "POSITION_MM",
    "ROUNDING_MM",
    "Spacing",
    "position_tolerance",
    "spacing_of",
]

COSINE_TOLERANCE = 2e-4
"""Largest deviation of a direction cosine from 0 or 1: 0.1 mm over 500 mm."""

ROUNDING_MM = 0.01
"""What two decimals can make of a position, or of the distance of two."""

POSITION_MM = 0.1
"""The most that a position may lie off its place, whatever the spacing."""

_SHARE = 0.1
# What one decimal can make of a position, with what the fitted grid adds, and the share of the
# spacing that it may be.
_DECIMAL_MM, _DECIMAL_SHARE = 0.06, 0.2
# The last bits of differences of decimal numbers must not decide.
_BITS_MM = 1e-6


def position_tolerance(spacing: float) -> float:
    """Return how far (mm) a position may lie from its place where positions are `spacing` apart."""
    step = abs(spacing)
    decimal = min(_DECIMAL_SHARE * step, _DECIMAL_MM)
    return min(max(_SHARE * step, decimal), POSITION_MM) + _BITS_MM


class Spacing(NamedTuple):
    """How evenly positions follow each other.

    Parameters
    ----------
    mean : mm, step of the straight line that fits best; below 0 where positions fall
    median : mm, of the steps
    off : mm, the largest distance of a position from its place on the even grid that fits best
    worst : index of the step that differs most from the median
    """

    mean: float
    median: float
    off: float
    worst: int

    @property
    def is_even(self) -> bool:
        """Whether every position lies on the even grid, within what is tolerated."""
        return self.off <= position_tolerance(self.mean)


def spacing_of(positions: ArrayLike) -> Spacing:
    """Fit an even grid to positions along one axis.

    Parameters
    ----------
    positions : (n,) float, n > 1, mm
        In the order in which they are meant to follow each other.
    """
    places = np.asarray(positions, dtype=np.float64)
    steps = np.diff(places)
    index = np.arange(places.size) - (places.size - 1) / 2
    mean = float(index @ places / (index @ index))
    left = places - mean * index
    median = float(np.median(steps))
    return Spacing(
        mean=round(mean, 6),
        median=median,
        off=float(np.ptp(left)) / 2,
        worst=int(np.argmax(np.abs(steps - median))),
    )
