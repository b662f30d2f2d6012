"""Write a four-field conformal plan for a patient folder that has CT and structures only.

    python examples/four_field_plan.py PATIENT TARGET OUT [MACHINE]

copies the CT and RTSTRUCT files to OUT, adds an RTPLAN with four fields shaped to
the structure TARGET with a margin of 8 mm, 60 Gy in 30 fractions, and says how to
calculate it. The fields have equal MU; nothing is optimised.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from dosecalc.data.machines import load_machine
from dosecalc.dicom import import_folder, write_plan
from dosecalc.model import Plan, Prescription
from dosecalc.planning.shaping import conformal_beam

_GANTRY_DEG = (0.0, 90.0, 180.0, 270.0)
_MU = 60.0


def main() -> None:
    """Read, plan, write."""
    patient, target_name, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    machine = load_machine(sys.argv[4] if len(sys.argv) > 4 else "generic-6mv")
    case = import_folder(patient, incomplete_ok=True)
    if case.ct is None or case.structures is None:
        raise SystemExit(f"{patient} needs a CT and a structure set")
    target = case.structures[target_name]
    beams = tuple(
        conformal_beam(
            target,
            machine,
            number=number,
            gantry_deg=gantry,
            mu=_MU,
            margin_mm=8.0,
            position=case.ct.position,
        )
        for number, gantry in enumerate(_GANTRY_DEG, start=1)
    )
    plan = Plan(
        beams=beams,
        position=case.ct.position,
        fractions=30,
        prescriptions=(Prescription(target_name, 60.0, "TARGET", target.number),),
        label="FOUR FIELDS",
        structure_set_uid=case.structures.uid,
        frame_of_reference_uid=case.ct.frame_of_reference_uid,
    )
    out.mkdir(parents=True)
    for file in sorted(patient.glob("*.dcm")):
        shutil.copy(file, out)
    write_plan(plan, out / "RTPLAN.dcm", subject=case.subject)
    print(f"dosecalc calc {out} --machine {machine.name} --hu-curve generic-120kvp --body Patient")


if __name__ == "__main__":
    main()
