"""Recipes: what they become, the shipped ones, and every mistake named with its place."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dosecalc.beam.frames import beam_axes, source_position
from dosecalc.data.machines import load_machine
from dosecalc.errors import InputError
from dosecalc.model import PatientPosition
from dosecalc.patient.recipe import (
    MachineSource,
    PointSource,
    build_case,
    list_recipes,
    load_recipe,
)

BASE = """
name = "case"

[grid]
spacing = 5
lower = [-50, 0, -50]
upper = [50, 100, 50]

[background]
material = "water"
{solids}
{source}
"""
POINT = """
[source]
kind = "point"
energy_mev = 1.25
ssd = 1000
field = [-20, 30, -40, 50]
"""
MACHINE = """
[machine]
name = "generic-6mv"
fractions = 5

[[beam]]
mu = 120
isocentre = [0, 50, 0]
jaws_x = [-30, 20]
jaws_y = [-50, 40]
gantry_deg = 270
"""


def read(tmp_path, text):
    path = tmp_path / "case.toml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def case(tmp_path, solids="", source=POINT):
    return build_case(read(tmp_path, BASE.format(solids=solids, source=source)))


def volume(tmp_path, solid):
    """Volume, cm3, of a solid of density 1 in nothing."""
    text = BASE.replace('material = "water"', 'material = "air"\ndensity = 0')
    text = text.replace("spacing = 5", "spacing = 2.5")
    solids = f'\n[[solid]]\nmaterial = "water"\n{solid}'
    phantom, _, _ = build_case(read(tmp_path, text.format(solids=solids, source=POINT)))
    return phantom.density.sum(dtype=float) * phantom.grid.voxel_volume_cm3


@pytest.mark.parametrize(
    ("solid", "cm3"),
    [
        ('kind = "slab"\naxis = "y"\nfrom = 11\nto = 27.3', 10 * 10 * 1.63),
        ('kind = "slab"\naxis = [1, 0, 0]\nfrom = -11\nto = 27.3', 10 * 10 * 3.83),
        ('kind = "box"\nlower = [-11, 3, 4]\nupper = [22, 31, 14]', 3.3 * 2.8 * 1.0),
        ('kind = "box"\ncentre = [1, 50, 2]\nsize = [22, 31, 14]\nrotation_deg = 33', 9.548),
        ('kind = "sphere"\ncentre = [1, 50, 2]\nradius = 33', 4 / 3 * np.pi * 3.3**3),
        (
            'kind = "cylinder"\ncentre = [1, 50, 2]\naxis = [1, 1, 0]\nradius = 21\nlength = 50',
            np.pi * 2.1**2 * 5,
        ),
        ('kind = "cylinder"\ncentre = [1, 50, 2]\naxis = "z"\nradius = 21', np.pi * 2.1**2 * 10),
        ('kind = "half_space"\npoint = [0, 50, 0]\ndirection = [1, 2, 3]', 500),
        ('kind = "half_space"\npoint = [0, 61.3, 0]\ndirection = [0, 1, 0]', 387),
    ],
)
def test_every_solid_has_its_analytic_volume(tmp_path, solid, cm3):
    assert volume(tmp_path, solid) == pytest.approx(cm3, rel=0.005)


def test_solids_are_on_the_side_that_is_stated(tmp_path):
    phantom, _, _ = case(
        tmp_path,
        '\n[[solid]]\nkind = "half_space"\nmaterial = "lung"\npoint = [0, 30, 0]\n'
        'direction = [0, 1, 0]\n[[solid]]\nkind = "box"\nmaterial = "titanium"\n'
        "lower = [10, 0, -50]\nupper = [50, 100, 0]\n",
    )
    z, y, x = np.meshgrid(*(phantom.grid.centres(a) for a in "zyx"), indexing="ij")
    names = np.array(phantom.materials)[phantom.material]
    metal = (x > 10) & (z < 0)
    assert (names[metal] == "titanium").all()
    assert (names[~metal & (y > 30)] == "lung").all()
    assert (names[~metal & (y < 30)] == "water").all()
    assert set(np.unique(phantom.density)) == {np.float32(v) for v in (4.54, 0.26, 1.0)}


def test_grid_from_corners_or_from_centres(tmp_path):
    corners = case(tmp_path)[0].grid
    assert corners.shape == (20, 20, 20)
    assert corners.lower == pytest.approx((-50, 0, -50))
    text = BASE.replace("lower = [-50, 0, -50]", "origin = [1, 2, 3]")
    text = text.replace("upper = [50, 100, 50]", "voxels = [4, 5, 6]")
    text = text.replace("spacing = 5", "spacing = [1, 2, 3]")
    grid = read(tmp_path, text.format(solids="", source=POINT)).grid
    assert grid.shape == (6, 5, 4)
    assert grid.spacing == (1, 2, 3)
    assert grid.origin == (1, 2, 3)


def test_a_point_source_is_one_beam_of_unit_fluence(tmp_path):
    _, plan, machine = case(tmp_path)
    (beam,) = plan.beams
    assert (beam.mu, plan.fractions, machine.calibration.per_fluence) == (1, 1, True)
    assert machine.sad_mm == beam.sad_mm == 1000
    point = beam.control_points[0]
    assert (point.jaws_x, point.jaws_y) == ((-20, 30), (-40, 50))
    assert point.isocentre == (0, 0, 0)
    assert machine.spectrum.mean_energy_mev == pytest.approx(1.25)


def test_gantry_zero_shines_along_y_with_the_field_along_x_and_z(tmp_path):
    # What maps the reference runs (depth, x, y) to the patient: (+y, +x, +z).
    _, plan, machine = case(tmp_path)
    point = plan.beams[0].control_points[0]
    axes = beam_axes(plan.position, point.gantry_deg, point.collimator_deg, point.couch_deg)
    np.testing.assert_allclose(axes, [[1, 0, 0], [0, 0, 1], [0, 1, 0]], atol=1e-12)
    source = source_position(point.isocentre, axes, machine.sad_mm)
    np.testing.assert_allclose(source, [0, -1000, 0], atol=1e-9)


def test_angles_and_isocentre_of_a_point_source(tmp_path):
    extra = "gantry_deg = 90\ncollimator_deg = 15\ncouch_deg = 350\nisocentre = [1, 2, 3]\n"
    _, plan, _ = case(tmp_path, source=POINT + extra)
    point = plan.beams[0].control_points[1]
    assert (point.gantry_deg, point.collimator_deg, point.couch_deg) == (90, 15, 350)
    assert point.isocentre == (1, 2, 3)


def test_a_machine_with_monitor_units(tmp_path):
    _, plan, machine = case(tmp_path, source=MACHINE + 'name = "left"\n')
    (beam,) = plan.beams
    assert machine.name == beam.machine_name == "generic-6mv"
    assert (beam.name, beam.mu, plan.fractions) == ("left", 120, 5)
    assert (beam.energy_mv, beam.fluence_mode) == (machine.energy_mv, machine.fluence_mode)
    point = beam.control_points[0]
    assert (point.jaws_x, point.jaws_y, point.gantry_deg) == ((-30, 20), (-50, 40), 270)
    assert point.leaves is None
    assert beam.leaf_boundaries is None


def test_leaves_need_a_machine_that_has_them(tmp_path):
    pairs = load_machine("generic-6mv").mlc.boundaries_mm.size - 1
    leaves = f"leaves = [{[-10] * pairs}, {[12] * pairs}]\n"
    _, plan, _ = case(tmp_path, source=MACHINE + leaves)
    assert plan.beams[0].control_points[0].leaves.shape == (2, pairs)
    with pytest.raises(InputError, match="leaf boundaries"):
        case(tmp_path, source=MACHINE + "leaves = [[-10, -10], [10, 10]]\n")


def test_position_goes_into_the_plan(tmp_path):
    text = 'position = "FFP"\n' + BASE.format(solids="", source=POINT)
    assert build_case(read(tmp_path, text))[1].position is PatientPosition.FFP


def test_the_phantom_names_its_recipe(tmp_path):
    phantom, _, _ = case(tmp_path)
    assert any("recipe 'case', SHA-256 " in note for note in phantom.notes)


SOLID = '\n[[solid]]\nkind = "sphere"\nmaterial = "lung"\ncentre = [0, 0, 0]\nradius = 5\n'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("radius = 5", "raduis = 5", r"number 1 \(sphere\): unknown key 'raduis'.*'radius'"),
        ("radius = 5", "", "radius is None; a finite number"),
        ("radius = 5", "radius = -5", r"\(sphere\): radius -5"),
        ("radius = 5", "radius = true", "radius is True"),
        ("radius = 5", "radius = nan", "radius is nan"),
        ("radius = 5", "radius = 5\naxis = 'z'", "unknown key 'axis'"),
        ("centre = [0, 0, 0]", "centre = [0, 0]", r"centre is \[0, 0\]; 3 numbers"),
        ('kind = "sphere"', 'kind = "torus"', "kind 'torus'; one of box"),
        ('material = "lung"', 'material = "lungs"', "number 1: no material.*'lung'"),
        ('material = "lung"', 'material = "lung"\ndensity = -1', "zero or more"),
        ("spacing = 5", "spacing = 0", r"\[grid\]: spacing"),
        ("spacing = 5", "spacing = 7", "voxels along x, y, z; whole numbers"),
        ("spacing = 5", "spaceing = 5", "Did you mean 'spacing'"),
        ("lower = [-50, 0, -50]", "", "exactly one of lower and origin"),
        ("upper = [50, 100, 50]", "voxels = [1, 0, 1]", "whole numbers from 1 up"),
        ("upper = [50, 100, 50]", "voxels = [1, 1, 1]\nupper = [0, 0, 0]", "exactly one of upper"),
        ("[background]", "[backgruond]", "unknown key 'backgruond'.*'background'"),
        ('name = "case"', "name = 3", "name is 3; a text"),
        ('name = "case"', 'name = "case"\nposition = "HFX"', "position 'HFX'; one of HFS"),
        ('kind = "point"', 'kind = "disc"', "only 'point' is known"),
        ("energy_mev = 1.25", "", "exactly one of spectrum and energy_mev"),
        ("energy_mev = 1.25", "energy_mev = 0", "energy_mev is 0; it must be above zero"),
        ("energy_mev = 1.25", "energy_mev = 1\nspectrum = 'mohan6'", "exactly one of spectrum"),
        ("field = [-20, 30, -40, 50]", "field = [30, -20, -40, 50]", "is empty"),
        ("field = [-20, 30, -40, 50]", "field = [-20, 30]", "4 numbers"),
        ("ssd = 1000", "", "ssd is None"),
        ("[source]", "[sauce]", "Did you mean 'source'"),
        ("ssd = 1000", "ssd = 1000\n[machine]\nname='x'", "exactly one of source and machine"),
        ("ssd = 1000", "ssd = 1000\n[[beam]]\nmu = 1", "belongs to a"),
        ("[[solid]]", "[solid]", r"written as \[\[solid\]\]"),
        ("spacing = 5", "spacing = ", "is not TOML"),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path, old, new, message):
    text = BASE.format(solids=SOLID, source=POINT)
    assert old in text
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text.replace(old, new, 1))
    assert "case.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fractions = 5", "", "fractions is None"),
        ("fractions = 5", "fractions = 1.5", "whole number"),
        ("mu = 120", "mu = -1", "mu is -1; it must be above zero"),
        ("mu = 120", "MU = 120", r"\[\[beam\]\] number 1: unknown key 'MU'"),
        ("isocentre = [0, 50, 0]", "", "isocentre is None"),
        ("jaws_x = [-30, 20]", "jaws_x = [30, 20]", "is empty"),
        ("gantry_deg = 270", "leaves = [1, 2]", "leaves must be two lists"),
        ("gantry_deg = 270", 'leaves = [["a"], ["b"]]', "leaves must be two lists"),
    ],
)
def test_mistakes_of_machine_recipes(tmp_path, old, new, message):
    text = BASE.format(solids="", source=MACHINE)
    assert old in text
    with pytest.raises(InputError, match=message):
        read(tmp_path, text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("solid", "message"),
    [
        ('kind = "box"\nlower = [0, 0, 0]\nsize = [1, 1, 1]', "lower and upper, or centre"),
        ('kind = "box"\nlower = [0, 0, 0]\nupper = [1, 0, 1]', "empty"),
        ('kind = "slab"\naxis = "w"\nfrom = 1\nto = 2', "'x', 'y', 'z' or a vector"),
        ('kind = "slab"\naxis = [0, 0, 0]\nfrom = 1\nto = 2', "no direction"),
        ('kind = "slab"\naxis = "x"\nfrom = 2\nto = 1', "empty"),
    ],
)
def test_impossible_solids_are_refused(tmp_path, solid, message):
    text = BASE.format(solids=f'\n[[solid]]\nmaterial = "water"\n{solid}\n', source=POINT)
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_a_machine_without_beams_is_refused(tmp_path):
    text = BASE.format(solids="", source=MACHINE.split("[[beam]]")[0])
    with pytest.raises(InputError, match=r"one .*beam.* or more"):
        read(tmp_path, text)


def test_unknown_spectra_machines_and_recipes_are_refused(tmp_path):
    with pytest.raises(InputError, match="no spectrum"):
        case(tmp_path, source=POINT.replace("energy_mev = 1.25", 'spectrum = "mohan7"'))
    with pytest.raises(InputError, match="generic-7mv"):
        case(tmp_path, source=MACHINE.replace("generic-6mv", "generic-7mv"))
    with pytest.raises(InputError, match="water-6mv-10x10"):
        load_recipe("water")
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_build(name):
    recipe = load_recipe(name)
    phantom, plan, machine = build_case(recipe)
    assert recipe.name == name
    assert recipe.description
    assert plan.beams
    assert isinstance(recipe.source, MachineSource if machine.mlc else PointSource)
    # The surface at the isocentre or the medium around it: the beam meets matter.
    assert phantom.density.max() >= 1


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("water-6mv-10x10", "S1_water_6MV_10x10"),
        ("water-6mv-3x3", "S2_water_6MV_3x3"),
        ("slab-lung-6mv-5x5", "S3_slab_lung_6MV_5x5"),
        ("slab-bone-6mv-5x5", "S4_slab_bone_6MV_5x5"),
        ("water-15mv-10x10", "S5_water_15MV_10x10"),
    ],
)
def test_shipped_recipes_are_the_reference_runs(reference, name, run):
    record = json.loads((reference / f"{run}.json").read_text())
    edges = np.load(reference / f"{run}.npz")
    recipe = load_recipe(name)
    phantom, plan, machine = build_case(recipe)
    for axis, key in (("x", "x_edges"), ("z", "y_edges"), ("y", "z_edges")):
        ours = phantom.grid.edges(axis)
        np.testing.assert_allclose([ours[0], ours[-1]], 10 * edges[key][[0, -1]], atol=1e-9)
    point = plan.beams[0].control_points[0]
    expected = 10 * np.array(record["field"])
    np.testing.assert_allclose([*point.jaws_x, *point.jaws_y], expected)
    assert machine.sad_mm == 10 * record["source"]["ssd"]
    np.testing.assert_allclose(
        machine.spectrum.photons, record["spectrum"]["probability_per_bin"], rtol=1e-5
    )
    depth = phantom.grid.centres("y")
    density = np.ones(depth.size)
    for box in record["phantom"]["boxes"]:
        density[(depth > 10 * box[4]) & (depth < 10 * box[5])] = box[7]
    np.testing.assert_allclose(phantom.density[3, :, 5], density, rtol=1e-6)
    # Everything across the beam is the same.
    np.testing.assert_array_equal(
        phantom.density, np.broadcast_to(phantom.density[:1, :, :1], phantom.density.shape)
    )


def test_w1_is_the_speed_case():
    phantom, plan, _ = build_case(load_recipe("w1-water-box"))
    assert phantom.grid.shape == (120, 120, 120)
    assert phantom.grid.spacing == (2.5, 2.5, 2.5)
    assert phantom.grid.origin == pytest.approx((-148.75, 1.25, -148.75))
    assert plan.beams[0].control_points[0].jaws_x == (-50, 50)
