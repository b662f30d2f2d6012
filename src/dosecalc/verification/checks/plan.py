"""Rules on the plan's own numbers: prescription, MU, fractions, doses of single beams."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from dosecalc.messages.findings import Finding, Outcome
from dosecalc.model import Plan
from dosecalc.verification.tolerances import Tolerances
from dosecalc.verification.verification import BeamRow, PointRow, StructureRow

__all__ = ["beam_findings", "closure_findings", "prescription_findings"]

Point = tuple[float, float, float]

_SAME_POINT_MM = 1.0


def prescription_findings(
    plan: Plan, rows: Sequence[StructureRow], points: Sequence[PointRow], tolerances: Tolerances
) -> list[Finding]:
    """Compare the calculated dose with the prescription: MU, fractions and units close."""
    limit, findings = tolerances.limits["prescription"], []
    targets = plan.target_prescriptions
    if not targets:
        sentence = "the plan prescribes no dose: nothing says what its MU should give"
        return [Finding("prescription", Outcome.REVIEW, sentence)]
    for one in targets:
        value, where = None, one.description
        row = next((r for r in rows if r.structure.number == one.structure_number), None)
        if row is not None and row.calculated is not None:
            value, where = row.calculated.median_gy, f"median of {row.structure.name}"
        elif one.point is not None or not rows:
            point = next((p for p in points if p.point == one.point), points[0] if points else None)
            if point is not None and point.calculated_gy is not None:
                value, where = point.calculated_gy, point.name
        if value is None:
            sentence = f"{one.dose_gy:g} Gy to {one.description!r}: no calculated dose of that"
            findings.append(Finding("prescription", Outcome.REVIEW, sentence))
            continue
        percent = 100 * (value / one.dose_gy - 1)
        sentence = (
            f"{sum(b.mu for b in plan.beams):.1f} MU x {plan.fractions} fractions give "
            f"{value:.2f} Gy ({where}), {one.dose_gy:g} Gy prescribed ({percent:+.1f} %)"
        )
        findings.append(limit.finding("prescription", sentence, percent))
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
    sentence = (
        f"the plan states {sum(stated):.3f} Gy a fraction x {plan.fractions} fractions = "
        f"{total:.2f} Gy for its beams, {one.dose_gy:g} Gy prescribed ({percent:+.1f} %)"
    )
    if not all(_is_at(beam.dose_point, one.point) for beam in plan.beams):
        sentence += "; not judged"
        return [Finding("closure", Outcome.PASS, sentence, percent, "%", judged=False)]
    return [tolerances.limits["closure"].finding("closure", sentence, percent)]


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
        name = f"beam {beam.number} ({beam.name})"
        if beam.mu <= 0:
            sentence = f"{name} has {beam.mu:g} MU: it gives nothing"
            findings.append(Finding("monitor units", Outcome.FAIL, sentence, beam.mu, "MU"))
            continue
        value = beam.calculated_gy
        if value is None:
            continue
        if beam.stated_gy is not None and beam.stated_gy > 0:
            percent = 100 * (value / beam.stated_gy - 1)
            sentence = (
                f"{name}: {value:.3f} Gy a fraction at its point, the plan states "
                f"{beam.stated_gy:.3f} Gy ({percent:+.1f} %)"
            )
            findings.append(tolerances.limits["beam_dose"].finding("beam dose", sentence, percent))
        if beam.number in of_files and beam.reference_gy:
            percent = 100 * (value / beam.reference_gy - 1)
            sentence = (
                f"{name}: {value:.3f} Gy a fraction at its point, its RTDOSE has "
                f"{beam.reference_gy:.3f} Gy ({percent:+.1f} %)"
            )
            findings.append(tolerances.limits["beam_dose"].finding("beam dose", sentence, percent))
        if beam.by_hand_gy is not None and beam.by_hand_gy > 0:
            situation = situations.get(beam.number, "")
            percent = 100 * (value / beam.by_hand_gy - 1)
            sentence = (
                f"{name}: {beam.by_hand_gy:.3f} Gy by tables ({situation}), {value:.3f} Gy "
                f"calculated ({percent:+.1f} %)"
            )
            limit = tolerances.limits["hand_simple" if situation == "simple" else "hand_other"]
            found = limit.finding("hand check", sentence, percent)
            if situation == "low density":
                # Tables know no missing scatter: the number is shown and not judged.
                sentence += "; not judged"
                found = Finding("hand check", Outcome.PASS, sentence, percent, "%", judged=False)
            findings.append(found)
    return findings
