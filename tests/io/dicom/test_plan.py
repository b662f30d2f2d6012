"""RT Plan reading: known answers, refusals by name, and fuzzed attributes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from dosecalc.errors import DicomError, DosecalcError, InputError, UnsupportedError
from dosecalc.io.dicom._common import parse_dataset
from dosecalc.io.dicom.plan import read_plan
from dosecalc.model import Beam, PatientPosition, Plan
from dosecalc.model.motion import collimator_turn_deg, gantry_turn_deg

ISOCENTRE = [10.0, -20.0, 30.5]
EDGES = [-20.0, -5.0, 5.0, 20.0]
# Bank 1 (101, 102, 103), then bank 2 (201, 202, 203): no two values alike.
LEAVES = [-11.0, -12.0, -13.0, 21.0, 22.0, 23.0]


def item(**attributes: object) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def device(kind: str, pairs: int = 1, edges: list[float] | None = None) -> Dataset:
    ds = item(RTBeamLimitingDeviceType=kind, NumberOfLeafJawPairs=pairs)
    if edges is not None:
        ds.LeafPositionBoundaries = edges
    return ds


def position(kind: str, *values: float) -> Dataset:
    return item(RTBeamLimitingDeviceType=kind, LeafJawPositions=list(values))


def first_point(**changes: object) -> Dataset:
    ds = item(
        ControlPointIndex=0,
        CumulativeMetersetWeight=0.0,
        NominalBeamEnergy=6.0,
        GantryAngle=30.0,
        GantryRotationDirection="NONE",
        BeamLimitingDeviceAngle=350.0,
        BeamLimitingDeviceRotationDirection="NONE",
        PatientSupportAngle=15.0,
        PatientSupportRotationDirection="NONE",
        TableTopEccentricAngle=0.0,
        TableTopVerticalPosition=None,
        IsocenterPosition=ISOCENTRE,
        BeamLimitingDevicePositionSequence=[
            position("ASYMX", -40, 60),
            position("ASYMY", -50, 70),
            position("MLCX", *LEAVES),
        ],
    )
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def next_point(index: int, weight: float, **changes: object) -> Dataset:
    return item(ControlPointIndex=index, CumulativeMetersetWeight=weight, **changes)


def treatment_beam(
    number: int = 1, points: list[Dataset] | None = None, **changes: object
) -> Dataset:
    points = points or [first_point(), next_point(1, 1.0)]
    ds = item(
        BeamNumber=number,
        BeamName=f"Field {number}",
        BeamType="STATIC",
        RadiationType="PHOTON",
        PrimaryFluenceModeSequence=[item(FluenceMode="STANDARD")],
        TreatmentMachineName="LINAC1",
        PrimaryDosimeterUnit="MU",
        SourceAxisDistance=1000.0,
        BeamLimitingDeviceSequence=[device("ASYMX"), device("ASYMY"), device("MLCX", 3, EDGES)],
        ReferencedPatientSetupNumber=1,
        TreatmentDeliveryType="TREATMENT",
        NumberOfWedges=0,
        NumberOfCompensators=0,
        NumberOfBoli=0,
        NumberOfBlocks=0,
        FinalCumulativeMetersetWeight=1.0,
        NumberOfControlPoints=len(points),
        ControlPointSequence=points,
    )
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def referenced_beam(number: int = 1, mu: float = 123.5) -> Dataset:
    return item(
        ReferencedBeamNumber=number,
        BeamMeterset=mu,
        BeamDose=0.75,
        BeamDoseSpecificationPoint=[1.0, 2.0, 3.0],
    )


def plan_dataset(*beams: Dataset, **changes: object) -> Dataset:
    beams = beams or (treatment_beam(),)
    ds = item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.481.5",
        SOPInstanceUID="1.2.3.4",
        Modality="RTPLAN",
        PatientID="P1",
        FrameOfReferenceUID="1.2.3.5",
        RTPlanLabel="TEST",
        RTPlanGeometry="PATIENT",
        ApprovalStatus="UNAPPROVED",
        DoseReferenceSequence=[
            item(
                DoseReferenceNumber=1,
                DoseReferenceStructureType="SITE",
                DoseReferenceDescription="PTV",
                DoseReferenceType="TARGET",
                TargetPrescriptionDose=50.0,
            )
        ],
        FractionGroupSequence=[
            item(
                FractionGroupNumber=1,
                NumberOfFractionsPlanned=25,
                NumberOfBeams=len(beams),
                NumberOfBrachyApplicationSetups=0,
                ReferencedBeamSequence=[referenced_beam(int(b.BeamNumber)) for b in beams],
            )
        ],
        PatientSetupSequence=[item(PatientSetupNumber=1, PatientPosition="HFS")],
        ReferencedStructureSetSequence=[item(ReferencedSOPInstanceUID="1.2.3.6")],
        BeamSequence=list(beams),
    )
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def read_points(*points: Dataset, **changes: object) -> Beam:
    return read_plan(plan_dataset(treatment_beam(points=list(points), **changes))).beams[0]


class TestKnownAnswers:
    def test_plan(self) -> None:
        plan = read_plan(plan_dataset())
        assert (plan.label, plan.uid, plan.patient_id) == ("TEST", "1.2.3.4", "P1")
        assert (plan.structure_set_uid, plan.frame_of_reference_uid) == ("1.2.3.6", "1.2.3.5")
        assert plan.position is PatientPosition.HFS
        assert plan.fractions == 25
        assert plan.approval == "UNAPPROVED"
        assert [(p.description, p.dose_gy, p.kind) for p in plan.prescriptions] == [
            ("PTV", 50.0, "TARGET")
        ]
        assert plan.notes == ()

    def test_static_beam(self) -> None:
        beam = read_plan(plan_dataset()).beams[0]
        assert (beam.number, beam.name, beam.machine_name) == (1, "Field 1", "LINAC1")
        assert (beam.energy_mv, beam.fluence_mode, beam.sad_mm) == (6.0, "STANDARD", 1000.0)
        assert (beam.mu, beam.prescribed_dose_gy) == (123.5, 0.75)
        assert beam.dose_point == (1.0, 2.0, 3.0)
        assert beam.technique == "STATIC"
        for point in beam.control_points:
            assert (point.gantry_deg, point.collimator_deg, point.couch_deg) == (30.0, 350.0, 15.0)
            assert point.isocentre == tuple(ISOCENTRE)
            assert (point.jaws_x, point.jaws_y) == ((-40.0, 60.0), (-50.0, 70.0))
        assert [p.meterset_fraction for p in beam.control_points] == [0.0, 1.0]

    def test_leaf_banks_come_one_after_the_other(self) -> None:
        beam = read_plan(plan_dataset()).beams[0]
        np.testing.assert_array_equal(
            beam.control_points[1].leaves, [[-11, -12, -13], [21, 22, 23]]
        )
        np.testing.assert_array_equal(beam.leaf_boundaries, EDGES)
        assert beam.leaf_axis == "x"

    def test_leaves_along_y(self) -> None:
        point = first_point(
            BeamLimitingDevicePositionSequence=[position("X", -40, 40), position("MLCY", *LEAVES)]
        )
        beam = read_points(
            point,
            next_point(1, 1.0),
            BeamLimitingDeviceSequence=[device("X"), device("MLCY", 3, EDGES)],
        )
        assert beam.leaf_axis == "y"
        assert beam.control_points[0].jaws_x == (-40.0, 40.0)
        assert beam.control_points[0].jaws_y is None
        assert "no Y jaws in the plan" in beam.notes

    def test_missing_x_jaws(self) -> None:
        point = first_point(
            BeamLimitingDevicePositionSequence=[
                position("ASYMY", -50, 70),
                position("MLCX", *LEAVES),
            ]
        )
        beam = read_points(
            point,
            next_point(1, 1.0),
            BeamLimitingDeviceSequence=[device("ASYMY"), device("MLCX", 3, EDGES)],
        )
        assert beam.control_points[1].jaws_x is None
        assert beam.notes == ("no X jaws in the plan",)

    def test_jaws_may_be_declared_under_the_other_name(self) -> None:
        """Monaco declares ASYMY and states positions of Y."""
        point = first_point()
        point.BeamLimitingDevicePositionSequence[1].RTBeamLimitingDeviceType = "Y"
        assert read_points(point, next_point(1, 1.0)).control_points[0].jaws_y == (-50.0, 70.0)

    def test_jaws_twice_in_agreement(self) -> None:
        point = first_point()
        point.BeamLimitingDevicePositionSequence.append(position("X", -40, 60))
        beam = read_points(point, next_point(1, 1.0))
        assert beam.control_points[0].jaws_x == (-40.0, 60.0)
        assert any("two names" in note for note in beam.notes)

    def test_each_quantity_is_inherited_on_its_own(self) -> None:
        beam = read_points(
            first_point(GantryRotationDirection="CW"),
            next_point(1, 0.25, GantryAngle=40.0),
            next_point(2, 0.5, BeamLimitingDevicePositionSequence=[position("ASYMX", -10, 20)]),
            next_point(3, 1.0, GantryAngle=50.0, GantryRotationDirection="NONE"),
        )
        points = beam.control_points
        assert [p.gantry_deg for p in points] == [30, 40, 40, 50]
        assert [p.jaws_x for p in points] == [(-40, 60), (-40, 60), (-10, 20), (-10, 20)]
        assert [p.jaws_y for p in points] == [(-50, 70)] * 4
        assert all(p.leaves is not None and p.leaves[1, 2] == 23.0 for p in points)
        # The gantry waits in the second interval: a stated sense must not make it a full turn.
        assert [p.gantry_direction for p in points] == ["CW", "NONE", "CW", "NONE"]

    def test_weights_are_normalised_by_the_final_weight(self) -> None:
        beam = read_points(
            first_point(),
            next_point(1, 30.0),
            next_point(2, 120.0),
            FinalCumulativeMetersetWeight=120.0,
        )
        assert [p.meterset_fraction for p in beam.control_points] == [0.0, 0.25, 1.0]

    def test_source_axis_distance_is_kept(self) -> None:
        assert read_points(first_point(), next_point(1, 1), SourceAxisDistance=900).sad_mm == 900.0


class TestTechniques:
    def test_step_and_shoot(self) -> None:
        moved = [position("ASYMX", -10, 20)]
        beam = read_points(
            first_point(),
            next_point(1, 0.5),
            next_point(2, 0.5, BeamLimitingDevicePositionSequence=moved),
            next_point(3, 1.0),
        )
        assert beam.technique == "STEP_AND_SHOOT"

    def test_sliding_window(self) -> None:
        moved = [position("MLCX", *(np.array(LEAVES) + 5.0))]
        beam = read_points(
            first_point(), next_point(1, 1.0, BeamLimitingDevicePositionSequence=moved)
        )
        assert beam.technique == "SLIDING_WINDOW"
        assert any("BeamType is STATIC" in note for note in beam.notes)

    @pytest.mark.parametrize(("direction", "turn"), [("CW", 40.0), ("CC", -320.0)])
    def test_conformal_arc(self, direction: str, turn: float) -> None:
        beam = read_points(
            first_point(GantryRotationDirection=direction), next_point(1, 1.0, GantryAngle=70.0)
        )
        assert beam.technique == "ARC"
        assert gantry_turn_deg(*beam.control_points) == pytest.approx(turn)

    @pytest.mark.parametrize(("direction", "turn"), [("CW", 360.0), ("CC", -360.0)])
    def test_full_arc_of_two_control_points(self, direction: str, turn: float) -> None:
        beam = read_points(
            first_point(GantryAngle=180.0, GantryRotationDirection=direction),
            next_point(1, 1.0, GantryRotationDirection="NONE"),
        )
        assert beam.technique == "ARC"
        assert [p.gantry_deg for p in beam.control_points] == [180.0, 180.0]
        assert gantry_turn_deg(*beam.control_points) == turn
        assert any("turns fully" in note for note in beam.notes)

    def test_vmat_there_and_back(self) -> None:
        """Monaco writes two arcs as one beam: the sense changes on the way."""
        angles = [180.0, 300.0, 60.0, 180.0, 60.0, 300.0, 180.0]
        senses = ["CW"] * 3 + ["CC"] * 3 + ["NONE"]
        points = [
            next_point(
                i,
                i / 6,
                GantryAngle=angle,
                GantryRotationDirection=sense,
                BeamLimitingDevicePositionSequence=[position("ASYMX", -40 + i, 60)],
            )
            for i, (angle, sense) in enumerate(zip(angles, senses, strict=True))
        ]
        points[0] = first_point(GantryAngle=180.0, GantryRotationDirection="CW")
        beam = read_points(*points)
        cps = beam.control_points
        turns = [gantry_turn_deg(a, b) for a, b in pairwise(cps)]
        assert beam.technique == "VMAT"
        assert turns == [120.0] * 3 + [-120.0] * 3

    def test_collimator_may_turn(self) -> None:
        beam = read_points(
            first_point(BeamLimitingDeviceRotationDirection="CC"),
            next_point(1, 1.0, BeamLimitingDeviceAngle=20.0),
        )
        assert beam.technique == "SLIDING_WINDOW"
        assert collimator_turn_deg(*beam.control_points) == pytest.approx(30.0)


class TestFluenceMode:
    def mode(self, *modes: Dataset, **changes: object) -> Beam:
        return read_points(
            first_point(), next_point(1, 1.0), PrimaryFluenceModeSequence=list(modes), **changes
        )

    def test_fff(self) -> None:
        beam = self.mode(item(FluenceMode="NON_STANDARD", FluenceModeID="FFF"))
        assert beam.fluence_mode == "FFF"

    def test_absent_is_standard_with_a_note(self) -> None:
        beam = self.mode()
        assert beam.fluence_mode == "STANDARD"
        assert any("taken as STANDARD" in note for note in beam.notes)

    def test_name_that_says_fff_is_noted(self) -> None:
        beam = self.mode(TreatmentMachineName="TB_6FFF")
        assert beam.fluence_mode == "STANDARD"
        assert any("TreatmentMachineName says FFF" in note for note in beam.notes)

    @pytest.mark.parametrize("name", ["SRS", "", "OTHER"])
    def test_other_modes_are_refused(self, name: str) -> None:
        with pytest.raises(UnsupportedError, match="FluenceModeID"):
            self.mode(item(FluenceMode="NON_STANDARD", FluenceModeID=name))

    def test_unknown_mode_is_refused(self) -> None:
        with pytest.raises(DicomError, match="FluenceMode"):
            self.mode(item(FluenceMode="FLAT"))
        with pytest.raises(DicomError, match="2 primary fluence modes"):
            self.mode(item(FluenceMode="STANDARD"), item(FluenceMode="STANDARD"))


class TestWhatIsDelivered:
    def test_setup_beams_are_left_out(self) -> None:
        setup = treatment_beam(2, TreatmentDeliveryType="SETUP", RadiationType="ELECTRON")
        ds = plan_dataset(treatment_beam(), setup)
        del ds.FractionGroupSequence[0].ReferencedBeamSequence[1].BeamMeterset
        plan = read_plan(ds)
        assert [b.number for b in plan.beams] == [1]
        assert plan.notes == ("beam 2 (Field 2): SETUP beam left out",)

    def test_mu_of_a_beam_left_out_are_told(self) -> None:
        port_film = treatment_beam(2, TreatmentDeliveryType="OPEN_PORTFILM")
        plan = read_plan(plan_dataset(treatment_beam(), port_film))
        assert plan.notes == (
            "beam 2 (Field 2): OPEN_PORTFILM beam left out, its 123.5 MU with it",
        )

    def test_unknown_delivery_is_refused(self) -> None:
        with pytest.raises(UnsupportedError, match="CONTINUATION"):
            read_plan(plan_dataset(treatment_beam(TreatmentDeliveryType="CONTINUATION")))

    def test_beam_outside_the_fraction_group_is_not_delivered(self) -> None:
        ds = plan_dataset(treatment_beam(1), treatment_beam(2))
        group = ds.FractionGroupSequence[0]
        del group.ReferencedBeamSequence[1]
        group.NumberOfBeams = 1
        plan = read_plan(ds)
        assert [b.number for b in plan.beams] == [1]
        assert any("not in the fraction group" in note for note in plan.notes)

    def test_only_setup_beams(self) -> None:
        with pytest.raises(DicomError, match="no treatment beam"):
            read_plan(plan_dataset(treatment_beam(TreatmentDeliveryType="SETUP")))

    def test_zero_mu_is_noted(self) -> None:
        ds = plan_dataset()
        ds.FractionGroupSequence[0].ReferencedBeamSequence[0].BeamMeterset = 0
        assert read_plan(ds).notes == ("beam 1: the plan states 0 MU",)

    def test_several_fraction_groups_need_a_choice(self) -> None:
        ds = plan_dataset(treatment_beam(1), treatment_beam(2))
        first = ds.FractionGroupSequence[0]
        second = copy.deepcopy(first)
        second.FractionGroupNumber, second.NumberOfFractionsPlanned = 7, 4
        del first.ReferencedBeamSequence[1], second.ReferencedBeamSequence[0]
        first.NumberOfBeams = second.NumberOfBeams = 1
        second.ReferencedBeamSequence[0].BeamMeterset = 60
        ds.FractionGroupSequence.append(second)
        with pytest.raises(InputError, match=r"2 fraction groups \(1, 7\)"):
            read_plan(ds)
        with pytest.raises(InputError, match="no fraction group 2"):
            read_plan(ds, fraction_group=2)
        plan = read_plan(ds, fraction_group=7)
        assert (plan.fractions, plan.beams[0].number, plan.beams[0].mu) == (4, 2, 60.0)
        assert any("fraction group 7 of 1, 7" in note for note in plan.notes)

    def test_number_of_fractions_may_be_unknown(self) -> None:
        ds = plan_dataset()
        ds.FractionGroupSequence[0].NumberOfFractionsPlanned = None
        plan = read_plan(ds)
        assert plan.fractions is None
        assert any("number of fractions" in note for note in plan.notes)


class TestPrescriptions:
    def test_kinds(self) -> None:
        target = item(
            DoseReferenceNumber=1,
            DoseReferenceType="TARGET",
            DoseReferenceStructureType="VOLUME",
            ReferencedROINumber=21,
            TargetPrescriptionDose=60,
        )
        at_point = item(
            DoseReferenceNumber=2,
            DoseReferenceType="TARGET",
            DoseReferenceStructureType="COORDINATES",
            DoseReferencePointCoordinates=[1, 2, 3],
            TargetPrescriptionDose=58,
        )
        organ = item(
            DoseReferenceNumber=3,
            DoseReferenceType="ORGAN_AT_RISK",
            DoseReferenceStructureType="SITE",
            DoseReferenceDescription="Cord",
            DeliveryMaximumDose=45,
        )
        empty = item(
            DoseReferenceNumber=4, DoseReferenceType="TARGET", DoseReferenceStructureType="SITE"
        )
        plan = read_plan(plan_dataset(DoseReferenceSequence=[target, at_point, organ, empty]))
        volume, point, cord = plan.prescriptions
        assert (volume.dose_gy, volume.kind, volume.structure_number) == (60.0, "TARGET", 21)
        assert (point.dose_gy, point.point) == (58.0, (1.0, 2.0, 3.0))
        assert (cord.dose_gy, cord.kind, cord.description) == (45.0, "ORGAN_AT_RISK", "Cord")
        assert plan.notes == ("dose reference 4 (TARGET) states no dose: left out",)

    def test_none_at_all(self) -> None:
        ds = plan_dataset()
        del ds.DoseReferenceSequence
        assert read_plan(ds).prescriptions == ()


class TestPosition:
    def test_given_where_the_plan_says_nothing(self) -> None:
        ds = plan_dataset()
        del ds.PatientSetupSequence[0].PatientPosition
        with pytest.raises(DicomError, match="say how the patient lies"):
            read_plan(ds)
        plan = read_plan(ds, position=PatientPosition.HFP)
        assert plan.position is PatientPosition.HFP
        assert any("HFP taken as given" in note for note in plan.notes)

    def test_must_agree_with_what_is_given(self) -> None:
        assert read_plan(plan_dataset(), position=PatientPosition.HFS).position.value == "HFS"
        with pytest.raises(DicomError, match=r"is HFS, not FFS as given"):
            read_plan(plan_dataset(), position=PatientPosition.FFS)

    def test_contradictory_setups(self) -> None:
        setups = [
            item(PatientSetupNumber=1, PatientPosition="HFS"),
            item(PatientSetupNumber=2, PatientPosition="FFS"),
        ]
        second = treatment_beam(2, ReferencedPatientSetupNumber=2)
        with pytest.raises(DicomError, match="FFS, HFS"):
            read_plan(plan_dataset(treatment_beam(), second, PatientSetupSequence=setups))
        # A setup no delivered beam uses has no say.
        assert read_plan(plan_dataset(PatientSetupSequence=setups)).position.value == "HFS"

    def test_unknown_position(self) -> None:
        setup = [item(PatientSetupNumber=1, PatientPosition="SITTING")]
        with pytest.raises(UnsupportedError, match="SITTING"):
            read_plan(plan_dataset(PatientSetupSequence=setup))


def _beam(ds: Dataset) -> Dataset:
    return ds.BeamSequence[0]


def _cp(ds: Dataset, index: int) -> Dataset:
    return _beam(ds).ControlPointSequence[index]


def _reference(ds: Dataset) -> Dataset:
    return ds.FractionGroupSequence[0].ReferencedBeamSequence[0]


def on_plan(**changes: object) -> Callable[[Dataset], None]:
    return lambda ds: [setattr(ds, k, v) for k, v in changes.items()] and None


def on_beam(**changes: object) -> Callable[[Dataset], None]:
    return lambda ds: [setattr(_beam(ds), k, v) for k, v in changes.items()] and None


def on_point(index: int, **changes: object) -> Callable[[Dataset], None]:
    return lambda ds: [setattr(_cp(ds, index), k, v) for k, v in changes.items()] and None


def on_reference(**changes: object) -> Callable[[Dataset], None]:
    return lambda ds: [setattr(_reference(ds), k, v) for k, v in changes.items()] and None


def without(path: Callable[[Dataset], Dataset], keyword: str) -> Callable[[Dataset], None]:
    return lambda ds: delattr(path(ds), keyword)


def positions(*stated: Dataset) -> Callable[[Dataset], None]:
    return on_point(0, BeamLimitingDevicePositionSequence=list(stated))


def devices(*declared: Dataset) -> Callable[[Dataset], None]:
    return on_beam(BeamLimitingDeviceSequence=list(declared))


ASYMX, ASYMY = position("ASYMX", -40, 60), position("ASYMY", -50, 70)
MLC = position("MLCX", *LEAVES)

UNSUPPORTED = {
    "electrons": (on_beam(RadiationType="ELECTRON"), "ELECTRON.*electron beam model"),
    "protons": (on_beam(RadiationType="PROTON"), "PROTON.*proton engine"),
    "ions": (on_beam(RadiationType="ION"), "ION.*ion engine"),
    "neutrons": (on_beam(RadiationType="NEUTRON"), "NEUTRON"),
    "ion plan": (on_plan(SOPClassUID="1.2.840.10008.5.1.4.1.1.481.8"), "Ion Plan"),
    "brachytherapy": (
        on_plan(BrachyTreatmentType="HDR", BeamSequence=[]),
        "brachytherapy.*HDR",
    ),
    "sources and beams in one fraction": (
        on_plan(
            ApplicationSetupSequence=[
                item(ApplicationSetupNumber=4, ChannelSequence=[item(ChannelNumber=1)])
            ],
            FractionGroupSequence=[
                item(
                    FractionGroupNumber=1,
                    NumberOfFractionsPlanned=25,
                    NumberOfBeams=1,
                    ReferencedBeamSequence=[referenced_beam(1)],
                    NumberOfBrachyApplicationSetups=1,
                    ReferencedBrachyApplicationSetupSequence=[
                        item(ReferencedBrachyApplicationSetupNumber=4)
                    ],
                )
            ],
        ),
        "brachytherapy as well",
    ),
    "minutes": (on_beam(PrimaryDosimeterUnit="MINUTE"), "PrimaryDosimeterUnit.*MINUTE"),
    "wedge": (
        on_beam(
            NumberOfWedges=1,
            WedgeSequence=[item(WedgeNumber=1, WedgeType="DYNAMIC", WedgeID="EDW60IN")],
        ),
        "wedge.*DYNAMIC EDW60IN",
    ),
    "wedge by number only": (on_beam(NumberOfWedges=1), "1 wedge"),
    "block": (on_beam(NumberOfBlocks=2), "2 block"),
    "block listed, not counted": (on_beam(BlockSequence=[item(BlockNumber=1)]), "1 block"),
    "compensator": (on_beam(NumberOfCompensators=1), "compensator"),
    "bolus": (on_beam(NumberOfBoli=1), "bolus"),
    "applicator": (on_beam(ApplicatorSequence=[item(ApplicatorID="C10")]), "applicator"),
    "tray": (on_beam(TotalBlockTrayFactor=0.97), "TotalBlockTrayFactor is 0.97"),
    "accessory": (
        on_beam(GeneralAccessorySequence=[item(GeneralAccessoryType="GRATICULE")]),
        "GRATICULE",
    ),
    "two layers, own names": (
        devices(device("X"), device("MLCX1", 3, EDGES), device("MLCX2", 3, EDGES)),
        "two-layer.*MLCX1, MLCX2",
    ),
    "two layers, one name": (
        devices(device("MLCX", 3, EDGES), device("MLCX", 3, EDGES)),
        "two-layer.*MLCX, MLCX",
    ),
    "two collimators": (
        devices(device("MLCX", 3, EDGES), device("MLCY", 3, EDGES)),
        "two multileaf collimators",
    ),
    "unknown device": (devices(device("IRIS")), "IRIS"),
    "gantry pitch": (on_point(0, GantryPitchAngle=2.0), "gantry pitch.*is 2 degrees"),
    "table pitch": (on_point(1, TableTopPitchAngle=1.5), "table top pitch"),
    "table roll": (on_point(0, TableTopRollAngle=-1.0), "table top roll"),
    "eccentric table": (on_point(0, TableTopEccentricAngle=10.0), "eccentric"),
    "turning couch": (on_point(1, PatientSupportAngle=20.0), "patient support rotates"),
    "couch with a sense": (
        on_point(0, PatientSupportRotationDirection="CW"),
        "patient support rotates",
    ),
    "moving isocentre": (on_point(1, IsocenterPosition=[0, 0, 0]), "isocentre moves"),
    "changing energy": (on_point(1, NominalBeamEnergy=10), "NominalBeamEnergy.*changes"),
}

DAMAGED = {
    "another modality": (on_plan(Modality="RTDOSE"), "RTDOSE, not RTPLAN"),
    "no beams": (on_plan(BeamSequence=[]), "no beams"),
    "no fraction group": (on_plan(FractionGroupSequence=[]), "FractionGroupSequence"),
    "no MU": (without(_reference, "BeamMeterset"), "beam 1 .Field 1.*BeamMeterset"),
    "negative MU": (on_reference(BeamMeterset=-1), "-1 MU"),
    "negative dose": (on_reference(BeamDose=-1), "BeamDose"),
    "reference to no beam": (on_reference(ReferencedBeamNumber=9), "beam 9, which is not in"),
    "no radiation type": (without(_beam, "RadiationType"), "RadiationType"),
    "no devices": (without(_beam, "BeamLimitingDeviceSequence"), "BeamLimitingDeviceSequence"),
    "no final weight": (without(_beam, "FinalCumulativeMetersetWeight"), "FinalCumulative"),
    "final weight 0": (on_beam(FinalCumulativeMetersetWeight=0), "it must be above zero"),
    "final weight differs": (on_beam(FinalCumulativeMetersetWeight=2), "must agree"),
    "no weight": (
        lambda ds: delattr(_cp(ds, 1), "CumulativeMetersetWeight"),
        "control point 1: CumulativeMetersetWeight",
    ),
    "first weight": (on_point(0, CumulativeMetersetWeight=0.1), "control point 0 is 0.1"),
    "falling weight": (on_point(1, CumulativeMetersetWeight=-1), "falls from 0 to -1"),
    "control point missing": (on_beam(NumberOfControlPoints=3), "NumberOfControlPoints.*is 3"),
    "index twice": (on_point(1, ControlPointIndex=0), "is 0 again"),
    "no isocentre": (lambda ds: delattr(_cp(ds, 0), "IsocenterPosition"), "IsocenterPosition"),
    "no gantry angle": (lambda ds: delattr(_cp(ds, 0), "GantryAngle"), "GantryAngle"),
    "no couch angle": (lambda ds: delattr(_cp(ds, 0), "PatientSupportAngle"), "PatientSupport"),
    "no energy": (lambda ds: delattr(_cp(ds, 0), "NominalBeamEnergy"), "NominalBeamEnergy"),
    "energy 0": (on_point(0, NominalBeamEnergy=0), "NominalBeamEnergy.*0 MV"),
    "angle in tenths": (on_point(0, GantryAngle=1800), "GantryAngle is 1800"),
    "no source-axis distance": (without(_beam, "SourceAxisDistance"), "SourceAxisDistance"),
    "jaws contradict": (positions(ASYMX, ASYMY, MLC, position("X", -40, 61)), "contradictory X"),
    "jaws crossed": (positions(position("ASYMX", 60, -40), ASYMY, MLC), "ASYMX jaws cross"),
    "jaws unstated": (positions(ASYMY, MLC), "no position for the declared X jaws"),
    "leaves unstated": (positions(ASYMX, ASYMY), "no position for the declared MLCX"),
    "leaf missing": (
        positions(ASYMX, ASYMY, position("MLCX", *LEAVES[:5])),
        "LeafJawPositions.*has 5 values, 6 are needed",
    ),
    "leaves crossed": (
        positions(ASYMX, ASYMY, position("MLCX", 0, 0, 5, 0, 0, 4)),
        "leaf pair 3 of MLCX cross",
    ),
    "leaves twice": (positions(ASYMX, ASYMY, MLC, MLC), "stated twice"),
    "undeclared device": (positions(ASYMX, ASYMY, MLC, position("MLCY", 1, 2)), "not declare"),
    "leaf edges missing": (
        devices(device("ASYMX"), device("ASYMY"), device("MLCX", 3)),
        "LeafPositionBoundaries",
    ),
    "leaf edges falling": (
        devices(device("ASYMX"), device("ASYMY"), device("MLCX", 3, EDGES[::-1])),
        "do not rise",
    ),
    "turning without a sense": (on_point(1, GantryAngle=40), "GantryRotationDirection is NONE"),
    "unknown sense": (on_point(0, GantryRotationDirection="LEFT"), "'LEFT'"),
    "unknown setup": (on_beam(ReferencedPatientSetupNumber=3), "patient setup 3"),
    "no fractions": (
        lambda ds: setattr(ds.FractionGroupSequence[0], "NumberOfFractionsPlanned", 0),
        "NumberOfFractionsPlanned.*is 0",
    ),
    "negative prescription": (
        lambda ds: setattr(ds.DoseReferenceSequence[0], "TargetPrescriptionDose", -2),
        "dose reference 1: -2 Gy",
    ),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_is_not_modelled_is_refused_by_name(case: str) -> None:
    change, message = UNSUPPORTED[case]
    ds = plan_dataset()
    change(ds)
    with pytest.raises(UnsupportedError, match=message):
        read_plan(ds)


@pytest.mark.parametrize("case", DAMAGED)
def test_what_contradicts_itself_is_refused(case: str) -> None:
    change, message = DAMAGED[case]
    ds = plan_dataset()
    change(ds)
    with pytest.raises(DicomError, match=message):
        read_plan(ds)


def test_every_message_says_where() -> None:
    for change, _ in (*UNSUPPORTED.values(), *DAMAGED.values()):
        ds = plan_dataset()
        change(ds)
        with pytest.raises(DosecalcError, match=r"^plan\.dcm"):
            read_plan(ds, where="plan.dcm")


def test_one_of_several_structure_sets_is_chosen() -> None:
    both = [item(ReferencedSOPInstanceUID=uid) for uid in ("1.2", "1.3")]
    ds = plan_dataset(ReferencedStructureSetSequence=both)
    with pytest.raises(InputError, match=r"2 structure sets \(1\.2, 1\.3\).*--structures UID"):
        read_plan(ds)
    plan = read_plan(ds, structure_set_uid="1.3")
    assert plan.structure_set_uid == "1.3"
    assert any("1.3 taken as asked" in note for note in plan.notes)


LEFTOVERS = {
    "type": on_plan(BrachyTreatmentType="HDR"),
    "setups without sources": on_plan(ApplicationSetupSequence=[item(ApplicationSetupNumber=1)]),
    "number": lambda ds: setattr(ds.FractionGroupSequence[0], "NumberOfBrachyApplicationSetups", 1),
    "reference to nothing": lambda ds: setattr(
        ds.FractionGroupSequence[0], "ReferencedBrachyApplicationSetupSequence", [item()]
    ),
}


@pytest.mark.parametrize("case", LEFTOVERS)
def test_external_beams_with_a_leftover_of_brachytherapy_are_read(case: str) -> None:
    ds = plan_dataset()
    LEFTOVERS[case](ds)
    plan = read_plan(ds)
    assert [beam.mu for beam in plan.beams] == [123.5]
    assert any("brachytherapy" in note and "ignored" in note for note in plan.notes)


def test_a_bolus_goes_with_the_beam() -> None:
    named = [item(ReferencedROINumber=7), item(ReferencedROINumber=9)]
    plan = read_plan(plan_dataset(treatment_beam(1, NumberOfBoli=2, ReferencedBolusSequence=named)))
    assert plan.beams[0].bolus == (7, 9)
    assert plan.notes == ("beam 1: bolus in the beam: ROI 7, 9",)
    for changes in (
        {"NumberOfBoli": 3, "ReferencedBolusSequence": named},
        {"ReferencedBolusSequence": [item(BolusID="B")]},
    ):
        with pytest.raises(UnsupportedError, match="does not say which ROI"):
            read_plan(plan_dataset(treatment_beam(1, **changes)))


def test_beams_are_left_out_by_number() -> None:
    """An imaging beam marked as TREATMENT: left out whatever it asks, and held by the plan."""
    imaging = treatment_beam(2, RadiationType="ELECTRON", BeamName="CBCT")
    setup = treatment_beam(3, TreatmentDeliveryType="SETUP")
    ds = plan_dataset(treatment_beam(1), imaging, setup)
    with pytest.raises(UnsupportedError, match="ELECTRON"):
        read_plan(ds)
    plan = read_plan(ds, without_beams=[2, 3])
    assert [beam.number for beam in plan.beams] == [1]
    assert [(b.number, b.name, b.mu) for b in plan.left_out] == [(2, "CBCT", 123.5)]
    assert any("beam 2 (CBCT): left out as asked, its 123.5 MU with it" in n for n in plan.notes)
    with pytest.raises(InputError, match=r"no beam 9.*--without-beam.*1 \(Field 1\)"):
        read_plan(ds, without_beams=[9])
    with pytest.raises(DicomError, match="no treatment beam is delivered"):
        read_plan(ds, without_beams=[1, 2])
    del ds.FractionGroupSequence[0].ReferencedBeamSequence[1].BeamMeterset
    assert read_plan(ds, without_beams=[2]).left_out[0].mu is None


def test_duplicate_beam_numbers() -> None:
    with pytest.raises(DicomError, match=r"BeamNumber.*1 is used by 'Field 1' and 'Field 1'"):
        read_plan(plan_dataset(treatment_beam(1), treatment_beam(1)))


def test_beam_referenced_twice() -> None:
    ds = plan_dataset()
    group = ds.FractionGroupSequence[0]
    group.ReferencedBeamSequence.append(referenced_beam(1))
    group.NumberOfBeams = 2
    with pytest.raises(DicomError, match="refers to beam 1 twice"):
        read_plan(ds)


def test_wedge_that_is_out_is_in_nobodys_way() -> None:
    point = first_point(WedgePositionSequence=[item(ReferencedWedgeNumber=1, WedgePosition="OUT")])
    wedge = [item(WedgeNumber=1, WedgeType="MOTORIZED", WedgeID="W1")]
    beam = read_points(point, next_point(1, 1.0), NumberOfWedges=1, WedgeSequence=wedge)
    assert any("OUT throughout" in note for note in beam.notes)
    point.WedgePositionSequence[0].WedgePosition = "IN"
    with pytest.raises(UnsupportedError, match="MOTORIZED W1"):
        read_points(point, next_point(1, 1.0), NumberOfWedges=1, WedgeSequence=wedge)


def test_empty_device_sequences_are_harmless() -> None:
    beam = read_points(
        first_point(), next_point(1, 1.0), WedgeSequence=[], BlockSequence=[], ApplicatorSequence=[]
    )
    assert beam.notes == ()


def test_standing_gantry_with_a_sense_over_several_points_is_ambiguous() -> None:
    with pytest.raises(DicomError, match="fully or not at all"):
        read_points(
            first_point(GantryRotationDirection="CW"), next_point(1, 0.5), next_point(2, 1.0)
        )


def test_sense_against_the_angles() -> None:
    """A rounded angle that runs back would be a turn of 359.99 degrees."""
    with pytest.raises(DicomError, match="contradicts the angles"):
        read_points(
            first_point(GantryRotationDirection="CW"),
            next_point(1, 0.5, GantryAngle=40.0),
            next_point(2, 1.0, GantryAngle=39.99),
        )


@pytest.mark.parametrize("step", [4.0, 10.0, 12.0, 150.0])
@pytest.mark.parametrize(("real", "stated"), [(1, "CC"), (-1, "CW")])
def test_an_arc_whose_sense_is_reversed(step: float, real: int, stated: str) -> None:
    """Every interval would be 360 degrees less a step: an arc of two steps turns further."""
    number = max(2, round(300 / step))

    def arc(sense: str) -> Beam:
        return read_points(
            first_point(GantryAngle=180.0, GantryRotationDirection=sense),
            *(
                next_point(i, i / number, GantryAngle=(180.0 + real * i * step) % 360.0)
                for i in range(1, number + 1)
            ),
        )

    points = arc("CW" if real > 0 else "CC").control_points
    turned = sum(gantry_turn_deg(a, b) for a, b in pairwise(points))
    assert turned == pytest.approx(real * number * step)
    with pytest.raises(DicomError, match="GantryRotationDirection contradicts the angles"):
        arc(stated)


def test_table_position_is_ignored_while_it_stands() -> None:
    assert read_points(first_point(TableTopVerticalPosition=-100.0), next_point(1, 1.0)).notes == ()
    with pytest.raises(UnsupportedError, match="TableTopLongitudinalPosition moves"):
        read_points(
            first_point(TableTopLongitudinalPosition=0.0),
            next_point(1, 1.0, TableTopLongitudinalPosition=50.0),
        )


def _elements(ds: Dataset, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for element in ds:
        found.append((*path, element.tag))
        if element.VR == "SQ":
            for i, nested in enumerate(element.value):
                found += _elements(nested, (*path, element.tag, i))
    return found


def _arc_dataset() -> Dataset:
    arc = treatment_beam(
        2,
        [
            first_point(GantryRotationDirection="CW"),
            next_point(1, 0.5, GantryAngle=60.0),
            next_point(
                2, 1.0, GantryAngle=90.0, BeamLimitingDevicePositionSequence=[position("X", -4, 6)]
            ),
        ],
        BeamLimitingDeviceSequence=[device("X"), device("MLCX", 3, EDGES)],
        PrimaryFluenceModeSequence=[item(FluenceMode="NON_STANDARD", FluenceModeID="FFF")],
    )
    arc.ControlPointSequence[0].BeamLimitingDevicePositionSequence = [
        position("X", -40, 60),
        position("MLCX", *LEAVES),
    ]
    return plan_dataset(treatment_beam(), arc)


_FUZZED = _arc_dataset()
_PATHS = _elements(_FUZZED)
_RAW = st.one_of(
    st.sampled_from(
        [
            b"",
            b"0",
            b"1",
            b"-1",
            b"1.5",
            b"nan",
            b"inf",
            b"-inf",
            b"1e400",
            b"1e300",
            b"-1e300",
            b"1e-320",
            b"abc",
            b"CW",
            b"NONE",
            b"SETUP",
            b"FFF",
            b"NON_STANDARD",
            b"\\\\",
            b"1\\2",
            b"1\\x",
            b"-5\\5",
            b"\xff\xfe",
            b"99999999999999999999",
            b"HFP",
            b"1.2.3",
        ]
    ),
    st.binary(max_size=12),
    st.floats(width=32).map(lambda x: str(x).encode()),
)


def _find(ds: Dataset, path: tuple[object, ...]) -> tuple[Dataset | None, object]:
    """The element at a path and what holds it; None where an earlier change garbled either."""
    try:
        for tag, index in zip(path[:-1:2], path[1:-1:2], strict=True):
            ds = ds[tag].value[index]
        return ds, ds[path[-1]]
    except Exception:
        return None, None


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@settings(max_examples=250, derandomize=True, deadline=None)
@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from(_PATHS), st.sampled_from(["drop", "raw", "sequence", "twice"]), _RAW
        ),
        min_size=1,
        max_size=3,
    ),
    encoded=st.booleans(),
)
def test_fuzzed_attributes_give_a_plan_or_a_sentence(
    changes: list[tuple[tuple[object, ...], str, bytes]], encoded: bool
) -> None:
    ds = copy.deepcopy(_FUZZED)
    for path, action, raw in changes:
        parent, element = _find(ds, path)
        tag = path[-1]
        if parent is None:
            continue
        if action == "drop":
            del parent[tag]
        elif action == "twice" and element.VR == "SQ" and len(element.value):
            element.value.append(copy.deepcopy(element.value[0]))
        elif action == "sequence":
            parent[tag] = pydicom.DataElement(tag, "SQ", Sequence([Dataset()]))
        else:
            vr = "UN" if element.VR == "SQ" else element.VR
            parent[tag] = RawDataElement(Tag(tag), vr, len(raw), raw, 0, False, True)
    try:
        plan = read_plan(_through_a_file(ds) if encoded else ds)
    except DosecalcError as error:
        assert len(str(error)) > 10
        return
    assert isinstance(plan, Plan)
    for beam in plan.beams:
        assert beam.mu >= 0
        assert beam.control_points[-1].meterset_fraction == 1.0
        assert all(np.isfinite(point.isocentre).all() for point in beam.control_points)


def _through_a_file(ds: Dataset) -> Dataset:
    """Encode and parse again; what pydicom cannot encode cannot come from a file either."""
    buffer = BytesIO()
    try:
        pydicom.dcmwrite(buffer, ds, implicit_vr=True, little_endian=True)
    except Exception:
        return ds
    return parse_dataset(buffer.getvalue(), "fuzzed.dcm")
