"""One MU is what the machine's calibration says, in this engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dosecalc.data.machines import load_machine
from dosecalc.engines.calibration import calibration_beam, calibration_phantom, fluence_per_mu
from dosecalc.model import Machine
from tests.engines.cases import QUICK, beam, dose

# One setting for all, so that each machine is calibrated once.
SETTINGS = QUICK


def dose_at_calibration_point(machine: Machine) -> float:
    phantom = calibration_phantom()
    planned = calibration_beam(machine)
    gray = dose(phantom, replace(planned, mu=100.0), machine, SETTINGS)
    # 100 mm deep on the axis: on the face between two voxels, and between four columns.
    index = phantom.grid.index_of((0.0, machine.calibration.depth_mm, 0.0))
    k, j, i = np.floor(index).astype(int)
    return float(gray[k : k + 2, j : j + 2, i : i + 2].mean()) / 100


@pytest.mark.parametrize("name", ["generic-6mv", "generic-6mv-agility"])
def test_one_centigray_per_mu(name: str) -> None:
    """Also where leaves define the field because there are no X jaws."""
    machine = load_machine(name)
    planned = calibration_beam(machine)
    assert (planned.control_points[0].leaves is None) == (name == "generic-6mv")
    # The same calculation twice, but for 100 MU; float32.
    assert dose_at_calibration_point(machine) == pytest.approx(0.01, rel=1e-4)


def test_doubled_calibration_doubles_every_dose() -> None:
    machine = load_machine("generic-6mv")
    twice = replace(machine, calibration=replace(machine.calibration, gray_per_mu=0.02))
    ratio = fluence_per_mu(twice, SETTINGS) / fluence_per_mu(machine, SETTINGS)
    assert ratio == pytest.approx(2, rel=1e-12)
    phantom = calibration_phantom()
    planned = beam(machine, (-20, 20, -20, 20), isocentre=(0.0, 50.0, 0.0))
    single, double = (dose(phantom, planned, m, SETTINGS) for m in (machine, twice))
    np.testing.assert_allclose(double, 2 * single, rtol=1e-6)  # float32


def test_output_rises_with_field_size() -> None:
    """Head and phantom scatter: 5 x 5 cm2 gives less than 10 x 10 cm2 at 10 cm depth."""
    machine = load_machine("generic-6mv")
    phantom = calibration_phantom()
    at_depth = []
    for half in (25, 50):
        planned = beam(machine, (-half, half, -half, half), isocentre=(0.0, 100.0, 0.0))
        gray = dose(phantom, planned, machine, SETTINGS)
        at_depth.append(float(gray[59:61, 39:41, 59:61].mean()))
    assert at_depth[1] == pytest.approx(0.01, rel=1e-4)
    # Published output factors of 6 MV linacs (BJR Supplement 25): 0.92 to 0.95.
    assert 0.90 < at_depth[0] / at_depth[1] < 0.96
