"""Errors of the reference's dose, each found by its own rules; right plans, none flagged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dosecalc.messages.findings import Outcome
from dosecalc.verification.evaluate import judge
from dosecalc.verification.inputs import Evidence
from dosecalc.verification.tolerances import load_tolerances
from tests.planted.clean import CLEAN, Clean
from tests.planted.doses import DOSE_ERRORS, DoseError
from tests.planted.table import expected_rows
from tests.planted.verifying import spoken

LIMITS = load_tolerances()


def _on(name: str, *what: object, ident: str) -> object:
    marks = (pytest.mark.samples,) if name == "lung" else ()
    return pytest.param(name, *what, id=f"{name}: {ident}", marks=marks)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        # In one of its patients in turn; the table of docs/verification.md has them all.
        _on(e.patients[n % len(e.patients)], e, ident=f"{e.name}, {e.size}")
        for n, e in enumerate(DOSE_ERRORS)
    ],
)
def test_errors_of_the_reference_are_found(
    name: str, error: DoseError, evidence: Callable[[str], Evidence]
) -> None:
    found = judge(error.plant(evidence(name)), LIMITS)
    assert found.outcome in (Outcome.REVIEW, Outcome.FAIL)
    assert spoken(found) >= set(error.rules)


@pytest.mark.parametrize(
    ("name", "clean"), [_on(name, c, ident=c.name) for c in CLEAN for name in c.patients]
)
def test_right_plans_are_not_flagged(
    name: str, clean: Clean, evidence: Callable[[str], Evidence]
) -> None:
    found = judge(clean.change(evidence(name)), LIMITS)
    assert [f.sentence for f in found.findings if f.outcome != Outcome.PASS] == []
    assert found.outcome == Outcome.PASS


def test_the_docs_say_what_has_to_find_each_error() -> None:
    shown = Path(__file__).parents[2].joinpath("docs", "verification.md").read_text("utf-8")
    assert "\n".join(expected_rows()) in shown, "print it with: python -m tests.planted.table"


def test_there_are_as_many_as_the_requirement_asks_for() -> None:
    assert len(DOSE_ERRORS) >= 30
    assert sum(len(clean.patients) for clean in CLEAN) >= 20
