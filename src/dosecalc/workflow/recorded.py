"""Options in a record: what was asked for, the files it names, and where all of it lay.

A path is recorded as it was typed, absolute, and relative to the record's folder, so that a tree
of patients and results that is moved as a whole is still found. Every file has its SHA-256:
what counts is the content, wherever it lies.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dosecalc.data.hu_curves import is_curve_file
from dosecalc.errors import InputError
from dosecalc.patient.recipe import MachineSource, load_recipe
from dosecalc.records.record import file_sha256
from dosecalc.records.record_file import RecordFile
from dosecalc.workflow.requests import DoseRequest, VerificationRequest, is_recipe

__all__ = [
    "NamedFile",
    "Recorded",
    "check_repeatable",
    "named_files",
    "options_record",
    "places",
    "recorded_options",
]

_TABLES = ("choices", "engine", "program", "host", "machine_models", "physical_data_sha256")
_INPUT_KEYS = {"name", "kind", "sha256", "used"}


@dataclass(frozen=True)
class NamedFile:
    """A file that options name: the word, its hash, and where it was."""

    name: str
    sha256: str
    place: Mapping[str, str]


@dataclass(frozen=True)
class Recorded:
    """The options of a record.

    Parameters
    ----------
    options : DoseRequest or VerificationRequest
        With paths as they were.
    files : tuple of NamedFile
        All files that options name, below which are none of the patient's.
    place : mapping
        Where patient folder or recipe were.
    """

    options: DoseRequest | VerificationRequest
    files: tuple[NamedFile, ...]
    place: Mapping[str, str]

    @property
    def calc(self) -> DoseRequest:
        """What the first engine was asked to do."""
        return _calc(self.options)


def options_record(options: DoseRequest | VerificationRequest, folder: Path) -> dict[str, Any]:
    """Return options for a record in `folder`, as plain JSON values.

    Raises
    ------
    InputError
        A file that an option names cannot be read.
    """
    return {
        "command": "verify" if isinstance(options, VerificationRequest) else "calc",
        "values": options.to_record(),
        "place": _place(_calc(options).path, folder),
        "files": [
            {"name": str(path), "sha256": _sha256(path), "place": _place(path, folder)}
            for path in named_files(options)
        ],
    }


def recorded_options(record: RecordFile) -> Recorded:
    """Read the options of a record.

    Raises
    ------
    InputError
        It has none, or options that this version does not know.
    """
    choices = record.run.get("choices", {})
    found = choices.get("options") if isinstance(choices, Mapping) else choices
    if found is None:
        raise InputError(
            f"{record.path} does not hold the options in a form that can be run again: an older "
            "dosecalc wrote it; calculate again to have such a record"
        )
    try:
        kind = VerificationRequest if found["command"] == "verify" else DoseRequest
        options = kind.from_record(found["values"])
        files = tuple(NamedFile(**one) for one in found["files"])
        if not all(isinstance(one["absolute"], str) for one in _all_places(found)):
            raise TypeError("a place without its absolute path")
        return Recorded(options, files, found["place"])
    except InputError as error:
        raise InputError(
            f"{record.path}: {error}; calculate again to have such a record"
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{record.path}: its options cannot be read ({type(error).__name__}: {error}); get the "
            "original record back, or calculate again"
        ) from error


def _all_places(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [found["place"], *(one["place"] for one in found["files"])]


def check_repeatable(record: RecordFile) -> None:
    """Refuse a record that lacks what is read to calculate it again and to say what differs.

    Raises
    ------
    InputError
        An entry is missing or is not of its kind: it was altered by hand.
    """
    run = record.run
    for name in _TABLES:
        if not isinstance(run.get(name), Mapping):
            raise InputError(_lacks(record, name, run.get(name)))
    if not all(isinstance(one, Mapping) for one in run["machine_models"].values()):
        raise InputError(_lacks(record, "machine_models", run["machine_models"]))
    inputs = run.get("inputs")
    if not isinstance(inputs, list) or not all(
        isinstance(one, Mapping) and set(one) >= _INPUT_KEYS for one in inputs
    ):
        raise InputError(_lacks(record, "inputs", inputs))


def _lacks(record: RecordFile, name: str, value: object) -> str:
    what = "is missing" if value is None else "is not what a record holds there"
    return f"{record.path}: {name!r} {what}; get the original record back, or calculate again"


def named_files(options: DoseRequest | VerificationRequest) -> tuple[Path, ...]:
    """Return the files that options name: recipe, own machines and curves, templates and so on."""
    if isinstance(options, DoseRequest):
        return tuple(dict.fromkeys(_of_calc(options)))
    mine = (options.reference, options.template, options.tolerances)
    found = [path for calc in options.calcs for path in _of_calc(calc)]
    return tuple(dict.fromkeys([*found, *(path for path in mine if path is not None)]))


def places(place: Mapping[str, str], folder: Path) -> tuple[Path, ...]:
    """Return where a recorded path may be now, for a record that lies in `folder`."""
    found = []
    if "relative" in place:
        found.append(Path(os.path.normpath(folder.resolve() / place["relative"])))
    return (*found, Path(place["absolute"]))


def _calc(options: DoseRequest | VerificationRequest) -> DoseRequest:
    return options.calcs[0] if isinstance(options, VerificationRequest) else options


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _of_calc(options: DoseRequest) -> Iterator[Path]:
    if is_recipe(options.path):
        if options.path.suffix == ".toml":
            yield options.path
            source = load_recipe(options.path).source
            if isinstance(source, MachineSource) and source.machine.endswith(".json"):
                yield Path(source.machine)
        return
    machines = (word.partition("=")[2] or word for word in options.machines)
    for word in (*machines, options.phantom.hu_curve):
        if word is not None and is_curve_file(word):
            yield Path(word.strip())
    if options.phantom.config is not None:
        yield options.phantom.config
        yield from _curves_of(options.phantom.config)


def _curves_of(config: Path) -> Iterator[Path]:
    """Files of HU curves that a scanner configuration names; what it lacks is refused later."""
    try:
        entries = tomllib.loads(config.read_text(encoding="utf-8")).get("scanner", ())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"HU curve configuration {config} cannot be read: {error}") from error
    for entry in entries:
        curve = config.parent / str(entry.get("curve"))
        if is_curve_file(curve) and curve.is_file():
            yield curve


def _place(path: Path, folder: Path) -> dict[str, str]:
    absolute = path.resolve()
    place = {"absolute": str(absolute)}
    try:
        place["relative"] = Path(os.path.relpath(absolute, folder.resolve())).as_posix()
    except ValueError:
        # On Windows nothing leads from one drive to another.
        return place
    return place
