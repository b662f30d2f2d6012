"""What the user sees of a night: a bar, and a line for every case that has ended."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from dosecalc.text import NAME, terminal_text

__all__ = ["NightBar"]


class NightBar:
    """Tells on standard error how a night goes; on a terminal with a bar.

    Parameters
    ----------
    cases : int
        How many there are.
    """

    def __init__(self, cases: int) -> None:
        self._screen = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._screen,
            disable=not self._screen.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=cases)

    def __enter__(self) -> NightBar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begins(self, name: str) -> None:
        """Name the case that begins."""
        self._progress.update(self._task, description=terminal_text(name, NAME))

    def stage(self, name: str, stage: str) -> None:
        """Name what is being done in it."""
        about = f"{terminal_text(name, NAME)}  {terminal_text(stage, NAME)}"
        self._progress.update(self._task, description=about)

    def ended(self, name: str, said: str) -> None:
        """Print what came of a case."""
        with suppress(OSError, ValueError):
            self._screen.print(Text(terminal_text(said)))
        self._progress.advance(self._task)
