"""Which voxels are judged: the patient's, with the air in him and without the air around him."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dosecalc.model import Grid, Phantom
from dosecalc.verification.where import deep_voxels, patient_voxels

GRID = Grid.covering((-60.0, -60.0, -30.0), (60.0, 60.0, 30.0), (4.0, 4.0, 6.0))


def body() -> tuple[Phantom, np.ndarray, np.ndarray]:
    """A cylinder of water along z in air, with a windpipe, and where these are."""
    y, x = np.meshgrid(GRID.centres("y"), GRID.centres("x"), indexing="ij")
    inside = np.broadcast_to(np.hypot(x, y) < 50, GRID.shape)
    pipe = np.broadcast_to(np.hypot(x - 10, y) < 8, GRID.shape)
    density = np.where(inside & ~pipe, 1.0, 0.0012)
    materials = np.zeros(GRID.shape, np.uint8)
    return Phantom(GRID, density.astype(np.float32), materials, ("water",)), inside, pipe


def test_air_in_the_patient_is_the_patients_and_air_around_is_not() -> None:
    phantom, inside, pipe = body()
    found = patient_voxels(phantom, GRID)
    assert np.array_equal(found, inside)
    assert found[pipe].all()


def test_air_that_opens_to_the_outside_is_not_enclosed() -> None:
    phantom, inside, pipe = body()
    density = phantom.density.copy()
    ahead = np.broadcast_to(
        (np.abs(GRID.centres("y")) < 6)[:, None] & (GRID.centres("x") > 10), GRID.shape
    )
    density[ahead] = 0.0012
    found = patient_voxels(replace(phantom, density=density), GRID)
    assert not found[pipe | ahead].any()
    assert np.array_equal(found, inside & ~pipe & ~ahead)


def test_voxels_that_the_surface_cuts_are_the_patients_from_half_filled_on() -> None:
    phantom, inside, _ = body()
    density = phantom.density.copy()
    y, x = np.meshgrid(GRID.centres("y"), GRID.centres("x"), indexing="ij")
    rim = np.broadcast_to((np.hypot(x, y) >= 50) & (np.hypot(x, y) < 54), GRID.shape)
    density[rim & (x > 0)] = 0.3
    density[rim & (x <= 0)] = 0.7
    # Lung inside is the patient's whatever its density.
    density[np.broadcast_to(np.hypot(x + 20, y) < 12, GRID.shape)] = 0.2
    found = patient_voxels(replace(phantom, density=density), GRID)
    assert np.array_equal(found, inside | (rim & (x <= 0)))


def test_beyond_the_phantom_air_goes_on_as_air_and_the_patient_as_the_patient() -> None:
    """A planning system's grid is often the larger one: what it writes into air is no patient's."""
    phantom, _, _ = body()
    wide = Grid.covering((-90.0, -90.0, -45.0), (90.0, 90.0, 45.0), (6.0, 5.0, 5.0))
    found = patient_voxels(phantom, wide)
    z, y, x = np.meshgrid(*(wide.centres(a) for a in "zyx"), indexing="ij")
    radius = np.hypot(x, y)
    beside = (np.abs(x) > 60) | (np.abs(y) > 60)
    assert not found[beside].any()
    # The cylinder is cut off by the phantom's ends: there is more of it.
    assert (np.abs(z) > 30).any()
    # Nearest voxels of 4 x 4 x 6 mm know the outline to half their diagonal across.
    assert found[radius < 46].all()
    assert not found[radius > 54].any()


def test_deep_is_a_build_up_away_from_any_air_and_within_the_phantom() -> None:
    phantom, _, _ = body()
    found = deep_voxels(phantom, GRID)
    z, y, x = np.meshgrid(*(GRID.centres(a) for a in "zyx"), indexing="ij")
    to_air = np.minimum(50 - np.hypot(x, y), np.hypot(x - 10, y) - 8)
    middle = np.abs(z) < 10  # the ends of the phantom are surfaces as well
    assert found[middle & (to_air > 24)].all()
    assert not found[middle & (to_air < 16)].any()
    assert not found[np.abs(z) > 10].any()
