"""Pencil beam, collapsed cone and Monte Carlo in one table, for shipped recipes.

    python benchmarks/engines_in_one_table.py FOLDER [RECIPE ...] [--uncertainty PERCENT]

FOLDER keeps the Monte Carlo doses (RECIPE.npz), so that a second call calculates only the other
two. Nothing is fitted to these cases: most of them have no EGSnrc run, and the Monte Carlo engine,
which shares no dose kernel with the others, stands in for it. Printed is Markdown: per recipe
and engine, the difference from Monte Carlo along the axis in % of its largest dose there (means
over the middle 60 % of the field, the noise of which is some tenths), and gamma in the planes and
at the points where Monte Carlo gives 10 % or more.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.analysis.gamma import GammaCriteria, gamma_index
from dosecalc.engines import collapsed_cone, monte_carlo, pencil_beam
from dosecalc.model import Dose, Plan
from dosecalc.patient.recipe import build_case, load_recipe

RECIPES = (
    "water-6mv-10x10",
    "water-6mv-1x1",
    "water-6mv-5x5",
    "water-6mv-20x20",
    "water-10mv-3x3",
    "water-15mv-3x3",
    "slab-lung-6mv-5x5",
    "slab-lung-15mv-5x5",
    "lateral-lung-6mv-5x5",
    "slab-bone-6mv-5x5",
    "slab-bone-15mv-5x5",
    "slab-aluminium-6mv-5x5",
)
ENGINES = {"pencil beam": pencil_beam.compute, "collapsed cone": collapsed_cone.compute}
CRITERIA = ((2.0, 1.0), (2.0, 2.0))
DEPTHS_MM = (15, 50, 100, 150, 200, 250)
# Below the first millimetres and above the last five centimetres of the phantom.
FIRST_MM, LAST_MM = 3.0, 250.0


class Axis(NamedTuple):
    """Mean dose over the middle of the field, by depth (mm)."""

    depth: NDArray[np.float64]
    dose: NDArray[np.float64]


def along_axis(dose: Dose, plan: Plan) -> Axis:
    """Average over the middle 60 % of the field, one voxel at least."""
    point = plan.beams[0].control_points[0]
    assert point.jaws_x is not None and point.jaws_y is not None
    x, y, z = (dose.grid.centres(axis) for axis in "xyz")
    across = [
        np.abs(places) <= max(0.6 * half, 1.5)
        for places, half in ((z, point.jaws_y[1]), (x, point.jaws_x[1]))
    ]
    middle = dose.gray[across[0]][:, :, across[1]].astype(np.float64)
    return Axis(y, middle.mean(axis=(0, 2)))


def monte_carlo_dose(name: str, folder: Path, uncertainty: float) -> Dose:
    """Calculate, or read what was calculated before."""
    phantom, plan, machine = build_case(load_recipe(name))
    kept = folder / f"{name}.npz"
    if kept.exists():
        with np.load(kept) as data:
            return Dose(phantom.grid, data["gray"], "medium", unit="Gy cm2")
    settings = monte_carlo.MonteCarloSettings(uncertainty=uncertainty)
    print(f"Monte Carlo of {name} ...", file=sys.stderr)
    dose = monte_carlo.compute(phantom, plan, machine, settings)
    np.savez_compressed(kept, gray=dose.gray, sigma=dose.uncertainty)
    return dose


def mirrored(dose: Dose, name: str) -> Dose:
    """Average over the mirror images that a case has: less noise."""
    gray = dose.gray.astype(np.float64)
    gray = (gray + gray[::-1]) / 2
    if not name.startswith("lateral"):
        gray = (gray + gray[:, :, ::-1]) / 2
    return Dose(dose.grid, gray.astype(np.float32), dose.dose_to, unit=dose.unit)


def rows(name: str, folder: Path, uncertainty: float) -> list[str]:
    """Rows of the table for one recipe."""
    phantom, plan, machine = build_case(load_recipe(name))
    truth = mirrored(monte_carlo_dose(name, folder, uncertainty), name)
    axis = along_axis(truth, plan)
    top = float(axis.dose.max())
    deep = truth.grid.centres("y") > 2
    judged = Dose(
        truth.grid,
        np.where(deep[:, None] & (truth.gray > 0.1 * top), truth.gray, 0).astype(np.float32),
        truth.dose_to,
        unit=truth.unit,
    )
    counts = (axis.depth > FIRST_MM) & (axis.depth < LAST_MM)
    found = []
    for engine, compute in ENGINES.items():
        dose = compute(phantom, plan, machine)
        off = 100 * (along_axis(dose, plan).dose - axis.dose) / top
        cells = [f"{np.interp(depth, axis.depth, off):+.2f}" for depth in DEPTHS_MM]
        for percent, mm in CRITERIA:
            result = gamma_index(judged, dose, GammaCriteria(percent, mm, normalisation=top))
            cells.append(f"{result.pass_percent:.1f}")
        worst, mean = np.abs(off[counts]).max(), off[counts].mean()
        found.append(
            "| " + " | ".join([name, engine, f"{worst:.2f}", f"{mean:+.2f}", *cells]) + " |"
        )
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--uncertainty", type=float, default=1.0, help="of Monte Carlo, %%")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    head = ["case", "engine", "max", "mean", *(f"{d} mm" for d in DEPTHS_MM)]
    head += [f"gamma {p:g} %/{mm:g} mm" for p, mm in CRITERIA]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name in asked.recipes:
        print("\n".join(rows(name, asked.folder, asked.uncertainty / 100)), flush=True)


if __name__ == "__main__":
    main()
