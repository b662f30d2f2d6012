"""Cubic splines at scattered places."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter

from dosecalc.core.spline import spline_slopes, spline_values

RNG = np.random.default_rng(3)
VALUES = RNG.random((6, 1, 9))
PLACES = np.stack((RNG.uniform(0, 5, 200), np.zeros(200), RNG.uniform(0, 8, 200)))


def sampled(values: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found, slopes = np.empty(places.shape[1]), np.empty(places.shape)
    spline_slopes(spline_filter(values, order=3), places, found, slopes)
    return found, slopes


def test_values_are_those_of_scipy() -> None:
    found, _ = sampled(VALUES, PLACES)
    wanted = map_coordinates(VALUES, PLACES, order=3, mode="mirror")
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    alone = np.empty(200)
    spline_values(spline_filter(VALUES, order=3), PLACES, alone)
    np.testing.assert_allclose(alone, found, atol=1e-14)


def test_slopes_are_derivatives() -> None:
    step = np.array([[1e-4], [0.0], [0.0]])
    inside = np.clip(PLACES, 0.1, 4.9) * np.array([[1.0], [0.0], [1.0]])
    _, slopes = sampled(VALUES, inside)
    higher, _ = sampled(VALUES, inside + step)
    lower, _ = sampled(VALUES, inside - step)
    np.testing.assert_allclose(slopes[0], (higher - lower) / 2e-4, atol=1e-6)
    # One voxel says nothing of how the dose changes along its axis.
    np.testing.assert_allclose(slopes[1], 0.0, atol=1e-12)


def test_beyond_the_outermost_voxels_nothing_changes() -> None:
    beyond = np.array([[-2.0, 7.0], [0.0, 0.0], [3.0, 10.0]])
    found, slopes = sampled(VALUES, beyond)
    np.testing.assert_allclose(found, [VALUES[0, 0, 3], VALUES[5, 0, 8]], atol=1e-12)
    assert slopes[0, 0] == slopes[0, 1] == slopes[2, 1] == 0.0
