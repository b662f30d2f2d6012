"""Photon spectra: shipped tables and single energies."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np

from dosecalc.errors import InputError, PhysicalDataError
from dosecalc.model import Spectrum
from dosecalc.model.checks import positive

__all__ = ["list_spectra", "load_spectrum", "monoenergetic", "spectrum_sha256"]

_FOLDER = "dosecalc.data.kernels.spectra"
_HEADER = "E_low_MeV,E_high_MeV,probability"


def list_spectra() -> tuple[str, ...]:
    """Names of the shipped spectra."""
    return tuple(sorted(f.name[:-4] for f in files(_FOLDER).iterdir() if f.name.endswith(".csv")))


def load_spectrum(name: str) -> Spectrum:
    """Return a shipped photon number spectrum, as a histogram uniform within each bin.

    Raises
    ------
    InputError
        No spectrum has that name.
    PhysicalDataError
        The shipped file is damaged.
    """
    rows = []
    for line in _content(name).decode().splitlines():
        if line.startswith("#") or line == _HEADER or not line.strip():
            continue
        try:
            low, high, photons = (float(v) for v in line.split(","))
        except ValueError as error:
            raise PhysicalDataError(f"shipped spectrum {name!r}: cannot read {line!r}") from error
        rows.append((low, high, photons))
    if not rows:
        raise PhysicalDataError(f"shipped spectrum {name!r} has no bins; reinstall the package")
    table = np.array(rows)
    return Spectrum(table[:, 0], table[:, 1], table[:, 2], name)


def spectrum_sha256(name: str) -> str:
    """SHA-256 of the file of a shipped spectrum."""
    return hashlib.sha256(_content(name)).hexdigest()


def monoenergetic(energy_mev: float) -> Spectrum:
    """Return the spectrum of photons of one energy, MeV."""
    (energy,) = positive((energy_mev,), "photon energy (MeV)")
    line = np.array([energy])
    return Spectrum(line, line, np.ones(1), f"{energy:g} MeV")


def _content(name: str) -> bytes:
    if name not in list_spectra():
        raise InputError(
            f"no spectrum is named {name!r}; shipped: {', '.join(list_spectra())}. Name one of them"
        )
    return (files(_FOLDER) / f"{name}.csv").read_bytes()
