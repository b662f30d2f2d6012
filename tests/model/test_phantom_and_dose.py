"""What phantoms and doses refuse, and that nobody can change them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dosecalc.errors import InputError
from dosecalc.model import Dose, Grid, Phantom

GRID = Grid((2, 3, 4), (1.0, 2.0, 5.0), (0.0, 0.0, 0.0))


def phantom(**changes: Any) -> Phantom:
    values: dict[str, Any] = {
        "density": np.ones(GRID.shape, np.float32),
        "material": np.zeros(GRID.shape, np.uint8),
        "materials": ("water",),
    }
    return Phantom(grid=GRID, **{**values, **changes})


def test_mass_is_density_times_volume() -> None:
    assert phantom(density=np.full(GRID.shape, 2.0)).mass_g == pytest.approx(0.02)


def test_arrays_are_read_only_and_the_callers_stay_writable() -> None:
    density = np.ones(GRID.shape, np.float32)
    made = phantom(density=density)
    with pytest.raises(ValueError, match="read-only"):
        made.density[0, 0, 0] = 2
    density[0, 0, 0] = 3
    gray = Dose(GRID, np.zeros(GRID.shape, np.float32), "medium").gray
    assert not gray.flags.writeable and gray.flags.c_contiguous


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"density": np.full(GRID.shape, -0.1)}, "negative"),
        ({"density": np.full(GRID.shape, np.nan)}, "24 values"),
        ({"density": np.ones((2, 3, 5))}, r"\(2, 3, 5\)"),
        ({"density": np.ones((2, 3))}, "2 axes"),
        ({"material": np.ones(GRID.shape, np.uint8)}, "index 1"),
        ({"source": np.zeros((1, 1, 1), np.uint8)}, "source"),
    ],
)
def test_phantoms_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        phantom(**changes)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"dose_to": "tissue"}, "tissue"),
        ({"unit": "cGy"}, "cGy"),
        ({"gray": np.zeros((1, 1, 1))}, r"\(1, 1, 1\)"),
        ({"gray": np.full(GRID.shape, np.inf)}, "finite"),
        ({"uncertainty": np.zeros((2, 3, 3))}, "uncertainty"),
    ],
)
def test_doses_refused(changes: dict[str, Any], match: str) -> None:
    values: dict[str, Any] = {"gray": np.zeros(GRID.shape), "dose_to": "medium"}
    with pytest.raises(InputError, match=match):
        Dose(grid=GRID, **{**values, **changes})


def test_provenance_cannot_be_changed() -> None:
    source = {"seed": 1}
    dose = Dose(GRID, np.zeros(GRID.shape), "medium", provenance=source)
    source["seed"] = 2
    assert dose.provenance["seed"] == 1
    with pytest.raises(TypeError):
        dose.provenance["seed"] = 3  # type: ignore[index]


def test_a_scaled_dose_keeps_its_relative_uncertainty() -> None:
    """30 fractions of 2 +- 0.1 Gy as calculated once are 60 +- 3 Gy: 5 % of either."""
    gray, spread = np.full(GRID.shape, 2.0), np.full(GRID.shape, 0.1)
    one = Dose(GRID, gray, "medium", uncertainty=spread, summation="FRACTION")
    whole = one.scaled(30, summation="PLAN")
    assert whole.summation == "PLAN" and one.scaled(2.0).summation == "FRACTION"
    assert whole.uncertainty is not None
    np.testing.assert_allclose(whole.gray, 60.0, rtol=1e-6)
    np.testing.assert_allclose(whole.uncertainty, 3.0, rtol=1e-6)
    assert Dose(GRID, gray, "medium").scaled(30).uncertainty is None
    for factor in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="must be zero or more"):
            one.scaled(factor)
