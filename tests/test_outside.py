"""A fork without private data or system programs is green; the project's own CI is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.outside import REQUIRE, outside_folder, program


def test_what_is_absent_is_skipped_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Forges set CI on every run, those of forks as well: it must not matter.
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv(REQUIRE, raising=False)
    monkeypatch.setenv("SOME_DATA", str(tmp_path / "nothing"))
    with pytest.raises(pytest.skip.Exception, match="Debian package some-tools"):
        program("no-such-program-anywhere", "some-tools")
    with pytest.raises(pytest.skip.Exception, match="nothing; set SOME_DATA to the folder"):
        outside_folder("SOME_DATA", tmp_path, "private data")


def test_what_is_absent_fails_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match="Debian package some-tools"):
        program("no-such-program-anywhere", "some-tools")
    with pytest.raises(pytest.fail.Exception, match="private data not found"):
        outside_folder("SOME_DATA", tmp_path / "nothing", "private data")


def test_what_is_there_is_returned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(REQUIRE, "1")
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    assert outside_folder("SOME_DATA", tmp_path / "nothing", "private data") == tmp_path
    assert Path(program("sh", "dash")).name == "sh"
