"""A verification of the synthetic thorax, with analytic doses: no engine runs.

The "planning system's" dose is the same formula on its own grid, 1 % lower, and has too much
dose in a ball of 9 mm beside the target: the planted difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from dosecalc.analysis.difference import dose_difference
from dosecalc.analysis.dvh import structure_dvh
from dosecalc.analysis.gamma import gamma_index
from dosecalc.analysis.metrics import plan_indices
from dosecalc.beam import beam_axes
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message, of_note
from dosecalc.model import (
    Beam,
    ControlPoint,
    Dose,
    Grid,
    PatientPosition,
    Phantom,
    Plan,
    Prescription,
)
from dosecalc.patient.thorax import TARGET_CENTRE, thorax_ct, thorax_structures
from dosecalc.verification.checks import distribution as rules
from dosecalc.verification.checks import plan as rules_plan
from dosecalc.verification.evaluate import NEVER_CHECKED
from dosecalc.verification.goals import Goal
from dosecalc.verification.inputs import dose_at
from dosecalc.verification.parts import beam_part, isocentre_part
from dosecalc.verification.tolerances import load_tolerances
from dosecalc.verification.verification import (
    BeamRow,
    GoalRow,
    Largest,
    PointRow,
    StructureRow,
    Verification,
)

__all__ = ["EVERY_OUTCOME", "PLANTED", "hostile", "verification", "without_reference"]

PRESCRIBED = 60.0
FRACTIONS = 30
PLANTED = (-52.0, 8.0, 12.0)
"""Centre of the planted difference (x, y, z), mm: a voxel centre of the reference grid."""

_EDGES = np.linspace(-200.0, 200.0, 41)
_RADIUS = 30.0
_KINDS = {"PTV": "target", "GTV": "target", "EXTERNAL": "external", "ORGAN": "organ"}

EVERY_OUTCOME = (
    Finding(
        "UID chain",
        Outcome.REFUSED,
        of_note("the plan refers to another structure set"),
        source="-",
    ),
    Finding(
        "monitor units",
        Outcome.FAIL,
        Message.of("beam.no_mu", beam=beam_part(9, "none"), mu=0.0),
        0.0,
        "MU",
    ),
)


_D95, _V20 = (
    Goal((name,), quantity, limit, at_least).message(name)
    for name, quantity, limit, at_least in (
        ("PTV", "D95%", 57.0, True),
        ("LUNG_R", "V20Gy", 30.0, False),
    )
)


def _point(
    gantry: float, collimator: float, couch: float, share: float, **more: Any
) -> ControlPoint:
    jaws = {"jaws_x": (-40.0, 40.0), "jaws_y": (-35.0, 35.0)} | more
    return ControlPoint(share, gantry, collimator, couch, TARGET_CENTRE, **jaws)


def _leaves(radius: float, shift: float = 0.0) -> NDArray[np.float64]:
    """Leaves around a disc; closed pairs meet at the shift."""
    middles = (_EDGES[1:] + _EDGES[:-1]) / 2
    half = np.sqrt(np.maximum(radius**2 - middles**2, 0.0))
    return np.array([shift - half, shift + half])


def _beam(
    number: int, name: str, points: Sequence[ControlPoint], technique: str, mu: float
) -> Beam:
    has_leaves = points[0].leaves is not None
    return Beam(
        number, name, 6.0, "STANDARD", "LINAC-2", 1000.0, mu, tuple(points),
        _EDGES if has_leaves else None, "x" if has_leaves else None, technique,
        prescribed_dose_gy=0.5,
    )  # fmt: skip


def _plan() -> Plan:
    fixed = [(1, "anterior", 0.0, 0.0, 0.0), (2, "oblique", 250.0, 30.0, 0.0)]
    beams = [
        _beam(
            number, name,
            [_point(gantry, collimator, couch, share, leaves=_leaves(_RADIUS)) for share in (0, 1)],
            "STATIC", 70.0 + number,
        )
        for number, name, gantry, collimator, couch in fixed
    ]  # fmt: skip
    arc = [
        _point(
            (181.0 + 7.0 * n) % 360, 15.0, 0.0, n / 20, leaves=_leaves(_RADIUS, 4 * np.sin(n / 3)),
            gantry_direction="CW" if n < 20 else "NONE",
        )
        for n in range(21)
    ]  # fmt: skip
    beams.append(_beam(3, "arc", arc, "VMAT", 110.0))
    beams.append(
        _beam(4, "jaws only", [_point(310.0, 0.0, 20.0, share) for share in (0, 1)], "STATIC", 55.0)
    )
    return Plan(
        tuple(beams), PatientPosition.HFS, FRACTIONS,
        (Prescription("PTV", PRESCRIBED, structure_number=8),), "LUNG 60 Gy", "1.2.826.0.1.99.1",
        patient_id="THORAX-1", approval="UNAPPROVED",
    )  # fmt: skip


def _gray(plan: Plan, grid: Grid) -> NDArray[np.float64]:
    """Dose of round fields: build-up, attenuation, inverse square, blurred edge, little outside."""
    z, y, x = np.meshgrid(*(grid.centres(a) for a in "zyx"), indexing="ij", sparse=True)
    total = np.zeros(grid.shape)
    for beam in plan.beams:
        points = beam.control_points[:: 5 if len(beam.control_points) > 2 else 2]
        for point in points:
            axes = beam_axes(plan.position, point.gantry_deg, point.collimator_deg, point.couch_deg)
            cx, cy, cz = point.isocentre
            u, v, w = (a[0] * (x - cx) + a[1] * (y - cy) + a[2] * (z - cz) for a in axes)
            widening = (1000.0 + w) / 1000.0
            off = np.hypot(u, v) / widening - _RADIUS
            depth = np.maximum(w + 100.0, 0.0)
            along = (1 - 0.6 * np.exp(-depth / 6.0)) * np.exp(-0.0035 * depth) / widening**2
            total += beam.mu / len(points) * along * (0.5 * erfc(off / 5.0) + 0.01)
    # The body's outline, blurred, so that grids of different voxels agree at the skin.
    body = np.abs(x / 178.0) ** 2.6 + np.abs(y / 118.0) ** 2.6
    return np.asarray(total * (0.02 + 0.98 * 0.5 * erfc((body - 0.97) / 0.12)))


@cache
def verification(spacing: float = 4.0) -> Verification:
    """Return the verification; `spacing` (mm) is that of the reference's grid."""
    ct, structures, plan = thorax_ct(noise_hu=12.0), thorax_structures(), _plan()
    calculated_grid = Grid.covering((-184.0, -124.0, -90.0), (184.0, 124.0, 90.0), (5.0, 5.0, 5.0))
    before = [int((p + n) / spacing) for p, n in zip(PLANTED, (186, 126, 92), strict=True)]
    after = [int((n - p) / spacing) for p, n in zip(PLANTED, (186, 126, 92), strict=True)]
    nx, ny, nz = (1 + a + b for a, b in zip(before, after, strict=True))
    x0, y0, z0 = (p - n * spacing for p, n in zip(PLANTED, before, strict=True))
    reference_grid = Grid((nz, ny, nx), (spacing,) * 3, (x0, y0, z0))
    density = np.maximum(1 + ct.hu / 1000, 0).astype(np.float32)
    sampled = _sampled(density, ct.grid, calculated_grid)
    at_target = dose_at(Dose(calculated_grid, _gray(plan, calculated_grid), "medium"),
                        TARGET_CENTRE)  # fmt: skip
    scale = 1.01 * PRESCRIBED / at_target
    calculated = Dose(
        calculated_grid, scale * _gray(plan, calculated_grid), "medium",
        provenance=_provenance(plan),
    )  # fmt: skip
    given = scale / 1.01 * _gray(plan, reference_grid)
    z, y, x = np.meshgrid(*(reference_grid.centres(a) for a in "zyx"), indexing="ij", sparse=True)
    square = (x - PLANTED[0]) ** 2 + (y - PLANTED[1]) ** 2 + (z - PLANTED[2]) ** 2
    given += 6.5 * np.exp(-square / 81.0)
    reference = Dose(reference_grid, given, "water")
    phantom = Phantom(calculated_grid, sampled, np.zeros(sampled.shape, np.uint8), ("water",))
    return _judged(plan, phantom, ct, structures, calculated, reference)


def _sampled(values: NDArray[np.float32], source: Grid, grid: Grid) -> NDArray[np.float32]:
    nearest = [
        np.rint((grid.centres(a) - source.centres(a)[0]) / source.spacing["xyz".index(a)])
        .astype(int).clip(0, source.shape["zyx".index(a)] - 1)
        for a in "zyx"
    ]  # fmt: skip
    return values[np.ix_(*nearest)]


def _provenance(plan: Plan) -> dict[str, Any]:
    model = {"name": "generic-6mv", "machine_sha256": "5e" * 32}
    return {
        "program": "dosecalc 0.0",
        "engine": "analytic",
        "machines": {str(beam.number): model for beam in plan.beams},
        "notes": ["beam 3 (arc): 21 control points"],
    }


def _record(plan: Plan) -> dict[str, Any]:
    return {
        "schema": "dosecalc-run/1",
        "seed": 7,
        "calculated_at": "2026-11-27T01:19:05+01:00",
        "patient": {"id": "THORAX-1", "name": "Phantom^Thorax"},
        "inputs": [
            {"name": "CT.1", "kind": "CT", "sha256": "0" * 64, "uid": "1.1", "used": True},
            {"name": "PLAN.dcm", "kind": "RTPLAN", "sha256": "ab12" * 16, "uid": plan.uid,
             "used": True},
        ],
        "choices": {
            "reference": {"name": "case/TPS.dcm", "sha256": "cd34" * 16, "maker": "Maker TPS"},
        },
        "outputs_sha256": {"RTDOSE.dcm": "ef56" * 16},
    }  # fmt: skip


def _judged(plan, phantom, ct, structures, calculated, reference) -> Verification:
    tolerances = load_tolerances()
    gamma = gamma_index(reference, calculated, replace(tolerances.gamma, normalisation=PRESCRIBED))
    worst = dose_difference(reference, calculated, normalisation=PRESCRIBED)
    rows = tuple(
        StructureRow(
            one, _KINDS.get(one.kind, "other"),
            structure_dvh(one, reference), structure_dvh(one, calculated), "",
            *(plan_indices(one, d, PRESCRIBED) if one.kind == "PTV" else None
              for d in (reference, calculated)),
        )
        for one in structures
        if one.name != "SPINAL_CORD"
    )  # fmt: skip
    cord = structures["SPINAL_CORD"]
    rows += (StructureRow(cord, "organ", None, structure_dvh(cord, calculated),
                          "SPINAL_CORD lies outside of the dose that is read"),)  # fmt: skip
    points = (PointRow(isocentre_part(1), TARGET_CENTRE, dose_at(reference, TARGET_CENTRE),
                       dose_at(calculated, TARGET_CENTRE)),)  # fmt: skip
    beams = tuple(
        BeamRow(
            beam.number, beam.name, "LINAC-2 as generic-6mv", "6 MV", beam.technique, beam.mu,
            "181 to 321" if beam.technique == "VMAT" else f"{beam.control_points[0].gantry_deg:g}",
            f"{beam.control_points[0].collimator_deg:g}", f"{beam.control_points[0].couch_deg:g}",
            TARGET_CENTRE, 0.5, None, 0.5 + 0.004 * beam.number, 0.49,
        )
        for beam in plan.beams
    )  # fmt: skip
    findings = [
        *rules_plan.prescription_findings(plan, rows, points, tolerances),
        *rules_plan.beam_findings(beams, dict.fromkeys(range(9), "simple"), tolerances),
        rules.gamma_finding(gamma, tolerances),
        *rules.distribution_findings(reference, calculated, phantom, PRESCRIBED, tolerances),
        *rules.target_findings(rows, tolerances),
        *rules.point_findings(points, tolerances),
        Finding(
            "goal",
            Outcome.REVIEW,
            Message.of("goal.result", goal=_V20, value=29.1, unit="%", of=None),
            29.1,
            "%",
            28.0,
            30.0,
            "local 3",
        ),
    ]
    return Verification(
        "Thorax, LUNG 60 Gy", plan, phantom, ct, structures, calculated, reference, gamma,
        PRESCRIBED, "60 Gy to PTV, in 30 fractions", tuple(findings),
        Largest(worst.worst_position, worst.worst_reference, worst.worst_evaluated,
                worst.worst_percent, ("LUNG_R", "PTV")),
        beams, points, rows,
        (GoalRow("PTV", _D95, "Gy", 57.0, 58.2, 57.9, Outcome.PASS, "local 3"),
         GoalRow("LUNG_R", _V20, "%", 30.0, None, 29.1, Outcome.REVIEW, "local 3")),
        not_checked=(
            *NEVER_CHECKED,
            "monitor units of beam 3 (arc) by tables: an arc",
            "the dose in the air around the patient: 12 of 3456 points above 10 % lie there",
        ),
        shared_inputs=("the CT and its frame of reference",
                       "the contours, among them the body's outline"),
        caveats=("HU curve generic-120kvp",),
        record=_record(plan),
    )  # fmt: skip


def without_reference() -> Verification:
    """Return a verification without reference, CT, structures and goals."""
    full = verification()
    found = Finding("reference", Outcome.REVIEW, Message("reference.none"))
    return replace(
        full, ct=None, structures=None, reference=None, gamma=None, largest=None, rows=(), goals=(),
        findings=(found,), points=(), others={"pencil-beam": full.calculated},
    )  # fmt: skip


def hostile(text: str) -> Verification:
    """Return a verification in which everything that comes from files holds a text."""
    full = verification()
    plan = replace(
        full.plan, label=text, patient_id=text, approval=text, uid=text,
        beams=tuple(replace(b, name=text, machine_name=text) for b in full.plan.beams),
    )  # fmt: skip
    rows = tuple(
        replace(row, structure=replace(row.structure, name=text), remark=text) for row in full.rows
    )
    return replace(
        full, label=text, plan=plan, prescription=text, rows=rows,
        beams=tuple(replace(b, name=text, machine=text, remark=text) for b in full.beams),
        points=tuple(replace(p, label=text) for p in full.points),
        goals=tuple(
            replace(g, structure=text, goal=of_note(text), source=text) for g in full.goals
        ),
        findings=(
            *full.findings,
            Finding(text, Outcome.REVIEW, of_note(text), 1.0, text, source=text),
        ),
        others={text: full.calculated}, not_checked=(text,), shared_inputs=(text,), caveats=(text,),
        record={
            text: [text], "calculated_at": text, "patient": {"id": text, "name": text},
            "inputs": [{"name": text, "kind": "RTPLAN", "sha256": text, "uid": text}],
            "choices": {"reference": {"name": text, "sha256": text, "maker": text}},
            "outputs_sha256": {"RTDOSE.dcm": text},
        },
    )  # fmt: skip
