"""Static fields shaped to a target by the leaves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam import beam_axes
from dosecalc.errors import InputError
from dosecalc.model import Beam, Machine, PatientPosition, Structure
from dosecalc.patient.coverage import centroid, corner_points

__all__ = ["conformal_beam"]

_JAW_STEP_MM = 1.0
_LEAF_STEP_MM = 0.1


def conformal_beam(
    target: Structure,
    machine: Machine,
    *,
    number: int,
    gantry_deg: float,
    mu: float,
    margin_mm: float,
    position: PatientPosition,
    collimator_deg: float = 0.0,
    couch_deg: float = 0.0,
    isocentre: tuple[float, float, float] | None = None,
    dose_gy: float | None = None,
) -> Beam:
    """Return a static beam shaped to a target.

    Leaves stand `margin_mm` (in the isocentre plane) outside the target's outline as
    seen from the source, at every height of each leaf; jaws on the box around that. The
    isocentre is the middle of the target if none is given. `dose_gy` is what one fraction of
    the field is planned to give at the isocentre; it is stated in the plan and changes nothing.

    Raises
    ------
    InputError
        The machine has no leaves that travel along x.
    """
    if machine.mlc is None or machine.mlc.axis != "x":
        raise InputError(f"machine {machine.name!r} has no leaves along x to shape a field with")
    x, y, z = centroid(target) if isocentre is None else isocentre
    isocentre = (round(x, 2), round(y, 2), round(z, 2))
    axes = beam_axes(position, gantry_deg, collimator_deg, couch_deg)
    outline = _seen_from_source(target, isocentre, machine.sad_mm, axes)
    edges = machine.mlc.boundaries_mm
    leaves = _leaf_tips(outline, edges, margin_mm)
    low = np.floor((outline.min(axis=0) - margin_mm) / _JAW_STEP_MM) * _JAW_STEP_MM
    high = np.ceil((outline.max(axis=0) + margin_mm) / _JAW_STEP_MM) * _JAW_STEP_MM
    jaws = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    beam = Beam.static(
        machine,
        mu=mu,
        isocentre=isocentre,
        jaws_x=None if machine.jaws_x is None else jaws[0],
        jaws_y=None if machine.jaws_y is None else jaws[1],
        leaves=leaves,
        gantry_deg=gantry_deg,
        collimator_deg=collimator_deg,
        couch_deg=couch_deg,
        number=number,
    )
    if dose_gy is None:
        return beam
    return replace(beam, prescribed_dose_gy=dose_gy, dose_point=isocentre)


def _seen_from_source(
    target: Structure,
    centre: tuple[float, float, float],
    sad_mm: float,
    axes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Corners of all contours projected on the isocentre plane, (n, 2): x and y of the leaves."""
    u, v, w = axes @ (corner_points(target) - np.array(centre)).T
    return np.asarray(np.column_stack((u, v)) * (sad_mm / (sad_mm + w))[:, None])


def _leaf_tips(
    outline: NDArray[np.float64], edges: NDArray[np.float64], margin: float
) -> NDArray[np.float64]:
    """Leaf tips (2, n), mm: around discs of radius `margin` about all corners."""
    tips = np.zeros((2, edges.size - 1))
    u, v = outline.T
    for leaf, (low, high) in enumerate(pairwise(edges)):
        away = np.maximum(np.maximum(low - v, v - high), 0.0)
        near = away < margin
        if near.any():
            reach = np.sqrt(margin**2 - away[near] ** 2)
            tips[:, leaf] = (u[near] - reach).min(), (u[near] + reach).max()
    steps = np.stack((np.floor(tips[0] / _LEAF_STEP_MM), np.ceil(tips[1] / _LEAF_STEP_MM)))
    return np.asarray(np.round(steps * _LEAF_STEP_MM, 1))
