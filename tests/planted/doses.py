"""Errors of the planning system's dose alone: what a recalculation must find in its reference.

Each changes the reference of a right plan, or what is drawn, and leaves plan, patient and the
calculated dose as they are: so nothing is calculated, and many can be planted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from dosecalc.analysis.dvh import structure_dvh
from dosecalc.model import Contour, Dose, Grid, Structure
from dosecalc.patient.coverage import volume_fraction
from dosecalc.verification.inputs import Evidence
from dosecalc.verification.rows import kind_of
from dosecalc.verification.where import deep_voxels, patient_voxels

__all__ = ["DOSE_ERRORS", "DoseError", "Effect", "drawn", "effect_of", "prescribed", "target_of"]

Mask = NDArray[np.bool_]
Plant = Callable[[Evidence], Evidence]


@dataclass(frozen=True)
class DoseError:
    """One error.

    name, size : str
    plant : callable(evidence)
    rules : each of which has to speak
    patients : names of those it is planted in
    """

    name: str
    size: str
    plant: Plant
    rules: tuple[str, ...]
    patients: tuple[str, ...]


def prescribed(evidence: Evidence) -> float:
    return max(p.dose_gy for p in evidence.plan.prescriptions)


def target_of(evidence: Evidence) -> Structure:
    """Return the target with the prescription."""
    number = evidence.plan.prescriptions[0].structure_number
    return next(s for s in evidence.structures or () if s.number == number)


def drawn(evidence: Evidence, *more: Structure) -> Evidence:
    """Draw further structures."""
    assert evidence.structures is not None
    held = evidence.structures
    return replace(evidence, structures=replace(held, structures=(*held, *more)))


def ball(
    name: str, middle: tuple[float, float, float], radius: float, kind: str = "ORGAN",
    number: int = 90,
) -> Structure:  # fmt: skip
    """Return a ball, contoured every 2 mm."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    heights = np.arange(-radius + 1.0, radius, 2.0)
    contours = []
    for h in heights:
        r = np.sqrt(radius**2 - h**2)
        outline = np.stack([middle[0] + r * np.cos(turn), middle[1] + r * np.sin(turn)], axis=1)
        contours.append(Contour(middle[2] + float(h), outline))
    return Structure(number, name, kind, tuple(contours))


def _inside(evidence: Evidence, structure: Structure) -> Mask:
    assert evidence.reference is not None and evidence.ct is not None
    step = evidence.ct.grid.spacing[2]
    grid = evidence.reference.grid
    return np.asarray(volume_fraction(structure, grid, plane_spacing=step) >= 0.5)


def _target(evidence: Evidence) -> Mask:
    return _inside(evidence, target_of(evidence))


def _patient(evidence: Evidence) -> Mask:
    assert evidence.reference is not None
    return patient_voxels(evidence.phantom, evidence.reference.grid)


def _with(evidence: Evidence, gray: NDArray[np.floating]) -> Evidence:
    assert evidence.reference is not None
    new = np.maximum(gray, 0).astype(np.float32)
    return replace(evidence, reference=replace(evidence.reference, gray=new))


def _gray(evidence: Evidence) -> NDArray[np.float64]:
    assert evidence.reference is not None
    return evidence.reference.gray.astype(np.float64)


def _places(evidence: Evidence) -> tuple[NDArray[np.float64], ...]:
    """Return x, y, z of the voxels beside the target's middle, mm."""
    assert evidence.reference is not None
    grid = evidence.reference.grid
    middle = grid.position_of(np.argwhere(_target(evidence)).mean(axis=0))
    z, y, x = np.meshgrid(*(grid.centres(a) for a in "zyx"), indexing="ij", sparse=True)
    return x - middle[0], y - middle[1], z - middle[2]


def where_times(where: Callable[[Evidence], Mask], factor: float) -> Plant:
    """Scale the dose in a place."""

    def plant(evidence: Evidence) -> Evidence:
        gray = _gray(evidence)
        return _with(evidence, np.where(where(evidence), factor * gray, gray))

    return plant


def where_plus(where: Callable[[Evidence], Mask], percent: float) -> Plant:
    """Add a share of the prescription in a place."""

    def plant(evidence: Evidence) -> Evidence:
        gray = _gray(evidence)
        more = percent / 100 * prescribed(evidence)
        return _with(evidence, np.where(where(evidence), gray + more, gray))

    return plant


def halves(axis: int, percent: float) -> Plant:
    """One half of the target too hot, the other too cold."""

    def plant(evidence: Evidence) -> Evidence:
        side = np.sign(_places(evidence)[axis]) * _target(evidence)
        return _with(evidence, _gray(evidence) * (1 + percent / 100 * side))

    return plant


def octants(percent: float) -> Plant:
    """Quarters of the target too hot and too cold in turn."""

    def plant(evidence: Evidence) -> Evidence:
        x, y, _ = _places(evidence)
        side = np.sign(x) * np.sign(y) * _target(evidence)
        return _with(evidence, _gray(evidence) * (1 + percent / 100 * side))

    return plant


def tilt(percent: float) -> Plant:
    """A slope across the target, so much at its two sides."""

    def plant(evidence: Evidence) -> Evidence:
        inside = _target(evidence)
        x = np.broadcast_to(_places(evidence)[0], inside.shape)
        slope = (x / np.abs(x[inside]).max()).clip(-1, 1)
        return _with(evidence, _gray(evidence) * (1 + percent / 100 * slope * inside))

    return plant


def ranked(share: float, factor: float, *, hottest: bool) -> Plant:
    """Scale the hottest or coldest share (%) of the target."""

    def plant(evidence: Evidence) -> Evidence:
        inside, gray = _target(evidence), _gray(evidence)
        edge = np.percentile(gray[inside], 100 - share if hottest else share)
        chosen = inside & ((gray >= edge) if hottest else (gray <= edge))
        return _with(evidence, np.where(chosen, factor * gray, gray))

    return plant


def copied(first: int, count: int, source: int) -> Plant:
    """Replace slices by another; numbered from the target's upper end, outwards."""

    def plant(evidence: Evidence) -> Evidence:
        gray = _gray(evidence)
        top = int(np.flatnonzero(_target(evidence).any(axis=(1, 2)))[-1])
        for n in range(count):
            gray[top + first + n] = gray[top + source]
        return _with(evidence, gray)

    return plant


def lost_slice(evidence: Evidence) -> Evidence:
    """No dose in the slice through the target's middle."""
    gray = _gray(evidence)
    slices = np.flatnonzero(_target(evidence).any(axis=(1, 2)))
    gray[slices[slices.size // 2]] = 0.0
    return _with(evidence, gray)


def swapped_blocks(evidence: Evidence) -> Evidence:
    """Swap the upper and the lower third of the target's slices."""
    gray = _gray(evidence)
    slices = np.flatnonzero(_target(evidence).any(axis=(1, 2)))
    third = slices.size // 3
    low, high = slices[:third], slices[-third:]
    gray[low], gray[high] = gray[high].copy(), gray[low].copy()
    return _with(evidence, gray)


def mirrored(evidence: Evidence) -> Evidence:
    """Mirror the slices through the upper third of the target, left to right about it."""
    gray = _gray(evidence)
    inside = _target(evidence)
    slices = np.flatnonzero(inside.any(axis=(1, 2)))
    columns = np.flatnonzero(inside.any(axis=(0, 1)))
    part = slice(int(columns[0]), int(columns[-1]) + 1)
    for k in slices[-(slices.size // 3) :]:
        gray[k, :, part] = gray[k, :, part][:, ::-1]
    return _with(evidence, gray)


def nothing_below(percent: float) -> Plant:
    """Set what is below a share of the prescription to zero, as for a smaller file."""

    def plant(evidence: Evidence) -> Evidence:
        gray = _gray(evidence)
        return _with(evidence, np.where(gray < percent / 100 * prescribed(evidence), 0.0, gray))

    return plant


def clipped_at(percent: float) -> Plant:
    """Cut off what is above a share of the prescription."""

    def plant(evidence: Evidence) -> Evidence:
        return _with(evidence, np.minimum(_gray(evidence), percent / 100 * prescribed(evidence)))

    return plant


def in_steps_of(percent: float) -> Plant:
    """Store the dose in steps of a share of the prescription, cut off below."""

    def plant(evidence: Evidence) -> Evidence:
        step = percent / 100 * prescribed(evidence)
        return _with(evidence, step * np.floor(_gray(evidence) / step))

    return plant


def blurred(sigma_mm: float) -> Plant:
    """A dose of much too coarse a grid."""

    def plant(evidence: Evidence) -> Evidence:
        assert evidence.reference is not None
        steps = [sigma_mm / s for s in evidence.reference.grid.spacing[::-1]]
        return _with(evidence, gaussian_filter(_gray(evidence), steps))

    return plant


def cut(keep: Callable[[Evidence, Grid], tuple[slice, slice, slice]]) -> Plant:
    """Keep a part of the reference's grid."""

    def plant(evidence: Evidence) -> Evidence:
        dose = evidence.reference
        assert dose is not None
        part = keep(evidence, dose.grid)
        gray = np.ascontiguousarray(dose.gray[part])
        first = np.array([s.start or 0 for s in part], dtype=np.float64)
        x, y, z = dose.grid.position_of(first)
        grid = Grid(gray.shape, dose.grid.spacing, (float(x), float(y), float(z)))
        return replace(evidence, reference=replace(dose, grid=grid, gray=gray))

    return plant


def around_target(margin_mm: float) -> Callable[[Evidence, Grid], tuple[slice, slice, slice]]:
    """Box around the target."""

    def keep(evidence: Evidence, grid: Grid) -> tuple[slice, slice, slice]:
        index = np.argwhere(_target(evidence))
        spare = [int(np.ceil(margin_mm / s)) for s in grid.spacing[::-1]]
        z, y, x = (
            slice(max(int(lo) - n, 0), int(hi) + n + 1)
            for lo, hi, n in zip(index.min(axis=0), index.max(axis=0), spare, strict=True)
        )
        return z, y, x

    return keep


def upper_part(evidence: Evidence, grid: Grid) -> tuple[slice, slice, slice]:
    """All from 12 mm below the target on."""
    low = int(np.argwhere(_target(evidence))[:, 0].min()) - int(12 / grid.spacing[2])
    return slice(max(low, 0), None), slice(0, None), slice(0, None)


def _spot(evidence: Evidence, low: float, high: float) -> tuple[float, float, float]:
    """Return the middle of a place outside of the targets with so much of the prescription.

    Of all voxels in the range it is the one furthest from others, at least 2 cm deep.
    """
    assert evidence.reference is not None
    grid = evidence.reference.grid
    percent = 100 * _gray(evidence) / prescribed(evidence)
    wide = gaussian_filter(_target(evidence).astype(float), [12 / s for s in grid.spacing[::-1]])
    free = deep_voxels(evidence.phantom, grid) & (wide < 0.02)
    free &= (percent > low) & (percent < high)
    depth = gaussian_filter(free.astype(float), [8 / s for s in grid.spacing[::-1]])
    index = np.unravel_index(int(np.where(free, depth, -1).argmax()), free.shape)
    x, y, z = grid.position_of(np.array(index, dtype=np.float64))
    return float(x), float(y), float(z)


def near(low: float, high: float, radius: float) -> Callable[[Evidence], Mask]:
    """Ball in a place with so much of the prescription."""

    def where(evidence: Evidence) -> Mask:
        return _inside(evidence, ball("spot", _spot(evidence, low, high), radius))

    return where


def organ_times(
    low: float, high: float, radius: float, factor: float, kind: str = "ORGAN"
) -> Plant:
    """A serial organ in a place with so much of the prescription, and its dose scaled."""

    def plant(evidence: Evidence) -> Evidence:
        organ = ball("SERIAL", _spot(evidence, low, high), radius, kind)
        with_organ = drawn(evidence, organ)
        wider = ball("wider", _spot(evidence, low, high), radius + 3.0)
        return where_times(lambda e: _inside(e, wider), factor)(with_organ)

    return plant


def named_times(name: str, factor: float) -> Plant:
    """Scale the dose in a structure of the patient."""

    def plant(evidence: Evidence) -> Evidence:
        assert evidence.structures is not None
        inside = _inside(evidence, evidence.structures[name])
        return where_times(lambda _: inside, factor)(evidence)

    return plant


def organ_beside_the_grid(kind: str) -> Plant:
    """A reference that ends at the target, and an organ beyond."""

    def plant(evidence: Evidence) -> Evidence:
        x, y, z = _spot(evidence, 12, 40)
        return cut(upper_part)(drawn(evidence, ball("DRAWN", (x, y, z - 40), 6.0, kind)))

    return plant


def _bath(evidence: Evidence) -> Mask:
    """Where the dose is 25 to 45 % of the prescription, outside of all but the body."""
    percent = 100 * _gray(evidence) / prescribed(evidence)
    return np.asarray((percent > 25) & (percent < 45) & _patient(evidence))


def _light(evidence: Evidence) -> Mask:
    """Lung: matter of 0.1 to 0.5 g/cm3 within the patient."""
    assert evidence.reference is not None
    own = evidence.phantom
    lung = (own.density > 0.1) & (own.density < 0.5)
    z, y, x = (
        np.rint((evidence.reference.grid.centres(a) - own.grid.centres(a)[0])
                / own.grid.spacing["xyz".index(a)]).astype(int).clip(0, n - 1)
        for a, n in zip("zyx", own.grid.shape, strict=True)
    )  # fmt: skip
    return np.asarray(lung[np.ix_(z, y, x)] & _patient(evidence))


def _rim(evidence: Evidence) -> Mask:
    """Outer 5 mm of the target."""
    assert evidence.reference is not None
    inside = _target(evidence)
    steps = [4 / s for s in evidence.reference.grid.spacing[::-1]]
    return np.asarray(inside & (gaussian_filter(inside.astype(float), steps) < 0.85))


def _spot_in_target(radius: float) -> Callable[[Evidence], Mask]:
    def where(evidence: Evidence) -> Mask:
        x, y, z = _places(evidence)
        return np.asarray((x**2 + y**2 + z**2 < radius**2) & _target(evidence))

    return where


def _needle(evidence: Evidence) -> Mask:
    """A pencil of 1 cm2 through the target, along y."""
    x, _, z = _places(evidence)
    return np.asarray((np.hypot(x, z) < 5.6) & _patient(evidence))


_ALL = ("thorax", "lung", "arc")
_PART, _LARGE, _OWN = "target part", "large difference", "organ own dose"

DOSE_ERRORS: tuple[DoseError, ...] = (
    DoseError("halves of the target, right and left", "+6 / -6 %", halves(0, 6), (_PART,), _ALL),
    DoseError("halves, front and back", "+6 / -6 %", halves(1, 6), (_PART,), ("thorax", "lung")),
    DoseError("halves, upper and lower", "-6 / +6 %", halves(2, -6), (_PART,), ("thorax", "arc")),
    DoseError("halves, right and left", "+4 / -4 %", halves(0, 4), (_PART,), ("thorax", "lung")),
    DoseError("quarters of the target in turn", "+6 / -6 %", octants(6), (_PART,), ("thorax",)),
    DoseError("slope across the target", "+8 to -8 %", tilt(8), (_PART,), ("lung", "arc")),
    DoseError("hottest tenth of the target", "+8 %", ranked(10, 1.08, hottest=True),
              ("target D2",), _ALL),
    DoseError("hottest twentieth of the target", "-6 %", ranked(5, 0.94, hottest=True),
              (_PART,), ("lung",)),
    DoseError("coldest tenth of the target", "-6 %", ranked(10, 0.94, hottest=False),
              ("target D98",), _ALL),
    DoseError("rim of the target", "-6 %", where_times(_rim, 0.94), (_PART,), ("thorax", "lung")),
    DoseError("all of the target", "+3.6 %", where_times(_target, 1.036),
              ("target mean", "target D50", _PART), ("thorax",)),
    DoseError("spot in the target", "1 cm3, +20 %", where_times(_spot_in_target(6.5), 1.2),
              (_LARGE,), _ALL),
    DoseError("spot in the target", "0.7 cm3, -20 %", where_times(_spot_in_target(5.8), 0.8),
              (_LARGE,), ("thorax", "lung")),
    DoseError("slice copied at the target's end", "1 slice, from 6 outside", copied(0, 1, 6),
              (_LARGE,), _ALL),
    DoseError("slices copied at the target's end", "2 slices, from outside", copied(0, 2, 4),
              (_LARGE,), ("thorax", "lung")),
    DoseError("slice without dose", "the target's middle", lost_slice, (_LARGE,), _ALL),
    DoseError("blocks of slices swapped", "thirds of the target", swapped_blocks, (_PART,),
              ("lung",)),
    DoseError("slices mirrored about the target", "its upper third", mirrored, (_PART,),
              ("thorax", "lung")),
    DoseError("low doses set to zero", "below 10 %", nothing_below(10), (_OWN,), _ALL),
    DoseError("low doses set to zero", "below 20 %", nothing_below(20), (_OWN, _LARGE),
              ("thorax",)),
    DoseError("hot dose cut off", "at 97 % of the prescription", clipped_at(97), ("target D2",),
              ("thorax", "arc")),
    DoseError("dose stored in coarse steps", "10 % of the prescription", in_steps_of(10), (_PART,),
              ("thorax", "lung")),
    DoseError("dose of much too coarse a grid", "blurred by 8 mm", blurred(8), (_LARGE,),
              ("thorax", "arc")),
    DoseError("lens", "0.4 cm3 at 4 to 9 %: 0 Gy", organ_times(4, 9, 4.6, 0.0), (_OWN,), _ALL),
    DoseError("pacemaker, no ROI type", "4 cm3 at 8 to 12 %: 0 Gy",
              organ_times(8, 12, 10, 0.0, ""), (_OWN,), ("thorax", "lung")),
    DoseError("cord", "8 cm3 at 40 to 60 %: -8 %", organ_times(40, 60, 12, 0.92), (_OWN,), _ALL),
    DoseError("cord", "8 cm3 at 40 to 60 %: +8 %", organ_times(40, 60, 12, 1.08), (_OWN,),
              ("lung",)),
    DoseError("optic nerve of type CONTROL", "1 cm3 at 20 to 35 %: -15 %",
              organ_times(20, 35, 6.2, 0.85, "CONTROL"), (_OWN,), ("thorax", "lung")),
    DoseError("spot outside of all structures", "1.4 cm3, +12 % of the prescription",
              where_plus(near(30, 60, 7.0), 12), (_LARGE,), _ALL),
    DoseError("spot outside of all structures", "1.4 cm3, -12 % of the prescription",
              where_plus(near(30, 60, 7.0), -12), (_LARGE,), ("thorax",)),
    DoseError("dose between 25 and 45 % of the prescription", "-20 % of itself",
              where_times(_bath, 0.8), ("local dose",), _ALL),
    DoseError("dose in lung", "+12 %", where_times(_light, 1.12), ("local dose",), ("lung",)),
    DoseError("needle through the target", "1 cm2, +15 %", where_times(_needle, 1.15), (_LARGE,),
              ("thorax", "lung")),
    DoseError("grid that ends around the target", "15 mm beyond", cut(around_target(15)),
              ("dose grid",), _ALL),
    DoseError("organ without ROI type outside of the grid", "0.9 cm3", organ_beside_the_grid(""),
              ("dose grid",), _ALL),
    DoseError("organ of type CONTROL outside of the grid", "0.9 cm3",
              organ_beside_the_grid("CONTROL"), ("dose grid",), ("thorax",)),
)  # fmt: skip
"""Every one has to be found by its own rules."""


@dataclass(frozen=True)
class Effect:
    """What an error does, % where not said otherwise.

    mean, d98, d50, d2 : of the target, of its own
    worst : voxel in the target, of the prescription
    serial : largest change of an organ's D2, of its own, where that changes by more than 0.5 Gy or
        0.5 % of the prescription
    connected_cm3 : largest piece of the patient below the skin beyond 10 % of the prescription
    """

    mean: float
    d98: float
    d50: float
    d2: float
    worst: float
    serial: float
    connected_cm3: float

    @property
    def matters(self) -> bool:
        """Whether no verification may pass it, by the project's own requirement."""
        target = max(abs(self.d98), abs(self.d50), abs(self.d2))
        return target > 3.0 or self.serial > 5.0 or self.connected_cm3 > 0.5


def effect_of(right: Evidence, wrong: Evidence) -> Effect | None:
    """Compare two references on one grid; None where the grid is the error."""
    first, second = right.reference, wrong.reference
    assert first is not None and second is not None
    if first.grid.shape != second.grid.shape:
        return None
    target = target_of(right)
    before, after = (structure_dvh(target, dose) for dose in (first, second))
    change = 100 * (second.gray.astype(float) - first.gray) / prescribed(right)
    inside = _target(right)
    below = _patient(right) & deep_voxels(right.phantom, first.grid, 5.0)
    sizes = [
        np.bincount(label(below & (sign * change > 10))[0].ravel(), minlength=2)[1:].max()
        for sign in (1, -1)
    ]
    return Effect(
        *(
            100 * (getattr(after, name) / getattr(before, name) - 1)
            for name in ("mean_gy", "near_minimum_gy", "median_gy", "near_maximum_gy")
        ),
        worst=float(change[inside][np.abs(change[inside]).argmax()]),
        serial=_serial(wrong, first, second),
        connected_cm3=float(max(sizes)) * first.grid.voxel_volume_cm3,
    )


def _serial(evidence: Evidence, first: Dose, second: Dose) -> float:
    most = 0.0
    for one in evidence.structures or ():
        if one.is_empty or kind_of(one, evidence.plan) in ("target", "external"):
            continue
        before, after = (structure_dvh(one, dose).near_maximum_gy for dose in (first, second))
        if abs(after - before) > min(0.5, 0.005 * prescribed(evidence)):
            most = max(most, 100 * abs(after - before) / max(before, 1e-9))
    return most
