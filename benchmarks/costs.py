"""Operations and bytes that the engine's inner loops need, counted and not guessed."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.core import superposition
from dosecalc.core.superposition import TERMS, Directions, Medium, sweep
from dosecalc.core.terma import BeamGeometry, Spectral

__all__ = [
    "BYTES_PER_STEP",
    "StepCosts",
    "SweepCount",
    "count_sweep",
    "ray_crossings",
    "release_operations",
]

# Scaling is read, absorbed energy read and written.
BYTES_PER_STEP = 12
# The terms of the released energy and the cell.
_BYTES_PER_RELEASE = 4 * TERMS + 2

# A float64 exponential without a library call: range reduction and a polynomial.
_EXPONENTIAL = 20


@dataclass(frozen=True)
class StepCosts:
    """Arithmetic of one voxel step, and what is added to it where energy is released."""

    step: int
    release: int

    @classmethod
    def of_source(cls) -> StepCosts:
        """Count in the source of the sweep: every operator in the loops along a row."""
        step, emitting = _in_loop("_pass"), _in_loop("_pass_and_emit")
        return cls(step, emitting - step + _in_loop("_mix"))


def _source(module: ModuleType, name: str) -> ast.FunctionDef:
    function = getattr(module, name).py_func
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    if not isinstance(tree, ast.FunctionDef):
        raise TypeError(f"{name} is not a plain function")
    return tree


def _in_loop(name: str) -> int:
    """Operators per turn of the loop in a function of the sweep."""
    (loop,) = (n for n in ast.walk(_source(superposition, name)) if isinstance(n, ast.For))
    return sum(_operators(superposition, statement) for statement in loop.body)


def _operators(module: ModuleType, node: ast.AST) -> int:
    """Arithmetic operators below a node, but for constants and indices."""
    if isinstance(node, ast.Subscript):
        return 0
    if isinstance(node, ast.BinOp) and not _variables(node):
        return 0
    own = int(isinstance(node, ast.BinOp | ast.AugAssign))
    if _is_own_call(module, node):
        body = _source(module, node.func.id).body  # type: ignore[attr-defined]
        own += sum(_operators(module, statement) for statement in body)
    return own + sum(_operators(module, child) for child in ast.iter_child_nodes(node))


def _variables(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Name) and n.id != "np" for n in ast.walk(node))


def _is_own_call(module: ModuleType, node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and hasattr(getattr(module, node.func.id, None), "py_func")
    )


@dataclass(frozen=True)
class SweepCount:
    """Work of one or more sweeps.

    possible : directions times voxels
    steps : those in which a line carried energy through a voxel
    releases : those in which a voxel also released energy into the line
    """

    possible: int = 0
    steps: int = 0
    releases: int = 0

    def __add__(self, other: SweepCount) -> SweepCount:
        return SweepCount(
            self.possible + other.possible,
            self.steps + other.steps,
            self.releases + other.releases,
        )

    @property
    def size(self) -> int:
        """Bytes that must come from and go to memory; what a line carries stays in the cache."""
        return self.steps * BYTES_PER_STEP + self.releases * _BYTES_PER_RELEASE

    @property
    def operations(self) -> int:
        """Arithmetic operations on float32."""
        costs = StepCosts.of_source()
        return self.steps * costs.step + self.releases * costs.release


def count_sweep(
    medium: Medium,
    directions: Directions,
    tiny: np.float32,
    threads: int,
    absorbed: NDArray[np.float32],
) -> SweepCount:
    """Do what the sweep does and count its voxel steps: voxels that each direction alone reaches.

    A voxel is reached where the direction leaves energy in it, which is everywhere that a
    line passes but in vacuum.
    """
    count = directions.forward.size
    steps = 0
    part = np.empty(absorbed.shape, np.float32)
    for k in range(count):
        part[:] = 0
        one = Directions._make(values[k : k + 1] for values in directions)
        sweep(medium, one, tiny, threads, part)
        steps += int(np.count_nonzero(part))
        absorbed += part
    wide = np.maximum(medium.last.astype(np.int64) - medium.first, 0)
    return SweepCount(count * absorbed.size, steps, count * int(wide.sum()))


def ray_crossings(geometry: BeamGeometry, fluence: NDArray[np.float32]) -> int:
    """Voxels that the rays from all voxels with fluence cross on their way out to the source."""
    index = np.argwhere(fluence > 0)[:, ::-1].astype(np.float64)
    point = geometry.origin + index * geometry.spacing
    to_source = geometry.source - point
    length = np.linalg.norm(to_source, axis=1)
    direction = to_source / length[:, None]
    lower = geometry.origin - geometry.spacing / 2
    upper = lower + np.array(fluence.shape[::-1]) * geometry.spacing
    with np.errstate(divide="ignore"):
        faces = np.where(direction > 0, upper - point, lower - point) / direction
    way = np.minimum(faces.min(axis=1), length)
    # A hair before the face, so that the last voxel is still one of the grid.
    last = (point + direction * way[:, None] * (1 - 1e-9) - lower) // geometry.spacing
    return int(np.abs(last - index).sum()) + len(index)


def release_operations(spectral: Spectral, voxels: int, crossings: int) -> int:
    """Estimate the arithmetic of the released energy, in float64: rays, then the spectrum."""
    basis, energies = spectral.basis.shape
    channels: Any = spectral.release.shape[1]
    per_crossing = 5 + 2 * basis
    per_energy = 4 * basis + 1 + _EXPONENTIAL + 2 * channels
    return int(crossings * per_crossing + voxels * energies * per_energy)
