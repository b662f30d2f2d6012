"""The comparison with references, on references whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from dosecalc.errors import InputError
from dosecalc.model import Dose, Grid
from dosecalc.patient.recipe import list_recipes
from dosecalc.validation.agreement import Agreement, bin_means, compare
from dosecalc.validation.cases import CASES, Extract, Tolerance, case_for, load_extract

TOLERANCE = Tolerance(1.0, 1.0, 1.0, 98.0, "test")
GRID = Grid.covering((-60.0, 0.0, -60.0), (60.0, 300.0, 60.0), (2.5, 2.5, 2.5))
DEPTHS = np.concatenate((np.arange(0, 60, 2.5), np.arange(60, 301, 5.0)))
ACROSS = np.concatenate((np.arange(-60, -40, 10.0), np.arange(-40, 40, 2.5), [40.0, 50.0, 60.0]))


def depth_dose(low, high):
    """Mean of exp(-y/200) - 0.6 exp(-y/5) between two depths."""

    def integral(y):
        return -200 * np.exp(-y / 200) + 3 * np.exp(-y / 5)

    return (integral(high) - integral(low)) / (high - low)


def field(low, high):
    """Mean of a field of 50 mm with Gaussian penumbra of 2 mm between two positions."""

    def integral(x):
        # Integral of the normal distribution function, once per edge.
        return sum(
            sign * ((x - edge) * ndtr((x - edge) / 2) + 2 * np.exp(-(((x - edge) / 2) ** 2) / 2)
                    / np.sqrt(2 * np.pi))
            for sign, edge in ((1, -25.0), (-1, 25.0))
        )  # fmt: skip

    return (integral(high) - integral(low)) / (high - low)


def calculated(grid: Grid = GRID, *, factor: float = 1.0, shift: float = 0.0) -> Dose:
    y, x = grid.edges("y"), grid.edges("x")
    depth, across = depth_dose(y[:-1], y[1:]), field(x[:-1] - shift, x[1:] - shift)
    gray = np.broadcast_to(factor * depth[:, None] * across, grid.shape)
    return Dose(grid, 1e-12 * gray, "medium", unit="Gy cm2")


def reference(*, sigma: float = 1e-4, noise: float = 0.0) -> Extract:
    axis = 1e-12 * depth_dose(DEPTHS[:-1], DEPTHS[1:])
    spans = np.array([[15.0, 17.5], [50.0, 52.5], [100.0, 105.0]])
    depths = depth_dose(spans[:, 0], spans[:, 1])
    profiles = 1e-12 * depths[:, None] * field(ACROSS[:-1], ACROSS[1:])
    random = np.random.default_rng(7)
    return Extract(
        depth_edges=DEPTHS,
        axis=axis + noise * axis.max() * random.standard_normal(axis.shape),
        axis_sigma=np.full(axis.shape, sigma * axis.max()),
        near_x=(-5.0, 5.0),
        near_z=(-5.0, 5.0),
        cross_edges=ACROSS,
        profile_depths=spans,
        profiles=profiles,
        profiles_sigma=np.full(profiles.shape, sigma * axis.max()),
        provenance={},
    )


def test_bin_means_give_back_voxels_and_conserve():
    random = np.random.default_rng(1)
    edges = np.concatenate(([0.0], np.cumsum(random.uniform(1, 4, 30))))
    values = random.uniform(0, 5, (30, 2))
    assert bin_means(values, edges, edges[:-1], edges[1:]) == pytest.approx(values, rel=1e-12)
    cuts = np.linspace(edges[0], edges[-1], 101)
    means = bin_means(values, edges, cuts[:-1], cuts[1:])
    total = (values * np.diff(edges)[:, None]).sum(axis=0)
    assert (means * np.diff(cuts)[:, None]).sum(axis=0) == pytest.approx(total, rel=1e-12)


def test_the_same_dose_agrees():
    result = compare(calculated(), reference(), TOLERANCE)
    # Bins coincide with voxels or join two of them: exact but for the single precision.
    assert result.axis_largest_percent < 1e-4
    assert result.gamma_share_percent == 100.0
    assert result.gamma_largest < 0.01
    assert result.within


@pytest.mark.parametrize("spacing", [2.0, 3.0])
def test_voxels_of_another_size_agree_too(spacing):
    grid = Grid.covering(GRID.lower, GRID.upper, (spacing,) * 3)
    result = compare(calculated(grid), reference(), TOLERANCE)
    # What interpolation may add: a fifth of what is judged, in the steep first millimetres.
    assert result.axis_largest_percent < 0.2
    assert result.gamma_share_percent == 100.0


def test_a_wrong_scale_is_found_and_measured():
    result = compare(calculated(factor=1.03), reference(), TOLERANCE)
    assert result.axis_largest_percent == pytest.approx(3.0, abs=0.01)
    assert result.axis_mean_percent > 1.0
    assert not result.axis_within
    assert not result.gamma_within


def test_a_shifted_field_fails_by_gamma_only():
    result = compare(calculated(shift=2.5), reference(), TOLERANCE)
    assert result.axis_within
    assert not result.gamma_within
    # Nowhere in the penumbra is dose the nearer way: 2.5 mm are a gamma of 2.5 in its middle.
    assert result.gamma_largest == pytest.approx(2.5, abs=0.3)
    assert compare(calculated(shift=0.6), reference(), TOLERANCE).gamma_share_percent == 100.0


def test_noise_of_the_reference_is_told_apart_from_a_difference():
    noisy = reference(sigma=0.006, noise=0.006)
    result = compare(calculated(), noisy, TOLERANCE)
    assert result.axis_largest_percent > 1.0
    assert result.axis_beyond_noise_percent < 1.0
    assert result.axis_rms_percent == pytest.approx(result.axis_sigma_percent, rel=0.2)
    assert result.axis_within
    # A bias of 3 % is found all the same.
    assert not compare(calculated(factor=1.03), noisy, TOLERANCE).axis_within


def test_what_cannot_be_compared_is_refused():
    dose = calculated()
    with pytest.raises(InputError, match="Gy cm2"):
        compare(Dose(dose.grid, dose.gray, "medium"), reference(), TOLERANCE)
    small = Grid.covering((-60.0, 0.0, -60.0), (60.0, 200.0, 60.0), (2.5, 2.5, 2.5))
    with pytest.raises(InputError, match="along y"):
        compare(calculated(small), reference(), TOLERANCE)


def test_every_shipped_case_has_its_curves_and_its_recipe():
    for short, case in CASES.items():
        extract = load_extract(case.name)
        assert case.name.startswith(short)
        assert case.recipe in list_recipes()
        assert extract.axis.size == extract.depth_edges.size - 1
        assert extract.profiles.shape == (len(extract.profile_depths), extract.cross_edges.size - 1)
        assert extract.depth_edges[0] == 0.0
        assert extract.depth_edges[-1] == pytest.approx(300.0)
        # Depth of the maximum, mm: 6 MV at 10 to 20, 15 MV at 25 to 40.
        peak = extract.depth_edges[int(extract.axis.argmax())]
        assert (25 if "15MV" in case.name else 10) <= peak <= (40 if "15MV" in case.name else 20)
        assert len(extract.provenance["sha256"]) == 64
    with pytest.raises(InputError, match="S1_water"):
        load_extract("S9_unknown")


def test_the_verdict_needs_both_parts():
    numbers = dict.fromkeys(Agreement.__dataclass_fields__, 0.0)
    for axis, gamma in ((True, True), (True, False), (False, True)):
        verdict = Agreement(**{**numbers, "axis_within": axis, "gamma_within": gamma})
        assert verdict.within == (axis and gamma)


def test_more_is_asked_of_monte_carlo() -> None:
    """Half a per cent in every medium, and more points, than of any other engine."""
    for short in CASES:
        strict, other = case_for(short, "monte-carlo"), case_for(short, "collapsed-cone")
        assert other == CASES[short] and strict.recipe == other.recipe
        assert strict.tolerance.axis_percent == 0.5
        assert strict.tolerance.gamma_share_percent > other.tolerance.gamma_share_percent
