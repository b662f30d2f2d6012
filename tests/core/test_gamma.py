"""The certified search for gamma against plain search, closed forms and its own invariances."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from dosecalc.core.gamma import ACCURACY, gamma_of_points, prepare_search

Array = NDArray[np.float64]
LARGEST = 2.0


def gamma(values, indices, doses, scale, steps, largest=LARGEST) -> Array:
    values = np.array(values, dtype=np.float32)
    # As a dose holds them, so that the compiled code is the same.
    values.flags.writeable = False
    indices = np.ascontiguousarray(indices, dtype=np.float64)
    doses = np.ascontiguousarray(doses, dtype=np.float64)
    out = np.empty(len(indices))
    searched = prepare_search(values, np.array(steps, dtype=np.float64), largest)
    gamma_of_points(searched, indices, doses, np.full(len(indices), float(scale)), out)
    return out


def plain_search(values, index, dose, scale, steps) -> float:
    """Gamma by trying a lattice over all the dose, then finer ones around its ten best."""

    def squared(at):
        found = map_coordinates(values.astype(np.float64), at.T, order=1)
        return (((at - index) * steps) ** 2).sum(axis=1) + ((found - dose) * scale) ** 2

    last = np.array(values.shape) - 1
    axes = [np.linspace(0, n, 12 * n + 1) for n in last]
    at = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    f = squared(at)
    best = f.min()
    for centre in at[np.argsort(f)[:10]]:
        width = 1 / 12
        for _ in range(4):
            fine = np.linspace(-width, width, 11)
            near = np.stack(np.meshgrid(fine, fine, fine, indexing="ij"), axis=-1).reshape(-1, 3)
            near = np.clip(near + centre, 0, last)
            f = squared(near)
            centre, width = near[f.argmin()], width / 4
            best = min(best, f.min())
    return min(np.sqrt(best), LARGEST)


CASES = {
    "noise": ((5, 6, 5), (0.8, 1.0, 1.2), 5.0, 0.0),
    "steep noise": ((5, 6, 5), (0.8, 1.0, 1.2), 40.0, 0.0),
    "smooth": ((6, 6, 7), (1.25, 1.25, 2.0), 30.0, 1.0),
    "smooth, fine": ((7, 6, 6), (0.4, 0.3, 0.4), 10.0, 1.0),
    "smooth, coarse": ((6, 6, 6), (2.5, 2.5, 3.0), 100.0, 1.0),
    "plane": ((1, 9, 9), (1.0, 0.7, 0.5), 20.0, 0.0),
    "line": ((1, 1, 20), (1.0, 1.0, 0.5), 10.0, 0.0),
}


@pytest.mark.parametrize("case", CASES)
def test_no_plain_search_finds_less(case: str) -> None:
    """Points anywhere on the dose, half of them at voxels, with doses in and out of its range.

    The plain search takes positions that exist, so it can only find more than the least;
    that it finds less than 1e-3 more on most points shows that both look for the same.
    """
    shape, steps, scale, width = CASES[case]
    random = np.random.default_rng(11)
    values = random.random(shape).astype(np.float32)
    if width:
        values = gaussian_filter(values, width)
    count = 24
    indices = random.uniform(0, np.array(shape) - 1, (count, 3))
    indices[::2] = np.round(indices[::2])
    low, high = values.min(), values.max()
    doses = random.uniform(low - 0.1 * (high - low), high + 0.1 * (high - low), count)
    found = gamma(values, indices, doses, scale, steps)
    searched = [
        plain_search(values, *point, scale, np.array(steps))
        for point in zip(indices, doses, strict=True)
    ]
    excess = np.array(searched) - found
    assert excess.min() >= -ACCURACY
    assert np.median(excess) < 1e-3
    assert excess.max() < 0.02


def test_a_linear_dose_has_a_closed_form():
    """Least of |x|^2 + (e + g.x)^2 is e^2 / (1 + g^2), as long as it lies on the grid."""
    steps, scale, slope = np.array([1.0, 0.7, 1.3]), 3.0, np.array([0.11, -0.2, 0.07])
    z, y, x = np.indices((9, 11, 9))
    values = 5 + slope[0] * z + slope[1] * y + slope[2] * x
    index = np.full((40, 3), [4.0, 5.0, 4.0]) + np.random.default_rng(2).uniform(-1, 1, (40, 3))
    e = np.linspace(-2.5, 2.5, 40)
    at_index = 5 + index @ slope
    found = gamma(values, index, at_index - e / scale, scale, steps)
    g = scale * slope / steps
    # Single precision of the dose: 5 * 6e-8 * scale.
    assert found == pytest.approx(np.abs(e) / np.sqrt(1 + g @ g), abs=3 * ACCURACY)


def test_a_saddle_is_searched_on_all_its_sides():
    """A dose difference b u v + e, seen from its middle u = v = 0, where its slope is zero.

    Along u = v = t, f = 2 t^2 + (b t^2 + e)^2 is least where t^2 = -(1 + b e) / b^2, and is
    -(1 + 2 b e) / b^2 there. A descent that starts in the middle finds neither of the two.
    """
    b, e = 4.0, -1.0
    u = np.array([-1.0, 1.0])
    values = np.broadcast_to(b * u[:, None] * u, (2, 2, 2))
    found = gamma(values, [[0.5, 0.5, 0.5]], [-e], 1.0, [2.0, 2.0, 2.0])
    assert found[0] == pytest.approx(np.sqrt(-(1 + 2 * b * e)) / b, abs=2 * ACCURACY)


def test_beyond_the_largest_gamma_nothing_is_told_apart():
    values = np.ones((4, 4, 4))
    doses = np.array([1.0, 1.5, 2.9, 3.1, 50.0])
    found = gamma(values, np.full((5, 3), 1.5), doses, 1.0, [1.0, 1.0, 1.0])
    assert found == pytest.approx([0, 0.5, 1.9, 2, 2], abs=2 * ACCURACY)


def test_off_a_plane_the_distance_counts():
    values = np.ones((1, 5, 5))
    found = gamma(
        values, [[0.0, 2.0, 2.0], [0.4, 2.0, 2.0], [0.0, -0.5, 2.0]], np.ones(3), 1, [1.0] * 3
    )
    assert found == pytest.approx([0, 0.4, 0.5], abs=2 * ACCURACY)


def test_mirrored_and_turned_doses_have_the_same_gamma():
    random = np.random.default_rng(5)
    values = gaussian_filter(random.random((8, 9, 10)), 1).astype(np.float32)
    last = np.array(values.shape) - 1
    indices = random.uniform(0, last, (60, 3))
    doses = random.uniform(values.min(), values.max(), 60)
    steps = np.array([1.0, 0.8, 1.3])
    plain = gamma(values, indices, doses, 40.0, steps)
    mirrored = gamma(values[::-1, :, ::-1], np.abs(indices - last * [1, 0, 1]), doses, 40.0, steps)
    turned = gamma(values.transpose(2, 0, 1), indices[:, [2, 0, 1]], doses, 40.0, steps[[2, 0, 1]])
    assert mirrored == pytest.approx(plain, abs=2 * ACCURACY)
    assert turned == pytest.approx(plain, abs=2 * ACCURACY)


def test_a_larger_largest_gamma_changes_nothing_below_the_smaller():
    random = np.random.default_rng(6)
    values = random.random((9, 9, 9)).astype(np.float32)
    indices = random.uniform(0, 8, (100, 3))
    doses = random.uniform(-0.1, 1.1, 100)
    near, far = (gamma(values, indices, doses, 15.0, [0.7] * 3, top) for top in (1.2, 3.0))
    assert near == pytest.approx(np.minimum(far, 1.2), abs=2 * ACCURACY)
    assert (far > 1.2).any()


def test_the_number_of_threads_changes_no_bit():
    random = np.random.default_rng(7)
    values = gaussian_filter(random.random((12, 12, 12)), 1).astype(np.float32)
    indices = random.uniform(0, 11, (500, 3))
    doses = random.uniform(values.min(), values.max(), 500)
    all_threads = numba.get_num_threads()
    results = []
    try:
        for threads in (1, all_threads):
            numba.set_num_threads(threads)
            results.append(gamma(values, indices, doses, 30.0, [1.0] * 3))
    finally:
        numba.set_num_threads(all_threads)
    np.testing.assert_array_equal(*results)
