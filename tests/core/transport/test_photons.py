"""Photons: attenuation, splitting, energy balance and the same bits on any number of threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.core.transport.batch import run_batches
from dosecalc.core.transport.tables import Cuts, ElectronTables, Matter, PhotonTables, Source
from dosecalc.data.cross_sections import partial_coefficients
from dosecalc.data.materials import load_material
from dosecalc.engines.monte_carlo.tables import electron_tables, photon_tables
from tests.core.transport.cases import CUTS, MATERIALS, column, photon_beam
from tests.core.transport.cases import matter as voxels

Array = NDArray[np.float64]

# All that an interaction sets free is absorbed where it happens, but for annihilation photons.
ON_THE_SPOT = CUTS._replace(electron=1000.0, photon=1000.0)
ENERGIES = [0.03, 0.1, 0.5, 1.25, 2.0, 6.0, 15.0]


@pytest.fixture(scope="module")
def electrons() -> ElectronTables:
    return electron_tables(MATERIALS, CUTS)


@pytest.fixture(scope="module")
def photons() -> PhotonTables:
    """Without coherent scattering, after which a photon cannot be told from one that passed."""
    tables = photon_tables(MATERIALS)
    kept = 1 - tables.shares[..., 2]
    shares = tables.shares / kept[..., None]
    shares[..., 2] = 0
    return tables._replace(total=tables.total * kept, shares=shares)


def attenuation(name: str, energy: float) -> float:
    """XCOM's mass attenuation without coherent scattering, cm2/g."""
    parts = partial_coefficients(load_material(name), np.array([energy]))
    return float(sum(value[0] for kind, value in parts.items() if kind != "rayleigh"))


def passed(left: Array, energy: float) -> Array:
    """Photons that left with all their energy: more than two annihilation photons could."""
    return np.asarray(left >= energy * (1 - 1e-9))


@pytest.mark.parametrize("energy", ENERGIES)
def test_narrow_beam_attenuation(
    energy: float, photons: PhotonTables, electrons: ElectronTables
) -> None:
    """Share of photons with no interaction in layers of two materials, within 3 sigma."""
    density = np.tile([1.0, 0.3, 0.0, 1.8, 0.5], 4)
    kinds = np.tile(np.array([0, 0, 1, 1, 1], np.uint8), 4)
    depths = [
        density[kinds == number].sum() * attenuation(name, energy)
        for number, name in enumerate(MATERIALS)
    ]
    layer = 1.5 / sum(depths)  # 1.5 mean free paths in all
    matter = voxels(density.reshape(-1, 1, 1), (2e5, 2e5, layer), kinds.reshape(-1, 1, 1))
    count, first = 100_000, int(energy * 1000) * 1_000_000
    tally = np.zeros(matter.density.shape)
    left = photon_beam(matter, photons, electrons, ON_THE_SPOT, energy, first, count, tally)
    share = np.exp(-1.5)
    sigma = np.sqrt(share * (1 - share) / count)
    assert passed(left, energy).mean() == pytest.approx(share, abs=3 * sigma)
    assert tally[2::5].max() == 0


@pytest.mark.parametrize("energy", [0.03, 0.1, 0.5, 1.0])
def test_mean_free_path(energy: float, photons: PhotonTables, electrons: ElectronTables) -> None:
    """Mean depth of the first interaction; all photons have one within 30 mean free paths."""
    free_path = 1 / attenuation("water", energy)
    layer, count = free_path / 20, 50_000
    tally = np.zeros((600, 1, 1))
    first = int(energy * 1000) * 1_000_000
    matter = column(layer, np.ones(600))
    photon_beam(matter, photons, electrons, ON_THE_SPOT, energy, first, count, tally)
    assert tally.sum() == pytest.approx(energy * count, rel=1e-9)
    mean = tally[:, 0, 0] @ ((np.arange(600) + 0.5) * layer) / tally.sum()
    # 4 sigma of an exponential distribution; the layers' middles are 0.02 % too deep.
    assert mean == pytest.approx(free_path, rel=4 / np.sqrt(count) + 2e-4)


@pytest.mark.parametrize("energy", [0.1, 1.0])
def test_split_photons_thin_out_as_whole_ones(
    energy: float, photons: PhotonTables, electrons: ElectronTables
) -> None:
    """Weight that passes: the same mean, and never more than one part off it.

    Below 1 MeV there are fewer parts, in proportion to the energy.
    """
    splitting, depth = 32, 1.5
    parts = min(splitting, 1 + int(splitting * energy))
    matter = column(depth / attenuation("water", energy) / 8, np.ones(8))
    cuts = ON_THE_SPOT._replace(splitting=splitting)
    count = 5_000
    left = photon_beam(matter, photons, electrons, cuts, energy, 0, count, np.zeros((8, 1, 1)))
    weight = left / energy
    assert np.abs(weight - np.exp(-depth)).max() < 1 / parts
    # The interactions lie evenly, so that the spread is less than a part's.
    assert weight.mean() == pytest.approx(np.exp(-depth), abs=4 * 0.5 / parts / np.sqrt(count))


def batches(
    energy: float,
    photons: PhotonTables,
    electrons: ElectronTables,
    cuts: Cuts,
    count: int,
    seed: int = 1,
    number: int = 10,
) -> tuple[Array, Array]:
    """Tallies and balance of a 4 x 4 cm2 beam from 20 cm on 12 cm of water, bone and lung."""
    density = np.ones((12, 10, 10))
    density[3:5] = 1.8
    density[6:9, :, :5] = 0.2
    kinds = np.zeros(density.shape, np.uint8)
    kinds[3:5] = 1
    matter: Matter = voxels(density, (1.0, 1.0, 1.0), kinds)
    source = Source(
        place=np.array([5.0, 5.0, -20.0]),
        axes=np.eye(3),
        distance=20.0,
        cumulative=np.array([0.25, 0.5, 0.75, 1.0]),
        columns=2,
        u0=-2.0,
        v0=-2.0,
        pixel_u=2.0,
        pixel_v=2.0,
        energies=np.array([energy]),
        widths=np.zeros(1),
        radii=np.array([0.0, 10.0]),
        spectrum=np.ones((2, 1)),
    )
    tallies, balance = np.zeros((number, *density.shape)), np.zeros((number, 2))
    firsts = np.arange(number, dtype=np.int64) * count
    run_batches(
        matter, photons, electrons, source, cuts, seed, firsts, count, 1.0, tallies, balance
    )
    return tallies, balance


@pytest.mark.parametrize("energy", [0.1, 1.0, 6.0, 20.0])
def test_energy_balance(energy: float, photons: PhotonTables, electrons: ElectronTables) -> None:
    """To rounding, pairs and their annihilation included: nothing is drawn by lot."""
    tallies, balance = batches(energy, photons, electrons, CUTS, 500)
    assert tallies.min() >= 0
    np.testing.assert_allclose(balance[:, 0], energy * 500, rtol=1e-12)
    absorbed = tallies.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(absorbed + balance[:, 1], balance[:, 0], rtol=1e-11)
    assert 0.05 < absorbed.sum() / balance[:, 0].sum() < 0.95


@pytest.mark.parametrize("energy", [0.1, 1.0, 6.0, 20.0])
def test_splitting_changes_no_mean(
    energy: float, photons: PhotonTables, electrons: ElectronTables
) -> None:
    """Energy absorbed in all, in the thin part and in bone, and the balance, within 4 sigma."""
    plain, _ = batches(energy, photons, electrons, CUTS, 2_000)
    cuts = CUTS._replace(splitting=32)
    split, balance = batches(energy, photons, electrons, cuts, 400, seed=2)

    def agree(first: Array, second: Array) -> None:
        errors = [np.std(part, ddof=1) / np.sqrt(part.size) for part in (first, second)]
        assert first.mean() == pytest.approx(second.mean(), abs=4 * np.hypot(*errors))

    for part in (np.s_[:, :], np.s_[:, 6:9, :, :5], np.s_[:, 3:5], np.s_[:, :, :3]):
        agree(*(t[part].reshape(10, -1).sum(axis=1) / n for t, n in ((plain, 2_000), (split, 400))))
    kept = split.sum(axis=(1, 2, 3)) + balance[:, 1]
    agree(kept / 400, np.full(10, energy))


def test_same_bits_on_any_number_of_threads(
    photons: PhotonTables, electrons: ElectronTables
) -> None:
    cuts = CUTS._replace(splitting=8)
    before = numba.get_num_threads()
    results = []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            results.append(batches(6.0, photons, electrons, cuts, 200, number=6))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    other, _ = batches(6.0, photons, electrons, cuts, 200, seed=2, number=6)
    assert not np.array_equal(other, results[0][0])
