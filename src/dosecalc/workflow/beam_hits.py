"""Whether the beams of a prepared case meet the patient, and the refusal where they do not."""

from __future__ import annotations

from collections.abc import Sequence

from dosecalc.errors import InputError
from dosecalc.messages.message import Message
from dosecalc.model import Dose, Structure
from dosecalc.verification.checks.beam_geometry import (
    BeamHit,
    beam_hits,
    hit_findings,
    low_dose,
    missing_beams,
    patient_mask,
)
from dosecalc.verification.rows import kind_of
from dosecalc.workflow.prepare import Prepared
from dosecalc.workflow.requests import DoseRequest

__all__ = ["ACCEPT", "hits_of", "refuse_low", "refuse_missing"]

ACCEPT = "--accept-missing-beams"
_KINDS_APART = ("SUPPORT", "FIXATION")


def hits_of(prepared: Prepared, options: DoseRequest) -> tuple[BeamHit, ...]:
    """Tell of every beam what it meets."""
    case, phantom = prepared.case, prepared.phantom
    drawn = () if case is None or case.structures is None else tuple(case.structures)
    drawn = tuple(one for one in drawn if not one.is_empty)
    apart = [s for s in drawn if s.name in options.phantom.couch or s.kind in _KINDS_APART]
    return beam_hits(
        prepared.plan,
        prepared.machines,
        phantom,
        patient_mask(phantom, _body(drawn, options), apart),
        targets=[one for one in drawn if kind_of(one, prepared.plan) == "target"],
        image=None if case is None or case.ct is None else case.ct.grid,
    )


def _body(drawn: Sequence[Structure], options: DoseRequest) -> Structure | None:
    if options.phantom.body == "none":
        return None
    named = [s for s in drawn if s.name == options.phantom.body]
    found = named or [s for s in drawn if s.kind == "EXTERNAL"]
    return found[0] if len(found) == 1 else None


def refuse_missing(
    prepared: Prepared, options: DoseRequest, hits: Sequence[BeamHit]
) -> tuple[str, ...]:
    """Refuse beams that do not meet the patient; return what else is to be said of beams.

    Raises
    ------
    InputError
        A beam misses, and the options do not accept it.
    """
    missing = missing_beams(prepared.plan, hits)
    if missing and not options.accept_missing_beams:
        raise InputError(
            f"{options.path}: {'; '.join(map(str, missing))}. Check isocentre, couch and gantry "
            f"angles and the frame of reference in the plan, or say {ACCEPT} to calculate all the "
            "same"
        )
    return tuple(one.sentence for one in hit_findings(hits, {}))


def refuse_low(
    prepared: Prepared, options: DoseRequest, hits: Sequence[BeamHit], dose: Dose
) -> tuple[str, ...]:
    """Refuse a dose of one fraction that is far below what the MU would give.

    Raises
    ------
    InputError
        The maximum is below a tenth of that, and the options do not accept it.
    """
    if dose.unit != "Gy" or not hits:
        return ()
    most = max(hits, key=lambda hit: hit.expected_gy)
    plan = Message.of("part.plan_with", beam=most.label)
    said = low_dose(plan, float(dose.gray.max()), most.expected_gy)
    if said is None:
        return ()
    if not options.accept_missing_beams:
        raise InputError(
            f"{options.path}: {said} a fraction. Check isocentre, beam angles, collimators and "
            f"MU, or say {ACCEPT} to keep the dose all the same"
        )
    return (str(said),)
