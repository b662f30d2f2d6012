"""Goals of a plan from a template: a TOML file that a department writes and versions.

    name = "lung, department protocol"
    version = "3"
    source = "protocol of ..., page 4"

    [[goal]]
    structure = "PTV"           # name in the structure set, or the names that are tried in turn
    quantity = "D95%"           # see dosecalc.analysis.metrics.quantity
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

import numpy as np

from dosecalc.analysis.dvh import Dvh
from dosecalc.analysis.metrics import is_of_prescription, quantity
from dosecalc.data.toml_tables import check_keys, number, tables, text
from dosecalc.errors import GeometryError, InputError
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message, of_note
from dosecalc.verification.verification import GoalRow

__all__ = ["Goal", "Template", "judge_goals", "load_template"]

_KEYS = ("structure", "quantity", "at_least", "at_most", "review", "optional", "source")
_TOP_KEYS = ("name", "version", "source", "goal")
# Large enough that every quantity can be read from it: it tells names and units, no doses.
_ANY_GY = 1.0
_ANY = Dvh("any structure", 0, np.array([1.0, 1.0]), np.array([1e9, 1e9]))


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

    @property
    def unit(self) -> str:
        """Unit of the quantity: "Gy", "%", "cm3" or ""."""
        return quantity(_ANY, self.quantity, _ANY_GY).unit

    def message(self, *names: str) -> Message:
        """Say the goal of a structure, or of the names that it may have: "PTV D95% >= 57 Gy"."""
        return Message.of(
            "goal.text",
            structures=names,
            quantity=self.quantity,
            sign=">=" if self.at_least else "<=",
            limit=self.limit,
            unit=self.unit or None,
        )

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
        It cannot be read, or a goal is incomplete, has a key nobody knows, or a value that
        makes no sense.
    """
    where = f"template {path}"
    try:
        content = path.read_bytes()
        table = tomllib.loads(content.decode())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{where} cannot be read: {error}") from error
    check_keys(table, _TOP_KEYS, where)
    name, version = _word(table, "name", where), _word(table, "version", where)
    source = _word(table, "source", where, f"{name} {version}")
    entries = tables(table, "goal", where)
    if not entries:
        raise InputError(f"{where}: 'goal' is missing; write each goal as a [[goal]] table")
    goals = tuple(
        _goal(entry, f"{where}, goal {n}", source) for n, entry in enumerate(entries, start=1)
    )
    return Template(name, version, hashlib.sha256(content).hexdigest(), goals)


def _goal(entry: Mapping[str, Any], where: str, source: str) -> Goal:
    check_keys(entry, _KEYS, where)
    limits = [key for key in ("at_least", "at_most") if key in entry]
    if len(limits) != 1 or not entry.get("structure") or not entry.get("quantity"):
        raise InputError(f"{where}: needs structure, quantity and one of at_least and at_most")
    optional = entry.get("optional", False)
    if not isinstance(optional, bool):
        raise InputError(f"{where}: optional is {optional!r}; write true or false, without quotes")
    goal = Goal(
        structures=_structures(entry["structure"], where),
        quantity=_quantity(entry, where),
        limit=_number(entry, limits[0], where),
        at_least=limits[0] == "at_least",
        review=None if "review" not in entry else _number(entry, "review", where),
        optional=optional,
        source=_word(entry, "source", where, source),
    )
    _refuse_senseless(goal, limits[0], where)
    return goal


def _refuse_senseless(goal: Goal, key: str, where: str) -> None:
    """Refuse limits that no dose can keep, or every dose does."""
    # Doses in % of the prescription may be above it.
    is_volume = goal.quantity.strip().lower().startswith("v")
    most = 100.0 if goal.unit == "%" and is_volume else np.inf
    for name, value in ((key, goal.limit), ("review", goal.review)):
        if value is not None and not 0 <= value <= most:
            span = "from 0 to 100 %" if most == 100 else "0 or more"
            raise InputError(f"{where}: {name} is {value:g}; {goal.quantity} is {span}")
    if goal.review is None or goal.review == goal.limit:
        return
    if (goal.review < goal.limit) == goal.at_least:
        raise InputError(
            f"{where}: review {goal.review:g} lies beyond the limit, {key} = {goal.limit:g}; a "
            f"physicist looks between {key} and review"
        )


def _word(table: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    """Return a text that says something."""
    if key not in table and default is None:
        raise InputError(f'{where}: {key!r} is missing; write {key} = "..."')
    found = text(table, key, where, default).strip()
    if not found:
        raise InputError(f'{where}: {key} is empty; write {key} = "..."')
    return found


def _number(entry: Mapping[str, Any], key: str, where: str) -> float:
    try:
        return number(entry, key, where)
    except InputError as error:
        raise InputError(f"{error}, without quotes or unit") from error


def _structures(value: Any, where: str) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(n, str) and n.strip() for n in names):
        raise InputError(
            f"{where}: structure is {value!r}; write a name in quotes, or a list of names that "
            "are tried in turn"
        )
    return tuple(names)


def _quantity(entry: Mapping[str, Any], where: str) -> str:
    """Return the name of a quantity, refused before anything is calculated if it is none."""
    name = text(entry, "quantity", where)
    try:
        quantity(_ANY, name, _ANY_GY)
    except InputError as error:
        raise InputError(f"{where}: quantity: {error}") from error
    return name


def judge_goals(
    goals: Sequence[Goal],
    reference: Mapping[str, Dvh],
    calculated: Mapping[str, Dvh],
    prescribed: Mapping[str, float] | None = None,
) -> tuple[list[GoalRow], list[Finding]]:
    """Judge goals by the calculated dose; the planning system's value stands beside it.

    Parameters
    ----------
    prescribed : mapping of structure name to Gy
        What quantities such as V95% are of; under "" for structures that are not named.
    """
    judged = [_judged(goal, reference, calculated, prescribed or {}) for goal in goals]
    return (
        [row for row, _ in judged if row is not None],
        [finding for _, finding in judged if finding is not None],
    )


def _judged(
    goal: Goal,
    reference: Mapping[str, Dvh],
    calculated: Mapping[str, Dvh],
    prescribed: Mapping[str, float],
) -> tuple[GoalRow | None, Finding | None]:
    name = next((n for n in goal.structures if n in calculated), None)
    if name is None:
        if goal.optional:
            return None, None
        said = goal.message(*goal.structures)
        message = Message.of("goal.no_dose", goal=said, structures=goal.structures)
        return None, Finding("goal", Outcome.FAIL, message, source=goal.source)
    said, of = goal.message(name), prescribed.get(name, prescribed.get(""))
    is_share = is_of_prescription(goal.quantity)
    if is_share and of is None:
        message = Message.of("goal.no_prescription", goal=said)
        return None, Finding("goal", Outcome.REVIEW, message, source=goal.source)
    try:
        found = quantity(calculated[name], goal.quantity, of)
    except GeometryError as error:
        message = Message.of("goal.no_value", goal=said, reason=of_note(str(error)))
        return None, Finding("goal", Outcome.REVIEW, message, source=goal.source)
    outcome = goal.judge(found.value)
    known = _value(reference.get(name), goal.quantity, of)
    row = GoalRow(name, said, found.unit, goal.limit, known, found.value, outcome, goal.source)
    message = Message.of(
        "goal.result",
        goal=said,
        value=found.value,
        unit=found.unit or None,
        of=Message.of("part.prescribed", gray=of) if is_share else None,
    )
    return row, Finding(
        "goal",
        outcome,
        message,
        found.value,
        found.unit,
        goal.review,
        goal.limit,
        goal.source,
        at_least=goal.at_least,
        held=found.value,
    )


def _value(dvh: Dvh | None, name: str, prescribed_gy: float | None) -> float | None:
    """Value in the planning system's dose, None where that holds too little of the structure."""
    try:
        return None if dvh is None else quantity(dvh, name, prescribed_gy).value
    except GeometryError:
        return None
