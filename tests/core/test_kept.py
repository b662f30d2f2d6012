"""Compiled code is that of the sources as they are, whoever starts Python and however."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dosecalc
from dosecalc.core import kept

# A quantity of `sampling` whose callee `uniform` lies in another file, twice: here, and in a
# process that is started anew and gets the function by its name.
SCRIPT = """
import sys
from multiprocessing import get_context

{first}
import numpy as np
from dosecalc.core.transport.sampling import pair_cosine

def stream():
    return np.array([1, 2, 3, 4, 5, 6, 7, 8], np.uint64)

if __name__ == "__main__":
    found = [pair_cosine(stream(), 2.0)]
    if "spawn" in sys.argv:
        with get_context("spawn").Pool(1) as pool:
            found.append(pool.apply(pair_cosine, (stream(), 2.0)))
    print(*found)
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The compiled part of the package, elsewhere."""
    package = Path(dosecalc.__file__).parent
    place = tmp_path / "src" / "dosecalc"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package / "core", place / "core", ignore=ignored)
    for name in ("__init__.py", "errors.py"):
        shutil.copyfile(package / name, place / name)
    return place


def begin(place: Path, own: bool, *words: str) -> subprocess.Popen[str]:
    """Run the script, with numba imported before dosecalc and a cache of one's own, or neither."""
    script = place.parents[1] / "script.py"
    script.write_text(SCRIPT.format(first="import numba" if own else ""))
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment |= {"PYTHONPATH": str(place.parent), "XDG_CACHE_HOME": str(place.parents[1])}
    if own:
        environment["NUMBA_CACHE_DIR"] = str(place.parents[1] / "own")
    command = [sys.executable, str(script), *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def numbers(process: subprocess.Popen[str]) -> list[float]:
    said, _ = process.communicate()
    assert process.returncode == 0
    return [float(one) for one in said.split()]


@pytest.mark.parametrize("own", [False, True])
def test_a_script_runs_what_its_sources_say(copy: Path, own: bool) -> None:
    """The callee of a function that was kept is edited, and the function gives the new number."""
    # Two at once, that have to compile and to keep the same.
    both = [begin(copy, own) for _ in range(2)]
    before = {*numbers(both[0]), *numbers(both[1])}
    assert len(before) == 1
    callee = copy / "core" / "transport" / "random.py"
    text = callee.read_text()
    edited = text.replace("+ 0.5) * _UNIT", "+ 0.5) * 0.5 * _UNIT")
    assert edited != text
    callee.write_text(edited)
    here, spawned = numbers(begin(copy, own, "spawn"))
    assert here == spawned
    assert here not in before
    folder = copy.parents[1] / ("own" if own else "") / "dosecalc"
    assert len(list(folder.glob("numba-*/*/*.nbi"))) >= 2
    assert not list(copy.rglob("*.nbi"))
    callee.write_text(text)
    assert {*numbers(begin(copy, own))} == before


def test_folders_of_earlier_sources_are_removed(tmp_path: Path) -> None:
    """All but the three that were used last, and the present one."""
    folders = [tmp_path / f"numba-{n}" for n in range(8)]
    for n, folder in enumerate(folders):
        folder.mkdir()
        (folder / "code.nbc").write_bytes(b"code")
        os.utime(folder, (n, n))
    (tmp_path / "numba.lock").touch()
    kept.remove_stale(folders[2])
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["numba-2", "numba-5", "numba-6", "numba-7", "numba.lock"]


def test_code_that_cannot_be_kept_is_told_at_once(tmp_path: Path) -> None:
    """Each run would compile for minutes."""
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "dosecalc.cli.main", "calc", "water-6mv-10x10", "--no-progress"],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "file" / "below")},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("refused: compiled code cannot be kept, ")
    assert "Not a directory; set NUMBA_CACHE_DIR to a folder" in done.stderr
