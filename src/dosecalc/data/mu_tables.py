"""Tables of the independent MU check: JSON files with a schema, one for each machine model.

They are what a physicist has on paper for a machine: output factors split into head and
phantom scatter, tissue-phantom ratios, off-axis ratios, transmissions, dose per MU. The shipped
ones are calculated (``kernels/make_mu_tables.py``); a clinic puts its measured ones in a file
of the same form. Values between entries are interpolated, linearly but for the tissue-phantom
ratio, whose logarithm is, in depth. Nothing is extrapolated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dosecalc.errors import DosecalcError, InputError, OutsideValidityError, PhysicalDataError
from dosecalc.model import Machine
from dosecalc.model.checks import finite, positive, read_only

__all__ = [
    "MU_TABLES_SCHEMA",
    "HeadScatter",
    "MuTables",
    "Reference",
    "check_mu_tables",
    "list_mu_tables",
    "load_mu_tables",
]

MU_TABLES_SCHEMA = "dosecalc-mu-tables/1"
"""Value of "schema" in a file of tables that this version reads."""

_FOLDER = "dosecalc.data.kernels.mu_tables"
_SLACK = 1e-6
_KEYS = frozenset(
    {"schema", "machine", "machine_sha256", "energy_mv", "fluence_mode", "sad_mm", "reference"}
    | {"buildup_mm", "head_scatter", "water", "off_axis", "transmission", "leaf_tip_offset_mm"}
    | {"widest_mm", "provenance"}
)
_PARTS = {
    "reference": {"gray_per_mu", "depth_mm", "ssd_mm", "field_mm"},
    "head_scatter": {"side_mm", "jaws", "exchange", "leaves"},
    "water": {"field_mm", "depth_mm", "phantom_scatter", "tpr"},
    "off_axis": {"radius_mm", "depth_mm", "ratio"},
    "transmission": {"jaws_x", "jaws_y", "leaves"},
}

_Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """Where the dose per MU was set: water, on the axis, field at the isocentre plane, mm."""

    gray_per_mu: float
    depth_mm: float
    ssd_mm: float
    field_mm: float

    @property
    def distance_mm(self) -> float:
        """From the source to the reference point."""
        return self.ssd_mm + self.depth_mm


@dataclass(frozen=True)
class HeadScatter:
    """Output factors in air (head scatter, Sc), 1 for the reference field.

    Parameters
    ----------
    side_mm : (n,) float64, mm, rising
        Side of the square opening at the isocentre plane.
    jaws : (n,) float64
        Opening made by the jaws (leaves on an axis without), the leaves not in the field.
    exchange : float
        k of the equivalent square (1 + k) x y / (k x + y) of a rectangle x by y.
    leaves : (n,) float64 or None
        Opening made by the leaves, the jaws wide open. None: leaves do not change it.
    """

    side_mm: _Array
    jaws: _Array
    exchange: float
    leaves: _Array | None

    def jaw_side(self, x_mm: float, y_mm: float) -> float:
        """Side of the equivalent square of a rectangle, mm."""
        return (1 + self.exchange) * x_mm * y_mm / (self.exchange * x_mm + y_mm)

    def of_jaws(self, side_mm: float) -> float:
        """Factor of a square made by the jaws.

        Raises
        ------
        OutsideValidityError
            The table does not reach it.
        """
        return float(_linear(side_mm, self.side_mm, self.jaws, "head scatter, jaws, side (mm)"))

    def of_leaves(self, side_mm: _Array) -> _Array:
        """Factors of squares made by leaves; constant beyond the last, where no leaves are."""
        if self.leaves is None:
            raise InputError("these tables state no head scatter factors of leaves")
        return np.interp(side_mm, self.side_mm, self.leaves)


@dataclass(frozen=True)
class MuTables:
    """The tables of one machine model.

    Parameters
    ----------
    machine, machine_sha256 : str
        Model they belong to and the hash of its file.
    energy_mv, fluence_mode, sad_mm : as in `Machine`
    reference : Reference
    buildup_mm : float, mm
        Points at less radiological depth are refused.
    head_scatter : HeadScatter
    field_mm : (nf,) float64, mm, rising from 0
        Side of square fields at the depth of the point. Field 0 is primary radiation alone.
    depth_mm : (nd,) float64, mm of water
    phantom_scatter : (nf,) float64
        Phantom scatter factors Sp at the reference depth, 1 for the reference field.
    tpr : (nd, nf) float64
        Tissue-phantom ratios, 1 at the reference depth.
    off_axis_radius_mm : (nr,) float64, mm
        Distance from the axis in the isocentre plane.
    off_axis_depth_mm : (nk,) float64, mm of water
    off_axis_ratio : (nk, nr) float64
        Primary off-axis ratio in planes across the beam, 1 on the axis.
    through_x, through_y, through_leaves : float or None
        Transmission; None for a device that the machine does not have.
    leaf_tip_offset_mm : float
        How far a leaf tip acts behind its stated position.
    widest_mm : float
        Side of the largest field.
    sha256 : str
        Of the file.
    provenance : mapping
    """

    machine: str
    machine_sha256: str
    energy_mv: float
    fluence_mode: str
    sad_mm: float
    reference: Reference
    buildup_mm: float
    head_scatter: HeadScatter
    field_mm: _Array
    depth_mm: _Array
    phantom_scatter: _Array
    tpr: _Array
    off_axis_radius_mm: _Array
    off_axis_depth_mm: _Array
    off_axis_ratio: _Array
    through_x: float | None
    through_y: float | None
    through_leaves: float | None
    leaf_tip_offset_mm: float
    widest_mm: float
    sha256: str
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def phantom_scatter_of(self, side_mm: ArrayLike) -> _Array:
        """Phantom scatter factors Sp of square fields at the depth of the point."""
        return _linear(side_mm, self.field_mm, self.phantom_scatter, "square field (mm)")

    def tpr_of(self, depth_mm: float, side_mm: ArrayLike) -> _Array:
        """Tissue-phantom ratios of square fields at one depth."""
        return self._product(depth_mm, side_mm, np.ones_like(self.phantom_scatter))

    def field_factor(self, depth_mm: float, side_mm: ArrayLike) -> _Array:
        """Sp TPR of square fields: dose relative to the reference, same fluence in air."""
        return self._product(depth_mm, side_mm, self.phantom_scatter)

    def _product(self, depth_mm: float, side_mm: ArrayLike, factor: _Array) -> _Array:
        low, share = _place(depth_mm, self.depth_mm, "radiological depth (mm)")
        row = np.exp((1 - share) * np.log(self.tpr[low]) + share * np.log(self.tpr[low + 1]))
        return _linear(side_mm, self.field_mm, factor * row, "square field (mm)")

    def off_axis(self, radius_mm: ArrayLike, depth_mm: float) -> _Array:
        """Primary off-axis ratios at radii in the isocentre plane and one depth."""
        low, share = _place(depth_mm, self.off_axis_depth_mm, "off-axis ratio, depth (mm)")
        row = (1 - share) * self.off_axis_ratio[low] + share * self.off_axis_ratio[low + 1]
        return _linear(radius_mm, self.off_axis_radius_mm, row, "distance from the axis (mm)")


def _linear(values: ArrayLike, points: _Array, entries: _Array, what: str) -> _Array:
    wanted = np.asarray(values, dtype=np.float64)
    if wanted.size and not (
        wanted.min() >= points[0] - _SLACK and wanted.max() <= points[-1] + _SLACK
    ):
        raise OutsideValidityError(
            f"{what} {wanted.min():.1f} to {wanted.max():.1f}: the tables reach from "
            f"{points[0]:g} to {points[-1]:g} and are not extrapolated"
        )
    return np.interp(wanted, points, entries)


def _place(value: float, points: _Array, what: str) -> tuple[int, float]:
    """Entry below a value and the share of the way to the next."""
    index = float(_linear(value, points, np.arange(points.size, dtype=np.float64), what))
    low = min(int(index), points.size - 2)
    return low, index - low


def list_mu_tables() -> tuple[str, ...]:
    """Names of the machine models that tables are shipped for."""
    return tuple(sorted(f.name[:-5] for f in files(_FOLDER).iterdir() if f.name.endswith(".json")))


def load_mu_tables(machine: Machine, path: str | Path | None = None) -> MuTables:
    """Return the tables that belong to a machine model.

    Parameters
    ----------
    machine : Machine
    path : str or Path, optional
        Your own file; without it, the one shipped for the machine's name.

    Raises
    ------
    InputError
        There are no tables for this machine, or the file cannot be read.
    PhysicalDataError
        The file breaks the schema, or belongs to another machine or to another version of it.
    """
    if path is None:
        if machine.name not in list_mu_tables():
            raise InputError(
                f"no MU tables are shipped for machine {machine.name!r}; give the path of a file "
                f"with its measured tables (shipped: {', '.join(list_mu_tables())})"
            )
        content = (files(_FOLDER) / f"{machine.name}.json").read_bytes()
        where = f"shipped MU tables {machine.name!r}"
    else:
        where = f"MU tables {path}"
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"{where} cannot be read: {error}") from error
    tables = _parse(content, where)
    check_mu_tables(tables, machine)
    return tables


def check_mu_tables(tables: MuTables, machine: Machine) -> None:
    """Refuse tables that do not belong to a machine model as it is now.

    Raises
    ------
    PhysicalDataError
        Name, hash, quality, geometry or calibration differ.
    """
    calibration = machine.calibration
    pairs = {
        "machine": (tables.machine, machine.name),
        "machine_sha256": (tables.machine_sha256, machine.provenance.get("machine_sha256")),
        "energy_mv": (tables.energy_mv, machine.energy_mv),
        "fluence_mode": (tables.fluence_mode, machine.fluence_mode),
        "sad_mm": (tables.sad_mm, machine.sad_mm),
        "gray_per_mu": (tables.reference.gray_per_mu, calibration.gray_per_mu),
        "reference depth_mm": (tables.reference.depth_mm, calibration.depth_mm),
        "reference ssd_mm": (tables.reference.ssd_mm, calibration.ssd_mm),
        "reference field_mm": (tables.reference.field_mm, calibration.field_mm),
    }
    apart = [f"{k} {a!r}, not {b!r}" for k, (a, b) in pairs.items() if a != b]
    if calibration.per_fluence:
        apart.append("the model has no monitor units")
    if apart:
        raise PhysicalDataError(
            f"the MU tables are not those of machine {machine.name!r} as it is now: they state "
            f"{'; '.join(apart)}. Make or measure them again (kernels/make_mu_tables.py)"
        )


def _parse(content: bytes, where: str) -> MuTables:
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PhysicalDataError(f"{where}: not JSON: {error}") from error
    if not isinstance(record, dict) or record.get("schema") != MU_TABLES_SCHEMA:
        raise PhysicalDataError(f"{where}: this version reads schema {MU_TABLES_SCHEMA!r}")
    _exact_keys(record, _KEYS, where)
    for part, keys in _PARTS.items():
        _exact_keys(record[part], keys, f"{where}, {part}")
    try:
        tables = _built(record, hashlib.sha256(content).hexdigest())
    except (DosecalcError, TypeError, ValueError) as error:
        raise PhysicalDataError(f"{where}: {error}") from error
    _check(tables, where)
    return tables


def _exact_keys(entries: Any, wanted: frozenset[str] | set[str], where: str) -> None:
    found = set(entries) if isinstance(entries, dict) else set()
    if found != wanted:
        raise PhysicalDataError(
            f"{where}: missing keys {sorted(wanted - found)}, unknown keys {sorted(found - wanted)}"
        )


def _built(record: Mapping[str, Any], digest: str) -> MuTables:
    head, water, axis = record["head_scatter"], record["water"], record["off_axis"]
    through = {k: None if v is None else finite(v, k) for k, v in record["transmission"].items()}
    leaves = head["leaves"]
    return MuTables(
        machine=str(record["machine"]),
        machine_sha256=str(record["machine_sha256"]),
        energy_mv=finite(record["energy_mv"], "energy_mv"),
        fluence_mode=str(record["fluence_mode"]),
        sad_mm=finite(record["sad_mm"], "sad_mm"),
        reference=Reference(**{k: finite(v, k) for k, v in record["reference"].items()}),
        buildup_mm=finite(record["buildup_mm"], "buildup_mm"),
        head_scatter=HeadScatter(
            side_mm=_row(head["side_mm"], "head scatter, side_mm"),
            jaws=_row(head["jaws"], "head scatter, jaws"),
            exchange=finite(head["exchange"], "head scatter, exchange"),
            leaves=None if leaves is None else _row(leaves, "head scatter, leaves"),
        ),
        field_mm=_row(water["field_mm"], "water, field_mm"),
        depth_mm=_row(water["depth_mm"], "water, depth_mm"),
        phantom_scatter=_row(water["phantom_scatter"], "phantom_scatter"),
        tpr=read_only(water["tpr"], np.float64, what="tpr", ndim=2),
        off_axis_radius_mm=_row(axis["radius_mm"], "off_axis, radius_mm"),
        off_axis_depth_mm=_row(axis["depth_mm"], "off_axis, depth_mm"),
        off_axis_ratio=read_only(axis["ratio"], np.float64, what="off-axis ratio", ndim=2),
        through_x=through["jaws_x"],
        through_y=through["jaws_y"],
        through_leaves=through["leaves"],
        leaf_tip_offset_mm=finite(record["leaf_tip_offset_mm"], "leaf_tip_offset_mm"),
        widest_mm=finite(record["widest_mm"], "widest_mm"),
        sha256=digest,
        provenance=MappingProxyType(dict(record["provenance"])),
    )


def _row(values: Any, what: str) -> _Array:
    return read_only(values, np.float64, what=what, ndim=1)


def _check(tables: MuTables, where: str) -> None:
    """Refuse tables that no machine can have."""
    problems = _wrong_shapes(tables) or _wrong_values(tables)
    if problems:
        raise PhysicalDataError(f"{where}: {'; '.join(problems)}")


def _wrong_shapes(tables: MuTables) -> list[str]:
    head = tables.head_scatter
    axes = {
        "water, field_mm": tables.field_mm,
        "water, depth_mm": tables.depth_mm,
        "off_axis, radius_mm": tables.off_axis_radius_mm,
        "off_axis, depth_mm": tables.off_axis_depth_mm,
        "head_scatter, side_mm": head.side_mm,
    }
    fields, depths, radii, planes, sides = (axis.size for axis in (
        tables.field_mm, tables.depth_mm, tables.off_axis_radius_mm, tables.off_axis_depth_mm,
        head.side_mm,
    ))  # fmt: skip
    entries = {
        "phantom_scatter": (tables.phantom_scatter, (fields,)),
        "tpr": (tables.tpr, (depths, fields)),
        "off-axis ratio": (tables.off_axis_ratio, (planes, radii)),
        "head scatter": (head.jaws, (sides,)),
        "head scatter of leaves": (head.jaws if head.leaves is None else head.leaves, (sides,)),
    }
    problems = [f"{k} must rise" for k, v in axes.items() if v.size < 2 or (np.diff(v) <= 0).any()]
    for name, (values, shape) in entries.items():
        if values.shape != shape:
            problems.append(f"{name} has shape {values.shape}, not {shape}")
        elif not (values > 0).all():
            problems.append(f"{name} must be above zero")
    return problems


def _wrong_values(tables: MuTables) -> list[str]:
    head, reference = tables.head_scatter, tables.reference
    problems = []
    for name in ("through_x", "through_y", "through_leaves"):
        share = getattr(tables, name)
        if share is not None and not 0 <= share < 1:
            problems.append(f"{name}: transmission {share} is not between 0 and 1")
    if any((tables.field_mm[0], tables.off_axis_radius_mm[0], tables.off_axis_depth_mm[0])):
        problems.append("water, field_mm and off_axis, radius_mm and depth_mm must begin at 0")
    try:
        positive((*vars(reference).values(), tables.buildup_mm, head.exchange), "reference values")
        side = reference.field_mm * reference.distance_mm / tables.sad_mm
        ones = {
            "head scatter of the reference field": head.of_jaws(reference.field_mm),
            "phantom scatter of the reference field": float(tables.phantom_scatter_of(side)),
            "TPR at the reference depth": float(tables.tpr_of(reference.depth_mm, side)),
            "off-axis ratio on the axis": float(tables.off_axis(0.0, reference.depth_mm)),
        }
        problems += [f"{k} is {v:.4f}, not 1" for k, v in ones.items() if abs(v - 1) > 1e-3]
    except DosecalcError as error:
        problems.append(str(error))
    return problems
