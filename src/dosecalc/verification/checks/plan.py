"""Rules on the plan's own numbers: prescription, MU, fractions, doses of single beams."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message, Value
from dosecalc.model import Plan
from dosecalc.verification.parts import beam_part, median_part, situation_part
from dosecalc.verification.tolerances import Tolerances
from dosecalc.verification.verification import BeamRow, PointRow, StructureRow

__all__ = ["beam_findings", "closure_findings", "prescription_findings"]

Point = tuple[float, float, float]

_CONSISTENCY = "prescription consistency"
_SAME_POINT_MM = 1.0


def prescription_findings(
    plan: Plan, rows: Sequence[StructureRow], points: Sequence[PointRow], tolerances: Tolerances
) -> list[Finding]:
    """Compare the calculated dose with the prescription: MU, fractions and units close."""
    limit, findings = tolerances.limits["prescription"], []
    targets = plan.target_prescriptions
    if not targets:
        return [Finding("prescription", Outcome.REVIEW, Message("prescription.missing"))]
    for one in targets:
        value: float | None = None
        where: Message | str = one.description
        row = next((r for r in rows if r.structure.number == one.structure_number), None)
        if row is not None and row.calculated is not None:
            value, where = (
                row.calculated.median_gy,
                median_part(row.structure.name),
            )
        elif one.point is not None or not rows:
            point = next((p for p in points if p.point == one.point), points[0] if points else None)
            if point is not None and point.calculated_gy is not None:
                value, where = point.calculated_gy, point.label
        if value is None:
            message = Message.of(
                "prescription.no_dose", prescribed=one.dose_gy, description=one.description
            )
            findings.append(Finding("prescription", Outcome.REVIEW, message))
            continue
        percent = 100 * (value / one.dose_gy - 1)
        message = Message.of(
            "prescription.calculated",
            mu=sum(b.mu for b in plan.beams),
            fractions=plan.fractions,
            calculated=value,
            where=where,
            prescribed=one.dose_gy,
            percent=percent,
        )
        findings.append(limit.finding("prescription", message, percent))
    return findings


def closure_findings(plan: Plan, tolerances: Tolerances) -> list[Finding]:
    """Doses that the plan states for its beams, times fractions, against what it prescribes.

    Judged where both are said to be at one and the same point. A dose prescribed to a volume, or
    to nothing that the plan names, need not be that at a point: then the number is shown.
    """
    stated = [b.prescribed_dose_gy for b in plan.beams if b.prescribed_dose_gy is not None]
    wanted = plan.target_prescriptions
    if len(stated) < len(plan.beams) or not wanted or plan.fractions is None:
        return []
    one = max(wanted, key=lambda p: p.dose_gy)
    total = plan.fractions * sum(stated)
    percent = 100 * (total / one.dose_gy - 1)
    judged = all(_is_at(beam.dose_point, one.point) for beam in plan.beams)
    message = Message.of(
        "closure.stated",
        beams=sum(stated),
        fractions=plan.fractions,
        total=total,
        prescribed=one.dose_gy,
        percent=percent,
        remark=None if judged else Message("part.not_judged"),
    )
    if not judged:
        return [Finding(_CONSISTENCY, Outcome.PASS, message, percent, "%", judged=False)]
    return [tolerances.limits["closure"].finding(_CONSISTENCY, message, percent)]


def _is_at(point: Point | None, other: Point | None) -> bool:
    """Whether two points are known and one."""
    return (
        point is not None
        and other is not None
        and max(abs(a - b) for a, b in zip(point, other, strict=True)) <= _SAME_POINT_MM
    )


def beam_findings(
    beams: Iterable[BeamRow],
    situations: Mapping[int, str],
    tolerances: Tolerances,
    of_files: Collection[int] = (),
) -> list[Finding]:
    """Beams without MU; doses of single beams against the plan's, the reference's and the tables'.

    of_files : numbers of beams whose reference dose comes from an RTDOSE of their own
    """
    findings = []
    for beam in beams:
        if beam.mu <= 0:
            message = Message.of("beam.no_mu", beam=beam_part(beam.number, beam.name), mu=beam.mu)
            findings.append(Finding("monitor units", Outcome.FAIL, message, beam.mu, "MU"))
        elif beam.calculated_gy is not None:
            situation = situations.get(beam.number, "")
            findings += _beam_doses(
                beam, beam.calculated_gy, situation, tolerances, beam.number in of_files
            )
    return findings


def _beam_doses(
    beam: BeamRow, value: float, situation: str, tolerances: Tolerances, of_file: bool
) -> list[Finding]:
    """Hold a beam's calculated dose, Gy, against all that is known of it."""
    limits, findings = tolerances.limits, []
    known: dict[str, Value] = {"beam": beam_part(beam.number, beam.name), "calculated": value}
    if beam.stated_gy is not None and beam.stated_gy > 0:
        percent = 100 * (value / beam.stated_gy - 1)
        more = {"stated": beam.stated_gy, "percent": percent}
        message = Message("beam.dose_of_plan", {**known, **more})
        findings.append(limits["beam_dose"].finding("beam dose", message, percent))
    if of_file and beam.reference_gy:
        percent = 100 * (value / beam.reference_gy - 1)
        more = {"reference": beam.reference_gy, "percent": percent}
        message = Message("beam.dose_of_file", {**known, **more})
        findings.append(limits["beam_dose"].finding("beam dose", message, percent))
    if beam.by_hand_gy is not None and beam.by_hand_gy > 0:
        percent = 100 * (value / beam.by_hand_gy - 1)
        # Tables know no missing scatter: the number is shown and not judged.
        judged = situation != "low density"
        message = Message.of(
            "beam.dose_by_tables",
            **known,
            tables=beam.by_hand_gy,
            situation=situation_part(situation),
            percent=percent,
            remark=None if judged else Message("part.not_judged"),
        )
        limit = limits["hand_simple" if situation == "simple" else "hand_other"]
        findings.append(
            limit.finding("independent MU check", message, percent)
            if judged
            else Finding("independent MU check", Outcome.PASS, message, percent, "%", judged=False)
        )
    return findings
