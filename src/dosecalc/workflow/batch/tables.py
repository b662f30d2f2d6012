"""Tables of a night: one of all cases, and one of those that a person has to look at."""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dosecalc.errors import InputError
from dosecalc.text import csv_text, csv_value

__all__ = ["ATTENTION", "STARTED", "SUMMARY", "Row", "read_table", "worst_first", "write_tables"]

SUMMARY = "summary.csv"
ATTENTION = "attention.csv"
STARTED = "started"
"""Outcome of a case that is being run, or in which a night was killed."""

Row = dict[str, Any]

# From worst to best, by exit code: crashed, interrupted, refused, fail, review, pass. Whatever is
# not here crashed.
_ORDER = ("70", "130", "3", "1", "2", "0")
# With its mark at the beginning: without it spreadsheets take names for those of another alphabet.
_ENCODING = "utf-8-sig"


def worst_first(rows: Iterable[Row]) -> list[Row]:
    """Sort rows by how much they need a person; equal ones stay in their order."""
    return sorted(rows, key=_rank)


def _rank(row: Row) -> int:
    code = str(row.get("exit_code", ""))
    if row.get("outcome") == STARTED:
        return _ORDER.index("130")
    return _ORDER.index(code) if code in _ORDER else 0


def read_table(path: Path, columns: tuple[str, ...], figures: tuple[str, ...]) -> dict[str, Row]:
    """Read the rows of an earlier night by case, none where there was none.

    Raises
    ------
    InputError
        It cannot be read, or is no table of this command.
    """
    if not path.exists():
        return {}
    try:
        with path.open(encoding=_ENCODING, newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=";" if ";" in first else ",")
            names = set(reader.fieldnames or ())
            # A table of another version may have other columns; those of this one are kept.
            known = names & set(columns)
            if {"case", "outcome", "exit_code"} <= names and names & set(figures):
                read = ({name: csv_value(row[name] or "") for name in known} for row in reader)
                return {row["case"]: row for row in read}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}; name another folder") from error
    raise InputError(f"{path} is not a table of this command; name another folder")


def write_tables(
    out: Path, columns: tuple[str, ...], rows: Mapping[str, Row], listed: Iterable[str], mark: str
) -> None:
    """Replace both tables; that of what needs a person holds the cases of this night alone.

    `mark` parts the cells; numbers have a decimal comma where it is a semicolon.
    """
    needed = [rows[name] for name in listed if rows[name] and _rank(rows[name]) < len(_ORDER) - 1]
    _write(out / SUMMARY, columns, rows.values(), mark)
    _write(out / ATTENTION, columns, worst_first(needed), mark)


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[Row], mark: str) -> None:
    """Replace a table as a whole: whoever reads it sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("w", encoding=_ENCODING, newline="") as stream:
            writer = csv.DictWriter(stream, columns, restval="", delimiter=mark)
            writer.writeheader()
            for row in rows:
                if row:
                    writer.writerow({name: _cell(value, mark) for name, value in row.items()})
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free space there" if full else "close it where it is open"
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}; {advice}"
        ) from error


def _cell(value: Any, mark: str) -> Any:
    """Write numbers with a decimal comma for the spreadsheets that part cells by semicolons."""
    if isinstance(value, float) and mark == ";":
        return str(value).replace(".", ",")
    return csv_text(value)
