"""Photon coefficients against NIST's tables and closed formulas."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.data.cross_sections import (
    ELECTRON_MASS_MEV,
    _atomic,
    coefficients,
    klein_nishina_scatter,
    klein_nishina_scatter_spectrum,
    klein_nishina_transfer,
)
from dosecalc.data.materials import Material, list_materials, load_material
from dosecalc.errors import PhysicalDataError

# NIST, Hubbell and Seltzer (NISTIR 5632): energy, MeV; mu/rho and mu_en/rho, cm2/g.
WATER = np.array(
    [
        (0.1, 0.1707, 0.02546),
        (0.5, 0.09687, 0.03299),
        (1.0, 0.07072, 0.03103),
        (1.25, 0.06323, 0.02965),
        (2.0, 0.04942, 0.02608),
        (4.0, 0.03403, 0.02066),
        (6.0, 0.02770, 0.01806),
        (10.0, 0.02219, 0.01566),
        (20.0, 0.01813, 0.01382),
    ]
).T
ALUMINIUM = np.array([(0.1, 0.1704), (1.0, 0.06146), (10.0, 0.02318)]).T


def test_attenuation_against_nist() -> None:
    # EGSnrc's tables leave out the radiative correction of Compton scattering: 0.2 % less.
    water = coefficients(load_material("water"), WATER[0])
    np.testing.assert_allclose(water.total, WATER[1], rtol=0.005)
    metal = coefficients(load_material("aluminium"), ALUMINIUM[0])
    np.testing.assert_allclose(metal.total, ALUMINIUM[1], rtol=0.005)


def test_energy_to_electrons_against_energy_absorbed() -> None:
    """mu_tr is mu_en and the bremsstrahlung that electrons make: little at 1 MeV, 4 % at 10."""
    energy, _, absorbed = WATER
    ratio = coefficients(load_material("water"), energy).to_electrons / absorbed
    low = energy <= 1.25
    # Klein and Nishina's electrons are free; bound ones get 1.2 % more at 0.1 MeV.
    np.testing.assert_allclose(ratio[low], 1, atol=0.015)
    np.testing.assert_allclose(ratio[low & (energy > 0.3)], 1, atol=0.003)
    assert (np.diff(ratio[~low]) > 0).all()
    assert 1.02 < ratio[energy == 10] < 1.05


@pytest.mark.parametrize("name", list_materials())
def test_electrons_never_get_more_than_the_photon_has(name: str) -> None:
    found = coefficients(load_material(name), np.geomspace(0.01, 30, 60))
    assert (found.to_electrons > 0).all()
    assert (found.to_electrons < found.total).all()


def klein_nishina_formulas(energy: float) -> float:
    """Mean energy share of the electron, from the integrated cross sections.

    Attix, Introduction to Radiological Physics (1986), eqs 7.15 and 7.22.
    """
    a = energy / ELECTRON_MASS_MEV
    b, log = 1 + 2 * a, np.log1p(2 * a)
    total = (1 + a) / a**2 * (2 * (1 + a) / b - log / a) + log / (2 * a) - (1 + 3 * a) / b**2
    transfer = (
        2 * (1 + a) ** 2 / (a**2 * b)
        - (1 + 3 * a) / b**2
        - (1 + a) * (2 * a**2 - 2 * a - 1) / (a**2 * b**2)
        - 4 * a**2 / (3 * b**3)
        - ((1 + a) / a**3 - 1 / (2 * a) + 1 / (2 * a**3)) * log
    )
    return float(transfer / total)


def test_klein_nishina_transfer() -> None:
    energies = np.array([0.1, 0.5, 1.0, 3.0, 10.0, 20.0])
    expected = [klein_nishina_formulas(e) for e in energies]
    assert expected[2] == pytest.approx(0.440, abs=5e-4)  # as textbooks tabulate it
    # 400 steps in the cosine of an integrand that peaks forward, at 20 MeV within 1/40.
    np.testing.assert_allclose(klein_nishina_transfer(energies), expected, rtol=2.5e-3)
    np.testing.assert_allclose(klein_nishina_transfer(energies)[:4], expected[:4], rtol=1.5e-4)


def test_scattered_energy_is_what_the_electron_does_not_get() -> None:
    energies = np.array([0.3, 1.0, 6.0])
    cosine = (np.arange(400) + 0.5) / 200 - 1
    scattered, carried = klein_nishina_scatter(energies, cosine)
    np.testing.assert_allclose(
        carried.sum(axis=1), 1 - klein_nishina_transfer(energies), rtol=1e-12
    )
    # Compton's formula at 90 degrees, and nothing lost straight ahead; 1e-2 for half a step.
    right_angle = energies / (1 + energies / ELECTRON_MASS_MEV)
    np.testing.assert_allclose(scattered[:, 199:201].mean(axis=1), right_angle, rtol=1e-4)
    np.testing.assert_allclose(scattered[:, -1], energies, rtol=0.03)
    assert (np.diff(scattered, axis=1) > 0).all()


def test_spectrum_of_scattered_photons() -> None:
    edges = np.linspace(0.0, 2.0, 101)
    share = klein_nishina_scatter_spectrum(np.array([1.0]), np.ones(1), edges)
    assert share.sum() == pytest.approx(1)
    lowest = 1 / (1 + 2 / ELECTRON_MASS_MEV)  # scattered straight back
    assert (share[edges[1:] < lowest] == 0).all() and (share[edges[:-1] > 1.0] == 0).all()


def test_pair_production_starts_at_its_threshold() -> None:
    energies = np.array([0.9, 1.0219, 1.03, 1.25, 2.0, 2.05, 2.2])
    pair, triplet = (_atomic(8, name, energies) for name in ("pair_nuclear", "triplet"))
    assert (pair[energies < 2 * ELECTRON_MASS_MEV] == 0).all()
    assert (triplet[energies < 4 * ELECTRON_MASS_MEV] == 0).all()
    assert (np.diff(pair[1:]) > 0).all() and (np.diff(triplet[4:]) > 0).all()
    # Barely above it there is next to none: 1.25 MeV has less than 0.1 % of the interactions.
    assert 0 < pair[3] < 1e-3 * _atomic(8, "compton_incoherent", energies)[3]


def test_element_without_data_is_refused() -> None:
    exotic = Material("exotic", 1.0, {1: 0.5, 93: 0.5}, "nowhere")
    with pytest.raises(PhysicalDataError, match="93"):
        coefficients(exotic, np.ones(1))
