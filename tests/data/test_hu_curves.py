"""CT number to density: values, limits, and the choice of a curve."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dosecalc.data.cross_sections import coefficients
from dosecalc.data.hu_curves import (
    HuCurve,
    choose_curve,
    density_from_hu,
    list_hu_curves,
    load_hu_curve,
)
from dosecalc.data.materials import load_material
from dosecalc.errors import InputError
from dosecalc.model import CtImage, Grid, PatientPosition


def ct(**attributes):
    given = {"manufacturer": "SIEMENS", "model_name": "Somatom", "kvp": 120.0} | attributes
    grid = Grid((1, 1, 1), (1, 1, 1), (0, 0, 0))
    return CtImage(grid, np.zeros((1, 1, 1)), PatientPosition.HFS, **given)


@pytest.fixture
def curve():
    return HuCurve("test", "1", [-1000, 0, 1000], [0.0, 1.0, 1.5], "made up", kvp=120)


@pytest.mark.parametrize("name", list_hu_curves())
def test_shipped_curves_load_and_state_their_source(name):
    curve = load_hu_curve(name)
    assert curve.name == name
    assert curve.source
    assert curve.description
    assert len(curve.sha256) == 64
    assert density_from_hu([0.0], curve).density[0] == 1.0


def test_generic_curve_is_what_its_source_says():
    # Recalculated at 70 keV with the shipped cross sections. The points are rounded to
    # whole HU; 1 % in mu/rho of bone is 13 HU.
    record = load_hu_curve("generic-120kvp")
    energy = np.array([0.07])
    water = coefficients(load_material("water"), energy).total[0]
    names = ["lung", "adipose", "soft_tissue", "muscle", "cartilage", "bone_spongiosa"]
    for name in [*names, "bone_1.4", "cortical_bone"]:
        material = load_material(name)
        ratio = material.density_g_cm3 * coefficients(material, energy).total[0] / water
        hu = 1000 * (ratio - 1)
        point = np.argmin(np.abs(record.hu - hu))
        assert record.hu[point] == pytest.approx(hu, abs=3)
        assert record.density[point] == material.density_g_cm3


def test_between_points_the_density_is_linear(curve):
    result = density_from_hu(np.array([[-500.0, 0.0], [500.0, 250.5]]), curve)
    np.testing.assert_allclose(result.density, [[0.5, 1.0], [1.25, 1.12525]], rtol=1e-6)
    assert (result.n_below, result.n_above) == (0, 0)
    assert result.density.dtype == np.float32


def test_integers_and_fractions_agree():
    curve = load_hu_curve("generic-120kvp")
    hu = np.random.default_rng(5).integers(-1100, 3200, (7, 9, 11)).astype(np.float32)
    expected = np.interp(hu, curve.hu, curve.density)
    np.testing.assert_allclose(density_from_hu(hu, curve).density, expected, rtol=1e-6)
    fractions = hu + np.float32(0.25)
    expected = np.interp(fractions, curve.hu, curve.density)
    np.testing.assert_allclose(density_from_hu(fractions, curve).density, expected, rtol=1e-6)


def test_numbers_beyond_the_curve_are_counted_and_limited(curve):
    for shift in (0.0, 0.5):
        hu = np.array([-2000, -1001, -1000 + shift, 1000 - shift, 1001, 5000, 30000])
        result = density_from_hu(hu, curve)
        assert (result.n_below, result.n_above) == (2, 3)
        assert result.density[[0, 1]].tolist() == [0, 0]
        assert result.density[[4, 5, 6]].tolist() == [1.5, 1.5, 1.5]


def test_nan_is_refused(curve):
    with pytest.raises(InputError, match="not finite"):
        density_from_hu([0.0, np.nan], curve)


def test_no_curve_is_assumed():
    with pytest.raises(InputError, match=r"SIEMENS Somatom, 120 kVp.*generic-120kvp"):
        choose_curve(ct())


def test_a_named_curve_is_taken_at_any_kvp():
    assert choose_curve(ct(kvp=80.0), name="generic-120kvp").kvp == 120


def write_config(folder, entries):
    path = folder / "curves.toml"
    lines = []
    for manufacturer, model, kvp, curve in entries:
        lines += ["[[scanner]]", f'manufacturer = "{manufacturer}"', f'model = "{model}"']
        lines += [f"kvp = {kvp}", f'curve = "{curve}"']
    path.write_text("\n".join(lines))
    return path


def test_configuration_maps_scanner_and_kvp(tmp_path):
    own = {"name": "own", "version": "3", "source": "phantom", "kvp": 100}
    (tmp_path / "own.json").write_text(json.dumps(own | {"points": [[-1000, 0], [0, 1]]}))
    config = write_config(
        tmp_path,
        [("siemens", "SOMATOM ", 120, "generic-120kvp"), ("GE", "Discovery", 100, "own.json")],
    )
    assert choose_curve(ct(), config=config).name == "generic-120kvp"
    other = ct(manufacturer="GE", model_name="Discovery", kvp=100.0)
    assert choose_curve(other, config=config).label == "'own' version 3"


@pytest.mark.parametrize("attributes", [{"kvp": 140.0}, {"kvp": None}, {"model_name": "Other"}])
def test_a_scan_the_configuration_does_not_know_is_refused(tmp_path, attributes):
    config = write_config(tmp_path, [("SIEMENS", "Somatom", 120, "generic-120kvp")])
    with pytest.raises(InputError, match="0 entries match"):
        choose_curve(ct(**attributes), config=config)


def test_a_configuration_that_points_to_a_curve_of_another_kvp_is_refused(tmp_path):
    config = write_config(tmp_path, [("SIEMENS", "Somatom", 100, "generic-120kvp")])
    with pytest.raises(InputError, match="for 120 kVp; name the curve explicitly"):
        choose_curve(ct(kvp=100.0), config=config)


def test_an_ambiguous_configuration_is_refused(tmp_path):
    config = write_config(tmp_path, [("SIEMENS", "Somatom", 120, "generic-120kvp")] * 2)
    with pytest.raises(InputError, match="2 entries match"):
        choose_curve(ct(), config=config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not = [toml", "cannot be read"),
        ("x = 1", r"\[\[scanner\]\]"),
        ('[[scanner]]\nmodel = "x"', "manufacturer, model, kvp and curve"),
        (
            '[[scanner]]\nmanufacturer = ""\nmodel = "x"\nkvp = "a"\ncurve = "b"',
            "kvp must be a number",
        ),
    ],
)
def test_broken_configurations_are_refused(tmp_path, text, message):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        choose_curve(ct(), config=path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": [[0, 1]]}, "two or more points"),
        ({"points": [[0, 1], [0, 2]]}, "rising HU"),
        ({"points": [[0, 1], [10, 0.5]]}, "must not fall"),
        ({"points": [[0, -1], [10, 0.5]]}, ">= 0"),
        ({"points": [[0, 1], [10]]}, "pairs"),
        ({"points": [[0, 1], [float("nan"), 2]]}, "not finite"),
        ({"kvp": "many"}, "kvp a number"),
        ({"colour": "red"}, r"unknown keys \['colour'\]"),
    ],
)
def test_broken_curve_files_are_refused(tmp_path, change, message):
    record = {"name": "c", "version": "1", "source": "s", "points": [[-1000, 0], [0, 1]]}
    path = tmp_path / "curve.json"
    path.write_text(json.dumps(record | change))
    with pytest.raises(InputError, match=message):
        load_hu_curve(path)


def test_missing_curves_are_refused(tmp_path):
    with pytest.raises(InputError, match="no HU curve is named"):
        load_hu_curve("generic")
    with pytest.raises(InputError, match="cannot be read"):
        load_hu_curve(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[1")
    with pytest.raises(InputError, match="is not JSON"):
        load_hu_curve(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(InputError, match="JSON object"):
        load_hu_curve(tmp_path / "list.json")
