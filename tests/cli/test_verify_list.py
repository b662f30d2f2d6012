"""``dosecalc verify-list`` as it is run in the evening and read in the morning."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dosecalc.cli.main import PASSED, REFUSED, main
from dosecalc.cli.verify_list import _shortened
from tests.cli.conftest import COARSE

HEADER = "case,folder,machine,hu_curve,template"


@pytest.fixture
def place(dosed: Path, tmp_path: Path) -> Path:
    """Two patients, one whose plan was forgotten, and a list with one that is not there yet."""
    shutil.copytree(dosed, tmp_path / "patients" / "anna")
    shutil.copytree(dosed, tmp_path / "patients" / "berta")
    shutil.copytree(dosed, tmp_path / "patients" / "clara")
    (tmp_path / "patients" / "clara" / "RTPLAN.dcm").unlink()
    goal = '[[goal]]\nstructure = "PTV"\nquantity = "D95%"\nat_least = 60.0\n'
    (tmp_path / "goals.toml").write_text(f'name = "lung"\nversion = "1"\n{goal}')
    return tmp_path


def write_list(place: Path, *lines: str) -> Path:
    path = place / "list.csv"
    path.write_text("\n".join([HEADER, *lines]), encoding="utf-8")
    return path


def line(name: str, folder: str, template: str = "") -> str:
    return f"{name},patients/{folder},generic-6mv,generic-120kvp,{template}"


def command(place: Path, *words: str) -> list[str]:
    return ["verify-list", str(place / "list.csv"), "--out", str(place / "out"), *words]


def night(place: Path, *words: str) -> int:
    return main(command(place, *COARSE[4:], *words))


def rows(place: Path, name: str = "summary.csv") -> dict[str, dict[str, str]]:
    with (place / "out" / name).open(encoding="utf-8-sig", newline="") as stream:
        return {row["case"]: row for row in csv.DictReader(stream)}


def test_a_night_and_the_next_evening(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (
        line("c1", "anna"), line("c2", "clara"), line("c3", "dora"),
        line("c4", "berta", "goals.toml"),
    )  # fmt: skip
    write_list(place, *lines)
    assert night(place) == REFUSED
    told = capsys.readouterr()
    assert "c3 will be refused" in told.err
    assert "4 of 4  c4: FAIL" in told.err
    table = rows(place)
    assert list(table) == ["c1", "c2", "c3", "c4"]
    assert [table[name]["outcome"] for name in ("c2", "c3", "c4")] == ["REFUSED", "REFUSED", "FAIL"]
    assert "no RTPLAN" in table["c2"]["error"]
    assert table["c4"]["worst_rule"] == "goal"
    assert "PTV D95" in table["c4"]["finding"]
    # The same program on the same grid: the reference is met in every point.
    assert float(table["c1"]["gamma_percent"]) == 100.0
    assert abs(float(table["c1"]["largest_percent"])) < 0.1
    assert table["c1"]["engines"] == "collapsed-cone"
    assert told.out.startswith("4 cases: ")
    assert "FAIL     c4: goal; gamma 100.0 %" in told.out
    # The worst first, and of a refusal the whole sentence with what to do.
    counts = told.out.partition("\n")[0].removeprefix("4 cases: ")
    assert [word.split()[1] for word in counts.split(", ")][:2] == ["REFUSED", "FAIL"]
    assert f"  REFUSED  c3: {table['c3']['error']}\n" in told.out
    assert list(rows(place, "attention.csv"))[:3] == ["c2", "c3", "c4"]
    assert table["c4"]["patient_id"] and table["c4"]["plan"]
    assert (place / "out" / table["c4"]["report"]).is_file()
    assert table["c4"]["report"] == "c4/report.html"
    assert (table["c4"]["n_fail"], table["c2"]["n_fail"]) == ("1", "")
    assert table["c4"]["finding"].startswith("PTV D95% >= 60 Gy: ")
    values = json.loads((place / "out" / "c1" / "verification.json").read_text())
    assert values["outcome"] == table["c1"]["outcome"]
    assert not (place / "out" / "c2").exists()

    # The next evening: one is signed, one goal was changed, one case was taken off the list.
    who = ("--name", "A. Physicist", "--decision", "accepted", "--reason", "seen")
    assert main(["sign", str(place / "out" / "c1"), *who]) == PASSED
    goals = (place / "goals.toml").read_text()
    (place / "goals.toml").write_text(goals.replace("60.0", "10.0"))
    write_list(place, *(one for one in lines if "dora" not in one))
    written = (place / "out" / "c1" / "RTDOSE.dcm").stat().st_mtime_ns
    capsys.readouterr()
    night(place)
    told = capsys.readouterr()
    assert "c1: " in told.err and told.err.count("done before, left alone") == 1
    assert (place / "out" / "c1" / "RTDOSE.dcm").stat().st_mtime_ns == written
    after = rows(place)
    assert after["c1"]["decision"].startswith("accepted, A. Physicist, ")
    assert "goal" not in after["c4"]["worst_rule"]
    assert after["c4"]["outcome"] == after["c1"]["outcome"]


def test_cases_can_be_checked_before_the_night(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(
        place, line("c1", "anna"), line("c2", "clara"), line("c3", "berta", "no.toml"),
        "c4,patients/anna,linac7,generic-120kvp,",
    )  # fmt: skip
    assert main(["verify-list", str(place / "list.csv"), "--check"]) == REFUSED
    told = capsys.readouterr()
    assert "4 cases were read: 3 would be refused: c2, c3, c4\n" in told.out
    assert "c1: can be calculated" in told.err
    assert "c2 will be refused: " in told.err and "no RTPLAN" in told.err
    assert "no.toml" in told.err
    assert "linac7" in told.err
    assert not (place / "out").exists()
    write_list(place, line("c1", "anna"))
    assert main(["verify-list", str(place / "list.csv"), "--check"]) == PASSED


def test_the_check_tells_what_would_surprise_in_the_morning(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "patients" / "berta" / "RTDOSE.dcm").unlink()
    (place / "broken.toml").write_text("name = 3\n")
    lines = (
        line("c1", "anna"), line("c2", "berta"), line("c3", "anna"),
        line("c4", "anna", "broken.toml"),
    )  # fmt: skip
    write_list(place, *lines)
    words = ["verify-list", str(place / "list.csv"), "--check"]
    assert main([*words, "--body", "SKIN"]) == REFUSED
    told = capsys.readouterr().err
    folder = place / "patients" / "anna"
    assert f"c1 will be refused: {folder}: no structure is named 'SKIN'" in told
    assert f"c1 and c3 name the same folder with the same options, {folder}" in told
    assert "broken.toml: name is 3; a text in quotes is needed" in told
    assert main(words) == REFUSED
    told = capsys.readouterr().err
    assert "c1: can be calculated\n" in told
    assert (
        "c2: can be calculated, but there is no dose to compare with: it will be a REVIEW" in told
    )
    assert main([*words, "--language", "de"]) == REFUSED
    told = capsys.readouterr().err
    assert "c1 will be refused: " in told and "'de'" in told
    assert "refused: c1" not in told


def test_every_option_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify-list", "--help"]) == PASSED
    told = " ".join(capsys.readouterr().out.split())
    assert "As the column" not in told
    assert "--machine [BEAM=]NAME Machine model: NAME for all beams" in told


@pytest.mark.parametrize("name", ["a file", "below a file"])
def test_results_do_not_go_into_a_file(
    place: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(place, line("c1", "anna"))
    (place / "x.txt").write_text("mine")
    out = place / "x.txt" / "out" if name.startswith("below") else place / "x.txt"
    assert main(["verify-list", str(place / "list.csv"), "--out", str(out)]) == REFUSED
    assert "x.txt" in capsys.readouterr().err
    assert (place / "x.txt").read_text() == "mine"


def test_findings_are_cut_to_what_is_read() -> None:
    assert _shortened(["a", "b"]) == "a | b"
    many = _shortened([f"finding number {n} of many" for n in range(40)])
    assert len(many) <= 200
    assert many.startswith("finding number 0 of many | ") and many.endswith("more")
    left = int(many.split()[-2])
    assert many.count("finding number") + left == 40
    assert len(_shortened(["x" * 500])) == 200
    assert _shortened(["x" * 500, "y"]).endswith("... | and 1 more")


def test_another_language_is_done_again(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_list(place, line("c1", "anna"))
    night(place)
    report = (place / "out" / "c1" / "report.html").read_text(encoding="utf-8")
    assert '<html lang="en"' in report
    night(place, "--language", "fr")
    report = (place / "out" / "c1" / "report.html").read_text(encoding="utf-8")
    assert '<html lang="fr"' in report
    capsys.readouterr()
    night(place, "--language", "fr")
    assert "done before, left alone" in capsys.readouterr().err


def test_options_for_all_and_words_without_sense(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(place, line("c1", "anna"))
    assert night(place, "--engines", "pencil-bean") == REFUSED
    assert "pencil-bean" in rows(place)["c1"]["error"]
    assert night(place, "--grid", "wide") == REFUSED
    assert "wide" in rows(place)["c1"]["error"]
    assert main(["verify-list", str(place / "list.csv")]) == REFUSED
    assert "--out is needed" in capsys.readouterr().err
    assert main(["verify-list", str(place / "no.csv"), "--out", str(place / "out2")]) == REFUSED
    assert not (place / "out2").exists()


@pytest.fixture
def started(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Begin a night in a process of its own, and see its first case begin."""
    write_list(place, line("c1", "anna"), line("c2", "berta"))
    words = [sys.executable, "-m", "dosecalc.cli.main", *command(place, *COARSE[4:])]
    # A session of its own, so that its children can be ended with it.
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    while not (place / "out" / "summary.csv").exists():
        assert process.poll() is None
    yield process
    process.stderr.close()
    process.wait()


def test_a_night_that_is_terminated_ends_its_case(
    place: Path, started: subprocess.Popen[str]
) -> None:
    """A scheduler's signal reaches the night alone, which passes it on."""
    os.kill(started.pid, signal.SIGTERM)
    assert started.wait() == 128 + signal.SIGTERM
    assert rows(place)["c1"]["outcome"] == "INTERRUPTED"
    assert sorted(p.name for p in (place / "out").iterdir()) == ["attention.csv", "summary.csv"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_night_that_was_ended_leaves_no_verdict(
    place: Path, started: subprocess.Popen[str], how: signal.Signals
) -> None:
    os.killpg(started.pid, how)
    started.wait()
    assert started.returncode == (-how if how == signal.SIGKILL else 130)
    assert rows(place)["c1"]["outcome"] == ("started" if how == signal.SIGKILL else "INTERRUPTED")
    assert not (place / "out" / "c1").exists()
    assert "c2" not in rows(place)
    if how == signal.SIGKILL:
        write_list(place, line("c1", "anna"))
        night(place)
        assert rows(place)["c1"]["outcome"] in ("PASS", "REVIEW")
        assert (place / "out" / "c1" / "verification.json").exists()
