"""``dosecalc reproduce``: a record calculated again, and whether it comes to the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dosecalc.workflow.reproduce import Reproduction

__all__ = ["reproduce"]

_EQUAL, _NOT_EQUAL = 0, 1
_SHOWN = 20


@click.command()
@click.argument("record", type=click.Path(path_type=Path))
@click.option(
    "--case",
    type=click.Path(path_type=Path),
    help="Folder in which the inputs are looked for by SHA-256, at any depth and under any name; "
    "without it they are looked for where they were.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the new results and reproduction.json; nothing is kept if left out.",
)
@click.option("--force", is_flag=True, help="Replace an earlier output in that folder.")
@click.option("--progress/--no-progress", default=True, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
def reproduce(
    record: Path, case: Path | None, out: Path | None, force: bool, progress: bool, as_json: bool
) -> int:
    """Calculate RECORD (of verify or calc, or its folder) again and compare.

    Every input must be found with the SHA-256 that was recorded. Equal means: no voxel differs by
    more than 0.1 % of the maximum, every rule of a verification has the same outcome, and every
    value of the record and of its reports is the same. Exit codes: 0 equal, 1 not equal,
    3 refused (an input is missing or altered, or the record does not fit its seal).
    """
    from dosecalc.cli._say import printing, say_json
    from dosecalc.cli._show import Stages
    from dosecalc.workflow.reproduce import reproduce as run

    with Stages(shown=progress) as stages:
        done = run(record, case=case, out=out, force=force, stages=stages)
    with printing(record if out is None else out):
        if as_json:
            say_json(done.to_values())
        else:
            _show(done, out)
    return _EQUAL if done.is_equal else _NOT_EQUAL


def _show(done: Reproduction, out: Path | None) -> None:
    from dosecalc.cli._say import say

    say(f"record       {done.record.path} ({done.record.values['case']})")
    say(f"inputs       all unaltered, in {done.where}")
    for line in done.notes:
        say(f"             {line}")
    say(f"dose         {_dose(done)}")
    if done.verdict is not None:
        v = done.verdict
        same = "equal" if v.is_equal else "NOT EQUAL"
        say(f"verdict      {same}: {v.recorded}, now {v.again}; {v.findings} findings")
        for line in v.changes:
            say(f"             {line}")
    _show_values(done)
    for n, line in enumerate(done.differences or ("none of program, models, data and host",)):
        say(f"{'' if n else 'differences':<13}{line}")
    left = f" (not compared: {', '.join(done.not_compared)})" if done.not_compared else ""
    say(f"EQUAL{left}" if done.is_equal else "NOT EQUAL")
    if out is not None:
        say(f"Written to {out}/")


def _show_values(done: Reproduction) -> None:
    """Print what is not what it was: values of the record, then its files."""
    from dosecalc.cli._say import say

    changes = done.values
    say(
        f"values       NOT EQUAL: {len(changes)} of the record are not what was found again"
        if changes
        else "values       equal: all that the record states was found again"
    )
    for line in changes[:_SHOWN]:
        say(f"             {line}")
    if len(changes) > _SHOWN:
        more = f"and {len(changes) - _SHOWN} more (--json lists all)"
        say(f"             {more}")
    for n, one in enumerate(done.files):
        state = {True: "equal", False: "NOT EQUAL", None: "not compared"}[one.equal]
        say(f"{'' if n else 'files':<13}{one.name} {state}: {one.said}")


def _dose(done: Reproduction) -> str:
    from dosecalc.records.reproduction import TOLERANCE_PERCENT

    d = done.dose
    if isinstance(d, str):
        return f"NOT EQUAL: {d}"
    if d.identical:
        return f"equal: all {d.voxels} voxels are identical, bit for bit"
    x, y, z = d.at_mm
    sigma = "" if d.largest_sigma is None else f", {d.largest_sigma:.1f} standard uncertainties"
    return (
        f"{'equal' if d.is_equal else 'NOT EQUAL'}: not bit for bit; largest difference "
        f"{d.largest_percent:.4f} % of the maximum (tolerance {TOLERANCE_PERCENT:g} %), at "
        f"x {x:.1f}, y {y:.1f}, z {z:.1f} mm: {d.recorded:.5g} {d.unit}, now {d.again:.5g} "
        f"{d.unit}{sigma}"
    )
