"""Which files of a folder belong together, by the UIDs they state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydicom.dataset import Dataset

from dosecalc.errors import DicomError, DosecalcError
from dosecalc.io.dicom._common import text
from dosecalc.io.dicom._files import FoundFile
from dosecalc.io.dicom.dose import ImportedDose, import_dose
from dosecalc.model import CtImage, Plan, StructureSet

__all__ = [
    "Choice",
    "check_frames",
    "choose_plan",
    "choose_structure_set",
    "dataset_of",
    "frame_of",
    "missing",
    "of_kind",
    "read_doses",
]


class Choice(NamedTuple):
    """What the user states where the files leave a choice or say nothing."""

    plan_uid: str | None
    structure_set_uid: str | None
    ct_series_uid: str | None
    use_ct: bool
    incomplete_ok: bool


def of_kind(found: Sequence[FoundFile], kind: str) -> list[FoundFile]:
    return [f for f in found if f.source.kind == kind and f.dataset is not None]


def dataset_of(one: FoundFile) -> Dataset:
    if one.dataset is None:
        raise DicomError(f"{one.source.name}: holds no data set")
    return one.dataset


def _listed(files: Sequence[FoundFile], label: str) -> str:
    return "; ".join(
        f"{f.source.uid} ({text(dataset_of(f), label) or 'no label'}, {f.source.name})"
        for f in files
    )


def _by_uid(files: Sequence[FoundFile], uid: str) -> FoundFile | None:
    return next((f for f in files if f.source.uid == uid), None)


def choose_plan(plans: list[FoundFile], choice: Choice) -> FoundFile | None:
    if choice.plan_uid is not None:
        chosen = _by_uid(plans, choice.plan_uid)
        if chosen is None:
            there = _listed(plans, "RTPlanLabel") or "none"
            raise DicomError(f"no plan in the folder has the UID {choice.plan_uid}; there: {there}")
        return chosen
    if len(plans) > 1:
        raise DicomError(
            f"the folder holds {len(plans)} plans; choose one with --plan UID: "
            f"{_listed(plans, 'RTPlanLabel')}"
        )
    return plans[0] if plans else None


def choose_structure_set(
    sets: list[FoundFile], plan: Plan | None, choice: Choice, notes: list[str]
) -> FoundFile | None:
    named = plan.structure_set_uid if plan is not None else ""
    wanted = choice.structure_set_uid
    if wanted and named and wanted != named:
        raise DicomError(
            f"the plan refers to the structure set {named}, not to {wanted} (--structures); leave "
            "the option out, or choose the plan that was made on that structure set"
        )
    wanted = wanted or named
    if wanted:
        chosen = _by_uid(sets, wanted)
        if chosen is None:
            by_whom = " that the plan refers to" if named else ""
            there = _listed(sets, "StructureSetLabel") or "none"
            sentence = f"the structure set {wanted}{by_whom} is not in the folder (there: {there})"
            missing(sentence, choice, notes)
        return chosen
    if len(sets) > 1:
        raise DicomError(
            f"the folder holds {len(sets)} structure sets and no plan names one; choose one with "
            f"--structures UID: {_listed(sets, 'StructureSetLabel')}"
        )
    if plan is not None:
        tail = f"; {sets[0].source.name} taken, the only one" if sets else ""
        notes.append(f"the plan refers to no structure set{tail}")
    return sets[0] if sets else None


def missing(sentence: str, choice: Choice, notes: list[str], *, advice: str = "") -> None:
    """Refuse a reference that leads out of the folder, or note it where that is accepted."""
    if not choice.incomplete_ok:
        usual = "export the folder again with everything the plan refers to"
        raise DicomError(f"{sentence}; {advice or usual}, or say --incomplete to go on without it")
    notes.append(sentence)


def check_frames(
    plan: Plan | None, structures: StructureSet | None, ct: CtImage | None, notes: list[str]
) -> None:
    frames = {
        what: part.frame_of_reference_uid
        for what, part in (("plan", plan), ("structure set", structures), ("CT", ct))
        if part is not None
    }
    for what in [w for w, frame in frames.items() if not frame]:
        notes.append(f"the {what} names no frame of reference")
        del frames[what]
    if len(set(frames.values())) > 1:
        listed = "; ".join(f"{what}: {frame}" for what, frame in frames.items())
        raise DicomError(f"plan, structure set and CT differ in frame of reference ({listed})")
    if plan is not None and ct is not None and plan.position != ct.position:
        raise DicomError(
            f"the plan has the patient {plan.position.value}, the CT {ct.position.value}; "
            "correct the one that is wrong"
        )


def frame_of(*parts: Plan | StructureSet | CtImage | None) -> str:
    """Return the first frame of reference that is stated, "" where none is."""
    stated = (p.frame_of_reference_uid for p in parts if p is not None)
    return next((frame for frame in stated if frame), "")


def read_doses(
    found: Sequence[FoundFile],
    plan: Plan | None,
    frame: str,
    choice: Choice,
    notes: list[str],
) -> tuple[list[FoundFile], tuple[ImportedDose, ...]]:
    """Read the doses of the plan; those that cannot be read stay out with the reason as note.

    A dose is compared with, never calculated from, so an unreadable one does
    not stop a calculation. One of a plan that is not there does: the folder
    then mixes versions.
    """
    plans = {f.source.uid for f in of_kind(found, "RTPLAN")}
    used, doses = [], []
    for one in of_kind(found, "RTDOSE"):
        name = one.source.name
        try:
            dose = import_dose(dataset_of(one))
        except DosecalcError as error:
            notes.append(f"dose left out: {error}")
            continue
        its_plan = dose.references.plan_uid
        its_frame = dose.references.frame_of_reference_uid
        if plan is not None and its_plan not in ("", plan.uid):
            if its_plan not in plans:
                missing(f"the plan {its_plan} of the dose {name} is not there", choice, notes)
            notes.append(f"dose {name} left out: it is of plan {its_plan}")
            continue
        if frame and its_frame and its_frame != frame:
            raise DicomError(
                f"{name}: the dose is of frame of reference {its_frame}, the plan, structures or "
                f"CT of {frame}; take it out of the folder"
            )
        used.append(one)
        doses.append(dose)
    return used, tuple(doses)
