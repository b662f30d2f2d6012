"""Cut a beam into groups of control-point intervals that share one gantry and collimator angle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model import Beam, ControlPoint
from dosecalc.model.motion import ANGLE_TOLERANCE_DEG, collimator_turn_deg, gantry_turn_deg

__all__ = ["Part", "Segment", "beam_segments"]


@dataclass(frozen=True)
class Part:
    """Part of the interval between control points `interval` and `interval` + 1.

    start, stop : share of the interval's MU delivered at its ends, 0 <= start < stop <= 1;
        everything in the machine moves linearly with it.
    mu : MU delivered in the part, above zero.
    """

    interval: int
    start: float
    stop: float
    mu: float


@dataclass(frozen=True)
class Segment:
    """Parts of a beam calculated at one gantry and one collimator angle, degrees."""

    gantry_deg: float
    collimator_deg: float
    parts: tuple[Part, ...]


def beam_segments(beam: Beam, arc_bin_deg: float) -> tuple[Segment, ...]:
    """Cut a beam where its gantry or collimator turns with the beam on.

    The range of gantry angles over which MU are delivered is divided evenly into
    bins of at most `arc_bin_deg`, likewise the range of collimator angles.
    Intervals that cross bins are split there, angle and MU being linear in each
    other. A bin is calculated at the MU-weighted mean of the angles in it, so a
    beam that does not turn is one segment at its own angles, and MU are conserved.

    Raises
    ------
    InputError
        `arc_bin_deg` is not above zero, or a half turn has no stated sense.
    """
    if not arc_bin_deg > 0:
        raise InputError(f"arc bin of {arc_bin_deg} degrees; it must be above zero")
    points = beam.control_points
    mu = beam.mu * np.diff([p.meterset_fraction for p in points])
    on = [i for i in range(mu.size) if mu[i] > 0]
    if not on:
        return ()
    gantry = _unrolled(points, points[0].gantry_deg, gantry_turn_deg)
    collimator = _unrolled(points, points[0].collimator_deg, collimator_turn_deg)
    gantry_bins = _bin_edges(gantry, on, arc_bin_deg)
    collimator_bins = _bin_edges(collimator, on, arc_bin_deg)
    groups: dict[tuple[int, int], list[tuple[Part, float, float]]] = {}
    for i in on:
        cuts = {0.0, 1.0, *_crossings(gantry[i : i + 2], gantry_bins)}
        cuts.update(_crossings(collimator[i : i + 2], collimator_bins))
        for start, stop in pairwise(sorted(cuts)):
            middle = (start + stop) / 2
            angles = [float(a[i] + middle * (a[i + 1] - a[i])) for a in (gantry, collimator)]
            key = (_bin_of(angles[0], gantry_bins), _bin_of(angles[1], collimator_bins))
            part = Part(i, start, stop, float(mu[i]) * (stop - start))
            groups.setdefault(key, []).append((part, angles[0], angles[1]))
    return tuple(_segment(members) for members in groups.values())


def _unrolled(
    points: Sequence[ControlPoint],
    first: float,
    turn: Callable[[ControlPoint, ControlPoint], float],
) -> NDArray[np.float64]:
    """Angles at the control points without jumps at 360 degrees; small turns are none."""
    turns = [turn(a, b) for a, b in pairwise(points)]
    turns = [t if abs(t) > ANGLE_TOLERANCE_DEG else 0.0 for t in turns]
    return first + np.concatenate(([0.0], np.cumsum(turns)))


def _bin_edges(angles: NDArray[np.float64], on: list[int], width: float) -> NDArray[np.float64]:
    used = np.concatenate([angles[i : i + 2] for i in on])
    low, high = float(used.min()), float(used.max())
    return np.linspace(low, high, max(1, ceil((high - low) / width - 1e-6)) + 1)


def _crossings(ends: NDArray[np.float64], edges: NDArray[np.float64]) -> list[float]:
    """Shares of an interval, within (0, 1), at which its angle passes bin edges."""
    way = float(ends[1] - ends[0])
    if way == 0:
        return []
    shares = (edges - ends[0]) / way
    return [float(s) for s in shares if 1e-9 < s < 1 - 1e-9]


def _bin_of(angle: float, edges: NDArray[np.float64]) -> int:
    width = float(edges[1] - edges[0])
    if width == 0:
        return 0
    return min(max(floor((angle - float(edges[0])) / width), 0), edges.size - 2)


def _segment(members: list[tuple[Part, float, float]]) -> Segment:
    parts = tuple(part for part, _, _ in members)
    weights = [part.mu for part in parts]
    gantry = _mean([g for _, g, _ in members], weights)
    collimator = _mean([c for _, _, c in members], weights)
    return Segment(gantry % 360.0, collimator % 360.0, parts)


def _mean(angles: list[float], weights: list[float]) -> float:
    """Weighted mean, without any rounding where all angles are equal."""
    return angles[0] + float(np.average(np.subtract(angles, angles[0]), weights=weights))
