"""A bolus of the plan is in the phantom, or nothing is calculated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dosecalc.beam import check_bolus
from dosecalc.engines import collapsed_cone, monte_carlo, pencil_beam
from dosecalc.errors import InputError
from dosecalc.model import Grid, PatientPosition, Phantom, Plan
from tests.beam.examples import beam, machine, point


def plan(*boluses: tuple[int, ...]) -> Plan:
    beams = tuple(beam(point(0), number=n, bolus=bolus) for n, bolus in enumerate(boluses, start=1))
    return Plan(beams, PatientPosition.HFS)


def test_boluses_that_are_there_pass() -> None:
    check_bolus(plan((), ()), ())
    check_bolus(plan((), ()), (7,))  # what the user adds to a plan that names none
    check_bolus(plan((7,), (7,)), (7, 9))


def test_a_bolus_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match=r"beam 2 \(AP\).*ROI 9, 'skin'; name it with --bolus"):
        check_bolus(plan((7,), (7, 9)), (7,), {7: "flap", 9: "skin"})
    with pytest.raises(InputError, match="ROI 9, which the structure set does not have"):
        check_bolus(plan((9,)), (), {7: "flap"})


def test_beams_that_differ_in_their_bolus_are_calculated_apart() -> None:
    with pytest.raises(InputError, match=r"beams 1: ROI 7; beams 2: none.*--without-beam"):
        check_bolus(plan((7,), ()), (7,))


@pytest.mark.parametrize("engine", [pencil_beam, collapsed_cone, monte_carlo])
def test_no_engine_leaves_a_bolus_out(engine) -> None:
    grid = Grid((2, 2, 2), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0))
    water = Phantom(
        grid, np.ones(grid.shape, np.float32), np.zeros(grid.shape, np.uint8), ("water",)
    )
    with pytest.raises(InputError, match="bolus ROI 7"):
        engine.compute(replace(water, bolus=(9,)), plan((7,)), machine())
