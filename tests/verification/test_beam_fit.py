"""Displacements and errors of single beams that were put into doses on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.analysis.displacement import dose_displacement
from dosecalc.beam import beam_axes
from dosecalc.messages.findings import Outcome
from dosecalc.model import Beam, Dose, Grid, PatientPosition
from dosecalc.verification.beam_fit.fit import fit_beams
from dosecalc.verification.checks.beam_fit import fit_findings
from dosecalc.verification.parts import beam_part
from dosecalc.verification.tolerances import load_tolerances
from tests.engines.cases import SIX_MV, beam

GRID = Grid((41, 45, 49), (2.5, 2.5, 2.5), (-60.0, -55.0, -50.0))
HFS = PatientPosition.HFS


def places(grid: Grid = GRID) -> NDArray[np.float64]:
    x, y, z = (grid.centres(axis) for axis in "xyz")
    return np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1)


def field(
    one: Beam, *, u: float = 0.0, v: float = 0.0, turn: float = 0.0, mu: float = 1.0
) -> NDArray[np.float64]:
    """An attenuated field of 40 x 24 mm2 with soft edges, moved and turned at the isocentre."""
    point = one.control_points[0]
    axes = beam_axes(HFS, point.gantry_deg, point.collimator_deg, point.couch_deg)
    offset = places() @ axes.T
    scale = 1 + offset[..., 2] / one.sad_mm
    a, b = offset[..., 0] / scale - u, offset[..., 1] / scale - v
    angle = np.radians(turn)
    a, b = a * np.cos(angle) + b * np.sin(angle), b * np.cos(angle) - a * np.sin(angle)
    open_u = 1 / (1 + np.exp((np.abs(a) - 20) / 1.5))
    open_v = 1 / (1 + np.exp((np.abs(b - 3) - 12) / 1.5))
    return mu * open_u * open_v * np.exp(-0.005 * offset[..., 2])


def dose(values: NDArray[np.float64]) -> Dose:
    return Dose(GRID, values.astype(np.float32), "water")


BEAMS = {
    n: beam(SIX_MV, number=n, gantry_deg=gantry, collimator_deg=collimator)
    for n, (gantry, collimator) in enumerate(((0.0, 10.0), (75.0, 30.0), (230.0, 350.0)), start=1)
}
LIMITS = load_tolerances().limits
FITTED = ("beam_mu", "beam_shift", "beam_shift", "beam_turn")
EVERYWHERE = np.ones(GRID.shape, bool)


def test_each_error_is_found_in_its_own_beam() -> None:
    calculated = {n: dose(field(one)) for n, one in BEAMS.items()}
    true = field(BEAMS[1], mu=1.03) + field(BEAMS[2], u=0.8, v=-0.4) + field(BEAMS[3], turn=2.0)
    fitted = fit_beams(dose(10 * true), calculated, BEAMS, HFS, 10, EVERYWHERE)
    one, two, three = fitted.beams
    assert fitted.are_small
    assert fitted.unexplained < 0.2
    # First order in the error over the width of an edge: a tenth of it.
    assert one.mu_percent == pytest.approx(3.0, abs=0.2)
    assert (two.u_mm, two.v_mm) == pytest.approx((0.8, -0.4), abs=0.08)
    assert three.turn_deg == pytest.approx(2.0, abs=0.2)
    for fit, others in ((one, (1, 2, 3)), (two, (0, 3)), (three, (0, 1, 2))):
        # What is left of second order stays below half of what would want a review.
        limits = [LIMITS[name].review for name in FITTED]
        rest = np.array([fit.mu_percent, fit.u_mm, fit.v_mm, fit.turn_deg]) / limits
        assert np.abs(rest[list(others)]).max() < 0.5


def test_a_wider_field_is_found_in_its_own_beam() -> None:
    """Both banks 0.5 mm out: 1 mm wider across, nothing else."""

    # Of two copies beside each other the larger value: both edges lie further out.
    wide = np.maximum(field(BEAMS[2], u=-0.5), field(BEAMS[2], u=0.5))
    calculated = {n: dose(field(one)) for n, one in BEAMS.items()}
    true = field(BEAMS[1]) + wide + field(BEAMS[3])
    one, two, three = fit_beams(dose(true), calculated, BEAMS, HFS, 1, EVERYWHERE).beams
    assert two.wider_u_mm == pytest.approx(1.0, abs=0.1)
    for other in (one.wider_u_mm, three.wider_u_mm, two.wider_v_mm, two.u_mm):
        assert other == pytest.approx(0.0, abs=0.1)


def test_right_beams_have_no_errors() -> None:
    calculated = {n: dose(field(one)) for n, one in BEAMS.items()}
    true = sum(field(one) for one in BEAMS.values())
    for fit in fit_beams(dose(np.asarray(true)), calculated, BEAMS, HFS, 1, EVERYWHERE).beams:
        assert np.abs(np.array(fit[1:])).max() < 1e-3


def test_beams_that_turn_have_a_factor_only() -> None:
    turning = {1: replace(beam(SIX_MV, arc_to_deg=90.0), number=1)}
    calculated = {1: dose(field(BEAMS[1]))}
    fitted = fit_beams(dose(1.02 * field(BEAMS[1])), calculated, turning, HFS, 1, EVERYWHERE)
    (fit,) = fitted.beams
    assert fit.mu_percent == pytest.approx(2.0, abs=0.01)
    # A beam without a standing place is not said to be in the right one.
    assert set(fit[2:]) == {None}
    (found,) = fit_findings(fitted, turning, load_tolerances())
    assert found.message.code == "beam_fit.best_mu"


def test_an_arc_is_fitted_by_its_parts() -> None:
    """Three directions that move together: what is off is found in the beam they make up."""
    turning = replace(beam(SIX_MV, arc_to_deg=90.0), number=1)
    pieces = list(BEAMS.values())
    parts = {1: tuple((one, dose(field(one))) for one in pieces)}
    calculated = {1: dose(np.asarray(sum(field(one) for one in pieces)))}
    true = np.asarray(sum(field(one, u=0.6, turn=1.5) for one in pieces))
    fitted = fit_beams(dose(true), calculated, {1: turning}, HFS, 1, EVERYWHERE, parts)
    (fit,) = fitted.beams
    assert (fit.u_mm, fit.v_mm) == pytest.approx((0.6, 0.0), abs=0.08)
    assert fit.turn_deg == pytest.approx(1.5, abs=0.2)
    assert fit.wider_u_mm == pytest.approx(0.0, abs=0.15)


def test_too_few_voxels_give_no_fit() -> None:
    calculated = {1: dose(field(BEAMS[1]))}
    nowhere = np.zeros(GRID.shape, bool)
    assert fit_beams(calculated[1], calculated, {1: BEAMS[1]}, HFS, 1, nowhere).beams == ()


def test_a_beam_that_lies_elsewhere_is_not_blamed_on_others() -> None:
    """A gantry 40 degrees off is no small error: one finding, which fails and names the beam."""
    calculated = {n: dose(field(one)) for n, one in BEAMS.items()}
    elsewhere = beam(SIX_MV, number=2, gantry_deg=115.0, collimator_deg=30.0)
    true = field(BEAMS[1]) + field(elsewhere) + field(BEAMS[3])
    fitted = fit_beams(dose(true), calculated, BEAMS, HFS, 1, EVERYWHERE)
    (found,) = fit_findings(fitted, BEAMS, load_tolerances())
    assert found.outcome is not Outcome.PASS
    assert found.message.code == "beam_fit.little_explained"
    assert found.details["likely"]["beam"] == 2  # type: ignore[index]


def test_small_errors_are_said_beam_by_beam() -> None:
    calculated = {n: dose(field(one)) for n, one in BEAMS.items()}
    true = field(BEAMS[1]) + field(BEAMS[2], u=0.8) + field(BEAMS[3])
    fitted = fit_beams(dose(true), calculated, BEAMS, HFS, 1, EVERYWHERE)
    findings = fit_findings(fitted, BEAMS, load_tolerances())
    # The cause, and what each of three beams asks for.
    assert len(findings) == 1 + 12
    cause, found = (f for f in findings if f.outcome is not Outcome.PASS)
    assert found.message.code == "beam_fit.best_shift"
    assert found.message.values["beam"] == beam_part(2, BEAMS[2].name)
    assert found.message.values["u"] == pytest.approx(0.8, abs=0.06)
    assert cause.details["beam"] == 2 and cause.details["cause"] == "shift"


def blob(shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> NDArray[np.float64]:
    return np.exp(-(((places() - np.array(shift)) / np.array([25.0, 18.0, 22.0])) ** 2).sum(-1))


def test_displacement_is_found_with_its_direction() -> None:
    found = dose_displacement(GRID, blob(), 1.02 * blob((1.25, -0.5, 0.3)), EVERYWHERE)
    assert found == pytest.approx((1.25, -0.5, 0.3), abs=0.03)


def test_a_factor_is_no_displacement() -> None:
    found = dose_displacement(GRID, blob(), 1.05 * blob() + 0.01, EVERYWHERE)
    assert found == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)


def test_no_gradient_no_displacement() -> None:
    flat = np.ones(GRID.shape)
    assert dose_displacement(GRID, flat, flat, EVERYWHERE) is None
    unknown = np.full(GRID.shape, np.nan)
    assert dose_displacement(GRID, blob(), unknown, EVERYWHERE) is None
