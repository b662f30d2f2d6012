"""``dosecalc verify-list``: a night of verifications from a list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dosecalc.cli._list import COLUMNS, Column

if TYPE_CHECKING:
    from dosecalc.cli._examine import VerifyOptions
    from dosecalc.cli._list import CaseList, Job
    from dosecalc.cli._night import Row
    from dosecalc.report.record_file import RecordFile

__all__ = ["verify_list"]

_COLUMNS = (
    Column("engines", "--engines"),
    *COLUMNS,
    Column("reference", "--reference", "file"),
    Column("template", "--template", "file"),
    Column("tolerances", "--tolerances", "file"),
)
_WORDS = {0: "PASS", 1: "FAIL", 2: "REVIEW", 3: "REFUSED", 70: "CRASHED", 130: "INTERRUPTED"}
_FIGURES = (
    *("worst_rule", "finding", "gamma_percent", "largest_percent", "largest_in"),
    *("prescription", "engines", "decision"),
)
# What a person has to look at first in the morning.
_ORDER = ("CRASHED", "INTERRUPTED", "REFUSED", "FAIL", "REVIEW")
_REFUSED = 3
_SHOWN = 120


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command an option for every column."""
    for column in reversed(_COLUMNS):
        command = click.option(
            column.option,
            column.name,
            metavar="yes|no" if column.kind == "flag" else "TEXT",
            help=f"As the column {column.name}.",
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
    place), `case` (a short name; else the folder's), and the options of `dosecalc verify`. Several
    values in one cell are parted by |. Options given here hold for all cases, whatever the list
    says.

    OUT/CASE/ gets what `dosecalc verify` writes, OUT/summary.csv a line per case after each.
    What is refused or crashes does not stop the others. Called again, cases are left alone that
    were done with the same options, files and version. Exit code: the worst of all cases (0 pass,
    2 review, 1 fail, 3 refused, else a crash).
    """
    from dosecalc.cli._list import read_list
    from dosecalc.cli._night import SUMMARY, Night, refuse_early, run_night
    from dosecalc.errors import InputError

    given = {name: value for name, value in common.items() if value is not None}
    jobs = read_list(cases, _COLUMNS, given)
    night = Night("verify", "verification.json", _WORDS, _FIGURES, _figures, _asked)
    if check:
        refused = refuse_early(jobs, _read)
        click.echo(f"{len(jobs.jobs)} cases were read: {len(refused)} would be refused")
        return _REFUSED if refused else 0
    if out is None:
        raise InputError("--out is needed: the folder of the results")
    refuse_early(jobs, _look)
    code, rows = run_night(night, jobs, out, force=force)
    _show(jobs, rows)
    click.echo(f"{out / SUMMARY}")
    return code


def _asked(job: Job) -> VerifyOptions:
    """Read the words as the command itself will."""
    from dosecalc.cli._examine import VerifyOptions
    from dosecalc.cli.verify import verify
    from dosecalc.errors import InputError

    try:
        words = verify.make_context("verify", [str(job.folder), *job.words]).params
    except click.ClickException as error:
        raise InputError(f"{job.name}: {error.format_message()}") from None
    for name in ("progress", "as_json"):
        words.pop(name)
    return VerifyOptions.from_words(**words)


def _figures(_job: Job, record: RecordFile) -> Row:
    from dosecalc.report.decisions import read_decisions

    values = record.values
    worst = [f for f in values["findings"] if f["outcome"] == values["outcome"] != "PASS"]
    gamma, largest = values["gamma"], values["largest_difference"]
    decisions = read_decisions(record)
    last = decisions[-1] if decisions else None
    return {
        "worst_rule": " | ".join(dict.fromkeys(str(f["rule"]) for f in worst)),
        "finding": " | ".join(str(f["sentence"]) for f in worst),
        "gamma_percent": "" if gamma is None else round(gamma["pass_percent"], 2),
        "largest_percent": "" if largest is None else round(largest["percent_of_prescription"], 2),
        "largest_in": "" if largest is None else " | ".join(largest["structures"]),
        "prescription": values["prescription"]["text"],
        "engines": " | ".join(record.run["choices"]["engines"]),
        "decision": "" if last is None else f"{last.decision}, {last.name}, {last.time_utc}",
    }


def _look(job: Job) -> VerifyOptions:
    """Load what the options name, which is quick."""
    from dosecalc.cli._recorded import options_record
    from dosecalc.data.hu_curves import load_hu_curve
    from dosecalc.data.machines import load_machine
    from dosecalc.verify.template import load_template
    from dosecalc.verify.tolerances import load_tolerances

    options = _asked(job)
    options_record(options, job.folder)
    calc = options.calcs[0]
    for word in calc.machines:
        load_machine(word.partition("=")[2] or word)
    if calc.hu_curve is not None:
        load_hu_curve(calc.hu_curve)
    if options.template is not None:
        load_template(options.template)
    load_tolerances(options.tolerances)
    return options


def _read(job: Job) -> None:
    """Read all of the case, up to where the calculation would begin."""
    from dosecalc.cli._prepare import prepare
    from dosecalc.cli._show import Stages

    prepare(_look(job).calcs[0], Stages(shown=False))
    click.echo(f"{job.name}: can be calculated", err=True)


def _show(jobs: CaseList, rows: dict[str, Row]) -> None:
    """Print how many came to what, and what a person has to look at, the worst first."""
    found: dict[str, list[str]] = {}
    for job in jobs.jobs:
        found.setdefault(str(rows[job.name].get("outcome", "not begun")), []).append(job.name)
    counts = ", ".join(f"{len(names)} {word}" for word, names in found.items())
    click.echo(f"{len(jobs.jobs)} cases: {counts}")
    for word in _ORDER:
        for name in found.get(word, ()):
            row = rows[name]
            why = str(row.get("error") or row.get("worst_rule") or "")
            if row.get("gamma_percent") not in (None, ""):
                why += f"; gamma {row['gamma_percent']} %, largest {row['largest_percent']} %"
            click.echo(f"  {word:<8} {name}: {why if len(why) < _SHOWN else why[:_SHOWN] + '...'}")
