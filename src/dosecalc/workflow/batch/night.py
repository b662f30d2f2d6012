"""A list of cases run one after the other: what fails becomes a line, what is done stays done."""

from __future__ import annotations

import shutil
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from dosecalc import __version__
from dosecalc.errors import DosecalcError, InputError
from dosecalc.records.one_writer import is_held, one_writer
from dosecalc.records.record import program
from dosecalc.records.record_file import RecordFile, open_record
from dosecalc.text import log_text
from dosecalc.workflow.batch.case_list import CaseList, Job
from dosecalc.workflow.batch.process import Told, in_a_process
from dosecalc.workflow.batch.tables import STARTED, SUMMARY, Row, read_table, write_tables
from dosecalc.workflow.find_inputs import unchanged
from dosecalc.workflow.output import check_output, lock_of
from dosecalc.workflow.recorded import recorded_options
from dosecalc.workflow.requests import DoseRequest, VerificationRequest

__all__ = ["LOCK", "SUMMARY", "Night", "Row", "Watcher", "refuse_early", "run_night"]

LOCK = ".dosecalc.lock"
"""Held in the folder of the results while a night runs."""

_Run = Callable[[list[str], Told], tuple[int, str]]

_REFUSED, _CRASHED, _INTERRUPTED = 3, 70, 130
# From best to worst; whatever is not here is a crash.
_WEIGHT = (0, 2, 1, _REFUSED, _CRASHED, _INTERRUPTED)
_FINISHED = (0, 1, 2)
_SECONDS_TO_END = 60.0


class Watcher(Protocol):
    """Is told how a night goes; nothing that it does ends the night."""

    def begins(self, name: str) -> None:
        """Hear that a case begins."""

    def stage(self, name: str, stage: str) -> None:
        """Hear what is being done in a case."""

    def ended(self, name: str, said: str) -> None:
        """Hear that a case has ended, and a line on what came of it."""


class _Nobody:
    """Watches without a word."""

    def begins(self, name: str) -> None:
        """Say nothing."""

    def stage(self, name: str, stage: str) -> None:
        """Say nothing."""

    def ended(self, name: str, said: str) -> None:
        """Say nothing."""


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
    asked: Callable[[Job], DoseRequest | VerificationRequest]

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
    watcher: Watcher | None = None,
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
    watcher : Watcher, optional
        Is told which case is being run and what came of it; nobody is where None.

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
            runs, told = run or in_a_process, watcher or _Nobody()
            if _run_all(night, cases, out, rows, force=force, run=runs, watcher=told):
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
    night: Night,
    cases: CaseList,
    out: Path,
    rows: dict[str, Row],
    *,
    force: bool,
    run: _Run,
    watcher: Watcher,
) -> bool:
    """Bring the rows of all cases up to date; whether it was let come to the end."""
    names = [job.name for job in cases.jobs]
    # What the last night ended in may end this one as well, so it waits until the others are done.
    order = sorted(cases.jobs, key=lambda job: rows[job.name].get("outcome") == STARTED)
    start, ran = time.perf_counter(), 0
    for number, job in enumerate(order, start=1):
        watcher.begins(job.name)
        row = None if force else _done_before(night, job, out, rows[job.name])
        if row is not None:
            said = f"{row['outcome']}, done before, left alone"
        else:

            def tell(stage: str, name: str = job.name) -> None:
                watcher.stage(name, stage)

            rows[job.name] = _asked(job) | {"outcome": STARTED}
            try:
                write_tables(out, night.all_columns, rows, names, cases.delimiter)
                row = _row(night, job, out, run, tell)
            except KeyboardInterrupt:
                row = _asked(job) | _ended(night, _INTERRUPTED, "interrupted")
            ran += 1
            said = _said(row, (time.perf_counter() - start) / ran * (len(order) - number))
        rows[job.name] = row
        watcher.ended(job.name, f"{number} of {len(order)}  {job.name}: {said}")
        write_tables(out, night.all_columns, rows, names, cases.delimiter)
        if row["exit_code"] == _INTERRUPTED:
            return False
    return True


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


def _other_language(options: DoseRequest | VerificationRequest, record: RecordFile) -> bool:
    """Whether the report was asked for in a language that it does not open in."""
    if not isinstance(options, VerificationRequest):
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


def refuse_early(
    cases: CaseList, look: Callable[[Job], object], tell: Callable[[str], None]
) -> list[str]:
    """Tell at once, while somebody is still there, which cases are going to be refused.

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
        tell(f"{job.name} {said}")
        refused.append(job.name)
    return refused
