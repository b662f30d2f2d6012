"""From a CT, or from structures alone, to density and material on the dose grid.

The order: CT numbers become densities at the resolution of the CT; structures
with overrides replace them; everything outside the body is air, except inside
couch and bolus structures that were named; the result is averaged over the
voxels of the dose grid so that mass is conserved; then each voxel gets the
material that has the largest share of its mass.

Structures act by volume fraction. Where several meet in a voxel, the override
with the highest precedence takes its fraction first and the others get what
room is left, so structures that touch fill the voxel exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.hu_curve_files import ELECTRON_DENSITY
from dosecalc.data.hu_curves import HuCurve, density_from_hu
from dosecalc.data.materials import load_material, load_material_table
from dosecalc.errors import GeometryError, InputError
from dosecalc.model import CtImage, Grid, Phantom, Structure, StructureSet
from dosecalc.patient.assembly import Share, assemble, no_share
from dosecalc.patient.coverage import plane_gaps, volume_cm3, volume_fraction
from dosecalc.patient.dose_grid import bounds, dose_grid
from dosecalc.patient.drawing import with_spacing
from dosecalc.patient.overrides import Fill, Override, resolve_overrides
from dosecalc.patient.resample import covered_fraction, crop_to, volume_average

__all__ = ["phantom_from_ct", "phantom_from_structures"]

# A couch or bolus structure with a mean density below this (g/cm3) holds air in the CT.
_AIR_LIMIT = 0.02
_KVP_TOLERANCE = 0.5
# An override that fills less of its structure than this says so.
_REACHED = 0.995
# Filled places of the body that a note names one by one.
_MOST_LISTED = 5

Slices = tuple[slice, slice, slice]


class _Region(NamedTuple):
    """A structure's volume fraction on a part of a grid."""

    structure: Structure
    slices: Slices
    grid: Grid
    fraction: NDArray[np.float32]


def phantom_from_ct(
    ct: CtImage,
    structures: StructureSet | None,
    *,
    curve: HuCurve,
    grid: Grid | None = None,
    body: str | None = None,
    overrides: Mapping[str, float | str | Override] | None = None,
    use_recorded_densities: bool = False,
    couch: Sequence[str] = (),
    bolus: Sequence[str] = (),
    outside: str = "air",
    table: str | None = None,
) -> Phantom:
    """Make the phantom of a patient.

    Parameters
    ----------
    ct : CtImage
    structures : StructureSet or None
    curve : HuCurve
        See :func:`dosecalc.data.hu_curves.choose_curve`.
    grid : Grid, optional
        Dose grid; without one `dose_grid` puts its default around body, couch and bolus.
    body : str, optional
        Structure outside which there is air. Without it the one EXTERNAL structure;
        "none" keeps all of the CT.
    overrides : mapping, optional
        Structure name to mass density (g/cm3), material name, or `Override`. Later
        ones take precedence. They act inside body, couch and bolus only.
    use_recorded_densities : bool
        Whether densities that the planning system stored with the structures are
        applied too, below `overrides`. They are listed in the notes either way.
    couch, bolus : sequence of str
        Structures outside the body that stay: with their density in the CT, or
        with an override.
    outside : str
        Material, at its nominal density, outside the body and beyond the CT.
    table : str, optional
        Name of the density-to-material table: "tissue", or "water" for water phantoms. That of
        the curve if left out.

    Returns
    -------
    Phantom
        With notes on the curve, CT numbers beyond its ends, overrides, and voxels
        beyond the CT.

    Raises
    ------
    InputError
        No body can be told, names do not exist, structures belong to another frame
        of reference, or a couch or bolus structure holds nothing but air.
    GeometryError
        CT, structures and dose grid do not meet.

    Notes
    -----
    Structures go by the distance of the slices that they state, else by that of the CT's.
    The body is filled where its planes are missing, and a note says where.
    """
    _check_frame(ct, structures)
    if structures is not None:
        structures = with_spacing(structures, ct.grid.spacing[2])
    steps = load_material_table(table or curve.materials)
    fills, notes = resolve_overrides(
        structures, overrides or {}, steps, use_recorded=use_recorded_densities
    )
    kept, kept_notes = _kept_structures(structures, body, (*couch, *bolus))
    if grid is None:
        grid = dose_grid(kept or ct, ct=ct)
        notes = (*notes, f"dose grid: default of {grid.spacing[0]:g} mm voxels")
    slices, block = _work_block(ct.grid, grid, kept)
    regions = _regions(kept, block)
    room = _union(regions, block.shape) if kept else np.ones(block.shape, dtype=np.float32)
    fill_shares, fill_notes = _fill_shares(fills, room, block, grid)
    density, hu_notes = _ct_density(ct.hu[slices], room, curve, ct.kvp)
    _refuse_air(regions[1:], density, {f.structure.name for f in fills})
    density *= room
    rest = Share(_average(room, block, grid), _average(density, block, grid))
    covered = covered_fraction(ct.grid, grid).astype(np.float32)
    beyond = int(np.count_nonzero(covered < 0.5))
    made = assemble(
        grid,
        (rest, fill_shares, covered),
        load_material(outside),
        steps,
        (
            *hu_notes,
            *kept_notes,
            *_reach_notes(kept[:1], {"dose grid": grid, "CT": ct.grid}),
            *fill_notes,
            *notes,
            f"materials by the table {steps.name!r} version {steps.version}",
            *([f"{beyond} voxels lie beyond the CT and are {outside}"] if beyond else []),
        ),
    )
    drawn = () if structures is None else [structures[name].number for name in bolus]
    return replace(made, bolus=tuple(drawn))


def phantom_from_structures(
    structures: StructureSet,
    grid: Grid,
    *,
    inside: float | str | Override = "water",
    body: str | None = None,
    overrides: Mapping[str, float | str | Override] | None = None,
    outside: str = "air",
    table: str = "tissue",
) -> Phantom:
    """Make a phantom without a CT: the body filled with one material, structures with others.

    Parameters
    ----------
    structures : StructureSet
    grid : Grid
    inside : float, str or Override
        What fills the body.
    body, overrides, outside, table
        As in `phantom_from_ct`; `body` cannot be "none".
    """
    steps = load_material_table(table)
    structures = with_spacing(structures, grid.spacing[2], only_unknown=True)
    kept, kept_notes = _kept_structures(structures, body, ())
    if not kept:
        raise InputError("without a CT a body structure is needed; --body none leaves nothing")
    merged = {kept[0].name: inside, **(overrides or {})}
    fills, notes = resolve_overrides(structures, merged, steps, use_recorded=False)
    # The body is filled as it is kept, where its planes are missing too.
    fills = tuple(
        f._replace(structure=kept[0]) if f.structure.name == kept[0].name else f for f in fills
    )
    room = _union(_regions(kept, grid), grid.shape)
    fill_shares, fill_notes = _fill_shares(fills, room, grid, grid)
    return assemble(
        grid,
        (no_share(grid), fill_shares, np.ones(grid.shape, dtype=np.float32)),
        load_material(outside),
        steps,
        (
            "no CT: densities are those of the overrides only",
            *kept_notes,
            *_reach_notes(kept, {"dose grid": grid}),
            *fill_notes,
            *notes,
        ),
    )


def _check_frame(ct: CtImage, structures: StructureSet | None) -> None:
    if structures is None:
        return
    ours, theirs = ct.frame_of_reference_uid, structures.frame_of_reference_uid
    if ours and theirs and ours != theirs:
        raise InputError(
            f"the structure set is drawn in the frame of reference {theirs}, the CT is in {ours}; "
            "give the structure set that belongs to this CT"
        )


def _kept_structures(
    structures: StructureSet | None, body: str | None, others: Sequence[str]
) -> tuple[tuple[Structure, ...], tuple[str, ...]]:
    """Find the body and what stays outside it; nothing where all of the CT stays."""
    if body == "none":
        return (), ("body: none; all of the CT is kept, with everything that lies around",)
    if structures is None:
        raise InputError(
            "no structure set, so no body contour; say --body none to keep all of the CT"
        )
    if body is not None:
        chosen = structures[body]
    else:
        found = list(structures.bodies)
        if len(found) != 1:
            names = ", ".join(s.name for s in (found or structures))
            raise InputError(
                f"{len(found)} structures are of the type EXTERNAL; name the body contour "
                f"with --body, one of: {names}; or say --body none to keep all of the CT"
            )
        chosen = found[0]
    # Whatever its type, the body is filled where its planes are missing.
    chosen = replace(chosen, kind="EXTERNAL")
    notes = [f"body: {chosen.name!r}; outside it everything is replaced"]
    notes += _filled_notes(plane_gaps(chosen))
    notes += [f"kept outside the body: {name!r}" for name in others]
    kept = (chosen, *(structures[name] for name in others))
    for structure in kept:
        if structure.is_empty:
            raise InputError(f"structure {structure.name!r} has no contours; name another one")
    return kept, tuple(notes)


def _filled_notes(gaps: Sequence[tuple[float, float]]) -> list[str]:
    """Say where the body was filled between its planes: the first places, then how many more."""
    notes = [
        f"body: no contour between z = {below:g} and {above:g} mm; filled there with the outlines "
        "below and above"
        for below, above in gaps[:_MOST_LISTED]
    ]
    if len(gaps) > _MOST_LISTED:
        more = len(gaps) - _MOST_LISTED
        notes.append(
            f"body: no contour in {more} more gaps up to z = {gaps[-1][1]:g} mm; filled there with "
            "the outlines below and above"
        )
    return notes


def _work_block(ct: Grid, grid: Grid, kept: tuple[Structure, ...]) -> tuple[Slices, Grid]:
    """Part of the CT that can matter: what is kept and reaches into the dose grid."""
    low, high = np.maximum(ct.lower, grid.lower), np.minimum(ct.upper, grid.upper)
    if kept:
        box = bounds(kept)
        low, high = np.maximum(low, box[0]), np.minimum(high, box[1])
    if (low >= high).any():
        raise GeometryError(
            f"CT ({ct.lower} to {ct.upper} mm), dose grid ({grid.lower} to {grid.upper} mm) and "
            "body have no volume in common; check that they belong together"
        )
    return crop_to(ct, (low[0], low[1], low[2]), (high[0], high[1], high[2]))


def _regions(structures: Iterable[Structure], block: Grid) -> tuple[_Region, ...]:
    """Volume fractions, each on the part of the block that its structure reaches into."""
    found = []
    for structure in structures:
        low, high = bounds((structure,))
        slices, part = crop_to(block, low, high)
        fraction = volume_fraction(structure, part)
        found.append(_Region(structure, slices, part, fraction))
    return tuple(found)


def _union(regions: Iterable[_Region], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Fraction inside any of the regions, exact where they touch or lie apart."""
    total = np.zeros(shape, dtype=np.float32)
    for region in regions:
        part = total[region.slices]
        part += region.fraction
        np.minimum(part, 1, out=part)
    return total


def _average(values: NDArray[np.float32], source: Grid, target: Grid) -> NDArray[np.float32]:
    return volume_average(values, source, target).astype(np.float32)


def _fill_shares(
    fills: Sequence[Fill], room: NDArray[np.float32], block: Grid, grid: Grid
) -> tuple[dict[str, Share], tuple[str, ...]]:
    """Contribution of the overrides by material; takes their fraction out of `room`."""
    shares: dict[str, Share] = {}
    notes = []
    for fill in reversed(fills):
        (region,) = _regions((fill.structure,), block)
        part = room[region.slices]
        taken = np.minimum(region.fraction, part)
        part -= taken
        cm3 = float(taken.sum(dtype=np.float64)) * block.voxel_volume_cm3
        notes.append(_fill_note(fill, cm3, volume_cm3(fill.structure)))
        if fill.material not in shares:
            shares[fill.material] = no_share(grid)
        volume = _average(taken, region.grid, grid)
        shares[fill.material].volume[...] += volume
        shares[fill.material].mass[...] += volume * np.float32(fill.density)
    return shares, tuple(reversed(notes))


def _fill_note(fill: Fill, cm3: float, drawn_cm3: float) -> str:
    """Say what an override did, and how much of its structure it could not reach."""
    note = f"override {fill.structure.name!r}: {fill.material} at {fill.density:g} g/cm3 "
    note += f"in {cm3:.1f} cm3"
    if fill.recorded:
        note += " (recorded by the planning system)"
    if cm3 < _REACHED * drawn_cm3:
        note += (
            f" of the {drawn_cm3:.1f} cm3 drawn; the rest lies outside body, couch and bolus, "
            "beyond the dose grid or the CT, or in an override with precedence"
        )
    return note


def _ct_density(
    hu: NDArray[np.float32], room: NDArray[np.float32], curve: HuCurve, kvp: float | None
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Densities of the CT; CT numbers beyond the curve are counted where they matter only."""
    middle = np.float32(np.rint((curve.hu[0] + curve.hu[-1]) / 2))
    density = np.empty(hu.shape, dtype=np.float32)
    below = above = 0
    # Slice by slice: temporary arrays of the size of a CT cost more than the arithmetic.
    for k in range(hu.shape[0]):
        converted = density_from_hu(np.where(room[k] > 0, hu[k], middle), curve)
        density[k] = converted.density
        below += converted.n_below
        above += converted.n_above
    notes = [f"densities by the HU curve {curve.label}: {curve.description or curve.source}"]
    if curve.quantity == ELECTRON_DENSITY:
        notes.append(
            f"the curve {curve.label} states relative electron densities; mass densities follow "
            "from the compositions of tissues"
        )
    for count, side, hu_end, end in (
        (below, "below", curve.hu[0], curve.density[0]),
        (above, "above", curve.hu[-1], curve.density[-1]),
    ):
        if count:
            notes.append(
                f"{count} CT voxels are {side} the curve's end at {hu_end:g} HU and were "
                f"limited to {end:g} g/cm3"
            )
    if curve.kvp is not None and kvp is None:
        notes.append(f"the CT does not state its tube voltage; the curve is for {curve.kvp:g} kVp")
    elif curve.kvp is not None and kvp is not None and abs(curve.kvp - kvp) > _KVP_TOLERANCE:
        notes.append(f"the curve is for {curve.kvp:g} kVp, the CT was taken at {kvp:g} kVp")
    return density, tuple(notes)


def _refuse_air(
    regions: Iterable[_Region], density: NDArray[np.float32], overridden: set[str]
) -> None:
    """Refuse couch and bolus structures that were planned but never scanned."""
    for region in regions:
        volume = float(region.fraction.sum(dtype=np.float64))
        if region.structure.name in overridden or volume == 0:
            continue
        mass = np.vdot(region.fraction.astype(np.float64), density[region.slices])
        if mass / volume < _AIR_LIMIT:
            name, recorded = region.structure.name, region.structure.density
            known = (
                f"; --recorded-densities uses the {recorded:g} g/cm3 recorded with it"
                if recorded is not None
                else ""
            )
            raise InputError(
                f"{name!r} was named as couch or bolus, but the CT holds air there "
                f"({mass / volume:.4f} g/cm3); give it a density with --override "
                f"'{name}=1.0', in g/cm3{known}"
            )


def _reach_notes(body: tuple[Structure, ...], grids: Mapping[str, Grid]) -> tuple[str, ...]:
    """Say by how much the body is cut off by the dose grid or by the CT."""
    notes = []
    for structure in body:
        low, high = bounds((structure,))
        for what, limits in grids.items():
            cut = [
                f"{end}{axis} by {reach:.1f} mm"
                for i, axis in enumerate("xyz")
                for end, reach in (
                    ("-", limits.lower[i] - low[i]),
                    ("+", high[i] - limits.upper[i]),
                )
                if reach > 0.1
            ]
            if cut:
                notes.append(
                    f"the body reaches beyond the {what} ({', '.join(cut)}); what lies there "
                    "neither attenuates nor scatters"
                )
    return tuple(notes)
