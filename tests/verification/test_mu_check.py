"""The independent check of monitor units: its geometry, its arithmetic, and what it catches."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dosecalc.beam.frames import beam_axes
from dosecalc.data.machines import load_machine
from dosecalc.data.mu_tables import load_mu_tables
from dosecalc.engines.collapsed_cone import CollapsedConeSettings, compute
from dosecalc.errors import OutsideValidityError
from dosecalc.messages.findings import Outcome
from dosecalc.model import Beam, Grid, Machine, PatientPosition, Phantom
from dosecalc.verification.checks.plan import beam_findings
from dosecalc.verification.mu_check import check, fluence, geometry
from dosecalc.verification.mu_check.check import HandDose, hand_dose
from dosecalc.verification.mu_check.geometry import (
    device_axes,
    ray_to,
    seen_in_beam,
    stationary_pieces,
)
from dosecalc.verification.tolerances import load_tolerances
from dosecalc.verification.verification import BeamRow
from tests.engines.cases import beam, cylinder, places, plan, with_solid

SETTINGS = CollapsedConeSettings(directions=96, primary_voxel_mm=2.5, fluence_pixel_mm=2.0)
SIX, TEN, FIFTEEN = (load_machine(f"generic-{q}mv") for q in (6, 10, 15))
FFF, AGILITY = load_machine("generic-6fff"), load_machine("generic-6mv-agility")
ISOCENTRE = (0.0, 100.0, 0.0)


def water(
    lower: tuple[float, float, float] = (-150, 0, -150),
    upper: tuple[float, float, float] = (150, 250, 150),
) -> Phantom:
    """Water whose surface is y = 0; beams at gantry 0 run along +y."""
    grid = Grid.covering(lower, upper, (5.0,) * 3)
    ones = np.ones(grid.shape, np.float32)
    return Phantom(grid, ones, np.zeros(grid.shape, np.uint8), ("water",))


def field(x: float, y: float) -> tuple[float, float, float, float]:
    return (-x / 2, x / 2, -y / 2, y / 2)


def by_hand(
    planned: Beam, machine: Machine, phantom: Phantom, point: tuple[float, float, float]
) -> HandDose:
    (found,) = hand_dose(plan(planned), machine, phantom, {planned.number: point})
    return found


def gray(*args: Any) -> float:
    found = by_hand(*args)
    assert found.gray is not None, found.remark
    return found.gray


def leaves(machine: Machine, tips: Callable[[float], tuple[float, float]]) -> NDArray[np.float64]:
    """Tips (2, pairs) as a function of each pair's middle."""
    assert machine.mlc is not None
    edges = machine.mlc.boundaries_mm
    return np.array([tips(float(v)) for v in (edges[1:] + edges[:-1]) / 2]).T


# --- geometry -----------------------------------------------------------------------------

LEFT, POSTERIOR, SUPERIOR = np.eye(3)
HFS = PatientPosition.HFS


@pytest.mark.parametrize(
    ("position", "angles", "source", "x_axis"),
    [
        # Gantry 0: from the front of a supine patient; 90: from the left; x axis to the left.
        (HFS, (0, 0, 0), -POSTERIOR, LEFT),
        (HFS, (90, 0, 0), LEFT, POSTERIOR),
        (HFS, (180, 0, 0), POSTERIOR, -LEFT),
        # Collimator 90 turns x to where y was, towards the gantry.
        (HFS, (0, 90, 0), -POSTERIOR, SUPERIOR),
        # Couch 90: counter-clockwise from above, so the patient's head goes to the room's left,
        # and a beam from the room's right (gantry 90) comes from the feet.
        (HFS, (90, 0, 90), -SUPERIOR, POSTERIOR),
        (PatientPosition.HFP, (0, 0, 0), POSTERIOR, -LEFT),
        (PatientPosition.FFS, (90, 0, 0), -LEFT, POSTERIOR),
        (PatientPosition.FFP, (0, 0, 0), POSTERIOR, LEFT),
        # Right side down: a beam from above enters at the left.
        (PatientPosition.HFDR, (0, 0, 0), LEFT, POSTERIOR),
        (PatientPosition.HFDL, (0, 0, 0), -LEFT, -POSTERIOR),
        (PatientPosition.FFDR, (0, 0, 0), LEFT, -POSTERIOR),
        (PatientPosition.FFDL, (0, 0, 0), -LEFT, POSTERIOR),
    ],
)
def test_where_the_beam_comes_from(
    position: PatientPosition,
    angles: tuple[float, float, float],
    source: NDArray[np.float64],
    x_axis: NDArray[np.float64],
) -> None:
    axes = device_axes(position, *angles)
    np.testing.assert_allclose(axes[2], source, atol=1e-12)
    np.testing.assert_allclose(axes[0], x_axis, atol=1e-12)
    np.testing.assert_allclose(np.cross(axes[0], axes[1]), axes[2], atol=1e-12)


@given(
    st.sampled_from(list(PatientPosition)),
    *[st.floats(0, 360, allow_nan=False) for _ in range(3)],
)
@settings(max_examples=60, deadline=None)
def test_engines_see_the_same_directions(
    position: PatientPosition, gantry: float, collimator: float, couch: float
) -> None:
    mine = device_axes(position, gantry, collimator, couch)
    u, v, w = beam_axes(position, gantry, collimator, couch)
    np.testing.assert_allclose(mine, [u, v, -w], atol=1e-9)


def test_place_in_the_beam() -> None:
    axes = device_axes(HFS, 0, 0, 0)
    # 100 mm beyond the isocentre, 22 mm to the left, 11 mm to the head: projected by 1/1.1.
    found = seen_in_beam(axes, np.array([22.0, 100.0, 11.0]), np.zeros(3), 1000.0)
    assert found == pytest.approx((20.0, 10.0, 1100.0))
    with pytest.raises(OutsideValidityError, match="source"):
        seen_in_beam(axes, np.array([0.0, -800.0, 0.0]), np.zeros(3), 1000.0)


def test_radiological_depth() -> None:
    phantom = water()
    _, y, _ = places(phantom)
    slab = np.broadcast_to((y > 50) & (y < 100), phantom.grid.shape)
    phantom = with_solid(replace(phantom, materials=("water", "lung")), slab, 1, 0.25)
    source, point = np.array([0.0, -900.0, 0.0]), np.array([0.0, 150.0, 0.0])
    ray = ray_to(phantom, source, point)
    # 100 mm of water and 50 mm at a quarter of its density; lung has 0.993 of water's Z/A.
    assert ray.depth_mm == pytest.approx(150.0, abs=0.3)
    assert ray.effective_mm == pytest.approx(112.4, abs=0.5)
    assert ray.light_mm == pytest.approx(50.0, abs=0.5)
    assert ray.behind_mm == pytest.approx(100.0, abs=0.5)
    # Slantwise, 45 degrees: longer by the root of two.
    slant = ray_to(water(), np.array([-150.0, -50.0, 0.0]), np.array([0.0, 100.0, 0.0]))
    assert slant.effective_mm == pytest.approx(100 * np.sqrt(2), abs=0.5)


def test_pieces_of_arcs_and_moving_leaves() -> None:
    tables = load_mu_tables(SIX)
    arc = stationary_pieces(beam(SIX, gantry_deg=350.0, arc_to_deg=20.0, mu=30.0), tables)
    angles = np.array([piece.gantry_deg for piece in arc])
    assert len(arc) == 15
    np.testing.assert_allclose(angles, 351.0 + 2.0 * np.arange(15))
    turn = beam(SIX, gantry_deg=0.0, arc_to_deg=0.0, mu=30.0)
    full = stationary_pieces(turn, tables)
    assert len(full) == 180
    assert sum(piece.mu for piece in full) == pytest.approx(30.0)
    back = [replace(p, gantry_direction="CC") for p in turn.control_points]
    assert stationary_pieces(replace(turn, control_points=tuple(back)), tables)[0].gantry_deg == -1
    shut = leaves(SIX, lambda v: (-20.0, -20.0))
    start = beam(SIX, mu=10.0, leaves=shut)
    stop = replace(start.control_points[1], leaves=shut + np.array([[0.0], [40.0]]))
    swept = stationary_pieces(
        replace(start, control_points=(start.control_points[0], stop)), tables
    )
    assert len(swept) == 20
    assert swept[0].tips is not None
    # The tip is half a step on its way, and the stated offset further back.
    np.testing.assert_allclose(swept[0].tips[0], [-20.85, -20 + 1 + 0.85])


def test_no_code_is_shared_with_the_engines() -> None:
    for module in (check, fluence, geometry):
        assert module.__file__ is not None
        tree = ast.parse(Path(module.__file__).read_text())
        imported = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        imported |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        for layer in ("engines", "beam", "core", "planning", "io"):
            assert not any(name.startswith(f"dosecalc.{layer}") for name in imported)


# --- arithmetic ---------------------------------------------------------------------------


@pytest.mark.parametrize("machine", [SIX, TEN, FIFTEEN, FFF])
def test_reference_conditions_give_the_calibration(machine: Machine) -> None:
    planned = beam(machine, mu=100.0, isocentre=ISOCENTRE)
    # 1 Gy; the rest is what rings make of a square, 0.3 % at most.
    assert gray(planned, machine, water(), ISOCENTRE) == pytest.approx(1.0, rel=0.003)


def test_the_terms_multiply_to_the_dose() -> None:
    planned = beam(SIX, field(80, 120), mu=87.0, isocentre=(0.0, 60.0, 0.0))
    found = by_hand(planned, SIX, water(), (10.0, 120.0, -5.0))
    (t,) = found.terms
    tables = load_mu_tables(SIX)
    assert t.effective_depth_mm == pytest.approx(120 * np.hypot(1, 11.2 / 1060), abs=0.3)
    assert t.source_distance_mm == pytest.approx(1060.0)
    assert t.inverse_square == pytest.approx((1000 / 1060) ** 2)
    assert t.off_axis_mm == pytest.approx(np.hypot(10, 5) / 1.06)
    assert t.equivalent_square_mm is not None
    # 4 A / P of the field at the point's depth, for points on the axis; a little less off it.
    assert t.equivalent_square_mm == pytest.approx(2 * 80 * 120 / 200 * 1.06, rel=0.04)
    assert t.phantom_scatter == float(tables.phantom_scatter_of(t.equivalent_square_mm))
    # Between entries of the tables the product Sp TPR is interpolated, not each of them.
    at_depth = float(tables.tpr_of(t.effective_depth_mm, t.equivalent_square_mm))
    assert t.tpr == pytest.approx(at_depth, rel=1e-3)
    product = t.mu * t.gray_per_mu * t.head_scatter * t.phantom_scatter * t.tpr
    product *= t.off_axis * t.inverse_square * t.fluence
    assert found.gray == pytest.approx(product, rel=1e-9)
    assert t.fluence == pytest.approx(1.0)
    assert (t.mu, found.situation) == (87.0, "simple")


def test_segments_add_up() -> None:
    """A point open in one of two equal segments: half the primary fluence, less scatter."""
    phantom, wide = water(), leaves(SIX, lambda v: (-60.0, 60.0))
    part = leaves(SIX, lambda v: (-60.0, 60.0) if v < -20 else (-70.0, -70.0))
    first = beam(SIX, mu=100.0, isocentre=ISOCENTRE, leaves=wide).control_points[0]
    states = [(0.0, wide), (0.5, wide), (0.5, part), (1.0, part)]
    points = tuple(replace(first, meterset_fraction=f, leaves=tips) for f, tips in states)
    shot = replace(beam(SIX, mu=100.0, isocentre=ISOCENTRE, leaves=wide), control_points=points)
    alone = [beam(SIX, mu=50.0, isocentre=ISOCENTRE, leaves=tips) for tips in (wide, part)]
    together = by_hand(shot, SIX, phantom, ISOCENTRE)
    apart = sum(gray(b, SIX, phantom, ISOCENTRE) for b in alone)
    assert together.gray == pytest.approx(apart, rel=1e-9)
    assert together.situation == "modulated"
    assert together.terms[0].fluence == pytest.approx((1 + 0.015) / 2, rel=0.02)


def test_an_arc_about_a_cylinder_is_like_one_beam() -> None:
    phantom = cylinder(60, 5.0, 125.0)
    still = beam(SIX, mu=100.0)
    moving = beam(SIX, mu=100.0, gantry_deg=0.0, arc_to_deg=0.0)
    one = gray(still, SIX, phantom, (0.0, 0.0, 0.0))
    found = by_hand(moving, SIX, phantom, (0.0, 0.0, 0.0))
    assert len(found.terms) == 180
    # Steps of the voxels along the surface.
    assert found.gray == pytest.approx(one, rel=0.01)
    assert found.situation == "simple"


# --- against the engine -------------------------------------------------------------------


class Case(NamedTuple):
    """A beam in water and points to look at; relative tolerance."""

    machine: Machine
    planned: Beam
    points: tuple[tuple[float, float, float], ...]
    tolerance: float
    half_mm: float = 125.0


def l_shape(v: float) -> tuple[float, float]:
    return (-50.0, 50.0) if v < 0 else (-50.0, 0.0)


def square_of_leaves(v: float) -> tuple[float, float]:
    return (-30.0, 30.0) if abs(v) < 30 else (-60.0, -60.0)


AXIS = ((2.5, 62.5, 2.5), (2.5, 102.5, 2.5), (2.5, 202.5, 2.5))
DEEP = AXIS[1:]
AT_100 = {"isocentre": ISOCENTRE, "mu": 100.0}
# TG-114 asks 2 % of simple fields and 3 % off axis or of small ones. Of it the collapsed cone
# takes up to 0.7 % against EGSnrc, and these coarse settings as much.
CASES = {
    "10x10, SSD 80": Case(SIX, beam(SIX, isocentre=(0, 200, 0), mu=100), AXIS, 0.015),
    "10x10, SSD 90": Case(SIX, beam(SIX, **AT_100), AXIS, 0.015),
    "10x10, SSD 125": Case(SIX, beam(SIX, isocentre=(0, -250, 0), mu=100), AXIS, 0.015),
    "4x4": Case(SIX, beam(SIX, field(40, 40), **AT_100), AXIS, 0.025),
    "5x20": Case(SIX, beam(SIX, field(50, 200), **AT_100), DEEP, 0.02, 150),
    "20x5": Case(SIX, beam(SIX, field(200, 50), **AT_100), DEEP, 0.02, 150),
    "10 MV": Case(TEN, beam(TEN, **AT_100), AXIS, 0.015),
    "15 MV": Case(FIFTEEN, beam(FIFTEEN, **AT_100), AXIS, 0.015),
    "FFF": Case(FFF, beam(FFF, **AT_100), AXIS, 0.015),
    "off axis": Case(
        SIX, beam(SIX, field(200, 200), **AT_100), ((62.5, 102.5, 2.5), (72.5, 102.5, -72.5)), 0.02,
        180,
    ),
    "off axis, FFF": Case(
        FFF, beam(FFF, field(200, 200), **AT_100), ((62.5, 102.5, 2.5), (62.5, 202.5, 2.5)), 0.02,
        180,
    ),
    "asymmetric": Case(
        SIX, beam(SIX, (20, 120, -50, 50), **AT_100), ((72.5, 102.5, 2.5), (72.5, 202.5, 2.5)),
        0.02, 180,
    ),
    "leaves, square": Case(
        SIX, beam(SIX, leaves=leaves(SIX, square_of_leaves), **AT_100), DEEP, 0.02
    ),
    "leaves, L": Case(
        SIX, beam(SIX, leaves=leaves(SIX, l_shape), **AT_100),
        ((-22.5, 102.5, -22.5), (-22.5, 102.5, 22.5), (22.5, 102.5, -22.5)), 0.025,
    ),
    "no X jaws": Case(
        AGILITY, beam(AGILITY, leaves=leaves(AGILITY, lambda v: (-50.0, 50.0)), **AT_100), DEEP,
        0.015,
    ),
    "gantry 40": Case(SIX, beam(SIX, gantry_deg=40.0, **AT_100), AXIS[1:2], 0.02),
    "gantry 310, turned": Case(
        SIX, beam(SIX, field(40, 120), gantry_deg=310.0, collimator_deg=30.0, **AT_100), AXIS[1:2],
        0.02,
    ),
}  # fmt: skip


@cache
def engine_dose(name: str) -> Callable[[tuple[float, float, float]], float]:
    case = CASES[name]
    half = case.half_mm
    phantom = water((-half, 0, -half), (half, 250, half))
    return reader(phantom, case.planned, case.machine)


def reader(
    phantom: Phantom, planned: Beam, machine: Machine
) -> Callable[[tuple[float, float, float]], float]:
    dose = compute(phantom, plan(planned), machine, SETTINGS)

    def read(point: tuple[float, float, float]) -> float:
        """Dose at a voxel's middle."""
        z, y, x = np.rint(phantom.grid.index_of(point)).astype(int)
        return float(dose.gray[z, y, x])

    return read


def deviation(name: str, changed: Beam | None = None, machine: Machine | None = None) -> float:
    """Largest relative difference of the hand's dose from the engine's, over the points."""
    case = CASES[name]
    half = case.half_mm
    phantom = water((-half, 0, -half), (half, 250, half))
    worst = 0.0
    for point in case.points:
        found = by_hand(changed or case.planned, machine or case.machine, phantom, point)
        if found.gray is None:
            return float("nan")
        wanted = engine_dose(name)(point)
        worst = max(worst, abs(found.gray / wanted - 1))
    return worst


@pytest.mark.parametrize("name", CASES)
def test_engine_and_hand_agree_in_water(name: str) -> None:
    assert deviation(name) < CASES[name].tolerance


def test_beyond_and_in_lung_it_says_so() -> None:
    phantom = water()
    _, y, _ = places(phantom)
    slab = np.broadcast_to((y > 50) & (y < 130), phantom.grid.shape)
    phantom = with_solid(replace(phantom, materials=("water", "lung")), slab, 1, 0.26)
    planned = beam(SIX, **AT_100)
    read = reader(phantom, planned, SIX)
    for point in ((2.5, 92.5, 2.5), (2.5, 152.5, 2.5)):
        found = by_hand(planned, SIX, phantom, point)
        assert found.situation == "low density"
        assert any("low density" in text for text in found.caveats)
        assert found.gray is not None
        # Scatter that lung does not make is counted: up to 7 % too much in it (docs/mu-check.md).
        assert 0.01 < found.gray / read(point) - 1 < 0.09


def test_a_tumour_in_lung_is_low_density_too() -> None:
    """No lung lies on the ray, but it is all about the point: its scatter is missing."""
    phantom = water()
    x, y, z = places(phantom)
    lung = np.broadcast_to((y > 30) & (np.hypot(x, z) > 25), phantom.grid.shape)
    phantom = with_solid(replace(phantom, materials=("water", "lung")), lung, 1, 0.26)
    planned = beam(SIX, **AT_100)
    found = by_hand(planned, SIX, phantom, (2.5, 102.5, 2.5))
    assert found.situation == "low density"
    assert found.gray is not None
    assert found.gray / reader(phantom, planned, SIX)((2.5, 102.5, 2.5)) > 1.02


def tumour_in_lung() -> Phantom:
    """A cylinder of tissue, 5 cm wide, in lung from 3 cm below the surface."""
    phantom = water()
    x, y, z = places(phantom)
    lung = np.broadcast_to((y > 30) & (np.hypot(x, z) > 25), phantom.grid.shape)
    return with_solid(replace(phantom, materials=("water", "lung")), lung, 1, 0.26)


def modulated(gantry_deg: float = 0.0, turn_deg: float = 0.0, **wanted: Any) -> Beam:
    """Half of the MU with leaves open, half with the left bank over part of the field."""
    wide = leaves(SIX, lambda v: (-60.0, 60.0))
    part = leaves(SIX, lambda v: (-30.0, 60.0) if v < -20 else (-45.0, 60.0))
    still = beam(SIX, mu=100.0, leaves=wide, **wanted)
    points = [
        replace(
            still.control_points[0],
            meterset_fraction=share,
            leaves=tips,
            gantry_deg=(gantry_deg + turned * turn_deg) % 360.0,
            gantry_direction="CW" if turn_deg and turned < 1 else "NONE",
        )
        for share, tips, turned in ((0, wide, 0), (0.5, wide, 0.4), (0.5, part, 0.6), (1, part, 1))
    ]
    return replace(still, control_points=tuple(points))


@pytest.mark.parametrize("kind", ["plain", "modulated", "small", "blocked", "arc"])
def test_low_density_is_not_judged_however_the_field_is_shaped(kind: str) -> None:
    """TG-114's tables do not know lung; whatever else makes the field hard does not help."""
    point = (2.5, 102.5, 2.5)
    planned = beam(SIX, **AT_100)
    if kind == "modulated":
        planned = modulated(isocentre=ISOCENTRE)
    if kind == "small":
        planned = beam(SIX, field(36, 36), **AT_100)
    if kind == "blocked":
        planned = beam(SIX, **AT_100, leaves=leaves(SIX, lambda v: (-80.0, -70.0)))
    if kind == "arc":
        planned = modulated(330.0, 60.0, isocentre=ISOCENTRE)
    found = by_hand(planned, SIX, tumour_in_lung(), point)
    assert found.situation == "low density"
    row = BeamRow(1, "a", "m", "6 MV", "STATIC", 100.0, "0", "0", "0", point, None, None, 0.9, 1.0)
    (finding,) = beam_findings([row], {1: found.situation}, load_tolerances())
    assert (finding.outcome, finding.judged) == (Outcome.PASS, False)


def test_an_arc_over_lung_is_low_density_and_one_beside_it_is_not() -> None:
    """Lung on the rays that bring more than a tenth of the dose decides."""
    phantom = water((-150, 0, -100), (150, 300, 100))
    x, y, _ = places(phantom)
    lung = np.broadcast_to((x > 60) & (x < 130) & (y > 30) & (y < 270), phantom.grid.shape)
    phantom = with_solid(replace(phantom, materials=("water", "lung")), lung, 1, 0.26)
    isocentre = (0.0, 150.0, 0.0)
    over = modulated(0.0, 100.0, isocentre=isocentre)
    beside = modulated(200.0, 140.0, isocentre=isocentre)
    assert by_hand(over, SIX, phantom, isocentre).situation == "low density"
    assert by_hand(beside, SIX, phantom, isocentre).situation == "modulated"


def test_a_couch_and_the_gap_above_it_are_no_lung() -> None:
    """Two skins of 4 mm water, 50 mm of foam between them, and 15 mm of air."""
    phantom = water((-100, 0, -100), (100, 300, 100))
    _, y, _ = places(phantom)
    for low, high, density in ((0, 5, 0.8), (5, 55, 0.11), (55, 60, 0.8), (60, 75, 0.0012)):
        slab = np.broadcast_to((y > low) & (y < high), phantom.grid.shape)
        phantom = with_solid(phantom, slab, 0, density)
    found = by_hand(beam(SIX, **AT_100 | {"isocentre": (0, 180, 0)}), SIX, phantom, (0, 180, 0))
    assert found.situation == "simple"


# --- errors it must catch -----------------------------------------------------------------


def test_wrong_monitor_units() -> None:
    planned = CASES["10x10, SSD 90"].planned
    assert deviation("10x10, SSD 90", replace(planned, mu=105.0)) > 0.03


def test_jaws_swapped() -> None:
    # Well inside the long side, far off the axis: swapped, the point is in the shade.
    case = Case(SIX, beam(SIX, field(60, 200), **AT_100), ((2.5, 102.5, 62.5),), 0.02)
    phantom = water()
    right = gray(case.planned, SIX, phantom, case.points[0])
    wrong = gray(beam(SIX, field(200, 60), **AT_100), SIX, phantom, case.points[0])
    assert wrong < 0.2 * right
    # On the axis: head scatter alone tells them apart, 1 %: not this check's to find.
    assert deviation("5x20", CASES["20x5"].planned) < 0.03


def test_another_energy() -> None:
    # Equal per MU at the reference point, 8 % apart at 20 cm.
    ten = replace(CASES["10x10, SSD 90"].planned, energy_mv=10.0)
    assert deviation("10x10, SSD 90", ten, TEN) > 0.05
    # And tables of another energy are not used at all.
    found = by_hand(ten, SIX, water(), ISOCENTRE)
    assert found.gray is None
    assert "10 MV" in found.remark


def test_gantry_sign() -> None:
    # The patient's left side is nearer to the isocentre than the right.
    phantom = water((-200, -100, -100), (80, 100, 100))
    right = beam(SIX, gantry_deg=90.0, mu=100.0)
    point = (2.5, 2.5, 2.5)
    wanted = reader(phantom, right, SIX)(point)
    assert gray(right, SIX, phantom, point) == pytest.approx(wanted, rel=0.02)
    turned = gray(replace_gantry(right, 270.0), SIX, phantom, point)
    assert turned < 0.75 * wanted


def replace_gantry(planned: Beam, degrees: float) -> Beam:
    points = tuple(replace(point, gantry_deg=degrees) for point in planned.control_points)
    return replace(planned, control_points=points)


def test_stale_or_missing_tables_give_no_dose() -> None:
    planned = beam(SIX, **AT_100)
    stale = replace(SIX, provenance={**SIX.provenance, "machine_sha256": "0" * 64})
    found = by_hand(planned, stale, water(), ISOCENTRE)
    assert found.gray is None
    assert "as it is now" in found.remark
    ours = {SIX.name: load_mu_tables(SIX)}
    (found,) = hand_dose(plan(planned), stale, water(), None, ours)
    assert found.gray is None
    (found,) = hand_dose(plan(planned), {7: SIX}, water())
    assert "no machine" in found.remark


# --- what it cannot do --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "point", "reason"),
    [
        ({}, (0.0, -20.0, 0.0), "outside the phantom"),
        ({}, (0.0, 10.0, 0.0), "build-up"),
        ({}, (48.0, 100.0, 0.0), "penumbra"),
        ({"field": field(12, 100)}, ISOCENTRE, "penumbra"),
        ({"isocentre": (0.0, 100.0, 0.0), "couch_turns": True}, ISOCENTRE, "couch_deg changes"),
    ],
)
def test_refusals_say_why(
    changes: dict[str, Any], point: tuple[float, float, float], reason: str
) -> None:
    turns = changes.pop("couch_turns", False)
    planned = beam(SIX, **{**AT_100, **changes})
    if turns:
        first, last = planned.control_points
        planned = replace(planned, control_points=(first, replace(last, couch_deg=20.0)))
    found = by_hand(planned, SIX, water(), point)
    assert found.gray is None
    assert reason in found.remark


def test_deeper_than_the_tables() -> None:
    deep = water((-20, 0, -20), (20, 450, 20))
    found = by_hand(beam(SIX, **AT_100), SIX, deep, (0.0, 420.0, 0.0))
    assert found.gray is None
    assert "not extrapolated" in found.remark


def test_a_blocked_point_is_marked() -> None:
    planned = CASES["leaves, L"].planned
    found = by_hand(planned, SIX, water(), (27.5, 102.5, 27.5))
    assert found.situation == "blocked"
    assert found.terms[0].fluence == pytest.approx(0.015, rel=0.01)
    assert found.terms[0].tpr is None
    assert found.gray is not None
    assert 0.02 < found.gray < 0.12


def test_default_points() -> None:
    phantom, planned = water(), beam(SIX, **AT_100)
    (found,) = hand_dose(plan(planned), SIX, phantom)
    assert found.point == ISOCENTRE
    (found,) = hand_dose(plan(replace(planned, dose_point=(0.0, 50.0, 0.0))), SIX, phantom)
    assert found.point == (0.0, 50.0, 0.0)
    (found,) = hand_dose(plan(replace(planned, mu=0.0)), SIX, phantom)
    assert found.gray == 0.0
    assert "no monitor units" in found.remark
