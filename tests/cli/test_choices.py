"""Folders that hold several of something: each choice has an option, and the advice names it."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dosecalc.cli.main import main
from dosecalc.errors import DosecalcError, InputError
from dosecalc.model import PatientPosition
from dosecalc.planning import open_case
from dosecalc.workflow.prepare import prepare
from dosecalc.workflow.progress import SilentStages
from dosecalc.workflow.requests import DoseRequest, VerificationRequest

REFUSED = 3
MACHINE = ("generic-6mv",)


@pytest.fixture
def folder(patient: Path, tmp_path: Path) -> Path:
    """The thorax, to be changed."""
    return Path(shutil.copytree(patient, tmp_path / "case"))


def change(path: Path, how: Callable[[Dataset], object], to: Path | None = None) -> str:
    ds = pydicom.dcmread(path)
    how(ds)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(to or path)
    return str(ds.SOPInstanceUID)


def second_group(ds: Dataset) -> None:
    group = copy.deepcopy(ds.FractionGroupSequence[0])
    group.FractionGroupNumber = 2
    group.NumberOfFractionsPlanned = 5
    ds.FractionGroupSequence.append(group)


def new_uid(ds: Dataset) -> None:
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["choices", str(ds.SOPInstanceUID)])


def without_position(ds: Dataset) -> None:
    del ds.PatientSetupSequence[0].PatientPosition


def several_groups(folder: Path) -> tuple[str, ...]:
    change(folder / "RTPLAN.dcm", second_group)
    return ("--fraction-group", "2")


def several_plans(folder: Path) -> tuple[str, ...]:
    return ("--plan", change(folder / "RTPLAN.dcm", new_uid, folder / "other.dcm"))


def several_structure_sets(folder: Path) -> tuple[str, ...]:
    change(folder / "RTPLAN.dcm", lambda ds: delattr(ds, "ReferencedStructureSetSequence"))
    return ("--structures", change(folder / "RTSTRUCT.dcm", new_uid, folder / "other.dcm"))


def several_series(folder: Path) -> tuple[str, ...]:
    (folder / "RTSTRUCT.dcm").unlink()
    series = generate_uid(entropy_srcs=["choices", "series"])

    def other(ds: Dataset) -> None:
        new_uid(ds)
        ds.SeriesInstanceUID = series

    for path in sorted((folder / "CT").iterdir()):
        change(path, other, folder / f"other-{path.name}")
    change(folder / "RTPLAN.dcm", lambda ds: delattr(ds, "ReferencedStructureSetSequence"))
    return ("--series", str(series))


def no_position(folder: Path) -> tuple[str, ...]:
    change(folder / "RTPLAN.dcm", without_position)
    return ("--position", "HFS")


def no_position_of_the_ct(folder: Path) -> tuple[str, ...]:
    for path in (folder / "CT").iterdir():
        change(path, lambda ds: delattr(ds, "PatientPosition"))
    return ("--position", "HFS")


def imaging_beam(folder: Path) -> tuple[str, ...]:
    def added(ds: Dataset) -> None:
        beam = copy.deepcopy(ds.BeamSequence[0])
        beam.BeamNumber, beam.BeamName = 9, "CBCT"
        ds.BeamSequence.append(beam)
        reference = copy.deepcopy(ds.FractionGroupSequence[0].ReferencedBeamSequence[0])
        reference.ReferencedBeamNumber = 9
        del reference.BeamMeterset
        ds.FractionGroupSequence[0].ReferencedBeamSequence.append(reference)
        ds.FractionGroupSequence[0].NumberOfBeams = len(ds.BeamSequence)

    change(folder / "RTPLAN.dcm", added)
    return ("--without-beam", "9")


def lost_structures(folder: Path) -> tuple[str, ...]:
    (folder / "RTSTRUCT.dcm").unlink()
    return ("--incomplete",)


CHOICES = (
    several_groups,
    several_plans,
    several_structure_sets,
    several_series,
    no_position,
    no_position_of_the_ct,
    imaging_beam,
    lost_structures,
)


@pytest.mark.parametrize("ambiguous", CHOICES, ids=lambda f: f.__name__)
def test_the_option_that_the_advice_names_is_there_and_helps(
    folder: Path, ambiguous: Callable[[Path], tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ambiguous(folder)
    assert main(["info", str(folder)]) == REFUSED
    assert words[0] in capsys.readouterr().err
    assert main(["info", str(folder), *words]) == 0


def test_the_chosen_fraction_group_is_calculated(folder: Path) -> None:
    several_groups(folder)
    options = DoseRequest.from_words(
        folder, machines=MACHINE, inside="water", grid_mm=10.0, fraction_group=2
    )
    prepared = prepare(options, SilentStages())
    assert prepared.plan.fractions == 5
    assert prepared.choices["fraction_group"] == 2
    assert any("fraction group 2 of 1, 2 read" in note for note in prepared.notes)


def test_a_beam_left_out_is_in_notes_and_record(folder: Path) -> None:
    imaging_beam(folder)
    options = DoseRequest.from_words(
        folder, machines=MACHINE, inside="water", grid_mm=10.0, without_beams=(9,)
    )
    prepared = prepare(options, SilentStages())
    assert [beam.number for beam in prepared.plan.beams] == [1]
    assert prepared.choices["without_beams"] == [{"number": 9, "name": "CBCT", "mu": None}]
    assert any("beam 9 (CBCT): left out as asked" in note for note in prepared.notes)


def test_a_number_of_fractions_that_the_plan_lacks_is_given(folder: Path) -> None:
    change(
        folder / "RTPLAN.dcm",
        lambda ds: setattr(ds.FractionGroupSequence[0], "NumberOfFractionsPlanned", None),
    )
    words = {"machines": MACHINE, "inside": "water", "grid_mm": 10.0}
    with pytest.raises(InputError, match="--fractions N"):
        prepare(DoseRequest.from_words(folder, **words), SilentStages())
    prepared = prepare(DoseRequest.from_words(folder, fractions=7, **words), SilentStages())
    assert prepared.plan.fractions == 7
    assert any("7 as asked" in note for note in prepared.notes)


def test_other_fractions_than_the_plan_says_are_refused(folder: Path) -> None:
    options = DoseRequest.from_words(folder, machines=MACHINE, inside="water", fractions=7)
    with pytest.raises(InputError, match=r"--fractions 7, but the plan says 30"):
        prepare(options, SilentStages())


def with_bolus(*numbers: int) -> Callable[[Dataset], None]:
    def put(ds: Dataset) -> None:
        for beam in ds.BeamSequence:
            items = []
            for number in numbers:
                named = Dataset()
                named.ReferencedROINumber = number
                items.append(named)
            beam.NumberOfBoli, beam.ReferencedBolusSequence = len(items), items

    return put


def test_a_bolus_that_the_plan_names_is_named_by_the_option(folder: Path) -> None:
    structures = pydicom.dcmread(folder / "RTSTRUCT.dcm").StructureSetROISequence
    number, name = int(structures[-1].ROINumber), str(structures[-1].ROIName)
    change(folder / "RTPLAN.dcm", with_bolus(number))
    words = {"machines": MACHINE, "hu_curve": "generic-120kvp", "grid_mm": 10.0}
    with pytest.raises(InputError, match=rf"bolus ROI {number}, '{name}'; name it with --bolus"):
        prepare(DoseRequest.from_words(folder, **words), SilentStages())
    prepared = prepare(DoseRequest.from_words(folder, bolus=(name,), **words), SilentStages())
    assert prepared.phantom.bolus == (number,)
    assert prepared.plan.beams[0].bolus == (number,)
    change(folder / "RTPLAN.dcm", with_bolus(99))
    with pytest.raises(InputError, match=r"bolus ROI 99, which the structure set does not have"):
        prepare(DoseRequest.from_words(folder, bolus=(name,), **words), SilentStages())


def test_the_python_entry_chooses_as_well(folder: Path) -> None:
    words = several_structure_sets(folder)
    change(folder / "RTPLAN.dcm", second_group)
    given = {"machine": "generic-6mv", "hu_curve": "generic-120kvp", "grid_mm": 12.0}
    with pytest.raises(DosecalcError):
        open_case(folder, **given)
    case = open_case(folder, **given, fraction_group=2, structure_set_uid=words[1], position="HFS")
    assert case.structures.uid == words[1]
    assert case.source.plan is not None
    assert case.source.plan.fractions == 5
    assert case.source.plan.position is PatientPosition.HFS
    assert case.choices["choices"] == {
        "fraction_group": 2,
        "structure_set_uid": words[1],
        "position": "HFS",
    }


def test_choices_are_in_the_record_and_older_records_do_without() -> None:
    calc = DoseRequest.from_words(
        Path("p"), fraction_group=2, without_beams=(3, 4), structure_set_uid="1.2",
        ct_series_uid="1.3", position="FFS", fractions=9,
    )  # fmt: skip
    whole = VerificationRequest((calc,), reference=Path("r.3ddose"), reference_unit="Gy")
    values = json.loads(json.dumps(whole.to_record()))
    assert VerificationRequest.from_record(values) == whole
    for name in ("reference_unit", "reference_axes"):
        del values[name]
    for name in (
        *("fraction_group", "without_beams", "structure_set_uid", "ct_series_uid"),
        *("position", "fractions", "same_patient", "accept_missing_beams", "plane_spacing"),
    ):
        del values["calcs"][0][name]
    older = VerificationRequest.from_record(values)
    assert older.calcs[0] == DoseRequest.from_words(Path("p"))
    del values["calcs"][0]["grid_mm"]
    with pytest.raises(InputError, match="differ in grid_mm"):
        VerificationRequest.from_record(values)
