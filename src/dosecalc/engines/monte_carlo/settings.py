"""Settings of the Monte Carlo engine."""

from __future__ import annotations

from dataclasses import dataclass

from dosecalc.core.transport.tables import Cuts
from dosecalc.errors import InputError

__all__ = ["LEAST_BATCHES", "MonteCarlo"]

LEAST_BATCHES = 20
"""Fewer would not tell their own scatter well (to 16 % of it at 20)."""


@dataclass(frozen=True)
class MonteCarlo:
    """Settings of the Monte Carlo engine.

    Parameters
    ----------
    uncertainty : float
        Stop when the root mean square of the relative standard uncertainty, of the voxels
        above half the maximum, is no more than this; voxels of air do not count.
    histories : int or None
        Photons from the source, instead of `uncertainty`.
    batch : int
        Histories per batch; fewer where `histories` would not fill 20 batches.
    seed : int
        Of all random numbers. Equal settings give equal results on any number of threads.
    electron_cut_mev, photon_cut_mev : float
        Kinetic energy below which electrons are absorbed where they are, and photons likewise.
    knock_on_mev, bremsstrahlung_mev : float
        Least energy of the electrons and photons set free that are followed on their own.
    confined_mev : float
        Electrons of less than this kinetic energy that cannot leave their voxel are absorbed
        there.
    splitting : int
        Interactions per photon, each with that share of its weight.
    arc_bin_deg, fluence_pixel_mm : float
        Of the fluence model, as in the collapsed cone.
    dose_to : {"medium", "water"}

    Raises
    ------
    InputError
        A setting has a value that cannot be.

    Examples
    --------
    >>> import dosecalc as dc
    >>> dc.MonteCarlo(uncertainty=0.02, seed=7).seed
    7
    >>> dc.MonteCarlo(uncertainty=2.0)
    Traceback (most recent call last):
    ...
    dosecalc.errors.InputError: uncertainty 2: choose from 0.0001 to 0.5
    """

    uncertainty: float = 0.01
    histories: int | None = None
    batch: int = 10_000
    seed: int = 1
    electron_cut_mev: float = 0.2
    photon_cut_mev: float = 0.01
    knock_on_mev: float = 0.2
    bremsstrahlung_mev: float = 0.05
    confined_mev: float = 1.0
    splitting: int = 48
    arc_bin_deg: float = 4.0
    fluence_pixel_mm: float = 1.0
    dose_to: str = "medium"

    def __post_init__(self) -> None:
        if not 1e-4 <= self.uncertainty <= 0.5:
            raise InputError(f"uncertainty {self.uncertainty:g}: choose from 0.0001 to 0.5")
        if self.histories is not None and self.histories < LEAST_BATCHES:
            raise InputError(f"{self.histories} histories: {LEAST_BATCHES} or more are needed")
        if self.batch < 1 or not 1 <= self.splitting <= 1000:
            raise InputError("histories per batch must be 1 or more, splitting from 1 to 1000")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed {self.seed}: choose from 0 to 2^63 - 1")
        # The tables begin at 0.05 and 0.005 MeV.
        for name, least in (
            ("electron_cut_mev", 0.05),
            ("photon_cut_mev", 0.006),
            ("knock_on_mev", 0.05),
            ("bremsstrahlung_mev", 0.006),
        ):
            if not least <= getattr(self, name) <= 1.0:
                raise InputError(f"{name} = {getattr(self, name)}: choose from {least:g} to 1 MeV")
        if not 0 <= self.confined_mev <= 5.0:
            raise InputError(f"confined_mev = {self.confined_mev:g}: choose from 0 to 5 MeV")
        if self.knock_on_mev < self.electron_cut_mev:
            raise InputError("knock-on electrons below the electron cut-off could not be followed")
        if self.bremsstrahlung_mev < self.photon_cut_mev:
            raise InputError("bremsstrahlung below the photon cut-off could not be followed")
        if self.dose_to not in ("medium", "water"):
            raise InputError(f"dose_to = {self.dose_to!r}: choose 'medium' or 'water'")
        for name in ("arc_bin_deg", "fluence_pixel_mm"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} = {getattr(self, name)}: it must be above zero")

    @property
    def cuts(self) -> Cuts:
        """The settings in the form that the transport takes."""
        return Cuts(
            self.electron_cut_mev,
            self.photon_cut_mev,
            self.knock_on_mev,
            self.bremsstrahlung_mev,
            self.confined_mev,
            self.splitting,
        )
