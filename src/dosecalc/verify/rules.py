"""The rules that compare two doses; each looks at one thing and says what it found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from dosecalc.model import Beam, Dose, Grid, Phantom
from dosecalc.verify.beam_fit import BeamFit, BeamFits
from dosecalc.verify.difference import on_grid
from dosecalc.verify.displacement import dose_displacement
from dosecalc.verify.gamma import GammaResult
from dosecalc.verify.outcome import Finding, Outcome
from dosecalc.verify.tolerances import Tolerances
from dosecalc.verify.verification import PointRow, StructureRow
from dosecalc.verify.where import deep_voxels, patient_voxels

__all__ = [
    "LOW",
    "coverage_findings",
    "distribution_findings",
    "engine_findings",
    "fit_findings",
    "gamma_finding",
    "local_findings",
    "organ_findings",
    "point_findings",
    "target_findings",
]

# Where dose changes less than this share of the prescription per mm, a difference is one of dose.
_FLAT_PER_MM = 0.01
_HIGH = 0.5
LOW = 0.1
# Share of the difference, root mean square, that a fit of single beams may leave.
_UNEXPLAINED = 0.7


def gamma_finding(gamma: GammaResult, tolerances: Tolerances, what: str = "gamma") -> Finding:
    """Gamma's pass rate; points outside of the calculated grid do not pass."""
    # Never rounded up: 100 % says that all points pass.
    shown = np.floor(10 * gamma.pass_percent) / 10
    sentence = f"{shown:.1f} % of {gamma.points} points pass {gamma.criteria.label}"
    if gamma.outside:
        sentence += f"; {gamma.outside} lie outside of the calculated dose"
    return tolerances.limits["gamma"].finding(what, sentence, gamma.pass_percent)


def local_findings(
    gamma: GammaResult, deep: NDArray[np.bool_], tolerances: Tolerances
) -> list[Finding]:
    """Find the largest connected piece of the patient in which gamma is at its cap.

    A pass rate hides an organ: 14 cm3 without any dose are 0.3 % of a thorax.

    Parameters
    ----------
    deep : (nz, ny, nx) bool
        Points that are looked at; at the surface the sizes of voxels alone make a difference.
    """
    capped = deep & (gamma.gamma >= gamma.criteria.max_gamma * (1 - 1e-6))
    pieces, count = label(capped)
    sizes = np.bincount(pieces.ravel(), minlength=2)[1:]
    volume = float(sizes.max()) * gamma.grid.voxel_volume_cm3
    sentence = f"no point below 2 cm has a gamma of {gamma.criteria.max_gamma:g} or more"
    if count:
        middle = np.argwhere(pieces == 1 + int(sizes.argmax())).mean(axis=0)
        x, y, z = gamma.grid.position_of(middle)
        sentence = (
            f"gamma is {gamma.criteria.max_gamma:g} or more in {volume:.2f} cm3 in one piece, "
            f"about x {x:.1f}, y {y:.1f}, z {z:.1f} mm"
        )
    return [tolerances.limits["local"].finding("local difference", sentence, volume)]


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


def organ_findings(
    rows: Iterable[StructureRow], prescribed_gy: float, tolerances: Tolerances
) -> list[Finding]:
    """Mean and D2 of all other structures, % of the prescription; the largest if none is beyond."""
    findings = []
    for row in rows:
        if row.kind in ("target", "external") or row.reference is None or row.calculated is None:
            continue
        for what, one, other in (
            ("mean", row.reference.mean_gy, row.calculated.mean_gy),
            ("D2", row.reference.near_maximum_gy, row.calculated.near_maximum_gy),
        ):
            percent = 100 * (other - one) / prescribed_gy
            sentence = (
                f"{row.structure.name}: {what} {other:.2f} Gy, reference {one:.2f} Gy "
                f"({percent:+.1f} % of the prescription)"
            )
            findings.append(tolerances.limits["organ"].finding("organ dose", sentence, percent))
    beyond = [one for one in findings if one.outcome != Outcome.PASS]
    return beyond or sorted(findings, key=lambda one: -abs(one.value or 0.0))[:1]


def coverage_findings(rows: Sequence[StructureRow], *, compared: bool) -> list[Finding]:
    """Structures that are not all within a dose grid, and targets that are not there.

    A target's missing part fails.

    Parameters
    ----------
    compared : bool
        Whether there is a reference.
    """
    findings = []
    for row in rows:
        if row.kind not in ("target", "organ"):
            continue
        name = row.structure.name
        worst = Outcome.FAIL if row.kind == "target" else Outcome.REVIEW
        for what, dvh in (("calculated", row.calculated), ("reference", row.reference)):
            if dvh is None and (compared or what == "calculated"):
                sentence = f"{name} lies outside of the {what} dose"
                findings.append(Finding("dose grid", worst, sentence))
            elif dvh is not None and not dvh.is_complete:
                share = 100 * dvh.outside_cm3 / dvh.total_cm3
                sentence = f"{share:.2g} % of {name} lies outside of the {what} dose"
                findings.append(Finding("dose grid", worst, sentence, share, "%"))
    if not any(row.kind == "target" for row in rows):
        sentence = "no structure is a target: target doses and coverage were not looked at"
        findings.append(Finding("targets", Outcome.REVIEW, sentence))
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
        for limit, value, text in _asked_of(fit):
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


def _asked_of(fit: BeamFit) -> list[tuple[str, float, str]]:
    """Limit, number and words of all that was fitted to a beam."""
    asked = [("beam_mu", fit.mu_percent, f"with {fit.mu_percent:+.2f} % of its MU")]
    if fit.u_mm is not None and fit.v_mm is not None:
        moved = float(np.hypot(fit.u_mm, fit.v_mm))
        asked.append(("beam_shift", moved, f"moved by u {fit.u_mm:+.2f}, v {fit.v_mm:+.2f} mm"))
    if fit.turn_deg is not None:
        text = f"turned by {fit.turn_deg:+.2f} degrees about its axis"
        asked.append(("beam_turn", fit.turn_deg, text))
    if fit.wider_u_mm is not None and fit.wider_v_mm is not None:
        most = max(fit.wider_u_mm, fit.wider_v_mm, key=abs)
        text = f"wider by u {fit.wider_u_mm:+.2f}, v {fit.wider_v_mm:+.2f} mm"
        asked.append(("beam_width", most, text))
    return asked


def point_findings(points: Iterable[PointRow], tolerances: Tolerances) -> list[Finding]:
    """Doses at named points, calculated against reference."""
    findings = []
    for one in points:
        if one.reference_gy is None or one.calculated_gy is None:
            which = "reference" if one.reference_gy is None else "calculated"
            sentence = f"{one.name} lies outside of the {which} dose"
            findings.append(Finding("point dose", Outcome.REVIEW, sentence))
            continue
        if one.reference_gy <= 0:
            sentence = (
                f"{one.name}: the reference has no dose, calculated {one.calculated_gy:.2f} Gy"
            )
            findings.append(Finding("point dose", Outcome.REVIEW, sentence))
            continue
        percent = 100 * (one.calculated_gy / one.reference_gy - 1)
        sentence = (
            f"{one.name}: {one.calculated_gy:.2f} Gy, reference {one.reference_gy:.2f} Gy "
            f"({percent:+.1f} %)"
        )
        findings.append(tolerances.limits["point"].finding("point dose", sentence, percent))
    return findings


def engine_findings(calculated: Dose, tolerances: Tolerances, name: str = "") -> list[Finding]:
    """Collect what an engine itself says against its dose: cautions, noise, an early end.

    name : of an engine beside the first, for its findings.
    """
    about, findings = calculated.provenance, []
    beside = f", {name}" if name else ""
    for caution in about.get("cautions", ()):
        findings.append(
            Finding(
                f"validity{beside}",
                Outcome.REVIEW,
                f"{caution}: this engine cannot clear the plan",
            )
        )
    if calculated.uncertainty is not None:
        high = calculated.gray > 0.5 * calculated.gray.max()
        relative = calculated.uncertainty[high] / calculated.gray[high]
        percent = 100 * float(np.sqrt(np.mean(np.square(relative, dtype=np.float64))))
        sentence = f"standard uncertainty {percent:.2f} % where dose is above half its maximum"
        findings.append(tolerances.limits["noise"].finding(f"noise{beside}", sentence, percent))
    if about.get("stopped"):
        findings.append(
            Finding(
                f"noise{beside}",
                Outcome.REVIEW,
                f"the calculation was ended early: {about['stopped']}",
            )
        )
    return findings
