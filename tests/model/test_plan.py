"""What plans, beams and control points refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dosecalc.errors import InputError
from dosecalc.model import Beam, ControlPoint, PatientPosition, Plan, Prescription

START = ControlPoint(
    meterset_fraction=0.0,
    gantry_deg=350.0,
    collimator_deg=0.0,
    couch_deg=0.0,
    isocentre=(0.0, 0.0, 0.0),
    jaws_x=(-50.0, 50.0),
    jaws_y=(-50.0, 50.0),
    leaves=np.array([[-10.0, -20.0], [10.0, 20.0]]),
)


def beam(**changes: Any) -> Beam:
    values: dict[str, Any] = {
        "number": 1,
        "name": "AP",
        "energy_mv": 6.0,
        "fluence_mode": "STANDARD",
        "machine_name": "TB1",
        "sad_mm": 1000.0,
        "mu": 100.0,
        "control_points": (START, replace(START, meterset_fraction=1.0)),
        "leaf_boundaries": np.array([-10.0, 0.0, 10.0]),
        "leaf_axis": "x",
    }
    return Beam(**{**values, **changes})


def test_angles_are_brought_into_one_turn() -> None:
    assert replace(START, gantry_deg=-10.0).gantry_deg == 350.0
    assert replace(START, couch_deg=360.0).couch_deg == 0.0


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"meterset_fraction": 1.1}, "1.1"),
        ({"gantry_deg": float("nan")}, "gantry_deg"),
        ({"isocentre": (0.0, 0.0)}, "x, y and z"),
        ({"jaws_x": (10.0, -10.0)}, "jaws_x"),
        ({"leaves": np.zeros((3, 2))}, r"\(3, 2\)"),
        ({"leaves": np.array([[0.0, 5.0], [1.0, 2.0]])}, "leaf pair 2"),
        ({"gantry_direction": "LEFT"}, "LEFT"),
    ],
)
def test_control_points_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        replace(START, **changes)


END = replace(START, meterset_fraction=1.0)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"mu": -1.0}, "-1.0 MU"),
        ({"fluence_mode": "FLAT"}, "FLAT"),
        ({"control_points": (START,)}, "two are needed"),
        ({"control_points": (START, replace(END, meterset_fraction=0.9))}, "not 0 to 1"),
        (
            {
                "control_points": (
                    START,
                    replace(END, meterset_fraction=0.6),
                    replace(END, meterset_fraction=0.4),
                    END,
                )
            },
            "falls",
        ),
        ({"control_points": (START, replace(END, leaves=None))}, "number of leaves"),
        ({"leaf_boundaries": None, "leaf_axis": None}, "together"),
        ({"leaf_boundaries": np.array([-10.0, 10.0])}, "2 leaf boundaries"),
        ({"leaf_axis": "z"}, "leaf axis"),
    ],
)
def test_beams_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        beam(**changes)


def test_plans_refused() -> None:
    position = PatientPosition.HFS
    with pytest.raises(InputError, match="not unique"):
        Plan(beams=(beam(), beam()), position=position)
    with pytest.raises(InputError, match="0 fractions"):
        Plan(beams=(beam(),), position=position, fractions=0)
    assert Plan(beams=(beam(), beam(number=2)), position=position).fractions is None


@pytest.mark.parametrize("fractions", [30.5, True, float("nan"), 0, -3])
def test_fractions_that_cannot_be_are_refused(fractions: float) -> None:
    with pytest.raises(InputError, match="fractions planned"):
        Plan((), PatientPosition.HFS, fractions)  # type: ignore[arg-type]
    whole = Plan((), PatientPosition.HFS, 30.0)  # type: ignore[arg-type]
    assert whole.fractions == 30 and isinstance(whole.fractions, int)


@pytest.mark.parametrize("dose", [-60.0, float("nan"), float("inf")])
def test_prescriptions_that_cannot_be_are_refused(dose: float) -> None:
    with pytest.raises(InputError, match="prescription to 'PTV'"):
        Prescription("PTV", dose)
