"""What one MU is: the photon fluence that gives a machine's calibration dose in this engine.

The engine calculates the calibration geometry in water once, per unit of the open
field's fluence, and divides. Every engine of a machine therefore agrees at the
calibration point by construction, and nowhere else by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam import beam_fluences
from dosecalc.model import (
    Beam,
    Grid,
    Machine,
    PatientPosition,
    Phantom,
)

__all__ = [
    "CALIBRATION_SPACING_MM",
    "Keyed",
    "calibration_beam",
    "calibration_phantom",
    "fluence_per_mu",
    "keyed",
]

_SIDE_MM = 300.0
CALIBRATION_SPACING_MM = 2.5


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


def calibration_phantom(across_mm: float = CALIBRATION_SPACING_MM) -> Phantom:
    """Water cube of 30 cm with its surface at y = 0, beam along +y.

    Voxels are 2.5 mm along the beam and `across_mm` across it.
    """
    n, across = round(_SIDE_MM / CALIBRATION_SPACING_MM), round(_SIDE_MM / across_mm)
    first = -(across - 1) / 2 * across_mm
    grid = Grid(
        (across, n, across),
        (across_mm, CALIBRATION_SPACING_MM, across_mm),
        (first, CALIBRATION_SPACING_MM / 2, first),
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
    return _cached(keyed(machine), settings, fluence_dose)


def keyed(machine: Machine) -> Keyed:
    """Make a machine the key of a cache."""
    key = (machine.name, str(machine.provenance.get("machine_sha256")), machine.calibration)
    return Keyed(machine, key)


class Keyed:
    """A machine, hashed by its name, file and calibration."""

    def __init__(self, machine: Machine, key: tuple[object, ...]) -> None:
        self.machine = machine
        self.key = key

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyed) and self.key == other.key


@lru_cache(maxsize=16)
def _cached(
    known: Keyed, settings: _Settings, fluence_dose: Callable[..., NDArray[np.float32]]
) -> float:
    machine = known.machine
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
