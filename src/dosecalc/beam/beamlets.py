"""Beamlets: small equal rectangles of the isocentre plane whose weights make up a field."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, erf, exp, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam.fluence import Fluence
from dosecalc.beam.frames import beam_axes, source_position
from dosecalc.beam.head import edge_blur
from dosecalc.errors import InputError
from dosecalc.model import Machine, PatientPosition, Structure

__all__ = ["BeamletGrid", "beamlet_fluence", "contour_points", "target_beamlets"]


@dataclass(frozen=True)
class BeamletGrid:
    """Beamlets of one gantry position.

    Parameters
    ----------
    position : PatientPosition
    gantry_deg, collimator_deg, couch_deg : float, IEC 61217
    isocentre : x, y, z, mm, LPS
    u0, v0 : float, mm
        Middle of the first beamlet in the isocentre plane, beam limiting device axes.
    size_u, size_v : float, mm
    chosen : (nv, nu) bool
        Which of the beamlets there are.
    """

    position: PatientPosition
    gantry_deg: float
    collimator_deg: float
    couch_deg: float
    isocentre: tuple[float, float, float]
    u0: float
    v0: float
    size_u: float
    size_v: float
    chosen: NDArray[np.bool_]

    def __post_init__(self) -> None:
        chosen = np.array(self.chosen, dtype=np.bool_)
        if chosen.ndim != 2 or not chosen.any():
            raise InputError("a beamlet grid needs two axes and at least one beamlet")
        if not (self.size_u > 0 and self.size_v > 0):
            raise InputError(
                f"beamlets of {self.size_u:g} x {self.size_v:g} mm; sizes must be above zero"
            )
        chosen.flags.writeable = False
        object.__setattr__(self, "chosen", chosen)

    @property
    def count(self) -> int:
        """Number of beamlets."""
        return int(np.count_nonzero(self.chosen))

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Middles along u (nu,) and v (nv,), mm."""
        nv, nu = self.chosen.shape
        u = self.u0 + self.size_u * np.arange(nu, dtype=np.float64)
        return u, self.v0 + self.size_v * np.arange(nv, dtype=np.float64)


def contour_points(structure: Structure) -> NDArray[np.float64]:
    """Corners of all contours of a structure, (n, 3) x, y, z.

    `dosecalc.patient.coverage.corner_points` also has points where a plane is missing.
    """
    return np.concatenate(
        [np.column_stack((c.points, np.full(len(c.points), c.z))) for c in structure.contours]
    )


def target_beamlets(
    target: NDArray[np.float64],
    position: PatientPosition,
    machine: Machine,
    *,
    isocentre: tuple[float, float, float],
    gantry_deg: float,
    collimator_deg: float = 0.0,
    couch_deg: float = 0.0,
    size_mm: float = 5.0,
    margin_mm: float = 5.0,
) -> BeamletGrid:
    """Return the beamlets, on multiples of their size, that come within a margin of a target.

    Every row of beamlets is whole from the first to the last that do.

    Parameters
    ----------
    target : (n, 3) x, y, z, mm
        Points of it, no further apart than beamlets are wide: corners of contours
        (`contour_points`) or middles of voxels.
    position : PatientPosition
    machine : Machine
    isocentre : x, y, z, mm
    gantry_deg, collimator_deg, couch_deg : float
    size_mm, margin_mm : float
        In the isocentre plane.
    """
    axes = beam_axes(position, gantry_deg, collimator_deg, couch_deg)
    u, v, w = axes @ (target - np.array(isocentre)).T
    seen = np.stack((u, v)) * machine.sad_mm / (machine.sad_mm + w)
    low = np.floor((seen.min(axis=1) - margin_mm) / size_mm).astype(int)
    high = np.ceil((seen.max(axis=1) + margin_mm) / size_mm).astype(int)
    edges_u, edges_v = (size_mm * np.arange(a, b + 1) for a, b in zip(low, high, strict=True))
    chosen = np.zeros((edges_v.size - 1, edges_u.size - 1), np.bool_)
    for n, v_low in enumerate(edges_v[:-1]):
        beside = np.maximum(np.maximum(v_low - seen[1], seen[1] - v_low - size_mm), 0.0)
        near = beside < margin_mm
        if near.any():
            reach = np.sqrt(margin_mm**2 - beside[near] ** 2)
            left, right = (seen[0][near] - reach).min(), (seen[0][near] + reach).max()
            chosen[n] = (edges_u[:-1] < right) & (edges_u[1:] > left)
    return BeamletGrid(
        position=position,
        gantry_deg=gantry_deg,
        collimator_deg=collimator_deg,
        couch_deg=couch_deg,
        isocentre=isocentre,
        u0=float(edges_u[0] + size_mm / 2),
        v0=float(edges_v[0] + size_mm / 2),
        size_u=size_mm,
        size_v=size_mm,
        chosen=chosen,
    )


def beamlet_fluence(grid: BeamletGrid, machine: Machine, pixel_mm: float) -> Fluence:
    """Fluence of a single beamlet on the axis, per MU, blurred by the machine's sources.

    Edges are those of the leaves (of the jaws where there are none). The beamlet is an odd
    number of pixels wide, so that its middle is that of a pixel. Nothing leaks.
    """
    lines = []
    sizes = grid.size_u, grid.size_v
    parts = [2 * ceil((size / pixel_mm - 1) / 2 - 1e-6) + 1 for size in sizes]
    sigmas = [edge_blur(source, machine) for source in machine.sources]
    widest = max((max(pair) for pair in sigmas), default=0.0)
    for axis, (size, part) in enumerate(zip(sizes, parts, strict=True)):
        pixel = size / part
        half = part // 2 + ceil(4 * widest / pixel)
        edges = pixel * (np.arange(-half, half + 2, dtype=np.float64) - 0.5)
        lines.append([_blurred(edges, size / 2, pair[axis]) for pair in sigmas])
    values = sum(
        source.weight * np.outer(v, u) for source, u, v in zip(machine.sources, *lines, strict=True)
    )
    axes = beam_axes(grid.position, grid.gantry_deg, grid.collimator_deg, grid.couch_deg)
    pixel_u, pixel_v = sizes[0] / parts[0], sizes[1] / parts[1]
    nv, nu = np.shape(values)
    return Fluence(
        source=source_position(grid.isocentre, axes, machine.sad_mm),
        axes=axes,
        sad_mm=machine.sad_mm,
        values=np.asarray(values, np.float32),
        u0=-nu * pixel_u / 2,
        v0=-nv * pixel_v / 2,
        pixel_u=pixel_u,
        pixel_v=pixel_v,
        spectrum=machine.spectrum,
        softening=machine.softening,
    )


def _blurred(edges: NDArray[np.float64], half: float, sigma: float) -> NDArray[np.float64]:
    """Mean over pixels of an interval -half to half, blurred by a Gaussian; its exact integral."""
    if sigma <= 0:
        covered = np.clip(edges, -half, half)
        return np.asarray(np.diff(covered) / np.diff(edges))

    def integral(x: float) -> float:
        """Integral of a step at zero, blurred, from minus infinity."""
        t = x / sigma
        return float(sigma * (t / 2 * (1 + erf(t / sqrt(2))) + exp(-t * t / 2) / sqrt(2 * pi)))

    summed = np.array([integral(x + half) - integral(x - half) for x in edges])
    return np.asarray(np.diff(summed) / np.diff(edges))
