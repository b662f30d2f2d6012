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
    "AngularDistribution",
    "angular_distribution",
    "moller_cross_section",
    "moller_deflection",
    "radiative_stopping_power",
]

_AVOGADRO = 6.02214076e23
_RADIUS_CM = 2.8179403e-13  # classical electron radius
_FINE_STRUCTURE = 1 / 137.035999
_MOLLER = 0.153536  # 2 pi r_e^2 m_e c^2 N_A, MeV cm2/mol


def _electrons_per_gram(material: Material) -> float:
    """Z/A, mol/g."""
    return float(sum(w * z / atomic_weight(z) for z, w in material.elements.items()))


def moller_cross_section(
    material: Material, kinetic_mev: NDArray[np.float64], cutoff_mev: float
) -> NDArray[np.float64]:
    """Mass cross section, cm2/g, for setting an electron free with more than `cutoff_mev`.

    Moller, Ann Phys 14:531 (1932), integrated from the cut-off to half the kinetic energy;
    zero below twice the cut-off.
    """
    result = np.zeros_like(kinetic_mev)
    above = kinetic_mev > 2 * cutoff_mev
    energy = kinetic_mev[above]
    tau = energy / ELECTRON_MASS_MEV
    beta2 = tau * (tau + 2) / (tau + 1) ** 2
    low = cutoff_mev / energy
    a, b = (tau / (tau + 1)) ** 2, (2 * tau + 1) / (tau + 1) ** 2
    bracket = 1 / low - 1 / (1 - low) + a * (0.5 - low) - b * np.log((1 - low) / low)
    result[above] = _MOLLER * _electrons_per_gram(material) / (beta2 * energy) * bracket
    return result


def moller_deflection(
    material: Material, kinetic_mev: NDArray[np.float64], cutoff_mev: float
) -> NDArray[np.float64]:
    """1 - cosine of the electron that goes on, times the cross section, cm2/g, of the same.

    What collisions followed one by one contribute to the inverse transport mean free path,
    and the distributions for small deflections must leave out.
    """
    result = np.zeros_like(kinetic_mev)
    for index, energy in enumerate(kinetic_mev):
        if energy <= 2 * cutoff_mev:
            continue
        edges = np.geomspace(cutoff_mev, energy / 2, 201)
        total = moller_cross_section_above(material, float(energy), edges)
        freed = np.sqrt(edges[1:] * edges[:-1])
        kept = energy - freed
        cosine = np.sqrt(
            kept * (energy + 2 * ELECTRON_MASS_MEV) / (energy * (kept + 2 * ELECTRON_MASS_MEV))
        )
        result[index] = float(((total[:-1] - total[1:]) * (1 - cosine)).sum())
    return result


def moller_cross_section_above(
    material: Material, kinetic_mev: float, cutoffs_mev: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`moller_cross_section` of one energy for several cut-offs."""
    same = np.full(1, kinetic_mev)
    return np.array([moller_cross_section(material, same, float(c))[0] for c in cutoffs_mev])


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
    aluminium; that factor is interpolated linearly in the mean Z weighted with Z (Z + 1). Within
    0.5 % of the tables for cortical bone, which took no part in it.
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


class AngularDistribution:
    """Multiple scattering of electrons in a material over steps of given strength.

    Parameters
    ----------
    mean_free_path : (ne,) float64
        Transport mean free path, g/cm2: after it, the mean cosine is 1/e.
    deflection : (ne, n) float64
        1 - cosine, by -ln(1 - r) for a uniform random number r, at `nodes`.
    """

    def __init__(
        self, mean_free_path: NDArray[np.float64], deflection: NDArray[np.float64]
    ) -> None:
        self.mean_free_path = mean_free_path
        self.deflection = deflection


# Values of -ln(1 - r) at which deflections are tabulated; beyond lies 1e-6 of all.
LARGEST_LOG = 13.8
NODES = 139
_LEGENDRE = 600


def angular_distribution(
    material: Material, kinetic_mev: NDArray[np.float64], strength: NDArray[np.float64]
) -> AngularDistribution:
    """Goudsmit-Saunderson distributions after steps of `strength` transport mean free paths.

    Single scattering is Rutherford's, screened after Moliere (Z Naturforsch 2a:133 (1947)), with
    the spin factor of McKinley and Feshbach (Phys Rev 74:1759 (1948)) and Z (Z + 1) for
    the atomic electrons. Multiple scattering is the series of Goudsmit and Saunderson
    (Phys Rev 57:24 (1940)): a Legendre moment l after the step is exp(-strength Q_l), with
    Q_l the mean of 1 - P_l over single scattering divided by that of 1 - P_1.

    Parameters
    ----------
    material : Material
    kinetic_mev, strength : (ne,) float64
    """
    paths = np.empty(kinetic_mev.size)
    deflection = np.empty((kinetic_mev.size, NODES))
    for index, energy in enumerate(kinetic_mev):
        first, moments = _moments(material, float(energy))
        paths[index] = 1 / first
        deflection[index] = _deflections(moments, float(strength[index]))
    return AngularDistribution(paths, deflection)


def _moments(material: Material, kinetic_mev: float) -> tuple[float, NDArray[np.float64]]:
    """Inverse transport mean free path, cm2/g, and Q_l for l = 0 to _LEGENDRE + 1."""
    tau = kinetic_mev / ELECTRON_MASS_MEV
    beta2 = tau * (tau + 2) / (tau + 1) ** 2
    beta = np.sqrt(beta2)
    momentum = np.sqrt(tau * (tau + 2))  # in m c
    nodes, weights = leggauss(400)
    total = np.zeros(_LEGENDRE + 2)
    for z, fraction in material.elements.items():
        # Screening angle: 1.13 + 3.76 (alpha Z / beta)^2 times hbar / (p a), a the
        # Thomas-Fermi radius 0.885 a_0 Z^(-1/3).
        angle2 = (_FINE_STRUCTURE * z ** (1 / 3) / 0.885 / momentum) ** 2
        angle2 *= 1.13 + 3.76 * (_FINE_STRUCTURE * z / beta) ** 2
        screening = angle2 / 2  # 2 eta
        # Nodes evenly spaced in ln(1 - cos + 2 eta), where the integrand is smooth.
        low, high = np.log(screening), np.log(2 + screening)
        shifted = np.exp(low + (high - low) * (nodes + 1) / 2)
        lost = np.clip(shifted - screening, 0.0, 2.0)  # 1 - cos
        half = np.sqrt(lost / 2)  # sine of half the angle
        spin = 1 - beta2 * half**2 + np.pi * _FINE_STRUCTURE * z * beta * half * (1 - half)
        density = spin / shifted**2 * shifted * weights * (high - low) / 2
        factor = z * (z + 1) * _RADIUS_CM**2 * (1 - beta2) / beta2**2 * 2 * np.pi
        factor *= fraction * _AVOGADRO / atomic_weight(z)
        total += factor * _one_minus_legendre(lost) @ density
    return float(total[1]), total / total[1]


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


def _deflections(moments: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """1 - cosine at the nodes of -ln(1 - r)."""
    lost = np.concatenate([[0.0], np.geomspace(1e-7, 2.0, 700)])
    differences = _one_minus_legendre(lost)
    order = np.arange(1, _LEGENDRE + 1)
    weight = np.exp(-strength * moments[1:-1])
    # Integral from the cosine to 1 of P_l is (P_{l-1} - P_{l+1}) / (2 l + 1).
    slices = differences[order + 1] - differences[order - 1]
    share = lost / 2 + weight @ slices / 2
    share = np.maximum.accumulate(np.clip(share, 0.0, 1.0))
    share /= share[-1]
    wanted = -np.expm1(-np.linspace(0, LARGEST_LOG, NODES))
    keep = np.concatenate([[True], np.diff(share) > 0])
    return np.asarray(np.interp(wanted, share[keep], lost[keep]))
