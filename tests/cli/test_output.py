"""Output folders: complete or not there, and nobody's files lost."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dosecalc.errors import InputError
from dosecalc.workflow import output
from dosecalc.workflow.output import check_output, output_folder, refuse_over_inputs, swap


def write(out, *, force=False, text="new"):
    with output_folder(out, force=force) as place:
        (place / "run.json").write_text(text)


def test_a_folder_appears_when_it_is_complete(tmp_path):
    out = tmp_path / "deep" / "out"
    with output_folder(out, force=False) as place:
        (place / "run.json").write_text("{}")
        assert not out.exists()
    assert (out / "run.json").read_text() == "{}"
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), output_folder(tmp_path / "out", force=False) as place:
        (place / "run.json").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_what_was_there(tmp_path):
    out = tmp_path / "out"
    write(out, text="old")
    with pytest.raises(RuntimeError), output_folder(out, force=True) as place:
        (place / "run.json").write_text("half")
        raise RuntimeError
    assert (out / "run.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_output_is_replaced_only_when_asked(tmp_path):
    out = tmp_path / "out"
    write(out, text="old")
    with pytest.raises(InputError, match="--force"):
        write(out)
    assert (out / "run.json").read_text() == "old"
    write(out, force=True)
    assert (out / "run.json").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_files_of_others_are_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="thesis"):
        write(tmp_path, force=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_places_that_cannot_be_written_are_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="is a file"):
        check_output(file, force=True)
    with pytest.raises(InputError, match="cannot be written"):
        write(file / "below")
    empty = tmp_path / "empty"
    empty.mkdir()
    write(empty)
    assert (empty / "run.json").is_file()


def test_a_folder_that_holds_an_input_is_never_replaced(tmp_path):
    """`--out PARENT --force` must not replace the patient by his report."""
    patient, case = tmp_path / "case" / "patient", tmp_path / "case"
    patient.mkdir(parents=True)
    (patient / "ct.dcm").write_text("slice")
    with pytest.raises(InputError, match="would be replaced"):
        refuse_over_inputs(case, patient)
    with pytest.raises(InputError, match="lies in the patient folder"):
        refuse_over_inputs(patient / "out", patient)
    template = tmp_path / "old" / "template.toml"
    template.parent.mkdir()
    template.write_text("")
    with pytest.raises(InputError, match=r"template\.toml"):
        refuse_over_inputs(template.parent, patient, (None, "generic-6mv", template))
    refuse_over_inputs(tmp_path / "out", patient, (None, "generic-6mv", template))
    # Somebody's folder called "patient" is not the demonstration's.
    with pytest.raises(InputError, match="did not write"):
        write(case, force=True)
    assert (patient / "ct.dcm").read_text() == "slice"


WRITES_AND_IS_KILLED = """
import os, shutil, sys
from pathlib import Path
from dosecalc.workflow import output

place, moment = Path(sys.argv[1]), sys.argv[2]
renamed = []
rename = Path.rename

def killed(*_, **__):
    os.kill(os.getpid(), 9)

def kill_after_the_first(one, other):
    if renamed:
        killed()
    renamed.append(rename(one, other))

if moment == "between the renames":
    output.swap = lambda *_: False
    Path.rename = kill_after_the_first
if moment == "after the exchange":
    shutil.rmtree = lambda path, **_: killed() if Path(path).exists() else None
with output.output_folder(place, force=True) as folder:
    (folder / "run.json").write_text("new")
    if moment == "while it writes":
        killed()
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
@pytest.mark.parametrize(
    ("moment", "there", "later"),
    [
        ("while it writes", "old", "old"),
        ("between the renames", None, "old"),
        ("after the exchange", "new", "new"),
    ],
)
def test_a_run_that_is_killed_loses_nothing(tmp_path, moment, there, later):
    """Where two folders cannot be exchanged in one step, the next run puts the earlier one back."""
    out = tmp_path / "out"
    write(out, text="old")
    if moment == "after the exchange" and not swappable(tmp_path):
        pytest.skip("this file system exchanges no folders")
    done = subprocess.run([sys.executable, "-c", WRITES_AND_IS_KILLED, str(out), moment])
    assert done.returncode == -9
    assert ((out / "run.json").read_text() if out.exists() else None) == there
    # The next run is refused without --force, as ever, but tidies up.
    with pytest.raises(InputError, match="--force"):
        write(out)
    with pytest.raises(RuntimeError), output_folder(out, force=True):
        raise RuntimeError
    assert (out / "run.json").read_text() == later
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def swappable(place):
    one, other = place / "one", place / "other"
    one.mkdir()
    other.mkdir()
    done = swap(one, other)
    one.rmdir()
    other.rmdir()
    return done


def test_without_an_exchange_it_is_two_renames(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "swap", lambda *_: False)
    write(tmp_path / "out", text="old")
    write(tmp_path / "out", force=True)
    assert (tmp_path / "out" / "run.json").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_two_commands_do_not_write_one_folder(tmp_path):
    out = tmp_path / "out"
    with output_folder(out, force=False) as place:
        with pytest.raises(InputError, match="another command is writing"):
            write(out)
        (place / "run.json").write_text("first")
    assert (out / "run.json").read_text() == "first"
