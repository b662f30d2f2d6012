"""Dose to water and dose to medium: doses are compared in one convention, or in both.

They are up to 11 % apart in compact bone, metal and air, which is no error of either. DICOM has no
attribute that says which of the two an RTDOSE holds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dosecalc.model import Dose, Phantom
from dosecalc.verification.inputs import Evidence
from dosecalc.verification.where import stopping_ratio

__all__ = ["in_the_other", "is_doubtful", "like_with_like"]

_OTHER = {"medium": "water", "water": "medium"}


def is_doubtful(calculated: Dose, reference: Dose | None) -> bool:
    """Whether nobody says that both doses are to the same."""
    return reference is not None and (
        "unknown" in (calculated.dose_to, reference.dose_to)
        or calculated.dose_to != reference.dose_to
    )


def in_the_other(dose: Dose, phantom: Phantom) -> Dose:
    """Return dose to water as dose to medium, and the other way round (Bragg and Gray).

    A dose of which nobody says what it is to is taken for dose to medium.
    """
    ratio = stopping_ratio(phantom, dose.grid)
    factor = 1 / ratio if dose.dose_to == "water" else ratio
    spread = dose.uncertainty
    return replace(
        dose,
        gray=(dose.gray * factor).astype(np.float32),
        uncertainty=None if spread is None else (spread * factor).astype(np.float32),
        dose_to=_OTHER.get(dose.dose_to, "water"),
    )


def like_with_like(evidence: Evidence) -> Evidence:
    """Bring the calculated doses to what the reference says it is to, with a caveat."""
    reference, calculated = evidence.reference, evidence.calculated
    if (
        reference is None
        or "unknown" in (reference.dose_to, calculated.dose_to)
        or reference.dose_to == calculated.dose_to
    ):
        return evidence

    def turned(dose: Dose) -> Dose:
        return in_the_other(dose, evidence.phantom) if dose.dose_to != reference.dose_to else dose

    caveat = (
        f"the reference is dose to {reference.dose_to}: the calculated dose to "
        f"{calculated.dose_to} was turned into it by the ratio of stopping powers"
    )
    return replace(
        evidence,
        calculated=turned(calculated),
        beam_doses={n: turned(dose) for n, dose in evidence.beam_doses.items()},
        beam_parts={
            n: tuple((beam, turned(dose)) for beam, dose in parts)
            for n, parts in evidence.beam_parts.items()
        },
        others={name: turned(dose) for name, dose in evidence.others.items()},
        caveats=(*evidence.caveats, caveat),
    )
