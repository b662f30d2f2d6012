"""From a path and options to what an engine needs: phantom, plan and machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dosecalc.beam import beam_notes, check_bolus
from dosecalc.data.hu_curves import HuCurve, choose_curve
from dosecalc.errors import DosecalcError, InputError
from dosecalc.io.dicom import Case, banner, import_folder
from dosecalc.model import (
    Grid,
    Machine,
    PatientPosition,
    Phantom,
    Plan,
    Structure,
    StructureSet,
)
from dosecalc.patient.dose_grid import dose_grid
from dosecalc.patient.overrides import Override
from dosecalc.patient.phantom import phantom_from_ct, phantom_from_structures
from dosecalc.patient.recipe import Recipe, build_case, list_recipes, load_recipe
from dosecalc.records.record import file_sha256
from dosecalc.workflow.machines import machines_for
from dosecalc.workflow.progress import Stages
from dosecalc.workflow.request_parts import FolderRequest, PhantomRequest
from dosecalc.workflow.requests import DoseRequest, is_recipe

__all__ = ["Prepared", "patient_phantom", "prepare", "read_case"]

_GRID_MM = 2.5


@dataclass(frozen=True)
class Prepared:
    """What is calculated.

    Parameters
    ----------
    label : str
    phantom : Phantom
    plan : Plan
    machines : mapping of beam number to Machine
    case : Case or None
        The patient folder; None for a recipe.
    inputs : tuple of mapping
        Every file read or seen, for the record.
    choices : mapping
        What the user decided, for the record.
    facts : tuple of (topic, sentence)
        What a user reads first.
    notes : tuple of str
    curve : HuCurve or None
        With which CT numbers became densities.
    """

    label: str
    phantom: Phantom
    plan: Plan
    machines: Mapping[int, Machine]
    case: Case | None
    inputs: tuple[Mapping[str, Any], ...]
    choices: Mapping[str, Any]
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = field(default=())
    curve: HuCurve | None = None


def prepare(options: DoseRequest, stages: Stages) -> Prepared:
    """Read what `options.path` names and make the phantom.

    Raises
    ------
    DosecalcError
        Anything the input lacks or the program cannot do.
    """
    if is_recipe(options.path):
        return _prepare_recipe(options, stages)
    if not options.path.is_dir():
        raise InputError(
            f"{options.path} is neither a folder nor a .toml recipe; shipped recipes are: "
            f"{', '.join(list_recipes())}"
        )
    return _prepare_patient(options, stages)


def _prepare_recipe(options: DoseRequest, stages: Stages) -> Prepared:
    options.refuse_patient_options()
    with stages.stage("building the phantom"):
        text = str(options.path)
        recipe = load_recipe(options.path if text.endswith(".toml") else text)
        if options.phantom.grid_mm is not None:
            recipe = replace(recipe, grid=_respaced(recipe.grid, options.phantom.grid_mm))
        phantom, plan, machine = build_case(recipe)
    return Prepared(
        label=recipe.name,
        phantom=phantom,
        plan=plan,
        machines={beam.number: machine for beam in plan.beams},
        case=None,
        inputs=({"name": text, "kind": "recipe", "sha256": recipe.sha256, "used": True},),
        choices={"grid_mm": options.phantom.grid_mm, "machines": {"all": machine.name}},
        facts=_recipe_facts(recipe, plan),
        notes=(*phantom.notes, *_machine_notes(plan, {b.number: machine for b in plan.beams})),
    )


def _respaced(grid: Grid, spacing: float) -> Grid:
    return Grid.covering(grid.lower, grid.upper, (spacing, spacing, spacing))


def _recipe_facts(recipe: Recipe, plan: Plan) -> tuple[tuple[str, str], ...]:
    shape = " x ".join(str(n) for n in recipe.grid.shape[::-1])
    size = " x ".join(f"{s:g}" for s in recipe.grid.spacing)
    return (
        ("recipe", recipe.name),
        *((("recipe", recipe.description),) if recipe.description else ()),
        ("grid", f"{shape} voxels of {size} mm"),
        *(("beam", f"{b.number} {b.name}: {b.energy_mv:g} MV, {b.mu:g} MU") for b in plan.beams),
    )


def _prepare_patient(options: DoseRequest, stages: Stages) -> Prepared:
    asked, folder = options.phantom, options.folder
    with stages.stage("reading and sorting the patient folder"):
        case = read_case(options.path, folder, use_ct=asked.inside is None)
    plan = _plan_of(case, options)
    machines = machines_for(plan, options.machines)
    # Refuses models that do not fit the plan, before anything is calculated.
    assumed = _machine_notes(plan, machines)
    words = "turning CT numbers and structures into densities and materials"
    with stages.stage(words), _of_folder(case.folder):
        phantom, curve = patient_phantom(case, asked)
    rows = [(row.topic, row.sentence) for row in banner(replace(case, plan=plan))]
    notes = tuple(sentence for topic, sentence in rows if topic == "note")
    return Prepared(
        label=f"{case.subject.patient_id} {plan.label}".strip() or options.path.name,
        phantom=phantom,
        plan=plan,
        machines=machines,
        case=case,
        inputs=(*_case_files(case), *_option_files(options)),
        choices={
            "grid_mm": asked.grid_mm or _GRID_MM,
            "machines": {str(number): model.name for number, model in machines.items()},
            "hu_curve": None if curve is None else _named(curve),
            "body": asked.body or "the EXTERNAL structure",
            "overrides": {name: value._asdict() for name, value in asked.overrides.items()},
            "recorded_densities": asked.recorded_densities,
            "couch": asked.couch,
            "bolus": asked.bolus,
            "plane_spacing": folder.plane_spacing,
            "inside": asked.inside,
            "same_patient": folder.same_patient,
            "plan": folder.plan_uid,
            "fraction_group": case.fraction_group,
            "without_beams": [
                {"number": b.number, "name": b.name, "mu": b.mu} for b in plan.left_out
            ],
            "structures": folder.structure_set_uid,
            "series": folder.ct_series_uid,
            "position": folder.position,
            "fractions": folder.fractions,
        },
        facts=tuple(row for row in rows if row[0] != "note"),
        notes=(*notes, *phantom.notes, *assumed),
        curve=curve,
    )


def read_case(path: Path, choices: FolderRequest, *, use_ct: bool = True) -> Case:
    """Read a patient folder with the choices that were made."""
    return import_folder(
        path,
        plan_uid=choices.plan_uid,
        structure_set_uid=choices.structure_set_uid,
        ct_series_uid=choices.ct_series_uid,
        fraction_group=choices.fraction_group,
        without_beams=choices.without_beams,
        position=None if choices.position is None else PatientPosition(choices.position),
        use_ct=use_ct,
        incomplete_ok=choices.incomplete,
        same_patient=choices.same_patient,
        plane_spacing=choices.plane_spacing,
    )


@contextmanager
def _of_folder(folder: Path) -> Iterator[None]:
    """Name the folder in refusals that do not: in a list of cases it is what tells them apart."""
    try:
        yield
    except DosecalcError as error:
        if str(error).startswith(str(folder)):
            raise
        raise type(error)(f"{folder}: {error}") from error


def _named(curve: HuCurve) -> dict[str, str]:
    return {"name": curve.name, "version": curve.version, "sha256": curve.sha256}


def _plan_of(case: Case, options: DoseRequest) -> Plan:
    """Return the plan, refused early where a total dose could not be told."""
    if case.plan is None:
        raise InputError(f"{case.folder}: no RTPLAN, so there is nothing to calculate")
    plan, given = case.plan, options.folder.fractions
    if given is not None and plan.fractions not in (None, given):
        raise InputError(
            f"{case.folder}: --fractions {given}, but the plan says {plan.fractions}; leave the "
            "option out"
        )
    if plan.fractions is None and given is None and not options.per_fraction:
        raise InputError(
            f"{case.folder}: the plan does not say how many fractions there are, so its total "
            "dose is not known; say how many with --fractions N"
        )
    _check_bolus(case, plan, options)
    if given is None or plan.fractions is not None:
        return plan
    note = f"the plan does not say how many fractions there are; {given} as asked"
    return replace(plan, fractions=given, notes=(*plan.notes, note))


def _check_bolus(case: Case, plan: Plan, options: DoseRequest) -> None:
    """Refuse early a bolus of the plan that no option names."""
    if not any(beam.bolus for beam in plan.beams):
        return
    if options.phantom.inside is not None:
        raise InputError(
            f"{case.folder}: the plan has a bolus, which --inside leaves out; calculate on the CT"
        )
    drawn = case.structures or ()
    with _of_folder(case.folder):
        present = [one.number for one in drawn if one.name in options.phantom.bolus]
        check_bolus(plan, present, {one.number: one.name for one in drawn})


def patient_phantom(case: Case, request: PhantomRequest) -> tuple[Phantom, HuCurve | None]:
    """Return the phantom, and the curve by which CT numbers became densities."""
    spacing = request.grid_mm or _GRID_MM
    overrides: dict[str, float | str | Override] = dict(request.overrides)
    if request.inside is not None:
        if case.structures is None:
            raise InputError("--inside fills the body contour, but there is no structure set")
        region = _region(case.structures, request)
        if not region:
            raise InputError("--inside needs the body contour; name it with --body")
        grid = dose_grid(region, spacing=spacing)
        return phantom_from_structures(
            case.structures, grid, inside=request.inside, body=request.body, overrides=overrides
        ), None
    if case.ct is None:
        raise InputError(
            f"{case.folder}: no CT to calculate on{_other_images(case)}; add it, or fill the body "
            "with one material with --inside water"
        )
    curve = choose_curve(case.ct, name=request.hu_curve, config=request.config)
    region = _region(case.structures, request)
    phantom = phantom_from_ct(
        case.ct,
        case.structures,
        curve=curve,
        grid=dose_grid(region or case.ct, spacing=spacing, ct=case.ct),
        body=request.body,
        overrides=overrides,
        use_recorded_densities=request.recorded_densities,
        couch=request.couch,
        bolus=request.bolus,
    )
    return phantom, curve


def _other_images(case: Case) -> str:
    """Say which images lie there that are no CT."""
    kinds = Counter(f.remark for f in case.files if f.kind == "other DICOM" and "mage" in f.remark)
    listed = ", ".join(f"{n} files of {kind}" for kind, n in kinds.items())
    return f" (there: {listed}, which have no Hounsfield units)" if listed else ""


def _region(structures: StructureSet | None, request: PhantomRequest) -> tuple[Structure, ...]:
    """Find what the dose grid must hold: body, couch and bolus; nothing if all of the CT stays.

    Where the body cannot be told it is nothing too: making the phantom refuses that.
    """
    if structures is None or request.body == "none":
        return ()
    if request.body is not None:
        body = structures[request.body]
    else:
        external = structures.bodies
        if len(external) != 1:
            return ()
        body = external[0]
    return (body, *(structures[name] for name in (*request.couch, *request.bolus)))


def _machine_notes(plan: Plan, machines: Mapping[int, Machine]) -> tuple[str, ...]:
    return tuple(
        note
        for beam in plan.beams
        if not machines[beam.number].calibration.per_fluence
        for note in beam_notes(beam, machines[beam.number])
    )


def _case_files(case: Case) -> tuple[Mapping[str, Any], ...]:
    return tuple(
        {
            "name": one.name,
            "kind": one.kind,
            "sha256": one.sha256,
            "uid": one.uid,
            "used": one.used,
            **({"remark": one.remark} if one.remark else {}),
        }
        for one in case.files
    )


def _option_files(options: DoseRequest) -> tuple[Mapping[str, Any], ...]:
    """Files that options name: own machines, an own HU curve, a scanner configuration."""
    named = [word.rpartition("=")[2] for word in options.machines]
    named += [options.phantom.hu_curve or "", str(options.phantom.config or "")]
    paths = [
        Path(name) for name in named if name.strip().lower().endswith((".json", ".csv", ".toml"))
    ]
    return tuple(
        {"name": str(path), "kind": "option", "sha256": file_sha256(path), "used": True}
        for path in dict.fromkeys(paths)
    )
