"""One MU is what the machine's calibration says, in this engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.data.machines import load_machine
from dosecalc.engines.calibration import calibration_beam, calibration_phantom, fluence_per_mu
from dosecalc.engines.collapsed_cone import CollapsedConeSettings, fluence_dose
from dosecalc.model import Machine
from tests.engines.cases import beam, cube, dose

# Calibration holds at every setting; this is the cheapest, and one for all tests, so that
# each machine is calibrated once.
SETTINGS = CollapsedConeSettings(directions=24, primary_voxel_mm=2.5, fluence_pixel_mm=2.5)


def at_ten_centimetres(gray: NDArray[np.float64]) -> float:
    """Dose on the axis of the calibration phantom, between two voxels and four columns."""
    k, j, i = np.floor(calibration_phantom().grid.index_of((0.0, 100.0, 0.0))).astype(int)
    return float(gray[k : k + 2, j : j + 2, i : i + 2].mean())


@pytest.mark.parametrize("name", ["generic-6mv", "generic-6mv-agility"])
def test_one_centigray_per_mu(name: str) -> None:
    """Also where leaves define the field because there are no X jaws."""
    machine = load_machine(name)
    planned = calibration_beam(machine)
    assert (planned.control_points[0].leaves is None) == (name == "generic-6mv")
    gray = dose(calibration_phantom(), replace(planned, mu=100.0), machine, SETTINGS)
    # The same calculation twice, but for 100 MU; float32.
    assert at_ten_centimetres(gray) == pytest.approx(1.0, rel=1e-4)


def with_calibration(machine: Machine, gray_per_mu: float) -> Machine:
    changed = replace(machine.calibration, gray_per_mu=gray_per_mu)
    return replace(machine, calibration=changed)


def test_doubled_calibration_doubles_every_dose() -> None:
    machine = load_machine("generic-6mv")
    twice = with_calibration(machine, 0.02)
    ratio = fluence_per_mu(twice, SETTINGS, fluence_dose) / fluence_per_mu(
        machine, SETTINGS, fluence_dose
    )
    assert ratio == pytest.approx(2, rel=1e-12)
    planned = beam(machine, (-20, 20, -20, 20))
    single, double = (dose(cube(20, 5.0), planned, m, SETTINGS) for m in (machine, twice))
    np.testing.assert_allclose(double, 2 * single, rtol=1e-6)  # float32


def test_output_factor() -> None:
    """5 x 5 against 10 x 10 cm2, which is 1 cGy/MU: less head and phantom scatter."""
    machine = load_machine("generic-6mv")
    planned = beam(machine, (-25, 25, -25, 25), isocentre=(0.0, 100.0, 0.0))
    factor = at_ten_centimetres(dose(calibration_phantom(), planned, machine, SETTINGS)) / 0.01
    # 6 MV linacs measure about 0.90 at 10 cm depth; the model is generic.
    assert 0.88 < factor < 0.92
