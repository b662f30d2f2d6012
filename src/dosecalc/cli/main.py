"""The command ``dosecalc``: its subcommands, and what leaves it as an exit code.

Exit codes: 0 pass, 1 fail, 2 review, 3 refused, 130 interrupted, anything else a crash (70).
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import click

from dosecalc import __version__
from dosecalc.cli.calc import calc
from dosecalc.cli.demo import demo
from dosecalc.cli.info import info
from dosecalc.cli.validate import validate
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
def dosecalc() -> None:
    """Photon dose calculation for radiotherapy.

    Lengths are in mm, densities in g/cm3, doses in Gy, angles in degrees (IEC 61217).
    """


for _command in (calc, demo, info, validate, warmup):
    dosecalc.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process where None.
    """
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
    except Exception:
        click.echo(traceback.format_exc(), err=True)
        click.echo("This is a fault of dosecalc: please report it with the text above.", err=True)
        return CRASHED
    return code if isinstance(code, int) else PASSED


if __name__ == "__main__":
    sys.exit(main())
