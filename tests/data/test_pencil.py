"""The shipped pencil kernels: their energy, their recipe, their limits."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from dosecalc.data.cross_sections import coefficients
from dosecalc.data.deposition import load_kernels
from dosecalc.data.materials import load_material
from dosecalc.data.pencil import load_pencil_kernels
from dosecalc.engines.spectral import energy_shares
from dosecalc.errors import OutsideValidityError

WATER = load_material("water")
RECIPE = Path(__file__).parents[2] / "kernels" / "make_pencil_kernels.py"


def test_energy_is_what_the_photons_lose() -> None:
    """Primary energy over all depths: what the first interactions give to electrons.

    Less what leaves through the surface or is carried below 60 cm: 0.3 % at these energies.
    """
    kernels, energies = load_pencil_kernels(), np.array([0.5, 1.25, 3.0])
    mu = coefficients(WATER, energies).total
    depths = np.linspace(0.01, 59.9, 6000)
    share, _, _ = energy_shares(WATER, load_kernels(), energies)
    for n in range(energies.size):
        curve = np.interp(depths, kernels.depths_cm, kernels.at("primary", energies)[n, 0])
        absorbed = np.trapezoid(curve * np.exp(-mu[n] * depths), depths)
        expected = share[n] * (1 - np.exp(-mu[n] * 59.9))
        assert absorbed == pytest.approx(expected, rel=0.003)


def test_scatter_falls_with_frequency_and_is_less_at_the_surface() -> None:
    kernels = load_pencil_kernels()
    scatter = kernels.at("scatter", np.array([1.25]))[0]
    assert (np.diff(scatter[:40], axis=0) <= 1e-4 * scatter[0]).all()
    # At the surface only what is scattered back arrives.
    mu = coefficients(WATER, np.array([1.25])).total[0]
    curve = scatter[0] * np.exp(-mu * kernels.depths_cm)
    assert 0.15 < curve[0] / curve.max() < 0.35


def test_recipe_makes_what_is_shipped() -> None:
    spec = importlib.util.spec_from_file_location("make_pencil_kernels", RECIPE)
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    kernels, number = load_pencil_kernels(), 20
    energy = float(kernels.energies_mev[number])
    mu = coefficients(WATER, np.array([energy])).total[0]
    made = recipe.pencil(energy)[..., recipe.depth_layers()]
    made *= np.exp(mu * kernels.depths_cm) / energy
    for part, name in enumerate(("primary", "scatter")):
        shipped = getattr(kernels, name)[number]
        np.testing.assert_allclose(made[part], shipped, atol=1e-6 * shipped.max())


def test_energies_above_the_table_are_refused() -> None:
    with pytest.raises(OutsideValidityError, match="20 MeV"):
        load_pencil_kernels().at("primary", np.array([21.0]))
