"""The synthetic thorax: its CT shows what its contours say."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.errors import InputError
from dosecalc.patient.coverage import centroid, volume_cm3, volume_fraction
from dosecalc.patient.thorax import TARGET, TARGET_CENTRE, thorax_ct, thorax_structures


@pytest.fixture(scope="module")
def structures():
    return thorax_structures()


@pytest.fixture(scope="module")
def ct():
    return thorax_ct()


def test_the_structures_of_a_plan_are_there(structures):
    assert structures.names == (
        "BODY", "LUNG_R", "LUNG_L", "HEART", "SPINE", "SPINAL_CORD", "GTV", "PTV",
    )  # fmt: skip
    assert [s.name for s in structures.of_kind("EXTERNAL")] == ["BODY"]
    assert all(not s.is_empty for s in structures)


@pytest.mark.parametrize(("name", "radius"), [("GTV", 15.0), (TARGET, 23.0)])
def test_targets_are_balls_at_their_centre(structures, name, radius):
    target = structures[name]
    # Nine slices of 3 mm and 90 corners: 1.5 % of the volume, a tenth of a slice in position.
    assert volume_cm3(target) == pytest.approx(4 / 3 * np.pi * (radius / 10) ** 3, rel=0.015)
    assert centroid(target) == pytest.approx(TARGET_CENTRE, abs=0.3)


def test_lungs_leave_out_the_heart(structures, ct):
    heart = volume_fraction(structures["HEART"], ct.grid)
    for name in ("LUNG_L", "LUNG_R"):
        lung = volume_fraction(structures[name], ct.grid)
        shared = float(np.minimum(heart, lung)[(heart > 0.99)].sum()) / float(heart.sum())
        assert shared < 0.001


@pytest.mark.parametrize(
    ("name", "hu"), [("LUNG_L", -740), ("HEART", 40), ("SPINAL_CORD", 35), ("GTV", 40)]
)
def test_the_ct_shows_each_tissue(structures, ct, name, hu):
    inside = volume_fraction(structures[name], ct.grid) > 0.999
    assert np.median(ct.hu[inside]) == hu


def test_voxels_on_an_edge_are_in_between(structures, ct):
    body = volume_fraction(structures["BODY"], ct.grid)
    edge = (body > 0.3) & (body < 0.7)
    assert ((ct.hu[edge] > -1000) & (ct.hu[edge] < -90)).all()
    assert (ct.hu[body == 0] == -1000).all()


def test_noise_is_what_was_asked_and_repeatable(structures, ct):
    noisy = thorax_ct(noise_hu=20.0)
    difference = noisy.hu - ct.hu
    # 2.2 million voxels: the standard deviation is known to 0.05 %, rounding adds 0.02 %.
    assert difference.std() == pytest.approx(20.0, rel=0.005)
    assert abs(difference.mean()) < 0.1
    assert np.array_equal(thorax_ct(noise_hu=20.0).hu, noisy.hu)
    assert not np.array_equal(thorax_ct(noise_hu=20.0, seed=1).hu, noisy.hu)
    with pytest.raises(InputError, match="noise"):
        thorax_ct(noise_hu=-1.0)
