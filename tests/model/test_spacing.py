"""Positions as files write them: rounding is accepted everywhere alike, a wrong place never."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.model.spacing import position_tolerance, spacing_of


def rounded(step: float, start: float, n: int, decimals: int) -> np.ndarray:
    return np.array([float(f"{start + step * k:.{decimals}f}") for k in range(n)])


@pytest.mark.parametrize("step", [10 / 3, 5 / 3, 2 / 3, 0.625, 5 / 6, 8 / 3, -10 / 3, 3.0, 0.3])
@pytest.mark.parametrize("start", [-100.0, -98.33, -37.5, 0.0, 12.34, -512.77])
def test_two_decimals_are_even(step: float, start: float) -> None:
    fit = spacing_of(rounded(step, start, 60, 2))
    assert fit.is_even
    assert fit.mean == pytest.approx(step, abs=3e-4)  # errors of 0.005 mm average out
    assert fit.off <= 0.006


@pytest.mark.parametrize("step", [0.3, 0.4, 0.5, 0.625, 2 / 3, 1.25, 10 / 3, 4.8])
@pytest.mark.parametrize("n", [3, 4, 7, 60])
def test_one_decimal_is_even(step: float, n: int) -> None:
    for start in (0.0, -37.31, 12.34, -1024.05, 999.95):
        assert spacing_of(rounded(step, start, n, 1)).is_even


@pytest.mark.parametrize("step", [0.4, 0.6, 1.0, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("n", [4, 5, 10, 200])
@pytest.mark.parametrize("decimals", [1, 2, 6])
def test_a_missing_or_doubled_position_is_never_even(step: float, n: int, decimals: int) -> None:
    whole = rounded(step, -31.7, n, decimals)
    for k in range(1, n - 1):  # without its first or last one a stack is even
        assert not spacing_of(np.delete(whole, k)).is_even
    for k in range(n):
        assert not spacing_of(np.insert(whole, k, whole[k])).is_even


@pytest.mark.parametrize("step", [0.3, 0.6, 1.0, 2.0, 3.0])
def test_the_tolerance_is_well_below_half_the_spacing(step: float) -> None:
    # A missing or doubled position is off by a quarter of the spacing.
    assert position_tolerance(step) <= min(0.2 * step, 0.1) + 1e-5
    for k in range(20):
        moved = step * np.arange(20.0)
        moved[k] += max(0.4 * step, 0.15)
        assert not spacing_of(moved).is_even


def test_the_last_bit_does_not_decide() -> None:
    """A position that is off by just what is allowed is accepted from every start."""
    for start in np.linspace(-700, 700, 97):
        places = start + 3.0 * np.arange(1000)
        places[500] += 0.2  # 0.1 mm to either side of the grid that fits best
        assert spacing_of(places).is_even
