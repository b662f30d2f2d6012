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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from dosecalc import __version__
from dosecalc.beam import beam_fluences, beam_notes, check_bolus
from dosecalc.beam.fluence import Fluence
from dosecalc.core.terma import BeamGeometry
from dosecalc.data.deposition import load_kernels
from dosecalc.data.electrons import water_to_medium
from dosecalc.engines.calibration import fluence_per_mu
from dosecalc.engines.collapsed_cone.kernels import TiltGrid, make_cone_table
from dosecalc.engines.collapsed_cone.lattice import Lattice, finer, joining, tilts_of
from dosecalc.engines.collapsed_cone.primary import bright_dose, faint_dose
from dosecalc.engines.collapsed_cone.release import (
    Coarse,
    Scene,
    by_material,
    make_scene,
    release_energy,
)
from dosecalc.engines.collapsed_cone.scatter import scatter_per_mass
from dosecalc.engines.collapsed_cone.sectors import beam_jobs, middle_of, sectors
from dosecalc.engines.geometry import beam_geometry
from dosecalc.engines.machines import machines_of
from dosecalc.errors import InputError
from dosecalc.model import Dose, Machine, Phantom, Plan

__all__ = ["CollapsedCone", "compute", "fluence_dose"]

MEV_PER_G_TO_GRAY = 1.602176634e-10

_WHOLE_SCATTER_VOXEL_MM = 5.0
_LARGEST_PRIMARY_VOXEL_MM = 1.5


@dataclass(frozen=True)
class CollapsedCone:
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
    arc_sector_deg : float
        Bins of arcs no further apart than this share their transport (see `sectors`); zero
        gives each its own.
    fluence_pixel_mm : float
        Pixel of the fluence map in the isocentre plane.
    dose_to : {"medium", "water"}

    Raises
    ------
    InputError
        A setting has a value that cannot be.

    Examples
    --------
    >>> import dosecalc as dc
    >>> engine = dc.CollapsedCone(directions=200, dose_to="water")
    >>> engine.directions, engine.primary_voxel_mm
    (200, 1.5)
    """

    directions: int = 128
    channels: int = 2
    primary_voxel_mm: float = _LARGEST_PRIMARY_VOXEL_MM
    scatter_voxel_mm: float = _WHOLE_SCATTER_VOXEL_MM
    arc_bin_deg: float = 4.0
    arc_sector_deg: float = 12.0
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
        if not 0 <= self.arc_sector_deg <= 30:
            raise InputError(f"arc_sector_deg = {self.arc_sector_deg}: choose from 0 to 30")


Progress = Callable[[str, int, int], None]


def compute(
    phantom: Phantom,
    plan: Plan,
    machine: Machine | Mapping[int, Machine],
    settings: CollapsedCone | None = None,
    progress: Progress | None = None,
) -> Dose:
    """Dose of one fraction of a plan.

    Parameters
    ----------
    phantom : Phantom
    plan : Plan
    machine : Machine or mapping of beam number to Machine
        One beam model for all beams, or one each.
    settings : CollapsedCone
    progress : callable(beam name, done, total), optional
        Told when stationary gantry positions are finished.

    Returns
    -------
    Dose
        On the phantom's grid; Gy for one fraction, or Gy cm2 per unit fluence
        for a bare point source.
    """
    settings = settings or CollapsedCone()
    machines = machines_of(plan, machine)
    check_bolus(plan, phantom.bolus)
    jobs = [
        job
        for beam in plan.beams
        for job in beam_jobs(
            beam,
            plan.position,
            beam_fluences(
                beam,
                plan.position,
                machines[beam.number],
                pixel_mm=settings.fluence_pixel_mm,
                arc_bin_deg=settings.arc_bin_deg,
            ),
            fluence_per_mu(machines[beam.number], settings, fluence_dose),
        )
    ]
    total = np.zeros(phantom.grid.shape, np.float64)
    done = 0
    for sector in sectors(jobs, settings.arc_sector_deg):
        fluences = [job.fluence for job in sector]
        total += sector_dose(phantom, fluences, settings) * sector[0].per_mu
        done += len(sector)
        if progress is not None:
            progress(", ".join(dict.fromkeys(job.name for job in sector)), done, len(jobs))
    per_fluence = next(iter(machines.values())).calibration.per_fluence
    return Dose(
        grid=phantom.grid,
        gray=total.astype(np.float32),
        dose_to=settings.dose_to,
        unit="Gy cm2" if per_fluence else "Gy",
        summation="FRACTION",
        fractions=plan.fractions,
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


def fluence_dose(
    phantom: Phantom, fluence: Fluence, settings: CollapsedCone
) -> NDArray[np.float32]:
    """Dose (nz, ny, nx), Gy cm2 per unit of the fluence map, of one stationary beam."""
    return sector_dose(phantom, (fluence,), settings)


def sector_dose(
    phantom: Phantom, fluences: Sequence[Fluence], settings: CollapsedCone
) -> NDArray[np.float32]:
    """Dose (nz, ny, nx), Gy cm2 per unit of the fluence maps, of beams that share a transport.

    They are of one quality and come from about one direction (see `sectors`); kernels are
    turned to the one in the middle.
    """
    middle = middle_of(fluences)
    geometry = beam_geometry(middle, phantom.grid)
    scene = make_scene(phantom, middle, settings.channels)
    factors = joining(geometry.spacing, settings.scatter_voxel_mm)
    release = release_energy(scene, geometry, fluences, factors)
    if release is None:
        return np.zeros(phantom.grid.shape, np.float32)
    tilts = tilts_of(fluences)
    dose = _smooth_dose(scene, geometry, release.coarse, tilts, settings.directions)
    dose[phantom.density <= 0] = 0
    region, primary = bright_dose(
        scene,
        geometry,
        release,
        settings.primary_voxel_mm,
        tilts,
        make_cone_table(
            scene.channels.primary_kernels, scene.kernels, tilts, settings.directions, "prompt"
        ),
    )
    dose[region] += primary
    if settings.dose_to == "water":
        dose = by_material(dose, phantom.material, water_to_medium(phantom.materials))
    dose *= np.float32(MEV_PER_G_TO_GRAY)
    return dose


def _smooth_dose(
    scene: Scene, geometry: BeamGeometry, coarse: Coarse, tilts: TiltGrid, directions: int
) -> NDArray[np.float32]:
    """Dose, MeV/g, that varies slowly: by scattered photons, and where fluence is faint."""
    shape = scene.material.shape
    first = Lattice(
        coarse.geometry,
        coarse.scatter_scaling,
        coarse.released[scene.channels.primary_kernels.shape[0] :],
    )
    per_mass = scatter_per_mass(first, scene.channels, scene.kernels, tilts, directions)
    dose = finer(per_mass, coarse.geometry, geometry, shape)
    dose = by_material(dose, scene.material, scene.scaling.scatter_dose)
    if coarse.faint is not None:
        fewer = max(24, directions // 3)
        table = make_cone_table(
            scene.channels.primary_kernels, scene.kernels, tilts, fewer, "prompt"
        )
        lattice = Lattice(coarse.geometry, coarse.electron_scaling, coarse.faint)
        faint = faint_dose(lattice, geometry, shape, tilts, table)
        dose += by_material(faint, scene.material, scene.scaling.electron_range)
    return dose
