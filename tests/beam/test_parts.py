"""Arcs cut into short ones: the same machine states and MU, in pieces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dosecalc.beam.parts import short_arcs
from dosecalc.data.machines import load_machine
from dosecalc.engines.pencil_beam import PencilBeamSettings, compute
from tests.engines.cases import SIX_MV, beam, cube, plan


def test_a_beam_that_stands_still_stays_whole() -> None:
    still = beam(SIX_MV, mu=80.0)
    (part,) = short_arcs(still, 20.0)
    assert part.mu == 80.0
    assert [p.gantry_deg for p in part.control_points] == [0.0, 0.0]


@pytest.mark.parametrize("ends", [(350.0, 100.0), (0.0, 0.0)])
def test_an_arc_of_two_control_points_is_cut_by_angle(ends: tuple[float, float]) -> None:
    whole = beam(SIX_MV, mu=60.0, gantry_deg=ends[0], arc_to_deg=ends[1])
    turn = (ends[1] - ends[0]) % 360 or 360
    parts = short_arcs(whole, 25.0)
    assert sum(part.mu for part in parts) == pytest.approx(60.0)
    assert len(parts) == int(np.ceil(turn / 25.0))
    for n, part in enumerate(parts):
        first, last = (part.control_points[k].gantry_deg for k in (0, -1))
        assert first == pytest.approx((ends[0] + n * turn / len(parts)) % 360)
        assert (last - first) % 360 == pytest.approx(turn / len(parts))
        assert part.mu == pytest.approx(60.0 / len(parts))


def test_parts_without_mu_are_left_out() -> None:
    whole = beam(SIX_MV, mu=50.0, gantry_deg=0.0, arc_to_deg=30.0)
    first, last = whole.control_points
    middle = replace(first, gantry_deg=15.0, meterset_fraction=0.0)
    parts = short_arcs(replace(whole, control_points=(first, middle, last)), 10.0)
    assert sum(part.mu for part in parts) == pytest.approx(50.0)
    assert min(p.gantry_deg for part in parts for p in part.control_points) >= 15.0


def test_the_parts_give_the_dose_of_the_whole() -> None:
    """Leaves and collimator move on the way; bins of 4 degrees start anew with each part: 0.5 %."""
    machine = load_machine("generic-6mv")
    assert machine.mlc is not None
    count = machine.mlc.boundaries_mm.size - 1
    leaves = np.stack([np.full(count, -15.0), np.full(count, 15.0)])
    whole = beam(
        machine, (-30, 30, -30, 30), mu=100.0, gantry_deg=10.0, arc_to_deg=58.0, leaves=leaves
    )
    start, stop = whole.control_points
    stop = replace(stop, leaves=leaves + 8.0)
    whole = replace(whole, control_points=(start, stop))
    water, settings = cube(30, 8.0), PencilBeamSettings()
    together = compute(water, plan(whole), machine, settings).gray
    parts = short_arcs(whole, 16.0)
    assert len(parts) == 3
    apart = sum(compute(water, plan(part), machine, settings).gray for part in parts)
    assert np.abs(apart - together).max() < 0.005 * together.max()
