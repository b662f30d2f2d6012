"""Goals of a plan from a template: a TOML file that a department writes and versions.

    name = "lung, department protocol"
    version = "3"
    source = "protocol of ..., page 4"

    [[goal]]
    structure = "PTV"           # name in the structure set, or the names that are tried in turn
    quantity = "D95%"           # see dosecalc.verify.indices.quantity
    at_least = 57.0             # or at_most; in the unit of the quantity
    review = 58.0               # optional: between here and the limit a physicist looks
    optional = false            # whether the structure may be missing

None is shipped: what a plan has to reach is a clinical decision.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dosecalc.errors import GeometryError, InputError
from dosecalc.verify.dvh import Dvh
from dosecalc.verify.indices import quantity
from dosecalc.verify.outcome import Finding, Outcome
from dosecalc.verify.verification import GoalRow

__all__ = ["Goal", "Template", "judge_goals", "load_template"]

_KEYS = {"structure", "quantity", "at_least", "at_most", "review", "optional", "source"}


@dataclass(frozen=True)
class Goal:
    """One goal; `limit` is a least value if `at_least`, else a greatest."""

    structures: tuple[str, ...]
    quantity: str
    limit: float
    at_least: bool
    review: float | None = None
    optional: bool = False
    source: str = ""

    def judge(self, value: float) -> Outcome:
        """Judge a value; exactly the limit keeps it."""
        sign = -1.0 if self.at_least else 1.0
        if not sign * value <= sign * self.limit:
            return Outcome.FAIL
        if self.review is not None and sign * value > sign * self.review:
            return Outcome.REVIEW
        return Outcome.PASS


@dataclass(frozen=True)
class Template:
    """Goals with the name, version and hash of their file."""

    name: str
    version: str
    sha256: str
    goals: tuple[Goal, ...]


def load_template(path: Path) -> Template:
    """Read a template.

    Raises
    ------
    InputError
        It cannot be read, or a goal is incomplete or has a key nobody knows.
    """
    try:
        content = path.read_bytes()
        table = tomllib.loads(content.decode())
    except (OSError, ValueError) as error:
        raise InputError(f"template {path} cannot be read: {error}") from error
    for key in ("name", "version", "goal"):
        if not table.get(key):
            raise InputError(f"template {path}: {key!r} is missing")
    source = str(table.get("source", f"{table['name']} {table['version']}"))
    goals = tuple(
        _goal(entry, f"template {path}, goal {n}", source)
        for n, entry in enumerate(table["goal"], start=1)
    )
    digest = hashlib.sha256(content).hexdigest()
    return Template(str(table["name"]), str(table["version"]), digest, goals)


def _goal(entry: Mapping[str, Any], where: str, source: str) -> Goal:
    unknown = set(entry) - _KEYS
    if unknown:
        raise InputError(f"{where}: {', '.join(sorted(unknown))} is not known")
    limits = [key for key in ("at_least", "at_most") if key in entry]
    if len(limits) != 1 or not entry.get("structure") or not entry.get("quantity"):
        raise InputError(f"{where}: needs structure, quantity and one of at_least and at_most")
    names = entry["structure"]
    at_least, limit = limits[0] == "at_least", float(entry[limits[0]])
    review = None if "review" not in entry else float(entry["review"])
    if review is not None and (review < limit) == at_least and review != limit:
        raise InputError(f"{where}: review {review:g} lies beyond the limit {limit:g}")
    return Goal(
        structures=(names,) if isinstance(names, str) else tuple(names),
        quantity=str(entry["quantity"]),
        limit=limit,
        at_least=at_least,
        review=review,
        optional=bool(entry.get("optional", False)),
        source=str(entry.get("source", source)),
    )


def judge_goals(
    goals: Sequence[Goal], reference: Mapping[str, Dvh], calculated: Mapping[str, Dvh]
) -> tuple[list[GoalRow], list[Finding]]:
    """Judge goals by the calculated dose; the planning system's value stands beside it."""
    rows, findings = [], []
    for goal in goals:
        sign = ">=" if goal.at_least else "<="
        name = next((n for n in goal.structures if n in calculated), None)
        if name is None:
            missing = " or ".join(goal.structures)
            if not goal.optional:
                sentence = f"{goal.quantity} {sign} {goal.limit:g}: no dose of {missing} is known"
                findings.append(Finding("goal", Outcome.FAIL, sentence, source=goal.source))
            continue
        text = f"{name} {goal.quantity} {sign} {goal.limit:g}"
        try:
            found = quantity(calculated[name], goal.quantity)
        except GeometryError as error:
            findings.append(Finding("goal", Outcome.REVIEW, f"{text}: {error}"))
            continue
        outcome = goal.judge(found.value)
        known = quantity(reference[name], goal.quantity).value if name in reference else None
        rows.append(
            GoalRow(
                name, f"{text} {found.unit}".strip(), found.unit, goal.limit, known, found.value,
                outcome, goal.source,
            )
        )  # fmt: skip
        findings.append(
            Finding(
                "goal", outcome, f"{text} {found.unit}: {found.value:.4g}", found.value, found.unit,
                goal.review, goal.limit, goal.source,
            )
        )  # fmt: skip
    return rows, findings
