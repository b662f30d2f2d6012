"""The single rules of a verification; each looks at one thing and says what it found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.hu_curves import HuCurve
from dosecalc.model import Beam, CtImage, Dose, Grid, Machine, Phantom, Plan, StructureSet
from dosecalc.verify.beam_fit import BeamFits
from dosecalc.verify.difference import on_grid
from dosecalc.verify.displacement import dose_displacement
from dosecalc.verify.gamma import GammaResult
from dosecalc.verify.outcome import Finding, Outcome
from dosecalc.verify.tolerances import Commissioned, Tolerances
from dosecalc.verify.verification import BeamRow, PointRow, StructureRow
from dosecalc.verify.where import deep_voxels, patient_voxels

__all__ = [
    "LOW",
    "beam_findings",
    "coverage_findings",
    "distribution_findings",
    "engine_findings",
    "fit_findings",
    "gamma_finding",
    "hu_curve_findings",
    "input_findings",
    "machine_findings",
    "point_findings",
    "prescription_findings",
    "target_findings",
]

# Where dose changes less than this share of the prescription per mm, a difference is one of dose.
_FLAT_PER_MM = 0.01
_HIGH = 0.5
LOW = 0.1
# Share of the difference, root mean square, that a fit of single beams may leave.
_UNEXPLAINED = 0.7
# So many voxels with the very largest CT number are no anatomy.
_CLIPPED_VOXELS = 50
_DENSE_HU = 300.0
# What a HU curve says that belongs to no scanner.
_NO_SCANNER = ("", "generic")
# Support and bolus types of DICOM's RT ROI Interpreted Type.
_EXTRA_KINDS = ("BOLUS", "SUPPORT", "FIXATION")


def gamma_finding(gamma: GammaResult, tolerances: Tolerances, what: str = "gamma") -> Finding:
    """Gamma's pass rate; points outside of the calculated grid do not pass."""
    # Never rounded up: 100 % says that all points pass.
    shown = np.floor(10 * gamma.pass_percent) / 10
    sentence = f"{shown:.1f} % of {gamma.points} points pass {gamma.criteria.label}"
    if gamma.outside:
        sentence += f"; {gamma.outside} lie outside of the calculated dose"
    return tolerances.limits["gamma"].finding(what, sentence, gamma.pass_percent)


def distribution_findings(
    reference: Dose,
    calculated: Dose,
    phantom: Phantom,
    prescribed_gy: float,
    tolerances: Tolerances,
) -> list[Finding]:
    """Find the difference where the dose is flat, and the displacement."""
    found = on_grid(calculated, reference.grid)
    given = reference.gray.astype(np.float64)
    findings = []
    flat = np.isfinite(found) & (given > _HIGH * prescribed_gy)
    flat &= patient_voxels(phantom, reference.grid)
    flat &= _steepness(given, reference.grid) < _FLAT_PER_MM * prescribed_gy
    if np.count_nonzero(flat) >= 20:
        percent = 100 * float((found - given)[flat].mean()) / prescribed_gy
        findings.append(
            tolerances.limits["low_gradient"].finding(
                "dose in flat regions",
                f"calculated less reference is {percent:+.2f} % of the prescription, mean of "
                f"{np.count_nonzero(flat)} points above {100 * _HIGH:.0f} % where dose is flat",
                percent,
            )
        )
    deep = deep_voxels(phantom, reference.grid)
    moved = dose_displacement(reference.grid, given, found, deep & (given > LOW * prescribed_gy))
    if moved is None:
        return findings
    length = float(np.linalg.norm(moved))
    sentence = (
        f"calculated lies {length:.2f} mm beside the reference "
        f"(x {moved[0]:+.2f}, y {moved[1]:+.2f}, z {moved[2]:+.2f})"
    )
    findings.append(tolerances.limits["displacement"].finding("displacement", sentence, length))
    return findings


def _steepness(gray: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Size of the gradient, per mm."""
    square = np.zeros_like(gray)
    for axis, step in enumerate(grid.spacing[::-1]):
        if gray.shape[axis] > 1:
            square += np.gradient(gray, step, axis=axis) ** 2
    return np.asarray(np.sqrt(square))


def target_findings(rows: Iterable[StructureRow], tolerances: Tolerances) -> list[Finding]:
    """Mean dose and D98 of the targets, calculated against reference."""
    findings = []
    for row in rows:
        if row.kind != "target" or row.reference is None or row.calculated is None:
            continue
        name, a, b = row.structure.name, row.reference, row.calculated
        for limit, what, one, other in (
            ("target_mean", "mean", a.mean_gy, b.mean_gy),
            ("target_d98", "D98", a.near_minimum_gy, b.near_minimum_gy),
        ):
            percent = 100 * (other / one - 1) if one > 0 else float("nan")
            sentence = f"{name}: {what} {other:.2f} Gy, reference {one:.2f} Gy ({percent:+.1f} %)"
            findings.append(tolerances.limits[limit].finding(f"target {what}", sentence, percent))
    return findings


def coverage_findings(rows: Iterable[StructureRow]) -> list[Finding]:
    """Structures that are not all within a dose grid; a target's missing part fails."""
    findings = []
    for row in rows:
        name = row.structure.name
        worst = Outcome.FAIL if row.kind == "target" else Outcome.REVIEW
        for what, dvh in (("calculated", row.calculated), ("reference", row.reference)):
            if dvh is not None and not dvh.is_complete:
                share = 100 * dvh.outside_cm3 / dvh.total_cm3
                if row.kind in ("target", "organ"):
                    sentence = f"{share:.1f} % of {name} lies outside of the {what} dose"
                    findings.append(Finding("dose grid", worst, sentence, share, "%"))
        if row.kind == "target" and row.calculated is None:
            findings.append(
                Finding("dose grid", Outcome.FAIL, f"{name} lies outside of the calculated dose")
            )
    return findings


def prescription_findings(
    plan: Plan, rows: Sequence[StructureRow], points: Sequence[PointRow], tolerances: Tolerances
) -> list[Finding]:
    """Compare the calculated dose with the prescription: MU, fractions and units close."""
    limit, findings = tolerances.limits["prescription"], []
    targets = [p for p in plan.prescriptions if p.kind != "ORGAN_AT_RISK" and p.dose_gy > 0]
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


def beam_findings(
    beams: Iterable[BeamRow], situations: Mapping[int, str], tolerances: Tolerances
) -> list[Finding]:
    """Beams without MU; doses of single beams against the plan's and against the hand check."""
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


def fit_findings(
    fitted: BeamFits, beams: Mapping[int, Beam], tolerances: Tolerances
) -> list[Finding]:
    """Single beams whose MU, place or angle would explain the difference of the doses.

    Where the errors are not small, or explain less than half of the difference, the numbers of
    single beams mean nothing: then there is one finding, which says so.
    """
    findings, worst = [], ("", 0.0)
    for fit in fitted.beams:
        name = f"beam {fit.beam} ({beams[fit.beam].name})"
        moved = float(np.hypot(fit.u_mm, fit.v_mm))
        for limit, value, text in (
            ("beam_mu", fit.mu_percent, f"with {fit.mu_percent:+.2f} % of its MU"),
            ("beam_shift", moved, f"moved by u {fit.u_mm:+.2f}, v {fit.v_mm:+.2f} mm"),
            ("beam_turn", fit.turn_deg, f"turned by {fit.turn_deg:+.2f} degrees about its axis"),
        ):
            held = tolerances.limits[limit]
            sentence = f"{name}: calculated would fit the reference best {text}"
            findings.append(held.finding("single beam", sentence, value))
            times = abs(value) / (held.fail or held.review or 1.0)
            worst = max(worst, (f"{name} {text}", times), key=lambda one: one[1])
    beyond = [one for one in findings if one.outcome != Outcome.PASS]
    if not beyond or (fitted.are_small and fitted.unexplained < _UNEXPLAINED):
        return findings
    sentence = (
        "no small errors of single beams explain the difference (a fit leaves "
        f"{100 * fitted.unexplained:.0f} % of it, with {worst[0]}): look at geometry and beam doses"
    )
    return [Finding("single beam", max(one.outcome for one in beyond), sentence)]


def point_findings(points: Iterable[PointRow], tolerances: Tolerances) -> list[Finding]:
    """Doses at named points, calculated against reference."""
    findings = []
    for one in points:
        if one.reference_gy is None or one.calculated_gy is None or one.reference_gy <= 0:
            continue
        percent = 100 * (one.calculated_gy / one.reference_gy - 1)
        sentence = (
            f"{one.name}: {one.calculated_gy:.2f} Gy, reference {one.reference_gy:.2f} Gy "
            f"({percent:+.1f} %)"
        )
        findings.append(tolerances.limits["point"].finding("point dose", sentence, percent))
    return findings


def engine_findings(calculated: Dose, tolerances: Tolerances) -> list[Finding]:
    """Collect what the engine itself says against its dose: cautions, noise, an early end."""
    about, findings = calculated.provenance, []
    for caution in about.get("cautions", ()):
        findings.append(
            Finding("validity", Outcome.REVIEW, f"{caution}: this engine cannot clear the plan")
        )
    if calculated.uncertainty is not None:
        high = calculated.gray > 0.5 * calculated.gray.max()
        relative = calculated.uncertainty[high] / calculated.gray[high]
        percent = 100 * float(np.sqrt(np.mean(np.square(relative, dtype=np.float64))))
        sentence = f"standard uncertainty {percent:.2f} % where dose is above half its maximum"
        findings.append(tolerances.limits["noise"].finding("noise", sentence, percent))
    if about.get("stopped"):
        findings.append(
            Finding("noise", Outcome.REVIEW, f"the calculation was ended early: {about['stopped']}")
        )
    return findings


def machine_findings(
    plan: Plan,
    machines: Mapping[int, Machine],
    commissioned: Sequence[Commissioned],
    today: date | None,
) -> list[Finding]:
    """Beams whose model was not commissioned for their accelerator, or is past its day.

    Nothing is found where no commissioned models are listed or the day is not known.
    """
    if not commissioned or today is None:
        return []
    findings = []
    for beam in plan.beams:
        model = machines[beam.number]
        digest = str(model.provenance.get("machine_sha256", ""))
        named = f"beam {beam.number} ({beam.name}): model {model.name!r}"
        entry = next(
            (c for c in commissioned if (c.linac, c.sha256) == (beam.machine_name, digest)), None
        )
        if entry is None:
            sentence = f"{named} ({digest[:12]}) is not commissioned for {beam.machine_name!r}"
            findings.append(Finding("machine model", Outcome.FAIL, sentence))
        elif today > entry.valid_until:
            sentence = f"{named} was valid until {entry.valid_until}, today is {today}"
            findings.append(Finding("machine model", Outcome.FAIL, sentence))
        else:
            sentence = f"{named} is commissioned for {entry.linac!r} until {entry.valid_until}"
            findings.append(Finding("machine model", Outcome.PASS, sentence))
    return findings


def hu_curve_findings(curve: HuCurve | None, ct: CtImage | None) -> list[Finding]:
    """Compare the scanner a curve was measured on with that of the CT."""
    if curve is None or ct is None:
        return []
    voltages = ["" if v is None else f"{v:g}" for v in (curve.kvp, ct.kvp)]
    pairs = (
        ("manufacturer", curve.manufacturer, ct.manufacturer),
        ("model", curve.model, ct.model_name),
        ("kVp", *voltages),
    )
    wrong = [
        f"{what} {mine!r}, the CT's is {theirs!r}"
        for what, mine, theirs in pairs
        if mine.casefold() not in (*_NO_SCANNER, theirs.casefold())
    ]
    if not wrong:
        return []
    sentence = f"the HU curve {curve.label} is for {'; '.join(wrong)}"
    return [Finding("HU curve", Outcome.REVIEW, sentence)]


def input_findings(
    structures: StructureSet | None,
    ct: CtImage | None,
    *,
    used: Iterable[str],
    recorded_used: bool,
    filled_with: str | None = None,
) -> list[Finding]:
    """Find what the patient's data hold and the calculation left out, or what looks damaged.

    used : names of structures given as body, couch, bolus or override
    recorded_used : whether densities recorded by the planning system were applied
    filled_with : material that the body was filled with in place of the CT
    """
    named: set[str] = set(used)
    findings: list[Finding] = []
    if filled_with is not None:
        sentence = f"the body is {filled_with} throughout: the CT was not used"
        findings.append(Finding("densities", Outcome.REVIEW, sentence))
    for one in structures or ():
        if one.is_empty or one.name in named:
            continue
        if one.density is not None and not recorded_used:
            sentence = (
                f"{one.name}: the planning system recorded {one.density:g} g/cm3, which was not "
                "used; say --recorded-densities or --override"
            )
            findings.append(Finding("densities", Outcome.REVIEW, sentence, one.density, "g/cm3"))
        elif one.kind in _EXTRA_KINDS:
            option = "--bolus" if one.kind == "BOLUS" else "--couch"
            sentence = f"{one.name} is drawn as {one.kind} and was not used; name it with {option}"
            findings.append(Finding("densities", Outcome.REVIEW, sentence))
    if ct is not None:
        top = float(ct.hu.max())
        count = int(np.count_nonzero(ct.hu == top))
        if top > _DENSE_HU and count > _CLIPPED_VOXELS:
            sentence = f"{count} voxels of the CT share its largest number, {top:g} HU: clipped?"
            findings.append(Finding("CT numbers", Outcome.REVIEW, sentence, top, "HU"))
    return findings
