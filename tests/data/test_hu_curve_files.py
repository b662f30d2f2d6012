"""Files of HU curves: JSON and CSV, electron densities, and densities that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dosecalc.data.hu_curve_files import mass_from_electron_density
from dosecalc.data.hu_curves import HuCurve, density_from_hu, list_hu_curves, load_hu_curve
from dosecalc.data.materials import load_material
from dosecalc.errors import InputError

STATED = "# name: Somatom body\n# version: 2026-03\n# kvp: 120\n# source: CIRS 062M, March 2026\n"
POINTS = [(-1000, 0.0012), (-741, 0.26), (0, 1.0), (295, 1.18), (1446, 1.85)]


def written(folder: Path, text: str, name: str = "own.csv") -> HuCurve:
    (folder / name).write_text(text, encoding="utf-8")
    return load_hu_curve(folder / name)


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("HU,mass density (g/cm3)", "{:g},{:g}"),
        ("HU;density [g/cm\u00b3]", "{:g};{:g}"),
        ("CT number\tDensity", "{:g}\t{:g}"),
    ],
)
def test_csv_and_json_are_one_curve(head: str, line: str, tmp_path: Path) -> None:
    text = STATED + head + "\n" + "\n".join(line.format(*p) for p in POINTS)
    if ";" in head:
        # As spreadsheets of many countries write numbers.
        text = text.replace("0.", "0,").replace("1.", "1,")
    found = written(tmp_path, text)
    record = {"name": "c", "version": "1", "source": "s", "kvp": 120, "points": POINTS}
    other = written(tmp_path, json.dumps(record), "own.json")
    np.testing.assert_allclose(found.hu, other.hu)
    np.testing.assert_allclose(found.density, other.density)
    assert (found.name, found.version, found.kvp) == ("Somatom body", "2026-03", 120.0)
    assert found.source.startswith("CIRS 062M")
    assert len(found.sha256) == 64 and found.materials == "tissue"


def test_comments_of_a_csv_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "# Scanner: room 2\n# kvp: 120\n# measured by: A. B.\nHU,density\n-1000,0\n0,1\n500,1.3\n"
    )
    assert load_hu_curve(str(path)).kvp == 120.0


def test_lines_that_a_spreadsheet_quotes_or_fills_up_are_read(tmp_path: Path) -> None:
    head = '# kvp: 120,\n# materials: water,\n"# source: CIRS 062M, A. ""B."" C.",\n'
    found = written(tmp_path, head + "HU,density\n-1000,0\n0,1\n500,1.3\n")
    assert (found.kvp, found.materials) == (120.0, "water")
    assert found.source == 'CIRS 062M, A. "B." C.'


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("# kvp = 120\n", "write '# kvp: '"),
        ("# Materials=water\n", "write '# materials: '"),
        ("# kvp: 120\n# kvp: 80\n", "stated twice, as '120' and as '80'"),
    ],
)
def test_what_a_csv_means_to_state_is_not_lost(head: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        written(tmp_path, head + "HU,density\n-1000,0\n0,1\n500,1.3\n")


def test_what_a_csv_does_not_state_is_said(tmp_path: Path) -> None:
    found = written(tmp_path, "HU,density\n-1000,0\n0,1\n1000,1.6\n", "ct2.csv")
    assert found.name == "ct2" and found.version == found.sha256[:8]
    assert "does not state where it comes from" in found.source


def test_electron_densities_become_those_of_the_tissues() -> None:
    """Every nominal tissue comes back with its own mass density."""
    water = load_material("water").z_over_a
    for name in ("lung", "adipose", "water", "muscle", "bone_1.4", "cortical_bone", "titanium"):
        one = load_material(name)
        relative = one.density_g_cm3 * one.z_over_a / water
        assert mass_from_electron_density(relative) == pytest.approx(one.density_g_cm3, rel=1e-9)
    # Cortical bone of 1.85 g/cm3 has 0.939 times water's electrons per gram.
    assert mass_from_electron_density(1.737) == pytest.approx(1.85, abs=0.001)
    assert mass_from_electron_density(0.0) == 0.0
    fine = mass_from_electron_density(np.linspace(0, 12, 2000))
    assert (np.diff(fine) > 0).all()
    assert mass_from_electron_density(1.1, "water") == pytest.approx(1.1)


def test_a_table_of_electron_densities_is_taken_as_such(tmp_path: Path) -> None:
    text = "HU,relative electron density\n-1000,0.001\n-741,0.2576\n0,1.0\n1446,1.737\n"
    found = written(tmp_path, text)
    assert found.quantity == "relative electron density"
    values = density_from_hu([-741.0, 0.0, 1446.0], found).density
    np.testing.assert_allclose(values, [0.26, 1.0, 1.85], rtol=0.005)
    record = {
        "name": "c", "version": "1", "source": "s", "quantity": "relative electron density",
        "points": [[-1000, 0.001], [-741, 0.2576], [0, 1.0], [1446, 1.737]],
    }  # fmt: skip
    other = written(tmp_path, json.dumps(record), "own.json")
    np.testing.assert_allclose(found.density, other.density)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("-1000,1.2\n0,1000\n1000,1600", "1000 at 0 HU: these are kg/m3; divide them by 1000"),
        ("-1000,0.001\n0,1.2\n1000,1.6", "1.2 g/cm3 at 0 HU, which is water"),
        ("0,0.001\n1000,1.0\n2000,1.6", "1000 or 1024 added"),
        ("-1000,0.3\n0,1.0\n1000,1.6", "0.335 g/cm3 at -950 HU and below, which is air"),
        ("-400,0.6\n0,1.0\n1000,1.6", "begins at -400 HU; air and lung are lighter"),
        ("-1000,0\n-500,0.9\n0,1.0\n1000,1.6", r"0.9 g/cm3 at -500 HU"),
        ("-1000,0\n-500,0.05\n0,1.0\n1000,1.6", r"0.05 g/cm3 at -500 HU"),
        ("-1000,0\n0,1.0\n10,1.5\n1000,1.6", r"1.509 g/cm3 at 100 HU"),
        ("-600,0.4\n0,1.0\n1000,1.6", "0.4 g/cm3 at -950 HU and below, which is air"),
        ("-1000,0.001\n0,1.0\n1000,3.2", "no bone is denser than 3 g/cm3"),
        ("-1000,0.001\n0,1.0\n1000,0.9", "must not fall"),
        ("-1000,0.001\n-10,0.99", "without water"),
        ("24,0.0012\n1024,1.0\n2024,1.5", "1000 or 1024 added"),
        ("-1000,0.001\n0,x", "two numbers are needed"),
        ("-1000,0.001\n0,1,0", "two numbers are needed"),
    ],
)
def test_densities_that_cannot_be_are_refused(points: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        written(tmp_path, f"HU,density\n{points}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1000,0.001\n0,1.0\n", "it has to name two columns"),
        ("HU,rho\n-1000,0.001\n0,1.0\n", "named 'rho'; name it 'mass density'"),
        ("HU,density kg/m3\n-1000,1.2\n0,1000\n", "densities in kg/m3; divide them by 1000"),
        ("# manufactuer: X\nHU,density\n-1000,0\n0,1\n", "Did you mean '# manufacturer:'"),
        ("# kv: 120\nHU,density\n-1000,0\n0,1\n", "Did you mean '# kvp:'"),
        ("# kvp: many\nHU,density\n-1000,0\n0,1\n", "kvp is 'many', not a number"),
        ("# materials: wood\nHU,density\n-1000,0\n0,1\n", "there are tissue, water"),
        ("# quantity: mass density\nHU,RED\n-1000,0\n0,1\n", "its '# quantity:' 'mass density'"),
        ("# kvp: -5\nHU,density\n-1000,0\n0,1\n1000,2\n", "kvp is -5"),
        ("# kvp: nan\nHU,density\n-1000,0\n0,1\n1000,2\n", "kvp is nan"),
        # Read as -1, 0 and 3 HU, all of a patient would have been bone.
        ("HU;density\n-1.000;0,0012\n0;1,0\n3.000;2,8\n", "'-1.000' has a point"),
        ("", "holds no points"),
    ],
)
def test_csv_files_that_do_not_say_what_they_hold_are_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        written(tmp_path, text)


@pytest.mark.parametrize(
    "head", ["CT#,density [g/cc]", "Hounsfield units,Mass density (g/cm^3)", '"HU","density"']
)
def test_other_words_for_the_same_columns(head: str, tmp_path: Path) -> None:
    found = written(tmp_path, f"sep=,\n{head}\n-1000,0\n0,1\n1000,1.6\n")
    np.testing.assert_allclose(found.density, [0, 1, 1.6])


def test_brackets_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not JSON"):
        written(tmp_path, "[" * 100_000, "own.json")


def test_metal_at_the_end_of_the_scale_is_no_bone(tmp_path: Path) -> None:
    found = written(tmp_path, "HU,density\n-1000,0\n0,1\n1500,1.9\n2900,4.5\n3070,7.9\n")
    assert found.density[-1] == 7.9


def test_shipped_curves_are_plausible_and_state_their_materials() -> None:
    tables = {name: load_hu_curve(name).materials for name in list_hu_curves()}
    assert tables == {"generic-120kvp": "tissue", "water-equivalent-phantom": "water"}
