"""Which error of which beam explains a difference: known answers, one error at a time.

An asymmetric field with edges of 6 mm (20 to 80 %), attenuated, four beams; errors are
planted in the reference. `size` is what the calculated beam would have to change to become it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.beam import beam_axes
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message
from dosecalc.model import Beam, Dose, Grid, PatientPosition
from dosecalc.verification.beam_fit.fit import BeamFit, BeamFits, Cause, fit_beams
from dosecalc.verification.checks.beam_fit import fit_findings
from dosecalc.verification.tolerances import load_tolerances
from tests.engines.cases import SIX_MV, beam

HFS = PatientPosition.HFS
BEAMS = {
    n: beam(SIX_MV, number=n, gantry_deg=gantry, collimator_deg=collimator)
    for n, (gantry, collimator) in enumerate(
        ((0.0, 10.0), (75.0, 30.0), (230.0, 350.0), (310.0, 20.0)), start=1
    )
}
EVERY = tuple(BEAMS)
COARSE_MM, MIDDLE_MM, FINE_MM = 4.0, 3.0, 2.5


def grid_of(spacing_mm: float, offset: float = 0.0) -> Grid:
    shape = (int(84 / spacing_mm), int(96 / spacing_mm), int(96 / spacing_mm))
    first = (-48.0 + offset * spacing_mm, -48.0 + offset * spacing_mm, -42.0)
    return Grid(shape, (spacing_mm,) * 3, first)


def field(
    grid: Grid,
    one: Beam,
    *,
    mu: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    turn: float = 0.0,
    edges: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
    isocentre: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> NDArray[np.float64]:
    """Dose of a field from -20 to 20 and -9 to 15 mm; `edges` X1, X2, Y1, Y2 lie further out."""
    point = one.control_points[0]
    axes = beam_axes(HFS, point.gantry_deg, point.collimator_deg, point.couch_deg)
    z, y, x = np.meshgrid(*(grid.centres(a) for a in "zyx"), indexing="ij")
    offset = (np.stack((x, y, z), axis=-1) - np.array(isocentre)) @ axes.T
    magnified = 1 + offset[..., 2] / one.sad_mm
    u, v = offset[..., 0] / magnified - shift[0], offset[..., 1] / magnified - shift[1]
    angle = np.radians(turn)
    u, v = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    inside = np.ones_like(u)
    distances = (u + 20 + edges[0], 20 + edges[1] - u, v + 9 + edges[2], 15 + edges[3] - v)
    for distance in distances:
        inside /= 1 + np.exp(-np.clip(distance / 2.1, -60, 60))
    depth = offset[..., 2] + np.array(isocentre) @ axes[2]
    return np.asarray(mu * inside * np.exp(-0.005 * depth) / magnified**2)


def fitted(
    errors: dict[int, dict[str, Any]],
    *,
    reference_mm: float = COARSE_MM,
    calculated_mm: float = COARSE_MM,
    offset: float = 0.0,
    noise: float = 0.0,
    beams: dict[int, Beam] = BEAMS,
) -> BeamFits:
    theirs, ours = grid_of(reference_mm, offset), grid_of(calculated_mm)
    true = np.sum([field(theirs, b, **errors.get(n, {})) for n, b in beams.items()], axis=0)
    counts = true > 0.1 * true.max()
    random = np.random.default_rng(5).standard_normal(true.shape)
    true = true + noise * np.sqrt(true * true.max()) * random
    calculated = {
        n: Dose(ours, field(ours, b).astype(np.float32), "water") for n, b in beams.items()
    }
    reference = Dose(theirs, true.astype(np.float32), "water")
    return fit_beams(reference, calculated, beams, HFS, 1, counts)


TURNS = {f"collimator {t:+d}": ("turn", 2, {2: {"turn": t}}, (t,)) for t in (1, -2, 3, -5, 30)}
MU = {f"MU {p:+d} %": ("mu", 3, {3: {"mu": 1 + p / 100}}, (p,)) for p in (3, -10, 24)}
BANKS = {
    f"bank X2 {mm:+d} mm": ("edge X2", 2, {2: {"edges": (0, mm, 0, 0)}}, (mm,)) for mm in (1, -2)
}
PLANTED = {
    **TURNS,
    **MU,
    **BANKS,
    "bank Y1 -1 mm": ("edge Y1", 3, {3: {"edges": (0, 0, -1, 0)}}, (-1.0,)),
    "X jaws 0.5 mm open": ("width u", 1, {1: {"edges": (0.5, 0.5, 0, 0)}}, (1.0,)),
    "shift of one beam": ("shift", 4, {4: {"shift": (0.8, -0.4)}}, (0.8, -0.4)),
    "MU of all +24 %": ("mu", None, {n: {"mu": 1.24} for n in EVERY}, (24.0,)),
    "MU of all -3.5 %": ("mu", None, {n: {"mu": 0.965} for n in EVERY}, (-3.5,)),
    "collimators of all": ("turn", None, {n: {"turn": 2.0} for n in EVERY}, (2.0,)),
    "bank of all": ("edge X1", None, {n: {"edges": (1, 0, 0, 0)} for n in EVERY}, (1.0,)),
    "isocentre": (
        *("isocentre", None),
        *({n: {"isocentre": (2.0, 1.0, -1.0)} for n in EVERY}, (2.0, 1.0, -1.0)),
    ),
}
# mm, %, degrees: a cubic through voxels of 4 mm knows an edge of 6 mm to some hundredths of a mm.
WITHIN = {"turn": 0.1, "mu": 0.05, "isocentre": 0.05}


def beam_of(found: Finding) -> int | None:
    """Number of the beam that a finding speaks of, None where it speaks of all."""
    cause = found.message.values.get("cause", found.message)
    assert isinstance(cause, Message)
    beam = cause.values.get("beam", cause.values.get("beams"))
    assert isinstance(beam, Message)
    number = beam.values.get("number")
    assert number is None or isinstance(number, int)
    return number


@pytest.mark.parametrize("name", PLANTED)
def test_the_most_likely_cause_is_what_was_planted(name: str) -> None:
    kind, number, errors, size = PLANTED[name]
    found = fitted(errors)
    cause = found.causes[0]
    assert (cause.kind, cause.beam) == (kind, number)
    assert cause.size == pytest.approx(size, abs=WITHIN.get(kind, 0.05))
    # An isocentre moves no depth; nothing else is left.
    assert cause.explained > 0.95
    first, *others = fit_findings(found, BEAMS, load_tolerances())
    assert first.outcome is not Outcome.PASS
    assert first.message.code == "beam_fit.likely_cause"
    assert first.details["cause"] == kind and first.details["beam"] == number
    # Nothing is asked of the other beams, and what all share is said once.
    for other in others:
        assert other.outcome is Outcome.PASS or beam_of(other) == number


@pytest.mark.parametrize(
    ("name", "grids"),
    [
        ("collimator +3", {"reference_mm": FINE_MM, "calculated_mm": MIDDLE_MM}),
        ("bank X2 +1 mm", {"reference_mm": FINE_MM, "calculated_mm": FINE_MM}),
        ("bank X2 +1 mm", {"offset": 1 / 3}),
        ("collimator +3", {"noise": 0.01}),
        ("MU of all +24 %", {"noise": 0.02}),
    ],
)
def test_grids_and_noise_do_not_hide_the_cause(name: str, grids: dict[str, float]) -> None:
    kind, number, errors, size = PLANTED[name]
    cause = fitted(errors, **grids).causes[0]  # type: ignore[arg-type]
    assert (cause.kind, cause.beam) == (kind, number)
    assert cause.size == pytest.approx(size, abs=2 * WITHIN.get(kind, 0.05))
    assert cause.explained > 0.5


@pytest.mark.parametrize(
    "numerics",
    [
        {"reference_mm": FINE_MM, "calculated_mm": MIDDLE_MM},
        {"reference_mm": MIDDLE_MM, "calculated_mm": FINE_MM, "offset": 1 / 3},
        {"offset": 1 / 3},
        {"noise": 0.01},
        {"noise": 0.02},
    ],
    ids=str,
)
def test_right_beams_stay_silent(numerics: dict[str, float]) -> None:
    found = fitted({}, **numerics)  # type: ignore[arg-type]
    findings = fit_findings(found, BEAMS, load_tolerances())
    assert {one.outcome for one in findings} == {Outcome.PASS}
    assert not any("cause" in one.message.values for one in findings)


def test_several_errors_are_said_one_after_the_other() -> None:
    found = fitted({1: {"mu": 1.05}, 2: {"shift": (0.9, -0.5)}, 3: {"turn": 3.0}})
    assert {(c.kind, c.beam) for c in found.causes} == {("mu", 1), ("shift", 2), ("turn", 3)}
    assert sum(c.explained for c in found.causes) == pytest.approx(1.0, abs=0.05)
    shares = [c.explained for c in found.causes]
    assert shares == sorted(shares, reverse=True)


def test_a_beam_beside_a_common_error_is_said_as_well() -> None:
    """All beams +10 % and one +18 %: calibration, and something of its own."""
    errors = {n: {"mu": 1.10} for n in EVERY} | {2: {"mu": 1.18}}
    findings = fit_findings(fitted(errors), BEAMS, load_tolerances())
    said = [one for one in findings if one.outcome is not Outcome.PASS]
    assert {beam_of(one) for one in said} == {None, 2}
    (of_all,) = (one for one in said if beam_of(one) is None)
    assert of_all.value == pytest.approx(10.0, abs=1.0)


def test_one_calibration_is_one_finding() -> None:
    findings = fit_findings(fitted({n: {"mu": 1.24} for n in EVERY}), BEAMS, load_tolerances())
    (found,) = (one for one in findings if one.outcome is not Outcome.PASS)
    assert found.outcome is Outcome.FAIL
    assert found.sentence == (
        "most likely cause: all beams alike, +24.0 % of the MU (calibration, output factor, dose "
        "per MU or number of fractions); explains 100 % of the difference"
    )
    assert (found.value, found.unit) == (pytest.approx(24.0, abs=0.05), "%")


def test_a_small_cause_that_explains_more_is_told_beside_the_named_one() -> None:
    """Or else "most likely cause" beside 5 % of the difference leaves the reader to guess."""
    fits = (BeamFit(1, 2.0), BeamFit(2, 6.0))
    causes = (Cause("mu", 1, (2.0,), 0.6), Cause("mu", 2, (6.0,), 0.05))
    said = fit_findings(BeamFits(fits, 0.3, causes), BEAMS, load_tolerances())
    told = [(one.message.code, one.outcome, one.message.values["percent"]) for one in said[:2]]
    assert told == [
        ("beam_fit.likely_cause", Outcome.REVIEW, pytest.approx(5.0)),
        ("beam_fit.within_limit", Outcome.PASS, pytest.approx(60.0)),
    ]
    little = (Cause("mu", 1, (2.0,), 0.4), Cause("mu", 2, (6.0,), 0.05))
    (found,) = fit_findings(BeamFits(fits, 0.9, little), BEAMS, load_tolerances())
    assert found.message.values["percent"] == pytest.approx(45.0)
    assert found.message.values["share"] == pytest.approx(5.0)
