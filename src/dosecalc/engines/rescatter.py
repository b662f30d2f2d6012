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

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.cross_sections import coefficients, klein_nishina_scatter
from dosecalc.data.deposition import EnergyDepositionKernels
from dosecalc.data.materials import Material

__all__ = ["onward_kernel", "rescatter_kernel", "second_step", "shell_falls"]

_ANGLES = 48
_AZIMUTHS = 72
_SAMPLES = 1000
# On the axis of fields of 6 to 20 cm, 8 iterations are within 0.6 % of `later`, 16 within 0.3 %.
_ITERATIONS = 16


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


def second_step(
    onward: NDArray[np.float64],
    start: NDArray[np.float64],
    later: NDArray[np.float64],
    kernels: EnergyDepositionKernels,
) -> tuple[NDArray[np.float64], float]:
    """Kernel of the second step with which two steps in a row spread as `later` says.

    Two steps that know nothing of each other are too narrow: a photon goes on from where it
    came, on average, and an average over all of them forgets that. In a field of 20 x 20 cm2
    their dose is 11 % too high on the axis (2 MeV). So the second step is found from the
    first and the whole, by the iteration of Richardson (J Opt Soc Am 62:55, 1972) and
    Lucy (Astron J 79:745, 1974), which keeps kernels positive and the energy right.

    Parameters
    ----------
    onward : (48, 24)
        First step, summing to 1.
    start : (48, 24)
        Second step of photons that forget where they came from, summing to 1.
    later : (48, 24)
        What both are to give: energy of photons scattered twice or more.

    Returns
    -------
    kernel : (48, 24)
        Sums to 1.
    share : float
        Of the energy of both steps that ends within the kernels' sphere: `later` counts what
        ends within 60 cm of the first interaction, and two steps reach further.
    """
    return _second_step(
        onward.tobytes(), start.tobytes(), later.tobytes(), kernels.sha256, _Shape(kernels)
    )


class _Shape:
    """Cells of the kernels, passed beside the cache key (equal for equal kernel files)."""

    def __init__(self, kernels: EnergyDepositionKernels) -> None:
        self.cosines = np.cos(np.radians(kernels.cone_edges_deg))
        self.shells = kernels.shell_edges_cm

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shape)


@lru_cache(maxsize=32)
def _second_step(
    onward: bytes, start: bytes, later: bytes, _sha256: str, cells: _Shape
) -> tuple[NDArray[np.float64], float]:
    first, guess, wanted = (np.frombuffer(b, np.float64) for b in (onward, start, later))
    matrix = _steps_in_a_row(first, guess, cells)
    inside = matrix.sum(axis=0)
    found = guess * wanted.sum()
    for _ in range(_ITERATIONS):
        made = matrix @ found
        found = found * ((wanted / np.maximum(made, 1e-12 * wanted.sum())) @ matrix) / inside
    share = float(inside @ found / found.sum())
    return (found / found.sum()).reshape(cells.cosines.size - 1, -1), share


def _steps_in_a_row(
    first: NDArray[np.float64], second: NDArray[np.float64], cells: _Shape
) -> NDArray[np.float64]:
    """Share of each cell of a second step that ends in each cell about the first's begin.

    Of `second` only how it falls within shells is used.

    Sampled with a fixed seed; columns are good to 3 %, what many make to 0.1 %.
    """
    random = np.random.default_rng(61217)
    rows = (cells.cosines.size - 1, -1)
    falls, falls_then = (shell_falls(k.reshape(rows), cells.shells) for k in (first, second))
    cumulative = np.cumsum(first) / first.sum()
    matrix = np.zeros((first.size, first.size))
    for cell in range(first.size):
        # One sample in each of equal parts of the energy.
        part = (np.arange(_SAMPLES) + random.random(_SAMPLES)) / _SAMPLES
        origin = np.minimum(np.searchsorted(cumulative, part), first.size - 1)
        place = _places(origin, falls, cells, random)
        place += _places(np.full(_SAMPLES, cell), falls_then, cells, random)
        distance = np.linalg.norm(place, axis=1)
        inside = distance < cells.shells[-1]
        cosine = place[inside, 2] / distance[inside]
        cone = np.searchsorted(-cells.cosines, -cosine, side="right") - 1
        cone = np.clip(cone, 0, cells.cosines.size - 2)
        shell = np.searchsorted(cells.shells, distance[inside], side="right") - 1
        landed = cone * (cells.shells.size - 1) + shell
        matrix[:, cell] = np.bincount(landed, minlength=first.size) / _SAMPLES
    return matrix


def shell_falls(
    kernel: NDArray[np.float64], shell_edges_cm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rate, 1/cm, at which a kernel's (48, 24) energy per distance falls within each shell.

    Shells are up to 10 cm wide: energy spread evenly over one would lie too far out.
    """
    middle = (shell_edges_cm[1:] + shell_edges_cm[:-1]) / 2
    density = kernel.sum(axis=0) / np.diff(shell_edges_cm)
    return np.asarray(-np.gradient(np.log(np.maximum(density, 1e-300)), middle))


def _places(
    cell: NDArray[np.int_],
    falls: NDArray[np.float64],
    cells: _Shape,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Displacements (n, 3), cm, within cells of a kernel."""
    cone, shell = np.divmod(cell, cells.shells.size - 1)
    cosine, edges, rate = cells.cosines, cells.shells, falls[shell]
    rate = np.where(np.abs(rate) < 1e-6, 1e-6, rate)
    c = cosine[cone] + random.random(cell.size) * (cosine[cone + 1] - cosine[cone])
    fallen = -np.expm1(-rate * (edges[shell + 1] - edges[shell]))
    radius = edges[shell] - np.log1p(-random.random(cell.size) * fallen) / rate
    azimuth = 2 * np.pi * random.random(cell.size)
    sine = np.sqrt(np.maximum(1 - c**2, 0))
    way = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), c], axis=1)
    return np.asarray(radius[:, None] * way)
