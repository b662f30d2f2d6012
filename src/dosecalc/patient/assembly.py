"""Adding up what fills a voxel, and choosing the one material that stands for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.materials import Material, MaterialTable, materials_for_density
from dosecalc.model import Grid, Phantom, VoxelSource

__all__ = ["Share", "assemble", "no_share"]

# Below this fraction of a voxel a volume is rounding and has no density of its own.
_TINY_VOLUME = 1e-6


class Share(NamedTuple):
    """What one component contributes to every voxel of the dose grid, (nz, ny, nx) each.

    volume : fraction of the voxel; mass : g per cm3 of the voxel
    """

    volume: NDArray[np.float32]
    mass: NDArray[np.float32]


def no_share(grid: Grid) -> Share:
    """Return the contribution of nothing."""
    return Share(np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32))


def assemble(
    grid: Grid,
    parts: tuple[Share, dict[str, Share], NDArray[np.float32]],
    outside: Material,
    table: MaterialTable,
    notes: tuple[str, ...],
) -> Phantom:
    """Add up the components of every voxel and give it the material with the largest mass.

    Parameters
    ----------
    grid : Grid
    parts : (rest, fills, covered)
        What the CT gives, what overrides give by material, and the fraction of
        each voxel that lies inside the CT. Volumes add up to 1 at most; the rest of
        the voxel is `outside`.
    outside : Material
        At its nominal density.
    table : MaterialTable
        For the part that comes from the CT.
    notes : tuple of str
    """
    rest, fills, covered = parts
    filled = sum((s.volume for s in fills.values()), np.zeros(grid.shape, np.float32))
    empty = np.maximum(1 - rest.volume - filled, 0)
    masses = {name: share.mass for name, share in fills.items()}
    masses[outside.name] = masses.get(outside.name, 0) + empty * np.float32(outside.density_g_cm3)
    names = tuple(dict.fromkeys((*table.materials, *masses)))
    source = _largest(
        {
            VoxelSource.CT_CURVE: rest.volume,
            VoxelSource.OVERRIDE: filled,
            VoxelSource.OUTSIDE_BODY: empty - (1 - covered),
            VoxelSource.OUTSIDE_CT: 1 - covered,
        }
    )
    density = sum(masses.values(), rest.mass)
    return Phantom(grid, density, _material(rest, masses, names, table), names, source, notes)


def _material(
    rest: Share,
    masses: Mapping[str, NDArray[np.float32]],
    names: tuple[str, ...],
    table: MaterialTable,
) -> NDArray[np.uint8]:
    """Index into `names` of the material with the largest mass in every voxel.

    The part that comes from the CT is one material: that of its own mean density.
    """
    volume = np.where(rest.volume > _TINY_VOLUME, rest.volume, np.float32(np.inf))
    of_rest = materials_for_density(rest.mass / volume, table)
    material, largest = of_rest.copy(), rest.mass.copy()
    for name, mass in masses.items():
        index = names.index(name)
        total = mass + np.where(of_rest == index, rest.mass, np.float32(0))
        wins = total > largest
        material[wins] = index
        np.maximum(largest, total, out=largest)
    return material


def _largest(shares: Mapping[int, NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Key of the largest share in every voxel."""
    (first, largest), *others = shares.items()
    winner = np.full(largest.shape, first, dtype=np.uint8)
    for code, share in others:
        winner[share > largest] = code
        largest = np.maximum(largest, share)
    return winner
