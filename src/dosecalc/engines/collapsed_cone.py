"""The collapsed-cone engine: released energy by ray tracing, spread along discrete cones.

Energy released by photons is followed in two parts. What goes to electrons
(primary) is spread over millimetres to centimetres and decides build-up,
penumbra and what happens at interfaces; it is carried on a lattice finer than
the dose grid across the beam. What goes to scattered photons is spread over
decimetres and varies slowly; it is carried on a lattice coarser than the dose grid.
Both use the same compiled sweep with their own kernels and density scaling.
See docs/physics-collapsed-cone.md for the derivation and the measured accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dosecalc import __version__
from dosecalc.beam import beam_fluences, beam_notes
from dosecalc.beam.fluence import Fluence
from dosecalc.core.lattice import coarsen, times_material
from dosecalc.core.terma import BeamGeometry, attenuate, voxel_fluence
from dosecalc.data.deposition import EnergyDepositionKernels, load_kernels
from dosecalc.data.electrons import water_to_medium
from dosecalc.data.materials import load_material
from dosecalc.engines.calibration import fluence_per_mu
from dosecalc.engines.cone_kernels import make_cone_table
from dosecalc.engines.cone_lattice import (
    Box,
    Lattice,
    beam_geometry,
    finer,
    joining,
    tilts_of,
)
from dosecalc.engines.cone_primary import bright_dose, faint_dose, lateral_reach_cm
from dosecalc.engines.cone_scatter import scatter_per_mass
from dosecalc.engines.machines import BeamQuality, machines_of
from dosecalc.engines.spectral import Channels, MaterialScaling, make_channels, material_scaling
from dosecalc.errors import InputError
from dosecalc.model import Dose, Machine, Phantom, Plan

__all__ = ["CollapsedConeSettings", "compute", "fluence_dose"]

MEV_PER_G_TO_GRAY = 1.602176634e-10

_WHOLE_SCATTER_VOXEL_MM = 5.0
_LARGEST_PRIMARY_VOXEL_MM = 1.5

# Below this share of the largest fluence the released energy varies slowly: there it comes
# through the collimators or from a wide source.
_FAINT = 0.03


@dataclass(frozen=True)
class CollapsedConeSettings:
    """Settings of the collapsed-cone engine.

    Parameters
    ----------
    directions : int, 24 to 1000
        About how many cones the sphere is divided into.
    channels : int, 1 or 2
        Spectral channels; 1 ignores the hardening of the kernels (not of the beam).
    primary_voxel_mm : float
        Voxels are divided across the beam until they are no larger than this.
    scatter_voxel_mm : float
        Voxels are joined for scattered energy while they are no larger than this.
    arc_bin_deg : float
        Gantry angles of an arc are joined to bins of this width.
    fluence_pixel_mm : float
        Pixel of the fluence map in the isocentre plane.
    dose_to : {"medium", "water"}
    """

    directions: int = 128
    channels: int = 2
    primary_voxel_mm: float = _LARGEST_PRIMARY_VOXEL_MM
    scatter_voxel_mm: float = _WHOLE_SCATTER_VOXEL_MM
    arc_bin_deg: float = 4.0
    fluence_pixel_mm: float = 1.0
    dose_to: str = "medium"

    def __post_init__(self) -> None:
        if not 24 <= self.directions <= 1000:
            raise InputError(f"{self.directions} directions: choose from 24 to 1000")
        if self.channels not in (1, 2):
            raise InputError(f"{self.channels} spectral channels: choose 1 or 2")
        if self.dose_to not in ("medium", "water"):
            raise InputError(f"dose_to = {self.dose_to!r}: choose 'medium' or 'water'")
        for name in ("primary_voxel_mm", "scatter_voxel_mm", "arc_bin_deg", "fluence_pixel_mm"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} = {getattr(self, name)}: it must be above zero")


Progress = Callable[[str, int, int], None]


def compute(
    phantom: Phantom,
    plan: Plan,
    machine: Machine | Mapping[int, Machine],
    settings: CollapsedConeSettings | None = None,
    progress: Progress | None = None,
) -> Dose:
    """Dose of one fraction of a plan.

    Parameters
    ----------
    phantom : Phantom
    plan : Plan
    machine : Machine or mapping of beam number to Machine
        One beam model for all beams, or one each.
    settings : CollapsedConeSettings
    progress : callable(beam name, done, total), optional
        Told when each stationary gantry position is finished.

    Returns
    -------
    Dose
        On the phantom's grid; Gy for one fraction, or Gy cm2 per unit fluence
        for a bare point source.
    """
    settings = settings or CollapsedConeSettings()
    machines = machines_of(plan, machine)
    jobs = [
        (beam.name, fluence, machines[beam.number])
        for beam in plan.beams
        for fluence in beam_fluences(
            beam,
            plan.position,
            machines[beam.number],
            pixel_mm=settings.fluence_pixel_mm,
            arc_bin_deg=settings.arc_bin_deg,
        )
    ]
    total = np.zeros(phantom.grid.shape, np.float64)
    for done, (name, fluence, model) in enumerate(jobs, start=1):
        total += fluence_dose(phantom, fluence, settings) * fluence_per_mu(
            model, settings, fluence_dose
        )
        if progress is not None:
            progress(name, done, len(jobs))
    per_fluence = next(iter(machines.values())).calibration.per_fluence
    return Dose(
        grid=phantom.grid,
        gray=total.astype(np.float32),
        dose_to=settings.dose_to,
        unit="Gy cm2" if per_fluence else "Gy",
        summation="FRACTION",
        provenance={
            "program": f"dosecalc {__version__}",
            "engine": "collapsed-cone",
            "settings": asdict(settings),
            "kernels_sha256": load_kernels().sha256,
            "machines": {
                str(n): dict(m.provenance) | {"name": m.name} for n, m in machines.items()
            },
            "notes": [
                note for beam in plan.beams for note in beam_notes(beam, machines[beam.number])
            ],
        },
    )


@dataclass(frozen=True)
class _Scene:
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


def fluence_dose(
    phantom: Phantom, fluence: Fluence, settings: CollapsedConeSettings
) -> NDArray[np.float32]:
    """Dose (nz, ny, nx), Gy cm2 per unit of the fluence map, of one stationary beam.

    Energy is released at two resolutions: voxel by voxel in the box that holds the
    field, and on the coarse lattice of the scatter elsewhere, where what little
    fluence there is comes through the collimators or from a wide source.
    """
    geometry = beam_geometry(fluence, phantom.grid)
    flux = np.zeros(phantom.grid.shape, np.float32)
    voxel_fluence(geometry, phantom.grid.shape, flux)
    if not flux.any():
        return flux
    scene = _scene(phantom, fluence, settings)
    factors = joining(geometry.spacing, settings.scatter_voxel_mm)
    box = _whole_blocks(_bounding_box(flux > _FAINT * flux.max()), factors, flux.shape)
    channels = scene.channels.primary_kernels.shape[0]
    released = _released(scene, geometry, box, flux)
    coarse = _coarse_release(scene, geometry, box, flux, released, factors)
    tilts = tilts_of(geometry)

    first = Lattice(coarse.geometry, coarse.scatter_scaling, coarse.released[channels:])
    per_mass = scatter_per_mass(first, scene.channels, scene.kernels, tilts, settings.directions)
    dose = finer(per_mass, coarse.geometry, geometry, flux.shape)
    dose = _by_material(dose, scene.material, scene.scaling.scatter_dose)
    if coarse.faint is not None:
        table = make_cone_table(
            scene.channels.primary_kernels,
            scene.kernels,
            tilts,
            max(24, settings.directions // 3),
            "prompt",
        )
        lattice = Lattice(coarse.geometry, coarse.electron_scaling, coarse.faint)
        dose += _by_material(
            faint_dose(lattice, geometry, flux.shape, tilts, table),
            scene.material,
            scene.scaling.electron_range,
        )
    dose[phantom.density <= 0] = 0
    table = make_cone_table(
        scene.channels.primary_kernels, scene.kernels, tilts, settings.directions, "prompt"
    )
    region, primary = bright_dose(
        phantom.density,
        scene.electron_scaling,
        geometry,
        box,
        released[:channels],
        lateral_reach_cm(
            scene.channels.primary_kernels[0],
            np.radians(scene.kernels.cone_edges_deg),
            scene.kernels.shell_edges_cm,
        ),
        settings.primary_voxel_mm,
        tilts,
        table,
    )
    dose[region] += primary
    if settings.dose_to == "water":
        dose = _by_material(dose, phantom.material, water_to_medium(phantom.materials))
    dose *= np.float32(MEV_PER_G_TO_GRAY)
    return dose


@dataclass(frozen=True)
class _CoarseRelease:
    """Released energy and scalings on the lattice of the scatter.

    released : (primary and scatter channels, nz, ny, nx) float32, MeV per voxel
    faint : (primary channels, nz, ny, nx) float32 or None
        The primary part of what is released outside the box; None where there is nothing.
    """

    geometry: BeamGeometry
    electron_scaling: NDArray[np.float32]
    scatter_scaling: NDArray[np.float32]
    released: NDArray[np.float32]
    faint: NDArray[np.float32] | None


def _coarse_release(
    scene: _Scene,
    geometry: BeamGeometry,
    box: Box,
    flux: NDArray[np.float32],
    released: NDArray[np.float32],
    factors: tuple[int, int, int],
) -> _CoarseRelease:
    """Join what was released in the box and add what is released outside it."""
    phantom = scene.phantom
    shape = tuple(-(-n // f) for n, f in zip(flux.shape, factors, strict=True))
    size = np.float32(np.prod(factors))
    joined = {}
    for name, values in (
        ("density", phantom.density),
        ("flux", flux),
        ("electron", scene.electron_scaling),
        ("scatter", scene.scatter_scaling),
    ):
        joined[name] = np.empty(shape, np.float32)
        coarsen(values, factors, joined[name])
        joined[name] /= size
    inside = tuple(slice(b.start // f, -(-b.stop // f)) for b, f in zip(box, factors, strict=True))
    parts = np.array(factors[::-1], float)
    coarse = geometry._replace(
        origin=geometry.origin + (parts - 1) / 2 * geometry.spacing,
        spacing=geometry.spacing * parts,
    )
    joined["flux"][inside] = 0
    total = np.zeros((released.shape[0], *shape), np.float32)
    faint = None
    if joined["flux"].any():
        # The rays cross voxels of the coarse lattice; the material of a joined voxel is
        # that of its middle, and only the small part of the energy released out here
        # depends on it.
        middle = tuple(slice(f // 2, None, f) for f in factors)
        material = np.zeros(shape, np.uint8)
        picked = scene.material[middle]
        material[tuple(slice(0, n) for n in picked.shape)] = picked
        start = np.zeros(3, np.int64)
        attenuate(
            coarse, scene.channels.table, joined["density"], material, joined["flux"], start, total
        )
        total *= np.float32(np.prod(coarse.spacing) / 1000)
        faint = total[: released.shape[0] // 2].copy()
    block = np.empty(total[0][inside].shape, np.float32)
    for channel, energy in enumerate(released):
        coarsen(np.ascontiguousarray(energy), factors, block)
        total[channel][inside] = block
    return _CoarseRelease(coarse, joined["electron"], joined["scatter"], total, faint)


def _whole_blocks(box: Box, factors: tuple[int, int, int], shape: tuple[int, ...]) -> Box:
    """Grow a box by a voxel, for those that a sharp edge just touches, and to whole blocks."""
    z, y, x = (
        slice(max(span.start - 1, 0) // f * f, min(n, -(-(span.stop + 1) // f) * f))
        for span, f, n in zip(box, factors, shape, strict=True)
    )
    return z, y, x


def _released(
    scene: _Scene, geometry: BeamGeometry, box: Box, flux: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Released energy per voxel, MeV, (channels, mz, my, mx), in the box."""
    channels = scene.channels.table.release.shape[1]
    released = np.zeros((channels, *flux[box].shape), np.float32)
    start = np.array([s.start for s in box], np.int64)
    density = scene.phantom.density
    attenuate(geometry, scene.channels.table, density, scene.material, flux, start, released)
    released *= np.float32(scene.phantom.grid.voxel_volume_cm3)
    return released


def _scene(phantom: Phantom, fluence: Fluence, settings: CollapsedConeSettings) -> _Scene:
    names = ("water", *(m for m in phantom.materials if m != "water"))
    index = np.array([names.index(m) for m in phantom.materials], np.uint8)  # old to new number
    channels, scaling = _quality(BeamQuality(fluence), names, settings.channels)
    material = phantom.material
    if (index != np.arange(index.size)).any():
        material = index[material]
    return _Scene(
        phantom=phantom,
        material=material,
        channels=channels,
        scaling=scaling,
        kernels=load_kernels(),
        electron_scaling=_by_material(phantom.density, material, scaling.electron_range),
        scatter_scaling=_by_material(phantom.density, material, scaling.scatter_range),
    )


def _by_material(
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
