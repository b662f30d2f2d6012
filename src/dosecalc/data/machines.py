"""Machine models: JSON files with a schema, and the bare point source of the recipes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.spectra import load_spectrum, spectrum_sha256
from dosecalc.errors import DosecalcError, InputError, PhysicalDataError
from dosecalc.model import (
    Calibration,
    JawModel,
    Limits,
    Machine,
    MlcModel,
    PhotonSource,
    RadialProfile,
    Spectrum,
)

__all__ = ["MACHINE_SCHEMA", "list_machines", "load_machine", "point_source_machine"]

MACHINE_SCHEMA = "dosecalc-machine/1"
"""Value of "schema" in a machine file that this version reads."""

_FOLDER = "dosecalc.data.kernels.machines"
_KEYS = frozenset(
    {"schema", "name", "energy_mv", "fluence_mode", "spectrum", "sad_mm", "sources", "profile"}
    | {"softening", "jaws_x", "jaws_y", "mlc", "calibration", "limits", "provenance"}
)


def list_machines() -> tuple[str, ...]:
    """Names of the shipped machine models."""
    return tuple(sorted(f.name[:-5] for f in files(_FOLDER).iterdir() if f.name.endswith(".json")))


def load_machine(name_or_path: str | Path) -> Machine:
    """Return a shipped machine model by name, or your own by the path of its ``.json`` file.

    Parameters
    ----------
    name_or_path : str or Path
        Shipped are ``dosecalc.data.machines.list_machines()``: generic models, made from published
        data, which stand for no machine of yours.

    Returns
    -------
    Machine
        Its provenance holds what the file states, and ``machine_file``, ``machine_sha256``,
        ``spectrum_sha256`` and ``schema``.

    Raises
    ------
    InputError
        No such model or file.
    PhysicalDataError
        The file breaks the schema: a key is missing or unknown, or a value is not usable.

    Examples
    --------
    >>> import dosecalc as dc
    >>> machine = dc.load_machine("generic-6mv")
    >>> machine.energy_mv, machine.fluence_mode, machine.sad_mm
    (6.0, 'STANDARD', 1000.0)
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".json"):
        path = Path(name_or_path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"machine file {path} cannot be read: {error}") from error
        return _parse(content, path.name, f"machine file {path}")
    if text not in list_machines():
        raise InputError(
            f"no machine model is named {text!r}; shipped: {', '.join(list_machines())}. "
            "Name one of them or give the path of a .json file"
        )
    content = (files(_FOLDER) / f"{text}.json").read_bytes()
    return _parse(content, f"{text}.json", f"shipped machine {text!r}")


def point_source_machine(spectrum: Spectrum, sad_mm: float) -> Machine:
    """Return an ideal machine: a point source with sharp, opaque jaws and nothing else.

    Its fluence is 1 per MU and cm2 in air at the isocentre, anywhere in the field,
    and its doses come out in Gy cm2. Its nominal energy is that of the fastest photon.

    Parameters
    ----------
    spectrum : Spectrum
    sad_mm : float, mm
        Distance from the source to the isocentre.
    """
    reach = 2.0 * sad_mm
    jaws = JawModel(distance_mm=sad_mm / 2, transmission=0.0, range_mm=(-reach, reach))
    return Machine(
        name=f"point source, {spectrum.name}",
        energy_mv=float(spectrum.edges_high.max()),
        fluence_mode="STANDARD",
        spectrum=spectrum,
        sad_mm=sad_mm,
        sources=(PhotonSource(weight=1.0, sigma_x_mm=0.0, sigma_y_mm=0.0),),
        profile=None,
        softening=None,
        jaws_x=jaws,
        jaws_y=jaws,
        mlc=None,
        calibration=Calibration(per_fluence=True),
        limits=Limits(field_min_mm=0.01, field_max_mm=2 * reach, sad_mm=sad_mm),
        provenance={"description": "ideal point source with sharp jaws"},
    )


def _parse(content: bytes, file_name: str, where: str) -> Machine:
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PhysicalDataError(f"{where} is not JSON: {error}") from error
    if not isinstance(record, dict) or record.get("schema") != MACHINE_SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else type(record).__name__
        raise PhysicalDataError(
            f"{where}: schema is {found!r}; this version reads {MACHINE_SCHEMA!r}"
        )
    _exact_keys(record, _KEYS, where)
    added = {
        "schema": MACHINE_SCHEMA,
        "machine_file": file_name,
        "machine_sha256": hashlib.sha256(content).hexdigest(),
    }
    try:
        machine = _machine(record, added, where)
    except PhysicalDataError:
        raise
    except DosecalcError as error:
        raise PhysicalDataError(f"{where}: {error}") from error
    _check_physics(machine, where)
    return machine


def _machine(record: Mapping[str, Any], added: Mapping[str, Any], where: str) -> Machine:
    spectrum = _text(record["spectrum"], f"{where}, spectrum")
    stated = _object(record["provenance"], f"{where}, provenance")
    sources = record["sources"]
    if not isinstance(sources, list):
        raise PhysicalDataError(f"{where}, sources: a list is needed")

    def part(kind: Any, key: str) -> Any:
        value = record[key]
        return None if value is None else _build(kind, value, f"{where}, {key}")

    return Machine(
        name=_text(record["name"], f"{where}, name"),
        energy_mv=_number(record["energy_mv"], f"{where}, energy_mv"),
        fluence_mode=_text(record["fluence_mode"], f"{where}, fluence_mode"),
        spectrum=load_spectrum(spectrum),
        sad_mm=_number(record["sad_mm"], f"{where}, sad_mm"),
        sources=tuple(
            _build(PhotonSource, source, f"{where}, source {i}")
            for i, source in enumerate(sources, start=1)
        ),
        profile=part(RadialProfile, "profile"),
        softening=part(RadialProfile, "softening"),
        jaws_x=part(JawModel, "jaws_x"),
        jaws_y=part(JawModel, "jaws_y"),
        mlc=part(MlcModel, "mlc"),
        calibration=_build(Calibration, record["calibration"], f"{where}, calibration"),
        limits=_build(Limits, record["limits"], f"{where}, limits"),
        provenance={**stated, **added, "spectrum_sha256": spectrum_sha256(spectrum)},
    )


def _build(kind: Any, value: Any, where: str) -> Any:
    """Make a model dataclass from a JSON object that states each of its fields."""
    entries = _object(value, where)
    wanted = {f.name: str(f.type) for f in fields(kind)}
    _exact_keys(entries, frozenset(wanted), where)
    return kind(**{k: _READERS[t](entries[k], f"{where}, {k}") for k, t in wanted.items()})


def _exact_keys(entries: Mapping[str, Any], wanted: frozenset[str], where: str) -> None:
    missing, unknown = sorted(wanted - set(entries)), sorted(set(entries) - wanted)
    if missing or unknown:
        raise PhysicalDataError(
            f"{where}: missing keys {missing}, unknown keys {unknown}; exactly "
            f"{', '.join(sorted(wanted))} are needed"
        )


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PhysicalDataError(f"{where}: a JSON object is needed, not {value!r}")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise PhysicalDataError(f"{where}: {value!r} is not a finite number")
    return float(value)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise PhysicalDataError(f"{where}: {value!r} is not a text")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise PhysicalDataError(f"{where}: {value!r} is not true or false")
    return value


def _numbers(value: Any, where: str) -> NDArray[np.float64]:
    if not isinstance(value, list):
        raise PhysicalDataError(f"{where}: a list of numbers is needed, not {value!r}")
    return np.array([_number(v, where) for v in value], dtype=np.float64)


def _range(value: Any, where: str) -> tuple[float, float]:
    pair = _numbers(value, where)
    if pair.size != 2 or not pair[0] < pair[1]:
        raise PhysicalDataError(f"{where}: {value!r} is not a lower and an upper limit")
    return float(pair[0]), float(pair[1])


# How a field of a model dataclass is read, by the type it is declared with.
_READERS: dict[str, Callable[[Any, str], Any]] = {
    "float": _number,
    "str": _text,
    "bool": _flag,
    "tuple[float, float]": _range,
    "NDArray[np.float64]": _numbers,
}


def _check_physics(machine: Machine, where: str) -> None:
    """Refuse values that no treatment head can have."""
    devices = {"jaws_x": machine.jaws_x, "jaws_y": machine.jaws_y, "mlc": machine.mlc}
    present = {name: device for name, device in devices.items() if device is not None}
    lowest = max(source.distance_mm for source in machine.sources)
    problems = [
        f"{name}: transmission {device.transmission} is not between 0 and 1"
        for name, device in present.items()
        if not 0 <= device.transmission < 1
    ]
    problems += [
        f"{name}: distance {device.distance_mm} mm is not between the lowest source "
        f"({lowest} mm) and the isocentre ({machine.sad_mm} mm)"
        for name, device in present.items()
        if not lowest < device.distance_mm < machine.sad_mm
    ]
    for i, source in enumerate(machine.sources, start=1):
        if min(source.weight, source.sigma_x_mm, source.sigma_y_mm, source.distance_mm) < 0:
            problems.append(f"source {i}: weight, sizes and distance cannot be negative")
    if not present:
        problems.append("neither jaws nor leaves: nothing limits the field")
    if machine.mlc is not None and machine.mlc.tip_offset_mm < 0:
        problems.append(f"mlc: tip offset {machine.mlc.tip_offset_mm} mm is negative")
    if machine.profile is not None and not (machine.profile.value > 0).all():
        problems.append("profile: values must be above zero")
    if machine.softening is not None and machine.softening.value[0] != 0:
        problems.append("softening: the value on the axis must be 0")
    limits = machine.limits
    if not 0 < limits.field_min_mm < limits.field_max_mm:
        problems.append(f"limits: fields from {limits.field_min_mm} to {limits.field_max_mm} mm")
    if limits.sad_mm != machine.sad_mm:
        problems.append(f"limits: sad_mm {limits.sad_mm} differs from the machine's")
    if problems:
        raise PhysicalDataError(f"{where}: " + "; ".join(problems))
