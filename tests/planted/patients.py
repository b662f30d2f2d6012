"""Patients whose plan is right, with the dose a planning system would have sent along.

That "planning system" is the collapsed cone on a finer grid with more cones: what differs from
the verification is the numerics, and the verification's tolerances have to bear that. So the
suite says which errors the rules can tell from numerical differences; how well two programs
agree is another question (docs/physics-monte-carlo.md).
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from filelock import FileLock
from pydicom.dataset import Dataset

from dosecalc.analysis.dvh import structure_dvh
from dosecalc.data.machines import load_machine
from dosecalc.engines import collapsed_cone
from dosecalc.io.dicom import (
    import_folder,
    references_for,
    write_dose,
    write_plan,
    write_structures,
)
from dosecalc.model import (
    Beam,
    Contour,
    PatientPosition,
    Plan,
    Prescription,
    Structure,
)
from dosecalc.planning import conformal_beam
from dosecalc.planning.demo_patient import ThoraxPlan, write_thorax_patient
from dosecalc.verification.inputs import beam_point, dose_at
from dosecalc.workflow.prepare import prepare
from dosecalc.workflow.progress import SilentStages
from dosecalc.workflow.requests import DoseRequest

__all__ = [
    "Patient",
    "arc_patient",
    "edit",
    "lung_patient",
    "made_once",
    "processes",
    "replace_file",
    "thorax_patient",
]

PLAN, STRUCTURES, DOSE = "RTPLAN.dcm", "RTSTRUCT.dcm", "RTDOSE.dcm"
FINE = collapsed_cone.CollapsedConeSettings(directions=128)


@dataclass(frozen=True)
class Patient:
    """A folder and the words with which its plan verifies."""

    folder: Path
    words: dict[str, Any]


def edit(folder: Path, name: str, change: Callable[[Dataset], None]) -> None:
    """Change a file of the folder as somebody else's software would."""
    data = pydicom.dcmread(folder / name)
    change(data)
    replace_file(data, folder / name)


def replace_file(data: Dataset, path: Path) -> None:
    """Write a file anew: the old one may be linked to that of another patient."""
    path.unlink()
    data.save_as(path)


def processes(factory: pytest.TempPathFactory) -> Path:
    """Folder that all test processes of this session share."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(make: Callable[[Path], Patient], processes: Path, folder: Path) -> Patient:
    """Make a patient once for all test processes, and give each its copy.

    Parameters
    ----------
    make : callable(folder)
    processes : folder that all processes of the session share
    folder : where the copy goes
    """
    kept = processes / make.__name__
    with FileLock(f"{kept}.lock"):
        if not (kept / "words").exists():
            made = make(kept / "patient")
            (kept / "words").write_bytes(pickle.dumps(made.words))
    # Linked, not copied: `edit` puts new files in place of those it changes.
    shutil.copytree(kept / "patient", folder, copy_function=os.link)
    return Patient(folder, pickle.loads((kept / "words").read_bytes()))  # noqa: S301


def thorax_patient(folder: Path) -> Patient:
    """Synthetic thorax with bolus, implant and couch, and fields that are nowhere symmetric."""
    write_thorax_patient(folder, wanted=ThoraxPlan(gantry_deg=(0.0,), mu=(60.0,)))
    case = import_folder(folder)
    assert case.ct is not None and case.structures is not None and case.plan is not None
    body = case.structures["BODY"]
    x, y = (np.concatenate([c.points[:, n] for c in body.contours]) for n in (0, 1))
    planes = sorted({c.z for c in body.contours})
    drawn = (
        _slab("BOLUS", "BOLUS", 21, planes, (-130, -20), (y.min() - 8, y.min() + 30), 1.0),
        _slab("COUCH", "SUPPORT", 22, planes, (x.min(), x.max()), (y.max(), y.max() + 20), 0.4),
        _slab("IMPLANT", "", 23, [z for z in planes if abs(z) < 25], (-110, -80), (30, 50), 2.0),
    )
    structures = replace(case.structures, structures=(*case.structures, *drawn), uid="")
    write_structures(structures, folder / STRUCTURES, ct=case.ct, subject=case.subject)
    uid = str(pydicom.dcmread(folder / STRUCTURES).SOPInstanceUID)
    beams = _asymmetric_beams(case.structures["PTV"], case.ct.position)
    plan = replace(case.plan, beams=beams, structure_set_uid=uid, uid="")
    words = {
        "machines": ("generic-6mv",),
        "hu_curve": "generic-120kvp",
        "recorded_densities": True,
        "couch": ("COUCH",),
        "bolus": ("BOLUS",),
        "grid_mm": 4.0,
        "directions": 48,
    }
    return _with_dose(folder, plan, words, fine_mm=3.0)


def lung_patient(samples: Path, folder: Path) -> Patient:
    """Real thorax CT with fields that are nowhere symmetric on its target."""
    shutil.copytree(samples / "lung1-001-tcia", folder)
    (given,) = folder.glob("RTSTRUCT*")
    given.rename(folder / STRUCTURES)
    case = import_folder(folder, incomplete_ok=True)
    assert case.ct is not None and case.structures is not None
    target = case.structures["PTV-1"]
    plan = Plan(
        beams=_asymmetric_beams(target, case.ct.position),
        position=case.ct.position,
        fractions=30,
        prescriptions=(Prescription(target.name, 60.0, "TARGET", target.number),),
        label="ASYMMETRIC",
        structure_set_uid=case.structures.uid,
        frame_of_reference_uid=case.ct.frame_of_reference_uid,
    )
    words = {
        "machines": ("generic-6mv",),
        "hu_curve": "generic-120kvp",
        "body": "Patient",
        "grid_mm": 5.0,
        "directions": 48,
    }
    return _with_dose(folder, plan, words, fine_mm=5.0)


def arc_patient(folder: Path) -> Patient:
    """Synthetic thorax with one arc of 140 degrees whose leaves follow most of the target."""
    write_thorax_patient(folder, wanted=ThoraxPlan(gantry_deg=(0.0,), mu=(60.0,)))
    case = import_folder(folder)
    assert case.ct is not None and case.structures is not None and case.plan is not None
    machine = load_machine("generic-6mv")
    angles = [200.0 + 10.0 * n for n in range(15)]
    stills = [
        conformal_beam(
            case.structures["PTV"],
            machine,
            number=1,
            gantry_deg=angle,
            collimator_deg=30.0,
            couch_deg=0.0,
            mu=200.0,
            margin_mm=6.0,
            position=case.ct.position,
        )
        for angle in angles
    ]
    points = []
    for n, still in enumerate(stills):
        point = still.control_points[0]
        assert point.leaves is not None
        # Leaves leave out a third of the target on one side, alternating in their depth.
        leaves = point.leaves.copy()
        leaves[1] = np.maximum(leaves[0], leaves[1] - (12.0 + 6.0 * (n % 2)))
        points.append(
            replace(
                point,
                leaves=leaves,
                jaws_x=(-60.0, 60.0),
                jaws_y=(-60.0, 60.0),
                meterset_fraction=n / (len(stills) - 1),
                gantry_direction="CW" if n < len(stills) - 1 else "NONE",
            )
        )
    arc = replace(stills[0], control_points=tuple(points), technique="VMAT", name="ARC")
    words = {
        "machines": ("generic-6mv",),
        "hu_curve": "generic-120kvp",
        "grid_mm": 5.0,
        "directions": 48,
    }
    return _with_dose(folder, replace(case.plan, beams=(arc,), uid=""), words, fine_mm=5.0)


def _slab(
    name: str,
    kind: str,
    number: int,
    planes: Sequence[float],
    x: tuple[float, float],
    y: tuple[float, float],
    density: float,
) -> Structure:
    corners = np.array([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])], float)
    contours = tuple(Contour(z, corners) for z in planes)
    return Structure(number, name, kind, contours, density=density)


def _asymmetric_beams(target: Structure, position: PatientPosition) -> tuple[Beam, ...]:
    """Four fields; leaves leave out a quarter of the target, jaws a strip of it."""
    machine = load_machine("generic-6mv")
    assert machine.mlc is not None
    middles = (machine.mlc.boundaries_mm[1:] + machine.mlc.boundaries_mm[:-1]) / 2
    beams = []
    for number, (gantry, collimator, couch) in enumerate(
        ((5.0, 15.0, 0.0), (100.0, 330.0, 0.0), (230.0, 40.0, 0.0), (310.0, 20.0, 25.0)), start=1
    ):
        beam = conformal_beam(
            target,
            machine,
            number=number,
            gantry_deg=gantry,
            collimator_deg=collimator,
            couch_deg=couch,
            mu=60.0 + 5 * number,
            margin_mm=10.0,
            position=position,
        )
        first = beam.control_points[0]
        assert first.jaws_y is not None and first.leaves is not None
        low, high = first.jaws_y
        leaves = first.leaves.copy()
        upper = middles > 0.2 * high
        leaves[1, upper] = np.maximum(leaves[0, upper], 0.3 * leaves[1, upper])
        points = tuple(
            replace(point, leaves=leaves, jaws_y=(0.55 * low, high))
            for point in beam.control_points
        )
        beams.append(replace(beam, control_points=points))
    return tuple(beams)


def _with_dose(folder: Path, plan: Plan, words: dict[str, Any], *, fine_mm: float) -> Patient:
    """Prescribe what the plan gives, state it for each beam, and write plan and dose."""
    subject = import_folder(folder, incomplete_ok=True).subject
    write_plan(plan, folder / PLAN, subject=subject)
    options = DoseRequest.from_words(path=folder, **(words | {"grid_mm": fine_mm}))
    ready = prepare(options, SilentStages())
    doses = {}
    for beam in ready.plan.beams:
        alone = replace(ready.plan, beams=(beam,))
        doses[beam.number] = collapsed_cone.compute(ready.phantom, alone, ready.machines, FINE)
    assert plan.fractions is not None and ready.case is not None
    gray = plan.fractions * np.sum([dose.gray for dose in doses.values()], axis=0)
    total = replace(doses[1], gray=gray.astype(np.float32), summation="PLAN")
    assert ready.case.structures is not None
    target = ready.case.structures[plan.prescriptions[0].description]
    median = structure_dvh(target, total).median_gy
    stated = tuple(
        replace(beam, prescribed_dose_gy=dose_at(doses[beam.number], beam_point(beam)),
                dose_point=beam.control_points[0].isocentre)
        for beam in plan.beams
    )  # fmt: skip
    prescription = replace(plan.prescriptions[0], dose_gy=round(median, 2))
    (folder / PLAN).unlink()
    write_plan(
        replace(plan, beams=stated, prescriptions=(prescription,)), folder / PLAN, subject=subject
    )
    write_dose(total, folder / DOSE, references_for(import_folder(folder)))
    return Patient(folder, words)
