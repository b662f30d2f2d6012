"""What one MU is: the photon fluence that gives a machine's calibration dose in this engine.

The engine calculates the calibration geometry in water once, per unit of the open
field's fluence, and divides. Every engine of a machine therefore agrees at the
calibration point by construction, and nowhere else by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam import Fluence, beam_fluences
from dosecalc.model import (
    Beam,
    Grid,
    Machine,
    PatientPosition,
    Phantom,
)

if TYPE_CHECKING:
    from dosecalc.engines.monte_carlo import MonteCarloSettings

__all__ = [
    "calibration_beam",
    "calibration_phantom",
    "fluence_per_mu",
    "monte_carlo_fluence_per_mu",
]

_SIDE_MM = 300.0
_SPACING_MM = 2.5
_WIDE_MM = 10.0

# Of the Monte Carlo calibration: about how many histories it takes to an error, times its square
# (19 runs of 60,000 gave 0.24 %); the least runs, histories of a run, and relative error; and
# the half width of the field's middle.
_HISTORIES_TIMES_ERROR_SQUARE, _RUNS, _LEAST_HISTORIES, _LEAST_ERROR = 7.0, 8, 400, 0.002
_MIDDLE_MM = 15.0


def calibration_beam(machine: Machine) -> Beam:
    """Beam of 1 MU with the square field of the machine's calibration, gantry at 0.

    The jaws define the field where the machine has them, the leaves otherwise;
    leaves of a machine with both stay out of the field.
    """
    half = machine.calibration.field_mm / 2
    leaves = None
    if machine.mlc is not None and (machine.jaws_x is None or machine.jaws_y is None):
        pairs = machine.mlc.boundaries_mm.size - 1
        leaves = np.repeat([[-half], [half]], pairs, axis=1)
    return Beam.static(
        machine,
        mu=1.0,
        isocentre=(0.0, machine.sad_mm - machine.calibration.ssd_mm, 0.0),
        jaws_x=(-half, half) if machine.jaws_x is not None else None,
        jaws_y=(-half, half) if machine.jaws_y is not None else None,
        leaves=leaves,
        name="calibration",
    )


def calibration_phantom(across_mm: float = _SPACING_MM) -> Phantom:
    """Water cube of 30 cm with its surface at y = 0, beam along +y.

    Voxels are 2.5 mm along the beam and `across_mm` across it.
    """
    n, across = round(_SIDE_MM / _SPACING_MM), round(_SIDE_MM / across_mm)
    first = -(across - 1) / 2 * across_mm
    grid = Grid(
        (across, n, across), (across_mm, _SPACING_MM, across_mm), (first, _SPACING_MM / 2, first)
    )
    return Phantom(
        grid=grid,
        density=np.ones(grid.shape, np.float32),
        material=np.zeros(grid.shape, np.uint8),
        materials=("water",),
    )


class _Settings(Hashable, Protocol):
    """What the settings of the deterministic engines have in common."""

    @property
    def fluence_pixel_mm(self) -> float: ...
    @property
    def arc_bin_deg(self) -> float: ...


def fluence_per_mu(
    machine: Machine, settings: _Settings, fluence_dose: Callable[..., NDArray[np.float32]]
) -> float:
    """Photons per cm2 on the open field's axis at the isocentre, per MU.

    1 for a machine that is calibrated per unit of fluence.

    Parameters
    ----------
    machine : Machine
    settings : settings of the engine
    fluence_dose : callable(phantom, fluence, settings)
        The engine's dose of one stationary beam per unit of its fluence map.
    """
    if machine.calibration.per_fluence:
        return 1.0
    return _cached(_keyed(machine), settings, fluence_dose)


def monte_carlo_fluence_per_mu(machine: Machine, settings: MonteCarloSettings) -> float:
    """Like `fluence_per_mu`, by the Monte Carlo engine with these settings and other seeds.

    The dose at the calibration point is that of 20 x 20 mm2 about the axis, from the
    logarithms over 20 mm of depth, over which it falls off exponentially: a straight line's
    middle. Half of the histories go to the middle of the field, from where the primary energy
    comes. Runs are added until the standard deviation of their mean is a quarter of the
    uncertainty that the settings ask of single voxels, or 0.2 %. (It is taken from the runs:
    voxels along the axis see the same photons, and are not independent of each other.)
    """
    return _monte_carlo_cached(_keyed(machine), settings)


def _keyed(machine: Machine) -> _Keyed:
    key = (machine.name, str(machine.provenance.get("machine_sha256")), machine.calibration)
    return _Keyed(machine, key)


class _Keyed:
    """A machine, hashed by its name, file and calibration."""

    def __init__(self, machine: Machine, key: tuple[object, ...]) -> None:
        self.machine = machine
        self.key = key

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.key == other.key


@lru_cache(maxsize=16)
def _cached(
    keyed: _Keyed, settings: _Settings, fluence_dose: Callable[..., NDArray[np.float32]]
) -> float:
    machine = keyed.machine
    phantom = calibration_phantom()
    (fluence,) = beam_fluences(
        calibration_beam(machine),
        PatientPosition.HFS,
        machine,
        pixel_mm=settings.fluence_pixel_mm,
        arc_bin_deg=settings.arc_bin_deg,
    )
    dose = fluence_dose(phantom, fluence, settings)
    z, y, x = phantom.grid.index_of((0.0, machine.calibration.depth_mm, 0.0))
    j, share = int(np.floor(y)), float(y - np.floor(y))
    k, i = int(z), int(x)
    at = dose[k : k + 2, j : j + 2, i : i + 2].mean(axis=(0, 2))
    return machine.calibration.gray_per_mu / float(at[0] * (1 - share) + at[1] * share)


@lru_cache(maxsize=16)
def _monte_carlo_cached(keyed: _Keyed, settings: MonteCarloSettings) -> float:
    from dosecalc.engines.monte_carlo import bare_dose

    machine, phantom = keyed.machine, calibration_phantom(_WIDE_MM)
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
        ours = replace(settings, histories=histories, seed=seed, dose_to="medium")
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
    place = (np.arange(y - 3, y + 5) + 0.5) * _SPACING_MM - machine.calibration.depth_mm
    _, middle = np.polyfit(place, np.log(at), 1)
    return float(np.exp(middle))
