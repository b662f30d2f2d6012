"""What a verification is made of: plan, patient and doses, before anything is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from dosecalc.data.hu_curves import HuCurve
from dosecalc.messages.findings import Finding
from dosecalc.model import Beam, CtImage, Dose, Machine, Phantom, Plan, StructureSet
from dosecalc.model.checks import known

__all__ = ["Evidence", "beam_point", "dose_at"]

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Evidence:
    """What a verification is made of.

    Parameters
    ----------
    label : str
    plan, phantom, machines
    ct, structures : or None
    calculated : Dose
        Of the whole plan, Gy.
    beam_doses : mapping of beam number to Dose
        Calculated doses of one fraction, where beams were calculated one by one.
    beam_parts : mapping of beam number to pairs of Beam and Dose
        Short arcs that a beam which turns is made of, with doses of one fraction.
    reference : Dose or None
        Of the whole plan, Gy.
    reference_beams : mapping of beam number to Gy
        The planning system's doses of one fraction at each beam's point, from RTDOSE files of
        single beams.
    others : mapping of engine name to Dose
    curve : HuCurve or None
        With which CT numbers became densities.
    today : date or None
        For models that may be used up to a day.
    used_structures : names of structures that shaped the phantom
    beside : names of structures that are body, couch or bolus, which no dose has to hold
    apart : those of them that are couch or bolus
    recorded_used : bool
    filled_with : str or None
        Material that the body was filled with in place of the CT.
    shared_inputs, caveats : tuples of str
    reference_findings : tuple of Finding
        What was found when case and reference were read: that nothing ties the reference to
        the plan, that files differ in whose they are, or that a beam does not meet the patient.
    """

    label: str
    plan: Plan
    phantom: Phantom
    machines: Mapping[int, Machine]
    ct: CtImage | None
    structures: StructureSet | None
    calculated: Dose
    beam_doses: Mapping[int, Dose]
    reference: Dose | None
    reference_beams: Mapping[int, float] = field(default_factory=dict)
    others: Mapping[str, Dose] = field(default_factory=dict)
    curve: HuCurve | None = None
    today: date | None = None
    used_structures: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    recorded_used: bool = False
    filled_with: str | None = None
    shared_inputs: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    reference_findings: tuple[Finding, ...] = ()
    beam_parts: Mapping[int, tuple[tuple[Beam, Dose], ...]] = field(default_factory=dict)


def beam_point(beam: Beam) -> Point:
    """Dose specification point of a beam, else its isocentre."""
    return beam.control_points[0].isocentre if beam.dose_point is None else beam.dose_point


def dose_at(dose: Dose, point: Point) -> float | None:
    """Dose at a point, trilinear; None outside of the grid."""
    return known(dose.at(point))
