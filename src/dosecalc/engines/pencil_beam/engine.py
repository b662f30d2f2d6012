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

import numpy as np
from numpy.typing import NDArray

from dosecalc import __version__
from dosecalc.beam import beam_fluences, beam_notes, check_bolus
from dosecalc.beam.fluence import Fluence
from dosecalc.core.fan import FanLattice
from dosecalc.core.pencil import (
    Convolved,
    dose_between,
    pencil_dose,
    thinned_dose,
    thinned_nodes,
)
from dosecalc.data.electrons import water_to_medium
from dosecalc.data.pencil import load_pencil_kernels
from dosecalc.engines.calibration import fluence_per_mu
from dosecalc.engines.machines import machines_of
from dosecalc.engines.pencil_beam.convolution import (
    Spread,
    convolve,
    narrow_spread,
    reach_of,
    shares_of,
    wide_spread,
)
from dosecalc.engines.pencil_beam.scene import (
    NEAR_MM,
    Field,
    Scene,
    View,
    beam_scene,
    usual_scales,
    water_first,
)
from dosecalc.engines.pencil_beam.tables import PencilTerms
from dosecalc.errors import InputError
from dosecalc.model import Beam, Dose, Machine, Phantom, Plan

__all__ = ["DoseSum", "PencilBeam", "compute", "field_dose", "fluence_dose"]

# Of an arc, whose many fields blur what is between nodes, less is enough than `NEAR_MM`.
_NEAR_OF_ARCS_MM = 14.0

# Where a pencil beam is not to be trusted: g/cm3, mm along a ray, and share of the field; the
# first and last bit of a ray (g/cm2) may be half air.
_LIGHT, _DENSE, _METAL, _LONG_MM, _SHARE, _SKIN_CM = 0.6, 1.5, 2.5, 20.0, 0.05, 0.3

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PencilBeam:
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

    Raises
    ------
    InputError
        A setting has a value that cannot be.

    Examples
    --------
    >>> import dosecalc as dc
    >>> dc.PencilBeam(dose_to="water").dose_to
    'water'
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
        return self.arc_pixel_mm if beam.is_arc else self.fluence_pixel_mm


def compute(
    phantom: Phantom,
    plan: Plan,
    machine: Machine | Mapping[int, Machine],
    settings: PencilBeam | None = None,
    progress: Progress | None = None,
) -> Dose:
    """Dose of one fraction of a plan.

    Parameters
    ----------
    phantom : Phantom
    plan : Plan
    machine : Machine or mapping of beam number to Machine
        One beam model for all beams, or one each.
    settings : PencilBeam
    progress : callable(beam name, done, total), optional
        Told when each stationary gantry position is finished.

    Returns
    -------
    Dose
        On the phantom's grid; Gy for one fraction, or Gy cm2 per unit fluence for a bare
        point source.
    """
    settings = settings or PencilBeam()
    machines = machines_of(plan, machine)
    check_bolus(plan, phantom.bolus)
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
    phantom = water_first(phantom)
    doses = DoseSum(phantom)
    cautions: dict[str, None] = {}
    for done, (beam, fluence, model) in enumerate(jobs, start=1):
        if fluence.values.any():
            near_mm = _NEAR_OF_ARCS_MM if beam.is_arc else NEAR_MM
            scene = beam_scene(phantom, fluence, settings.apart_mm, near_mm)
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
        fractions=plan.fractions,
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


class DoseSum:
    """Sum of the doses of beams: in voxels near their fields, and between nodes everywhere.

    Nodes are added up as long as there are beams, and looked up by the voxels once.

    Parameters
    ----------
    phantom : Phantom
        With water as the first of its materials.
    """

    def __init__(self, phantom: Phantom) -> None:
        self._phantom = water_first(phantom)
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


def fluence_dose(phantom: Phantom, fluence: Fluence, settings: PencilBeam) -> NDArray[np.float32]:
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
        field_dose(fluence, beam_scene(phantom, fluence, settings.apart_mm), settings, doses)
    return doses.total().astype(np.float32)


def field_dose(
    fluence: Fluence,
    scene: Scene,
    settings: PencilBeam,
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
    reach = reach_of(spread, scales[0])
    shares = shares_of(
        fluence, scene.quality.softest_cm, spread.joined, _used(fluence, scene.field, view, reach)
    )
    return convolve(shares, terms, view, scales, spread)


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
    for which, what, error in (
        (density < _LIGHT, f"below {_LIGHT:g}", "be off by several per cent"),
        (density > _DENSE, f"above {_DENSE:g}", "be off by 3 % of the maximum at its faces"),
    ):
        length = fan.step_w * np.count_nonzero(within & which, axis=2)
        share = float(np.mean(length > _LONG_MM))
        if share > _SHARE:
            found.append(
                f"{where}: {100 * share:.0f} % of the field passes more than {_LONG_MM:g} mm of "
                f"matter {what} g/cm3, {float(length.max()):.0f} mm at most; there a pencil "
                f"beam may {error}: use the collapsed cone or Monte Carlo"
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
