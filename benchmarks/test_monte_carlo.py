"""Efficiency of the Monte Carlo engine on W1, and how it scales.

Efficiency is 1 / (s^2 T): s the root mean square relative uncertainty of the voxels above half
the maximum, T the wall time. It does not depend on the number of histories. The baseline is
the same transport without its variance reduction, run to the same uncertainty.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.conftest import Baseline, Timing
from dosecalc.engines.monte_carlo import MonteCarloSettings, compute
from dosecalc.model import Dose, Grid
from dosecalc.patient.recipe import Recipe, build_case, load_recipe

PLAIN = MonteCarloSettings(splitting=1, confined_mev=0.0)
# On two cores, warm and quiet; what the project asks for.
LEAST_EFFICIENCY = 15.0


def w1_recipe(side_mm: float = 300.0, voxel_mm: float = 2.5) -> Recipe:
    """W1, also in other sizes; the surface stays at y = 0."""
    half = side_mm / 2
    steps = (voxel_mm, voxel_mm, voxel_mm)
    grid = Grid.covering((-half, 0.0, -half), (half, side_mm, half), steps)
    return replace(load_recipe("w1-water-box"), grid=grid)


def dose_of(recipe: Recipe, settings: MonteCarloSettings) -> Dose:
    phantom, plan, machine = build_case(recipe)
    return compute(phantom, plan, machine, settings)


def uncertainty(dose: Dose) -> float:
    """Root mean square relative uncertainty of the voxels above half the maximum."""
    return float(dose.provenance["uncertainty_above_half_maximum"])


def plain_efficiency(recipe: Recipe, histories: int) -> float:
    start = time.perf_counter()
    dose = dose_of(recipe, replace(PLAIN, histories=histories))
    return 1 / (uncertainty(dose) ** 2 * (time.perf_counter() - start))


def _time_it(timed: Timing, recipe: Recipe, histories: int, threads: int) -> tuple[float, float]:
    """Return the efficiency, and that of the plain transport."""
    settings = MonteCarloSettings(histories=histories)
    reached: list[float] = []

    def work() -> None:
        reached.append(uncertainty(dose_of(recipe, settings)))

    work()
    # Many more, so that setting up counts as little in its longer run.
    plain = plain_efficiency(recipe, max(4 * histories, 200_000))
    found: list[float] = []

    def info(median: float) -> dict[str, Any]:
        found.append(1 / (reached[-1] ** 2 * median))
        return {
            "threads": threads,
            "efficiency_per_s": found[-1],
            "histories_per_s": histories / median,
            "uncertainty": reached[-1],
            "tallies_mb": (threads + 2) * 8e-6 * recipe.grid.shape[0] ** 3,
        }

    text = "without variance reduction, to the same uncertainty"
    timed(work, Baseline(text, 1 / (reached[0] ** 2 * plain)), info)
    return found[-1], plain


@pytest.mark.parametrize("which", ["one", "all"])
def test_w1(timed: Timing, use_threads: Callable[[str], int], which: str) -> None:
    """Variance reduction earns its keep, whatever the machine does beside.

    100,000 histories: of 20,000 the setting up takes so much that the ratio says little.
    """
    threads = use_threads(which)
    efficiency, plain = _time_it(timed, w1_recipe(), 100_000, threads)
    assert efficiency > 2 * plain


@pytest.mark.slow
def test_w1_is_as_efficient_as_is_claimed(timed: Timing, all_threads: int) -> None:
    """What is asked for on two quiet cores: enough histories that setting up does not count."""
    assert _time_it(timed, w1_recipe(), 200_000, all_threads)[0] > LEAST_EFFICIENCY


@pytest.mark.slow
@pytest.mark.parametrize("voxel_mm", [1.25, 2.5, 5.0])
def test_voxels(timed: Timing, all_threads: int, voxel_mm: float) -> None:
    _time_it(timed, w1_recipe(voxel_mm=voxel_mm), 50_000, all_threads)


@pytest.mark.slow
@pytest.mark.parametrize("side_mm", [150.0, 300.0, 400.0])
def test_phantoms(timed: Timing, all_threads: int, side_mm: float) -> None:
    _time_it(timed, w1_recipe(side_mm=side_mm), 50_000, all_threads)
