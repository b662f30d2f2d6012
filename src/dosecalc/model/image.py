"""A CT volume as read from a scanner, before any conversion to density."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model.checks import read_only
from dosecalc.model.grid import Grid
from dosecalc.model.plan import PatientPosition

__all__ = ["CtImage"]


@dataclass(frozen=True)
class CtImage:
    """Hounsfield units on a grid, with what identifies the scan.

    Parameters
    ----------
    grid : Grid
    hu : (nz, ny, nx) float32, HU
        Rescaled per slice.
    position : PatientPosition
        How the patient lay; the grid is in patient coordinates whatever it is.
    slice_uids : tuple of str
        SOP Instance UIDs, in order of rising z.
    """

    grid: Grid
    hu: NDArray[np.float32]
    position: PatientPosition
    patient_id: str = ""
    patient_name: str = ""
    study_uid: str = ""
    series_uid: str = ""
    frame_of_reference_uid: str = ""
    slice_uids: tuple[str, ...] = field(default=())
    manufacturer: str = ""
    model_name: str = ""
    kvp: float | None = None
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        hu = read_only(self.hu, np.float32, what="CT numbers", ndim=3)
        if hu.shape != self.grid.shape:
            raise InputError(f"CT numbers have shape {hu.shape}, their grid {self.grid.shape}")
        object.__setattr__(self, "hu", hu)
