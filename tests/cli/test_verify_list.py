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


def rows(place: Path) -> dict[str, dict[str, str]]:
    with (place / "out" / "summary.csv").open(encoding="utf-8", newline="") as stream:
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
    assert "4 cases were read: 3 would be refused" in told.out
    assert "c1: can be calculated" in told.err
    assert "c2 will be refused: " in told.err and "no RTPLAN" in told.err
    assert "no.toml" in told.err
    assert "linac7" in told.err
    assert not (place / "out").exists()
    write_list(place, line("c1", "anna"))
    assert main(["verify-list", str(place / "list.csv"), "--check"]) == PASSED


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
