"""What is unusual about how structures are drawn, and the slices they were drawn on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dosecalc.model import Structure, StructureSet
from dosecalc.patient.coverage import bridged_planes, crossing_planes, plane_gaps
from dosecalc.patient.planes import contour_planes, regular_spacing

__all__ = ["drawing_notes", "on_drawn_planes", "on_slices", "spacing_of_set", "with_spacing"]

# A structure with fewer planes than this goes by the other structures' spacing.
_ENOUGH_PLANES = 6
# Contours this close in z (mm) differ by the rounding of decimal strings.
_ROUNDING = 0.02
_MOST_LISTED = 5
# Steps that differ by less than this share of them are even.
_EVEN = 0.01

Step = tuple[float, float]


def drawing_notes(structure: Structure) -> list[str]:
    """Sentences on what is unusual about how a structure is drawn."""
    if structure.is_empty:
        return ["no closed contours: the structure is empty"]
    return [*_plane_notes(structure), *_overlap_notes(structure)]


def _plane_notes(structure: Structure) -> list[str]:
    """Sentences on planes that are missing, or that are nearly the same."""
    done = (
        "filled with the outlines below and above, because it is the body"
        if structure.kind == "EXTERNAL"
        else "taken as two pieces"
    )
    gaps = plane_gaps(structure)
    notes = [
        f"nothing drawn between z = {below:g} and {above:g} mm: {done}"
        for below, above in gaps[:_MOST_LISTED]
    ]
    if len(gaps) > _MOST_LISTED:
        notes.append(
            f"nothing drawn in {len(gaps) - _MOST_LISTED} more gaps up to z = {gaps[-1][1]:g} mm"
        )
    for below, above, step in _runs(bridged_planes(structure)):
        notes.append(
            f"planes {step:g} mm apart between z = {below:g} and {above:g} mm: planes are "
            "missing there, and the structure goes on between those drawn"
        )
    apart = max(
        (max(c.z for c in on_it) - min(c.z for c in on_it))
        for _, on_it in contour_planes(structure)
    )
    if apart > _ROUNDING:
        notes.append(f"contours up to {apart:.2g} mm apart in z are taken as one plane")
    return notes


def _runs(steps: Iterable[Step]) -> list[tuple[float, float, float]]:
    """Join steps that follow each other: from, to, and the widest of them."""
    runs: list[tuple[float, float, float]] = []
    for below, above in steps:
        step = round(above - below, 3)
        if runs and runs[-1][1] == below:
            runs[-1] = (runs[-1][0], above, max(runs[-1][2], step))
        else:
            runs.append((below, above, step))
    return runs


def _overlap_notes(structure: Structure) -> list[str]:
    crossing = crossing_planes(structure)
    if not crossing:
        return []
    listed = ", ".join(f"{z:g}" for z in crossing[:_MOST_LISTED])
    more = f" and {len(crossing) - _MOST_LISTED} more" if len(crossing) > _MOST_LISTED else ""
    return [
        f"contours overlap on z = {listed}{more} mm: where an even number of them overlap "
        "is outside (even-odd rule)"
    ]


def spacing_of_set(structures: Iterable[Structure]) -> float | None:
    """Spacing of the planes that structures are drawn on together, mm, None if they do not tell.

    A body on even planes is drawn on every slice, also where slices are as far apart as
    those of a phantom without a CT.
    """
    drawn = [(s, np.diff(_heights(s))) for s in structures if not s.is_empty]
    if not drawn:
        return None
    found = regular_spacing(np.concatenate([steps for _, steps in drawn]))
    for one, steps in drawn:
        if found is None and one.kind == "EXTERNAL" and steps.size > 1:
            usual = float(np.sort(steps)[(steps.size - 1) // 2])
            found = usual if np.ptp(steps) <= _EVEN * usual else None
    return found


def on_drawn_planes(structure: Structure, spacing: float | None) -> Structure:
    """Return a structure of few planes with the spacing of the whole set."""
    if structure.is_empty or spacing is None or _heights(structure).size >= _ENOUGH_PLANES:
        return structure
    return replace(structure, slice_spacing=spacing)


def _heights(structure: Structure) -> NDArray[np.float64]:
    return np.array([z for z, _ in contour_planes(structure)])


def on_slices(structures: StructureSet, spacing: float) -> StructureSet:
    """Return structures drawn on image slices of a spacing (mm), with notes that fit it."""
    return replace(structures, structures=tuple(_on_slices(s, spacing) for s in structures))


def with_spacing(
    structures: StructureSet, spacing: float, *, only_unknown: bool = False
) -> StructureSet:
    """Return structures that all have a slice spacing: their own, or else this one (mm).

    only_unknown : whether structures whose planes tell their spacing stay without
    """
    return replace(
        structures,
        structures=tuple(
            s
            if s.slice_spacing is not None or (only_unknown and _tells(s))
            else replace(s, slice_spacing=spacing)
            for s in structures
        ),
    )


def _tells(structure: Structure) -> bool:
    return structure.is_empty or regular_spacing(np.diff(_heights(structure))) is not None


def _on_slices(structure: Structure, spacing: float) -> Structure:
    if structure.is_empty or structure.slice_spacing == spacing:
        return structure
    moved = replace(structure, slice_spacing=spacing)
    before, after = _plane_notes(structure), _plane_notes(moved)
    if before == after:
        return moved
    own = [note for note in structure.notes if note not in before]
    return replace(moved, notes=(*own, *after))
