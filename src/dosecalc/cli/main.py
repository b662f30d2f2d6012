"""The command ``dosecalc``: its subcommands, and what leaves it as an exit code.

Exit codes: 0 pass, 1 fail, 2 review, 3 refused, 130 interrupted, 143 ended by a signal, anything
else a crash (70).
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

import click

from dosecalc import __version__
from dosecalc.cli._machine import (
    GROUP_READABLE,
    ended_by_signals,
    kept_private,
    let_group_read,
    refusal_of_machine,
    silence,
)
from dosecalc.cli.cache import cache_folder
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
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder()))
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
        error.show()
        return REFUSED
    except click.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except DosecalcError as error:
        click.echo(f"refused: {error}", err=True)
        return REFUSED
    except Exception as error:
        reason = refusal_of_machine(error)
        if reason is not None:
            silence(error)
            click.echo(f"refused: {reason}", err=True)
            return REFUSED
        click.echo(traceback.format_exc(), err=True)
        click.echo("This is a fault of dosecalc: please report it with the text above.", err=True)
        return CRASHED
    return code if isinstance(code, int) else PASSED


if __name__ == "__main__":
    sys.exit(main())
