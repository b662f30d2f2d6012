"""Output folders: complete or not there, and nobody's files lost."""

from __future__ import annotations

import pytest

from dosecalc.cli._output import check_output, output_folder, refuse_over_inputs
from dosecalc.errors import InputError


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
