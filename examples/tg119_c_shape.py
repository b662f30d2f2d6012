"""Optimise fluence for TG-119's C-shape, sequence it and calculate what is deliverable.

    python examples/tg119_c_shape.py W2.npz OUT [VOXEL_MM]

W2.npz holds CT numbers, masks, isocentre and gantry angles (benchmarks/README.md). OUT gets
RTPLAN.dcm; the table shows the goals for the optimised fluence, and for the sequenced plan by
the pencil beam and by the collapsed cone, Gy of one fraction.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from dosecalc.beam import BeamletGrid, target_beamlets
from dosecalc.data.machines import load_machine
from dosecalc.engines import collapsed_cone, pencil_beam
from dosecalc.engines.pencil_beam.influence import dose_influence
from dosecalc.io.dicom import Subject, new_uid, write_plan
from dosecalc.model import Grid, PatientPosition, Phantom, Plan
from dosecalc.planning import Objective, optimise_fluence, step_and_shoot

PRESCRIBED_GY = 3.0
OBJECTIVES = (
    Objective("OuterTarget", "uniform", PRESCRIBED_GY, weight=100),
    Objective("Core", "max", 1.0, weight=10),
    Objective("BODY", "mean", 0.0, weight=1),
    Objective("BODY", "max", 2.0, weight=10),
)

Masks = dict[str, NDArray[np.float64]]


def read(file: Path, voxel_mm: float) -> tuple[Phantom, Masks, NDArray[np.float64], dict]:
    """Phantom of water-like matter, masks on its grid, points of the target, and the rest."""
    with np.load(file) as data:
        given = {name: data[name] for name in data}
    spacing, origin = given["spacing_xyz"], given["origin_xyz"]
    names = [str(name).split("|")[0] for name in given["voi_names"]]
    corner = origin - spacing / 2
    size = spacing * np.array(given["hu"].shape[::-1])
    grid = Grid.covering(tuple(corner), tuple(corner + size), (voxel_mm,) * 3)
    places = [
        (grid.centres(axis) - origin["xyz".index(axis)]) / spacing["xyz".index(axis)]
        for axis in "zyx"
    ]
    index = np.meshgrid(*places, indexing="ij")

    def on_grid(values: NDArray) -> NDArray[np.float64]:
        return map_coordinates(values.astype(float), index, order=1, mode="nearest")

    masks = {name: on_grid(given[f"mask_{n}"]) for n, name in enumerate(names)}
    density = np.clip(1 + on_grid(given["hu"]) / 1000, 0.0012, None)
    density[masks["BODY"] < 0.5] = 0.0012
    phantom = Phantom(grid, density.astype(np.float32), np.zeros(grid.shape, np.uint8), ("water",))
    masks["BODY"] = masks["BODY"] * (masks["OuterTarget"] < 0.5)
    target = np.argwhere(given[f"mask_{names.index('OuterTarget')}"] > 0)
    return phantom, masks, origin + spacing * target[:, ::-1], given


def beamlet_grids(target: NDArray[np.float64], given: dict) -> list[BeamletGrid]:
    """Beamlets of 5 mm that see the target, one grid for each of the five gantry angles."""
    machine = load_machine("generic-6mv")
    isocentre = tuple(round(float(x), 2) for x in given["isocenter_xyz"])
    return [
        target_beamlets(
            target, PatientPosition.HFS, machine, isocentre=isocentre, gantry_deg=float(angle)
        )
        for angle in given["gantry5_deg"]
    ]


def goals(name: str, dose: NDArray[np.floating], masks: Masks) -> str:
    """One line of the table."""
    target, core = (dose[masks[n] > 0.5] for n in ("OuterTarget", "Core"))
    d95, d50, d5 = (np.percentile(target, 100 - p) for p in (95, 50, 5))
    return f"| {name} | {d95:.2f} | {d50:.2f} | {d5:.2f} | {np.percentile(core, 90):.2f} |"


def main() -> None:
    """Read, optimise, sequence, calculate, write."""
    file, out = Path(sys.argv[1]), Path(sys.argv[2])
    voxel_mm = float(sys.argv[3]) if len(sys.argv) > 3 else 5.0
    if out.exists():
        sys.exit(f"refused: {out} exists; name a folder that does not")
    phantom, masks, target, given = read(file, voxel_mm)
    machine, position = load_machine("generic-6mv"), PatientPosition.HFS
    grids = beamlet_grids(target, given)
    start = time.perf_counter()
    influence = dose_influence(phantom, grids, machine)
    middle = time.perf_counter()
    found = optimise_fluence(influence, masks, OBJECTIVES)
    end = time.perf_counter()
    entries = influence.matrix.nnz
    print(
        f"{sum(g.count for g in grids)} beamlets, {entries / 1e6:.1f} million entries in "
        f"{middle - start:.1f} s; optimised in {end - middle:.1f} s, "
        f"{len(found.history)} iterations, value {found.value:.4f}"
    )
    rows = [goals("optimised fluence", influence.dose(found.weights).gray, masks)]
    beams, first = [], 0
    for number, grid in enumerate(grids, start=1):
        weights = found.weights[first : first + grid.count]
        beams.append(step_and_shoot(grid, weights, machine, number=number))
        first += grid.count
    plan = Plan(tuple(beams), position, fractions=1, label="TG-119 C-SHAPE")
    # Leaves leak and levels round: half of the target is to have what is prescribed.
    dose = pencil_beam.compute(phantom, plan, machine).gray
    factor = PRESCRIBED_GY / float(np.median(dose[masks["OuterTarget"] > 0.5]))
    beams = [replace(beam, mu=beam.mu * factor) for beam in beams]
    plan = replace(plan, beams=tuple(beams))
    for name, engine in (("pencil beam", pencil_beam), ("collapsed cone", collapsed_cone)):
        rows.append(goals(f"plan, {name}", engine.compute(phantom, plan, machine).gray, masks))
    segments = sum(len(b.control_points) // 2 for b in beams)
    print(f"{segments} segments, {sum(b.mu for b in beams):.0f} MU")
    print("| | target D95 | D50 | D5 | core D10 |\n|---|---|---|---|---|")
    print("\n".join(rows))
    out.mkdir(parents=True)
    subject = Subject(
        patient_id="TG119", patient_name="TG119^C-shape", study_uid=new_uid("TG-119 C-shape study")
    )
    write_plan(plan, out / "RTPLAN.dcm", subject=subject)


if __name__ == "__main__":
    main()
