"""Objectives as functions of beamlet weights, fast to evaluate many times.

They give what `objective_value` gives of the dose, but read the dose-influence matrix once for
value and gradient together (`core.objectives.fused_penalties`), from a copy with 16-bit numbers:
it is the reading that takes the time. An entry of the copy is right to 1e-5 of its voxel's
largest. The mean of a structure is linear in the weights: one row, made beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.core.objectives import fused_penalties, pack_rows
from dosecalc.engines.pencil_beam.influence import InfluenceMatrix
from dosecalc.planning.objectives import KINDS, Objective, StructureVoxels, hottest_dose

__all__ = ["FusedObjectives", "fuse_objectives", "fused_value"]

# The voxel whose dose is the limit of a dose-volume objective counts, though its dose by the packed
# rows may be this much (relative) beyond the limit.
_ROUNDING = 5e-5
# Parts that the rows are divided into, whatever the number of threads.
_BLOCKS = 16


class PackedRows(NamedTuple):
    """Rows of a matrix, see `core.objectives.pack_rows`."""

    starts: NDArray[np.int64]
    indices: NDArray[np.uint16] | NDArray[np.uint32]
    values: NDArray[np.uint16]
    scales: NDArray[np.float32]


@dataclass(frozen=True)
class FusedObjectives:
    """Objectives with the rows of the matrix that they need; see `fuse_objectives`.

    Parameters
    ----------
    rows : PackedRows
        Of voxels with an objective other than a mean.
    first, goal, volume
        Objectives of each row, see `fused_penalties`.
    objectives : tuple of Objective
        Those that `goal` counts.
    partly : mapping of place in `objectives` to (volumes, InfluenceMatrix)
        Structures with an objective for a part of the volume.
    means : tuple of (Objective, (columns,) float64)
        With the structure's mean dose per weight.
    """

    rows: PackedRows
    first: NDArray[np.int32]
    goal: NDArray[np.int32]
    volume: NDArray[np.float64]
    objectives: tuple[Objective, ...]
    partly: Mapping[int, tuple[NDArray[np.float64], InfluenceMatrix]]
    means: tuple[tuple[Objective, NDArray[np.float64]], ...]


def fuse_objectives(
    influence: InfluenceMatrix,
    structures: Mapping[str, StructureVoxels],
    objectives: Sequence[Objective],
) -> FusedObjectives:
    """Prepare objectives for `fused_value`."""
    others = tuple(o for o in objectives if o.kind != "mean")
    parts = [structures[o.structure] for o in others]
    voxels = np.concatenate([np.empty(0, np.int64), *(part.voxels for part in parts)])
    rows = np.unique(voxels)
    place = np.searchsorted(rows, voxels)
    order = np.argsort(place, kind="stable")
    goal = np.repeat(np.arange(len(others), dtype=np.int32), [p.voxels.size for p in parts])
    volume = np.concatenate([np.empty(0), *(part.volumes for part in parts)])
    first = np.zeros(rows.size + 1, np.int32)
    np.cumsum(np.bincount(place, minlength=rows.size), out=first[1:])
    return FusedObjectives(
        rows=_packed(influence, rows),
        first=first,
        goal=goal[order],
        volume=volume[order],
        objectives=others,
        partly={
            n: (structure.volumes, influence.rows(structure.voxels))
            for n, (o, structure) in enumerate(zip(others, parts, strict=True))
            if o.volume_percent is not None
        },
        means=tuple(
            (o, _mean_row(influence, structures[o.structure]))
            for o in objectives
            if o.kind == "mean"
        ),
    )


def fused_value(
    fused: FusedObjectives, weights: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Value of the objectives and its gradient (columns,) by the weights (columns,)."""
    goals = np.array(
        [
            (KINDS[o.kind], o.dose_gy, -np.inf if o.kind == "min" else np.inf, o.weight)
            for o in fused.objectives
        ]
    ).reshape(-1, 4)
    for n, (volumes, part) in fused.partly.items():
        percent = fused.objectives[n].volume_percent or 0.0
        limit = hottest_dose(percent, volumes, part.times(weights))
        beyond = -_ROUNDING if fused.objectives[n].kind == "min" else _ROUNDING
        goals[n, 2] = limit * (1 + beyond)
    values, partial = np.empty(_BLOCKS), np.empty((_BLOCKS, weights.size))
    rules = (fused.first, fused.goal, fused.volume, goals)
    fused_penalties(*fused.rows, weights, rules, values, partial)
    value, slope = float(values.sum()), partial.sum(axis=0)
    for objective, row in fused.means:
        excess = max(float(row @ weights) - objective.dose_gy, 0.0)
        value += objective.weight * excess * excess
        slope += 2 * objective.weight * excess * row
    return value, slope


def _packed(influence: InfluenceMatrix, rows: NDArray[np.int64]) -> PackedRows:
    matrix = influence.matrix
    starts = np.zeros(rows.size + 1, np.int64)
    np.cumsum(np.diff(matrix.indptr)[rows], out=starts[1:])
    entries, small = int(starts[-1]), matrix.shape[1] <= 2**16
    found = PackedRows(
        starts,
        np.empty(entries, np.uint16) if small else np.empty(entries, np.uint32),
        np.empty(entries, np.uint16),
        np.empty(rows.size, np.float32),
    )
    pack_rows(matrix.indptr, matrix.indices, matrix.data, rows.astype(np.int64), *found)
    return found


def _mean_row(influence: InfluenceMatrix, part: StructureVoxels) -> NDArray[np.float64]:
    volumes = np.zeros(influence.matrix.shape[0])
    volumes[part.voxels] = part.volumes
    return influence.transposed_times(volumes)
