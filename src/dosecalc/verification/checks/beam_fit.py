"""The rule on single beams: what in which beam would explain the difference of two doses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dosecalc.messages.findings import Finding, Outcome
from dosecalc.model import Beam
from dosecalc.verification.beam_fit.fit import BeamFit, BeamFits, Cause
from dosecalc.verification.tolerances import Tolerances

__all__ = ["fit_findings"]

_RULE = "single beam"
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
        (_row(fit, ask, beams, tolerances), _row(own, other, beams, tolerances))
        for fit, own in zip(fitted.beams, fitted.apart or fitted.beams, strict=True)
        for ask, other in zip(_asked_of(fit), _asked_of(own), strict=True)
    ]
    whole = [row for row, _ in rows]
    worst = max((row.outcome for row in whole), default=Outcome.PASS)
    if worst == Outcome.PASS:
        return whole
    explained = sum(cause.explained for cause in fitted.causes)
    clear = explained >= _EXPLAINED
    trusted = fitted.are_small and (clear or fitted.unexplained < _UNEXPLAINED)
    named = [one for one in fitted.causes if _judged(one, tolerances).outcome != Outcome.PASS]
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
    return [*causes, *kept]


def _cause(
    cause: Cause, beams: Mapping[int, Beam], tolerances: Tolerances, *, first: bool
) -> Finding:
    """Say one cause; it is at least worth a look."""
    found, said, percent = _judged(cause, tolerances), _said(cause, beams), 100 * cause.explained
    sentence = f"further cause: {said}; explains {percent:.0f} % of the difference"
    if first:
        sentence = f"most likely cause: {said}; explains {percent:.0f} % of the difference"
    outcome = max(found.outcome, Outcome.REVIEW)
    return replace(found, outcome=outcome, sentence=sentence, details=_details(cause))


def _judged(cause: Cause, tolerances: Tolerances) -> Finding:
    """Hold the size of a cause against the limit of its kind."""
    value = cause.size[0] if len(cause.size) == 1 else float(np.linalg.norm(cause.size))
    limit = _LIMITS.get(cause.kind, "beam_width")
    return tolerances.limits[limit].finding(_RULE, cause.kind, value)


def _nothing_explains(
    fitted: BeamFits, likely: Sequence[Cause], beams: Mapping[int, Beam], worst: Outcome
) -> Finding:
    explained = 100 * sum(cause.explained for cause in fitted.causes)
    sentence = (
        "errors of single beams do not explain the difference: check gantry and couch angles, "
        "isocentre, densities and beam doses"
    )
    details: dict[str, object] = {"explained": explained / 100, "unexplained": fitted.unexplained}
    if likely:
        sentence = (
            f"errors of single beams explain only {explained:.0f} % of the difference (the most "
            f"likely: {_said(likely[0], beams)}): check that first, then gantry and couch "
            "angles, isocentre, densities and beam doses"
        )
        details["likely"] = _details(likely[0])
    return Finding(_RULE, worst, sentence, details=details)


def _said(cause: Cause, beams: Mapping[int, Beam]) -> str:
    """Say what would have to change in the calculated dose to become the reference."""
    who = "all beams alike" if cause.beam is None else _name(cause.beam, beams)
    one, kind = cause.size[0], cause.kind
    if kind == "mu":
        if cause.beam is None or len(beams) == 1:
            return (
                f"{who}, {one:+.1f} % of the MU (calibration, output factor, dose per MU or "
                "number of fractions)"
            )
        return f"{who}, {one:+.1f} % of the MU"
    if kind == "shift":
        return f"{who}, shift by u {one:+.2f}, v {cause.size[1]:+.2f} mm"
    if kind == "turn":
        return f"{who}, collimator {one:+.1f} degrees"
    if kind == "isocentre":
        x, y, z = cause.size
        return f"{who}, isocentre x {x:+.2f}, y {y:+.2f}, z {z:+.2f} mm"
    what, place = kind.split()
    if what == "width":
        return f"{who}, field wider in {place} by {one:+.2f} mm (both edges)"
    return f"{who}, edge {place} further out by {one:+.2f} mm (jaw or leaf bank)"


def _details(cause: Cause) -> dict[str, object]:
    return {
        "cause": cause.kind,
        "beam": cause.beam,
        "size": list(cause.size),
        "explained": cause.explained,
    }


def _name(number: int, beams: Mapping[int, Beam]) -> str:
    return f"beam {number} ({beams[number].name})"


def _row(
    fit: BeamFit, asked: tuple[str, float, str], beams: Mapping[int, Beam], tolerances: Tolerances
) -> Finding:
    limit, value, text = asked
    name = _name(fit.beam, beams)
    sentence = f"{name}: calculated would fit the reference best {text}"
    return tolerances.limits[limit].finding(_RULE, sentence, value)


def _asked_of(fit: BeamFit) -> list[tuple[str, float, str]]:
    """Limit, number and words of all that was fitted to a beam."""
    asked = [("beam_mu", fit.mu_percent, f"with {fit.mu_percent:+.2f} % of its MU")]
    if fit.u_mm is not None and fit.v_mm is not None:
        moved = float(np.hypot(fit.u_mm, fit.v_mm))
        asked.append(("beam_shift", moved, f"moved by u {fit.u_mm:+.2f}, v {fit.v_mm:+.2f} mm"))
    if fit.turn_deg is not None:
        text = f"turned by {fit.turn_deg:+.2f} degrees about its axis"
        asked.append(("beam_turn", fit.turn_deg, text))
    if fit.wider_u_mm is not None and fit.wider_v_mm is not None:
        most = max(fit.wider_u_mm, fit.wider_v_mm, key=abs)
        text = f"wider by u {fit.wider_u_mm:+.2f}, v {fit.wider_v_mm:+.2f} mm"
        asked.append(("beam_width", most, text))
    return asked
