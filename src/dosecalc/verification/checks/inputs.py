"""Rules on what the calculation was made of: machine models, HU curve, CT, structures, approval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import numpy as np

from dosecalc.data.hu_curves import HuCurve
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message, Value
from dosecalc.model import CtImage, Machine, Plan, Structure, StructureSet
from dosecalc.patient.coverage import crossing_planes, plane_gaps
from dosecalc.verification.parts import beam_part
from dosecalc.verification.tolerances import Commissioned

__all__ = [
    "approval_findings",
    "doubt_findings",
    "gap_findings",
    "hu_curve_findings",
    "input_findings",
    "machine_findings",
    "overlap_findings",
    "says_scanner",
    "unused_structures",
]

# So many voxels with the very largest CT number are no anatomy.
_CLIPPED_VOXELS = 50
# So many gaps of a structure are named one by one.
_MOST_GAPS = 3
_DENSE_HU = 300.0
# What a HU curve says that belongs to no scanner.
_NO_SCANNER = ("", "generic")
# Support and bolus types of DICOM's RT ROI Interpreted Type.
_EXTRA_KINDS = ("BOLUS", "SUPPORT", "FIXATION")


def approval_findings(plan: Plan) -> list[Finding]:
    """Find a plan that somebody rejected."""
    if plan.approval != "REJECTED":
        return []
    return [Finding("approval", Outcome.REVIEW, Message("approval.rejected"))]


def doubt_findings(doubts: Iterable[tuple[str, Message]]) -> list[Finding]:
    """Find what a person must confirm of the files that were read: pairs of rule and message."""
    return [Finding(rule, Outcome.REVIEW, message) for rule, message in doubts]


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
        named: dict[str, Value] = {"beam": beam_part(beam.number, beam.name), "model": model.name}
        entry = next(
            (c for c in commissioned if (c.linac, c.sha256) == (beam.machine_name, digest)), None
        )
        if entry is None:
            outcome, code = Outcome.FAIL, "machine_model.unknown"
            more = {"digest": digest[:12], "linac": beam.machine_name}
        elif today > entry.valid_until:
            outcome, code = Outcome.FAIL, "machine_model.expired"
            more = {"until": str(entry.valid_until), "today": str(today)}
        else:
            outcome, code = Outcome.PASS, "machine_model.commissioned"
            more = {"until": str(entry.valid_until), "linac": entry.linac}
        findings.append(Finding("machine model", outcome, Message(code, {**named, **more})))
    return findings


def says_scanner(curve: HuCurve) -> bool:
    """Whether a curve says anything of the scanner it was measured on."""
    voltage = "" if curve.kvp is None else f"{curve.kvp:g}"
    return any(
        text.casefold() not in _NO_SCANNER for text in (curve.manufacturer, curve.model, voltage)
    )


def hu_curve_findings(curve: HuCurve | None, ct: CtImage | None) -> list[Finding]:
    """Compare the scanner a curve was measured on with that of the CT."""
    if curve is None or ct is None:
        return []
    voltages = ["" if v is None else f"{v:g}" for v in (curve.kvp, ct.kvp)]
    pairs = (
        ("hu_curve.manufacturer", curve.manufacturer, ct.manufacturer),
        ("hu_curve.model", curve.model, ct.model_name),
        ("hu_curve.kvp", *voltages),
    )
    wrong = tuple(
        Message.of(code, curve=mine, ct=theirs)
        for code, mine, theirs in pairs
        if mine.casefold() not in (*_NO_SCANNER, theirs.casefold())
    )
    if not wrong:
        return []
    message = Message.of("hu_curve.other_scanner", curve=curve.label, differences=wrong)
    return [Finding("HU curve", Outcome.REVIEW, message)]


def gap_findings(structures: StructureSet | None, ct: CtImage | None) -> list[Finding]:
    """Structures with two planes or more missing between those drawn, the widest gaps first."""
    findings = []
    slices = None if ct is None else ct.grid.spacing[2]
    for one in structures or ():
        gaps = sorted(
            plane_gaps(one, plane_spacing=one.slice_spacing or slices),
            key=lambda gap: gap[0] - gap[1],
        )
        code = "contours.gap_of_body" if one.kind == "EXTERNAL" else "contours.gap"
        said = [
            Message.of(code, structure=one.name, below=float(below), above=float(above))
            for below, above in gaps[:_MOST_GAPS]
        ]
        if len(gaps) > _MOST_GAPS:
            more = len(gaps) - _MOST_GAPS
            said.append(Message.of("contours.more_gaps", structure=one.name, gaps=more))
        findings += [Finding("contours", Outcome.REVIEW, message) for message in said]
    return findings


def overlap_findings(structures: StructureSet | None) -> list[Finding]:
    """Structures whose contours overlap in part: what two of them share is taken as outside."""
    findings = []
    for one in structures or ():
        planes = () if one.is_empty else crossing_planes(one)
        if planes:
            message = Message.of(
                "contours.overlap",
                structure=one.name,
                planes=len(planes),
                z=float(planes[0]),
            )
            findings.append(Finding("contours", Outcome.REVIEW, message))
    return findings


def unused_structures(structures: StructureSet | None, used: Iterable[str]) -> tuple[str, ...]:
    """Say which couch, bolus and fixation structures are drawn and were not used."""
    named = set(used)
    return tuple(
        str(_not_used(one))
        for one in structures or ()
        if one.kind in _EXTRA_KINDS and not one.is_empty and one.name not in named
    )


def _not_used(one: Structure) -> Message:
    option = "--bolus" if one.kind == "BOLUS" else "--couch"
    return Message.of(
        "densities.structure_not_used", structure=one.name, kind=one.kind, option=option
    )


def input_findings(
    structures: StructureSet | None,
    ct: CtImage | None,
    *,
    used: Iterable[str],
    recorded_used: bool,
    filled_with: str | None = None,
) -> list[Finding]:
    """Find what the patient's data hold and the calculation left out, or what looks damaged.

    used : names of structures given as body, couch, bolus or override (not a couch or bolus whose
        recorded density was left out: it has that of the CT)
    recorded_used : whether densities recorded by the planning system were applied
    filled_with : material that the body was filled with in place of the CT
    """
    named: set[str] = set(used)
    findings: list[Finding] = []
    if filled_with is not None:
        message = Message.of("densities.body_filled", material=filled_with)
        findings.append(Finding("densities", Outcome.REVIEW, message))
    for one in structures or ():
        if (one.is_empty and not one.left_out) or one.name in named:
            continue
        if one.density is not None and not recorded_used:
            message = Message.of(
                "densities.recorded_not_used", structure=one.name, density=one.density
            )
            findings.append(Finding("densities", Outcome.REVIEW, message, one.density, "g/cm3"))
        elif one.kind in _EXTRA_KINDS:
            findings.append(Finding("densities", Outcome.REVIEW, _not_used(one)))
    if ct is not None:
        top = float(ct.hu.max())
        count = int(np.count_nonzero(ct.hu == top))
        if top > _DENSE_HU and count > _CLIPPED_VOXELS:
            message = Message.of("ct_numbers.clipped", voxels=count, hu=top)
            findings.append(Finding("CT numbers", Outcome.REVIEW, message, top, "HU"))
    return findings
