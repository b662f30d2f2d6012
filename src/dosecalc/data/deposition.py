"""Energy deposition kernels: where in water a photon's energy goes after its first interaction."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import OutsideValidityError, PhysicalDataError
from dosecalc.model.checks import read_only

__all__ = ["EnergyDepositionKernels", "load_kernels"]

# Above the last tabulated energy the kernel of that energy is stretched in proportion to
# energy, which is how the range of electrons grows there; beyond this it is refused.
_HIGHEST_MEV = 30.0


@dataclass(frozen=True)
class EnergyDepositionKernels:
    """Fractions of a photon's energy deposited around its first interaction, in water.

    Parameters
    ----------
    energies_mev : (ne,) float64, MeV
    cone_edges_deg : (48 + 1,) float64, degrees from the photon's direction
    shell_edges_cm : (24 + 1,) float64, cm
    primary : (ne, 48, 24) float64
        Deposited by the charged particles that the first interaction set in motion.
    once : (ne, 48, 24) float64
        Deposited by photons scattered once.
    first : (ne, 48, 24) float64
        Deposited through photons that left the first interaction: scattered once,
        or made by its electrons (bremsstrahlung and annihilation).
    later : (ne, 48, 24) float64
        Deposited through photons scattered twice or more.
    sha256 : str
        Of the data file.
    """

    energies_mev: NDArray[np.float64]
    cone_edges_deg: NDArray[np.float64]
    shell_edges_cm: NDArray[np.float64]
    primary: NDArray[np.float64]
    once: NDArray[np.float64]
    first: NDArray[np.float64]
    later: NDArray[np.float64]
    sha256: str

    def __post_init__(self) -> None:
        for name in ("energies_mev", "cone_edges_deg", "shell_edges_cm"):
            object.__setattr__(
                self, name, read_only(getattr(self, name), np.float64, what=name, ndim=1)
            )
        for name in ("primary", "once", "first", "later"):
            object.__setattr__(
                self, name, read_only(getattr(self, name), np.float64, what=name, ndim=3)
            )

    def at(self, component: str, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """Kernels ``(n, 48, 24)`` of one component at photon energies ``(n,)``, MeV.

        Interpolated linearly in energy, which keeps the mean range right: the range of
        electrons is nearly proportional to the photon energy, so a mixture of two
        kernels weighted linearly in energy has the right mean; weighted in
        log(energy) it would be up to 2 % too long. Below the lowest tabulated
        energy its kernel is used unchanged.

        Parameters
        ----------
        component : {"primary", "once", "first", "later"}
        energies : (n,) float64, MeV, up to 30

        Raises
        ------
        OutsideValidityError
            Above 30 MeV.
        """
        table: NDArray[np.float64] = getattr(self, component)
        if energies.max() > _HIGHEST_MEV:
            raise OutsideValidityError(
                f"photon energy {energies.max():.1f} MeV: the deposition kernels reach "
                f"{self.energies_mev[-1]:.0f} MeV and are stretched to {_HIGHEST_MEV:.0f} MeV at "
                "most; use a spectrum of lower energy"
            )
        position = np.interp(energies, self.energies_mev, np.arange(self.energies_mev.size))
        lower = np.minimum(position.astype(int), self.energies_mev.size - 2)
        share = (position - lower)[:, None, None]
        kernels = (1 - share) * table[lower] + share * table[lower + 1]
        for i in np.flatnonzero(energies > self.energies_mev[-1]):
            kernels[i] = self._stretch(kernels[i], energies[i] / self.energies_mev[-1])
        return np.asarray(kernels)

    def _stretch(self, kernel: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
        edges = self.shell_edges_cm
        stretched = np.empty_like(kernel)
        for cone, fractions in enumerate(kernel):
            cumulative = np.concatenate(([0.0], np.cumsum(fractions)))
            stretched[cone] = np.diff(np.interp(edges / factor, edges, cumulative))
        return stretched


@lru_cache(maxsize=1)
def load_kernels() -> EnergyDepositionKernels:
    """Load the shipped water kernels and check them against their recorded hash."""
    folder = files("dosecalc.data.kernels")
    record = json.loads((folder / "edk_water.json").read_text())
    content = (folder / "edk_water.npz").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != record["sha256"]:
        raise PhysicalDataError(
            f"kernels/edk_water.npz has SHA-256 {digest}, its record says {record['sha256']}; "
            "the file was changed or damaged: install the package again"
        )
    with np.load(BytesIO(content)) as data:
        return EnergyDepositionKernels(
            energies_mev=data["energies_mev"],
            cone_edges_deg=data["cone_edges_deg"],
            shell_edges_cm=data["shell_edges_cm"],
            primary=data["primary"].astype(np.float64),
            once=data["first_scatter"].astype(np.float64),
            first=data["first_scatter"].astype(np.float64) + data["radiative"],
            later=data["second_scatter"].astype(np.float64) + data["multiple_scatter"],
            sha256=digest,
        )
