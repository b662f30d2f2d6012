"""Pencil kernels of single photon energies in water, as transforms across the beam."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from dosecalc.errors import OutsideValidityError, PhysicalDataError
from dosecalc.model.checks import read_only

__all__ = ["PencilKernels", "load_pencil_kernels"]


@dataclass(frozen=True)
class PencilKernels:
    """Energy absorbed along and across a pencil of photons that enters a half space of water.

    Parameters
    ----------
    energies_mev : (ne,) float64
    frequencies_per_cm : (nk,) float64
        Spatial frequency (2 pi over the wavelength) across the pencil; the first is 0.
    depths_cm : (nd,) float64
    primary, scatter : (ne, nk, nd) float64
        Transform of the energy absorbed per depth, per energy of the photons that have
        not interacted down to there, 1/cm: times energy times exp(-attenuation * depth) it
        is MeV/cm per photon. By the electrons of first interactions, and by all else.
    sha256 : str
        Of the data file.
    """

    energies_mev: NDArray[np.float64]
    frequencies_per_cm: NDArray[np.float64]
    depths_cm: NDArray[np.float64]
    primary: NDArray[np.float64]
    scatter: NDArray[np.float64]
    sha256: str

    def __post_init__(self) -> None:
        for name in ("energies_mev", "frequencies_per_cm", "depths_cm"):
            object.__setattr__(
                self, name, read_only(getattr(self, name), np.float64, what=name, ndim=1)
            )
        for name in ("primary", "scatter"):
            object.__setattr__(
                self, name, read_only(getattr(self, name), np.float64, what=name, ndim=3)
            )

    def at(self, component: str, energies: NDArray[np.float64]) -> NDArray[np.float64]:
        """Kernels ``(n, nk, nd)`` of one component at photon energies ``(n,)``, MeV.

        Parameters
        ----------
        component : {"primary", "scatter"}
        energies : (n,) float64, MeV, up to the highest of the table
            Below the lowest, 0.1 MeV, its kernel is used.

        Raises
        ------
        OutsideValidityError
            An energy is above the table.
        """
        highest = self.energies_mev[-1]
        if energies.max() > highest:
            raise OutsideValidityError(
                f"photon energy {energies.max():.1f} MeV: pencil kernels end at {highest:.0f} MeV; "
                "use the collapsed cone or Monte Carlo"
            )
        nodes = np.log(self.energies_mev)
        places = np.log(np.clip(energies, self.energies_mev[0], None))
        return np.asarray(CubicSpline(nodes, getattr(self, component))(places))


@lru_cache(maxsize=1)
def load_pencil_kernels() -> PencilKernels:
    """Load the shipped pencil kernels and check them against their recorded hash."""
    folder = files("dosecalc.data.kernels")
    record = json.loads((folder / "pencil_water.json").read_text())
    content = (folder / "pencil_water.npz").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != record["sha256"]:
        raise PhysicalDataError(
            f"kernels/pencil_water.npz has SHA-256 {digest}, its record says {record['sha256']}; "
            "the file was changed or damaged: install the package again"
        )
    with np.load(BytesIO(content)) as data:
        arrays = {name: data[name].astype(np.float64) for name in data}
    return PencilKernels(**arrays, sha256=digest)
