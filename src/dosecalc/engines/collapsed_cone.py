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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc import __version__
from dosecalc.beam import beam_fluences, beam_notes
from dosecalc.beam.fluence import Fluence
from dosecalc.core.lattice import coarsen, interpolate_up, split_release
from dosecalc.core.superposition import TERMS, Directions, Medium, sweep
from dosecalc.core.terma import BeamGeometry, attenuate, tilt_cells, voxel_fluence
from dosecalc.data.deposition import EnergyDepositionKernels, load_kernels
from dosecalc.data.electrons import collision_stopping_power
from dosecalc.data.materials import Material, load_material
from dosecalc.engines.cone_kernels import UPRIGHT, ConeTable, TiltGrid, make_cone_table, tilt_grid
from dosecalc.engines.spectral import Channels, MaterialScaling, make_channels, material_scaling
from dosecalc.errors import InputError
from dosecalc.model import Dose, Grid, Machine, Phantom, Plan

__all__ = ["CollapsedConeSettings", "compute", "fluence_dose"]

MEV_PER_G_TO_GRAY = 1.602176634e-10

_WHOLE_SCATTER_VOXEL_MM = 5.0
_LARGEST_PRIMARY_VOXEL_MM = 1.5
_PRIMARY_REACH_MM = 30.0
_LATER_VOXEL_RATIO = 2.0

# Cosine to the beam below which electrons, a tenth of their energy, do not get far: their
# lines need no finer lattice than the dose grid.
_AHEAD = 0.45

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
    if not plan.beams:
        raise InputError("the plan has no beam to calculate")
    machines = {b.number: _machine_of(machine, b.number) for b in plan.beams}
    units = {m.calibration.per_fluence for m in machines.values()}
    if len(units) > 1:
        raise InputError("beams per MU and beams per unit fluence cannot be added in one plan")
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
        total += fluence_dose(phantom, fluence, settings) * gray_per_unit(model, settings)
        if progress is not None:
            progress(name, done, len(jobs))
    return Dose(
        grid=phantom.grid,
        gray=total.astype(np.float32),
        dose_to=settings.dose_to,
        unit="Gy cm2" if units.pop() else "Gy",
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


def gray_per_unit(machine: Machine, settings: CollapsedConeSettings) -> float:
    """Factor from dose per unit photon fluence to dose per MU."""
    # Imported here because the calibration is a calculation with this engine.
    from dosecalc.engines.calibration import fluence_per_mu

    if machine.calibration.per_fluence:
        return 1.0
    return fluence_per_mu(machine, settings)


def _machine_of(machine: Machine | Mapping[int, Machine], number: int) -> Machine:
    if isinstance(machine, Machine):
        return machine
    if number not in machine:
        raise InputError(f"no machine is given for beam {number}; name one for every beam")
    return machine[number]


@dataclass(frozen=True)
class _Scene:
    """The phantom's materials, water first, and what the beam's spectrum makes of them."""

    material: NDArray[np.uint8]
    channels: Channels
    scaling: MaterialScaling
    kernels: EnergyDepositionKernels


def fluence_dose(
    phantom: Phantom, fluence: Fluence, settings: CollapsedConeSettings
) -> NDArray[np.float32]:
    """Dose (nz, ny, nx), Gy cm2 per unit of the fluence map, of one stationary beam."""
    geometry = _geometry(fluence, phantom.grid)
    flux = np.zeros(phantom.grid.shape, np.float32)
    voxel_fluence(geometry, phantom.grid.shape, flux)
    if not flux.any():
        return flux
    scene = _scene(phantom, fluence, settings)
    box = _bounding_box(flux > 0)
    released = _released(phantom, scene, geometry, box, flux)
    n = released.shape[0] // 2
    tilts = _tilts(geometry)
    bright = _bounding_box(flux > _FAINT * flux.max())
    dose = _primary_dose(phantom, scene, geometry, bright, released[:n], tilts, settings)
    dose += _scatter_dose(phantom, scene, geometry, released[n:], tilts, settings)
    if bright != box:
        released[(slice(0, n), *bright)] = 0
        dose += _faint_dose(phantom, scene, geometry, released[:n], tilts, settings)
    if settings.dose_to == "water":
        dose *= _water_to_medium(phantom)[phantom.material]
    dose *= np.float32(MEV_PER_G_TO_GRAY)
    return dose


def _geometry(fluence: Fluence, grid: Grid) -> BeamGeometry:
    rows, columns = fluence.values.shape
    integral = np.zeros((rows + 1, columns + 1))
    integral[1:, 1:] = fluence.values.astype(np.float64).cumsum(axis=0).cumsum(axis=1)
    return BeamGeometry(
        source=fluence.source.copy(),
        axes=fluence.axes.copy(),
        sad=float(fluence.sad_mm),
        integral=integral * fluence.pixel_u * fluence.pixel_v,
        u0=float(fluence.u0),
        v0=float(fluence.v0),
        pixel_u=float(fluence.pixel_u),
        pixel_v=float(fluence.pixel_v),
        origin=np.array(grid.origin),
        spacing=np.array(grid.spacing),
    )


def _scene(phantom: Phantom, fluence: Fluence, settings: CollapsedConeSettings) -> _Scene:
    names = ("water", *(m for m in phantom.materials if m != "water"))
    index = np.array([names.index(m) for m in phantom.materials], np.uint8)
    channels, scaling = _quality(_Quality(fluence), names, settings.channels)
    return _Scene(index[phantom.material], channels, scaling, load_kernels())


class _Quality:
    """A beam's spectrum and softening as a key: equal where the tables made of them are."""

    def __init__(self, fluence: Fluence) -> None:
        self.spectrum = fluence.spectrum
        self.softening = fluence.softening
        arrays = [self.spectrum.edges_low, self.spectrum.edges_high, self.spectrum.photons]
        if self.softening is not None:
            arrays += [self.softening.radius_mm, self.softening.value]
        self.key = tuple(array.tobytes() for array in arrays)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Quality) and self.key == other.key


@lru_cache(maxsize=16)
def _quality(
    beam: _Quality, names: tuple[str, ...], channels: int
) -> tuple[Channels, MaterialScaling]:
    """Tables of a beam quality in some materials, the same for all beams and arc bins."""
    materials = [load_material(name) for name in names]
    tables = make_channels(beam.spectrum, beam.softening, materials, load_kernels(), channels)
    energy_fluence = tables.table.energy_fluence
    return tables, material_scaling(materials, tables.energies, energy_fluence)


def _water_to_medium(phantom: Phantom) -> NDArray[np.float32]:
    """Give the stopping power of water over medium at 1 MeV (Bragg-Gray), per material."""
    materials: list[Material] = [load_material(name) for name in phantom.materials]
    water = collision_stopping_power(load_material("water"), 1.0)
    return np.array([water / collision_stopping_power(m, 1.0) for m in materials], np.float32)


def _bounding_box(where: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    spans = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(where.any(axis=others))
        spans.append(slice(int(used[0]), int(used[-1]) + 1))
    return spans[0], spans[1], spans[2]


def _released(
    phantom: Phantom,
    scene: _Scene,
    geometry: BeamGeometry,
    box: tuple[slice, slice, slice],
    flux: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Released energy per voxel, MeV, (channels, nz, ny, nx); none outside the box."""
    channels = scene.channels.table.release.shape[1]
    inside = np.zeros((channels, *flux[box].shape), np.float32)
    start = np.array([s.start for s in box], np.int64)
    attenuate(geometry, scene.channels.table, phantom.density, scene.material, flux, start, inside)
    released = np.zeros((channels, *flux.shape), np.float32)
    np.multiply(
        inside, np.float32(phantom.grid.voxel_volume_cm3), out=released[(slice(None), *box)]
    )
    return released


def _tilts(geometry: BeamGeometry) -> TiltGrid:
    rows, columns = geometry.integral.shape
    lower = (geometry.u0 / geometry.sad, geometry.v0 / geometry.sad)
    upper = (
        (geometry.u0 + (columns - 1) * geometry.pixel_u) / geometry.sad,
        (geometry.v0 + (rows - 1) * geometry.pixel_v) / geometry.sad,
    )
    return tilt_grid(lower, upper)


class _Tilted(NamedTuple):
    """Released energy in the terms of a `ConeTable`: (TERMS, nz, ny, nx), and the cells."""

    terms: NDArray[np.float32]
    cell: NDArray[np.int16]


def _tilted(geometry: BeamGeometry, tilts: TiltGrid, released: NDArray[np.float32]) -> _Tilted:
    shape = released.shape[1:]
    cell = np.zeros(shape, np.int16)
    terms = np.zeros((TERMS, *shape), np.float32)
    if tilts != UPRIGHT:
        grid = (tilts.first_u, tilts.first_v, tilts.step, tilts.cells_u, tilts.cells_v)
        tilt_cells(geometry, grid, released[0], cell, terms[1], terms[2])
        terms[1:3] *= released[0]
    terms[0] = released[0]
    if released.shape[0] > 1:
        terms[3] = released[1]
    return _Tilted(terms, cell)


def _primary_dose(
    phantom: Phantom,
    scene: _Scene,
    geometry: BeamGeometry,
    box: tuple[slice, slice, slice],
    released: NDArray[np.float32],
    tilts: TiltGrid,
    settings: CollapsedConeSettings,
) -> NDArray[np.float32]:
    """Dose by electrons of first interactions, MeV/g, on the phantom's grid."""
    region = _with_reach(box, phantom)
    inner = tuple(
        slice(b.start - r.start, b.stop - r.start) for b, r in zip(box, region, strict=True)
    )
    density = phantom.density[region]
    scaling = density * scene.scaling.electron_range[scene.material[region]].astype(np.float32)
    whole = np.zeros((released.shape[0], *density.shape), np.float32)
    whole[(slice(None), *inner)] = released[(slice(None), *box)]
    factors = _division(geometry, settings)
    fine = _subgrid_geometry(geometry, region, factors)
    shape = tuple(n * f for n, f in zip(density.shape, factors, strict=True))
    fine_flux = np.zeros(shape, np.float32)
    voxel_fluence(fine, shape, fine_flux)
    fine_released = np.zeros((released.shape[0], *shape), np.float32)
    split_release(whole, fine_flux, factors, fine_released)
    table = make_cone_table(
        scene.channels.primary_kernels, scene.kernels, tilts, settings.directions, "prompt"
    )
    ahead, aside = table.split(_AHEAD)
    absorbed = _transport(
        fine, _repeat(scaling, factors), _tilted(fine, tilts, fine_released), ahead
    )
    energy = np.empty(density.shape, np.float32)
    coarsen(absorbed, factors, energy)
    plain = _subgrid_geometry(geometry, region, (1, 1, 1))
    energy += _transport(plain, scaling, _tilted(plain, tilts, whole), aside)
    energy += _local(whole, table)
    dose = np.zeros(phantom.grid.shape, np.float32)
    mass = density * np.float32(phantom.grid.voxel_volume_cm3)
    dose[region] = np.divide(energy, mass, out=np.zeros_like(energy), where=mass > 0)
    return dose


def _with_reach(box: tuple[slice, slice, slice], phantom: Phantom) -> tuple[slice, slice, slice]:
    """Grow the box by the electrons' reach, longer in thin matter, within the grid."""
    inside = phantom.density[box]
    solid = inside[inside > 0.05]
    thin = float(np.percentile(solid, 5)) if solid.size else 1.0
    reach = _PRIMARY_REACH_MM / min(max(thin, 0.15), 1.0)
    spans = []
    for axis, span in enumerate(box):
        margin = int(np.ceil(reach / phantom.grid.spacing[2 - axis]))
        spans.append(
            slice(max(0, span.start - margin), min(phantom.grid.shape[axis], span.stop + margin))
        )
    return spans[0], spans[1], spans[2]


def _division(geometry: BeamGeometry, settings: CollapsedConeSettings) -> tuple[int, int, int]:
    """Into how many parts a voxel is divided along z, y, x: across the beam only."""
    along = int(np.argmax(np.abs(geometry.axes[2])))
    parts = [1, 1, 1]
    for axis in range(3):
        if axis != along:
            parts[axis] = int(np.ceil(geometry.spacing[axis] / settings.primary_voxel_mm - 1e-6))
    return parts[2], parts[1], parts[0]


def _subgrid_geometry(
    geometry: BeamGeometry, region: tuple[slice, slice, slice], factors: tuple[int, int, int]
) -> BeamGeometry:
    """Describe the same beam over a part of the grid with divided voxels."""
    start = np.array([s.start for s in region][::-1], float)
    parts = np.array(factors[::-1], float)
    lower = geometry.origin + (start - 0.5) * geometry.spacing
    spacing = geometry.spacing / parts
    return geometry._replace(origin=lower + spacing / 2, spacing=spacing)


def _repeat(values: NDArray[np.float32], factors: tuple[int, int, int]) -> NDArray[np.float32]:
    for axis, factor in enumerate(factors):
        if factor > 1:
            values = np.repeat(values, factor, axis=axis)
    return values


def _scatter_dose(
    phantom: Phantom,
    scene: _Scene,
    geometry: BeamGeometry,
    released: NDArray[np.float32],
    tilts: TiltGrid,
    settings: CollapsedConeSettings,
) -> NDArray[np.float32]:
    """Dose through scattered photons, MeV/g, on the phantom's grid.

    In two steps (see `rescatter`): photons that left the first interaction, then
    the energy that they send on from where they interact, on a lattice coarser still.
    """
    relative = scene.scaling.scatter_range[scene.material].astype(np.float32)
    first = _coarser(
        _Lattice(geometry, phantom.density * relative, released), settings.scatter_voxel_mm
    )
    table = make_cone_table(
        scene.channels.scatter_kernels, scene.kernels, tilts, settings.directions, "delayed"
    )
    absorbed = _spread(first, tilts, table)
    per_mass = _per_mass(first, absorbed)
    later, energy = _later_scatter(first, scene, tilts, settings)
    per_mass += _finer(_per_mass(later, energy), later, first)
    dose = _finer(per_mass, first, _Lattice(geometry, phantom.density, released))
    dose *= scene.scaling.scatter_dose[scene.material].astype(np.float32)
    dose[phantom.density <= 0] = 0
    return dose


def _faint_dose(
    phantom: Phantom,
    scene: _Scene,
    geometry: BeamGeometry,
    released: NDArray[np.float32],
    tilts: TiltGrid,
    settings: CollapsedConeSettings,
) -> NDArray[np.float32]:
    """Dose by electrons where the fluence is low and smooth (leakage, head scatter), MeV/g."""
    relative = scene.scaling.electron_range[scene.material].astype(np.float32)
    whole = _Lattice(geometry, phantom.density * relative, released)
    lattice = _coarser(whole, settings.scatter_voxel_mm)
    table = make_cone_table(
        scene.channels.primary_kernels,
        scene.kernels,
        tilts,
        max(24, settings.directions // 3),
        "prompt",
    )
    dose = _finer(_per_mass(lattice, _spread(lattice, tilts, table)), lattice, whole)
    dose *= relative
    dose[phantom.density <= 0] = 0
    return dose


def _later_scatter(
    first: _Lattice, scene: _Scene, tilts: TiltGrid, settings: CollapsedConeSettings
) -> tuple[_Lattice, NDArray[np.float32]]:
    """Energy absorbed through photons scattered twice or more, and the lattice it is on."""
    directions = max(24, settings.directions // 2)
    lattice = _coarser(first, _LATER_VOXEL_RATIO * settings.scatter_voxel_mm)
    released = lattice._replace(
        released=lattice.released[:1] * np.float32(scene.channels.later_ratio)
    )
    table = make_cone_table(
        scene.channels.onward_kernel, scene.kernels, tilts, directions, "delayed"
    )
    # The fit may leave a trace of negative energy next to a source; it cannot scatter.
    onward = np.maximum(_spread(released, tilts, table), 0)[None]
    table = make_cone_table(
        scene.channels.later_kernel, scene.kernels, UPRIGHT, directions, "delayed"
    )
    return lattice, _spread(lattice._replace(released=onward), UPRIGHT, table)


class _Lattice(NamedTuple):
    """Voxels for scattered energy: their place, density scaling and released energy."""

    geometry: BeamGeometry
    scaling: NDArray[np.float32]
    released: NDArray[np.float32]


def _coarser(lattice: _Lattice, voxel_mm: float) -> _Lattice:
    """Join voxels while the result is no larger than `voxel_mm`; sums energy, averages scaling."""
    shape = lattice.scaling.shape
    spacing = lattice.geometry.spacing
    factors = tuple(max(1, int(voxel_mm / s + 1e-6)) for s in spacing[::-1])
    if factors == (1, 1, 1):
        return lattice
    coarse_shape = tuple(-(-n // f) for n, f in zip(shape, factors, strict=True))
    scaling = np.empty(coarse_shape, np.float32)
    coarsen(lattice.scaling, factors, scaling)
    scaling /= np.float32(np.prod(factors))
    released = np.empty((lattice.released.shape[0], *coarse_shape), np.float32)
    for channel, energy in enumerate(lattice.released):
        coarsen(np.ascontiguousarray(energy), factors, released[channel])
    parts = np.array(factors[::-1], float)
    origin = lattice.geometry.origin + (parts - 1) / 2 * spacing
    geometry = lattice.geometry._replace(origin=origin, spacing=spacing * parts)
    return _Lattice(geometry, scaling, released)


def _finer(values: NDArray[np.float32], coarse: _Lattice, fine: _Lattice) -> NDArray[np.float32]:
    """Interpolate from one lattice to the finer one it was joined from."""
    ratio = np.rint(coarse.geometry.spacing / fine.geometry.spacing).astype(int)
    if (ratio == 1).all():
        return values
    result = np.empty(fine.scaling.shape, np.float32)
    interpolate_up(_sharpened(values), (int(ratio[2]), int(ratio[1]), int(ratio[0])), result)
    return result


def _sharpened(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values whose linear interpolation has, to second order, the given means over voxels.

    A line through the means of three voxels has the mean (v[-1] + 6 v[0] + v[1]) / 8
    over the middle one; taking off an eighth of the second difference undoes that.
    """
    values = means.copy()
    for axis in range(3):
        if means.shape[axis] < 3:
            continue
        moved = np.moveaxis(values, axis, 0)
        moved[1:-1] -= np.diff(moved, n=2, axis=0) / 8
    return np.maximum(values, 0)


def _spread(lattice: _Lattice, tilts: TiltGrid, table: ConeTable) -> NDArray[np.float32]:
    """Energy absorbed per voxel, MeV, by lines and locally."""
    source = _tilted(lattice.geometry, tilts, lattice.released)
    absorbed = _transport(lattice.geometry, lattice.scaling, source, table)
    return absorbed + _local(lattice.released, table)


def _local(released: NDArray[np.float32], table: ConeTable) -> NDArray[np.float32]:
    """Energy absorbed (or, where negative, taken back) in the voxel that releases it."""
    local: NDArray[np.float32] = np.tensordot(table.local.astype(np.float32), released, 1)
    return local


def _per_mass(lattice: _Lattice, absorbed: NDArray[np.float32]) -> NDArray[np.float32]:
    """Energy per water-equivalent mass, MeV/g.

    It varies slowly across interfaces, so it is what is interpolated; the
    material of each voxel then says how much of it is absorbed there.
    """
    mass = lattice.scaling * np.float32(np.prod(lattice.geometry.spacing) / 1000)
    per_mass: NDArray[np.float32] = np.divide(
        absorbed, mass, out=np.zeros_like(absorbed), where=mass > 1e-7
    )
    return per_mass


# Orders of axes (b, d, c) of the arrays swept along z, y and x: d the axis of advance,
# c contiguous in memory.
_ORDERS = ((1, 0, 2), (0, 1, 2), (0, 2, 1))


def _transport(
    geometry: BeamGeometry,
    scaling: NDArray[np.float32],
    source: _Tilted,
    table: ConeTable,
) -> NDArray[np.float32]:
    """Energy absorbed per voxel [z, y, x] of the energy released, both MeV per voxel."""
    unit = np.float32(source.terms[0].max())
    absorbed = np.zeros(scaling.shape, np.float32)
    if unit <= 0:
        return absorbed
    directions = (table.directions @ geometry.axes)[:, ::-1]
    spacing = geometry.spacing[::-1]
    leading = np.argmax(np.abs(directions) / spacing, axis=1)
    for axis in (1, 0, 2):
        chosen = np.flatnonzero(leading == axis)
        if chosen.size == 0:
            continue
        order = _ORDERS[axis]
        medium = _medium(scaling, source, unit, order)
        lines = _directions(directions[chosen], spacing, order, table, chosen)
        part = np.zeros(medium.scaling.shape, np.float32)
        sweep(medium, lines, np.float32(3e-5), part)
        absorbed += part.transpose(np.argsort(order)) * unit
    return absorbed


def _medium(
    scaling: NDArray[np.float32],
    source: _Tilted,
    unit: np.float32,
    order: tuple[int, int, int],
) -> Medium:
    turned = np.ascontiguousarray(source.terms.transpose((0, *(a + 1 for a in order))) / unit)
    used = turned[0] > 0
    any_used = used.any(axis=2)
    first = np.where(any_used, used.argmax(axis=2), 0)
    last = np.where(any_used, used.shape[2] - used[..., ::-1].argmax(axis=2), 0)
    return Medium(
        scaling=np.ascontiguousarray(scaling.transpose(order)),
        released=turned,
        cell=np.ascontiguousarray(source.cell.transpose(order)),
        first=first.astype(np.int32),
        last=last.astype(np.int32),
    )


def _directions(
    directions: NDArray[np.float64],
    spacing: NDArray[np.float64],
    order: tuple[int, int, int],
    table: ConeTable,
    chosen: NDArray[np.intp],
) -> Directions:
    """Lines of the chosen directions; rates per plane, because a plane is crossed in one step."""
    b, d, c = order
    along = np.abs(directions[:, d])
    step_cm = spacing[d] / along / 10
    return Directions(
        forward=directions[:, d] > 0,
        slope_b=directions[:, b] / along * spacing[d] / spacing[b],
        slope_c=directions[:, c] / along * spacing[d] / spacing[c],
        rate=(table.rates[chosen] * step_cm).astype(np.float32),
        amplitude=np.ascontiguousarray(table.amplitudes[chosen]),
    )
