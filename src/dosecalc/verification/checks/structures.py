"""Rules on structures: doses of targets and organs, and what lies outside of a dose."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from dosecalc.messages.findings import NO_TISSUE, Finding, Outcome
from dosecalc.messages.message import Message, Value
from dosecalc.verification.tolerances import Tolerances
from dosecalc.verification.verification import StructureRow

__all__ = ["coverage_findings", "organ_findings", "target_findings"]

_OUTSIDE = {
    "calculated": "dose_grid.outside_calculated",
    "reference": "dose_grid.outside_reference",
}
_PART_OUTSIDE = {
    "calculated": "dose_grid.part_outside_calculated",
    "reference": "dose_grid.part_outside_reference",
}


def target_findings(rows: Iterable[StructureRow], tolerances: Tolerances) -> list[Finding]:
    """Mean, D98, D50 and D2 of the targets, calculated against reference."""
    findings = []
    for row in rows:
        if row.kind != "target" or row.reference is None or row.calculated is None:
            continue
        for limit, what, quantity in (
            ("target_mean", "mean", "mean_gy"),
            ("target_d98", "D98", "near_minimum_gy"),
            ("target_d50", "D50", "median_gy"),
            ("target_d2", "D2", "near_maximum_gy"),
        ):
            one, other = getattr(row.reference, quantity), nearest_dose(row, quantity)
            percent = 100 * (other / one - 1) if one > 0 else float("nan")
            message = Message("structure.dose", {**_doses(row, what, quantity), "percent": percent})
            findings.append(tolerances.limits[limit].finding(f"target {what}", message, percent))
    return findings


def nearest_dose(row: StructureRow, quantity: str) -> float:
    """Return the calculated dose of a structure: of dose to water and to medium, the nearer.

    A reference between the two is right in all that can be said, and is returned itself.
    """
    first = float(getattr(row.calculated, quantity))
    if row.otherwise is None:
        return first
    low, high = sorted((first, float(getattr(row.otherwise, quantity))))
    return min(max(float(getattr(row.reference, quantity)), low), high)


def _doses(row: StructureRow, what: str, quantity: str) -> dict[str, Value]:
    """Values of every message on a structure's doses."""
    return {
        "structure": row.structure.name,
        "quantity": Message("part.mean_dose") if what == "mean" else what,
        "calculated": nearest_dose(row, quantity),
        "reference": float(getattr(row.reference, quantity)),
    }


def organ_findings(
    rows: Iterable[StructureRow],
    prescribed_gy: float,
    tolerances: Tolerances,
    beside: Collection[str] = (),
) -> list[Finding]:
    """Mean and D2 of all other structures, in two measures.

    "organ dose" is in percent of the prescription, "organ own dose" in percent of the structure's
    own dose, for differences that are large enough in Gy to matter. Any structure may be or touch
    a serial organ, so D2 is judged of all. Of each measure the largest is given where none is
    beyond its limit. `beside`: names of couch and bolus, of which nothing is judged.
    """
    by_prescription: list[Finding] = []
    by_own: list[Finding] = []
    judged = [row for row in rows if row.reference is not None and row.calculated is not None]
    body = _body_of(judged)
    for row in judged:
        if row.kind == "target" or row is body or row.structure.name in beside:
            continue
        for what, quantity in (("mean", "mean_gy"), ("D2", "near_maximum_gy")):
            one, other = getattr(row.reference, quantity), nearest_dose(row, quantity)
            percent = 100 * (other - one) / prescribed_gy
            doses = _doses(row, what, quantity)
            message = Message("structure.dose_of_prescription", {**doses, "percent": percent})
            by_prescription.append(
                tolerances.limits["organ"].finding("organ dose", message, percent)
            )
            by_own.append(_own_dose(doses, one, other, prescribed_gy, tolerances))
    return [*_worst(by_prescription), *_worst(by_own)]


def _body_of(rows: Iterable[StructureRow]) -> StructureRow | None:
    """Return the largest structure of type EXTERNAL: a smaller one has the wrong type."""
    bodies = [row for row in rows if row.kind == "external"]
    volumes = [0.0 if row.calculated is None else row.calculated.total_cm3 for row in bodies]
    return bodies[volumes.index(max(volumes))] if bodies else None


def _own_dose(
    doses: Mapping[str, Value],
    one: float,
    other: float,
    prescribed_gy: float,
    tolerances: Tolerances,
) -> Finding:
    """Judge a dose by itself; one that should be nothing by its size.

    A difference matters beyond "organ_gray" or "organ_least", whichever is less.
    """
    limit, gray = tolerances.limits["organ_own"], tolerances.limits["organ_gray"]
    least = tolerances.limits["organ_least"]
    difference = other - one
    share = 100 * difference / prescribed_gy
    # Where either is next to nothing, a percentage of it is noise.
    if min(one, other) <= 0.01 * abs(difference):
        values = {**doses, "gray": difference, "percent": share}
        message = Message("structure.own_dose_in_gray", values)
        found = gray.finding("organ own dose", message, difference)
        return (
            least.finding("organ own dose", message, share)
            if found.outcome == Outcome.PASS
            else found
        )
    percent = 100 * difference / one
    matters = max(gray.judge(abs(difference)), least.judge(abs(share))) != Outcome.PASS
    remark = None if matters else Message("part.few_gray")
    more = {"percent": percent, "gray": difference, "remark": remark}
    message = Message("structure.own_dose", {**doses, **more})
    return limit.finding(
        "organ own dose", message, percent, judged=abs(percent) if matters else 0.0
    )


def _worst(findings: Sequence[Finding]) -> list[Finding]:
    beyond = [one for one in findings if one.outcome != Outcome.PASS]
    # What was held is zero where a difference is too small in Gy: others tell more.
    return (
        beyond
        or sorted(findings, key=lambda one: (-abs(one.held or 0.0), -abs(one.value or 0.0)))[:1]
    )


def coverage_findings(
    rows: Sequence[StructureRow], *, compared: bool, beside: Collection[str] = ()
) -> list[Finding]:
    """Structures that are not all within a dose grid, and targets that are not there.

    Every structure counts that is drawn in the patient, whatever its type says: many systems
    write none. A target's missing part fails.

    Parameters
    ----------
    compared : bool
        Whether there is a reference.
    beside : names of structures that are given as body, couch or bolus
        Of them a part lies outside of any dose.
    """
    findings = []
    for row in rows:
        name = row.structure.name
        if row.kind == "external" or row.structure.kind in NO_TISSUE or name in beside:
            continue
        worst = Outcome.FAIL if row.kind == "target" else Outcome.REVIEW
        for what, dvh in (("calculated", row.calculated), ("reference", row.reference)):
            if dvh is None and (compared or what == "calculated"):
                message = Message.of(_OUTSIDE[what], name=name)
                findings.append(Finding("dose grid", worst, message))
            elif dvh is not None and not dvh.is_complete:
                share = 100 * dvh.outside_cm3 / dvh.total_cm3
                message = Message.of(_PART_OUTSIDE[what], percent=share, name=name)
                findings.append(Finding("dose grid", worst, message, share, "%"))
    if not any(row.kind == "target" for row in rows):
        findings.append(Finding("targets", Outcome.REVIEW, Message("targets.none")))
    return findings
