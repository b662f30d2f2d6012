"""Where absorbed energy goes: into voxels, or into the cells of a sphere about a point.

The transport calls `deposit` and `deposit_along`; which of the two kinds of tally it was given
is known when it is compiled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from dosecalc.core._jit import for_types, jit, jit_inline
from dosecalc.core.transport.random import uniform

__all__ = ["Sphere", "deposit", "deposit_along"]


_AHEAD = 1e-6  # cm


class Sphere(NamedTuple):
    """Cells between cones about +z and shells about a point, for each part of the energy.

    energy : (nparts, ncones, nshells) float64, MeV
    part : (1,) int64, that the energy belongs to now
    centre : (3,) float64, x, y, z, cm
    radii : (nshells + 1,) float64, cm, rising from 0; what lies beyond is not counted
    """

    energy: NDArray[np.float64]
    part: NDArray[np.int64]
    centre: NDArray[np.float64]
    radii: NDArray[np.float64]


def deposit(tally, energy, voxel, place, direction):
    """Count energy that is absorbed at a place in a voxel, where a particle goes somewhere."""
    raise NotImplementedError


def deposit_along(tally, energy, voxel, place, direction, length, stream):
    """Count energy that is absorbed evenly along a straight piece inside a voxel."""
    raise NotImplementedError


@jit
def _into_sphere(tally, energy, x, y, z):
    x, y, z = x - tally.centre[0], y - tally.centre[1], z - tally.centre[2]
    radius = np.sqrt(x * x + y * y + z * z)
    shell = np.searchsorted(tally.radii, radius, side="right") - 1
    _, cones, shells = tally.energy.shape
    if shell < shells:
        angle = np.arccos(min(1.0, max(-1.0, z / radius))) if radius > 0 else 0.0
        cone = min(int(angle * cones / np.pi), cones - 1)
        tally.energy[tally.part[0], cone, shell] += energy


@for_types(deposit)
def _deposit(tally, energy, voxel, place, direction):
    if isinstance(tally, types.Array):
        return lambda tally, energy, voxel, place, direction: _into_voxel(tally, energy, voxel)

    def at_point(tally, energy, voxel, place, direction):
        # What stops in the very centre belongs to the cone it was heading for.
        _into_sphere(
            tally,
            energy,
            place[0] + _AHEAD * direction[0],
            place[1] + _AHEAD * direction[1],
            place[2] + _AHEAD * direction[2],
        )

    return at_point


@jit_inline
def _into_voxel(tally, energy, voxel):
    tally[voxel[2], voxel[1], voxel[0]] += energy


@for_types(deposit_along)
def _deposit_along(tally, energy, voxel, place, direction, length, stream):
    if isinstance(tally, types.Array):
        return lambda tally, energy, voxel, place, direction, length, stream: _into_voxel(
            tally, energy, voxel
        )

    def at_any_point(tally, energy, voxel, place, direction, length, stream):
        way = length * uniform(stream)
        _into_sphere(
            tally,
            energy,
            place[0] + way * direction[0],
            place[1] + way * direction[1],
            place[2] + way * direction[2],
        )

    return at_any_point
