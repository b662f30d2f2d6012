"""Options that commands share which calculate the dose of a patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dosecalc.cli._doses import measure

__all__ = ["case_options", "percent"]


def percent(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    """Read ``1%`` or ``1`` as 0.01."""
    if value is None:
        return None
    try:
        return float(value.strip().removesuffix("%")) / 100
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a percentage such as 1%") from None


_OPTIONS = (
    click.option(
        "--grid",
        "grid_mm",
        type=float,
        metavar="MM",
        help="Voxel size of the dose grid in mm; 2.5 for a patient, the recipe's own for a recipe.",
    ),
    click.option(
        "--machine",
        "machines",
        multiple=True,
        metavar="[BEAM=]NAME",
        help="Machine model: NAME for all beams, 6X=NAME or 6FFF=NAME for those of one quality, "
        "3=NAME for beam number 3; repeat as needed. NAME may be the path of a .json file. "
        "A patient folder needs it: none is assumed.",
    ),
    click.option(
        "--hu-curve",
        metavar="NAME",
        help="HU-to-density curve, or the path of a .json or .csv file (docs/hu-curves.md).",
    ),
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="TOML file that maps scanner and kVp to a HU curve (instead of --hu-curve).",
    ),
    click.option(
        "--body",
        metavar="ROI",
        help="Body contour, outside which is air; the one EXTERNAL structure if left out; "
        "'none' keeps all of the CT.",
    ),
    click.option(
        "--override",
        "overrides",
        multiple=True,
        metavar="ROI=DENSITY[:MATERIAL]",
        help="Fill a structure with a density in g/cm3, a material, or both; repeat as needed.",
    ),
    click.option(
        "--recorded-densities",
        is_flag=True,
        help="Also apply the densities that the planning system stored with the structures.",
    ),
    click.option(
        "--couch", multiple=True, metavar="ROI", help="Couch structure to keep; repeatable."
    ),
    click.option(
        "--bolus", multiple=True, metavar="ROI", help="Bolus structure to keep; repeatable."
    ),
    click.option(
        "--plane-spacing",
        **measure("mm"),
        metavar="MM",
        help="Distance of the slices that structures were drawn on, which decides where planes "
        "are missing; that of the CT if left out.",
    ),
    click.option(
        "--inside",
        metavar="MATERIAL",
        help="Leave the CT out and fill the body with this material, for example water.",
    ),
    click.option(
        "--same-patient",
        metavar="REASON",
        help="The files are of one person though PatientID or PatientName differ, and why you "
        "know; recorded, and a finding of verify.",
    ),
    click.option("--directions", type=int, metavar="N", help="Cones per sphere; 128 if left out."),
    click.option(
        "--uncertainty",
        callback=percent,
        metavar="PERCENT",
        help="Monte Carlo: stop at this standard uncertainty of the voxels above half the maximum, "
        "such as 1%; 1% if left out.",
    ),
    click.option(
        "--histories", type=int, metavar="N", help="Monte Carlo: this many photons instead."
    ),
    click.option(
        "--seed", type=int, metavar="N", help="Monte Carlo: of the random numbers; 1 if left out."
    ),
    click.option(
        "--dose-to",
        type=click.Choice(["medium", "water"]),
        default="medium",
        show_default=True,
        help="Absorbed dose to the local medium, or to a small mass of water in its place.",
    ),
)


def case_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what is calculated on, with which machine and how."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
