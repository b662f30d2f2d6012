"""A script's plan and dose as a folder, with the record that ``dosecalc calc`` writes."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from dosecalc.errors import InputError
from dosecalc.io.dicom import write_plan
from dosecalc.model import Phantom
from dosecalc.planning.case import PlanningCase
from dosecalc.planning.plans import PlanDose
from dosecalc.verification.checks.beam_geometry import missing_beams
from dosecalc.workflow.beam_hits import hits_of, refuse_low, refuse_missing
from dosecalc.workflow.calculate import write_calculated
from dosecalc.workflow.engines import settings_record
from dosecalc.workflow.output import output_folder
from dosecalc.workflow.prepare import Prepared, prepare
from dosecalc.workflow.progress import SilentStages
from dosecalc.workflow.recorded import options_record
from dosecalc.workflow.request_parts import EngineRequest
from dosecalc.workflow.requests import DoseRequest

__all__ = ["save"]

# Decimals of MU that planning systems export.
_MU_DIGITS = 4
_PLAN = "RTPLAN.dcm"


def _with_rounded_mu(planned: PlanDose) -> PlanDose:
    """Round MU to what planning systems export, and scale the dose of each beam with its MU."""
    beams = tuple(replace(b, mu=round(b.mu, _MU_DIGITS)) for b in planned.plan.beams)
    doses = dict(planned.beams)
    for before, after in zip(planned.plan.beams, beams, strict=True):
        if before.mu > 0 and after.mu != before.mu:
            doses[before.number] = doses[before.number].scaled(after.mu / before.mu)
    return replace(planned, plan=replace(planned.plan, beams=beams), beams=doses)


def save(
    case: PlanningCase, planned: PlanDose, folder: Path | str, *, with_inputs: bool = False
) -> Path:
    """Write plan, dose, picture and record into a new folder, for its owner.

    RTPLAN.dcm, RTDOSE.dcm (all fractions), picture.png and run.json; dose.npz too where the
    engine states uncertainties. The record is that of ``dosecalc calc``: it can be signed and
    reproduced. MU are rounded to 0.0001, and the dose goes with them: plan and dose in the folder
    agree.

    Parameters
    ----------
    case : PlanningCase
    planned : PlanDose
    folder : Path
        Must not exist.
    with_inputs : bool
        Copy CT and structure set beside the plan: the folder is then a patient folder, as
        ``dosecalc verify`` reads it. Without them the record names them and their SHA-256.

    Raises
    ------
    InputError
        The folder exists or cannot be written; or the patient's files are not what they were when
        the case was opened.
    """
    place = Path(folder)
    if place.exists():
        raise InputError(f"{place} exists already; name a folder that does not")
    planned = _with_rounded_mu(planned)
    with (
        output_folder(place, force=False, private=True) as new,
        tempfile.TemporaryDirectory(prefix="dosecalc-") as name,
    ):
        # What is read is what `dosecalc reproduce` will find: CT, structures and this plan.
        read = new if with_inputs else Path(name)
        _copy_inputs(case, read)
        # A plan that was read may have been changed since, so what is written is another plan.
        named = replace(planned.plan, uid="")
        written = write_plan(named, new / _PLAN, subject=case.source.subject)
        if not with_inputs:
            shutil.copyfile(new / _PLAN, read / _PLAN)
        options = _options(case, planned, str(written.SOPInstanceUID))
        options = replace(options, path=place if with_inputs else case.request.path)
        _write(case, planned, options, read, new, place)
    return place


def _copy_inputs(case: PlanningCase, place: Path) -> None:
    """Copy CT and structure set under their own names, as they were when the case was opened."""
    for one in case.source.files:
        if not one.used or one.kind not in ("CT", "RTSTRUCT"):
            continue
        if one.name == _PLAN:
            raise InputError(
                f"{case.source.folder}: a file of kind {one.kind} is named {_PLAN}, as the plan "
                "will be; give it another name and open the case again"
            )
        (place / one.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(case.source.folder / one.name, place / one.name)


def _options(case: PlanningCase, planned: PlanDose, plan_uid: str) -> DoseRequest:
    """Return what ``dosecalc calc`` would have been asked, for the dose that the script has."""
    settings = {} if planned.settings is None else settings_record(planned.settings)
    dose_to = str(settings.pop("dose_to", "medium"))
    return replace(
        case.request,
        folder=replace(case.request.folder, plan_uid=plan_uid),
        engine=EngineRequest(planned.engine, dose_to=dose_to, beams_apart=True, settings=settings),
    )


def _write(
    case: PlanningCase,
    planned: PlanDose,
    options: DoseRequest,
    read: Path,
    new: Path,
    place: Path,
) -> None:
    """Prepare the case from the files in `read` and write dose and record into `new`."""
    stages = SilentStages()
    prepared = prepare(replace(options, path=read), stages)
    _refuse_changed(case, prepared)
    prepared = _at_its_place(prepared, read, options.path)
    # The script was asked when it calculated: what it accepted is noted here, and recorded.
    accepted = replace(options, accept_missing_beams=True)
    hits = hits_of(prepared, options)
    said = refuse_missing(prepared, accepted, hits)
    low = refuse_low(prepared, accepted, hits, planned.fraction)
    if low or missing_beams(prepared.plan, hits):
        options = accepted
    stages.seconds["calculating the dose"] = planned.seconds
    write_calculated(
        replace(prepared, phantom=case.phantom),
        options,
        planned.total,
        new,
        stages,
        asked=options_record(options, place),
        notes=(*said, *low, *_of_phantom(case, prepared.phantom)),
        also=(new / _PLAN,),
    )


def _refuse_changed(case: PlanningCase, prepared: Prepared) -> None:
    """Refuse files that are not what they were: the dose was calculated on those."""
    now = {str(one["name"]): str(one["sha256"]) for one in prepared.inputs}
    for one in case.source.files:
        if now.get(one.name, one.sha256) != one.sha256 and one.name != _PLAN:
            raise InputError(
                f"{case.source.folder / one.name} has changed since the case was opened; open the "
                "case again and calculate anew"
            )


def _at_its_place(prepared: Prepared, read: Path, place: Path) -> Prepared:
    """Name the patient's folder where the temporary one was read."""
    if prepared.case is None:
        return prepared
    notes = tuple(note.replace(str(read), str(place)) for note in prepared.notes)
    return replace(prepared, case=replace(prepared.case, folder=place), notes=notes)


def _of_phantom(case: PlanningCase, read: Phantom) -> tuple[str, ...]:
    """Note a phantom that the script has changed: the record's options do not lead to it."""
    mine = case.phantom
    same = mine.grid == read.grid and mine.materials == read.materials
    same = same and np.array_equal(mine.density, read.density)
    if same and np.array_equal(mine.material, read.material):
        return ()
    return (
        "the dose was calculated in a phantom that the script changed: the options of the record "
        "do not give it again",
    )
