"""``dosecalc demo``: a synthetic patient from DICOM files to dose, record and picture."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["demo"]

_NOISE_HU = 20.0


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("dosecalc-demo"),
    show_default=True,
    help="Folder to write.",
)
@click.option("--noise", is_flag=True, help=f"Add noise of {_NOISE_HU:g} HU to the CT.")
@click.option(
    "--grid",
    "grid_mm",
    type=float,
    default=3.0,
    show_default=True,
    metavar="MM",
    help="Voxel size of the dose grid in mm.",
)
@click.option("--force", is_flag=True, help="Replace an earlier demo in that folder.")
@click.option("--progress/--no-progress", default=True, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the run record instead of tables.")
def demo(out: Path, noise: bool, grid_mm: float, force: bool, progress: bool, as_json: bool) -> int:
    """Calculate a synthetic patient from DICOM files to dose and picture.

    Builds a thorax with a lung tumour as CT, RTSTRUCT and RTPLAN files, reads them back like
    any patient, and calculates a plan of four 6 MV fields.
    """
    from dataclasses import replace

    from dosecalc.cli._say import say
    from dosecalc.cli._show import Stages, show_outcome
    from dosecalc.planning.demo_patient import write_thorax_patient
    from dosecalc.workflow.calculate import calculate
    from dosecalc.workflow.output import output_folder
    from dosecalc.workflow.requests import DoseRequest

    with Stages(shown=progress) as stages, output_folder(out, force=force) as place:
        with stages.stage("building the thorax and writing it as DICOM"):
            write_thorax_patient(place / "patient", noise_hu=_NOISE_HU if noise else 0.0)
        (place / "dose").mkdir()
        options = DoseRequest.from_words(
            path=place / "patient",
            grid_mm=grid_mm,
            machines=("generic-6mv",),
            hu_curve="generic-120kvp",
        )
        outcome = calculate(options, place / "dose", stages)
    show_outcome(replace(outcome, folder=out / "dose"), as_json=as_json)
    if not as_json:
        models = "--machine generic-6mv --hu-curve generic-120kvp"
        dose = out / "dose" / "RTDOSE.dcm"
        say(
            f"The patient's DICOM files are in {out / 'patient'}/. To calculate them with another "
            "engine, and to verify this dose (. .venv/bin/activate first, in a clone):"
        )
        say(f"  dosecalc calc {out / 'patient'} --engine pencil-beam {models}")
        say(f"  dosecalc verify {out / 'patient'} --reference {dose} {models}")
    return 0
