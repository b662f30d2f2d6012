"""``gamma``, ``compare`` and ``dvh``: what they print, write and refuse, and their exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dosecalc.cli.main import main
from dosecalc.io.dicom import DoseReferences, Subject, write_dose, write_structures
from dosecalc.io.dose_files import write_npz_dose
from dosecalc.model import Contour, Dose, Grid, Structure, StructureSet

GRID = Grid.covering((-30.0, -30.0, -30.0), (30.0, 30.0, 30.0), (3.0, 3.0, 3.0))
FRAME = "1.2.4"


def field(factor: float = 1.0) -> np.ndarray:
    z, y, x = np.meshgrid(*(GRID.centres(a) for a in "zyx"), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    return factor * 60 / (1 + np.exp((radius - 20) / 2))


def references(frame: str = FRAME, patient: str = "P1") -> DoseReferences:
    return DoseReferences(Subject(patient, "Test", "1.2.3"), frame, plan_uid="1.2.5",
                          structure_set_uid="1.2.6")  # fmt: skip


def rtdose(path: Path, factor: float = 1.0, **named: str) -> str:
    return str(write_dose(Dose(GRID, field(factor), "water"), path, references(**named)))


def square(half: float, planes: np.ndarray) -> tuple[Contour, ...]:
    corners = half * np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    return tuple(Contour(float(z), corners) for z in planes)


@pytest.fixture
def rtstruct(tmp_path: Path) -> str:
    structures = StructureSet(
        (
            Structure(1, "PTV", "PTV", square(8.0, np.arange(-7.0, 8, 2))),
            Structure(2, "cord", "ORGAN", square(3.0, np.arange(-29.0, 60, 2))),
            Structure(3, "leg", "ORGAN", square(3.0, np.arange(400.0, 420, 2))),
            Structure(4, "BODY", "EXTERNAL", square(29.0, np.arange(-29.0, 30, 2))),
        ),
        frame_of_reference_uid=FRAME,
        patient_id="P1",
    )
    place = tmp_path / "rs.dcm"
    return str(write_structures(structures, place, ct=None, subject=Subject("P1", "Test", "1.2.3")))


def run(*words: object) -> int:
    return main([str(word) for word in words])


def printed(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("factor", "options", "code", "outcome"),
    [
        (1.0, [], 0, "pass"),
        (1.1, [], 1, "fail"),
        (1.1, ["--dose", "11"], 0, "pass"),
        (1.1, ["--dose", "11%", "--distance", "1mm", "--threshold", "10 %"], 0, "pass"),
        (
            1.1,
            ["--distance", "2.0 MM", "--normalisation", "59.990016Gy", "--pass", "95%"],
            1,
            "fail",
        ),
        (1.1, ["--pass", "100", "--fail", "0"], 2, "review"),
    ],
)
def test_gamma_ends_by_its_pass_rate(tmp_path, capsys, factor, options, code, outcome):
    a, b = rtdose(tmp_path / "a.dcm"), rtdose(tmp_path / "b.dcm", factor)
    assert run("gamma", a, b, *options, "--json") == code
    record = printed(capsys)
    assert record["outcome"] == outcome
    assert record["gamma"]["normalisation"] == pytest.approx(field().max(), rel=1e-5)
    assert "TG-218" in record["limits"]["source"]
    assert run("gamma", a, b, *options) == code
    assert outcome.upper() in capsys.readouterr().out


def test_gamma_writes_its_map_once(tmp_path, capsys):
    a, out = rtdose(tmp_path / "a.dcm"), tmp_path / "map.npz"
    b = write_npz_dose(Dose(GRID, field(1.02), "water"), tmp_path / "b.npz")
    options = ["--local", "--distance", "1", "--threshold", "20", "--normalisation", "50"]
    assert run("gamma", a, b, *options, "--out", out) == 0
    with np.load(out) as archive:
        assert archive["gamma"].shape == GRID.shape
        assert str(archive["criteria"]) == "3 % local / 1 mm, above 20 %"
        assert float(archive["normalisation"]) == 50
        assert archive["first_centre_mm"] == pytest.approx(GRID.origin)
    assert run("gamma", a, b, "--out", out) == 3
    assert "--force" in capsys.readouterr().err
    assert run("gamma", a, b, "--out", out, "--force") == 0
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_compare_tells_differences_gamma_and_histograms(tmp_path, capsys, rtstruct):
    a, b = rtdose(tmp_path / "a.dcm"), rtdose(tmp_path / "b.dcm", 1.02)
    assert run("compare", a, b, "--structures", rtstruct, "--json") == 0
    record = printed(capsys)
    assert record["difference"]["worst_percent"] == pytest.approx(2.0, abs=1e-3)
    assert record["difference"]["outside"] == 0
    assert record["gamma"]["pass_percent"] == 100
    ptv, cord, leg, _ = record["structures"]
    assert ptv["b"]["D98"] == pytest.approx(1.02 * ptv["a"]["D98"], rel=1e-4)
    assert cord["a"]["outside_grid_cm3"] == pytest.approx(0.6 * 0.6 * 3.0, rel=1e-3)
    assert "outside the dose grid" in leg["a"]["remark"]
    assert any("'cord' lie outside" in note for note in record["notes"])
    assert run("compare", a, b, "--structures", rtstruct, "--structure", "PTV") == 0
    out = capsys.readouterr().out
    assert "PTV" in out
    assert "cord" not in out
    assert "worst voxel" in out
    assert run("compare", a, rtdose(tmp_path / "c.dcm", 1.2)) == 1
    capsys.readouterr()
    assert run("compare", a, b, "--dose", "2%", "--distance", "1mm", "--json") == 0
    assert printed(capsys)["gamma"]["criteria"]["dose_percent"] == 2.0


@pytest.mark.parametrize("word", ["2mm", "two", "nan", "inf", "%"])
def test_a_criterion_that_is_no_number_says_what_to_write(tmp_path, capsys, word):
    a = rtdose(tmp_path / "a.dcm")
    assert run("gamma", a, a, "--dose", word) == 3
    assert f"{word!r} is no number in %; write 2 or 2%" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "start"), [("c.pdf", b"%PDF"), ("c.SVG", b"<?xml")])
def test_pictures_are_what_their_names_say(tmp_path, rtstruct, name, start):
    a = rtdose(tmp_path / "a.dcm")
    assert run("dvh", a, rtstruct, "--picture", tmp_path / name) == 0
    assert (tmp_path / name).read_bytes().startswith(start)


def test_dvh_prints_indices_and_writes_curves(tmp_path, capsys, rtstruct):
    a, curves, picture = rtdose(tmp_path / "a.dcm"), tmp_path / "c.csv", tmp_path / "c.png"
    words = ["dvh", a, rtstruct, "--prescription", 45, "--body", "BODY", "--quantity", "V45Gy",
             "--quantity", "D1cc", "--quantity", "D90cc"]  # fmt: skip
    assert run(*words, "--csv", curves, "--picture", picture) == 0
    out = capsys.readouterr().out
    assert "Paddick" in out
    assert "within BODY" in out
    assert "'leg' lies outside the dose grid" in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(curves.open(newline="")))
    ptv = [row for row in rows if row["structure"] == "PTV"]
    assert float(ptv[0]["cumulative_percent"]) == 100
    total = sum(float(row["differential_cm3"]) for row in ptv)
    assert total == pytest.approx(1.6**3, rel=1e-3)
    assert run(*words, "--json") == 0
    record = printed(capsys)
    first = record["structures"][0]
    assert first["volume_cm3"] == pytest.approx(1.6**3, rel=1e-6)
    assert first["quantities"]["V45Gy"]["unit"] == "%"
    assert first["quantities"]["D90cc"]["value"] is None
    shares = ["--quantity", "V100%", "--quantity", "D50% %"]
    assert run(*words, *shares, "--json") == 0
    found = printed(capsys)["structures"][0]
    # 100 % is the 45 Gy that are prescribed.
    assert found["quantities"]["V100%"] == first["quantities"]["V45Gy"]
    assert found["quantities"]["D50% %"] == {
        "value": pytest.approx(100 * found["D50"] / 45), "unit": "%"
    }  # fmt: skip
    assert run("dvh", a, rtstruct, *shares) == 3
    assert (
        "V100%, D50% %: a share of the prescribed dose; say --prescription"
        in capsys.readouterr().err
    )
    assert run("dvh", a, rtstruct, "--prescription", -45) == 3
    assert "--prescription -45 Gy: a dose above zero is needed" in capsys.readouterr().err
    (index,) = record["indices"]
    assert index["target"] == "PTV"
    assert index["within"] == "BODY"
    assert index["rtog"] == pytest.approx(index["isodose_cm3"] / index["target_cm3"])


@pytest.fixture
def odd_rtstruct(tmp_path: Path) -> str:
    """An ROI with a gap and overlaps, clips on two slices, and one that cannot be used."""
    halves = (square(4.0, [0, 3, 6, 18, 21]), square(5.0, [0, 3, 6, 18, 21]))
    moved = tuple(Contour(c.z, np.add(c.points, [4.5, 0])) for c in halves[1])
    structures = StructureSet(
        (
            Structure(1, "ROI", "ORGAN", halves[0] + moved),
            Structure(2, "CLIPS", "", square(2.0, [-20.0, 10.0])),
            Structure(3, "OTHER", "", square(2.0, [0.0, 3.0])),
        ),
        frame_of_reference_uid=FRAME,
        patient_id="P1",
    )
    subject = Subject("P1", "Test", "1.2.3")
    place = write_structures(structures, tmp_path / "odd.dcm", ct=None, subject=subject)
    ds = pydicom.dcmread(place)
    ds.ROIContourSequence[2].ContourSequence[0].ContourGeometricType = "INTERPOLATED_PLANAR"
    ds.save_as(place)
    return str(place)


def test_notes_of_structures_reach_dvh_and_compare(tmp_path, capsys, odd_rtstruct):
    a, b = rtdose(tmp_path / "a.dcm"), rtdose(tmp_path / "b.dcm")
    wanted = (
        "ROI: nothing drawn between z = 6 and 18 mm: taken as two pieces",
        "ROI: contours overlap on z = 0, 3, 6, 18, 21 mm",
        "OTHER: left out: contour 1: contour type 'INTERPOLATED_PLANAR' is not known",
    )
    for words in (["dvh", a, odd_rtstruct], ["compare", a, b, "--structures", odd_rtstruct]):
        assert run(*words) == 0
        text = capsys.readouterr().out
        assert all(f"- {sentence}" in text for sentence in wanted)
        assert run(*words, "--json") == 0
        notes = printed(capsys)["notes"]
        assert all(any(n.startswith(sentence) for n in notes) for sentence in wanted)
        assert run(*words, "--structure", "ROI") == 0
        text = capsys.readouterr().out
        assert wanted[0] in text
        assert "OTHER" not in text
        assert run(*words, "--structure", "OTHER") == 3
        assert "structure 'OTHER' cannot be used" in capsys.readouterr().err
    assert run("dvh", a, odd_rtstruct, "--json") == 0
    (first, *_) = printed(capsys)["structures"]
    assert first["notes"][0] == wanted[0].removeprefix("ROI: ")


def test_plane_spacing_is_kept_to(tmp_path, capsys, odd_rtstruct):
    a = rtdose(tmp_path / "a.dcm")
    for words, cm3 in (([], 2 * 0.16 * 0.3), (["--plane-spacing", "2"], 2 * 0.16 * 0.2)):
        assert run("dvh", a, odd_rtstruct, "--structure", "CLIPS", "--json", *words) == 0
        (clips,) = printed(capsys)["structures"]
        assert clips["volume_cm3"] == pytest.approx(cm3, rel=1e-3)
    assert run("dvh", a, odd_rtstruct, "--plane-spacing", "12mm", "--json") == 0
    told = printed(capsys)
    assert told["structures"][0]["notes"] == [
        "nothing drawn between z = 6 and 18 mm: taken as two pieces",
        "contours overlap on z = 0, 3, 6, 18, 21 mm: where an even number of them overlap is "
        "outside (even-odd rule)",
    ]
    assert run("dvh", a, odd_rtstruct, "--plane-spacing", "0") == 3
    assert "--plane-spacing 0 mm: give the distance" in capsys.readouterr().err


def test_what_does_not_belong_together_is_refused_unless_said(tmp_path, capsys, rtstruct):
    a = rtdose(tmp_path / "a.dcm")
    other = rtdose(tmp_path / "b.dcm", frame="9.9", patient="P2")
    for words in (["gamma", a, other], ["compare", a, other], ["dvh", other, rtstruct]):
        assert run(*words) == 3
        err = capsys.readouterr().err
        assert err.startswith("refused: ")
        assert "patient" in err
        assert "--strangers" in err
        assert run(*words, "--strangers", "--json") == 0
        assert any("9.9" in note for note in printed(capsys)["notes"])


@pytest.mark.parametrize(
    ("words", "say"),
    [
        (["gamma", "{a}", "nothing.dcm"], "no such file"),
        (["gamma", "{a}", "{rs}"], "not an RT dose"),
        (["gamma", "{a}", "{text}"], "text.dcm"),
        (["gamma", "{a}", "{a}", "--dose", "0"], "above zero"),
        (["gamma", "{a}", "{a}", "--pass", "80", "--fail", "90"], "0 <= fail <= pass"),
        (["gamma", "{a}", "{a}", "--out", "{folder}/no/map.npz"], "cannot be written"),
        (["compare", "{a}", "{a}", "--structure", "PTV"], "--structures"),
        (["compare", "{a}", "{d3}"], "--3ddose-unit"),
        (["compare", "{folder}", "{a}"], "is a folder: name a file in it, an RTDOSE"),
        (["dvh", "{a}", "{folder}"], "is a folder: name a file in it, an RTSTRUCT"),
        (["compare", "{a}", "{garbage}"], "garbage.npz is no NumPy archive"),
        (["compare", "{a}", "{objects}"], "objects.npz holds Python objects"),
        (["dvh", "{a}", "{rs}", "--picture", "{folder}/c.xyz"], "ends in .png, .pdf, .svg"),
        (["dvh", "{a}", "{rs}", "--picture", "{folder}/c"], "ends in .png, .pdf, .svg"),
        (["dvh", "{a}", "{a}"], "SOP class"),
        (["dvh", "{a}", "{rs}", "--structure", "liver"], "rs.dcm: no structure is named 'liver'"),
        (["dvh", "{a}", "{rs}", "--structure", "leg"], "outside the dose grid"),
        (["dvh", "{a}", "{rs}", "--quantity", "V20"], "D95%"),
        (["dvh", "{a}", "{rs}", "--target", "PTV"], "--prescription"),
        (["dvh", "{a}", "{rs}", "--prescription", "45", "--target", "cord"], "larger grid"),
    ],
)
def test_bad_input_is_one_message_and_code_3(tmp_path, capsys, rtstruct, words, say):
    (tmp_path / "text.dcm").write_text("a dose, or so")
    (tmp_path / "dose.3ddose").write_text("1 1 1")
    (tmp_path / "garbage.npz").write_bytes(b"\x80\x04garbage")
    np.savez(tmp_path / "objects.npz", dose=np.array([{}], dtype=object))
    named = {
        "garbage": tmp_path / "garbage.npz", "objects": tmp_path / "objects.npz",
        "a": rtdose(tmp_path / "a.dcm"), "rs": rtstruct, "text": tmp_path / "text.dcm",
        "d3": tmp_path / "dose.3ddose", "folder": tmp_path,
    }  # fmt: skip
    assert run(*(word.format(**named) for word in words)) == 3
    err = capsys.readouterr().err
    assert err.startswith("refused: ")
    assert err.count("\n") == 1
    assert say in err
    assert "pickle" not in err


def test_a_3ddose_file_is_compared_with_its_twin(tmp_path, capsys):
    grid = Grid((2, 3, 4), (5.0, 5.0, 5.0), (2.5, 2.5, 2.5))
    values = 1 + np.arange(24.0).reshape(2, 3, 4) / 24
    edges = [" ".join(str(0.5 * i) for i in range(n + 1)) for n in (4, 3, 2)]
    words = ["4 3 2", *edges, " ".join(map(str, values.ravel())), " ".join(["0.01"] * 24)]
    (tmp_path / "d.3ddose").write_text("\n".join(words))
    twin = write_npz_dose(Dose(grid, values, "medium"), tmp_path / "d.npz")
    options = ["--3ddose-unit", "Gy", "--json"]
    assert run("compare", tmp_path / "d.3ddose", twin, *options) == 0
    assert abs(printed(capsys)["difference"]["worst_percent"]) < 1e-4


@pytest.mark.parametrize("command", ["gamma", "compare", "dvh"])
def test_help_says_what_the_limits_are(command, capsys):
    assert run(command, "--help") == 0
    out = " ".join(capsys.readouterr().out.split())
    if command != "dvh":
        assert "TG-218" in out
        assert "Exit code 0 (pass), 2 (review) or 1 (fail)" in out
