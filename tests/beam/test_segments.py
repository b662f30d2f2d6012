"""How a beam is cut: MU conserved, angles weighted by MU, nothing merged that must not be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dosecalc.beam import Fluence, beam_fluences, beam_segments
from dosecalc.data.machines import load_machine
from dosecalc.errors import InputError
from dosecalc.model import Beam, PatientPosition
from tests.beam.examples import FOCAL, beam, integral, leaves, machine, point, value_at


def total_mu(planned: Beam, arc_bin_deg: float) -> float:
    return sum(p.mu for s in beam_segments(planned, arc_bin_deg) for p in s.parts)


def test_beam_that_stands_still_is_one_segment_at_its_own_angles() -> None:
    planned = beam(*(point(f, gantry_deg=33.3, collimator_deg=270.1) for f in (0, 0.2, 0.7, 1)))
    (segment,) = beam_segments(planned, 2.0)
    assert (segment.gantry_deg, segment.collimator_deg) == (33.3, 270.1)
    assert [p.interval for p in segment.parts] == [0, 1, 2]
    assert [p.mu for p in segment.parts] == pytest.approx([20, 50, 30])


@given(
    start=st.floats(0, 359),
    way=st.floats(-359, 359).filter(lambda w: abs(w) > 1),
    fractions=st.lists(st.floats(0.01, 0.99), max_size=6),
    width=st.floats(0.7, 50),
)
@settings(max_examples=50, deadline=None)
def test_arcs_conserve_mu_and_its_mean_angle(
    start: float, way: float, fractions: list[float], width: float
) -> None:
    shares = [0.0, *sorted(fractions), 1.0]
    sense = "CW" if way > 0 else "CC"
    planned = beam(
        *(
            point(f, gantry_deg=start + way * i / (len(shares) - 1), gantry_direction=sense)
            for i, f in enumerate(shares)
        )
    )
    segments = beam_segments(planned, width)
    assert total_mu(planned, width) == pytest.approx(100, rel=1e-9)
    assert len(segments) <= np.ceil(abs(way) / width - 1e-6) + 1e-9
    # MU-weighted mean of the angle, undone of its jumps at 360 degrees
    steps = np.linspace(0, way, len(shares))
    expected = np.sum(np.diff(shares) * (steps[1:] + steps[:-1]) / 2)
    found = 0.0
    for segment in segments:
        turned = (segment.gantry_deg - start) % 360.0
        turned = turned if way > 0 else turned - 360.0
        found += turned * sum(p.mu for p in segment.parts) / 100
    assert found == pytest.approx(expected, abs=1e-6)


def test_arc_bins_split_intervals_where_they_cross() -> None:
    planned = beam(
        point(0, gantry_deg=350.0, gantry_direction="CW"),
        point(0.5, gantry_deg=355.0, gantry_direction="CW"),
        point(1, gantry_deg=10.0),
    )
    # 20 degrees in 2 bins: 350-360 and 0-10. The second interval crosses after a third.
    first, second = beam_segments(planned, 10.0)
    assert [(p.interval, p.start, p.stop) for p in first.parts] == [
        (0, 0.0, 1.0),
        (1, 0.0, pytest.approx(1 / 3)),
    ]
    # 50 MU around 352.5 and 50/3 around 357.5
    assert first.gantry_deg == pytest.approx((50 * 352.5 + 50 / 3 * 357.5) / (50 + 50 / 3))
    assert second.gantry_deg == pytest.approx(5.0)
    assert second.parts[0].mu == pytest.approx(100 / 3)


def test_sense_decides_which_way_round() -> None:
    for sense, expected in (("CW", 45.0), ("CC", 225.0)):
        planned = beam(point(0, gantry_deg=0.0, gantry_direction=sense), point(1, gantry_deg=90.0))
        (segment,) = beam_segments(planned, 400.0)
        assert segment.gantry_deg == pytest.approx(expected)


def test_full_turn_with_equal_angles() -> None:
    planned = beam(point(0, gantry_deg=180.0, gantry_direction="CC"), point(1, gantry_deg=180.0))
    segments = beam_segments(planned, 4.0)
    assert len(segments) == 90
    assert {round(sum(p.mu for p in s.parts), 9) for s in segments} == {round(100 / 90, 9)}


def test_gantry_that_moves_while_the_beam_is_off() -> None:
    planned = beam(
        point(0, gantry_deg=10.0),
        point(0.4, gantry_deg=10.0, gantry_direction="CW"),
        point(0.4, gantry_deg=100.0),
        point(1, gantry_deg=100.0),
    )
    found = [(s.gantry_deg, sum(p.mu for p in s.parts)) for s in beam_segments(planned, 2.0)]
    assert found == [(10.0, pytest.approx(40)), (100.0, pytest.approx(60))]


def test_collimator_that_turns_with_the_beam_on_is_cut_too() -> None:
    planned = beam(
        point(0, collimator_deg=350.0, collimator_direction="CC"), point(1, collimator_deg=2.0)
    )
    segments = beam_segments(planned, 4.0)
    assert [s.collimator_deg for s in segments] == pytest.approx([352, 356, 0], abs=1e-9)
    assert [s.gantry_deg for s in segments] == [0, 0, 0]
    assert total_mu(planned, 4.0) == pytest.approx(100)


def test_half_turn_without_sense_is_refused() -> None:
    with pytest.raises(InputError, match="CW or CC"):
        beam_segments(beam(point(0, gantry_deg=0.0), point(1, gantry_deg=180.0)), 2.0)


@pytest.mark.compiled
def test_binned_arc_carries_all_its_light() -> None:
    # A fixed aperture: whatever the bins, the maps add up to the same integral.
    planned = beam(
        point(0, gantry_deg=170.0, gantry_direction="CC", leaves=leaves(-20, 15)),
        point(0.3, gantry_deg=100.0, gantry_direction="CC", leaves=leaves(-20, 15)),
        point(1, gantry_deg=190.0, leaves=leaves(-20, 15)),
    )
    still = replace(
        planned,
        control_points=tuple(
            replace(p, gantry_deg=0.0, gantry_direction="NONE") for p in planned.control_points
        ),
    )
    model = machine(sources=FOCAL)
    (one,) = beam_fluences(still, PatientPosition.HFS, model)
    for width in (3.0, 11.0, 400.0):
        maps = beam_fluences(planned, PatientPosition.HFS, model, arc_bin_deg=width)
        assert sum(integral(m) for m in maps) == pytest.approx(integral(one), rel=1e-6)


@pytest.mark.compiled
def test_moving_leaves_reach_the_same_total_in_any_binning() -> None:
    planned = beam(
        point(0, gantry_deg=0.0, gantry_direction="CW", leaves=leaves(-25, -5)),
        point(1, gantry_deg=40.0, leaves=leaves(5, 28)),
    )
    model = replace(load_machine("generic-6mv"), profile=None, mlc=machine().mlc)
    planned = replace(planned, energy_mv=6.0)
    totals = [
        sum(
            integral(m)
            for m in beam_fluences(planned, PatientPosition.HFS, model, arc_bin_deg=width)
        )
        for width in (2.0, 10.0, 50.0)
    ]
    # 2e-3: each map ends where it falls below the cutoff, so narrower shapes lose a little
    np.testing.assert_allclose(totals, totals[0], rtol=2e-3)


def summed_in_air(maps: tuple[Fluence, ...], place: NDArray[np.float64]) -> float:
    """Fluence at a point in the patient, nothing in between, MU."""
    total = 0.0
    for fluence in maps:
        ray = place - fluence.source
        depth = float(fluence.axes[2] @ ray)
        u, v = fluence.axes[:2] @ ray * fluence.sad_mm / depth
        total += value_at(fluence, u, v) * fluence.sad_mm**2 / float(ray @ ray)
    return total


@pytest.mark.compiled
def test_binning_error_of_an_arc() -> None:
    # A quarter arc with moving leaves, against bins of 0.1 degrees. Where the field always
    # covers the point only the distance to the source differs, to second order in the bin;
    # where leaves sweep over it, a bin of width d blurs the sweep by distance * d / 2.
    planned = beam(
        point(0, gantry_deg=0.0, gantry_direction="CW", leaves=leaves(-25, 10)),
        point(0.5, gantry_deg=45.0, gantry_direction="CW", leaves=leaves(-10, 28)),
        point(1, gantry_deg=90.0, leaves=leaves(-28, 15)),
    )
    model = machine(sources=FOCAL)

    def at(place: tuple[float, float, float], width: float) -> float:
        maps = beam_fluences(planned, PatientPosition.HFS, model, arc_bin_deg=width)
        return summed_in_air(maps, np.array(place))

    inside, swept = (2.0, -3.0, 1.0), (20.0, 30.0, -5.0)
    exact_inside, exact_swept = at(inside, 0.1), at(swept, 0.1)
    for width, error in ((2.0, 1e-3), (4.0, 2e-3)):
        assert at(inside, width) == pytest.approx(exact_inside, rel=error)
    # 100 MU over 90 degrees: half a bin of 2 degrees is 1.1 MU, of 4 degrees 2.2 MU.
    for width in (2.0, 4.0):
        assert at(swept, width) == pytest.approx(exact_swept, abs=100 * width / 90 / 2)
