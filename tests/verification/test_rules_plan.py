"""The plan's own numbers, and the planning system's dose against the plan's numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message
from dosecalc.model import Beam, ControlPoint, Dose, Grid, PatientPosition, Plan, Prescription
from dosecalc.verification.answers import without_answer
from dosecalc.verification.checks.plan import closure_findings
from dosecalc.verification.checks.reference import reference_findings
from dosecalc.verification.parts import beam_part, isocentre_part
from dosecalc.verification.tolerances import load_tolerances
from dosecalc.verification.verification import BeamRow, PointRow

LIMITS = load_tolerances()
ISOCENTRE = (10.0, -20.0, 5.0)
GRID = Grid.covering((-40.0, -60.0, -30.0), (60.0, 40.0, 50.0), (5.0, 5.0, 5.0))


def plan(dose_point: tuple[float, float, float] | None = ISOCENTRE, **prescription: object) -> Plan:
    """Two beams of 1 Gy each at a point, 30 fractions, 60 Gy prescribed."""
    control = tuple(
        ControlPoint(share, 0.0, 0.0, 0.0, ISOCENTRE, jaws_x=(-40.0, 40.0), jaws_y=(-40.0, 40.0))
        for share in (0, 1)
    )
    beams = tuple(
        Beam(
            number, f"b{number}", 6.0, "STANDARD", "L", 1000.0, 100.0, control,
            prescribed_dose_gy=1.0, dose_point=dose_point,
        )
        for number in (1, 2)
    )  # fmt: skip
    one = Prescription("60 Gy", 60.0, **prescription)  # type: ignore[arg-type]
    return Plan(beams, PatientPosition.HFS, 30, (one,), "P")


def at_isocentre(gray: float) -> tuple[Dose, tuple[PointRow, ...]]:
    dose = Dose(GRID, np.full(GRID.shape, gray, np.float32), "unknown")
    return dose, (PointRow(isocentre_part(1), ISOCENTRE, gray, 60.0),)


def against(given: Plan, gray: float, of_files: dict[int, float] | None = None) -> list[Finding]:
    dose, points = at_isocentre(gray)
    rows = [
        BeamRow(b.number, b.name, "", "", "", 100.0, "", "", "", ISOCENTRE, 1.0, None, 1.0)
        for b in given.beams
    ]
    return reference_findings(given, dose, (), points, rows, of_files or {}, LIMITS)


@pytest.mark.parametrize(
    ("point", "prescription", "judged"),
    [
        (ISOCENTRE, {"point": ISOCENTRE}, True),
        (ISOCENTRE, {"point": (10.0, -20.0, 5.5)}, True),
        (ISOCENTRE, {"point": (10.0, -20.0, 9.0)}, False),
        (ISOCENTRE, {"structure_number": 3}, False),
        (ISOCENTRE, {}, False),
        (None, {"point": ISOCENTRE}, False),
        (None, {}, False),
    ],
)
def test_closure_is_judged_where_both_are_at_one_point(
    point: tuple[float, float, float] | None, prescription: dict[str, object], judged: bool
) -> None:
    wrong = replace(plan(point, **prescription), fractions=29)
    (found,) = closure_findings(wrong, LIMITS)
    assert found.judged is judged
    assert found.outcome == (Outcome.REVIEW if judged else Outcome.PASS)
    assert found.value == pytest.approx(-100 / 30)
    lines = without_answer([found], compared=False)
    assert any(line.startswith("prescription consistency") for line in lines) is not judged


def test_beams_with_points_of_their_own_are_not_summed_up() -> None:
    given = plan(None)
    apart = tuple(replace(b, dose_point=(10.0 * b.number, 0.0, 0.0)) for b in given.beams)
    (found,) = closure_findings(replace(given, beams=apart), LIMITS)
    assert not found.judged


def test_twice_the_prescription_at_the_isocentre_is_said() -> None:
    found = against(plan(), 120.0)
    assert {f.outcome for f in found} == {Outcome.FAIL}
    at_point, of_beams = (f.message for f in found)
    assert at_point.values == {
        "reference": 120.0, "where": isocentre_part(1), "prescribed": 60.0, "percent": 100.0,
        "remark": None,
    }  # fmt: skip
    assert (of_beams.values["total"], of_beams.values["percent"]) == (60.0, 100.0)
    assert {f.outcome for f in against(plan(), 60.5)} == {Outcome.PASS}


def test_little_dose_at_an_isocentre_that_nothing_is_prescribed_to_is_shown() -> None:
    """Half-blocked fields of a breast share an isocentre at their edge."""
    found = against(plan(None), 13.0)
    assert {f.outcome for f in found} == {Outcome.PASS}
    assert found[0].value == pytest.approx(-78.33, abs=0.01)
    assert found[0].message.values["remark"] == Message("part.not_judged_isocentre")
    # A rule that judged nothing is named among what was not checked.
    shown = found[:1]
    assert not shown[0].judged
    assert any(
        one.startswith("reference against plan") for one in without_answer(shown, compared=True)
    )
    judged = against(plan(None, point=ISOCENTRE), 13.0)
    assert {f.outcome for f in judged} == {Outcome.FAIL}


@pytest.mark.parametrize(
    ("gray", "remark"), [(2.0, "part.one_fraction"), (1800.0, "part.all_fractions")]
)
def test_fractions_are_named_where_they_explain_the_dose(gray: float, remark: str) -> None:
    found = against(plan(), gray)
    assert {f.outcome for f in found} == {Outcome.FAIL}
    assert [f.message.values["remark"] for f in found] == [Message(remark)] * len(found)


def test_another_number_of_fractions_than_the_dose_has_is_found() -> None:
    """A plan of 25 fractions, the dose of 30: the beams' doses no longer add up."""
    given = replace(plan(), fractions=25, prescriptions=())
    (found,) = against(given, 60.0)
    assert found.outcome == Outcome.FAIL and found.value == pytest.approx(20.0)


def test_doses_of_single_beams_are_held_against_what_the_plan_states() -> None:
    found = against(plan(), 60.0, {1: 1.0, 2: 1.08})
    beyond = [f for f in found if f.outcome != Outcome.PASS]
    assert [f.message.values["beam"] for f in beyond] == [beam_part(2, "b2")]


def test_a_plan_that_states_nothing_leaves_the_rule_unasked() -> None:
    silent = replace(
        plan(), prescriptions=(),
        beams=tuple(replace(b, prescribed_dose_gy=None) for b in plan().beams),
    )  # fmt: skip
    found = against(silent, 120.0)
    assert found == []
    lines = without_answer(found, compared=True)
    assert any(line.startswith("reference against plan:") for line in lines)
    assert not any(line.startswith("gamma") for line in without_answer(found, compared=False))
