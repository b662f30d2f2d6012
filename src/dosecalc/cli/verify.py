"""``dosecalc verify``: a plan calculated again, compared, and judged rule by rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dosecalc.cli._case_options import case_options, folder_options, reference_options

__all__ = ["verify"]


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to write; NAME-verification beside you if left out.",
)
@click.option("--force", is_flag=True, help="Replace an earlier output in that folder.")
@click.option(
    "--engines",
    default="collapsed-cone",
    show_default=True,
    metavar="NAME[,NAME...]",
    help="The first engine is judged by every rule, the others are compared beside it.",
)
@case_options
@reference_options
@click.option(
    "--template",
    type=click.Path(path_type=Path),
    help="TOML file with the goals of targets and organs (docs/verification.md).",
)
@click.option(
    "--tolerances",
    type=click.Path(path_type=Path),
    help="TOML file with limits and criteria in place of the shipped ones.",
)
@folder_options
@click.option(
    "--language",
    type=click.Choice(["en", "fr"]),
    default="en",
    show_default=True,
    help="Of the PDF, and in which the page opens.",
)
@click.option("--progress/--no-progress", default=True, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the verification instead of a table.")
def verify(as_json: bool, progress: bool, **options: Any) -> int:
    """Calculate the plan in the patient folder PATH again and judge it against its RTDOSE.

    Writes report.html, report.pdf, verification.json and RTDOSE.dcm. Exit codes: 0 every rule
    passes, 1 a rule fails, 2 a physicist has to look, 3 refused. The program reports; a person
    signs (dosecalc sign).
    """
    from dosecalc.cli._show import Stages, show_verification
    from dosecalc.workflow.requests import VerificationRequest
    from dosecalc.workflow.verify import verify_into

    request = VerificationRequest.from_words(**options)
    with Stages(shown=progress) as stages:
        outcome = verify_into(request, stages)
    show_verification(outcome, as_json=as_json)
    return outcome.verification.outcome.exit_code
