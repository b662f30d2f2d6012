"""`--update-golden`: golden files that no longer agree are written anew, and named at the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

_WRITTEN = "golden file written"


@pytest.fixture
def rewrite(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Callable[[Path, Callable[[], None]], bool]:
    """Write a golden file by a function if that was asked for, and say whether."""

    def rewriting(path: Path, write: Callable[[], None]) -> bool:
        if not request.config.getoption("--update-golden"):
            return False
        if os.environ.get("CI"):
            pytest.fail("--update-golden in CI: golden files are changed by a person")
        write()
        record_property(_WRITTEN, path.relative_to(request.config.rootpath).as_posix())
        return True

    return rewriting


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not terminalreporter.config.getoption("--update-golden"):
        return
    # From the reports of the tests, which also come from the processes of pytest-xdist.
    written = [
        str(value)
        for report in terminalreporter.stats.get("passed", [])
        for key, value in getattr(report, "user_properties", [])
        if key == _WRITTEN and report.when == "call"
    ]
    terminalreporter.section(f"{len(written)} golden files written anew")
    for line in sorted(written) or ["all agreed with what is calculated now"]:
        terminalreporter.line(line)
    if written:
        terminalreporter.line(
            "Read `git diff tests/golden`; say in CHANGELOG.md what changed, doses with the size."
        )
