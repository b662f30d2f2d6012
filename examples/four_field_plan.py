"""Plan four conformal fields on a patient's CT and structures, calculate and normalise them.

    python examples/four_field_plan.py PATIENT TARGET OUT [MACHINE] [--engine NAME] [--grid MM]

OUT gets the plan (RTPLAN.dcm), its dose (RTDOSE.dcm), the record (run.json) and copies of the
CT and structure files, so that `dosecalc calc OUT` can calculate the plan once more with
another engine. What is planned stands in the capitals below.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dosecalc.errors import DosecalcError
from dosecalc.planning import (
    PlanDose,
    PlanningCase,
    calculate,
    conformal_beam,
    make_plan,
    normalised,
    open_case,
    save,
)

GANTRY_DEG = (0, 90, 180, 270)
WEIGHTS = (1, 1, 1, 1)
MARGIN_MM = 8
DOSE_GY, FRACTIONS = 60, 30
AIMS_GY = {"D95": 0.95 * DOSE_GY, "mean": DOSE_GY}


def main() -> None:
    """Open, put beams, prescribe, calculate, normalise, save."""
    asked = options()
    case = open_case(
        asked.patient,
        machine=asked.machine,
        hu_curve=asked.hu_curve,
        body=asked.body,
        grid_mm=asked.grid,
    )
    # Isocentre in the middle of the target, jaws and leaves a margin outside its outline as
    # the source sees it; of the MU only their ratios matter, as the plan is normalised.
    beams = [
        conformal_beam(
            case[asked.target],
            case.machine,
            number=number,
            gantry_deg=gantry,
            mu=100 * weight,
            margin_mm=MARGIN_MM,
            position=case.ct.position,
        )
        for number, (gantry, weight) in enumerate(zip(GANTRY_DEG, WEIGHTS, strict=True), start=1)
    ]
    plan = make_plan(
        case,
        beams,
        target=asked.target,
        dose_gy=DOSE_GY,
        fractions=FRACTIONS,
        label="FOUR FIELDS",
    )
    planned = calculate(case, plan, asked.engine)
    planned = normalised(case, planned, asked.target, asked.normalise, AIMS_GY[asked.normalise])
    # With CT and structures beside the plan: a patient folder, for `dosecalc verify`.
    save(case, planned, asked.out, with_inputs=True)
    show(case, planned)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patient", type=Path, help="folder with CT and structures")
    parser.add_argument("target", help="structure to treat")
    parser.add_argument("out", type=Path, help="new folder")
    parser.add_argument("machine", nargs="?", default="generic-6mv")
    parser.add_argument("--hu-curve", default="generic-120kvp", help="%(default)s if left out")
    parser.add_argument("--body", help="body contour; the one EXTERNAL structure if left out")
    parser.add_argument("--engine", default="collapsed-cone", help="%(default)s if left out")
    parser.add_argument("--grid", type=float, default=2.5, help="voxels, mm")
    parser.add_argument(
        "--normalise",
        choices=tuple(AIMS_GY),
        default="D95",
        help="what of the target's dose the MU are scaled to: "
        + ", ".join(f"{name} {gray:g} Gy" for name, gray in AIMS_GY.items()),
    )
    asked = parser.parse_args()
    if asked.out.exists():
        parser.exit(3, f"refused: {asked.out} exists already; name a folder that does not\n")
    return asked


def show(case: PlanningCase, planned: PlanDose) -> None:
    """Print MU, the doses of all structures, and what the engine warns of."""
    plan = planned.plan
    for beam in plan.beams:
        point = beam.control_points[0]
        print(
            f"beam {beam.number}: gantry {point.gantry_deg:g}, {beam.mu:.1f} MU, "
            f"jaws X {point.jaws_x}, Y {point.jaws_y} mm"
        )
    mu = sum(beam.mu for beam in plan.beams)
    print(f"isocentre {plan.beams[0].control_points[0].isocentre} mm")
    print(f"{mu:.1f} MU x {FRACTIONS} fractions; {DOSE_GY / FRACTIONS:g} Gy x {FRACTIONS}\n")
    print(f"{'Gy, ' + planned.engine:20}   D98    D95    D50     D2   mean")
    for structure in case.structures:
        if structure.is_empty:
            continue
        dvh = planned.dvh(case, structure.name)
        doses = [dvh.dose_at_volume(percent) for percent in (98, 95, 50, 2)]
        print(f"{structure.name:20}" + "".join(f" {gray:6.2f}" for gray in (*doses, dvh.mean_gy)))
    for caution in planned.fraction.provenance.get("cautions", ()):
        print(f"caution: {caution}")


if __name__ == "__main__":
    try:
        main()
    except DosecalcError as error:
        print(f"refused: {error}", file=sys.stderr)
        sys.exit(3)
