"""RT Plan writing: what is written reads back the same, is valid, and is reproducible."""

from __future__ import annotations

import subprocess
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from dosecalc.errors import DicomError, InputError
from dosecalc.io.dicom._common import read_dataset
from dosecalc.io.dicom._writing import Subject
from dosecalc.io.dicom.plan import read_plan
from dosecalc.io.dicom.plan_writer import write_plan
from dosecalc.model import Beam, ControlPoint, PatientPosition, Plan, Prescription
from dosecalc.model.motion import technique_of
from tests.outside import program

SUBJECT = Subject("P1", "Test^Plan", "1.2.3", when=datetime(2026, 11, 23, 8, 30))
EDGES = np.array([-200.0, -50.5, -5.25, 5.25, 50.5, 200.0])


def control_point(fraction: float, **changes: object) -> ControlPoint:
    """A state with digits enough to show rounding."""
    first = ControlPoint(
        meterset_fraction=fraction,
        gantry_deg=123.456789012,
        collimator_deg=359.999999,
        couch_deg=1 / 3,
        isocentre=(-123.45678901234, 1e-7 / 3, 200 / 7),
        jaws_x=(-100 / 3, 55.5),
        jaws_y=(-200.0, 200 / 3),
        leaves=np.array(
            [np.linspace(-123.4567891, 1 / 7, 5), np.linspace(20 / 7, 150.123456789, 5)]
        ),
    )
    return replace(first, **changes)  # type: ignore[arg-type]


def beam(number: int = 1, *points: ControlPoint, **changes: object) -> Beam:
    points = points or (control_point(0.0), control_point(1.0))
    made = Beam(
        number=number,
        name=f"Field {number}",
        energy_mv=6.0,
        fluence_mode="STANDARD",
        machine_name="LINAC1",
        sad_mm=1000.0,
        mu=1000 / 7,
        control_points=points,
        leaf_boundaries=None if points[0].leaves is None else EDGES,
        leaf_axis=None if points[0].leaves is None else "x",
        technique=technique_of(points),
        prescribed_dose_gy=2 / 3,
        dose_point=(1.5, -2.5, 1 / 3),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def plan(*beams: Beam, **changes: object) -> Plan:
    made = Plan(
        beams=beams or (beam(),),
        position=PatientPosition.HFS,
        fractions=25,
        prescriptions=(
            Prescription("PTV", 50.0, structure_number=3),
            Prescription("Point", 48.5, point=(1.0, 2.0, 3.0)),
            Prescription("Breast", 46.0),
            Prescription("Cord", 45.0, kind="ORGAN_AT_RISK", structure_number=7),
        ),
        label="TESTPLAN",
        structure_set_uid="1.2.5",
        frame_of_reference_uid="1.2.6",
        patient_id="P1",
        approval="UNAPPROVED",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def vmat() -> Beam:
    """An arc out and an arc back with moving leaves, jaws and collimator."""
    angles = [180.0, 260.25, 340.0, 100.0, 340.0]
    senses = ["CW", "CW", "CW", "CC", "NONE"]
    points = [
        control_point(
            (i / 4) ** 1.5,
            gantry_deg=angle,
            gantry_direction=sense,
            collimator_deg=10.0 + i,
            collimator_direction="CC" if i < 4 else "NONE",
            jaws_x=(-50.0 + i, 50.0),
            leaves=np.array([np.full(5, -30.0 + i / 3), np.full(5, 30.0 + i / 7)]),
        )
        for i, (angle, sense) in enumerate(zip(angles, senses, strict=True))
    ]
    return beam(2, *points, fluence_mode="FFF")


def step_and_shoot() -> Beam:
    moved = {"jaws_y": (-10.0, 20.0), "leaves": None}
    first = {"leaves": None}
    return beam(
        3,
        control_point(0.0, **first),
        control_point(0.375, **first),
        control_point(0.375, **moved),
        control_point(1.0, **moved),
    )


def full_arc() -> Beam:
    start = control_point(0.0, gantry_deg=180.0, gantry_direction="CC", jaws_x=None)
    return beam(4, start, replace(start, meterset_fraction=1.0, gantry_direction="NONE"))


def along_y() -> Beam:
    return beam(5, leaf_axis="y", sad_mm=900.0, prescribed_dose_gy=None, dose_point=None)


BEAMS = {
    "static": beam,
    "vmat": vmat,
    "step and shoot": step_and_shoot,
    "full arc": full_arc,
    "leaves along y": along_y,
}


def assert_same(value: object, other: object, what: str) -> None:
    """Compare field by field; 1e-9 mm or degrees is what 16 characters leave of 1000."""
    if hasattr(value, "__dataclass_fields__"):
        assert type(value) is type(other), what
        for field in fields(value):  # type: ignore[arg-type]
            if field.name not in ("notes", "uid"):
                name = f"{what}.{field.name}"
                assert_same(getattr(value, field.name), getattr(other, field.name), name)
    elif isinstance(value, tuple):
        assert isinstance(other, tuple), what
        assert len(value) == len(other), what
        for i, (a, b) in enumerate(zip(value, other, strict=True)):
            assert_same(a, b, f"{what}[{i}]")
    elif isinstance(value, float | np.ndarray):
        np.testing.assert_allclose(other, value, rtol=0, atol=1e-9, err_msg=what)
    else:
        assert value == other, what


@pytest.mark.parametrize("kind", BEAMS)
def test_every_beam_comes_back(tmp_path: Path, kind: str) -> None:
    made = plan(BEAMS[kind]())
    write_plan(made, tmp_path / "plan.dcm", subject=SUBJECT)
    assert_same(made, read_plan(read_dataset(tmp_path / "plan.dcm")), "plan")


def test_whole_plan_comes_back(tmp_path: Path) -> None:
    made = plan(*(make() for make in BEAMS.values()), position=PatientPosition.FFP, uid="1.2.7")
    write_plan(made, tmp_path / "sub" / "plan.dcm", subject=SUBJECT)
    ds = read_dataset(tmp_path / "sub" / "plan.dcm")
    read = read_plan(ds)
    assert_same(made, read, "plan")
    assert read.uid == "1.2.7"
    assert (ds.PatientName, ds.StudyInstanceUID, ds.RTPlanDate) == (
        "Test^Plan",
        "1.2.3",
        "20261123",
    )


def test_data_set_needs_no_file() -> None:
    assert_same(plan(), read_plan(write_plan(plan(), None, subject=SUBJECT)), "plan")


def test_unknown_number_of_fractions_stays_unknown() -> None:
    ds = write_plan(plan(fractions=None), None, subject=SUBJECT)
    assert "NumberOfFractionsPlanned" in ds.FractionGroupSequence[0]
    assert read_plan(ds).fractions is None


def test_only_what_moves_is_repeated() -> None:
    ds = write_plan(plan(step_and_shoot()), None, subject=SUBJECT)
    later = ds.BeamSequence[0].ControlPointSequence[1]
    assert "GantryAngle" not in later
    assert "IsocenterPosition" not in later
    stated = [p.RTBeamLimitingDeviceType for p in later.BeamLimitingDevicePositionSequence]
    assert stated == ["ASYMY"]


def test_full_turn_states_angle_and_sense_at_both_ends() -> None:
    points = (
        write_plan(plan(full_arc()), None, subject=SUBJECT).BeamSequence[0].ControlPointSequence
    )
    assert [(p.GantryAngle, p.GantryRotationDirection) for p in points] == [
        (180.0, "CC"),
        (180.0, "NONE"),
    ]


def test_numbers_fit_decimal_strings() -> None:
    ds = write_plan(plan(vmat()), None, subject=SUBJECT)
    longest = max(
        len(str(value))
        for point in ds.BeamSequence[0].ControlPointSequence
        for device in point.BeamLimitingDevicePositionSequence
        for value in device.LeafJawPositions
    )
    assert longest <= 16


def test_identity_follows_the_content(tmp_path: Path) -> None:
    first = write_plan(plan(), tmp_path / "a.dcm", subject=SUBJECT)
    again = write_plan(plan(), tmp_path / "b.dcm", subject=SUBJECT)
    later = write_plan(plan(), None, subject=replace(SUBJECT, when=None))
    other = write_plan(plan(beam(mu=143.0)), None, subject=SUBJECT)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    assert first.SOPInstanceUID == again.SOPInstanceUID == later.SOPInstanceUID
    assert other.SOPInstanceUID != first.SOPInstanceUID


def test_approval_is_never_written() -> None:
    ds = write_plan(plan(approval="APPROVED"), None, subject=SUBJECT)
    assert ds.ApprovalStatus == "UNAPPROVED"


NO_DEVICES = {"jaws_x": None, "jaws_y": None, "leaves": None}
TURN = control_point(0.0, gantry_direction="CW")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (plan(patient_id="P2"), "of patient 'P2'"),
        (plan(label="a label of many words"), "plan label"),
        (plan(beam(name="a\\b")), "name of beam 1"),
        (plan(beam(machine_name="x" * 17)), "machine name of beam 1"),
        (plan(prescriptions=(Prescription("P", 1.0, kind="SITE"),)), "prescription kind"),
        (
            plan(beam(1, control_point(0.0, **NO_DEVICES), control_point(1.0, **NO_DEVICES))),
            "neither jaws nor leaves",
        ),
        (
            plan(beam(1, control_point(0.0), control_point(1.0, jaws_x=None), technique="STATIC")),
            "at all control points or at none",
        ),
        (
            plan(beam(1, TURN, replace(TURN, meterset_fraction=0.5), control_point(1.0))),
            "full turn between two of 3",
        ),
        (replace(plan(), beams=()), "without beams"),
        (plan(fractions=2**31), "fractions cannot be stored"),
        (plan(beam(2**31)), "beam number 2147483648 cannot be stored"),
        (plan(beam(energy_mv=-6.0)), "-6 MV; it must be above zero"),
    ],
)
def test_what_cannot_be_stored_is_refused(made: Plan, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_plan(made, None, subject=SUBJECT)


def test_unwritable_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DicomError, match="cannot be written"):
        write_plan(plan(), tmp_path / "file" / "plan.dcm", subject=SUBJECT)


@pytest.mark.system
@pytest.mark.parametrize("dated", [True, False])
def test_written_plan_passes_dciodvfy(tmp_path: Path, dated: bool) -> None:
    program("dciodvfy", "dicom3tools")
    beams = tuple(replace(make(), dose_point=None) for make in BEAMS.values())
    subject = SUBJECT if dated else replace(SUBJECT, when=None)
    for name, made in (
        ("full", plan(*beams)),
        ("bare", plan(prescriptions=(), structure_set_uid="", frame_of_reference_uid="")),
    ):
        path = tmp_path / f"{name}.dcm"
        write_plan(made, path, subject=subject)
        result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
        told = [line for line in result.stderr.splitlines() if line.startswith("Error")]
        assert not told
        assert "RTPlan" in result.stderr, "the validator did not look at it as a plan"
