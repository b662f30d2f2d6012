"""What a machine model refuses, by name, and what it tells the reader."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dosecalc.beam import beam_fluences, beam_notes, check_beam
from dosecalc.errors import InputError, OutsideValidityError, UnsupportedError
from dosecalc.model import Beam, PatientPosition
from tests.beam.examples import LEAF_EDGES, beam, leaves, machine, point

OPEN = leaves(-20, 20)


def test_fitting_beams_pass() -> None:
    check_beam(beam(point(0)), machine())
    check_beam(beam(point(0, leaves=OPEN)), machine())
    check_beam(beam(point(0, jaws_x=None, leaves=OPEN)), machine(jaws_x=None))
    wide = beam(point(0, jaws_x=(-200, 200), leaves=OPEN))
    check_beam(wide, machine(jaws_x=None))
    assert any("wide open X jaws" in note for note in beam_notes(wide, machine(jaws_x=None)))
    moved = beam(point(0, leaves=OPEN), leaf_boundaries=LEAF_EDGES + 0.4)
    check_beam(moved, machine())


@pytest.mark.parametrize(
    ("planned", "changes", "match"),
    [
        (beam(point(0), energy_mv=10.0), {}, "10 MV.*1.25 MV"),
        (beam(point(0), fluence_mode="FFF"), {}, "FFF.*STANDARD"),
        (beam(point(0), sad_mm=900.0), {}, "900 mm.*1000 mm"),
        (beam(point(0, jaws_x=(-201, 0))), {}, "jaws_x.*-200 to 200"),
        (beam(point(0)), {"jaws_x": None}, "no such jaws"),
        (beam(point(0, leaves=OPEN)), {"mlc": None}, "multileaf"),
        (beam(point(0, leaves=OPEN), leaf_axis="y"), {}, "along y.*along x"),
        (beam(point(0, leaves=leaves(-20, 201))), {}, "leaf tips"),
        (
            beam(point(0, leaves=leaves(-2, 2, 6)), leaf_boundaries=LEAF_EDGES[:-1]),
            {},
            "6 leaf pairs.*7",
        ),
        (
            beam(point(0, leaves=OPEN), leaf_boundaries=LEAF_EDGES + 0.6),
            {},
            "leaf boundary 1 .*-29.4 mm",
        ),
        (beam(point(0, jaws_x=(3, 3.5))), {}, "0.5 mm wide"),
        (beam(point(0, leaves=leaves(-20, 20), jaws_y=(31, 50))), {}, "closed"),
        (beam(point(0, leaves=leaves(3, 3))), {}, "closed"),
    ],
)
def test_beams_of_another_machine_are_refused(
    planned: Beam, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(OutsideValidityError, match=match) as caught:
        check_beam(planned, machine(**changes))
    # The sentence names the beam and the model.
    assert "AP" in str(caught.value) and "ideal" in str(caught.value)


def test_field_limits_hold_for_the_whole_beam_not_for_a_moving_slit() -> None:
    tight = machine(limits=replace(machine().limits, field_min_mm=10.0, field_max_mm=90.0))
    slit = beam(point(0, leaves=leaves(-20, -16)), point(1, leaves=leaves(16, 20)))
    check_beam(slit, tight)
    with pytest.raises(OutsideValidityError, match=r"4\.0 mm wide"):
        check_beam(beam(point(0, leaves=leaves(-2, 2))), tight)
    with pytest.raises(OutsideValidityError, match=r"100\.0 mm wide.*up to 90"):
        check_beam(beam(point(0)), tight)


def test_things_that_do_not_stand_still_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="couch turns"):
        check_beam(beam(point(0), point(1, couch_deg=5.0)), machine())
    with pytest.raises(UnsupportedError, match="isocentre moves"):
        check_beam(beam(point(0), point(1, isocentre=(0.0, 0.0, 2.0))), machine())
    # The same angle written in two ways is no turn.
    check_beam(beam(point(0, couch_deg=359.999), point(1, couch_deg=0.0)), machine())


def test_unknown_apertures_are_refused() -> None:
    with pytest.raises(InputError, match="neither jaws nor leaves"):
        check_beam(beam(point(0, jaws_x=None, jaws_y=None)), machine())
    with pytest.raises(InputError, match="missing at 1"):
        check_beam(beam(point(0, leaves=OPEN), point(1, leaves=OPEN, jaws_x=None)), machine())


def test_notes_say_what_was_assumed() -> None:
    notes = beam_notes(beam(point(0, jaws_x=None, leaves=OPEN)), machine())
    assert any("'TB1'" in note and "'ideal'" in note for note in notes)
    assert any("no X jaws" in note and "-200 to 200 mm" in note for note in notes)
    notes = beam_notes(beam(point(0)), machine())
    assert any("no leaves" in note for note in notes)
    assert not any("jaws" in note for note in notes)


def test_notes_are_of_beams_that_fit() -> None:
    """Leaves of another collimator have no openings on this one."""
    other = beam(point(0, leaves=leaves(-2, 2, 6)), leaf_boundaries=LEAF_EDGES[:-1])
    with pytest.raises(OutsideValidityError, match=r"6 leaf pairs.*7"):
        beam_notes(other, machine())


def test_notes_count_the_mu_through_small_openings() -> None:
    model = machine(limits=replace(machine().limits, field_min_mm=10.0))
    small = np.array([leaves(0, 0)[0], [0, 0, 0, 6, 0, 0, 0]])
    planned = beam(
        point(0, leaves=OPEN),
        point(0.75, leaves=OPEN),
        point(0.75, leaves=small),
        point(1, leaves=small),
    )
    assert any("25 % of the MU" in note for note in beam_notes(planned, model))
    assert not any("of the MU" in note for note in beam_notes(beam(point(0)), model))


def test_jaws_that_follow_the_outermost_leaves_are_nominal() -> None:
    """Pinnacle writes X jaws for a head without them, at the outermost tips in whole mm.

    The field is then that of the leaves alone: the fluence is that of a plan without X jaws.
    """
    head = machine(jaws_x=None)
    tips = leaves(-20.4, 20.3)
    tips[:, 0] = (-60, 60)  # behind the Y jaws
    following = beam(point(0, jaws_x=(-20, 20), jaws_y=(-18, 18), leaves=tips))
    check_beam(following, head)
    (note,) = (n for n in beam_notes(following, head) if "jaws" in n)
    assert "X jaws at or beyond the outermost leaves" in note
    assert "nominal" in note
    without = beam(point(0, jaws_x=None, jaws_y=(-18, 18), leaves=tips))
    (found,), (expected,) = (
        beam_fluences(one, PatientPosition.HFS, head) for one in (following, without)
    )
    assert expected.values.max() > 0
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize(
    ("jaws", "tips"),
    [
        ((-19.8, 20.0), leaves(-20.4, 20.3)),
        ((-50, 19.7), leaves(-20.4, 20.3)),
        ((-10, 10), None),
    ],
)
def test_jaws_that_shape_the_field_need_a_model_with_jaws(jaws, tips) -> None:
    planned = beam(point(0, jaws_x=jaws, leaves=tips))
    with pytest.raises(OutsideValidityError, match="no such jaws"):
        check_beam(planned, machine(jaws_x=None))
