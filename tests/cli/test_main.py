"""Exit codes, lazy imports, and what each command refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dosecalc.cli import main as module
from dosecalc.cli.main import CRASHED, PASSED, REFUSED, main
from dosecalc.errors import UnsupportedError

HEAVY = ("numpy", "numba", "scipy", "pydicom", "matplotlib", "rich")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["calc", "--help"], ["info", "-h"]]
)
def test_help_and_version_pass(arguments, capsys):
    assert main(arguments) == PASSED
    assert "dosecalc" in capsys.readouterr().out


def test_help_loads_nothing_heavy():
    # What makes the answer quick: a clock would depend on the machine.
    code = (
        "import sys; from dosecalc.cli.main import main; main(['--help']);"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize("own", [False, True])
def test_compiled_code_is_kept_per_version_of_the_sources(own, tmp_path):
    """In the user's folder for caches, or in a folder of one's own beside what else is there."""
    words = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    words |= {"XDG_CACHE_HOME": str(tmp_path / "caches")}
    words |= {"NUMBA_CACHE_DIR": str(tmp_path / "own")} if own else {}
    command = [sys.executable, "-m", "dosecalc.cli.cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=words)
    folder = Path(done.stdout.strip())
    assert folder.is_dir()
    assert folder.parent == tmp_path / ("own" if own else "caches") / "dosecalc"


@pytest.mark.parametrize(
    "arguments",
    [["unknown"], ["calc"], ["calc", "x", "--dose-to", "steel"], ["demo", "--grid", "a"]],
)
def test_words_that_are_no_command_are_refused(arguments, capsys):
    assert main(arguments) == REFUSED
    assert capsys.readouterr().err


def test_a_refusal_is_one_message_and_code_3(capsys, tmp_path):
    assert main(["calc", str(tmp_path / "nothing"), "--no-progress"]) == REFUSED
    err = capsys.readouterr().err
    assert err.startswith("refused: ")
    assert "water-6mv-10x10" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("raised", "code"), [(UnsupportedError("no wedges"), REFUSED), (ZeroDivisionError(), CRASHED)]
)
def test_refusals_and_faults_are_told_apart(monkeypatch, capsys, raised, code):
    def fail(**_):
        raise raised

    monkeypatch.setattr(module.info, "callback", fail)
    assert main(["info"]) == code
    assert ("Traceback" in capsys.readouterr().err) == (code == CRASHED)


def test_info_lists_what_is_shipped(capsys):
    assert main(["info"]) == PASSED
    out = capsys.readouterr().out
    assert "generic-6mv" in out
    assert "generic-120kvp" in out


def test_info_reads_a_patient(capsys, patient):
    assert main(["info", str(patient)]) == PASSED
    out = capsys.readouterr().out
    assert "THORAX-PHANTOM" in out
    assert "100.00 MU x 30 fractions" in out


def test_validate_refuses_unknown_cases(capsys):
    assert main(["validate", "--case", "S9"]) == REFUSED
    assert "S1, S2, S3, S4, S5" in capsys.readouterr().err
