"""From CT and structures to density and material: what is kept, replaced, counted and refused."""

from __future__ import annotations

import numpy as np
import pytest

from dosecalc.data.hu_curves import HuCurve, load_hu_curve
from dosecalc.data.materials import load_material
from dosecalc.errors import GeometryError, InputError
from dosecalc.model import (
    Contour,
    CtImage,
    Grid,
    PatientPosition,
    Structure,
    StructureSet,
    VoxelSource,
)
from dosecalc.patient.dose_grid import bounds, dose_grid
from dosecalc.patient.overrides import Override
from dosecalc.patient.phantom import phantom_from_ct, phantom_from_structures

AIR = load_material("air").density_g_cm3
CURVE = HuCurve("test", "1", [-1000, 0, 2000], [0.0, 1.0, 3.0], "1 + HU/1000", kvp=120)
FRAME = "1.2.3"


def block(name, lower, upper, *, number=1, kind="ORGAN", density=None, step=3.0):
    """A box as contours on planes every `step` mm, from lower to upper z."""
    (x1, y1, z1), (x2, y2, z2) = lower, upper
    corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], dtype=float)
    planes = np.arange(z1 + step / 2, z2, step)
    contours = tuple(Contour(float(z), corners) for z in planes)
    return Structure(number, name, kind, contours, density)


def scan(hu=0.0, *, shape=(20, 60, 60), spacing=(1.0, 1.0, 3.0), lower=(-30, -30, 0), **attributes):
    origin = tuple(low + s / 2 for low, s in zip(lower, spacing, strict=True))
    values = np.broadcast_to(np.float32(hu), shape).copy()
    given = {"kvp": 120.0, "frame_of_reference_uid": FRAME} | attributes
    return CtImage(Grid(shape, spacing, origin), values, PatientPosition.HFS, **given)


BODY = block("BODY", (-20, -20, 6), (20, 20, 54), kind="EXTERNAL", number=9)


def patient(*others, frame=FRAME):
    return StructureSet((BODY, *others), frame_of_reference_uid=frame)


def on_ct_grid(ct, structures, **options):
    return phantom_from_ct(ct, structures, curve=CURVE, grid=ct.grid, **options)


def inside(grid, lower, upper):
    z, y, x = (grid.centres(a) for a in "zyx")
    masks = [(c > low) & (c < high) for c, low, high in zip((x, y, z), lower, upper, strict=True)]
    return masks[2][:, None, None] & masks[1][:, None] & masks[0]


def materials_in(phantom, mask):
    return {phantom.materials[i] for i in np.unique(phantom.material[mask])}


def test_outside_the_body_is_air():
    ct = scan(100.0)
    phantom = on_ct_grid(ct, patient())
    body = inside(ct.grid, (-20, -20, 6), (20, 20, 54))
    np.testing.assert_allclose(phantom.density[body], 1.1, rtol=1e-6)
    np.testing.assert_allclose(phantom.density[~body], AIR, rtol=1e-6)
    assert materials_in(phantom, body) == {"cartilage"}
    assert materials_in(phantom, ~body) == {"air"}
    assert (phantom.source[body] == VoxelSource.CT_CURVE).all()
    assert (phantom.source[~body] == VoxelSource.OUTSIDE_BODY).all()


def test_voxels_at_the_edge_of_the_body_are_weighted_by_volume():
    ct = scan(0.0, spacing=(4.0, 4.0, 3.0), shape=(20, 15, 15))
    skin = block("SKIN", (-11, -20, 6), (20, 20, 54), kind="EXTERNAL")
    phantom = on_ct_grid(ct, StructureSet((skin,)))
    # The voxel from -14 to -10 mm is inside by a quarter of its width.
    column = int(ct.grid.index_of((-12, 0, 30))[2].round())
    assert phantom.density[10, 7, column] == pytest.approx(0.25 + 0.75 * AIR, rel=1e-6)
    # Nearly all of its mass is tissue.
    assert phantom.materials[phantom.material[10, 7, column]] == "soft_tissue"


def test_mass_is_conserved_on_the_dose_grid():
    ct = scan()
    hu = np.random.default_rng(4).integers(-1000, 1500, ct.grid.shape)
    ct = CtImage(ct.grid, hu, PatientPosition.HFS)
    grid = Grid.covering((-33, -33, -3), (33, 33, 63), (2.5, 2.7, 2.5))
    phantom = phantom_from_ct(ct, None, curve=CURVE, body="none", grid=grid)
    ct_mass = (1 + hu / 1000).sum() * ct.grid.voxel_volume_cm3
    volume = np.prod(grid.shape) * grid.voxel_volume_cm3
    air_mass = (volume - hu.size * ct.grid.voxel_volume_cm3) * AIR
    # Densities are stored as float32, whose rounding averages out well below 1e-6.
    assert phantom.mass_g.sum() == pytest.approx(ct_mass + air_mass, rel=1e-6)


def test_mass_of_the_body_is_conserved_with_overrides():
    tumour = block("tumour", (-5.3, -4.1, 21), (6.2, 7.7, 39))
    ct = scan(50.0)
    grid = dose_grid(BODY, spacing=2.5, margin=5.0)
    phantom = phantom_from_ct(
        ct, patient(tumour), curve=CURVE, grid=grid, overrides={"tumour": Override(2.0, "water")}
    )
    tumour_cm3, body_cm3 = 1.15 * 1.18 * 1.8, 4 * 4 * 4.8
    grid_cm3 = np.prod(grid.shape) * grid.voxel_volume_cm3
    expected = 2.0 * tumour_cm3 + 1.05 * (body_cm3 - tumour_cm3) + AIR * (grid_cm3 - body_cm3)
    assert phantom.mass_g.sum() == pytest.approx(expected, rel=1e-6)


def test_material_follows_the_density_never_a_mixture():
    # Half lung, half soft tissue in one dose voxel: one density, one material.
    hu = np.zeros((2, 2, 2))
    hu[..., 0] = -740
    ct = CtImage(Grid((2, 2, 2), (1, 1, 1), (0.5, 0.5, 0.5)), hu, PatientPosition.HFS)
    grid = Grid((1, 1, 1), (2, 2, 2), (1, 1, 1))
    phantom = phantom_from_ct(ct, None, curve=CURVE, body="none", grid=grid)
    assert phantom.density[0, 0, 0] == pytest.approx(0.63, rel=1e-6)
    assert phantom.materials[phantom.material[0, 0, 0]] == "lung"


@pytest.mark.parametrize(
    ("value", "density", "material"),
    [
        (0.3, 0.3, "lung"),
        ("titanium", 4.54, "titanium"),
        (Override(1.0, "water"), 1.0, "water"),
        (Override(density=2.7), 2.7, "aluminium"),
        (Override(material="pmma"), 1.19, "pmma"),
    ],
)
def test_overrides_by_density_and_by_material(value, density, material):
    ct = scan(0.0)
    low, high = (-5, -5, 21), (5, 5, 39)
    phantom = on_ct_grid(ct, patient(block("X", low, high)), overrides={"X": value})
    mask = inside(ct.grid, low, high)
    np.testing.assert_allclose(phantom.density[mask], density, rtol=1e-6)
    assert materials_in(phantom, mask) == {material}
    assert (phantom.source[mask] == VoxelSource.OVERRIDE).all()
    assert phantom.density[~mask].max() == pytest.approx(1.0)
    assert any(
        f"override 'X': {material} at {density:g} g/cm3 in 1.8 cm3" in n for n in phantom.notes
    )


def test_override_edges_are_weighted_by_volume():
    ct = scan(0.0, spacing=(2.0, 2.0, 3.0), shape=(20, 30, 30))
    phantom = on_ct_grid(ct, patient(block("X", (-5, -6, 21), (6, 6, 39))), overrides={"X": 3.0})
    column = int(ct.grid.index_of((-5, 1, 30))[2].round())  # the voxel from -6 to -4 mm
    assert phantom.density[10, 15, column] == pytest.approx(0.5 * 3 + 0.5, rel=1e-6)


def test_touching_overrides_fill_the_voxel_they_share():
    ct = scan(0.0, spacing=(2.0, 2.0, 3.0), shape=(20, 30, 30))
    left, right = block("L", (-10, -6, 21), (-5, 6, 39)), block("R", (-5, -6, 21), (6, 6, 39))
    phantom = on_ct_grid(ct, patient(left, right), overrides={"L": 2.0, "R": 3.0})
    column = int(ct.grid.index_of((-5, 1, 30))[2].round())
    assert phantom.density[10, 15, column] == pytest.approx(2.5, rel=1e-6)


def test_later_overrides_take_precedence():
    outer, inner = block("A", (-9, -9, 15), (9, 9, 45)), block("B", (-5, -5, 21), (5, 5, 39))
    ct = scan(0.0)
    nested = on_ct_grid(ct, patient(outer, inner), overrides={"A": 2.0, "B": 0.5})
    hidden = on_ct_grid(ct, patient(outer, inner), overrides={"B": 0.5, "A": 2.0})
    assert nested.density[10, 30, 30] == pytest.approx(0.5)
    assert hidden.density[10, 30, 30] == pytest.approx(2.0)
    assert any("override 'B'" in n and "in 0.0 cm3 of the 1.8 cm3" in n for n in hidden.notes)


def test_an_override_outside_the_body_is_not_silent():
    pad = block("pad", (-5, 18, 21), (5, 26, 39))  # 2 of 8 mm inside the body
    phantom = on_ct_grid(scan(0.0), patient(pad), overrides={"pad": 0.5})
    assert any("in 0.4 cm3 of the 1.4 cm3 drawn" in n for n in phantom.notes)
    assert phantom.density[10, 50, 30] == pytest.approx(AIR, rel=1e-6)


def test_couch_and_bolus_stay():
    ct = scan(-500.0)
    couch = block("couch", (-25, 22, 6), (25, 28, 54))
    bolus = block("bolus", (-10, -25, 6), (10, -20, 54))
    phantom = on_ct_grid(
        ct, patient(couch, bolus), couch=["couch"], bolus=["bolus"], overrides={"bolus": "water"}
    )
    assert phantom.density[10, 55, 30] == pytest.approx(0.5)
    assert phantom.density[10, 7, 30] == pytest.approx(1.0)
    assert materials_in(phantom, inside(ct.grid, (-10, -25, 6), (10, -20, 54))) == {"water"}
    assert any("kept outside the body: 'couch'" in n for n in phantom.notes)
    without = on_ct_grid(ct, patient(couch, bolus))
    assert without.density[10, 55, 30] == pytest.approx(AIR, rel=1e-6)


def test_a_bolus_that_was_never_scanned_is_refused():
    bolus = block("bolus", (-10, -25, 6), (10, -20, 54))
    ct = scan(-1000.0)
    ct = CtImage(
        ct.grid, np.where(inside(ct.grid, (-20, -20, 6), (20, 20, 54)), 0, ct.hu), ct.position
    )
    with pytest.raises(InputError, match=r"'bolus'.*holds air.*--override"):
        on_ct_grid(ct, patient(bolus), bolus=["bolus"])


def test_whole_ct_is_kept_on_request():
    phantom = on_ct_grid(scan(0.0), None, body="none")
    assert (phantom.density == 1).all()
    assert any(n.startswith("body: none") for n in phantom.notes)


def test_no_body_contour_is_refused_with_the_choices():
    with pytest.raises(InputError, match=r"no structure set.*--body none"):
        on_ct_grid(scan(), None)
    lung = block("Lung", (-5, -5, 6), (5, 5, 54))
    with pytest.raises(InputError, match=r"0 structures are of the type EXTERNAL.*Lung"):
        on_ct_grid(scan(), StructureSet((lung,)))
    second = block("BODY 2", (-5, -5, 6), (5, 5, 54), kind="EXTERNAL")
    with pytest.raises(InputError, match=r"2 structures.*BODY, BODY 2"):
        on_ct_grid(scan(), patient(second))
    phantom = on_ct_grid(scan(), StructureSet((lung,)), body="Lung")
    assert phantom.density[10, 30, 30] == 1
    assert phantom.density[10, 30, 5] == pytest.approx(AIR, rel=1e-6)


def test_hu_beyond_the_curve_are_counted_inside_the_body_only():
    ct = scan(-1024.0)  # padding all around
    hu = np.where(inside(ct.grid, (-20, -20, 6), (20, 20, 54)), np.float32(0), ct.hu)
    hu[10, 30, 30:33] = 2500
    hu[10, 31, 30] = -1010
    phantom = on_ct_grid(CtImage(ct.grid, hu, ct.position), patient())
    assert any(
        n.startswith("3 CT voxels are above the curve's end at 2000 HU") for n in phantom.notes
    )
    assert any(n.startswith("1 CT voxels are below the curve's end") for n in phantom.notes)
    assert phantom.density[10, 30, 30] == 3.0
    assert phantom.density[10, 31, 30] == 0.0


def test_tube_voltage_is_noted():
    assert not any("kVp, the CT" in n for n in on_ct_grid(scan(), patient()).notes)
    other = on_ct_grid(scan(kvp=100.0), patient())
    assert any("curve is for 120 kVp, the CT was taken at 100 kVp" in n for n in other.notes)
    unknown = on_ct_grid(scan(kvp=None), patient())
    assert any("does not state its tube voltage" in n for n in unknown.notes)


def test_curve_and_table_are_named_with_their_versions():
    notes = " ".join(on_ct_grid(scan(), patient(), table="water").notes)
    assert "HU curve 'test' version 1" in notes
    assert "table 'water' version 1" in notes


def test_recorded_densities_are_used_only_when_asked():
    dense = block("implant", (-5, -5, 21), (5, 5, 39), density=4.5)
    ct = scan(0.0)
    unused = on_ct_grid(ct, patient(dense))
    assert unused.density.max() == pytest.approx(1.0)
    assert any("recorded 4.5 g/cm3; not used" in n for n in unused.notes)
    used = on_ct_grid(ct, patient(dense), use_recorded_densities=True)
    assert used.density[10, 30, 30] == pytest.approx(4.5)
    assert any("shared with the planning system" in n for n in used.notes)
    mine = on_ct_grid(ct, patient(dense), use_recorded_densities=True, overrides={"implant": 2.7})
    assert mine.density[10, 30, 30] == pytest.approx(2.7)


def test_a_dose_grid_beyond_the_ct_is_air_and_counted():
    ct = scan(0.0)
    grid = Grid((20, 60, 70), ct.grid.spacing, ct.grid.origin)
    phantom = phantom_from_ct(ct, None, curve=CURVE, body="none", grid=grid)
    beyond = phantom.source == VoxelSource.OUTSIDE_CT
    assert np.count_nonzero(beyond) == 20 * 60 * 10
    np.testing.assert_allclose(phantom.density[beyond], AIR, rtol=1e-6)
    assert any(n.startswith("12000 voxels lie beyond the CT") for n in phantom.notes)


def test_a_body_cut_by_the_dose_grid_is_noted():
    ct = scan(0.0)
    grid = Grid.covering((-15, -30, 0), (30, 30, 60), (3, 3, 3))
    phantom = phantom_from_ct(ct, patient(), curve=CURVE, grid=grid)
    assert any("beyond the dose grid (-x by 5.0 mm)" in n for n in phantom.notes)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"nobody": 1.0}, "no structure is named 'nobody'"),
        ({"X": 0.0}, "above zero"),
        ({"X": float("nan")}, "above zero"),
        ({"X": "wood"}, "no material is named 'wood'"),
        ({"X": True}, "give a mass density"),
        ({"X": None}, "give a mass density"),
        ({"X": Override()}, "neither a density nor a material"),
        ({"empty": 1.0}, "no contours"),
    ],
)
def test_impossible_overrides_are_refused(overrides, message):
    structures = patient(block("X", (-5, -5, 21), (5, 5, 39)), Structure(3, "empty"))
    with pytest.raises(InputError, match=message):
        on_ct_grid(scan(), structures, overrides=overrides)


def test_things_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="frame of reference"):
        on_ct_grid(scan(), patient(frame="9.9"))
    with pytest.raises(InputError, match="overrides need a structure set"):
        on_ct_grid(scan(), None, body="none", overrides={"X": 1.0})
    with pytest.raises(GeometryError, match="no volume in common"):
        far = Grid((5, 5, 5), (2, 2, 2), (900, 0, 0))
        phantom_from_ct(scan(), patient(), curve=CURVE, grid=far)
    with pytest.raises(InputError, match="no contours"):
        on_ct_grid(scan(), patient(Structure(3, "couch")), couch=["couch"])
    with pytest.raises(InputError, match="no material"):
        on_ct_grid(scan(), patient(), outside="ether")


def test_dose_grid_surrounds_the_body():
    grid = dose_grid(BODY, spacing=2.5, margin=10.0)
    assert grid.spacing == (2.5, 2.5, 2.5)
    np.testing.assert_allclose(grid.lower, (-30, -30, -5), atol=2.5)
    assert (np.array(grid.lower) <= (-30, -30, -4)).all()
    assert (np.array(grid.upper) >= (30, 30, 64)).all()


def test_dose_grid_ends_with_the_scan_and_cuts_nothing():
    ct = scan(shape=(18, 60, 60))  # ends at z = 54 mm, where the body ends
    grid = dose_grid([BODY], spacing=(2.5, 2.5, 2.5), margin=20.0, ct=ct)
    assert grid.shape == (22, 24, 24)
    assert (np.array(grid.lower) <= np.array(ct.grid.lower) + 1e-9).all()
    assert (np.array(grid.upper) >= np.array(ct.grid.upper) - 1e-9).all()
    assert (np.array(grid.lower) > np.array(ct.grid.lower) - 2.5).all()
    assert dose_grid(ct, spacing=2.5) == grid


def test_default_dose_grid_is_noted():
    phantom = phantom_from_ct(scan(), patient(), curve=CURVE)
    assert any(n.startswith("dose grid: default of 2.5 mm") for n in phantom.notes)
    assert phantom.grid == dose_grid(BODY, ct=scan())


def test_dose_grid_of_a_structure_elsewhere_is_refused():
    with pytest.raises(GeometryError, match="outside the CT"):
        dose_grid(block("far", (500, 0, 0), (510, 5, 9)), ct=scan())
    with pytest.raises(GeometryError, match="no contours"):
        bounds([Structure(1, "empty")])
    with pytest.raises(InputError, match="no structure"):
        bounds([])


def test_phantom_from_structures_alone():
    lung = block("Lung", (-15, -15, 12), (0, 15, 48))
    grid = Grid.covering((-30, -30, 0), (30, 30, 60), (2.0, 2.0, 3.0))
    phantom = phantom_from_structures(
        patient(lung), grid, overrides={"Lung": Override(0.25, "lung")}
    )
    body_cm3, lung_cm3 = 4 * 4 * 4.8, 1.5 * 3 * 3.6
    grid_cm3 = np.prod(grid.shape) * grid.voxel_volume_cm3
    expected = 0.25 * lung_cm3 + body_cm3 - lung_cm3 + AIR * (grid_cm3 - body_cm3)
    assert phantom.mass_g.sum() == pytest.approx(expected, rel=1e-5)
    assert materials_in(phantom, inside(grid, (2, -18, 8), (18, 18, 52))) == {"water"}
    assert materials_in(phantom, inside(grid, (-14, -14, 15), (-2, 14, 45))) == {"lung"}
    assert any(n.startswith("no CT") for n in phantom.notes)
    with pytest.raises(InputError, match="a body structure is needed"):
        phantom_from_structures(patient(), grid, body="none")


@pytest.mark.samples
def test_a_real_thorax(samples):
    import pydicom

    from dosecalc.io.dicom.ct import read_ct
    from dosecalc.io.dicom.structures import read_structures

    sets = [pydicom.dcmread(f) for f in sorted((samples / "lung1-001-tcia").glob("*.dcm"))]
    ct = read_ct([s for s in sets if s.Modality == "CT"])
    (structures,) = (read_structures(s) for s in sets if s.Modality == "RTSTRUCT")
    curve = load_hu_curve("generic-120kvp")
    phantom = phantom_from_ct(ct, structures, curve=curve)
    body = phantom.source == VoxelSource.CT_CURVE
    # A thorax: lungs of one to ten litres, most of the rest fat and soft tissue, some bone.
    litres = {
        name: np.count_nonzero(phantom.material[body] == i) * phantom.grid.voxel_volume_cm3 / 1000
        for i, name in enumerate(phantom.materials)
    }
    assert 1 < litres["lung"] < 10
    assert litres["adipose"] + litres["soft_tissue"] > 10
    assert 0.3 < litres["bone_spongiosa"] < 3
    assert 0.8 < phantom.density[body].mean() < 1.0
