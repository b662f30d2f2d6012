"""What ``gamma``, ``compare`` and ``dvh`` share: read any dose and structures, write one file."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dosecalc.model import Dose, Structure, StructureSet

__all__ = [
    "GAMMA_LIMITS_SOURCE",
    "NamedDose",
    "NamedStructures",
    "check_file",
    "check_plane_spacing",
    "dose_options",
    "gamma_options",
    "gamma_outcome",
    "measure",
    "plane_spacing_option",
    "print_notes",
    "read_any_dose",
    "read_structure_file",
    "refuse_strangers",
    "structure_notes",
    "write_file",
]

GAMMA_LIMITS_SOURCE = "AAPM MPPG 5.b and TG-218"


def measure(unit: str) -> dict[str, Any]:
    """Return what makes an option take a number with or without its unit, such as ``2%``.

    What is no finite number, or has another unit, is refused.
    """

    def read(ctx: click.Context, option: click.Parameter, value: str | None) -> float | None:
        if value is None:
            return None
        text = value.strip()
        if text.lower().endswith(unit.lower()):
            text = text[: -len(unit)]
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise click.BadParameter(
                f"{value!r} is no number in {unit}; write 2 or 2{unit}", ctx, option
            )
        return number

    return {"type": str, "callback": read}


_CLOSEST_MM, _FURTHEST_MM = 0.05, 200.0
_PERCENT, _MM, _GY = measure("%"), measure("mm"), measure("Gy")


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
        from dosecalc.errors import InputError

        try:
            return self.structures[name]
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error


def dose_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options on how files are read that do not say everything themselves."""
    for option in reversed(
        (
            click.option(
                "--3ddose-unit",
                "unit",
                type=click.Choice(["Gy", "Gy cm2"]),
                help="Unit of the numbers in .3ddose files, which do not say; needed for them.",
            ),
            click.option(
                "--3ddose-axes",
                "axes",
                default="+x,+y,+z",
                show_default=True,
                metavar="A,B,C",
                help="Where x, y and z of .3ddose files point in the patient.",
            ),
            click.option(
                "--strangers",
                is_flag=True,
                help="Go on although patients or frames of reference differ; it is noted.",
            ),
        )
    ):
        command = option(command)
    return command


def gamma_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the criteria of gamma and the limits of its pass rate."""
    for option in reversed(
        (
            click.option(
                "--dose",
                "dose_percent",
                **_PERCENT,
                default=3.0,
                show_default=True,
                metavar="%",
                help="Dose criterion, with or without the percent sign.",
            ),
            click.option(
                "--distance",
                "distance_mm",
                **_MM,
                default=2.0,
                show_default=True,
                metavar="MM",
                help="Distance criterion.",
            ),
            click.option(
                "--threshold",
                **_PERCENT,
                default=10.0,
                show_default=True,
                metavar="%",
                help="Reference doses below this share of the normalisation do not count.",
            ),
            click.option(
                "--local", is_flag=True, help="Percentages are of the dose at each point."
            ),
            click.option(
                "--max-gamma",
                default=2.0,
                show_default=True,
                metavar="GAMMA",
                help="Gamma is sought up to this value; larger ones are given as it, 'or more'.",
            ),
            click.option(
                "--normalisation",
                **_GY,
                metavar="GY",
                help="Dose that percentages are of; the reference's maximum if left out.",
            ),
            click.option(
                "--pass",
                "pass_from",
                **_PERCENT,
                default=95.0,
                show_default=True,
                metavar="%",
                help=f"Points to pass for exit code 0 ({GAMMA_LIMITS_SOURCE}).",
            ),
            click.option(
                "--fail",
                "fail_below",
                **_PERCENT,
                default=90.0,
                show_default=True,
                metavar="%",
                help=f"Below this, exit code 1; between both 2 ({GAMMA_LIMITS_SOURCE}).",
            ),
        )
    ):
        command = option(command)
    return command


def gamma_outcome(pass_percent: float, pass_from: float, fail_below: float) -> Any:
    """Judge a pass rate; an `Outcome` of :mod:`dosecalc.messages.findings`.

    Raises
    ------
    InputError
        The limits are not 0 <= fail <= pass <= 100.
    """
    from dosecalc.errors import InputError
    from dosecalc.messages.findings import Outcome

    if not 0 <= fail_below <= pass_from <= 100:
        raise InputError(
            f"--pass {pass_from:g} and --fail {fail_below:g}: 0 <= fail <= pass <= 100 is needed"
        )
    if pass_percent >= pass_from:
        return Outcome.PASS
    return Outcome.FAIL if pass_percent < fail_below else Outcome.REVIEW


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
    from dosecalc.errors import InputError
    from dosecalc.io.dose_files import read_3ddose

    _refuse_no_file(path, "an RTDOSE, .npz or .3ddose file")
    kind = path.suffix.lower()
    if kind == ".3ddose":
        if unit is None:
            raise InputError(f"{path} does not state its unit; say --3ddose-unit Gy or 'Gy cm2'")
        return _without_identity(path, read_3ddose(path, unit=unit, axes=axes.split(",")))
    if kind == ".npz":
        return _without_identity(path, _read_archive(path))
    from dosecalc.io.dicom import read_dose_file

    found = read_dose_file(path, slice_thickness_ok=plane)
    belongs = found.references
    return NamedDose(
        path, found.dose, belongs.subject.patient_id, belongs.frame_of_reference_uid, found.notes
    )


def _refuse_no_file(path: Path, wanted: str) -> None:
    from dosecalc.errors import InputError

    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file in it, {wanted}")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name {wanted}")


def _read_archive(path: Path) -> Dose:
    """Read a NumPy archive; NumPy's own advice on what is none would be to run what it holds."""
    import zipfile

    from dosecalc.errors import InputError
    from dosecalc.io.dose_files import read_npz_dose

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


def plane_spacing_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that says how far apart the slices are that structures were drawn on."""
    option = click.option(
        "--plane-spacing",
        **measure("mm"),
        metavar="MM",
        help="Distance of the slices that structures were drawn on, which decides where planes "
        "are missing; needed for a structure on a single plane or on planes far apart. The "
        "planes of the structure set tell it if left out.",
    )
    return option(command)


def check_plane_spacing(spacing: float) -> None:
    """Refuse a distance that no slices have.

    Raises
    ------
    InputError
        It is not from 0.05 to 200 mm.
    """
    from dosecalc.errors import InputError

    if not _CLOSEST_MM <= spacing <= _FURTHEST_MM:
        raise InputError(
            f"--plane-spacing {spacing:g} mm: give the distance of the CT slices, from "
            f"{_CLOSEST_MM:g} to {_FURTHEST_MM:g} mm"
        )


def read_structure_file(path: Path, plane_spacing: float | None = None) -> NamedStructures:
    """Read an RTSTRUCT file, drawn on slices of a spacing (mm) or as its planes tell."""
    from dosecalc.io.dicom import read_dataset, read_structures
    from dosecalc.patient.drawing import on_slices

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

    A file that does not say whose it is matches any other.

    Raises
    ------
    InputError
        They differ and `accepted` is False.
    """
    from dosecalc.errors import InputError

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
    if found and not accepted:
        raise InputError(
            f"{'; '.join(found)}. Compare what belongs together, or say --strangers if you know "
            "that both lie in one frame"
        )
    return tuple(found)


def check_file(path: Path | None, *, force: bool) -> None:
    """Refuse a file to write that is there already, before anything is calculated."""
    from dosecalc.errors import InputError

    if path is not None and path.exists() and not force:
        raise InputError(f"{path} exists already; name another file, or say --force to replace it")


def write_file(path: Path, content: bytes) -> None:
    """Write a file completely or not at all.

    Raises
    ------
    InputError
        The place cannot be written to.
    """
    from dosecalc.errors import InputError

    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.resolve().parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            mask = os.umask(0)
            os.umask(mask)
            Path(name).chmod(0o666 & ~mask)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error


def print_notes(notes: Iterable[str]) -> None:
    """Print notes, each once."""
    from dosecalc.cli._say import say

    lines: Sequence[str] = tuple(dict.fromkeys(notes))
    for line in lines:
        say(f"- {line}")
