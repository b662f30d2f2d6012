"""Rules that hold the planning system's dose against the planning system's own plan.

The two come from one program and must agree; where they do not, the dose is not that of this plan,
of this number of fractions, or of this unit, however well or badly the calculation agrees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message
from dosecalc.model import Dose, Plan, Prescription
from dosecalc.verification.inputs import dose_at
from dosecalc.verification.parts import beam_part, median_part
from dosecalc.verification.tolerances import Tolerances
from dosecalc.verification.verification import BeamRow, PointRow, StructureRow

__all__ = ["reference_findings"]

_RULE = "reference against plan"
# A ratio this near to the number of fractions, or to one over it, is no accident.
_SAME = 0.1


def reference_findings(
    plan: Plan,
    reference: Dose,
    rows: Sequence[StructureRow],
    points: Sequence[PointRow],
    beams: Sequence[BeamRow],
    of_files: Mapping[int, float],
    tolerances: Tolerances,
) -> list[Finding]:
    """Compare the reference with the plan's prescription, fractions and beam doses.

    Parameters
    ----------
    of_files : mapping of beam number to Gy
        Doses of one fraction from RTDOSE files of single beams, at each beam's point.
    """
    return [
        *_against_prescriptions(plan, rows, points, tolerances),
        *_against_stated_sum(plan, reference, tolerances),
        *_against_stated_beams(beams, of_files, tolerances),
    ]


def _against_prescriptions(
    plan: Plan,
    rows: Sequence[StructureRow],
    points: Sequence[PointRow],
    tolerances: Tolerances,
) -> list[Finding]:
    findings = []
    for one in plan.prescriptions:
        if one.kind == "ORGAN_AT_RISK" or one.dose_gy <= 0:
            continue
        value, where, same = _reference_for(one, rows, points)
        if value is None:
            continue
        percent = 100 * (value / one.dose_gy - 1)
        remark = _as_fractions(value / one.dose_gy, plan.fractions)
        # Fields that share an isocentre at their edge, as in breast, have little dose there.
        judged = same or percent >= 0 or remark is not None
        if not judged:
            remark = Message("part.not_judged_isocentre")
        message = Message.of(
            "reference.prescription",
            reference=value,
            where=where,
            prescribed=one.dose_gy,
            percent=percent,
            remark=remark,
        )
        findings.append(
            tolerances.limits["prescription"].finding(_RULE, message, percent)
            if judged
            else Finding(_RULE, Outcome.PASS, message, percent, "%", judged=False)
        )
    return findings


def _reference_for(
    one: Prescription, rows: Sequence[StructureRow], points: Sequence[PointRow]
) -> tuple[float | None, Message | str, bool]:
    """Return the reference dose of what is prescribed to, or else of the isocentre.

    The last value is whether it is that of what is prescribed to.
    """
    row = next((r for r in rows if r.structure.number == one.structure_number), None)
    if row is not None:
        if row.reference is None:
            return None, "", False
        return (
            row.reference.median_gy,
            median_part(row.structure.name),
            True,
        )
    stated = next((p for p in points if p.point == one.point), None)
    point = points[0] if stated is None and points else stated
    return (None, "", False) if point is None else (point.reference_gy, point.label, bool(stated))


def _as_fractions(ratio: float, fractions: int | None) -> Message | None:
    """Say where a ratio is that of one fraction to all, or of all to one."""
    if fractions is None or fractions < 2 or ratio <= 0:
        return None
    if abs(ratio * fractions - 1) < _SAME:
        return Message("part.one_fraction")
    if abs(ratio / fractions - 1) < _SAME:
        return Message("part.all_fractions")
    return None


def _against_stated_sum(plan: Plan, reference: Dose, tolerances: Tolerances) -> list[Finding]:
    """Compare the reference with the sum of the beam doses that the plan states at one point."""
    points = {beam.dose_point for beam in plan.beams}
    stated = [b.prescribed_dose_gy for b in plan.beams if b.prescribed_dose_gy is not None]
    if len(points) != 1 or len(stated) < len(plan.beams) or plan.fractions is None:
        return []
    (point,) = points
    value = None if point is None else dose_at(reference, point)
    total = plan.fractions * sum(stated)
    if value is None or total <= 0:
        return []
    percent = 100 * (value / total - 1)
    message = Message.of(
        "reference.beam_sum",
        reference=value,
        beams=sum(stated),
        fractions=plan.fractions,
        total=total,
        percent=percent,
        remark=_as_fractions(value / total, plan.fractions),
    )
    return [tolerances.limits["reference_beams"].finding(_RULE, message, percent)]


def _against_stated_beams(
    beams: Sequence[BeamRow], of_files: Mapping[int, float], tolerances: Tolerances
) -> list[Finding]:
    """RTDOSE of single beams against what the plan states; the largest if none is beyond."""
    findings = []
    for beam in beams:
        value = of_files.get(beam.number)
        if value is None or beam.stated_gy is None or beam.stated_gy <= 0:
            continue
        percent = 100 * (value / beam.stated_gy - 1)
        message = Message.of(
            "reference.beam",
            beam=beam_part(beam.number, beam.name),
            reference=value,
            stated=beam.stated_gy,
            percent=percent,
        )
        findings.append(tolerances.limits["reference_beams"].finding(_RULE, message, percent))
    beyond = [one for one in findings if one.outcome != Outcome.PASS]
    return beyond or sorted(findings, key=lambda one: -abs(one.value or 0.0))[:1]
