"""What one MU is in the Monte Carlo engine: its calibration, as certain as its settings ask."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam import Fluence, beam_fluences
from dosecalc.engines.calibration import (
    CALIBRATION_SPACING_MM,
    Keyed,
    calibration_beam,
    calibration_phantom,
    keyed,
)
from dosecalc.engines.monte_carlo.settings import MonteCarlo
from dosecalc.engines.monte_carlo.simulation import bare_dose
from dosecalc.model import Machine, PatientPosition, Phantom

__all__ = ["monte_carlo_fluence_per_mu"]

_WIDE_MM = 10.0

# Of the Monte Carlo calibration: about how many histories it takes to an error, times its square
# (19 runs of 60,000 gave 0.24 %); the least runs, histories of a run, and relative error; and
# the half width of the field's middle.
_HISTORIES_TIMES_ERROR_SQUARE, _RUNS, _LEAST_HISTORIES, _LEAST_ERROR = 7.0, 8, 400, 0.002
_MIDDLE_MM = 15.0


def monte_carlo_fluence_per_mu(machine: Machine, settings: MonteCarlo) -> float:
    """Like `fluence_per_mu`, by the Monte Carlo engine with these settings and other seeds.

    The dose at the calibration point is that of 20 x 20 mm2 about the axis, from the
    logarithms over 20 mm of depth, over which it falls off exponentially: a straight line's
    middle. Half of the histories go to the middle of the field, from where the primary energy
    comes. Runs are added until the standard deviation of their mean is a quarter of the
    uncertainty that the settings ask of single voxels, or 0.2 %. (It is taken from the runs:
    voxels along the axis see the same photons, and are not independent of each other.)
    """
    # It has histories of its own, and is of the medium: runs that differ in that alone share it.
    ours = replace(settings, histories=None, dose_to="medium")
    return _monte_carlo_cached(keyed(machine), ours)


@lru_cache(maxsize=16)
def _monte_carlo_cached(known: Keyed, settings: MonteCarlo) -> float:
    machine, phantom = known.machine, calibration_phantom(_WIDE_MM)
    (fluence,) = beam_fluences(
        calibration_beam(machine),
        PatientPosition.HFS,
        machine,
        pixel_mm=settings.fluence_pixel_mm,
        arc_bin_deg=settings.arc_bin_deg,
    )
    parts = _middle_and_rest(fluence)
    goal = max(_LEAST_ERROR, settings.uncertainty / 4)
    histories = max(_LEAST_HISTORIES, ceil(_HISTORIES_TIMES_ERROR_SQUARE / goal**2 / _RUNS))
    found: list[float] = []
    while len(found) < _RUNS or _error_of_mean(found) > goal:
        seed = settings.seed + 1 + len(found)
        ours = replace(settings, histories=histories, seed=seed)
        found.append(_at_calibration_point(bare_dose(phantom, parts, ours), phantom, machine))
    return machine.calibration.gray_per_mu / float(np.mean(found))


def _error_of_mean(values: list[float]) -> float:
    """Relative standard deviation of the mean."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)) / np.mean(values))


def _middle_and_rest(fluence: Fluence) -> tuple[Fluence, Fluence]:
    """Part a map into the middle of the field and what lies around."""
    rows, columns = fluence.values.shape
    u = fluence.u0 + fluence.pixel_u * (np.arange(columns) + 0.5)
    v = fluence.v0 + fluence.pixel_v * (np.arange(rows) + 0.5)
    middle = (np.abs(v[:, None]) < _MIDDLE_MM) & (np.abs(u) < _MIDDLE_MM)
    return (
        replace(fluence, values=np.where(middle, fluence.values, 0)),
        replace(fluence, values=np.where(middle, 0, fluence.values)),
    )


def _at_calibration_point(gray: NDArray[np.float64], phantom: Phantom, machine: Machine) -> float:
    """Read the dose at the calibration point; see `monte_carlo_fluence_per_mu`."""
    point = phantom.grid.index_of((0.0, machine.calibration.depth_mm, 0.0))
    z, y, x = (int(np.floor(index)) for index in point)
    at = gray[z : z + 2, y - 3 : y + 5, x : x + 2].mean(axis=(0, 2))
    place = (np.arange(y - 3, y + 5) + 0.5) * CALIBRATION_SPACING_MM - machine.calibration.depth_mm
    _, middle = np.polyfit(place, np.log(at), 1)
    return float(np.exp(middle))
