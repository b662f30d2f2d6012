"""A synthetic thorax: contours of simple shapes, and a CT that shows them.

The patient is described by superellipses, |x/a|^p + |y/b|^p = 1, whose half axes
change along z. The CT is made from the contours: every voxel gets the mean of
the CT numbers of what fills it, so it blurs edges as a scanner's voxels do, and
volumes in the CT and in the contours agree. Sizes are those of an adult, rounded;
CT numbers are those of the tissues at 120 kVp, rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model import Contour, CtImage, Grid, PatientPosition, Structure, StructureSet
from dosecalc.patient.coverage import volume_fraction

__all__ = ["TARGET", "TARGET_CENTRE", "thorax_ct", "thorax_structures"]

TARGET = "PTV"
TARGET_CENTRE = (-72.0, -8.0, 4.5)
"""Centre of tumour and target (x, y, z), mm, LPS: in the right lung."""

_GRID = Grid.covering((-200.0, -140.0, -120.0), (200.0, 140.0, 120.0), (2.0, 2.0, 3.0))
_CORNERS = 90
_AIR_HU = -1000.0


@dataclass(frozen=True)
class _Shape:
    """A superellipsoid, or a straight column where `half_height` is None; lengths in mm.

    `hu` fills it; None for a volume that is drawn but does not change the CT.
    """

    name: str
    kind: str
    centre: tuple[float, float, float]
    half: tuple[float, float]
    half_height: float | None
    hu: float | None
    power: float = 2.0
    drawn: bool = True


_HEART = _Shape("HEART", "ORGAN", (24.0, -28.0, -42.0), (52.0, 46.0), 56.0, 40.0)

# Later shapes take the place of earlier ones in the CT.
_SHAPES = (
    _Shape("BODY", "EXTERNAL", (0.0, 0.0, 0.0), (178.0, 118.0), None, -90.0, 2.6),
    _Shape("muscle", "", (0.0, 0.0, 0.0), (162.0, 104.0), None, 35.0, 2.6, drawn=False),
    _Shape("LUNG_R", "ORGAN", (-82.0, -4.0, -10.0), (62.0, 84.0), 125.0, -740.0, 2.4),
    _Shape("LUNG_L", "ORGAN", (84.0, -2.0, -10.0), (60.0, 82.0), 125.0, -740.0, 2.4),
    _HEART,
    _Shape("SPINE", "ORGAN", (0.0, 64.0, 0.0), (21.0, 30.0), None, 240.0, 2.3),
    _Shape("SPINAL_CORD", "ORGAN", (0.0, 80.0, 0.0), (7.0, 7.0), None, 35.0),
    _Shape("GTV", "GTV", TARGET_CENTRE, (15.0, 15.0), 15.0, 40.0),
    _Shape(TARGET, "PTV", TARGET_CENTRE, (23.0, 23.0), 23.0, None),
)


def thorax_structures() -> StructureSet:
    """Return the contours, drawn on every slice of `thorax_ct` that meets the structure.

    BODY (EXTERNAL), LUNG_R, LUNG_L, HEART, SPINE, SPINAL_CORD, GTV and PTV. The
    lungs leave out the heart; LUNG_R contains GTV and PTV.
    """
    drawn = [shape for shape in _SHAPES if shape.drawn]
    return StructureSet(
        tuple(_structure(shape, number) for number, shape in enumerate(drawn, start=1)),
        label="THORAX",
    )


def thorax_ct(*, noise_hu: float = 0.0, seed: int = 20260101) -> CtImage:
    """Return the CT, head first supine, without UIDs.

    Parameters
    ----------
    noise_hu : float, HU, >= 0
        Standard deviation of the noise added to every voxel, independent between
        voxels (a scanner's noise is correlated).
    seed : int
        Of the noise; the same seed gives the same CT.

    Raises
    ------
    InputError
        `noise_hu` is negative or not finite.
    """
    if not (np.isfinite(noise_hu) and noise_hu >= 0):
        raise InputError(f"CT noise of {noise_hu} HU; a number from 0 up is needed")
    hu = np.full(_GRID.shape, _AIR_HU, dtype=np.float32)
    for number, shape in enumerate(_SHAPES, start=1):
        if shape.hu is not None:
            share = volume_fraction(_structure(shape, number), _GRID)
            hu += share * (np.float32(shape.hu) - hu)
    if noise_hu > 0:
        noise = np.random.default_rng(seed).standard_normal(_GRID.shape, dtype=np.float32)
        hu += np.float32(noise_hu) * noise
    return CtImage(
        grid=_GRID,
        hu=np.rint(hu),
        position=PatientPosition.HFS,
        manufacturer="dosecalc",
        model_name="synthetic thorax",
        kvp=120.0,
    )


def _structure(shape: _Shape, number: int) -> Structure:
    contours = []
    for z in _GRID.centres("z"):
        scale = _scale(shape, float(z))
        if scale > 0.02:
            points = _outline(shape, scale)
            if shape.name.startswith("LUNG"):
                points = _outside_heart(points, shape, float(z))
            contours.append(Contour(float(z), points))
    return Structure(number, shape.name, shape.kind, tuple(contours))


def _scale(shape: _Shape, z: float) -> float:
    """Size of the section at z, relative to the largest one."""
    if shape.half_height is None:
        return 1.0
    rest = 1 - abs((z - shape.centre[2]) / shape.half_height) ** shape.power
    return float(max(rest, 0.0) ** (1 / shape.power))


def _outline(shape: _Shape, scale: float) -> NDArray[np.float64]:
    angle = 2 * np.pi * np.arange(_CORNERS) / _CORNERS
    cosine, sine = np.cos(angle), np.sin(angle)
    radius = (
        np.abs(cosine / shape.half[0]) ** shape.power + np.abs(sine / shape.half[1]) ** shape.power
    ) ** (-1 / shape.power)
    centre = np.array(shape.centre[:2])
    return np.asarray(centre + scale * radius[:, None] * np.column_stack((cosine, sine)))


def _outside_heart(points: NDArray[np.float64], lung: _Shape, z: float) -> NDArray[np.float64]:
    """Pull corners back along the line to the lung's centre to where that line meets the heart."""
    scale = _scale(_HEART, z)
    if scale <= 0.02:
        return points
    half = scale * np.array(_HEART.half)
    start = (np.array(lung.centre[:2]) - np.array(_HEART.centre[:2])) / half
    way = (points - np.array(lung.centre[:2])) / half
    # |start + t way| = 1, the first crossing; the lung's centre lies outside the heart.
    a, b, c = (way**2).sum(axis=1), way @ start, float(start @ start) - 1
    root = b**2 - a * c
    t = np.where((root > 0) & (b < 0), (-b - np.sqrt(np.maximum(root, 0))) / a, 1.0)
    kept = np.clip(t, 0.0, 1.0)[:, None]
    return np.asarray(np.array(lung.centre[:2]) + kept * (points - np.array(lung.centre[:2])))
