"""What a script saved is a record like that of ``dosecalc calc``: signed, reproduced, verified."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dosecalc.cli.main import FAILED, PASSED, REFUSED, REVIEW, main
from dosecalc.engines.pencil_beam import PencilBeamSettings
from dosecalc.errors import InputError
from dosecalc.patient.thorax import TARGET
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
from dosecalc.planning.demo_patient import ThoraxPlan, write_thorax_patient
from dosecalc.records.seal import sealed

GRID_MM = 8.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A patient with a plan of its own, which is not that of the script."""
    place = tmp_path_factory.mktemp("saved") / "patient"
    write_thorax_patient(place, wanted=ThoraxPlan(gantry_deg=(0.0,), mu=(100.0,), dose_gy=2.0))
    return place


@pytest.fixture(scope="module")
def case(folder: Path) -> PlanningCase:
    return open_case(
        folder,
        machine="generic-6mv",
        hu_curve="generic-120kvp",
        grid_mm=GRID_MM,
        overrides={"LUNG_R": 0.3},
    )


@pytest.fixture(scope="module")
def planned(case: PlanningCase) -> PlanDose:
    """Normalised, with a setting that no option of the command has."""
    beams = [
        conformal_beam(
            case[TARGET],
            case.machine,
            number=n,
            gantry_deg=g,
            mu=77.7 / n,
            margin_mm=8.0,
            position=case.ct.position,
        )
        for n, g in ((1, 0.0), (3, 235.5))
    ]
    plan = make_plan(case, beams, target=TARGET, dose_gy=60.0, fractions=30, label="SCRIPT")
    done = calculate(case, plan, "pencil-beam", PencilBeamSettings(arc_bin_deg=5.0))
    return normalised(case, done, TARGET, "D50", 60.0)


@pytest.fixture(scope="module")
def complete(
    case: PlanningCase, planned: PlanDose, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return save(case, planned, tmp_path_factory.mktemp("out") / "complete", with_inputs=True)


def signed(place: Path) -> int:
    words = ["--name", "Ada Example", "--decision", "accepted", "--reason", "for the test"]
    return main(["sign", str(place), *words])


def reproduced(place: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    code = main(["reproduce", str(place), "--no-progress", *words])
    out = capsys.readouterr().out
    assert code == PASSED, out
    return out


def test_a_saved_folder_is_signed_reproduced_and_verified(
    complete: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed(complete) == PASSED
    said = reproduced(complete, capsys)
    assert "RTPLAN.dcm equal" in said
    assert said.splitlines()[-1].startswith("EQUAL")
    words = ["--machine", "generic-6mv", "--hu-curve", "generic-120kvp", "--grid", f"{GRID_MM:g}"]
    words += ["--engines", "pencil-beam", "--override", "LUNG_R=0.3"]
    out = tmp_path / "verified"
    assert main(["verify", str(complete), *words, "--out", str(out), "--no-progress"]) in (
        PASSED,
        REVIEW,
    )
    values = json.loads((out / "verification.json").read_text(encoding="utf-8"))
    # The same engine on the plan as it was written: decimals and a sum in another order.
    assert values["gamma"]["pass_percent"] == 100.0
    assert abs(values["largest_difference"]["percent_of_prescription"]) < 0.1


def test_the_record_says_what_the_command_says(
    complete: Path, planned: PlanDose, case: PlanningCase
) -> None:
    record = json.loads((complete / "run.json").read_text(encoding="utf-8"))
    assert record["case"] == "THORAX-PHANTOM SCRIPT"
    assert set(record["outputs_sha256"]) == {"RTPLAN.dcm", "RTDOSE.dcm", "picture.png"}
    assert {one["name"] for one in record["structures"]} == {
        one.name for one in case.structures if not one.is_empty
    }
    assert all(one["used"] for one in record["inputs"])
    assert {one["kind"] for one in record["inputs"]} == {"CT", "RTSTRUCT", "RTPLAN"}
    assert set(planned.fraction.provenance["cautions"]) <= set(record["engine"]["cautions"])
    assert any("LUNG_R" in note for note in record["notes"])
    asked = record["choices"]["options"]
    assert asked["values"]["settings"] == {"arc_bin_deg": 5.0}
    assert asked["place"]["relative"] == "."


def test_inputs_that_are_only_named_are_found_where_they_lie(
    case: PlanningCase,
    planned: PlanDose,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = save(case, planned, tmp_path / "named")
    assert sorted(p.name for p in place.iterdir()) == [
        *("RTDOSE.dcm", "RTPLAN.dcm", "picture.png", "run.json")
    ]
    assert "EQUAL" in reproduced(place, capsys)
    # The patient has moved since.
    moved = tmp_path / "archive"
    moved.mkdir()
    for path in folder.rglob("*.dcm"):
        (moved / path.name).write_bytes(path.read_bytes())
    record = json.loads((place / "run.json").read_text(encoding="utf-8"))
    assert Path(record["choices"]["options"]["place"]["absolute"]) == folder.resolve()
    assert "EQUAL" in reproduced(place, capsys, "--case", str(moved))


def test_a_plan_that_was_altered_is_not_reproduced(
    case: PlanningCase, planned: PlanDose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = save(case, planned, tmp_path / "altered")
    plan = place / "RTPLAN.dcm"
    plan.write_bytes(plan.read_bytes().replace(b"SCRIPT", b"SCRIPS"))
    assert main(["reproduce", str(place), "--no-progress"]) == REFUSED
    assert "RTPLAN.dcm" in capsys.readouterr().err


def test_a_falsified_plan_is_not_equal_however_little_it_is(
    complete: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0.3 % of what no dose decides, in a dose that is equal but not bit for bit."""
    unsigned = shutil.ignore_patterns("decisions*")
    place = shutil.copytree(complete, tmp_path / "falsified", ignore=unsigned)
    record = json.loads((place / "run.json").read_text(encoding="utf-8"))
    record["plan"]["mu_total"] *= 1.003
    record["plan"]["prescriptions"][0]["dose_gy"] = 60.2
    record["plan"]["beams"][1]["gantry_deg"] = [236.0, 236.0]
    (place / "run.json").write_text(json.dumps(sealed(record)), encoding="utf-8")
    assert main(["reproduce", str(place), "--no-progress"]) == FAILED
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith("NOT EQUAL")
    for changed in ("plan.mu_total: ", "dose_gy: 60.2, now 60.0", "236.0, now 235.5"):
        assert changed in said


def test_a_phantom_that_the_script_changed_is_noted(
    case: PlanningCase, planned: PlanDose, tmp_path: Path
) -> None:
    """The options of the record would lead to another one."""
    denser = replace(case.phantom, density=(case.phantom.density * np.float32(1.01)))
    place = save(replace(case, phantom=denser), planned, tmp_path / "denser")
    notes = json.loads((place / "run.json").read_text(encoding="utf-8"))["notes"]
    assert [note for note in notes if "a phantom that the script changed" in note]


def test_inputs_that_changed_since_are_refused(
    planned: PlanDose, folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "patient"
    for path in folder.rglob("*.dcm"):
        (copy / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        (copy / path.relative_to(folder)).write_bytes(path.read_bytes())
    case = open_case(copy, machine="generic-6mv", hu_curve="generic-120kvp", grid_mm=GRID_MM)
    file = copy / "RTSTRUCT.dcm"
    file.write_bytes(file.read_bytes().replace(b"LUNG_L", b"LUNG_l"))
    with pytest.raises(InputError, match=r"RTSTRUCT\.dcm has changed since the case was opened"):
        save(case, planned, tmp_path / "out")
    assert not (tmp_path / "out").exists()
