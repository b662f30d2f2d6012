"""Stationary beams that can share their transport, because they come from about one direction.

What a beam releases is linear in its fluence, and what is released is spread by kernels turned
to the direction of the photons. So beams of one quality from one direction need one transport
together. From a few degrees apart, each released energy stays where its own rays put it, and
only its kernel is turned wrongly: electrons end on average half a centimetre ahead of where
they were set free, which five degrees move sideways by 0.4 mm, one way on one side of a sector
and the other way on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dosecalc.beam import beam_axes
from dosecalc.beam.fluence import Fluence
from dosecalc.engines.machines import BeamQuality
from dosecalc.model import Beam, PatientPosition

__all__ = ["Job", "beam_jobs", "middle_of", "sectors"]

# Directions and positions that are rounded differently are the same.
_SAME_DEG = 1e-4
_SAME_MM = 1e-4


class Job(NamedTuple):
    """A stationary beam, or one bin of an arc.

    name : of its beam
    gantry_deg, couch_deg : where its photons come from, -180 to 180
    per_mu : factor from the dose of the fluence map to Gy
    rotates : whether its beam does
    """

    name: str
    fluence: Fluence
    gantry_deg: float
    couch_deg: float
    per_mu: float
    rotates: bool


def beam_jobs(
    beam: Beam, position: PatientPosition, fluences: Sequence[Fluence], per_mu: float
) -> list[Job]:
    """Jobs of the stationary parts of one beam."""
    rotates = any(point.gantry_direction != "NONE" for point in beam.control_points)
    couch = beam.control_points[0].couch_deg
    ahead, aside = (beam_axes(position, gantry, 0.0, couch)[2] for gantry in (0.0, 90.0))
    return [
        Job(
            name=beam.name,
            fluence=fluence,
            gantry_deg=float(
                np.degrees(np.arctan2(fluence.axes[2] @ aside, fluence.axes[2] @ ahead))
            ),
            couch_deg=couch,
            per_mu=per_mu,
            rotates=rotates,
        )
        for fluence in fluences
    ]


def sectors(jobs: Sequence[Job], width_deg: float) -> list[list[Job]]:
    """Put jobs together that may share a transport.

    No two gantry angles of a sector are further apart than `width_deg` if their beams rotate,
    or at all if they do not. A sector has one beam quality, calibration, isocentre and couch
    angle.
    """
    kinds: dict[object, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(_kind(job), []).append(job)
    found = []
    for alike in kinds.values():
        widest = width_deg * alike[0].rotates + _SAME_DEG
        start = -np.inf
        for job in sorted(alike, key=lambda job: job.gantry_deg):
            if job.gantry_deg - start > widest:
                start = job.gantry_deg
                found.append([job])
            else:
                found[-1].append(job)
    return found


def middle_of(fluences: Sequence[Fluence]) -> Fluence:
    """Return the fluence nearest to the mean direction of all, turned to that direction.

    About the isocentre, so that source and axes are those of a beam in the middle.
    """
    mean = np.mean([fluence.axes[2] for fluence in fluences], axis=0)
    mean /= np.linalg.norm(mean)
    nearest = max(fluences, key=lambda fluence: round(float(fluence.axes[2] @ mean), 9))
    if nearest.axes[2] @ mean > 1 - 1e-12:
        return nearest
    u = nearest.axes[0] - (nearest.axes[0] @ mean) * mean
    u /= np.linalg.norm(u)
    v = np.cross(mean, u) * np.sign(np.linalg.det(nearest.axes))
    isocentre = nearest.source + nearest.sad_mm * nearest.axes[2]
    return replace(nearest, source=isocentre - nearest.sad_mm * mean, axes=np.array([u, v, mean]))


def _kind(job: Job) -> object:
    fluence = job.fluence
    isocentre = fluence.source + fluence.sad_mm * fluence.axes[2]
    place = tuple(round(float(x) / _SAME_MM) for x in isocentre)
    return (
        BeamQuality(fluence),
        job.per_mu,
        fluence.sad_mm,
        place,
        round(job.couch_deg / _SAME_DEG),
        job.rotates,
    )
