"""``dosecalc calc``: a recipe or a patient folder to a dose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dosecalc.cli._case_options import case_options, folder_options

__all__ = ["calc"]


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to write; NAME-dose beside you if left out.",
)
@click.option("--force", is_flag=True, help="Replace an earlier output in that folder.")
@click.option("--engine", default="collapsed-cone", show_default=True, metavar="NAME")
@case_options
@folder_options
@click.option(
    "--per-fraction", is_flag=True, help="Dose of one fraction instead of the whole plan."
)
@click.option(
    "--accept-missing-beams",
    is_flag=True,
    help="Calculate although a beam does not meet the patient, or the dose is below a tenth of "
    "what the MU would give; it is noted and recorded.",
)
@click.option("--progress/--no-progress", default=True, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the run record instead of tables.")
def calc(as_json: bool, progress: bool, **options: Any) -> int:
    """Calculate the dose of PATH, a patient folder or a recipe.

    A patient folder holds CT, RTSTRUCT and RTPLAN files; a recipe is a .toml file or the
    name of a shipped one. Writes RTDOSE.dcm in Gy for a patient, dose.npz for a recipe, with
    run.json (what was calculated from what) and picture.png.
    """
    from dosecalc.cli._show import Stages, show_outcome
    from dosecalc.workflow.calculate import calculate_into
    from dosecalc.workflow.requests import DoseRequest

    request = DoseRequest.from_words(**options)
    with Stages(shown=progress) as stages:
        outcome = calculate_into(request, stages)
    show_outcome(outcome, as_json=as_json)
    return 0
