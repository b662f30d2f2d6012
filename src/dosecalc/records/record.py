"""The run record: what was calculated from what, with what, and what nobody checked."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from dosecalc import __version__
from dosecalc.model import Grid, Plan
from dosecalc.records.result import Result, StructureResult
from dosecalc.text import json_text

__all__ = [
    "NOT_CHECKED",
    "NOT_CHECKED_RECIPE",
    "RECORD_SCHEMA",
    "VERIFICATION_SCHEMA",
    "file_sha256",
    "program",
    "run_record",
    "to_json",
]

VERIFICATION_SCHEMA = "dosecalc-verification/1"
"""Value of "schema" in verification.json; it changes when the meaning of an entry does."""

RECORD_SCHEMA = "dosecalc-run/1"
"""Value of "schema" in run.json; it changes when the meaning of an entry does."""

_PACKAGES = ("numpy", "numba", "scipy", "pydicom", "matplotlib", "fpdf2")
_DATA_FILES = (
    "edk_water.npz",
    "pencil_water.npz",
    "xcom_photon.csv",
    "radiative_stopping.csv",
    "materials.json",
)

NOT_CHECKED = (
    "whether the machine model describes the accelerator that will treat",
    "whether the HU curve belongs to the scanner and was measured on it",
    "whether the plan, the structures and the CT are the versions that were approved",
    "whether the contours are drawn correctly",
    "the dose against a measurement or a second calculation",
)
"""What no calculation of a patient can check and a person has to."""

NOT_CHECKED_RECIPE = (
    "whether the recipe describes what was meant",
    "the dose against a measurement or a second calculation",
)
"""The same for a recipe."""


def run_record(
    result: Result,
    *,
    command: Sequence[str],
    inputs: Sequence[Mapping[str, Any]],
    outputs: Mapping[str, str],
    timings_s: Mapping[str, float],
    choices: Mapping[str, Any],
    not_checked: Sequence[str],
) -> dict[str, Any]:
    """Return the record of a run as plain JSON values.

    Parameters
    ----------
    result : Result
    command : sequence of str
        As it was typed.
    inputs : sequence of mapping
        Every file that was read or seen: name, SHA-256, what became of it.
    outputs : mapping
        SHA-256 of the files written beside the record, by name.
    timings_s : mapping
        Seconds per stage.
    choices : mapping
        What the user decided: machines, HU curve, body, overrides and so on.
    not_checked : sequence of str
    """
    dose = result.dose
    engine = dict(dose.provenance)
    models = engine.pop("machines", {})
    return {
        "schema": RECORD_SCHEMA,
        "program": program(),
        "host": _host(),
        "command": list(command),
        "case": result.label,
        "inputs": [dict(one) for one in inputs],
        "physical_data_sha256": _data_hashes(),
        "choices": dict(choices),
        "engine": engine,
        "machine_models": {model["name"]: model for model in models.values()},
        "plan": _plan(result.plan),
        "grid": _grid(dose.grid),
        "dose": {
            "unit": dose.unit,
            "to": dose.dose_to,
            "summation": dose.summation,
            "maximum": result.maximum[0],
            "maximum_at_mm": result.maximum[1],
            "isocentre_mm": result.isocentre,
            "at_isocentre": result.at_isocentre,
            "hundred_percent": result.full.gray,
            "hundred_percent_is": result.full.meaning,
        },
        "structures": [_structure(s) for s in result.structures],
        "outputs_sha256": dict(outputs),
        "timings_s": {name: round(seconds, 3) for name, seconds in timings_s.items()},
        "notes": list(result.notes),
        "not_checked": list(not_checked),
    }


def to_json(record: Mapping[str, Any]) -> str:
    """Return a record as text, one entry a line, numbers with all their digits."""
    text = json.dumps(record, indent=1, default=_plain, allow_nan=False, ensure_ascii=False)
    return f"{json_text(text)}\n"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    """Turn what JSON does not know into what it does."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a record")


def program() -> dict[str, str]:
    """Return what calculates: name, version, hash of the sources, and versions beneath it.

    The version stays the same while somebody works on the program; the hash does not.
    """
    about = {"name": "dosecalc", "version": __version__, "sources_sha256": _sources_sha256()}
    return about | _versions()


@cache
def _sources_sha256() -> str:
    place = Path(str(files("dosecalc")))
    digest = hashlib.sha256()
    for path in sorted(place.rglob("*.py")):
        digest.update(path.relative_to(place).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _host() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": os.environ.get("NUMBA_NUM_THREADS", "all"),
        "executable": sys.executable,
    }


def _data_hashes() -> dict[str, str]:
    folder = files("dosecalc.data.kernels")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _DATA_FILES}


def _plan(plan: Plan) -> dict[str, Any]:
    per_fraction = sum(beam.mu for beam in plan.beams)
    return {
        "label": plan.label,
        "uid": plan.uid,
        "position": plan.position.value,
        "fractions": plan.fractions,
        "mu_per_fraction": per_fraction,
        "mu_total": None if plan.fractions is None else per_fraction * plan.fractions,
        "prescriptions": [
            {"description": p.description, "kind": p.kind, "dose_gy": p.dose_gy}
            for p in plan.prescriptions
        ],
        "beams": [
            {
                "number": beam.number,
                "name": beam.name,
                "energy_mv": beam.energy_mv,
                "fluence_mode": beam.fluence_mode,
                "technique": beam.technique,
                "mu": beam.mu,
                "gantry_deg": [beam.control_points[i].gantry_deg for i in (0, -1)],
                "isocentre_mm": beam.control_points[0].isocentre,
                "planned_machine": beam.machine_name,
            }
            for beam in plan.beams
        ],
    }


def _grid(grid: Grid) -> dict[str, Any]:
    return {
        "voxels_xyz": grid.shape[::-1],
        "spacing_mm": grid.spacing,
        "first_centre_mm": grid.origin,
    }


def _structure(one: StructureResult) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": one.structure.name, "kind": one.structure.kind}
    if one.dvh is not None:
        dvh = one.dvh
        entry |= {
            "volume_cm3": dvh.total_cm3,
            "outside_grid_cm3": dvh.outside_cm3,
            "voxels": one.voxels,
            "D98": dvh.near_minimum_gy,
            "D50": dvh.median_gy,
            "D2": dvh.near_maximum_gy,
            "mean": dvh.mean_gy,
            "minimum": dvh.minimum_gy,
            "maximum": dvh.maximum_gy,
        }
    if one.remark:
        entry["remark"] = one.remark
    return entry
