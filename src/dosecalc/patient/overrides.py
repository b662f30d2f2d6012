"""Densities and materials that a user, or the planning system, gives to structures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dosecalc.data.materials import MaterialTable, load_material, materials_for_density
from dosecalc.errors import InputError
from dosecalc.model import Structure, StructureSet

__all__ = ["Fill", "Override", "as_override", "resolve_overrides"]


class Override(NamedTuple):
    """What fills a structure: a mass density (g/cm3), a material, or both.

    Without a density it is the material's nominal one; without a material it is
    the one the density stands for.
    """

    density: float | None = None
    material: str | None = None


class Fill(NamedTuple):
    """A structure filled with one material of one density."""

    structure: Structure
    density: float
    material: str
    recorded: bool = False


def resolve_overrides(
    structures: StructureSet | None,
    overrides: Mapping[str, float | str | Override],
    table: MaterialTable,
    *,
    use_recorded: bool,
) -> tuple[tuple[Fill, ...], tuple[str, ...]]:
    """Turn overrides into fills, in order of rising precedence, with notes.

    Densities that the planning system recorded with the structures come first
    (the external contour before all others), then `overrides` in their order.

    Raises
    ------
    InputError
        A structure does not exist or is empty, or a density or a material is no such thing.
    """
    if structures is None:
        if overrides or use_recorded:
            raise InputError("overrides need a structure set that holds the structures they name")
        return (), ()
    recorded = [s for s in structures if s.density is not None and s.name not in overrides]
    notes = [_recorded_note(s, use_recorded) for s in recorded]
    fills = []
    if use_recorded:
        for s in sorted(recorded, key=lambda s: s.kind != "EXTERNAL"):
            fills.append(_fill(s, Override(density=s.density), table)._replace(recorded=True))
    for name, value in overrides.items():
        fills.append(_fill(structures[name], as_override(name, value), table))
    return tuple(fills), tuple(notes)


def as_override(name: str, value: float | str | Override) -> Override:
    """Return the override of a structure that a density (g/cm3) or a material's name means.

    Raises
    ------
    InputError
        It is neither.
    """
    if isinstance(value, Override):
        return value
    if isinstance(value, str):
        return Override(material=value)
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InputError(
            f"override of {name!r} is {value!r}; give a mass density in g/cm3, "
            "the name of a material, or an Override with both"
        )
    return Override(density=float(value))


def _fill(structure: Structure, value: Override, table: MaterialTable) -> Fill:
    name = structure.name
    if structure.left_out:
        raise InputError(f"override of {name!r}: it cannot be used: {structure.left_out}")
    if structure.is_empty:
        raise InputError(
            f"override of {name!r}: the structure has no contours, nothing would change"
        )
    if value.density is None and value.material is None:
        raise InputError(f"override of {name!r} states neither a density nor a material")
    material = None if value.material is None else load_material(value.material)
    density = material.density_g_cm3 if value.density is None and material else value.density
    if density is None or not np.isfinite(density) or density <= 0:
        raise InputError(f"override of {name!r}: density {density} g/cm3; it must be above zero")
    if material is not None:
        return Fill(structure, density, material.name)
    return Fill(structure, density, table.materials[int(materials_for_density(density, table))])


def _recorded_note(structure: Structure, used: bool) -> str:
    where = f"{structure.name!r}: the planning system recorded {structure.density:g} g/cm3"
    if used:
        return f"{where}; used as asked, so it is shared with the planning system, not independent"
    return f"{where}; not used"
