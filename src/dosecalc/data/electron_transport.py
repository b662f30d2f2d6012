"""What electrons do between and in the collisions that a Monte Carlo run follows one by one."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from dosecalc.data.cross_sections import ELECTRON_MASS_MEV
from dosecalc.data.materials import Material, atomic_weight

__all__ = [
    "annihilation_cross_section",
    "bhabha_cross_section",
    "deflections",
    "moller_cross_section",
    "moller_deflection",
    "radiative_stopping_power",
    "scattering_moments",
]

_AVOGADRO = 6.02214076e23
_RADIUS_CM = 2.8179403e-13  # classical electron radius
_FINE_STRUCTURE = 1 / 137.035999
_MOLLER = 0.153536  # 2 pi r_e^2 m_e c^2 N_A, MeV cm2/mol


def _electrons_per_gram(material: Material) -> float:
    """Z/A, mol/g."""
    return float(sum(w * z / atomic_weight(z) for z, w in material.elements.items()))


def moller_cross_section(
    material: Material, kinetic_mev: NDArray[np.float64], cutoff_mev: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Mass cross section, cm2/g, for setting an electron free with more than `cutoff_mev`.

    Moller, Ann Phys 14:531 (1932), integrated from the cut-off to half the kinetic energy;
    zero below twice the cut-off. Energies and cut-offs are broadcast.
    """
    tau = kinetic_mev / ELECTRON_MASS_MEV
    beta2 = tau * (tau + 2) / (tau + 1) ** 2
    low = np.minimum(cutoff_mev / kinetic_mev, 0.5)
    a, b = (tau / (tau + 1)) ** 2, (2 * tau + 1) / (tau + 1) ** 2
    bracket = 1 / low - 1 / (1 - low) + a * (0.5 - low) - b * np.log((1 - low) / low)
    return np.asarray(_MOLLER * _electrons_per_gram(material) / (beta2 * kinetic_mev) * bracket)


def moller_deflection(
    material: Material, kinetic_mev: NDArray[np.float64], cutoff_mev: float
) -> NDArray[np.float64]:
    """1 - cosine of the electron that goes on, times the cross section, cm2/g, of the same.

    What collisions followed one by one contribute to the inverse transport mean free path,
    and the distributions for small deflections must leave out.
    """
    energy = kinetic_mev[:, None]
    largest = np.maximum(energy / 2, cutoff_mev)
    edges = cutoff_mev * (largest / cutoff_mev) ** np.linspace(0, 1, 201)
    above = moller_cross_section(material, energy, edges)
    kept = np.maximum(energy - np.sqrt(edges[:, 1:] * edges[:, :-1]), 0.0)
    cosine = np.sqrt(
        kept * (energy + 2 * ELECTRON_MASS_MEV) / (energy * (kept + 2 * ELECTRON_MASS_MEV))
    )
    return np.asarray(((above[:, :-1] - above[:, 1:]) * (1 - cosine)).sum(axis=1))


def bhabha_cross_section(
    material: Material, kinetic_mev: NDArray[np.float64], cutoff_mev: float
) -> NDArray[np.float64]:
    """Mass cross section, cm2/g, for a positron to set an electron free with over `cutoff_mev`.

    Bhabha, Proc R Soc A 154:195 (1936), integrated from the cut-off to the kinetic energy.
    """
    tau = kinetic_mev / ELECTRON_MASS_MEV
    beta2 = tau * (tau + 2) / (tau + 1) ** 2
    low = np.minimum(cutoff_mev / kinetic_mev, 1.0)
    y = 1 / (tau + 2)
    b1, b2 = 2 - y**2, (1 - 2 * y) * (3 + y**2)
    b4 = (1 - 2 * y) ** 3
    b3 = b4 + (1 - 2 * y) ** 2
    bracket = (1 / low - 1) / beta2 + b1 * np.log(low) + b2 * (1 - low)
    bracket += -b3 / 2 * (1 - low**2) + b4 / 3 * (1 - low**3)
    return np.asarray(_MOLLER * _electrons_per_gram(material) / kinetic_mev * bracket)


def annihilation_cross_section(
    material: Material, kinetic_mev: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mass cross section, cm2/g, for a positron to annihilate in flight into two photons.

    Heitler, The Quantum Theory of Radiation (1954), with electrons at rest.
    """
    gamma = kinetic_mev / ELECTRON_MASS_MEV + 1
    square = gamma**2 - 1
    root = np.sqrt(square)
    bracket = (gamma**2 + 4 * gamma + 1) / square * np.log(gamma + root) - (gamma + 3) / root
    area = np.pi * _RADIUS_CM**2 * _AVOGADRO * _electrons_per_gram(material)
    return np.asarray(area / (gamma + 1) * bracket)


@lru_cache(maxsize=1)
def _radiative_table() -> NDArray[np.float64]:
    path = files("dosecalc.data.kernels") / "radiative_stopping.csv"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")][1:]
    return np.array([[float(value) for value in line.split(",")] for line in lines]).T


def radiative_stopping_power(
    material: Material, kinetic_mev: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mass radiative stopping power, MeV cm2/g, of electrons of 0.01 to 50 MeV.

    Per atom it goes with Z (Z + 1) and a factor that changes by a few per cent from water to
    aluminium; that factor is interpolated linearly in the mean Z weighted with Z (Z + 1). For
    cortical bone, which took no part in it, within 2 % of the tables from 0.1 MeV, 5 % below.
    """
    water, aluminium = {1: 0.1119, 8: 0.8881}, {13: 1.0}
    energies, in_water, in_aluminium = _radiative_table()

    def strength(elements: dict[int, float]) -> tuple[float, float]:
        terms = {z: w * z * (z + 1) / atomic_weight(z) for z, w in elements.items()}
        total = sum(terms.values())
        return total, sum(z * term for z, term in terms.items()) / total

    n0, z0 = strength(water)
    n1, z1 = strength(aluminium)
    n, z = strength(dict(material.elements))
    share = (z - z0) / (z1 - z0)
    factor = (1 - share) * in_water / n0 + share * in_aluminium / n1
    logs = np.interp(np.log(kinetic_mev), np.log(energies), np.log(np.maximum(factor, 1e-9)))
    return np.asarray(n * np.exp(logs))


# Values of -ln(1 - r) at which deflections are tabulated; beyond lies 1e-6 of all.
LARGEST_LOG = 13.8
NODES = 139
_LEGENDRE = 600


def scattering_moments(
    material: Material, kinetic_mev: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give what single elastic scattering says about many.

    Rutherford's cross section, screened after Moliere (Z Naturforsch 2a:133 (1947)), with the
    spin factor of McKinley and Feshbach (Phys Rev 74:1759 (1948)) and Z (Z + 1) for the
    atomic electrons.

    Returns
    -------
    rate : (ne,) float64
        Inverse transport mean free path, cm2/g: after one such path the mean cosine is 1/e.
    moments : (ne, _LEGENDRE + 2) float64
        Mean of 1 - P_l over single scattering, divided by that of 1 - P_1.
    """
    lost, weights, legendre = _single_scattering()
    half = np.sqrt(lost / 2)  # sine of half the angle
    tau = kinetic_mev[:, None] / ELECTRON_MASS_MEV
    beta2 = tau * (tau + 2) / (tau + 1) ** 2
    beta = np.sqrt(beta2)
    momentum = np.sqrt(tau * (tau + 2))  # in m c
    density = np.zeros((kinetic_mev.size, lost.size))
    for z, fraction in material.elements.items():
        # Screening angle: 1.13 + 3.76 (alpha Z / beta)^2 times hbar / (p a), a the
        # Thomas-Fermi radius 0.885 a_0 Z^(-1/3).
        angle2 = (_FINE_STRUCTURE * z ** (1 / 3) / 0.885 / momentum) ** 2
        angle2 = angle2 * (1.13 + 3.76 * (_FINE_STRUCTURE * z / beta) ** 2)
        spin = 1 - beta2 * half**2 + np.pi * _FINE_STRUCTURE * z * beta * half * (1 - half)
        factor = z * (z + 1) * _RADIUS_CM**2 * (1 - beta2) / beta2**2 * 2 * np.pi
        factor = factor * fraction * _AVOGADRO / atomic_weight(z)
        density += factor * spin / (lost + angle2 / 2) ** 2 * weights
    total = density @ legendre.T
    return total[:, 1], total / total[:, 1:2]


def deflections(moments: NDArray[np.float64], strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - cosine, (ne, NODES), by -ln(1 - r), after steps of `strength` transport mean free paths.

    The series of Goudsmit and Saunderson (Phys Rev 57:24 (1940)): the mean of the Legendre
    polynomial l after the step is exp(-strength Q_l), Q_l from `scattering_moments`.
    """
    lost, slices = _deflection_slices()
    shares = lost / 2 + np.exp(-strength[:, None] * moments[:, 1:-1]) @ slices / 2
    wanted = -np.expm1(-np.linspace(0, LARGEST_LOG, NODES))
    result = np.empty((strength.size, NODES))
    for row, share in enumerate(shares):
        rising = np.maximum.accumulate(np.clip(share, 0.0, 1.0))
        rising /= rising[-1]
        keep = np.concatenate([[True], np.diff(rising) > 0])
        result[row] = np.interp(wanted, rising[keep], lost[keep])
    return result


@lru_cache(maxsize=1)
def _single_scattering() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Values of 1 - cos to integrate over, their weights, and 1 - P_l there.

    Evenly spaced in ln(1 - cos + s) with s smaller than any screening, where all is smooth.
    """
    nodes, weights = leggauss(1000)
    smallest = 1e-11
    low, high = np.log(smallest), np.log(2 + smallest)
    shifted = np.exp(low + (high - low) * (nodes + 1) / 2)
    lost = np.clip(shifted - smallest, 0.0, 2.0)
    return lost, weights * shifted * (high - low) / 2, _one_minus_legendre(lost)


@lru_cache(maxsize=1)
def _deflection_slices() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of 1 - cos, and (2 l + 1) times the integral of P_l from the cosine to 1."""
    lost = np.concatenate([[0.0], np.geomspace(1e-7, 2.0, 700)])
    differences = _one_minus_legendre(lost)
    order = np.arange(1, _LEGENDRE + 1)
    # That integral is (P_{l-1} - P_{l+1}) / (2 l + 1).
    return lost, differences[order + 1] - differences[order - 1]


def _one_minus_legendre(lost: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - P_l(1 - lost), (_LEGENDRE + 2, n), by a recursion for differences, to keep digits."""
    result = np.zeros((_LEGENDRE + 2, lost.size))
    result[1] = lost
    step = lost.copy()  # P_{l-1} - P_l
    for n in range(1, _LEGENDRE + 1):
        # (n + 1) (P_n - P_{n+1}) = n (P_{n-1} - P_n) + (2n + 1) lost P_n
        step = (n * step + (2 * n + 1) * lost * (1 - result[n])) / (n + 1)
        result[n + 1] = result[n] + step
    return result
