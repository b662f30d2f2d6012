"""Any dose and any structures read from a file, and whether they belong together."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from dosecalc.errors import InputError
from dosecalc.io.dicom import read_dataset, read_dose_file, read_structures
from dosecalc.io.dose_files import read_3ddose, read_npz_dose
from dosecalc.model import Dose, Structure, StructureSet
from dosecalc.patient.drawing import on_slices

__all__ = [
    "NamedDose",
    "NamedStructures",
    "check_plane_spacing",
    "read_any_dose",
    "read_structure_file",
    "refuse_strangers",
    "strangers",
    "structure_notes",
]

_CLOSEST_MM, _FURTHEST_MM = 0.05, 200.0


@dataclass(frozen=True)
class NamedDose:
    """A dose that was read, where from, and whose it says it is ("" where it does not say)."""

    path: Path
    dose: Dose
    patient_id: str = ""
    frame_uid: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NamedStructures:
    """Structures that were read, and where from."""

    path: Path
    structures: StructureSet

    def __getitem__(self, name: str) -> Structure:
        """Return a structure by its name; a refusal says in which file there is none."""
        try:
            return self.structures[name]
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error


def read_any_dose(path: Path, *, unit: str | None, axes: str, plane: bool = False) -> NamedDose:
    """Read an RTDOSE, a NumPy archive (.npz) or a .3ddose file.

    Parameters
    ----------
    plane : bool
        Whether an RTDOSE of one frame is taken, as its slice thickness states.

    Raises
    ------
    DosecalcError
        It cannot be read, or a .3ddose file has no unit.
    """
    _refuse_no_file(path, "an RTDOSE, .npz or .3ddose file")
    kind = path.suffix.lower()
    if kind == ".3ddose":
        if unit is None:
            raise InputError(f"{path} does not state its unit; say --3ddose-unit Gy or 'Gy cm2'")
        return _without_identity(path, read_3ddose(path, unit=unit, axes=axes.split(",")))
    if kind == ".npz":
        return _without_identity(path, _read_archive(path))
    found = read_dose_file(path, slice_thickness_ok=plane)
    belongs = found.references
    return NamedDose(
        path, found.dose, belongs.subject.patient_id, belongs.frame_of_reference_uid, found.notes
    )


def _refuse_no_file(path: Path, wanted: str) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file in it, {wanted}")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name {wanted}")


def _read_archive(path: Path) -> Dose:
    """Read a NumPy archive; NumPy's own advice on what is none would be to run what it holds."""
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{path} is no NumPy archive: write the dose with numpy.savez_compressed, or name "
            "another file"
        )
    try:
        return read_npz_dose(path)
    except InputError as error:
        if "pickle" not in str(error):
            raise
        raise InputError(
            f"{path} holds Python objects, not numbers alone; those are not read"
        ) from error


def _without_identity(path: Path, dose: Dose) -> NamedDose:
    return NamedDose(path, dose, notes=tuple(dose.provenance.get("notes", ())))


def check_plane_spacing(spacing: float) -> None:
    """Refuse a distance that no slices have.

    Raises
    ------
    InputError
        It is not from 0.05 to 200 mm.
    """
    if not _CLOSEST_MM <= spacing <= _FURTHEST_MM:
        raise InputError(
            f"--plane-spacing {spacing:g} mm: give the distance of the CT slices, from "
            f"{_CLOSEST_MM:g} to {_FURTHEST_MM:g} mm"
        )


def read_structure_file(path: Path, plane_spacing: float | None = None) -> NamedStructures:
    """Read an RTSTRUCT file, drawn on slices of a spacing (mm) or as its planes tell."""
    if plane_spacing is not None:
        check_plane_spacing(plane_spacing)
    _refuse_no_file(path, "an RTSTRUCT file")
    found = read_structures(read_dataset(path), where=str(path))
    return NamedStructures(
        path, found if plane_spacing is None else on_slices(found, plane_spacing)
    )


def structure_notes(structures: NamedStructures, names: Collection[str] = ()) -> list[str]:
    """Return what the reader noted on the set and on its structures, or on those of `names`."""
    notes = [f"structures: {note}" for note in structures.structures.notes]
    for one in structures.structures:
        if not names or one.name in names:
            notes += [f"{one.name}: {note}" for note in one.notes]
    return notes


def refuse_strangers(
    first: NamedDose, other: NamedDose | NamedStructures, *, accepted: bool
) -> tuple[str, ...]:
    """Refuse two files of different patients or frames of reference, or note what is accepted.

    Raises
    ------
    InputError
        They differ and `accepted` is False.
    """
    found = strangers(first, other)
    if found and not accepted:
        raise InputError(
            f"{'; '.join(found)}. Compare what belongs together, or say --strangers if you know "
            "that both lie in one frame"
        )
    return found


def strangers(first: NamedDose, other: NamedDose | NamedStructures) -> tuple[str, ...]:
    """Say in what two files differ that should be one: patient and frame of reference.

    A file that does not say whose it is matches any other.
    """
    if isinstance(other, NamedDose):
        patient, frame = other.patient_id, other.frame_uid
    else:
        patient, frame = other.structures.patient_id, other.structures.frame_of_reference_uid
    found = []
    for what, a, b in (
        ("patient", first.patient_id, patient),
        ("frame of reference", first.frame_uid, frame),
    ):
        if a and b and a.casefold() != b.casefold():
            found.append(f"the {what} of {first.path} is {a}, of {other.path} {b}")
    return tuple(found)
