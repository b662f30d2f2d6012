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
from dosecalc.patient.coverage import volume_fraction

__all__ = [
    "FullDose",
    "Planes",
    "Result",
    "StructureResult",
    "cut",
    "evaluate",
    "full_dose",
    "value_at",
]

Point = tuple[float, float, float]

_TARGETS = ("GTV", "CTV", "PTV")


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

    @property
    def is_target(self) -> bool:
        """Whether its type, or else the start of its name, is GTV, CTV or PTV: for display only."""
        return self.structure.kind in _TARGETS or self.structure.name.upper().startswith(_TARGETS)


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
        return value_at(self.dose.gray, self.dose.grid, self.isocentre)

    @property
    def maximum(self) -> tuple[float, Point]:
        """Largest dose of a voxel, and where its centre is (x, y, z), mm."""
        index = np.unravel_index(int(self.dose.gray.argmax()), self.dose.gray.shape)
        x, y, z = self.dose.grid.position_of(index)
        return float(self.dose.gray[index]), (float(x), float(y), float(z))


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
    best, highest = point.isocentre, 0.0
    for along in np.arange(-reach, reach, min(dose.grid.spacing)):
        x, y, z = point.isocentre + along * direction
        value = value_at(dose.gray, dose.grid, (float(x), float(y), float(z)))
        if value is not None and value > highest:
            best, highest = (float(x), float(y), float(z)), value
    return best


def full_dose(plan: Plan, dose: Dose) -> FullDose:
    """Return the prescription that a dose is shown against, or its maximum where there is none.

    Of several prescriptions to targets or points it is the largest. A dose of one
    fraction is shown against the prescription of one fraction.
    """
    doses = [p.dose_gy for p in plan.prescriptions if p.kind != "ORGAN_AT_RISK" and p.dose_gy > 0]
    if dose.unit == "Gy" and doses:
        if dose.summation == "PLAN":
            return FullDose(max(doses), "prescription")
        if plan.fractions is not None:
            return FullDose(max(doses) / plan.fractions, "prescription per fraction")
    highest = float(dose.gray.max())
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
    z, y, x = (_between(float(f), n) for f, n in zip(grid.index_of(point), grid.shape, strict=True))
    return Planes(
        axial=_mixed(values, 0, z), coronal=_mixed(values, 1, y), sagittal=_mixed(values, 2, x)
    )


def value_at(values: NDArray[np.float32], grid: Grid, point: Point) -> float | None:
    """Value at a point, linear between voxel centres; None outside the grid."""
    if not grid.contains(point):
        return None
    index = [_between(float(f), n) for f, n in zip(grid.index_of(point), grid.shape, strict=True)]
    for position in index:
        values = _mixed(values, 0, position)
    return float(values)


def _between(index: float, count: int) -> tuple[int, int, float]:
    """Voxels before and after a fractional index, and the share of the one after."""
    low = min(max(int(np.floor(index)), 0), count - 1)
    high = min(low + 1, count - 1)
    return low, high, min(max(index - low, 0.0), 1.0)


def _mixed(
    values: NDArray[np.float32], axis: int, position: tuple[int, int, float]
) -> NDArray[np.float32]:
    low, high, share = position
    first = np.take(values, low, axis=axis)
    return np.asarray(
        first + np.float32(share) * (np.take(values, high, axis=axis) - first), dtype=np.float32
    )
