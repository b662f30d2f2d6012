"""The dose-influence matrix as scripts hold it: products, doses, and the file it is kept in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from dosecalc.beam.beamlets import BeamletGrid
from dosecalc.core.influence import times, transposed_times
from dosecalc.errors import InputError
from dosecalc.model import Dose, Grid, PatientPosition

__all__ = ["InfluenceMatrix"]

# Blocks that a product with the transpose is summed in, whatever the number of threads.
_BLOCKS = 16


@dataclass(frozen=True)
class InfluenceMatrix:
    """Dose per unit weight of beamlets.

    Parameters
    ----------
    matrix : (voxels, beamlets) csr_array of float32 with int32 indices
        Rows are voxels of the grid in the order of its arrays, ``[z, y, x]`` flattened; columns are
        the beams' beamlets one after the other, each in the order of ``chosen``. Gy per MU
        of open beamlet (Gy cm2 for a bare point source).
    grid : Grid
    beams : tuple of BeamletGrid
    unit : str
    dropped : tuple of float
        Share of each beam's absorbed energy that lies beyond reach, all weights being equal.
    provenance : dict
    """

    matrix: sparse.csr_array
    grid: Grid
    beams: tuple[BeamletGrid, ...]
    unit: str
    dropped: tuple[float, ...]
    provenance: dict[str, Any]

    def times(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Dose per voxel (rows,) of beamlet weights (columns,)."""
        m = self.matrix
        if weights.shape != (m.shape[1],):
            raise InputError(f"{weights.shape} weights for {m.shape[1]} beamlets")
        result = np.empty(m.shape[0])
        times(m.indptr, m.indices, m.data, np.ascontiguousarray(weights, np.float64), result)
        return result

    def transposed_times(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over voxels of values times dose, per beamlet: the gradient of an objective."""
        m = self.matrix
        partial = np.empty((_BLOCKS, m.shape[1]))
        given = np.ascontiguousarray(values, np.float64)
        transposed_times(m.indptr, m.indices, m.data, given, partial)
        return np.asarray(partial.sum(axis=0))

    def dose(self, weights: NDArray[np.float64]) -> Dose:
        """Dose of beamlet weights on the grid."""
        gray = self.times(weights).reshape(self.grid.shape).astype(np.float32)
        return Dose(
            self.grid,
            gray,
            str(self.provenance["dose_to"]),
            unit=self.unit,
            summation="FRACTION",
            provenance=self.provenance,
        )

    def rows(self, voxels: NDArray[np.int64]) -> InfluenceMatrix:
        """Return the matrix of some voxels only, for an optimisation; `dose` has no grid then."""
        return InfluenceMatrix(
            self.matrix[voxels], self.grid, self.beams, self.unit, self.dropped, self.provenance
        )

    def save(self, path: Path) -> None:
        """Write an .npz with the arrays of a CSR matrix and, as JSON, what it belongs to."""
        about = {
            "unit": self.unit,
            "grid": asdict(self.grid),
            "dropped": self.dropped,
            "provenance": self.provenance,
            "beams": [
                {
                    **{k: v for k, v in vars(b).items() if k not in ("chosen", "position")},
                    "position": b.position.name,
                    "chosen": b.chosen.astype(int).tolist(),
                }
                for b in self.beams
            ],
        }
        m = self.matrix
        np.savez(
            path,
            format=np.array("csr"),
            shape=np.array(m.shape),
            indptr=m.indptr,
            indices=m.indices,
            data=m.data,
            dosecalc=np.array(json.dumps(about, default=str)),
        )

    @classmethod
    def load(cls, path: Path) -> InfluenceMatrix:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            The file holds no matrix of this program.
        """
        with np.load(path) as data:
            if "dosecalc" not in data:
                raise InputError(f"{path}: not a dose-influence matrix of this program")
            about = json.loads(str(data["dosecalc"]))
            matrix = sparse.csr_array(
                (data["data"], data["indices"], data["indptr"]), shape=tuple(data["shape"])
            )
        grid = {name: tuple(values) for name, values in about["grid"].items()}
        beams = (
            BeamletGrid(
                **b
                | {
                    "position": PatientPosition[b["position"]],
                    "isocentre": tuple(b["isocentre"]),
                    "chosen": np.array(b["chosen"], bool),
                }
            )
            for b in about["beams"]
        )
        dropped = tuple(about["dropped"])
        return cls(matrix, Grid(**grid), tuple(beams), about["unit"], dropped, about["provenance"])
