"""Energy that photons release, of one beam or of several from about one direction.

Voxel by voxel in the field, and on the coarse lattice of the scatter elsewhere, where what
little fluence there is comes through the collimators or from a wide source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam.fluence import Fluence
from dosecalc.core.lattice import coarsen, times_material
from dosecalc.core.terma import BeamGeometry, attenuate, voxel_fluence
from dosecalc.data.deposition import EnergyDepositionKernels, load_kernels
from dosecalc.data.materials import load_material
from dosecalc.engines.collapsed_cone.lattice import Box, joined, subgrid_geometry
from dosecalc.engines.geometry import beam_geometry
from dosecalc.engines.machines import BeamQuality
from dosecalc.engines.spectral import Channels, MaterialScaling, make_channels, material_scaling
from dosecalc.model import Phantom

__all__ = [
    "Coarse",
    "Part",
    "Release",
    "Scene",
    "by_material",
    "make_scene",
    "release_energy",
    "within",
]

# Below this share of the largest fluence the released energy varies slowly: there it comes
# through the collimators or from a wide source.
_FAINT = 0.03


@dataclass(frozen=True)
class Scene:
    """A phantom with its materials renumbered, water first, and a beam quality's tables.

    electron_scaling, scatter_scaling : (nz, ny, nx) float32
        Radiological length per length of electrons and of scattered photons.
    """

    phantom: Phantom
    material: NDArray[np.uint8]
    channels: Channels
    scaling: MaterialScaling
    kernels: EnergyDepositionKernels
    electron_scaling: NDArray[np.float32]
    scatter_scaling: NDArray[np.float32]


class Part(NamedTuple):
    """What one beam releases where its fluence is bright.

    released : (channels, mz, my, mx) float32, MeV per voxel of the box
    """

    geometry: BeamGeometry
    box: Box
    released: NDArray[np.float32]


@dataclass(frozen=True)
class Coarse:
    """Released energy and scalings on the lattice of the scatter.

    released : (primary and scatter channels, nz, ny, nx) float32, MeV per voxel
    faint : (primary channels, nz, ny, nx) float32 or None
        The primary part of what is not released voxel by voxel; None if there is nothing.
    """

    geometry: BeamGeometry
    electron_scaling: NDArray[np.float32]
    scatter_scaling: NDArray[np.float32]
    released: NDArray[np.float32]
    faint: NDArray[np.float32] | None


class Release(NamedTuple):
    """Energy released by some beams.

    parts : of each beam with fluence
    box : holds the boxes of all parts
    released : (channels, mz, my, mx) float32, MeV per voxel of the box, the sum of the parts
    """

    parts: tuple[Part, ...]
    box: Box
    released: NDArray[np.float32]
    coarse: Coarse


def release_energy(
    scene: Scene,
    middle: BeamGeometry,
    fluences: Sequence[Fluence],
    factors: tuple[int, int, int],
) -> Release | None:
    """Energy released in a phantom; None where no fluence meets it.

    Parameters
    ----------
    scene : Scene
    middle : BeamGeometry
        The beam in the middle of all. Where fluence is faint, all is attenuated as if it came
        from this one's source.
    fluences : sequence of Fluence
        Of one beam quality.
    factors : (int, int, int)
        How many voxels along z, y, x make one of the coarse lattice.
    """
    grid = scene.phantom.grid
    coarse_shape = tuple(-(-n // f) for n, f in zip(grid.shape, factors, strict=True))
    parts, faint = [], np.zeros(coarse_shape, np.float32)
    for fluence in fluences:
        geometry = beam_geometry(fluence, grid)
        flux = np.empty(coarse_shape, np.float32)
        voxel_fluence(joined(geometry, factors), coarse_shape, flux)
        if not flux.any():
            continue
        box = _bright_box(flux, factors, grid.shape)
        fine = np.empty(_shape(box), np.float32)
        voxel_fluence(subgrid_geometry(geometry, box, (1, 1, 1)), fine.shape, fine)
        bright = np.where(fine > _FAINT * fine.max(), fine, np.float32(0.0))
        parts.append(Part(geometry, box, _released(scene, geometry, box, bright)))
        fine -= bright
        blocks = _blocks(box, factors)
        flux[blocks] = _joined_sum(fine, factors, flux[blocks].shape) / np.prod(factors)
        faint += flux
    if not parts:
        return None
    box = _union([part.box for part in parts])
    released = np.zeros((parts[0].released.shape[0], *_shape(box)), np.float32)
    for part in parts:
        released[(slice(None), *within(part.box, box))] += part.released
    coarse = _coarse_release(scene, middle, box, faint, released, factors)
    return Release(tuple(parts), box, released, coarse)


def within(box: Box, outer: Box) -> Box:
    """Place of a box in one that holds it."""
    z, y, x = (slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, outer, strict=True))
    return z, y, x


def _union(boxes: Sequence[Box]) -> Box:
    z, y, x = (
        slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes))
        for axis in range(3)
    )
    return z, y, x


def _coarse_release(
    scene: Scene,
    geometry: BeamGeometry,
    box: Box,
    faint_flux: NDArray[np.float32],
    released: NDArray[np.float32],
    factors: tuple[int, int, int],
) -> Coarse:
    """Join what was released in the box and add what a faint fluence releases."""
    phantom, shape = scene.phantom, faint_flux.shape
    density, electron, scatter = (
        _joined_sum(values, factors, shape) / np.float32(np.prod(factors))
        for values in (phantom.density, scene.electron_scaling, scene.scatter_scaling)
    )
    coarse = joined(geometry, factors)
    total = np.zeros((released.shape[0], *shape), np.float32)
    faint = None
    if faint_flux.any():
        # The rays cross voxels of the coarse lattice; the material of a joined voxel is
        # that of its middle, and only the small part of the energy released by faint fluence
        # depends on it.
        middle = tuple(slice(f // 2, None, f) for f in factors)
        material = np.zeros(shape, np.uint8)
        picked = scene.material[middle]
        material[tuple(slice(0, n) for n in picked.shape)] = picked
        start = np.zeros(3, np.int64)
        attenuate(coarse, scene.channels.table, density, material, faint_flux, start, total)
        total *= np.float32(np.prod(coarse.spacing) / 1000)
        faint = total[: released.shape[0] // 2].copy()
    inside = _blocks(box, factors)
    for channel, energy in enumerate(released):
        part = np.ascontiguousarray(energy)
        total[channel][inside] += _joined_sum(part, factors, total[channel][inside].shape)
    return Coarse(coarse, electron, scatter, total, faint)


def _joined_sum(
    values: NDArray[np.float32], factors: tuple[int, int, int], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    result = np.empty(shape, np.float32)
    coarsen(values, factors, result)
    return result


def _shape(box: Box) -> tuple[int, int, int]:
    z, y, x = (span.stop - span.start for span in box)
    return z, y, x


def _blocks(box: Box, factors: tuple[int, int, int]) -> Box:
    """Blocks of voxels that a box of whole blocks consists of."""
    z, y, x = (slice(b.start // f, -(-b.stop // f)) for b, f in zip(box, factors, strict=True))
    return z, y, x


def _bright_box(
    flux: NDArray[np.float32], factors: tuple[int, int, int], shape: tuple[int, int, int]
) -> Box:
    """Box of whole blocks that holds every bright voxel, from the mean fluence of the blocks.

    A block that a field just touches has a low mean: so half of the limit counts, and one block
    more on every side.
    """
    bright = _bounding_box(flux > 0.5 * _FAINT * flux.max())
    z, y, x = (
        slice(max(span.start - 1, 0) * f, min(n, (span.stop + 1) * f))
        for span, f, n in zip(bright, factors, shape, strict=True)
    )
    return z, y, x


def _released(
    scene: Scene, geometry: BeamGeometry, box: Box, flux: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Released energy per voxel, MeV, (channels, mz, my, mx), in the box."""
    channels = scene.channels.table.release.shape[1]
    released = np.zeros((channels, *flux.shape), np.float32)
    start = np.array([s.start for s in box], np.int64)
    density = scene.phantom.density
    attenuate(geometry, scene.channels.table, density, scene.material, flux, start, released)
    released *= np.float32(scene.phantom.grid.voxel_volume_cm3)
    return released


def make_scene(phantom: Phantom, fluence: Fluence, channels: int) -> Scene:
    """Return what energy is released and carried in, for the quality of `fluence`."""
    names = ("water", *(m for m in phantom.materials if m != "water"))
    index = np.array([names.index(m) for m in phantom.materials], np.uint8)  # old to new number
    spectral, scaling = _quality(BeamQuality(fluence), names, channels)
    material = phantom.material
    if (index != np.arange(index.size)).any():
        material = index[material]
    return Scene(
        phantom=phantom,
        material=material,
        channels=spectral,
        scaling=scaling,
        kernels=load_kernels(),
        electron_scaling=by_material(phantom.density, material, scaling.electron_range),
        scatter_scaling=by_material(phantom.density, material, scaling.scatter_range),
    )


def by_material(
    values: NDArray[np.float32],
    material: NDArray[np.uint8],
    table: NDArray[np.float64] | NDArray[np.float32],
) -> NDArray[np.float32]:
    """Values times a factor per material."""
    result = np.empty_like(values)
    times_material(values, material, table.astype(np.float32), result)
    return result


@lru_cache(maxsize=16)
def _quality(
    beam: BeamQuality, names: tuple[str, ...], channels: int
) -> tuple[Channels, MaterialScaling]:
    """Tables of a beam quality in some materials, the same for all beams and arc bins."""
    materials = [load_material(name) for name in names]
    tables = make_channels(beam.spectrum, beam.softening, materials, load_kernels(), channels)
    energy_fluence = tables.table.energy_fluence
    return tables, material_scaling(materials, tables.energies, energy_fluence)


def _bounding_box(where: NDArray[np.bool_]) -> Box:
    spans = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(where.any(axis=others))
        spans.append(slice(int(used[0]), int(used[-1]) + 1))
    return spans[0], spans[1], spans[2]
