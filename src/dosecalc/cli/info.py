"""``dosecalc info``: what a folder holds, or what is shipped, without calculating anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dosecalc.cli._case_options import folder_options

__all__ = ["info"]


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@folder_options
def info(folder: Path | None, **choices: Any) -> None:
    """Print what FOLDER holds, or without one what is shipped.

    Of a folder: patient, plan, beams, MU, fractions, and which file is which. Shipped are
    machine models, HU curves, spectra and recipes.
    """
    from dosecalc.cli._say import show
    from dosecalc.report.tables import fact_table

    rows = _shipped() if folder is None else _case(folder, choices)
    show(fact_table(rows))


def _case(folder: Path, choices: dict[str, Any]) -> list[tuple[str, str]]:
    from dosecalc.io.dicom import banner
    from dosecalc.workflow.prepare import read_case
    from dosecalc.workflow.request_parts import FolderRequest

    use_ct = choices.pop("inside") is None
    case = read_case(folder, FolderRequest(**choices), use_ct=use_ct)
    return [(row.topic, row.sentence) for row in banner(case)]


def _shipped() -> list[tuple[str, str]]:
    from dosecalc.data.hu_curves import list_hu_curves
    from dosecalc.data.machines import list_machines
    from dosecalc.data.spectra import list_spectra
    from dosecalc.patient.recipe import list_recipes

    return [
        ("machines", ", ".join(list_machines())),
        ("HU curves", ", ".join(list_hu_curves())),
        ("spectra", ", ".join(list_spectra())),
        ("recipes", ", ".join(list_recipes())),
    ]
