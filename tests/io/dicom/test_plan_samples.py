"""Real plans of seven planning systems: each reads as its raw tags say, or is refused by name."""

from __future__ import annotations

import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dosecalc.errors import DicomError, DosecalcError, InputError, UnsupportedError
from dosecalc.io.dicom._common import parse_dataset, read_dataset
from dosecalc.io.dicom.plan import read_plan
from dosecalc.model import Beam, Plan
from dosecalc.model.motion import collimator_turn_deg, gantry_turn_deg

pytestmark = [
    pytest.mark.samples,
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]

MLC_TWO_LAYERS = (UnsupportedError, "two-layer multileaf collimator")
ELECTRONS = (UnsupportedError, "RadiationType .* is ELECTRON")
BRACHY = (UnsupportedError, r"brachytherapy plan \(HDR\)")
# One leaf position of each slit12 plan is "66 .0": a space within a number is not allowed.
SPOILT_NUMBER = (DicomError, r"LeafJawPositions .*does not hold numbers only \('66 \.0'\)")

REFUSED: dict[str, tuple[type[DosecalcError], str]] = {
    "RTPLAN_58497888.0_983d658b.dcm": (InputError, r"2 fraction groups \(1, 2\); choose one"),
    "RP1.3.6.1.4.1.2452.6.2467388899.1146065960.224089749.3085483327.dcm": ELECTRONS,
    "simple_plan.dcm": ELECTRONS,
    "brachy_plan.dcm": BRACHY,
    "RP.TG119.CS_ETH_9F.dcm": MLC_TWO_LAYERS,
    "RP.TG119.MT_ETH_2A_#1.dcm": MLC_TWO_LAYERS,
    "RTPLAN_MR_PT_01_PENALTY.dcm": MLC_TWO_LAYERS,
    **{
        f"slit12_{energy}.dcm": SPOILT_NUMBER
        for energy in ("6X", "10X", "15X", "18X", "6FFF", "10FFF")
    },
    "brachy/rtplan.dcm": BRACHY,
    "test_data.dcm": BRACHY,
    "ExplVR_BigEndNoMeta.dcm": (UnsupportedError, "RT Ion Plan"),
    "ExplVR_LitEndNoMeta.dcm": (UnsupportedError, "RT Ion Plan"),
}

# Folder: plans read, plans refused.
OUTCOMES = {
    "breast-swin-imrt": (1, 0),
    "monaco-misc-pymedphys": (27, 1),
    "oncentra-phantom": (0, 3),
    "plans-6tps": (8, 3),
    "plans-monaco-qa": (48, 6),
    "quirks": (1, 4),
}


def plans_in(folder: Path) -> list[tuple[Path, Dataset]]:
    found = []
    for path in sorted(folder.rglob("*.dcm")):
        try:
            ds = read_dataset(path)
        except DosecalcError:
            continue
        if ds.get("Modality") == "RTPLAN":
            found.append((path, ds))
    return found


def refusal(path: Path) -> tuple[type[DosecalcError], str] | None:
    return REFUSED.get(f"{path.parent.name}/{path.name}") or REFUSED.get(path.name)


@pytest.mark.parametrize("folder", OUTCOMES)
def test_every_plan_is_read_or_refused_by_name(samples: Path, folder: str) -> None:
    read = refused = 0
    for path, ds in plans_in(samples / folder):
        expected = refusal(path)
        if expected is None:
            agrees_with_raw_tags(read_plan(ds, where=path.name), ds)
            read += 1
        else:
            with pytest.raises(expected[0], match=expected[1]) as caught:
                read_plan(ds, where=path.name)
            assert str(caught.value).startswith(path.name)
            refused += 1
    assert (read, refused) == OUTCOMES[folder]


def agrees_with_raw_tags(plan: Plan, ds: Dataset) -> None:
    """Follow the attributes of each beam by hand, with pydicom alone."""
    (group,) = ds.FractionGroupSequence
    mu = {int(r.ReferencedBeamNumber): r.get("BeamMeterset") for r in group.ReferencedBeamSequence}
    assert plan.fractions == group.NumberOfFractionsPlanned
    raw_beams = {int(b.BeamNumber): b for b in ds.BeamSequence}
    treated = [n for n, b in raw_beams.items() if b.TreatmentDeliveryType == "TREATMENT"]
    assert [b.number for b in plan.beams] == treated
    for beam in plan.beams:
        raw = raw_beams[beam.number]
        assert beam.mu == float(mu[beam.number])
        assert beam.sad_mm == float(raw.SourceAxisDistance)
        modes = raw.get("PrimaryFluenceModeSequence", [])
        assert beam.fluence_mode == (
            "FFF" if any("FluenceModeID" in m for m in modes) else "STANDARD"
        )
        points_agree(beam, raw)


def points_agree(beam: Beam, raw: Dataset) -> None:
    state: dict[str, object] = {}
    edges = [d.get("LeafPositionBoundaries") for d in raw.BeamLimitingDeviceSequence]
    if beam.leaf_boundaries is not None:
        np.testing.assert_array_equal(beam.leaf_boundaries, [float(x) for x in edges[-1]])
    assert len(beam.control_points) == len(raw.ControlPointSequence)
    for point, stated in zip(beam.control_points, raw.ControlPointSequence, strict=True):
        for keyword in ("GantryAngle", "BeamLimitingDeviceAngle", "PatientSupportAngle"):
            if stated.get(keyword) is not None:
                state[keyword] = float(stated[keyword].value) % 360
        if stated.get("IsocenterPosition") is not None:
            state["iso"] = tuple(float(x) for x in stated.IsocenterPosition)
        if stated.get("NominalBeamEnergy") is not None:
            state["energy"] = float(stated.NominalBeamEnergy)
        for device in stated.get("BeamLimitingDevicePositionSequence", []):
            kind = device.RTBeamLimitingDeviceType.replace("ASYM", "")
            state[kind] = [float(x) for x in device.LeafJawPositions]
        weight = float(stated.CumulativeMetersetWeight) / float(raw.FinalCumulativeMetersetWeight)
        assert point.meterset_fraction == pytest.approx(weight, abs=1e-9)
        assert point.gantry_deg == state["GantryAngle"]
        assert point.collimator_deg == state["BeamLimitingDeviceAngle"]
        assert point.couch_deg == state["PatientSupportAngle"]
        assert point.isocentre == state["iso"]
        assert beam.energy_mv == state["energy"]
        jaws = (point.jaws_x, point.jaws_y)
        assert [j and list(j) for j in jaws] == [state.get("X"), state.get("Y")]
        if point.leaves is None:
            assert "MLCX" not in state
        else:
            assert point.leaves.ravel().tolist() == state["MLCX"]


def one(samples: Path, name: str) -> Plan:
    return read_plan(read_dataset(samples / name))


def test_breast_sliding_window(samples: Path) -> None:
    """Numbers read off the file with a dump: the jaws are stated once, the leaves at 92 points."""
    plan = one(samples, "breast-swin-imrt/rtplan.dcm")
    assert [(b.mu, b.energy_mv, len(b.control_points)) for b in plan.beams] == [
        (97.0, 10.0, 92),
        (87.0, 6.0, 94),
        (89.0, 6.0, 103),
        (94.0, 10.0, 95),
    ]
    assert {b.technique for b in plan.beams} == {"SLIDING_WINDOW"}
    assert (plan.fractions, plan.position.value) == (7, "HFS")
    point = plan.beams[0].control_points[50]
    assert point.jaws_x == (8.99999999999999, 70.0)
    assert point.jaws_y == (-40.0, 40.0)
    assert point.gantry_deg == 327.0
    assert point.meterset_fraction == pytest.approx(0.54945055, abs=1e-9)
    assert point.leaves is not None
    assert point.leaves[:, 29:31].tolist() == [[25.3, 25.6], [57.5, 56.5]]
    assert [p.dose_gy for p in plan.prescriptions] == [14.0, 11.3113869239676]


def test_truebeam_arcs(samples: Path) -> None:
    plan = one(samples, "plans-6tps/RP.TG119.CS_TB_2A_#1.dcm")
    first, second = plan.beams
    assert (first.technique, first.mu) == ("VMAT", 343.960857196143)
    assert first.control_points[90].gantry_deg == 1.0
    assert first.control_points[90].jaws_y == (-48.0, 48.2)
    # From 181 over 270, 0 and 90 to 179, and back.
    assert travel(first) == pytest.approx(358.0, abs=1e-9)
    assert travel(second) == pytest.approx(-358.0, abs=1e-9)


def travel(beam: Beam) -> float:
    return sum(gantry_turn_deg(a, b) for a, b in pairwise(beam.control_points))


def test_monaco_two_arcs_in_one_beam(samples: Path) -> None:
    """Start and stop at 180 degrees: once round clockwise and once back."""
    (beam,) = one(samples, "plans-6tps/RTPLAN_MO_PT_01.dcm").beams
    turns = [gantry_turn_deg(a, b) for a, b in pairwise(beam.control_points)]
    assert beam.control_points[0].gantry_deg == beam.control_points[-1].gantry_deg == 180.0
    assert sum(t for t in turns if t > 0) == pytest.approx(360.0, abs=1e-6)
    assert sum(t for t in turns if t < 0) == pytest.approx(-360.0, abs=1e-6)
    assert max(abs(t) for t in turns) < 20
    assert beam.control_points[0].jaws_x is None


def test_monaco_full_arc(samples: Path) -> None:
    (beam,) = one(samples, "monaco-misc-pymedphys/RTPLAN_47522480.0_b6a2c02d.dcm").beams
    assert travel(beam) == pytest.approx(360.0, abs=1e-6)


def test_non_coplanar_radiosurgery(samples: Path) -> None:
    plan = one(samples, "plans-6tps/RTPLAN_MO_PT_03.dcm")
    assert [b.control_points[5].couch_deg for b in plan.beams] == [45, 90, 300, 330, 0]
    assert {b.fluence_mode for b in plan.beams} == {"FFF"}
    point = plan.beams[1].control_points[10]
    assert (point.gantry_deg, point.jaws_y) == (281.0, (-2.0, 7.0))
    assert plan.beams[1].mu == 761.72406


def test_collimator_turns_with_the_gantry(samples: Path) -> None:
    """Winston-Lutz arcs: half a turn of the collimator; rising angles are stated as CC."""
    plan = one(samples, "monaco-misc-pymedphys/RTPLAN_68332762.0_580aeb3d.dcm")
    turns = [
        sum(collimator_turn_deg(a, b) for a, b in pairwise(beam.control_points))
        for beam in plan.beams
    ]
    np.testing.assert_allclose(turns, [179.9, -179.9], atol=0.3)


def test_pinnacle_without_dose_reference(samples: Path) -> None:
    plan = one(samples, "plans-6tps/RTPLAN_PI_PT_01.dcm")
    assert plan.prescriptions == ()
    assert plan.beams[1].control_points[45].jaws_x == (-54.0, 71.0)


def test_chosen_fraction_group(samples: Path) -> None:
    ds = read_dataset(samples / "monaco-misc-pymedphys/RTPLAN_58497888.0_983d658b.dcm")
    plan = read_plan(ds, fraction_group=2)
    assert [(b.number, b.mu) for b in plan.beams] == [
        (4, 185.306702),
        (5, 170.584229),
        (6, 119.688309),
    ]
    assert plan.fractions == 4
    assert plan.beams[0].control_points[5].jaws_y == (-30.0, 35.0)
    # Of the plan's two prescriptions, the one this group refers to.
    assert [p.dose_gy for p in plan.prescriptions] == [10.0]


def test_raystation_water(samples: Path) -> None:
    with zipfile.ZipFile(samples / "raystation-water" / "water503_CT_RP_RS.zip") as archive:
        (name,) = (n for n in archive.namelist() if Path(n).name.startswith("RP"))
        plan = read_plan(parse_dataset(archive.read(name), name))
    (beam,) = plan.beams
    assert (beam.mu, beam.energy_mv, beam.fluence_mode) == (100.0, 6.0, "STANDARD")
    assert beam.prescribed_dose_gy == 0.7979931
    assert beam.dose_point == beam.control_points[0].isocentre == (7.105427e-14, 100.0, 0.0)
    point = beam.control_points[1]
    assert (point.jaws_x, point.jaws_y) == ((-50.0, 50.0), (-50.0, 50.0))
    assert beam.technique == "STATIC"


def test_truncated_file_is_refused(samples: Path) -> None:
    path = samples / "quirks" / "pydicom_test_files" / "rtplan_truncated.dcm"
    with pytest.raises(DicomError, match="truncated"):
        read_dataset(path)
    # Even what a lenient parser makes of it is refused.
    with pytest.raises(DicomError, match="control point"):
        read_plan(pydicom.dcmread(path, force=True))
