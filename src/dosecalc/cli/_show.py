"""What the user sees: stages with bars and times while it runs, tables at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from dosecalc.report.record import to_json
from dosecalc.report.seal import SEAL
from dosecalc.report.tables import dose_table, fact_table, structure_table

if TYPE_CHECKING:
    from dosecalc.cli._calculate import Outcome

__all__ = ["Stages", "console", "show_outcome"]

Advance = Callable[[str, int, int], None]

# Where no terminal says how wide it is, tables are laid out for this many columns.
_WIDTH = 110


def console() -> Console:
    """Return a console on standard output that never wraps numbers for want of width."""
    width = None if sys.stdout.isatty() else _WIDTH
    return Console(highlight=False, width=width)


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
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[remark]}"),
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
            click.echo(f"{text} ...", err=True)
        task = self._progress.add_task(text, total=None, remark="")

        def advance(what: str, done: int, total: int) -> None:
            remark = f"{done} of {total} ({what})"
            self._progress.update(task, completed=done, total=total, remark=remark)

        start = time.perf_counter()
        yield advance
        self.seconds[text] = self.seconds.get(text, 0.0) + time.perf_counter() - start
        self._progress.update(task, completed=1, total=1, remark="")


def show_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """Print what was read, the dose, the structures, notes, and where the files are."""
    if as_json:
        click.echo(to_json(outcome.record), nl=False)
        return
    screen = console()
    screen.print(fact_table(outcome.facts, "what was read"))
    _print_list("notes", outcome.result.notes)
    _print_list("not checked, by anyone but you", outcome.record["not_checked"])
    screen.print()
    screen.print(dose_table(outcome.result))
    if outcome.result.structures:
        screen.print()
        screen.print(structure_table(outcome.result))
    seconds = sum(outcome.record["timings_s"].values())
    click.echo(f"\n{seconds:.1f} s. Written to {outcome.folder}/: {_files(outcome)}")
    click.echo(f"Seal of run.json, to be noted elsewhere: {outcome.record[SEAL][:16]}")


def _files(outcome: Outcome) -> str:
    return ", ".join([*outcome.record["outputs_sha256"], "run.json"])


def _print_list(title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    screen = console()
    screen.print(f"\n[bold]{title}[/bold]")
    for line in lines:
        screen.print(f"- {line}", markup=False)
