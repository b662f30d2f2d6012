"""Rules on where doses differ, with pieces of known size in known doses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dosecalc.analysis.dvh import structure_dvh
from dosecalc.analysis.pieces import ball_mean, largest_piece
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message
from dosecalc.model import Contour, Dose, Grid, Phantom, Structure
from dosecalc.verification.checks.local_differences import (
    large_findings,
    local_dose_findings,
    local_findings,
    target_part_findings,
    uncovered_findings,
)
from dosecalc.verification.checks.structures import (
    coverage_findings,
    organ_findings,
    target_findings,
)
from dosecalc.verification.comparison import gamma_of
from dosecalc.verification.tolerances import load_tolerances
from dosecalc.verification.verification import StructureRow
from dosecalc.verification.where import patient_voxels

GRID = Grid.covering((-60.0, -60.0, -45.0), (60.0, 60.0, 45.0), (3.0, 3.0, 3.0))
LIMITS = load_tolerances()
PRESCRIBED = 60.0
Z, Y, X = np.meshgrid(*(GRID.centres(a) for a in "zyx"), indexing="ij")
EVERYWHERE = np.ones(GRID.shape, dtype=bool)


def cylinder(name: str, radius: float, half: float, kind: str, x: float = 0.0) -> Structure:
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    outline = np.stack([x + radius * np.cos(turn), radius * np.sin(turn)], axis=1)
    heights = np.arange(-half + 1.5, half, 3.0)
    return Structure(1, name, kind, tuple(Contour(float(z), outline) for z in heights))


TARGET = cylinder("PTV", 24.0, 24.0, "PTV")
INSIDE = (np.hypot(X, Y) < 24) & (np.abs(Z) < 24)


def falling() -> np.ndarray:
    """60 Gy in the target, falling to 6 Gy in 20 mm around it."""
    beyond = np.maximum(np.hypot(X, Y) - 26, np.abs(Z) - 26).clip(0)
    return 6 + 54 * np.exp(-((beyond / 12.0) ** 2))


def dose(gray: np.ndarray, grid: Grid = GRID) -> Dose:
    return Dose(grid, np.asarray(gray, np.float32), "medium")


def part_of(difference: np.ndarray) -> dict[str, Finding]:
    found = target_part_findings((TARGET,), dose(falling()), difference, EVERYWHERE, LIMITS)
    return {f"{one.message.values['beyond']:g}": one for one in found}


def row_of(structure: Structure, kind: str, reference: Dose, calculated: Dose) -> StructureRow:
    return StructureRow(
        structure, kind, structure_dvh(structure, reference), structure_dvh(structure, calculated)
    )


def test_an_organ_of_type_external_is_no_body() -> None:
    body = cylinder("BODY", 30.0, 30.0, "EXTERNAL")
    lens = replace(cylinder("LENS", 6.0, 6.0, "EXTERNAL"), number=2)
    reference, calculated = dose(np.zeros(GRID.shape)), dose(np.full(GRID.shape, 3.0))
    rows = [row_of(one, "external", reference, calculated) for one in (lens, body)]
    found = organ_findings(rows, PRESCRIBED, LIMITS)
    assert {f.message.values["structure"] for f in found} == {"LENS"}
    assert max(f.outcome for f in found) == Outcome.REVIEW
    assert organ_findings(rows[1:], PRESCRIBED, LIMITS) == []


def test_a_target_too_small_for_its_parts_is_named_beside_one_that_is_judged() -> None:
    small = replace(cylinder("MET", 3.0, 6.0, "PTV", x=30.0), number=2)
    arguments = (dose(falling()), np.zeros(GRID.shape), EVERYWHERE, LIMITS)
    found = target_part_findings((TARGET, small), *arguments)
    assert [f.judged for f in found] == [True, True, False]
    assert found[2].message.values["structure"] == "MET"


def test_the_largest_piece_is_connected() -> None:
    chosen = np.zeros(GRID.shape, dtype=bool)
    chosen[5:8, 5:8, 5:8] = True
    chosen[9, 9, 9] = True  # one voxel apart
    chosen[15:17, 15:17, 15:17] = True
    piece = largest_piece(chosen, GRID)
    assert piece.cm3 == pytest.approx(27 * 0.027)
    assert piece.middle == pytest.approx((GRID.centres("x")[6], GRID.centres("y")[6],
                                          GRID.centres("z")[6]))  # fmt: skip
    assert largest_piece(np.zeros(GRID.shape, dtype=bool), GRID).cm3 == 0


def test_means_over_balls_keep_an_offset_and_take_noise_away() -> None:
    noise = np.random.default_rng(3).standard_normal(GRID.shape)
    found = ball_mean(4.0 + 2.0 * noise, INSIDE, GRID)
    assert np.isnan(found[~INSIDE]).all()
    # 19 voxels of 3 mm lie within 5 mm of a voxel's centre; fewer at the rim.
    inner = (np.hypot(X, Y) < 18) & (np.abs(Z) < 18)
    assert found[inner].mean() == pytest.approx(4.0, abs=0.05)
    assert found[inner].std() == pytest.approx(2.0 / np.sqrt(19), rel=0.1)


def test_halves_of_a_target_that_cancel_are_found() -> None:
    """+6 and -6 % leave mean and median as they are."""
    found = part_of(np.where(INSIDE, 3.6 * np.sign(X), 0.0))
    assert found["3"].value == pytest.approx(44.0, abs=4.0)
    assert found["3"].outcome != Outcome.PASS
    assert found["5"].outcome == Outcome.FAIL


def test_noise_and_a_small_offset_are_no_parts() -> None:
    noise = 0.02 * falling() * np.random.default_rng(5).standard_normal(GRID.shape)
    for difference in (noise, noise + 0.6, np.full(GRID.shape, 1.5)):
        assert {one.value for one in part_of(difference).values()} == {0.0}


def test_a_piece_beyond_a_tenth_of_the_prescription_is_measured() -> None:
    difference = np.zeros(GRID.shape)
    difference[10:13, 10:13, 10] = -6.5
    (found,) = large_findings(dose(falling()), difference, PRESCRIBED, EVERYWHERE, LIMITS)
    assert found.value == pytest.approx(9 * 0.027) and found.outcome == Outcome.PASS
    difference[10:13, 10:13, 11:13] = -6.5
    (found,) = large_findings(dose(falling()), difference, PRESCRIBED, EVERYWHERE, LIMITS)
    assert found.value == pytest.approx(27 * 0.027) and found.outcome == Outcome.REVIEW
    # Too much beside too little is no one piece.
    difference[10:13, 10:13, 11:13] = 6.5
    (found,) = large_findings(dose(falling()), difference, PRESCRIBED, EVERYWHERE, LIMITS)
    assert found.value == pytest.approx(18 * 0.027)
    assert found.message.values["percent"] == pytest.approx(100 * 6.5 / PRESCRIBED)


def test_local_dose_is_judged_by_itself_where_it_matters() -> None:
    """A fifth of 18 Gy is 6 % of the prescription; of 6 Gy it is 2 %, which no rule wants."""
    flat = np.where(X > 0, 18.0, 6.0)
    (found,) = local_dose_findings(dose(flat), 0.2 * flat, PRESCRIBED, EVERYWHERE, LIMITS)
    right = np.count_nonzero(X > 0) * GRID.voxel_volume_cm3
    assert found.outcome == Outcome.FAIL and found.value == pytest.approx(right, rel=0.1)
    low = np.full(GRID.shape, 6.0)
    (found,) = local_dose_findings(dose(low), 0.2 * low, PRESCRIBED, EVERYWHERE, LIMITS)
    assert found.outcome == Outcome.PASS and found.value == 0


def test_a_millimetre_beside_is_no_local_dose() -> None:
    given = falling()
    moved = np.gradient(given, 3.0, axis=2)
    (found,) = local_dose_findings(dose(given), moved, PRESCRIBED, EVERYWHERE, LIMITS)
    assert found.outcome == Outcome.PASS


def test_rules_without_points_say_nothing() -> None:
    nowhere = np.zeros(GRID.shape, dtype=bool)
    given, unknown = dose(falling()), np.full(GRID.shape, np.nan)
    for counts, difference in ((nowhere, np.zeros(GRID.shape)), (EVERYWHERE, unknown)):
        arguments = (given, difference, PRESCRIBED, counts, LIMITS)
        assert large_findings(*arguments) == [] == local_dose_findings(*arguments)
        (part,) = target_part_findings((TARGET,), given, difference, counts, LIMITS)
        assert not part.judged and part.message.code == "target_part.too_small"
    gamma = _gamma(given, given)
    assert local_findings(gamma, nowhere, LIMITS) == []


def _gamma(reference: Dose, calculated: Dose, within: np.ndarray = EVERYWHERE):
    class OnlyThese:
        patient, hot = within, np.zeros(within.shape, dtype=bool)

    return gamma_of(reference, calculated, PRESCRIBED, LIMITS, OnlyThese)  # type: ignore[arg-type]


def water(grid: Grid, radius: float) -> Phantom:
    y, x = np.meshgrid(grid.centres("y"), grid.centres("x"), indexing="ij")
    density = np.broadcast_to(np.where(np.hypot(x, y) < radius, 1.0, 0.0012), grid.shape)
    return Phantom(grid, density.astype(np.float32), np.zeros(grid.shape, np.uint8), ("water",))


def test_air_beyond_the_calculated_grid_takes_nothing_from_a_perfect_gamma() -> None:
    """A reference on a wider grid, with dose in the air: the calculation is perfect."""
    wide = Grid.covering((-90.0, -90.0, -45.0), (90.0, 90.0, 45.0), (3.0, 3.0, 3.0))
    reference, calculated = dose(np.full(wide.shape, 30.0), wide), dose(np.full(GRID.shape, 30.0))
    patient = patient_voxels(water(GRID, 50.0), wide)
    found = _gamma(reference, calculated, patient)
    assert found.outside == 0 and found.pass_percent == 100.0
    # Where the calculated grid cuts the patient, what lies beyond fails.
    short = Grid.covering((-60.0, -60.0, -21.0), (60.0, 60.0, 45.0), (3.0, 3.0, 3.0))
    patient = patient_voxels(water(short, 50.0), wide)
    found = _gamma(reference, dose(np.full(short.shape, 30.0), short), patient)
    assert found.outside == np.count_nonzero(patient[wide.centres("z") < -21])
    assert found.pass_percent < 80


def test_dose_outside_of_the_reference_grid_is_found_in_the_patient_only() -> None:
    phantom, calculated = water(GRID, 50.0), dose(falling())
    (found,) = uncovered_findings(calculated, calculated, phantom, 6.5, LIMITS)
    assert found.outcome == Outcome.PASS and found.value == 0
    short = Grid.covering((-60.0, -60.0, -21.0), (60.0, 60.0, 45.0), (3.0, 3.0, 3.0))
    reference = dose(np.full(short.shape, 30.0), short)
    (found,) = uncovered_findings(calculated, reference, phantom, 6.5, LIMITS)
    beyond = (Z < -22.5) & (falling() >= 6.5) & (np.hypot(X, Y) < 50)
    assert found.outcome == Outcome.REVIEW
    assert found.value == pytest.approx(np.count_nonzero(beyond) * 0.027)
    # Half a voxel less is rounding of grids.
    nearly = replace(
        reference, grid=replace(short, origin=(short.origin[0] + 1.4, *short.origin[1:]))
    )
    (found,) = uncovered_findings(dose(np.where(Z < -22, 0.0, 30.0)), nearly, phantom, 6.5, LIMITS)
    assert found.value == 0


@pytest.mark.parametrize("kind", ["", "ORGAN", "CONTROL", "CAVITY"])
def test_drawn_structures_outside_of_a_grid_are_found_whatever_their_type(kind: str) -> None:
    row = StructureRow(
        cylinder("DRAWN", 5.0, 9.0, kind), "other", None, structure_dvh(TARGET, dose(falling()))
    )
    rules = [f for f in coverage_findings((row,), compared=True) if f.rule == "dose grid"]
    assert [f.outcome for f in rules] == [Outcome.REVIEW]
    assert rules[0].message == Message.of("dose_grid.outside_reference", name="DRAWN")
    assert not [f for f in coverage_findings((row,), compared=True, beside=("DRAWN",))
                if f.rule == "dose grid"]  # fmt: skip


@pytest.mark.parametrize("kind", ["SUPPORT", "BOLUS", "FIXATION"])
def test_what_is_no_tissue_may_lie_outside(kind: str) -> None:
    row = StructureRow(cylinder("COUCH", 5.0, 9.0, kind), "other", None, None)
    assert {f.rule for f in coverage_findings((row,), compared=True)} == {"targets"}


def test_hot_and_cold_ends_of_a_target_are_judged() -> None:
    given = falling()
    edge = np.percentile(given[INSIDE], 10)
    rank = np.where(INSIDE, X, 0.0)
    hot = given * np.where(rank > 16, 1.06, 1.0)
    found = {f.rule: f for f in target_findings(
        [row_of(TARGET, "target", dose(given), dose(hot))], LIMITS)}  # fmt: skip
    assert found["target D2"].outcome == Outcome.REVIEW
    assert found["target mean"].outcome == found["target D98"].outcome == Outcome.PASS
    cold = given * np.where(rank > 16, 0.96, 1.0)
    found = {f.rule: f for f in target_findings(
        [row_of(TARGET, "target", dose(given), dose(cold))], LIMITS)}  # fmt: skip
    assert found["target D98"].outcome == Outcome.REVIEW and edge > 0
    found = {f.rule: f for f in target_findings(
        [row_of(TARGET, "target", dose(given), dose(1.035 * given))], LIMITS)}  # fmt: skip
    assert {f.outcome for f in found.values()} == {Outcome.REVIEW}
    assert set(found) == {"target mean", "target D98", "target D50", "target D2"}


@pytest.mark.parametrize(
    ("reference", "calculated", "prescribed", "outcome"),
    [
        (0.0, 3.0, PRESCRIBED, Outcome.REVIEW),  # a cord at 0 Gy
        (0.0, 0.2, PRESCRIBED, Outcome.PASS),  # less than a lens minds, and 0.3 % of 60 Gy
        (0.0, 0.4, PRESCRIBED, Outcome.REVIEW),  # 0.7 % of 60 Gy
        (20.0, 21.2, PRESCRIBED, Outcome.REVIEW),  # 6 %
        (20.0, 20.8, PRESCRIBED, Outcome.PASS),  # 4 %
        (4.0, 4.4, PRESCRIBED, Outcome.REVIEW),  # 10 %, 0.7 % of 60 Gy
        (2.0, 2.2, PRESCRIBED, Outcome.PASS),  # 10 %, 0.3 % of 60 Gy
        (2.0, 4.0, PRESCRIBED, Outcome.FAIL),  # twice
        # One fraction of 8 Gy: 0.3 Gy are 4 % of it.
        (0.0, 0.3, 8.0, Outcome.REVIEW),
        (1.0, 1.2, 8.0, Outcome.REVIEW),
        (0.1, 0.13, 8.0, Outcome.PASS),  # 30 %, 0.4 % of 8 Gy
        # Two courses in one: 0.5 Gy are the smaller.
        (4.0, 4.55, 120.0, Outcome.REVIEW),
    ],
)
def test_organs_are_judged_by_their_own_dose(
    reference: float, calculated: float, prescribed: float, outcome: Outcome
) -> None:
    organ = cylinder("CORD", 6.0, 20.0, "ORGAN", x=30.0)
    doses = (dose(np.full(GRID.shape, one)) for one in (reference, calculated))
    found = organ_findings([row_of(organ, "organ", *doses)], prescribed, LIMITS)
    own = [f for f in found if f.rule == "organ own dose"]
    assert max(f.outcome for f in own) == outcome
    if (reference, calculated) == (2.0, 2.2):
        # Ten per cent that pass a limit of five: the message says why.
        assert own[0].message.values["percent"] == pytest.approx(10.0)
        assert own[0].message.values["remark"] == Message("part.few_gray")
