"""What a planner asks of the dose to a structure, in a form that can be optimised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosecalc.core import objectives as core
from dosecalc.errors import InputError

__all__ = ["KINDS", "Objective", "StructureVoxels", "hottest_dose", "objective_value"]

KINDS = {
    "max": core.OVERDOSE,
    "min": core.UNDERDOSE,
    "uniform": core.UNIFORM,
    "mean": core.MEAN,
}


@dataclass(frozen=True)
class Objective:
    """One goal, with a penalty that grows with the square of what is missed.

    Parameters
    ----------
    structure : str
    kind : {"max", "min", "uniform", "mean"}
        Nothing above the dose, nothing below it, exactly it, or no more on the mean.
    dose_gy : float
        For one fraction.
    weight : float
    volume_percent : float or None
        With "max": the part of the volume that may have more. With "min": the part that must
        have at least the dose.
    """

    structure: str
    kind: str
    dose_gy: float
    weight: float = 1.0
    volume_percent: float | None = None

    def __post_init__(self) -> None:
        where = f"objective for {self.structure!r}"
        if self.kind not in KINDS:
            raise InputError(f"{where}: kind {self.kind!r}; there are {', '.join(KINDS)}")
        if not (0 <= self.dose_gy < math.inf and 0 < self.weight < math.inf):
            raise InputError(
                f"{where}: {self.dose_gy} Gy and weight {self.weight}; a finite dose of 0 or more "
                "and a finite weight above 0 are needed"
            )
        if self.volume_percent is not None:
            if self.kind not in ("max", "min"):
                raise InputError(f"{where}: only 'max' and 'min' can be for a part of the volume")
            if not 0 < self.volume_percent < 100:
                raise InputError(
                    f"{where}: {self.volume_percent} % of the volume; above 0 and below 100"
                )


@dataclass(frozen=True)
class StructureVoxels:
    """Voxels of a structure, as places in a flat dose array, and their share of its volume."""

    voxels: NDArray[np.int64]
    volumes: NDArray[np.float64]

    @classmethod
    def from_fraction(
        cls, fraction: NDArray[np.floating], name: str = "of an objective"
    ) -> StructureVoxels:
        """Make it from volume fractions, or a mask, on the dose grid.

        Raises
        ------
        InputError
            There is no voxel, or a fraction that is not finite; `name` says of which structure.
        """
        flat = np.asarray(fraction, np.float64).ravel()
        if not np.isfinite(flat).all():
            raise InputError(
                f"structure {name}: {int((~np.isfinite(flat)).sum())} volume fractions are not "
                "finite; from 0 to 1 is needed"
            )
        voxels = np.flatnonzero(flat > 0)
        if voxels.size == 0:
            raise InputError(
                f"structure {name} has no voxel in the dose grid: it is empty or lies outside; "
                "leave its objective out, or draw it"
            )
        return cls(voxels, flat[voxels] / flat[voxels].sum())


def objective_value(
    objectives: Sequence[Objective],
    structures: dict[str, StructureVoxels],
    dose: NDArray[np.float64],
    slope: NDArray[np.float64],
) -> float:
    """Sum of the penalties of a dose (rows,); `slope` (rows,) becomes its gradient."""
    slope[:] = 0.0
    total = 0.0
    for objective in objectives:
        part = structures[objective.structure]
        limit = _limit(objective, part, dose)
        total += float(
            core.add_penalty(
                KINDS[objective.kind],
                float(objective.dose_gy),
                limit,
                float(objective.weight),
                part.voxels,
                part.volumes,
                dose,
                slope,
            )
        )
    return total


def _limit(objective: Objective, part: StructureVoxels, dose: NDArray[np.float64]) -> float:
    """Dose beyond which voxels are those that the objective leaves alone."""
    if objective.volume_percent is None:
        return -np.inf if objective.kind == "min" else np.inf
    return hottest_dose(objective.volume_percent, part.volumes, dose[part.voxels])


def hottest_dose(
    percent: float, volumes: NDArray[np.float64], inside: NDArray[np.float64]
) -> float:
    """Dose that the hottest part of a structure has at least."""
    order = np.argsort(-inside)
    share = np.cumsum(volumes[order])
    place = min(int(np.searchsorted(share, percent / 100)), inside.size - 1)
    return float(inside[order[place]])
