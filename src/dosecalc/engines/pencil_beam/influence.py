"""The dose-influence matrix: dose per voxel and unit weight of every beamlet, by pencil beams.

Beamlets of one beam are equal, so one is convolved (`pencil_convolution`), and every voxel looks
up what each beamlet within reach sends it. Only the softness of the spectrum and the profile
differ from beamlet to beamlet; softness is taken at the voxel's ray, the profile at the beamlet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.signal import oaconvolve
from threadpoolctl import threadpool_limits

from dosecalc import __version__
from dosecalc.beam.beamlets import BeamletGrid, beamlet_fluence
from dosecalc.beam.fluence import Fluence
from dosecalc.core.influence import (
    BeamletMaps,
    Lattice,
    count_beamlets,
    fill_rows,
    times,
)
from dosecalc.core.pencil import TERMS, Convolved, RadialTable
from dosecalc.data.electrons import water_to_medium
from dosecalc.engines.calibration import fluence_per_mu
from dosecalc.engines.pencil_beam.convolution import (
    Spread,
    convolve,
    narrow_spread,
    shares_of,
    wide_spread,
)
from dosecalc.engines.pencil_beam.engine import (
    DoseSum,
    PencilBeam,
    field_dose,
    fluence_dose,
)
from dosecalc.engines.pencil_beam.influence_matrix import InfluenceMatrix
from dosecalc.engines.pencil_beam.scene import FARTHEST_MM, Scene, beam_scene, usual_scales
from dosecalc.engines.pencil_beam.tables import PencilTerms
from dosecalc.errors import GeometryError, InputError
from dosecalc.model import Grid, Machine, Phantom

__all__ = ["InfluenceMatrix", "InfluenceSettings", "dose_influence"]

_AIR = 0.05


@dataclass(frozen=True)
class InfluenceSettings:
    """Settings of a dose-influence matrix.

    Parameters
    ----------
    reach_mm : float, up to 150
        A voxel gets dose from beamlets at most so far, along u and v, from its ray in the isocentre
        plane. What lies beyond is dropped, and how much that is, reported.
    pixel_mm : float
        Largest pixel of the convolved beamlet.
    scale_step : float
        Step of the logarithm of lateral scales; voxels take the nearest.
    largest_gb : float
        A matrix that would take more memory is refused.
    """

    reach_mm: float = 60.0
    pixel_mm: float = 1.0
    scale_step: float = 0.05
    largest_gb: float = 4.0

    def __post_init__(self) -> None:
        for name in ("reach_mm", "pixel_mm", "scale_step", "largest_gb"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} = {getattr(self, name)}: it must be above zero")
        if self.reach_mm > FARTHEST_MM:
            raise InputError(
                f"reach_mm = {self.reach_mm:g}: no dose is followed further than {FARTHEST_MM:g} mm"
            )


def dose_influence(
    phantom: Phantom,
    beams: Sequence[BeamletGrid],
    machine: Machine,
    settings: InfluenceSettings | None = None,
    *,
    dose_to: str = "medium",
) -> InfluenceMatrix:
    """Dose of every beamlet in every voxel that holds matter.

    Raises
    ------
    InputError
        No beams; the matrix would take more memory than is allowed.
    GeometryError, OutsideValidityError
        See `pencil_beam.fluence_dose`; a beam sees no voxel.
    """
    # The threads of numpy's library would go on waiting on the cores that compiled loops need.
    with threadpool_limits(1, user_api="blas"):
        return _influence(phantom, beams, machine, settings or InfluenceSettings(), dose_to)


def _influence(
    phantom: Phantom,
    beams: Sequence[BeamletGrid],
    machine: Machine,
    settings: InfluenceSettings,
    dose_to: str,
) -> InfluenceMatrix:
    if not beams:
        raise InputError("no beam has beamlets to calculate")
    pencil = PencilBeam(fluence_pixel_mm=settings.pixel_mm, dose_to=dose_to)
    per_mu = fluence_per_mu(machine, pencil, fluence_dose)
    voxels = np.flatnonzero(phantom.density > _AIR)
    points = _points(phantom.grid, voxels)
    prepared, counts, columns = [], np.zeros(voxels.size, np.int64), 0
    for grid in beams:
        single = beamlet_fluence(grid, machine, settings.pixel_mm)
        whole = _all_beamlets(grid, single, machine)
        scene = beam_scene(phantom, whole, pencil.apart_mm, settings.reach_mm)
        lattice = _lattice(grid, machine, settings.reach_mm, columns, per_mu)
        before = int(counts.sum())
        count_beamlets(scene.geometry, lattice, points, counts)
        if int(counts.sum()) == before:
            raise GeometryError(f"no voxel is seen through a beamlet at gantry {grid.gantry_deg:g}")
        prepared.append(_Prepared(grid, single, whole, scene, lattice))
        columns += grid.count
    entries = int(counts.sum())
    _check_size(entries, phantom.grid, settings)
    indices, data = np.empty(entries, np.int32), np.empty(entries, np.float32)
    place = np.cumsum(counts) - counts
    maps = _shared_maps(prepared, machine, settings)
    for beam, tables in zip(prepared, maps, strict=True):
        _fill(phantom, voxels, points, beam, tables, dose_to, place, (indices, data))
        more = np.zeros_like(counts)
        count_beamlets(beam.scene.geometry, beam.lattice, points, more)
        place += more
    rows = np.zeros(phantom.density.size + 1, np.int64)
    rows[voxels + 1] = counts
    matrix = sparse.csr_array(
        (data, indices, np.cumsum(rows).astype(np.int32)), shape=(phantom.density.size, columns)
    )
    dropped = _dropped(phantom, prepared, matrix, pencil, per_mu)
    return InfluenceMatrix(
        matrix=matrix,
        grid=phantom.grid,
        beams=tuple(beams),
        unit="Gy cm2" if machine.calibration.per_fluence else "Gy",
        dropped=dropped,
        provenance={
            "program": f"dosecalc {__version__}",
            "engine": "pencil-beam",
            "settings": asdict(settings),
            "dose_to": dose_to,
            "machine": machine.name,
        },
    )


class _Prepared(NamedTuple):
    """A beam before its entries are calculated."""

    grid: BeamletGrid
    single: Fluence
    whole: Fluence
    scene: Scene
    lattice: Lattice


def _points(grid: Grid, voxels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Middles of voxels, (n, 3) x, y, z."""
    index = np.unravel_index(voxels, grid.shape)
    lines = [grid.centres(axis)[n] for axis, n in zip("zyx", index, strict=True)]
    return np.ascontiguousarray(np.stack(lines[::-1], axis=-1))


def _all_beamlets(grid: BeamletGrid, single: Fluence, machine: Machine) -> Fluence:
    """Fluence of all beamlets with weight 1."""
    parts_u = round(grid.size_u / single.pixel_u)
    parts_v = round(grid.size_v / single.pixel_v)
    nv, nu = grid.chosen.shape
    middles = np.zeros(((nv - 1) * parts_v + 1, (nu - 1) * parts_u + 1))
    middles[::parts_v, ::parts_u] = grid.chosen * _profile(grid, machine)
    values = oaconvolve(middles, single.values)
    # What is left of rounding is no fluence.
    values[values < 1e-6 * values.max()] = 0
    return replace(
        single,
        values=values.astype(np.float32),
        u0=single.u0 + grid.u0,
        v0=single.v0 + grid.v0,
    )


def _profile(grid: BeamletGrid, machine: Machine) -> NDArray[np.float64]:
    u, v = grid.centres()
    radius = np.hypot(v[:, None], u)
    return np.ones_like(radius) if machine.profile is None else machine.profile(radius)


def _lattice(
    grid: BeamletGrid, machine: Machine, reach_mm: float, first_column: int, per_mu: float
) -> Lattice:
    column = np.full(grid.chosen.shape, -1, np.int32)
    column[grid.chosen] = first_column + np.arange(grid.count)
    weight = (_profile(grid, machine) * per_mu).astype(np.float32)
    return Lattice(grid.u0, grid.v0, grid.size_u, grid.size_v, column, weight, reach_mm)


def _check_size(entries: int, grid: Grid, settings: InfluenceSettings) -> None:
    gigabytes = (8 * entries + 4 * np.prod(grid.shape)) / 1e9
    if gigabytes > settings.largest_gb or entries >= 2**31:
        raise InputError(
            f"the dose-influence matrix would have {entries:,} entries and take {gigabytes:.1f} "
            f"GB, more than largest_gb = {settings.largest_gb:g}; use larger voxels, larger "
            "beamlets or a shorter reach_mm"
        )


def _fill(
    phantom: Phantom,
    voxels: NDArray[np.int64],
    points: NDArray[np.float64],
    beam: _Prepared,
    tables: tuple[BeamletMaps, BeamletMaps],
    dose_to: str,
    place: NDArray[np.int64],
    out: tuple[NDArray[np.int32], NDArray[np.float32]],
) -> None:
    """Calculate a beam's entries and write them from `place` on."""
    scene, quality = beam.scene, beam.scene.quality
    material = scene.phantom.material.ravel()[voxels]
    density = phantom.density.ravel()[voxels]
    factors = quality.dose_factors
    if dose_to == "water":
        to_water = water_to_medium(phantom.materials)[phantom.material.ravel()[voxels]]
    else:
        to_water = np.ones(voxels.size)
    properties = np.stack(
        (
            scene.view.thickness_cm * density * quality.depth_scale[material],
            factors[0, material] * to_water,
            factors[1, material] * to_water,
        ),
        axis=-1,
    ).astype(np.float32)
    softness = np.zeros((2, 0))
    if beam.single.softening is not None and quality.softest_cm > 0:
        soft = beam.single.softening
        softness = np.ascontiguousarray(np.stack((soft.radius_mm, soft.value / quality.softest_cm)))
    fill_rows(
        scene.geometry,
        scene.fan,
        softness,
        beam.lattice,
        *tables,
        points,
        properties,
        place,
        out,
    )


def _shared_maps(
    prepared: list[_Prepared], machine: Machine, settings: InfluenceSettings
) -> list[tuple[BeamletMaps, BeamletMaps]]:
    """Convolved beamlets of every beam; those that look alike to the voxels share them."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for n, beam in enumerate(prepared):
        view = beam.scene.view
        look = (beam.grid.size_u, beam.grid.size_v, view.width_u, view.width_v)
        groups.setdefault(tuple(round(value, 3) for value in look), []).append(n)
    found: dict[int, tuple[BeamletMaps, BeamletMaps]] = {}
    for members in groups.values():
        beams = [prepared[n] for n in members]
        quality = beams[0].scene.quality
        # Scattered energy varies little over a beamlet: three pixels are enough.
        coarse = beamlet_fluence(beams[0].grid, machine, beams[0].grid.size_u / 3)
        kinds = (
            (1, beams[0].single, quality.primary, narrow_spread(quality, 1, settings.scale_step)),
            (2, coarse, quality.scatter, wide_spread(1, 2 * settings.scale_step)),
        )
        primary, scatter = (
            _maps(single, beams[0], terms, _scales_of(beams, kind), spread)
            for kind, single, terms, spread in kinds
        )
        found |= dict.fromkeys(members, (primary, scatter))
    return [found[n] for n in range(len(prepared))]


def _scales_of(beams: list[_Prepared], kind: int) -> tuple[float, float]:
    """Range of lateral scales of all beams."""
    ends = [usual_scales(b.scene.fan, kind) for b in beams]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _maps(
    single: Fluence,
    beam: _Prepared,
    terms: PencilTerms,
    scales: tuple[float, float],
    spread: Spread,
) -> BeamletMaps:
    """Convolve a beamlet with the functions of each family, sorted as `BeamletMaps` says."""
    lattice = beam.lattice
    parts = round(lattice.size_u / single.pixel_u)
    if parts != round(lattice.size_v / single.pixel_v):
        raise InputError("beamlets must be squares")
    blocks = 2 * (int(np.ceil(lattice.reach / lattice.size_u)) + 1) + 1
    reach = min(lattice.reach, 10 * spread.reach_cm * float(np.exp(-scales[0])) + lattice.size_u)
    ends = (parts * (int(np.ceil(reach / lattice.size_u)) + 2)) * single.pixel_u
    view = beam.scene.view._replace(u=(-ends, ends), v=(-ends, ends))
    shares = shares_of(single, 0.0)
    families = terms.across.values.shape[1]
    found = []
    for q in range(families):
        one = PencilTerms(
            RadialTable(
                terms.across.first,
                terms.across.step,
                np.ascontiguousarray(terms.across.values[:, q : q + 1]),
                np.ascontiguousarray(terms.across.at_zero[q : q + 1]),
            ),
            terms.along,
        )
        maps = convolve(shares, one, view, scales, spread)
        found.append(_sorted(maps, parts, blocks))
    values = np.ascontiguousarray(np.stack(found, axis=1))
    return BeamletMaps(*terms.along, maps.first, maps.step, blocks, values)


def _sorted(maps: Convolved, parts: int, blocks: int) -> NDArray[np.float32]:
    """Pixels of convolved maps in the order of `BeamletMaps`, (ns, parts, parts, TERMS, n)."""
    count = parts * blocks
    even = np.zeros((len(maps.values), count, count, TERMS), np.float32)
    start = parts * (blocks // 2)
    first_u = start + round(maps.u0 / maps.pixel_u)
    first_v = start + round(maps.v0 / maps.pixel_v)
    nv, nu = maps.values.shape[1:3]
    rows = slice(max(first_v, 0), min(first_v + nv, count))
    columns = slice(max(first_u, 0), min(first_u + nu, count))
    even[:, rows, columns] = maps.values[
        :,
        rows.start - first_v : rows.stop - first_v,
        columns.start - first_u : columns.stop - first_u,
    ]
    split = even.reshape(-1, blocks, parts, blocks, parts, TERMS)
    found = np.zeros((len(maps.values), parts, parts, TERMS, blocks + 1, blocks), np.float32)
    found[..., :blocks, :] = split.transpose(0, 2, 4, 5, 1, 3)
    return found.reshape(*found.shape[:4], -1)


def _dropped(
    phantom: Phantom,
    prepared: list[_Prepared],
    matrix: sparse.csr_array,
    pencil: PencilBeam,
    per_mu: float,
) -> tuple[float, ...]:
    """Share of each beam's energy that its columns lack, all weights being 1."""
    mass = phantom.mass_g
    shares = []
    for beam in prepared:
        column = beam.lattice.column
        weights = np.zeros(matrix.shape[1])
        weights[column[column >= 0]] = 1
        kept = np.empty(matrix.shape[0])
        times(matrix.indptr, matrix.indices, matrix.data, weights, kept)
        doses = DoseSum(phantom)
        field_dose(beam.whole, beam.scene, pencil, doses, per_mu)
        whole = doses.total()
        dense = (phantom.density > _AIR).ravel()
        energy = float((mass * whole).ravel()[dense].sum())
        shares.append(1 - float(mass.ravel() @ kept) / energy)
    return tuple(shares)
