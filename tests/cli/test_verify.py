"""``dosecalc verify`` from a patient folder to its report."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pypdf import PdfReader

from dosecalc.cli.main import FAILED, PASSED, REFUSED, REVIEW, main
from dosecalc.records.record import file_sha256
from tests.planted.errors import PLAN_ERRORS
from tests.planted.patients import DOSE, PLAN, Patient, edit, made_once, processes, thorax_patient
from tests.report.french import english_in, shown_texts

OPTIONS = [
    "--machine", "generic-6mv", "--hu-curve", "generic-120kvp", "--recorded-densities",
    "--couch", "COUCH", "--bolus", "BOLUS", "--grid", "4", "--directions", "48", "--no-progress",
]  # fmt: skip


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    folder = tmp_path_factory.mktemp("verify") / "patient"
    found = made_once(thorax_patient, processes(tmp_path_factory), folder)
    edit(found.folder, PLAN, lambda plan: setattr(plan, "RTPlanLabel", "<script>alert(1)</script>"))
    return found


@pytest.fixture(scope="module")
def passed(patient: Patient, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "verification"
    assert main(["verify", str(patient.folder), *OPTIONS, "--out", str(out)]) == PASSED
    return out


def test_report_says_what_was_found_and_what_was_not_checked(passed: Path) -> None:
    values = json.loads((passed / "verification.json").read_text())
    assert values["schema"] == "dosecalc-verification/1"
    assert values["outcome"] == "PASS"
    assert {f["rule"] for f in values["findings"]} >= {
        "prescription", "beam dose", "independent MU check", "gamma", "displacement", "beam fit",
        "target mean", "point dose",
    }  # fmt: skip
    assert any("calibration" in line for line in values["not_checked"])
    assert any("contours" in line for line in values["shared_inputs"])
    assert values["record"]["outputs_sha256"]["RTDOSE.dcm"]
    page = (passed / "report.html").read_text()
    for said in ("PASS", "signed by a named person", "Not a medical device", "Not checked"):
        assert said in page
    assert "conforming" not in page
    assert values["record"]["machine_models"]["generic-6mv"]["machine_sha256"] in page
    # What a patient's file says is shown and does nothing.
    assert "<script>alert" not in page and "&lt;script&gt;" in page


def test_every_file_of_a_verification_is_in_its_record(passed: Path) -> None:
    names = {path.name for path in passed.iterdir()}
    assert names == {"report.html", "report.pdf", "verification.json", "RTDOSE.dcm"}
    written = json.loads((passed / "verification.json").read_text())["record"]["outputs_sha256"]
    assert written == {name: file_sha256(passed / name) for name in names - {"verification.json"}}
    assert (passed / "report.pdf").read_bytes()[:5] == b"%PDF-"


def test_french_where_asked_for(patient: Patient, tmp_path: Path) -> None:
    out = tmp_path / "out"
    coarse = [*OPTIONS[:-5], "--grid", "8", "--directions", "48", "--no-progress"]
    main(["verify", str(patient.folder), *coarse, "--language", "fr", "--out", str(out)])
    assert '<html lang="fr">' in (out / "report.html").read_text()
    text = PdfReader(out / "report.pdf").pages[0].extract_text()
    assert "Non v\u00e9rifi\u00e9" in text and "Not checked" not in text
    # A real run says more than the examples of tests/report: nothing of it is English either.
    shown = shown_texts((out / "report.html").read_text())
    assert len(shown) > 100
    assert not [line for line in shown if english_in(line)]


def test_dose_in_the_air_around_the_patient_is_not_judged_and_said(
    patient: Patient, passed: Path, tmp_path: Path
) -> None:
    """What a planning system writes into air concerns nobody; hidden it must not be."""

    def corner(data: Dataset) -> None:
        values = data.pixel_array.copy()
        values[:, :4, :4] = values.max()
        data.PixelData = values.tobytes()

    place, out = tmp_path / "patient", tmp_path / "out"
    shutil.copytree(patient.folder, place)
    edit(place, DOSE, corner)
    assert main(["verify", str(place), *OPTIONS, "--out", str(out)]) == PASSED
    found, before = (
        json.loads((folder / "verification.json").read_text()) for folder in (out, passed)
    )
    for same in ("gamma", "largest_difference"):
        assert found[same] == before[same]

    def left_out(values: dict[str, list[str]]) -> int:
        said = [line for line in values["not_checked"] if "the air around the patient" in line]
        return int(said[0].split(": ")[1].split()[0]) if said else 0

    planes = pydicom.dcmread(place / DOSE).NumberOfFrames
    assert left_out(found) - left_out(before) == 16 * planes


def test_exit_codes_and_nothing_half_written(patient: Patient, tmp_path: Path) -> None:
    outcomes = {"MU x fractions": FAILED, "collimator +2 degrees": REVIEW}
    for error in PLAN_ERRORS:
        if error.name in outcomes:
            place, out = tmp_path / error.name.replace(" ", "-"), tmp_path / f"out-{error.name}"
            shutil.copytree(patient.folder, place)
            error.plant(place)
            code = main(["verify", str(place), *OPTIONS, "--out", str(out)])
            assert code == outcomes[error.name]
            assert json.loads((out / "verification.json").read_text())["outcome"] != "PASS"
    out = tmp_path / "refused"
    assert main(["verify", str(patient.folder), *OPTIONS[2:], "--out", str(out)]) == REFUSED
    assert not out.exists()


def reference_of(patient: Patient, place: Path, **changes: object) -> Path:
    """The patient's dose as a file of its own, with other words in it."""
    data = pydicom.dcmread(patient.folder / DOSE)
    for name, value in changes.items():
        setattr(data, name, value)
    data.save_as(place / "other.dcm")
    return place / "other.dcm"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PatientID", "SOMEBODY-ELSE"), ("FrameOfReferenceUID", "1.2.3.4")],
)
def test_a_strangers_dose_is_no_reference(
    name: str,
    value: str,
    patient: Patient,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other, out = reference_of(patient, tmp_path, **{name: value}), tmp_path / "out"
    command = ["verify", str(patient.folder), *OPTIONS, "--reference", str(other)]
    assert main([*command, "--out", str(out)]) == REFUSED
    assert value in capsys.readouterr().err
    assert not out.exists()


def test_a_reference_of_another_plan_is_a_review(patient: Patient, tmp_path: Path) -> None:
    plan = Dataset()
    plan.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.5"
    plan.ReferencedSOPInstanceUID = "1.2.3.4"
    other = reference_of(patient, tmp_path, ReferencedRTPlanSequence=[plan])
    out = tmp_path / "out"
    command = ["verify", str(patient.folder), *OPTIONS, "--reference", str(other)]
    assert main([*command, "--out", str(out)]) == REVIEW
    values = json.loads((out / "verification.json").read_text())
    (found,) = (f for f in values["findings"] if f["outcome"] != "PASS")
    assert found["code"] == "reference.other_plan" and found["values"]["named"] == "1.2.3.4"
    assert values["record"]["choices"]["reference"]["maker"].startswith("dosecalc")
    # What this program wrote is not independent of it.
    assert any("calculated by dosecalc too" in line for line in values["shared_inputs"])


def test_a_hand_check_that_is_not_judged_does_not_pass(passed: Path) -> None:
    values = json.loads((passed / "verification.json").read_text())
    shown = [f for f in values["findings"] if f["code"] == "beam.dose_by_tables"]
    assert shown and not any(f["judged"] for f in shown)
    assert any("which tables do not know" in line for line in values["not_checked"])


def test_monte_carlo_first_leaves_no_rule_out(patient: Patient, tmp_path: Path) -> None:
    """Its beams are not calculated one by one: another engine does, and it is said."""
    out = tmp_path / "out"
    options = [word for word in OPTIONS if word not in ("--directions", "48")]
    options[options.index("--grid") + 1] = "8"
    engine = ["--engines", "monte-carlo", "--histories", "400", "--seed", "7"]
    assert main(["verify", str(patient.folder), *options, *engine, "--out", str(out)]) != PASSED
    values = json.loads((out / "verification.json").read_text())
    assert {"beam fit", "beam dose", "independent MU check"} <= {
        f["rule"] for f in values["findings"]
    }
    # So few histories cannot pass.
    assert {f["outcome"] for f in values["findings"] if f["rule"] == "noise"} == {"FAIL"}
    assert any("those of collapsed-cone" in line for line in values["caveats"])


def test_what_a_second_engine_says_against_itself_counts(patient: Patient, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [*OPTIONS[:-5], "--grid", "8", "--directions", "48", "--no-progress"]
    engines = ["--engines", "collapsed-cone,pencil-beam"]
    assert main(["verify", str(patient.folder), *options, *engines, "--out", str(out)]) != PASSED
    findings = json.loads((out / "verification.json").read_text())["findings"]
    assert any(f["rule"] == "validity, pencil-beam" for f in findings)


def test_a_run_that_is_ended_leaves_nothing(patient: Patient, tmp_path: Path) -> None:
    """Ended by a scheduler while it writes the report, the last and longest chance of a verdict."""
    out = tmp_path / "night" / "out"
    code = (
        "import os, signal, sys; from dosecalc.workflow import verify;"
        "from dosecalc.cli.main import main;"
        "verify.write_pdf = lambda *_: os.kill(os.getpid(), signal.SIGTERM);"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = [*OPTIONS[:-5], "--grid", "10", "--directions", "48", "--no-progress"]
    command = [sys.executable, "-c", code, "verify", str(patient.folder), *words, "--out", str(out)]
    assert subprocess.run(command).returncode == 128 + signal.SIGTERM
    assert list((tmp_path / "night").iterdir()) == []


def test_an_earlier_result_is_said_to_be_one(
    patient: Patient, passed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(passed, out)
    command = ["verify", str(patient.folder), *OPTIONS, "--template", "no-such.toml"]
    assert main([*command, "--out", str(out), "--force"]) == REFUSED
    assert "is of an earlier run" in capsys.readouterr().err
    assert json.loads((out / "verification.json").read_text())["outcome"] == "PASS"


def test_pencil_beam_cannot_clear_a_lung_plan(patient: Patient, tmp_path: Path) -> None:
    options = [word for word in OPTIONS if word not in ("--directions", "48")]
    out = tmp_path / "out"
    command = ["verify", str(patient.folder), *options, "--engines", "pencil-beam"]
    assert main([*command, "--out", str(out)]) != PASSED
    values = json.loads((out / "verification.json").read_text())
    assert any(f["rule"] == "validity" and f["outcome"] == "REVIEW" for f in values["findings"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engines", "pencil-bean"], "pencil-bean"),
        (["--engines", "pencil-beam", "--directions", "48"], "--directions"),
        (["--template", "no-such.toml"], "no-such.toml"),
        (["--tolerances", "no-such.toml"], "no-such.toml"),
    ],
)
def test_wrong_options_are_refused(
    words: list[str], message: str, patient: Patient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(patient.folder), *OPTIONS[:4], "--no-progress", *words]) == REFUSED
    assert message in capsys.readouterr().err


def test_recipes_are_not_verified(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "slab-lung-6mv-5x5"]) == REFUSED
    assert "recipe" in capsys.readouterr().err
