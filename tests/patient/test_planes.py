"""Which contours are one plane, what each plane stands for, and which contours overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.data.hu_curves import HuCurve
from dosecalc.data.materials import load_material
from dosecalc.errors import GeometryError
from dosecalc.messages.message import Message
from dosecalc.model import Contour, CtImage, Grid, PatientPosition, Structure, StructureSet
from dosecalc.patient import outlines
from dosecalc.patient.coverage import (
    bridged_planes,
    corner_points,
    crossing_planes,
    holds,
    plane_gaps,
    slab_stack,
    volume_cm3,
)
from dosecalc.patient.drawing import drawing_notes, on_slices
from dosecalc.patient.phantom import phantom_from_ct, phantom_from_structures
from dosecalc.verification.checks.inputs import gap_findings, overlap_findings

AIR = load_material("air").density_g_cm3
CURVE = HuCurve("test", "1", [-1000, 0, 2000], [0.0, 1.0, 3.0], "1 + HU/1000", kvp=120)
SECTION = 12.57
"""Area of `disc(20)`, cm2, to 0.02 %."""


def disc(radius: float, x: float = 0.0, n: int = 180) -> NDArray[np.float64]:
    angle = 2 * np.pi * np.arange(n) / n
    return np.column_stack([x + radius * np.cos(angle), radius * np.sin(angle)])


def drawn(planes: Iterable[float], *sections: NDArray[np.float64], kind: str = "") -> Structure:
    sections = sections or (disc(20),)
    contours = tuple(Contour(float(z), one) for z in planes for one in sections)
    return Structure(1, "ROI", kind, contours)


@pytest.mark.parametrize("spacing", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("share", [0.005, 0.01, 0.05, 0.09, 0.15])
@pytest.mark.parametrize("known", [True, False])
def test_a_hole_beside_its_outline_s_plane_is_on_it(
    spacing: float, share: float, known: bool
) -> None:
    off = min(share * spacing, 0.5)
    z = spacing * np.arange(10)
    ring = Structure(1, "RING", contours=drawn(z).contours + drawn(z + off, disc(10)).contours)
    right = 0.75 * SECTION * spacing
    found = volume_cm3(ring, plane_spacing=spacing if known else None)
    # The last slab may end where the planes do, off by less than the offset.
    assert found == pytest.approx(right, rel=0.01)
    noted = any("are taken as one plane" in note for note in drawing_notes(ring))
    assert noted == (off > 0.02)


def test_a_structure_stored_twice_a_little_apart_is_there_once() -> None:
    z = 3.0 * np.arange(10)
    moved = drawn(z + 0.04, np.add(disc(20), [0.05, -0.05]))
    twice = Structure(1, "TWICE", contours=drawn(z).contours + moved.contours)
    assert volume_cm3(twice) == pytest.approx(3.0 * SECTION, rel=0.005)


def test_thin_slices_are_not_taken_for_one_plane() -> None:
    thin = drawn(np.arange(0, 12, 0.6))
    assert slab_stack(thin).z.size == 20
    assert slab_stack(thin, plane_spacing=5.0).z.size == 20


@pytest.mark.parametrize("known", [None, 3.0])
def test_planes_of_two_spacings_stand_for_their_own_slices(known: float | None) -> None:
    lung = drawn([*(3.0 * np.arange(10)), *(33 + 6.0 * np.arange(9))])
    assert volume_cm3(lung, plane_spacing=known) == pytest.approx(SECTION * 8.55, rel=1e-3)
    assert plane_gaps(lung, plane_spacing=known) == ()
    assert drawing_notes(on_one(lung, known)) == [
        "planes 6 mm apart between z = 27 and 81 mm: planes are missing there, and the structure "
        "goes on between those drawn"
    ]


def on_one(structure: Structure, spacing: float | None) -> Structure:
    if spacing is None:
        return structure
    return on_slices(StructureSet((structure,)), spacing).structures[0]


@pytest.mark.parametrize(("fine", "coarse"), [(1.0, 3.0), (1.25, 5.0), (2.0, 4.0), (2.0, 10.0)])
def test_even_planes_in_a_row_are_slices_of_their_own(fine: float, coarse: float) -> None:
    z = np.concatenate([fine * np.arange(20), 19 * fine + coarse * np.arange(1, 9)])
    right = SECTION * (19.5 * fine + 8.5 * coarse) / 10
    for planes in (z, -z):
        assert volume_cm3(drawn(planes)) == pytest.approx(right, rel=1e-3)
        assert plane_gaps(drawn(planes)) == ()
        assert "the structure goes on between those drawn" in drawing_notes(drawn(planes))[0]


def test_every_other_slice_is_a_whole_structure_and_every_third_is_not() -> None:
    second, third = drawn(6.0 * np.arange(9)), drawn(9.0 * np.arange(9))
    assert volume_cm3(second, plane_spacing=3.0) == pytest.approx(5.4 * SECTION, rel=1e-3)
    assert len(bridged_planes(second, plane_spacing=3.0)) == 8
    assert volume_cm3(third, plane_spacing=3.0) == pytest.approx(2.7 * SECTION, rel=1e-3)
    assert len(plane_gaps(third, plane_spacing=3.0)) == 8
    # Without the slices, or where a user says so, the planes it is drawn on are the slices.
    for spacing in (None, 9.0):
        assert volume_cm3(third, plane_spacing=spacing) == pytest.approx(8.1 * SECTION, rel=1e-3)


def test_one_missing_plane_is_bridged_wherever_it_is() -> None:
    planes = 3.0 * np.arange(12)
    for missing in range(1, 11):
        solid = drawn(np.delete(planes, missing))
        assert volume_cm3(solid, plane_spacing=3.0) == pytest.approx(3.6 * SECTION, rel=1e-3)


@pytest.mark.parametrize("apart", [9.0, 30.0, 200.0])
def test_two_planes_apart_are_two_discs(apart: float) -> None:
    clips = Structure(1, "CLIPS", contours=(Contour(0, disc(3)), Contour(apart, disc(3, x=30))))
    single = volume_cm3(drawn([0.0], disc(3)), plane_spacing=3.0)
    assert volume_cm3(clips, plane_spacing=3.0) == pytest.approx(2 * single)
    assert plane_gaps(clips, plane_spacing=3.0) == ((0.0, apart),)
    if apart > 10:
        with pytest.raises(GeometryError, match="--plane-spacing"):
            volume_cm3(clips)


def box(half: float) -> NDArray[np.float64]:
    return half * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def water_ct() -> CtImage:
    grid = Grid((24, 20, 20), (3.0, 3.0, 3.0), (-28.5, -28.5, 0.0))
    return CtImage(grid, np.zeros(grid.shape, np.float32), PatientPosition.HFS, kvp=120.0)


def phantom_of(*structures: Structure, **options):
    ct = water_ct()
    return phantom_from_ct(ct, StructureSet(structures), curve=CURVE, grid=ct.grid, **options)


def test_an_override_fills_two_clips_and_nothing_between() -> None:
    body = Structure(1, "BODY", "EXTERNAL", drawn(3.0 * np.arange(24), box(24)).contours)
    clips = Structure(2, "CLIPS", contours=drawn([9.0, 39.0], box(3)).contours)
    phantom = phantom_of(body, clips, overrides={"CLIPS": "titanium"})
    heavy = np.flatnonzero((phantom.density > 4).any(axis=(1, 2)))
    assert heavy.tolist() == [3, 13]
    assert any("titanium" in note and "in 0.2 cm3" in note for note in phantom.notes)


@pytest.mark.parametrize(
    "planes",
    [
        [*range(0, 36, 3), *range(39, 72, 6)],
        [*range(0, 30, 3), *range(60, 72, 3)],
        [*range(0, 70, 9), 69],
    ],
    ids=["every second slice in part", "nine slices missing", "every third slice"],
)
def test_a_body_with_missing_planes_stays_tissue(planes: list[int]) -> None:
    body = Structure(1, "BODY", "EXTERNAL", drawn(planes, box(24)).contours)
    phantom = phantom_of(body)
    middle = phantom.density[2:-2, 8:12, 8:12]
    np.testing.assert_allclose(middle, 1.0, atol=1e-6)
    named = Structure(1, "SKIN", "", body.contours)
    assert (phantom_of(named, body="SKIN").density[2:-2, 8:12, 8:12] > 0.999).all()
    ct = water_ct()
    inside = phantom_from_structures(StructureSet((body,)), ct.grid, inside="water")
    assert (inside.density[2:-2, 8:12, 8:12] > 0.99).all()
    gaps = plane_gaps(body, plane_spacing=3.0)
    said = [note for note in phantom.notes if note.startswith("body: no contour between")]
    assert len(said) == min(len(gaps), 5)
    more = [note for note in phantom.notes if f"body: no contour in {len(gaps) - 5} more" in note]
    assert len(more) == (len(gaps) > 5)
    findings = gap_findings(StructureSet((body,)), ct)
    assert bool(findings) == bool(gaps)
    named = findings[:3]
    assert all(one.message.code == "contours.gap_of_body" for one in named)


def test_a_gap_is_a_finding() -> None:
    ct = water_ct()
    lung = drawn([0.0, 3.0, 6.0, 15.0, 18.0, 36.0])
    found = gap_findings(StructureSet((lung, drawn(3.0 * np.arange(5)))), ct)
    assert {one.outcome.name for one in found} == {"REVIEW"}
    assert [one.sentence for one in found] == [
        f"ROI: nothing is drawn between z = {gap} mm; check that no contours are missing"
        for gap in ("18 and 36", "6 and 15")
    ]


def test_overlapping_contours_are_a_finding_and_holes_are_none() -> None:
    """What two squares share would be outside in silence; a hole is meant."""
    twice = [Contour(z, box(10) + shift) for z in (0.0, 3.0, 6.0) for shift in (0.0, 10.0)]
    holed = [Contour(z, box(size)) for z in (0.0, 3.0, 6.0) for size in (10, 4)]
    structures = StructureSet(
        (Structure(1, "PTV", contours=tuple(twice)), Structure(2, "RING", contours=tuple(holed)))
    )
    (found,) = overlap_findings(structures)
    assert found.outcome.name == "REVIEW"
    assert found.message == Message.of("contours.overlap", structure="PTV", planes=3, z=0.0)


def round_in_all_directions(z: float) -> list[NDArray[np.float64]]:
    return [disc(np.sqrt(max(400 - z * z, 0.0)))]


def lying(z: float) -> list[NDArray[np.float64]]:
    return [box(1) * [50, np.sqrt(max(400 - z * z, 0.0))]]


@pytest.mark.parametrize("spacing", [2.0, 2.5, 4.0])
@pytest.mark.parametrize("drawn_at_pole", [0.0, 1e-4, 1e-2])
@pytest.mark.parametrize(
    ("section", "right"),
    [(round_in_all_directions, 4 / 3 * np.pi * 8.0), (lying, np.pi * 40.0)],
)
def test_ends_on_a_plane(
    section: Callable[[float], list[NDArray[np.float64]]],
    right: float,
    drawn_at_pole: float,
    spacing: float,
) -> None:
    z = np.arange(-20 + drawn_at_pole, 20 - 1e-6, spacing)
    z = z[np.abs(z) < 20]
    solid = Structure(1, "S", contours=tuple(Contour(v, one) for v in z for one in section(v)))
    # 180 corners leave out 0.02 % of a circle; the documented bound is 0.5 %.
    assert volume_cm3(solid) == pytest.approx(right, rel=0.005)


def test_points_are_held_by_the_slabs_that_volumes_are_made_of() -> None:
    lung = drawn([0.0, 3.0, 6.0, 12.0, 30.0], disc(20), disc(10))
    for z, inside in ((-1.4, True), (-1.6, False), (9.0, True), (13.4, True), (20, False)):
        assert holds(lung, (15.0, 0.0, z)) == inside
        assert not holds(lung, (5.0, 0.0, z))
        assert not holds(lung, (25.0, 0.0, z))
    assert not holds(drawn([0.0]), (0.0, 0.0, 0.0))
    assert holds(drawn([0.0]), (0.0, 0.0, 1.0), plane_spacing=3.0)


def test_margins_are_around_the_slabs_that_reach_over_missing_planes() -> None:
    even = drawn(3.0 * np.arange(8))
    assert len(corner_points(even)) == 8 * 180
    target = on_one(drawn([0.0, 3.0, 6.0, 12.0, 15.0, 18.0]), 3.0)
    heights = np.unique(corner_points(target)[:, 2])
    np.testing.assert_allclose(heights, [0, 3, 6, 9, 12, 15, 18])


def traced(centre: int) -> NDArray[np.float64]:
    """Outline of a disc of pixels, along their edges."""
    y, x = np.mgrid[:60, :60]
    mask = (x - centre) ** 2 + (y - 30) ** 2 <= 100
    left, right = [], []
    for row in np.flatnonzero(mask.any(1)):
        pixels = np.flatnonzero(mask[row])
        left += [(pixels[0], row), (pixels[0], row + 1)]
        right += [(pixels[-1] + 1, row), (pixels[-1] + 1, row + 1)]
    return np.array(left + right[::-1], float)


@pytest.mark.parametrize(
    ("pair", "overlap"),
    [
        ((traced(25), traced(35)), True),
        ((traced(20), traced(41)), False),
        ((box(10), np.add(box(10), [10, 0])), True),
        ((box(10), np.add(box(10), [20, 0])), False),
        ((box(10), np.add(box(5), [5, 0])), False),
        ((box(10), np.add(box(5), [6, 0])), True),
        ((disc(20), disc(10)), False),
        ((disc(20), disc(19)), False),
        # Stored twice, a little larger: all but a shell would be outside.
        ((disc(20), disc(20.2)), True),
        ((disc(20), disc(20.4)), True),
        ((np.concatenate([box(10), box(10)]),), True),
        ((np.concatenate([box(10), box(10)[:1], box(5)[::-1], box(5)[-1:]]),), False),
    ],
)
def test_overlaps_are_seen_whatever_corners_and_edges_are_shared(
    pair: tuple[NDArray[np.float64], ...], overlap: bool
) -> None:
    solid = drawn([0.0, 3.0], *pair)
    assert crossing_planes(solid) == ((0.0, 3.0) if overlap else ())


def test_work_grows_with_the_number_of_islands(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"compared": 0, "swept": 0}
    same, edges = outlines.same_outline, outlines.signed_edges

    def counted_same(a: Contour, b: Contour) -> bool:
        counts["compared"] += 1
        return same(a, b)

    def counted_edges(contours: tuple[Contour, ...]) -> NDArray[np.float64]:
        counts["swept"] += len(contours)
        return edges(contours)

    monkeypatch.setattr(outlines, "same_outline", counted_same)
    monkeypatch.setattr(outlines, "signed_edges", counted_edges)
    islands = [disc(1.5, n=12) + 4.0 * np.array(divmod(n, 20)) for n in range(400)]
    assert drawing_notes(drawn([0.0, 3.0, 6.0], *islands)) == []
    # Each of the 1200 contours is swept once, and compared with none: none lies near another.
    assert counts == {"compared": 0, "swept": 1200}
