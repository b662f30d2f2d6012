"""Hostile text in every attribute of a patient's files, through every command.

Nothing of it is obeyed by a terminal, a spreadsheet, a browser or a reader of PDF; none of it
ends in a crash, and JSON holds it as it was read.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pydicom
import pytest
from pypdf import PdfReader

from dosecalc.cli._show import show_verification
from dosecalc.cli.main import FAILED, PASSED, REFUSED, REVIEW, main
from dosecalc.workflow.verify import Verified
from tests.cli.conftest import COARSE
from tests.cli.hostile import HOSTILE, formulas, make_hostile, untamed
from tests.report.verifications import verification

FINISHED = (PASSED, FAILED, REVIEW)
SHOWN = "[/2][red]PASS[/red]"


def test_no_part_of_a_long_label_begins_a_line_of_a_verdict(capsys, tmp_path: Path) -> None:
    """Words of a label that a terminal would wrap could read as a verdict of their own."""
    found = replace(verification(), label="A " * 35 + "verdict: PASS " * 30)
    show_verification(Verified(found, {"seal": "0" * 64}, tmp_path), as_json=False)
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.strip().endswith(f": {found.outcome.name}")
    assert len(first.strip()) < 80 and not second.strip()


@pytest.fixture(scope="module")
def hostile(dosed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "patient"
    shutil.copytree(dosed, folder)
    make_hostile(folder)
    return folder


@pytest.fixture(scope="module")
def verified(hostile: Path) -> tuple[Path, str]:
    """Folder of a verification, and what the command printed: of a process of its own."""
    out = hostile.parent / "verified"
    command = [sys.executable, "-m", "dosecalc.cli.main", "verify", str(hostile), *COARSE]
    done = subprocess.run(
        [*command, "--out", str(out), "--progress"],
        capture_output=True, env=os.environ | {"PYTHONIOENCODING": "cp1252"},
    )  # fmt: skip
    printed = (done.stdout + done.stderr).decode("cp1252")
    assert done.returncode in FINISHED, printed[-2000:]
    return out, printed


def of_kind(folder: Path, kind: str) -> Path:
    return next(p for p in folder.rglob("*") if p.is_file() and pydicom.dcmread(
        p, stop_before_pixels=True).Modality == kind)  # fmt: skip


def test_info(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(hostile)]) == PASSED
    printed = capsys.readouterr()
    assert SHOWN in printed.out
    assert not untamed(printed.out + printed.err)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_dvh_in_any_encoding(encoding: str, hostile: Path, tmp_path: Path) -> None:
    dose, structures = of_kind(hostile, "RTDOSE"), of_kind(hostile, "RTSTRUCT")
    table, picture = tmp_path / "curves.csv", tmp_path / "curves.png"
    words = ["dvh", str(dose), str(structures), "--csv", str(table), "--picture", str(picture)]
    asked = [word for q in ("D95%", "D99%", "D5%", "D10%", "V5Gy", "V10Gy", "V20Gy")
             for word in ("--quantity", q)]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "dosecalc.cli.main", *words, *asked],
        capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "80"},
    )  # fmt: skip
    printed = (done.stdout + done.stderr).decode(encoding)
    assert done.returncode == PASSED, printed
    assert not untamed(printed)
    # Every structure keeps its name, whole, beside all its columns.
    rows = [line for line in printed.split("\n") if SHOWN in line and line.count(".") >= 14]
    assert len(rows) >= 5
    assert ("\u80ba" in printed) == (encoding == "utf-8")
    assert not formulas(table.read_text(encoding="utf-8"))
    assert picture.stat().st_size > 1000


def test_compare_and_gamma(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dose, structures = (str(of_kind(hostile, kind)) for kind in ("RTDOSE", "RTSTRUCT"))
    assert main(["compare", dose, dose, "--structures", structures]) == PASSED
    assert main(["gamma", dose, dose]) == PASSED
    printed = capsys.readouterr()
    assert SHOWN in printed.out
    assert not untamed(printed.out + printed.err)
    assert main(["compare", dose, dose, "--structures", structures, "--json"]) == PASSED
    text = capsys.readouterr().out
    assert text.isascii() and not untamed(text)
    names = [pair["a"]["name"] for pair in json.loads(text)["structures"]]
    # As it was read: JSON is data.
    assert any("\x1b[2J" in name and "\nverdict: PASS" in name for name in names)


def test_refusals_are_one_line(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calc", str(hostile), "--hu-curve", "generic-120kvp"]) == REFUSED
    assert main(["dvh", str(of_kind(hostile, "RTDOSE")), str(of_kind(hostile, "RTSTRUCT")),
                 "--structure", "no\nverdict: PASS\x1b[2J"]) == REFUSED  # fmt: skip
    printed = capsys.readouterr()
    assert not untamed(printed.out + printed.err)
    assert len(printed.err.strip().split("\n")) <= 3


def test_calc(hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["calc", str(hostile), *COARSE, "--out", str(out)]) == PASSED
    printed = capsys.readouterr()
    assert SHOWN in printed.out
    assert not untamed(printed.out + printed.err)
    assert {p.name for p in out.iterdir()} == {"RTDOSE.dcm", "picture.png", "run.json"}
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert any("\x1b[2J" in one["name"] for one in record["structures"])
    assert not untamed((out / "run.json").read_text(encoding="utf-8").replace("\\n", " "))


def test_verify_prints_nothing_that_is_obeyed(verified: tuple[Path, str]) -> None:
    out, printed = verified
    assert SHOWN in printed
    assert not untamed(printed.replace("\r\n", "\n"))
    assert {p.name for p in out.iterdir()} == {
        "report.html", "report.pdf", "verification.json", "RTDOSE.dcm",
    }  # fmt: skip


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.texts += [value for _, value in attrs if value]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_report_shows_it_and_does_nothing(verified: tuple[Path, str]) -> None:
    page = (verified[0] / "report.html").read_text(encoding="utf-8")
    parser = Elements()
    parser.feed(page)
    assert parser.names.count("script") == 2 and "b" not in parser.names
    assert SHOWN in page
    text = "".join(parser.texts)
    assert not [c for c in set(text) if not (c in "\n\u00a0" or c.isprintable())]
    # The script's own data, too: it writes names into the page.
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert all(one["name"].isprintable() for one in data["structures"])


def test_print_shows_it(verified: tuple[Path, str]) -> None:
    pages = PdfReader(verified[0] / "report.pdf").pages
    text = "".join(page.extract_text() for page in pages)
    assert "[red]PASS[/red]" in text.replace("\n", "")
    assert not [c for c in set(text) if not (c in "\n\u00a0" or c.isprintable())]
    assert "\\u80ba" in text.replace("\n", "")


def test_json_is_data_as_it_was_read(verified: tuple[Path, str]) -> None:
    text = (verified[0] / "verification.json").read_text(encoding="utf-8")
    values = json.loads(text)
    assert any("\x1b[2J" in one["name"] for one in values["structures"])
    assert not untamed(text.replace("\\n", " "))


def test_sign_and_reproduce(
    verified: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "verified"
    shutil.copytree(verified[0], folder)
    words = ["--name", HOSTILE[:60], "--decision", "rejected", "--reason", HOSTILE]
    main(["sign", str(folder), *words])
    assert main(["sign", str(folder), "--check"]) in (PASSED, FAILED, REVIEW)
    main(["reproduce", str(folder), "--case", str(verified[0].parent / "patient"),
          "--no-progress"])  # fmt: skip
    printed = capsys.readouterr()
    assert "dose " in printed.out, printed.err
    assert not untamed(printed.out + printed.err)


def test_verify_list(hostile: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its refusals, too: one case has no machine, so that its sentence quotes names."""
    cases = tmp_path / "list.csv"
    cases.write_text(
        f"folder,case,machine,hu_curve,grid,directions\n"
        f"{hostile},first,generic-6mv,generic-120kvp,10,24\n{hostile},second,,generic-120kvp,10,24\n"
    )
    main(["verify-list", str(cases), "--out", str(tmp_path / "out")])
    printed = capfd.readouterr()
    assert not untamed(printed.out + printed.err)
    for name in ("summary.csv", "attention.csv"):
        table = (tmp_path / "out" / name).read_text(encoding="utf-8-sig")
        assert "second" in table
        assert not formulas(table)
