"""A list of cases as a CSV file: one case a line, a column per option of the command."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dosecalc.errors import InputError
from dosecalc.text import file_text

__all__ = ["COLUMNS", "CaseList", "Column", "Job", "check_name", "read_list", "same_twice"]

_YES = {"yes": True, "true": True, "1": True, "x": True, "no": False, "false": False, "0": False}
# Names that the night itself uses in the folder of the results.
_TAKEN = ("summary.csv", "attention.csv")


@dataclass(frozen=True)
class Column:
    """A column: its name, the option it stands for, and how its cells are read.

    kind : {"text", "number", "file", "named", "flag"}
        A file lies at its path from the list; what is named may be a shipped thing, or a
        .json file that does. Numbers may have a decimal comma where cells are parted by
        semicolons. A flag says yes or no.
    """

    name: str
    option: str
    kind: str = "text"


COLUMNS = (
    Column("machine", "--machine", "named"),
    Column("hu_curve", "--hu-curve", "named"),
    Column("config", "--config", "file"),
    Column("body", "--body"),
    Column("override", "--override"),
    Column("recorded_densities", "--recorded-densities", "flag"),
    Column("couch", "--couch"),
    Column("bolus", "--bolus"),
    Column("plane_spacing", "--plane-spacing", "number"),
    Column("inside", "--inside"),
    Column("grid", "--grid", "number"),
    Column("directions", "--directions"),
    Column("uncertainty", "--uncertainty", "number"),
    Column("histories", "--histories"),
    Column("seed", "--seed"),
    Column("dose_to", "--dose-to"),
    Column("fractions", "--fractions"),
    Column("plan", "--plan"),
    Column("fraction_group", "--fraction-group"),
    Column("without_beam", "--without-beam"),
    Column("structures", "--structures"),
    Column("series", "--series"),
    Column("position", "--position"),
    Column("incomplete", "--incomplete", "flag"),
    Column("same_patient", "--same-patient"),
)
"""Columns of every command that calculates a patient."""


@dataclass(frozen=True)
class Job:
    """One line: the case's name, its folder, the words of its options, and all cells."""

    name: str
    folder: Path
    words: tuple[str, ...]
    cells: Mapping[str, str]


@dataclass(frozen=True)
class CaseList:
    """All cases, and what parts the cells: a table of results is parted by the same."""

    jobs: tuple[Job, ...]
    delimiter: str


def read_list(
    path: Path,
    columns: Iterable[Column],
    common: Mapping[str, str] | None = None,
    others: tuple[str, ...] = (),
) -> CaseList:
    """Read a list; `common` cells hold for all cases, whatever the list says.

    Raises
    ------
    InputError
        It cannot be read, a column is not known, or a line makes no case.
    """
    known = {one.name: one for one in columns}
    content = _content(path)
    # Spreadsheets write semicolons where the comma is the decimal sign.
    delimiter = ";" if ";" in content.partition("\n")[0] else ","
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter)
    jobs = []
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        _check_columns(names, ("case", "folder", *others, *known), path)
        reader.fieldnames = names
        for line in reader:
            where = f"{path}, line {reader.line_num}"
            if None in line or None in line.values():
                raise InputError(f"{where}: another number of cells than column names")
            if any((value or "").strip() for value in line.values()):
                cells = {name: value.strip() for name, value in line.items()}
                jobs.append(_job(cells, known, dict(common or {}), where, path.parent))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: no CSV text: {error}") from error
    _refuse_twice([job.name for job in jobs], path)
    return CaseList(tuple(jobs), delimiter)


def _content(path: Path) -> str:
    """Return the text of a list, or say what is in its place."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: name the CSV file that lists the cases")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path}: there is no such file; name the CSV file with the cases"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: not UTF-8 text; save the list as 'CSV UTF-8' in the spreadsheet"
        ) from None
    if not text.strip():
        raise InputError(f"{path} is empty: a line of column names and a line per case are needed")
    return text


def _check_columns(names: Sequence[str], allowed: Sequence[str], path: Path) -> None:
    """Refuse columns that are not known, name the nearest, or that are there twice."""
    unknown = [name for name in names if name not in allowed]
    if unknown:
        said = []
        for name in unknown:
            near = get_close_matches(name, allowed, n=1)
            said.append(f"{name!r}" + (f" (did you mean {near[0]}?)" if near else ""))
        raise InputError(
            f"{path}: no column is called {', '.join(said)}; there are: {', '.join(allowed)}"
        )
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: column {twice[0]} is there twice; keep one")
    if "folder" not in names:
        raise InputError(f"{path}: no column folder, which says where each case lies")


def same_twice(cases: CaseList) -> list[str]:
    """Say which cases name the same folder with the same options: one may be meant otherwise."""
    named: dict[tuple[Path, tuple[str, ...]], list[str]] = {}
    for job in cases.jobs:
        named.setdefault((job.folder, job.words), []).append(job.name)
    return [
        f"{' and '.join(names)} name the same folder with the same options, {folder}"
        for (folder, _), names in named.items()
        if len(names) > 1
    ]


def _refuse_twice(names: list[str], path: Path) -> None:
    # Folders of one name in upper and lower case are one folder on some systems.
    lower = [name.lower() for name in names]
    twice = sorted({name for name in names if lower.count(name.lower()) > 1})
    if twice or not names:
        raise InputError(
            f"{path}: {f'several cases are named {twice[0]!r}' if twice else 'no case'}; "
            "give every case its own name in a column case"
        )


def check_name(name: str, where: str) -> str:
    """Return a case's name, refused where it cannot be that of a folder."""
    if name != file_text(name) or name in _TAKEN:
        raise InputError(f"{where}: case {name!r} cannot be the name of a folder")
    return name


def _job(
    cells: dict[str, str],
    known: Mapping[str, Column],
    common: Mapping[str, str],
    where: str,
    base: Path,
) -> Job:
    if not cells["folder"]:
        raise InputError(f"{where}: no folder")
    folder = (base / cells["folder"]).resolve()
    name = check_name(cells.get("case") or folder.name, where)
    words: list[str] = []
    for column in known.values():
        given = column.name in common
        for value in (common if given else cells).get(column.name, "").split("|"):
            if value.strip():
                # What is typed with the command is found from where it is typed.
                words += _words(column, value.strip(), where, Path() if given else base)
    return Job(name, folder, tuple(words), cells | dict(common))


def _words(column: Column, value: str, where: str, base: Path) -> tuple[str, ...]:
    if column.kind == "flag":
        if value.lower() not in _YES:
            raise InputError(f"{where}: {column.name} {value!r}; write yes or no")
        return (column.option,) if _YES[value.lower()] else ()
    if column.kind == "number":
        value = value.replace(",", ".")
    if column.kind == "file" or (column.kind == "named" and value.endswith((".json", ".csv"))):
        key, equals, file = value.rpartition("=") if column.kind == "named" else ("", "", value)
        value = f"{key}{equals}{(base / file).resolve()}"
    return (column.option, value)
