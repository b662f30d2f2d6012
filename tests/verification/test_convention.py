"""Dose to water and to medium are no difference; what is beyond both is one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from dosecalc.data.electrons import water_to_medium
from dosecalc.model import Dose, Grid, Phantom
from dosecalc.verification.comparison import Places, places_of
from dosecalc.verification.convention import in_the_other, is_doubtful
from dosecalc.verification.inputs import Evidence
from dosecalc.verification.tolerances import load_tolerances

GRID = Grid.covering((-60.0, -60.0, -30.0), (60.0, 60.0, 30.0), (4.0, 4.0, 4.0))
BONE = float(water_to_medium(("cortical_bone",))[0])


def phantom() -> Phantom:
    """Water, the half at x > 0 compact bone."""
    bone = np.broadcast_to(GRID.centres("x") > 0, GRID.shape)
    return Phantom(
        GRID,
        np.where(bone, 1.9, 1.0).astype(np.float32),
        bone.astype(np.uint8),
        ("water", "cortical_bone"),
    )


def compared(in_bone: float, dose_to: str) -> Places:
    """Places of a calculated 50 Gy to medium, and a reference that differs in the bone."""
    bone = GRID.centres("x") > 0
    given = np.broadcast_to(np.where(bone, in_bone, 50.0), GRID.shape)
    calculated = Dose(GRID, np.full(GRID.shape, 50.0, np.float32), "medium")
    evidence = SimpleNamespace(phantom=phantom(), calculated=calculated)
    reference = Dose(GRID, given.astype(np.float32), dose_to)
    return places_of(cast("Evidence", evidence), reference, 50.0, load_tolerances())


def test_water_over_bone_is_a_tenth() -> None:
    assert 1.09 < BONE < 1.13
    calculated = Dose(GRID, np.full(GRID.shape, 50.0, np.float32), "medium")
    other = in_the_other(calculated, phantom())
    assert other.dose_to == "water"
    assert np.unique(other.gray.round(3)) == pytest.approx([50.0, 50.0 * BONE], abs=2e-3)
    back = in_the_other(other, phantom())
    np.testing.assert_allclose(back.gray, calculated.gray, rtol=1e-6)


@pytest.mark.parametrize(
    ("in_bone", "dose_to", "difference"),
    [
        (50.0 * BONE, "unknown", 0.0),
        (52.0, "unknown", 0.0),
        (45.0, "unknown", 5.0),
        (50.0 * BONE + 5.0, "unknown", -5.0),
        (50.0 * BONE, "medium", 50.0 - 50.0 * BONE),
    ],
)
def test_what_lies_beyond_both_is_the_difference(
    in_bone: float, dose_to: str, difference: float
) -> None:
    found = compared(in_bone, dose_to).difference
    bone = np.broadcast_to(GRID.centres("x") > 0, GRID.shape)
    np.testing.assert_allclose(found[bone], difference, atol=1e-3)
    np.testing.assert_allclose(found[~bone], 0.0, atol=1e-3)


def test_doubt_is_where_nobody_says_that_both_are_the_same() -> None:
    medium, water, unknown = (
        Dose(GRID, np.ones(GRID.shape, np.float32), to) for to in ("medium", "water", "unknown")
    )
    assert not is_doubtful(medium, medium) and not is_doubtful(medium, None)
    assert is_doubtful(medium, water) and is_doubtful(medium, unknown)
