"""Couch and bolus are no patient: what a reference has there, or has not, is compared nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.model import (
    Contour,
    Dose,
    Grid,
    PatientPosition,
    Phantom,
    Plan,
    Structure,
    StructureSet,
)
from dosecalc.verification.beside_patient import beside_patient
from dosecalc.verification.inputs import Evidence
from dosecalc.verification.where import patient_voxels

GRID = Grid.covering((-60.0, -60.0, -30.0), (60.0, 60.0, 30.0), (4.0, 4.0, 6.0))
PLANES = np.arange(-27.0, 30.0, 6.0)


def slab(name: str, kind: str, number: int, y: tuple[float, float], x: float = 40.0) -> Structure:
    corners = np.array([(-x, y[0]), (x, y[0]), (x, y[1]), (-x, y[1])])
    return Structure(number, name, kind, tuple(Contour(float(z), corners) for z in PLANES))


BODY = slab("BODY", "EXTERNAL", 1, (-40.0, 20.0))
COUCH = slab("COUCH", "SUPPORT", 2, (20.0, 40.0))
# Of a type that is no tissue, and drawn in the body.
PACEMAKER = slab("PACEMAKER", "FIXATION", 3, (-20.0, -12.0), x=8.0)


def evidence(*drawn: Structure, apart: tuple[str, ...] = ()) -> Evidence:
    y = GRID.centres("y")[:, None]
    held = (y > -40) & (y < 40) & (np.abs(GRID.centres("x")) < 40)
    density = np.where(np.broadcast_to(held, GRID.shape), 1.0, 0.0012).astype(np.float32)
    phantom = Phantom(GRID, density, np.zeros(GRID.shape, np.uint8), ("water",))
    plan = Plan(beams=(), position=PatientPosition.HFS, fractions=1)
    return Evidence(
        label="",
        plan=plan,
        phantom=phantom,
        machines={},
        ct=None,
        structures=StructureSet(drawn),
        calculated=Dose(GRID, np.ones(GRID.shape, np.float32), "medium"),
        beam_doses={},
        reference=None,
        apart=apart,
    )


@pytest.mark.parametrize("apart", [(), ("COUCH",)])
def test_the_couch_is_left_out_and_the_body_is_not(apart: tuple[str, ...]) -> None:
    given = evidence(BODY, COUCH, PACEMAKER, apart=apart)
    found = beside_patient(given)
    assert found.names == {"COUCH"}
    y, x = GRID.centres("y")[:, None], GRID.centres("x")
    body = (y > -40) & (y < 20) & (np.abs(x) < 40)
    expected = np.broadcast_to(body, GRID.shape)
    assert np.array_equal(patient_voxels(given.phantom, GRID, found.voxels), expected)


def test_without_a_body_only_what_is_named_is_left_out() -> None:
    assert beside_patient(evidence(COUCH, PACEMAKER)) == (None, frozenset())
    assert beside_patient(evidence(COUCH, PACEMAKER, apart=("COUCH",))).names == {"COUCH"}


def test_what_lies_in_the_body_is_the_patients_whatever_its_type() -> None:
    found = beside_patient(evidence(BODY, PACEMAKER))
    assert found.voxels is None and not found.names
