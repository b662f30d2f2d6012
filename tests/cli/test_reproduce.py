"""``dosecalc reproduce``: the same again, wherever the inputs lie, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dosecalc.cli.main import FAILED, INTERRUPTED, PASSED, REFUSED, REVIEW, main
from dosecalc.errors import InputError
from dosecalc.patient.overrides import Override
from dosecalc.records.record import file_sha256, to_json
from dosecalc.records.record_file import RecordFile, open_record
from dosecalc.records.repeated_values import SAME
from dosecalc.records.seal import sealed
from dosecalc.verification.verification import Verification
from dosecalc.workflow import reproduce as reproducing
from dosecalc.workflow.find_inputs import Found, find_inputs
from dosecalc.workflow.progress import SilentStages
from dosecalc.workflow.recorded import recorded_options
from dosecalc.workflow.repeated import repeat_of_files, repeat_of_values
from dosecalc.workflow.requests import DoseRequest, VerificationRequest
from dosecalc.workflow.verify import verify_case
from tests.cli.conftest import COARSE

RECIPE = "water-6mv-10x10"
TEMPLATE = """
name = "thorax"
version = "1"
[[goal]]
structure = "SPINAL_CORD"
quantity = "D2%"
at_most = 0.1
"""
OWN_MACHINE = """
[machine]
name = "machines/linac.json"
fractions = 1
[[beam]]
mu = 100.0
gantry_deg = 0.0
jaws_x = [-50.0, 50.0]
jaws_y = [-50.0, 50.0]
isocentre = [0.0, 0.0, 0.0]
"""


@pytest.fixture(scope="module")
def verified(dosed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a verification whose every option that may be a file is one."""
    place = tmp_path_factory.mktemp("tree")
    shutil.copytree(dosed, place / "patient")
    (place / "patient" / "letter.txt").write_text("seen, not used")
    own = place / "own"
    own.mkdir()
    shipped = files("dosecalc.data.kernels")
    machine = shipped / "machines" / "generic-6mv.json"
    (own / "linac.json").write_bytes(machine.read_bytes())
    curve = shipped / "hu_curves" / "generic-120kvp.json"
    (own / "curves").mkdir()
    (own / "curves" / "ct1.json").write_bytes(curve.read_bytes())
    (own / "scanners.toml").write_text(scanner_of(dosed, "curves/ct1.json"))
    (own / "template.toml").write_text(TEMPLATE)
    (own / "limits.toml").write_text('name = "ours"\nversion = "1"\n')
    shutil.move(place / "patient" / "RTDOSE.dcm", own / "plan-dose.dcm")
    words = [
        *("verify", str(place / "patient"), "--out", str(place / "out"), "--no-progress"),
        *("--machine", f"6X={own / 'linac.json'}", "--config", str(own / "scanners.toml")),
        *("--template", str(own / "template.toml"), "--tolerances", str(own / "limits.toml")),
        *("--reference", str(own / "plan-dose.dcm"), "--override", "HEART=1.06"),
        *COARSE[4:],
    ]
    assert main(words) in (0, 1, 2)
    return place / "out"


def scanner_of(folder: Path, curve: str) -> str:
    from dosecalc.io.dicom import import_folder

    ct = import_folder(folder).ct
    assert ct is not None
    return (
        f'[[scanner]]\nmanufacturer = "{ct.manufacturer}"\nmodel = "{ct.model_name}"\n'
        f'kvp = {ct.kvp}\ncurve = "{curve}"\n'
    )


@pytest.fixture
def tree(verified: Path, tmp_path: Path) -> Path:
    """Copy patient, own files and results, to change something there."""
    shutil.copytree(verified.parent, tmp_path / "tree")
    return tmp_path / "tree"


def again(record: Path, *words: object) -> int:
    return main(["reproduce", str(record), "--no-progress", *(str(word) for word in words)])


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


def rewrite(path: Path, change: Callable[[dict[str, Any]], object], *, seal: bool = True) -> None:
    """Falsify a record; whoever knows how seals it anew."""
    values = json.loads(path.read_text())
    change(values)
    path.write_text(to_json(sealed(values) if seal else values))


@pytest.mark.parametrize(
    "words",
    [
        ("--engine", "collapsed-cone", "--directions", "24", "--dose-to", "water"),
        ("--engine", "pencil-beam"),
        ("--engine", "monte-carlo", "--histories", "2000", "--seed", "7"),
    ],
)
def test_every_engine_comes_to_the_same_dose(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["calc", RECIPE, "--grid", "10", *words, "--out", str(out), "--no-progress"]) == 0
    capsys.readouterr()
    assert again(out, "--json") == PASSED
    found = told(capsys)
    assert found["equal"] and found["dose"]["identical"]
    assert found["verdict"] is None
    assert found["differences"] == []
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_verification_comes_to_the_same(
    verified: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert again(verified, "--out", tmp_path / "new") == PASSED
    text = capsys.readouterr().out
    assert "identical, bit for bit" in text and "verdict      equal" in text
    assert text.splitlines()[-2] == "EQUAL"
    content = json.loads((tmp_path / "new" / "reproduction.json").read_text())
    assert content["equal"] and content["dose"]["largest_percent"] == 0
    assert (tmp_path / "new" / "verification.json").is_file()
    then = json.loads((verified / "verification.json").read_text())
    now = json.loads((tmp_path / "new" / "verification.json").read_text())
    assert then["findings"] == now["findings"]
    # An earlier output stays, and the record is never written over.
    assert again(verified, "--out", tmp_path / "new") == REFUSED
    assert again(verified, "--out", verified, "--force") == REFUSED


def test_a_tree_that_was_moved_is_found(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert again(tree / "out", "--json") == PASSED
    assert told(capsys)["inputs_found_in"] == str(tree / "patient")


def test_inputs_are_found_by_their_contents(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other names, other folders, and files beside them that were not there."""
    case = tmp_path / "archive"
    (case / "deep").mkdir(parents=True)
    found = [p for p in (tree / "patient").rglob("*") if p.is_file() and p.suffix == ".dcm"]
    for number, path in enumerate(sorted(found, reverse=True)):
        path.rename(case / "deep" / f"{number:04d}")
    shutil.move(tree / "own", case / "own")
    shutil.copy(tree / "out" / "RTDOSE.dcm", case / "another-dose.dcm")
    shutil.rmtree(tree / "patient")
    record = shutil.move(tree / "out", tmp_path / "record")
    assert again(record, "--case", case, "--json") == PASSED
    shown = told(capsys)
    assert shown["dose"]["identical"] and shown["verdict"]["equal"]
    assert any("letter.txt" in line for line in shown["notes"])


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("patient/CT/CT.0040.dcm", spoil, "altered (CT/CT.0040.dcm)"),
        ("patient/RTPLAN.dcm", spoil, "altered (RTPLAN.dcm)"),
        ("patient/RTSTRUCT.dcm", Path.unlink, "missing (RTSTRUCT.dcm)"),
        ("own/linac.json", spoil, "linac.json, named by an option, was altered"),
        ("own/curves/ct1.json", spoil, "ct1.json, named by an option, was altered"),
        ("own/template.toml", spoil, "template.toml, named by an option, was altered"),
        ("own/plan-dose.dcm", spoil, "plan-dose.dcm, named by an option, was altered"),
        ("out/RTDOSE.dcm", spoil, "RTDOSE.dcm was altered"),
        ("out/RTDOSE.dcm", Path.unlink, "RTDOSE.dcm is missing"),
    ],
)
def test_what_was_altered_or_is_missing_is_refused(
    tree: Path,
    name: str,
    change: Callable[[Path], None],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(tree / name)
    # Without --case the places of the original tree would do, which is whole.
    words = () if name.startswith("out") else ("--case", tree / "patient")
    rewrite_places(tree / "out" / "verification.json")
    assert again(tree / "out", *words, "--out", tree / "new") == REFUSED
    error = capsys.readouterr().err
    assert message in error
    assert not (tree / "new").exists()


def rewrite_places(record: Path) -> None:
    """Leave the record nothing but relative paths, as on a machine without the original tree."""

    page = record.with_name("report.html")
    text = page.read_text(encoding="utf-8")

    def forget(values: dict[str, Any]) -> None:
        nonlocal text
        asked = values["record"]["choices"]["options"]
        for one in (asked, *asked["files"]):
            was, now = one["place"]["absolute"], "/nowhere/" + Path(one["place"]["absolute"]).name
            one["place"]["absolute"] = now
            # The report shows the record, so that it was written on that machine too.
            for mark in ('"', "&quot;", "&#34;"):
                key = f"{mark}absolute{mark}: {mark}"
                text = text.replace(f"{key}{was}{mark}", f"{key}{now}{mark}")
        page.write_text(text, encoding="utf-8")
        values["record"]["outputs_sha256"]["report.html"] = file_sha256(page)

    rewrite(record, forget)


def test_files_that_are_gone_are_asked_for(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite_places(tree / "out" / "verification.json")
    (tree / "patient").rename(tree / "elsewhere")
    assert again(tree / "out") == REFUSED
    assert "--case" in capsys.readouterr().err
    assert again(tree / "out", "--case", tree / "elsewhere") == PASSED
    (tree / "own" / "linac.json").unlink()
    assert again(tree / "out", "--case", tree / "elsewhere") == REFUSED
    assert "linac.json, named by an option, is missing" in capsys.readouterr().err
    assert again(tree / "out", "--case", tree / "nothing") == REFUSED


def test_changed_options_are_not_equal(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fewer_cones(values: dict[str, Any]) -> None:
        values["record"]["choices"]["options"]["values"]["calcs"][0]["directions"] = 48

    rewrite(tree / "out" / "verification.json", fewer_cones)
    assert again(tree / "out", "--json") == FAILED
    shown = told(capsys)
    assert not shown["equal"] and not shown["dose"]["equal"]
    assert shown["dose"]["largest_percent"] > 0.1
    assert "engine setting directions: 24, now 48" in shown["differences"]

    def coarser(values: dict[str, Any]) -> None:
        values["record"]["choices"]["options"]["values"]["calcs"][0]["grid_mm"] = 12.0

    rewrite(tree / "out" / "verification.json", coarser)
    assert again(tree / "out") == FAILED
    assert "NOT EQUAL: the grid was" in capsys.readouterr().out


def test_a_prettier_verdict_is_not_equal(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def better(values: dict[str, Any]) -> None:
        values["outcome"] = "PASS"
        for one in values["findings"]:
            one["outcome"] = "PASS"

    rewrite(tree / "out" / "verification.json", better)
    assert again(tree / "out", "--json") == FAILED
    shown = told(capsys)
    assert shown["dose"]["identical"] and not shown["verdict"]["equal"]
    assert shown["verdict"]["changes"]


def of(values: dict[str, Any], *keys: object) -> Any:
    found: Any = values
    for key in keys:
        found = found[key]
    return found


def put(*keys: object, value: object) -> Callable[[dict[str, Any]], object]:
    def change(values: dict[str, Any]) -> None:
        of(values, *keys[:-1])[keys[-1]] = value

    return change


def named(values: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(one for one in values if one["name"] == name)


def nicer_sentence(values: dict[str, Any]) -> None:
    one = next(f for f in values["findings"] if f["rule"] == "target mean")
    one["sentence"] = one["sentence"].replace("mean ", "mean 1", 1)


FALSIFIED: dict[str, Callable[[dict[str, Any]], object]] = {
    "median dose": lambda v: named(v["structures"], "PTV")["calculated"].update(D50_gy=31.0),
    "median of the run": lambda v: named(v["record"]["structures"], "PTV").update(D50=31.0),
    "a curve": lambda v: of(v, "structures", 1, "reference", "curve_gy").__setitem__(7, 60.0),
    "gamma rate": put("gamma", "pass_percent", value=99.9),
    "gamma's finding": lambda v: next(f for f in v["findings"] if f["rule"] == "gamma").update(
        value=99.9
    ),
    "a sentence": nicer_sentence,
    "a limit": lambda v: v["findings"][0].update(review=70.0),
    "a source": lambda v: v["findings"][0].update(source="AAPM TG-999"),
    "the patient's name": put("record", "patient", "name", value="Other^Person"),
    "the case": put("case", value="OTHER"),
    "a structure's name": put("structures", 0, "name", value="BODY2"),
    "MU of a beam": put("record", "plan", "beams", 0, "mu", value=90.0),
    "MU in the table": put("beams", 0, "mu", value=90.0),
    "largest difference": put("largest_difference", "reference_gy", value=1.0),
    "a caveat": lambda v: v["caveats"].pop(),
    "what was not checked": lambda v: v["not_checked"].pop(),
    "an input": lambda v: v["record"]["inputs"][0].update(uid="1.2.3"),
    "the HU curve's name": put("record", "choices", "hu_curve", "name", value="measured"),
    "engine setting": put("record", "engine", "settings", "directions", value=512),
    "the maximum": put("record", "dose", "maximum", value=40.0),
    "goals": lambda v: v["goals"][0].update(calculated=0.01),
}


@pytest.mark.parametrize("what", FALSIFIED)
def test_a_falsified_value_is_not_equal(
    what: str,
    tree: Path,
    done_again: Again,
) -> None:
    """Sealed anew by somebody who knows how: what was calculated says otherwise."""
    record = tree / "out" / "verification.json"
    rewrite(record, FALSIFIED[what], seal=False)
    assert open_record(record).broken_seal() is not None
    rewrite(record, lambda values: values)
    falsified = open_record(record)
    assert falsified.broken_seal() is None
    found, new, _ = done_again
    changes = repeat_of_values(falsified, new, found, SAME)
    assert len(changes) == 1, changes


Again = tuple[Found, RecordFile, Verification]


@pytest.fixture(scope="module")
def done_again(verified: Path, tmp_path_factory: pytest.TempPathFactory) -> Again:
    """Return the verification done again, once for all records that are compared with it."""
    place = tmp_path_factory.mktemp("again")
    record = open_record(verified)
    found = find_inputs(record, recorded_options(record), None, place / "staging")
    (place / "new").mkdir()
    assert isinstance(found.options, VerificationRequest)
    made = verify_case(found.options, place / "new", SilentStages())
    return found, open_record(place / "new"), made.verification


def test_nothing_falsified_is_equal(tree: Path, done_again: Again) -> None:
    found, new, made = done_again
    assert repeat_of_values(open_record(tree / "out"), new, found, SAME) == ()
    files = repeat_of_files(open_record(tree / "out"), new, made, SAME)
    assert [one.said for one in files] == ["identical, bit for bit"] * 3


@pytest.mark.parametrize("name", ["report.html", "report.pdf"])
def test_a_falsified_report_with_a_new_hash_is_not_equal(
    name: str, tree: Path, done_again: Again
) -> None:
    report = tree / "out" / name
    content = report.read_bytes()
    shown = b"mean " if name.endswith(".html") else b"/CreationDate"
    assert shown in content
    report.write_bytes(content.replace(shown, shown[:-1] + b"X", 1))
    hashes = {name: file_sha256(report)}
    record = tree / "out" / "verification.json"
    rewrite(record, lambda values: values["record"]["outputs_sha256"].update(hashes))
    _, new, made = done_again
    files = repeat_of_files(open_record(record), new, made, SAME)
    assert [one.name for one in files if one.equal is False] == [name]


def test_a_record_is_sealed_when_it_is_written(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody has signed yet; reproduce and sign refuse what was altered, or lost its seal."""
    who = ("--name", "A. Physicist", "--decision", "accepted", "--reason", "a test")
    record = tree / "out" / "verification.json"
    whole = record.read_text()
    seal = json.loads(whole)["seal"]
    # The order and the layout of the file are no contents.
    record.write_text(json.dumps(json.loads(whole), sort_keys=True))
    assert main(["sign", str(record), "--check", "--seal", seal[:8]]) == REVIEW
    rewrite(record, put("record", "patient", "id", value="2"), seal=False)
    for words in (["sign", str(record), *who], ["reproduce", str(record)]):
        capsys.readouterr()
        assert main(words) == REFUSED
        assert "verification.json was altered since it was written" in capsys.readouterr().err
    # Sealed anew: against the seal that was noted, it shows.
    rewrite(record, lambda values: values)
    assert main(["sign", str(record), "--check", "--seal", seal[:8]]) == FAILED
    rewrite(record, lambda values: values.pop("seal"), seal=False)
    for words in (["sign", str(record), *who], ["reproduce", str(record)]):
        assert main(words) == REFUSED
        assert "has no seal" in capsys.readouterr().err


def test_a_value_beyond_its_own_limit_is_not_signed(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def worse(values: dict[str, Any]) -> None:
        next(f for f in values["findings"] if f["rule"] == "gamma")["value"] = 80.0

    rewrite(tree / "out" / "verification.json", worse)
    who = ("--name", "A. Physicist", "--decision", "accepted", "--reason", "a test")
    assert main(["sign", str(tree / "out"), *who]) == REFUSED
    error = capsys.readouterr().err
    assert "gamma is PASS, its value 80 and limits (review 95.0, fail 90.0)" in error


def test_a_record_altered_after_a_decision_is_refused(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--name", "A. Physicist", "--decision", "accepted", "--reason", "a test")
    assert main(["sign", str(tree / "out"), *words]) == PASSED
    assert again(tree / "out") == PASSED
    rewrite(tree / "out" / "verification.json", lambda values: values.update(case="other"))
    assert again(tree / "out") == REFUSED
    assert "not the record that was decided on" in capsys.readouterr().err


def test_versions_and_models_that_differ_are_named(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def older(values: dict[str, Any]) -> None:
        values["program"]["version"] = "0.0.9"
        values["physical_data_sha256"]["materials.json"] = "0" * 64
        next(iter(values["machine_models"].values()))["machine_sha256"] = "1" * 64

    words = ["calc", str(patient), *COARSE, "--out", str(tmp_path / "out"), "--no-progress"]
    assert main(words) == PASSED
    rewrite(tmp_path / "out" / "run.json", older)
    capsys.readouterr()
    assert again(tmp_path / "out", "--json") == PASSED
    named = " | ".join(told(capsys)["differences"])
    assert "dosecalc: 0.0.9, now " in named
    assert "physical data materials.json: SHA-256 000000000000, now SHA-256" in named
    assert "machine generic-6mv machine: SHA-256 111111111111, now SHA-256" in named


def test_a_recipe_is_found_with_its_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "recipes"
    (home / "machines").mkdir(parents=True)
    machine = files("dosecalc.data.kernels") / "machines" / "generic-6mv.json"
    (home / "machines" / "linac.json").write_bytes(machine.read_bytes())
    shipped = (files("dosecalc.data.phantoms") / "oblique-surface-6mv-10x10.toml").read_text()
    (home / "oblique.toml").write_text(shipped.partition("[source]")[0] + OWN_MACHINE)
    out = tmp_path / "out"
    words = ["--grid", "12", "--engine", "pencil-beam", "--out", str(out), "--no-progress"]
    assert main(["calc", str(home / "oblique.toml"), *words]) == 0
    home.rename(tmp_path / "moved")
    assert again(out) == REFUSED
    assert again(out, "--case", tmp_path / "moved") == PASSED
    spoil(tmp_path / "moved" / "machines" / "linac.json")
    capsys.readouterr()
    assert again(out, "--case", tmp_path / "moved") == REFUSED
    assert "linac.json, was altered" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o.pop("values"), "its options cannot be read"),
        (lambda o: o["values"].update(colour="red"), "differ in colour"),
        (lambda o: o["values"]["calcs"][0].pop("grid_mm"), "differ in grid_mm"),
        (lambda o: o["values"]["calcs"][0].update(overrides="x"), "its options cannot be read"),
        (lambda o: o.update(values="x"), "differ in"),
        (lambda o: o.update(files="x"), "its options cannot be read"),
        (lambda o: o.update(place="x"), "its options cannot be read"),
        (lambda o: o["place"].update(absolute=3), "its options cannot be read"),
    ],
)
def test_options_that_cannot_be_read_are_refused(
    tree: Path,
    change: Callable[[dict[str, Any]], object],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = tree / "out" / "verification.json"
    rewrite(record, lambda values: change(values["record"]["choices"]["options"]))
    assert again(tree / "out") == REFUSED
    assert message in capsys.readouterr().err


def test_records_that_cannot_be_repeated_say_so(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tree / "out" / "verification.json"
    whole = record.read_text()
    rewrite(record, lambda values: values["record"]["choices"].pop("options"))
    assert again(tree / "out") == REFUSED
    assert "an older dosecalc" in capsys.readouterr().err
    record.write_text(whole)
    stopped = {"stopped": "interrupted after 3 of 20 batches"}
    rewrite(record, lambda values: values["record"]["engine"].update(stopped))
    assert again(tree / "out") == REFUSED
    assert "interrupted after 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("choices", None, "an older dosecalc wrote it"),
        ("choices", "x", "its options cannot be read"),
        ("engine", None, "'engine' is missing"),
        ("inputs", [{"name": "RTPLAN.dcm"}], "'inputs' is not what a record holds"),
        ("machine_models", {"generic-6mv": "x"}, "'machine_models' is not what"),
        ("host", 3, "'host' is not what a record holds there"),
    ],
)
def test_records_that_lack_something_are_refused(
    tree: Path, name: str, value: object, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(values: dict[str, Any]) -> None:
        values["record"].pop(name)
        if value is not None:
            values["record"][name] = value

    rewrite(tree / "out" / "verification.json", change)
    assert again(tree / "out") == REFUSED
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_nothing_is_written_outside_the_folder_of_copies(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def escape(values: dict[str, Any]) -> None:
        for one in values["record"]["inputs"]:
            if one["name"] == "RTPLAN.dcm":
                one["name"] = "../../../../../../../../../../tmp/dosecalc-escaped.dcm"

    rewrite(tree / "out" / "verification.json", escape)
    assert again(tree / "out") == REFUSED
    assert "lies in no folder" in capsys.readouterr().err


def test_a_killed_repetition_leaves_nothing(
    verified: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reproducing, "verify_case", killed)
    assert again(verified, "--out", tmp_path / "new") == INTERRUPTED
    assert list(tmp_path.iterdir()) == []


def test_options_survive_the_record() -> None:
    calc = DoseRequest.from_words(
        path=Path("p"),
        engine="monte-carlo",
        machines=("6X=a.json", "3=b"),
        config=Path("c.toml"),
        overrides={"Hip L": Override(7.9, "steel"), "Lung": Override(None, "lung")},
        couch=("COUCH",),
        uncertainty=0.01,
        seed=3,
    )
    through = json.loads(to_json(calc.to_record()))
    assert DoseRequest.from_record(through) == calc
    whole = VerificationRequest((calc,), reference=Path("r.dcm"), template=Path("t.toml"))
    assert VerificationRequest.from_record(json.loads(to_json(whole.to_record()))) == whole
    with pytest.raises(InputError, match="colour"):
        DoseRequest.from_record(through | {"colour": "red"})


def test_a_dose_of_one_voxel_off_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recorded dose that somebody changed together with its hash in the record."""
    out = tmp_path / "out"
    words = ["--grid", "10", "--engine", "pencil-beam", "--out", str(out), "--no-progress"]
    assert main(["calc", RECIPE, *words]) == 0
    with np.load(out / "dose.npz") as stored:
        entries = dict(stored)
    entries["dose"][5, 6, 7] += 0.002 * entries["dose"].max()
    np.savez_compressed(out / "dose.npz", **entries)
    outputs = {"dose.npz": file_sha256(out / "dose.npz")}
    rewrite(out / "run.json", lambda values: values["outputs_sha256"].update(outputs))
    capsys.readouterr()
    assert again(out, "--json") == FAILED
    assert told(capsys)["dose"]["largest_percent"] == pytest.approx(0.2, abs=1e-3)
