"""A list of cases run one after the other: what fails becomes a line, what is done stays done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from dosecalc import __version__
from dosecalc.cli._examine import VerifyOptions
from dosecalc.cli._inputs import unchanged
from dosecalc.cli._list import CaseList, Job
from dosecalc.cli._machine import GROUP_READABLE, group_may_read
from dosecalc.cli._options import CalcOptions
from dosecalc.cli._output import check_output, lock_of
from dosecalc.cli._recorded import recorded_options
from dosecalc.cli._say import say
from dosecalc.cli._table import STARTED, SUMMARY, Row, read_table, write_tables
from dosecalc.errors import DosecalcError, InputError
from dosecalc.records.one_writer import is_held, one_writer
from dosecalc.records.record import program
from dosecalc.records.record_file import RecordFile, open_record
from dosecalc.text import NAME, log_text, terminal_text

__all__ = ["LOCK", "SUMMARY", "Night", "Row", "refuse_early", "run_night"]

LOCK = ".dosecalc.lock"
"""Held in the folder of the results while a night runs."""

Told = Callable[[str], None]
_Run = Callable[[list[str], Told], tuple[int, str]]

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
    run: _Run | None = None,
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
    _make(out)
    held = (
        f"{out}: another night is writing there; wait until it has ended, or name another folder "
        "with --out"
    )
    with one_writer(out / LOCK, held):
        _refuse_running(cases, out)
        earlier = read_table(out / SUMMARY, night.all_columns, night.columns)
        rows = {job.name: earlier.get(job.name, {}) for job in cases.jobs} | earlier
        try:
            if _run_all(night, cases, out, rows, force=force, run=run or _in_a_process):
                return max((_code(rows[job.name]) for job in cases.jobs), key=_WEIGHT.index), rows
        except SystemExit:
            _leave_no_started(night, cases, out, rows)
            raise
    return _INTERRUPTED, rows


def _refuse_running(cases: CaseList, out: Path) -> None:
    """Refuse to begin while a case runs that a night left behind which was killed."""
    for job in cases.jobs:
        if is_held(lock_of(out / job.name)):
            raise InputError(
                f"{out / job.name}: the last case of a night that was ended is still being "
                "calculated; wait until it has ended, or name another folder with --out"
            )


def _leave_no_started(night: Night, cases: CaseList, out: Path, rows: dict[str, Row]) -> None:
    """Say in the tables of a night that is being ended which case it was at."""
    for job in cases.jobs:
        if rows[job.name].get("outcome") == STARTED:
            rows[job.name] = _asked(job) | _ended(night, _INTERRUPTED, "ended by a signal")
    names = [job.name for job in cases.jobs]
    write_tables(out, night.all_columns, rows, names, cases.delimiter)


def _make(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made: {error.strerror or error}") from error


def _run_all(
    night: Night, cases: CaseList, out: Path, rows: dict[str, Row], *, force: bool, run: _Run
) -> bool:
    """Bring the rows of all cases up to date; whether it was let come to the end."""
    names = [job.name for job in cases.jobs]
    # What the last night ended in may end this one as well, so it waits until the others are done.
    order = sorted(cases.jobs, key=lambda job: rows[job.name].get("outcome") == STARTED)
    screen = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)
    with _bar(screen) as progress:
        task = progress.add_task("", total=len(order))
        start, ran = time.perf_counter(), 0
        for number, job in enumerate(order, start=1):
            progress.update(task, description=terminal_text(job.name, NAME))
            row = None if force else _done_before(night, job, out, rows[job.name])
            if row is not None:
                said = f"{row['outcome']}, done before, left alone"
            else:

                def tell(stage: str, name: str = job.name) -> None:
                    about = f"{terminal_text(name, NAME)}  {terminal_text(stage, NAME)}"
                    progress.update(task, description=about)

                rows[job.name] = _asked(job) | {"outcome": STARTED}
                try:
                    write_tables(out, night.all_columns, rows, names, cases.delimiter)
                    row = _row(night, job, out, run, tell)
                except KeyboardInterrupt:
                    row = _asked(job) | _ended(night, _INTERRUPTED, "interrupted")
                ran += 1
                said = _said(row, (time.perf_counter() - start) / ran * (len(order) - number))
            rows[job.name] = row
            with suppress(OSError, ValueError):
                screen.print(Text(terminal_text(f"{number} of {len(order)}  {job.name}: {said}")))
            write_tables(out, night.all_columns, rows, names, cases.delimiter)
            progress.advance(task)
            if row["exit_code"] == _INTERRUPTED:
                return False
    return True


def _bar(screen: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=screen,
        disable=not screen.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _done_before(night: Night, job: Job, out: Path, before: Row) -> Row | None:
    """Return the row of a case that was finished with the same options, files and version."""
    try:
        record = open_record(out / job.name / night.record)
        recorded = recorded_options(record)
        asked, was = night.asked(job).to_record(), recorded.options.to_record()
        # The day on which models must be valid is that of the night; it makes no other dose.
        if {**asked, "on": ""} != {**was, "on": ""} or _other_language(night.asked(job), record):
            return None
        if record.run["program"] != program() or record.broken_seal() or record.broken_outputs():
            return None
        if not unchanged(record, job.folder, recorded) or record.run["engine"].get("stopped"):
            return None
        code = next(
            (c for c in _FINISHED if night.words.get(c) == (record.outcome or "done")), None
        )
        if code is None:
            return None
        # The row says nothing of it where the night was killed and the case went on by itself.
        told = {key: before.get(key) or value for key, value in _times(record).items()}
        return _asked(job) | night.figures(job, record) | _ended(night, code, "") | told
    except Exception:
        # Whatever it is, the case that is run again meets it and says so.
        return None


def _other_language(options: CalcOptions | VerifyOptions, record: RecordFile) -> bool:
    """Whether the report was asked for in a language that it does not open in."""
    if not isinstance(options, VerifyOptions):
        return False
    return record.report_language not in (None, options.language)


def _times(record: RecordFile) -> Row:
    """Seconds of a run and when it ended, as far as its record tells."""
    seconds = record.run.get("timings_s", {}).values()
    ended = datetime.fromtimestamp(record.path.stat().st_mtime).astimezone()
    return {
        "seconds": round(sum(seconds), 1) if seconds else "",
        "finished": ended.isoformat(timespec="seconds"),
    }


def _row(
    night: Night,
    job: Job,
    out: Path,
    run: _Run,
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
    except Exception:
        # A fault of the program in one case is no reason to leave the others undone.
        code, told = _CRASHED, traceback.format_exc()
    crash = out / f"{job.name}.crash.txt"
    crash.unlink(missing_ok=True)
    if code not in _WEIGHT or code == _CRASHED:
        crash.write_text(f"{log_text(told)}\n", encoding="utf-8")
    seconds = round(time.perf_counter() - start, 1)
    return _asked(job) | found | _ended(night, code, told) | {"seconds": seconds}


def _in_a_process(words: list[str], tell: Told) -> tuple[int, str]:
    """Run a command in a process of its own; its lines go to `tell`."""
    command = [sys.executable, "-m", "dosecalc.cli.main", *words]
    child = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=os.environ
        | {"PYTHONIOENCODING": "utf-8", GROUP_READABLE: "1" if group_may_read() else "0"},
    )
    said = []
    try:
        for line in child.stderr or ():
            said.append(line)
            tell(line.strip())
        code = child.wait()
    except BaseException as error:
        # Ctrl-C reaches both, and a command writes what it has; any other signal is passed on.
        _end(child, ask=not isinstance(error, KeyboardInterrupt))
        raise
    if code < 0:
        said.append(f"ended by signal {-code}" + (", for want of memory?" if code == -9 else ""))
    return code, "".join(said)


def _end(child: subprocess.Popen[str], *, ask: bool) -> None:
    """Wait for a command that is ending, asking it to if need be, so that it leaves nothing."""
    if not ask:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_SECONDS_TO_END)
            return
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(_SECONDS_TO_END)
        return
    child.kill()
    child.wait()


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
    said = (line.removeprefix("| ").strip() for line in reversed(lines))
    return next((line for line in said if line), "nothing was said")


def _said(row: Row, left: float) -> str:
    about = f"  (about {left / 60:.0f} min left)" if left >= 60 else ""
    worst = row.get("worst_rule") or ""
    return f"{row['outcome']}, {row.get('seconds', 0)} s{about}  {row['error'] or worst}".rstrip()


def _code(row: Row) -> int:
    code = int(row["exit_code"])
    return code if code in _WEIGHT else _CRASHED


def refuse_early(cases: CaseList, look: Callable[[Job], object]) -> list[str]:
    """Say at once, while somebody is still there, which cases are going to be refused.

    Whatever happens in one case is a line of its own and does not keep the others from being read.
    """
    refused = []
    for job in cases.jobs:
        try:
            if not job.folder.is_dir():
                raise InputError(f"{job.folder} is not a folder")
            look(job)
        except DosecalcError as error:
            said = f"will be refused: {error}"
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            said = f"will crash, a fault of dosecalc, please report it: {what}"
        else:
            continue
        say(f"{job.name} {said}", err=True)
        refused.append(job.name)
    return refused
