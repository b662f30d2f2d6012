"""Fluence maps convolved with pencil kernels, for every lateral scale that occurs in a view.

The kernel is a sum of products of depth and place; the functions of place are known by their
Hankel transforms (`pencil_tables`), so a convolution is a product with the fluence's transform.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from dosecalc.beam.fluence import Fluence
from dosecalc.core.pencil import TERMS, Convolved, RadialTable, times_transforms
from dosecalc.core.threads import thread_count
from dosecalc.engines.pencil_beam.scene import FARTHEST_MM, View
from dosecalc.engines.pencil_beam.tables import PencilQuality, PencilTerms

__all__ = [
    "Shares",
    "Spread",
    "convolve",
    "narrow_spread",
    "reach_of",
    "shares_of",
    "wide_spread",
]

# How far primary energy is followed across the beam, in units of its mean distance.
_PRIMARY_REACH = 8.0


class Spread(NamedTuple):
    """How one kind of energy is convolved.

    joined : pixels of the fluence map that become one, along each side
    reach_cm : how far from the field there is any, g/cm2 of water across the beam
    step : of the logarithm of the scale
    """

    joined: int
    reach_cm: float
    step: float


def narrow_spread(quality: PencilQuality, joined: int, step: float) -> Spread:
    """Of primary energy."""
    return Spread(joined, _PRIMARY_REACH * float(quality.reach[0]), step)


def wide_spread(joined: int, step: float) -> Spread:
    """Of scattered energy."""
    return Spread(joined, FARTHEST_MM / 10, step)


class Shares(NamedTuple):
    """Fluence of the spectrum on the axis and, if there is one, of the softest.

    start, pixel : v and u, mm
        Centre of the first pixel, and size of the pixels.
    values : (1 or 2, nv, nu) float32
    """

    start: tuple[float, float]
    pixel: tuple[float, float]
    values: NDArray[np.float32]


def shares_of(
    fluence: Fluence,
    softest_cm: float,
    joined: int = 1,
    used: tuple[slice, slice] = (slice(None), slice(None)),
) -> Shares:
    """Join pixels of the rows and columns that are used, and part them by how soft they are."""
    values = fluence.values[used]
    starts = [
        (part.start or 0) * pixel
        for part, pixel in zip(used, (fluence.pixel_v, fluence.pixel_u), strict=True)
    ]
    first = fluence.v0 + starts[0], fluence.u0 + starts[1]
    if joined > 1:
        values = np.pad(values, [(0, -n % joined) for n in values.shape])
        nv, nu = (n // joined for n in values.shape)
        values = values.reshape(nv, joined, nu, joined).mean(axis=(1, 3))
    pixel = (joined * fluence.pixel_v, joined * fluence.pixel_u)
    start = (first[0] + pixel[0] / 2, first[1] + pixel[1] / 2)
    values = values[None]
    if softest_cm > 0 and fluence.softening is not None:
        v, u = (start[n] + pixel[n] * np.arange(values.shape[1 + n]) for n in range(2))
        soft = fluence.softening(np.hypot(v[:, None], u)) / softest_cm
        values = np.concatenate((values * (1 - soft), values * soft))
    return Shares(start, pixel, values.astype(np.float32, copy=False))


def convolve(
    fluence: Shares,
    terms: PencilTerms,
    view: View,
    scales: tuple[float, float],
    spread: Spread,
) -> Convolved:
    """Convolve the fluence with the functions across the beam, for all scales that occur."""
    first = int(np.floor(scales[0] / spread.step))
    count = max(2, int(np.ceil(scales[1] / spread.step)) - first + 1)
    # Where kernels are wider, so is what a field reaches.
    reaches = [reach_of(spread, (first + n) * spread.step) for n in range(count)]
    near_of = [_looked_at_all(fluence, view, reach) for reach in reaches]
    rows, columns = _pixels_of(near_of)
    values = np.zeros((count, rows.size, columns.size, TERMS), np.float32)
    widths = view.width_v, view.width_u
    transforms: dict[tuple[tuple[int, int], tuple[int, int]], _Transform] = {}
    jobs = []
    for n, (reach, near) in enumerate(zip(reaches, near_of, strict=True)):
        if near is None:
            continue
        shape = _room(fluence, near, reach)
        before = max(0, -int(near[0][0])), max(0, -int(near[1][0]))
        if (shape, before) not in transforms:
            transforms[shape, before] = _transform(fluence, shape, before, widths)
        transform = transforms[shape, before]
        j, i = near[0][0] - rows[0], near[1][0] - columns[0]
        place = values[n, j : j + near[0].size, i : i + near[1].size]
        part = tuple(slice(at[0] + b, at[-1] + 1 + b) for at, b in zip(near, before, strict=True))
        jobs.append((transform, terms.across, (first + n) * spread.step, part, place))
    # One map a thread: they are too small to be worth dividing.
    list(_pool(thread_count()).map(lambda job: _convolved(*job), jobs))
    return Convolved(
        *terms.along,
        u0=fluence.start[1] + fluence.pixel[1] * columns[0],
        v0=fluence.start[0] + fluence.pixel[0] * rows[0],
        pixel_u=fluence.pixel[1],
        pixel_v=fluence.pixel[0],
        first=first * spread.step,
        step=spread.step,
        values=values,
    )


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that stay: an arc convolves hundreds of times, and starting them takes as long."""
    return ThreadPoolExecutor(threads)


def reach_of(spread: Spread, log_scale: float) -> float:
    """How far energy is followed in the isocentre plane, mm."""
    return min(10 * spread.reach_cm * float(np.exp(-log_scale)), FARTHEST_MM)


_Pixels = tuple[NDArray[np.int64], NDArray[np.int64]]


def _looked_at_all(fluence: Shares, view: View, reach: float) -> _Pixels | None:
    """Rows and columns within reach of the field that lie in the view; None where none does."""
    found = [
        _looked_at(ends, start, pixel, size, int(np.ceil(reach / pixel)))
        for ends, start, pixel, size in zip(
            (view.v, view.u), fluence.start, fluence.pixel, fluence.values.shape[1:], strict=True
        )
    ]
    return (found[0], found[1]) if found[0].size and found[1].size else None


def _looked_at(
    view: tuple[float, float], first: float, pixel: float, count: int, margin: int
) -> NDArray[np.int64]:
    """Pixels of the field and its margins that lie in the view: none, or at least two."""
    low = max(-margin, int(np.floor((view[0] - first) / pixel)))
    high = min(count + margin - 1, int(np.ceil((view[1] - first) / pixel)))
    return np.arange(low, max(high, low + 1) + 1 if high >= low else low)


def _pixels_of(near: Sequence[_Pixels | None]) -> _Pixels:
    """Rows and columns of all scales together; two of each where a field is out of sight."""
    seen = [one for one in near if one is not None] or [(np.arange(2), np.arange(2))]
    rows, columns = (
        np.arange(min(int(one[n][0]) for one in seen), max(int(one[n][-1]) for one in seen) + 1)
        for n in range(2)
    )
    return rows, columns


class _Transform(NamedTuple):
    """Transform of a fluence map, and what its frequencies are; see `times_transforms`."""

    spectra: NDArray[np.float32]
    log_k: NDArray[np.float32]
    filter_across: NDArray[np.float32]
    filter_along: NDArray[np.float32]
    shape: tuple[int, int]


def _room(fluence: Shares, looked_at: _Pixels, reach: float) -> tuple[int, int]:
    """Pixels of a transform, along v and u, in which nothing gets where it does not belong.

    What is carried beyond the end comes back at the other end. Where there still is any at the
    end of the reach, it gets room to fall off before it is looked at.
    """
    times = 2 if reach >= FARTHEST_MM else 1
    sizes = []
    for n, pixel, at in zip(fluence.values.shape[1:], fluence.pixel, looked_at, strict=True):
        seen = max(int(at[-1]), n - 1 - int(at[0])) + 1
        sizes.append(next_fast_len(max(n, times * ceil(reach / pixel) + seen), real=True))
    return sizes[0], sizes[1]


def _transform(
    fluence: Shares,
    shape: tuple[int, int],
    before: tuple[int, int],
    widths: tuple[float, float],
) -> _Transform:
    """Transform a map with so many pixels `before` it; widths of voxels along v and u, mm."""
    (j, i), (_, nv, nu) = before, fluence.values.shape
    padded = np.zeros((len(fluence.values), *shape), np.float32)
    padded[:, j : j + nv, i : i + nu] = fluence.values
    spectra = rfft2(padded, workers=thread_count())
    along, across = (
        2 * np.pi * np.asarray(frequencies(n, pixel / 10), np.float64)
        for frequencies, n, pixel in zip(
            (np.fft.fftfreq, np.fft.rfftfreq), shape, fluence.pixel, strict=True
        )
    )
    square = across**2 + along[: shape[0] // 2 + 1, None] ** 2
    # Frequency zero has no logarithm; far below the first of the tables is zero to them.
    square[0, 0] = 1e-12
    return _Transform(
        spectra=np.ascontiguousarray(spectra).view(np.float32).reshape(*spectra.shape, 2),
        log_k=(0.5 * np.log(square)).astype(np.float32),
        filter_across=_filter(across, fluence.pixel[1], widths[1]),
        filter_along=_filter(along, fluence.pixel[0], widths[0]),
        shape=shape,
    )


def _convolved(
    fluence: _Transform,
    radial: RadialTable,
    log_scale: float,
    part: tuple[slice, slice],
    out: NDArray[np.float32],
) -> None:
    """Convolve for one scale; `out` (rows, columns, TERMS) gets a part of the result."""
    product = np.empty((TERMS, *fluence.spectra.shape[1:]), np.float32)
    times_transforms(
        fluence.spectra,
        radial,
        fluence.log_k,
        fluence.filter_across,
        fluence.filter_along,
        log_scale,
        product,
    )
    result = irfft2(product.view(np.complex64)[..., 0], s=fluence.shape)
    out[...] = np.moveaxis(result[:, *part], 0, -1)


def _filter(frequency: NDArray[np.float64], pixel: float, width: float) -> NDArray[np.float32]:
    """Average over a voxel of some width (mm), and undo what pixels do to frequencies per cm.

    Their values are means over the pixel, and voxels look them up linearly. Nothing is raised:
    voxels smaller than pixels see what the pixels hold.
    """

    def box(mm: float) -> NDArray[np.float64]:
        return np.sinc(frequency * mm / (20 * np.pi))

    return np.minimum(box(width) / box(pixel) ** 3, 1.0).astype(np.float32)
