"""The energy deposition kernels: their sums, interpolation, limits and protection."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.data import deposition
from dosecalc.data.cross_sections import coefficients
from dosecalc.data.deposition import EnergyDepositionKernels, load_kernels
from dosecalc.data.materials import load_material
from dosecalc.errors import OutsideValidityError, PhysicalDataError


@pytest.fixture(scope="module")
def kernels() -> EnergyDepositionKernels:
    return load_kernels()


def mean_range(kernels: EnergyDepositionKernels, kernel: NDArray[np.float64]) -> float:
    """Mean distance, cm, from the interaction to the deposition."""
    edges = kernels.shell_edges_cm
    shells = kernel.sum(axis=0)
    return float(shells @ (edges[1:] + edges[:-1]) / 2 / shells.sum())


def test_primary_share_is_that_of_the_cross_sections(kernels: EnergyDepositionKernels) -> None:
    """What electrons keep is what they were given less what they radiate."""
    data = coefficients(load_material("water"), kernels.energies_mev)
    share = kernels.primary.sum(axis=(1, 2)) / (data.to_electrons / data.total)
    energies = kernels.energies_mev
    # A million histories: 0.1 % of noise. Below 0.3 MeV bound electrons get up to 1.1 % more than
    # the free ones of the coefficients.
    low = (energies >= 0.3) & (energies <= 1)
    np.testing.assert_allclose(share[low], 1, atol=0.003)
    assert share[0] == pytest.approx(1.01, abs=0.005)
    # The electrons of 2 MeV photons radiate 0.5 %, those of 20 MeV 8 %.
    assert share[energies == 2][0] == pytest.approx(0.995, abs=0.002)
    assert (np.diff(share[energies >= 1.5]) < 0).all() and share[-1] > 0.92


@pytest.mark.reference
def test_parts_are_those_of_egsnrc(kernels: EnergyDepositionKernels, reference: Path) -> None:
    """Share of the energy in each part, at all energies that both have, to 0.2 % of it."""
    for energy in (0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0):
        i = int(np.flatnonzero(kernels.energies_mev == energy)[0])
        with np.load(reference / f"edk_water_{energy:g}MeV.npz") as data:
            first = data["first_scatter"] + data["radiative"]
            later = data["second_scatter"] + data["multiple_scatter"]
            parts = ((kernels.primary, data["primary"]), (kernels.first, first))
            for own, other in (*parts, (kernels.later, later)):
                assert own[i].sum() == pytest.approx(other.sum(), abs=0.002)


def test_no_more_energy_than_the_photon_had(kernels: EnergyDepositionKernels) -> None:
    total = (kernels.primary + kernels.first + kernels.later).sum(axis=(1, 2))
    # Some escapes from the sphere of 60 cm, and the sums carry rounding of the run's output.
    assert (total < 1.0005).all() and (total > 0.925).all()
    for name in ("primary", "once", "first", "later"):
        assert (getattr(kernels, name) >= 0).all()
    assert (kernels.once <= kernels.first + 1e-12).all()


def test_electrons_go_forward_and_farther_with_energy(kernels: EnergyDepositionKernels) -> None:
    ranges = [mean_range(kernels, k) for k in kernels.primary]
    # Up to 0.2 MeV all stays in the first shell.
    assert (np.diff(ranges) >= 0).all()
    assert (np.diff(ranges)[kernels.energies_mev[:-1] >= 0.2] > 0).all()
    forward = kernels.primary[:, :24].sum((1, 2)) / kernels.primary.sum((1, 2))
    assert (forward[kernels.energies_mev >= 1] > 0.9).all()


def test_tabulated_energies_come_back(kernels: EnergyDepositionKernels) -> None:
    np.testing.assert_allclose(
        kernels.at("first", kernels.energies_mev), kernels.first, rtol=1e-12, atol=1e-18
    )
    below = kernels.at("primary", np.array([0.05]))[0]
    np.testing.assert_array_equal(below, kernels.primary[0])


@pytest.mark.parametrize("left_out", [3.0, 4.0, 6.0, 8.0, 10.0])
def test_interpolation_keeps_the_mean_range(
    kernels: EnergyDepositionKernels, left_out: float
) -> None:
    """A kernel left out of the table is found again from its neighbours."""
    i = int(np.flatnonzero(kernels.energies_mev == left_out)[0])
    names = ("energies_mev", "primary", "once", "first", "later")
    thinned = replace(kernels, **{n: np.delete(getattr(kernels, n), i, axis=0) for n in names})
    found = thinned.at("primary", np.array([left_out]))[0]
    # Twice the shipped spacing is bridged; the curvature of range against energy is worth up
    # to 2.6 % there, and a quarter of that with the whole table.
    assert mean_range(kernels, found) == pytest.approx(
        mean_range(kernels, kernels.primary[i]), rel=0.03
    )
    assert found.sum() == pytest.approx(kernels.primary[i].sum(), rel=0.02)


def test_stretched_above_the_last_energy(kernels: EnergyDepositionKernels) -> None:
    last = float(kernels.energies_mev[-1])
    at_last, above = kernels.at("primary", np.array([last, 1.5 * last]))
    ratio = mean_range(kernels, above) / mean_range(kernels, at_last)
    # Energy is taken as even within a shell when it is moved, which shells as wide as half
    # their radius make 2.1 % too long.
    assert ratio == pytest.approx(1.5, rel=0.025)
    assert above.sum() == pytest.approx(at_last.sum(), rel=1e-6)  # none leaves the sphere


def test_refused_above_thirty(kernels: EnergyDepositionKernels) -> None:
    with pytest.raises(OutsideValidityError, match=r"30\.1 MeV"):
        kernels.at("primary", np.array([1.0, 30.1]))


def test_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = files("dosecalc.data.kernels")
    content = bytearray((shipped / "edk_water.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "edk_water.npz").write_bytes(content)
    (tmp_path / "edk_water.json").write_bytes((shipped / "edk_water.json").read_bytes())
    monkeypatch.setattr(deposition, "files", lambda _: tmp_path)
    with pytest.raises(PhysicalDataError, match=r"edk_water.npz.*install the package again"):
        load_kernels.__wrapped__()
