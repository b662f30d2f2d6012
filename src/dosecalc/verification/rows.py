"""The tables of a verification: structures, points and beams with their doses in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dosecalc.analysis.dvh import Dvh, structure_dvh
from dosecalc.analysis.metrics import PlanIndices, plan_indices
from dosecalc.errors import DosecalcError, GeometryError
from dosecalc.messages.message import Message
from dosecalc.model import Beam, Dose, Plan, Structure
from dosecalc.verification.convention import in_the_other, is_doubtful
from dosecalc.verification.inputs import Evidence, beam_point, dose_at
from dosecalc.verification.mu_check.check import HandDose, hand_dose
from dosecalc.verification.parts import isocentre_part
from dosecalc.verification.verification import BeamRow, PointRow, StructureRow

__all__ = ["beam_rows", "by_hand", "kind_of", "point_rows", "structure_rows"]

Point = tuple[float, float, float]

# Doses this far apart may be dose to water and dose to medium.
_APART = 0.02
_NOT_SAID = (
    "the reference does not say whether it is dose to water or to medium, which matters here"
)


def structure_rows(evidence: Evidence) -> tuple[StructureRow, ...]:
    """Histograms of every structure that is drawn."""
    spacing = None if evidence.ct is None else evidence.ct.grid.spacing[2]
    rows = tuple(
        _row(structure, evidence, spacing)
        for structure in evidence.structures or ()
        if not structure.is_empty
    )
    apart = [row for row in rows if _is_apart(row)]
    if not apart or not is_doubtful(evidence.calculated, evidence.reference):
        return rows
    other = in_the_other(evidence.calculated, evidence.phantom)
    return tuple(
        replace(
            row,
            otherwise=structure_dvh(
                row.structure, other, plane_spacing=row.structure.slice_spacing or spacing
            ),
            remark=row.remark or _NOT_SAID,
        )
        if any(row is one for one in apart)
        else row
        for row in rows
    )


def _is_apart(row: StructureRow) -> bool:
    """Whether doses of a structure differ by so much that it may matter what they are to."""
    if row.reference is None or row.calculated is None:
        return False
    pairs = (
        (getattr(row.reference, name), getattr(row.calculated, name))
        for name in ("mean_gy", "near_minimum_gy", "median_gy", "near_maximum_gy")
    )
    return any(abs(other - one) > _APART * max(one, other) for one, other in pairs)


def _row(structure: Structure, evidence: Evidence, spacing: float | None) -> StructureRow:
    spacing = structure.slice_spacing or spacing
    found: list[Dvh | None] = []
    remark = ""
    for dose in (evidence.reference, evidence.calculated):
        try:
            found.append(
                None if dose is None else structure_dvh(structure, dose, plane_spacing=spacing)
            )
        except GeometryError as error:
            found.append(None)
            remark = str(error)
    return StructureRow(
        structure=structure,
        kind=kind_of(structure, evidence.plan),
        reference=found[0],
        calculated=found[1],
        remark=remark,
        reference_fit=_fit(structure, evidence.reference, evidence, spacing),
        calculated_fit=_fit(structure, evidence.calculated, evidence, spacing),
    )


def _fit(
    structure: Structure, dose: Dose | None, evidence: Evidence, spacing: float | None
) -> PlanIndices | None:
    """Conformity of a target with a prescription, all of which lies in the dose grid."""
    wanted = [
        p.dose_gy
        for p in evidence.plan.target_prescriptions
        if p.structure_number == structure.number
    ]
    if dose is None or not wanted:
        return None
    bodies = [s for s in evidence.structures or () if s.kind == "EXTERNAL" and not s.is_empty]
    try:
        return plan_indices(
            structure,
            dose,
            max(wanted),
            body=bodies[0] if len(bodies) == 1 else None,
            plane_spacing=spacing,
        )
    except DosecalcError:
        # What is missing of the target is a finding of its own.
        return None


def kind_of(structure: Structure, plan: Plan) -> str:
    """Say what a structure is to the plan; one without a type goes by its name."""
    prescribed = {p.structure_number for p in plan.prescriptions if p.kind != "ORGAN_AT_RISK"}
    if structure.is_target or structure.number in prescribed:
        return "target"
    if structure.kind == "EXTERNAL":
        return "external"
    return "organ" if structure.kind in ("ORGAN", "AVOIDANCE") else "other"


def point_rows(evidence: Evidence) -> tuple[PointRow, ...]:
    """Doses at isocentres and prescription points."""
    named: dict[Point, Message | str] = {}
    for beam in evidence.plan.beams:
        named.setdefault(beam.control_points[0].isocentre, isocentre_part(beam.number))
    for one in evidence.plan.prescriptions:
        if one.point is not None:
            named.setdefault(one.point, one.description or Message("part.prescription_point"))
    return tuple(
        PointRow(
            label,
            point,
            None if evidence.reference is None else dose_at(evidence.reference, point),
            dose_at(evidence.calculated, point),
        )
        for point, label in named.items()
    )


def by_hand(evidence: Evidence) -> tuple[tuple[HandDose, ...], tuple[str, ...]]:
    """Hand check of the beams that have a dose by tables, and why others have none."""
    points = {beam.number: beam_point(beam) for beam in evidence.plan.beams}
    try:
        found = hand_dose(evidence.plan, evidence.machines, evidence.phantom, points)
    except DosecalcError as error:
        return (), (f"monitor units by tables: {error}",)
    return tuple(h for h in found if h.gray is not None), tuple(
        f"monitor units of beam {h.beam} ({h.name}) by tables: {h.remark}"
        for h in found
        if h.gray is None
    )


def beam_rows(evidence: Evidence, hand: Sequence[HandDose]) -> tuple[BeamRow, ...]:
    """Beams with their doses at their own points."""
    tables = {h.beam: h.gray for h in hand}
    return tuple(
        BeamRow(
            number=beam.number,
            name=beam.name,
            machine=f"{beam.machine_name} as {evidence.machines[beam.number].name}",
            quality=f"{beam.energy_mv:g} {'FFF' if beam.fluence_mode == 'FFF' else 'MV'}",
            technique=beam.technique,
            mu=beam.mu,
            gantry=_angles(beam, "gantry_deg"),
            collimator=_angles(beam, "collimator_deg"),
            couch=_angles(beam, "couch_deg"),
            point=beam_point(beam),
            stated_gy=_stated(beam),
            reference_gy=evidence.reference_beams.get(beam.number, _stated(beam)),
            calculated_gy=dose_at(evidence.beam_doses[beam.number], beam_point(beam))
            if beam.number in evidence.beam_doses
            else None,
            by_hand_gy=tables.get(beam.number),
            remark=_whence(beam, evidence),
        )
        for beam in evidence.plan.beams
    )


def _stated(beam: Beam) -> float | None:
    """Dose that the plan states for a beam at a point that it names."""
    return None if beam.dose_point is None else beam.prescribed_dose_gy


def _whence(beam: Beam, evidence: Evidence) -> str:
    """Say where the planning system's dose of a beam was read."""
    if beam.number in evidence.reference_beams:
        return "reference: the beam's own RTDOSE"
    return "" if _stated(beam) is None else "reference: as the plan states it"


def _angles(beam: Beam, name: str) -> str:
    first, last = (getattr(beam.control_points[n], name) for n in (0, -1))
    return f"{first:g}" if first == last else f"{first:g} to {last:g}"
