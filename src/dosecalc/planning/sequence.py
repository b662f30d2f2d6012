"""Beamlet weights to leaf positions: step and shoot.

Weights are rounded to levels. In every row of leaves, the places where the level rises, in order
from the left, are those of the left leaf in one segment after the other, and the places where
it falls those of the right leaf: leaves only ever move to the right (Bortfeld, Boyer, Schlegel,
Kahler and Waldron, Int J Radiat Oncol Biol Phys 28:723 (1994)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam.beamlets import BeamletGrid
from dosecalc.errors import InputError
from dosecalc.model import Beam, ControlPoint, Machine, MlcModel

__all__ = ["step_and_shoot"]

_PARKED_MM = 10.0


def step_and_shoot(
    grid: BeamletGrid,
    weights: NDArray[np.float64],
    machine: Machine,
    *,
    number: int,
    name: str = "",
    levels: int = 10,
) -> Beam:
    """Return a beam whose segments add up to weights of beamlets.

    Parameters
    ----------
    grid : BeamletGrid
    weights : (grid.count,) float64
        MU of every beamlet.
    machine : Machine
        With leaves that travel along x.
    number : int
    name : str
    levels : int, 1 to 100
        Into how many steps the largest weight is divided.

    Raises
    ------
    InputError
        No such leaves; weights do not belong to the grid, are negative or all zero.
    """
    mlc = machine.mlc
    if mlc is None or mlc.axis != "x":
        raise InputError(f"machine {machine.name!r} has no leaves along x to sequence for")
    if not 1 <= levels <= 100:
        raise InputError(f"{levels} levels: choose from 1 to 100")
    given = np.asarray(weights, np.float64)
    if given.shape != (grid.count,) or (given < 0).any() or not given.any():
        raise InputError(
            f"{given.size} weights for {grid.count} beamlets; one each, none negative, not all zero"
        )
    rows = _on_leaves(grid, given, mlc)
    step = float(rows.max()) / levels
    counts = np.rint(rows / step).astype(int)
    segments = _segments(counts)
    u_edges = grid.u0 - grid.size_u / 2 + grid.size_u * np.arange(grid.chosen.shape[1] + 1)
    jaws_x, jaws_y = _jaws(counts, u_edges, mlc)
    states = []
    for k, (tips, times) in enumerate(_merged(segments)):
        leaves = _tips(tips, u_edges, mlc, jaws_x)
        states.append((leaves, times, k))
    total = sum(times for _, times, _ in states)
    points: list[ControlPoint] = []
    done = 0
    for leaves, times, _ in states:
        for share in (done / total, (done + times) / total):
            points.append(
                ControlPoint(
                    meterset_fraction=share,
                    gantry_deg=grid.gantry_deg,
                    collimator_deg=grid.collimator_deg,
                    couch_deg=grid.couch_deg,
                    isocentre=grid.isocentre,
                    jaws_x=None if machine.jaws_x is None else jaws_x,
                    jaws_y=None if machine.jaws_y is None else jaws_y,
                    leaves=leaves,
                )
            )
        done += times
    return Beam.of_machine(machine, tuple(points), mu=step * total, number=number, name=name)


def _on_leaves(
    grid: BeamletGrid, weights: NDArray[np.float64], mlc: MlcModel
) -> NDArray[np.float64]:
    """Weights (leaf pairs, nu): the mean over the rows of beamlets that a leaf covers."""
    image = np.zeros(grid.chosen.shape)
    image[grid.chosen] = weights
    edges = grid.v0 - grid.size_v / 2 + grid.size_v * np.arange(grid.chosen.shape[0] + 1)
    low, high = mlc.boundaries_mm[:-1, None], mlc.boundaries_mm[1:, None]
    shared = np.clip(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0, None)
    return np.asarray((shared / (high - low)) @ image)


def _segments(counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Edges (leaf pairs, 2) of each segment of one step: columns from and to; -1 where closed."""
    padded = np.pad(counts, ((0, 0), (1, 1)))
    change = np.diff(padded, axis=1)
    rising = [np.repeat(np.arange(c.size), np.maximum(c, 0)) for c in change]
    falling = [np.repeat(np.arange(c.size), np.maximum(-c, 0)) for c in change]
    found = []
    for k in range(max(r.size for r in rising)):
        edges = np.full((len(rising), 2), -1)
        for row, (r, f) in enumerate(zip(rising, falling, strict=True)):
            if k < r.size:
                edges[row] = r[k], f[k]
        found.append(edges)
    return found


def _merged(segments: list[NDArray[np.int64]]) -> list[tuple[NDArray[np.int64], int]]:
    """Join equal segments that follow each other: edges, and how often."""
    found: list[tuple[NDArray[np.int64], int]] = []
    for edges in segments:
        if found and np.array_equal(found[-1][0], edges):
            found[-1] = (edges, found[-1][1] + 1)
        else:
            found.append((edges, 1))
    return found


def _jaws(
    counts: NDArray[np.int64], u_edges: NDArray[np.float64], mlc: MlcModel
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Box around everything that is ever open."""
    columns, leaves = np.flatnonzero(counts.any(axis=0)), np.flatnonzero(counts.any(axis=1))
    across = mlc.boundaries_mm[leaves[0]], mlc.boundaries_mm[leaves[-1] + 1]
    along = u_edges[columns[0]], u_edges[columns[-1] + 1]
    return (float(along[0]), float(along[1])), (float(across[0]), float(across[1]))


def _tips(
    edges: NDArray[np.int64],
    u_edges: NDArray[np.float64],
    mlc: MlcModel,
    jaws_x: tuple[float, float],
) -> NDArray[np.float64]:
    """Leaf tips (2, pairs), mm; pairs that are closed meet behind a jaw."""
    parked = max(jaws_x[0] - _PARKED_MM, mlc.range_mm[0])
    tips = np.full((2, edges.shape[0]), parked)
    is_open = edges[:, 0] >= 0
    # Rounded tips let light through as if they were withdrawn by the offset.
    tips[0, is_open] = u_edges[edges[is_open, 0]] + mlc.tip_offset_mm
    tips[1, is_open] = u_edges[edges[is_open, 1]] - mlc.tip_offset_mm
    return np.round(tips, 2)
