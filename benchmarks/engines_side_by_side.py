"""Monte Carlo beside the collapsed cone on a real CT and on a real arc plan.

    python benchmarks/engines_side_by_side.py patient FOLDER OUT
    python benchmarks/engines_side_by_side.py arcs RTPLAN.dcm OUT

``patient`` takes a folder with CT, RTSTRUCT and RTPLAN (examples/four_field_plan.py
writes the plan), ``arcs`` puts a plan's beams on a water cylinder of 30 cm around their
isocentre. Both write OUT/doses.npz, OUT/picture.png and print a table: gamma 2 %/2 mm, and the
difference by structure or by dose. The table in docs/physics-monte-carlo.md comes from it.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dosecalc.analysis.dvh import structure_dvh
from dosecalc.analysis.gamma import GammaCriteria, gamma_index
from dosecalc.data.machines import load_machine
from dosecalc.engines import collapsed_cone, monte_carlo
from dosecalc.errors import GeometryError
from dosecalc.io.dicom import read_dataset, read_plan
from dosecalc.model import Dose, Grid, Phantom, Plan, StructureSet
from dosecalc.patient.solids import Filling, cylinder, fill_solids
from dosecalc.workflow.prepare import prepare
from dosecalc.workflow.progress import SilentStages
from dosecalc.workflow.requests import DoseRequest

SPACING_MM = 2.5
UNCERTAINTY = 0.01
MACHINE = "generic-6mv"


def patient_case(folder: Path) -> tuple[Phantom, Plan, StructureSet | None]:
    """Phantom and plan of a patient folder, as ``dosecalc calc`` makes them."""
    options = DoseRequest.from_words(
        path=folder,
        grid_mm=SPACING_MM,
        machines=(MACHINE,),
        hu_curve="generic-120kvp",
        body="Patient",
    )
    ready = prepare(options, SilentStages())
    return ready.phantom, ready.plan, None if ready.case is None else ready.case.structures


def arc_case(file: Path) -> tuple[Phantom, Plan, None]:
    """Water cylinder, 30 cm across and 30 cm long, with the plan's isocentre in its middle."""
    plan = read_plan(read_dataset(file))
    centre = plan.beams[0].control_points[0].isocentre
    half = 155.0
    grid = Grid.covering(
        (centre[0] - half, centre[1] - half, centre[2] - half),
        (centre[0] + half, centre[1] + half, centre[2] + half),
        (SPACING_MM, SPACING_MM, SPACING_MM),
    )
    body = cylinder(centre, (0.0, 0.0, 1.0), 150.0, Filling("water", 1.0), length=300.0)
    return fill_solids(grid, Filling("air", 0.0012), [body]), plan, None


def by_structure(structures: StructureSet, one: Dose, other: Dose) -> list[str]:
    """Mean, D98 and D2 of every structure that the dose reaches, in both doses, Gy a fraction."""
    rows = ["| structure | mean | D98 | D2 |", "|---|---|---|---|"]
    for structure in structures:
        try:
            a, b = structure_dvh(structure, one), structure_dvh(structure, other)
        except GeometryError:
            continue
        pairs = [(a.mean_gy, b.mean_gy)]
        pairs += [(a.dose_at_volume(p), b.dose_at_volume(p)) for p in (98, 2)]
        cells = " | ".join(f"{x:.3f} / {y:.3f}" for x, y in pairs)
        rows.append(f"| {structure.name} | {cells} |")
    return rows


def by_dose(one: Dose, other: Dose, inside: NDArray[np.bool_]) -> list[str]:
    """Mean and root mean square difference where the dose is low, middle and high.

    By the dose without noise: chosen by the other, the highest voxels would be those with the
    largest noise.
    """
    top = float(other.gray[inside].max())
    rows = [
        "| dose, % of the maximum | mean difference, % of it | root mean square |",
        "|---|---|---|",
    ]
    for low, high in ((10, 50), (50, 90), (90, 100)):
        chosen = inside & (other.gray >= low / 100 * top) & (other.gray <= high / 100 * top)
        difference = 100 * (other.gray - one.gray)[chosen].astype(float) / top
        rms = float(np.sqrt(np.mean(difference**2)))
        rows.append(f"| {low} to {high} | {difference.mean():+.2f} | {rms:.2f} |")
    return rows


def draw(phantom: Phantom, one: Dose, other: Dose, place: Path) -> None:
    """Both doses and their difference in the axial plane of the highest dose."""
    k = int(np.unravel_index(int(other.gray.argmax()), other.gray.shape)[0])
    top = float(other.gray.max())
    inside = phantom.density[k] > 0.01
    figure = Figure(figsize=(12, 4.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    names = ("Monte Carlo", "collapsed cone", "collapsed cone less Monte Carlo, % of maximum")
    difference = np.where(inside, 100 * (other.gray[k] - one.gray[k]) / top, np.nan)
    shown = (one.gray[k] * inside, other.gray[k] * inside, difference)
    for panel, name, values in zip(figure.subplots(1, 3), names, shown, strict=True):
        panel.imshow(phantom.density[k], cmap="gray", vmin=0, vmax=1.8)
        if values is shown[2]:
            image = panel.imshow(values, cmap="RdBu_r", vmin=-5, vmax=5, alpha=0.75)
            figure.colorbar(image, ax=panel, shrink=0.8)
        else:
            levels = np.array([10, 30, 50, 70, 90, 95]) / 100 * top
            lines = panel.contour(values, levels, cmap="plasma", linewidths=1)
            panel.clabel(lines, fmt=lambda v: f"{100 * v / top:.0f} %", fontsize=6)
        panel.set_title(name, fontsize=9)
        panel.set_axis_off()
    figure.savefig(place)


def tell(state: str, done: int, total: int) -> None:
    """Show on one line how far it is."""
    print(f"\r{done} of about {total} batches, {state}      ", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Calculate twice, compare, write."""
    kind, source, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    phantom, plan, structures = patient_case(source) if kind == "patient" else arc_case(source)
    machine = load_machine(MACHINE)
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    cones = collapsed_cone.compute(phantom, plan, machine)
    middle = time.perf_counter()
    settings = monte_carlo.MonteCarloSettings(uncertainty=UNCERTAINTY)
    reference = monte_carlo.compute(phantom, plan, machine, settings, tell)
    end = time.perf_counter()
    assert reference.uncertainty is not None
    np.savez_compressed(
        out / "doses.npz", mc=reference.gray, sigma=reference.uncertainty, cones=cones.gray
    )
    inside = phantom.density > 0.05
    print(f"collapsed cone {middle - start:.0f} s, Monte Carlo {end - middle:.0f} s, ", end="")
    print(f"{reference.provenance['histories']} histories, ", end="")
    print(f"{100 * float(reference.provenance['uncertainty_above_half_maximum']):.2f} %")
    # Air outside the patient does not count.
    body = replace(reference, gray=reference.gray * inside)
    for dose_percent, distance in ((2.0, 2.0), (3.0, 3.0)):
        criteria = GammaCriteria(dose_percent, distance, normalisation=float(cones.gray.max()))
        result = gamma_index(body, cones, criteria)
        print(f"gamma {result.criteria.label}: {result.pass_percent:.2f} % pass")
    rows = by_structure(structures, reference, cones) if structures is not None else []
    print("\n".join([*by_dose(reference, cones, inside), "", *rows]))
    draw(phantom, reference, cones, out / "picture.png")


if __name__ == "__main__":
    main()
