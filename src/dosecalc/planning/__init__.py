"""Scripted planning: open a case, put and shape beams, optimise, calculate, normalise, save."""

from dosecalc.planning.case import PlanningCase, open_case
from dosecalc.planning.objectives import Objective, objective_value
from dosecalc.planning.optimise import OptimisedFluence, optimise_fluence
from dosecalc.planning.plans import (
    PlanDose,
    calculate,
    dose_quantity,
    make_plan,
    normalised,
    recalculate,
    scaled,
)
from dosecalc.planning.saving import save
from dosecalc.planning.sequence import step_and_shoot
from dosecalc.planning.shaping import conformal_beam

__all__ = [
    "Objective",
    "OptimisedFluence",
    "PlanDose",
    "PlanningCase",
    "calculate",
    "conformal_beam",
    "dose_quantity",
    "make_plan",
    "normalised",
    "objective_value",
    "open_case",
    "optimise_fluence",
    "recalculate",
    "save",
    "scaled",
    "step_and_shoot",
]
