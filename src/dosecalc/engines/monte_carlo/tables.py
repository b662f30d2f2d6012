"""Tables that the Monte Carlo transport reads, made from the cross sections of materials."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from dosecalc.beam.fluence import Fluence
from dosecalc.core.transport.sampling import bremsstrahlung_shape
from dosecalc.core.transport.tables import Cuts, ElectronTables, PhotonTables, Source
from dosecalc.data.cross_sections import (
    ELECTRON_MASS_MEV,
    coefficients,
    partial_coefficients,
    thomson_cross_section,
)
from dosecalc.data.electron_transport import (
    LARGEST_LOG,
    annihilation_cross_section,
    bhabha_cross_section,
    deflections,
    moller_cross_section,
    moller_deflection,
    radiative_stopping_power,
    scattering_moments,
)
from dosecalc.data.electrons import collision_stopping_power
from dosecalc.data.materials import Material, load_material
from dosecalc.model import Grid

__all__ = ["HIGHEST_MEV", "LOWEST_PHOTON_MEV", "electron_tables", "photon_tables", "source_tables"]

LOWEST_PHOTON_MEV = 0.005
HIGHEST_MEV = 30.0

_PHOTON_NODES = 400
_LOWEST_ELECTRON_MEV = 0.05
_ELECTRON_NODES = 90

# Largest strength of a step, in transport mean free paths, and the largest share of its
# energy that an electron loses in it.
LARGEST_STRENGTH = 0.3
LARGEST_LOSS = 0.25

_SPECTRUM_RADII = 24


def photon_tables(names: tuple[str, ...]) -> PhotonTables:
    """Cross sections of the materials, XCOM's."""
    energies = np.geomspace(LOWEST_PHOTON_MEV, HIGHEST_MEV, _PHOTON_NODES)
    materials = [load_material(name) for name in names]
    parts = [partial_coefficients(material, energies) for material in materials]
    total = np.array([sum(p.values()) for p in parts])
    kinds = ("compton_incoherent", "photoelectric", "rayleigh")
    shares = np.array([np.stack([p[kind] for kind in kinds], axis=-1) for p in parts])
    step = float(np.log(energies[1] / energies[0]))
    return PhotonTables(
        float(np.log(energies[0])),
        1 / step,
        total,
        shares / total[..., None],
        np.array([_form(m, p["rayleigh"]) for m, p in zip(materials, parts, strict=True)]),
        np.array([_binding(material) for material in materials]),
    )


def _form(material: Material, coherent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the forward bias s of `rayleigh_cosine` with which the cross section is `coherent`.

    Without a form factor an atom would scatter as Z electrons in phase, 8/3 pi r_e^2 Z^2.
    """
    in_phase = thomson_cross_section(material, in_phase=True)
    u = np.linspace(0, 1, 2001)
    forms = np.geomspace(1e-4, 1e9, 400)
    # Evenly spaced in ln(1 + s u), where the forward peak is wide.
    shifted = (1 + forms[:, None]) ** u
    place = (shifted - 1) / forms[:, None]
    per_log = shifted**-3 * (1 + (1 - 2 * place) ** 2) / 2
    shares = np.trapezoid(per_log, u, axis=1) * np.log1p(forms) / forms / (2 / 3)
    return np.exp(np.interp(np.log(coherent / in_phase), np.log(shares[::-1]), np.log(forms[::-1])))


# Where binding takes a few per cent of the incoherent cross section.
_BOUND_MEV = 0.05


def _binding(material: Material) -> float:
    """Give what `compton` takes for binding, from its share of the cross section at 50 keV.

    Hydrogen's form is used for all elements; in it the momentum counts that is transferred, so
    the number goes with the square of the energy.
    """
    edges = np.geomspace(1e-8, 1, 20_001)
    u, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    ratio = 1 / (1 + 2 * _BOUND_MEV / ELECTRON_MASS_MEV * u)
    free = ratio**2 * (ratio + 1 / ratio - 4 * u * (1 - u)) * width
    found = partial_coefficients(material, np.array([_BOUND_MEV]))["compton_incoherent"][0]
    # Klein and Nishina: 2 pi r_e^2 = 3/4 of Thomson's cross section, for each electron.
    share = found / (free.sum() * 0.75 * thomson_cross_section(material, in_phase=False))

    def surplus(log_binding: float) -> float:
        bound = 1 - (1 + np.exp(log_binding) * u) ** -4
        return float(free @ bound / free.sum() - share)

    return float(np.exp(brentq(surplus, 0.0, 15.0))) / _BOUND_MEV**2


def electron_tables(
    names: tuple[str, ...],
    cuts: Cuts,
    largest_strength: float = LARGEST_STRENGTH,
    largest_loss: float = LARGEST_LOSS,
) -> ElectronTables:
    """Make the tables of what electrons do in the materials."""
    cuts = cuts._replace(confined=0.0, splitting=1)
    return _electron_tables(names, cuts, largest_strength, largest_loss)


@lru_cache(maxsize=8)
def _electron_tables(
    names: tuple[str, ...], cuts: Cuts, largest_strength: float, largest_loss: float
) -> ElectronTables:
    energies = np.geomspace(_LOWEST_ELECTRON_MEV, HIGHEST_MEV, _ELECTRON_NODES)
    materials = [load_material(name) for name in names]
    rates: list[NDArray[np.float64]] = []
    positron_rates: list[NDArray[np.float64]] = []
    screening, moments = [], []
    for material in materials:
        limit = 183 / _mean_z(material) ** (1 / 3) * np.exp(0.5)
        soft, photons = _bremsstrahlung(material, energies, cuts.bremsstrahlung, float(limit))
        elastic, series = scattering_moments(material, energies)
        scatter = elastic - moller_deflection(material, energies, cuts.knock_on)
        for positron, columns in ((False, rates), (True, positron_rates)):
            stopping = soft + np.array(
                [
                    collision_stopping_power(material, float(e), cuts.knock_on, positron=positron)
                    for e in energies
                ]
            )
            freed = bhabha_cross_section if positron else moller_cross_section
            knock_on = freed(material, energies, cuts.knock_on)
            vanish = annihilation_cross_section(material, energies) * positron
            hard = knock_on + vanish + photons
            shares = np.divide(
                [knock_on, vanish], hard, out=np.zeros((2, hard.size)), where=hard > 0
            )
            path = _path_length(energies, stopping, cuts.electron)
            columns.append(np.stack([stopping, scatter, hard, *shares, path], axis=-1))
        screening.append(limit)
        moments.append(series)
    both = np.array(rates + positron_rates)
    strength = np.minimum(
        largest_strength, (largest_loss * energies * both[..., 1] / both[..., 0]).min(axis=0)
    )
    # A step that ends in the table's lowest bins needs no finer distribution than the others.
    strength = np.maximum(strength, 1e-3)
    return ElectronTables(
        first=float(np.log(energies[0])),
        per_step=float(1 / np.log(energies[1] / energies[0])),
        rates=both,
        screening=np.array(screening),
        strength=strength,
        deflection=np.array([deflections(series, strength) for series in moments]),
        largest_log=LARGEST_LOG,
    )


def _path_length(
    energies: NDArray[np.float64], power: NDArray[np.float64], last: float
) -> NDArray[np.float64]:
    """Path, g/cm2, to an energy where it ends: the longest, as hard collisions are left out."""
    per_log = energies / power
    steps = np.diff(np.log(energies)) * (per_log[1:] + per_log[:-1]) / 2
    path = np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(path - np.interp(np.log(last), np.log(energies), path))


def _mean_z(material: Material) -> float:
    """Mean atomic number, as bremsstrahlung sees it: weighted with Z^2 per atom."""
    weights = {z: w * z for z, w in material.elements.items()}
    return sum(z * weight for z, weight in weights.items()) / sum(weights.values())


def _bremsstrahlung(
    material: Material, energies: NDArray[np.float64], cutoff: float, screening: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Loss, MeV cm2/g, to photons below the cut-off, and cross section, cm2/g, for those above.

    The shape of the spectrum is that of `bremsstrahlung_shape`, its energy the radiative
    stopping power.
    """
    total = radiative_stopping_power(material, energies)
    soft, photons = np.zeros_like(energies), np.zeros_like(energies)
    for index, energy in enumerate(energies):
        edges = np.geomspace(1e-5 * energy, energy, 801)
        middle = np.sqrt(edges[1:] * edges[:-1])
        shape = np.array([bremsstrahlung_shape(energy, k, screening) for k in middle])
        energy_in = shape * np.diff(edges)
        scale = total[index] / energy_in.sum()
        below = np.clip((cutoff - edges[:-1]) / np.diff(edges), 0, 1)
        soft[index] = scale * float((energy_in * below).sum())
        above = (edges[1:] - np.clip(cutoff, edges[:-1], edges[1:])) / np.diff(edges)
        photons[index] = scale * float((energy_in * above / middle).sum())
    return soft, photons


def source_tables(fluence: Fluence, grid: Grid) -> tuple[Source, float]:
    """Source of a beam for the transport, and how many photons a unit of its map stands for.

    Per solid angle the photons are the map's value times the square of its distance
    (see `Fluence`); a pixel at (u, v) covers du dv sad / (u^2 + v^2 + sad^2)^(3/2).
    """
    rows, columns = fluence.values.shape
    u = fluence.u0 + (np.arange(columns) + 0.5) * fluence.pixel_u
    v = fluence.v0 + (np.arange(rows) + 0.5) * fluence.pixel_v
    sad = fluence.sad_mm
    slant = (u**2 + v[:, None] ** 2 + sad**2) ** 1.5
    radius = np.hypot(u, v[:, None])
    radii, spectrum, gain = _spectra(fluence, float(radius.max()))
    photons = fluence.values * sad**3 / slant * fluence.pixel_u * fluence.pixel_v / 100
    photons = photons * np.interp(radius, radii, gain)
    total = float(photons.sum())
    lower = np.array(grid.origin) - np.array(grid.spacing) / 2
    source = Source(
        place=(fluence.source - lower) / 10,
        axes=np.ascontiguousarray(fluence.axes),
        distance=sad / 10,
        cumulative=np.cumsum(photons.ravel().astype(np.float64)) / total,
        columns=columns,
        u0=fluence.u0 / 10,
        v0=fluence.v0 / 10,
        pixel_u=fluence.pixel_u / 10,
        pixel_v=fluence.pixel_v / 10,
        energies=fluence.spectrum.edges_low.astype(np.float64),
        widths=(fluence.spectrum.edges_high - fluence.spectrum.edges_low).astype(np.float64),
        radii=radii / 10,
        spectrum=spectrum,
    )
    return source, total


def _spectra(
    fluence: Fluence, reach: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Radii, mm, cumulative photons per bin there, and photons relative to the axis.

    Softened as the deterministic engines do: the map is of the energy fluence, which
    softening leaves as it is, so there are more photons where they are softer.
    """
    photons = np.asarray(fluence.spectrum.photons, np.float64)
    radii = np.linspace(0.0, max(reach, 1.0), _SPECTRUM_RADII)
    spectra = np.tile(photons, (radii.size, 1))
    if fluence.softening is not None:
        middle = (fluence.spectrum.edges_low + fluence.spectrum.edges_high) / 2
        attenuation = coefficients(load_material("water"), middle).total
        path = np.interp(radii, fluence.softening.radius_mm, fluence.softening.value)
        spectra *= np.exp(path[:, None] * attenuation)
        spectra *= (photons @ middle / (spectra @ middle))[:, None]
    cumulative = np.cumsum(spectra, axis=1)
    gain = cumulative[:, -1] / photons.sum()
    return radii, np.ascontiguousarray(cumulative / cumulative[:, -1:]), gain
