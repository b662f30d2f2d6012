"""Photon interaction coefficients of materials, from NIST XCOM by way of EGSnrc's tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.materials import Material, atomic_weight
from dosecalc.errors import PhysicalDataError

__all__ = [
    "ELECTRON_MASS_MEV",
    "Coefficients",
    "coefficients",
    "klein_nishina_scatter",
    "klein_nishina_scatter_spectrum",
    "klein_nishina_transfer",
    "partial_coefficients",
    "thomson_cross_section",
]

ELECTRON_MASS_MEV = 0.51099895
_AVOGADRO_BARN = 0.602214076  # barn/atom to cm2/g, divided by the atomic weight

# Pair production rises from its threshold like (1 - threshold/E)**3, which is divided out
# before interpolating, as EGSnrc does.
_THRESHOLD_MEV = {"pair_nuclear": 2 * ELECTRON_MASS_MEV, "triplet": 4 * ELECTRON_MASS_MEV}
_COMPONENTS = ("photoelectric", "rayleigh", "compton_incoherent", "pair_nuclear", "triplet")


@dataclass(frozen=True)
class Coefficients:
    """Mass coefficients of one material at given energies, all (n,) float64, cm2/g.

    total : mu/rho with coherent scattering
    to_electrons : energy given to charged particles by the first interaction, mu_tr/rho
    """

    total: NDArray[np.float64]
    to_electrons: NDArray[np.float64]


@lru_cache(maxsize=1)
def _tables() -> dict[tuple[int, str], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Energy, MeV, and cross section, barn/atom, per element and component."""
    text = (files("dosecalc.data.kernels") / "xcom_photon.csv").read_text()
    points: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for line in text.splitlines():
        if line.startswith(("#", "Z,")):
            continue
        z, component, energy, sigma = line.split(",")
        points.setdefault((int(z), component), []).append((float(energy), float(sigma)))
    return {key: (np.array(rows).T[0], np.array(rows).T[1]) for key, rows in points.items()}


def _atomic(z: int, component: str, energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cross section of one element, barn/atom, by log-log interpolation."""
    try:
        energy, sigma = _tables()[z, component]
    except KeyError:
        raise PhysicalDataError(
            f"no {component} cross sections for the element Z = {z}; the shipped table has "
            f"{sorted({k for k, _ in _tables()})}"
        ) from None
    usable = sigma > 0
    energy, sigma = energy[usable], sigma[usable]
    threshold = _THRESHOLD_MEV.get(component, 0.0)
    above = energy > threshold
    energy, sigma = energy[above], sigma[above]
    result = np.zeros_like(energies)
    inside = energies > threshold
    shape = 3 * np.log1p(-threshold / energy)
    values = np.interp(np.log(energies[inside]), np.log(energy), np.log(sigma) - shape)
    result[inside] = np.exp(values + 3 * np.log1p(-threshold / energies[inside]))
    return result


def klein_nishina_transfer(energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean share of a photon's energy that a free electron receives in Compton scattering.

    The Klein-Nishina cross section integrated numerically over angle;
    energies (n,) in MeV, result (n,) dimensionless.
    """
    scattered, weight = _klein_nishina(energies)
    return np.asarray(1 - np.sum(weight * scattered, axis=1) / np.sum(weight, axis=1))


def _klein_nishina(
    energies: NDArray[np.float64], cosine: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scattered over incident energy, (n, m), and the number scattered per solid angle."""
    if cosine is None:
        cosine = (np.arange(400) + 0.5) / 200 - 1
    ratio = 1 / (1 + energies[:, None] / ELECTRON_MASS_MEV * (1 - cosine))
    return ratio, ratio**2 * (ratio + 1 / ratio - 1 + cosine**2)


def klein_nishina_scatter(
    energies: NDArray[np.float64], cosine: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energy of Compton photons and the energy they carry, by scattering angle.

    Parameters
    ----------
    energies : (n,) float64, MeV
    cosine : (m,) float64
        Cosines of scattering angle that divide -1 to 1 into equal parts.

    Returns
    -------
    scattered : (n, m) float64, MeV
    carried : (n, m) float64
        Share of the incident energy carried by photons scattered into each part.
    """
    ratio, weight = _klein_nishina(energies, cosine)
    return ratio * energies[:, None], ratio * weight / np.sum(weight, axis=1, keepdims=True)


def klein_nishina_scatter_spectrum(
    energies: NDArray[np.float64], energy_weights: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Energy spectrum of once-scattered photons.

    Parameters
    ----------
    energies, energy_weights : (n,)
        Photon energies, MeV, and the energy that interacts at each.
    edges : (m + 1,), MeV

    Returns
    -------
    (m,) float64
        Share of the scattered energy in each bin; sums to 1.
    """
    ratio, weight = _klein_nishina(energies)
    carried = energy_weights[:, None] * weight * ratio / np.sum(weight, axis=1, keepdims=True)
    histogram, _ = np.histogram(ratio * energies[:, None], edges, weights=carried)
    return np.asarray(histogram / histogram.sum())


def partial_coefficients(
    material: Material, energies: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Mass coefficients, cm2/g, by kind of interaction, of photons of 0.001-60 MeV.

    The kinds: photoelectric, rayleigh, compton_incoherent, pair_nuclear, triplet.
    """
    parts = {name: np.zeros_like(energies) for name in _COMPONENTS}
    for z, fraction in material.elements.items():
        scale = fraction * _AVOGADRO_BARN / atomic_weight(z)
        for name in _COMPONENTS:
            parts[name] += scale * _atomic(z, name, energies)
    return parts


def coefficients(material: Material, energies: NDArray[np.float64]) -> Coefficients:
    """Mass coefficients of a material at photon energies (n,), 0.001-60 MeV.

    The energy given to charged particles counts the Compton electron after
    Klein and Nishina, the whole photon in the photoelectric effect (the binding
    energy is reabsorbed close by in the light elements that tissue is made of),
    and the photon less two electron masses in pair production.
    """
    parts = partial_coefficients(material, energies)
    kinetic = np.maximum(1 - 2 * ELECTRON_MASS_MEV / energies, 0.0)
    to_electrons = (
        parts["photoelectric"]
        + parts["compton_incoherent"] * klein_nishina_transfer(energies)
        + (parts["pair_nuclear"] + parts["triplet"]) * kinetic
    )
    return Coefficients(
        total=sum(parts.values(), np.zeros_like(energies)), to_electrons=to_electrons
    )


def thomson_cross_section(material: Material, *, in_phase: bool) -> float:
    """Mass cross section, cm2/g, for free electrons to scatter light, 0.66524587 barn each.

    In phase the electrons of an atom count with the square of their number.
    """
    power = 2 if in_phase else 1
    per_atom = sum(w * z**power / atomic_weight(z) for z, w in material.elements.items())
    return 0.66524587 * _AVOGADRO_BARN * float(per_atom)
