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

from dosecalc.errors import InputError
from dosecalc.verify.gamma import GammaCriteria
from dosecalc.verify.outcome import Finding, Outcome

__all__ = ["Commissioned", "Limit", "Tolerances", "load_tolerances"]

_KEYS = {"review", "fail", "at_least", "unit", "source"}
_MODEL_KEYS = {"linac", "sha256", "valid_until"}


@dataclass(frozen=True)
class Limit:
    """Two limits of one number.

    Parameters
    ----------
    review, fail : float or None
        Beyond `review` a physicist has to look, beyond `fail` the rule fails.
    at_least : bool
        Whether the number must be above the limits (a pass rate) and not below (a difference).
    unit, source : str
    """

    review: float | None
    fail: float | None
    unit: str
    source: str
    at_least: bool = False

    def __post_init__(self) -> None:
        if self.review is None and self.fail is None:
            raise InputError("a limit needs 'review', 'fail' or both")
        if self.review is None or self.fail is None or self.fail == self.review:
            return
        if (self.fail > self.review) == self.at_least:
            raise InputError(
                f"review at {self.review:g} and fail at {self.fail:g} {self.unit} are the "
                "wrong way round"
            )

    def judge(self, value: float) -> Outcome:
        """Judge a number; one exactly at a limit keeps it, one that is none fails."""
        if math.isnan(value):
            return Outcome.FAIL
        sign = -1.0 if self.at_least else 1.0
        if self.fail is not None and sign * value > sign * self.fail:
            return Outcome.FAIL
        if self.review is not None and sign * value > sign * self.review:
            return Outcome.REVIEW
        return Outcome.PASS

    def finding(
        self, rule: str, sentence: str, value: float, judged: float | None = None
    ) -> Finding:
        """Make a finding of a number, judged by its size (or by `judged`)."""
        size = (value if self.at_least else abs(value)) if judged is None else judged
        return Finding(
            rule, self.judge(size), sentence, value, self.unit, self.review, self.fail, self.source
        )


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

    Raises
    ------
    InputError
        The file cannot be read, names a limit or key that does not exist, or gives no source.
    """
    shipped = files("dosecalc.verify").joinpath("tolerances.toml").read_bytes()
    table, digest = tomllib.loads(shipped.decode()), hashlib.sha256(shipped)
    if path is not None:
        try:
            content = path.read_bytes()
            own = tomllib.loads(content.decode())
        except (OSError, ValueError) as error:
            raise InputError(f"tolerances {path} cannot be read: {error}") from error
        digest.update(content)
        _check(own, table, path)
        table = (
            table
            | own
            | {
                "gamma": table["gamma"] | own.get("gamma", {}),
                "limits": table["limits"] | own.get("limits", {}),
            }
        )
    try:
        limits = {
            name: Limit(
                entry.get("review"), entry.get("fail"), entry["unit"], entry["source"],
                entry.get("at_least", False),
            )
            for name, entry in table["limits"].items()
        }  # fmt: skip
        gamma = GammaCriteria(**table["gamma"])
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"tolerances {path}: {error}; unit and source are needed too") from error
    return Tolerances(
        str(table["name"]),
        str(table["version"]),
        digest.hexdigest(),
        gamma,
        limits,
        tuple(_model(entry, path) for entry in table.get("commissioned", ())),
    )


def _model(entry: Mapping[str, Any], path: Path | None) -> Commissioned:
    if not isinstance(entry, dict) or set(entry) != _MODEL_KEYS:
        raise InputError(
            f"tolerances {path}: a [[commissioned]] entry has {', '.join(sorted(_MODEL_KEYS))}"
        )
    until = entry["valid_until"]
    if not isinstance(until, date) or isinstance(until, datetime):
        raise InputError(f"tolerances {path}: valid_until must be a date such as 2027-06-30")
    return Commissioned(str(entry["linac"]), str(entry["sha256"]), until)


def _check(own: Mapping[str, Any], shipped: Mapping[str, Any], path: Path) -> None:
    for name in own:
        if name not in shipped and name != "commissioned":
            raise InputError(f"tolerances {path}: no entry is called {name!r}")
    for name, entry in own.get("limits", {}).items():
        known = ", ".join(shipped["limits"])
        if name not in shipped["limits"]:
            raise InputError(f"tolerances {path}: no limit is called {name!r}; there are: {known}")
        if not isinstance(entry, dict) or set(entry) - _KEYS:
            raise InputError(f"tolerances {path}: limit {name!r} takes {', '.join(sorted(_KEYS))}")
