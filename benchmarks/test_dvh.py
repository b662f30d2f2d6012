"""Histogram of a structure of 270 cm3 on 64 planes, from its contours."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.conftest import Baseline, Timing
from benchmarks.machine import median_seconds
from dosecalc.analysis.dvh import dvh_from_fraction, structure_dvh
from dosecalc.model import Contour, Dose, Grid, Structure
from dosecalc.patient.coverage import volume_cm3, volume_fraction

_GRID = Grid.covering((-120.0, -120.0, -120.0), (120.0, 120.0, 120.0), (2.5, 2.5, 2.5))
_PLANES, _STEP, _CM3 = 64, 3.0, 270.0
# What is asked of it, s.
_LIMIT = 0.05


def _structure() -> Structure:
    """Return something like a bladder, drawn with 200 corners a plane."""
    angle = 2 * np.pi * np.arange(200) / 200
    z = (np.arange(_PLANES) - (_PLANES - 1) / 2) * _STEP
    half = _PLANES * _STEP / 2
    radius = np.sqrt(1000 * _CM3 / (4 / 3 * np.pi * half)) * np.sqrt(1 - (z / half) ** 2)
    wave = 1 + 0.1 * np.cos(3 * angle)
    wave /= np.sqrt(np.mean(wave**2))
    shape = np.column_stack((wave * np.cos(angle), wave * np.sin(angle)))
    contours = tuple(Contour(float(a), r * shape) for a, r in zip(z, radius, strict=True))
    return Structure(1, "bladder", "ORGAN", contours)


def _dose() -> Dose:
    z, y, x = np.meshgrid(*(_GRID.centres(a) for a in "zyx"), indexing="ij")
    gray = 60 / (1 + np.exp((np.sqrt(x**2 + (y - 20) ** 2 + (z / 2) ** 2) - 30) / 4))
    return Dose(_GRID, gray, "water")


def test_structure(timed: Timing) -> None:
    structure, dose = _structure(), _dose()
    volume = volume_cm3(structure)
    assert abs(volume / _CM3 - 1) < 0.01

    def whole_voxels() -> None:
        dvh_from_fraction(structure, volume_fraction(structure, dose.grid), dose, volume)

    def info(median: float) -> dict[str, Any]:
        return {"cm3": volume, "share_of_what_is_asked": median / _LIMIT}

    baseline = Baseline("the histogram of whole voxels", median_seconds(whole_voxels, 5))
    median = timed(lambda: structure_dvh(structure, dose), baseline, info)
    assert median < _LIMIT
