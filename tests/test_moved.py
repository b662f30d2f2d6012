"""Scripts written for version 0.1 find what has moved since."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib import import_module

import pytest

from dosecalc.moved import MOVED

IMPORTS = """
from dosecalc.dicom import read_dataset, write_structures
from dosecalc.dicom.ct import read_ct
from dosecalc.cli._phantom_case import write_thorax_patient
from dosecalc.verify.gamma import gamma_index
from dosecalc.verify.dvh import structure_dvh
from dosecalc.report.record_file import open_record
import dosecalc.io.dicom, dosecalc.io.dicom.ct, dosecalc.analysis.gamma
assert dosecalc.io.dicom.read_dataset is read_dataset
assert dosecalc.io.dicom.ct.read_ct is read_ct
assert dosecalc.analysis.gamma.gamma_index is gamma_index
assert dosecalc.verify.__name__ == "verify"  # the function of the public API
assert dosecalc.io.dicom.ct.__spec__.name == dosecalc.io.dicom.ct.__name__ == "dosecalc.io.dicom.ct"
"""


def test_old_names_give_the_modules_themselves() -> None:
    """In a process of its own, where the old names come first."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("old", sorted(MOVED))
def test_every_old_name_is_told_with_the_new_one(old: str) -> None:
    sys.modules.pop(f"dosecalc.{old}", None)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = import_module(f"dosecalc.{old}")
    assert found.__name__ == f"dosecalc.{MOVED[old]}"
    assert any(f"is now {found.__name__}" in str(one.message) for one in said)


def test_what_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_module("dosecalc.dicom.nothing")
    with pytest.raises(ModuleNotFoundError):
        import_module("dosecalc.report.nothing")
