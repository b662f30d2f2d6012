"""``dosecalc sign``: decisions are bound to contents, and every later change shows."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dosecalc.cli.main import FAILED, PASSED, REFUSED, REVIEW, main
from dosecalc.errors import InputError
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import of_note
from dosecalc.records import decisions as module
from dosecalc.records.decisions import DECISIONS_FILE, DECISIONS_LOCK
from dosecalc.records.one_writer import one_writer
from dosecalc.records.record import file_sha256
from dosecalc.records.seal import sealed
from dosecalc.report.page.build import page_text
from dosecalc.workflow.output import check_output
from tests.report import verifications

WHO = ("--name", "A. Physicist", "--role", "medical physicist")


def verification(folder: Path, outcome: str = "REVIEW") -> Path:
    """Write what a verification leaves, as far as a decision is concerned."""
    folder.mkdir()
    (folder / "RTDOSE.dcm").write_bytes(b"dose")
    (folder / "report.html").write_text("<p>report</p>")
    values = {
        "schema": "dosecalc-verification/1",
        "case": "P1 LUNG",
        "outcome": outcome,
        "findings": [{"rule": "gamma", "outcome": outcome, "sentence": "91 % pass"}],
        "record": {"outputs_sha256": {"RTDOSE.dcm": file_sha256(folder / "RTDOSE.dcm")}},
    }
    (folder / "verification.json").write_text(json.dumps(sealed(values)))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return verification(tmp_path / "out")


def decide(folder: Path, word: str = "accepted", reason: str = "seen on the planes") -> int:
    return main(["sign", str(folder), *WHO, "--decision", word, "--reason", reason])


def check(folder: Path, *words: str) -> int:
    return main(["sign", str(folder), "--check", *words])


def entries(folder: Path) -> list[dict[str, Any]]:
    content = json.loads((folder / DECISIONS_FILE).read_text())
    assert content["schema"] == "dosecalc-decisions/1"
    return list(content["decisions"])


def change(folder: Path, number: int, **values: object) -> None:
    """Change an entry of the file by hand."""
    content = json.loads((folder / DECISIONS_FILE).read_text())
    content["decisions"][number].update(values)
    (folder / DECISIONS_FILE).write_text(json.dumps(content))


def test_a_decision_names_who_what_why_and_on_what(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decide(folder, "accepted-with-conditions", "  repeat gamma after new CT ") == PASSED
    told = capsys.readouterr().out
    assert "the program found REVIEW (gamma)" in told
    (made,) = entries(folder)
    assert (made["name"], made["role"]) == ("A. Physicist", "medical physicist")
    assert made["decision"] == "accepted-with-conditions"
    assert made["reason"] == "repeat gamma after new CT"
    assert made["outcome"] == "REVIEW"
    assert made["time_utc"].endswith("+00:00")
    assert made["program"].startswith("dosecalc ")
    assert made["previous"] is None
    names = ("verification.json", "RTDOSE.dcm", "report.html")
    assert made["files"] == {name: file_sha256(folder / name) for name in names}
    assert made["sha256"][:16] in told
    assert check(folder) == PASSED
    assert "unaltered" in capsys.readouterr().out
    assert sorted(p.name for p in folder.iterdir()) == sorted([*names, DECISIONS_FILE])


def test_decisions_are_added_and_chained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder) == REVIEW
    told = capsys.readouterr().out
    # Whoever seals an altered record anew shows against a seal that was noted only.
    assert "Nobody has decided" in told and "are unaltered" not in told
    assert "fits its seal" in told
    assert main(["sign", str(folder), "--check", "--json"]) == REVIEW
    assert json.loads(capsys.readouterr().out)["bound"] is False
    assert decide(folder, "rejected") == PASSED
    before = entries(folder)
    assert decide(folder / "verification.json", "accepted", "the couch was forgotten") == PASSED
    first, second = entries(folder)
    assert [first] == before
    assert (second["number"], second["previous"]) == (2, first["sha256"])
    capsys.readouterr()
    assert main(["sign", str(folder), "--check", "--json"]) == PASSED
    shown = json.loads(capsys.readouterr().out)
    assert [d["decision"] for d in shown["decisions"]] == ["rejected", "accepted"]
    assert shown["altered"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", " ", "--decision", "accepted", "--reason", "b"], "--name is empty"),
        (["--name", "a", "--decision", "accepted", "--reason", ""], "--reason is empty"),
        (["--name", "a\x1b[2J", "--decision", "accepted", "--reason", "b"], "cannot be printed"),
        (["--name", "a", "--decision", "conforming", "--reason", "b"], "accepted-with-conditions"),
        (["--name", "a", "--decision", "accepted"], "--reason: needed"),
        (["--check", "--name", "a"], "leave --name out"),
    ],
)
def test_words_without_sense_are_refused(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sign", str(folder), *words]) == REFUSED
    assert message in capsys.readouterr().err
    assert not (folder / DECISIONS_FILE).exists()


def test_what_was_refused_cannot_be_decided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = verification(tmp_path / "out", "REFUSED")
    assert decide(folder) == REFUSED
    assert "nothing was judged" in capsys.readouterr().err
    assert not (folder / DECISIONS_FILE).exists()


def test_accepting_a_failure_is_told_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = verification(tmp_path / "out", "FAIL")
    assert decide(folder, reason="reference calculated with the wrong couch") == PASSED
    told = capsys.readouterr().out
    assert "the program found FAIL (gamma)" in told
    assert "ACCEPTED on outcome FAIL" in told
    assert entries(folder)[0]["outcome"] == "FAIL"


@pytest.mark.parametrize("name", ["verification.json", "RTDOSE.dcm", "report.html"])
def test_changes_after_a_decision_show(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decide(folder) == PASSED
    before = (folder / DECISIONS_FILE).read_bytes()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content.replace(b"REVIEW", b"PASS") + b" ")
    capsys.readouterr()
    assert check(folder) == FAILED
    told = capsys.readouterr().out
    assert "ALTERED" in told and name in told
    assert decide(folder) == REFUSED
    assert name in capsys.readouterr().err
    assert (folder / DECISIONS_FILE).read_bytes() == before


def page(outcome: Outcome) -> str:
    """Return the head of a report as it is really written, in both languages."""
    made = verifications.verification()
    text = page_text(replace(made, findings=(Finding("gamma", outcome, of_note("91 % pass")),)))
    assert text.count(f'data-outcome="{outcome.name}"') == 2
    return text


def test_a_report_that_says_something_else_is_not_signed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "report.html").write_text(page(Outcome.FAIL), encoding="utf-8")
    assert decide(folder) == REFUSED
    said = "report.html says FAIL, verification.json says REVIEW"
    assert said in capsys.readouterr().err
    assert not (folder / DECISIONS_FILE).exists()
    assert check(folder) == FAILED
    assert said in capsys.readouterr().out
    (folder / "report.html").write_text(page(Outcome.REVIEW), encoding="utf-8")
    assert check(folder) == REVIEW
    assert decide(folder) == PASSED


def test_an_outcome_that_its_findings_do_not_bear_is_not_signed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(folder, outcome="PASS")
    assert decide(folder) == REFUSED
    assert "says PASS, the worst of its findings is REVIEW" in capsys.readouterr().err


def rewrite(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "verification.json").read_text())
    (folder / "verification.json").write_text(json.dumps(sealed(values | changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"findings": "x"}, "findings is 'x', not a list"),
        ({"findings": ["x"]}, "finding 1 is 'x', not rule, outcome and sentence"),
        ({"findings": [{"rule": "a", "outcome": "FINE", "sentence": "b"}]}, "finding 1 is"),
        ({"outcome": "FINE"}, "outcome is 'FINE', not one of PASS"),
        ({"outcome": ["PASS"]}, "outcome is"),
        ({"case": None}, "case is None, not a text"),
        ({"record": {"outputs_sha256": {"RTDOSE.dcm": 3}}}, "what is no hash"),
    ],
)
@pytest.mark.parametrize("command", ["sign", "reproduce"])
def test_records_altered_by_hand_are_refused(
    folder: Path,
    command: str,
    changes: dict[str, object],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rewrite(folder, **changes)
    words = ["--check"] if command == "sign" else []
    assert main([command, str(folder), *words]) == REFUSED
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("name", ["report.html", "RTDOSE.dcm", "nothing.json"])
@pytest.mark.parametrize("command", ["sign", "reproduce"])
def test_another_file_is_no_record(
    folder: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--check"] if command == "sign" else []
    assert main([command, str(folder / name), *words]) == REFUSED
    error = capsys.readouterr().err
    assert name in error and "name verification.json or run.json" in error
    assert ("is not a record" in error) == (name != "nothing.json")


def test_a_dose_that_is_not_the_records_is_not_signed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "RTDOSE.dcm").write_bytes(b"another dose")
    assert decide(folder) == REFUSED
    assert "RTDOSE.dcm was altered" in capsys.readouterr().err
    (folder / "RTDOSE.dcm").unlink()
    assert decide(folder) == REFUSED
    assert "RTDOSE.dcm is missing" in capsys.readouterr().err


def test_the_chain_shows_what_was_changed_or_dropped(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in ("rejected", "accepted", "accepted"):
        assert decide(folder, word) == PASSED
    whole = (folder / DECISIONS_FILE).read_text()
    change(folder, 0, decision="accepted")
    assert check(folder) == FAILED
    assert "decision 1 of 'A. Physicist' was altered" in capsys.readouterr().out
    assert decide(folder) == REFUSED
    for dropped in (0, 1):
        content = json.loads(whole)
        del content["decisions"][dropped]
        (folder / DECISIONS_FILE).write_text(json.dumps(content))
        assert check(folder) == FAILED
        assert "does not follow" in capsys.readouterr().out
    # Of the last one nothing but a seal noted elsewhere tells.
    content = json.loads(whole)
    seal = content["decisions"].pop()["sha256"]
    (folder / DECISIONS_FILE).write_text(json.dumps(content))
    assert check(folder) == PASSED
    assert check(folder, "--seal", seal[:16]) == FAILED
    (folder / DECISIONS_FILE).write_text(whole)
    assert check(folder, "--seal", seal[:16]) == PASSED
    assert check(folder, "--seal", "ab") == REFUSED


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": "other"}', '{"schema": "dosecalc-decisions/1"}']
)
def test_another_file_in_that_place_is_no_decision(folder: Path, text: str) -> None:
    (folder / DECISIONS_FILE).write_text(text)
    assert check(folder) == FAILED
    assert decide(folder) == REFUSED
    assert (folder / DECISIONS_FILE).read_text() == text


def test_a_calculation_can_be_decided_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dose.npz").write_bytes(b"dose")
    values = {
        "schema": "dosecalc-run/1",
        "case": "water",
        "outputs_sha256": {"dose.npz": file_sha256(tmp_path / "dose.npz")},
    }
    (tmp_path / "run.json").write_text(json.dumps(sealed(values)))
    assert decide(tmp_path) == PASSED
    assert "judged nothing" in capsys.readouterr().out
    assert entries(tmp_path)[0]["outcome"] is None


@pytest.mark.parametrize(
    "content", [None, "{", "[]", '{"schema": "x"}', '{"schema": "dosecalc-run/1"}']
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert decide(tmp_path) == REFUSED


def test_two_do_not_sign_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = folder / DECISIONS_LOCK
    with one_writer(lock, "held"):
        assert decide(folder) == REFUSED
    assert "somebody else is signing" in capsys.readouterr().err
    assert decide(folder) == PASSED
    assert not lock.exists()


SIGNED_AND_KILLED = """
import os, sys
from dosecalc.cli.main import main

os.fsync = lambda _: os.kill(os.getpid(), 9)
words = ["--name", "Dr Test", "--decision", "accepted", "--reason", "looks right"]
main(["sign", sys.argv[1], *words])
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_a_signature_that_was_killed_keeps_nobody_from_the_next(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SIGNED_AND_KILLED, str(folder)])
    assert done.returncode == -9
    assert (folder / DECISIONS_LOCK).exists()
    assert not (folder / DECISIONS_FILE).exists()
    # Neither does what it left keep anybody from replacing what was not signed.
    check_output(folder, force=True)
    assert decide(folder) == PASSED
    assert not [one for one in folder.iterdir() if one.name.startswith(".")]


def test_who_may_read_the_record_may_read_its_decisions(folder: Path) -> None:
    record = folder / "verification.json"
    for mode in (0o600, 0o640):
        record.chmod(mode)
        assert decide(folder) == PASSED
        assert stat.S_IMODE((folder / DECISIONS_FILE).stat().st_mode) == mode


def test_an_interrupted_signature_leaves_the_earlier_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decide(folder) == PASSED
    before = (folder / DECISIONS_FILE).read_bytes()

    def stop(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(module.os, "fsync", stop)
    assert decide(folder, "rejected") == REFUSED
    monkeypatch.undo()
    assert (folder / DECISIONS_FILE).read_bytes() == before
    assert decide(folder, "rejected") == PASSED


def test_signed_results_are_never_replaced(folder: Path) -> None:
    check_output(folder, force=True)
    assert decide(folder) == PASSED
    with pytest.raises(InputError, match="named persons"):
        check_output(folder, force=True)
    # Nor those of a demo, which lie one folder deeper.
    with pytest.raises(InputError, match="named persons"):
        check_output(folder.parent, force=True)
