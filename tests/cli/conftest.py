"""The demo's patient, written once, without and with a dose."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dosecalc.cli.main import main
from dosecalc.planning.demo_patient import ThoraxPlan, write_thorax_patient

COARSE = (
    *("--machine", "generic-6mv", "--hu-curve", "generic-120kvp"),
    *("--grid", "10", "--directions", "24"),
)


@pytest.fixture(scope="session")
def patient(tmp_path_factory) -> Path:
    """Folder of a thorax with one field."""
    folder = tmp_path_factory.mktemp("thorax") / "patient"
    write_thorax_patient(folder, wanted=ThoraxPlan(gantry_deg=(0.0,), mu=(100.0,), dose_gy=2.0))
    return folder


@pytest.fixture(scope="session")
def dosed(tmp_path_factory) -> Path:
    """Folder of a thorax with one field and the dose that a coarse calculation gave it."""
    folder = tmp_path_factory.mktemp("dosed") / "patient"
    # 31 Gy is what the field gives at the isocentre, so that prescription and MU belong together.
    wanted = ThoraxPlan(gantry_deg=(0.0,), mu=(100.0,), dose_gy=31.0)
    write_thorax_patient(folder, wanted=wanted)
    out = folder.parent / "calculated"
    words = ["calc", str(folder), *COARSE, "--out", str(out), "--no-progress"]
    assert main(words) == 0
    shutil.copyfile(out / "RTDOSE.dcm", folder / "RTDOSE.dcm")
    return folder
