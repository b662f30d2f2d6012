"""Options that commands share which read a patient folder, or calculate the dose of a patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dosecalc.cli._dose_options import measure

__all__ = ["case_options", "folder_options", "percent", "reference_options"]


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
        "--fractions",
        type=int,
        metavar="N",
        help="How many fractions there are, for a plan that does not say.",
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


_POSITIONS = ("HFS", "HFP", "FFS", "FFP", "HFDR", "HFDL", "FFDR", "FFDL")

_FOLDER_OPTIONS = (
    click.option("--plan", "plan_uid", metavar="UID", help="Which plan, where there are several."),
    click.option(
        "--fraction-group",
        type=int,
        metavar="N",
        help="Which fraction group of the plan, where it has several.",
    ),
    click.option(
        "--without-beam",
        "without_beams",
        type=int,
        multiple=True,
        metavar="N",
        help="Leave the beam of this number out, such as an imaging beam that the plan marks as "
        "treatment; repeatable. It is noted, and a finding of a verification.",
    ),
    click.option(
        "--structures",
        "structure_set_uid",
        metavar="UID",
        help="Which structure set, where there are several and the plan names none.",
    ),
    click.option(
        "--series",
        "ct_series_uid",
        metavar="UID",
        help="Which CT series, where there are several and the structure set names none.",
    ),
    click.option(
        "--position",
        type=click.Choice(_POSITIONS, case_sensitive=False),
        help="How the patient lies, for a CT or a plan that does not say.",
    ),
    click.option(
        "--inside",
        metavar="MATERIAL",
        help="Leave the CT out and fill the body with this material, for example water.",
    ),
    click.option(
        "--incomplete", is_flag=True, help="Accept a plan without structures or without CT."
    ),
    click.option(
        "--same-patient",
        metavar="REASON",
        help="The files are of one person though PatientID or PatientName differ, and why you "
        "know; recorded, and a finding of verify.",
    ),
)

_REFERENCE_OPTIONS = (
    click.option(
        "--reference",
        type=click.Path(path_type=Path),
        help="The planning system's dose of the whole plan (RTDOSE, .npz, .3ddose); the folder's "
        "own plan dose if left out.",
    ),
    click.option(
        "--3ddose-unit",
        "reference_unit",
        type=click.Choice(["Gy", "Gy cm2"]),
        help="Unit of the numbers in a .3ddose reference, which does not say; a plan is compared "
        "in Gy.",
    ),
    click.option(
        "--3ddose-axes",
        "reference_axes",
        default="+x,+y,+z",
        show_default=True,
        metavar="A,B,C",
        help="Where x, y and z of a .3ddose reference point in the patient.",
    ),
)


def folder_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that choose among what a patient folder holds."""
    for option in reversed(_FOLDER_OPTIONS):
        command = option(command)
    return command


def reference_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name the dose to compare with."""
    for option in reversed(_REFERENCE_OPTIONS):
        command = option(command)
    return command


def case_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what is calculated on, with which machine and how."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
