"""Read a patient folder, and make the phantom that a dose is calculated in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dosecalc.data.hu_curves import HuCurve, choose_curve
from dosecalc.errors import InputError
from dosecalc.io.dicom import Case, import_folder
from dosecalc.model import PatientPosition, Phantom, Structure
from dosecalc.patient.dose_grid import dose_grid
from dosecalc.patient.phantom import phantom_from_ct

__all__ = ["build_phantom", "read_patient"]


def read_patient(
    folder: Path | str,
    *,
    plan_uid: str | None = None,
    structure_set_uid: str | None = None,
    ct_series_uid: str | None = None,
    fraction_group: int | None = None,
    without_beams: Sequence[int] = (),
    position: PatientPosition | str | None = None,
    same_patient: str | None = None,
    incomplete_ok: bool = False,
) -> Case:
    """Read a patient folder: CT, structures, plan and doses that belong together.

    Files are sorted by what they hold, and tied together by the UIDs they state.

    Parameters
    ----------
    folder : Path or str
        DICOM files, in it or in folders below it.
    plan_uid, structure_set_uid, ct_series_uid : str, optional
        Which one, where the folder holds several and nothing says which belongs to the plan.
    fraction_group : int, optional
        Which fraction group of the plan, where it has several.
    without_beams : sequence of int
        Numbers of beams to leave out; the case notes it.
    position : PatientPosition or str, optional
        Such as "HFS", where the files do not say how the patient lies.
    same_patient : str, optional
        Why files of several PatientIDs or names are those of one patient.
    incomplete_ok : bool
        Whether a missing plan, structure set or CT, or a gap in the CT, is accepted.

    Returns
    -------
    Case
        With `ct`, `structures`, `plan`, `doses` and `notes`; ``case["PTV"]`` is a structure.

    Raises
    ------
    DicomError
        A file is damaged, or files contradict one another.
    InputError
        Something is missing, or a choice has to be made.
    UnsupportedError
        The plan asks for something that is not modelled.

    Examples
    --------
    >>> import dosecalc as dc
    >>> case = dc.read_patient("patient/")
    >>> case.plan
    Plan('CONFORMAL', 4 beams, 199.2 MU, 30 fractions, 60 Gy, HFS)
    >>> [one.name for one in case.structures.targets]
    ['GTV', 'PTV']
    """
    if isinstance(position, str):
        if position not in PatientPosition.__members__:
            known = ", ".join(PatientPosition.__members__)
            raise InputError(f"position {position!r}: there are {known}")
        position = PatientPosition[position]
    return import_folder(
        Path(folder),
        plan_uid=plan_uid,
        structure_set_uid=structure_set_uid,
        ct_series_uid=ct_series_uid,
        fraction_group=fraction_group,
        without_beams=without_beams,
        position=position,
        same_patient=same_patient,
        incomplete_ok=incomplete_ok,
    )


def build_phantom(
    case: Case,
    *,
    hu_curve: HuCurve | str | Path,
    grid_mm: float = 2.5,
    body: str | None = None,
    overrides: Mapping[str, float | str] | None = None,
    couch: Sequence[str] = (),
    bolus: Sequence[str] = (),
    recorded_densities: bool = False,
) -> Phantom:
    """Turn the CT of a case into density and material on the dose grid.

    Parameters
    ----------
    case : Case
        As `read_patient` returns it, with a CT.
    hu_curve : HuCurve, str or Path
        See `load_hu_curve`; none is assumed.
    grid_mm : float, mm
        Voxels of the dose grid, which lies around body, couch and bolus.
    body : str, optional
        Structure outside which there is air; the one of type EXTERNAL if left out. "none" keeps
        all of the CT.
    overrides : mapping of structure name to density (g/cm3) or material, optional
    couch, bolus : sequence of str
        Structures outside the body that stay.
    recorded_densities : bool
        Whether densities that the planning system stored with the structures are applied.

    Returns
    -------
    Phantom
        Its `notes` say what was limited, overridden and left out.

    Raises
    ------
    InputError
        There is no CT, no body can be told, or a structure or the curve does not exist.
    GeometryError
        CT, structures and dose grid do not meet.

    Examples
    --------
    >>> import dosecalc as dc
    >>> case = dc.read_patient("patient/")
    >>> phantom = dc.build_phantom(case, hu_curve="generic-120kvp", grid_mm=10.0)
    >>> phantom.grid.spacing
    (10.0, 10.0, 10.0)
    >>> bool(1.0 < phantom.density.max() < 2.0)
    True
    """
    if case.ct is None:
        raise InputError(f"{case.folder}: no CT to make a phantom of; add it to the folder")
    curve = hu_curve if isinstance(hu_curve, HuCurve) else choose_curve(case.ct, name=hu_curve)
    kept: tuple[Structure, ...] = ()
    if case.structures is not None and body != "none":
        outer = case.structures.body if body is None else case.structures[body]
        kept = (outer, *(case.structures[name] for name in (*couch, *bolus)))
    return phantom_from_ct(
        case.ct,
        case.structures,
        curve=curve,
        grid=dose_grid(kept or case.ct, spacing=grid_mm, ct=case.ct),
        body=body,
        overrides=overrides,
        use_recorded_densities=recorded_densities,
        couch=couch,
        bolus=bolus,
    )
