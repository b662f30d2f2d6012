"""Whether the boluses that a plan puts into its beams are in the phantom."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dosecalc.errors import InputError
from dosecalc.model import Plan

__all__ = ["check_bolus"]


def check_bolus(
    plan: Plan, present: Collection[int], names: Mapping[int, str] | None = None
) -> None:
    """Refuse beams whose bolus is not in the phantom, and beams that differ in their bolus.

    Parameters
    ----------
    plan : Plan
    present : collection of int
        ROI numbers of the boluses in the phantom.
    names : mapping of ROI number to name, optional
        Of all structures, for the message.

    Raises
    ------
    InputError
        A bolus is missing; or a beam without bolus would be calculated through that of another,
        because one calculation has one phantom for all beams.
    """
    for beam in plan.beams:
        for number in beam.bolus:
            if number in present:
                continue
            where = f"beam {beam.number} ({beam.name}) is planned with the bolus ROI {number}"
            if names is not None and number not in names:
                raise InputError(
                    f"{where}, which the structure set does not have; give the structure set that "
                    "the plan was made on"
                )
            called = "" if names is None else f", {names[number]!r}"
            word = "ROI" if names is None else repr(names[number])
            raise InputError(f"{where}{called}; name it with --bolus {word}")
    kinds: dict[frozenset[int], list[int]] = {}
    for beam in plan.beams:
        kinds.setdefault(frozenset(beam.bolus), []).append(beam.number)
    if len(kinds) > 1:
        listed = "; ".join(
            f"beams {', '.join(str(n) for n in numbers)}: "
            + (f"ROI {', '.join(str(n) for n in sorted(kind))}" if kind else "none")
            for kind, numbers in kinds.items()
        )
        raise InputError(
            f"the beams differ in their bolus ({listed}), and one calculation has one phantom for "
            "all beams; calculate them apart, leaving the others out with --without-beam, and add "
            "the doses"
        )
