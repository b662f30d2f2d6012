"""What scripts do, once and coarsely, so that its code is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dosecalc.analysis.dvh import structure_dvh
from dosecalc.analysis.gamma import GammaCriteria, gamma_at_points, gamma_index
from dosecalc.beam.beamlets import contour_points, target_beamlets
from dosecalc.engines import collapsed_cone, monte_carlo, pencil_beam
from dosecalc.engines.collapsed_cone import CollapsedConeSettings
from dosecalc.engines.monte_carlo import MonteCarloSettings
from dosecalc.engines.pencil_beam.influence import dose_influence
from dosecalc.io.dicom import read_dose_file
from dosecalc.model import Beam, Dose, Plan
from dosecalc.patient.thorax import TARGET
from dosecalc.planning import Objective, PlanningCase, open_case, optimise_fluence, step_and_shoot

__all__ = ["calculate_as_scripts", "compare_as_scripts", "plan_as_scripts"]

_ARC_DEG = 30.0
_FEW = 20


def plan_as_scripts(patient: Path, grid_mm: float) -> tuple[PlanningCase, Plan]:
    """Optimise fluence on a patient, by a matrix of beamlets, and divide it into segments."""
    case = open_case(patient, machine="generic-6mv", hu_curve="generic-120kvp", grid_mm=grid_mm)
    fractions = {one.name: case.fraction(one.name) for one in case.structures if not one.is_empty}
    corners = contour_points(case[TARGET])
    isocentre = corners.mean(axis=0)
    grid = target_beamlets(
        corners,
        case.ct.position,
        case.machine,
        isocentre=(float(isocentre[0]), float(isocentre[1]), float(isocentre[2])),
        gantry_deg=0.0,
        size_mm=grid_mm,
    )
    influence = dose_influence(case.phantom, [grid], case.machine)
    objectives = [Objective(TARGET, kind, 2.0) for kind in ("uniform", "max", "mean")]
    found = optimise_fluence(influence, fractions, objectives, iterations=2)
    influence.dose(found.weights)
    beam = step_and_shoot(grid, found.weights, case.machine, number=1, levels=2)
    return case, Plan((beam,), case.ct.position, fractions=1)


def calculate_as_scripts(case: PlanningCase, plan: Plan) -> list[Dose]:
    """Calculate segments, and a short arc, with every engine."""
    # Of the calibration, too, as few histories as there may be.
    few = MonteCarloSettings(histories=_FEW, uncertainty=0.5)
    coarse = CollapsedConeSettings(directions=24)
    doses = []
    for beams in (plan.beams, (_arc(plan.beams[0]),)):
        what = (case.phantom, replace(plan, beams=beams), case.machine)
        doses += [
            pencil_beam.compute(*what),
            collapsed_cone.compute(*what, coarse),
            monte_carlo.compute(*what, few),
        ]
    return doses


def _arc(beam: Beam) -> Beam:
    first, last = beam.control_points[0], beam.control_points[-1]
    turned = replace(
        first, gantry_deg=first.gantry_deg + _ARC_DEG, meterset_fraction=last.meterset_fraction
    )
    return replace(beam, control_points=(replace(first, gantry_direction="CW"), turned))


def compare_as_scripts(case: PlanningCase, doses: Sequence[Dose], file: Path) -> None:
    """Compare doses in space, in a plane and at points; histograms of the structures."""
    criteria = GammaCriteria(3.0, 3.0)
    read = read_dose_file(file).dose
    first, second = doses[:2]
    gamma_index(first, second, criteria)
    gamma_index(read, read, criteria)
    plane = _slice(first)
    gamma_index(plane, _slice(second), criteria)
    gamma_at_points(_middle(first), np.array([float(first.gray.max())]), second, criteria)
    for structure in case.structures:
        if not structure.is_empty:
            structure_dvh(structure, first)
            structure_dvh(structure, read)


def _slice(dose: Dose) -> Dose:
    """Return one slice, through the hottest voxel."""
    k = int(np.unravel_index(int(dose.gray.argmax()), dose.gray.shape)[0])
    x, y, z = dose.grid.origin
    grid = replace(
        dose.grid,
        shape=(1, *dose.grid.shape[1:]),
        origin=(x, y, z + k * dose.grid.spacing[2]),
    )
    return replace(dose, grid=grid, gray=dose.gray[k : k + 1].copy(), uncertainty=None)


def _middle(dose: Dose) -> np.ndarray:
    k, j, i = np.unravel_index(int(dose.gray.argmax()), dose.gray.shape)
    grid = dose.grid
    return np.array([[grid.centres("x")[i], grid.centres("y")[j], grid.centres("z")[k]]])
