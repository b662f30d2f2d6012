"""What beams meet, in a water box of 200 mm about the origin, with a slab of couch below it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dosecalc.data.machines import load_machine
from dosecalc.messages.findings import Outcome
from dosecalc.messages.message import Message
from dosecalc.model import (
    Beam,
    Contour,
    ControlPoint,
    Dose,
    Grid,
    PatientPosition,
    Phantom,
    Plan,
    Structure,
)
from dosecalc.verification.checks.beam_geometry import (
    beam_hits,
    hit_findings,
    low_dose,
    patient_mask,
)
from dosecalc.verification.parts import beam_part

GRID = Grid((40, 60, 40), (5.0, 5.0, 5.0), (-97.5, -147.5, -97.5))
SQUARE = np.array([[-100.0, -100.0], [100.0, -100.0], [100.0, 100.0], [-100.0, 100.0]])
BODY = Structure(
    1, "BODY", "EXTERNAL", tuple(Contour(float(z), SQUARE) for z in np.arange(-97.5, 100.0, 5.0))
)
# The couch lies 110 to 130 mm behind the middle.
COUCH = Structure(
    2,
    "COUCH",
    "SUPPORT",
    tuple(
        Contour(
            float(z), np.array([[-100.0, 110.0], [100.0, 110.0], [100.0, 130.0], [-100.0, 130.0]])
        )
        for z in np.arange(-97.5, 100.0, 5.0)
    ),
)


def phantom() -> Phantom:
    density = np.zeros(GRID.shape, np.float32)
    y = GRID.centres("y")
    density[:, np.abs(y) < 100, :] = 1.0
    density[:, (y > 110) & (y < 130), :] = 0.5
    return Phantom(GRID, density, np.zeros(GRID.shape, np.uint8), ("water",))


def target(x: float) -> Structure:
    corners = 10.0 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) + (x, 0.0)
    return Structure(3, "PTV", "PTV", tuple(Contour(z, corners) for z in (-2.5, 2.5)))


def beam(
    isocentre: tuple[float, float, float] = (0.0, 0.0, 0.0),
    gantry: tuple[float, float] = (0.0, 0.0),
    half: float = 50.0,
) -> Beam:
    senses = ("NONE", "NONE") if gantry[0] == gantry[1] else ("CW", "NONE")
    first, last = (
        ControlPoint(
            at, angle, 0.0, 0.0, isocentre, (-half, half), (-half, half), gantry_direction=sense
        )
        for at, angle, sense in zip((0.0, 1.0), gantry, senses, strict=True)
    )
    return Beam(1, "one", 6.0, "STANDARD", "linac", 1000.0, 200.0, (first, last))


def hit(one: Beam, **words: object):
    plan = Plan((one,), PatientPosition.HFS, 30)
    body = words.pop("body", BODY)
    mask = patient_mask(phantom(), body, [COUCH])  # type: ignore[arg-type]
    machine = load_machine("generic-6mv")
    (found,) = beam_hits(plan, {1: machine}, phantom(), mask, **words)  # type: ignore[arg-type]
    return found


def test_a_field_on_the_patient_meets_it() -> None:
    found = hit(beam(), targets=[target(0.0)])
    assert found.share == pytest.approx(1.0)
    assert found.on_target is True and found.outside_mm == 0.0
    # 200 MU of the open field at 0.01 Gy/MU; the profile rises by some per cent off the axis.
    assert found.expected_gy == pytest.approx(2.0, rel=0.07)
    assert hit_findings([found], {}) == ()


@pytest.mark.parametrize("body", [BODY, None])
@pytest.mark.parametrize(
    ("isocentre", "gantry"),
    [
        ((900.0, 0.0, 0.0), 0.0),
        ((0.0, 0.0, 900.0), 0.0),
        ((0.0, 900.0, 0.0), 90.0),
        # From the side through the couch, 20 mm high, and nothing else.
        ((0.0, 120.0, 0.0), 270.0),
    ],
)
def test_what_passes_beside_or_through_the_couch_only_misses(
    body: Structure | None, isocentre: tuple[float, float, float], gantry: float
) -> None:
    found = hit(beam(isocentre, (gantry, gantry), half=9.0), body=body)
    assert found.share == 0.0 and found.misses
    (first, *_) = hit_findings([found], {})
    assert first.outcome is Outcome.FAIL
    assert first.message == Message.of("beam_geometry.misses", beam=beam_part(1, "one"))


def test_a_field_across_the_edge_meets_it_with_half() -> None:
    """The box ends at x 100 mm; rays of the half inside start beyond it for none of them."""
    found = hit(beam((100.0, -100.0, 0.0)))
    assert found.share == pytest.approx(0.5, abs=0.06)
    assert hit_findings([found], {}) == ()
    little = hit(beam((147.0, -100.0, 0.0)))
    assert 0.01 < little.share < 0.1
    assert hit_findings([little], {})[0].outcome is Outcome.REVIEW


def test_a_field_beside_its_target_is_found() -> None:
    found = hit(beam(half=20.0), targets=[target(60.0)])
    assert found.on_target is False
    (one,) = hit_findings([found], {})
    assert one.outcome is Outcome.REVIEW and one.message.code == "beam_geometry.beside_targets"
    # Its edge, at 50 mm, lies within 5 mm of a field of +-47 mm.
    assert hit(beam(half=47.0), targets=[target(60.0)]).on_target is True


def test_an_isocentre_outside_of_the_image_is_told() -> None:
    """The grid ends at x 100, y 150, z 100 mm: 30 and 40 mm beyond are 50 mm."""
    found = hit(beam((130.0, 0.0, 140.0), half=80.0))
    assert found.outside_mm == pytest.approx(50.0)
    said = {one.message.code: one for one in hit_findings([found], {})}
    one = said["beam_geometry.isocentre_outside"]
    assert one.message.values["mm"] == pytest.approx(50.0)


def test_an_arc_is_expected_to_give_what_all_of_its_mu_give_on_the_axis() -> None:
    found = hit(beam(gantry=(181.0, 179.0)))
    assert found.share == pytest.approx(1.0, abs=0.01)
    assert found.expected_gy == pytest.approx(2.0, rel=0.07)


def test_next_to_no_dose_is_found() -> None:
    found = hit(beam())
    gray = np.zeros(GRID.shape, np.float32)
    for highest, findings in ((0.19, 1), (0.25, 0)):
        gray[3, 4, 5] = highest
        dose = Dose(GRID, gray.copy(), "medium", summation="BEAM")
        assert len(hit_findings([found], {1: dose})) == findings
    assert low_dose("the plan", 1.0, 0.0) is None


def test_a_beam_without_mu_is_left_to_its_own_rule() -> None:
    plan = Plan((replace(beam(), mu=0.0),), PatientPosition.HFS, 30)
    mask = patient_mask(phantom(), BODY)
    assert beam_hits(plan, {1: load_machine("generic-6mv")}, phantom(), mask) == ()
