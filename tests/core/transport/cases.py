"""Beams of electrons and photons without a machine, for tests of the transport itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosecalc.core._jit import jit
from dosecalc.core.transport.electrons import ENERGY, WEIGHT, follow_electrons, new_stacks, push
from dosecalc.core.transport.photons import follow_photons
from dosecalc.core.transport.random import STREAM_WORDS, restart, uniform
from dosecalc.core.transport.tables import Cuts, Matter

MATERIALS = ("water", "cortical_bone")
# The cut-offs of the reference data.
CUTS = Cuts(
    electron=0.189, photon=0.01, knock_on=0.189, bremsstrahlung=0.01, confined=0.0, splitting=1
)


def matter(
    density: NDArray[np.float64],
    spacing: tuple[float, float, float],
    material: NDArray[np.uint8] | None = None,
) -> Matter:
    """Voxels (nz, ny, nx) of the given densities, g/cm3, and spacing x, y, z, cm."""
    kinds = np.zeros(density.shape, np.uint8) if material is None else material
    return Matter(density.astype(np.float32), kinds, np.array(spacing))


def column(spacing_cm: float, density: NDArray[np.float64], material: int = 0) -> Matter:
    """Layers along z of the given densities, 2 km wide so that nothing gets out at the sides."""
    layers = np.asarray(density, float).reshape(-1, 1, 1)
    return matter(layers, (2e5, 2e5, spacing_cm), np.full(layers.shape, material, np.uint8))


@jit
def electron_beam(matter, tables, cuts, particle, first, count, tally, depth):
    """Follow electrons along z from the middle at a depth; per history (left, in photons), MeV.

    particle : kinetic energy and charge; photons that it sets free are not followed.
    """
    stacks = new_stacks(2)
    electrons, photons = stacks[0], stacks[1]
    stream = np.zeros(STREAM_WORDS, np.uint64)
    result = np.zeros((count, 2))
    _, ny, nx = matter.density.shape
    place = (0.5 * nx * matter.spacing[0], 0.5 * ny * matter.spacing[1], depth)
    voxel = (nx // 2, ny // 2, int(depth / matter.spacing[2]))
    for number in range(count):
        restart(stream, np.uint64(1), np.uint64(first + number))
        push(electrons, place, (0.0, 0.0, 1.0), voxel, particle[0], particle[1], 1.0)
        result[number, 0] = follow_electrons(
            matter, tables, cuts, stream, electrons, photons, tally
        )
        result[number, 1] = _clear(photons)
    return result


@jit
def _clear(photons):
    """Take all off a stack; returns their energy."""
    energy = 0.0
    while photons[0, 0] > 0:
        row = photons[int(photons[0, 0])]
        energy += row[ENERGY] * row[WEIGHT]
        photons[0, 0] -= 1
    return energy


@jit
def electron_source(matter, tables, cuts, energy, first, count, cumulative, tally):
    """Set electrons free evenly per mass, in all directions; their photons are not followed.

    Returns the share of the energy that the photons carry.

    cumulative : share of the mass up to each voxel, in the order of the array.
    """
    stacks = new_stacks(2)
    electrons, photons = stacks[0], stacks[1]
    stream = np.zeros(STREAM_WORDS, np.uint64)
    _, ny, nx = matter.density.shape
    in_photons = 0.0
    for number in range(count):
        restart(stream, np.uint64(1), np.uint64(first + number))
        flat = int(np.searchsorted(cumulative, (number + uniform(stream)) / count))
        flat = min(flat, cumulative.size - 1)
        i, j, k = flat % nx, flat // nx % ny, flat // (nx * ny)
        x = (i + uniform(stream)) * matter.spacing[0]
        y = (j + uniform(stream)) * matter.spacing[1]
        z = (k + uniform(stream)) * matter.spacing[2]
        cosine, angle = 2.0 * uniform(stream) - 1.0, 2.0 * np.pi * uniform(stream)
        sine = np.sqrt(1.0 - cosine * cosine)
        way = (sine * np.cos(angle), sine * np.sin(angle), cosine)
        push(electrons, (x, y, z), way, (i, j, k), energy, -1.0, 1.0)
        follow_electrons(matter, tables, cuts, stream, electrons, photons, tally)
        in_photons += _clear(photons)
    return in_photons / (energy * count)


@jit
def photon_beam(matter, tables, electron_tables, cuts, energy, first, count, tally):
    """Follow photons along z into the middle of the lower face; energy that left, per history."""
    stacks = new_stacks(2)
    electrons, photons = stacks[0], stacks[1]
    stream = np.zeros(STREAM_WORDS, np.uint64)
    left = np.zeros(count)
    _, ny, nx = matter.density.shape
    place = (0.5 * nx * matter.spacing[0], 0.5 * ny * matter.spacing[1], 0.0)
    for number in range(count):
        restart(stream, np.uint64(1), np.uint64(first + number))
        push(photons, place, (0.0, 0.0, 1.0), (nx // 2, ny // 2, 0), energy, 0.0, 1.0)
        left[number] = follow_photons(
            matter, tables, electron_tables, cuts, stream, photons, electrons, tally
        )
    return left
