"""The rules that compare two doses; each looks at one thing and says what it found."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dosecalc.analysis.displacement import dose_displacement
from dosecalc.analysis.gamma import GammaResult
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.model import Dose, Phantom
from dosecalc.verification.checks.local_differences import FEWEST, local_findings, steepness
from dosecalc.verification.checks.structures import (
    coverage_findings,
    organ_findings,
    target_findings,
)
from dosecalc.verification.tolerances import Tolerances
from dosecalc.verification.verification import PointRow
from dosecalc.verification.where import deep_voxels, patient_voxels

__all__ = [
    "LOW",
    "coverage_findings",
    "distribution_findings",
    "engine_findings",
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
    apart: NDArray[np.bool_] | None = None,
) -> list[Finding]:
    """Find the difference where the dose is flat, and the displacement.

    apart : couch and bolus on the phantom's grid, which are not looked at
    """
    found = calculated.on(reference.grid)
    given = reference.gray.astype(np.float64)
    findings = []
    flat = np.isfinite(found) & (given > _HIGH * prescribed_gy)
    flat &= patient_voxels(phantom, reference.grid, apart)
    flat &= steepness(given, reference.grid) < _FLAT_PER_MM * prescribed_gy
    if np.count_nonzero(flat) >= FEWEST:
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
