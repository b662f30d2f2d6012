"""Signed turns and techniques from control points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dosecalc.errors import InputError
from dosecalc.model import ControlPoint
from dosecalc.model.motion import collimator_turn_deg, gantry_turn_deg, technique_of


def point(fraction: float = 0.0, **changes: object) -> ControlPoint:
    start = ControlPoint(
        meterset_fraction=fraction,
        gantry_deg=0.0,
        collimator_deg=0.0,
        couch_deg=0.0,
        isocentre=(0.0, 0.0, 0.0),
        jaws_x=(-50.0, 50.0),
        jaws_y=(-50.0, 50.0),
        leaves=np.array([[-10.0, -20.0], [10.0, 20.0]]),
    )
    return replace(start, **changes)


@pytest.mark.parametrize(
    ("start", "stop", "direction", "turn"),
    [
        (181.0, 179.0, "CW", 358.0),  # over 270, 0 and 90: the long way round
        (179.0, 181.0, "CC", -358.0),
        (350.0, 10.0, "CW", 20.0),
        (10.0, 350.0, "CC", -20.0),
        (180.0, 180.0, "CW", 360.0),
        (180.0, 180.0, "CC", -360.0),
        (180.0, 180.0, "NONE", 0.0),
        (350.0, 10.0, "NONE", 20.0),
    ],
)
def test_gantry_turns_as_stated(start: float, stop: float, direction: str, turn: float) -> None:
    a = point(gantry_deg=start, gantry_direction=direction)
    assert gantry_turn_deg(a, point(1.0, gantry_deg=stop)) == pytest.approx(turn, abs=1e-9)


@pytest.mark.parametrize(
    ("start", "stop", "direction", "turn"),
    [(180.1, 187.5, "CC", 7.4), (179.9, 172.5, "CW", -7.4), (90.0, 90.0, "CW", -360.0)],
)
def test_collimator_rises_counter_clockwise(
    start: float, stop: float, direction: str, turn: float
) -> None:
    a = point(collimator_deg=start, collimator_direction=direction)
    assert collimator_turn_deg(a, point(1.0, collimator_deg=stop)) == pytest.approx(turn, abs=1e-9)


def test_half_turn_with_beam_on_needs_a_direction() -> None:
    a = point(gantry_deg=0.0)
    with pytest.raises(InputError, match="without a stated direction"):
        gantry_turn_deg(a, point(1.0, gantry_deg=180.0))
    assert abs(gantry_turn_deg(a, point(0.0, gantry_deg=180.0))) == 180.0


def test_unknown_direction_is_refused() -> None:
    with pytest.raises(InputError, match="CW, CC or NONE"):
        point(gantry_direction="clockwise")


OPEN = {"leaves": np.array([[-30.0, -30.0], [30.0, 30.0]])}


@pytest.mark.parametrize(
    ("points", "technique"),
    [
        ([point(0.0), point(1.0)], "STATIC"),
        ([point(0.0), point(0.5), point(0.5, **OPEN), point(1.0, **OPEN)], "STEP_AND_SHOOT"),
        ([point(0.0), point(1.0, **OPEN)], "SLIDING_WINDOW"),
        ([point(0.0), point(1.0, jaws_x=(-50.0, 40.0))], "SLIDING_WINDOW"),
        ([point(0.0, gantry_direction="CW"), point(1.0, gantry_deg=90.0)], "ARC"),
        ([point(0.0, gantry_direction="CW"), point(1.0)], "ARC"),
        ([point(0.0, gantry_direction="CW"), point(1.0, gantry_deg=90.0, **OPEN)], "VMAT"),
        (
            [point(0.0, gantry_direction="CW"), point(1.0, gantry_deg=9.0, collimator_deg=9.0)],
            "VMAT",
        ),
        (
            [point(0.0), point(0.5), point(0.5, gantry_deg=90.0), point(1.0, gantry_deg=90.0)],
            "STEP_AND_SHOOT",
        ),
    ],
)
def test_technique(points: list[ControlPoint], technique: str) -> None:
    assert technique_of(points) == technique


def test_rounding_is_not_motion() -> None:
    nearly = point(1.0, gantry_deg=5e-9, jaws_x=(-50.0, 50.00001))
    assert technique_of([point(0.0), nearly]) == "STATIC"
