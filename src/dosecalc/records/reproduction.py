"""A calculation done again: whether dose and verdict are what was recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dosecalc.errors import GeometryError
from dosecalc.model import Dose

__all__ = [
    "TOLERANCE_PERCENT",
    "TOLERANCE_SOURCE",
    "DoseRepeat",
    "VerdictRepeat",
    "repeat_of_dose",
    "repeat_of_verdict",
]

TOLERANCE_PERCENT = 0.1
TOLERANCE_SOURCE = (
    "project default for stored plans recalculated after a change (AAPM MPPG 5.b, test 9, asks "
    "for agreement and gives no number)"
)
_OF_GRID_MM = 1e-3


@dataclass(frozen=True)
class DoseRepeat:
    """A dose calculated again beside the recorded one.

    Parameters
    ----------
    voxels : int
    identical : bool
        Whether every voxel has the same bits.
    largest_percent : float
        Largest difference of a voxel, in percent of the recorded maximum.
    at_mm : (3,) float, mm
        Where that is, LPS.
    recorded, again : float
        The two doses there, in `unit`.
    largest_sigma : float or None
        That difference in standard uncertainties of the two doses together, where they are known.
    """

    voxels: int
    identical: bool
    largest_percent: float
    at_mm: tuple[float, float, float]
    recorded: float
    again: float
    unit: str
    largest_sigma: float | None = None

    @property
    def is_equal(self) -> bool:
        """Whether no voxel differs by more than the tolerance."""
        return self.largest_percent <= TOLERANCE_PERCENT


@dataclass(frozen=True)
class VerdictRepeat:
    """A verdict found again beside the recorded one; `changes` says what is not the same."""

    recorded: str
    again: str
    findings: int
    changes: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether every rule came to the same outcome."""
        return not self.changes


def repeat_of_dose(recorded: Dose, again: Dose) -> DoseRepeat:
    """Compare voxel by voxel.

    Raises
    ------
    GeometryError
        The grids, or what the doses are, are not the same, so that voxels do not correspond.
    """
    for what in ("unit", "dose_to", "summation"):
        if getattr(recorded, what) != getattr(again, what):
            raise GeometryError(f"{what} was {getattr(recorded, what)}, now {getattr(again, what)}")
    _same_grid(recorded, again)
    difference = np.abs(again.gray.astype(np.float64) - recorded.gray)
    # Something that is no number must not pass as equal.
    difference[~np.isfinite(difference)] = np.inf
    place = np.unravel_index(int(difference.argmax()), difference.shape)
    maximum = float(recorded.gray.max())
    largest = float(difference[place])
    share = 0.0 if largest == 0 else 100 * largest / maximum if maximum > 0 else np.inf
    z, y, x = (int(n) for n in place)
    origin, spacing = recorded.grid.origin, recorded.grid.spacing
    sigma = None
    if recorded.uncertainty is not None and again.uncertainty is not None:
        both = float(np.hypot(recorded.uncertainty[place], again.uncertainty[place]))
        sigma = largest / both if both > 0 else None
    return DoseRepeat(
        voxels=difference.size,
        identical=bool(np.array_equal(recorded.gray, again.gray)),
        largest_percent=share,
        at_mm=tuple(o + n * s for o, n, s in zip(origin, (x, y, z), spacing, strict=True)),  # type: ignore[arg-type]
        recorded=float(recorded.gray[place]),
        again=float(again.gray[place]),
        unit=recorded.unit,
        largest_sigma=sigma,
    )


def repeat_of_verdict(recorded: Mapping[str, Any], again: Mapping[str, Any]) -> VerdictRepeat:
    """Compare the outcomes of two ``verification.json``, rule by rule.

    Sentences and numbers are compared by :mod:`dosecalc.records.repeated_values`.
    """
    then, now = _by_rule(recorded["findings"]), _by_rule(again["findings"])
    changes = []
    if recorded["outcome"] != again["outcome"]:
        changes.append(f"verdict: {recorded['outcome']}, now {again['outcome']}")
    for rule in dict.fromkeys((*then, *now)):
        was, is_now = then.get(rule, ()), now.get(rule, ())
        if len(was) != len(is_now):
            changes.append(f"{rule}: {len(was)} findings, now {len(is_now)}")
            continue
        changes += [
            f"{rule}: {a['outcome']} ({a['sentence']}), now {b['outcome']} ({b['sentence']})"
            for a, b in zip(was, is_now, strict=True)
            if a["outcome"] != b["outcome"]
        ]
    return VerdictRepeat(
        str(recorded["outcome"]), str(again["outcome"]), len(again["findings"]), tuple(changes)
    )


def _by_rule(findings: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in findings:
        found.setdefault(str(one["rule"]), []).append(one)
    return found


def _same_grid(recorded: Dose, again: Dose) -> None:
    a, b = recorded.grid, again.grid
    for what in ("origin", "spacing"):
        apart = np.abs(np.subtract(getattr(a, what), getattr(b, what))).max()
        if a.shape != b.shape or apart > _OF_GRID_MM:
            raise GeometryError(
                f"the grid was {a.shape[::-1]} voxels of {a.spacing} mm from {a.origin} mm, now "
                f"{b.shape[::-1]} of {b.spacing} mm from {b.origin} mm"
            )
