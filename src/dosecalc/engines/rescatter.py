"""How the energy of once-scattered photons spreads from where they interact.

Kernels of unlimited water carry photons that were scattered twice or more as if
on a straight line from the first interaction. In a phantom that ends, part of those
photons would have passed outside and never returned: near the surface the dose
comes out several per cent too high far from the axis and about one per cent on it.
Following the scattered energy in two steps, each along straight lines that end
where the phantom ends, removes most of that: once-scattered photons travel from the
first interaction to the next, and from there what is left spreads again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.cross_sections import coefficients, klein_nishina_scatter
from dosecalc.data.deposition import EnergyDepositionKernels
from dosecalc.data.materials import Material

__all__ = ["onward_kernel", "rescatter_kernel", "share_within_sphere"]

_ANGLES = 48
_AZIMUTHS = 72
_SAMPLES = 200_000


def onward_kernel(
    kernels: EnergyDepositionKernels,
    water: Material,
    energies: NDArray[np.float64],
    released: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Where once-scattered photons interact, weighted with the energy they scatter on; (48, 24).

    Where such a photon of energy E1 interacts it leaves the share f(E1) with
    electrons, which the deposition kernel records, and scatters 1 - f(E1) on. A
    photon found in a cone was scattered by the cone's angle, so E1 is known.
    Sums to 1.
    """
    cones = np.cos(np.radians(kernels.cone_edges_deg))
    scattered, _ = klein_nishina_scatter(energies, (cones[1:] + cones[:-1]) / 2)
    data = coefficients(water, scattered.ravel())
    share = (data.to_electrons / data.total).reshape(scattered.shape)
    weighted = (1 - share) / share * released[:, None]
    onward = np.einsum("ec,ecs->cs", weighted, kernels.at("once", energies))
    return np.asarray(onward / onward.sum())


def rescatter_kernel(
    kernels: EnergyDepositionKernels,
    energies: NDArray[np.float64],
    released: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Kernel, (48, 24), summing to 1, about the next interaction of once-scattered photons.

    A photon scattered by the angle t with the energy E1(E, t) interacts and sends
    out what the deposition kernel of E1 holds as scatter, about an axis at the angle t to
    the beam. Averaged over azimuth, over t with the energy that Klein-Nishina
    scattering carries, and over the beam's spectrum.

    Parameters
    ----------
    kernels : EnergyDepositionKernels
    energies, released : (ne,)
        Photon energies, MeV, and the relative energy that interacts at each.
    """
    cosine = (2.0 * np.arange(_ANGLES, dtype=np.float64) + 1) / _ANGLES - 1
    scattered, carried = klein_nishina_scatter(energies, cosine)
    cones = np.radians(kernels.cone_edges_deg)
    total = np.zeros(kernels.first.shape[1:])
    for angle in range(_ANGLES):
        energy = np.clip(scattered[:, angle], kernels.energies_mev[0], None)
        spread = kernels.at("first", energy) + kernels.at("later", energy)
        mean = np.tensordot(released * carried[:, angle], spread, 1)
        total += _turned(np.arccos(cosine[angle]), cones) @ mean
    return np.asarray(total / total.sum())


def _turned(angle: float, cone_edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each cone about an axis tilted by `angle` in each cone about z, (48, 48)."""
    count = cone_edges.size - 1
    inner = cone_edges[:-1, None] + np.diff(cone_edges)[:, None] * (np.arange(4) + 0.5) / 4
    azimuth = 2 * np.pi * (np.arange(_AZIMUTHS) + 0.5) / _AZIMUTHS
    cosine = np.cos(angle) * np.cos(inner)[..., None] + np.sin(angle) * np.sin(inner)[
        ..., None
    ] * np.cos(azimuth)
    landed = np.minimum((np.arccos(np.clip(cosine, -1, 1)) / cone_edges[1]).astype(int), count - 1)
    weight = np.sin(inner) / np.sin(inner).sum(axis=1, keepdims=True) / _AZIMUTHS
    origin = np.broadcast_to(np.arange(count)[:, None, None], landed.shape)
    matrix = np.zeros((count, count))
    np.add.at(matrix, (landed, origin), np.broadcast_to(weight[..., None], landed.shape))
    return matrix


def share_within_sphere(
    onward: NDArray[np.float64], spread: NDArray[np.float64], kernels: EnergyDepositionKernels
) -> float:
    """Share of the energy of two steps in a row that ends within the kernels' sphere.

    The deposition kernels count what ends within 60 cm of the first interaction. Two
    steps of up to 60 cm each reach further, so the share that the kernels state is to be
    divided by this. Sampled with a fixed seed; good to 0.1 %.
    """
    random = np.random.default_rng(61217)
    first, second = (_sampled_steps(k, kernels, random) for k in (onward, spread))
    distance = np.linalg.norm(first + second, axis=1)
    return float(np.mean(distance < kernels.shell_edges_cm[-1]))


def _sampled_steps(
    kernel: NDArray[np.float64], kernels: EnergyDepositionKernels, random: np.random.Generator
) -> NDArray[np.float64]:
    """Displacements (_SAMPLES, 3), cm, distributed as a kernel."""
    cell = random.choice(kernel.size, _SAMPLES, p=kernel.ravel() / kernel.sum())
    cone, shell = np.divmod(cell, kernel.shape[1])
    cosines = np.cos(np.radians(kernels.cone_edges_deg))
    edges = kernels.shell_edges_cm
    cosine = cosines[cone] + random.random(_SAMPLES) * (cosines[cone + 1] - cosines[cone])
    radius = edges[shell] + random.random(_SAMPLES) * (edges[shell + 1] - edges[shell])
    azimuth = 2 * np.pi * random.random(_SAMPLES)
    sine = np.sqrt(np.maximum(1 - cosine**2, 0))
    return np.stack(
        [radius * sine * np.cos(azimuth), radius * sine * np.sin(azimuth), radius * cosine], axis=1
    )
