"""What values do themselves: interpolation, sums, totals, targets, static beams, what they show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pytest

from dosecalc.analysis.dvh import structure_dvh
from dosecalc.data.machines import load_machine
from dosecalc.errors import DosecalcError, InputError
from dosecalc.model import (
    Beam,
    Contour,
    Dose,
    Grid,
    PatientPosition,
    Plan,
    Prescription,
    Structure,
    StructureSet,
)

GRID = Grid((5, 6, 7), (2.0, 3.0, 4.0), (-6.0, -7.5, -8.0))


def linear(grid: Grid, *slopes: float) -> Any:
    x, y, z = (grid.centres(a) for a in "xyz")
    z, y, x = np.meshgrid(z, y, x, indexing="ij")
    return 5.0 + slopes[0] * x + slopes[1] * y + slopes[2] * z


DOSE = Dose(GRID, linear(GRID, 0.1, 0.2, 0.3), "medium", summation="FRACTION", fractions=20)


def test_a_linear_dose_is_met_at_every_point_and_on_every_grid() -> None:
    """Trilinear interpolation is exact for a linear dose; float32 keeps 7 digits of about 10 Gy."""
    points = np.random.default_rng(1).uniform(GRID.position_of((0, 0, 0)),
                                              GRID.position_of((4, 5, 6)), (50, 3))  # fmt: skip
    np.testing.assert_allclose(DOSE.at(points), 5 + points @ (0.1, 0.2, 0.3), rtol=1e-6)
    assert isinstance(DOSE.at((0.0, 0.0, 0.0)), float)
    other = Grid((3, 4, 5), (1.5, 1.5, 1.5), (-3.0, -3.0, -3.0))
    np.testing.assert_allclose(DOSE.on(other), linear(other, 0.1, 0.2, 0.3), rtol=1e-6)
    np.testing.assert_allclose(DOSE.on(GRID), DOSE.gray, rtol=1e-12)


def test_half_a_voxel_beyond_the_centres_is_constant_and_beyond_the_faces_unknown() -> None:
    first = float(DOSE.gray[0, 0, 0])
    x, y, z = GRID.lower
    assert DOSE.at((x + 0.01, y + 0.01, z + 0.01)) == pytest.approx(first)
    assert np.isnan(DOSE.at((x - 0.1, y + 0.01, z + 0.01)))
    found = DOSE.on(Grid((1, 1, 3), (1.0, 1.0, 1.0), (x - 0.5, y + 0.1, z + 0.1)))
    np.testing.assert_array_equal(np.isnan(found[0, 0]), [True, False, False])
    with pytest.raises(InputError, match=r"\(2,\)"):
        DOSE.at((1.0, 2.0))


def test_at_and_on_agree() -> None:
    noise = replace(DOSE, gray=np.random.default_rng(2).random(GRID.shape))
    other = Grid((4, 4, 4), (2.1, 3.3, 4.2), (-7.0, -8.9, -9.9))
    z, y, x = np.meshgrid(*(other.centres(a) for a in "zyx"), indexing="ij")
    np.testing.assert_allclose(noise.at(np.stack((x, y, z), axis=-1)), noise.on(other), rtol=1e-12)


def test_the_same_resampling_is_done_once() -> None:
    other = Grid((3, 4, 5), (1.5, 1.5, 1.5), (-3.0, -3.0, -3.0))
    found = DOSE.on(other)
    assert DOSE.on(other) is found and not found.flags.writeable


def test_a_sum_adds_doses_and_squares_of_uncertainties() -> None:
    """3 and 4 Gy with 0.3 and 0.4 Gy standard deviation are 7 +- 0.5 Gy; 20 fractions 140 +- 10."""
    one, two = (
        replace(DOSE, gray=np.full(GRID.shape, gray), uncertainty=np.full(GRID.shape, gray / 10),
                provenance={"seed": int(gray), "notes": ["both"], "machines": {str(gray): 1}})
        for gray in (3.0, 4.0)
    )  # fmt: skip
    found = one + two
    assert found.uncertainty is not None and found.summation == "FRACTION"
    np.testing.assert_allclose(found.gray, 7.0, rtol=1e-6)
    np.testing.assert_allclose(found.uncertainty, 0.5, rtol=1e-6)
    total = found.total
    assert total.summation == "PLAN" and total.total is total and total.uncertainty is not None
    np.testing.assert_allclose(total.gray, 140.0, rtol=1e-6)
    np.testing.assert_allclose(total.uncertainty, 10.0, rtol=1e-6)
    assert found.provenance["seed"] == {"1": 3, "2": 4}
    assert found.provenance["notes"] == ["both"] and len(found.provenance["machines"]) == 2
    assert (one + replace(two, uncertainty=None)).uncertainty is None


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"grid": replace(GRID, origin=(0.0, 0.0, 0.0))}, "grid is .*; bring them to one grid"),
        ({"dose_to": "water"}, "dose_to is medium and water"),
        ({"summation": "PLAN"}, "summation is FRACTION and PLAN"),
        ({"fractions": 3}, "fractions is 20 and 3"),
    ],
)
def test_doses_that_do_not_belong_together_are_not_added(
    changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        DOSE + replace(DOSE, **changes)


def test_a_total_is_not_guessed() -> None:
    with pytest.raises(InputError, match=r"FRACTION.*does not say how many fractions"):
        _ = replace(DOSE, fractions=None).total
    with pytest.raises(InputError, match="0 fractions"):
        replace(DOSE, fractions=0)


def square(name: str, kind: str, half: float = 4.0) -> Structure:
    corners = np.array([(-half, -half), (half, -half), (half, half), (-half, half)])
    planes = tuple(Contour(z, corners) for z in (-4.0, 0.0, 4.0))
    return Structure(1, name, kind, planes)


def test_a_dose_has_its_histogram() -> None:
    """The mean of a linear dose in a box is its value at the box's middle: 5 Gy."""
    found = DOSE.dvh(square("PTV", "PTV"))
    assert found.mean_gy == pytest.approx(5.0, abs=0.02)
    assert repr(found) == repr(structure_dvh(square("PTV", "PTV"), DOSE))
    assert found.d98 < found.d95 < found.d50 < found.d2
    doses, percent = found.curve(11)
    assert doses[0] == 0 and percent[0] == pytest.approx(100) and doses[-1] == found.maximum_gy


def test_targets_and_body_of_a_structure_set() -> None:
    ptv, untyped, ring = square("a", "PTV"), square("ctv 1", ""), square("PTV ring", "ORGAN")
    body, empty = square("skin", "EXTERNAL"), Structure(9, "GTV", "GTV")
    found = StructureSet((ptv, untyped, ring, body, empty))
    assert found.targets == (ptv, untyped)
    assert found.body is body
    with pytest.raises(InputError, match=r"0 structures .* EXTERNAL.*'a'"):
        _ = StructureSet((ptv,)).body
    with pytest.raises(InputError, match="2 structures are of the type EXTERNAL"):
        _ = StructureSet((body, body)).body


def test_prescriptions_of_targets_only() -> None:
    machine = load_machine("generic-6mv")
    beams = tuple(
        Beam.static(machine, mu=10.0, isocentre=(1.0, 2.0, 3.0), number=n) for n in (1, 2)
    )
    plan = Plan(
        beams,
        PatientPosition.HFS,
        prescriptions=(
            Prescription("PTV", 60.0),
            Prescription("boost", 66.0),
            Prescription("cord", 70.0, "ORGAN_AT_RISK"),
            Prescription("none", 0.0),
        ),
    )
    assert [p.description for p in plan.target_prescriptions] == ["PTV", "boost"]
    assert plan.prescribed_gy == 66.0 and replace(plan, prescriptions=()).prescribed_gy is None
    assert plan.isocentre == (1.0, 2.0, 3.0)
    elsewhere = Beam.static(machine, mu=1.0, isocentre=(0.0, 0.0, 0.0), number=3)
    with pytest.raises(InputError, match="2 isocentres"):
        _ = replace(plan, beams=(*beams, elsewhere)).isocentre


def test_static_beams_and_arcs() -> None:
    machine = load_machine("generic-6mv")
    jaws = {"jaws_x": (-50.0, 50.0), "jaws_y": (-40.0, 40.0)}
    beam = Beam.static(machine, mu=100.0, isocentre=(0.0, 0.0, 0.0), gantry_deg=90.0, **jaws)
    assert beam.technique == "STATIC" and not beam.is_arc
    first, last = beam.control_points
    arc = Beam.of_machine(
        machine,
        (replace(first, gantry_direction="CW"), replace(last, gantry_deg=180.0)),
        mu=1.0,
    )
    assert arc.is_arc and arc.technique == "ARC"
    assert "gantry 90 to 180 deg" in repr(arc)
    bare = replace(machine, mlc=None)
    with pytest.raises(InputError, match="has no leaves"):
        Beam.static(bare, mu=1.0, isocentre=(0.0, 0.0, 0.0), leaves=np.zeros((2, 60)))


def test_what_is_shown_is_short() -> None:
    for value in (DOSE, DOSE.total, square("a", "PTV"), StructureSet((square("a", "PTV"),))):
        assert len(repr(value)) < 120
    html = DOSE._repr_html_()
    assert "5 x 6 x 7 voxels" in html and "data:image/png;base64," in html and "medium" in html
    assert "<script" not in replace(DOSE, provenance={"engine": "<script>"})._repr_html_()


def test_planes_are_drawn_where_they_lie() -> None:
    matplotlib.use("agg")
    figure = DOSE.plot()
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == ["axial, z = 8.0 mm", "coronal, y = 7.5 mm", "sagittal, x = 6.0 mm"]
    shown = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_array_equal(shown, DOSE.gray[4])
    matplotlib.pyplot.close(figure)


def test_a_missing_library_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(DosecalcError, match=r"to_xarray needs xarray.*pip install xarray"):
        DOSE.to_xarray()


def test_an_array_with_coordinates() -> None:
    pytest.importorskip("xarray", reason="xarray is not installed")
    found = DOSE.to_xarray()
    assert found.dims == ("z", "y", "x") and found.attrs["units"] == "Gy"
    assert float(found.sel(x=0.0, y=1.5, z=4.0)) == pytest.approx(DOSE.at((0.0, 1.5, 4.0)))
