"""Findings of single rules, and the verdict that all of them make together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from dosecalc.errors import InputError
from dosecalc.messages.message import Message, say

__all__ = ["NO_TISSUE", "Finding", "Findings", "Limit", "Outcome", "combined"]

NO_TISSUE = ("BOLUS", "SUPPORT", "FIXATION")
"""ROI types of what is no part of the patient."""


class Outcome(IntEnum):
    """What a rule finds, in order of weight: the worst of all rules is the verdict.

    PASS says that a rule found nothing, never that a plan is right: that a named person signs.
    """

    PASS = 0
    REVIEW = 1
    FAIL = 2
    REFUSED = 3

    def __str__(self) -> str:
        return self.name

    @property
    def exit_code(self) -> int:
        """Exit code of a command that ends so: 0 pass, 1 fail, 2 review, 3 refused."""
        return {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.REVIEW: 2, Outcome.REFUSED: 3}[self]


@dataclass(frozen=True)
class Finding:
    """What one rule found.

    Parameters
    ----------
    rule : str
        Short name, such as "gamma" or "beam fit"; several findings may share one.
    outcome : Outcome
    message : Message
        What was found, of what, with its numbers.
    value : float or None
        The number that was judged, in `unit`.
    unit : str
    review, fail : float or None
        Limits it was held against, in `unit`.
    at_least : bool
        Whether the number must be above the limits (a pass rate) and not below (a difference).
    held : float or None
        What was held against the limits where it is neither `value` nor its size.
    source : str
        Where the limits come from.
    judged : bool
        False for a number that is shown and held against nothing.
    details : mapping
        More numbers, as plain JSON values, where there are more than `message` holds.
    """

    rule: str
    outcome: Outcome
    message: Message
    value: float | None = None
    unit: str = ""
    review: float | None = None
    fail: float | None = None
    source: str = ""
    judged: bool = True
    at_least: bool = False
    held: float | None = None
    details: Mapping[str, object] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.rule:
            raise InputError("a finding needs the name of its rule")

    @property
    def sentence(self) -> str:
        """What was found, in English."""
        return say(self.message)


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
        self, rule: str, message: Message, value: float, judged: float | None = None
    ) -> Finding:
        """Make a finding of a number, judged by its size (or by `judged`)."""
        size = (value if self.at_least else abs(value)) if judged is None else judged
        return Finding(
            rule,
            self.judge(size),
            message,
            value,
            self.unit,
            self.review,
            self.fail,
            self.source,
            at_least=self.at_least,
            held=judged,
        )


class Findings(tuple[Finding, ...]):
    """Findings in the order in which the rules were asked, and those of one outcome."""

    __slots__ = ()

    @property
    def failing(self) -> Findings:
        """Those that fail, or that refuse the plan."""
        return Findings(one for one in self if one.outcome >= Outcome.FAIL)

    @property
    def to_review(self) -> Findings:
        """Those that a physicist has to look at."""
        return Findings(one for one in self if one.outcome is Outcome.REVIEW)

    @property
    def passing(self) -> Findings:
        """Those that keep their limits."""
        return Findings(one for one in self if one.outcome is Outcome.PASS and one.judged)


def combined(findings: Iterable[Finding]) -> Outcome:
    """Return the worst outcome; no finding at all is REFUSED, as nothing was checked."""
    return max((finding.outcome for finding in findings), default=Outcome.REFUSED)
