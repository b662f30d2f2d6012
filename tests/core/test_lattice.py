"""Coarser and finer grids: sums are kept, straight lines stay straight."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.core.lattice import coarsen, interpolate_up

FACTORS = [(2, 3, 4), (1, 2, 1), (4, 4, 4)]


@pytest.mark.parametrize("factors", FACTORS)
def test_coarsening_keeps_the_sum(factors: tuple[int, int, int]) -> None:
    """Also where the last blocks stick out."""
    fine = np.random.default_rng(1).random((13, 14, 15)).astype(np.float32)
    coarse = np.empty([-(-n // f) for n, f in zip(fine.shape, factors, strict=True)], np.float32)
    coarsen(fine, factors, coarse)
    # Sums of up to 64 numbers, rounded once to float32.
    assert coarse.sum(dtype=float) == pytest.approx(fine.sum(dtype=float), rel=1e-6)
    a, b, c = factors
    assert coarse[1, 1, 1] == pytest.approx(fine[a : 2 * a, b : 2 * b, c : 2 * c].sum(), rel=1e-6)
    assert coarse[-1, -1, -1] == pytest.approx(
        fine[(coarse.shape[0] - 1) * a :, (coarse.shape[1] - 1) * b :,
             (coarse.shape[2] - 1) * c :].sum(), rel=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("factors", FACTORS)
def test_interpolation_is_exact_for_linear_functions(factors: tuple[int, int, int]) -> None:
    shape = (5, 4, 6)

    def linear(counts: tuple[int, ...], steps: tuple[int, int, int]) -> np.ndarray:
        z, y, x = ((np.arange(n) + 0.5) * s for n, s in zip(counts, steps, strict=True))
        return 3 + 0.2 * z[:, None, None] - 0.1 * y[:, None] + 0.05 * x

    coarse = linear(shape, factors).astype(np.float32)
    fine_shape = tuple(n * f for n, f in zip(shape, factors, strict=True))
    fine = np.empty(fine_shape, np.float32)
    interpolate_up(coarse, factors, fine)
    inner = tuple(slice(f, -f) for f in factors)  # beyond the outermost centres it is constant
    np.testing.assert_allclose(fine[inner], linear(fine_shape, (1, 1, 1))[inner], rtol=1e-6)
    assert fine[0, 0, 0] == coarse[0, 0, 0] and fine[-1, -1, -1] == coarse[-1, -1, -1]


def test_interpolating_from_a_single_plane_repeats_it() -> None:
    coarse = np.array([[[1.0, 3.0]]], np.float32)
    fine = np.empty((2, 3, 4), np.float32)
    interpolate_up(coarse, (2, 3, 2), fine)
    assert (fine == np.array([1, 1.5, 2.5, 3], np.float32)).all()
