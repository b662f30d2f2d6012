"""Right plans whose reference differs as planning systems differ: none may be flagged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.special import erfc

from dosecalc.analysis.dvh import structure_dvh
from dosecalc.model import Dose, Grid, Prescription
from dosecalc.patient.coverage import volume_fraction
from dosecalc.verification.convention import in_the_other
from dosecalc.verification.inputs import Evidence
from tests.planted.doses import ball, drawn, prescribed, target_of

__all__ = ["CLEAN", "Clean"]

Change = Callable[[Evidence], Evidence]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Clean:
    """A name, and a change of the evidence that is no error."""

    name: str
    change: Change
    patients: tuple[str, ...] = ("thorax", "lung", "arc")


def as_it_is(evidence: Evidence) -> Evidence:
    return evidence


def noisy(percent: float) -> Change:
    """Noise as of a Monte Carlo dose: so much at the maximum, growing as dose falls."""

    def change(evidence: Evidence) -> Evidence:
        dose = evidence.reference
        assert dose is not None
        gray = dose.gray.astype(np.float64)
        sigma = percent / 100 * np.sqrt(gray.clip(0) * gray.max())
        more = sigma * np.random.default_rng(1).standard_normal(gray.shape)
        new = (gray + more).clip(0).astype(np.float32)
        return replace(evidence, reference=replace(dose, gray=new))

    return change


def on_voxels(size_mm: float | None, offset: float = 0.0) -> Change:
    """On other voxels, or on voxels a share of one beside; the dose is that of cubic splines."""

    def change(evidence: Evidence) -> Evidence:
        dose = evidence.reference
        assert dose is not None
        own = dose.grid
        steps = own.spacing if size_mm is None else (size_mm,) * 3
        # All of the own grid is covered: planning systems put structures into their grids.
        first = [low + (offset - 0.5) * t for low, t in zip(own.lower, steps, strict=True)]
        nx, ny, nz = (
            int(np.ceil((high - a) / t + 0.5))
            for a, high, t in zip(first, own.upper, steps, strict=True)
        )
        grid = Grid((nz, ny, nx), steps, (first[0], first[1], first[2]))
        index = [(grid.centres(a) - own.centres(a)[0]) / own.spacing["xyz".index(a)] for a in "zyx"]
        at = np.meshgrid(*index, indexing="ij")
        gray = map_coordinates(dose.gray.astype(np.float64), at, order=3, mode="nearest")
        new = gray.clip(0).astype(np.float32)
        return replace(evidence, reference=replace(dose, grid=grid, gray=new))

    return change


def to_water(said: str) -> Change:
    """Dose to water, whether the file says so or not ("unknown")."""

    def change(evidence: Evidence) -> Evidence:
        assert evidence.reference is not None
        turned = in_the_other(evidence.reference, evidence.phantom)
        return replace(evidence, reference=replace(turned, dose_to=said))

    return change


def nothing_outside_of_the_body(evidence: Evidence) -> Evidence:
    """As planning systems write it that give no dose to couch, bolus and air."""
    dose = evidence.reference
    assert dose is not None and evidence.ct is not None
    (body,) = (s for s in evidence.structures or () if s.kind == "EXTERNAL")
    inside = volume_fraction(body, dose.grid, plane_spacing=evidence.ct.grid.spacing[2]) >= 0.5
    return replace(evidence, reference=replace(dose, gray=np.where(inside, dose.gray, 0)))


def in_sixteen_bits(evidence: Evidence) -> Evidence:
    """As an RTDOSE of 16 bits stores it."""
    dose = evidence.reference
    assert dose is not None
    step = np.float64(dose.gray.max()) / 65535
    new = (np.rint(dose.gray / step) * step).astype(np.float32)
    return replace(evidence, reference=replace(dose, gray=new))


def _middle(evidence: Evidence) -> Point:
    x, y, z = np.concatenate(
        [np.column_stack([c.points, np.full(len(c.points), c.z)])
         for c in target_of(evidence).contours]
    ).mean(axis=0)  # fmt: skip
    return float(x), float(y), float(z)


def _times(evidence: Evidence, factor: Callable[[Grid], NDArray[np.float64]]) -> Evidence:
    """Both doses, and those of single beams, times a smooth function of place."""

    def changed(dose: Dose) -> Dose:
        return replace(dose, gray=(dose.gray * factor(dose.grid)).astype(np.float32))

    assert evidence.reference is not None
    return replace(
        evidence,
        calculated=changed(evidence.calculated),
        reference=changed(evidence.reference),
        beam_doses={n: changed(dose) for n, dose in evidence.beam_doses.items()},
        beam_parts={
            n: tuple((beam, changed(dose)) for beam, dose in parts)
            for n, parts in evidence.beam_parts.items()
        },
    )


def _edge(grid: Grid, middle: Point, radius: float, width: float) -> NDArray[np.float64]:
    """1 in a ball, 0 outside, with an edge as of a penumbra."""
    z, y, x = np.meshgrid(*(grid.centres(a) for a in "zyx"), indexing="ij", sparse=True)
    r = np.sqrt((x - middle[0]) ** 2 + (y - middle[1]) ** 2 + (z - middle[2]) ** 2)
    return np.asarray(0.5 * erfc((r - radius) / (np.sqrt(2) * width)))


def boosted(evidence: Evidence) -> Evidence:
    """A simultaneous boost of 20 % to the middle of the target."""
    middle = _middle(evidence)
    found = _times(evidence, lambda grid: 1 + 0.2 * _edge(grid, middle, 16.0, 4.0))
    boost = ball("PTV boost", middle, 10.0, "PTV", number=91)
    plan = found.plan
    more = Prescription("PTV boost", round(1.2 * prescribed(found), 2), "TARGET", 91)
    plan = replace(plan, prescriptions=(*plan.prescriptions, more))
    return _as_prescribed(replace(drawn(found, boost), plan=plan))


def small_target(evidence: Evidence) -> Evidence:
    """A target of 2 cm3 in a dose that falls off around it to a third."""
    middle = _middle(evidence)
    found = _times(evidence, lambda grid: 0.3 + 0.7 * _edge(grid, middle, 13.0, 3.0))
    held = found.structures
    assert held is not None
    number = found.plan.prescriptions[0].structure_number
    others = tuple(s for s in held if s.number != number and s.kind not in ("GTV", "CTV", "PTV"))
    small = ball("PTV small", middle, 7.8, "PTV", number=number or 91)
    found = replace(found, structures=replace(held, structures=(*others, small)))
    return _as_prescribed(found)


def _as_prescribed(evidence: Evidence) -> Evidence:
    """Prescribe to each target what the reference gives it; the beams state nothing."""
    assert evidence.structures is not None and evidence.reference is not None
    doses = {s.number: s for s in evidence.structures}
    wanted = tuple(
        replace(p, dose_gy=round(structure_dvh(doses[p.structure_number], evidence.reference)
                                 .median_gy, 2))
        for p in evidence.plan.prescriptions if p.structure_number in doses
    )  # fmt: skip
    beams = tuple(replace(b, prescribed_dose_gy=None) for b in evidence.plan.beams)
    return replace(evidence, plan=replace(evidence.plan, prescriptions=wanted, beams=beams))


CLEAN = (
    Clean("as it is", as_it_is),
    Clean("noise of 1 %", noisy(1.0)),
    Clean("noise of 2 %", noisy(2.0)),
    Clean("voxels of 2 mm", on_voxels(2.0), ("thorax",)),
    Clean("voxels of 3 mm", on_voxels(3.0), ("thorax", "lung")),
    Clean("grid a third of a voxel off", on_voxels(None, 1 / 3)),
    Clean("dose to water, which the file does not say", to_water("unknown")),
    Clean("dose to water, which the file says", to_water("water"), ("thorax",)),
    Clean("no dose outside of the body", nothing_outside_of_the_body, ("thorax",)),
    Clean("stored in 16 bits", in_sixteen_bits, ("lung",)),
    Clean("a simultaneous boost", boosted, ("thorax", "lung")),
    Clean("a target of 2 cm3", small_target),
    Clean("a target of 2 cm3, noise of 1 %", lambda e: noisy(1.0)(small_target(e)), ("thorax",)),
    Clean("3 mm voxels and noise of 2 %", lambda e: noisy(2.0)(on_voxels(3.0)(e)), ("thorax",)),
)
"""With the patients of the other tests 20 and more."""
