"""What a command prints: lines, tables and JSON.

Everything goes through here: names from a patient's files neither steer the terminal nor forge a
line, and no letter that the terminal lacks ends in a crash.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from dosecalc.text import json_text, terminal_text

if TYPE_CHECKING:
    from rich.text import Text

    from dosecalc.report.tables import TextTable

__all__ = ["printing", "say", "say_heading", "say_json", "show", "speak_safely"]

# Where no terminal says how wide it is, tables are laid out for this many columns at least.
_WIDTH = 110


def speak_safely() -> None:
    """Let no letter that an output's encoding lacks end in a crash."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")


def say(text: object = "", *, err: bool = False) -> None:
    """Print one line, whatever it holds.

    What goes to standard error, and a reader that has gone away, never stop anything.

    Raises
    ------
    OSError
        Standard output cannot be written.
    """
    stream = sys.stderr if err else sys.stdout
    line = terminal_text(text, encoding=getattr(stream, "encoding", None))
    try:
        click.echo(line, err=err)
    except BrokenPipeError:
        _to_nowhere(stream)
    except (OSError, ValueError):
        if not err:
            raise


def say_heading(title: str) -> None:
    """Print the title of a list."""
    from rich.text import Text

    say()
    _print(Text(terminal_text(title), style="bold"), None)


def say_json(record: Mapping[str, Any]) -> None:
    """Print a record as JSON that any encoding can write and no terminal obeys."""
    from dosecalc.records.record import to_json

    try:
        click.echo(json_text(to_json(record), ascii_only=True), nl=False)
    except BrokenPipeError:
        _to_nowhere(sys.stdout)


def show(table: TextTable) -> None:
    """Print a table: never without a column, and in a pipe never with a broken cell."""
    from rich.console import Console

    least, most = table.widths()
    terminal = sys.stdout is not None and sys.stdout.isatty()
    _print(table, max(least, Console().width) if terminal else max(most, _WIDTH))


def _print(what: TextTable | Text, width: int | None) -> None:
    from rich.console import Console

    if sys.stdout is None:
        return
    screen = Console(highlight=False, markup=False, emoji=False, width=width)
    try:
        screen.print(what)
    except BrokenPipeError:
        _to_nowhere(sys.stdout)


@contextmanager
def printing(where: Path | str) -> Iterator[None]:
    """Print results that are written already: what goes wrong here takes nothing back.

    Parameters
    ----------
    where : Path or str
        Where the results are, for the message on standard error.
    """
    try:
        yield
    except Exception as error:
        _to_nowhere(sys.stdout)
        what = f"{type(error).__name__}: {error}"
        say(f"the results are complete in {where}, but could not be printed ({what})", err=True)


def _to_nowhere(stream: IO[str]) -> None:
    """Send what is printed from now on nowhere; else Python would fail once more as it ends."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
