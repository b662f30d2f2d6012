"""From a plan and the doses of it to a verification: everything measured, every rule asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model import Dose, Plan, Structure
from dosecalc.verify import rules, rules_inputs, rules_plan
from dosecalc.verify.beam_fit import fit_beams
from dosecalc.verify.difference import dose_difference, on_grid
from dosecalc.verify.evidence import Evidence
from dosecalc.verify.gamma import GammaCriteria, GammaResult, gamma_index
from dosecalc.verify.mu_check import HandDose
from dosecalc.verify.outcome import Finding, Outcome
from dosecalc.verify.rows import beam_rows, by_hand, kind_of, point_rows, structure_rows
from dosecalc.verify.template import Template, judge_goals
from dosecalc.verify.tolerances import Tolerances
from dosecalc.verify.verification import (
    BeamRow,
    GoalRow,
    Largest,
    PointRow,
    StructureRow,
    Verification,
)
from dosecalc.verify.where import deep_voxels, patient_voxels

__all__ = ["NEVER_CHECKED", "judge"]

Point = tuple[float, float, float]

NEVER_CHECKED = (
    "the calibration of the accelerator: a wrong dose per MU in the room shows in no calculation",
    "whether the machine model describes the accelerator that will treat",
    "whether the HU curve belongs to the scanner and was measured on it",
    "whether plan, structures and CT are the versions that were approved",
    "whether the contours are drawn correctly",
    "whether the patient lies as on the CT at every fraction",
    "whether the accelerator delivers what the plan states (leaves, jaws, MU)",
)
"""What no recalculation can check, in every report."""

_NO_MODELS = (
    "whether the machine models are the commissioned ones: the tolerances list none "
    "([[commissioned]])"
)


def judge(
    evidence: Evidence,
    tolerances: Tolerances,
    template: Template | None = None,
    record: Mapping[str, Any] | None = None,
) -> Verification:
    """Ask every rule and put the answers together.

    Raises
    ------
    DosecalcError
        The doses cannot be compared (no overlap, different units).
    """
    plan, calculated, reference = evidence.plan, evidence.calculated, evidence.reference
    if calculated.unit != "Gy" or (reference is not None and reference.unit != "Gy"):
        raise InputError("a plan can be verified in Gy only; choose a machine with a calibration")
    prescribed, prescription = _prescription(evidence)
    rows, points = structure_rows(evidence), point_rows(evidence)
    hand, not_done = by_hand(evidence)
    beams = beam_rows(evidence, hand)
    findings = _of_the_plan(evidence, tolerances, rows, points, beams, hand)
    gamma, largest = None, None
    if reference is None:
        sentence = "no dose of the planning system was given: nothing is compared with it"
        findings.append(Finding("reference", Outcome.REVIEW, sentence))
    else:
        places = _places(evidence, reference, prescribed, tolerances)
        gamma = _gamma(reference, calculated, prescribed, tolerances, places)
        largest = _largest(reference, calculated, prescribed, evidence, places)
        compared, more = _compared(evidence, reference, gamma, prescribed, tolerances, places)
        findings += [
            *compared,
            *rules.target_findings(rows, tolerances),
            *rules.organ_findings(rows, prescribed, tolerances),
            *rules.point_findings(points, tolerances),
        ]
        not_done += more
    goals, more_findings = _goals(template, rows)
    findings += more_findings
    return Verification(
        label=evidence.label,
        plan=plan,
        phantom=evidence.phantom,
        ct=evidence.ct,
        structures=evidence.structures,
        calculated=calculated,
        reference=reference,
        gamma=gamma,
        prescribed_gy=prescribed,
        prescription=prescription,
        findings=tuple(findings),
        largest=largest,
        beams=beams,
        points=points,
        rows=rows,
        goals=goals,
        others=evidence.others,
        not_checked=(
            *NEVER_CHECKED,
            *not_done,
            *_not_judged(hand),
            *_without_point(plan),
            *(() if template is not None else ("goals for organs: no template was given",)),
            *(() if tolerances.commissioned else (_NO_MODELS,)),
        ),
        shared_inputs=evidence.shared_inputs,
        caveats=evidence.caveats,
        record=record or {},
    )


def _of_the_plan(
    evidence: Evidence,
    tolerances: Tolerances,
    rows: Sequence[StructureRow],
    points: Sequence[PointRow],
    beams: Sequence[BeamRow],
    hand: Sequence[HandDose],
) -> list[Finding]:
    """Ask the rules that need no reference."""
    plan = evidence.plan
    return [
        *rules_inputs.approval_findings(plan),
        *rules_plan.prescription_findings(plan, rows, points, tolerances),
        *rules_plan.closure_findings(plan, tolerances),
        *rules_plan.beam_findings(beams, {h.beam: h.situation for h in hand}, tolerances),
        *rules.engine_findings(evidence.calculated, tolerances),
        *rules_inputs.input_findings(
            evidence.structures,
            evidence.ct,
            used=evidence.used_structures,
            recorded_used=evidence.recorded_used,
            filled_with=evidence.filled_with,
        ),
        *rules.coverage_findings(rows, compared=evidence.reference is not None),
        *_empty_targets(evidence),
        *rules_inputs.machine_findings(
            plan, evidence.machines, tolerances.commissioned, evidence.today
        ),
        *rules_inputs.hu_curve_findings(evidence.curve, evidence.ct),
        *evidence.reference_findings,
    ]


def _goals(
    template: Template | None, rows: Sequence[StructureRow]
) -> tuple[tuple[GoalRow, ...], list[Finding]]:
    """Judge the template's goals."""
    if template is None:
        return (), []
    goals, findings = judge_goals(
        template.goals,
        {r.structure.name: r.reference for r in rows if r.reference is not None},
        {r.structure.name: r.calculated for r in rows if r.calculated is not None},
    )
    return tuple(goals), [*findings, *_ambiguous(rows)]


class _Places(NamedTuple):
    """Points of the reference's grid.

    patient : those in the patient
    deep : those a build-up's depth below any surface
    hot : those where the calculated dose reaches the threshold, whatever the reference has there
    """

    patient: NDArray[np.bool_]
    deep: NDArray[np.bool_]
    hot: NDArray[np.bool_]


def _places(
    evidence: Evidence, reference: Dose, prescribed: float, tolerances: Tolerances
) -> _Places:
    found = on_grid(evidence.calculated, reference.grid)
    return _Places(
        patient_voxels(evidence.phantom, reference.grid),
        deep_voxels(evidence.phantom, reference.grid),
        np.nan_to_num(found) >= _threshold(prescribed, tolerances),
    )


def _threshold(prescribed: float, tolerances: Tolerances) -> float:
    """Dose from which points count, Gy."""
    wanted = tolerances.gamma
    full = prescribed if wanted.normalisation is None else wanted.normalisation
    return wanted.threshold_percent / 100 * full


def _compared(
    evidence: Evidence,
    reference: Dose,
    gamma: GammaResult,
    prescribed: float,
    tolerances: Tolerances,
    places: _Places,
) -> tuple[list[Finding], tuple[str, ...]]:
    """Ask the rules on the distribution; also say what could not be asked."""
    flat = rules.distribution_findings(
        reference, evidence.calculated, evidence.phantom, prescribed, tolerances
    )
    fitted, not_fitted = _single_beams(evidence, prescribed, tolerances, places)
    findings = [
        rules.gamma_finding(gamma, tolerances),
        *rules.local_findings(gamma, places.deep, tolerances),
        *flat,
        *fitted,
    ]
    for name, dose in evidence.others.items():
        own = _gamma(reference, dose, prescribed, tolerances, places)
        findings.append(rules.gamma_finding(own, tolerances, f"gamma, {name}"))
        findings += rules.engine_findings(dose, tolerances, name)
    asked = {one.rule for one in flat}
    left = tuple(
        f"{rule}: too few points lie where it looks"
        for rule in ("dose in flat regions", "displacement")
        if rule not in asked
    )
    return findings, (*_around(reference, prescribed, tolerances, places), *left, *not_fitted)


def _empty_targets(evidence: Evidence) -> list[Finding]:
    """Targets without contours."""
    return [
        Finding("targets", Outcome.REVIEW, f"{one.name} is a target and has no contours")
        for one in evidence.structures or ()
        if one.is_empty and kind_of(one, evidence.plan) == "target"
    ]


def _ambiguous(rows: Sequence[StructureRow]) -> list[Finding]:
    """Structures that share a name: goals and histograms know one of them only."""
    names = [row.structure.name for row in rows]
    return [
        Finding("goal", Outcome.REVIEW, f"{names.count(name)} structures are named {name}")
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def _prescription(evidence: Evidence) -> tuple[float, str]:
    """Dose that percentages are of, and what the plan prescribes in words."""
    plan = evidence.plan
    wanted = [p for p in plan.prescriptions if p.kind != "ORGAN_AT_RISK" and p.dose_gy > 0]
    if not wanted:
        dose = evidence.calculated if evidence.reference is None else evidence.reference
        highest = float(dose.gray.max())
        if highest <= 0:
            raise InputError(f"{evidence.label}: the dose is zero everywhere; nothing to verify")
        return highest, "none in the plan; percentages are of the maximum dose"
    words = "; ".join(f"{p.dose_gy:g} Gy to {p.description or 'the target'}" for p in wanted)
    return max(p.dose_gy for p in wanted), f"{words}, in {plan.fractions} fractions"


def _not_judged(hand: Sequence[HandDose]) -> tuple[str, ...]:
    """Say which beams' monitor units the tables could not judge."""
    numbers = ", ".join(str(h.beam) for h in hand if h.situation == "low density")
    if not numbers:
        return ()
    return (
        f"monitor units of beams {numbers} by tables: they pass low density, which tables do not "
        "know",
    )


def _without_point(plan: Plan) -> tuple[str, ...]:
    """Say which doses of single beams the plan states without saying where."""
    found = [b for b in plan.beams if b.prescribed_dose_gy and b.dose_point is None]
    if not found:
        return ()
    names = ", ".join(f"{b.number} ({b.prescribed_dose_gy:g} Gy)" for b in found)
    return (f"doses that the plan states for beams {names}: it does not say at which point",)


def _single_beams(
    evidence: Evidence, prescribed: float, tolerances: Tolerances, places: _Places
) -> tuple[list[Finding], tuple[str, ...]]:
    """Errors of single beams, where each beam was calculated alone; and where there are none."""
    plan, reference = evidence.plan, evidence.reference
    if reference is None or plan.fractions is None or not evidence.beam_doses:
        sentence = "single beams were not calculated: an error of one may hide in the sum"
        return [Finding("single beam", Outcome.REVIEW, sentence)], ()
    counts = places.deep & (reference.gray > rules.LOW * prescribed)
    beams = {beam.number: beam for beam in plan.beams}
    fitted = fit_beams(
        reference,
        evidence.beam_doses,
        beams,
        plan.position,
        plan.fractions,
        counts,
        evidence.beam_parts,
    )
    left: tuple[str, ...] = ()
    if not fitted.beams:
        left = ("single beams: too few points lie 2 cm deep",)
    arcs = ", ".join(str(one.beam) for one in fitted.beams if one.u_mm is None)
    if arcs:
        left = (f"place, width and collimator angle of beams {arcs}: they turn while they are on",)
    return rules.fit_findings(fitted, beams, tolerances), left


def _around(
    reference: Dose, prescribed: float, tolerances: Tolerances, places: _Places
) -> tuple[str, ...]:
    """Say how many points are left out because they lie in the air around the patient."""
    counts = (reference.gray >= _threshold(prescribed, tolerances)) | places.hot
    left_out = int(np.count_nonzero(counts & ~places.patient))
    if not left_out:
        return ()
    return (
        f"the dose in the air around the patient: {left_out} of {np.count_nonzero(counts)} points "
        f"above {tolerances.gamma.threshold_percent:g} % lie there",
    )


def _gamma(
    reference: Dose,
    calculated: Dose,
    prescribed: float,
    tolerances: Tolerances,
    places: _Places,
) -> GammaResult:
    wanted = tolerances.gamma
    criteria = GammaCriteria(
        wanted.dose_percent,
        wanted.distance_mm,
        wanted.local,
        wanted.threshold_percent,
        wanted.max_gamma,
        prescribed if wanted.normalisation is None else wanted.normalisation,
    )
    return gamma_index(reference, calculated, criteria, within=places.patient, besides=places.hot)


def _largest(
    reference: Dose,
    calculated: Dose,
    prescribed: float,
    evidence: Evidence,
    places: _Places,
) -> Largest | None:
    found = dose_difference(
        reference,
        calculated,
        normalisation=prescribed,
        within=places.patient,
        besides=places.hot,
    )
    if not found.points:
        return None
    return Largest(
        point=found.worst_position,
        reference_gy=found.worst_reference,
        calculated_gy=found.worst_evaluated,
        percent_of_prescription=found.worst_percent,
        structures=tuple(
            s.name for s in evidence.structures or () if _holds(s, found.worst_position)
        ),
    )


def _holds(structure: Structure, point: Point) -> bool:
    """Whether a point lies within the contours of the plane nearest to it."""
    if structure.is_empty:
        return False
    nearest = min((c.z for c in structure.contours), key=lambda z: abs(z - point[2]))
    planes = np.unique([c.z for c in structure.contours])
    thick = float(np.diff(planes).max()) if planes.size > 1 else 5.0
    if abs(nearest - point[2]) > thick / 2 + 0.1:
        return False
    inside = False
    for contour in structure.contours:
        if contour.z != nearest:
            continue
        x, y = contour.points.T
        u, v = np.roll(x, -1), np.roll(y, -1)
        above = (y > point[1]) != (v > point[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = x + (point[1] - y) * (u - x) / (v - y)
        inside ^= bool(np.count_nonzero(above & (point[0] < crossing)) % 2)
    return inside
