"""Fixtures shared by all tests: where the files that are not part of the project lie."""

from __future__ import annotations

import os
from pathlib import Path

import numba
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # One test process for each core: more threads than cores only wait for each other. Results
    # do not depend on the number of threads, which the tests of threads show.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    numba.set_num_threads(1)

_SHARED = Path(__file__).resolve().parents[2] / "shared"


def _outside_data(variable: str, default: Path, what: str) -> Path:
    folder = Path(os.environ.get(variable, default))
    if folder.is_dir():
        return folder
    if os.environ.get("CI"):
        pytest.fail(f"{what} not found at {folder}: CI must have it")
    pytest.skip(f"{what} not found at {folder}; set {variable} to the folder that holds them")


@pytest.fixture(scope="session")
def samples() -> Path:
    """Folder of real DICOM files from other planning systems."""
    return _outside_data("DOSECALC_SAMPLES", _SHARED / "dicom-samples", "DICOM samples")


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of EGSnrc reference doses and kernels."""
    return _outside_data("DOSECALC_REFERENCE", _SHARED / "reference", "EGSnrc reference data")
