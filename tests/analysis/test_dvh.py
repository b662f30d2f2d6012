"""Histograms against solids in doses whose histograms can be written down, and a planning system's.

Nelms et al., Med. Phys. 42 (2015) 4435, proposed the solids: 24 mm wide, in doses that rise
by 1 Gy/mm from 4 to 28 Gy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dosecalc.analysis.dvh import Dvh, dvh_from_fraction, structure_dvh
from dosecalc.analysis.sampling import collect
from dosecalc.errors import GeometryError, InputError
from dosecalc.io.dicom import read_dataset, read_dose, read_structures
from dosecalc.model import Contour, Dose, Grid, Structure
from dosecalc.patient.coverage import slab_stack, volume_fraction

GRID = Grid.covering((-40.0, -40.0, -40.0), (40.0, 40.0, 40.0), (2.0, 2.0, 2.0))


def ball(radius: float, centre: float = 0.0, step: float = 2.0) -> Structure:
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    contours = []
    for z in np.arange(-radius + step / 2, radius, step):
        r = np.sqrt(radius**2 - z**2)
        points = np.column_stack((centre + r * np.cos(angle), r * np.sin(angle)))
        contours.append(Contour(float(z), points))
    return Structure(1, "ball", "ORGAN", tuple(contours))


def box(half: float, centre: float = 0.0) -> Structure:
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    planes = np.arange(-half + 1, half, 2.0)
    contours = tuple(Contour(float(z), corners + np.array([centre, 0.0])) for z in planes)
    return Structure(2, "box", "ORGAN", contours)


def along_x(grid: Grid, gradient: float, middle: float = 10.0) -> Dose:
    gray = np.broadcast_to(middle + gradient * grid.centres("x"), grid.shape)
    return Dose(grid, gray, "medium")


def test_a_uniform_dose_is_the_same_at_every_volume():
    dvh = structure_dvh(ball(20.0), Dose(GRID, np.full(GRID.shape, 3.5), "medium"))
    assert [dvh.dose_at_volume(v) for v in (0, 2, 50, 98, 100)] == pytest.approx([3.5] * 5)
    assert dvh.mean_gy == pytest.approx(3.5)
    assert dvh.volume_at_dose([0.0, 3.5, 3.6]) == pytest.approx([dvh.inside_cm3, dvh.inside_cm3, 0])


def test_a_ball_in_a_gradient_has_the_volumes_of_its_caps():
    radius, gradient = 25.0, 0.1
    dvh = structure_dvh(ball(radius), along_x(GRID, gradient))
    volume = 4 / 3 * np.pi * (radius / 10) ** 3
    # 0.5 %: what the contours' volume itself is known to.
    assert dvh.total_cm3 == pytest.approx(volume, rel=0.005)
    for depth in (5.0, 12.0, 25.0, 40.0):
        height = depth / 10
        cap = np.pi * height**2 * (3 * radius / 10 - height) / 3
        level = 10.0 + gradient * (radius - depth)
        assert float(dvh.volume_at_dose(level)) == pytest.approx(cap, abs=0.005 * volume)
    # Caps of 2 % of a ball's volume are 0.1681 radii high (root of h^2 (3 - h) / 4 = 0.02).
    high = 10.0 + gradient * radius * (1 - 0.1681)
    # 0.03 mm: what planes of 2 mm and sampling change.
    near = gradient * 0.03
    assert dvh.near_maximum_gy == pytest.approx(high, abs=near)
    assert dvh.near_minimum_gy == pytest.approx(20.0 - high, abs=near)
    assert dvh.median_gy == pytest.approx(10.0, abs=near)
    assert dvh.mean_gy == pytest.approx(10.0, abs=0.002 * gradient * radius)
    assert dvh.maximum_gy == pytest.approx(10.0 + gradient * radius, abs=near)
    assert dvh.minimum_gy == pytest.approx(10.0 - gradient * radius, abs=near)


@pytest.mark.parametrize("name", ["maximum_gy", "minimum_gy"])
def test_the_ends_are_those_of_voxels_however_large_the_structure(name):
    """Noise: every voxel is a peak or a pit, and cells of large structures are half a voxel."""
    gray = np.random.default_rng(1).uniform(10, 20, GRID.shape).astype(np.float32)
    dose, sign = Dose(GRID, gray, "medium"), 1 if name == "maximum_gy" else -1
    x = GRID.centres("x")
    ends = []
    for half in (8.0, 16.0, 30.0):
        inside = np.abs(x) < half
        highest = (sign * gray[np.ix_(inside, inside, inside)]).max()
        ends.append(sign * getattr(structure_dvh(box(half), dose), name))
        assert ends[-1] == pytest.approx(highest, abs=0.01)
    assert ends == sorted(ends)


def test_a_peak_outside_is_no_maximum():
    gray = np.full(GRID.shape, 2.0, np.float32)
    gray[20, 20, 5] = 9.0  # x = -29 mm
    assert structure_dvh(ball(25.0), Dose(GRID, gray, "medium")).maximum_gy == pytest.approx(2.0)
    gray[20, 20, 20] = 5.0
    assert structure_dvh(ball(25.0), Dose(GRID, gray, "medium")).maximum_gy == pytest.approx(5.0)


def test_voxels_on_the_edge_count_by_the_part_that_is_inside():
    # The box ends in the middle of voxels: half of each edge voxel, a quarter of each edge.
    dvh = structure_dvh(box(9.0), along_x(GRID, 1.0, middle=100.0))
    assert dvh.total_cm3 == pytest.approx(1.8**3, rel=1e-6)
    assert dvh.inside_cm3 == pytest.approx(dvh.total_cm3, rel=1e-6)
    assert dvh.mean_gy == pytest.approx(100.0, abs=1e-4)


def test_a_structure_that_leaves_the_grid_says_by_how_much():
    dvh = structure_dvh(box(10.0, centre=35.0), along_x(GRID, 0.0))
    # From x = 25 to 45 mm, the grid ends at 40 mm: a quarter is outside.
    assert dvh.outside_cm3 == pytest.approx(2.0, rel=1e-4)
    assert dvh.inside_cm3 == pytest.approx(6.0, rel=1e-4)
    assert not dvh.is_complete
    assert structure_dvh(box(10.0), along_x(GRID, 0.0)).is_complete


def test_no_dose_is_told_where_none_is_known():
    dose = along_x(GRID, 0.0)
    with pytest.raises(GeometryError, match=r"outside the dose grid with all of its 8 cm3"):
        structure_dvh(box(10.0, centre=200.0), dose)
    above = Structure(4, "above", "ORGAN", (Contour(50.0, ball(5.0).contours[0].points),))
    with pytest.raises(GeometryError, match="outside the dose grid"):
        structure_dvh(above, dose, plane_spacing=2.0)
    with pytest.raises(GeometryError, match="no contours"):
        structure_dvh(Structure(3, "empty"), dose)


def test_volumes_fall_with_dose_and_begin_with_the_whole_structure():
    dvh = structure_dvh(ball(20.0), along_x(GRID, 0.3))
    volumes = dvh.volume_at_dose(np.linspace(0, 30, 301))
    assert volumes[0] == pytest.approx(dvh.inside_cm3)
    assert (np.diff(volumes) <= 0).all()
    assert volumes[-1] == 0


def test_the_grid_cut_finer_gives_the_same_histogram():
    fine = Grid.covering((-40.0, -40.0, -40.0), (40.0, 40.0, 40.0), (1.0, 1.0, 1.0))
    coarse = structure_dvh(ball(20.0), along_x(GRID, 0.2))
    finer = structure_dvh(ball(20.0), along_x(fine, 0.2))
    for volume in (2, 20, 50, 80, 98):
        # 0.02 mm times the gradient: what sampling is off by.
        assert coarse.dose_at_volume(volume) == pytest.approx(
            finer.dose_at_volume(volume), abs=0.004
        )


def test_values_that_are_no_histogram_are_refused():
    with pytest.raises(InputError, match="fall"):
        Dvh("x", 1, np.array([1.0, 2.0]), np.ones(2))
    with pytest.raises(InputError, match="0 to 100"):
        structure_dvh(ball(20.0), along_x(GRID, 0.0)).dose_at_volume(101)


WIDE = Grid.covering((-41.0, -40.3, -41.0), (41.0, 41.0, 41.0), (2.5, 2.5, 2.5))
VOLUMES = np.array([98.0, 95, 90, 75, 50, 25, 10, 5, 2])
# 0.5 % of the largest dose, 28 Gy, and of the volume: what is asked of a histogram.
SHARE = 0.005

Profile = Callable[[np.ndarray], np.ndarray]


def solid(kind: str, half: float) -> Profile:
    """Radius of a solid at a height between -half and half."""
    return {
        "sphere": lambda z: np.sqrt(np.maximum(half**2 - z**2, 0.0)),
        "cylinder": lambda z: np.full_like(z, half),
        "cone": lambda z: (half - z) / 2,
    }[kind]


def drawn(profile: Profile, half: float, step: float) -> Structure:
    """Circles, as polygons of the same area, on planes half a step from both ends."""
    angle = 2 * np.pi * np.arange(120) / 120
    ring = np.sqrt(2 * np.pi / 120 / np.sin(2 * np.pi / 120)) * np.exp(1j * angle)
    unit = np.column_stack((ring.real, ring.imag))
    planes = np.arange(-half + step / 2, half - 1e-9, step)
    radii = profile(planes)
    contours = [Contour(float(z), r * unit) for z, r in zip(planes, radii, strict=True)]
    return Structure(1, "solid", "ORGAN", tuple(contours))


def discs_above(
    height: np.ndarray, middle: np.ndarray, thickness: np.ndarray, radius: np.ndarray, tilt: float
) -> np.ndarray:
    """Volume of thin discs where y cos(tilt) + z sin(tilt) is more than `height`."""
    if tilt == 90:
        above = np.clip((middle + thickness / 2 - height[:, None]) / thickness, 0, 1)
        return (above * np.pi * radius**2 * thickness).sum(axis=1)
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    chord = np.clip((height[:, None] / c - middle * s / c) / np.maximum(radius, 1e-9), -1, 1)
    segment = np.arccos(chord) - chord * np.sqrt(1 - chord**2)
    return (segment * radius**2 * thickness).sum(axis=1)


def differences(dvh: Dvh, discs: tuple[np.ndarray, ...], tilt: float) -> tuple[float, float]:
    """Largest difference of D98 to D2, over 28 Gy, and of volumes, over the whole."""
    heights = np.linspace(-18, 18, 3601)
    volumes = discs_above(heights, *discs, tilt) / 1000
    doses = 16 + np.interp(-VOLUMES / 100 * volumes[0], -volumes, heights)
    found = np.array([dvh.dose_at_volume(v) for v in VOLUMES])
    off = np.abs(dvh.volume_at_dose(16 + heights) - volumes).max()
    return float(np.abs(found - doses).max() / 28), float(off / volumes[0])


def tilted(grid: Grid, tilt: float) -> Dose:
    z, y, _ = np.meshgrid(*(grid.centres(a) for a in "zyx"), indexing="ij")
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    return Dose(grid, 16 + c * y + s * z, "water")


@pytest.mark.parametrize("tilt", [0.0, 45.0, 90.0])
@pytest.mark.parametrize("step", [3.0, 2.0, 1.0])
@pytest.mark.parametrize("kind", ["sphere", "cylinder", "cone"])
def test_solids_of_24_mm_in_linear_doses(kind, step, tilt):
    """Against the slabs that the contours make, and against the solid where planes are near.

    Slabs are a staircase: in a dose that rises across them, planes of 3 mm leave 0.7 % of a
    sphere's or a cone's volume and 0.4 mm near their ends undecided, whatever the sampling.
    """
    profile = solid(kind, 12.0)
    structure = drawn(profile, 12.0, step)
    dvh = structure_dvh(structure, tilted(WIDE, tilt))
    stack = slab_stack(structure)
    parts = (stack.bounds[:, :1] + (np.arange(40) + 0.5) / 40 * np.diff(stack.bounds)).ravel()
    thick = np.repeat(np.diff(stack.bounds)[:, 0] / 40, 40)
    radius = np.repeat(np.sqrt(stack.moments[:, 0] / np.pi), 40)
    dose_off, volume_off = differences(dvh, (parts, thick, radius), tilt)
    assert dose_off < SHARE / 4
    assert volume_off < SHARE / 4
    middle = -12 + (np.arange(2400) + 0.5) / 100
    dose_off, volume_off = differences(dvh, (middle, np.full(2400, 0.01), profile(middle)), tilt)
    coarse = step == 3.0 and kind != "cylinder"
    assert volume_off < (0.008 if coarse else SHARE)
    assert dose_off < (0.015 if coarse else SHARE)


@pytest.mark.parametrize("tilt", [0.0, 45.0, 90.0])
@pytest.mark.parametrize("diameter", [5.0, 10.0])
def test_spheres_of_a_few_voxels(diameter, tilt):
    """2 to 4 voxels across, planes of 1.25 mm: against their slabs, 0.5 % as for large ones."""
    structure = drawn(solid("sphere", diameter / 2), diameter / 2, 1.25)
    dvh = structure_dvh(structure, tilted(WIDE, tilt))
    stack = slab_stack(structure)
    parts = (stack.bounds[:, :1] + (np.arange(40) + 0.5) / 40 * np.diff(stack.bounds)).ravel()
    thick = np.repeat(np.diff(stack.bounds)[:, 0] / 40, 40)
    radius = np.repeat(np.sqrt(stack.moments[:, 0] / np.pi), 40)
    dose_off, volume_off = differences(dvh, (parts, thick, radius), tilt)
    # 0.5 % of 16 Gy here, as the doses reach from 11 to 21 Gy at most.
    assert dose_off < SHARE * 16 / 28
    assert volume_off < SHARE
    # The slabs of a sphere of 5 mm, four planes, hold 3.1 % more than the sphere.
    assert dvh.total_cm3 == pytest.approx(np.pi / 6000 * diameter**3, rel=0.035)


@pytest.mark.parametrize("planes", [6, 30])
def test_a_thin_shell_in_a_steep_dose_is_cut_finely_enough(planes):
    """3 mm of skin, where the dose falls by 10 Gy/mm: as with cells four times as fine."""
    angle = 2 * np.pi * np.arange(200) / 200
    ring = np.column_stack((np.cos(angle), np.sin(angle)))
    shell = Structure(
        6, "skin", "", tuple(
            Contour(float(z), r * ring) for z in np.arange(planes) - planes / 2 for r in (37, 34)
        ),
    )  # fmt: skip
    _, y, x = np.meshgrid(*(WIDE.centres(a) for a in "zyx"), indexing="ij")
    dose = Dose(WIDE, 60 / (1 + np.exp((np.hypot(x, y) - 35.5) / 1.5)), "water")
    dvh, finer = structure_dvh(shell, dose), collect(slab_stack(shell), dose, divisions=16)
    assert finer is not None
    other = Dvh("finer", 6, finer.dose_gy, finer.volumes_cm3)
    levels = np.linspace(0, 60, 601)
    assert np.abs(dvh.percent_at_dose(levels) - other.percent_at_dose(levels)).max() < 0.5
    for volume in VOLUMES:
        assert dvh.dose_at_volume(volume) == pytest.approx(other.dose_at_volume(volume), abs=0.1)


def test_beyond_the_outermost_centres_the_dose_is_theirs():
    """In the half voxel inside the faces of the grid nothing is extrapolated."""
    corner = Structure(
        5, "rim", "", tuple(Contour(z, np.array([[39, -5], [40, -5], [40, 5], [39, 5]], float))
                            for z in (-1.0, 1.0))
    )  # fmt: skip
    dvh = structure_dvh(corner, along_x(GRID, 1.0, middle=100.0))
    assert dvh.minimum_gy == pytest.approx(139.0)
    assert dvh.maximum_gy == pytest.approx(139.0)
    assert dvh.is_complete


def test_the_names_of_icru_83_and_the_other_quantities():
    dvh = Dvh("x", 1, np.linspace(60, 50, 1001), np.full(1001, 0.01))
    assert dvh.near_maximum_gy == pytest.approx(59.8, abs=0.01)
    assert dvh.median_gy == pytest.approx(55.0, abs=0.01)
    assert dvh.near_minimum_gy == pytest.approx(50.2, abs=0.01)
    assert (dvh.minimum_gy, dvh.maximum_gy) == (50.0, 60.0)
    assert dvh.dose_at_cm3(1.001) == pytest.approx(dvh.dose_at_volume(10))
    assert float(dvh.percent_at_dose(55.0)) == pytest.approx(50.0, abs=0.1)
    edges = np.linspace(49, 61, 13)
    assert dvh.differential(edges).sum() == pytest.approx(dvh.total_cm3)
    assert dvh.differential(edges)[1:11] == pytest.approx(1.0, abs=0.011)
    with pytest.raises(GeometryError, match=r"0 to 10\.01 cm3"):
        dvh.dose_at_cm3(11)
    with pytest.raises(InputError, match="rising edges"):
        dvh.differential([1.0, 1.0])


def test_fractions_alone_give_the_histogram_of_whole_voxels():
    structure, dose = box(9.0), along_x(GRID, 1.0, middle=100.0)
    coarse = dvh_from_fraction(structure, volume_fraction(structure, GRID), dose, 5.832)
    finer = structure_dvh(structure, dose)
    assert coarse.mean_gy == pytest.approx(finer.mean_gy, abs=1e-3)
    assert coarse.maximum_gy == pytest.approx(109.0)
    assert finer.maximum_gy == pytest.approx(109.0)
    # Half a voxel times the gradient.
    assert coarse.near_maximum_gy == pytest.approx(finer.near_maximum_gy, abs=1.0)


# Volumes of the planning system and here differ by how both end a structure beyond its
# last plane: half a slice of the smallest is 3 %. Structures of two to six planes are left out.
@pytest.mark.samples
@pytest.mark.parametrize(
    ("name", "volume"),
    [("Lt Lung", 0.005), ("Heart", 0.01), ("Breast", 0.015), ("Tumor Bed", 0.03),
     ("Tumor Bed Block", 0.015)],
)  # fmt: skip
def test_histograms_of_the_planning_system(samples, name, volume):
    """The RTDOSE of `breast-swin-imrt` holds cumulative histograms in steps of 0.01 Gy.

    Every point of theirs lies within 2 % of the volume, after at most 0.05 Gy (0.35 % of
    the prescribed 14 Gy): the rounding of their doses to a step, and 0.1 to 0.3 mm of
    their contours' raster.
    """
    folder = samples / "breast-swin-imrt"
    dataset = read_dataset(folder / "rtdose.dcm")
    structures = read_structures(read_dataset(folder / "rtss.dcm"))
    dvh = structure_dvh(structures[name], read_dose(dataset))
    (stored,) = (
        item
        for item in dataset.DVHSequence
        if item.DVHReferencedROISequence[0].ReferencedROINumber == dvh.number
    )
    widths, volumes = np.array(stored.DVHData, dtype=float).reshape(-1, 2).T
    assert stored.DVHType == "CUMULATIVE"
    assert dvh.total_cm3 == pytest.approx(volumes[0], rel=volume)
    levels, percent = np.cumsum(widths), 100 * volumes / volumes[0]
    lower, upper = (dvh.percent_at_dose(levels + shift) for shift in (0.05, -0.05))
    assert (percent > lower - 2.0).all()
    assert (percent < upper + 2.0).all()
    for hot in (50, 5, 2):
        theirs = float(np.interp(-hot, -percent, levels))
        assert dvh.dose_at_volume(hot) == pytest.approx(theirs, abs=0.02 * 14)
