"""``dosecalc gamma``: the gamma index of two doses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dosecalc.cli._dose_options import (
    GAMMA_LIMITS_SOURCE,
    dose_options,
    gamma_options,
    gamma_outcome,
    print_notes,
)

if TYPE_CHECKING:
    from dosecalc.analysis.gamma import GammaResult

__all__ = ["gamma", "gamma_facts", "gamma_record"]


@click.command()
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("evaluated", type=click.Path(path_type=Path))
@gamma_options
@click.option(
    "--planes-across",
    type=click.Choice(["x", "y", "z"]),
    help="Search in planes across this axis only: gamma in two dimensions.",
)
@dose_options
@click.option("--out", type=click.Path(path_type=Path), help="NumPy archive for the map of gamma.")
@click.option("--force", is_flag=True, help="Replace that file if it is there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def gamma(
    reference: Path,
    evaluated: Path,
    unit: str | None,
    axes: str,
    strangers: bool,
    pass_from: float,
    fail_below: float,
    out: Path | None,
    force: bool,
    as_json: bool,
    **criteria: Any,
) -> int:
    """Gamma index of the dose EVALUATED at the voxels of the dose REFERENCE.

    Both are RTDOSE, .npz or .3ddose files on any two grids. Gamma is exact on the evaluated
    dose, which is linear between its voxel centres. Exit code 0 (pass), 2 (review) or 1 (fail)
    by the share of points with gamma of 1 or less: 95 % and 90 % by default, the tolerance and
    action limits of AAPM TG-218, at the criteria that AAPM MPPG 5.b names. Gamma alone
    deceives: see 'dosecalc compare' for differences and histograms too.
    """
    from dosecalc.analysis.gamma import gamma_index
    from dosecalc.workflow.doses import read_any_dose, refuse_strangers
    from dosecalc.workflow.output import check_file, write_file

    gamma_outcome(100.0, pass_from, fail_below)
    check_file(out, force=force)
    first, second = (
        read_any_dose(path, unit=unit, axes=axes, plane=True) for path in (reference, evaluated)
    )
    notes = (*first.notes, *second.notes, *refuse_strangers(first, second, accepted=strangers))
    result = gamma_index(first.dose, second.dose, gamma_criteria(**criteria))
    outcome = gamma_outcome(result.pass_percent, pass_from, fail_below)
    if out is not None:
        write_file(out, _archive(result))
    limits = {"pass_from_percent": pass_from, "fail_below_percent": fail_below}
    if as_json:
        from dosecalc.cli._say import say_json

        say_json(
            {
                "reference": str(reference),
                "evaluated": str(evaluated),
                "gamma": gamma_record(result),
                "limits": limits | {"source": GAMMA_LIMITS_SOURCE},
                "outcome": outcome.name.lower(),
                "notes": [*notes, *result.notes],
            }
        )
        return int(outcome.exit_code)
    from dosecalc.cli._say import say, show
    from dosecalc.report.tables import fact_table

    rows = gamma_facts(result, first.dose.unit)
    rows.append(("outcome", _verdict(outcome.name, pass_from, fail_below)))
    show(fact_table(rows, "gamma"))
    print_notes((*notes, *result.notes))
    if out is not None:
        say(f"Map of gamma written to {out}")
    return int(outcome.exit_code)


def gamma_criteria(threshold: float = 10.0, **criteria: Any) -> Any:
    """Criteria from the options of `gamma_options`, as `GammaCriteria`."""
    from dosecalc.analysis.gamma import GammaCriteria

    return GammaCriteria(threshold_percent=threshold, **criteria)


def gamma_record(result: GammaResult) -> dict[str, Any]:
    """Return criteria and numbers as plain JSON values."""
    from dataclasses import asdict

    return {
        "criteria": asdict(result.criteria),
        "normalisation": result.normalisation,
        "points": result.points,
        "outside": result.outside,
        "pass_percent": result.pass_percent,
        "mean": result.mean,
        "largest": result.largest,
        "worst_position_mm": list(result.worst_position),
    }


def gamma_facts(result: GammaResult, unit: str) -> list[tuple[str, str]]:
    """Rows of a table."""
    more = " or more" if result.largest >= result.criteria.max_gamma else ""
    rows = [
        ("criteria", f"{result.criteria.label}; 100 % is {result.normalisation:.5g} {unit}"),
        ("points that pass", f"{result.pass_percent:.2f} % of {result.points}"),
        ("mean gamma", f"{result.mean:.3f}"),
        (
            "largest gamma",
            f"{result.largest:.3f}{more} at x {{:.1f}}, y {{:.1f}}, z {{:.1f}} mm".format(
                *result.worst_position
            ),
        ),
    ]
    if result.outside:
        rows.append(("outside", f"{result.outside} points lie outside the evaluated grid"))
    return rows


def _verdict(name: str, pass_from: float, fail_below: float) -> str:
    return (
        f"{name}: pass from {pass_from:g} %, fail below {fail_below:g} % of points "
        f"({GAMMA_LIMITS_SOURCE})"
    )


def _archive(result: GammaResult) -> bytes:
    """Map of gamma with what it takes to place it, as the bytes of a NumPy archive."""
    import io

    import numpy as np

    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        gamma=result.gamma,
        axes=np.array("z, y, x"),
        spacing_mm=np.array(result.grid.spacing),
        first_centre_mm=np.array(result.grid.origin),
        criteria=np.array(result.criteria.label),
        normalisation=np.array(result.normalisation),
    )
    return stream.getvalue()
