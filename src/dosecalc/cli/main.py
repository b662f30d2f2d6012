"""The command ``dosecalc``: its subcommands, and what leaves it as an exit code.

Exit codes: 0 pass, 1 fail, 2 review, 3 refused, 130 interrupted, 143 ended by a signal, anything
else a crash (70).
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

import click

from dosecalc import __version__
from dosecalc.cli._machine import (
    ended_by_signals,
    kept_private,
    let_group_read,
    refusal_of_machine,
    silence,
)
from dosecalc.cli._say import say, speak_safely
from dosecalc.cli.calc import calc
from dosecalc.cli.compare import compare
from dosecalc.cli.demo import demo
from dosecalc.cli.dvh import dvh
from dosecalc.cli.gamma import gamma
from dosecalc.cli.info import info
from dosecalc.cli.reproduce import reproduce
from dosecalc.cli.sign import sign
from dosecalc.cli.validate import validate
from dosecalc.cli.verify import verify
from dosecalc.cli.verify_list import verify_list
from dosecalc.cli.warmup import warmup
from dosecalc.errors import DosecalcError
from dosecalc.text import log_text, terminal_text
from dosecalc.workflow.batch.process import GROUP_READABLE

__all__ = ["CRASHED", "FAILED", "INTERRUPTED", "PASSED", "REFUSED", "REVIEW", "main"]

PASSED, FAILED, REVIEW, REFUSED, CRASHED, INTERRUPTED = 0, 1, 2, 3, 70, 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 pass, 1 fail, 2 review, 3 refused (the message says why and what to "
    "do), anything else a crash. Research software: not for clinical use without commissioning.",
)
@click.version_option(__version__, prog_name="dosecalc")
@click.option(
    "--group-readable",
    is_flag=True,
    envvar=GROUP_READABLE,
    help="Let the group read what is written; without it only its owner may, whatever the umask. "
    f"{GROUP_READABLE}=1 in the environment does the same.",
)
def dosecalc(group_readable: bool) -> None:
    """Photon dose calculation for radiotherapy.

    Lengths are in mm, densities in g/cm3, doses in Gy, angles in degrees (IEC 61217).
    """
    if group_readable:
        let_group_read()


for _command in (
    calc,
    compare,
    demo,
    dvh,
    gamma,
    info,
    reproduce,
    sign,
    validate,
    verify,
    verify_list,
    warmup,
):
    dosecalc.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process where None.
    """
    # OpenMP's threads would spin while they wait for one another: two calculations side by side
    # on two cores took three to seven times as long each instead of one and a half. Read when Numba
    # starts its threads, which no command has done yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    speak_safely()
    warnings.formatwarning = _one_line
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_OneLine())
    # A job that a scheduler ends leaves nothing half written behind.
    with ended_by_signals(), kept_private():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command line; whatever leaves it becomes a sentence and an exit code."""
    try:
        code = dosecalc.main(
            args=None if arguments is None else list(arguments),
            prog_name="dosecalc",
            standalone_mode=False,
        )
    except click.ClickException as error:
        _say_usage(error)
        return REFUSED
    except click.Abort:
        say("interrupted", err=True)
        return INTERRUPTED
    except DosecalcError as error:
        say(f"refused: {error}", err=True)
        return REFUSED
    except Exception as error:
        reason = refusal_of_machine(error)
        if reason is not None:
            silence(error)
            say(f"refused: {reason}", err=True)
            return REFUSED
        for line in log_text(traceback.format_exc()).split("\n"):
            say(line, err=True)
        say("This is a fault of dosecalc: please report it with the text above.", err=True)
        return CRASHED
    return code if isinstance(code, int) else PASSED


def _say_usage(error: click.ClickException) -> None:
    """Say what is wrong with the words of a command, and how it is called."""
    context = getattr(error, "ctx", None)
    if isinstance(context, click.Context):
        for line in context.get_usage().split("\n"):
            say(line, err=True)
        say(f"Try '{context.command_path} --help' for help.", err=True)
    say(f"Error: {error.format_message()}", err=True)


def _one_line(message: Warning | str, category: type[Warning], *_: object, **__: object) -> str:
    """Write a warning of a library, which may quote a file, as one line."""
    return f"{category.__name__}: {terminal_text(message)}\n"


class _OneLine(logging.Formatter):
    """Writes what a library logs, which may quote a file, as one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return terminal_text(record.getMessage())


if __name__ == "__main__":
    sys.exit(main())
