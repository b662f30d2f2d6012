"""Whether a dose and a verdict are what was recorded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dosecalc.errors import GeometryError
from dosecalc.model import Dose, Grid
from dosecalc.records.reproduction import repeat_of_dose, repeat_of_verdict

GRID = Grid((2, 3, 4), (2.0, 3.0, 4.0), (10.0, 20.0, 30.0))


def dose(gray: np.ndarray | None = None, **words: object) -> Dose:
    values = np.full(GRID.shape, 50.0, np.float32) if gray is None else gray
    plain = {"uncertainty": None, "dose_to": "medium", "unit": "Gy", "summation": "PLAN"}
    return Dose(GRID, values, provenance={}, **(plain | words))  # type: ignore[arg-type]


def changed(by: float) -> np.ndarray:
    gray = np.full(GRID.shape, 50.0, np.float32)
    gray[1, 2, 3] += by
    return gray


def test_the_same_dose_is_identical() -> None:
    found = repeat_of_dose(dose(), dose())
    assert found.identical and found.is_equal
    assert (found.voxels, found.largest_percent) == (24, 0.0)


@pytest.mark.parametrize(("by", "equal"), [(0.049, True), (-0.049, True), (0.051, False)])
def test_the_tolerance_is_of_the_maximum(by: float, equal: bool) -> None:
    found = repeat_of_dose(dose(), dose(changed(by)))
    assert not found.identical
    assert found.is_equal == equal
    assert found.largest_percent == pytest.approx(100 * abs(by) / 50, rel=1e-3)
    assert found.at_mm == (16.0, 26.0, 34.0)
    assert (found.recorded, found.again) == (50.0, pytest.approx(50 + by))


def test_uncertainties_say_how_far_that_is() -> None:
    spread = np.full(GRID.shape, 0.3, np.float32)
    found = repeat_of_dose(dose(uncertainty=spread), dose(changed(0.6), uncertainty=spread))
    assert found.largest_sigma == pytest.approx(0.6 / (0.3 * 2**0.5), rel=1e-3)


@pytest.mark.parametrize("words", [{"dose_to": "water"}, {"summation": "FRACTION"}])
def test_doses_of_other_kinds_do_not_compare(words: dict[str, str]) -> None:
    with pytest.raises(GeometryError, match=next(iter(words))):
        repeat_of_dose(dose(), dose(**words))


def test_other_grids_do_not_compare() -> None:
    moved = replace(dose(), grid=replace(GRID, origin=(11.0, 20.0, 30.0)))
    with pytest.raises(GeometryError, match="the grid was"):
        repeat_of_dose(dose(), moved)


def verdict(*outcomes: tuple[str, str], whole: str = "REVIEW") -> dict[str, object]:
    found = [{"rule": r, "outcome": o, "sentence": f"{r} is {o}"} for r, o in outcomes]
    return {"outcome": whole, "findings": found}


def test_outcomes_of_rules_count_and_their_digits_do_not() -> None:
    then = verdict(("gamma", "REVIEW"), ("points", "PASS"))
    assert repeat_of_verdict(then, then).is_equal
    other = verdict(("gamma", "PASS"), ("points", "REVIEW"))
    found = repeat_of_verdict(then, other)
    assert not found.is_equal
    assert [line.partition(":")[0] for line in found.changes] == ["gamma", "points"]
    fewer = repeat_of_verdict(then, verdict(("gamma", "REVIEW")))
    assert fewer.changes == ("points: 1 findings, now 0",)
    assert not repeat_of_verdict(then, {**then, "outcome": "PASS"}).is_equal
