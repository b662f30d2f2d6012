"""Shipped EGSnrc results: which case is which recipe, what agreement is asked, the curves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError, PhysicalDataError

__all__ = ["CASES", "Extract", "ReferenceCase", "Tolerance", "case_for", "load_extract"]

_FOLDER = "dosecalc.data.kernels.reference"


@dataclass(frozen=True)
class Tolerance:
    """What agreement is asked of a case, and who says so.

    axis_percent : largest difference on the axis, 3 to 250 mm deep, % of the reference's maximum
    gamma_percent, gamma_mm : criteria of gamma, global
    gamma_share_percent : share of points that must pass
    source : where these numbers come from
    """

    axis_percent: float
    gamma_percent: float
    gamma_mm: float
    gamma_share_percent: float
    source: str


@dataclass(frozen=True)
class ReferenceCase:
    """A reference result, the shipped recipe that describes it, and its tolerance."""

    name: str
    recipe: str
    tolerance: Tolerance


def _tolerance(axis: float, gamma: float, medium: str) -> Tolerance:
    source = (
        f"in {medium}: {axis:g} % of the maximum on the axis, gamma {gamma:g} %/{gamma:g} mm in "
        "at least 98 % of the points (project default for a collapsed cone)"
    )
    return Tolerance(axis, gamma, gamma, 98.0, source)


_WATER = _tolerance(1.0, 1.0, "water")

CASES: Mapping[str, ReferenceCase] = MappingProxyType(
    {
        case.name.split("_")[0]: case
        for case in (
            ReferenceCase("S1_water_6MV_10x10", "water-6mv-10x10", _WATER),
            ReferenceCase("S2_water_6MV_3x3", "water-6mv-3x3", _WATER),
            ReferenceCase(
                "S3_slab_lung_6MV_5x5", "slab-lung-6mv-5x5", _tolerance(2.0, 2.0, "lung")
            ),
            ReferenceCase(
                "S4_slab_bone_6MV_5x5", "slab-bone-6mv-5x5", _tolerance(3.0, 2.0, "bone")
            ),
            ReferenceCase("S5_water_15MV_10x10", "water-15mv-10x10", _WATER),
        )
    }
)
"""Shipped cases by their short name."""


_MONTE_CARLO = Tolerance(
    0.5,
    1.0,
    1.0,
    99.0,
    "everywhere: 0.5 % of the maximum on the axis, gamma 1 %/1 mm in at least 99 % of the points "
    "(project default for Monte Carlo)",
)


_PENCIL_IN_WATER = Tolerance(
    1.0,
    2.0,
    1.0,
    98.0,
    "in water: 1 % of the maximum on the axis, gamma 2 %/1 mm in at least 98 % of the points "
    "(project default for a pencil beam)",
)


def case_for(short: str, engine: str) -> ReferenceCase:
    """Return a shipped case with what is asked of an engine, by the case's short name."""
    case = CASES[short]
    if engine == "monte-carlo":
        return replace(case, tolerance=_MONTE_CARLO)
    if engine == "pencil-beam" and case.tolerance is _WATER:
        return replace(case, tolerance=_PENCIL_IN_WATER)
    return case


@dataclass(frozen=True)
class Extract:
    """Curves of a reference dose in the frame of the recipes: depth along +y, across it x and z.

    Parameters
    ----------
    depth_edges : (n + 1,) float64, mm
    axis, axis_sigma : (n,) float64, Gy cm2
        Mean over the voxels about the axis, and its standard deviation.
    near_x, near_z : (low, high), mm
        Where those voxels begin and end across the beam.
    cross_edges : (m + 1,) float64, mm
        Bins of the profiles, along +x; they are as wide in z as the axis curve.
    profile_depths : (k, 2) float64, mm
        Where the voxels of each profile begin and end in depth.
    profiles, profiles_sigma : (k, m) float64, Gy cm2
    provenance : mapping
    """

    depth_edges: NDArray[np.float64]
    axis: NDArray[np.float64]
    axis_sigma: NDArray[np.float64]
    near_x: tuple[float, float]
    near_z: tuple[float, float]
    cross_edges: NDArray[np.float64]
    profile_depths: NDArray[np.float64]
    profiles: NDArray[np.float64]
    profiles_sigma: NDArray[np.float64]
    provenance: Mapping[str, Any]

    @property
    def maximum(self) -> float:
        """Largest dose on the axis, Gy cm2."""
        return float(self.axis.max())


def load_extract(name: str) -> Extract:
    """Return the shipped curves of a reference, by its full name.

    Raises
    ------
    InputError
        No such reference is shipped.
    PhysicalDataError
        Its file is damaged.
    """
    data_file, record_file = (files(_FOLDER) / f"{name}{end}" for end in (".npz", ".json"))
    if not data_file.is_file():
        shipped = ", ".join(case.name for case in CASES.values())
        raise InputError(f"no reference {name!r} is shipped; there are: {shipped}")
    try:
        with data_file.open("rb") as stream, np.load(stream) as data:
            arrays = {key: np.asarray(data[key], dtype=np.float64) for key in data}
        record = json.loads(record_file.read_text(encoding="utf-8"))
        record["sha256"] = hashlib.sha256(data_file.read_bytes()).hexdigest()
        return _extract(arrays, record)
    except (OSError, ValueError, KeyError) as error:
        raise PhysicalDataError(f"reference {name!r} cannot be read: {error}") from error


def _extract(arrays: Mapping[str, NDArray[np.float64]], record: Mapping[str, Any]) -> Extract:
    """Turn the shipped arrays (cm, depth along z) to mm and to the frame of the recipes."""
    x, y = (10 * arrays[key] for key in ("near_x_cm", "near_y_cm"))
    return Extract(
        depth_edges=10 * arrays["z_edges_cm"],
        axis=arrays["axis"],
        axis_sigma=arrays["axis"] * arrays["axis_rel_unc"],
        near_x=(float(x[0]), float(x[1])),
        near_z=(float(y[0]), float(y[1])),
        cross_edges=10 * arrays["x_edges_cm"],
        profile_depths=10 * arrays["profile_depth_edges_cm"],
        profiles=arrays["profiles"],
        profiles_sigma=arrays["profiles"] * arrays["profiles_rel_unc"],
        provenance=record,
    )
