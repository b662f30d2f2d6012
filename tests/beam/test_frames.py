"""Signs of every machine angle, for every patient position, against answers derived by hand.

Reasoning used throughout: stand at the foot end and face the gantry. Fixed X points to
your right, Y to the gantry, Z up. LPS: x to the patient's left, y posterior, z superior.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dosecalc.beam import beam_axes, fixed_from_patient, source_position
from dosecalc.errors import GeometryError, InputError
from dosecalc.model import PatientPosition

LEFT, RIGHT = (1, 0, 0), (-1, 0, 0)
POSTERIOR, ANTERIOR = (0, 1, 0), (0, -1, 0)
SUPERIOR, INFERIOR = (0, 0, 1), (0, 0, -1)

# Anatomy that looks up, to your right and to the gantry. Example HFDL: the left side is
# down, so right is up; the head is at the gantry; a person on the left side, head away
# from you, faces to your right.
LIES = {
    "HFS": (ANTERIOR, LEFT, SUPERIOR),
    "HFP": (POSTERIOR, RIGHT, SUPERIOR),
    "FFS": (ANTERIOR, RIGHT, INFERIOR),
    "FFP": (POSTERIOR, LEFT, INFERIOR),
    "HFDR": (LEFT, POSTERIOR, SUPERIOR),
    "HFDL": (RIGHT, ANTERIOR, SUPERIOR),
    "FFDR": (LEFT, ANTERIOR, INFERIOR),
    "FFDL": (RIGHT, POSTERIOR, INFERIOR),
}
POSITIONS = sorted(LIES)
ANGLE = st.floats(0, 360, exclude_max=True)


def towards_source(position: str, gantry: float, couch: float = 0.0) -> np.ndarray:
    return -beam_axes(PatientPosition(position), gantry, 0, couch)[2]


def opposite(direction: tuple[int, int, int]) -> np.ndarray:
    return -np.array(direction)


def test_all_eight_positions_are_covered() -> None:
    assert {p.value for p in PatientPosition} == set(LIES)


@pytest.mark.parametrize("position", POSITIONS)
def test_patient_lies_as_its_position_says(position: str) -> None:
    up, right, gantry = LIES[position]
    to_fixed = fixed_from_patient(PatientPosition(position))
    np.testing.assert_array_equal(to_fixed @ right, [1, 0, 0])
    np.testing.assert_array_equal(to_fixed @ gantry, [0, 1, 0])
    np.testing.assert_array_equal(to_fixed @ up, [0, 0, 1])
    assert np.linalg.det(to_fixed) == pytest.approx(1)  # a rotation, not a mirror


@pytest.mark.parametrize("position", POSITIONS)
def test_gantry_turns_clockwise_for_who_faces_it(position: str) -> None:
    # From above at 0 over your right at 90 and the floor at 180 to your left at 270.
    up, right, _ = LIES[position]
    np.testing.assert_array_equal(towards_source(position, 0), up)
    np.testing.assert_array_equal(towards_source(position, 90), right)
    np.testing.assert_array_equal(towards_source(position, 180), opposite(up))
    np.testing.assert_array_equal(towards_source(position, 270), opposite(right))
    # Just past 0 the source is nearer to your right than before.
    assert towards_source(position, 10) @ np.array(right) > 0


@pytest.mark.parametrize("position", POSITIONS)
def test_collimator_axes(position: str) -> None:
    up, right, gantry = LIES[position]
    place = PatientPosition(position)
    u, v, w = beam_axes(place, 0, 0, 0)
    np.testing.assert_array_equal([u, v, w], [right, gantry, opposite(up)])
    # Seen from the source, that is from above with the gantry at the top of the picture,
    # x is to the right; +90 degrees is counter-clockwise, so x comes to point up, to the gantry.
    u, v, _ = beam_axes(place, 0, 90, 0)
    np.testing.assert_array_equal([u, v], [gantry, opposite(right)])
    u, v, _ = beam_axes(place, 0, 270, 0)
    np.testing.assert_array_equal([u, v], [opposite(gantry), right])
    # With the gantry at your right, x has turned with it to point to the floor.
    u, v, _ = beam_axes(place, 90, 0, 0)
    np.testing.assert_array_equal([u, v], [opposite(up), gantry])


@pytest.mark.parametrize("position", POSITIONS)
def test_couch_turns_the_patient_counter_clockwise_from_above(position: str) -> None:
    # At +90 what looked to the gantry looks to your left, and what looked to your right
    # looks to the gantry. So your right, where the source stands at gantry 90, is now the
    # side that looked away from the gantry.
    up, right, gantry = LIES[position]
    np.testing.assert_array_equal(towards_source(position, 90, couch=90), opposite(gantry))
    np.testing.assert_array_equal(towards_source(position, 270, couch=90), gantry)
    np.testing.assert_array_equal(towards_source(position, 90, couch=270), gantry)
    np.testing.assert_array_equal(towards_source(position, 0, couch=90), up)
    u, v, _ = beam_axes(PatientPosition(position), 0, 0, 90)
    np.testing.assert_array_equal([u, v], [opposite(gantry), right])


def test_named_situations() -> None:
    # Supine, head first: gantry 90 enters from the left, 270 from the right.
    np.testing.assert_array_equal(towards_source("HFS", 90), LEFT)
    np.testing.assert_array_equal(towards_source("HFS", 270), RIGHT)
    # Vertex field of the head: gantry 90 with the couch at 270, head first.
    np.testing.assert_array_equal(towards_source("HFS", 90, couch=270), SUPERIOR)
    # Feet first supine, gantry 90 enters from the right.
    np.testing.assert_array_equal(towards_source("FFS", 90), RIGHT)


@pytest.mark.parametrize("position", POSITIONS)
@given(gantry=ANGLE, collimator=ANGLE, couch=ANGLE)
@settings(max_examples=20, deadline=None)
def test_against_chained_rotations(
    position: str, gantry: float, collimator: float, couch: float
) -> None:
    # All turns of IEC 61217 follow the right-hand rule about the axis of their frame.
    place = PatientPosition(position)
    device = Rotation.from_euler("y", gantry, degrees=True) * Rotation.from_euler(
        "z", collimator, degrees=True
    )
    support = Rotation.from_euler("z", couch, degrees=True).as_matrix()
    in_patient = fixed_from_patient(place).T @ support.T @ device.as_matrix()
    u, v, w = beam_axes(place, gantry, collimator, couch)
    np.testing.assert_allclose(np.column_stack((u, v, -w)), in_patient, atol=1e-12)
    np.testing.assert_allclose(np.cross(u, v), -w, atol=1e-12)


def test_source_stands_before_the_isocentre() -> None:
    axes = beam_axes(PatientPosition.HFS, 90, 0, 0)
    np.testing.assert_allclose(source_position((10, -20, 30), axes, 1000), [1010, -20, 30])


def test_bad_values_are_refused() -> None:
    axes = beam_axes(PatientPosition.HFS, 0, 0, 0)
    with pytest.raises(InputError, match="gantry angle"):
        beam_axes(PatientPosition.HFS, float("nan"), 0, 0)
    with pytest.raises(InputError, match="source-axis distance"):
        source_position((0, 0, 0), axes, 0)
    with pytest.raises(GeometryError, match="isocentre"):
        source_position((0, 0), axes, 1000)
