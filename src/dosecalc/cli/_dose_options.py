"""Options of the commands that read doses and structures from single files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

__all__ = [
    "GAMMA_LIMITS_SOURCE",
    "dose_options",
    "gamma_options",
    "gamma_outcome",
    "measure",
    "plane_spacing_option",
    "print_notes",
]

GAMMA_LIMITS_SOURCE = "AAPM MPPG 5.b and TG-218"


def measure(unit: str) -> dict[str, Any]:
    """Return what makes an option take a number with or without its unit, such as ``2%``.

    What is no finite number, or has another unit, is refused.
    """

    def read(ctx: click.Context, option: click.Parameter, value: str | None) -> float | None:
        if value is None:
            return None
        text = value.strip()
        if text.lower().endswith(unit.lower()):
            text = text[: -len(unit)]
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise click.BadParameter(
                f"{value!r} is no number in {unit}; write 2 or 2{unit}", ctx, option
            )
        return number

    return {"type": str, "callback": read}


_PERCENT, _MM, _GY = measure("%"), measure("mm"), measure("Gy")


def dose_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options on how files are read that do not say everything themselves."""
    for option in reversed(
        (
            click.option(
                "--3ddose-unit",
                "unit",
                type=click.Choice(["Gy", "Gy cm2"]),
                help="Unit of the numbers in .3ddose files, which do not say; needed for them.",
            ),
            click.option(
                "--3ddose-axes",
                "axes",
                default="+x,+y,+z",
                show_default=True,
                metavar="A,B,C",
                help="Where x, y and z of .3ddose files point in the patient.",
            ),
            click.option(
                "--strangers",
                is_flag=True,
                help="Go on although patients or frames of reference differ; it is noted.",
            ),
        )
    ):
        command = option(command)
    return command


def gamma_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the criteria of gamma and the limits of its pass rate."""
    for option in reversed(
        (
            click.option(
                "--dose",
                "dose_percent",
                **_PERCENT,
                default=3.0,
                show_default=True,
                metavar="%",
                help="Dose criterion, with or without the percent sign.",
            ),
            click.option(
                "--distance",
                "distance_mm",
                **_MM,
                default=2.0,
                show_default=True,
                metavar="MM",
                help="Distance criterion.",
            ),
            click.option(
                "--threshold",
                **_PERCENT,
                default=10.0,
                show_default=True,
                metavar="%",
                help="Reference doses below this share of the normalisation do not count.",
            ),
            click.option(
                "--local", is_flag=True, help="Percentages are of the dose at each point."
            ),
            click.option(
                "--max-gamma",
                default=2.0,
                show_default=True,
                metavar="GAMMA",
                help="Gamma is sought up to this value; larger ones are given as it, 'or more'.",
            ),
            click.option(
                "--normalisation",
                **_GY,
                metavar="GY",
                help="Dose that percentages are of; the reference's maximum if left out.",
            ),
            click.option(
                "--pass",
                "pass_from",
                **_PERCENT,
                default=95.0,
                show_default=True,
                metavar="%",
                help=f"Points to pass for exit code 0 ({GAMMA_LIMITS_SOURCE}).",
            ),
            click.option(
                "--fail",
                "fail_below",
                **_PERCENT,
                default=90.0,
                show_default=True,
                metavar="%",
                help=f"Below this, exit code 1; between both 2 ({GAMMA_LIMITS_SOURCE}).",
            ),
        )
    ):
        command = option(command)
    return command


def gamma_outcome(pass_percent: float, pass_from: float, fail_below: float) -> Any:
    """Judge a pass rate; an `Outcome` of :mod:`dosecalc.messages.findings`.

    Raises
    ------
    InputError
        The limits are not 0 <= fail <= pass <= 100.
    """
    from dosecalc.errors import InputError
    from dosecalc.messages.findings import Outcome

    if not 0 <= fail_below <= pass_from <= 100:
        raise InputError(
            f"--pass {pass_from:g} and --fail {fail_below:g}: 0 <= fail <= pass <= 100 is needed"
        )
    if pass_percent >= pass_from:
        return Outcome.PASS
    return Outcome.FAIL if pass_percent < fail_below else Outcome.REVIEW


def plane_spacing_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that says how far apart the slices are that structures were drawn on."""
    option = click.option(
        "--plane-spacing",
        **measure("mm"),
        metavar="MM",
        help="Distance of the slices that structures were drawn on, which decides where planes "
        "are missing; needed for a structure on a single plane or on planes far apart. The "
        "planes of the structure set tell it if left out.",
    )
    return option(command)


def print_notes(notes: Iterable[str]) -> None:
    """Print notes, each once."""
    from dosecalc.cli._say import say

    lines: Sequence[str] = tuple(dict.fromkeys(notes))
    for line in lines:
        say(f"- {line}")
