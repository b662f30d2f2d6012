"""Beams that share their transport: which do, and how little it changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dosecalc.beam import beam_fluences
from dosecalc.engines.collapsed_cone.sectors import Job, beam_jobs, middle_of, sectors
from dosecalc.model import Beam, PatientPosition
from tests.engines.cases import QUICK, SIX_MV, beam, cube, cylinder, dose, plan


def jobs_of(*beams: Beam, per_mu: float = 1.0) -> list[Job]:
    position = PatientPosition.HFS
    return [
        job
        for b in beams
        for job in beam_jobs(
            b,
            position,
            beam_fluences(b, position, SIX_MV, pixel_mm=5.0, arc_bin_deg=4.0),
            per_mu,
        )
    ]


def widths_deg(found: list[list[Job]]) -> list[float]:
    axes = [np.array([job.fluence.axes[2] for job in members]) for members in found]
    return [float(np.degrees(np.arccos(np.clip((a @ a.T).min(), -1, 1)))) for a in axes]


def test_bins_of_both_arcs_share_sectors_no_wider_than_asked() -> None:
    there = beam(SIX_MV, gantry_deg=0.0, arc_to_deg=96.0)
    back = replace(beam(SIX_MV, gantry_deg=2.0, arc_to_deg=90.0), number=2)
    found = sectors(jobs_of(there, back), 12.0)
    assert sum(map(len, found)) == 24 + 22
    # Together a bin every two degrees: seven of them within 12 degrees.
    assert len(found) == 7
    assert max(widths_deg(found)) <= 12.001
    assert [job.fluence.axes[2][1] for job in found[0]] == sorted(
        (job.fluence.axes[2][1] for job in found[0]), reverse=True
    )  # from gantry 0 on, both beams in turn


def test_beams_that_stand_still_share_only_one_direction() -> None:
    still = [beam(SIX_MV, gantry_deg=g, number=n) for n, g in enumerate((0, 2, 0, 90))]
    assert [len(members) for members in sectors(jobs_of(*still), 12.0)] == [2, 1, 1]


def test_what_differs_in_calibration_or_isocentre_is_kept_apart() -> None:
    one = jobs_of(beam(SIX_MV))
    moved = jobs_of(beam(SIX_MV, isocentre=(0.0, 0.0, 1.0)))
    louder = jobs_of(beam(SIX_MV), per_mu=2.0)
    assert [len(m) for m in sectors(one + moved + louder + one, 12.0)] == [2, 1, 1]


def test_middle_is_turned_about_the_isocentre() -> None:
    arc = beam(SIX_MV, gantry_deg=350.0, arc_to_deg=358.0, isocentre=(3.0, 4.0, 5.0))
    fluences = [job.fluence for job in jobs_of(arc)]  # bins about 352 and 356
    middle = middle_of(fluences)
    expected = beam_fluences(
        beam(SIX_MV, gantry_deg=354.0, isocentre=(3.0, 4.0, 5.0)),
        PatientPosition.HFS,
        SIX_MV,
    )[0]
    np.testing.assert_allclose(middle.axes, expected.axes, atol=1e-12)
    np.testing.assert_allclose(middle.source, expected.source, atol=1e-9)


def test_fields_from_one_direction_give_the_sum_of_their_doses() -> None:
    phantom = cube(30, 5.0)
    fields = [
        beam(SIX_MV, field=(-40, 10, -30, 30)),
        beam(SIX_MV, field=(-5, 30, -50, 20), number=2),
    ]
    together = dose(phantom, plan(*fields), SIX_MV)
    apart = sum(dose(phantom, field, SIX_MV) for field in fields)
    error = np.abs(together - apart) / together.max()
    # Cones are turned by the tilt of each ray, in a table over the rays of the fields: another
    # table moves what little the cones' number leaves uncertain, most in the first voxel.
    assert error.max() < 0.03 and error[:, 3:].max() < 0.01
    assert np.sqrt(np.mean(error**2)) < 0.002


@pytest.mark.parametrize("field", [(-20.0, 20.0, -20.0, 20.0), (10.0, 40.0, -15.0, 5.0)])
def test_sectors_change_an_arc_little(field: tuple[float, float, float, float]) -> None:
    """Kernels are turned wrongly by up to six degrees; that moves electrons by half a mm."""
    phantom = cylinder(60, 5.0, 120.0)
    arc = beam(SIX_MV, field, gantry_deg=0.0, arc_to_deg=120.0)
    own, shared = (
        dose(phantom, arc, SIX_MV, replace(QUICK, arc_sector_deg=width)) for width in (0.0, 12.0)
    )
    high = own > 0.1 * own.max()
    error = (shared - own)[high] / own.max()
    assert 0 < np.abs(error).max() < 0.015
    assert np.sqrt(np.mean(error**2)) < 0.003 and abs(error.mean()) < 0.001
