"""``dosecalc warmup``: compile everything once, so that the first patient does not wait."""

from __future__ import annotations

import click

__all__ = ["warmup"]

_COARSE_MM = 10.0


@click.command()
@click.option("--progress/--no-progress", default=True, show_default=True)
def warmup(progress: bool) -> int:
    """Compile the program's numerics for this machine; the compiled code is kept for later runs.

    It goes the way of a patient and of a recipe, with all engines, on coarse grids, in a
    temporary folder, and verifies the patient's dose. Then it does what scripts do: a matrix of
    beamlets, optimised fluence and segments, an arc, gamma and histograms.
    """
    import tempfile
    import time
    from dataclasses import replace
    from pathlib import Path

    from dosecalc.cli._say import say
    from dosecalc.cli._show import Stages
    from dosecalc.planning.demo_patient import ThoraxPlan, write_thorax_patient
    from dosecalc.planning.warm import calculate_as_scripts, compare_as_scripts, plan_as_scripts
    from dosecalc.workflow.calculate import calculate
    from dosecalc.workflow.request_parts import EngineRequest
    from dosecalc.workflow.requests import DoseRequest, VerificationRequest
    from dosecalc.workflow.verify import verify_case

    start = time.perf_counter()
    one_field = ThoraxPlan(gantry_deg=(0.0,), mu=(100.0,))
    with Stages(shown=progress) as stages, tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_thorax_patient(place / "patient", wanted=one_field)
        patient = DoseRequest.from_words(
            path=place / "patient",
            grid_mm=_COARSE_MM,
            machines=("generic-6mv",),
            hu_curve="generic-120kvp",
        )
        recipe = DoseRequest.from_words(path=Path("oblique-surface-6mv-10x10"), grid_mm=_COARSE_MM)
        monte_carlo = replace(recipe, engine=EngineRequest("monte-carlo", histories=20))
        pencil = replace(recipe, engine=EngineRequest("pencil-beam"))
        for number, options in enumerate((patient, recipe, pencil, monte_carlo)):
            folder = place / f"out{number}"
            folder.mkdir()
            calculate(options, folder, stages)
        checked = VerificationRequest((patient,), reference=place / "out0" / "RTDOSE.dcm")
        (place / "verification").mkdir()
        verify_case(checked, place / "verification", stages)
        with stages.stage("planning, as scripts do"):
            case, plan = plan_as_scripts(place / "patient", _COARSE_MM)
        with stages.stage("calculating, as scripts do"):
            doses = calculate_as_scripts(case, plan)
        with stages.stage("comparing, as scripts do"):
            compare_as_scripts(case, doses, place / "out0" / "RTDOSE.dcm")
    say(f"compiled and kept, {time.perf_counter() - start:.1f} s")
    return 0
