"""The rules that compare two doses; each looks at one thing and says what it found."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dosecalc.analysis.displacement import dose_displacement
from dosecalc.analysis.gamma import GammaResult
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message, of_note
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
    message = Message.of(
        "gamma.pass_rate",
        percent=float(shown),
        points=gamma.points,
        criteria=gamma.criteria.message,
    )
    if gamma.outside:
        values = {**message.values, "outside": gamma.outside}
        message = Message("gamma.pass_rate_with_outside", values)
    return tolerances.limits["gamma"].finding(what, message, gamma.pass_percent)


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
                "low-gradient difference",
                Message.of(
                    "flat_regions.difference",
                    percent=percent,
                    points=int(np.count_nonzero(flat)),
                    above=100 * _HIGH,
                ),
                percent,
            )
        )
    deep = deep_voxels(phantom, reference.grid)
    moved = dose_displacement(reference.grid, given, found, deep & (given > LOW * prescribed_gy))
    if moved is None:
        return findings
    length = float(np.linalg.norm(moved))
    x, y, z = (float(part) for part in moved)
    message = Message.of("displacement.found", mm=length, x=x, y=y, z=z)
    findings.append(tolerances.limits["displacement"].finding("displacement", message, length))
    return findings


def point_findings(points: Iterable[PointRow], tolerances: Tolerances) -> list[Finding]:
    """Doses at named points, calculated against reference."""
    findings = []
    for one in points:
        if one.reference_gy is None or one.calculated_gy is None:
            in_reference = one.reference_gy is not None
            code = "dose_grid.outside_calculated" if in_reference else "dose_grid.outside_reference"
            message = Message.of(code, name=one.label)
            findings.append(Finding("point dose", Outcome.REVIEW, message))
            continue
        doses = {"point": one.label, "calculated": one.calculated_gy}
        if one.reference_gy <= 0:
            message = Message("point.no_reference_dose", doses)
            findings.append(Finding("point dose", Outcome.REVIEW, message))
            continue
        percent = 100 * (one.calculated_gy / one.reference_gy - 1)
        message = Message(
            "point.dose", {**doses, "reference": one.reference_gy, "percent": percent}
        )
        findings.append(tolerances.limits["point"].finding("point dose", message, percent))
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
                Message.of("engine.caution", caution=of_note(caution)),
            )
        )
    if calculated.uncertainty is not None:
        high = calculated.gray > 0.5 * calculated.gray.max()
        relative = calculated.uncertainty[high] / calculated.gray[high]
        percent = 100 * float(np.sqrt(np.mean(np.square(relative, dtype=np.float64))))
        message = Message.of("engine.uncertainty", percent=percent)
        findings.append(tolerances.limits["noise"].finding(f"noise{beside}", message, percent))
    if about.get("stopped"):
        findings.append(
            Finding(
                f"noise{beside}",
                Outcome.REVIEW,
                Message.of("engine.ended_early", reason=of_note(str(about["stopped"]))),
            )
        )
    return findings
