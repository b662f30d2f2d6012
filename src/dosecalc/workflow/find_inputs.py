"""The inputs of a record found again by their contents, wherever they lie now."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dosecalc.data.hu_curves import is_curve_file, list_hu_curves, load_hu_curve
from dosecalc.errors import InputError
from dosecalc.records.record import file_sha256
from dosecalc.records.record_file import RecordFile
from dosecalc.workflow.recorded import NamedFile, Recorded, places
from dosecalc.workflow.requests import DoseRequest, VerificationRequest, is_recipe

__all__ = ["Found", "find_inputs", "unchanged"]

# Inputs in the record that are none of the patient's files; options hold them with their places.
_NO_PATIENT_FILE = ("option", "recipe")


@dataclass(frozen=True)
class Found:
    """Options that name the files as they lie now, where those were found, and what is to say.

    `absent` names files that were seen and not used and are not there any more.
    """

    options: DoseRequest | VerificationRequest
    where: Path
    notes: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Patient folder or recipe that is read: the copies, where files were copied."""
        one = self.options
        return one.calcs[0].path if isinstance(one, VerificationRequest) else one.path


class _Folder:
    """Files below a folder by name and by SHA-256, each hashed once.

    Those of `beside` lie elsewhere and are found by their contents too.
    """

    def __init__(self, path: Path, beside: Mapping[str, Path] | None = None) -> None:
        self.path, self.beside = path, beside or {}

    @cached_property
    def by_name(self) -> dict[str, str]:
        files = sorted(p for p in self.path.rglob("*") if p.is_file())
        return {p.relative_to(self.path).as_posix(): file_sha256(p) for p in files}

    @cached_property
    def by_sha256(self) -> dict[str, Path]:
        below = {sha256: self.path / name for name, sha256 in self.by_name.items()}
        return {**self.beside, **below}


def find_inputs(record: RecordFile, recorded: Recorded, case: Path | None, staging: Path) -> Found:
    """Find every input of a record by its SHA-256.

    Parameters
    ----------
    record : RecordFile
    recorded : Recorded
        Its options.
    case : Path or None
        Folder to look in first, at any depth and under any name; then the recorded places.
    staging : Path
        Empty folder. A patient's files are copied there under their recorded names where the
        folder they were found in does not hold them, and nothing else, under those names.

    Raises
    ------
    InputError
        An input is missing or was altered.
    """
    if case is not None and not case.is_dir():
        raise InputError(f"--case {case} is not a folder; name the one that holds the inputs")
    own = _own_outputs(record)
    given = None if case is None else _Folder(case, own)
    if is_recipe(recorded.calc.path):
        return _recipe(record, recorded, given)
    files = {one.name: _option_file(one, record, given) for one in recorded.files}
    where, notes, absent = _patient(record, recorded, given, staging / "patient")
    copies = _staged(files, staging / "options")
    options = _renamed(recorded.options, where, copies, record)
    shown = case or places(recorded.place, record.folder)[0]
    return Found(options, shown if where.is_relative_to(staging) else where, notes, absent)


def _recipe(record: RecordFile, recorded: Recorded, given: _Folder | None) -> Found:
    """Return a recipe where it lies: its machine is named from its own place."""
    if not recorded.files:
        return Found(recorded.options, recorded.calc.path)
    recipe, *machine = recorded.files
    place = _option_file(recipe, record, given)
    for one in machine:
        home = Path(recipe.place["absolute"]).parent
        beside = place.parent / os.path.relpath(one.place["absolute"], home)
        if not beside.is_file() or file_sha256(beside) != one.sha256:
            raise InputError(f"{place} names the machine {beside}, {_fault(one, [beside])}")
    if isinstance(recorded.options, VerificationRequest):
        raise InputError(f"{place} is a recipe: only a patient's plan is verified")
    return Found(replace(recorded.options, path=place), place)


def _option_file(one: NamedFile, record: RecordFile, given: _Folder | None) -> Path:
    if given is not None and one.sha256 in given.by_sha256:
        return given.by_sha256[one.sha256]
    there = [p for p in places(one.place, record.folder) if p.is_file()]
    for path in there:
        if file_sha256(path) == one.sha256:
            return path
    raise InputError(f"{one.name}, named by an option, {_fault(one, there)}")


def _fault(one: NamedFile, there: Sequence[Path]) -> str:
    for path in there:
        if path.is_file():
            return (
                f"was altered: SHA-256 of {path} is {file_sha256(path)[:12]}, recorded was "
                f"{one.sha256[:12]}; get the original back, into the folder named with --case"
            )
    return (
        f"is missing (it was {one.place['absolute']}, SHA-256 {one.sha256[:12]}); put it into the "
        "folder named with --case"
    )


def _patient(
    record: RecordFile, recorded: Recorded, given: _Folder | None, staging: Path
) -> tuple[Path, tuple[str, ...], tuple[str, ...]]:
    """Return a folder with the recorded files under the recorded names, notes, what is absent."""
    inputs = [one for one in record.run["inputs"] if one["kind"] not in _NO_PATIENT_FILE]
    seen = {str(one["name"]): str(one["sha256"]) for one in inputs}
    used = {str(one["name"]): str(one["sha256"]) for one in inputs if one["used"]}
    folders = [given] if given is not None else [
        _Folder(path, _own_outputs(record))
        for path in places(recorded.place, record.folder) if path.is_dir()
    ]  # fmt: skip
    for folder in folders:
        if folder.by_name == seen:
            return folder.path, (), ()
    for folder in folders:
        if set(used.values()) <= set(folder.by_sha256):
            return _copied(folder, seen, used, staging)
    if not folders:
        raise InputError(
            f"the patient's files are not at {recorded.place['absolute']} any more; name the "
            "folder that holds them with --case"
        )
    raise InputError(_lacking(folders[0], used))


def _own_outputs(record: RecordFile) -> dict[str, Path]:
    """Files that were written beside the record: a script's plan is both output and input."""
    return {sha256: record.folder / name for name, sha256 in record.outputs.items()}


def _copied(
    folder: _Folder, seen: Mapping[str, str], used: Mapping[str, str], staging: Path
) -> tuple[Path, tuple[str, ...], tuple[str, ...]]:
    there = {name: sha256 for name, sha256 in seen.items() if sha256 in folder.by_sha256}
    for name, sha256 in there.items():
        if not (staging / name).resolve().is_relative_to(staging.resolve()):
            raise InputError(f"the record names an input {name!r}, which lies in no folder")
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder.by_sha256[sha256], staging / name)
    absent = [name for name in seen if name not in there and name not in used]
    notes = [f"{len(used)} files were found by their contents in {folder.path}"]
    if absent:
        notes.append(
            f"{len(absent)} files that were seen and not used are not there: "
            f"{', '.join(absent[:4])}"
        )
    return staging, tuple(notes), tuple(absent)


def _lacking(folder: _Folder, used: Mapping[str, str]) -> str:
    gone = [name for name, sha256 in used.items() if sha256 not in folder.by_sha256]
    there = {Path(name).name for name in folder.by_name}
    altered = [name for name in gone if Path(name).name in there]
    missing = [name for name in gone if Path(name).name not in there]
    said = []
    for what, names in (("altered", altered), ("missing", missing)):
        if names:
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            said.append(f"{len(names)} {what} ({', '.join(names[:4])}{more})")
    return (
        f"{folder.path} does not hold the files that were used: of {len(used)}, "
        f"{', '.join(said)}. Name the folder of the original files with --case"
    )


def _staged(files: Mapping[str, Path], staging: Path) -> dict[str, Path]:
    """Copy files that options name, each under its own name, to a path without any "="."""
    copies = {}
    for number, (name, path) in enumerate(files.items()):
        copies[name] = staging / str(number) / Path(name).name
        copies[name].parent.mkdir(parents=True)
        shutil.copyfile(path, copies[name])
    return copies


def _renamed(
    options: DoseRequest | VerificationRequest,
    folder: Path,
    files: Mapping[str, Path],
    record: RecordFile,
) -> DoseRequest | VerificationRequest:
    """Name the files by where they are now."""
    if isinstance(options, DoseRequest):
        return _renamed_calc(options, folder, files, record)

    def now(path: Path | None) -> Path | None:
        return None if path is None else files[str(path)]

    return replace(
        options,
        calcs=tuple(_renamed_calc(one, folder, files, record) for one in options.calcs),
        reference=now(options.reference),
        template=now(options.template),
        tolerances=now(options.tolerances),
    )


def _renamed_calc(
    options: DoseRequest, folder: Path, files: Mapping[str, Path], record: RecordFile
) -> DoseRequest:
    machines = []
    for word in options.machines:
        key, equals, name = word.rpartition("=")
        machines.append(f"{key}{equals}{files.get(str(Path(name.strip())), name)}")
    curve = options.phantom.hu_curve
    if options.phantom.config is not None:
        # The curve that the configuration led to, by its contents: it says where by its own place.
        curve = _curve(record.run["choices"]["hu_curve"]["sha256"], files)
    elif curve is not None:
        curve = str(files.get(str(Path(curve)), curve))
    phantom = replace(options.phantom, hu_curve=curve, config=None)
    return replace(options, path=folder, machines=tuple(machines), phantom=phantom)


def _curve(sha256: str, files: Mapping[str, Path]) -> str:
    for name in list_hu_curves():
        if load_hu_curve(name).sha256 == sha256:
            return name
    for path in files.values():
        if is_curve_file(path) and file_sha256(path) == sha256:
            return str(path)
    raise InputError(
        f"the HU curve that was used (SHA-256 {sha256[:12]}) is neither shipped nor recorded"
    )


def unchanged(record: RecordFile, folder: Path, recorded: Recorded) -> bool:
    """Whether every input of a record is still what it was, at its place, and none was added."""
    inputs: list[Mapping[str, Any]] = record.run["inputs"]
    seen = {str(f["name"]): str(f["sha256"]) for f in inputs if f["kind"] not in _NO_PATIENT_FILE}
    if not folder.is_dir() or _Folder(folder).by_name != seen:
        return False
    return all(
        Path(one.name).is_file() and file_sha256(Path(one.name)) == one.sha256
        for one in recorded.files
    )
