"""Rules on where doses differ: what means over a patient or a structure hide."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dosecalc.analysis.gamma import GammaResult
from dosecalc.analysis.pieces import ball_mean, largest_piece
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message
from dosecalc.model import Dose, Grid, Phantom, Structure
from dosecalc.patient.coverage import volume_fraction
from dosecalc.verification.parts import place_part
from dosecalc.verification.tolerances import Tolerances
from dosecalc.verification.where import patient_voxels

__all__ = [
    "FEWEST",
    "large_findings",
    "local_dose_findings",
    "local_findings",
    "steepness",
    "target_part_findings",
    "uncovered_findings",
]

FEWEST = 20
"""A rule on the distribution wants so many voxels to look at."""

# A tenth of the prescription is large wherever it is; right doses differ by up to 2 % of it.
_LARGE_PERCENT = 8.0
# Of the dose at the place itself; of the prescription, below which a difference does not matter.
_OWN_PERCENT, _LEAST_PERCENT = 10.0, 3.0
# A difference that a shift of this size explains is one of place, which gamma judges.
_PLACE_MM = 2.0
_TARGET_PERCENTS = (3.0, 5.0)


def local_findings(
    gamma: GammaResult,
    deep: NDArray[np.bool_],
    tolerances: Tolerances,
    difference: NDArray[np.float64] | None = None,
) -> list[Finding]:
    """Find the largest connected piece of the patient in which gamma is at its cap.

    A pass rate hides an organ: 14 cm3 without any dose are 0.3 % of a thorax. Nothing is found
    where nothing is deep enough to be looked at.

    Parameters
    ----------
    deep : (nz, ny, nx) bool
        Points that are looked at; at the surface the sizes of voxels alone make a difference.
    difference : (nz, ny, nx), Gy, or None
        See `large_findings`: where it is too small for so high a gamma, gamma compared dose to
        water with dose to medium.
    """
    if np.count_nonzero(deep & ~np.isnan(gamma.gamma)) < FEWEST:
        return []
    capped = deep & (gamma.gamma >= gamma.criteria.max_gamma * (1 - 1e-6))
    if difference is not None and not gamma.criteria.local:
        least = gamma.criteria.max_gamma * gamma.criteria.dose_percent / 100 * gamma.normalisation
        capped &= ~(np.abs(difference) < 0.99 * least)
    piece = largest_piece(capped, gamma.grid)
    message = Message.of("local_difference.none", gamma=gamma.criteria.max_gamma)
    if piece.cm3:
        message = Message.of(
            "local_difference.found",
            gamma=gamma.criteria.max_gamma,
            cm3=piece.cm3,
            place=place_part(piece.middle),
        )
    return [
        tolerances.limits["local"].finding("largest connected failing volume", message, piece.cm3)
    ]


def large_findings(
    reference: Dose,
    difference: NDArray[np.float64],
    prescribed_gy: float,
    counts: NDArray[np.bool_],
    tolerances: Tolerances,
) -> list[Finding]:
    """Find the largest connected piece in which doses differ by nearly a tenth of the prescription.

    Of a noisy or coarse dose single voxels differ by so much, and none beside each other.

    Parameters
    ----------
    difference : (nz, ny, nx), Gy
        Calculated less reference at the reference's voxels, NaN where it is not known.
    counts : (nz, ny, nx) bool
        Voxels that are looked at.
    """
    known = counts & np.isfinite(difference)
    if np.count_nonzero(known) < FEWEST:
        return []
    percent = 100 * np.nan_to_num(difference) / prescribed_gy
    # Too much and too little are two things.
    pieces = [
        largest_piece(known & (sign * percent > _LARGE_PERCENT), reference.grid) for sign in (1, -1)
    ]
    piece = max(pieces, key=lambda one: one.cm3)
    message = Message.of("large_difference.none", beyond=_LARGE_PERCENT)
    if piece.cm3:
        message = Message.of(
            "large_difference.found",
            percent=float(percent[piece.voxels].mean()),
            cm3=piece.cm3,
            beyond=_LARGE_PERCENT,
            place=place_part(piece.middle),
        )
    return [tolerances.limits["large"].finding("large difference", message, piece.cm3)]


def local_dose_findings(
    reference: Dose,
    difference: NDArray[np.float64],
    prescribed_gy: float,
    counts: NDArray[np.bool_],
    tolerances: Tolerances,
) -> list[Finding]:
    """Find the largest connected piece that differs by a tenth of the dose at the place itself.

    Where that is a difference that matters, and none of place: see the constants above. Means over
    a ball are compared, so that noise is none.

    Parameters
    ----------
    difference, counts
        See `large_findings`.
    """
    known = counts & np.isfinite(difference)
    if np.count_nonzero(known) < FEWEST:
        return []
    grid = reference.grid
    given = 100 * reference.gray.astype(np.float64) / prescribed_gy
    percent = 100 * np.nan_to_num(difference) / prescribed_gy
    evened = np.nan_to_num(ball_mean(percent, known, grid))
    dose = np.maximum(given, given + percent)
    beyond = np.abs(evened) - _PLACE_MM * steepness(given, grid)
    wrong = known & (beyond > np.maximum(_OWN_PERCENT / 100 * dose, _LEAST_PERCENT))
    piece = max(
        (largest_piece(wrong & (sign * evened > 0), grid) for sign in (1, -1)),
        key=lambda one: one.cm3,
    )
    message = Message.of("local_dose.none", beyond=_OWN_PERCENT)
    if piece.cm3:
        message = Message.of(
            "local_dose.found",
            percent=100 * float((evened / np.maximum(dose, 1e-9))[piece.voxels].mean()),
            cm3=piece.cm3,
            beyond=_OWN_PERCENT,
            place=place_part(piece.middle),
        )
    return [tolerances.limits["local_dose"].finding("local dose", message, piece.cm3)]


def target_part_findings(
    targets: Iterable[Structure],
    reference: Dose,
    difference: NDArray[np.float64],
    counts: NDArray[np.bool_],
    tolerances: Tolerances,
    plane_spacing: float | None = None,
) -> list[Finding]:
    """Find the part of each target, in one piece, that differs by more than 3 % and 5 %.

    Two halves that differ by +6 and -6 % leave the mean and the median as they are. Means over a
    ball within the target are compared, in percent of its median dose. The limits are on the
    share of the target's volume.
    """
    findings = []
    for target in targets:
        spacing = target.slice_spacing or plane_spacing
        inside = volume_fraction(target, reference.grid, plane_spacing=spacing) >= 0.5
        inside &= counts & np.isfinite(difference)
        if np.count_nonzero(inside) < FEWEST:
            message = Message.of("target_part.too_small", structure=target.name, voxels=FEWEST)
            findings.append(Finding("target part", Outcome.PASS, message, judged=False))
            continue
        median = float(np.median(reference.gray[inside]))
        if median <= 0:
            continue
        percent = 100 * np.nan_to_num(difference) / median
        evened = np.nan_to_num(ball_mean(percent, inside, reference.grid))
        volume = np.count_nonzero(inside) * reference.grid.voxel_volume_cm3
        for most in _TARGET_PERCENTS:
            pieces = [
                largest_piece(inside & (sign * evened > most), reference.grid) for sign in (1, -1)
            ]
            piece = max(pieces, key=lambda one: one.cm3)
            share = 100 * piece.cm3 / volume
            message = Message.of("target_part.none", structure=target.name, beyond=most)
            if piece.cm3:
                message = Message.of(
                    "target_part.found",
                    structure=target.name,
                    cm3=piece.cm3,
                    share=share,
                    beyond=most,
                    percent=float(evened[piece.voxels].mean()),
                    place=place_part(piece.middle),
                )
            limit = tolerances.limits[f"target_beyond_{most:g}"]
            findings.append(limit.finding("target part", message, share))
    return findings


def uncovered_findings(
    calculated: Dose,
    reference: Dose,
    phantom: Phantom,
    threshold_gy: float,
    tolerances: Tolerances,
    apart: NDArray[np.bool_] | None = None,
) -> list[Finding]:
    """Find calculated dose in the patient that the reference's grid does not reach.

    Half a voxel beyond the reference's faces is rounding of grids and does not count, nor do couch
    and bolus (`apart`, on the phantom's grid).
    """
    grid = calculated.grid
    beyond = np.zeros(grid.shape, dtype=bool)
    for k, axis in enumerate("zyx"):
        place = grid.centres(axis)
        spare = max(grid.spacing[2 - k], reference.grid.spacing[2 - k]) / 2
        low, high = reference.grid.lower[2 - k] - spare, reference.grid.upper[2 - k] + spare
        shape = [-1 if j == k else 1 for j in range(3)]
        beyond = beyond | ((place < low) | (place > high)).reshape(shape)
    beyond &= calculated.gray >= threshold_gy
    if beyond.any():
        beyond &= patient_voxels(phantom, grid, apart)
    volume = np.count_nonzero(beyond) * grid.voxel_volume_cm3
    message = Message("dose_grid.complete")
    if volume:
        message = Message.of(
            "dose_grid.uncovered",
            cm3=volume,
            threshold=threshold_gy,
            highest=float(calculated.gray[beyond].max()),
        )
    return [tolerances.limits["uncovered"].finding("dose grid", message, volume)]


def steepness(gray: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Size of the gradient, per mm."""
    square = np.zeros_like(gray)
    for axis, step in enumerate(grid.spacing[::-1]):
        if gray.shape[axis] > 1:
            square += np.gradient(gray, step, axis=axis) ** 2
    return np.asarray(np.sqrt(square))
