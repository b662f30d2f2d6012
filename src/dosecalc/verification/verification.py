"""All that an independent calculation says of a plan: what is reported and what is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.analysis.dvh import Dvh
from dosecalc.analysis.gamma import GammaResult
from dosecalc.analysis.metrics import PlanIndices
from dosecalc.messages.findings import Finding, Outcome, combined
from dosecalc.messages.message import Message
from dosecalc.model import CtImage, Dose, Phantom, Plan, Structure, StructureSet

__all__ = [
    "BeamRow",
    "GoalRow",
    "Largest",
    "PointRow",
    "StructureRow",
    "Verification",
]

Point = tuple[float, float, float]


@dataclass(frozen=True)
class BeamRow:
    """One beam, its doses at its own point (dose specification point, else isocentre), Gy.

    Doses are those of one fraction; None where the point lies outside a grid or there is no
    such dose. `by_hand_gy` is the table-based check of the monitor units.
    """

    number: int
    name: str
    machine: str
    quality: str
    technique: str
    mu: float
    gantry: str
    collimator: str
    couch: str
    point: Point
    stated_gy: float | None
    reference_gy: float | None
    calculated_gy: float | None
    by_hand_gy: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class PointRow:
    """A named point (isocentre, prescription point) and its doses of the whole plan, Gy."""

    label: Message | str
    point: Point
    reference_gy: float | None
    calculated_gy: float | None

    @property
    def name(self) -> str:
        """Name of the point, in English."""
        return str(self.label)


@dataclass(frozen=True)
class StructureRow:
    """A structure and its histograms in both doses; None where it has no dose there.

    kind : {"target", "organ", "external", "other"}
    reference_fit, calculated_fit : how the doses fit a target that has a prescription
    otherwise : the calculated dose to water where `calculated` is to medium, and the other way
        round, where nobody says which of both the reference is and it makes a difference
    """

    structure: Structure
    kind: str
    reference: Dvh | None
    calculated: Dvh | None
    remark: str = ""
    reference_fit: PlanIndices | None = None
    calculated_fit: PlanIndices | None = None
    otherwise: Dvh | None = None


@dataclass(frozen=True)
class GoalRow:
    """One goal of the template, such as "PTV D95 >= 57 Gy", and what both doses make of it."""

    structure: str
    goal: Message
    unit: str
    limit: float
    reference: float | None
    calculated: float | None
    outcome: Outcome
    source: str = ""

    @property
    def text(self) -> str:
        """The goal, in English."""
        return str(self.goal)


@dataclass(frozen=True)
class Largest:
    """The largest difference of dose, calculated less reference, among points that count."""

    point: Point
    reference_gy: float
    calculated_gy: float
    percent_of_prescription: float
    structures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """An independent calculation of a plan beside the planning system's dose.

    Parameters
    ----------
    label : str
        Patient and plan.
    plan : Plan
    phantom : Phantom
    ct : CtImage or None
    structures : StructureSet or None
    calculated : Dose
        Of the whole plan, Gy, on the phantom's grid.
    reference : Dose or None
        The planning system's, on its own grid.
    gamma : GammaResult or None
        At the reference's voxels.
    prescribed_gy : float
        Prescription of the whole plan, which percentages are of; the largest of several.
    prescription : str
        In words: Gy, fractions, to what.
    findings : tuple of Finding
    largest : Largest or None
    beams, points, rows, goals : tuples
    others : mapping of engine name to Dose
        Further engines, side by side.
    not_checked, shared_inputs, caveats : tuples of str
        What no rule looked at; what was taken from the planning system and so is not
        independent; what limits what was looked at.
    record : mapping
        The run record (plain JSON values).
    apart : (nz, ny, nx) bool, on the phantom's grid, or None
        Couch, bolus and fixation beside the patient, which are compared nowhere.
    """

    label: str
    plan: Plan
    phantom: Phantom
    ct: CtImage | None
    structures: StructureSet | None
    calculated: Dose
    reference: Dose | None
    gamma: GammaResult | None
    prescribed_gy: float
    prescription: str
    findings: tuple[Finding, ...]
    largest: Largest | None = None
    beams: tuple[BeamRow, ...] = ()
    points: tuple[PointRow, ...] = ()
    rows: tuple[StructureRow, ...] = ()
    goals: tuple[GoalRow, ...] = ()
    others: Mapping[str, Dose] = field(default_factory=dict)
    not_checked: tuple[str, ...] = ()
    shared_inputs: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    apart: NDArray[np.bool_] | None = None

    @property
    def outcome(self) -> Outcome:
        """The worst of all findings."""
        return combined(self.findings)
