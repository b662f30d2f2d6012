"""What a beam meets: the patient, a target, or nothing, told from its geometry alone.

An isocentre beside the patient (an axis or an origin mixed up on export), a beam that passes the
couch only, or a field beside its target give a dose that is zero or nearly so, which no engine
complains about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from dosecalc.beam import Fluence, beam_axes, beam_fluences
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message
from dosecalc.model import Beam, Dose, Grid, Machine, Phantom, Plan, Structure
from dosecalc.patient.coverage import volume_fraction
from dosecalc.verification.parts import beam_part, place_part

__all__ = [
    "BeamHit",
    "beam_hits",
    "hit_findings",
    "low_dose",
    "missing_beams",
    "patient_mask",
]

_RULE = "beam geometry"
# Open is what has this share of a map's largest fluence.
_OPEN = 0.1
# A ray meets the patient where it passes as much matter: 5 mm of water, mm g/cm3.
_MATTER = 5.0
_AIR = 0.05  # g/cm3
_STEP_MM, _PIXEL_MM, _ARC_DEG, _RAYS = 3.0, 2.5, 10.0, 15
_MARGIN_MM = 5.0
_TARGET_POINTS = 2000
# Shares of the open field that meets the patient. Tangential fields have half of it in the air.
_NOTHING, _LITTLE = 0.01, 0.1
_OF_EXPECTED = 0.1


@dataclass(frozen=True)
class BeamHit:
    """What one beam meets.

    Parameters
    ----------
    number : int
    name : str
    share : float
        Of the fluence of the open field, on rays that pass 5 mm of water or more in the patient.
    on_target : bool or None
        Whether the open field comes within 5 mm of any target; None where there is none.
    outside_mm : float
        How far the isocentre lies outside of the image (the dose grid without one).
    expected_gy : float
        Dose of a fraction that its MU give at the calibration point, with the fluence of its
        field; zero where that cannot be told (an arc whose axis is blocked, no calibration in Gy).
    """

    number: int
    name: str
    share: float
    on_target: bool | None
    outside_mm: float
    expected_gy: float

    @property
    def label(self) -> Message:
        """Number and name, for messages."""
        return beam_part(self.number, self.name)

    @property
    def misses(self) -> bool:
        """Whether as good as nothing of the open field meets the patient."""
        return self.share < _NOTHING


def patient_mask(
    phantom: Phantom, body: Structure | None, apart: Iterable[Structure] = ()
) -> NDArray[np.bool_]:
    """Voxels (nz, ny, nx) of the patient.

    Parameters
    ----------
    phantom : Phantom
    body : Structure or None
        The body's contour; without it all that is denser than air.
    apart : structures
        That are not the patient's, such as the couch; looked at where there is no body's contour.
    """
    if body is not None:
        return np.asarray(volume_fraction(body, phantom.grid) > 0.5)
    matter = phantom.density > _AIR
    for one in apart:
        matter &= volume_fraction(one, phantom.grid) == 0
    return np.asarray(matter)


def beam_hits(
    plan: Plan,
    machines: Mapping[int, Machine],
    phantom: Phantom,
    patient: NDArray[np.bool_],
    *,
    targets: Iterable[Structure] = (),
    image: Grid | None = None,
) -> tuple[BeamHit, ...]:
    """Tell of every beam with MU what it meets.

    Parameters
    ----------
    plan, machines, phantom
    patient : (nz, ny, nx) bool
        See `patient_mask`.
    targets : structures
    image : Grid, optional
        Of the CT.
    """
    matter = np.where(patient, phantom.density, 0.0).astype(np.float32)
    points = _points(targets)
    found = []
    for beam in plan.beams:
        if not beam.mu > 0:
            continue
        machine = machines[beam.number]
        maps = beam_fluences(
            beam, plan.position, machine, pixel_mm=_PIXEL_MM, arc_bin_deg=_ARC_DEG, cutoff=0.05
        )
        centre = beam.control_points[0].isocentre
        found.append(
            BeamHit(
                number=beam.number,
                name=beam.name,
                share=_share(maps, matter, phantom.grid),
                on_target=None if points is None else any(_sees(one, points) for one in maps),
                outside_mm=_outside(centre, image or phantom.grid),
                expected_gy=_expected(beam, plan, machine, maps),
            )
        )
    return tuple(found)


def missing_beams(plan: Plan, hits: Iterable[BeamHit]) -> tuple[Message, ...]:
    """Say of each beam that does not meet the patient where its isocentre lies."""
    centres = {beam.number: beam.control_points[0].isocentre for beam in plan.beams}
    return tuple(
        Message.of(
            "beam_geometry.misses_with_isocentre",
            beam=hit.label,
            place=place_part(centres[hit.number]),
        )
        for hit in hits
        if hit.misses
    )


def hit_findings(hits: Iterable[BeamHit], doses: Mapping[int, Dose]) -> tuple[Finding, ...]:
    """Find beams that miss, that hardly meet the patient, or that give next to nothing.

    Parameters
    ----------
    hits : BeamHit
    doses : mapping of beam number to Dose
        Of one fraction, where beams were calculated one by one.
    """
    findings = []
    for hit in hits:
        findings += [Finding(_RULE, outcome, message) for outcome, message in _said(hit)]
        if hit.number in doses and not hit.misses:
            said = low_dose(hit.label, float(doses[hit.number].gray.max()), hit.expected_gy)
            findings += [] if said is None else [Finding(_RULE, Outcome.FAIL, said)]
    return tuple(findings)


def _said(hit: BeamHit) -> list[tuple[Outcome, Message]]:
    said, beam = [], hit.label
    if hit.misses:
        said.append((Outcome.FAIL, Message.of("beam_geometry.misses", beam=beam)))
    elif hit.share < _LITTLE:
        little = Message.of("beam_geometry.little", percent=100 * hit.share, beam=beam)
        said.append((Outcome.REVIEW, little))
    elif hit.on_target is False:
        said.append((Outcome.REVIEW, Message.of("beam_geometry.beside_targets", beam=beam)))
    if hit.outside_mm > 0:
        outside = Message.of("beam_geometry.isocentre_outside", beam=beam, mm=hit.outside_mm)
        said.append((Outcome.REVIEW, outside))
    return said


def low_dose(what: Message | str, highest_gy: float, expected_gy: float) -> Message | None:
    """Say that a maximum is below a tenth of what the MU would give; None if it is not."""
    if highest_gy >= _OF_EXPECTED * expected_gy:
        return None
    return Message.of("beam_geometry.low_dose", what=what, highest=highest_gy, expected=expected_gy)


def _share(maps: Iterable[Fluence], matter: NDArray[np.float32], grid: Grid) -> float:
    met = total = 0.0
    for one in maps:
        u, v, values = _open_pixels(one)
        met += float(values[_mass(one, u, v, matter, grid) >= _MATTER].sum())
        total += float(values.sum())
    return met / total if total > 0 else 0.0


def _open_pixels(one: Fluence) -> tuple[NDArray[np.float64], ...]:
    """Middles (u, v) of some pixels of the open field, evenly spread, and their fluence."""
    rows, columns = np.nonzero(one.values >= _OPEN * one.values.max())
    every = max(1, int(np.ptp(rows)) // _RAYS + 1), max(1, int(np.ptp(columns)) // _RAYS + 1)
    kept = ((rows - rows[0]) % every[0] == 0) & ((columns - columns.min()) % every[1] == 0)
    if not kept.any():
        kept[:] = True
    rows, columns = rows[kept], columns[kept]
    u = one.u0 + (columns + 0.5) * one.pixel_u
    v = one.v0 + (rows + 0.5) * one.pixel_v
    return u, v, one.values[rows, columns].astype(np.float64)


def _mass(
    one: Fluence,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    matter: NDArray[np.float32],
    grid: Grid,
) -> NDArray[np.float64]:
    """Matter on the way of rays, mm g/cm3, from the voxels that hold points 3 mm apart."""
    ways = one.sad_mm * one.axes[2] + u[:, None] * one.axes[0] + v[:, None] * one.axes[1]
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    middle = (np.array(grid.lower) + np.array(grid.upper)) / 2
    reach = float(np.linalg.norm(np.subtract(grid.upper, grid.lower))) / 2
    # Every ray is followed where it may pass the grid: about its point closest to the middle.
    closest = np.maximum((middle - one.source) @ ways.T, 0.0)
    along = np.arange(-reach, reach + _STEP_MM, _STEP_MM)
    distance = closest[:, None] + along
    places = one.source + distance[..., None] * ways[:, None]
    index = np.rint((places - np.array(grid.origin)) / np.array(grid.spacing)).astype(np.int64)
    count = np.array(grid.shape[::-1])
    inside = ((index >= 0) & (index < count)).all(axis=-1) & (distance > 0)
    x, y, z = np.moveaxis(np.where(inside[..., None], index, 0), -1, 0)
    return np.asarray(_STEP_MM * np.where(inside, matter[z, y, x], 0.0).sum(axis=1))


def _points(targets: Iterable[Structure]) -> NDArray[np.float64] | None:
    """Corners of the contours of targets, some 2000 of them; None where there are none."""
    parts = [
        np.column_stack((c.points, np.full(len(c.points), c.z)))
        for one in targets
        for c in one.contours
    ]
    if not parts:
        return None
    points = np.concatenate(parts)
    return points[:: max(1, len(points) // _TARGET_POINTS)]


def _sees(one: Fluence, points: NDArray[np.float64]) -> bool:
    """Whether any point lies in the open field or within 5 mm of it."""
    is_open = one.values >= _OPEN * one.values.max()
    wide = int(np.ceil(_MARGIN_MM / min(one.pixel_u, one.pixel_v)))
    is_open = binary_dilation(np.pad(is_open, wide), iterations=wide)
    u, v, w = one.axes @ (points - one.source).T
    before = w > 1.0
    u, v = (part[before] * one.sad_mm / w[before] for part in (u, v))
    column = np.floor((u - one.u0) / one.pixel_u).astype(np.int64) + wide
    row = np.floor((v - one.v0) / one.pixel_v).astype(np.int64) + wide
    within = (row >= 0) & (row < is_open.shape[0]) & (column >= 0) & (column < is_open.shape[1])
    return bool(is_open[row[within], column[within]].any())


def _outside(point: tuple[float, float, float], grid: Grid) -> float:
    beyond = np.maximum(np.subtract(grid.lower, point), np.subtract(point, grid.upper))
    return float(np.linalg.norm(np.maximum(beyond, 0.0)))


def _expected(beam: Beam, plan: Plan, machine: Machine, maps: tuple[Fluence, ...]) -> float:
    """Dose of a fraction by the largest fluence; of an arc by that along the gantry's axis."""
    if machine.calibration.per_fluence or not maps:
        return 0.0
    if len(maps) == 1:
        peak = float(maps[0].values.max())
    else:
        first = beam.control_points[0]
        axis = beam_axes(plan.position, first.gantry_deg, 0.0, first.couch_deg)[1]
        along = np.arange(-200.0, 201.0, 2.0)
        total = np.zeros(along.size)
        for one in maps:
            total += _values_at(one, along * (axis @ one.axes[0]), along * (axis @ one.axes[1]))
        peak = float(total.max())
    return peak * machine.calibration.gray_per_mu


def _values_at(one: Fluence, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    column = np.floor((u - one.u0) / one.pixel_u).astype(np.int64)
    row = np.floor((v - one.v0) / one.pixel_v).astype(np.int64)
    rows, columns = one.values.shape
    within = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    values = one.values[np.where(within, row, 0), np.where(within, column, 0)]
    return np.asarray(np.where(within, values, 0.0))
