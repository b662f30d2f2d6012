"""Fluence maps against exact areas, closed formulas and a brute-force view of the source."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import erf, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dosecalc.beam import Fluence, beam_fluences
from dosecalc.data.machines import load_machine, point_source_machine
from dosecalc.data.spectra import monoenergetic
from dosecalc.errors import InputError, PhysicalDataError
from dosecalc.model import Beam, JawModel, Machine, PatientPosition, RadialProfile
from tests.beam.examples import (
    FOCAL,
    FOCAL_AND_FILTER,
    LEAF_EDGES,
    beam,
    centres,
    covered,
    edges_u,
    edges_v,
    fluence_of,
    integral,
    leaves,
    machine,
    point,
    value_at,
)

EDGE = st.floats(-150, 150)


def with_jaws(model: Machine, **changes: float) -> Machine:
    assert model.jaws_x is not None and model.jaws_y is not None
    return replace(
        model, jaws_x=replace(model.jaws_x, **changes), jaws_y=replace(model.jaws_y, **changes)
    )


def with_mlc(model: Machine, **changes: float | str) -> Machine:
    assert model.mlc is not None
    return replace(model, mlc=replace(model.mlc, **changes))  # type: ignore[arg-type]


# ---- ideal machine: areas -------------------------------------------------------------


@given(x=st.tuples(EDGE, EDGE), y=st.tuples(EDGE, EDGE), pixel=st.floats(0.7, 6))
@settings(max_examples=30, deadline=None)
def test_ideal_rectangle_is_exactly_one_between_its_jaws(
    x: tuple[float, float], y: tuple[float, float], pixel: float
) -> None:
    x0, y0 = min(x), min(y)
    x1, y1 = max(*x, x0 + 2), max(*y, y0 + 2)
    planned = beam(point(0, jaws_x=(x0, x1), jaws_y=(y0, y1)), mu=1.0)
    fluence = fluence_of(planned, machine(mlc=None), pixel_mm=pixel)
    assert (fluence.values == 1).all()
    u, v = edges_u(fluence), edges_v(fluence)
    np.testing.assert_allclose([u[0], u[-1], v[0], v[-1]], [x0, x1, y0, y1], atol=1e-9)
    assert max(fluence.pixel_u, fluence.pixel_v) <= pixel * (1 + 1e-5)


@given(
    low=st.lists(st.floats(-40, 5), min_size=7, max_size=7),
    gap=st.lists(st.floats(0, 40), min_size=7, max_size=7),
    jaws=st.tuples(st.floats(-35, -10), st.floats(10, 35)),
)
@settings(max_examples=20, deadline=None)
def test_ideal_leaves_cover_each_pixel_by_area(
    low: list[float], gap: list[float], jaws: tuple[float, float]
) -> None:
    gap[3] = max(gap[3], 30.0)  # so that something stays open between the jaws
    tips = leaves(low, np.add(low, gap))
    planned = beam(point(0, jaws_x=jaws, jaws_y=(-27.3, 24.9), leaves=tips), mu=1.0)
    fluence = fluence_of(planned, machine(), pixel_mm=2.0)
    u, v = edges_u(fluence), edges_v(fluence)
    expected = sum(
        np.outer(
            covered(v, max(LEAF_EDGES[r], -27.3), min(LEAF_EDGES[r + 1], 24.9)),
            covered(u, max(tips[0, r], jaws[0]), min(tips[1, r], jaws[1])),
        )
        for r in range(7)
    )
    # float32 results
    np.testing.assert_allclose(fluence.values, expected, atol=2e-7)


def test_leaves_along_y_are_the_turned_picture() -> None:
    tips = leaves([-9.3, -3, -8, -20, 1, 0, -15], [4.2, 9, 3, 7, 8, 5, 2])
    planned = beam(point(0, leaves=tips))
    along_x = fluence_of(planned, machine(sources=FOCAL))
    turned = with_mlc(machine(sources=FOCAL), axis="y")
    swapped = replace(turned, jaws_x=turned.jaws_y, jaws_y=turned.jaws_x)
    along_y = fluence_of(replace(planned, leaf_axis="y"), swapped)
    np.testing.assert_array_equal(along_y.values, along_x.values.T)
    assert (along_y.u0, along_y.v0) == (along_x.v0, along_x.u0)


# ---- motion ---------------------------------------------------------------------------


def test_sliding_window_gives_gap_over_travel() -> None:
    # A 12 mm gap passes 90 mm at constant speed: where both tips pass, every point is open
    # for gap / travel of the time, whatever the sub-pixel positions.
    planned = beam(
        point(0, leaves=leaves(-50.3, -38.3)), point(1, leaves=leaves(39.7, 51.7)), mu=150.0
    )
    fluence = fluence_of(planned, machine())
    inside = np.abs(centres(edges_u(fluence))) < 35
    np.testing.assert_allclose(fluence.values[:, inside], 150 * 12 / 90, rtol=1e-6)


def test_sliding_window_dose_grows_by_the_leaf_gap_of_the_tips() -> None:
    planned = beam(point(0, leaves=leaves(-45, -39)), point(1, leaves=leaves(39, 45)), mu=1.0)
    wider = with_mlc(machine(), tip_offset_mm=0.85)
    bare, offset = (value_at(fluence_of(planned, m), 0.2, 0.2) for m in (machine(), wider))
    assert bare == pytest.approx(6 / 84, rel=1e-6)
    assert offset == pytest.approx((6 + 1.7) / 84, rel=1e-6)


def naive_motion(planned: Beam, fluence: Fluence, steps: int) -> NDArray[np.float64]:
    """Mean of the exact static coverage over many instants, opaque sharp collimators."""
    u, v = edges_u(fluence), edges_v(fluence)
    total = np.zeros(fluence.values.shape)
    for a, b in pairwise(planned.control_points):
        weight = planned.mu * (b.meterset_fraction - a.meterset_fraction) / steps
        for k in range(steps):
            t = (k + 0.5) / steps
            jx, jy = (
                np.array(getattr(a, n)) * (1 - t) + np.array(getattr(b, n)) * t
                for n in ("jaws_x", "jaws_y")
            )
            tips = a.leaves * (1 - t) + b.leaves * t  # type: ignore[operator]
            for r in range(LEAF_EDGES.size - 1):
                across = covered(v, max(LEAF_EDGES[r], jy[0]), min(LEAF_EDGES[r + 1], jy[1]))
                along = covered(u, max(tips[0, r], jx[0]), min(tips[1, r], jx[1]))
                total += weight * np.outer(across, along)
    return total


MOVING = beam(
    point(0, jaws_x=(-20, 20), jaws_y=(-28, 10), leaves=leaves(np.linspace(-35, 0, 7), 15)),
    point(0.3, jaws_x=(-26, 12), jaws_y=(-20, 26), leaves=leaves(-18, np.linspace(-10, 30, 7))),
    point(0.3, jaws_x=(-26, 12), jaws_y=(-20, 26), leaves=leaves(-30, -25)),
    point(1.0, jaws_x=(-26, 27), jaws_y=(-20, 26), leaves=leaves(20, 25)),
    mu=1.0,
)


def test_moving_leaves_between_fixed_jaws_are_exact() -> None:
    fixed = {"jaws_x": (-17.3, 18.1), "jaws_y": (-22.2, 23.7)}
    planned = replace(
        MOVING, control_points=tuple(replace(p, **fixed) for p in MOVING.control_points)
    )
    fluence = fluence_of(planned, machine())
    expected = naive_motion(planned, fluence, 400)
    # What is left is the reference's own error: 400 instants of an edge that crosses a
    # pixel in a tenth of an interval are good to about 1e-4.
    np.testing.assert_allclose(fluence.values, expected, atol=2e-4)


def test_jaws_that_move_with_the_leaves() -> None:
    fluence = fluence_of(MOVING, machine())
    expected = naive_motion(MOVING, fluence, 400)
    # Jaws across the leaves go in half-pixel steps, within which their motion does not
    # follow that of the leaves: a corner pixel may be off by some thousandths of the MU.
    np.testing.assert_allclose(fluence.values, expected, atol=4e-3)
    assert np.abs(fluence.values - expected).mean() < 1e-4
    assert integral(fluence) == pytest.approx(
        expected.sum() * fluence.pixel_u * fluence.pixel_v, rel=1e-4
    )


def test_step_and_shoot_is_the_sum_of_its_shapes() -> None:
    left, right = leaves(-30, -3.3), leaves(4.4, 25)
    both = beam(
        point(0, leaves=left),
        point(0.25, leaves=left),
        point(0.25, leaves=right),
        point(1, leaves=right),
        mu=80.0,
    )
    fluence = fluence_of(both, machine(sources=FOCAL))
    for tips, mu in ((left, 20.0), (right, 60.0)):
        alone = fluence_of(beam(point(0, leaves=tips), mu=mu), machine(sources=FOCAL))
        middle = float(tips.mean())
        # 1e-5: the other shape's penumbra is ten sigma away
        assert value_at(fluence, middle, 0) == pytest.approx(value_at(alone, middle, 0), rel=1e-5)


@given(mu=st.floats(0.1, 1000))
@settings(max_examples=10, deadline=None)
def test_fluence_is_proportional_to_mu(mu: float) -> None:
    model = machine(sources=FOCAL_AND_FILTER)
    one = fluence_of(replace(MOVING, mu=1.0), model, pixel_mm=4.0)
    many = fluence_of(replace(MOVING, mu=mu), model, pixel_mm=4.0)
    np.testing.assert_allclose(many.values, mu * one.values, rtol=1e-5, atol=1e-6 * mu)


def test_no_mu_no_fluence() -> None:
    assert beam_fluences(beam(point(0), mu=0.0), PatientPosition.HFS, machine()) == ()


# ---- finite sources -------------------------------------------------------------------


def crossing(position: NDArray[np.float64], value: NDArray[np.float64], level: float) -> float:
    """Position where a rising edge reaches a level, by linear interpolation."""
    i = int(np.argmax(value >= level))
    share = (level - value[i - 1]) / (value[i] - value[i - 1])
    return float(position[i - 1] + share * (position[i] - position[i - 1]))


@pytest.mark.parametrize(
    ("device", "distance"), [("jaws_x", 445.0), ("jaws_y", 357.0), ("leaves", 510.0)]
)
def test_penumbra_is_that_of_the_projected_source(device: str, distance: float) -> None:
    tips = leaves(-30, 30) if device == "leaves" else None
    wide = {"jaws_x": (-60.0, 60.0), "jaws_y": (-25.0, 25.0)}
    fluence = fluence_of(
        beam(point(0, leaves=tips, **wide), mu=1.0), machine(sources=FOCAL), pixel_mm=0.1
    )
    rows, columns = fluence.values.shape
    if device == "jaws_y":
        position, profile = centres(edges_v(fluence)), fluence.values[:, columns // 2]
    else:
        position, profile = centres(edges_u(fluence)), fluence.values[rows // 2]
    rising = position < 0
    width = crossing(position[rising], profile[rising], 0.8) - crossing(
        position[rising], profile[rising], 0.2
    )
    sigma = 1.2 * (1000 - distance) / distance
    # The 0.1 mm pixels and the interpolation between them add 0.1 % at most.
    assert width == pytest.approx(2 * NormalDist().inv_cdf(0.8) * sigma, rel=3e-3)
    edge = {"jaws_x": -60.0, "jaws_y": -25.0, "leaves": -30.0}[device]
    assert crossing(position[rising], profile[rising], 0.5) == pytest.approx(edge, abs=5e-3)


def naive_view(model: Machine, planned: Beam, x: float, y: float) -> float:
    """Share of the sources that a point of the isocentre plane sees, by rays.

    Leaves and jaws are opaque; rays run from a fine grid of source points, weighted
    with its Gaussian, and are followed to each collimator's plane.
    """
    state = planned.control_points[0]
    steps = (np.arange(2001) + 0.5) / 2001 * 12 - 6
    weights = np.exp(-(steps**2) / 2)
    weights /= weights.sum()
    total = 0.0
    for source in model.sources:

        def planned_position(
            target: float, sigma: float, distance: float, a: float = source.distance_mm
        ) -> NDArray[np.float64]:
            start = sigma * steps
            there = start + (target - start) * (distance - a) / (model.sad_mm - a)
            return there * model.sad_mm / distance

        assert model.jaws_x and model.jaws_y and model.mlc and state.leaves is not None
        at = planned_position(x, source.sigma_x_mm, model.jaws_x.distance_mm)
        open_x = (at > state.jaws_x[0]) & (at < state.jaws_x[1])  # type: ignore[index]
        at = planned_position(y, source.sigma_y_mm, model.jaws_y.distance_mm)
        open_y = (at > state.jaws_y[0]) & (at < state.jaws_y[1])  # type: ignore[index]
        tip = planned_position(x, source.sigma_x_mm, model.mlc.distance_mm)
        side = planned_position(y, source.sigma_y_mm, model.mlc.distance_mm)
        for r in range(LEAF_EDGES.size - 1):
            row = (side > LEAF_EDGES[r]) & (side < LEAF_EDGES[r + 1]) & open_y
            gap = (tip > state.leaves[0, r]) & (tip < state.leaves[1, r]) & open_x
            total += source.weight * weights[row].sum() * weights[gap].sum()
    return total


def test_two_sources_through_jaws_and_leaves_against_rays() -> None:
    # Jaws and leaf tips close to each other and at unlike distances, where a product of
    # blurred openings would be wrong: at a common edge it gives 0.25 instead of 0.5.
    tips = leaves([-12, -20, -20.5, -15, -25, -18, -8], [14, 8, 21, 20, 19.5, 3, 12])
    planned = beam(point(0, jaws_x=(-20, 20), jaws_y=(-22, 20.5), leaves=tips), mu=1.0)
    model = machine(sources=FOCAL_AND_FILTER)
    fluence = fluence_of(planned, model, pixel_mm=0.25)
    points = [(0, 0), (-20, -7), (20, -7), (19, 5), (-21.5, 0), (14, -22), (5, 20.5), (8.2, -15)]
    for x, y in [*points, (35, 3), (-3, 33), (3.3, 15.2)]:
        # 2e-3: means over 0.25 mm pixels, whose centre may lie 0.18 mm from the point, in
        # gradients of up to 0.4 per mm taken out by reading the pixel's own centre.
        i = int((x - fluence.u0) / fluence.pixel_u)
        j = int((y - fluence.v0) / fluence.pixel_v)
        u, v = centres(edges_u(fluence))[i], centres(edges_v(fluence))[j]
        assert fluence.values[j, i] == pytest.approx(naive_view(model, planned, u, v), abs=2e-3)


def test_common_edge_of_jaw_and_leaf_is_half_lit() -> None:
    planned = beam(point(0, jaws_x=(-20, 20), leaves=leaves(-20, 20)), mu=1.0)
    fluence = fluence_of(planned, machine(sources=FOCAL), pixel_mm=0.5)
    row = fluence.values[fluence.values.shape[0] // 2]
    u = centres(edges_u(fluence))
    outside, inside = (float(row[np.argmin(np.abs(u - x))]) for x in (-20.25, -19.75))
    # Outside the edge the less blurred leaf limits, inside the jaw.
    sigma_leaf, sigma_jaw = 1.2 * 490 / 510, 1.2 * 555 / 445
    assert outside == pytest.approx(0.5 - erf(0.25 / sigma_leaf / sqrt(2)) / 2, abs=1e-3)
    assert inside == pytest.approx(0.5 + erf(0.25 / sigma_jaw / sqrt(2)) / 2, abs=1e-3)


def test_second_source_makes_the_output_rise_with_the_field() -> None:
    model = load_machine("generic-6mv")
    axis = {}
    for side in (30.0, 40.0, 100.0, 200.0, 400.0):
        jaws = (-side / 2, side / 2)
        planned = beam(point(0, jaws_x=jaws, jaws_y=jaws), mu=1.0, energy_mv=6.0)
        axis[side] = value_at(fluence_of(planned, model), 0.1, 0.1)
    assert sorted(axis.values()) == list(axis.values())
    assert axis[400.0] == pytest.approx(1.0, abs=1e-3)
    # Published head scatter factors of such heads, relative to 10x10: about 0.96 at 4x4 and
    # 1.03 at 40x40 (e.g. Zhu et al., AAPM TG-74, Med Phys 36:5261 (2009)); loosely held.
    assert axis[40.0] / axis[100.0] == pytest.approx(0.96, abs=0.015)
    assert axis[400.0] / axis[100.0] == pytest.approx(1.03, abs=0.015)


def test_jaws_next_to_the_source_shade_more_than_far_ones() -> None:
    # Collimator exchange: seen from the axis, the upper jaws hide more of the second source
    # than the lower ones at the same setting.
    model = load_machine("generic-6mv")
    narrow_y = beam(point(0, jaws_x=(-150, 150), jaws_y=(-20, 20)), mu=1.0, energy_mv=6.0)
    narrow_x = beam(point(0, jaws_x=(-20, 20), jaws_y=(-150, 150)), mu=1.0, energy_mv=6.0)
    a, b = (value_at(fluence_of(planned, model), 0.1, 0.1) for planned in (narrow_y, narrow_x))
    assert a < b


def test_elliptic_source_turns_against_the_collimator() -> None:
    oval = (replace(FOCAL[0], sigma_x_mm=2.0, sigma_y_mm=0.5),)
    twin = with_jaws(machine(sources=oval, mlc=None), distance_mm=500.0)
    straight = fluence_of(beam(point(0), mu=1.0), twin)
    turned = fluence_of(beam(point(0, collimator_deg=90.0), mu=1.0), twin)
    np.testing.assert_allclose(turned.values, straight.values.T, atol=1e-6)
    assert straight.values.shape[1] > straight.values.shape[0]


def test_blur_conserves_the_light_of_the_focal_spot() -> None:
    planned = beam(point(0, jaws_x=(-13, 22), jaws_y=(-8, 31)), mu=1.0)
    fluence = fluence_of(planned, machine(sources=FOCAL, mlc=None), cutoff=1e-6)
    assert integral(fluence) == pytest.approx(35 * 39, rel=1e-5)


def test_coarse_pixels_of_a_wide_source_do_not_show() -> None:
    # A wide source is mapped on coarse pixels and interpolated; compare with the formula.
    wide = replace(FOCAL_AND_FILTER[1], weight=1.0)
    planned = beam(point(0, jaws_x=(-13, 22), jaws_y=(-18, 31)), mu=1.0)
    fluence = fluence_of(planned, machine(mlc=None, sources=(wide,)))

    def visible(
        x: NDArray[np.float64], jaws: tuple[float, float], d: float, sigma: float
    ) -> NDArray[np.float64]:
        zoom, blur = d * 875 / (1000 * (d - 125)), sigma * (1000 - d) / (d - 125)
        high, low = ((zoom * edge - x) / (blur * sqrt(2)) for edge in reversed(jaws))
        return np.array([(erf(b) - erf(a)) / 2 for a, b in zip(low, high, strict=True)])

    along = visible(centres(edges_u(fluence)), (-13, 22), 445.0, 15.0)
    across = visible(centres(edges_v(fluence)), (-18, 31), 357.0, 12.0)
    # Pixels h of an eighth of sigma, averaged and interpolated: h^2 / 6 times a curvature of
    # up to 0.5 / sigma^2 between two edges, 0.13 % of the open source, along one axis or both.
    np.testing.assert_allclose(fluence.values, np.outer(across, along), atol=2e-3)


# ---- transmission, profile, extent ----------------------------------------------------


def test_transmission_of_leaves_jaws_and_both() -> None:
    model = with_mlc(with_jaws(machine(), transmission=0.02), transmission=0.05)
    tips = leaves(-10, 10)
    planned = beam(point(0, jaws_x=(-25, 25), jaws_y=(-22, 22), leaves=tips), mu=1.0)
    fluence = fluence_of(planned, model)
    for (u, v), expected in {
        (0.5, 0.5): 1.0,
        (20.5, 0.5): 0.05,
        (30.5, 0.5): 0.02 * 0.05,
        (0.5, 27.5): 0.02,
        (20.5, 27.5): 0.02 * 0.05,
        (30.5, 27.5): 0.02 * 0.02 * 0.05,
        (0.5, 35.5): 0.0,  # beside the leaf bank
    }.items():
        assert value_at(fluence, u, v) == pytest.approx(expected, rel=1e-5, abs=1e-9), (u, v)


def test_transmission_through_blurred_edges_adds_up() -> None:
    # Every photon of the source either passes an opening or is transmitted: far from the
    # edges of jaws that cover half the plane, T everywhere plus (1 - T) times the light.
    model = with_jaws(machine(sources=FOCAL, mlc=None), transmission=0.1)
    opaque = machine(sources=FOCAL, mlc=None)
    planned = beam(point(0, jaws_x=(-20, 20), jaws_y=(-200, 200)), mu=1.0)
    leaky, tight = fluence_of(planned, model), fluence_of(planned, opaque)
    for u in (-23.5, -20.5, -19.5, 0.5, 21.5):
        assert value_at(leaky, u, 0.5) == pytest.approx(
            0.1 + 0.9 * value_at(tight, u, 0.5), abs=1e-3
        )


def test_map_reaches_as_far_as_the_transmission_matters() -> None:
    planned = beam(point(0), mu=1.0)
    leaky = with_jaws(machine(mlc=None), transmission=0.002)
    full = fluence_of(planned, leaky)
    assert edges_u(full)[[0, -1]] == pytest.approx([-200, 200])
    assert value_at(full, 150, 0) == pytest.approx(0.002, rel=1e-5)
    trimmed = fluence_of(planned, leaky, cutoff=0.003)
    assert edges_u(trimmed)[[0, -1]] == pytest.approx([-50, 50])
    assert (trimmed.values == 1).all()


def test_a_slit_does_not_make_the_pixels_small() -> None:
    tips = leaves(-20, -19.99)
    planned = beam(
        point(0, gantry_deg=0.0, gantry_direction="CW", leaves=tips),
        point(0.5, gantry_deg=10.0, gantry_direction="CW", leaves=tips),
        point(1, gantry_deg=20.0, leaves=leaves(-20, 20)),
    )
    slit = beam_fluences(planned, PatientPosition.HFS, machine(sources=FOCAL), arc_bin_deg=10)[0]
    assert slit.pixel_u == pytest.approx(1.0)
    # 50 MU through 0.01 mm by 60 mm
    assert integral(slit) == pytest.approx(50 * 0.01 * 60, rel=3e-3)


def test_tails_below_the_cutoff_are_left_off() -> None:
    model = machine(sources=FOCAL_AND_FILTER, mlc=None)
    for cutoff in (1e-2, 1e-3):
        fluence = fluence_of(beam(point(0), mu=1.0), model, cutoff=cutoff)
        border = np.concatenate(
            [fluence.values[0], fluence.values[-1], fluence.values[:, 0], fluence.values[:, -1]]
        )
        assert border.max() < 2 * cutoff  # one cutoff per source


def test_profile_multiplies_by_radius() -> None:
    horns = RadialProfile(np.array([0.0, 100.0]), np.array([1.0, 1.2]))
    fluence = fluence_of(beam(point(0), mu=1.0), machine(mlc=None, profile=horns), pixel_mm=0.5)
    # the value of a pixel is that of its centre, 0.25 mm off in u and v
    assert value_at(fluence, 40.1, 30.1) == pytest.approx(1 + 0.2 * 0.5, abs=1e-3)


def test_machine_spectrum_and_softening_travel_with_the_map() -> None:
    model = load_machine("generic-6mv")
    fluence = fluence_of(beam(point(0), energy_mv=6.0), model)
    assert fluence.spectrum is model.spectrum
    assert fluence.softening is model.softening


# ---- where it goes --------------------------------------------------------------------


def test_collimator_at_90_swaps_x_and_y() -> None:
    jaws = {"jaws_x": (-5.0, 35.0), "jaws_y": (-12.0, 4.0)}
    fluence = fluence_of(beam(point(0, collimator_deg=90.0, **jaws)), machine(mlc=None))
    u = (edges_u(fluence)[0] + edges_u(fluence)[-1]) / 2
    v = (edges_v(fluence)[0] + edges_v(fluence)[-1]) / 2
    middle = u * fluence.axes[0] + v * fluence.axes[1]
    # Supine, head first, from above: x of the collimator points to the head, y to the right.
    np.testing.assert_allclose(middle, [4.0, 0.0, 15.0], atol=1e-9)


def test_source_and_axes_belong_to_the_isocentre() -> None:
    fluence = fluence_of(
        beam(point(0, gantry_deg=90.0, isocentre=(7.0, -8.0, 9.0))), machine(mlc=None)
    )
    np.testing.assert_allclose(fluence.source, [1007, -8, 9], atol=1e-9)
    np.testing.assert_allclose(fluence.source + 1000 * fluence.axes[2], [7, -8, 9], atol=1e-9)


def test_jaws_the_plan_does_not_state_stand_at_the_limits() -> None:
    planned = beam(point(0, jaws_x=None, leaves=leaves(-20, 20)), mu=1.0)
    fluence = fluence_of(planned, with_mlc(machine(), transmission=0.01))
    assert edges_u(fluence)[[0, -1]] == pytest.approx([-200, 200])
    assert value_at(fluence, 100, 0) == pytest.approx(0.01)


def test_machine_without_x_jaws() -> None:
    planned = beam(point(0, jaws_x=None, leaves=leaves(-20, 20)), mu=1.0)
    model = machine(jaws_x=None, sources=FOCAL)
    sealed = fluence_of(planned, model)
    assert value_at(sealed, 0.1, 0.1) == pytest.approx(1)
    assert edges_u(sealed)[-1] < 30
    leaky = fluence_of(planned, with_mlc(model, transmission=0.01))
    assert edges_u(leaky)[[0, -1]] == pytest.approx([-200, 200])


def test_point_source_machine_is_ideal() -> None:
    model = point_source_machine(monoenergetic(2.0), 900.0)
    planned = beam(point(0, jaws_x=(-70, 10)), mu=1.0, energy_mv=2.0, sad_mm=900.0)
    fluence = fluence_of(planned, model)
    assert (fluence.values == 1).all()
    assert edges_u(fluence)[[0, -1]] == pytest.approx([-70, 10])
    assert fluence.sad_mm == 900.0


def test_bad_settings_and_geometry_are_refused() -> None:
    with pytest.raises(InputError, match="pixel_mm"):
        fluence_of(beam(point(0)), machine(), pixel_mm=0.0)
    with pytest.raises(InputError, match="arc bin"):
        fluence_of(beam(point(0)), machine(), arc_bin_deg=0.0)
    inside_source = replace(
        machine(sources=FOCAL_AND_FILTER, mlc=None), jaws_x=JawModel(100.0, 0.0, (-200.0, 200.0))
    )
    with pytest.raises(PhysicalDataError, match="between"):
        fluence_of(beam(point(0)), inside_source)
