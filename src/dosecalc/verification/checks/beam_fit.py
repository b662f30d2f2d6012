"""The rule on single beams: what in which beam would explain the difference of two doses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dosecalc.messages.findings import Finding, Limit, Outcome
from dosecalc.messages.message import Message
from dosecalc.model import Beam
from dosecalc.verification.beam_fit.fit import BeamFit, BeamFits, Cause
from dosecalc.verification.parts import beam_part
from dosecalc.verification.tolerances import Tolerances

__all__ = ["fit_findings"]

_RULE = "beam fit"
# Share of the difference, root mean square, that a fit of single beams may leave, and share of its
# squares that causes must explain, for their numbers to mean something.
_UNEXPLAINED, _EXPLAINED = 0.7, 0.5
_LIMITS = {"mu": "beam_mu", "shift": "beam_shift", "turn": "beam_turn", "isocentre": "beam_shift"}


def fit_findings(
    fitted: BeamFits, beams: Mapping[int, Beam], tolerances: Tolerances
) -> list[Finding]:
    """Errors of beams whose MU, place, angle or width would explain the difference of the doses.

    Where a number is beyond its limit, the most likely causes come first, with the share of the
    difference that each explains. What all beams ask for alike is one finding. Where causes explain
    less than half of the difference, and a fit of all numbers leaves most of it or finds numbers
    that are not small, they mean nothing: then there is one finding, which says so.

    Parameters
    ----------
    fitted : BeamFits
    beams : mapping of beam number to Beam
    tolerances : Tolerances
    """
    rows = [
        tuple(tolerances.limits[limit].finding(_RULE, said, value) for limit, value, said in pair)
        for fit, own in zip(fitted.beams, fitted.apart or fitted.beams, strict=True)
        for pair in zip(_asked_of(fit, beams), _asked_of(own, beams), strict=True)
    ]
    whole = [row for row, _ in rows]
    worst = max((row.outcome for row in whole), default=Outcome.PASS)
    if worst == Outcome.PASS:
        return whole
    explained = sum(cause.explained for cause in fitted.causes)
    clear = explained >= _EXPLAINED
    trusted = fitted.are_small and (clear or fitted.unexplained < _UNEXPLAINED)
    named = [one for one in fitted.causes if _is_beyond(one, tolerances)]
    if not (clear or trusted):
        return [_nothing_explains(fitted, named or fitted.causes, beams, worst)]
    # What one cause says of all beams is not said again of each.
    kept = [row for row, own in rows if row.outcome == Outcome.PASS or own.outcome != Outcome.PASS]
    if not trusted:
        kept = []
    # What is within its limits is no error to look for, as long as anything else is beyond.
    causes = [
        _cause(cause, beams, tolerances, first=n == 0)
        for n, cause in enumerate(named or fitted.causes[:1])
    ]
    if causes and len(kept) < len(whole):
        # It speaks for all that is not said.
        causes[0] = replace(causes[0], outcome=max(worst, causes[0].outcome))
    # One that explains more than those named is told, so that their shares are understood.
    most = max((cause.explained for cause in named), default=1.0)
    small = [c for c in fitted.causes if c not in named and c.explained > most]
    return [*causes, *(_within_limit(c, beams, tolerances) for c in small), *kept]


def _within_limit(cause: Cause, beams: Mapping[int, Beam], tolerances: Tolerances) -> Finding:
    """Say a cause that is no error to look for by its size."""
    said, percent = _said(cause, beams), 100 * cause.explained
    message = Message.of("beam_fit.within_limit", cause=said, percent=percent)
    found = _limit(cause, tolerances).finding(_RULE, message, _size(cause))
    return replace(found, details=_details(cause))


def _cause(
    cause: Cause, beams: Mapping[int, Beam], tolerances: Tolerances, *, first: bool
) -> Finding:
    """Say one cause; it is at least worth a look."""
    value = _size(cause)
    message = Message.of(
        "beam_fit.likely_cause" if first else "beam_fit.further_cause",
        cause=_said(cause, beams),
        percent=100 * cause.explained,
    )
    found = _limit(cause, tolerances).finding(_RULE, message, value)
    outcome = max(found.outcome, Outcome.REVIEW)
    return replace(found, outcome=outcome, details=_details(cause))


def _size(cause: Cause) -> float:
    return cause.size[0] if len(cause.size) == 1 else float(np.linalg.norm(cause.size))


def _limit(cause: Cause, tolerances: Tolerances) -> Limit:
    """Limit that the size of a cause of its kind is held against."""
    return tolerances.limits[_LIMITS.get(cause.kind, "beam_width")]


def _is_beyond(cause: Cause, tolerances: Tolerances) -> bool:
    return _limit(cause, tolerances).judge(abs(_size(cause))) != Outcome.PASS


def _nothing_explains(
    fitted: BeamFits, likely: Sequence[Cause], beams: Mapping[int, Beam], worst: Outcome
) -> Finding:
    explained = 100 * sum(cause.explained for cause in fitted.causes)
    message = Message("beam_fit.unexplained")
    details: dict[str, object] = {"explained": explained / 100, "unexplained": fitted.unexplained}
    if likely:
        message = Message.of(
            "beam_fit.little_explained",
            percent=explained,
            cause=_said(likely[0], beams),
            share=100 * likely[0].explained,
        )
        details["likely"] = _details(likely[0])
    return Finding(_RULE, worst, message, details=details)


def _said(cause: Cause, beams: Mapping[int, Beam]) -> Message:
    """Say what would have to change in the calculated dose to become the reference."""
    who = Message("beam_fit.all_beams")
    if cause.beam is not None:
        who = beam_part(cause.beam, beams[cause.beam].name)
    one, kind = cause.size[0], cause.kind
    if kind == "mu":
        of_all = cause.beam is None or len(beams) == 1
        code = "beam_fit.cause_mu_of_all" if of_all else "beam_fit.cause_mu"
        return Message.of(code, beams=who, percent=one)
    if kind == "shift":
        return Message.of("beam_fit.cause_shift", beams=who, u=one, v=cause.size[1])
    if kind == "turn":
        return Message.of("beam_fit.cause_rotation", beams=who, degrees=one)
    if kind == "isocentre":
        x, y, z = cause.size
        return Message.of("beam_fit.cause_isocentre", beams=who, x=x, y=y, z=z)
    what, place = kind.split()
    if what == "width":
        return Message.of("beam_fit.cause_width", beams=who, axis=place, mm=one)
    return Message.of("beam_fit.cause_edge", beams=who, edge=place, mm=one)


def _details(cause: Cause) -> dict[str, object]:
    return {
        "cause": cause.kind,
        "beam": cause.beam,
        "size": list(cause.size),
        "explained": cause.explained,
    }


def _asked_of(fit: BeamFit, beams: Mapping[int, Beam]) -> list[tuple[str, float, Message]]:
    """Limit, number and message of all that was fitted to a beam."""
    beam = beam_part(fit.beam, beams[fit.beam].name)
    asked = [
        (
            "beam_mu",
            fit.mu_percent,
            Message.of("beam_fit.best_mu", beam=beam, percent=fit.mu_percent),
        )
    ]
    if fit.u_mm is not None and fit.v_mm is not None:
        moved = float(np.hypot(fit.u_mm, fit.v_mm))
        message = Message.of("beam_fit.best_shift", beam=beam, u=fit.u_mm, v=fit.v_mm)
        asked.append(("beam_shift", moved, message))
    if fit.turn_deg is not None:
        message = Message.of("beam_fit.best_rotation", beam=beam, degrees=fit.turn_deg)
        asked.append(("beam_turn", fit.turn_deg, message))
    if fit.wider_u_mm is not None and fit.wider_v_mm is not None:
        most = max(fit.wider_u_mm, fit.wider_v_mm, key=abs)
        message = Message.of("beam_fit.best_width", beam=beam, u=fit.wider_u_mm, v=fit.wider_v_mm)
        asked.append(("beam_width", most, message))
    return asked
