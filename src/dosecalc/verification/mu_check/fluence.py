"""Fluence about a point for the independent check of monitor units: apertures, rings, head scatter.

Every device is sharp and either open or lets its transmission through. Fluence is sampled on
rings about the point in the isocentre plane, relative to the open field's, and is a mean over
monitor units. No fluence map of `dosecalc.beam` is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.mu_tables import MuTables
from dosecalc.verification.mu_check.geometry import Piece

__all__ = ["FAINT", "RINGS_MM", "SQUARE_OF_CIRCLE", "Seen", "look_at_source"]

_Array = NDArray[np.float64]

RINGS_MM = np.concatenate((np.arange(0, 20, 2), np.arange(20, 60, 4), np.arange(60, 321, 10.0)))
"""Edges of the rings about the point, mm in the isocentre plane: finer near the point."""

SQUARE_OF_CIRCLE = 2 / 1.12
"""Side of the square that scatters as a circle does, per radius (BJR Supplement 25, 1996)."""

FAINT = 0.02
"""Fluence, relative to the brightest, that may lie beyond the tables."""

_ANGLES = 72
# Leaf pairs no further apart are taken as closed.
_PARKED_MM = 2.0


class Seen(NamedTuple):
    """Fluence about the point at one gantry position.

    samples : (rings, angles) fluence relative to the open field's
    weighted : (rings,) the same with the off-axis ratio, mean over the ring
    total : sum of MU times head scatter
    collimator_mm : as in `HandTerms`
    """

    samples: _Array
    weighted: _Array
    total: float
    collimator_mm: float


def _ring_samples() -> tuple[_Array, _Array]:
    """Offsets of samples from the point, (rings, angles), mm."""
    radius = (RINGS_MM[:-1] + RINGS_MM[1:]) / 2
    angle = (np.arange(_ANGLES) + 0.5) * 2 * pi / _ANGLES
    return radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle)


def look_at_source(
    pieces: Sequence[Piece], x_mm: float, y_mm: float, depth_mm: float, tables: MuTables
) -> Seen:
    """Look at the source from rings about a point, through every piece of one gantry position.

    Parameters
    ----------
    pieces : of one gantry and collimator angle
    x_mm, y_mm : float, mm
        Place of the point in the isocentre plane, axes of the beam limiting device.
    depth_mm : float
        Radiological depth of the point.
    tables : MuTables

    Raises
    ------
    OutsideValidityError
        The open field reaches beyond the tables.
    """
    dx, dy = _ring_samples()
    x, y = x_mm + dx, y_mm + dy
    samples, total, collimator, mu = np.zeros_like(x), 0.0, 0.0, 0.0
    for piece in pieces:
        through_leaves = _leaf_share(piece, x, y, tables)
        side = _jaw_side(piece, tables)
        weight = piece.mu * _head_scatter(side, through_leaves, piece, tables)
        samples += weight * through_leaves * _jaw_share(piece, x, y, tables)
        total += weight
        collimator += piece.mu * side
        mu += piece.mu
    radius = np.hypot(x, y)
    lit = samples > FAINT * samples.max()
    ratio = np.zeros_like(radius)
    last = tables.off_axis_radius_mm[-1]
    ratio[lit] = tables.off_axis(radius[lit], depth_mm)
    ratio[~lit] = tables.off_axis(np.minimum(radius[~lit], last), depth_mm)
    about_axis = tables.off_axis(np.minimum((RINGS_MM[:-1] + RINGS_MM[1:]) / 2, last), depth_mm)
    weighted = (samples * ratio).mean(axis=1) / about_axis
    return Seen(samples, weighted, total, collimator / mu)


def _jaw_share(piece: Piece, x: _Array, y: _Array, tables: MuTables) -> _Array:
    """Transmission of the jaws at places in the isocentre plane; 0 beyond the largest field."""
    half = tables.widest_mm / 2
    share = ((np.abs(x) <= half) & (np.abs(y) <= half)).astype(np.float64)
    for place, jaws, through in (
        (x, piece.jaws_x, tables.through_x),
        (y, piece.jaws_y, tables.through_y),
    ):
        if jaws is not None and through is not None:
            share *= np.where((place >= jaws[0]) & (place <= jaws[1]), 1.0, through)
    return share


def _leaf_share(piece: Piece, x: _Array, y: _Array, tables: MuTables) -> _Array:
    """Transmission of the leaves; nothing passes beside their bank."""
    if piece.tips is None or piece.leaf_edges is None or tables.through_leaves is None:
        return np.ones_like(x)
    along, across = (x, y) if piece.leaf_axis == "x" else (y, x)
    pair = np.searchsorted(piece.leaf_edges, across) - 1
    beside = (pair < 0) | (pair >= len(piece.tips))
    tips = piece.tips[np.clip(pair, 0, len(piece.tips) - 1)]
    is_open = (along >= tips[..., 0]) & (along <= tips[..., 1])
    return np.where(beside, 0.0, np.where(is_open, 1.0, tables.through_leaves))


def _jaw_side(piece: Piece, tables: MuTables) -> float:
    """Equivalent square of the jaws; on an axis without jaws the leaves stand for them."""
    sides = []
    for axis, jaws, other in (
        ("x", piece.jaws_x, piece.jaws_y),
        ("y", piece.jaws_y, piece.jaws_x),
    ):
        edges = jaws or _leaf_span(piece, axis, other) or (0.0, tables.widest_mm)
        sides.append(edges[1] - edges[0])
    if min(sides) <= 0:
        return 0.0
    return tables.head_scatter.jaw_side(*sides)


def _leaf_span(
    piece: Piece, axis: str, other: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Span along one axis of the leaf pairs that are open between the jaws of the other."""
    if piece.tips is None or piece.leaf_edges is None:
        return None
    edges, tips = piece.leaf_edges, piece.tips
    low, high = (edges[0], edges[-1]) if other is None or axis != piece.leaf_axis else other
    lit = (tips[:, 1] - tips[:, 0] > _PARKED_MM) & (edges[1:] > low) & (edges[:-1] < high)
    if not lit.any():
        return (0.0, 0.0)
    if axis == piece.leaf_axis:
        return float(tips[lit, 0].min()), float(tips[lit, 1].max())
    return float(edges[:-1][lit].min()), float(edges[1:][lit].max())


def _head_scatter(side: float, leaf_share: _Array, piece: Piece, tables: MuTables) -> float:
    """Sc: of the jaws, or of the leaves where these hide more of the head from the point."""
    head = tables.head_scatter
    jaws = head.of_jaws(side)
    if piece.tips is None or head.leaves is None:
        return jaws
    factor = head.of_leaves(SQUARE_OF_CIRCLE * RINGS_MM)
    leaves = float(factor[0] + np.sum(leaf_share.mean(axis=1) * np.diff(factor)))
    return min(jaws, leaves)
