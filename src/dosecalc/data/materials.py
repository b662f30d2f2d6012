"""What tissues and metals are made of, and which material a mass density stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.errors import InputError, PhysicalDataError

__all__ = [
    "Material",
    "MaterialTable",
    "atomic_weight",
    "list_materials",
    "load_material",
    "load_material_table",
    "materials_for_density",
]

_SUM_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Material:
    """A mixture of elements.

    Parameters
    ----------
    name : str
    density_g_cm3 : float
        Nominal mass density; a voxel or a recipe may state another one.
    elements : mapping of int to float
        Mass fraction by atomic number. Must sum to 1 within 1e-4 as published;
        normalised to 1 when made.
    source : str
        Publication the composition was taken from.
    """

    name: str
    density_g_cm3: float
    elements: Mapping[int, float] = field(hash=False)
    source: str

    def __post_init__(self) -> None:
        total = sum(self.elements.values())
        if abs(total - 1) > _SUM_TOLERANCE or min(self.elements.values()) < 0:
            raise PhysicalDataError(
                f"material {self.name!r}: mass fractions sum to {total:.6f}, not 1, or are negative"
            )
        if not (np.isfinite(self.density_g_cm3) and self.density_g_cm3 > 0):
            raise PhysicalDataError(f"material {self.name!r}: density {self.density_g_cm3} g/cm3")
        normalised = {z: w / total for z, w in sorted(self.elements.items())}
        object.__setattr__(self, "elements", MappingProxyType(normalised))

    @property
    def z_over_a(self) -> float:
        """Sum of w Z/A, mol/g; times Avogadro's number it is electrons per gram."""
        return sum(w * z / atomic_weight(z) for z, w in self.elements.items())


@dataclass(frozen=True)
class MaterialTable:
    """Which material a mass density stands for: steps, never a mixture.

    Parameters
    ----------
    name, version : str
    materials : (n,) names, from light to dense
    upper_densities : (n - 1,) g/cm3, rising
        A density of exactly a bound belongs to the denser material.
    source : str
        Where the bounds come from.
    """

    name: str
    version: str
    materials: tuple[str, ...]
    upper_densities: tuple[float, ...]
    source: str

    def __post_init__(self) -> None:
        bounds = np.asarray(self.upper_densities, dtype=np.float64)
        if bounds.size != len(self.materials) - 1 or (np.diff(bounds) <= 0).any():
            raise PhysicalDataError(
                f"material table {self.name!r}: {len(self.materials)} materials need "
                f"{len(self.materials) - 1} rising bounds, not {self.upper_densities}"
            )


@cache
def _shipped() -> dict[str, Any]:
    text = (files("dosecalc.data.kernels") / "materials.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def atomic_weight(z: int) -> float:
    """Return the standard atomic weight (IUPAC 2021), g/mol, of an element of the materials."""
    weights = _weights()
    if z not in weights:
        raise PhysicalDataError(f"no atomic weight for Z = {z}; known: {sorted(weights)}")
    return weights[z]


@cache
def _weights() -> dict[int, float]:
    table = _shipped()["atomic_weights"]
    return {table["atomic_numbers"][symbol]: w for symbol, w in table["values"].items()}


def list_materials() -> tuple[str, ...]:
    """Names that `load_material` knows."""
    return tuple(record["name"] for record in _shipped()["materials"])


@cache
def load_material(name: str) -> Material:
    """Return a shipped material.

    Raises
    ------
    InputError
        There is no material of that name.
    """
    numbers = _shipped()["atomic_weights"]["atomic_numbers"]
    for record in _shipped()["materials"]:
        if record["name"] == name:
            elements = {numbers[symbol]: w for symbol, w in record["elements"].items()}
            return Material(name, record["density"], elements, record["source"])
    raise InputError(_unknown("material", name, list_materials()))


@cache
def load_material_table(name: str) -> MaterialTable:
    """Return a shipped table of density bounds: "tissue" for patients, "water" for water phantoms.

    Raises
    ------
    InputError
        There is no table of that name.
    """
    tables = _shipped()["density_tables"]
    for record in tables:
        if record["name"] == name:
            return MaterialTable(
                name,
                record["version"],
                tuple(record["materials"]),
                tuple(record["upper_densities"]),
                record["source"],
            )
    raise InputError(_unknown("material table", name, tuple(t["name"] for t in tables)))


def materials_for_density(density: ArrayLike, table: MaterialTable) -> NDArray[np.uint8]:
    """Index into ``table.materials`` for every mass density.

    Parameters
    ----------
    density : array, g/cm3, >= 0, any shape
    table : MaterialTable

    Returns
    -------
    array of uint8, same shape
    """
    values = np.asarray(density)
    if not np.isfinite(values).all() or (values < 0).any():
        raise InputError("densities must be finite and not negative to stand for a material")
    index = np.zeros(values.shape, dtype=np.uint8)
    for bound in table.upper_densities:
        # The bound in the array's own type: 0.99 in float32 is the same number on both sides.
        index += values >= values.dtype.type(bound)
    return index


def _unknown(what: str, name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"no {what} is named {name!r}.{hint} Known: {', '.join(known)}"
