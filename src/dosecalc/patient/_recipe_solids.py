"""The phantom part of a recipe: grid, background and solids. The schema is in `recipe`."""

from __future__ import annotations

import numpy as np

from dosecalc.data import toml_tables as toml
from dosecalc.errors import InputError
from dosecalc.model import Grid
from dosecalc.patient.solids import Filling, Solid, box, cylinder, half_space, slab, sphere

__all__ = ["read_filling", "read_grid", "read_solid"]

_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
_FILLING_KEYS = ("kind", "material", "density")
_SOLID_KEYS = {
    "box": ("lower", "upper", "centre", "size", "rotation_axis", "rotation_deg"),
    "slab": ("axis", "from", "to"),
    "cylinder": ("centre", "axis", "radius", "length"),
    "sphere": ("centre", "radius"),
    "half_space": ("point", "direction"),
}

Vector = tuple[float, float, float]


def read_grid(content: toml.Table, where: str) -> Grid:
    """Read the [grid] table."""
    toml.check_keys(content, ("spacing", "lower", "origin", "upper", "voxels"), where)
    if isinstance(content.get("spacing"), list):
        spacing = toml.vector(content, "spacing", where)
    else:
        step = toml.number(content, "spacing", where)
        spacing = (step, step, step)
    if min(spacing) <= 0:
        raise InputError(f"{where}: spacing {spacing} mm; it must be above zero")
    size, shift = np.array(spacing), 0.0
    start = toml.one_of(content, ("lower", "origin"), where)
    if start == "lower":
        shift = 0.5
    first = np.array(toml.vector(content, start, where)) + shift * size
    if toml.one_of(content, ("upper", "voxels"), where) == "voxels":
        counts = np.array(toml.vector(content, "voxels", where))
    else:
        counts = (np.array(toml.vector(content, "upper", where)) - first) / size + 0.5
    whole = np.rint(counts)
    if (np.abs(counts - whole) > 1e-6).any() or (whole < 1).any():
        raise InputError(
            f"{where}: {counts.tolist()} voxels along x, y, z; whole numbers from 1 up are needed"
        )
    nx, ny, nz = (int(n) for n in whole)
    return Grid((nz, ny, nx), spacing, (float(first[0]), float(first[1]), float(first[2])))


def read_filling(content: toml.Table, where: str) -> Filling:
    """Read material and density."""
    density = toml.number(content, "density", where) if "density" in content else None
    try:
        return Filling.of(toml.text(content, "material", where), density)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def read_solid(content: toml.Table, where: str) -> Solid:
    """Read one [[solid]] table."""
    kind = toml.text(content, "kind", where)
    if kind not in _SOLID_KEYS:
        raise InputError(f"{where}: kind {kind!r}; one of {', '.join(_SOLID_KEYS)}")
    toml.check_keys(content, (*_FILLING_KEYS, *_SOLID_KEYS[kind]), f"{where} ({kind})")
    filling = read_filling(content, where)
    try:
        return _shape(kind, content, filling, where)
    except InputError as error:
        if str(error).startswith(where):
            raise
        raise InputError(f"{where} ({kind}): {error}") from error


def _shape(kind: str, content: toml.Table, filling: Filling, where: str) -> Solid:
    if kind == "box":
        lower, upper = _corners(content, where)
        axis = toml.vector(content, "rotation_axis", where, _AXES["z"])
        degrees = toml.number(content, "rotation_deg", where, 0.0)
        return box(lower, upper, filling, rotation_axis=axis, rotation_deg=degrees)
    if kind == "slab":
        start, stop = (toml.number(content, key, where) for key in ("from", "to"))
        return slab(_direction(content, "axis", where), start, stop, filling)
    if kind == "half_space":
        point = toml.vector(content, "point", where)
        return half_space(point, _direction(content, "direction", where), filling)
    centre, radius = toml.vector(content, "centre", where), toml.number(content, "radius", where)
    if kind == "sphere":
        return sphere(centre, radius, filling)
    length = toml.number(content, "length", where) if "length" in content else None
    axis = _direction(content, "axis", where)
    return cylinder(centre, axis, radius, filling, length=length)


def _corners(content: toml.Table, where: str) -> tuple[Vector, Vector]:
    given = {key for key in ("lower", "upper", "centre", "size") if key in content}
    if given == {"lower", "upper"}:
        return toml.vector(content, "lower", where), toml.vector(content, "upper", where)
    if given != {"centre", "size"}:
        raise InputError(f"{where}: a box needs lower and upper, or centre and size")
    (x, y, z), (a, b, c) = (toml.vector(content, key, where) for key in ("centre", "size"))
    return (x - a / 2, y - b / 2, z - c / 2), (x + a / 2, y + b / 2, z + c / 2)


def _direction(content: toml.Table, key: str, where: str) -> Vector:
    value = content.get(key)
    if isinstance(value, str):
        if value not in _AXES:
            raise InputError(
                f"{where}: {key} is {value!r}; say 'x', 'y', 'z' or a vector [x, y, z]"
            )
        return _AXES[value]
    return toml.vector(content, key, where)
