"""An arc: what hides in a dose from all sides is still found, in its beam."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dosecalc.messages.findings import Outcome
from tests.planted.errors import PLAN_ERRORS
from tests.planted.patients import Patient
from tests.planted.verifying import planted_in, spoken, verified

# Its jaws are a square, its leaves are the same on both sides of the middle: others show in
# `test_planted_errors`.
NAMES = ("one MLC bank 1 mm off", "both MLC banks 0.5 mm open", "MU x 1.05", "isocentre +5 mm")


def test_the_right_arc_has_no_error_of_place(arc: Patient) -> None:
    found = verified(arc.folder, arc.words)
    assert not spoken(found) & {
        "beam fit",
        "gamma",
        "largest connected failing volume",
        "displacement",
    }
    fitted = [f for f in found.findings if f.rule == "beam fit"]
    # MU, place, turn and width: all are asked of an arc, and none is far from nothing.
    assert len(fitted) == 4
    assert max(np.abs([f.value for f in fitted])) < 2.5
    assert not any("turn while they are on" in line for line in found.not_checked)


@pytest.mark.parametrize("name", NAMES)
def test_errors_of_an_arc_are_found(arc: Patient, name: str, tmp_path: Path) -> None:
    (error,) = (one for one in PLAN_ERRORS if one.name == name)
    found = planted_in(arc, error, tmp_path / "patient")
    assert found.outcome in (Outcome.REVIEW, Outcome.FAIL)
    assert spoken(found) >= set(error.rules)
