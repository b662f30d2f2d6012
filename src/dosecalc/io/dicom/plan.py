"""RT Plan files to plans: static, step-and-shoot, sliding window, arc and VMAT photon beams.

What is read is what one fraction group delivers. Whatever a beam asks that is
not modelled is refused by name, and so is whatever the file contradicts itself
in; what is left out without consequence becomes a note. DICOM PS3.3, C.8.8.9 to
C.8.8.14.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydicom.dataset import Dataset

from dosecalc.errors import DicomError, InputError, UnsupportedError
from dosecalc.io.dicom._common import integer, items, number, present, text, uid, vector
from dosecalc.io.dicom._plan_beam import BeamReference, read_beam
from dosecalc.io.dicom._plan_refusals import refuse_brachytherapy, refuse_other_plans
from dosecalc.io.dicom.ct import read_position
from dosecalc.model import Beam, LeftOutBeam, PatientPosition, Plan, Prescription

__all__ = ["read_plan"]

_NOT_TREATMENT = ("SETUP", "OPEN_PORTFILM", "TRMT_PORTFILM", "VERIFICATION")


def read_plan(
    ds: Dataset,
    *,
    where: str = "RTPLAN",
    fraction_group: int | None = None,
    position: PatientPosition | None = None,
    without_beams: Sequence[int] = (),
    structure_set_uid: str | None = None,
) -> Plan:
    """Convert an RT Plan data set.

    Parameters
    ----------
    ds : Dataset
    where : str
        What to call the file in messages.
    fraction_group : int, optional
        Fraction Group Number to read; needed where the plan has several.
    position : PatientPosition, optional
        How the patient lies, known from elsewhere (the CT); needed where the plan
        does not say, and must agree where it does.
    without_beams : sequence of int
        Beam Numbers to leave out, whatever they ask for: imaging beams that the plan
        marks as TREATMENT. `Plan.left_out` holds them.
    structure_set_uid : str, optional
        Which one, for a plan that refers to several.

    Returns
    -------
    Plan
        The photon beams of one fraction group. Beams that deliver no treatment
        (SETUP, port films) or belong to no or another group are left out with a note.

    Raises
    ------
    DicomError
        The file is not a plan, is incomplete, or contradicts itself or `position`.
    UnsupportedError
        It asks for something that is not modelled, each named: other particles,
        brachytherapy, wedges, blocks, compensators, applicators, trays,
        two-layer collimators, rotations of the couch during a beam, tilts.
    InputError
        Several fraction groups and none chosen, or the chosen one is not there; a beam
        to leave out that the plan does not have.
    """
    notes: list[str] = []
    refuse_other_plans(ds, where, notes)
    beams_by_number = _numbered_beams(ds, where)
    group = _fraction_group(ds, where, fraction_group, notes)
    references = _beam_references(group, beams_by_number, where)
    left_out = _left_out(beams_by_number, references, without_beams, where, notes)
    beams, setups = [], []
    for number_, item in beams_by_number.items():
        if any(number_ == one.number for one in left_out):
            continue
        place = _beam_name(item, number_, where)
        if _is_delivered(item, references.get(number_), place, notes):
            reference = _reference(references[number_], place)
            beams.append(read_beam(item, number_, reference, place))
            setups.append(integer(item, "ReferencedPatientSetupNumber", place, None))
    if not beams:
        raise DicomError(f"{where}: no treatment beam is delivered ({'; '.join(notes)})")
    notes.extend(_gathered(beams))
    agreed = _position(ds, setups, position, where, notes)
    set_uid = _structure_set(ds, structure_set_uid, where, notes)
    return replace(_plan(ds, where, beams, group, agreed, set_uid, notes), left_out=left_out)


def _plan(
    ds: Dataset,
    where: str,
    beams: list[Beam],
    group: Dataset,
    position: PatientPosition,
    structure_set_uid: str,
    notes: list[str],
) -> Plan:
    try:
        return Plan(
            beams=tuple(beams),
            position=position,
            fractions=_fractions(group, where, notes),
            prescriptions=_prescriptions(ds, group, where, notes),
            label=text(ds, "RTPlanLabel", where),
            uid=uid(ds, "SOPInstanceUID", where),
            structure_set_uid=structure_set_uid,
            frame_of_reference_uid=text(ds, "FrameOfReferenceUID", where),
            patient_id=text(ds, "PatientID", where),
            approval=text(ds, "ApprovalStatus", where),
            notes=tuple(notes),
        )
    except InputError as error:
        raise DicomError(f"{where}: {error}") from error


def _structure_set(ds: Dataset, chosen: str | None, where: str, notes: list[str]) -> str:
    """Return the UID of the structure set that the plan refers to, "" where it names none."""
    listed = items(ds, "ReferencedStructureSetSequence", where)
    uids = list(dict.fromkeys(uid(one, "ReferencedSOPInstanceUID", where) for one in listed))
    if len(uids) > 1 and chosen not in uids:
        raise InputError(
            f"{where}: the plan refers to {len(uids)} structure sets ({', '.join(uids)}); choose "
            "one of them with --structures UID"
        )
    if len(uids) > 1:
        notes.append(f"the plan refers to {len(uids)} structure sets; {chosen} taken as asked")
        return str(chosen)
    if not uids:
        geometry = text(ds, "RTPlanGeometry", where) or "no RTPlanGeometry"
        notes.append(f"the plan refers to no structure set ({geometry})")
    return uids[0] if uids else ""


def _left_out(
    beams: Mapping[int, Dataset],
    references: Mapping[int, Dataset],
    asked: Sequence[int],
    where: str,
    notes: list[str],
) -> tuple[LeftOutBeam, ...]:
    """Return the beams that the user leaves out, with a note for each."""
    unknown = [n for n in asked if n not in beams]
    if unknown:
        there = ", ".join(f"{n} ({text(b, 'BeamName')})" for n, b in beams.items())
        raise InputError(
            f"{where}: there is no beam {unknown[0]} to leave out (--without-beam); the plan has "
            f"{there}"
        )
    found = []
    for number_ in dict.fromkeys(asked):
        name = text(beams[number_], "BeamName", where)
        reference = references.get(number_)
        delivery = text(beams[number_], "TreatmentDeliveryType", where)
        if reference is None or delivery in _NOT_TREATMENT:
            continue  # it is not delivered anyway, which another note says
        mu = number(reference, "BeamMeterset", where, None)
        found.append(LeftOutBeam(number_, name, mu))
        place = f"beam {number_} ({name})"
        if mu:
            notes.append(f"{place}: left out as asked, its {mu:g} MU with it")
        else:
            notes.append(f"{place}: left out as asked")
    return tuple(found)


def _gathered(beams: Sequence[Beam]) -> list[str]:
    """Return the notes of the beams, each once with the beams it holds for."""
    holders: dict[str, list[str]] = {}
    for beam in beams:
        for note in beam.notes:
            holders.setdefault(note, []).append(str(beam.number))
    return [
        f"beam{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}: {note}"
        for note, numbers in holders.items()
    ]


def _numbered_beams(ds: Dataset, where: str) -> dict[int, Dataset]:
    beams: dict[int, Dataset] = {}
    for index, item in enumerate(items(ds, "BeamSequence", where)):
        number_ = integer(item, "BeamNumber", f"{where}, beam at place {index + 1}")
        if number_ in beams:
            raise DicomError(
                f"{where}: BeamNumber (300A,00C0) {number_} is used by "
                f"{text(beams[number_], 'BeamName')!r} and {text(item, 'BeamName')!r}; "
                "export the plan again with unique beam numbers"
            )
        beams[number_] = item
    if not beams:
        raise DicomError(f"{where}: the plan has no beams (BeamSequence is missing or empty)")
    return beams


def _beam_name(beam: Dataset, number_: int, where: str) -> str:
    return f"{where}: beam {number_} ({text(beam, 'BeamName', where) or 'no name'})"


def _fraction_group(ds: Dataset, where: str, chosen: int | None, notes: list[str]) -> Dataset:
    groups = items(ds, "FractionGroupSequence", where)
    if not groups:
        raise DicomError(
            f"{where}: FractionGroupSequence (300A,0070) is missing or empty; without it the MU "
            "of the beams are unknown"
        )
    numbers = [
        integer(group, "FractionGroupNumber", f"{where}, fraction group at place {i + 1}")
        for i, group in enumerate(groups)
    ]
    if len(set(numbers)) < len(numbers):
        raise DicomError(f"{where}: the fraction group numbers {numbers} are not unique")
    listed = ", ".join(str(n) for n in numbers)
    if chosen is None and len(groups) > 1:
        raise InputError(
            f"{where}: the plan has {len(groups)} fraction groups ({listed}); choose one with "
            "--fraction-group N"
        )
    if chosen is not None and chosen not in numbers:
        raise InputError(f"{where}: there is no fraction group {chosen}; the plan has {listed}")
    group = groups[0 if chosen is None else numbers.index(chosen)]
    if len(groups) > 1:
        notes.append(f"fraction group {chosen} of {listed} read; the others are left out")
    refuse_brachytherapy(ds, group, where, notes)
    return group


def _beam_references(group: Dataset, beams: dict[int, Dataset], where: str) -> dict[int, Dataset]:
    """Return the items of the fraction group by the beam they refer to."""
    listed = items(group, "ReferencedBeamSequence", where)
    numbers = [integer(item, "ReferencedBeamNumber", where) for item in listed]
    repeated = [n for n, times in Counter(numbers).items() if times > 1]
    if repeated:
        raise DicomError(f"{where}: the fraction group refers to beam {repeated[0]} twice")
    unknown = [n for n in numbers if n not in beams]
    if unknown:
        raise DicomError(
            f"{where}: the fraction group refers to beam {unknown[0]}, which is not in "
            "BeamSequence; the plan is incomplete"
        )
    stated = integer(group, "NumberOfBeams", where, len(numbers))
    if stated != len(numbers):
        raise DicomError(
            f"{where}: the fraction group refers to {len(numbers)} beams, but NumberOfBeams "
            f"(300A,0080) is {stated}; the plan is incomplete"
        )
    return dict(zip(numbers, listed, strict=True))


def _is_delivered(beam: Dataset, reference: Dataset | None, place: str, notes: list[str]) -> bool:
    """Whether a beam treats the patient; a note says why not."""
    name = place.partition(": ")[2] or place
    delivery = text(beam, "TreatmentDeliveryType", place) or "TREATMENT"
    mu = number(reference, "BeamMeterset", place, None) if reference is not None else None
    if delivery in _NOT_TREATMENT:
        with_mu = f", its {mu:g} MU with it" if mu else ""
        notes.append(f"{name}: {delivery} beam left out{with_mu}")
        return False
    if delivery != "TREATMENT":
        raise UnsupportedError(
            f"{place}: TreatmentDeliveryType (300A,00CE) is {delivery}; TREATMENT beams are "
            "calculated, setup and verification beams left out, nothing else is known; leave it "
            "out with --without-beam"
        )
    if reference is None:
        notes.append(f"{name}: not in the fraction group, so not delivered: left out")
        return False
    return True


def _reference(item: Dataset, place: str) -> BeamReference:
    mu = number(item, "BeamMeterset", place, None)
    if mu is None:
        raise DicomError(
            f"{place}: BeamMeterset (300A,0086) is missing: the MU of this treatment beam are "
            "unknown; export the plan after calculating it, or leave an imaging beam out with "
            "--without-beam"
        )
    if mu < 0:
        raise DicomError(f"{place}: BeamMeterset (300A,0086) is {mu:g} MU; it cannot be negative")
    dose = number(item, "BeamDose", place, None)
    if dose is not None and dose < 0:
        raise DicomError(f"{place}: BeamDose (300A,0084) is {dose:g} Gy; it cannot be negative")
    return BeamReference(mu, dose, _point(item, "BeamDoseSpecificationPoint", place))


def _point(item: Dataset, keyword: str, place: str) -> tuple[float, float, float] | None:
    if not present(item, keyword):
        return None
    x, y, z = vector(item, keyword, 3, place)
    return float(x), float(y), float(z)


def _fractions(group: Dataset, where: str, notes: list[str]) -> int | None:
    fractions = integer(group, "NumberOfFractionsPlanned", where, None)
    if fractions is None:
        notes.append("the number of fractions is not stated (NumberOfFractionsPlanned)")
    elif fractions < 1:
        raise DicomError(
            f"{where}: NumberOfFractionsPlanned (300A,0078) is {fractions}; at least 1 is needed"
        )
    return fractions


def _position(
    ds: Dataset,
    used: Sequence[int | None],
    given: PatientPosition | None,
    where: str,
    notes: list[str],
) -> PatientPosition:
    """Return the one position of the delivered beams' setups."""
    found: set[PatientPosition] = set()
    setups: set[int | None] = set()
    for item in items(ds, "PatientSetupSequence", where):
        setup = integer(item, "PatientSetupNumber", where, None)
        setups.add(setup)
        # A beam that names no setup may use any of them.
        if None in used or setup in used:
            stated = read_position(item, where)
            found |= {stated} if stated is not None else set()
    missing = sorted(number_ for number_ in used if number_ is not None and number_ not in setups)
    if missing:
        raise DicomError(
            f"{where}: a beam refers to patient setup {missing[0]}, which is not in "
            "PatientSetupSequence"
        )
    names = ", ".join(sorted(p.value for p in found))
    if len(found) > 1:
        raise DicomError(
            f"{where}: the beams' patient setups contradict each other: PatientPosition "
            f"(0018,5100) is {names}"
        )
    if found and given is not None and given not in found:
        raise DicomError(
            f"{where}: the plan's PatientPosition (0018,5100) is {names}, not {given.value} as "
            "given; correct the one that is wrong"
        )
    if found:
        return found.pop()
    if given is None:
        raise DicomError(
            f"{where}: PatientPosition (0018,5100) is missing from PatientSetupSequence; say how "
            "the patient lies with --position, for example --position HFS"
        )
    notes.append(f"the plan does not state PatientPosition: {given.value} taken as given")
    return given


def _prescriptions(
    ds: Dataset, group: Dataset, where: str, notes: list[str]
) -> tuple[Prescription, ...]:
    """Return what is prescribed to targets and allowed to organs, Gy over all fractions."""
    found = []
    for item in _dose_references(ds, group, where):
        number_ = integer(item, "DoseReferenceNumber", where)
        place = f"{where}, dose reference {number_}"
        kind = text(item, "DoseReferenceType", place) or "UNSPECIFIED"
        keywords = (
            ("OrganAtRiskMaximumDose", "DeliveryMaximumDose")
            if kind == "ORGAN_AT_RISK"
            else ("TargetPrescriptionDose",)
        )
        stated = (number(item, keyword, place, None) for keyword in keywords)
        dose = next((value for value in stated if value is not None), None)
        if dose is not None and dose < 0:
            raise DicomError(f"{place}: {dose:g} Gy; a dose cannot be negative")
        if not dose:
            notes.append(f"dose reference {number_} ({kind}) states no dose: left out")
            continue
        structure_type = text(item, "DoseReferenceStructureType", place)
        found.append(
            Prescription(
                description=text(item, "DoseReferenceDescription", place) or structure_type,
                dose_gy=dose,
                kind=kind,
                structure_number=integer(item, "ReferencedROINumber", place, None),
                point=_point(item, "DoseReferencePointCoordinates", place),
            )
        )
    return tuple(found)


def _dose_references(ds: Dataset, group: Dataset, where: str) -> list[Dataset]:
    """Return the dose references of the group, all of them where the group names none."""
    listed = items(ds, "DoseReferenceSequence", where)
    named = {
        integer(item, "ReferencedDoseReferenceNumber", where, None)
        for item in items(group, "ReferencedDoseReferenceSequence", where)
    }
    if len(items(ds, "FractionGroupSequence", where)) > 1 and named:
        return [
            item for item in listed if integer(item, "DoseReferenceNumber", where, None) in named
        ]
    return listed
