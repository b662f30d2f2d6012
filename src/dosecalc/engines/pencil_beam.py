"""The pencil-beam engine: whole fields by convolution of their fluence.

Every ray carries its photons to a water-equivalent depth; there, what they set free spreads
across the beam. The dose in a plane across the beam is the fluence map convolved with the
pencil kernel of that depth, and the kernel is a sum of few products of depth and place
(`pencil_tables`), so few maps are convolved whatever the number of depths. Divergence and
density change the width of kernels; maps are convolved for several widths and each voxel
looks up its own. See docs/physics-pencil-beam.md for what that is good for and what not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import distance_transform_edt

from dosecalc import __version__
from dosecalc.beam import beam_fluences, beam_notes
from dosecalc.beam.fluence import Fluence
from dosecalc.core.fan import QUANTITIES, FanLattice, trace_fan
from dosecalc.core.pencil import (
    TERMS,
    Convolved,
    Near,
    RadialTable,
    dose_between,
    pencil_dose,
    thinned_dose,
    thinned_nodes,
    times_transforms,
)
from dosecalc.core.terma import BeamGeometry
from dosecalc.core.threads import thread_count
from dosecalc.data.electrons import water_to_medium
from dosecalc.data.materials import load_material
from dosecalc.data.pencil import load_pencil_kernels
from dosecalc.engines.calibration import fluence_per_mu
from dosecalc.engines.cone_lattice import beam_geometry
from dosecalc.engines.machines import BeamQuality, machines_of
from dosecalc.engines.pencil_tables import (
    DEEPEST_CM,
    PencilQuality,
    PencilTerms,
    make_quality,
)
from dosecalc.errors import GeometryError, InputError, OutsideValidityError
from dosecalc.model import Beam, Dose, Grid, Machine, Phantom, Plan
from dosecalc.model.motion import technique_of

__all__ = [
    "FARTHEST_MM",
    "NEAR_MM",
    "DoseSum",
    "PencilBeamSettings",
    "Scene",
    "Shares",
    "Spread",
    "View",
    "beam_scene",
    "compute",
    "convolve",
    "field_dose",
    "field_of",
    "fluence_dose",
    "narrow_spread",
    "shares_of",
    "usual_scales",
    "wide_spread",
]

# How far primary energy is followed across the beam, in units of its mean distance.
_PRIMARY_REACH = 8.0
FARTHEST_MM = 150.0

# Within so much (mm) of pixels that hold this share of the largest fluence, every voxel is
# calculated; where that is has a resolution too, mm. Of an arc, whose many fields blur what is
# between nodes, less is enough.
NEAR_MM, _LIT, _CELL_MM = 20.0, 0.05, 4.0
_NEAR_OF_ARCS_MM = 14.0

# Rays looked at for the scales that occur, share that is left out, and density that counts as air.
_EVERY, _RARE, _AIR = 3, 0.03, 0.05

# Where a pencil beam is not to be trusted: g/cm3, mm along a ray, and share of the field; the
# first and last bit of a ray (g/cm2) may be half air.
_LIGHT, _METAL, _LIGHT_MM, _SHARE, _SKIN_CM = 0.6, 2.5, 20.0, 0.05, 0.3


@dataclass(frozen=True)
class PencilBeamSettings:
    """Settings of the pencil-beam engine.

    Parameters
    ----------
    scatter_pixel_mm : float
        Pixels of the fluence map are joined for scattered energy while no larger than this.
    scale_step : float, 0.02 to 0.5
        Step of the natural logarithm of the lateral scale from one convolved map to the
        next, for primary energy; twice that for scattered energy.
    arc_bin_deg : float
        Gantry angles of an arc are joined to bins of this width.
    fluence_pixel_mm : float
        Pixel of the fluence map in the isocentre plane.
    arc_pixel_mm : float
        The same where the gantry turns and maps are many.
    apart_mm : float
        Distance of the nodes between which voxels away from the field get their dose, at most. No
        larger than voxels: every voxel is calculated.
    dose_to : {"medium", "water"}
    """

    scatter_pixel_mm: float = 4.5
    scale_step: float = 0.1
    arc_bin_deg: float = 4.0
    fluence_pixel_mm: float = 1.0
    arc_pixel_mm: float = 1.5
    apart_mm: float = 10.0
    dose_to: str = "medium"

    def __post_init__(self) -> None:
        if self.dose_to not in ("medium", "water"):
            raise InputError(f"dose_to = {self.dose_to!r}: choose 'medium' or 'water'")
        if not 0.02 <= self.scale_step <= 0.5:
            raise InputError(f"scale_step = {self.scale_step:g}: choose from 0.02 to 0.5")
        above_zero = "scatter_pixel_mm arc_bin_deg fluence_pixel_mm arc_pixel_mm apart_mm"
        for name in above_zero.split():
            if not getattr(self, name) > 0:
                raise InputError(f"{name} = {getattr(self, name)}: it must be above zero")

    def pixel_of(self, beam: Beam) -> float:
        """Pixel of a beam's maps, mm."""
        return self.arc_pixel_mm if _turns(beam) else self.fluence_pixel_mm


def _turns(beam: Beam) -> bool:
    """Whether a beam is an arc."""
    return technique_of(beam.control_points) in ("ARC", "VMAT")


# Density, material, and per material the scales of depth and of lateral density.
Medium = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]
Progress = Callable[[str, int, int], None]


def compute(
    phantom: Phantom,
    plan: Plan,
    machine: Machine | Mapping[int, Machine],
    settings: PencilBeamSettings | None = None,
    progress: Progress | None = None,
) -> Dose:
    """Dose of one fraction of a plan.

    Parameters
    ----------
    phantom : Phantom
    plan : Plan
    machine : Machine or mapping of beam number to Machine
        One beam model for all beams, or one each.
    settings : PencilBeamSettings
    progress : callable(beam name, done, total), optional
        Told when each stationary gantry position is finished.

    Returns
    -------
    Dose
        On the phantom's grid; Gy for one fraction, or Gy cm2 per unit fluence for a bare
        point source.
    """
    settings = settings or PencilBeamSettings()
    machines = machines_of(plan, machine)
    jobs = [
        (beam, fluence, machines[beam.number])
        for beam in plan.beams
        for fluence in beam_fluences(
            beam,
            plan.position,
            machines[beam.number],
            pixel_mm=settings.pixel_of(beam),
            arc_bin_deg=settings.arc_bin_deg,
        )
    ]
    phantom = _water_first(phantom)
    doses = DoseSum(phantom)
    cautions: dict[str, None] = {}
    for done, (beam, fluence, model) in enumerate(jobs, start=1):
        if fluence.values.any():
            near_mm = _NEAR_OF_ARCS_MM if _turns(beam) else NEAR_MM
            scene = beam_scene(phantom, fluence, settings, near_mm)
            factor = fluence_per_mu(model, settings, fluence_dose)
            field_dose(fluence, scene, settings, doses, factor)
            cautions |= dict.fromkeys(_cautions(scene, beam.name))
        if progress is not None:
            progress(beam.name, done, len(jobs))
    per_fluence = next(iter(machines.values())).calibration.per_fluence
    return Dose(
        grid=phantom.grid,
        gray=doses.total().astype(np.float32),
        dose_to=settings.dose_to,
        unit="Gy cm2" if per_fluence else "Gy",
        summation="FRACTION",
        provenance={
            "program": f"dosecalc {__version__}",
            "engine": "pencil-beam",
            "settings": asdict(settings),
            "kernels_sha256": load_pencil_kernels().sha256,
            "machines": {
                str(n): dict(m.provenance) | {"name": m.name} for n, m in machines.items()
            },
            "cautions": list(cautions),
            "notes": [
                *cautions,
                *(note for b in plan.beams for note in beam_notes(b, machines[b.number])),
            ],
        },
    )


class View(NamedTuple):
    """What part of the voxel grid is looked at from the source.

    u, v : (low, high), mm
        In the isocentre plane.
    w : (low, high), mm
        Distance from the source along the beam.
    thickness_cm : float
        Of voxels along the beam: their extent over the square root of twelve.
    width_u, width_v : float, mm
        Of voxels across the beam at the isocentre: boxes with the same second moments.
    """

    u: tuple[float, float]
    v: tuple[float, float]
    w: tuple[float, float]
    thickness_cm: float
    width_u: float
    width_v: float


class Spread(NamedTuple):
    """How one kind of energy is convolved.

    joined : pixels of the fluence map that become one, along each side
    reach_cm : how far from the field there is any, g/cm2 of water across the beam
    step : of the logarithm of the scale
    """

    joined: int
    reach_cm: float
    step: float


class Scene(NamedTuple):
    """What a stationary beam meets, before anything is convolved.

    view, wide_fan : what is seen in all, by rays that are some way apart
    near, inner, fan : where every voxel is calculated, the part of the view behind it, and its
        rays
    every : (3,) int
        Elsewhere one voxel of so many along z, y, x is calculated.
    phantom : with water as the first of its materials
    """

    geometry: BeamGeometry
    field: Field
    view: View
    wide_fan: FanLattice
    near: Near
    inner: View
    fan: FanLattice
    every: NDArray[np.int64]
    phantom: Phantom
    quality: PencilQuality


def narrow_spread(quality: PencilQuality, joined: int, step: float) -> Spread:
    """Of primary energy."""
    return Spread(joined, _PRIMARY_REACH * float(quality.reach[0]), step)


def wide_spread(joined: int, step: float) -> Spread:
    """Of scattered energy."""
    return Spread(joined, FARTHEST_MM / 10, step)


class DoseSum:
    """Sum of the doses of beams: in voxels near their fields, and between nodes everywhere.

    Nodes are added up as long as there are beams, and looked up by the voxels once.

    Parameters
    ----------
    phantom : Phantom
        With water as the first of its materials.
    """

    def __init__(self, phantom: Phantom) -> None:
        self._phantom = _water_first(phantom)
        self._nodes: dict[bytes, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._every = np.ones(3, np.int64)
        self.voxels = np.zeros(phantom.grid.shape)

    def add_nodes(
        self, factors: NDArray[np.float32], every: NDArray[np.int64], thin: NDArray[np.float32]
    ) -> None:
        """Add dose to water (see `thinned_dose`) that counts times factors per material."""
        self._every = every
        _, sum_so_far = self._nodes.setdefault(factors.tobytes(), (factors, np.zeros_like(thin)))
        sum_so_far += thin

    def total(self) -> NDArray[np.float64]:
        """Dose (nz, ny, nx); nothing can be added after it."""
        phantom = self._phantom
        for factors, thin in self._nodes.values():
            medium = (phantom.density, phantom.material, factors)
            dose_between(medium, thin, self._every, self.voxels)
        self._nodes.clear()
        return self.voxels


def fluence_dose(
    phantom: Phantom, fluence: Fluence, settings: PencilBeamSettings
) -> NDArray[np.float32]:
    """Dose (nz, ny, nx), Gy cm2 per unit of the fluence map, of one stationary beam.

    Raises
    ------
    GeometryError
        The dose grid reaches behind the source.
    OutsideValidityError
        A ray passes more matter than the kernels know.
    """
    doses = DoseSum(phantom)
    if fluence.values.any():
        field_dose(fluence, beam_scene(phantom, fluence, settings), settings, doses)
    return doses.total().astype(np.float32)


def beam_scene(
    phantom: Phantom,
    fluence: Fluence,
    settings: PencilBeamSettings,
    near_mm: float = NEAR_MM,
) -> Scene:
    """Trace a stationary beam through a phantom; raises what `fluence_dose` does.

    Every voxel whose ray passes within `near_mm` of the field is calculated for itself.
    """
    phantom = _water_first(phantom)
    quality = _quality(BeamQuality(fluence), phantom.materials)
    geometry = beam_geometry(fluence, phantom.grid)
    field = field_of(fluence)
    view = view_of(geometry, phantom.grid, field)
    least = min(phantom.grid.spacing)
    every = np.array(
        [max(1, int(settings.apart_mm / h + 1e-6)) for h in phantom.grid.spacing[::-1]]
    )
    near = everywhere(view) if every.max() == 1 else near_field(fluence, near_mm)
    medium = (phantom.density, phantom.material, quality.depth_scale, quality.density_scale)
    wide_fan = _fan(geometry, view, max(least, settings.apart_mm), 2 * least, medium, quality)
    deepest = float(wide_fan.values[..., -1, 0].max())
    if deepest > DEEPEST_CM:
        raise OutsideValidityError(
            f"a ray passes {deepest:.0f} g/cm2 of water equivalent; pencil kernels end at "
            f"{DEEPEST_CM:.0f}: use the collapsed cone or Monte Carlo"
        )
    inner = _seen_through(near, view)
    fan = _fan(geometry, inner, least, least, medium, quality)
    return Scene(geometry, field, view, wide_fan, near, inner, fan, every, phantom, quality)


def field_dose(
    fluence: Fluence,
    scene: Scene,
    settings: PencilBeamSettings,
    doses: DoseSum,
    factor: float = 1.0,
) -> None:
    """Add the dose of a map whose scene is known, times a factor.

    See `fluence_dose`.
    """
    quality, phantom = scene.quality, scene.phantom
    factors = quality.dose_factors.astype(np.float32)
    if settings.dose_to == "water":
        factors *= water_to_medium(phantom.materials).astype(np.float32)
    coarse = max(1, int(settings.scatter_pixel_mm / fluence.pixel_u + 1e-6))
    step = settings.scale_step
    wide = wide_spread(coarse, 2 * step)
    scatter = _seen(fluence, scene, quality.scatter, 2, wide, scene.view, scene.wide_fan)
    thin = np.zeros((2, 0, 0, 0), np.float32)
    if scene.every.max() > 1:
        away = narrow_spread(
            quality, max(1, int(settings.apart_mm / 3**0.5 / fluence.pixel_u)), 2 * step
        )
        primary = _seen(fluence, scene, quality.primary, 1, away, scene.view, scene.wide_fan)
        nodes = map(thinned_nodes, phantom.grid.shape, scene.every)
        thin = np.empty((2, *nodes), np.float32)
        thinned_dose(scene.geometry, scene.wide_fan, primary, scatter, scene.every, thin)
        doses.add_nodes(factors, scene.every, factor * thin)
    near = narrow_spread(quality, 1, step)
    primary = _seen(fluence, scene, quality.primary, 1, near, scene.inner, scene.fan)
    pencil_dose(
        scene.geometry,
        scene.fan,
        (phantom.density, phantom.material, factors, quality.depth_scale),
        scene.view.thickness_cm,
        primary,
        scatter,
        scene.near,
        thin,
        scene.every,
        factor,
        doses.voxels,
    )


def _seen(
    fluence: Fluence,
    scene: Scene,
    terms: PencilTerms,
    kind: int,
    spread: Spread,
    view: View,
    fan: FanLattice,
) -> Convolved:
    """One kind of energy as seen in a part of the view."""
    scales = usual_scales(fan, kind)
    reach = _reach(spread, scales[0])
    shares = shares_of(
        fluence, scene.quality.softest_cm, spread.joined, _used(fluence, scene.field, view, reach)
    )
    return convolve(shares, terms, view, scales, spread)


def everywhere(view: View) -> Near:
    """Call all of a view near."""
    pixel = 1 + max(view.u[1] - view.u[0], view.v[1] - view.v[0])
    return Near(view.u[0], view.v[0], pixel, np.ones((1, 1), np.bool_))


def near_field(fluence: Fluence, margin_mm: float) -> Near:
    """Cells of the isocentre plane that lie within a margin of a field."""
    rows, columns = np.nonzero(fluence.values > _LIT * float(fluence.values.max()))
    # One cell more on each side: light may lie at the edge of its cell.
    cells = ceil(margin_mm / _CELL_MM) + 1
    found, first = [], []
    for lit, start, pixel in (
        (rows, fluence.v0, fluence.pixel_v),
        (columns, fluence.u0, fluence.pixel_u),
    ):
        places = start + pixel * (lit + 0.5)
        first.append(float(places.min()) - cells * _CELL_MM)
        found.append(((places - first[-1]) / _CELL_MM).astype(int))
    dark = np.ones([int(at.max()) + cells + 1 for at in found], np.bool_)
    dark[found[0], found[1]] = False
    near = distance_transform_edt(dark) <= margin_mm / _CELL_MM + 1
    return Near(first[1], first[0], _CELL_MM, near)


def _seen_through(near: Near, view: View) -> View:
    """Part of a view behind the cells of `near`."""
    nv, nu = near.mask.shape
    ends = [
        (float(np.clip(low, *seen)), float(np.clip(low + near.pixel * count, *seen)))
        for low, count, seen in ((near.u0, nu, view.u), (near.v0, nv, view.v))
    ]
    return view._replace(u=ends[0], v=ends[1])


def _cautions(scene: Scene, where: str) -> list[str]:
    """Say where a beam passes what a pencil beam knows too little of."""
    fan, field = scene.fan, scene.field
    nv, nu, _, _ = fan.values.shape
    u, v = (first + fan.step * np.arange(n) for first, n in ((fan.u0, nu), (fan.v0, nv)))
    inside_u = (u >= field.open_u[0]) & (u <= field.open_u[1])
    inside_v = (v >= field.open_v[0]) & (v <= field.open_v[1])
    depth = fan.values[inside_v][:, inside_u, :, 0]
    if depth.size == 0:
        return []
    density = np.diff(depth, axis=2) / (fan.step_w / 10)
    begun = depth[..., 1:] > _SKIN_CM
    ends = depth[..., :-1] < depth[..., -1:] - _SKIN_CM
    within = begun & ends
    found = []
    light = fan.step_w * np.count_nonzero(within & (density < _LIGHT), axis=2)
    share = float(np.mean(light > _LIGHT_MM))
    if share > _SHARE:
        found.append(
            f"{where}: {100 * share:.0f} % of the field passes more than {_LIGHT_MM:g} mm of "
            f"matter below {_LIGHT:g} g/cm3, {float(light.max()):.0f} mm at most; there a pencil "
            "beam may be off by several per cent: use the collapsed cone or Monte Carlo"
        )
    if float(density[within].max(initial=0.0)) > _METAL:
        found.append(
            f"{where}: the field passes matter above {_METAL:g} g/cm3, which a pencil beam takes "
            "for dense water: use Monte Carlo"
        )
    narrow = min(field.open_u[1] - field.open_u[0], field.open_v[1] - field.open_v[0])
    least = 20 * float(scene.quality.reach[0])
    if narrow < least:
        found.append(
            f"{where}: the field is {narrow:.0f} mm wide, electrons travel {least / 2:.0f} mm on "
            "the mean; away from plain water use the collapsed cone or Monte Carlo"
        )
    return found


def _water_first(phantom: Phantom) -> Phantom:
    """Return the same phantom with water as the first of its materials."""
    if phantom.materials[0] == "water":
        return phantom
    names = ("water", *(m for m in phantom.materials if m != "water"))
    index = np.array([names.index(m) for m in phantom.materials], np.uint8)
    return replace(phantom, material=index[phantom.material], materials=names)


@lru_cache(maxsize=16)
def _quality(beam: BeamQuality, names: tuple[str, ...]) -> PencilQuality:
    return make_quality(beam.spectrum, beam.softening, [load_material(name) for name in names])


class Field(NamedTuple):
    """Which pixels of a fluence map matter.

    u, v : outer edges, mm in the isocentre plane, of the pixels with any fluence
    rows, columns : their numbers
    open_u, open_v : outer edges of the pixels with more than half of the largest fluence
    """

    u: tuple[float, float]
    v: tuple[float, float]
    rows: slice
    columns: slice
    open_u: tuple[float, float]
    open_v: tuple[float, float]


def field_of(fluence: Fluence) -> Field:
    """Find which pixels of a map matter."""

    def edges(numbers: NDArray[np.int64], first: float, pixel: float) -> tuple[float, float]:
        return first + pixel * float(numbers[0]), first + pixel * float(numbers[-1] + 1)

    top = float(fluence.values.max())
    ends = []
    for share in (0.0, 0.5):
        rows, columns = (
            np.flatnonzero(np.asarray((fluence.values > share * top).any(axis=axis)))
            for axis in (1, 0)
        )
        ends.append(
            (edges(columns, fluence.u0, fluence.pixel_u), edges(rows, fluence.v0, fluence.pixel_v))
        )
        if share == 0.0:
            used = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Field(*ends[0], *used, *ends[1])


def view_of(beam: BeamGeometry, grid: Grid, field: Field) -> View:
    """See `View`; no further from the field than scattered energy is followed."""
    ends = [(low, high) for low, high in zip(grid.lower, grid.upper, strict=True)]
    corners = np.array([(x, y, z) for x in ends[0] for y in ends[1] for z in ends[2]])
    u, v, w = beam.axes @ (corners - beam.source).T
    if w.min() <= 0:
        raise GeometryError(
            f"the dose grid reaches {-w.min():.0f} mm behind the source of a beam; "
            "it must lie in front of it"
        )
    u, v = u * beam.sad / w, v * beam.sad / w
    reach = FARTHEST_MM
    spacing = np.array(grid.spacing)
    across = [float(np.sqrt(((beam.axes[n] * spacing) ** 2).sum())) for n in range(3)]
    return View(
        u=(max(u.min(), field.u[0] - reach), min(u.max(), field.u[1] + reach)),
        v=(max(v.min(), field.v[0] - reach), min(v.max(), field.v[1] + reach)),
        w=(float(w.min()), float(w.max())),
        thickness_cm=across[2] / 10 / np.sqrt(12),
        width_u=across[0],
        width_v=across[1],
    )


def _fan(
    beam: BeamGeometry,
    view: View,
    apart: float,
    step_w: float,
    medium: Medium,
    quality: PencilQuality,
) -> FanLattice:
    """Trace rays no further apart than `apart` at the isocentre, with nodes every `step_w`."""
    # On multiples of the distance, so that the same ray is the same in every part of a view.
    first_u, first_v = (floor(low / apart) for low, _ in (view.u, view.v))
    nu, nv = (
        max(2, ceil(high / apart) - first + 1)
        for first, (_, high) in ((first_u, view.u), (first_v, view.v))
    )
    nw = ceil((view.w[1] - view.w[0]) / step_w) + 1
    values = np.empty((nv, nu, nw, QUANTITIES), np.float32)
    fan = FanLattice(first_u * apart, first_v * apart, apart, view.w[0], step_w, values)
    trace_fan(beam, medium, quality.reach, fan)
    return fan


def usual_scales(fan: FanLattice, kind: int) -> tuple[float, float]:
    """Range of the logarithm of the lateral scale in matter, but for the rarest.

    Voxels that a surface cuts hold any density down to air's, and every scale costs maps of its
    own: 1 in 100 at each end take the nearest instead.
    """
    thin = fan.values[::_EVERY, ::_EVERY]
    matter = np.diff(thin[..., 0], axis=2) > _AIR * fan.step_w / 10
    scales = thin[..., 1:, kind][matter]
    if scales.size == 0:
        return 0.0, 0.0
    low, high = np.quantile(scales, (_RARE, 1 - _RARE))
    return float(low), float(high)


class Shares(NamedTuple):
    """Fluence of the spectrum on the axis and, if there is one, of the softest.

    start, pixel : v and u, mm
        Centre of the first pixel, and size of the pixels.
    values : (1 or 2, nv, nu) float32
    """

    start: tuple[float, float]
    pixel: tuple[float, float]
    values: NDArray[np.float32]


def shares_of(
    fluence: Fluence,
    softest_cm: float,
    joined: int = 1,
    used: tuple[slice, slice] = (slice(None), slice(None)),
) -> Shares:
    """Join pixels of the rows and columns that are used, and part them by how soft they are."""
    values = fluence.values[used]
    starts = [
        (part.start or 0) * pixel
        for part, pixel in zip(used, (fluence.pixel_v, fluence.pixel_u), strict=True)
    ]
    first = fluence.v0 + starts[0], fluence.u0 + starts[1]
    if joined > 1:
        values = np.pad(values, [(0, -n % joined) for n in values.shape])
        nv, nu = (n // joined for n in values.shape)
        values = values.reshape(nv, joined, nu, joined).mean(axis=(1, 3))
    pixel = (joined * fluence.pixel_v, joined * fluence.pixel_u)
    start = (first[0] + pixel[0] / 2, first[1] + pixel[1] / 2)
    values = values[None]
    if softest_cm > 0 and fluence.softening is not None:
        v, u = (start[n] + pixel[n] * np.arange(values.shape[1 + n]) for n in range(2))
        soft = fluence.softening(np.hypot(v[:, None], u)) / softest_cm
        values = np.concatenate((values * (1 - soft), values * soft))
    return Shares(start, pixel, values.astype(np.float32, copy=False))


def _used(fluence: Fluence, field: Field, view: View, reach: float) -> tuple[slice, slice]:
    """Rows and columns of a map that send something to a view."""
    found = []
    for part, first, pixel, (low, high) in (
        (field.rows, fluence.v0, fluence.pixel_v, view.v),
        (field.columns, fluence.u0, fluence.pixel_u, view.u),
    ):
        begin = int(np.clip((low - reach - first) // pixel, part.start, part.stop - 1))
        end = int(np.clip((high + reach - first) // pixel + 1, begin + 1, part.stop))
        found.append(slice(begin, end))
    return found[0], found[1]


def convolve(
    fluence: Shares,
    terms: PencilTerms,
    view: View,
    scales: tuple[float, float],
    spread: Spread,
) -> Convolved:
    """Convolve the fluence with the functions across the beam, for all scales that occur."""
    first = int(np.floor(scales[0] / spread.step))
    count = max(2, int(np.ceil(scales[1] / spread.step)) - first + 1)
    # Where kernels are wider, so is what a field reaches.
    reaches = [_reach(spread, (first + n) * spread.step) for n in range(count)]
    rows, columns = _looked_at_all(fluence, view, reaches[0])
    values = np.zeros((count, rows.size, columns.size, TERMS), np.float32)
    widths = view.width_v, view.width_u
    transforms: dict[tuple[tuple[int, int], tuple[int, int]], _Transform] = {}
    jobs = []
    for n, reach in enumerate(reaches):
        near = _looked_at_all(fluence, view, reach)
        shape = _room(fluence, near, reach)
        before = max(0, -int(near[0][0])), max(0, -int(near[1][0]))
        if (shape, before) not in transforms:
            transforms[shape, before] = _transform(fluence, shape, before, widths)
        transform = transforms[shape, before]
        j, i = near[0][0] - rows[0], near[1][0] - columns[0]
        place = values[n, j : j + near[0].size, i : i + near[1].size]
        part = tuple(slice(at[0] + b, at[-1] + 1 + b) for at, b in zip(near, before, strict=True))
        jobs.append((transform, terms.across, (first + n) * spread.step, part, place))
    # One map a thread: they are too small to be worth dividing.
    list(_pool(thread_count()).map(lambda job: _convolved(*job), jobs))
    return Convolved(
        *terms.along,
        u0=fluence.start[1] + fluence.pixel[1] * columns[0],
        v0=fluence.start[0] + fluence.pixel[0] * rows[0],
        pixel_u=fluence.pixel[1],
        pixel_v=fluence.pixel[0],
        first=first * spread.step,
        step=spread.step,
        values=values,
    )


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay: an arc convolves hundreds of times, and starting them takes as long."""
    return ThreadPoolExecutor(threads)


def _reach(spread: Spread, log_scale: float) -> float:
    """How far energy is followed in the isocentre plane, mm."""
    return min(10 * spread.reach_cm * float(np.exp(-log_scale)), FARTHEST_MM)


def _looked_at_all(
    fluence: Shares, view: View, reach: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of pixels within reach of the field that lie in the view."""
    rows, columns = (
        _looked_at(ends, start, pixel, size, int(np.ceil(reach / pixel)))
        for ends, start, pixel, size in zip(
            (view.v, view.u), fluence.start, fluence.pixel, fluence.values.shape[1:], strict=True
        )
    )
    return rows, columns


class _Transform(NamedTuple):
    """Transform of a fluence map, and what its frequencies are; see `times_transforms`."""

    spectra: NDArray[np.float32]
    log_k: NDArray[np.float32]
    filter_across: NDArray[np.float32]
    filter_along: NDArray[np.float32]
    shape: tuple[int, int]


def _room(
    fluence: Shares, looked_at: tuple[NDArray[np.int64], NDArray[np.int64]], reach: float
) -> tuple[int, int]:
    """Pixels of a transform, along v and u, in which nothing gets where it does not belong.

    What is carried beyond the end comes back at the other end. Where there still is any at the
    end of the reach, it gets room to fall off before it is looked at.
    """
    times = 2 if reach >= FARTHEST_MM else 1
    sizes = []
    for n, pixel, at in zip(fluence.values.shape[1:], fluence.pixel, looked_at, strict=True):
        seen = max(int(at[-1]), n - 1 - int(at[0])) + 1
        sizes.append(next_fast_len(max(n, times * ceil(reach / pixel) + seen), real=True))
    return sizes[0], sizes[1]


def _transform(
    fluence: Shares,
    shape: tuple[int, int],
    before: tuple[int, int],
    widths: tuple[float, float],
) -> _Transform:
    """Transform a map with so many pixels `before` it; widths of voxels along v and u, mm."""
    (j, i), (_, nv, nu) = before, fluence.values.shape
    padded = np.zeros((len(fluence.values), *shape), np.float32)
    padded[:, j : j + nv, i : i + nu] = fluence.values
    spectra = rfft2(padded, workers=thread_count())
    along, across = (
        2 * np.pi * np.asarray(frequencies(n, pixel / 10), np.float64)
        for frequencies, n, pixel in zip(
            (np.fft.fftfreq, np.fft.rfftfreq), shape, fluence.pixel, strict=True
        )
    )
    square = across**2 + along[: shape[0] // 2 + 1, None] ** 2
    # Frequency zero has no logarithm; far below the first of the tables is zero to them.
    square[0, 0] = 1e-12
    return _Transform(
        spectra=np.ascontiguousarray(spectra).view(np.float32).reshape(*spectra.shape, 2),
        log_k=(0.5 * np.log(square)).astype(np.float32),
        filter_across=_filter(across, fluence.pixel[1], widths[1]),
        filter_along=_filter(along, fluence.pixel[0], widths[0]),
        shape=shape,
    )


def _convolved(
    fluence: _Transform,
    radial: RadialTable,
    log_scale: float,
    part: tuple[slice, slice],
    out: NDArray[np.float32],
) -> None:
    """Convolve for one scale; `out` (rows, columns, TERMS) gets a part of the result."""
    product = np.empty((TERMS, *fluence.spectra.shape[1:]), np.float32)
    times_transforms(
        fluence.spectra,
        radial,
        fluence.log_k,
        fluence.filter_across,
        fluence.filter_along,
        log_scale,
        product,
    )
    result = irfft2(product.view(np.complex64)[..., 0], s=fluence.shape)
    out[...] = np.moveaxis(result[:, *part], 0, -1)


def _looked_at(
    view: tuple[float, float], first: float, pixel: float, count: int, margin: int
) -> NDArray[np.int64]:
    """Pixels of the field and its margins that lie in the view; at least two."""
    low = max(-margin, int(np.floor((view[0] - first) / pixel)))
    high = min(count + margin - 1, int(np.ceil((view[1] - first) / pixel)))
    return np.arange(low, max(high, low + 1) + 1)


def _filter(frequency: NDArray[np.float64], pixel: float, width: float) -> NDArray[np.float32]:
    """Average over a voxel of some width (mm), and undo what pixels do to frequencies per cm.

    Their values are means over the pixel, and voxels look them up linearly. Nothing is raised:
    voxels smaller than pixels see what the pixels hold.
    """

    def box(mm: float) -> NDArray[np.float64]:
        return np.sinc(frequency * mm / (20 * np.pi))

    return np.minimum(box(width) / box(pixel) ** 3, 1.0).astype(np.float32)
