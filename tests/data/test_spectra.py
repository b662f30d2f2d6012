"""Shipped spectra: complete, unchanged, refused by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from dosecalc.data.spectra import list_spectra, load_spectrum, monoenergetic, spectrum_sha256
from dosecalc.errors import InputError

NEEDED = {"mohan4", "mohan6", "mohan10", "mohan15", "mohan24", "co60", "bareco60", "cs137"}


def test_the_promised_spectra_are_there() -> None:
    assert set(list_spectra()) >= NEEDED | {"mohan6-unfiltered"}


@pytest.mark.parametrize("name", list_spectra())
def test_every_spectrum_loads_and_says_where_it_is_from(name: str) -> None:
    spectrum = load_spectrum(name)
    assert spectrum.name == name
    assert spectrum.photons.sum() == pytest.approx(1)
    # Histograms without gaps or overlaps.
    np.testing.assert_array_equal(spectrum.edges_low[1:], spectrum.edges_high[:-1])
    text = (files("dosecalc.data.kernels.spectra") / f"{name}.csv").read_text()
    assert "# source:" in text
    assert len(spectrum_sha256(name)) == 64


@pytest.mark.reference
@pytest.mark.parametrize("name", sorted(set(list_spectra()) - {"mohan6-unfiltered"}))
def test_carried_spectra_are_those_of_the_reference(name: str, reference: Path) -> None:
    shipped = (files("dosecalc.data.kernels.spectra") / f"{name}.csv").read_bytes()
    assert shipped == (reference / "spectra" / f"{name}.csv").read_bytes()


def test_mean_energies() -> None:
    # Bare cobalt: the mean of the 1.17 and 1.33 MeV lines. Mohan et al. 1985 give 1.92 MeV
    # for 6 MV and 4.11 MeV for 15 MV with finer bins than are carried here.
    assert load_spectrum("bareco60").mean_energy_mev == pytest.approx(1.253, abs=0.003)
    assert load_spectrum("mohan6").mean_energy_mev == pytest.approx(1.9, abs=0.03)
    assert load_spectrum("mohan15").mean_energy_mev == pytest.approx(4.1, abs=0.1)


def test_filter_free_spectrum_is_softer() -> None:
    flat, free = load_spectrum("mohan6"), load_spectrum("mohan6-unfiltered")
    np.testing.assert_array_equal(free.edges_high, flat.edges_high)
    # Published Monte Carlo has the mean energy of 6 MV beams fall by a fifth or so on the
    # axis without the filter (Georg, Knoos and McClean, Med Phys 38:1280 (2011)).
    assert 0.75 < free.mean_energy_mev / flat.mean_energy_mev < 0.88
    # More of every energy below the mean, relative to the top bin.
    gain = free.photons / flat.photons
    assert (np.diff(gain[flat.edges_high < 2.0]) < 0).all()


def test_monoenergetic() -> None:
    line = monoenergetic(1.25)
    assert (line.edges_low[0], line.edges_high[0], line.photons[0]) == (1.25, 1.25, 1.0)
    assert line.name == "1.25 MeV"
    with pytest.raises(InputError, match="photon energy"):
        monoenergetic(0.0)


def test_unknown_names_are_refused_with_the_list() -> None:
    with pytest.raises(InputError, match=r"'mohan7'.*mohan6"):
        load_spectrum("mohan7")
    with pytest.raises(InputError):
        load_spectrum("../machines/generic-6mv")
