"""From a plan and the doses of it to a verification: everything measured, every rule asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.hu_curves import HuCurve
from dosecalc.errors import DosecalcError, GeometryError, InputError
from dosecalc.model import Beam, CtImage, Dose, Machine, Phantom, Plan, Structure, StructureSet
from dosecalc.verify import rules
from dosecalc.verify.beam_fit import fit_beams
from dosecalc.verify.difference import dose_difference
from dosecalc.verify.dvh import Dvh, structure_dvh
from dosecalc.verify.gamma import GammaCriteria, GammaResult, gamma_index
from dosecalc.verify.indices import PlanIndices, plan_indices
from dosecalc.verify.mu_check import HandDose, hand_dose
from dosecalc.verify.outcome import Finding, Outcome
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

__all__ = ["NEVER_CHECKED", "Evidence", "beam_point", "dose_at", "judge"]

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
_TARGETS = ("GTV", "CTV", "PTV")


@dataclass(frozen=True)
class Evidence:
    """What a verification is made of.

    Parameters
    ----------
    label : str
    plan, phantom, machines
    ct, structures : or None
    calculated : Dose
        Of the whole plan, Gy.
    beam_doses : mapping of beam number to Dose
        Calculated doses of one fraction, where beams were calculated one by one.
    reference : Dose or None
        Of the whole plan, Gy.
    reference_beams : mapping of beam number to Gy
        The planning system's doses of one fraction at the same points, where known.
    others : mapping of engine name to Dose
    curve : HuCurve or None
        With which CT numbers became densities.
    today : date or None
        For models that may be used up to a day.
    used_structures : names of structures that shaped the phantom
    recorded_used : bool
    filled_with : str or None
        Material that the body was filled with in place of the CT.
    shared_inputs, caveats : tuples of str
    reference_findings : tuple of Finding
        What was found when the reference was looked for: that nothing ties it to the plan.
    """

    label: str
    plan: Plan
    phantom: Phantom
    machines: Mapping[int, Machine]
    ct: CtImage | None
    structures: StructureSet | None
    calculated: Dose
    beam_doses: Mapping[int, Dose]
    reference: Dose | None
    reference_beams: Mapping[int, float] = field(default_factory=dict)
    others: Mapping[str, Dose] = field(default_factory=dict)
    curve: HuCurve | None = None
    today: date | None = None
    used_structures: tuple[str, ...] = ()
    recorded_used: bool = False
    filled_with: str | None = None
    shared_inputs: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    reference_findings: tuple[Finding, ...] = ()


def beam_point(beam: Beam) -> Point:
    """Dose specification point of a beam, else its isocentre."""
    return beam.control_points[0].isocentre if beam.dose_point is None else beam.dose_point


def dose_at(dose: Dose, point: Point) -> float | None:
    """Dose at a point, trilinear; None outside of the grid."""
    if not dose.grid.contains(point):
        return None
    values = dose.gray
    for place, count in zip(dose.grid.index_of(point), dose.grid.shape, strict=True):
        low = min(max(int(np.floor(place)), 0), count - 1)
        high, share = min(low + 1, count - 1), min(max(float(place) - low, 0.0), 1.0)
        values = (1 - share) * values[low] + share * values[high]
    return float(values)


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
    rows, points = _rows(evidence), _points(evidence)
    hand, not_done = _by_hand(evidence)
    beams = _beams(evidence, hand)
    findings = [
        *rules.prescription_findings(plan, rows, points, tolerances),
        *rules.beam_findings(beams, {h.beam: h.situation for h in hand}, tolerances),
        *rules.engine_findings(calculated, tolerances),
        *rules.input_findings(
            evidence.structures,
            evidence.ct,
            used=evidence.used_structures,
            recorded_used=evidence.recorded_used,
            filled_with=evidence.filled_with,
        ),
        *rules.coverage_findings(rows),
        *rules.machine_findings(plan, evidence.machines, tolerances.commissioned, evidence.today),
        *rules.hu_curve_findings(evidence.curve, evidence.ct),
        *evidence.reference_findings,
    ]
    gamma, largest = None, None
    if reference is None:
        sentence = "no dose of the planning system was given: nothing is compared with it"
        findings.append(Finding("reference", Outcome.REVIEW, sentence))
    else:
        patient = patient_voxels(evidence.phantom, reference.grid)
        gamma = _gamma(reference, calculated, prescribed, tolerances, patient)
        largest = _largest(reference, calculated, prescribed, evidence, patient)
        not_done += _around(reference, prescribed, tolerances, patient)
        findings += [
            rules.gamma_finding(gamma, tolerances),
            *rules.distribution_findings(
                reference, calculated, evidence.phantom, prescribed, tolerances
            ),
            *_single_beams(evidence, prescribed, tolerances),
            *rules.target_findings(rows, tolerances),
            *rules.point_findings(points, tolerances),
            *(
                rules.gamma_finding(
                    _gamma(reference, dose, prescribed, tolerances, patient),
                    tolerances,
                    f"gamma, {name}",
                )
                for name, dose in evidence.others.items()
            ),
        ]
    goals: list[GoalRow] = []
    if template is not None:
        goals, more = judge_goals(
            template.goals,
            {r.structure.name: r.reference for r in rows if r.reference is not None},
            {r.structure.name: r.calculated for r in rows if r.calculated is not None},
        )
        findings += more
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
        goals=tuple(goals),
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


def _rows(evidence: Evidence) -> tuple[StructureRow, ...]:
    spacing = None if evidence.ct is None else evidence.ct.grid.spacing[2]
    return tuple(
        _row(structure, evidence, spacing)
        for structure in evidence.structures or ()
        if not structure.is_empty
    )


def _row(structure: Structure, evidence: Evidence, spacing: float | None) -> StructureRow:
    found: list[Dvh | None] = []
    remark = ""
    for dose in (evidence.reference, evidence.calculated):
        try:
            found.append(
                None if dose is None else structure_dvh(structure, dose, plane_spacing=spacing)
            )
        except GeometryError as error:
            found.append(None)
            remark = str(error)
    return StructureRow(
        structure=structure,
        kind=_kind(structure, evidence.plan),
        reference=found[0],
        calculated=found[1],
        remark=remark,
        reference_fit=_fit(structure, evidence.reference, evidence, spacing),
        calculated_fit=_fit(structure, evidence.calculated, evidence, spacing),
    )


def _fit(
    structure: Structure, dose: Dose | None, evidence: Evidence, spacing: float | None
) -> PlanIndices | None:
    """Conformity of a target with a prescription, all of which lies in the dose grid."""
    wanted = [
        p.dose_gy
        for p in evidence.plan.prescriptions
        if p.structure_number == structure.number and p.kind != "ORGAN_AT_RISK" and p.dose_gy > 0
    ]
    if dose is None or not wanted:
        return None
    bodies = [s for s in evidence.structures or () if s.kind == "EXTERNAL" and not s.is_empty]
    try:
        return plan_indices(
            structure,
            dose,
            max(wanted),
            body=bodies[0] if len(bodies) == 1 else None,
            plane_spacing=spacing,
        )
    except DosecalcError:
        # What is missing of the target is a finding of its own.
        return None


def _kind(structure: Structure, plan: Plan) -> str:
    prescribed = {p.structure_number for p in plan.prescriptions if p.kind != "ORGAN_AT_RISK"}
    if structure.kind in _TARGETS or structure.number in prescribed:
        return "target"
    if structure.kind == "EXTERNAL":
        return "external"
    return "organ" if structure.kind in ("ORGAN", "AVOIDANCE") else "other"


def _points(evidence: Evidence) -> tuple[PointRow, ...]:
    named: dict[Point, str] = {}
    for beam in evidence.plan.beams:
        named.setdefault(beam.control_points[0].isocentre, f"isocentre of beam {beam.number}")
    for one in evidence.plan.prescriptions:
        if one.point is not None:
            named.setdefault(one.point, one.description or "prescription point")
    return tuple(
        PointRow(
            name,
            point,
            None if evidence.reference is None else dose_at(evidence.reference, point),
            dose_at(evidence.calculated, point),
        )
        for point, name in named.items()
    )


def _by_hand(evidence: Evidence) -> tuple[tuple[HandDose, ...], tuple[str, ...]]:
    """Hand check of the beams that have a dose by tables, and why others have none."""
    points = {beam.number: beam_point(beam) for beam in evidence.plan.beams}
    try:
        found = hand_dose(evidence.plan, evidence.machines, evidence.phantom, points)
    except DosecalcError as error:
        return (), (f"monitor units by tables: {error}",)
    return tuple(h for h in found if h.gray is not None), tuple(
        f"monitor units of beam {h.beam} ({h.name}) by tables: {h.remark}"
        for h in found
        if h.gray is None
    )


def _beams(evidence: Evidence, hand: Sequence[HandDose]) -> tuple[BeamRow, ...]:
    by_hand = {h.beam: h.gray for h in hand}
    return tuple(
        BeamRow(
            number=beam.number,
            name=beam.name,
            machine=f"{beam.machine_name} as {evidence.machines[beam.number].name}",
            quality=f"{beam.energy_mv:g} {'FFF' if beam.fluence_mode == 'FFF' else 'MV'}",
            technique=beam.technique,
            mu=beam.mu,
            gantry=_angles(beam, "gantry_deg"),
            collimator=_angles(beam, "collimator_deg"),
            couch=_angles(beam, "couch_deg"),
            point=beam_point(beam),
            stated_gy=None if beam.dose_point is None else beam.prescribed_dose_gy,
            reference_gy=evidence.reference_beams.get(beam.number),
            calculated_gy=dose_at(evidence.beam_doses[beam.number], beam_point(beam))
            if beam.number in evidence.beam_doses
            else None,
            by_hand_gy=by_hand.get(beam.number),
        )
        for beam in evidence.plan.beams
    )


def _single_beams(evidence: Evidence, prescribed: float, tolerances: Tolerances) -> list[Finding]:
    """Errors of single beams, where each beam was calculated alone."""
    plan, reference = evidence.plan, evidence.reference
    if reference is None or plan.fractions is None or not evidence.beam_doses:
        return []
    counts = deep_voxels(evidence.phantom, reference.grid)
    counts &= reference.gray > rules.LOW * prescribed
    beams = {beam.number: beam for beam in plan.beams}
    return rules.fit_findings(
        fit_beams(reference, evidence.beam_doses, beams, plan.position, plan.fractions, counts),
        beams,
        tolerances,
    )


def _angles(beam: Beam, name: str) -> str:
    first, last = (getattr(beam.control_points[n], name) for n in (0, -1))
    return f"{first:g}" if first == last else f"{first:g} to {last:g}"


def _around(
    reference: Dose, prescribed: float, tolerances: Tolerances, patient: NDArray[np.bool_]
) -> tuple[str, ...]:
    """Say how many points are left out because they lie in the air around the patient."""
    wanted = tolerances.gamma
    full = prescribed if wanted.normalisation is None else wanted.normalisation
    counts = reference.gray >= wanted.threshold_percent / 100 * full
    left_out = int(np.count_nonzero(counts & ~patient))
    if not left_out:
        return ()
    return (
        f"the dose in the air around the patient: {left_out} of {np.count_nonzero(counts)} points "
        f"above {wanted.threshold_percent:g} % lie there",
    )


def _gamma(
    reference: Dose,
    calculated: Dose,
    prescribed: float,
    tolerances: Tolerances,
    patient: NDArray[np.bool_],
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
    return gamma_index(reference, calculated, criteria, within=patient)


def _largest(
    reference: Dose,
    calculated: Dose,
    prescribed: float,
    evidence: Evidence,
    patient: NDArray[np.bool_],
) -> Largest | None:
    found = dose_difference(reference, calculated, normalisation=prescribed, within=patient)
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
