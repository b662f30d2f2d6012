"""Directions of the collapsed cone and the amplitudes of its kernels along them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import pi

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import gammainc

from dosecalc.core.superposition import STAGES, TERMS
from dosecalc.data.deposition import EnergyDepositionKernels

__all__ = ["UPRIGHT", "ConeTable", "TiltGrid", "make_cone_table", "tilt_grid"]

# Stage rates tried for each ring of cones, in units of 1 / (mean distance of deposition).
_RATE_FACTORS = (1.4, 1.7, 2.0, 2.4, 2.8, 3.3)
_SUBDIVISIONS = 16


@dataclass(frozen=True)
class TiltGrid:
    """Ray directions for which amplitudes are tabulated: nodes in the tangents u/w and v/w.

    Kernel axes follow the diverging rays, so a cone of fixed direction sees a
    kernel tilted by the ray of each voxel. Within a cell amplitudes are linear.
    That the tilt changes continuously matters more than its size: where it does not, the
    electrons of neighbouring rays do not diverge, and the dose is wrong by twice
    their range over the distance from the source.

    first_u, first_v : tangents of the first node
    step : between nodes
    cells_u, cells_v : number of cells, one less than nodes
    """

    first_u: float
    first_v: float
    step: float
    cells_u: int
    cells_v: int

    def rays(self) -> NDArray[np.float64]:
        """Give the unit vectors (cells_v + 1, cells_u + 1, 3) in u, v, w."""
        u = self.first_u + self.step * np.arange(self.cells_u + 1)
        v = self.first_v + self.step * np.arange(self.cells_v + 1)
        vv, uu = np.meshgrid(v, u, indexing="ij")
        rays = np.stack([uu, vv, np.ones_like(uu)], axis=-1)
        return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True))


# For energy that comes from everywhere: one cell, all of whose nodes are straight ahead.
UPRIGHT = TiltGrid(0.0, 0.0, 0.0, 1, 1)


@dataclass(frozen=True)
class ConeTable:
    """Transport directions in beam coordinates with their stage rates and amplitudes.

    Parameters
    ----------
    directions : (n, 3) float64
        Mean direction of each cone in u, v, w. Shorter than 1, because
        directions within a cone differ: a line carries energy by the mean
        displacement of its cone.
    rates : (n,) float64, 1/cm of water
    amplitudes : (n, cells, STAGES, TERMS) float32
        For the released energy T of the first channel times 1, a and b (the
        place within the cell, 0 to 1, along u and v), then for the second channel.
    local : (channels,) float64
        Share absorbed where it is released (with a minus sign: taken away there
        because the fit would deposit it too early).
    """

    directions: NDArray[np.float64]
    rates: NDArray[np.float64]
    amplitudes: NDArray[np.float32]
    local: NDArray[np.float64]

    def split(self, cosine: float) -> tuple[ConeTable, ConeTable]:
        """Part the cones: mean direction within arccos(cosine) of the beam, and the others."""
        ahead = self.directions[:, 2] >= cosine

        def part(chosen: NDArray[np.bool_]) -> ConeTable:
            amplitudes = np.ascontiguousarray(self.amplitudes[chosen])
            return ConeTable(self.directions[chosen], self.rates[chosen], amplitudes, self.local)

        return part(ahead), part(~ahead)


def tilt_grid(
    lower: tuple[float, float], upper: tuple[float, float], step_deg: float = 3.0
) -> TiltGrid:
    """Tilt grid over rays with tangents between `lower` and `upper` (u, v), nodes on multiples."""
    step = float(np.tan(np.radians(step_deg)))
    first = [int(np.floor(low / step)) for low in lower]
    cells = [max(1, int(np.ceil(high / step)) - n) for high, n in zip(upper, first, strict=True)]
    return TiltGrid(first[0] * step, first[1] * step, step, cells[0], cells[1])


@dataclass(frozen=True)
class _Ring:
    """Cones between two polar angles, evenly spread in azimuth."""

    low: float
    high: float
    count: int


def _rings(directions: int) -> list[_Ring]:
    """Divide the sphere into about `directions` cones, finer towards the beam direction.

    Polar edges grow with the power 1.7 of their number, because most energy
    goes forward. The number of cones per ring is a multiple of four, which keeps the
    set symmetric about the u and v axes.
    """
    n = max(6, round(0.95 * directions**0.5))
    edges = pi * (np.arange(n + 1) / n) ** 1.7
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    share = np.sin(middle) / width
    share[0] = 0.0
    counts = (directions - 1) * share / share.sum()
    rings = [_Ring(0.0, float(edges[1]), 1)]
    for i in range(1, n):
        count = 4 * max(1, round(counts[i] / 4))
        rings.append(_Ring(float(edges[i]), float(edges[i + 1]), count))
    return rings


def _samples(ring: _Ring, index: int) -> NDArray[np.float64]:
    """Directions (m, 3) spread evenly over the solid angle of one cone."""
    middle = (np.arange(_SUBDIVISIONS) + 0.5) / _SUBDIVISIONS
    azimuths = _SUBDIVISIONS * (4 if ring.count == 1 else 1)
    around = (np.arange(azimuths) + 0.5) / azimuths
    cosine = np.cos(ring.low) + (np.cos(ring.high) - np.cos(ring.low)) * middle
    azimuth = 2 * pi * (index + around) / ring.count
    cos, phi = (a.ravel() for a in np.meshgrid(cosine, azimuth, indexing="ij"))
    sin = np.sqrt(1 - cos**2)
    return np.stack([sin * np.cos(phi), sin * np.sin(phi), cos], axis=1)


def _stage_columns(rate: float, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share that stage n has deposited within each shell edge, (shells, STAGES)."""
    return np.array([gammainc(n + 1, rate * edges[1:]) for n in range(STAGES)]).T


def _fit(
    cumulative: NDArray[np.float64], columns: NDArray[np.float64], kind: str
) -> NDArray[np.float64]:
    """Amplitudes of the stages and of local absorption, (STAGES + 1,), for one cone.

    Least squares on the cumulative energy, with the total held by a heavy row.

    kind : {"prompt", "delayed", "difference"}
        What may be negative: nothing; local absorption only, for energy that
        starts late; everything.
    """
    ones = np.ones((len(columns), 1))
    full = np.hstack([columns, ones])
    total = np.ones(STAGES + 1)
    if kind == "delayed":
        full, total = np.hstack([full, -ones]), np.append(total, -1.0)
    heavy = 1e3
    matrix = np.vstack([full, heavy * total])
    target = np.append(cumulative, heavy * cumulative[-1])
    if kind == "difference":
        return np.asarray(np.linalg.lstsq(matrix, target, rcond=1e-7)[0])
    found = nnls(matrix, target)[0]
    if kind == "delayed":
        found = np.append(found[:STAGES], found[STAGES] - found[STAGES + 1])
    return np.asarray(found)


def _fit_cones(
    kernels: NDArray[np.float64], rate: float, edges: NDArray[np.float64], kind: str
) -> NDArray[np.float64]:
    """Amplitudes per channel and cone, (channels, 48, STAGES + 1)."""
    columns = _stage_columns(rate, edges)
    result = np.zeros((kernels.shape[0], kernels.shape[1], STAGES + 1))
    for channel, cones in enumerate(kernels):
        for cone, shells in enumerate(cones):
            if shells.any():
                how = kind if channel == 0 else "difference"
                result[channel, cone] = _fit(np.cumsum(shells), columns, how)
    return result


def _best_rate(kernel: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    """Stage rate, 1/cm, that fits one ring's mean kernel (shells,) best."""
    mean = float((kernel * (edges[1:] + edges[:-1]) / 2).sum() / kernel.sum())
    cumulative = np.cumsum(kernel)

    def misfit(rate: float) -> float:
        columns = _stage_columns(rate, edges)
        amplitudes = _fit(cumulative, columns, "prompt")
        return float(np.abs(columns @ amplitudes[:STAGES] + amplitudes[STAGES] - cumulative).max())

    return min((factor / mean for factor in _RATE_FACTORS), key=misfit)


def make_cone_table(
    kernels: NDArray[np.float64],
    source: EnergyDepositionKernels,
    grid: TiltGrid,
    directions: int,
    kind: str,
) -> ConeTable:
    """Table of amplitudes for the kernels of all channels.

    Parameters
    ----------
    kernels : (channels, 48, 24)
    source : where the cone and shell edges come from
    grid : TiltGrid
    directions : about how many cones to use
    kind : {"prompt", "delayed"}
        "delayed" for scattered energy, whose deposition starts with the range
        of the electrons it sets free: local absorption may then be negative.
    """
    return _cached_table(
        kernels.tobytes(), kernels.shape, source.sha256, grid, directions, kind, _Edges(source)
    )


class _Edges:
    """Cone and shell edges, passed beside the cache key (equal for equal kernel files)."""

    def __init__(self, source: EnergyDepositionKernels) -> None:
        self.cones = np.radians(source.cone_edges_deg)
        self.shells = source.shell_edges_cm

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Edges)


@lru_cache(maxsize=32)
def _cached_table(
    content: bytes,
    shape: tuple[int, ...],
    sha256: str,
    grid: TiltGrid,
    directions: int,
    kind: str,
    edges: _Edges,
) -> ConeTable:
    kernels = np.frombuffer(content, np.float64).reshape(shape)
    rays = grid.rays().reshape(-1, 3)
    per_solid_angle = 1 / (2 * pi * -np.diff(np.cos(edges.cones)))
    means, rates, amplitudes = [], [], []
    for ring in _rings(directions):
        in_ring = _cone_shares(ring, edges.cones)
        rate = _best_rate(in_ring @ kernels[0], edges.shells)
        fits = _fit_cones(kernels, rate, edges.shells, kind) * per_solid_angle[:, None]
        solid_angle = 2 * pi * (np.cos(ring.low) - np.cos(ring.high)) / ring.count
        for index in range(ring.count):
            samples = _samples(ring, index)
            weights = _tilted_cone_weights(samples, rays, edges.cones) * solid_angle
            means.append(samples.mean(axis=0))
            rates.append(rate)
            amplitudes.append(np.einsum("nk,cks->ncs", weights, fits))
    table = np.array(amplitudes)
    _hold_energy(table, kernels.sum((1, 2)))
    return ConeTable(
        directions=np.array(means),
        rates=np.array(rates),
        amplitudes=_cell_terms(table[..., :STAGES], grid),
        # How much is absorbed locally does not depend on the tilt but for rounding.
        local=table[..., STAGES].sum(axis=0).mean(axis=0),
    )


def _cell_terms(nodes: NDArray[np.float64], grid: TiltGrid) -> NDArray[np.float32]:
    """Linear terms per cell, (n, cells, STAGES, TERMS), of amplitudes at nodes.

    The plane through a cell's four nodes by least squares, for the first channel;
    the second channel is a correction, and its mean over the cell is enough.
    """
    count, _, channels, stages = nodes.shape
    at = nodes.reshape(count, grid.cells_v + 1, grid.cells_u + 1, channels, stages)
    c00, c01 = at[:, :-1, :-1], at[:, :-1, 1:]
    c10, c11 = at[:, 1:, :-1], at[:, 1:, 1:]
    mean = (c00 + c01 + c10 + c11) / 4
    along_u = (c01 + c11 - c00 - c10) / 2
    along_v = (c10 + c11 - c00 - c01) / 2
    terms = np.zeros((count, grid.cells_v * grid.cells_u, stages, TERMS), np.float32)
    flat = (count, -1, channels, stages)
    terms[..., 0] = (mean - along_u / 2 - along_v / 2).reshape(flat)[:, :, 0]
    terms[..., 1] = along_u.reshape(flat)[:, :, 0]
    terms[..., 2] = along_v.reshape(flat)[:, :, 0]
    if channels > 1:
        terms[..., 3] = mean.reshape(flat)[:, :, 1]
    return terms


def _cone_shares(ring: _Ring, cone_edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each kernel cone's solid angle that lies in the ring, (48,)."""
    cosines = np.cos(np.clip(cone_edges, ring.low, ring.high))
    return np.diff(cosines) / np.diff(np.cos(cone_edges))


def _tilted_cone_weights(
    samples: NDArray[np.float64], rays: NDArray[np.float64], cone_edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the samples that falls into each kernel cone about each ray, (nodes, 48).

    Between cone centres a sample is shared linearly, which smooths the steps of the cones.
    """
    angle = np.arccos(np.clip(rays @ samples.T, -1, 1))
    cones = cone_edges.size - 1
    position = np.clip(angle / cone_edges[1] - 0.5, 0, cones - 1)
    lower = np.minimum(position.astype(int), cones - 2)
    upper_share = position - lower
    node = np.repeat(np.arange(len(rays)), len(samples)) * cones
    flat = node + lower.ravel()
    size = len(rays) * cones
    total = np.bincount(flat, (1 - upper_share).ravel(), size)
    total += np.bincount(flat + 1, upper_share.ravel(), size)
    return np.asarray(total.reshape(len(rays), cones) / len(samples))


def _hold_energy(table: NDArray[np.float64], wanted: NDArray[np.float64]) -> None:
    """Scale the first channel to its exact energy at every node and empty the others of any."""
    table[:, :, 0] *= (wanted[0] / table[:, :, 0].sum(axis=(0, 2)))[None, :, None]
    for channel in range(1, table.shape[2]):
        surplus = table[:, :, channel].sum(axis=(0, 2)) / wanted[0]
        table[:, :, channel] -= table[:, :, 0] * surplus[None, :, None]
