"""What a user reads before anything is calculated: the case in a few plain rows."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from dosecalc.io.dicom.folder import Case
from dosecalc.model import Beam, Plan

__all__ = ["BannerRow", "banner"]

_DOSE_CLOSES = 0.01
# No point of a target has a dose so far from the prescription.
_NO_POINT_OF_A_TARGET = 0.15


class BannerRow(NamedTuple):
    """One fact about the case: what it is about, and the sentence."""

    topic: str
    sentence: str


def banner(case: Case) -> tuple[BannerRow, ...]:
    """Return the case as rows: patient, position, beams, MU closure, UID tree, files, notes."""
    rows = [BannerRow("patient", _patient(case))]
    if case.ct is not None:
        rows.append(BannerRow("position", f"CT: {case.ct.position.value}"))
    if case.plan is not None:
        rows += _plan_rows(case.plan)
    rows += _tree(case)
    rows += _file_rows(case)
    rows += [BannerRow("note", note) for note in _all_notes(case)]
    return tuple(rows)


def _patient(case: Case) -> str:
    names = dict.fromkeys((case.subject.patient_id, case.subject.patient_name))
    return " ".join(name for name in names if name) or "nameless"


def _plan_rows(plan: Plan) -> list[BannerRow]:
    beams = plan.beams
    machines = sorted({f"{b.machine_name or 'unnamed'} (SAD {b.sad_mm:g} mm)" for b in beams})
    techniques = Counter(b.technique for b in beams)
    approval = f", {plan.approval.lower()}" if plan.approval else ""
    return [
        BannerRow("position", f"plan: {plan.position.value}"),
        BannerRow("plan", f"{plan.label or 'no label'}{approval}, {len(beams)} beams"),
        BannerRow("machine", ", ".join(machines)),
        BannerRow("energy", ", ".join(sorted({_energy(b) for b in beams}))),
        BannerRow("technique", ", ".join(f"{n} {name}" for name, n in techniques.items())),
        *(BannerRow("beam", _beam(b)) for b in beams),
        BannerRow("MU", _mu(plan)),
        *(BannerRow("prescription", s) for s in _prescriptions(plan)),
        BannerRow("closure", _closure(plan)),
    ]


def _energy(beam: Beam) -> str:
    return f"{beam.energy_mv:g} MV{' FFF' if beam.fluence_mode == 'FFF' else ''}"


def _beam(beam: Beam) -> str:
    gantry = _span([cp.gantry_deg for cp in beam.control_points])
    senses = {cp.gantry_direction for cp in beam.control_points} - {"NONE"}
    if senses:  # also where start and stop are the same angle: a full turn
        first, last = beam.control_points[0].gantry_deg, beam.control_points[-1].gantry_deg
        gantry = f"{first:g} to {last:g} {'/'.join(sorted(senses))}"
    collimator = _span([cp.collimator_deg for cp in beam.control_points])
    couch = _span([cp.couch_deg for cp in beam.control_points])
    dose = "" if beam.prescribed_dose_gy is None else f", {beam.prescribed_dose_gy:.4g} Gy"
    return (
        f"{beam.number} {beam.name}: {_energy(beam)} {beam.technique}, gantry {gantry}, "
        f"collimator {collimator}, couch {couch}, {len(beam.control_points)} control points, "
        f"{beam.mu:.2f} MU{dose} per fraction"
    )


def _span(angles: list[float]) -> str:
    """Return where an axis stands, or the range it covers, to a thousandth of a degree."""
    rounded = [round(angle, 3) % 360 for angle in angles]
    if len(set(rounded)) == 1:
        return f"{rounded[0]:g}"
    return f"{rounded[0]:g} to {rounded[-1]:g}"


def _mu(plan: Plan) -> str:
    per_fraction = sum(b.mu for b in plan.beams)
    if plan.fractions is None:
        return f"{per_fraction:.2f} MU per fraction; the plan does not say how many fractions"
    total = per_fraction * plan.fractions
    return f"{per_fraction:.2f} MU x {plan.fractions} fractions = {total:.2f} MU"


def _prescriptions(plan: Plan) -> list[str]:
    if not plan.prescriptions:
        return ["none in the plan"]
    return [f"{p.dose_gy:g} Gy, {p.kind} {p.description}".rstrip() for p in plan.prescriptions]


def _closure(plan: Plan) -> str:
    """Say whether the beam doses add up to what is prescribed."""
    doses = [b.prescribed_dose_gy for b in plan.beams]
    stated = [d for d in doses if d is not None]
    if plan.fractions is None or not stated or len(stated) < len(doses):
        return "cannot be checked: the plan lacks beam doses or the number of fractions"
    fraction = sum(stated)
    total = fraction * plan.fractions
    sums = f"beam doses {fraction:.4g} Gy x {plan.fractions} fractions = {total:.4g} Gy"
    targets = [p for p in plan.prescriptions if p.kind == "TARGET" and p.dose_gy > 0]
    if not targets:
        return f"{sums}; no target prescription to compare with"
    nearest = min(targets, key=lambda one: abs(one.dose_gy - total))
    sums += f", prescribed {nearest.dose_gy:g} Gy"
    share = total / nearest.dose_gy - 1
    if abs(share) <= _DOSE_CLOSES:
        return f"{sums}: closes"
    at_one_point = all(
        b.dose_point is not None and b.dose_point == nearest.point for b in plan.beams
    )
    if at_one_point or abs(share) > _NO_POINT_OF_A_TARGET:
        return f"{sums}: DOES NOT CLOSE ({share:+.1%})"
    return f"{sums} ({share:+.1%}): no error by itself, as both do not name the same point"


def _tree(case: Case) -> list[BannerRow]:
    rows = []
    if case.plan is not None:
        rows.append(f"plan {case.plan.uid}")
    if case.structures is not None:
        names = len(case.structures.structures)
        rows.append(
            f"structure set {case.structures.label}, {names} structures {case.structures.uid}"
        )
    if case.ct is not None:
        nz, ny, nx = case.ct.grid.shape
        sx, sy, sz = case.ct.grid.spacing
        size = f"{nx} x {ny} x {nz} voxels of {sx:.4g} x {sy:.4g} x {sz:.4g} mm"
        scanner = f"{case.ct.manufacturer} {case.ct.model_name}".strip() or "unknown scanner"
        rows.append(f"CT series, {size}, {scanner} {case.ct.series_uid}")
    tree = [BannerRow("UIDs", f"{'  ' * depth}{row}") for depth, row in enumerate(rows)]
    for one in case.doses:
        beam = one.references.beam_number
        what = one.dose.summation + ("" if beam is None else f" {beam}")
        highest = float(one.dose.gray.max())
        tree.append(BannerRow("UIDs", f"  dose {what}, maximum {highest:.4g} Gy {one.uid}"))
    return tree


def _file_rows(case: Case) -> list[BannerRow]:
    used = [f for f in case.files if f.used]
    rows = []
    for kind in ("RTPLAN", "RTSTRUCT", "CT", "RTDOSE"):
        names = [f.name for f in used if f.kind == kind]
        if names:
            listed = (
                names[0] if len(names) == 1 else f"{len(names)} files, {names[0]} ... {names[-1]}"
            )
            rows.append(BannerRow("files", f"{kind}: {listed}"))
    return rows


def _all_notes(case: Case) -> list[str]:
    notes = list(case.notes)
    for what, part in (("CT", case.ct), ("structures", case.structures), ("plan", case.plan)):
        notes += [f"{what}: {note}" for note in (part.notes if part is not None else ())]
    if case.structures is not None:
        notes += [f"{s.name}: {note}" for s in case.structures for note in s.notes]
    for one in case.doses:
        notes += [f"dose {one.dose.summation}: {note}" for note in one.notes]
    return notes
