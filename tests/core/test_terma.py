"""Fluence per voxel, radiological paths and released energy against closed formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dosecalc.core.terma import (
    BeamGeometry,
    Spectral,
    attenuate,
    divide_release,
    tilt_cells,
    voxel_fluence,
)

SAD = 1000.0
# Beam along +y, u = +x, v = +z: gantry 0 of a patient on the back.
ALONG_Y = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])


def geometry(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    field: tuple[float, float, float, float] = (-50, 50, -50, 50),
    axes: NDArray[np.float64] = ALONG_Y,
    pixels: int = 40,
    source: NDArray[np.float64] | None = None,
) -> BeamGeometry:
    """Uniform field (u1, u2, v1, v2) of a source SAD before the origin of space."""
    u1, u2, v1, v2 = field
    steps = np.arange(pixels + 1) / pixels
    return BeamGeometry(
        source=-SAD * axes[2] if source is None else source,
        axes=axes,
        sad=SAD,
        integral=np.outer((v2 - v1) * steps, (u2 - u1) * steps),
        u0=u1,
        v0=v1,
        pixel_u=(u2 - u1) / pixels,
        pixel_v=(v2 - v1) / pixels,
        origin=np.array(origin, float),
        spacing=np.array(spacing, float),
    )


def lines(mu_over_rho: NDArray[Any], energy_fluence: NDArray[Any]) -> Spectral:
    """Spectrum in materials (nm, ne), all energy released into one channel, no softening."""
    coefficients = np.asarray(mu_over_rho, float)
    return Spectral(
        energy_fluence=np.asarray(energy_fluence, float),
        basis=coefficients,
        coefficients=np.eye(len(coefficients)),
        release=np.ascontiguousarray(coefficients[:, None, :]),
        softening_radius=np.array([0.0, 1e6]),
        softening_path=np.zeros(2),
        softening_norm=np.ones(2),
        water_coefficients=np.eye(len(coefficients))[0],
    )


def released(
    beam: BeamGeometry,
    spectral: Spectral,
    density: NDArray[Any],
    material: NDArray[Any] | None = None,
    fluence: NDArray[Any] | None = None,
) -> NDArray[np.float32]:
    """Energy released in the whole grid by the beam, or by a stated fluence."""
    flux = np.zeros(density.shape, np.float32)
    if fluence is None:
        voxel_fluence(beam, density.shape, flux)
    else:
        flux[...] = fluence
    out = np.zeros((spectral.release.shape[1], *density.shape), np.float32)
    kind = np.zeros(density.shape, np.uint8) if material is None else material.astype(np.uint8)
    attenuate(beam, spectral, density.astype(np.float32), kind, flux, np.zeros(3, np.int64), out)
    return out


def centres(beam: BeamGeometry, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Voxel centres (nz, ny, nx, 3) in x, y, z."""
    return beam.origin + np.indices(shape)[::-1].transpose(1, 2, 3, 0) * beam.spacing


def test_exponential_attenuation_and_inverse_square() -> None:
    shape, mu = (9, 60, 9), 0.0632
    beam = geometry(shape, (5, 5, 5), (-20, 2.5, -20), (-100, 100, -100, 100))
    found = released(beam, lines(np.array([[mu]]), np.array([1.25])), np.ones(shape))[0]
    ray = centres(beam, shape) - beam.source
    distance = np.linalg.norm(ray, axis=-1)
    # Surface at y = 0, 1000 mm from the source: the share of the ray behind it, in cm.
    path = distance * (1 - SAD / ray[..., 1]) / 10
    expected = 1.25 * mu * np.exp(-mu * path) * (SAD / distance) ** 2
    # Nothing is approximated; what remains is the rounding of the result to float32.
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_spectrum_hardens_through_two_materials() -> None:
    shape = (3, 40, 3)
    mu, energy = np.array([[0.07, 0.03], [0.09, 0.05]]), np.array([0.6, 1.4])
    density, material = np.ones(shape), np.zeros(shape, int)
    density[:, 10:20], material[:, 10:20] = 1.85, 1
    beam = geometry(shape, (5, 5, 5), (-5, 2.5, -5))
    found = released(beam, lines(mu, energy), density, material)[0, 1, :, 1]
    depth = (np.arange(40) + 0.5) * 0.5
    water = np.clip(depth, 0, 5) + np.clip(depth - 10, 0, None)
    bone = 1.85 * np.clip(depth - 5, 0, 5)
    here, rho = material[1, :, 1], density[1, :, 1]
    fluence = energy * np.exp(-np.outer(water, mu[0]) - np.outer(bone, mu[1]))
    expected = rho * (mu[here] * fluence).sum(axis=1) * (SAD / (SAD + 10 * depth)) ** 2
    np.testing.assert_allclose(found, expected, rtol=2e-6)  # float32, densities included


def test_softening_takes_water_from_the_path_and_keeps_the_energy() -> None:
    shape = (1, 20, 41)
    mu, energy = np.array([[0.07, 0.03]]), np.array([0.5, 0.5])
    radius, path = np.array([0.0, 200.0]), np.array([0.0, 4.0])
    norm = energy.sum() / (np.exp(np.outer(path, mu[0])) @ energy)
    spectral = lines(mu, energy)._replace(
        softening_radius=radius, softening_path=path, softening_norm=norm
    )
    beam = geometry(shape, (5, 5, 5), (-100, 2.5, 0), (-150, 150, -50, 50))
    beam = geometry(shape, (5, 5, 5), (-100, 2.5, 0), (-150, 150, -50, 50))
    x, y, _ = np.moveaxis(centres(beam, shape), -1, 0)
    off_axis = np.abs(x) * SAD / (SAD + y)
    density = np.ones(shape)
    soft, plain = (
        released(beam, spectral, density)[0],
        released(beam, lines(mu, energy), density)[0],
    )
    assert (soft[..., 20] == plain[..., 20]).all()
    water = np.hypot(x, SAD + y) * y / (SAD + y) / 10
    taken = np.interp(off_axis, radius, path)

    def fluence(depth: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(energy * mu[0] * np.exp(-depth[..., None] * mu[0])).sum(axis=-1)

    expected = np.interp(off_axis, radius, norm) * fluence(water - taken) / fluence(water)
    np.testing.assert_allclose(soft / plain, expected, rtol=1e-6)  # float32


@pytest.mark.parametrize("direction", [(1, 1, 1), (-1, 1, 1), (1, 0, 1), (0, -1, 1), (0, 0, -1)])
def test_path_through_corners_and_edges(direction: tuple[int, int, int]) -> None:
    """A ray that leaves each voxel through its corner touches those beside it in a point only."""
    n, h = 11, 2.0
    random = np.random.default_rng(7)
    density = random.random((n, n, n)) + 0.1
    step = np.array(direction)
    beam = geometry((n, n, n), (h, h, h), (-10, -10, -10), source=-1000.0 * step)
    flux = np.zeros((n, n, n), np.float32)
    flux[5, 5, 5] = 1
    found = released(beam, lines(np.array([[1.0]]), np.array([1.0])), density, fluence=flux)
    voxels = [tuple((5 - m * step)[::-1]) for m in range(6)]
    lengths = h / 10 * np.linalg.norm(step) * np.array([0.5, 1, 1, 1, 1, 1])
    path = lengths @ np.array([density[v] for v in voxels])
    # At a corner rounding may give a neighbour up to 1e-13 of a voxel.
    assert found[0, 5, 5, 5] == pytest.approx(density[5, 5, 5] * np.exp(-path), rel=1e-6)


def test_paths_against_many_points_on_the_ray() -> None:
    shape, spacing = (14, 12, 10), (3.0, 2.0, 2.5)
    random = np.random.default_rng(8)
    density = random.random(shape)
    source = np.array([130.0, -250.0, 70.0])
    beam = geometry(shape, spacing, (-13, -11, -16), source=source)
    flux = np.ones(shape, np.float32)
    found = released(beam, lines(np.array([[1.0]]), np.array([1.0])), density, fluence=flux)[0]
    n = 200_000
    for voxel in [(0, 0, 0), (13, 11, 9), (7, 6, 5), (2, 9, 1), (12, 3, 8)]:
        point = beam.origin + np.array(voxel[::-1]) * spacing
        places = source + (point - source) * (np.arange(n) + 0.5)[:, None] / n
        index = np.floor((places - beam.origin) / spacing + 0.5).astype(int)
        inside = ((index >= 0) & (index < shape[::-1])).all(axis=1)
        i, j, k = index[inside].T
        path = density[k, j, i].sum() * np.linalg.norm(point - source) / n / 10
        # Points 1.5 um apart miss each of some 30 faces by less than that.
        assert -np.log(found[voxel] / density[voxel]) == pytest.approx(path, abs=1e-4)


def test_density_zero_and_no_fluence_release_nothing() -> None:
    shape = (4, 6, 4)
    density = np.ones(shape)
    density[:, 3] = 0
    beam = geometry(shape, (5, 5, 5), (-7.5, 0, -7.5), (-50, -1, -50, 50))
    found = released(beam, lines(np.array([[0.1]]), np.array([1.0])), density)[0]
    assert (found[:, 3] == 0).all()
    assert (found[:, :3, :2] > 0).all() and (found[:, :, 2:] == 0).all()


def test_behind_the_source_there_is_no_beam() -> None:
    flux = np.ones((3, 3, 3), np.float32)
    voxel_fluence(geometry((3, 3, 3), (5, 5, 5), (-5, -2000, -5)), flux.shape, flux)
    assert (flux == 0).all()


@pytest.mark.parametrize("share", [0.0, 0.13, 0.5, 0.871, 1.0])
def test_face_on_voxel_counts_the_part_of_it_in_the_field(share: float) -> None:
    """Exact: the map is integrated over the voxel's shadow, not sampled."""
    h = 2.5
    beam = geometry((1, 1, 1), (h, h, h), (0, 0, 0), (-h / 2 + (1 - share) * h, 40, -40, 40))
    flux = np.zeros((1, 1, 1), np.float32)
    voxel_fluence(beam, flux.shape, flux)
    assert flux[0, 0, 0] == pytest.approx(share, abs=1e-7)  # float32
    corner = geometry(
        (1, 1, 1), (h, h, h), (0, 0, 0),
        (-h / 2 + (1 - share) * h, 40, -40, h / 2 - 0.25 * h),
    )  # fmt: skip
    voxel_fluence(corner, flux.shape, flux)
    assert flux[0, 0, 0] == pytest.approx(share * 0.75, abs=1e-7)


def turned_axes(collimator_deg: float, gantry_deg: float = 0.0) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(collimator_deg)), np.sin(np.radians(collimator_deg))
    axes = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]]) @ ALONG_Y
    g, t = np.cos(np.radians(gantry_deg)), np.sin(np.radians(gantry_deg))
    return np.asarray(axes @ np.array([[g, t, 0], [-t, g, 0], [0, 0, 1.0]]))


@pytest.mark.parametrize("collimator", [0.0, 17.0, 45.0])
@pytest.mark.parametrize("y", [-200.0, 0.0, 150.0])
def test_every_plane_receives_the_whole_field(collimator: float, y: float) -> None:
    n, h = 81, 2.5
    axes = turned_axes(collimator)
    field = (-40.0, 30.0, -20.0, 55.0)
    beam = geometry((n, 1, n), (h, h, h), (-100, y, -100), field, axes)
    flux = np.zeros((n, 1, n), np.float32)
    voxel_fluence(beam, flux.shape, flux)
    distance = np.linalg.norm(centres(beam, flux.shape) - beam.source, axis=-1)
    mean_map = flux * (distance / SAD) ** 2
    area = mean_map.sum(dtype=float) * (h * SAD / (SAD + y)) ** 2
    # Shadows of neighbours fill the plane. They are exact at collimator 0 but for the depth
    # of the voxel; turned they overlap and leave gaps that even out along an edge, unless it
    # runs along the voxels' diagonal: then each repeats, 0.13 % of this field at most.
    assert area == pytest.approx(70 * 75, rel=2e-3 if collimator == 45 else 1e-4)


@pytest.mark.parametrize(("collimator", "gantry"), [(0, 0), (45, 0), (20, 35)])
def test_voxel_means_against_many_points(collimator: float, gantry: float) -> None:
    shape, h, parts = (20, 4, 20), 5.0, 12
    axes = turned_axes(collimator, gantry)
    beam = geometry(shape, (h, h, h), (-47.5, -7.5, -47.5), (-20, 25, -30, 10), axes)
    flux = np.zeros(shape, np.float32)
    voxel_fluence(beam, shape, flux)
    offsets = (np.stack(np.meshgrid(*[np.arange(parts)] * 3), -1).reshape(-1, 3) + 0.5) / parts
    offsets = (offsets - 0.5) * h
    ray = centres(beam, shape)[..., None, :] + offsets - beam.source
    bev = ray @ axes.T
    u, v = bev[..., 0] * SAD / bev[..., 2], bev[..., 1] * SAD / bev[..., 2]
    inside = (u > -20) & (u < 25) & (v > -30) & (v < 10)
    expected = (inside * (SAD / np.linalg.norm(ray, axis=-1)) ** 2).mean(axis=-1)
    difference = flux - expected
    # Unturned, what remains is half a layer of points. Turned, a rectangle with the shadow's
    # widths stands for a hexagon: up to 6 % of the open fluence in a voxel on the edge.
    assert np.abs(difference).max() < (0.05 if collimator == gantry == 0 else 0.08)
    # On the sum over all edges it evens out, worst along diagonals (0.8 % of this field).
    assert abs(difference.sum()) < (0.01 if collimator == 45 else 2e-4) * expected.sum()


def test_tilt_cells_say_where_the_ray_goes() -> None:
    shape = (12, 5, 16)
    beam = geometry(shape, (10, 10, 10), (-75, 0, -55), (-90, 90, -90, 90))
    first_u, first_v, step, cells_u, cells_v = -0.1, -0.08, 0.05, 4, 3
    cell = np.empty(shape, np.int16)
    along_u, along_v = np.empty((2, *shape), np.float32)
    tilts = (first_u, first_v, step, cells_u, cells_v)
    flux = np.ones(shape, np.float32)
    flux[0] = 0
    tilt_cells(beam, tilts, flux, cell, along_u, along_v)
    ray = centres(beam, shape) - beam.source
    row, column = np.divmod(cell, cells_u)
    lit = np.s_[1:]
    np.testing.assert_allclose(
        (first_u + step * (column + along_u))[lit], (ray[..., 0] / ray[..., 1])[lit], atol=1e-7
    )
    np.testing.assert_allclose(
        (first_v + step * (row + along_v))[lit], (ray[..., 2] / ray[..., 1])[lit], atol=1e-7
    )
    assert (along_u[lit] >= 0).all() and (along_u[lit] <= 1).all()
    assert (along_u[0] == 0).all() and (along_v[0] == 0).all()


@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 1, 2), (1, 3, 2)])
def test_divided_voxels_share_their_energy_as_they_see_fluence(
    factors: tuple[int, int, int],
) -> None:
    shape, start = (4, 5, 6), np.array([1, 0, 2])
    coarse = geometry(shape, (10, 10, 10), (-27, 0, -13), (-20, 11, -20, 33))
    flux = np.zeros(shape, np.float32)
    voxel_fluence(coarse, shape, flux)
    random = np.random.default_rng(2)
    energy = random.random((2, *shape)).astype(np.float32) * (flux > 0)
    assert 0 < np.count_nonzero(energy[0]) < energy[0].size  # the field's edge lies within
    parts = np.array(factors[::-1])
    spacing = coarse.spacing / parts
    fine = coarse._replace(origin=coarse.origin - coarse.spacing / 2 + spacing / 2, spacing=spacing)
    fine_shape = tuple(n * f for n, f in zip(shape, factors, strict=True))
    fine_flux = np.zeros(fine_shape, np.float32)
    voxel_fluence(fine, fine_shape, fine_flux)
    blocks = fine_flux.reshape(4, factors[0], 5, factors[1], 6, factors[2])
    total = blocks.sum(axis=(1, 3, 5))
    energy *= total > 0
    share = np.divide(energy, total, out=np.zeros_like(energy), where=total > 0)
    expected = share[:, :, None, :, None, :, None] * blocks

    outer = tuple((n + 3) * f for n, f in zip(shape, factors, strict=True))
    divided = np.ones((2, *outer), np.float32)
    divide_release(fine, energy, factors, start, divided)
    inner = tuple(
        slice(first * f, (first + n) * f) for first, n, f in zip(start, shape, factors, strict=True)
    )
    added = divided - 1
    # Float32 numbers of about one: the sums are rounded to 1e-7.
    np.testing.assert_allclose(
        added[(slice(None), *inner)], expected.reshape(2, *fine_shape), atol=3e-7
    )
    assert added.sum(dtype=float) == pytest.approx(energy.sum(dtype=float), rel=1e-5)
