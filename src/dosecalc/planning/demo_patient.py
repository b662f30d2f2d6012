"""The demo's patient: a synthetic thorax and a plan on it, written as a DICOM folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dosecalc.data.machines import load_machine
from dosecalc.io.dicom import (
    Subject,
    new_uid,
    read_ct,
    read_dataset,
    write_ct,
    write_plan,
    write_structures,
)
from dosecalc.model import CtImage, Plan, Prescription, StructureSet
from dosecalc.patient.thorax import TARGET, thorax_ct, thorax_structures
from dosecalc.planning.shaping import conformal_beam

__all__ = ["ThoraxPlan", "write_thorax_patient"]


@dataclass(frozen=True)
class ThoraxPlan:
    """Fields and prescription of the demo's plan.

    gantry_deg, mu : per field, MU of one fraction
    margin_mm : between the target and the leaves, in the isocentre plane
    dose_gy, fractions : prescribed at the isocentre, to which every field gives an equal part;
        the MU are those with which the collapsed cone does so within 1 %
    """

    machine: str = "generic-6mv"
    gantry_deg: Sequence[float] = (0.0, 190.0, 235.0, 280.0)
    mu: Sequence[float] = (48.7, 50.1, 50.5, 49.9)
    margin_mm: float = 8.0
    dose_gy: float = 60.0
    fractions: int = 30


def write_thorax_patient(
    folder: Path, *, noise_hu: float = 0.0, wanted: ThoraxPlan | None = None
) -> tuple[Path, ...]:
    """Write CT, RTSTRUCT and RTPLAN of the synthetic thorax and return the paths.

    The same arguments give the same files, byte for byte.
    """
    subject = Subject(
        patient_id="THORAX-PHANTOM",
        patient_name="Thorax^Synthetic",
        study_uid=new_uid("dosecalc thorax study", f"{noise_hu:g}"),
    )
    image = replace(thorax_ct(noise_hu=noise_hu), study_uid=subject.study_uid)
    slices = write_ct(image, folder / "CT", subject=subject, description="synthetic thorax")
    ct = read_ct([read_dataset(path) for path in slices])
    structures = replace(
        thorax_structures(), uid=new_uid("dosecalc thorax structures", ct.series_uid)
    )
    set_path = write_structures(structures, folder / "RTSTRUCT.dcm", ct=ct, subject=subject)
    plan = _plan(wanted or ThoraxPlan(), structures, ct)
    plan_path = folder / "RTPLAN.dcm"
    write_plan(plan, plan_path, subject=subject)
    return (*slices, set_path, plan_path)


def _plan(wanted: ThoraxPlan, structures: StructureSet, ct: CtImage) -> Plan:
    machine, target = load_machine(wanted.machine), structures[TARGET]
    fields = zip(wanted.gantry_deg, wanted.mu, strict=True)
    return Plan(
        beams=tuple(
            conformal_beam(
                target,
                machine,
                number=i,
                gantry_deg=gantry,
                mu=mu,
                margin_mm=wanted.margin_mm,
                position=ct.position,
                dose_gy=wanted.dose_gy / wanted.fractions / len(wanted.mu),
            )
            for i, (gantry, mu) in enumerate(fields, start=1)
        ),
        position=ct.position,
        fractions=wanted.fractions,
        prescriptions=(Prescription(TARGET, wanted.dose_gy, "TARGET", target.number),),
        label="CONFORMAL",
        structure_set_uid=structures.uid,
        frame_of_reference_uid=ct.frame_of_reference_uid,
    )
