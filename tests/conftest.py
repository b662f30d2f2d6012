"""Fixtures shared by all tests: where the files that are not part of the project lie."""

from __future__ import annotations

import os
from pathlib import Path

import numba
import pytest

from tests.outside import outside_folder

if "PYTEST_XDIST_WORKER" in os.environ:
    # One test process for each core: more threads than cores only wait for each other. Results
    # do not depend on the number of threads, which the tests of threads show.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    numba.set_num_threads(1)

_SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write golden doses and records that no longer agree anew (tests/golden)",
    )


@pytest.fixture(scope="session")
def samples() -> Path:
    """Folder of real DICOM files from other planning systems."""
    return outside_folder("DOSECALC_SAMPLES", _SHARED / "dicom-samples", "DICOM samples")


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of EGSnrc reference doses and kernels."""
    return outside_folder("DOSECALC_REFERENCE", _SHARED / "reference", "EGSnrc reference data")
