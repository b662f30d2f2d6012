"""``dosecalc verify-list``: a night of verifications from a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dosecalc.cli._say import say
from dosecalc.cli.verify import verify
from dosecalc.workflow.batch.case_list import COLUMNS, Column

if TYPE_CHECKING:
    from dosecalc.records.record_file import RecordFile
    from dosecalc.workflow.batch.case_list import CaseList, Job
    from dosecalc.workflow.batch.night import Row, Watcher
    from dosecalc.workflow.requests import VerificationRequest

__all__ = ["read_cases", "run_list", "verify_list"]

_COLUMNS = (
    Column("engines", "--engines"),
    *COLUMNS,
    Column("reference", "--reference", "file"),
    Column("3ddose_unit", "--3ddose-unit"),
    Column("3ddose_axes", "--3ddose-axes"),
    Column("template", "--template", "file"),
    Column("tolerances", "--tolerances", "file"),
    Column("language", "--language"),
)
_WORDS = {0: "PASS", 1: "FAIL", 2: "REVIEW", 3: "REFUSED", 70: "CRASHED", 130: "INTERRUPTED"}
_FIGURES = (
    *("patient_id", "plan", "n_fail", "n_review", "worst_rule", "finding"),
    *("gamma_percent", "largest_percent", "largest_in", "prescription", "engines"),
    *("decision", "report"),
)
# What a person has to look at first in the morning.
_ORDER = ("CRASHED", "INTERRUPTED", "REFUSED", "FAIL", "REVIEW", "PASS")
_REFUSED = 3
# Before the names of the columns in the command's parameters: one begins with a digit.
_GIVEN = "column_"
# Characters of the findings in a cell: all of them stand in the report.
_FINDINGS_SHOWN = 200


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command an option for every column, explained as `dosecalc verify` does."""
    known = {word: option for option in verify.params for word in option.opts}
    for column in reversed(_COLUMNS):
        option = known[column.option]
        about = option.help if isinstance(option, click.Option) else None
        command = click.option(
            column.option,
            _GIVEN + column.name,
            metavar="yes|no" if column.kind == "flag" else option.metavar or "TEXT",
            help=about or f"As --{column.name} of dosecalc verify.",
        )(command)
    return command


@click.command("verify-list")
@click.argument("cases", metavar="LIST", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the results; needed.")
@_common
@click.option("--force", is_flag=True, help="Verify cases again that are done.")
@click.option(
    "--check", is_flag=True, help="Only read every case and say which would be refused, and why."
)
def verify_list(
    cases: Path, out: Path | None, force: bool, check: bool, **common: str | None
) -> int:
    """Verify the cases of LIST, a CSV file, one after the other.

    LIST has a line per case and a first line of column names: `folder` (from the list's own
    place), `case` (a short name; else the folder's), and options of `dosecalc verify`: machine,
    hu_curve, body and so on, as below with _ for -. Several values in one cell are parted by |.
    Options given here hold for all cases, whatever the list says.

    OUT/CASE/ gets what `dosecalc verify` writes, OUT/summary.csv a line per case after each,
    OUT/attention.csv those that are not PASS, the worst first.
    What is refused or crashes does not stop the others. Called again, cases are left alone that
    were done with the same options, files and version. Exit code: the worst of all cases (0 pass,
    2 review, 1 fail, 3 refused, else a crash).
    """
    from dosecalc.cli._night_bar import NightBar
    from dosecalc.errors import InputError
    from dosecalc.workflow.batch.case_list import same_twice
    from dosecalc.workflow.batch.night import refuse_early
    from dosecalc.workflow.batch.tables import ATTENTION, SUMMARY

    given = {name.removeprefix(_GIVEN): value for name, value in common.items() if value}
    jobs = read_cases(cases, given)
    if out is None and not check:
        raise InputError("--out is needed: the folder of the results")
    for line in same_twice(jobs):
        say(f"look again: {line}", err=True)
    refused = refuse_early(jobs, _read if check else _look, _tell)
    if out is None or check:
        names = f": {', '.join(refused)}" if refused else ""
        say(f"{len(jobs.jobs)} cases were read: {len(refused)} would be refused{names}")
        return _REFUSED if refused else 0
    with NightBar(len(jobs.jobs)) as bar:
        code, rows = run_list(jobs, out, force=force, watcher=bar)
    _show(jobs, rows)
    say(f"{out / SUMMARY}, {out / ATTENTION}")
    return code


def read_cases(cases: Path, common: Mapping[str, str] | None = None) -> CaseList:
    """Read a list of cases to verify; `common` cells hold for all of them.

    Raises
    ------
    InputError
        It cannot be read, a column is not known, or a line makes no case.
    """
    from dosecalc.workflow.batch.case_list import read_list

    return read_list(cases, _COLUMNS, common)


def run_list(
    jobs: CaseList, out: Path, *, force: bool, watcher: Watcher | None = None
) -> tuple[int, dict[str, Row]]:
    """Verify the cases of a list that are not done yet; return the worst exit code and the table.

    Parameters
    ----------
    jobs : CaseList
    out : Path
    force : bool
        Verify cases again that are done.
    watcher : Watcher, optional
        Is told how it goes.
    """
    from dosecalc.workflow.batch.night import Night, run_night

    night = Night("verify", "verification.json", _WORDS, _FIGURES, _figures, _asked)
    return run_night(night, jobs, out, force=force, watcher=watcher)


def _tell(line: str) -> None:
    say(line, err=True)


def _asked(job: Job) -> VerificationRequest:
    """Read the words as the command itself will."""
    from dosecalc.errors import InputError
    from dosecalc.workflow.requests import VerificationRequest

    try:
        words = verify.make_context("verify", [str(job.folder), *job.words]).params
    except click.ClickException as error:
        raise InputError(error.format_message()) from None
    for name in ("progress", "as_json"):
        words.pop(name)
    return VerificationRequest.from_words(**words)


def _figures(job: Job, record: RecordFile) -> Row:
    from dosecalc.records.decisions import read_decisions

    values = record.values
    gamma, largest = values["gamma"], values["largest_difference"]
    by_outcome = {word: [f for f in values["findings"] if f["outcome"] == word] for word in _ORDER}
    worst = by_outcome[record.outcome] if record.outcome in ("FAIL", "REVIEW") else []
    sentences = [str(f["sentence"]) for word in ("FAIL", "REVIEW") for f in by_outcome[word]]
    decisions = read_decisions(record)
    last = decisions[-1] if decisions else None
    plan = str(record.run["plan"]["label"])
    return {
        "patient_id": str(values["case"]).removesuffix(plan).strip(),
        "plan": plan,
        "n_fail": len(by_outcome["FAIL"]),
        "n_review": len(by_outcome["REVIEW"]),
        "worst_rule": " | ".join(dict.fromkeys(str(f["rule"]) for f in worst)),
        "finding": _shortened(sentences),
        "gamma_percent": "" if gamma is None else round(gamma["pass_percent"], 2),
        "largest_percent": "" if largest is None else round(largest["percent_of_prescription"], 2),
        "largest_in": "" if largest is None else " | ".join(largest["structures"]),
        "prescription": values["prescription"]["text"],
        "engines": " | ".join(record.run["choices"]["engines"]),
        "decision": "" if last is None else f"{last.decision}, {last.name}, {last.time_utc}",
        "report": f"{job.name}/report.html",
    }


def _shortened(sentences: Iterable[str]) -> str:
    """Put sentences behind one another as long as a person would read them in a table."""
    left = list(sentences)
    text = ""
    while left:
        added = f"{text} | {left[0]}" if text else left[0]
        more = f" | and {len(left) - 1} more" if len(left) > 1 else ""
        if text and len(added) + len(more) > _FINDINGS_SHOWN:
            return f"{text} | and {len(left)} more"
        text = added if len(added) <= _FINDINGS_SHOWN else added[: _FINDINGS_SHOWN - 3] + "..."
        left.pop(0)
    return text


def _look(job: Job) -> VerificationRequest:
    """Load what the options name, which is quick."""
    from dosecalc.data.hu_curves import load_hu_curve
    from dosecalc.data.machines import load_machine
    from dosecalc.verification.goals import load_template
    from dosecalc.verification.tolerances import load_tolerances
    from dosecalc.workflow.engines import engine_settings
    from dosecalc.workflow.recorded import options_record

    options = _asked(job)
    for one in options.calcs:
        engine_settings(one.engine)
    options_record(options, job.folder)
    calc = options.calcs[0]
    for word in calc.machines:
        load_machine(word.partition("=")[2] or word)
    if calc.phantom.hu_curve is not None:
        load_hu_curve(calc.phantom.hu_curve)
    if options.template is not None:
        load_template(options.template)
    load_tolerances(options.tolerances)
    return options


def _read(job: Job) -> None:
    """Read all of the case, up to where the calculation would begin."""
    from dosecalc.workflow.prepare import prepare
    from dosecalc.workflow.progress import SilentStages
    from dosecalc.workflow.reference import find_reference

    options = _look(job)
    prepared = prepare(options.calcs[0], SilentStages())
    said = "can be calculated"
    if prepared.case is not None:
        found = find_reference(
            prepared.case,
            prepared.plan,
            options.reference,
            same_patient=options.calcs[0].folder.same_patient,
            reading=options.reading,
        )
        if found.dose is None:
            said += ", but there is no dose to compare with: it will be a REVIEW"
    say(f"{job.name}: {said}", err=True)


def _show(jobs: CaseList, rows: dict[str, Row]) -> None:
    """Print how many came to what, and what a person has to look at, the worst first."""
    found: dict[str, list[str]] = {word: [] for word in _ORDER}
    for job in jobs.jobs:
        found.setdefault(str(rows[job.name].get("outcome", "not begun")), []).append(job.name)
    counts = ", ".join(f"{len(names)} {word}" for word, names in found.items() if names)
    say(f"{len(jobs.jobs)} cases: {counts}")
    for word in _ORDER[:-1]:
        for name in found[word]:
            row = rows[name]
            why = str(row.get("error") or row.get("worst_rule") or "")
            if row.get("gamma_percent") not in (None, ""):
                why += f"; gamma {row['gamma_percent']} %, largest {row['largest_percent']} %"
            say(f"  {word:<8} {name}: {why}")
