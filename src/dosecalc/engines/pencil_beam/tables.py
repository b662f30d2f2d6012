"""From a photon spectrum to the few products of depth and place that a pencil beam is made of.

The pencil kernel of a spectrum with energy fluence psi(E),

    K(k, d) = sum_E psi(E) exp(-mu(E) d) k_E(k, d),

k the spatial frequency across the beam and d the depth, is close to a sum of few products,

    K(k, d) = sum_i w_i(k) a_i(d),

the largest of its singular value decomposition (Bortfeld, Schlegel and Rhein, Med Phys 20:311
(1993), did so for doses). A field's dose is then the sum of a_i(d) times its fluence
convolved with w_i. Off axis the spectrum is softer: between the axis (q = 0) and the softest
there is (q = 1), kernels change nearly evenly, so the fluence is parted into shares of both, and

    K_q(k, d) = sum_i w_qi(k) a_i(d)

has the same functions of depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from dosecalc.core.pencil import TERMS, DepthTable, RadialTable
from dosecalc.data.cross_sections import Coefficients, coefficients
from dosecalc.data.deposition import load_kernels
from dosecalc.data.materials import Material
from dosecalc.data.pencil import PencilKernels, load_pencil_kernels
from dosecalc.engines.spectral import energy_bins, material_scaling
from dosecalc.model import RadialProfile, Spectrum

__all__ = ["DEEPEST_CM", "PencilQuality", "PencilTerms", "make_quality"]

DEEPEST_CM = 59.0

_GRAY_PER_MEV_PER_G = 1.602176634e-10
_STEP_CM = 0.02
_FINER = 6
# Structure finer than about 1 mm is none of a dose's; frequencies beyond count less.
_FINEST_PER_CM = 20.0
_WHERE_BEAMS_ARE_LOOKED_AT_CM = 10.0


@dataclass(frozen=True)
class PencilTerms:
    """Products that make up the pencil kernel of one kind of energy.

    Parameters
    ----------
    across : RadialTable
        For the spectrum on the axis and, if there is one, for the softest.
    along : DepthTable
    """

    across: RadialTable
    along: DepthTable


@dataclass(frozen=True)
class PencilQuality:
    """A beam quality in the materials of a phantom, the first of which is water.

    Parameters
    ----------
    primary, scatter : PencilTerms
    softest_cm : float
        Path of water (g/cm2) that the softest spectrum lacks; 0 if none is softer.
    depth_scale : (nm,) float64
        Water-equivalent depth per mass per area.
    density_scale : (2, nm) float64
        What counts as density for electrons and for scattered photons, per density.
    dose_factors : (2, nm) float64
        Dose to the material per dose to water, of primary and scattered energy.
    reach : (2,) float64, g/cm2
        Mean distance, in water, of absorption from the first interaction, of both.
    """

    primary: PencilTerms
    scatter: PencilTerms
    softest_cm: float
    depth_scale: NDArray[np.float64]
    density_scale: NDArray[np.float64]
    dose_factors: NDArray[np.float64]
    reach: NDArray[np.float64]


def make_quality(
    spectrum: Spectrum, softening: RadialProfile | None, materials: list[Material]
) -> PencilQuality:
    """Tables of a spectrum in materials, the first of which is water."""
    energies, energy_fluence = energy_bins(spectrum)
    water = coefficients(materials[0], energies)
    softest = 0.0 if softening is None else float(softening.value.max())
    parts = [energy_fluence]
    if softest > 0:
        soft = energy_fluence * np.exp(water.total * softest)
        parts.append(soft * energy_fluence.sum() / soft.sum())
    kernels = load_pencil_kernels()
    primary, scatter = (
        _terms(kernels, name, energies, np.array(parts), water.total)
        for name in ("primary", "scatter")
    )
    scaling = material_scaling(materials, energies, energy_fluence)
    data = [coefficients(m, energies) for m in materials]
    at_depth = energy_fluence * np.exp(-water.total * _WHERE_BEAMS_ARE_LOOKED_AT_CM)
    return PencilQuality(
        primary=primary,
        scatter=scatter,
        softest_cm=softest,
        depth_scale=_ratios(data, "total", at_depth * water.total),
        density_scale=np.stack((scaling.electron_range, scaling.scatter_range)),
        dose_factors=np.stack((_ratios(data, "to_electrons", at_depth), scaling.scatter_dose)),
        reach=_mean_distances(energies, energy_fluence * water.total),
    )


def _ratios(
    data: list[Coefficients], name: str, weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted mean of a coefficient over that of the first material, water."""
    means = np.array([float(weight @ getattr(c, name)) for c in data])
    return np.asarray(means / means[0])


def _mean_distances(
    energies: NDArray[np.float64], released: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean distance from first interactions at which both kinds of energy are absorbed, cm."""
    kernels = load_kernels()
    middle = (kernels.shell_edges_cm[1:] + kernels.shell_edges_cm[:-1]) / 2
    found = []
    for name in ("primary", "first"):
        shells = released @ kernels.at(name, energies).sum(axis=1)
        found.append(float(shells @ middle / shells.sum()))
    return np.array(found)


def _terms(
    kernels: PencilKernels,
    name: str,
    energies: NDArray[np.float64],
    parts: NDArray[np.float64],
    attenuation: NDArray[np.float64],
) -> PencilTerms:
    """Decompose the kernels of spectra `parts` (1 or 2, ne)."""
    depths = kernels.depths_cm
    left = np.exp(-attenuation[:, None] * depths)
    each = kernels.at(name, energies)
    whole = np.einsum("qe,ekd,ed->qkd", parts, each, left, optimize=True)
    frequencies = kernels.frequencies_per_cm
    weight = 1 / np.hypot(1, frequencies / _FINEST_PER_CM)
    # Each depth counts alike: what is left to carry energy there is divided out.
    scale = whole[0, 0]
    rows = (whole * weight[:, None] / scale).reshape(-1, depths.size)
    across, size, along = np.linalg.svd(rows, full_matrices=False)
    across = (across[:, :TERMS] * size[:TERMS]).reshape(len(parts), frequencies.size, TERMS)
    return PencilTerms(
        across=_radial_table(frequencies, across / weight[:, None]),
        along=_depth_table(depths, along[:TERMS] * scale * _GRAY_PER_MEV_PER_G),
    )


def _radial_table(frequencies: NDArray[np.float64], curves: NDArray[np.float64]) -> RadialTable:
    """Fine even table of curves (families, nk, TERMS); the first frequency is zero."""
    nodes = np.log(frequencies[1:])
    places = np.linspace(nodes[0], nodes[-1], _FINER * (nodes.size - 1) + 1)
    fine = CubicSpline(nodes, curves[:, 1:], axis=1)(places)
    return RadialTable(
        first=float(nodes[0]),
        step=float(places[1] - places[0]),
        values=np.ascontiguousarray(fine.transpose(1, 0, 2).astype(np.float32)),
        at_zero=np.ascontiguousarray(curves[:, 0].astype(np.float32)),
    )


def _depth_table(depths: NDArray[np.float64], curves: NDArray[np.float64]) -> DepthTable:
    """Even table of curves (TERMS, nd) known at uneven depths.

    Above the first of the depths, a quarter of a millimetre, they go on straight to the surface.
    """
    even = np.arange(round(DEEPEST_CM / _STEP_CM) + 1) * _STEP_CM
    spline = CubicSpline(depths, curves, axis=1)
    inside = np.maximum(even, depths[0])
    values = spline(inside) + spline(depths[0], 1)[:, None] * (even - inside)
    return DepthTable(_STEP_CM, np.ascontiguousarray(values.T.astype(np.float32)))
