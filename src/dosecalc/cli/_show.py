"""What the user sees of a calculation: stages with bars and times, tables at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from dosecalc.cli._say import printing, say, say_heading, say_json, show
from dosecalc.records.seal import SEAL
from dosecalc.report.tables import TextTable, dose_table, fact_table, structure_table
from dosecalc.text import NAME, name_text, terminal_text
from dosecalc.workflow.progress import Advance

if TYPE_CHECKING:
    from dosecalc.verification.verification import Verification
    from dosecalc.workflow.calculate import Outcome
    from dosecalc.workflow.verify import Verified

__all__ = ["Stages", "show_outcome", "show_verification"]


class Stages:
    """Tells on standard error what is being done, and measures how long it takes.

    On a terminal every stage has a bar; elsewhere it is a line when it begins.

    Parameters
    ----------
    shown : bool
        False says nothing but measures all the same.
    """

    def __init__(self, *, shown: bool) -> None:
        self.seconds: dict[str, float] = {}
        terminal = Console(stderr=True, highlight=False)
        self._lines = shown and not terminal.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[remark]}", markup=False),
            TimeElapsedColumn(),
            console=terminal,
            disable=not shown or self._lines,
        )

    def __enter__(self) -> Stages:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    @contextmanager
    def stage(self, text: str) -> Iterator[Advance]:
        """Show and time a stage; the value to call with (what, done, total) moves its bar."""
        if self._lines:
            say(f"{text} ...", err=True)
        task = self._progress.add_task(terminal_text(text), total=None, remark="")

        def advance(what: str, done: int, total: int) -> None:
            remark = f"{done} of {total} ({terminal_text(what, NAME)})"
            self._progress.update(task, completed=done, total=total, remark=remark)

        start = time.perf_counter()
        yield advance
        self.seconds[text] = self.seconds.get(text, 0.0) + time.perf_counter() - start
        self._progress.update(task, completed=1, total=1, remark="")


def show_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """Print what was read, the dose, the structures, notes, and where the files are."""
    with printing(outcome.folder):
        if as_json:
            say_json(outcome.record)
            return
        show(fact_table(outcome.facts, "what was read"))
        # Where the engine is not to be trusted has to be seen, not only recorded.
        cautions = outcome.result.dose.provenance.get("cautions", ())
        _print_list("cautions of the engine", tuple(dict.fromkeys(cautions)))
        _print_list("notes", outcome.result.notes)
        _print_list("not checked, by anyone but you", outcome.record["not_checked"])
        say()
        show(dose_table(outcome.result))
        if outcome.result.structures:
            say()
            show(structure_table(outcome.result))
        seconds = sum(outcome.record["timings_s"].values())
        say()
        say(f"{seconds:.1f} s. Written to {outcome.folder}/: {_files(outcome)}")
        say(f"Seal of run.json, to be noted elsewhere: {outcome.record[SEAL][:16]}")


def _files(outcome: Outcome) -> str:
    return ", ".join([*outcome.record["outputs_sha256"], "run.json"])


def _print_list(title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    say_heading(title)
    for line in lines:
        say(f"- {line}")


def show_verification(outcome: Verified, *, as_json: bool) -> None:
    """Print verdict, rules and what was not checked."""
    with printing(outcome.folder):
        if as_json:
            say_json(outcome.values)
            return
        found = outcome.verification
        show(_rules_table(found))
        if any(one.rule == "beam fit" and one.outcome for one in found.findings):
            say(
                "beam fit: what would have to be changed in the calculated beam to fit the "
                "reference; an error in the plan has the opposite sign"
            )
        say_heading("not checked")
        for line in found.not_checked:
            say(f"- {line}")
        say()
        say(
            f"The program reports; a named person decides. {outcome.folder}/: report.html, "
            "report.pdf, verification.json, RTDOSE.dcm"
        )
        say(f"Seal of verification.json, to be noted elsewhere: {outcome.values[SEAL][:16]}")


def _rules_table(found: Verification) -> TextTable:
    """Lay out the findings, the worst first, under the verdict."""
    # One line of a narrow terminal, so that no line begins with what a file made of its label.
    table = TextTable(f"{name_text(found.label)}: {found.outcome.name}")
    table.head("outcome", "rule", "what was found", "review", "fail")
    for one in sorted(found.findings, key=lambda f: -f.outcome):
        limits = ("" if v is None else f"{v:g} {one.unit}" for v in (one.review, one.fail))
        name = one.outcome.name if one.outcome else "pass" if one.judged else "shown"
        table.put(name, one.rule, one.sentence, *limits)
    return table
