"""Plans on a case: make, calculate, change and recalculate, normalise."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.analysis.dvh import Dvh, structure_dvh
from dosecalc.beam import check_bolus
from dosecalc.engines import monte_carlo
from dosecalc.errors import InputError
from dosecalc.model import Beam, Dose, Machine, Phantom, Plan, Prescription
from dosecalc.planning.case import PlanningCase
from dosecalc.verification.checks.beam_geometry import beam_hits, missing_beams, patient_mask
from dosecalc.workflow.engines import COMPUTE, settings_of_beam

__all__ = [
    "PlanDose",
    "calculate",
    "dose_quantity",
    "make_plan",
    "normalised",
    "recalculate",
    "refuse_missing",
    "scaled",
]


@dataclass(frozen=True)
class PlanDose:
    """A plan and its dose, beam by beam.

    Parameters
    ----------
    plan : Plan
    beams : mapping of beam number to Dose
        Of one fraction, Gy.
    engine : str
    settings : object
        The engine's; None for its defaults.
    seconds : float
        That the calculation took.
    """

    plan: Plan
    beams: Mapping[int, Dose]
    engine: str
    settings: Any = None
    seconds: float = 0.0

    def __repr__(self) -> str:
        return f"PlanDose({self.plan!r}, {len(self.beams)} beam doses by {self.engine})"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self.plan))}</p>{self.fraction._repr_html_()}"

    @property
    def fraction(self) -> Dose:
        """Dose of one fraction: the sum of the beams."""
        numbers = [beam.number for beam in self.plan.beams]
        return Dose.sum_of((self.beams[n] for n in numbers), names=numbers)

    @property
    def total(self) -> Dose:
        """Dose of all fractions."""
        if self.plan.fractions is None:
            raise InputError("the plan does not say how many fractions there are")
        return self.fraction.scaled(self.plan.fractions, summation="PLAN")

    def dvh(self, case: PlanningCase, name: str) -> Dvh:
        """Histogram of a structure in the dose of all fractions."""
        return structure_dvh(case[name], self.total)


def make_plan(
    case: PlanningCase,
    beams: Sequence[Beam],
    *,
    target: str,
    dose_gy: float,
    fractions: int,
    label: str = "PLAN",
) -> Plan:
    """Put beams together to a plan that prescribes a dose (all fractions) to a target."""
    if not beams:
        raise InputError("a plan needs at least one beam")
    return Plan(
        beams=tuple(beams),
        position=case.ct.position,
        fractions=fractions,
        prescriptions=(Prescription(target, dose_gy, "TARGET", case[target].number),),
        label=label,
        structure_set_uid=case.structures.uid,
        frame_of_reference_uid=case.ct.frame_of_reference_uid,
    )


def calculate(
    case: PlanningCase,
    plan: Plan,
    engine: str = "collapsed-cone",
    settings: Any = None,
    *,
    progress: Callable[[str, int, int], None] | None = None,
    accept_missing_beams: bool = False,
) -> PlanDose:
    """Calculate every beam of a plan.

    Parameters
    ----------
    engine : {"pencil-beam", "collapsed-cone", "monte-carlo"}
    settings : settings of that engine, or None for its defaults
    progress : callable(text, done, total), optional
        See the engines.
    accept_missing_beams : bool
        Calculate beams that do not meet the patient all the same.

    Raises
    ------
    InputError
        A beam does not meet the patient, or the engine cannot calculate the plan.
    """
    before = PlanDose(plan, {}, engine, settings)
    return recalculate(
        case, before, plan, progress=progress, accept_missing_beams=accept_missing_beams
    )


def recalculate(
    case: PlanningCase,
    before: PlanDose,
    plan: Plan,
    *,
    progress: Callable[[str, int, int], None] | None = None,
    accept_missing_beams: bool = False,
) -> PlanDose:
    """Calculate a changed plan, but only the beams that changed.

    Of a beam that differs in its MU alone the dose goes with the MU. Parameters and errors are
    those of `calculate`.
    """
    if before.engine not in COMPUTE:
        raise InputError(f"no engine is named {before.engine!r}; there are {', '.join(COMPUTE)}")
    old = {beam.number: beam for beam in before.plan.beams if beam.number in before.beams}
    if plan.position is not before.plan.position:
        old = {}
    check_bolus(plan, case.phantom.bolus, {s.number: s.name for s in case.structures})
    start, doses = time.perf_counter(), {}
    for beam in plan.beams:
        known = old.get(beam.number)
        if known is not None and known.mu > 0 and _same_but_mu(known, beam):
            doses[beam.number] = before.beams[beam.number].scaled(beam.mu / known.mu)
            continue
        alone = replace(plan, beams=(beam,))
        if not accept_missing_beams:
            body = case.structures[case.choices["body"]]
            patient = patient_mask(case.phantom, body)
            refuse_missing(alone, {beam.number: case.machine}, case.phantom, patient)
        compute, settings = COMPUTE[before.engine], _settings_of(beam, before)
        doses[beam.number] = compute(case.phantom, alone, case.machine, settings, progress)
    seconds = time.perf_counter() - start
    return PlanDose(plan, doses, before.engine, before.settings, seconds)


def refuse_missing(
    plan: Plan, machines: Mapping[int, Machine], phantom: Phantom, patient: NDArray[np.bool_]
) -> None:
    """Refuse beams beside the patient: no engine complains of a dose of zero.

    Parameters
    ----------
    plan, machines, phantom
    patient : (nz, ny, nx) bool
        Voxels of the patient.

    Raises
    ------
    InputError
        A beam does not meet the patient.
    """
    hits = beam_hits(plan, machines, phantom, patient)
    missing = "; ".join(map(str, missing_beams(plan, hits)))
    if missing:
        raise InputError(
            f"{missing}. Check isocentre, couch and gantry angles, or give "
            "accept_missing_beams=True to calculate all the same"
        )


def _settings_of(beam: Beam, before: PlanDose) -> Any:
    """Return the settings of one beam; only Monte Carlo has such of its own."""
    settings = before.settings
    if settings is None and before.engine == "monte-carlo":
        settings = monte_carlo.MonteCarloSettings()
    return settings_of_beam(settings, beam.number)


def _same_but_mu(one: Beam, other: Beam) -> bool:
    """Whether beams are equal but for MU, names and notes."""
    for name in ("energy_mv", "fluence_mode", "sad_mm", "leaf_axis", "bolus"):
        if getattr(one, name) != getattr(other, name):
            return False
    if len(one.control_points) != len(other.control_points):
        return False
    if not _equal(one.leaf_boundaries, other.leaf_boundaries):
        return False
    return all(
        _equal(vars(a)[key], vars(b)[key])
        for a, b in zip(one.control_points, other.control_points, strict=True)
        for key in vars(a)
    )


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


def scaled(planned: PlanDose, factor: float) -> PlanDose:
    """Multiply the MU of all beams, and the dose with them."""
    if not 0 < factor < math.inf:
        raise InputError(f"MU times {factor}: a finite factor above zero is needed")
    beams = tuple(replace(b, mu=b.mu * factor) for b in planned.plan.beams)
    doses = {n: d.scaled(factor) for n, d in planned.beams.items()}
    return replace(planned, plan=replace(planned.plan, beams=beams, uid=""), beams=doses)


def normalised(
    case: PlanningCase, planned: PlanDose, structure: str, quantity: str, dose_gy: float
) -> PlanDose:
    """Scale the MU so that a structure gets a dose of all fractions.

    Parameters
    ----------
    structure : str
    quantity : str
        "mean", "max", or "D" and a percentage of the volume: "D95".
    dose_gy : float
    """
    if not 0 < dose_gy < math.inf:
        raise InputError(f"{quantity} of {structure!r} to {dose_gy} Gy: a finite dose is needed")
    found = dose_quantity(planned.dvh(case, structure), quantity)
    if not found > 0:
        raise InputError(f"{structure!r} has no dose that could be scaled to {dose_gy:g} Gy")
    return scaled(planned, dose_gy / found)


def dose_quantity(dvh: Dvh, quantity: str) -> float:
    """Read "mean", "max" or "D95" (any percentage) from a histogram, Gy."""
    word = quantity.strip().lower()
    if word == "mean":
        return dvh.mean_gy
    if word == "max":
        return dvh.dose_at_volume(0)
    try:
        return dvh.dose_at_volume(float(word.removeprefix("d").removesuffix("%")))
    except ValueError:
        raise InputError(f"{quantity!r} is not 'mean', 'max' or a D such as 'D95'") from None
