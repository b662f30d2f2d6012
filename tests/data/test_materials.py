"""Compositions, densities and the steps from density to material."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dosecalc.data.cross_sections import coefficients
from dosecalc.data.materials import (
    Material,
    MaterialTable,
    atomic_weight,
    list_materials,
    load_material,
    load_material_table,
    materials_for_density,
)
from dosecalc.errors import InputError, PhysicalDataError


@pytest.mark.parametrize("name", list_materials())
def test_every_material_is_complete(name):
    material = load_material(name)
    assert sum(material.elements.values()) == pytest.approx(1, abs=1e-12)
    assert material.source
    # Only hydrogen is above 0.5 electrons per nucleon; tissues lie at 0.52-0.56, metals at 0.46.
    assert 0.45 < material.z_over_a < 0.56
    assert (coefficients(material, np.array([0.1, 1.0, 10.0])).total > 0).all()


def test_electrons_per_gram_of_water_and_air():
    # ICRU Report 37: Z/A of water 0.55508, of dry air 0.49919; four figures allow for the
    # atomic weights, which have been revised since.
    assert load_material("water").z_over_a == pytest.approx(0.55508, rel=1e-4)
    assert load_material("air").z_over_a == pytest.approx(0.49919, rel=1e-4)


@pytest.mark.reference
@pytest.mark.parametrize(
    ("case", "medium", "name"),
    [
        ("S3_slab_lung_6MV_5x5", "LUNG700ICRU", "lung"),
        ("S4_slab_bone_6MV_5x5", "ICRPBONE700ICRU", "cortical_bone"),
        ("S1_water_6MV_10x10", "H2O700ICRU", "water"),
    ],
)
def test_materials_are_those_of_the_reference_runs(reference, case, medium, name):
    record = json.loads((reference / f"{case}.json").read_text())["phantom"]["media"][medium]
    material = load_material(name)
    assert record["density_g_cm3"] == material.density_g_cm3
    assert {int(e["Z"]) for e in record["elements"]} == set(material.elements)
    for element in record["elements"]:
        # 1e-5: the run's water follows from atomic weights, ours is ICRU's rounded figure.
        assert material.elements[int(element["Z"])] == pytest.approx(
            element["mass_fraction"], abs=1e-5
        )


@pytest.mark.parametrize("name", ["bone_1.4", "bone_1.6"])
def test_intermediate_bone_mixes_spongiosa_and_cortical_bone_by_volume(name):
    light, dense, mixed = (load_material(n) for n in ("bone_spongiosa", "cortical_bone", name))
    volume = (mixed.density_g_cm3 - light.density_g_cm3) / (
        dense.density_g_cm3 - light.density_g_cm3
    )
    mass = volume * dense.density_g_cm3 / mixed.density_g_cm3
    for z, fraction in mixed.elements.items():
        expected = mass * dense.elements.get(z, 0) + (1 - mass) * light.elements.get(z, 0)
        assert fraction == pytest.approx(expected, abs=2e-6)  # six decimals are stored


def test_nominal_densities_stand_for_their_own_material():
    table = load_material_table("tissue")
    for name in table.materials:
        density = load_material(name).density_g_cm3
        assert table.materials[int(materials_for_density(density, table))] == name


@pytest.mark.parametrize(
    ("density", "name"),
    [
        (0.0, "air"),
        (0.0012, "air"),
        (0.05, "lung"),  # a bound belongs to the denser material
        (0.26, "lung"),
        (0.95, "adipose"),
        (1.0, "soft_tissue"),
        (1.06, "soft_tissue"),  # liver, blood
        (1.10, "cartilage"),
        (1.2, "bone_spongiosa"),
        (1.92, "cortical_bone"),
        (2.7, "aluminium"),
        (4.43, "titanium"),  # Ti-6Al-4V
        (7.9, "iron"),
    ],
)
def test_density_to_material(density, name):
    table = load_material_table("tissue")
    for dtype in (np.float32, np.float64):
        index = materials_for_density(np.array([density], dtype=dtype), table)
        assert table.materials[index[0]] == name


def test_water_table_knows_air_and_water_only():
    table = load_material_table("water")
    index = materials_for_density(np.array([0.001, 0.3, 1.0, 3.0]), table)
    assert [table.materials[i] for i in index] == ["air", "water", "water", "water"]


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'titanium'"):
        load_material("titanum")
    with pytest.raises(InputError, match="tissue, water"):
        load_material_table("nothing")
    with pytest.raises(PhysicalDataError, match="Z = 92"):
        atomic_weight(92)


@pytest.mark.parametrize("density", [np.nan, -0.1, np.inf])
def test_impossible_densities_are_refused(density):
    with pytest.raises(InputError, match="finite"):
        materials_for_density(np.array([density]), load_material_table("tissue"))


def test_damaged_data_is_refused():
    with pytest.raises(PhysicalDataError, match=r"sum to 0\.9"):
        Material("x", 1.0, {1: 0.1, 8: 0.8}, "test")
    with pytest.raises(PhysicalDataError, match="density"):
        Material("x", 0.0, {1: 0.1, 8: 0.9}, "test")
    with pytest.raises(PhysicalDataError, match="rising"):
        MaterialTable("t", "1", ("air", "lung", "water"), (0.5, 0.1), "test")
