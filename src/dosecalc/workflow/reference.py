"""The dose that a verification is held against: found, tied to the plan, and said where from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dosecalc.errors import DicomError, InputError
from dosecalc.io.dicom import Case, DoseReferences, Person, identify, read_dose_file
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message, of_note
from dosecalc.model import Dose, Plan
from dosecalc.records.record import file_sha256
from dosecalc.verification.checks.inputs import doubt_findings
from dosecalc.verification.inputs import beam_point, dose_at
from dosecalc.workflow.doses import NamedDose, read_any_dose, strangers

__all__ = ["Reading", "Reference", "find_reference"]

_OWN = "dosecalc"
# Doses of all beams make up that of the plan to this share.
_SUMS_TO = 0.05


@dataclass(frozen=True)
class Reference:
    """The planning system's dose of the whole plan, if there is one, and what to say of it.

    Parameters
    ----------
    dose : Dose or None
    chosen : dict
        Name, SHA-256 and maker of the file, for the record.
    notes : tuple of str
    findings : tuple of Finding
        That nothing ties the dose to the plan.
    shared : tuple of str
        What is not independent because of where the dose comes from.
    beams : dict of beam number to Gy
        Of one fraction at each beam's point, from the folder's doses of single beams.
    """

    dose: Dose | None
    chosen: dict[str, Any]
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    shared: tuple[str, ...] = ()
    beams: dict[int, float] = field(default_factory=dict)


class Reading(NamedTuple):
    """What the user states of a .3ddose reference, which says neither."""

    unit: str | None = None
    axes: str = "+x,+y,+z"


def find_reference(
    case: Case,
    plan: Plan,
    path: Path | None,
    *,
    same_patient: str | None = None,
    reading: Reading | None = None,
) -> Reference:
    """Return the dose of a file, or else the folder's dose of the whole plan.

    Doses of single beams in the folder come with it. `same_patient` is why a file's dose is
    the patient's though it says otherwise, if the user says so.

    Raises
    ------
    InputError
        The file is of another patient or frame of reference; several doses of the plan; a dose
        that is not of the whole plan.
    """
    if path is None:
        found = _of_folder(case, plan)
    else:
        found = _given(case, plan, path, reading or Reading(), same_patient)
    if found.dose is None or plan.fractions is None:
        return found
    beams, findings, notes = _single_beams(case, plan, found.dose, plan.fractions)
    return replace(
        found,
        beams=beams,
        findings=(*found.findings, *findings),
        notes=(*found.notes, *notes),
    )


def _of_folder(case: Case, plan: Plan) -> Reference:
    """Return the folder's dose of the whole plan."""
    unreadable = [note for note in case.notes if note.startswith("dose left out")]
    plans = [one for one in case.doses if one.dose.summation == "PLAN"]
    if len(plans) > 1:
        names = ", ".join(Path(one.path).name or one.uid for one in plans)
        raise InputError(
            f"{case.folder}: {len(plans)} doses of the plan ({names}); choose one with --reference "
            "FILE"
        )
    fractions = [one for one in case.doses if one.dose.summation == "FRACTION"]
    if len(fractions) > 1:
        fractions = [
            one for one in fractions if one.references.fraction_group == case.fraction_group
        ] or fractions
    if plans or len(fractions) == 1:
        found = (plans or fractions)[0]
        reference = _of_plan(found.dose, plan, Path(found.path))
        findings = [
            *_tied(found.references, case, plan, Path(found.path)),
            *(Finding("reference", Outcome.REVIEW, of_note(one)) for one in unreadable),
        ]
        unused = [Path(d.path).name for d in fractions if d is not found]
        notes = reference.notes
        if unused:
            notes += (f"doses of one fraction that were not looked at: {', '.join(unused)}",)
        return replace(reference, notes=notes, findings=(*reference.findings, *findings))
    if unreadable:
        raise InputError(f"{case.folder}: {unreadable[0]}; there is no other dose to compare with")
    kinds = ", ".join(sorted({one.dose.summation for one in case.doses}))
    note = f"doses of the folder that are not of the whole plan were not used: {kinds}"
    return Reference(None, {"name": None}, (note,) if kinds else ())


def _single_beams(
    case: Case, plan: Plan, whole: Dose, fractions: int
) -> tuple[dict[int, float], tuple[Finding, ...], tuple[str, ...]]:
    """Doses of single beams at their points, one fraction; what is wrong with them; notes.

    By DICOM the dose of a beam is that of all fractions; some systems write one. Where all beams
    are there, their sum says which; else DICOM is believed, and a note says so.
    """
    given = {
        one.references.beam_number: one.dose
        for one in case.doses
        if one.dose.summation == "BEAM" and one.references.plan_uid == plan.uid
    }
    numbers = {beam.number: beam for beam in plan.beams}
    known = {n: dose for n, dose in given.items() if n in numbers}
    if not known:
        return {}, (), ()
    point = _hottest(whole)
    parts = [dose_at(dose, point) or 0.0 for dose in known.values()]
    total, divided = dose_at(whole, point) or 0.0, fractions
    note = "doses of single beams are taken for those of all fractions, as DICOM defines them"
    if len(known) == len(numbers) and total > 0:
        ratio = sum(parts) / total
        note = "doses of single beams add up to the dose of the plan"
        if fractions > 1 and abs(ratio * fractions - 1) < _SUMS_TO:
            divided, note = 1, "doses of single beams add up to one fraction of the plan"
        elif abs(ratio - 1) >= _SUMS_TO:
            message = Message.of("reference.no_sum_of_beams", percent=100 * ratio)
            return {}, (Finding("reference against plan", Outcome.REVIEW, message),), ()
    doses = {n: dose_at(dose, beam_point(numbers[n])) for n, dose in known.items()}
    return {n: v / divided for n, v in doses.items() if v is not None}, (), (note,)


def _hottest(dose: Dose) -> tuple[float, float, float]:
    index = np.unravel_index(int(dose.gray.argmax()), dose.gray.shape)
    x, y, z = dose.grid.position_of(np.array(index, dtype=np.float64))
    return float(x), float(y), float(z)


def _given(
    case: Case, plan: Plan, path: Path, reading: Reading, same_patient: str | None
) -> Reference:
    """Return the dose of a file that the user names."""
    if reading.unit is not None and path.suffix.lower() != ".3ddose":
        raise InputError(f"--3ddose-unit: {path} is no .3ddose file; leave the option out")
    found = read_any_dose(path, unit=reading.unit, axes=reading.axes)
    if found.dose.unit != "Gy":
        raise InputError(
            f"--reference: the dose of {path} is in {found.dose.unit}, a plan is compared in Gy; "
            "give the dose of the whole plan in Gy"
        )
    frame = plan.frame_of_reference_uid if case.ct is None else case.ct.frame_of_reference_uid
    # Whose dose it is, is compared by more than its number, below.
    mine = NamedDose(case.folder, found.dose, "", frame)
    if strange := strangers(mine, found):
        raise InputError(f"--reference: {'; '.join(strange)}; name the dose of this plan")
    reference = _of_plan(found.dose, plan, path)
    notes = reference.notes
    if path.suffix.lower() == ".3ddose":
        notes += (f"{path.name} does not say what it is the sum of: taken as the whole plan",)
    if path.suffix.lower() in (".3ddose", ".npz"):
        message = Message.of("reference.no_owner", file=path.name)
        tied: tuple[Finding, ...] = (Finding("reference", Outcome.REVIEW, message),)
    else:
        references = read_dose_file(path).references
        doubts = _of_the_patient(case, references, path, same_patient)
        tied = (
            *doubt_findings(("patient", one) for one in doubts),
            *_tied(references, case, plan, path),
        )
    return replace(reference, notes=notes, findings=(*reference.findings, *tied))


def _of_the_patient(
    case: Case, references: DoseReferences, path: Path, same_patient: str | None
) -> tuple[Message, ...]:
    """Refuse the dose of another patient; return what a person must confirm."""
    people = [
        Person(one.patient_id, one.patient_name, one.birth_date, one.sex, where)
        for one, where in ((case.subject, str(case.folder)), (references.subject, str(path)))
    ]
    try:
        return identify(
            people,
            what="--reference: plan and dose are of",
            same_patient=same_patient,
            advice="name the dose of this plan",
        ).doubts
    except DicomError as error:
        raise InputError(str(error)) from error


def _tied(references: DoseReferences, case: Case, plan: Plan, path: Path) -> tuple[Finding, ...]:
    """Say whether a dose names another plan, fraction group or structure set, or none."""
    said, file = [], path.name
    if not references.subject.patient_id:
        said.append(Message.of("reference.no_patient", file=file))
    group, read = references.fraction_group, case.fraction_group
    if None not in (group, read) and group != read:
        said.append(
            Message.of("reference.other_fraction_group", file=file, group=group, verified=read)
        )
    if not references.frame_of_reference_uid:
        said.append(Message.of("reference.no_frame", file=file))
    named = references.plan_uid
    if named != plan.uid and named:
        said.append(Message.of("reference.other_plan", file=file, named=named, plan=plan.uid))
    elif named != plan.uid:
        said.append(Message.of("reference.no_plan", file=file, plan=plan.uid))
    own, named = plan.structure_set_uid, references.structure_set_uid
    if own and named and own != named:
        said.append(
            Message.of("reference.other_structure_set", file=file, named=named, structure_set=own)
        )
    return tuple(Finding("reference", Outcome.REVIEW, message) for message in said)


def _of_plan(dose: Dose, plan: Plan, path: Path) -> Reference:
    """Bring a dose to the whole plan, and say where it comes from."""
    about = dose.provenance
    words = (str(about.get(key, "")) for key in ("manufacturer", "model", "software"))
    maker = " ".join(dict.fromkeys(word for word in words if word))
    chosen = {"name": str(path), "sha256": file_sha256(path), "maker": maker}
    shared: tuple[str, ...] = ()
    if str(about.get("manufacturer", "")) == _OWN:
        shared = (
            "the program itself: the reference was calculated by dosecalc too, so machine model, "
            "geometry and HU curve can be wrong in both",
        )
    findings: tuple[Finding, ...] = ()
    if about.get("densities"):
        message = Message.of(
            "reference.other_densities", file=path.name, densities=Message(str(about["densities"]))
        )
        findings = (Finding("reference", Outcome.REVIEW, message),)
    if dose.summation == "PLAN":
        return Reference(dose, chosen, findings=findings, shared=shared)
    if dose.summation != "FRACTION" or plan.fractions is None:
        raise InputError(
            f"{path}: a dose summed over {dose.summation} is no dose of the whole plan; export "
            "the plan dose"
        )
    note = f"the reference is the dose of one fraction; it was multiplied by {plan.fractions}"
    whole = replace(dose, fractions=plan.fractions).total
    return Reference(whole, chosen, (note,), findings, shared)
