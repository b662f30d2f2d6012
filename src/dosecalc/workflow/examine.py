"""From a request to a judged verification; nothing is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dosecalc.beam.parts import short_arcs
from dosecalc.errors import InputError, OutsideValidityError
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message
from dosecalc.model import Beam, Dose, Plan, StructureSet
from dosecalc.verification.checks.beam_geometry import hit_findings
from dosecalc.verification.checks.inputs import doubt_findings
from dosecalc.verification.evaluate import judge
from dosecalc.verification.goals import Template, load_template
from dosecalc.verification.inputs import Evidence
from dosecalc.verification.parts import beam_part
from dosecalc.verification.tolerances import Tolerances, load_tolerances
from dosecalc.verification.verification import Verification
from dosecalc.workflow.beam_hits import hits_of
from dosecalc.workflow.engines import calculate_dose, engine_settings
from dosecalc.workflow.prepare import Prepared, prepare
from dosecalc.workflow.progress import Stages
from dosecalc.workflow.reference import find_reference
from dosecalc.workflow.request_parts import EngineRequest
from dosecalc.workflow.requests import DoseRequest, VerificationRequest

__all__ = ["examine", "used_structures"]

# Arcs have the direction of their middle for so much of a turn.
_SHORT_ARC_DEG = 24.0
# Calculates single beams where the engine asked for calculates the sum only.
_OF_BEAMS = "collapsed-cone"


def examine(
    options: VerificationRequest, stages: Stages
) -> tuple[Prepared, Verification, dict[str, Any]]:
    """Read, calculate and judge.

    Returns
    -------
    prepared, verification, choices
        `choices` is what the user decided, for the record.

    Raises
    ------
    DosecalcError
        The input is refused.
    """
    for one in options.calcs:
        # Settings that cannot be are refused before the case is read.
        engine_settings(one.engine)
    tolerances = load_tolerances(options.tolerances)
    template = None if options.template is None else load_template(options.template)
    calc = options.calcs[0]
    prepared = prepare(calc, stages)
    case = prepared.case
    if case is None:
        raise InputError(f"{calc.path} holds no patient")
    _refuse_left_out(template, case.structures)
    reference = find_reference(
        case,
        prepared.plan,
        options.reference,
        same_patient=calc.folder.same_patient,
        reading=options.reading,
    )
    calculated, beam_doses = _calculated(prepared, calc, stages)
    beams_by = calc.engine.name
    if not beam_doses:
        beams_by = _OF_BEAMS
        beam_doses = _calculated(prepared, _as(calc, _OF_BEAMS), stages)[1]
    evidence = Evidence(
        label=prepared.label,
        plan=prepared.plan,
        phantom=prepared.phantom,
        machines=prepared.machines,
        ct=case.ct,
        structures=case.structures,
        calculated=calculated,
        beam_doses=beam_doses,
        beam_parts=_parts(prepared, calc, stages),
        reference=reference.dose,
        reference_beams=reference.beams,
        others={o.engine.name: _calculated(prepared, o, stages)[0] for o in options.calcs[1:]},
        curve=prepared.curve,
        today=options.on,
        used_structures=used_structures(calc, case.structures),
        beside=_beside(calc),
        apart=(*calc.phantom.couch, *calc.phantom.bolus),
        recorded_used=calc.phantom.recorded_densities,
        filled_with=calc.phantom.inside,
        shared_inputs=(*_shared_inputs(calc), *reference.shared),
        reference_findings=(
            *doubt_findings(case.doubts),
            *hit_findings(hits_of(prepared, calc), beam_doses),
            *_of_choices(prepared.plan, case.plan, calc),
            *reference.findings,
        ),
        caveats=(*reference.notes, *_of_another(beams_by, calc), *prepared.notes),
    )
    with stages.stage("asking every rule"):
        verification = judge(evidence, tolerances, template)
    chosen = {
        "tolerances": _named(tolerances),
        "template": None if template is None else _named(template),
        "reference": reference.chosen,
        "engines": [one.engine.name for one in options.calcs],
    }
    return prepared, verification, dict(prepared.choices) | chosen


def _refuse_left_out(template: Template | None, structures: StructureSet | None) -> None:
    """Refuse goals of structures that were drawn and cannot be used, before anything is done."""
    if template is None or structures is None:
        return
    drawn = {s.name for s in structures if not s.is_empty}
    left_out = {s.name for s in structures if s.left_out}
    for goal in template.goals:
        broken = [name for name in goal.structures if name in left_out]
        if broken and not drawn & set(goal.structures):
            raise InputError(f"a goal of the template: {structures.refusal(broken[0])}")


def _named(file: Tolerances | Template) -> dict[str, str]:
    return {"name": file.name, "version": file.version, "sha256": file.sha256}


def _calculated(
    prepared: Prepared, options: DoseRequest, stages: Stages
) -> tuple[Dose, dict[int, Dose]]:
    """Dose of the whole plan, and of each beam, one fraction."""
    plan = prepared.plan
    with stages.stage(f"calculating the dose, {options.engine.name}") as advance:
        if options.engine.name == "monte-carlo":
            dose = calculate_dose(prepared, options.engine, advance)
            # The uncertainty asked for is that of the sum; single beams take another engine.
            return _of_course(dose), {}
        doses = {}
        for n, beam in enumerate(plan.beams):
            alone = replace(prepared, plan=replace(plan, beams=(beam,)))

            def tell(what: str, done: int, of: int, n: int = n) -> None:
                advance(what, n * of + done, len(plan.beams) * of)

            doses[beam.number] = calculate_dose(alone, options.engine, tell)
    return _of_course(Dose.sum_of(doses.values(), names=list(doses))), doses


def _of_course(dose: Dose) -> Dose:
    """Return the dose of all fractions; of one where nothing says how many there are."""
    return dose.total if dose.fractions is not None else dose.scaled(1, summation="PLAN")


def _parts(
    prepared: Prepared, options: DoseRequest, stages: Stages
) -> dict[int, tuple[tuple[Beam, Dose], ...]]:
    """Short arcs of the beams that turn, with their doses by the pencil beam.

    They say how the dose changes with place and angle, for which the fast engine is good enough;
    where it refuses, nothing is fitted, which the verification says.
    """
    arcs = {
        beam.number: short_arcs(beam, _SHORT_ARC_DEG) for beam in prepared.plan.beams if beam.is_arc
    }
    if not arcs:
        return {}
    fast = _as(options, "pencil-beam")
    found: dict[int, tuple[tuple[Beam, Dose], ...]] = {}
    with stages.stage("calculating parts of arcs, pencil-beam") as advance:
        for number, parts in arcs.items():
            pairs = []
            for n, part in enumerate(parts):
                alone = replace(prepared, plan=replace(prepared.plan, beams=(part,)))
                try:
                    pairs.append((part, calculate_dose(alone, fast.engine, lambda *_: None)))
                except OutsideValidityError:
                    return found
                advance(part.name, n + 1, len(parts))
            found[number] = tuple(pairs)
    return found


def _as(options: DoseRequest, engine: str) -> DoseRequest:
    """Return the same options for another engine, with its own settings at their defaults."""
    return replace(options, engine=EngineRequest(engine, dose_to=options.engine.dose_to))


def _of_choices(plan: Plan, stated: Plan | None, options: DoseRequest) -> tuple[Finding, ...]:
    """Find what is calculated otherwise than the plan says because an option says so."""
    found = []
    for one in plan.left_out:
        message = Message.of(
            "beam.not_calculated",
            beam=beam_part(one.number, one.name),
            mu=None if one.mu is None else Message.of("beam.mu", mu=one.mu),
        )
        found.append(Finding("beams", Outcome.REVIEW, message))
    fractions = options.folder.fractions
    if fractions is not None and stated is not None and stated.fractions is None:
        message = Message.of("prescription.fractions_as_given", fractions=fractions)
        found.append(Finding("prescription", Outcome.REVIEW, message))
    return tuple(found)


def _of_another(engine: str, options: DoseRequest) -> tuple[str, ...]:
    asked = options.engine.name
    if engine == asked:
        return ()
    return (f"doses of single beams are those of {engine}; {asked} calculated their sum",)


def used_structures(options: DoseRequest, structures: StructureSet | None) -> tuple[str, ...]:
    """Names of structures that shaped the phantom as asked.

    A couch or bolus that has the density of the CT although the planning system recorded another
    is left out, so that this is said.
    """
    ignored = {
        one.name
        for one in structures or ()
        if one.density is not None
        and not options.phantom.recorded_densities
        and one.name not in options.phantom.overrides
    }
    extra = {*options.phantom.couch, *options.phantom.bolus} & ignored
    return tuple(name for name in options.phantom.named_structures if name not in extra)


def _beside(options: DoseRequest) -> tuple[str, ...]:
    """Names of the structures that are body, couch or bolus."""
    body = () if options.phantom.body in (None, "none") else (str(options.phantom.body),)
    return (*body, *options.phantom.couch, *options.phantom.bolus)


def _shared_inputs(options: DoseRequest) -> tuple[str, ...]:
    """List what was taken from the planning system: an error in it is in both doses."""
    shared = [
        "the CT and its frame of reference",
        "the plan's beams, MU and control points",
        "the contours, among them the body's outline",
    ]
    if options.phantom.recorded_densities:
        shared.append("densities that the planning system recorded with the structures")
    if options.phantom.inside is not None:
        shared[0] = f"no CT was used: the body is {options.phantom.inside} throughout"
    return tuple(shared)
