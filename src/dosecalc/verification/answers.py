"""Which rules had nothing to judge: they pass nothing, and the report says so."""

from __future__ import annotations

from collections.abc import Iterable

from dosecalc.messages.findings import Finding, Outcome
from dosecalc.verification.checks.inputs import says_scanner
from dosecalc.verification.inputs import Evidence

__all__ = ["inputs_without_answer", "without_answer"]

# Rule, and why it judged nothing.
_OF_THE_PLAN = (
    ("prescription", "no calculated dose of what is prescribed is known"),
    (
        "prescription consistency",
        "prescription and beam doses are not stated at one and the same point",
    ),
    ("beam dose", "the plan states no dose of a beam at a point"),
    ("independent MU check", "no beam has a dose by tables that can be judged"),
)
_TOO_FEW = "too few points lie where it looks"
_OF_A_REFERENCE = (
    ("largest connected failing volume", _TOO_FEW),
    ("large difference", _TOO_FEW),
    ("local dose", _TOO_FEW),
    ("target part", "no target is known in both doses, or too few points lie where it looks"),
    ("low-gradient difference", _TOO_FEW),
    ("displacement", _TOO_FEW),
    ("target mean", "no target is known in both doses"),
    ("organ dose", "no structure but targets is known in both doses"),
    ("point dose", "no isocentre or prescription point is known in both doses"),
    (
        "reference against plan",
        "the plan states no dose at a place where the reference can be judged",
    ),
)


def without_answer(findings: Iterable[Finding], *, compared: bool) -> tuple[str, ...]:
    """Rules that judged nothing, each with the reason.

    Parameters
    ----------
    findings : of all rules
    compared : bool
        Whether there is a reference; without one a finding says that nothing was compared.
    """
    judged = {one.rule for one in findings if one.judged or one.outcome is not Outcome.PASS}
    asked = (*_OF_THE_PLAN, *(_OF_A_REFERENCE if compared else ()))
    return tuple(f"{rule}: {reason}" for rule, reason in asked if rule not in judged)


def inputs_without_answer(evidence: Evidence) -> tuple[str, ...]:
    """Rules on what the calculation was made of that had nothing to look at."""
    ct, curve = evidence.ct, evidence.curve
    asked = {
        "approval: the plan file does not say whether the plan is approved": evidence.plan.approval,
        "HU curve: no CT or no curve was used": ct is not None and curve is not None,
        "HU curve: the curve does not say on which scanner it was measured": ct is None
        or curve is None
        or says_scanner(curve),
        "CT numbers: no CT was used": ct is not None,
        "densities: there is no structure set": evidence.structures is not None,
    }
    return tuple(line for line, known in asked.items() if not known)
