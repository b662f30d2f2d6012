"""Golden files: where they lie, how they are read and written, and how a difference is told."""

from __future__ import annotations

import platform
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DOSES",
    "HOW_TO_UPDATE",
    "NOT_FUSED",
    "RECORDS",
    "dose_path",
    "fused",
    "read_dose",
    "told_difference",
    "write_dose",
]

FOLDER = Path(__file__).resolve().parent
DOSES, RECORDS = FOLDER / "doses", FOLDER / "records"

HOW_TO_UPDATE = (
    "If this is meant: run `pytest tests/golden --update-golden`, read `git diff tests/golden` and "
    "say in CHANGELOG.md what changed, doses with the size of the change."
)

NOT_FUSED = (
    "golden doses of the collapsed cone were made with fused multiply-add, which this processor "
    "lacks: some lines are rounded to another voxel, up to 8e-5 of the maximum"
)
"""Measured with NUMBA_CPU_NAME=nehalem. With haswell and znver3 all doses are bit-identical."""

Arrays = dict[str, NDArray[np.float32]]


def fused() -> bool:
    """Whether the processor joins a multiplication and an addition, as `jit_fused` allows."""
    arm = platform.machine() in ("aarch64", "arm64")
    return arm or bool(llvm.get_host_cpu_features().get("fma"))


def dose_path(name: str) -> Path:
    return DOSES / f"{name}.npz"


def read_dose(name: str) -> Arrays:
    """Arrays of a golden dose: "gray" and, of Monte Carlo, "uncertainty"; both in Gy."""
    with np.load(dose_path(name)) as stored:
        return {key: stored[key] for key in stored.files}


def write_dose(name: str, arrays: Arrays) -> None:
    DOSES.mkdir(exist_ok=True)
    np.savez_compressed(dose_path(name), **arrays)  # type: ignore[arg-type]


def told_difference(
    name: str,
    now: NDArray[np.float32],
    golden: NDArray[np.float32],
    *,
    scale: float,
    tolerance: float,
    stray: float = 0.0,
) -> str | None:
    """What differs between two doses, in words, or None where they agree.

    Parameters
    ----------
    now, golden : (nz, ny, nx) float32, Gy
    scale : float, Gy
        The dose of which `tolerance` is a fraction.
    stray : float
        Fraction of the voxels that may differ by more.
    """
    if now.shape != golden.shape:
        return f"{name}: shape {now.shape}, golden {golden.shape}. {HOW_TO_UPDATE}"
    apart = np.abs(now.astype(np.float64) - golden.astype(np.float64)) / scale
    # Written so that a dose that is not a number differs.
    beyond = ~(apart <= tolerance)
    if beyond.mean() <= stray and np.isfinite(apart).all():
        return None
    place = np.unravel_index(np.where(np.isfinite(apart), apart, np.inf).argmax(), apart.shape)
    where = ", ".join(str(int(i)) for i in place)
    ratio = float(now.sum(dtype=np.float64) / golden.sum(dtype=np.float64))
    return (
        f"{name}: largest difference {apart[place]:.3g} of the maximum of {scale:.6g} Gy "
        f"(allowed: {tolerance:g}) in voxel [z, y, x] = [{where}]: {now[place]:.7g} Gy, golden "
        f"{golden[place]:.7g} Gy. {int(beyond.sum())} of {apart.size} voxels differ by more than "
        f"allowed; the sum over all voxels is {ratio:.7f} of the golden one. {HOW_TO_UPDATE}"
    )
