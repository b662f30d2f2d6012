"""``dosecalc validate``: the shipped reference cases through an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dosecalc.cli._case_options import percent

if TYPE_CHECKING:
    from dosecalc.cli._show import Stages
    from dosecalc.report.tables import Comparison
    from dosecalc.workflow.requests import DoseRequest
    from dosecalc.workflow.water_check import WaterCheck

__all__ = ["validate"]

_LEGEND = """\
d: calculated minus reference on the axis, 3 to 250 mm deep, % of the reference's maximum there
s: standard deviation of the reference, with that of a Monte Carlo dose; less 2s: 2 s off |d| first
gamma: points that pass, %, on the axis, across the beam at five depths, and all with 2 s off
The verdict stands on the two columns with 2 s off. What is asked:"""

_PASSED, _FAILED = 0, 1
_WATER = "CT"


@click.command()
@click.option("--engine", default="collapsed-cone", show_default=True, metavar="NAME")
@click.option(
    "--grid",
    "grid_mm",
    type=float,
    metavar="MM",
    help="Voxel size of the dose grid in mm; the recipes' 2.5 if left out.",
)
@click.option(
    "--case",
    "names",
    multiple=True,
    metavar="NAME",
    help="Short name of a case (S1, S2 ..., CT for water through a CT); repeat for several, all "
    "if left out.",
)
@click.option("--directions", type=int, metavar="N", help="Cones per sphere; 128 if left out.")
@click.option(
    "--uncertainty",
    callback=percent,
    metavar="PERCENT",
    help="Monte Carlo: of the voxels above half the maximum; 1% if left out.",
)
@click.option("--histories", type=int, metavar="N", help="Monte Carlo: photons instead.")
@click.option("--seed", type=int, metavar="N", help="Monte Carlo: of the random numbers.")
@click.option("--progress/--no-progress", default=True, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON instead.")
def validate(
    engine: str,
    grid_mm: float | None,
    names: tuple[str, ...],
    directions: int | None,
    uncertainty: float | None,
    histories: int | None,
    seed: int | None,
    progress: bool,
    as_json: bool,
) -> int:
    """Calculate the reference cases and compare them with EGSnrc.

    The comparison is absolute, nothing is renormalised: both doses are Gy cm2 per unit photon
    fluence, averaged over the same voxels. Differences are in percent of the reference's
    maximum on the axis. Gamma is global, of points above 10 % and deeper than 2 mm, searched
    along each curve only, so a lower bound. The reference has a standard deviation (sigma) of
    its own; the verdict takes 2 sigma off every dose difference, the plain numbers stand
    beside it. The case CT calculates water from a CT with the curve water-equivalent-phantom and
    from a recipe, which agree within 0.2 %. Exit code 0 if all cases keep their tolerance, 1 if
    not.
    """
    from pathlib import Path

    from dosecalc.cli._show import Stages
    from dosecalc.workflow.requests import DoseRequest

    options = DoseRequest.from_words(
        path=Path("validate"),
        engine=engine,
        grid_mm=grid_mm,
        directions=directions,
        uncertainty=uncertainty,
        histories=histories,
        seed=seed,
    )
    from dosecalc.workflow.water_check import check_water

    chosen = _chosen(names)
    with Stages(shown=progress) as stages:
        done = [_compare(short, options, stages) for short in chosen if short != _WATER]
        water = check_water(options, stages) if _WATER in chosen else None
    _show(done, water, options, as_json)
    within = all(one.agreement.within for one in done) and (water is None or water.within)
    return _PASSED if within else _FAILED


def _chosen(names: tuple[str, ...]) -> tuple[str, ...]:
    from dosecalc.errors import InputError
    from dosecalc.validation.cases import CASES

    known = (*CASES, _WATER)
    unknown = [name for name in names if name.upper() not in known]
    if unknown:
        raise InputError(f"no case {', '.join(unknown)}; there are: {', '.join(known)}")
    return tuple(dict.fromkeys(name.upper() for name in names)) or known


def _compare(short: str, options: DoseRequest, stages: Stages) -> Comparison:
    import time
    from dataclasses import replace
    from pathlib import Path

    from dosecalc.report.tables import Comparison
    from dosecalc.validation.agreement import compare
    from dosecalc.validation.cases import case_for, load_extract
    from dosecalc.workflow.engines import calculate_dose
    from dosecalc.workflow.prepare import prepare

    case = case_for(short, options.engine.name)
    prepared = prepare(replace(options, path=Path(case.recipe)), stages)
    start = time.perf_counter()
    with stages.stage(f"calculating {case.name}") as advance:
        dose = calculate_dose(prepared, options.engine, advance)
    seconds = time.perf_counter() - start
    extract = load_extract(case.name)
    cautions = tuple(dose.provenance.get("cautions", ()))
    return Comparison(case, extract, compare(dose, extract, case.tolerance), seconds, cautions)


def _show(
    done: list[Comparison], water: WaterCheck | None, options: DoseRequest, as_json: bool
) -> None:
    from dataclasses import asdict

    from dosecalc.cli._say import say, say_json, show
    from dosecalc.report.tables import agreement_table
    from dosecalc.workflow.engines import engine_settings

    settings = asdict(engine_settings(options.engine))
    if as_json:
        cases = [
            {
                "case": one.case.name,
                "recipe": one.case.recipe,
                "seconds": round(one.seconds, 3),
                "tolerance": asdict(one.case.tolerance),
                "agreement": asdict(one.agreement),
                "within": one.agreement.within,
                "cautions": list(one.cautions),
                "reference": dict(one.extract.provenance),
            }
            for one in done
        ]
        record = {
            "engine": options.engine.name,
            "grid_mm": options.phantom.grid_mm,
            "settings": settings,
        }
        through_ct = None if water is None else asdict(water) | {"within": water.within}
        say_json({**record, "cases": cases, "ct_water": through_ct})
        return
    if water is not None:
        say(water.sentence)
    if not done:
        return
    show(agreement_table(done))
    for line in _LEGEND.split("\n"):
        say(line)
    for source in dict.fromkeys(one.case.tolerance.source for one in done):
        say(f"- {source}")
    for one in done:
        for caution in one.cautions:
            say(f"- {one.case.name}: {caution}")
    say(f"Calculated with the engine {options.engine.name}, {settings}")
