"""Beam and voxel grid in the form that compiled code takes."""

from __future__ import annotations

import numpy as np

from dosecalc.beam import Fluence
from dosecalc.core.terma import BeamGeometry
from dosecalc.model import Grid

__all__ = ["beam_geometry"]


def beam_geometry(fluence: Fluence, grid: Grid) -> BeamGeometry:
    """Beam and voxel grid in the form that compiled code takes."""
    rows, columns = fluence.values.shape
    integral = np.zeros((rows + 1, columns + 1))
    integral[1:, 1:] = fluence.values.astype(np.float64).cumsum(axis=0).cumsum(axis=1)
    return BeamGeometry(
        source=fluence.source.copy(),
        axes=fluence.axes.copy(),
        sad=float(fluence.sad_mm),
        integral=integral * fluence.pixel_u * fluence.pixel_v,
        u0=float(fluence.u0),
        v0=float(fluence.v0),
        pixel_u=float(fluence.pixel_u),
        pixel_v=float(fluence.pixel_v),
        origin=np.array(grid.origin),
        spacing=np.array(grid.spacing),
    )
