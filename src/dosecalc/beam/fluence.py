"""What leaves the treatment head: photon fluence of one stationary gantry position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model import RadialProfile, Spectrum
from dosecalc.model.checks import read_only

__all__ = ["Fluence"]


@dataclass(frozen=True)
class Fluence:
    """Photons per solid angle leaving a point source, mapped on the isocentre plane.

    The photon fluence at a point whose ray from `source` crosses the plane at
    (u, v) and whose distance from `source` is r is, without any matter between,
    ``values(u, v) * (sad_mm / r)**2``.

    Parameters
    ----------
    source : (3,) float64, mm, LPS
    axes : (3, 3) float64
        Rows are the unit vectors, in LPS, of u, v and of the beam direction w
        (from source to isocentre). u and v are the x and y axes of the IEC beam
        limiting device frame.
    sad_mm : float
        Distance from the source to the plane of the map, which is normal to w.
    values : (nv, nu) float32
        Mean over each pixel. For a machine with MU: MU times fluence relative to
        the open field's axis. For a bare point source: 1 inside the field.
    u0, v0 : float, mm
        Outer lower edges of the map; outside it the fluence is zero.
    pixel_u, pixel_v : float, mm
    spectrum : Spectrum
        On the axis.
    softening : RadialProfile or None
        See `Machine.softening`.
    """

    source: NDArray[np.float64]
    axes: NDArray[np.float64]
    sad_mm: float
    values: NDArray[np.float32]
    u0: float
    v0: float
    pixel_u: float
    pixel_v: float
    spectrum: Spectrum
    softening: RadialProfile | None = None

    def __post_init__(self) -> None:
        source = read_only(self.source, np.float64, what="source position", ndim=1)
        axes = read_only(self.axes, np.float64, what="beam axes", ndim=2)
        values = read_only(self.values, np.float32, what="fluence map", ndim=2)
        if source.shape != (3,) or axes.shape != (3, 3):
            raise InputError(f"source {source.shape} and axes {axes.shape} must be (3,) and (3, 3)")
        if not np.allclose(axes @ axes.T, np.eye(3), atol=1e-9):
            raise InputError("beam axes are not orthonormal")
        if float(values.min(initial=0.0)) < 0:
            raise InputError("fluence map has negative values")
        for name, array in (("source", source), ("axes", axes), ("values", values)):
            object.__setattr__(self, name, array)
