"""Machine files: schema, provenance, geometry; and the ideal machine."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dosecalc.data.kernels import make_machines

from dosecalc.data.cross_sections import coefficients
from dosecalc.data.machines import list_machines, load_machine, point_source_machine
from dosecalc.data.materials import load_material
from dosecalc.data.spectra import load_spectrum
from dosecalc.errors import InputError, PhysicalDataError

FOLDER = files("dosecalc.data.kernels.machines")
QUALITIES = {"6mv": (6, "STANDARD"), "6fff": (6, "FFF"), "10mv": (10, "STANDARD")}
QUALITIES["15mv"] = (15, "STANDARD")


def test_shipped_names() -> None:
    expected = {f"generic-{q}{s}" for q in QUALITIES for s in ("", "-agility")}
    assert set(list_machines()) == expected


@pytest.mark.parametrize("name", list_machines())
def test_every_machine_loads_and_says_what_it_is(name: str) -> None:
    machine = load_machine(name)
    content = (FOLDER / f"{name}.json").read_bytes()
    assert machine.name == name
    assert machine.provenance["machine_sha256"] == hashlib.sha256(content).hexdigest()
    assert machine.provenance["machine_file"] == f"{name}.json"
    assert "generic" in machine.provenance["status"]
    for topic in ("sources", "geometry", "transmission", "profile", "softening", "calibration"):
        assert machine.provenance[topic]
    assert (machine.energy_mv, machine.fluence_mode) == QUALITIES[name.split("-")[1]]
    assert machine.calibration.gray_per_mu == 0.01
    assert machine.calibration.depth_mm + machine.calibration.ssd_mm == machine.sad_mm
    assert not machine.calibration.per_fluence


@pytest.mark.parametrize("name", list_machines())
def test_shipped_files_are_what_the_recipe_writes(name: str) -> None:
    _, quality, *suffix = name.split("-")
    record = make_machines.machine_record(quality, f"-{suffix[0]}" if suffix else "")
    assert json.loads((FOLDER / f"{name}.json").read_bytes()) == json.loads(json.dumps(record))


def test_leaf_geometries() -> None:
    millennium = load_machine("generic-6mv").mlc
    assert millennium is not None
    widths = np.diff(millennium.boundaries_mm)
    np.testing.assert_array_equal(widths, [10] * 10 + [5] * 40 + [10] * 10)
    agility = load_machine("generic-6mv-agility")
    assert agility.mlc is not None
    np.testing.assert_array_equal(np.diff(agility.mlc.boundaries_mm), [5] * 80)
    assert agility.jaws_x is None and agility.jaws_y is not None
    # In the Agility head the leaves lie above the diaphragms, in the other below the jaws.
    assert agility.mlc.distance_mm < agility.jaws_y.distance_mm
    upper = load_machine("generic-6mv").jaws_y
    assert upper is not None and upper.distance_mm < millennium.distance_mm


def test_profiles() -> None:
    flat, peaked = load_machine("generic-6mv").profile, load_machine("generic-6fff").profile
    assert flat is not None and peaked is not None
    radii = np.linspace(0, 290, 30)
    assert 1.02 < flat(radii).max() < 1.1  # mild horns
    assert (np.diff(peaked(radii)) < 0).all()
    # Filter-free 6 MV profiles fall to 75-85 % at 10 cm (Georg et al. 2011).
    assert 0.75 < float(peaked(np.array([100.0]))[0]) < 0.85


def half_value_layer(photons: np.ndarray, energies: np.ndarray) -> float:
    """Narrow-beam half-value layer in water, in collision kerma, by search on a fine grid."""
    water = coefficients(load_material("water"), energies)
    depth = np.linspace(0, 40, 8001)
    kerma = np.exp(-np.outer(depth, water.total)) @ (photons * energies * water.to_electrons)
    return float(np.interp(-0.5 * kerma[0], -kerma, depth))


@pytest.mark.parametrize("name", ["generic-6mv", "generic-10mv", "generic-15mv"])
def test_softening_follows_the_generic_half_value_layers(name: str) -> None:
    machine = load_machine(name)
    assert machine.softening is not None
    energies = (machine.spectrum.edges_low + machine.spectrum.edges_high) / 2
    mu = coefficients(load_material("water"), energies).total
    axis = half_value_layer(machine.spectrum.photons, energies)
    for radius in (50.0, 100.0, 200.0):
        k = float(machine.softening(np.array([radius]))[0])
        softer = half_value_layer(machine.spectrum.photons * np.exp(k * mu), energies)
        theta = np.degrees(np.arctan(radius / 1000))
        expected = 1 + 0.00181 * theta + 0.00202 * theta**2 - 0.0000942 * theta**3
        # k is rounded to 0.01 cm and the search grid is 0.05 mm: 1e-3
        assert axis / softer == pytest.approx(expected, rel=1e-3)


def test_point_source_machine() -> None:
    machine = point_source_machine(load_spectrum("mohan15"), 1000.0)
    assert machine.calibration.per_fluence
    assert machine.profile is None and machine.softening is None and machine.mlc is None
    (source,) = machine.sources
    assert (source.weight, source.sigma_x_mm, source.sigma_y_mm) == (1, 0, 0)
    assert machine.jaws_x is not None and machine.jaws_x.transmission == 0
    assert machine.energy_mv == 14.5


def test_own_machine_by_path(tmp_path: Path) -> None:
    record = json.loads((FOLDER / "generic-6mv.json").read_bytes())
    record["name"] = "mine"
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(record))
    for given in (path, str(path)):
        machine = load_machine(given)
        assert machine.name == "mine"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert machine.provenance["machine_sha256"] == digest


def change(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def apply(record: dict[str, Any]) -> None:
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = to

    return apply


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    def apply(record: dict[str, Any]) -> None:
        for key in path[:-1]:
            record = record[key]
        del record[path[-1]]

    return apply


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (change("schema", to="dosecalc-machine/2"), "dosecalc-machine/1"),
        (without("limits"), r"missing keys \['limits'\]"),
        (change("gantry", to=1), r"unknown keys \['gantry'\]"),
        (without("mlc", "transmission"), r"mlc: missing keys \['transmission'\]"),
        (change("sad_mm", to="1000"), "sad_mm: '1000' is not a finite number"),
        (change("sad_mm", to=float("nan")), "sad_mm"),
        (change("fluence_mode", to="FLAT"), "fluence mode 'FLAT'"),
        (change("spectrum", to="mohan7"), "no spectrum is named 'mohan7'"),
        (change("sources", to=[]), "source weights sum to 0"),
        (change("sources", to={}), "sources: a list"),
        (change("sources", to=[{"weight": 1.0}]), "source 1: missing keys"),
        (change("mlc", "boundaries_mm", to=[0, 5, 3]), "rising leaf boundaries"),
        (change("mlc", "boundaries_mm", to=[0, True, 3]), "boundaries_mm: True"),
        (change("mlc", "axis", to="z"), "axis 'x' or 'y'"),
        (change("mlc", "range_mm", to=[200, -200]), "range_mm"),
        (change("mlc", "tip_offset_mm", to=-1.0), "tip offset"),
        (change("jaws_x", "transmission", to=1.5), "jaws_x: transmission 1.5"),
        (change("jaws_x", "distance_mm", to=100.0), "jaws_x: distance 100.0 mm"),
        (change("jaws_x", to=445.0), "jaws_x: a JSON object"),
        (change("profile", "value", to=[1.0]), "radial profile"),
        (change("profile", "value", to=[0.0] * 8), "profile: values must be above zero"),
        (change("softening", "value", to=[1.0] * 10), "value on the axis must be 0"),
        (change("calibration", "gray_per_mu", to=0.0), "calibration"),
        (change("calibration", "per_fluence", to=0), "per_fluence"),
        (change("limits", "sad_mm", to=900.0), "sad_mm 900.0 differs"),
        (change("limits", "field_min_mm", to=500.0), "fields from 500.0 to 400.0"),
        (change("provenance", to="me"), "provenance: a JSON object"),
    ],
)
def test_broken_machine_files_are_refused(
    edit: Callable[[dict[str, Any]], None], match: str, tmp_path: Path
) -> None:
    record = copy.deepcopy(json.loads((FOLDER / "generic-6mv.json").read_bytes()))
    edit(record)
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(record))
    with pytest.raises(PhysicalDataError, match=match) as caught:
        load_machine(path)
    assert "broken.json" in str(caught.value)


def test_machine_without_any_collimator_is_refused(tmp_path: Path) -> None:
    record = json.loads((FOLDER / "generic-6mv.json").read_bytes())
    record |= {"jaws_x": None, "jaws_y": None, "mlc": None}
    path = tmp_path / "bare.json"
    path.write_text(json.dumps(record))
    with pytest.raises(PhysicalDataError, match="nothing limits the field"):
        load_machine(path)


def test_names_and_files_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'truebeam'.*generic-6mv"):
        load_machine("truebeam")
    with pytest.raises(InputError, match="cannot be read"):
        load_machine(tmp_path / "missing.json")
    (tmp_path / "text.json").write_text("6 MV")
    with pytest.raises(PhysicalDataError, match="not JSON"):
        load_machine(tmp_path / "text.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(PhysicalDataError, match="schema"):
        load_machine(tmp_path / "list.json")
