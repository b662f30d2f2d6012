"""From a recipe and from a patient folder to files, on coarse grids."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from dosecalc.cli.main import FAILED, PASSED, REFUSED, main
from dosecalc.data.hu_curves import load_hu_curve
from dosecalc.io.dicom import import_folder, read_dose_file, write_plan
from dosecalc.workflow import calculate as calculating
from dosecalc.workflow import water_check

RECIPE = """
name = "small"
[grid]
spacing = 10
lower = [-60, 0, -60]
upper = [60, 120, 60]
[background]
material = "water"
[source]
kind = "point"
energy_mev = 2.0
ssd = 1000
field = [-30, 30, -30, 30]
"""

try:
    import resource
except ImportError:
    resource = None

PATIENT = ("--machine", "generic-6mv", "--hu-curve", "generic-120kvp", "--grid", "12")


@pytest.fixture(scope="module")
def recipe_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "small.toml").write_text(RECIPE)
    out = folder / "out"
    code = main(["calc", str(folder / "small.toml"), "--out", str(out), "--no-progress"])
    assert code == PASSED
    return folder / "small.toml", out


@pytest.fixture(scope="module")
def patient_run(tmp_path_factory, patient):
    out = tmp_path_factory.mktemp("patient") / "out"
    code = main(["calc", str(patient), *PATIENT, "--out", str(out), "--no-progress"])
    assert code == PASSED
    return out


def test_a_recipe_gives_arrays_record_and_picture(recipe_run):
    recipe, out = recipe_run
    assert sorted(p.name for p in out.iterdir()) == ["dose.npz", "picture.png", "run.json"]
    with np.load(out / "dose.npz") as data:
        dose = data["dose"]
        assert dose.shape == (12, 12, 12)
        assert str(data["unit"]) == "Gy cm2"
        assert str(data["dose_to"]) == "medium"
        assert data["spacing_mm"] == pytest.approx([10.0] * 3)
        assert data["first_centre_mm"] == pytest.approx([-55.0, 5.0, -55.0])
    # The beam runs along +y in the middle: hottest there, and symmetric.
    z, _, x = np.unravel_index(dose.argmax(), dose.shape)
    assert {int(x), int(z)} <= {5, 6}
    # 1 %: the sweep's own asymmetry on voxels of 10 mm.
    assert np.allclose(dose, dose[:, :, ::-1], rtol=0, atol=0.01 * dose.max())
    record = json.loads((out / "run.json").read_text())
    assert record["inputs"][0]["sha256"] == hashlib.sha256(recipe.read_bytes()).hexdigest()
    assert record["dose"]["maximum"] == pytest.approx(float(dose.max()))
    assert "HU curve" not in " ".join(record["not_checked"])
    for name, digest in record["outputs_sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


def test_an_earlier_output_is_kept_unless_told_otherwise(recipe_run, capsys, monkeypatch):
    recipe, out = recipe_run
    monkeypatch.setattr(calculating, "calculate", lambda *_: pytest.fail("calculated in vain"))
    assert main(["calc", str(recipe), "--out", str(out), "--no-progress"]) == REFUSED
    assert "--force" in capsys.readouterr().err


def test_a_recipe_refuses_options_it_cannot_follow(recipe_run, capsys, tmp_path):
    words = ["--machine", "generic-6mv", "--override", "a=1.0", "--out", str(tmp_path / "o")]
    assert main(["calc", str(recipe_run[0]), *words, "--no-progress"]) == REFUSED
    err = capsys.readouterr().err
    assert "--machine, --override" in err
    assert not (tmp_path / "o").exists()


def test_a_patient_gives_an_rtdose_that_belongs_to_the_plan(patient_run, patient):
    case = import_folder(patient)
    read = read_dose_file(patient_run / "RTDOSE.dcm")
    assert read.references.plan_uid == case.plan.uid
    assert read.references.structure_set_uid == case.structures.uid
    assert read.dose.summation == "PLAN"
    assert read.dose.dose_to == "medium"
    assert read.dose.grid.spacing == pytest.approx((12.0, 12.0, 12.0))
    record = json.loads((patient_run / "run.json").read_text())
    # 32-bit integers over the range of the dose: 1e-9 of the maximum.
    assert float(read.dose.gray.max()) == pytest.approx(record["dose"]["maximum"], rel=1e-6)
    assert record["choices"]["machines"] == {"1": "generic-6mv"}
    assert record["choices"]["hu_curve"]["name"] == "generic-120kvp"
    assert record["plan"]["mu_total"] == pytest.approx(3000.0)
    assert {one["kind"] for one in record["inputs"]} == {"CT", "RTSTRUCT", "RTPLAN"}
    assert [s["name"] for s in record["structures"]][-1] == "PTV"
    assert "HU curve" in " ".join(record["not_checked"])
    # 3000 MU on a tumour in the lung, about 9 cm deep: 1 cGy/MU within a quarter.
    assert record["dose"]["at_isocentre"] == pytest.approx(30.0, rel=0.25)


def test_one_fraction_is_a_thirtieth_of_the_plan(patient_run, patient, tmp_path):
    out = tmp_path / "out"
    words = [*PATIENT, "--per-fraction", "--no-progress", "--out", str(out)]
    assert main(["calc", str(patient), *words]) == PASSED
    one, whole = (read_dose_file(f / "RTDOSE.dcm").dose for f in (out, patient_run))
    assert one.summation == "FRACTION"
    highest = float(whole.gray.max())
    assert 30 * one.gray == pytest.approx(whole.gray, abs=1e-6 * highest)


def test_json_is_the_record_and_nothing_else(recipe_run, tmp_path, capsys):
    words = ["--json", "--no-progress", "--grid", "15", "--out", str(tmp_path / "out")]
    assert main(["calc", str(recipe_run[0]), *words]) == PASSED
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["grid"]["spacing_mm"] == [15.0] * 3


@pytest.mark.parametrize(
    ("left_out", "message"),
    [("--machine", "none is assumed"), ("--hu-curve", "no HU curve")],
)
def test_nothing_is_guessed_for_a_patient(patient, tmp_path, capsys, left_out, message):
    words = list(PATIENT)
    at = words.index(left_out)
    del words[at : at + 2]
    out = tmp_path / "out"
    assert main(["calc", str(patient), *words, "--out", str(out), "--no-progress"]) == REFUSED
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_plan_without_fractions_has_no_total(patient, tmp_path, capsys):
    folder = tmp_path / "patient"
    shutil.copytree(patient, folder)
    case = import_folder(folder)
    (folder / "RTPLAN.dcm").unlink()
    plan = replace(case.plan, fractions=None, uid="")
    write_plan(plan, folder / "RTPLAN.dcm", subject=case.subject)
    words = [*PATIENT, "--out", str(tmp_path / "out"), "--no-progress"]
    assert main(["calc", str(folder), *words]) == REFUSED
    assert "--fractions N" in capsys.readouterr().err


def test_an_output_inside_the_patient_folder_is_refused(patient, capsys):
    words = [*PATIENT, "--out", str(patient / "dose"), "--no-progress"]
    assert main(["calc", str(patient), *words]) == REFUSED
    assert "read it as input" in capsys.readouterr().err


def test_validation_on_a_grid_too_coarse_fails_and_says_so(capsys):
    words = ["validate", "--case", "s2", "--grid", "15", "--directions", "24", "--no-progress"]
    assert main([*words, "--json"]) == FAILED
    record = json.loads(capsys.readouterr().out)
    (case,) = record["cases"]
    assert case["case"] == "S2_water_6MV_3x3"
    assert case["within"] is False
    assert case["tolerance"]["source"]


def test_validation_holds_water_of_a_ct_against_that_of_a_recipe(capsys, monkeypatch):
    """Soft tissue of 1 g/cm3 in place of water gives 1 % less 10 cm deep, which fails."""
    words = ["validate", "--case", "ct", "--grid", "10", "--directions", "24", "--no-progress"]
    assert main([*words, "--json"]) == PASSED
    water = json.loads(capsys.readouterr().out)["ct_water"]
    assert water["within"] and water["largest_percent"] < 0.01
    assert water["ct_gy"] == pytest.approx(1.0, abs=0.01)
    right = load_hu_curve("water-equivalent-phantom")
    tissue = replace(right, materials="tissue")
    monkeypatch.setattr(water_check, "load_hu_curve", lambda _: tissue)
    assert main(words) == FAILED
    assert "NOT OK" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("engine", "words", "close"),
    [
        ("pencil-beam", (), 0.02),
        # 20,000 photons: 6 % of the maximum per voxel, four of them on the axis.
        ("monte-carlo", ("--histories", "20000", "--seed", "7"), 0.1),
    ],
)
def test_the_other_engines_take_the_same_input(recipe_run, tmp_path, engine, words, close):
    recipe, cones = recipe_run
    out = tmp_path / "out"
    options = ["--engine", engine, *words, "--out", str(out), "--no-progress"]
    assert main(["calc", str(recipe), *options]) == PASSED
    curves = []
    for folder in (cones, out):
        with np.load(folder / "dose.npz") as data:
            curves.append(data["dose"][5:7, :, 5:7].mean(axis=(0, 2)))
    assert np.abs(curves[1] - curves[0])[1:10].max() < close * curves[0].max()
    record = json.loads((out / "run.json").read_text())
    assert record["engine"]["engine"] == engine
    assert len(record["physical_data_sha256"]["pencil_water.npz"]) == 64


def test_validation_passes_on_what_the_pencil_beam_warns_of(tmp_path, capsys):
    assert main(["validate", "--case", "S3", "--engine", "pencil-beam", "--no-progress"]) == PASSED
    shown = " ".join(capsys.readouterr().out.split())
    assert "matter below 0.6 g/cm3" in shown


@pytest.mark.parametrize(
    ("words", "folder", "file"), [((), 0o700, 0o600), (("--group-readable",), 0o750, 0o640)]
)
def test_only_the_owner_reads_a_dose_unless_told_otherwise(
    recipe_run, tmp_path, words, folder, file
):
    """Doses, records and reports name patients; the umask of a shared machine is often 022."""
    out = tmp_path / "out"
    before = os.umask(0o000)
    try:
        calc = [*words, "calc", str(recipe_run[0]), "--grid", "15", "--no-progress"]
        assert main([*calc, "--out", str(out)]) == PASSED
    finally:
        os.umask(before)
    assert stat.S_IMODE(out.stat().st_mode) == folder
    assert {stat.S_IMODE(one.stat().st_mode) for one in out.iterdir()} == {file}


@pytest.mark.skipif(resource is None, reason="this system has no limits of the file size")
def test_a_full_disk_is_a_refusal(recipe_run, tmp_path, capsys):
    """No file may grow beyond 2 kB, which the dose does."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, usual[1]))
    try:
        words = ["calc", str(recipe_run[0]), "--out", str(tmp_path / "out"), "--no-progress"]
        code = main(words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    err = capsys.readouterr().err
    assert (code, list(tmp_path.iterdir())) == (REFUSED, [])
    assert "refused: " in err
    assert "File too large" in err


def test_couch_and_bolus_that_were_not_used_are_said(patient, tmp_path, capsys):
    folder = tmp_path / "patient"
    shutil.copytree(patient, folder)
    drawn = pydicom.dcmread(folder / "RTSTRUCT.dcm")
    names = {one.ROINumber: one.ROIName for one in drawn.StructureSetROISequence}
    kinds = {"SPINE": "SUPPORT", "HEART": "BOLUS"}
    for one in drawn.RTROIObservationsSequence:
        one.RTROIInterpretedType = kinds.get(names[one.ReferencedROINumber], "")
        if names[one.ReferencedROINumber] == "BODY":
            one.RTROIInterpretedType = "EXTERNAL"
    drawn.save_as(folder / "RTSTRUCT.dcm")
    words = [*PATIENT, "--engine", "pencil-beam", "--bolus", "HEART", "--no-progress"]
    assert main(["calc", str(folder), *words, "--out", str(tmp_path / "out")]) == PASSED
    notes = json.loads((tmp_path / "out" / "run.json").read_text())["notes"]
    assert "SPINE is drawn as SUPPORT and was not used; name it with --couch" in notes
    assert not any(note.startswith("HEART is drawn as") for note in notes)
    # A pencil beam over lung says on the terminal, too, that it is not to be trusted.
    shown = capsys.readouterr().out
    assert "cautions of the engine" in shown and "use the collapsed cone or Monte Carlo" in shown


@pytest.fixture(scope="module")
def beside(patient, tmp_path_factory):
    """The patient with its isocentre 0.9 m beside, as an axis mixed up on export leaves it."""
    folder = tmp_path_factory.mktemp("beside") / "patient"
    shutil.copytree(patient, folder)
    plan = pydicom.dcmread(folder / "RTPLAN.dcm")
    for beam in plan.BeamSequence:
        beam.ControlPointSequence[0].IsocenterPosition = ["900", "-8", "4.5"]
    plan.save_as(folder / "RTPLAN.dcm")
    return folder


def test_a_beam_beside_the_patient_is_refused_unless_accepted(beside, tmp_path, capsys):
    words = [*PATIENT, "--out", str(tmp_path / "out"), "--no-progress"]
    assert main(["calc", str(beside), *words]) == REFUSED
    error = capsys.readouterr().err
    assert "beam 1 (G000) does not meet the patient" in error
    assert "x 900.0" in error and "--accept-missing-beams" in error
    assert not (tmp_path / "out").exists()
    assert main(["calc", str(beside), *words, "--accept-missing-beams"]) == PASSED
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert any("does not meet the patient" in note for note in record["notes"])
    assert record["choices"]["options"]["values"]["accept_missing_beams"] is True


def test_a_beam_beside_the_patient_fails_its_verification(beside, tmp_path):
    words = [*PATIENT, "--out", str(tmp_path / "out"), "--no-progress"]
    assert main(["verify", str(beside), *words]) == FAILED
    values = json.loads((tmp_path / "out" / "verification.json").read_text())
    found = [f for f in values["findings"] if f["rule"] == "beam geometry"]
    assert [f["outcome"] for f in found][:1] == ["FAIL"]
    assert "géométrie du faisceau" in (tmp_path / "out" / "report.html").read_text()
