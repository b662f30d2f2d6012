"""Plan indices on doses whose isodoses are known solids, and isodoses of a planning system."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from dosecalc.analysis.dvh import Dvh, structure_dvh
from dosecalc.analysis.metrics import (
    gradient_index,
    homogeneity_index,
    is_of_prescription,
    isodose_volumes,
    paddick_index,
    plan_indices,
    quantity,
    rtog_index,
)
from dosecalc.errors import GeometryError, InputError
from dosecalc.model import Contour, Dose, Grid, Structure

GRID = Grid.covering((-40.0, -40.0, -40.0), (40.0, 40.0, 40.0), (2.5, 2.5, 2.5))


def ball(radius: float, x: float = 0.0, step: float = 1.0) -> Structure:
    ring = np.sqrt(2 * np.pi / 120 / np.sin(2 * np.pi / 120)) * np.exp(
        2j * np.pi * np.arange(120) / 120
    )
    planes = np.arange(-radius + step / 2, radius, step)
    contours = tuple(
        Contour(float(z), np.column_stack((x + r * ring.real, r * ring.imag)))
        for z, r in zip(planes, np.sqrt(radius**2 - planes**2), strict=True)
    )
    return Structure(1, "PTV", "PTV", contours)


def round_dose(grid: Grid = GRID) -> Dose:
    """Falls by 2 Gy/mm with the distance from the middle, from 100 Gy."""
    z, y, x = np.meshgrid(*(grid.centres(a) for a in "zyx"), indexing="ij")
    return Dose(grid, np.maximum(100 - 2 * np.sqrt(x**2 + y**2 + z**2), 0), "water")


def sphere_cm3(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3 / 1000


def test_isodoses_of_a_round_dose_are_spheres():
    found = isodose_volumes(round_dose(), [60.0, 40.0, 99.9, 200.0])
    # Linear interpolation of a distance r falls short by at most h^2/(4 r): 0.08 mm at 20 mm.
    assert found.cm3[0] == pytest.approx(sphere_cm3(20), rel=3 * 0.08 / 20)
    assert found.cm3[1] == pytest.approx(sphere_cm3(30), rel=3 * 0.05 / 30)
    assert found.cm3[3] == 0
    assert not found.cut_off.any()
    assert isodose_volumes(round_dose(), [20.0]).cut_off.tolist() == [True]


def test_isodoses_are_of_the_interpolated_dose_and_not_counted():
    """A slope whose isodose lies between voxels: the volume moves with it, not by voxels."""
    gray = np.broadcast_to(100 + GRID.centres("x"), GRID.shape)
    shifts = np.linspace(0, 2.5, 6)
    volumes = isodose_volumes(Dose(GRID, gray, "water"), 100 + shifts).cm3
    assert volumes == pytest.approx((40 - shifts) * 80 * 80 / 1000, rel=1e-4)


def test_a_target_that_is_its_isodose_is_perfect():
    found = plan_indices(ball(20.0), round_dose(), 60.0)
    # The interpolated sphere is at most 0.08 mm smaller, 1.2 % in volume; and the corners of
    # the target's slabs, 1 mm thick, stand out of it, which counts twice in Paddick's index.
    assert found.rtog == pytest.approx(1.0, abs=0.012)
    assert found.covered_cm3 / found.target_cm3 == pytest.approx(1.0, abs=0.02)
    assert found.paddick == pytest.approx(1.0, abs=0.04)
    assert found.gradient == pytest.approx((35 / 20) ** 3, rel=0.015)
    # 2 % of a ball are within 0.02^(1/3) of its radius, 98 % within 0.98^(1/3).
    d2, d50, d98 = (100 - 40 * v ** (1 / 3) for v in (0.02, 0.5, 0.98))
    assert found.homogeneity == pytest.approx((d2 - d98) / d50, abs=0.005)
    assert found.within == "dose grid"
    assert found.notes == ()


def test_a_miss_lowers_paddick_and_not_rtog():
    found = plan_indices(ball(20.0, x=20.0), round_dose(), 60.0)
    assert found.rtog == pytest.approx(1.0, abs=0.015)
    # Two balls of radius r, r apart, share 5/16 of their volume.
    assert found.paddick == pytest.approx((5 / 16) ** 2, abs=0.01)


def test_isodoses_may_be_taken_within_the_body():
    half_space = Structure(
        2, "BODY", "EXTERNAL", tuple(
            Contour(float(z), np.array([[0, -38], [38, -38], [38, 38], [0, 38]], dtype=float))
            for z in np.arange(-37, 38, 2)
        ),
    )  # fmt: skip
    found = plan_indices(ball(10.0, x=12.0), round_dose(), 60.0, body=half_space)
    assert found.within == "BODY"
    assert found.isodose_cm3 == pytest.approx(sphere_cm3(20) / 2, rel=0.015)


def test_what_has_no_index_is_refused_or_told():
    dose = round_dose()
    with pytest.raises(GeometryError, match=r"lie outside the dose grid"):
        plan_indices(ball(20.0, x=30.0), dose, 60.0)
    with pytest.raises(InputError, match="prescribed dose"):
        plan_indices(ball(20.0), dose, 0.0)
    cold = plan_indices(ball(20.0), dose, 120.0)
    assert cold.paddick is None
    assert cold.gradient is None
    assert cold.rtog == 0
    assert "reaches the prescribed 120 Gy" in cold.notes[0]
    assert "50 % isodose" in plan_indices(ball(20.0), dose, 40.0).notes[0]
    with pytest.raises(InputError, match="above zero"):
        isodose_volumes(dose, [0.0])
    for call in (lambda: rtog_index(1, 0), lambda: paddick_index(1, 0, 1),
                 lambda: gradient_index(1, 0)):  # fmt: skip
        with pytest.raises(InputError, match="not defined"):
            call()
    with pytest.raises(InputError, match="median dose is 0"):
        homogeneity_index(Dvh("x", 1, np.zeros(3), np.ones(3)))


@pytest.mark.parametrize(
    ("text", "name", "unit", "value"),
    [
        ("D95%", "D95%", "Gy", 50.5),
        ("d95", "D95%", "Gy", 50.5),
        ("D1cc", "D1cc", "Gy", 59.0),
        ("D1 cm3", "D1cc", "Gy", 59.0),
        ("V55Gy", "V55Gy", "%", 50.0),
        ("V55Gy %", "V55Gy", "%", 50.0),
        ("V55 Gy cc", "V55Gy", "cm3", 5.0),
        ("Mean", "mean", "Gy", 55.0),
        ("max", "max", "Gy", 60.0),
        ("min", "min", "Gy", 50.0),
        ("HI", "HI", "", 9.6 / 55),
    ],
)
def test_quantities_by_name(text, name, unit, value):
    dvh = Dvh("x", 1, np.linspace(60, 50, 1001), np.full(1001, 0.01))
    found = quantity(dvh, text)
    assert (found.name, found.unit) == (name, unit)
    assert found.value == pytest.approx(value, rel=2e-3)


@pytest.mark.parametrize("text", ["D95Gy", "V20", "V20%", "D", "95", "D2cc cc", "D101", "nothing"])
def test_other_words_are_refused(text):
    with pytest.raises(InputError):
        quantity(structure_dvh(ball(10.0), round_dose()), text)


@pytest.mark.samples
def test_isodose_volumes_are_those_of_eclipse(samples: Path):
    """The histogram of BODY in `ent-eclipse-dose`, where all of the dose lies in the body.

    There are no contours with this dose, so only isodoses can be compared, from 10 Gy up:
    below, the dose grid holds dose outside of the body. Tolerance 1 % of the largest dose,
    62.6 Gy: linear interpolation on 2.5 mm cuts the shoulder of the dose by 0.1 to 0.2 mm,
    which Eclipse, whose volumes are those of counted voxels within 0.4 %, does not.
    """
    folder = samples / "ent-eclipse-dose"
    with (folder / "EclipseEnt_DvhTable_Eclipse.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0][1] == "BODY_DvhArray Value (% of 7979.6 cc)"
    levels, percent = np.array([row[:2] for row in rows[1:]], dtype=float).T
    content = (folder / "EclipseEnt_Dose.nrrd").read_bytes()
    values = gzip.decompress(content[content.index(b"\n\n") + 2 :])
    gray = np.frombuffer(values, "<f4").reshape(136, 88, 176)
    dose = Dose(Grid(gray.shape, (2.5, 2.5, 2.5), (-219.97, -113.05, -99.88)), gray, "unknown")
    wanted = np.arange(10.0, 62.0, 0.5)
    volumes = isodose_volumes(dose, wanted).cm3
    theirs = np.interp(-volumes, -percent * 79.796, levels)
    assert np.abs(theirs - wanted).max() < 0.01 * 62.6
    ratio = volumes / np.interp(wanted, levels, percent * 79.796)
    assert np.abs(ratio[wanted <= 50] - 1).max() < 0.01


def test_shares_of_the_prescription_are_read() -> None:
    """Two parts of 1 cm3, 60 and 48 Gy; of 60 Gy these are 100 and 80 %."""
    dvh = Dvh("PTV", 1, np.array([60.0, 48.0]), np.array([1.0, 1.0]))
    for text, value, unit in (
        ("V95%", 50.0, "%"),
        ("v80 %", 100.0, "%"),
        ("V95% cc", 1.0, "cm3"),
        ("V107%", 0.0, "%"),
        ("D0% %", 100.0, "%"),
        ("D100% %", 80.0, "%"),
    ):
        found = quantity(dvh, text, 60.0)
        assert (found.value, found.unit) == (pytest.approx(value), unit), text
        assert is_of_prescription(text)
        with pytest.raises(InputError, match="share of the prescribed dose"):
            quantity(dvh, text)
    for text in ("D95%", "V20Gy", "V20Gy %", "D2cc", "mean", "nothing"):
        assert not is_of_prescription(text)
    with pytest.raises(InputError, match="that is -2 Gy"):
        quantity(dvh, "V95%", -2.0)
