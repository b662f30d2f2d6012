"""``dosecalc info``: what a folder holds, or what is shipped, without calculating anything."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["info"]


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--plan", "plan_uid", metavar="UID", help="Which plan, where there are several.")
@click.option("--incomplete", is_flag=True, help="Accept a plan without structures or without CT.")
@click.option(
    "--same-patient", metavar="REASON", help="The files are of one person though they differ, why."
)
def info(
    folder: Path | None, plan_uid: str | None, incomplete: bool, same_patient: str | None
) -> None:
    """Print what FOLDER holds, or without one what is shipped.

    Of a folder: patient, plan, beams, MU, fractions, and which file is which. Shipped are
    machine models, HU curves, spectra and recipes.
    """
    from dosecalc.cli._say import show
    from dosecalc.report.tables import fact_table

    rows = _shipped() if folder is None else _case(folder, plan_uid, incomplete, same_patient)
    show(fact_table(rows))


def _case(
    folder: Path, plan_uid: str | None, incomplete: bool, same_patient: str | None
) -> list[tuple[str, str]]:
    from dosecalc.dicom import banner, import_folder

    case = import_folder(
        folder, plan_uid=plan_uid, incomplete_ok=incomplete, same_patient=same_patient
    )
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
