"""Objectives: their values by hand, and their gradients by differences."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.errors import InputError
from dosecalc.planning.objectives import Objective, StructureVoxels, objective_value

FRACTION = np.array([1.0, 1.0, 0.5, 0.5, 0.0])
PARTS = {"organ": StructureVoxels.from_fraction(FRACTION)}
DOSE = np.array([1.0, 2.0, 3.0, 4.0, 9.0])


def value(objective: Objective, dose: np.ndarray = DOSE) -> tuple[float, np.ndarray]:
    slope = np.empty(dose.size)
    return objective_value([objective], PARTS, dose, slope), slope


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        # Shares of the volume: 1/3, 1/3, 1/6, 1/6.
        (Objective("organ", "max", 2.0), (1 * 1 + 4 * 1) / 6),
        (Objective("organ", "min", 2.0, weight=3.0), 3 * 1 / 3),
        (Objective("organ", "uniform", 3.0), (4 + 1) / 3 + 1 / 6),
        (Objective("organ", "mean", 1.0), (1 / 3 + 2 / 3 + 3 / 6 + 4 / 6 - 1) ** 2),
        (Objective("organ", "mean", 5.0), 0.0),
        # A sixth may have more: the voxel of 4 Gy is let off.
        (Objective("organ", "max", 2.0, volume_percent=16.0), 5 / 6),
        (Objective("organ", "max", 2.0, volume_percent=20.0), 1 / 6),
        # Two thirds must have 3 Gy: the voxels of 3 and 4 Gy do, that of 2 Gy lacks 1.
        (Objective("organ", "min", 3.0, volume_percent=66.0), 1 / 3),
    ],
)
def test_values_by_hand(objective: Objective, expected: float) -> None:
    assert value(objective)[0] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["max", "min", "uniform", "mean"])
def test_slopes_are_differences(kind: str) -> None:
    objective = Objective("organ", kind, 2.3, weight=2.0)
    _, slope = value(objective)
    for n in range(DOSE.size):
        up, down = DOSE.copy(), DOSE.copy()
        up[n] += 1e-6
        down[n] -= 1e-6
        difference = (value(objective, up)[0] - value(objective, down)[0]) / 2e-6
        assert slope[n] == pytest.approx(difference, abs=1e-7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "least"},
        {"dose_gy": -1.0},
        {"weight": 0.0},
        {"kind": "mean", "volume_percent": 5.0},
        {"kind": "max", "volume_percent": 100.0},
    ],
)
def test_objectives_without_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="'organ'"):
        Objective(**({"structure": "organ", "kind": "max", "dose_gy": 1.0} | wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", ["dose_gy", "weight"])
def test_doses_and_weights_are_finite(name: str, value: float) -> None:
    with pytest.raises(InputError, match=r"'organ'.*finite"):
        Objective(**({"structure": "organ", "kind": "max", "dose_gy": 1.0} | {name: value}))  # type: ignore[arg-type]


def test_empty_structures_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"structure 'Cord' has no voxel"):
        StructureVoxels.from_fraction(np.zeros(4), "'Cord'")
    with pytest.raises(InputError, match=r"structure 'Cord': 1 volume fractions are not finite"):
        StructureVoxels.from_fraction(np.array([1.0, np.nan]), "'Cord'")
