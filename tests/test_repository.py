"""Files of the repository that must agree with the package."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from dosecalc import __version__

ROOT = Path(__file__).resolve().parents[1]


def test_citation_names_the_version() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", text, re.MULTILINE) == [__version__]


def test_changelog_has_a_section_of_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(__version__.removesuffix('.dev0'))} \(", text, re.MULTILINE)


def test_each_dependency_states_its_oldest_version() -> None:
    """CI tests the oldest versions: they must be stated, as `name>=version`."""
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "oldest_versions.py"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(done.stdout.split()) == len(project["dependencies"])
    assert all(re.fullmatch(r"[\w.-]+==[\d.]+", line) for line in done.stdout.split())
