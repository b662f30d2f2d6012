"""From a plan and the doses of it to a verification: everything measured, every rule asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dosecalc.analysis.gamma import GammaResult
from dosecalc.errors import InputError
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message, of_note
from dosecalc.model import Dose, Plan
from dosecalc.verification.answers import inputs_without_answer, without_answer
from dosecalc.verification.beam_fit.fit import fit_beams
from dosecalc.verification.beside_patient import beside_patient
from dosecalc.verification.checks import distribution as distribution_check
from dosecalc.verification.checks import inputs as inputs_check
from dosecalc.verification.checks import local_differences as local_differences_check
from dosecalc.verification.checks import plan as plan_check
from dosecalc.verification.checks import reference as reference_check
from dosecalc.verification.checks import structures as structures_check
from dosecalc.verification.checks.beam_fit import fit_findings
from dosecalc.verification.comparison import (
    Places,
    air_left_out,
    gamma_of,
    largest_difference,
    places_of,
    threshold,
)
from dosecalc.verification.convention import like_with_like
from dosecalc.verification.goals import Template, judge_goals
from dosecalc.verification.inputs import Evidence
from dosecalc.verification.mu_check.check import HandDose
from dosecalc.verification.rows import beam_rows, by_hand, kind_of, point_rows, structure_rows
from dosecalc.verification.tolerances import Tolerances
from dosecalc.verification.verification import (
    BeamRow,
    GoalRow,
    PointRow,
    StructureRow,
    Verification,
)

__all__ = ["NEVER_CHECKED", "judge"]

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
    evidence = like_with_like(evidence)
    plan, calculated, reference = evidence.plan, evidence.calculated, evidence.reference
    if calculated.unit != "Gy" or (reference is not None and reference.unit != "Gy"):
        raise InputError("a plan can be verified in Gy only; choose a machine with a calibration")
    prescribed, prescription = _prescription(evidence)
    rows, points = structure_rows(evidence), point_rows(evidence)
    hand, not_done = by_hand(evidence)
    beams = beam_rows(evidence, hand)
    findings = _of_the_plan(evidence, tolerances, rows, points, beams, hand)
    gamma, largest, beside = None, None, beside_patient(evidence)
    if reference is None:
        findings.append(Finding("reference", Outcome.REVIEW, Message("reference.none")))
    else:
        places = places_of(evidence, reference, prescribed, tolerances, beside.voxels)
        gamma = gamma_of(reference, calculated, prescribed, tolerances, places)
        largest = largest_difference(reference, calculated, prescribed, evidence, places)
        compared, more = _compared(evidence, reference, gamma, prescribed, tolerances, places)
        findings += [
            *compared,
            *structures_check.target_findings(rows, tolerances),
            *structures_check.organ_findings(rows, prescribed, tolerances, beside.names),
            *distribution_check.point_findings(points, tolerances),
            *reference_check.reference_findings(
                plan, reference, rows, points, beams, evidence.reference_beams, tolerances
            ),
        ]
        not_done += more
    goals, more_findings = _goals(template, rows, plan)
    findings += more_findings
    not_done += without_answer(findings, compared=reference is not None)
    return Verification(
        label=evidence.label,
        plan=plan,
        phantom=evidence.phantom,
        apart=beside.voxels,
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
            *inputs_without_answer(evidence),
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
        *inputs_check.approval_findings(plan),
        *plan_check.prescription_findings(plan, rows, points, tolerances),
        *plan_check.closure_findings(plan, tolerances),
        *plan_check.beam_findings(
            beams, {h.beam: h.situation for h in hand}, tolerances, evidence.reference_beams
        ),
        *distribution_check.engine_findings(evidence.calculated, tolerances),
        *inputs_check.input_findings(
            evidence.structures,
            evidence.ct,
            used=evidence.used_structures,
            recorded_used=evidence.recorded_used,
            filled_with=evidence.filled_with,
        ),
        *structures_check.coverage_findings(
            rows, compared=evidence.reference is not None, beside=evidence.beside
        ),
        *_empty_targets(evidence),
        *inputs_check.gap_findings(evidence.structures, evidence.ct),
        *inputs_check.overlap_findings(evidence.structures),
        *inputs_check.machine_findings(
            plan, evidence.machines, tolerances.commissioned, evidence.today
        ),
        *inputs_check.hu_curve_findings(evidence.curve, evidence.ct),
        *evidence.reference_findings,
    ]


def _goals(
    template: Template | None, rows: Sequence[StructureRow], plan: Plan
) -> tuple[tuple[GoalRow, ...], list[Finding]]:
    """Judge the template's goals."""
    if template is None:
        return (), []
    goals, findings = judge_goals(
        template.goals,
        {r.structure.name: r.reference for r in rows if r.reference is not None},
        {r.structure.name: r.calculated for r in rows if r.calculated is not None},
        _prescribed(plan, rows),
    )
    return tuple(goals), [*findings, *_ambiguous(rows)]


def _prescribed(plan: Plan, rows: Sequence[StructureRow]) -> dict[str, float]:
    """Prescribed doses by structure, the largest of each; under "" the largest of all, Gy."""
    names = {row.structure.number: row.structure.name for row in rows}
    found: dict[str, float] = {}
    for one in plan.target_prescriptions:
        name = names.get(one.structure_number) if one.structure_number is not None else None
        for key in {"", name or ""}:
            found[key] = max(found.get(key, 0.0), one.dose_gy)
    return found


def _compared(
    evidence: Evidence,
    reference: Dose,
    gamma: GammaResult,
    prescribed: float,
    tolerances: Tolerances,
    places: Places,
) -> tuple[list[Finding], tuple[str, ...]]:
    """Ask the rules on the distribution; also say what could not be asked."""
    flat = distribution_check.distribution_findings(
        reference, evidence.calculated, evidence.phantom, prescribed, tolerances, places.apart
    )
    fitted, not_fitted = _single_beams(evidence, prescribed, tolerances, places)
    findings = [
        distribution_check.gamma_finding(gamma, tolerances),
        *local_differences_check.local_findings(gamma, places.deep, tolerances, places.difference),
        *_where(evidence, reference, prescribed, tolerances, places),
        *flat,
        *fitted,
    ]
    for name, dose in evidence.others.items():
        own = gamma_of(reference, dose, prescribed, tolerances, places)
        findings.append(distribution_check.gamma_finding(own, tolerances, f"gamma, {name}"))
        findings += distribution_check.engine_findings(dose, tolerances, name)
    return findings, (*air_left_out(reference, prescribed, tolerances, places), *not_fitted)


def _where(
    evidence: Evidence, reference: Dose, prescribed: float, tolerances: Tolerances, places: Places
) -> list[Finding]:
    """Ask the rules on where doses differ."""
    targets = [
        one
        for one in evidence.structures or ()
        if not one.is_empty and kind_of(one, evidence.plan) == "target"
    ]
    spacing = None if evidence.ct is None else evidence.ct.grid.spacing[2]
    both = (reference, places.difference)
    return [
        *local_differences_check.large_findings(*both, prescribed, places.inner, tolerances),
        *local_differences_check.local_dose_findings(*both, prescribed, places.inner, tolerances),
        *local_differences_check.target_part_findings(
            targets, *both, places.inner, tolerances, spacing
        ),
        *local_differences_check.uncovered_findings(
            evidence.calculated,
            reference,
            evidence.phantom,
            threshold(prescribed, tolerances),
            tolerances,
            places.apart,
        ),
    ]


def _empty_targets(evidence: Evidence) -> list[Finding]:
    """Targets without contours, or with contours that cannot be used."""
    return [
        Finding(
            "targets",
            Outcome.REVIEW,
            Message.of("targets.left_out", structure=one.name, reason=of_note(one.left_out))
            if one.left_out
            else Message.of("targets.no_contours", structure=one.name),
        )
        for one in evidence.structures or ()
        if one.is_empty and kind_of(one, evidence.plan) == "target"
    ]


def _ambiguous(rows: Sequence[StructureRow]) -> list[Finding]:
    """Structures that share a name: goals and histograms know one of them only."""
    names = [row.structure.name for row in rows]
    return [
        Finding(
            "goal",
            Outcome.REVIEW,
            Message.of("goal.same_names", number=names.count(name), name=name),
        )
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def _prescription(evidence: Evidence) -> tuple[float, str]:
    """Dose that percentages are of, and what the plan prescribes in words."""
    plan = evidence.plan
    wanted = plan.target_prescriptions
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
    evidence: Evidence, prescribed: float, tolerances: Tolerances, places: Places
) -> tuple[list[Finding], tuple[str, ...]]:
    """Errors of single beams, where each beam was calculated alone; and where there are none."""
    plan, reference = evidence.plan, evidence.reference
    if reference is None or plan.fractions is None or not evidence.beam_doses:
        message = Message("beam_fit.not_calculated")
        return [Finding("beam fit", Outcome.REVIEW, message)], ()
    counts = places.deep & (reference.gray > distribution_check.LOW * prescribed)
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
    return fit_findings(fitted, beams, tolerances), left
