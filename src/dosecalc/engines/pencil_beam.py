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
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from dosecalc import __version__
from dosecalc.beam import beam_fluences, beam_notes
from dosecalc.beam.fluence import Fluence
from dosecalc.core.fan import QUANTITIES, FanLattice, trace_fan
from dosecalc.core.pencil import TERMS, Convolved, pencil_dose, times_transforms
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
from dosecalc.model import Dose, Grid, Machine, Phantom, Plan

__all__ = [
    "FARTHEST_MM",
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

# Rays looked at for the scales that occur, share that is left out, and density that counts as air.
_EVERY, _RARE, _AIR = 2, 0.01, 0.05

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
    dose_to : {"medium", "water"}
    """

    scatter_pixel_mm: float = 3.0
    scale_step: float = 0.1
    arc_bin_deg: float = 4.0
    fluence_pixel_mm: float = 1.0
    dose_to: str = "medium"

    def __post_init__(self) -> None:
        if self.dose_to not in ("medium", "water"):
            raise InputError(f"dose_to = {self.dose_to!r}: choose 'medium' or 'water'")
        if not 0.02 <= self.scale_step <= 0.5:
            raise InputError(f"scale_step = {self.scale_step:g}: choose from 0.02 to 0.5")
        for name in ("scatter_pixel_mm", "arc_bin_deg", "fluence_pixel_mm"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} = {getattr(self, name)}: it must be above zero")


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
    cautions: dict[str, None] = {}
    for done, (name, fluence, model) in enumerate(jobs, start=1):
        if fluence.values.any():
            scene = beam_scene(phantom, fluence)
            dose = field_dose(phantom, fluence, scene, settings)
            total += dose * fluence_per_mu(model, settings, fluence_dose)
            cautions |= dict.fromkeys(_cautions(scene, name))
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
    """What a stationary beam meets, before anything is convolved."""

    geometry: BeamGeometry
    field: Field
    view: View
    fan: FanLattice
    material: NDArray[np.uint8]
    quality: PencilQuality


def narrow_spread(quality: PencilQuality, step: float) -> Spread:
    """Of primary energy."""
    return Spread(1, _PRIMARY_REACH * float(quality.reach[0]), step)


def wide_spread(joined: int, step: float) -> Spread:
    """Of scattered energy."""
    return Spread(joined, FARTHEST_MM / 10, step)


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
    if not fluence.values.any():
        return np.zeros(phantom.grid.shape, np.float32)
    return field_dose(phantom, fluence, beam_scene(phantom, fluence), settings)


def beam_scene(phantom: Phantom, fluence: Fluence) -> Scene:
    """Trace a stationary beam through a phantom; raises what `fluence_dose` does."""
    names, material = _water_first(phantom)
    quality = _quality(BeamQuality(fluence), names)
    geometry = beam_geometry(fluence, phantom.grid)
    field = field_of(fluence)
    view = view_of(geometry, phantom.grid, field)
    fan = _fan(geometry, view, phantom, material, quality)
    deepest = float(fan.values[..., 0].max())
    if deepest > DEEPEST_CM:
        raise OutsideValidityError(
            f"a ray passes {deepest:.0f} g/cm2 of water equivalent; pencil kernels end at "
            f"{DEEPEST_CM:.0f}: use the collapsed cone or Monte Carlo"
        )
    return Scene(geometry, field, view, fan, material, quality)


def field_dose(
    phantom: Phantom, fluence: Fluence, scene: Scene, settings: PencilBeamSettings
) -> NDArray[np.float32]:
    """Dose of a map whose scene is known; see `fluence_dose`."""
    quality, fan = scene.quality, scene.fan
    joined = max(1, int(settings.scatter_pixel_mm / fluence.pixel_u + 1e-6))
    narrow = narrow_spread(quality, settings.scale_step)
    wide = wide_spread(joined, 2 * settings.scale_step)
    primary, scatter = (
        convolve(
            shares_of(fluence, scene.field, quality.softest_cm, spread.joined),
            terms,
            scene.view,
            usual_scales(fan, kind, scene.geometry.sad),
            spread,
        )
        for kind, terms, spread in ((1, quality.primary, narrow), (2, quality.scatter, wide))
    )
    factors = quality.dose_factors.astype(np.float32)
    medium = (phantom.density, scene.material, factors, quality.depth_scale)
    dose = np.zeros(phantom.grid.shape, np.float32)
    pencil_dose(scene.geometry, fan, medium, scene.view.thickness_cm, primary, scatter, dose)
    if settings.dose_to == "water":
        dose *= water_to_medium(phantom.materials).astype(np.float32)[phantom.material]
    return dose


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


def _water_first(phantom: Phantom) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Names of the phantom's materials, water first, and voxels with the new numbers."""
    names = ("water", *(m for m in phantom.materials if m != "water"))
    index = np.array([names.index(m) for m in phantom.materials], np.uint8)
    if (index == np.arange(index.size)).all():
        return names, phantom.material
    return names, index[phantom.material]


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

    def edges(used: NDArray[np.bool_], first: float, pixel: float) -> tuple[float, float]:
        numbers = np.flatnonzero(used)
        return first + pixel * float(numbers[0]), first + pixel * float(numbers[-1] + 1)

    found: list[tuple[float, float]] = []
    for least in (0.0, float(fluence.values.max()) / 2):
        lit = fluence.values > least
        found.append(edges(np.asarray(lit.any(axis=0)), fluence.u0, fluence.pixel_u))
        found.append(edges(np.asarray(lit.any(axis=1)), fluence.v0, fluence.pixel_v))
    rows, columns = (
        np.flatnonzero(np.asarray((fluence.values > 0).any(axis=axis))) for axis in (1, 0)
    )
    return Field(
        u=found[0],
        v=found[1],
        rows=slice(rows[0], rows[-1] + 1),
        columns=slice(columns[0], columns[-1] + 1),
        open_u=found[2],
        open_v=found[3],
    )


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
    phantom: Phantom,
    material: NDArray[np.uint8],
    quality: PencilQuality,
) -> FanLattice:
    """Trace rays no further apart than voxels are at the isocentre."""
    step = min(phantom.grid.spacing)
    nu, nv = (max(2, int(np.ceil((high - low) / step)) + 1) for low, high in (view.u, view.v))
    nw = int(np.ceil((view.w[1] - view.w[0]) / step)) + 1
    values = np.empty((nv, nu, nw, QUANTITIES), np.float32)
    fan = FanLattice(view.u[0], view.v[0], step, view.w[0], step, values)
    medium = (phantom.density, material, quality.depth_scale, quality.density_scale)
    trace_fan(beam, medium, quality.reach, fan)
    return fan


def usual_scales(fan: FanLattice, kind: int, sad: float) -> tuple[float, float]:
    """Range of the logarithm of the lateral scale in matter, but for the rarest.

    Voxels that a surface cuts hold any density down to air's, and every scale costs maps of its
    own: 1 in 100 at each end take the nearest instead.
    """
    thin = fan.values[::_EVERY, ::_EVERY]
    away = np.log((fan.w0 + fan.step_w * np.arange(fan.values.shape[2])) / sad)
    matter = np.diff(thin[..., 0], axis=2) > _AIR * fan.step_w / 10
    scales = (thin[..., kind] + away.astype(np.float32))[..., 1:][matter]
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


def shares_of(fluence: Fluence, field: Field, softest_cm: float, joined: int) -> Shares:
    """Part the fluence by how soft it is, and join pixels."""
    values = fluence.values[field.rows, field.columns][None]
    first, pixel = (field.v[0], field.u[0]), (fluence.pixel_v, fluence.pixel_u)
    if softest_cm > 0 and fluence.softening is not None:
        v, u = (first[n] + pixel[n] * (np.arange(values.shape[1 + n]) + 0.5) for n in range(2))
        soft = fluence.softening(np.hypot(v[:, None], u)) / softest_cm
        values = np.concatenate((values * (1 - soft), values * soft)).astype(np.float32)
    if joined > 1:
        values = np.pad(values, [(0, 0), *((0, -n % joined) for n in values.shape[1:])])
        nv, nu = (n // joined for n in values.shape[1:])
        values = values.reshape(-1, nv, joined, nu, joined).mean(axis=(2, 4))
    wide = (joined * pixel[0], joined * pixel[1])
    return Shares((first[0] + wide[0] / 2, first[1] + wide[1] / 2), wide, values)


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
    reaches = [
        min(10 * spread.reach_cm * float(np.exp(-(first + n) * spread.step)), FARTHEST_MM)
        for n in range(count)
    ]
    rows, columns = _looked_at_all(fluence, view, reaches[0])
    values = np.zeros((count, rows.size, columns.size, TERMS), np.float32)
    for n, reach in enumerate(reaches):
        scale = float(np.exp((first + n) * spread.step))
        near_rows, near_columns = _looked_at_all(fluence, view, reach)
        result = _convolved(fluence, terms, view, reach, scale)
        part = result[:, near_rows[:, None], near_columns]
        j, i = near_rows[0] - rows[0], near_columns[0] - columns[0]
        place = values[n, j : j + near_rows.size, i : i + near_columns.size]
        place[...] = np.moveaxis(part, 0, -1)
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


def _convolved(
    fluence: Shares, terms: PencilTerms, view: View, reach: float, scale: float
) -> NDArray[np.float32]:
    """Convolve for one scale: (TERMS, ..), pixel (0, 0) first, those below it last."""
    # What is carried beyond the end of a transform comes back at its other end. Where there still
    # is any at the end of the reach, it gets room to fall off before it is looked at.
    room = 3 if reach >= FARTHEST_MM else 2
    shape = tuple(
        next_fast_len(n + room * int(np.ceil(reach / pixel)), real=True)
        for n, pixel in zip(fluence.values.shape[1:], fluence.pixel, strict=True)
    )
    spectra = rfft2(fluence.values, s=shape, workers=thread_count())
    along, across = (
        2 * np.pi * np.asarray(frequencies(n, pixel / 10), np.float64)
        for frequencies, n, pixel in zip(
            (np.fft.fftfreq, np.fft.rfftfreq), shape, fluence.pixel, strict=True
        )
    )
    filters = (
        _filter(across, fluence.pixel[1], view.width_u),
        _filter(along, fluence.pixel[0], view.width_v),
    )
    product = np.empty((TERMS, shape[0], across.size), np.complex64)
    times_transforms(spectra, terms.across, across, along, *filters, scale, product)
    return np.asarray(irfft2(product, s=shape, workers=thread_count()), np.float32)


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
