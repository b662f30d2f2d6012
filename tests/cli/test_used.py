"""Which structures count as used: a couch with another density than was recorded does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dosecalc.model import Contour, Structure, StructureSet
from dosecalc.patient.overrides import Override
from dosecalc.verification.checks.inputs import input_findings, unused_structures
from dosecalc.workflow.examine import used_structures
from dosecalc.workflow.requests import DoseRequest

SQUARE = Contour(0.0, np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
DRAWN = StructureSet(
    (
        Structure(1, "BODY", "EXTERNAL", (SQUARE,)),
        Structure(2, "COUCH", "SUPPORT", (SQUARE,), density=0.4),
        Structure(3, "BOLUS", "BOLUS", (SQUARE,)),
    )
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, ["COUCH: the planning system recorded 0.4 g/cm3", "BOLUS is drawn as BOLUS"]),
        ({"couch": ("COUCH",), "bolus": ("BOLUS",)}, ["COUCH: the planning system recorded"]),
        ({"couch": ("COUCH",), "bolus": ("BOLUS",), "recorded_densities": True}, []),
        (
            {"couch": ("COUCH",), "bolus": ("BOLUS",), "overrides": {"COUCH": Override(0.3)}},
            [],
        ),
    ],
)
def test_a_recorded_density_of_the_couch_is_used_or_said(
    words: dict[str, object], said: list[str]
) -> None:
    options = DoseRequest.from_words(path=Path("case"), **words)  # type: ignore[arg-type]
    found = input_findings(
        DRAWN,
        None,
        used=used_structures(options, DRAWN),
        recorded_used=options.phantom.recorded_densities,
    )
    assert len(found) == len(said)
    for one, start in zip(found, said, strict=True):
        assert one.sentence.startswith(start)


def test_what_is_drawn_and_not_used_is_named_with_its_option() -> None:
    assert unused_structures(DRAWN, ["COUCH"]) == (
        "BOLUS is drawn as BOLUS and was not used; name it with --bolus",
    )
    assert len(unused_structures(DRAWN, [])) == 2
    assert unused_structures(None, []) == ()
