"""Arcs cut into short ones, which have a direction of their own."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import ceil

import numpy as np

from dosecalc.model import Beam, ControlPoint
from dosecalc.model.motion import collimator_turn_deg, gantry_turn_deg

__all__ = ["short_arcs"]


def short_arcs(beam: Beam, most_deg: float) -> tuple[Beam, ...]:
    """Cut a beam wherever its gantry has turned by so much; one that stands still stays whole.

    Parameters
    ----------
    beam : Beam
    most_deg : float
        Largest turn of a part, above zero.

    Returns
    -------
    tuple of Beam
        With the number of the whole, and the MU that are delivered on the way; none without MU.
    """
    points = _dense(beam.control_points, most_deg)
    parts, first, turned = [], 0, 0.0
    for n, (start, stop) in enumerate(pairwise(points)):
        turn = abs(gantry_turn_deg(start, stop))
        if n > first and turned + turn > most_deg + 1e-6:
            parts.append(points[first : n + 1])
            first, turned = n, 0.0
        turned += turn
    parts.append(points[first:])
    found = []
    for some in parts:
        begin, share = some[0].meterset_fraction, some[-1].meterset_fraction
        share -= begin
        if share <= 0:
            continue
        own = [
            replace(p, meterset_fraction=min((p.meterset_fraction - begin) / share, 1.0))
            for p in some
        ]
        own[0] = replace(own[0], meterset_fraction=0.0)
        own[-1] = replace(own[-1], meterset_fraction=1.0)
        found.append(replace(beam, control_points=tuple(own), mu=beam.mu * share))
    return tuple(found)


def _dense(points: tuple[ControlPoint, ...], most_deg: float) -> list[ControlPoint]:
    """Control points with others between those that are further apart than `most_deg`."""
    found = [points[0]]
    for start, stop in pairwise(points):
        count = max(1, ceil(abs(gantry_turn_deg(start, stop)) / most_deg - 1e-6))
        found += [_between(start, stop, n / count) for n in range(1, count)]
        found.append(stop)
    return found


def _between(start: ControlPoint, stop: ControlPoint, share: float) -> ControlPoint:
    """State of the machine on the way from one control point to the next."""

    def mean(name: str) -> tuple[float, float] | None:
        a, b = getattr(start, name), getattr(stop, name)
        if a is None or b is None:
            return None
        low, high = (float(p + share * (q - p)) for p, q in zip(a, b, strict=True))
        return low, high

    leaves = start.leaves
    if leaves is not None and stop.leaves is not None:
        leaves = np.asarray(leaves + share * (stop.leaves - leaves))
    before, after = start.meterset_fraction, stop.meterset_fraction
    return replace(
        start,
        meterset_fraction=before + share * (after - before),
        gantry_deg=start.gantry_deg + share * gantry_turn_deg(start, stop),
        collimator_deg=start.collimator_deg + share * collimator_turn_deg(start, stop),
        jaws_x=mean("jaws_x"),
        jaws_y=mean("jaws_y"),
        leaves=leaves,
    )
