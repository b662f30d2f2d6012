"""The pencil beam: a whole field on W1, and matrices of beamlets with their products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.conftest import Baseline, Timing
from benchmarks.machine import Limits
from dosecalc.beam import BeamletGrid, beam_fluences
from dosecalc.engines.pencil_beam import PencilBeamSettings, fluence_dose
from dosecalc.engines.pencil_beam.influence import (
    InfluenceMatrix,
    InfluenceSettings,
    dose_influence,
)
from dosecalc.model import Machine, PatientPosition, Phantom
from dosecalc.patient.recipe import build_case, load_recipe

SETTINGS = PencilBeamSettings()
# On two cores, warm and quiet; what the project asks for.
MOST_SECONDS = 0.15


@pytest.fixture(scope="module")
def w1_case() -> tuple[Phantom, Any, Machine]:
    return build_case(load_recipe("w1-water-box"))


@pytest.mark.parametrize("which", ["one", "all"])
def test_w1(
    timed: Timing,
    limits: Limits,
    use_threads: Callable[[str], int],
    w1_case: tuple[Phantom, Any, Machine],
    which: str,
) -> None:
    """A whole open field; per voxel a density and a material are read and a dose is written."""
    threads = use_threads(which)
    phantom, plan, machine = w1_case
    (fluence,) = beam_fluences(plan.beams[0], plan.position, machine, pixel_mm=1.0)
    voxels = phantom.density.size

    def info(median: float) -> dict[str, Any]:
        return {"threads": threads, "ns_per_voxel": 1e9 * median / voxels}

    baseline = Baseline(
        "reading the phantom, writing the dose", limits.memory_seconds(9 * voxels, 1)
    )
    timed(lambda: fluence_dose(phantom, fluence, SETTINGS), baseline, info)


def beamlets(count: int) -> BeamletGrid:
    """Return a square of beamlets of 5 mm about the axis of W1."""
    first = -2.5 * (count - 1)
    return BeamletGrid(
        position=PatientPosition.HFS,
        gantry_deg=0.0,
        collimator_deg=0.0,
        couch_deg=0.0,
        isocentre=(0.0, 0.0, 0.0),
        u0=first,
        v0=first,
        size_u=5.0,
        size_v=5.0,
        chosen=np.ones((count, count), bool),
    )


@pytest.fixture(scope="module")
def matrix(w1_case: tuple[Phantom, Any, Machine]) -> InfluenceMatrix:
    phantom, _, machine = w1_case
    return dose_influence(phantom, [beamlets(10)], machine)


def test_beamlets(timed: Timing, limits: Limits, w1_case: tuple[Phantom, Any, Machine]) -> None:
    """100 beamlets on W1; the baseline is to write the matrix."""
    _time_beamlets(timed, limits, w1_case, 10)


@pytest.mark.slow
def test_400_beamlets(timed: Timing, limits: Limits, w1_case: tuple[Phantom, Any, Machine]) -> None:
    _time_beamlets(timed, limits, w1_case, 20)


def _time_beamlets(
    timed: Timing, limits: Limits, w1_case: tuple[Phantom, Any, Machine], side: int
) -> None:
    phantom, _, machine = w1_case
    settings = InfluenceSettings()
    entries = dose_influence(phantom, [beamlets(side)], machine, settings).matrix.nnz

    def info(median: float) -> dict[str, Any]:
        return {"entries": entries, "million_entries_per_s": 1e-6 * entries / median}

    baseline = Baseline("writing its entries", limits.memory_seconds(8 * entries, 2))
    timed(lambda: dose_influence(phantom, [beamlets(side)], machine, settings), baseline, info)


@pytest.mark.parametrize("product", ["times", "transposed_times"])
def test_products(timed: Timing, limits: Limits, matrix: InfluenceMatrix, product: str) -> None:
    entries, (rows, columns) = matrix.matrix.nnz, matrix.matrix.shape
    given = np.ones(columns if product == "times" else rows)
    work = getattr(matrix, product)

    def info(median: float) -> dict[str, Any]:
        return {"entries": entries, "gb_per_s": 8e-9 * entries / median}

    baseline = Baseline("reading its entries", limits.memory_seconds(8 * entries, 2))
    timed(lambda: work(given), baseline, info)
