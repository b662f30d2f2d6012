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
from dosecalc.errors import InputError, OutsideValidityError
from dosecalc.model import Phantom
from tests.engines.cases import QUICK, SIX_MV, beam, cube, dose, mono, places, plan, with_solid

MEV_TO_JOULE = 1.602176634e-13


def dense_block(density: float, entrance_mm: float) -> Phantom:
    """Block of dense water, 30 cm wide, with an empty channel to its middle for the beam."""
    phantom = cube(60, 5.0)
    everywhere = np.ones(phantom.grid.shape, bool)
    phantom = with_solid(phantom, everywhere, 0, density)
    x, y, z = places(phantom)
    channel = (np.abs(x) < entrance_mm) & (np.abs(z) < entrance_mm) & (y < 0)
    return with_solid(phantom, channel, 0, 0.0)


def test_all_the_energy_is_absorbed() -> None:
    """A beam that ends in the middle of a thick block leaves in it what the kernels hold.

    Closed: the photons' energy that reaches the block equals what is absorbed and what
    the deposition kernels say leaves a sphere of 60 cm of water.
    """
    energy, half = 1.25, 10.0
    phantom, machine = dense_block(12.0, half), mono(energy)
    field = (-half, half, -half, half)
    gray = dose(phantom, beam(machine, field), machine, replace(QUICK, fluence_pixel_mm=1.0))
    absorbed = float((gray * phantom.mass_g).sum()) / 1000 / MEV_TO_JOULE
    # Unit fluence at the isocentre plane, which is the end of the channel, on 2 x 2 cm2.
    arriving = energy * (2 * half / 10) ** 2
    kernels = load_kernels()
    parts = [kernels.at(c, np.array([energy])).sum() for c in ("primary", "first", "later")]
    # Within the block the later scatter has no sphere to leave: its 1.3 % that the kernel
    # lacks is restored (the second digit of what is tested here); 0.3 % of the energy passes
    # 180 g/cm2 or returns by the channel.
    assert absorbed / arriving == pytest.approx(sum(parts), rel=0.015)


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


def test_dose_falls_as_attenuation_and_distance_say() -> None:
    """Narrow beam, far from build-up and with little scatter: exponential within scatter's share."""
    machine = mono(6.0)
    phantom = cube(60, 5.0)
    gray = dose(phantom, beam(machine, (-10, 10, -10, 10)), machine)
    axis = gray[29:31, :, 29:31].mean(axis=(0, 2))
    depth = (np.arange(60) + 0.5) * 0.5
    mu = float(coefficients(load_material("water"), np.array([6.0])).total[0])
    deep = slice(12, 56)
    factor = np.exp(-mu * depth) * (1000 / (850 + 10 * depth)) ** 2
    ratio = axis[deep] / factor[deep]
    # Scatter in a 2 x 2 cm2 beam of 6 MeV rises from 1 to 4 % of the dose, and the penumbra
    # takes another part of the axis voxels' dose with growing width.
    assert ratio.max() / ratio.min() < 1.05


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
        # And no dips: where dose is low, neighbours differ by no more than a factor of two.
        assert (side[5:] / side[4:-1] > 0.5).all()


def test_one_channel_differs_little_from_two() -> None:
    """Kernels that harden with the beam are a correction of about a percent."""
    phantom = cube(40, 5.0)
    one, two = (dose(phantom, beam(SIX_MV), SIX_MV, replace(QUICK, channels=n)) for n in (1, 2))
    difference = np.abs(one - two).max() / two.max()
    assert 0 < difference < 0.02


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
