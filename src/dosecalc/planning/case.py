"""A patient to plan on: CT, structures, the phantom made of them, and a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.hu_curves import choose_curve
from dosecalc.data.machines import load_machine
from dosecalc.dicom import Case, import_folder
from dosecalc.errors import InputError
from dosecalc.model import CtImage, Machine, Phantom, Structure, StructureSet
from dosecalc.patient.coverage import volume_fraction
from dosecalc.patient.dose_grid import dose_grid
from dosecalc.patient.phantom import phantom_from_ct

__all__ = ["PlanningCase", "open_case"]


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
        What was decided on opening, for the record.
    """

    source: Case
    ct: CtImage
    structures: StructureSet
    phantom: Phantom
    machine: Machine
    choices: Mapping[str, Any]

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

    Raises
    ------
    DosecalcError
        Anything that is missing or cannot be calculated.
    """
    case = import_folder(Path(folder), incomplete_ok=True, plane_spacing=plane_spacing)
    if case.ct is None or case.structures is None:
        raise InputError(f"{folder}: planning needs a CT and a structure set")
    curve = choose_curve(case.ct, name=hu_curve, config=None)
    external = [s.name for s in case.structures.bodies] if body is None else []
    if body is None and len(external) != 1:
        raise InputError(
            f"{folder}: {len(external)} structures are EXTERNAL; name the body contour with body="
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
    choices = {
        "grid_mm": grid_mm,
        "hu_curve": {"name": curve.name, "version": curve.version, "sha256": curve.sha256},
        "body": body or external[0],
        "plane_spacing": plane_spacing,
        "overrides": dict(overrides or {}),
        "couch": list(couch),
        "bolus": list(bolus),
    }
    return PlanningCase(case, case.ct, case.structures, phantom, load_machine(machine), choices)
