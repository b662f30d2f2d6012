"""The collapsed-cone engine: energy, units, settings, what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dosecalc.data.cross_sections import coefficients
from dosecalc.data.deposition import load_kernels
from dosecalc.data.electrons import collision_stopping_power
from dosecalc.data.machines import load_machine
from dosecalc.data.materials import load_material
from dosecalc.engines.collapsed_cone import CollapsedConeSettings, compute
from dosecalc.engines.spectral import make_channels
from dosecalc.errors import InputError, OutsideValidityError
from dosecalc.model import Grid, Phantom
from tests.engines.cases import QUICK, SIX_MV, beam, cube, dose, mono, places, plan, with_solid
from tests.engines.superposed import axis_dose

MEV_TO_JOULE = 1.602176634e-13


def block_with_channel(density: float, half_width: float, depth: float) -> Phantom:
    """Block of dense water, 40 cm wide, with an empty channel for the beam, `depth` mm deep."""
    phantom = cube(80, 5.0)
    x, y, z = places(phantom)
    channel = (np.abs(x) < half_width) & (np.abs(z) < half_width) & (y < depth - 200)
    phantom = with_solid(phantom, ~channel, 0, density)
    return with_solid(phantom, channel, 0, 0.0)


def test_all_the_energy_is_absorbed() -> None:
    """A beam that first interacts well within a thick block leaves all it can in it.

    Closed: the energy of the photons that reach the block, against what is absorbed
    and what the deposition kernels lack: what leaves their sphere of 60 cm but for the
    scattered photons, for which the engine makes up.
    """
    energy, half = 1.25, 30.0
    machine = mono(energy)
    # 120 g/cm2 on all sides of the channel's end, 150 g/cm2 ahead.
    phantom = block_with_channel(6.0, half + 10, depth=150.0)
    field = (-half, half, -half, half)
    planned = beam(machine, field, isocentre=(0.0, -50.0, 0.0))
    settings = replace(QUICK, primary_voxel_mm=5.0, fluence_pixel_mm=1.0)
    gray = dose(phantom, planned, machine, settings)
    absorbed = float((gray * phantom.mass_g).sum()) / 1000 / MEV_TO_JOULE
    arriving = energy * (2 * half / 10) ** 2  # unit fluence in the plane of the channel's end
    kernels, water = load_kernels(), load_material("water")
    primary, first, later = (
        float(kernels.at(c, np.array([energy])).sum()) for c in ("primary", "first", "later")
    )
    channels = make_channels(machine.spectrum, None, [water], kernels)
    assert channels.later_ratio * first > later  # with what the sphere does not count
    # 0.15 % is lost because attenuation is sampled in the middle of voxels of 3 g/cm2, and
    # some returns by the channel: measured -0.3 %.
    assert absorbed / arriving == pytest.approx(
        primary + first * (1 + channels.later_ratio), rel=0.005
    )


def test_first_collision_energy() -> None:
    """Released energy without scatter: dose in one thin voxel is mu/rho times energy fluence."""
    energy = 0.3
    phantom = cube(9, 2.0)
    x, y, z = places(phantom)
    speck = (np.abs(x) < 0.5) & (np.abs(y) < 0.5) & (np.abs(z) < 0.5)
    phantom = with_solid(phantom, ~speck, 0, 0.0)
    phantom = with_solid(phantom, speck, 0, 50.0)
    machine = mono(energy)
    gray = dose(phantom, beam(machine, (-20, 20, -20, 20)), machine)
    data = coefficients(load_material("water"), np.array([energy]))
    # 10 g/cm2 across: more than the range of any electron, so what electrons get stays here,
    # and scattered photons add to it.
    mu = float(data.total[0])
    mean = np.exp(-mu * 5.0)
    primary = energy * float(data.to_electrons[0]) * mean * MEV_TO_JOULE * 1000
    assert primary < gray[4, 4, 4] < primary * mu / float(data.to_electrons[0])


@pytest.mark.parametrize("density", [1.85])
def test_dose_to_water_is_dose_to_medium_times_the_stopping_ratio(density: float) -> None:
    phantom = cube(24, 5.0, ("water", "cortical_bone"))
    _, y, _ = places(phantom)
    bone = (np.abs(y) < 20) & np.ones(phantom.grid.shape, bool)
    phantom = with_solid(phantom, bone, 1, density)
    machine = mono(2.0)
    medium, water = (
        dose(phantom, beam(machine), machine, replace(QUICK, dose_to=to))
        for to in ("medium", "water")
    )
    ratio = collision_stopping_power(load_material("water"), 1.0) / collision_stopping_power(
        load_material("cortical_bone"), 1.0
    )
    assert 1.05 < ratio < 1.15  # bone has fewer electrons, bound more tightly
    np.testing.assert_allclose(water[bone] / medium[bone], ratio, rtol=1e-6)  # float32
    np.testing.assert_array_equal(water[~bone], medium[~bone])


@pytest.mark.parametrize("spectrum", ["mono", "mohan6"])
@pytest.mark.parametrize("field", [(-5, 5, -5, 5), (-35, -25, 5, 15)])
def test_small_fields_are_smooth(spectrum: str, field: tuple[float, float, float, float]) -> None:
    """A 10 x 10 mm2 field, on the axis and off it: no streaks of single directions."""
    machine = mono(2.0) if spectrum == "mono" else SIX_MV
    phantom = cube(48, 2.5)
    gray = dose(phantom, beam(machine, field), machine, CollapsedConeSettings())
    middle = (field[0] + field[1]) / 2 * (1000 + 1.25) / 1000
    k = int(np.argmin(np.abs(phantom.grid.centres("z") - (field[2] + field[3]) / 2)))
    profile = gray[k, 24]  # 6 cm deep
    x = phantom.grid.centres("x")
    right, left = profile[x > middle], profile[x < middle][::-1]
    for side in (right, left):
        # Monotone within 1 % of the maximum, the project's limit for streaks outside a field.
        assert np.diff(side).max() < 0.01 * profile.max()
        # Ripples where single directions fan out show only at 0.01 % of the maximum, and
        # neighbours differ there by a factor between 0.5 and 1.3.
        ratio = side[6:] / side[5:-1]
        assert (ratio > 0.45).all() and (ratio < 1.4).all()


def test_one_channel_differs_little_from_two() -> None:
    """Kernels that harden with the beam are a correction of the build-up, and small below it."""
    phantom = cube(40, 5.0)
    one, two = (dose(phantom, beam(SIX_MV), SIX_MV, replace(QUICK, channels=n)) for n in (1, 2))
    difference = np.abs(one - two).max(axis=(0, 2)) / two.max()
    # Measured: 6 % in the first voxel, which the softer beam at the surface fills more, 2 %
    # from 20 mm and 1 % from 50 mm on.
    assert 0 < difference.max() < 0.08
    assert difference[4:].max() < 0.02 and difference[10:].max() < 0.01


def test_result_says_what_it_is() -> None:
    phantom = cube(20, 5.0)
    seen: list[tuple[str, int, int]] = []
    planned = plan(beam(SIX_MV), beam(SIX_MV, number=2, gantry_deg=90))
    found = compute(
        phantom, planned, {1: SIX_MV, 2: SIX_MV}, QUICK, lambda *step: seen.append(step)
    )
    assert seen == [("field 1", 1, 2), ("field 2", 2, 2)]
    assert (found.unit, found.dose_to, found.summation) == ("Gy cm2", "medium", "FRACTION")
    assert found.provenance["settings"]["directions"] == QUICK.directions
    assert found.provenance["kernels_sha256"] == load_kernels().sha256
    assert set(found.provenance["machines"]) == {"1", "2"}
    assert found.gray.dtype == np.float32 and not found.gray.flags.writeable


def test_beam_that_misses_gives_no_dose() -> None:
    far = beam(SIX_MV, isocentre=(0.0, 0.0, 900.0))
    assert (dose(cube(10, 5.0), far, SIX_MV) == 0).all()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"directions": 12}, "12 directions"),
        ({"directions": 2000}, "2000 directions"),
        ({"channels": 3}, "3 spectral channels"),
        ({"dose_to": "tissue"}, "tissue"),
        ({"arc_bin_deg": 0.0}, "arc_bin_deg"),
        ({"primary_voxel_mm": -1.0}, "primary_voxel_mm"),
        ({"fluence_pixel_mm": float("nan")}, "fluence_pixel_mm"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], match: str) -> None:
    with pytest.raises(InputError, match=match):
        CollapsedConeSettings(**settings)  # type: ignore[arg-type]


def test_beams_it_was_not_made_for_are_refused() -> None:
    phantom = cube(8, 5.0)
    kilovolt = mono(0.06)
    with pytest.raises(OutsideValidityError, match=r"0\.1 MeV.*megavoltage"):
        dose(phantom, beam(kilovolt), kilovolt)
    hard = mono(35.0)
    with pytest.raises(OutsideValidityError, match="35"):
        dose(phantom, beam(hard), hard)


def test_plans_that_do_not_fit_together_are_refused() -> None:
    phantom = cube(8, 5.0)
    linac = load_machine("generic-6mv")
    with pytest.raises(InputError, match="no beam"):
        compute(phantom, plan(), SIX_MV)
    with pytest.raises(InputError, match="per MU and beams per unit fluence"):
        compute(phantom, plan(beam(SIX_MV), beam(linac, number=2)), {1: SIX_MV, 2: linac})
    with pytest.raises(InputError, match="beam 2"):
        compute(phantom, plan(beam(SIX_MV), beam(SIX_MV, number=2)), {1: SIX_MV})


@pytest.mark.parametrize("depth_cm", [10.0, 20.0])
def test_large_fields_at_depth(depth_cm: float) -> None:
    """In 20 x 20 cm2 a third of the dose is scattered twice or more: where from must be right."""
    machine = mono(2.0)
    grid = Grid.covering((-220, -100, -220), (220, 300, 220), (10.0, 10.0, 10.0))
    shape = grid.shape
    phantom = Phantom(grid, np.ones(shape, np.float32), np.zeros(shape, np.uint8), ("water",))
    gray = dose(phantom, beam(machine, (-100, 100, -100, 100)), machine, CollapsedConeSettings())
    near = np.abs(grid.centres("x")) < 10
    axis = gray[near][:, :, near].mean(axis=(0, 2))
    depths = grid.centres("y") + 100.0
    found = np.exp(np.interp(10 * depth_cm, depths, np.log(axis)))
    # Measured +0.2 and +0.5 %; with steps that know nothing of each other +1.7 and +2.1 %.
    assert found == pytest.approx(axis_dose(depth_cm, 2.0, 10.0, 100.0, 90.0), rel=0.008)
