"""From a photon spectrum to the few numbers per voxel that the collapsed cone needs.

The beam hardens with depth and softens off axis, so the spectrum of the released
energy changes from voxel to voxel, and with it the deposition kernel. The spectra
that occur differ little, though: their principal components (Pearson) describe
them. With s(E) the mean released-energy spectrum and p_c(E) the components, the
released energy T(E) of any voxel is, to a part in a thousand,

    T(E) = T_0 s(E) + sum_c T_c p_c(E),
    T_0 = sum_E T(E),    T_c = sum_E T(E) (p_c(E) - p_c . s),

so the dose is T_0 spread by the kernel of s plus each T_c spread by the kernel
difference that belongs to p_c. T_0 holds all the energy and the others none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosecalc.core.terma import Spectral
from dosecalc.data.cross_sections import (
    Coefficients,
    coefficients,
    klein_nishina_scatter_spectrum,
)
from dosecalc.data.deposition import EnergyDepositionKernels
from dosecalc.data.electrons import extrapolated_range
from dosecalc.data.materials import Material
from dosecalc.engines.rescatter import (
    onward_kernel,
    rescatter_kernel,
    second_step,
)
from dosecalc.errors import OutsideValidityError
from dosecalc.model import RadialProfile, Spectrum

__all__ = [
    "Channels",
    "MaterialScaling",
    "energy_bins",
    "energy_shares",
    "make_channels",
    "material_scaling",
]

_LOWEST_MEV = 0.1
_BINS = 28
_BASIS = 4
_MEAN_ELECTRON_MEV = 1.0


@dataclass(frozen=True)
class Channels:
    """Spectral channels of primary and scattered energy.

    Parameters
    ----------
    energies : (ne,) float64, MeV
    primary_kernels, scatter_kernels : (channels, 48, 24) float64
        Kernel of each channel; the first sums to 1, the others to 0. The scatter
        kernels are those of photons that left the first interaction.
    later_ratio : float
        Energy deposited by photons scattered twice or more per energy deposited
        by the photons that left the first interaction, in unlimited water.
    onward_kernel, later_kernel : (1, 48, 24) float64
        Where once-scattered photons interact, by the energy they scatter on, and
        how that energy spreads from there; see `rescatter`.
    table : Spectral
        Tables for `dosecalc.core.terma.attenuate`; its channels are the primary
        ones followed by the scatter ones.
    """

    energies: NDArray[np.float64]
    primary_kernels: NDArray[np.float64]
    scatter_kernels: NDArray[np.float64]
    later_ratio: float
    onward_kernel: NDArray[np.float64]
    later_kernel: NDArray[np.float64]
    table: Spectral


@dataclass(frozen=True)
class MaterialScaling:
    """Ratios to water, per material, that scale water kernels; each (nm,) float64.

    electron_range : inverse of the extrapolated range (g/cm2) of electrons of 1 MeV
    scatter_range : attenuation per mass of once-scattered photons
    scatter_dose : energy absorbed per mass from once-scattered photons
    """

    electron_range: NDArray[np.float64]
    scatter_range: NDArray[np.float64]
    scatter_dose: NDArray[np.float64]


def energy_bins(spectrum: Spectrum) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean energy (MeV) and energy fluence per unit photon fluence (MeV) of up to 29 bins.

    Raises
    ------
    OutsideValidityError
        If more than 1 % of the energy is below 0.1 MeV, where the kernels begin.
    """
    steps = (np.arange(20) + 0.5) / 20
    low, high = spectrum.edges_low[:, None], spectrum.edges_high[:, None]
    energy = (low + (high - low) * steps).ravel()
    photons = np.repeat(spectrum.photons / steps.size, steps.size)
    energy_fluence = energy * photons
    low_share = float(energy_fluence[energy < _LOWEST_MEV].sum() / energy_fluence.sum())
    if low_share > 0.01:
        raise OutsideValidityError(
            f"spectrum {spectrum.name!r}: {low_share:.1%} of its energy is carried by photons "
            f"below {_LOWEST_MEV} MeV, where the deposition kernels begin; the collapsed cone "
            "is made for megavoltage beams"
        )
    edges = np.geomspace(_LOWEST_MEV, max(energy.max(), 0.2) * 1.0001, _BINS + 1)
    index = np.searchsorted(edges, energy)
    count = _BINS + 2
    carried = np.bincount(index, energy_fluence, count).astype(np.float64)
    mean = np.bincount(index, energy_fluence * energy, count).astype(np.float64)
    used = carried > 0
    return mean[used] / carried[used], carried[used]


def _basis(
    data: list[Coefficients], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Few functions of energy that span the attenuation of all materials.

    Returns the basis (nb, ne) and the coefficients (nm, nb). With no more
    materials than `_BASIS` the representation is exact; the tissues and light
    metals follow from four functions to 1e-3 because only three processes are at work.
    """
    attenuation = np.array([c.total for c in data], np.float64)
    if len(data) <= _BASIS:
        return attenuation, np.eye(len(data))
    scale = np.sqrt(weight / weight.sum())
    relative = attenuation / attenuation[0] * scale
    _, _, vectors = np.linalg.svd(relative, full_matrices=False)
    vectors = vectors[:_BASIS]
    return vectors * attenuation[0] / scale, relative @ vectors.T


def make_channels(
    spectrum: Spectrum,
    softening: RadialProfile | None,
    materials: list[Material],
    kernels: EnergyDepositionKernels,
    channels: int = 2,
) -> Channels:
    """Tables of one beam quality in the materials of one phantom, the first of which is water."""
    energies, energy_fluence = energy_bins(spectrum)
    channels = min(channels, energies.size)
    data = [coefficients(m, energies) for m in materials]
    water = data[0]
    primary, scatter = kernels.at("primary", energies), kernels.at("first", energies)
    primary /= primary.sum((1, 2), keepdims=True)
    scatter /= scatter.sum((1, 2), keepdims=True)
    # The analytic transfer says how the primary share changes with energy and material; the
    # kernels say what electrons keep of it (they lose a little to bremsstrahlung) and how
    # much of the scattered energy stays within the kernels' sphere.
    electrons_keep, scatter_kept, later_kept = _kept(materials[0], kernels, energies)
    primary_share = electrons_keep * water.to_electrons / water.total
    scatter_share = scatter_kept * (1 - primary_share)
    family = _spectra(energy_fluence, water.total, softening)
    primary_modes = _modes(family * primary_share, channels)
    scatter_modes = _modes(family * scatter_share, channels)
    release = np.empty((len(materials), 2 * channels, energies.size))
    for m, c in enumerate(data):
        to_primary = c.to_electrons * electrons_keep
        release[m, :channels] = to_primary * primary_modes.moments
        release[m, channels:] = (c.total - to_primary) * scatter_kept * scatter_modes.moments
    basis, coefficient = _basis(data, energy_fluence)
    radius, path, norm = _softening(softening, energy_fluence, water.total)
    released_mean = scatter_modes.shapes[0] / scatter_share
    onward = onward_kernel(kernels, materials[0], energies, released_mean)
    alone = rescatter_kernel(kernels, energies, released_mean)
    whole = np.tensordot(released_mean, kernels.at("later", energies), 1)
    later, within = second_step(onward, alone, whole, kernels)
    later_ratio = released_mean @ (later_kept * (1 - primary_share)) / within
    table = Spectral(
        energy_fluence=energy_fluence,
        basis=np.ascontiguousarray(basis),
        coefficients=np.ascontiguousarray(coefficient),
        release=release,
        softening_radius=radius,
        softening_path=path,
        softening_norm=norm,
        water_coefficients=np.ascontiguousarray(coefficient[0]),
    )
    return Channels(
        energies=energies,
        primary_kernels=np.tensordot(primary_modes.shapes, primary, 1),
        scatter_kernels=np.tensordot(scatter_modes.shapes, scatter, 1),
        later_ratio=float(later_ratio),
        onward_kernel=onward[None],
        later_kernel=later[None],
        table=table,
    )


def energy_shares(
    water: Material, kernels: EnergyDepositionKernels, energies: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Shares of a photon's energy that the kernels' sphere absorbs, at energies (n,), MeV.

    From the electrons of the first interaction, the photons that left it, and the photons
    scattered again.
    """
    electrons_keep, scatter_kept, later_kept = _kept(water, kernels, energies)
    c = coefficients(water, energies)
    primary = electrons_keep * c.to_electrons / c.total
    return primary, scatter_kept * (1 - primary), later_kept * (1 - primary)


def _kept(
    water: Material, kernels: EnergyDepositionKernels, energies: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Say what the kernels deposit of the electrons' energy and of the scattered, first and later.

    Both vary slowly with energy, so they can be interpolated where the energy
    fractions themselves, which curve, cannot.
    """
    nodes = kernels.energies_mev
    data = coefficients(water, nodes)
    primary = kernels.primary.sum((1, 2))
    electrons = primary / (data.to_electrons / data.total)
    first = kernels.first.sum((1, 2)) / (1 - primary)
    later = kernels.later.sum((1, 2)) / (1 - primary)
    return (
        np.interp(energies, nodes, electrons),
        np.interp(energies, nodes, first),
        np.interp(energies, nodes, later),
    )


@dataclass(frozen=True)
class _Modes:
    """shapes (channels, ne): s and the p_c; moments (channels, ne): what multiplies T(E)."""

    shapes: NDArray[np.float64]
    moments: NDArray[np.float64]


def _spectra(
    energy_fluence: NDArray[np.float64],
    attenuation: NDArray[np.float64],
    softening: RadialProfile | None,
) -> NDArray[np.float64]:
    """Spectra of the energy released in water at the depths and radii that occur."""
    most = 0.0 if softening is None else float(softening.value.max())
    depths = np.linspace(-most, 40.0, 41)
    return np.asarray(energy_fluence * attenuation * np.exp(-attenuation * depths[:, None]))


def _modes(released: NDArray[np.float64], channels: int) -> _Modes:
    spectra = released / released.sum(axis=1, keepdims=True)
    mean = spectra.mean(axis=0)
    components = np.linalg.svd(spectra - mean, full_matrices=False)[2][: channels - 1]
    # The sign of a singular vector is arbitrary; fixing it keeps results reproducible.
    components = components * np.sign(components[:, -1:] + 1e-300)
    # Differences of normalised spectra carry no energy; rounding must not give them any.
    components = components - components.sum(axis=1, keepdims=True) * mean
    if channels == 1:
        return _Modes(mean[None], np.ones((1, mean.size)))
    # Dual vectors, so that the moments of s + sum a_c p_c are exactly 1 and a_c.
    gram = components @ components.T
    dual = np.linalg.solve(gram, components)
    moments = np.vstack([np.ones(mean.size), dual - (dual @ mean)[:, None]])
    return _Modes(np.vstack([mean, components]), moments)


def _softening(
    softening: RadialProfile | None,
    energy_fluence: NDArray[np.float64],
    attenuation: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Radius (mm), water path taken off (g/cm2), factor that keeps the energy fluence."""
    if softening is None:
        return np.array([0.0, 1e6]), np.zeros(2), np.ones(2)
    gain = np.exp(attenuation * softening.value[:, None]) @ energy_fluence
    return softening.radius_mm, softening.value, energy_fluence.sum() / gain


def material_scaling(
    materials: list[Material],
    energies: NDArray[np.float64],
    energy_fluence: NDArray[np.float64],
) -> MaterialScaling:
    """Ratios to water for density scaling; the first material must be water.

    Radiological lengths of electrons go with the inverse of their extrapolated
    range, those of scattered photons with their attenuation. Their spectrum is that of
    single Compton scattering (Klein and Nishina) of the incident spectrum.
    """
    edges = np.geomspace(0.02, energies.max() * 1.001, 61)
    centres = np.sqrt(edges[1:] * edges[:-1])
    water = coefficients(materials[0], energies)
    scattered = klein_nishina_scatter_spectrum(energies, energy_fluence * water.total, edges)
    range_: list[float] = []
    attenuation: list[float] = []
    absorption: list[float] = []
    for material in materials:
        c = coefficients(material, centres)
        range_.append(1 / extrapolated_range(material, _MEAN_ELECTRON_MEV))
        attenuation.append(float(scattered @ c.total))
        absorption.append(float(scattered @ c.to_electrons))

    def ratio(values: list[float]) -> NDArray[np.float64]:
        return np.array(values) / values[0]

    return MaterialScaling(ratio(range_), ratio(attenuation), ratio(absorption))
