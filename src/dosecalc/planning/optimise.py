"""Beamlet weights that meet objectives best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from dosecalc.engines.pencil_beam.influence import InfluenceMatrix
from dosecalc.errors import InputError
from dosecalc.planning.fused import fuse_objectives, fused_value
from dosecalc.planning.objectives import Objective, StructureVoxels

__all__ = ["OptimisedFluence", "optimise_fluence"]


@dataclass(frozen=True)
class OptimisedFluence:
    """Weights and how they were found.

    Parameters
    ----------
    weights : (beamlets,) float64
        MU of every beamlet, of one fraction.
    value : float
        Of the objectives.
    history : tuple of float
        Value after every iteration.
    reason : str
        Why it stopped.
    """

    weights: NDArray[np.float64]
    value: float
    history: tuple[float, ...]
    reason: str


def optimise_fluence(
    influence: InfluenceMatrix,
    structures: Mapping[str, NDArray[np.floating]],
    objectives: Sequence[Objective],
    *,
    iterations: int = 100,
    progress: Callable[[int, float], None] | None = None,
) -> OptimisedFluence:
    """Minimise the sum of objectives over weights that are not negative (L-BFGS-B).

    Starts from equal weights that give the first "uniform" or "min" objective its mean dose.

    Parameters
    ----------
    influence : InfluenceMatrix
    structures : mapping of name to (nz, ny, nx)
        Volume fractions, or masks, on the matrix's grid.
    objectives : sequence of Objective
        Doses are for one fraction.
    iterations : int
    progress : callable(iteration, value), optional

    Raises
    ------
    InputError
        No objective; a structure is missing or lies outside; the beams do not reach the target.
    """
    if not objectives:
        raise InputError("no objective to optimise for")
    missing = [o.structure for o in objectives if o.structure not in structures]
    if missing:
        raise InputError(
            f"objectives name {', '.join(missing)}; there are: {', '.join(structures)}"
        )
    parts = {
        name: StructureVoxels.from_fraction(structures[name], repr(name))
        for name in dict.fromkeys(o.structure for o in objectives)
    }
    start = _start(influence, parts, objectives)
    fused = fuse_objectives(influence, parts, objectives)
    history: list[float] = []

    # In units of the starting weight the problem is well scaled whatever a MU is.
    def cost(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = fused_value(fused, start * x)
        return value, start * slope

    def tell(intermediate_result: object) -> None:
        history.append(float(intermediate_result.fun))  # type: ignore[attr-defined]
        if progress is not None:
            progress(len(history), history[-1])

    count = influence.matrix.shape[1]
    # The threads of numpy's library go on waiting on the cores after each of its calls, and the
    # evaluation that follows would find one core instead of two.
    with threadpool_limits(1, user_api="blas"):
        found = minimize(
            cost,
            np.ones(count),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, None)] * count,
            callback=tell,
            options={"maxiter": iterations, "maxcor": 20, "ftol": 1e-6},
        )
    return OptimisedFluence(start * found.x, float(found.fun), tuple(history), str(found.message))


def _start(
    influence: InfluenceMatrix,
    structures: dict[str, StructureVoxels],
    objectives: Sequence[Objective],
) -> float:
    """Equal weight that gives the target its dose."""
    for objective in objectives:
        if objective.kind in ("uniform", "min") and objective.dose_gy > 0:
            part = structures[objective.structure]
            even = influence.rows(part.voxels).times(np.ones(influence.matrix.shape[1]))
            mean = float(even @ part.volumes)
            if mean <= 0:
                raise InputError(f"no beamlet reaches {objective.structure!r}")
            return objective.dose_gy / mean
    raise InputError("no objective asks for dose; give the target 'uniform' or 'min'")
