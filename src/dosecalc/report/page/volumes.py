"""Volumes for the page's viewer: on one grid, as small integers, compressed, as text.

What the viewer shows of a dose has to be what was compared, so doses are not averaged: they
stand on the reference's grid (the calculated dose's, where there is no reference), and where
that has too many voxels for a page, every second or third is left out such that the voxel with
the largest difference stays. CT numbers are averaged over blocks instead.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.analysis.gamma import GammaResult
from dosecalc.errors import GeometryError
from dosecalc.model import Dose, Grid, Structure
from dosecalc.patient.coverage import volume_fraction
from dosecalc.patient.resample import crop_to
from dosecalc.verification.verification import Verification
from dosecalc.verification.where import patient_voxels

__all__ = ["UNKNOWN", "Display", "display_grid", "packed", "packed_volumes", "unpacked"]

MOST_VOXELS = 3_000_000
UNKNOWN = 65535
"""Code of a voxel outside of a dose's own grid, and of one whose gamma is not counted."""

BEYOND = 65534
"""Code of a point that counts for gamma and lies outside of the calculated dose."""

_LARGEST_CODE = 65000
_GAMMA_STEP = 0.001
_DENSITY_STEP = 0.001


class Display(NamedTuple):
    """The grid that doses are shown on: part `slices` of `source`.

    steps : (z, y, x) int
        Every how many voxels of `source` is shown.
    """

    grid: Grid
    source: Grid
    slices: tuple[slice, slice, slice]
    steps: tuple[int, int, int]


def display_grid(v: Verification, most: int = MOST_VOXELS) -> Display:
    """Choose the voxels that are shown, the one with the largest difference among them."""
    source = v.calculated.grid if v.reference is None else v.reference.grid
    steps = [1, 1, 1]
    counts = np.array(source.shape)
    while np.prod(-(-counts // steps), dtype=float) > most:
        finest = min(range(3), key=lambda k: steps[k] * source.spacing[2 - k])
        steps[finest] += 1
    kept = (0, 0, 0) if v.largest is None else np.rint(source.index_of(v.largest.point)).astype(int)
    first = [int(k) % step for k, step in zip(kept, steps, strict=True)]
    slices = [slice(a, None, step) for a, step in zip(first, steps, strict=True)]
    shape = [len(range(*s.indices(n))) for s, n in zip(slices, source.shape, strict=True)]
    x, y, z = source.position_of(first)
    grid = Grid(
        (shape[0], shape[1], shape[2]),
        (source.spacing[0] * steps[2], source.spacing[1] * steps[1], source.spacing[2] * steps[0]),
        (float(x), float(y), float(z)),
    )
    return Display(grid, source, (slices[0], slices[1], slices[2]), (steps[0], steps[1], steps[2]))


def packed_volumes(v: Verification, display: Display) -> dict[str, Any]:
    """Return all volumes of the viewer: image, doses, gamma, structures."""
    doses: dict[str, Dose] = {"calculated": v.calculated}
    if v.reference is not None:
        doses["reference"] = v.reference
    doses |= {f"other:{name}": dose for name, dose in v.others.items()}
    return {
        "grid": _grid(display.grid),
        "image": _image(v, display.grid),
        "doses": _doses(doses, display),
        "gamma": None if v.gamma is None else _gamma(v.gamma, display),
        "patient": None if v.reference is None else _patient(v, display),
    }


def _patient(v: Verification, display: Display) -> str:
    """Where differences count: not in the air, couch and bolus around the patient."""
    return packed(patient_voxels(v.phantom, display.grid, v.apart).astype(np.uint8))


def _grid(grid: Grid) -> dict[str, Any]:
    return {"shape": grid.shape, "spacing": grid.spacing, "origin": grid.origin}


def packed(values: NDArray[Any]) -> str:
    """Compress an array of uint8 or uint16 into base64 text; `unpacked` is its inverse.

    Differences along x compress better than values, and their high and low bytes better
    apart; both are undone in the page (viewer, ``unpack``).
    """
    flat = np.ascontiguousarray(values).ravel()
    steps = np.diff(flat, prepend=flat.dtype.type(0)).astype(flat.dtype.newbyteorder("<"))
    planes = steps.view(np.uint8).reshape(-1, flat.itemsize).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode()


def unpacked(text: str, dtype: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    """Return the flat array of a packed text."""
    content = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    size = np.dtype(dtype).itemsize
    steps = np.ascontiguousarray(content.reshape(size, -1).T).view(dtype).ravel()
    return np.cumsum(steps, dtype=dtype)


def _doses(doses: Mapping[str, Dose], display: Display) -> list[dict[str, Any]]:
    """All doses in codes of one size, so that their differences carry no rounding of two."""
    top = max(float(dose.gray.max()) for dose in doses.values())
    step = top / _LARGEST_CODE if top > 0 else 1.0
    shown = []
    for name, dose in doses.items():
        if dose.grid == display.source:
            gray = dose.gray[display.slices].astype(np.float64)
        else:
            gray = dose.on(display.grid)
        unknown = np.isnan(gray)
        codes = np.rint(np.where(unknown, 0.0, gray).clip(0.0) / step).astype(np.uint16)
        codes[unknown] = UNKNOWN
        shown.append({"name": name, "step": step, "data": packed(codes)})
    return shown


def _gamma(gamma: GammaResult, display: Display) -> dict[str, Any]:
    values = gamma.gamma[display.slices]
    known = np.isfinite(values)
    codes = np.where(np.isinf(values), BEYOND, UNKNOWN).astype(np.uint16)
    codes[known] = np.rint(values[known] / _GAMMA_STEP).clip(0, BEYOND - 1).astype(np.uint16)
    return {"step": _GAMMA_STEP, "most": gamma.criteria.max_gamma, "data": packed(codes)}


def _image(v: Verification, shown: Grid) -> dict[str, Any]:
    """CT numbers, or densities where there is no CT, of the part that doses are shown in."""
    if v.ct is not None:
        kind, grid, values, first, step = "hu", v.ct.grid, v.ct.hu, -1024.0, 1.0
    else:
        kind, grid, values = "density", v.phantom.grid, v.phantom.density
        first, step = 0.0, _DENSITY_STEP
    slices, part = crop_to(grid, shown.lower, shown.upper)
    means, coarse = _block_means(values[slices], part)
    codes = np.rint((means - first) / step).clip(0, _LARGEST_CODE).astype(np.uint16)
    return _grid(coarse) | {"kind": kind, "first": first, "step": step, "data": packed(codes)}


def _block_means(values: NDArray[np.float32], grid: Grid) -> tuple[NDArray[np.float64], Grid]:
    """Means over blocks of equal numbers of voxels, as few as give a small enough volume."""
    blocks = [1, 1, 1]
    while np.prod(np.array(grid.shape) / blocks) > MOST_VOXELS:
        finest = min(range(3), key=lambda k: blocks[k] * grid.spacing[2 - k])
        blocks[finest] += 1
    counts = [max(n // b, 1) for n, b in zip(grid.shape, blocks, strict=True)]
    blocks = [min(b, n) for b, n in zip(blocks, grid.shape, strict=True)]
    z, y, x = (n * b for n, b in zip(counts, blocks, strict=True))
    split = [n for pair in zip(counts, blocks, strict=True) for n in pair]
    means = values[:z, :y, :x].reshape(split).mean(axis=(1, 3, 5), dtype=np.float64)
    first = grid.position_of([(b - 1) / 2 for b in blocks])
    spacing = [s * b for s, b in zip(grid.spacing, blocks[::-1], strict=True)]
    return means, Grid(
        (counts[0], counts[1], counts[2]),
        (spacing[0], spacing[1], spacing[2]),
        (float(first[0]), float(first[1]), float(first[2])),
    )


def packed_structure(
    structure: Structure, display: Display, plane_spacing: float
) -> dict[str, Any] | None:
    """Volume fractions of a structure in the part of the grid that it reaches, 0 to 255.

    None where none of it lies on the grid.
    """
    plane_spacing = structure.slice_spacing or plane_spacing
    try:
        fraction = volume_fraction(structure, display.grid, plane_spacing=plane_spacing)
    except GeometryError:
        return None
    codes = np.rint(255 * fraction).astype(np.uint8)
    box = []
    for axis in range(3):
        used = np.flatnonzero(codes.any(axis=tuple(k for k in range(3) if k != axis)))
        if used.size == 0:
            return None
        box.append((int(used[0]), int(used[-1]) + 1))
    (z0, z1), (y0, y1), (x0, x1) = box
    return {"box": box, "data": packed(codes[z0:z1, y0:y1, x0:x1])}
