"""What is judged against what: limits with their sources, from a TOML file."""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from dosecalc.analysis.gamma import GammaCriteria
from dosecalc.data.toml_tables import check_keys, number, table, tables, text
from dosecalc.errors import InputError
from dosecalc.messages.findings import Limit

__all__ = ["Commissioned", "Tolerances", "load_tolerances"]

_TOP_KEYS = ("name", "version", "gamma", "limits", "commissioned")
_KEYS = ("review", "fail", "at_least", "unit", "source")
_NUMBERS = ("review", "fail")
_GAMMA_KEYS = (
    *("dose_percent", "distance_mm", "threshold_percent", "local", "max_gamma"),
    "normalisation",
)
_MODEL_KEYS = ("linac", "sha256", "valid_until")


@dataclass(frozen=True)
class Commissioned:
    """A machine model that was commissioned for an accelerator.

    linac : name of the treatment machine in plans
    sha256 : of the model's file
    valid_until : last day on which it may be used
    """

    linac: str
    sha256: str
    valid_until: date


@dataclass(frozen=True)
class Tolerances:
    """Limits by name, the criteria of gamma, models that may be used, and their origin."""

    name: str
    version: str
    sha256: str
    gamma: GammaCriteria
    limits: Mapping[str, Limit]
    commissioned: tuple[Commissioned, ...] = ()


def load_tolerances(path: Path | None = None) -> Tolerances:
    """Return the shipped tolerances, with what a file says in their place.

    What the file leaves out is taken from the shipped ones, within a limit too; a number that it
    changes needs its own source.

    Raises
    ------
    InputError
        The file cannot be read, names a limit or key that does not exist, holds a value that
        makes no sense, or gives no source.
    """
    shipped = files("dosecalc.verification").joinpath("tolerances.toml").read_bytes()
    content, digest = tomllib.loads(shipped.decode()), hashlib.sha256(shipped)
    where = "the shipped tolerances"
    if path is not None:
        where = f"tolerances {path}"
        try:
            written = path.read_bytes()
            own = tomllib.loads(written.decode())
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{where} cannot be read: {error}") from error
        digest.update(written)
        content = _merged(content, own, where)
    return Tolerances(
        text(content, "name", where),
        text(content, "version", where),
        digest.hexdigest(),
        _gamma(table(content, "gamma", where), f"{where}, [gamma]"),
        {
            name: _limit(entry, f"{where}, [limits.{name}]")
            for name, entry in table(content, "limits", where).items()
        },
        tuple(_model(entry, where) for entry in tables(content, "commissioned", where)),
    )


def _merged(shipped: Mapping[str, Any], own: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Put what a file says in the place of what is shipped, key by key."""
    check_keys(own, _TOP_KEYS, where)
    for name in ("name", "version"):
        if name in own and not text(own, name, where).strip():
            raise InputError(f'{where}: {name} is empty; write {name} = "..."')
    gamma = table(own, "gamma", where) if "gamma" in own else {}
    limits = table(own, "limits", where) if "limits" in own else {}
    check_keys(limits, shipped["limits"], f"{where}, [limits]")
    merged = dict(shipped["limits"])
    for name in limits:
        spot = f"{where}, [limits.{name}]"
        if not isinstance(limits[name], Mapping):
            raise InputError(
                f"{spot} is {limits[name]!r}; write a table with one or more of {', '.join(_KEYS)}"
            )
        merged[name] = _merged_limit(shipped["limits"][name], limits[name], spot)
    return {**shipped, **own, "gamma": {**shipped["gamma"], **gamma}, "limits": merged}


def _merged_limit(shipped: Mapping[str, Any], own: Mapping[str, Any], where: str) -> dict[str, Any]:
    check_keys(own, _KEYS, where)
    # A rule measures one thing: another unit or sense would judge it by what it is not.
    for key, value in (("unit", shipped["unit"]), ("at_least", shipped.get("at_least", False))):
        if key in own and (type(own[key]) is not type(value) or own[key] != value):
            raise InputError(
                f"{where}: {key} is {own[key]!r} and cannot be changed: the rule judges with "
                f"{value!r}; leave {key} out"
            )
    changed = [key for key in _NUMBERS if key in own]
    if changed and "source" not in own:
        key = changed[0]
        raise InputError(
            f"{where}: {key} is {own[key]!r} and the key 'source' is missing; say where the "
            'number comes from, such as source = "protocol of our department, 2026"'
        )
    for key in changed:
        number(own, key, where)
    return {**shipped, **own}


def _limit(entry: Mapping[str, Any], where: str) -> Limit:
    given = {key: number(entry, key, where) for key in _NUMBERS if key in entry}
    unit, source = text(entry, "unit", where), text(entry, "source", where)
    if not source.strip():
        raise InputError(f"{where}: source is empty; say where the numbers come from")
    most = 100.0 if entry.get("at_least", False) else math.inf
    for key, value in given.items():
        if not 0 <= value <= most:
            span = "from 0 to 100" if math.isfinite(most) else "0 or more"
            raise InputError(f"{where}: {key} is {value:g} {unit}; it must be {span}")
    try:
        return Limit(
            given.get("review"), given.get("fail"), unit, source, bool(entry.get("at_least", False))
        )
    except InputError as error:
        raise InputError(f"{where}: {error}; give both") from error


def _gamma(entry: Mapping[str, Any], where: str) -> GammaCriteria:
    check_keys(entry, _GAMMA_KEYS, where)
    local = entry.get("local", False)
    if not isinstance(local, bool):
        raise InputError(f"{where}: local is {local!r}; write true or false, without quotes")
    numbers: dict[str, Any] = {k: number(entry, k, where) for k in entry if k != "local"}
    try:
        return GammaCriteria(local=local, **numbers)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _model(entry: Mapping[str, Any], where: str) -> Commissioned:
    where = f"{where}, [[commissioned]]"
    check_keys(entry, _MODEL_KEYS, where)
    missing = [key for key in _MODEL_KEYS if key not in entry]
    if missing:
        raise InputError(
            f"{where}: {', '.join(missing)} is missing; each entry has {', '.join(_MODEL_KEYS)}"
        )
    until = entry["valid_until"]
    if not isinstance(until, date) or isinstance(until, datetime):
        raise InputError(
            f"{where}: valid_until is {until!r}; write a date such as 2027-06-30, without quotes"
        )
    return Commissioned(text(entry, "linac", where), text(entry, "sha256", where), until)
