"""A patient to plan on: CT, structures, the phantom made of them, and a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.hu_curves import choose_curve
from dosecalc.data.machines import load_machine
from dosecalc.errors import InputError
from dosecalc.io.dicom import Case, import_folder
from dosecalc.model import CtImage, Machine, PatientPosition, Phantom, Structure, StructureSet
from dosecalc.patient.coverage import volume_fraction
from dosecalc.patient.dose_grid import dose_grid
from dosecalc.patient.overrides import as_override
from dosecalc.patient.phantom import phantom_from_ct
from dosecalc.workflow.requests import DoseRequest

__all__ = ["FolderChoices", "PlanningCase", "open_case"]


class FolderChoices(TypedDict, total=False):
    """What to take where a folder holds several; see :func:`dosecalc.io.dicom.import_folder`.

    `position` is a `PatientPosition` or its name, such as "HFS"; `same_patient` says why files of
    several PatientIDs or names are those of one patient.
    """

    plan_uid: str
    structure_set_uid: str
    ct_series_uid: str
    fraction_group: int
    without_beams: Sequence[int]
    position: PatientPosition | str
    same_patient: str


@dataclass(frozen=True)
class PlanningCase:
    """What beams are put on.

    Parameters
    ----------
    source : Case
        The patient folder as it was read.
    ct : CtImage
    structures : StructureSet
    phantom : Phantom
        On the dose grid.
    machine : Machine
    choices : mapping
        What was decided on opening.
    request : DoseRequest
        The same as ``dosecalc calc`` would be asked for, for the record.
    """

    source: Case
    ct: CtImage
    structures: StructureSet
    phantom: Phantom
    machine: Machine
    choices: Mapping[str, Any]
    request: DoseRequest

    def __getitem__(self, name: str) -> Structure:
        """Return a structure by its name."""
        return self.structures[name]

    def fraction(self, name: str) -> NDArray[np.float32]:
        """Share of every voxel of the dose grid that a structure fills."""
        return volume_fraction(self.structures[name], self.phantom.grid)


def open_case(
    folder: Path | str,
    *,
    machine: str,
    hu_curve: str,
    body: str | None = None,
    grid_mm: float = 2.5,
    overrides: Mapping[str, float | str] | None = None,
    couch: Sequence[str] = (),
    bolus: Sequence[str] = (),
    plane_spacing: float | None = None,
    **choices: Unpack[FolderChoices],
) -> PlanningCase:
    """Open a patient folder with CT and structures; a plan in it is not needed.

    Parameters
    ----------
    folder : Path
    machine, hu_curve : str
        Names, or paths of .json files; none is assumed.
    body : str or None
        Body contour; the one EXTERNAL structure if None.
    grid_mm : float
        Voxels of the dose grid.
    overrides : mapping of structure name to density (g/cm3) or material
    couch, bolus : structure names to keep outside the body
    plane_spacing : float or None, mm
        Distance of the slices that structures were drawn on; that of the CT if None.
    **choices
        Which plan, structure set, CT series and fraction group, where the folder holds several;
        beams to leave out; how the patient lies; why it is one patient: see `FolderChoices`.

    Raises
    ------
    DosecalcError
        Anything that is missing or cannot be calculated.
    """
    position = _position(choices.get("position"))
    case = import_folder(
        Path(folder),
        plan_uid=choices.get("plan_uid"),
        structure_set_uid=choices.get("structure_set_uid"),
        ct_series_uid=choices.get("ct_series_uid"),
        fraction_group=choices.get("fraction_group"),
        without_beams=choices.get("without_beams", ()),
        position=position,
        same_patient=choices.get("same_patient"),
        plane_spacing=plane_spacing,
        incomplete_ok=True,
    )
    if case.ct is None or case.structures is None:
        raise InputError(f"{folder}: planning needs a CT and a structure set")
    curve = choose_curve(case.ct, name=hu_curve, config=None)
    external = [s.name for s in case.structures.bodies] if body is None else []
    if body is None and len(external) != 1:
        raise InputError(
            f"{folder}: {len(external)} structures are of the type EXTERNAL; name the body contour "
            "with the argument body"
        )
    outer = [case.structures[name] for name in (body or external[0], *couch, *bolus)]
    phantom = phantom_from_ct(
        case.ct,
        case.structures,
        curve=curve,
        grid=dose_grid(tuple(outer), spacing=grid_mm, ct=case.ct),
        body=body,
        overrides=dict(overrides or {}),
        couch=couch,
        bolus=bolus,
    )
    recorded = {
        "grid_mm": grid_mm,
        "hu_curve": {"name": curve.name, "version": curve.version, "sha256": curve.sha256},
        "body": body or external[0],
        "plane_spacing": plane_spacing,
        "overrides": dict(overrides or {}),
        "couch": list(couch),
        "bolus": list(bolus),
        "choices": {name: getattr(value, "value", value) for name, value in choices.items()},
    }
    request = DoseRequest.from_words(
        path=Path(folder),
        grid_mm=grid_mm,
        machines=(machine,),
        hu_curve=hu_curve,
        body=body or external[0],
        overrides={name: as_override(name, one) for name, one in (overrides or {}).items()},
        couch=tuple(couch),
        bolus=tuple(bolus),
        plane_spacing=plane_spacing,
        structure_set_uid=choices.get("structure_set_uid"),
        ct_series_uid=choices.get("ct_series_uid"),
        position=None if position is None else position.value,
        incomplete=True,
        same_patient=choices.get("same_patient"),
    )
    model = load_machine(machine)
    return PlanningCase(case, case.ct, case.structures, phantom, model, recorded, request)


def _position(name: PatientPosition | str | None) -> PatientPosition | None:
    if name is None:
        return None
    try:
        return PatientPosition(name)
    except ValueError:
        known = ", ".join(one.value for one in PatientPosition)
        raise InputError(f"position {name!r}: there are {known}") from None
