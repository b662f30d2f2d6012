"""The demo's patient, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from dosecalc.cli._phantom_case import ThoraxPlan, write_thorax_patient


@pytest.fixture(scope="session")
def patient(tmp_path_factory) -> Path:
    """Folder of a thorax with one field."""
    folder = tmp_path_factory.mktemp("thorax") / "patient"
    write_thorax_patient(folder, wanted=ThoraxPlan(gantry_deg=(0.0,), mu=(100.0,), dose_gy=2.0))
    return folder
