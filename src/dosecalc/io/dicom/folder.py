"""A patient folder to one case: plan, structure set, CT and doses that belong together.

Files are sorted by what they contain, never by their names, and tied together
by the UIDs they state: the plan names its structure set, the structure set its
CT series. A UID that leads nowhere stops the import; nothing is paired because
it happens to lie side by side, unless the files name nothing at all, and then
a note says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from dosecalc.errors import DicomError, DosecalcError, InputError
from dosecalc.io.dicom._chain import (
    Choice,
    check_frames,
    choose_plan,
    choose_structure_set,
    dataset_of,
    frame_of,
    of_kind,
    read_doses,
)
from dosecalc.io.dicom._common import integer, items, text
from dosecalc.io.dicom._files import BROKEN, FoundFile, SourceFile, check_patient, scan_folder
from dosecalc.io.dicom._series import Images, Told, choose_series
from dosecalc.io.dicom._writing import Subject, read_subject
from dosecalc.io.dicom.ct import cone_beam_sign, read_ct
from dosecalc.io.dicom.dose import DoseReferences, ImportedDose
from dosecalc.io.dicom.identity import Doubt
from dosecalc.io.dicom.plan import read_plan
from dosecalc.io.dicom.structures import read_structures
from dosecalc.messages.message import Message
from dosecalc.model import CtImage, PatientPosition, Plan, Structure, StructureSet
from dosecalc.patient.drawing import on_slices

__all__ = ["Case", "SourceFile", "import_folder", "references_for"]


@dataclass(frozen=True)
class Case:
    """What a folder holds, tied together.

    Parameters
    ----------
    folder : Path
    subject : Subject
        Patient and study, for files written for this case.
    ct : CtImage or None
    structures : StructureSet or None
    plan : Plan or None
    fraction_group : int or None
        Number of the plan's fraction group.
    doses : tuple of ImportedDose
        Those of the plan.
    files : tuple of SourceFile
        Every file below the folder, with its SHA-256 and whether it was used.
    doubts : tuple of Doubt
        What a person must confirm: whose files these are, on what the structures were drawn.
    notes : tuple of str
        What was ignored or decided; notes of the CT, structures, plan and doses
        are theirs and not repeated here.
    """

    folder: Path
    subject: Subject
    ct: CtImage | None
    structures: StructureSet | None
    plan: Plan | None
    fraction_group: int | None
    doses: tuple[ImportedDose, ...]
    files: tuple[SourceFile, ...]
    notes: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    def __getitem__(self, name: str) -> Structure:
        """Return a structure by its name.

        Raises
        ------
        InputError
            There is no structure set, or no usable structure of that name.
        """
        if self.structures is None:
            raise InputError(f"{self.folder} holds no structure set, so no structure {name!r}")
        return self.structures[name]

    def __repr__(self) -> str:
        number = 0 if self.structures is None else len(self.structures.structures)
        ct = "no CT" if self.ct is None else f"CT of {self.ct.grid.voxels_text}"
        doses = f"{len(self.doses)} dose{'' if len(self.doses) == 1 else 's'}"
        return f"Case({str(self.folder)!r}, {ct}, {number} structures, {self.plan}, {doses})"


def import_folder(
    folder: Path | str,
    *,
    plan_uid: str | None = None,
    structure_set_uid: str | None = None,
    ct_series_uid: str | None = None,
    use_ct: bool = True,
    incomplete_ok: bool = False,
    position: PatientPosition | None = None,
    fraction_group: int | None = None,
    same_patient: str | None = None,
    plane_spacing: float | None = None,
    without_beams: Sequence[int] = (),
) -> Case:
    """Read a folder, and those below it, as one case of one patient.

    Parameters
    ----------
    folder : path
    plan_uid, structure_set_uid, ct_series_uid : str or None
        Which one to take where the folder holds several and no reference tells
        them apart. The first two are SOP Instance UIDs. (The command calls them
        --plan, --structures and --series.)
    use_ct : bool
        False leaves the CT out, for a calculation that needs none (water
        inside the external contour).
    incomplete_ok : bool
        Whether references may lead out of the folder: a plan without its
        structure set, a structure set without its CT. Each becomes a note.
    position : PatientPosition or None
        How the patient lies, for a CT or a plan that does not say.
    fraction_group : int or None
        Fraction Group Number, for a plan that has several.
    same_patient : str or None
        Why the files are of one person, where PatientID or PatientName differ and the
        user knows; it becomes a doubt of the case.
    plane_spacing : float or None, mm
        Distance of the slices that structures were drawn on; that of the CT if None.
    without_beams : sequence of int
        Beam Numbers to leave out; see :func:`read_plan`.

    Raises
    ------
    InputError
        Not a folder.
    DicomError
        Several patients; a choice nobody made; a reference that leads nowhere;
        anything the readers of the single objects refuse.
    UnsupportedError
        What the plan, CT or structures ask for and the program cannot do.
    """
    place = Path(folder)
    choice = Choice(plan_uid, structure_set_uid, ct_series_uid, use_ct, incomplete_ok)
    try:
        of_plan = PlanChoice(position, fraction_group, tuple(without_beams))
        case = _case(place, choice, of_plan, same_patient)
    except DosecalcError as error:
        # Files are named by their paths below the folder, which says nothing of a list of cases.
        if str(error).startswith(str(place)):
            raise
        raise type(error)(f"{place}: {error}") from error
    if plane_spacing is None and case.ct is not None:
        plane_spacing = case.ct.grid.spacing[2]
    if plane_spacing is None or case.structures is None:
        return case
    return replace(case, structures=on_slices(case.structures, plane_spacing))


class PlanChoice(NamedTuple):
    """What the user states of the plan and of how the patient lies."""

    position: PatientPosition | None
    fraction_group: int | None
    without_beams: tuple[int, ...]


def _case(place: Path, choice: Choice, of_plan: PlanChoice, same_patient: str | None) -> Case:
    found = scan_folder(place)
    identity = check_patient(found, same_patient)
    told = Told(list(identity.notes), [Doubt("patient", one) for one in identity.doubts])
    notes = told.notes
    plan_file = choose_plan(of_kind(found, "RTPLAN"), choice)
    plan = None
    if plan_file is not None:
        where = plan_file.source.name
        ds = dataset_of(plan_file)
        plan = read_plan(
            ds, where=where, structure_set_uid=choice.structure_set_uid, **of_plan._asdict()
        )
    elif of_plan.fraction_group is not None or of_plan.without_beams:
        raise InputError("--fraction-group, --without-beam: there is no plan; leave them out")
    set_file = choose_structure_set(of_kind(found, "RTSTRUCT"), plan, choice, notes)
    structures = None
    if set_file is not None:
        structures = read_structures(dataset_of(set_file), where=set_file.source.name)
    series = choose_series(_images(found), set_file, structures, choice, told)
    ct = _ct(series, structures, of_plan.position, told)
    check_frames(plan, structures, ct, notes)
    used = [f for f in (plan_file, set_file, *series) if f is not None]
    frame = frame_of(plan, structures, ct)
    dose_files, doses = read_doses(found, plan, frame, choice, notes)
    _note_studies([*used, *dose_files], notes)
    files = _account(found, [*used, *dose_files], notes)
    return Case(
        folder=place,
        subject=_subject([*used, *dose_files], place),
        ct=ct,
        structures=structures,
        plan=plan,
        fraction_group=_group_number(plan_file, of_plan.fraction_group),
        doses=doses,
        files=files,
        notes=(*(str(doubt.message) for doubt in told.doubts), *notes),
        doubts=tuple(told.doubts),
    )


def _images(found: Sequence[FoundFile]) -> Images:
    foreign = [f.source.name for f in found if f.source.kind == "not DICOM"]
    return Images(of_kind(found, "CT"), of_kind(found, "other DICOM"), foreign)


def _ct(
    files: Sequence[FoundFile],
    structures: StructureSet | None,
    position: PatientPosition | None,
    told: Told,
) -> CtImage | None:
    if not files:
        return None
    ct = read_ct([dataset_of(f) for f in files], position=position, checked=True)
    sign = cone_beam_sign(dataset_of(files[0]))
    if sign:
        told.doubts.append(Doubt("CT numbers", Message.of("ct_numbers.cone_beam", sign=sign)))
    # A CT of several series goes by the name under which the structure set lists its images.
    named = structures.image_series_uid if structures is not None else ""
    listed = {text(dataset_of(f), "SeriesInstanceUID") for f in files}
    return replace(ct, series_uid=named) if named in listed else ct


def references_for(case: Case, *, beam_number: int | None = None) -> DoseReferences:
    """Return what a dose calculated for the case refers to, for :func:`write_dose`.

    Raises
    ------
    DicomError
        The case has no plan or not that beam, or nothing names a frame of reference.
    """
    if case.plan is None:
        raise DicomError(f"{case.folder}: a dose refers to a plan, and there is none")
    numbers = [b.number for b in case.plan.beams]
    if beam_number is not None and beam_number not in numbers:
        raise DicomError(f"{case.folder}: the plan has no beam {beam_number}, only {numbers}")
    frame = frame_of(case.plan, case.structures, case.ct)
    if not frame:
        raise DicomError(f"{case.folder}: no frame of reference in plan, structure set or CT")
    return DoseReferences(
        subject=case.subject,
        frame_of_reference_uid=frame,
        plan_uid=case.plan.uid,
        structure_set_uid="" if case.structures is None else case.structures.uid,
        fraction_group=case.fraction_group,
        beam_number=beam_number,
    )


def _group_number(plan_file: FoundFile | None, chosen: int | None) -> int | None:
    """Return the number of the fraction group that was read: the chosen or the only one."""
    if plan_file is None or chosen is not None:
        return chosen
    groups = items(dataset_of(plan_file), "FractionGroupSequence")
    return integer(groups[0], "FractionGroupNumber", plan_file.source.name, None)


def _note_studies(used: Sequence[FoundFile], notes: list[str]) -> None:
    studies = {text(dataset_of(f), "StudyInstanceUID") for f in used} - {""}
    if len(studies) > 1:
        notes.append(f"the files are of {len(studies)} studies: {', '.join(sorted(studies))}")


def _account(
    found: Sequence[FoundFile], used: Sequence[FoundFile], notes: list[str]
) -> tuple[SourceFile, ...]:
    taken = {f.source.name for f in used}
    files = tuple(replace(f.source, used=f.source.name in taken) for f in found)
    copies = [f.name for f in files if f.remark.startswith("copy of")]
    if copies:
        notes.append(f"{len(copies)} copies of other files ignored: {', '.join(copies[:5])}")
    broken = [f for f in files if f.remark.startswith(BROKEN)]
    notes.extend(f"{f.name} left aside: {f.remark}" for f in broken)
    for kind in ("other DICOM", "not DICOM"):
        ignored = [f.name for f in files if f.kind == kind and f not in broken]
        if ignored:
            notes.append(f"{len(ignored)} {kind} files ignored: {', '.join(ignored[:5])}")
    if not any(f.dataset is not None for f in found):
        raise DicomError("the folder holds no DICOM file; name the one that does")
    return files


def _subject(used: Sequence[FoundFile], folder: Path) -> Subject:
    if not used:
        raise DicomError(f"{folder}: no CT, structure set, plan or dose to import")
    return read_subject(dataset_of(used[0]))
