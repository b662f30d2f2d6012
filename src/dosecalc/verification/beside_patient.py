"""Couch, bolus and fixation beside the patient, whose dose is nobody's.

Some planning systems write no dose outside of the body, others write it in couch and bolus. Both
are right, so what lies there is compared nowhere.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import GeometryError
from dosecalc.messages.findings import NO_TISSUE
from dosecalc.model import Grid, Structure
from dosecalc.patient.coverage import volume_fraction
from dosecalc.verification.inputs import Evidence

__all__ = ["BesidePatient", "beside_patient"]

# A voxel with so much of its volume in the body is the patient's; rounding takes no more.
_ALL = 0.999


class BesidePatient(NamedTuple):
    """What is drawn and is no part of the patient.

    voxels : (nz, ny, nx) bool, on the phantom's grid, or None where there is nothing
        Voxels with a part of it that do not lie in the body with all of their volume.
    names : of structures that are named so, or have half of their volume outside of the body
    """

    voxels: NDArray[np.bool_] | None = None
    names: frozenset[str] = frozenset()


def beside_patient(evidence: Evidence) -> BesidePatient:
    """Find couch, bolus and fixation: by their type where there is a body, else as named.

    A structure with such a type that is drawn in the body is looked at like any other.
    """
    grid = evidence.phantom.grid
    drawn = [one for one in evidence.structures or () if not one.is_empty]
    bodies = [one for one in drawn if _is_body(one, evidence.beside, evidence.apart)]
    wanted = [
        one
        for one in drawn
        if one not in bodies and (one.name in evidence.apart or (bodies and one.kind in NO_TISSUE))
    ]
    if not wanted:
        return BesidePatient()
    slices = None if evidence.ct is None else evidence.ct.grid.spacing[2]
    body = np.zeros(grid.shape, dtype=np.float32)
    for one in bodies:
        body = np.maximum(body, _fraction(one, grid, slices))
    voxels, names = np.zeros(grid.shape, dtype=bool), set()
    for one in wanted:
        part = _fraction(one, grid, slices)
        voxels |= (part > 0) & (body < _ALL)
        outside = 2 * float((part * (1 - body)).sum()) >= float(part.sum())
        if one.name in evidence.apart or outside:
            names.add(one.name)
    return BesidePatient(voxels if voxels.any() else None, frozenset(names))


def _is_body(one: Structure, beside: Collection[str], apart: Collection[str]) -> bool:
    return one.kind == "EXTERNAL" or (one.name in beside and one.name not in apart)


def _fraction(one: Structure, grid: Grid, slices: float | None) -> NDArray[np.float32]:
    """Fraction of each voxel in a structure; none of one that has no thickness."""
    try:
        return volume_fraction(one, grid, plane_spacing=one.slice_spacing or slices)
    except GeometryError:
        return np.zeros(grid.shape, dtype=np.float32)
