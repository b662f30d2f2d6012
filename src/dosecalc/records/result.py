"""A calculated dose with what tables, pictures and records say about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.analysis.dvh import Dvh, structure_dvh
from dosecalc.beam import beam_axes
from dosecalc.errors import GeometryError
from dosecalc.model import CtImage, Dose, Grid, Phantom, Plan, Structure, StructureSet
from dosecalc.model.checks import known
from dosecalc.model.interpolation import along_axis
from dosecalc.patient.coverage import volume_fraction

__all__ = [
    "FullDose",
    "Planes",
    "Result",
    "StructureResult",
    "cut",
    "evaluate",
    "full_dose",
]

Point = tuple[float, float, float]


class Planes(NamedTuple):
    """Three cuts: axial (ny, nx), coronal (nz, nx), sagittal (nz, ny)."""

    axial: NDArray[np.float32]
    coronal: NDArray[np.float32]
    sagittal: NDArray[np.float32]


class FullDose(NamedTuple):
    """The dose that isodoses call 100 %, in the unit of the dose, and what it is."""

    gray: float
    meaning: str


@dataclass(frozen=True)
class StructureResult:
    """One structure in a dose: its cuts through the isocentre, its histogram, what to say of it.

    `planes` and `dvh` are None where nothing of it lies within the dose grid; `voxels` counts
    those of the dose grid that hold any of it.
    """

    structure: Structure
    planes: Planes | None
    dvh: Dvh | None
    remark: str = ""
    voxels: int = 0


@dataclass(frozen=True)
class Result:
    """What was calculated, of what.

    Parameters
    ----------
    label : str
        Patient or recipe.
    dose : Dose
    phantom : Phantom
    plan : Plan
    ct : CtImage or None
    structures : tuple of StructureResult
    isocentre : (x, y, z), mm
        Of the first beam.
    centre : (x, y, z), mm
        Where the planes of pictures meet: the isocentre; in a recipe,
        where isocentres usually lie on the surface, the highest dose on the first
        beam's axis.
    full : FullDose
    notes : tuple of str
    """

    label: str
    dose: Dose
    phantom: Phantom
    plan: Plan
    ct: CtImage | None
    structures: tuple[StructureResult, ...]
    isocentre: Point
    centre: Point
    full: FullDose
    notes: tuple[str, ...] = field(default=())

    @property
    def at_isocentre(self) -> float | None:
        """Dose at the isocentre, None where it lies outside the dose grid."""
        return known(self.dose.at(self.isocentre))

    @property
    def maximum(self) -> tuple[float, Point]:
        """Largest dose of a voxel, and where its centre is (x, y, z), mm."""
        return self.dose.maximum, self.dose.maximum_point


def evaluate(
    label: str,
    dose: Dose,
    phantom: Phantom,
    plan: Plan,
    *,
    structures: StructureSet | None = None,
    ct: CtImage | None = None,
    notes: tuple[str, ...] = (),
) -> Result:
    """Return the result of a calculation, with histogram and cuts of every drawn structure."""
    isocentre = plan.beams[0].control_points[0].isocentre
    patient = ct is not None or structures is not None
    centre = isocentre if patient else _hottest_on_axis(plan, dose)
    spacing = None if ct is None else ct.grid.spacing[2]
    return Result(
        label=label,
        dose=dose,
        phantom=phantom,
        plan=plan,
        ct=ct,
        structures=tuple(
            _structure_result(s, dose, centre, spacing) for s in structures or () if not s.is_empty
        ),
        isocentre=isocentre,
        centre=centre,
        full=full_dose(plan, dose),
        notes=notes,
    )


def _hottest_on_axis(plan: Plan, dose: Dose) -> Point:
    """Return the point with the highest dose on the first beam's axis; the isocentre if none."""
    point = plan.beams[0].control_points[0]
    direction = beam_axes(plan.position, point.gantry_deg, point.collimator_deg, point.couch_deg)[2]
    reach = float(np.linalg.norm(np.subtract(dose.grid.upper, dose.grid.lower)))
    steps = np.arange(-reach, reach, min(dose.grid.spacing))
    places = point.isocentre + steps[:, None] * direction
    found = np.nan_to_num(dose.at(places))
    highest = int(found.argmax())
    if not found[highest] > 0:
        return point.isocentre
    x, y, z = places[highest]
    return float(x), float(y), float(z)


def full_dose(plan: Plan, dose: Dose) -> FullDose:
    """Return the prescription that a dose is shown against, or its maximum where there is none.

    Of several prescriptions to targets or points it is the largest. A dose of one
    fraction is shown against the prescription of one fraction.
    """
    prescribed = plan.prescribed_gy
    if dose.unit == "Gy" and prescribed is not None:
        if dose.summation == "PLAN":
            return FullDose(prescribed, "prescription")
        if plan.fractions is not None:
            return FullDose(prescribed / plan.fractions, "prescription per fraction")
    highest = dose.maximum
    return FullDose(highest if highest > 0 else 1.0, "maximum")


def _structure_result(
    structure: Structure, dose: Dose, centre: Point, plane_spacing: float | None
) -> StructureResult:
    plane_spacing = structure.slice_spacing or plane_spacing
    try:
        fraction = volume_fraction(structure, dose.grid, plane_spacing=plane_spacing)
        dvh = structure_dvh(structure, dose, plane_spacing=plane_spacing)
    except GeometryError as error:
        return StructureResult(structure, None, None, str(error))
    remark = ""
    if not dvh.is_complete:
        share = 100 * dvh.outside_cm3 / dvh.total_cm3
        remark = f"{share:.1f} % of {structure.name!r} lies outside the dose grid and is left out"
    voxels = int(np.count_nonzero(fraction))
    return StructureResult(structure, cut(fraction, dose.grid, centre), dvh, remark, voxels)


def cut(values: NDArray[np.float32], grid: Grid, point: Point) -> Planes:
    """Cut a volume in the three planes through a point, linear between voxel centres.

    Beyond the outermost voxel centres the planes are those of the last voxels.
    """
    planes = [
        along_axis(values, np.array([place]), axis).astype(np.float32).squeeze(axis)
        for axis, place in enumerate(grid.index_of(point))
    ]
    return Planes(*planes)
