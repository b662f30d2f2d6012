"""A list of cases run one after the other: what fails becomes a line, what is done stays done."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dosecalc import __version__
from dosecalc.cli._examine import VerifyOptions
from dosecalc.cli._inputs import unchanged
from dosecalc.cli._list import CaseList, Job
from dosecalc.cli._options import CalcOptions
from dosecalc.cli._output import check_output
from dosecalc.cli._recorded import recorded_options
from dosecalc.errors import DosecalcError, InputError
from dosecalc.report.record import program
from dosecalc.report.record_file import RecordFile, open_record

__all__ = ["SUMMARY", "Night", "Row", "refuse_early", "run_night"]

SUMMARY = "summary.csv"

Row = dict[str, Any]
Told = Callable[[str], None]

_REFUSED, _CRASHED, _INTERRUPTED = 3, 70, 130
# From best to worst; whatever is not here is a crash.
_WEIGHT = (0, 2, 1, _REFUSED, _CRASHED, _INTERRUPTED)
_FINISHED = (0, 1, 2)
_SECONDS_TO_END = 60.0


@dataclass(frozen=True)
class Night:
    """What is done with every case.

    Parameters
    ----------
    command : str
        Subcommand that gets the case's folder and words.
    record : str
        Name of the record it writes.
    words : mapping of exit code to word
        What each exit code is called in the table.
    columns : tuple of str
        Names of the figures of a case.
    figures : callable(job, record) -> Row
        Those figures, from the record.
    asked : callable(job) -> options
        The options that its words stand for; refuses words that cannot be.
    """

    command: str
    record: str
    words: Mapping[int, str]
    columns: tuple[str, ...]
    figures: Callable[[Job, RecordFile], Row]
    asked: Callable[[Job], CalcOptions | VerifyOptions]

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Columns of the table."""
        first = ("case", "outcome", "exit_code", *self.columns, "error")
        return (*first, "seconds", "finished", "folder", "options", "version")


def run_night(
    night: Night,
    cases: CaseList,
    out: Path,
    *,
    force: bool,
    run: Callable[[list[str], Told], tuple[int, str]] | None = None,
) -> tuple[int, dict[str, Row]]:
    """Run every case that is not done yet.

    Parameters
    ----------
    night : Night
    cases : CaseList
    out : Path
        Gets a folder per case, and the table, replaced as a whole before and after every case.
    force : bool
        Whether cases that are done are done again.
    run : callable(words, told) -> (exit code, messages), optional
        What runs the command; a process of its own where None, so that a case that is killed,
        for want of memory say, takes no other with it.

    Returns
    -------
    code, rows
        The worst exit code of all cases, and the table.
    """
    out.mkdir(parents=True, exist_ok=True)
    table = out / SUMMARY
    earlier = _read(table, night)
    names = [job.name for job in cases.jobs]
    rows = {name: earlier.get(name, {}) for name in names} | earlier
    # What the last night ended in may end this one as well, so it waits until the others are done.
    order = sorted(cases.jobs, key=lambda job: _was_begun(rows[job.name]))
    screen = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=screen,
        disable=not screen.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        task = progress.add_task("", total=len(order))
        start, ran = time.perf_counter(), 0
        for number, job in enumerate(order, start=1):
            what = f"{number} of {len(order)}  {job.name}: "
            progress.update(task, description=job.name)
            done = None if force else _done_before(night, job, out, rows[job.name])
            if done is not None:
                rows[job.name] = done
                screen.print(f"{what}{done['outcome']}, done before, left alone")
            else:
                rows[job.name] = _asked(job) | {"outcome": "started"}
                _write(table, night, rows, cases.delimiter)

                def tell(stage: str, name: str = job.name) -> None:
                    progress.update(task, description=f"{name}  {stage}")

                try:
                    row = _row(night, job, out, run or _in_a_process, tell)
                except KeyboardInterrupt:
                    row = _asked(job) | _ended(night, _INTERRUPTED, "interrupted")
                rows[job.name], ran = row, ran + 1
                left = (time.perf_counter() - start) / ran * (len(order) - number)
                screen.print(f"{what}{_said(row, left)}")
            _write(table, night, rows, cases.delimiter)
            progress.advance(task)
            if rows[job.name]["exit_code"] == _INTERRUPTED:
                return _INTERRUPTED, rows
    return max((_code(rows[name]) for name in names), key=_WEIGHT.index), rows


def _done_before(night: Night, job: Job, out: Path, before: Row) -> Row | None:
    """Return the row of a case that was finished with the same options, files and version."""
    try:
        record = open_record(out / job.name / night.record)
        recorded = recorded_options(record)
        asked, was = night.asked(job).to_record(), recorded.options.to_record()
        # The day on which models must be valid is that of the night; it makes no other dose.
        if {**asked, "on": ""} != {**was, "on": ""}:
            return None
        if record.run["program"] != program() or record.broken_outputs():
            return None
        if not unchanged(record, job.folder, recorded) or record.run["engine"].get("stopped"):
            return None
        code = next(
            (c for c in _FINISHED if night.words.get(c) == (record.outcome or "done")), None
        )
        if code is None:
            return None
        told = {key: before.get(key, "") for key in ("seconds", "finished")}
        return _asked(job) | night.figures(job, record) | _ended(night, code, "") | told
    except DosecalcError:
        # Whatever it is, the case that is run again meets it and says so.
        return None


def _row(
    night: Night,
    job: Job,
    out: Path,
    run: Callable[[list[str], Told], tuple[int, str]],
    tell: Told,
) -> Row:
    """Run one case; whatever happens becomes a row."""
    start = time.perf_counter()
    found: Row = {}
    try:
        if not job.folder.is_dir():
            raise InputError(f"{job.folder} is not a folder")
        place = out / job.name
        # An earlier result is not that of this row: nobody shall read it as such if this one fails.
        check_output(place, force=True)
        shutil.rmtree(place, ignore_errors=True)
        words = [night.command, str(job.folder), *job.words, "--out", str(place), "--progress"]
        code, told = run(words, tell)
        if code in _FINISHED:
            record = open_record(place / night.record)
            found = night.figures(job, record)
            # Monte Carlo ends early on Ctrl-C and writes what there is; the night ends with it.
            stopped = record.run["engine"].get("stopped")
            if stopped:
                code, told = _INTERRUPTED, str(stopped)
    except DosecalcError as error:
        code, told = _REFUSED, f"refused: {error}"
    crash = out / f"{job.name}.crash.txt"
    crash.unlink(missing_ok=True)
    if code not in _WEIGHT or code == _CRASHED:
        crash.write_text(told, encoding="utf-8")
    seconds = round(time.perf_counter() - start, 1)
    return _asked(job) | found | _ended(night, code, told) | {"seconds": seconds}


def _in_a_process(words: list[str], tell: Told) -> tuple[int, str]:
    """Run a command in a process of its own; each line it says goes to `tell`."""
    command = [sys.executable, "-m", "dosecalc.cli.main", *words]
    child = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    said = []
    try:
        for line in child.stderr or ():
            said.append(line)
            tell(line.strip())
        code = child.wait()
    except BaseException:
        # Ctrl-C reaches both; the child is given time to write what it has.
        try:
            child.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise
    if code < 0:
        said.append(f"ended by signal {-code}" + (", for want of memory?" if code == -9 else ""))
    return code, "".join(said)


def _asked(job: Job) -> Row:
    """Return the part of a row that is known before anything is calculated."""
    options = subprocess.list2cmdline(job.words)
    about = {"case": job.name, "folder": str(job.folder), "options": options}
    return about | {"version": __version__}


def _ended(night: Night, code: int, told: str) -> Row:
    return {
        "outcome": night.words.get(code, night.words[_CRASHED]),
        "exit_code": code,
        "error": "" if code in _FINISHED else _sentence(told),
        "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _sentence(told: str) -> str:
    """Return what the command said in one line: why it refused, or a traceback's last line."""
    _, refused, reason = told.partition("refused: ")
    if refused:
        return " ".join(reason.split())
    lines = told.partition("This is a fault of dosecalc")[0].split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing was said")


def _said(row: Row, left: float) -> str:
    about = f"  (about {left / 60:.0f} min left)" if left >= 60 else ""
    worst = row.get("worst_rule") or ""
    return f"{row['outcome']}, {row.get('seconds', 0)} s{about}  {row['error'] or worst}".rstrip()


def _code(row: Row) -> int:
    code = int(row["exit_code"])
    return code if code in _WEIGHT else _CRASHED


def _was_begun(row: Row) -> bool:
    return row.get("outcome") == "started"


def _read(path: Path, night: Night) -> dict[str, Row]:
    """Rows of an earlier night by case, none where there was none."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as stream:
        first = stream.readline()
        stream.seek(0)
        reader = csv.DictReader(stream, delimiter=";" if ";" in first else ",")
        names = set(reader.fieldnames or ())
        # A table of another version may have other columns; those of this one are kept.
        if not {"case", "outcome", "exit_code", night.columns[0]} <= names:
            raise InputError(f"{path} is not a table of this command; name another folder")
        known = names & set(night.all_columns)
        return {row["case"]: {name: row[name] for name in known} for row in reader}


def _write(path: Path, night: Night, rows: Mapping[str, Row], delimiter: str) -> None:
    """Replace the table as a whole: whoever reads it sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, night.all_columns, restval="", delimiter=delimiter)
            writer.writeheader()
            for row in rows.values():
                if row:
                    writer.writerow({k: _cell(v, delimiter) for k, v in row.items()})
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error


def _cell(value: Any, delimiter: str) -> Any:
    """Write numbers with a decimal comma for the spreadsheets that part cells by semicolons."""
    if isinstance(value, float) and delimiter == ";":
        return str(value).replace(".", ",")
    return value


def refuse_early(cases: CaseList, look: Callable[[Job], object]) -> list[str]:
    """Say at once, while somebody is still there, which cases are going to be refused."""
    refused = []
    for job in cases.jobs:
        try:
            if not job.folder.is_dir():
                raise InputError(f"{job.folder} is not a folder")
            look(job)
        except DosecalcError as error:
            click.echo(f"{job.name} will be refused: {error}", err=True)
            refused.append(job.name)
    return refused
