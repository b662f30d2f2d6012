"""Tables of the independent MU check: what is shipped and refused; they are right in water."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dosecalc.data.kernels import make_mu_tables

from dosecalc.data.machines import list_machines, load_machine
from dosecalc.data.mu_tables import MuTables, list_mu_tables, load_mu_tables
from dosecalc.errors import InputError, OutsideValidityError, PhysicalDataError

FOLDER = files("dosecalc.data.kernels.mu_tables")


def record(name: str = "generic-6mv") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def test_every_shipped_machine_has_its_tables() -> None:
    assert list_mu_tables() == list_machines()
    for name in list_mu_tables():
        tables = load_mu_tables(load_machine(name))
        assert "not measured" in tables.provenance["status"]
        assert tables.provenance["recipe"] == "kernels/make_mu_tables.py"


@pytest.mark.parametrize("name", ["generic-6mv", "generic-6fff-agility", "generic-15mv"])
def test_shipped_files_are_what_the_recipe_writes(name: str) -> None:
    made = json.loads(json.dumps(make_mu_tables.table_record(name)))
    shipped = record(name)
    np.testing.assert_allclose(made["water"].pop("tpr"), shipped["water"].pop("tpr"), atol=2e-5)
    for entries in (made, shipped):
        for part in ("water", "off_axis", "head_scatter"):
            for key, value in entries[part].items():
                entries[part][key] = np.round(value, 4).tolist()
    assert made == shipped


@pytest.mark.parametrize("name", list_mu_tables())
def test_tables_behave_as_those_of_real_machines(name: str) -> None:
    tables = load_mu_tables(load_machine(name))
    # More field, more scatter; more water, less dose. (At 15 MV a 2 cm field lacks electrons.)
    assert (np.diff(tables.phantom_scatter[2:]) > 0).all()
    assert (np.diff(tables.tpr[:, 1:], axis=0) < 0).all()
    assert (np.diff(tables.head_scatter.jaws) >= 0).all()
    assert float(tables.tpr_of(100.0, 100.0)) == pytest.approx(1.0, abs=1e-4)
    # TPR20,10 of clinical beams, TRS-398 table 6.III: 0.63-0.68 at 6 MV (filter-free below
    # flattened), 0.70-0.74 at 10 MV, 0.74-0.78 at 15 MV.
    low, high = {6.0: (0.63, 0.685), 10.0: (0.70, 0.745), 15.0: (0.74, 0.78)}[tables.energy_mv]
    assert low < float(tables.tpr_of(200.0, 100.0)) < high


@pytest.mark.reference
def test_water_tables_follow_egsnrc(reference: Path) -> None:
    """Depth dose and output of point-source fields, from an independent code.

    The tables hold the horns of the machine, which the reference has not: up to 0.3 % at 10 x 10.
    EGSnrc's own noise is 0.5 % per point, here taken down by fits over 24 mm.
    """
    tables = load_mu_tables(load_machine("generic-6mv"))
    at = {}
    for side, name in ((100, "S1_water_6MV_10x10"), (30, "S2_water_6MV_3x3")):
        with np.load(reference / f"{name}.npz") as data:
            dose = data["dose"].astype(float)
            x, y, z = (10 * (data[f"{a}_edges"][1:] + data[f"{a}_edges"][:-1]) / 2 for a in "xyz")
        axis = dose[np.ix_(np.abs(x) < 2.6, np.abs(y) < 2.6)].mean(axis=(0, 1))
        for depth in (40.0, 100.0, 200.0):
            near = np.abs(z - depth) < 25
            fit = np.polyfit(z[near] - depth, np.log(axis[near]), 2)
            at[side, depth] = float(np.exp(fit[-1]))

    def table(side: float, depth: float) -> float:
        factor = float(tables.field_factor(depth, side * (1000 + depth) / 1000))
        return factor * (1000 / (1000 + depth)) ** 2

    for (side, depth), dose_there in at.items():
        ratio = table(side, depth) / table(100, 100)
        assert ratio == pytest.approx(dose_there / at[100, 100.0], rel=0.012), (side, depth)


def test_nothing_is_extrapolated() -> None:
    tables = load_mu_tables(load_machine("generic-6mv"))
    for ask in (
        lambda: tables.tpr_of(401.0, 100.0),
        lambda: tables.tpr_of(10.0, 100.0),
        lambda: tables.phantom_scatter_of(561.0),
        lambda: tables.off_axis(291.0, 100.0),
        lambda: tables.head_scatter.of_jaws(401.0),
    ):
        with pytest.raises(OutsideValidityError, match="not extrapolated"):
            ask()


def test_equivalent_square_of_jaws() -> None:
    head = load_mu_tables(load_machine("generic-6mv")).head_scatter
    assert head.jaw_side(80.0, 80.0) == pytest.approx(80.0)
    # Upper jaws (Y) see more of the source hidden than lower ones: long in Y gives more.
    assert head.of_jaws(head.jaw_side(50, 200)) > head.of_jaws(head.jaw_side(200, 50))


def test_stale_tables_are_refused() -> None:
    machine = load_machine("generic-6mv")
    changed = replace(machine, provenance={**machine.provenance, "machine_sha256": "0" * 64})
    with pytest.raises(PhysicalDataError, match="as it is now"):
        load_mu_tables(changed)
    recalibrated = replace(machine, calibration=replace(machine.calibration, gray_per_mu=0.0101))
    with pytest.raises(PhysicalDataError, match="gray_per_mu"):
        load_mu_tables(recalibrated)
    with pytest.raises(InputError, match="no MU tables"):
        load_mu_tables(replace(machine, name="linac 3"))


def changed_tpr(entries: dict[str, Any]) -> None:
    entries["water"]["tpr"][8] = [2.0] * len(entries["water"]["field_mm"])


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "schema": (lambda r: r.update(schema="other/1"), "schema"),
    "unknown key": (lambda r: r.update(wedge=1), "unknown keys"),
    "missing part": (lambda r: r["water"].pop("tpr"), "missing keys"),
    "rows": (lambda r: r["water"]["tpr"].pop(), "shape"),
    "order": (lambda r: r["water"]["depth_mm"].reverse(), "must rise"),
    "not a number": (lambda r: r["reference"].update(gray_per_mu="1 cGy"), "could not convert"),
    "TPR not 1": (changed_tpr, "not 1"),
    "transmission": (lambda r: r["transmission"].update(leaves=1.5), "transmission"),
    "no field 0": (lambda r: r["water"]["field_mm"].__setitem__(0, 5), "begin at 0"),
    "negative": (lambda r: r["off_axis"]["ratio"][0].__setitem__(3, -1), "above zero"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_files_are_refused(what: str, tmp_path: Path) -> None:
    entries = record()
    change, message = BROKEN[what]
    change(entries)
    path = tmp_path / "tables.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(PhysicalDataError, match=message):
        load_mu_tables(load_machine("generic-6mv"), path)


def test_own_tables(tmp_path: Path) -> None:
    entries = record()
    entries["head_scatter"]["leaves"] = None
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(entries))
    tables: MuTables = load_mu_tables(load_machine("generic-6mv"), path)
    assert tables.head_scatter.leaves is None
    with pytest.raises(InputError, match="cannot be read"):
        load_mu_tables(load_machine("generic-6mv"), tmp_path / "none.json")
    (tmp_path / "text.json").write_text("tables")
    with pytest.raises(PhysicalDataError, match="not JSON"):
        load_mu_tables(load_machine("generic-6mv"), tmp_path / "text.json")
