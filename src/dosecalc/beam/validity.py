"""Whether a machine model may be used for a beam, and what to tell the reader about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam.devices import beam_devices, device_motion, nominal_envelope
from dosecalc.beam.segments import Part
from dosecalc.core.aperture import Motion
from dosecalc.errors import InputError, OutsideValidityError, UnsupportedError
from dosecalc.model import Beam, JawModel, Machine

__all__ = ["beam_notes", "check_beam"]

_SAME_MV = 0.01
_SAME_SAD_MM = 1.0
_SAME_LEAF_MM = 0.5
_SAME_POSITION_MM = 0.01
_SAME_ANGLE_DEG = 0.01
# Plans state positions to 0.1 mm or worse and may overshoot a limit by rounding.
_RANGE_SLACK_MM = 0.5
# Jaws that follow the outermost leaves are written in whole mm: half of one, and its last digit.
_NOMINAL_MM = 0.51
_CLOSED_MM = 0.01


def check_beam(beam: Beam, machine: Machine) -> None:
    """Refuse a beam that the machine model was not made for.

    Raises
    ------
    OutsideValidityError
        Energy, fluence mode, source-axis distance, leaf geometry or a collimator of the
        plan is not that of the machine, a position lies outside its range, or the field
        (the box around everything the beam opens) is smaller or larger than its limits.
    UnsupportedError
        The couch or the isocentre moves during the beam.
    InputError
        The plan states no collimator at all.
    """
    where = _where(beam, machine)
    _check_quality(beam, machine, where)
    _check_standing(beam, where)
    first = beam.control_points[0]
    if first.jaws_x is None and first.jaws_y is None and first.leaves is None:
        raise InputError(f"{where}: the plan states neither jaws nor leaves; the field is unknown")
    for name in ("jaws_x", "jaws_y"):
        _check_jaws(beam, name, getattr(machine, name), machine.limits.field_max_mm, where)
    _check_leaves(beam, machine, where)
    _check_field(beam, machine, where)


def _where(beam: Beam, machine: Machine) -> str:
    return f"beam {beam.number} ({beam.name}) on machine model {machine.name!r}"


def _check_quality(beam: Beam, machine: Machine, where: str) -> None:
    if abs(beam.energy_mv - machine.energy_mv) > _SAME_MV:
        raise OutsideValidityError(
            f"{where}: the plan says {beam.energy_mv:g} MV, the model is for "
            f"{machine.energy_mv:g} MV; choose the model of the planned energy"
        )
    if beam.fluence_mode != machine.fluence_mode:
        raise OutsideValidityError(
            f"{where}: the plan's fluence mode is {beam.fluence_mode}, the model's "
            f"{machine.fluence_mode}; flattened and FFF beams need their own model"
        )
    if abs(beam.sad_mm - machine.sad_mm) > _SAME_SAD_MM:
        raise OutsideValidityError(
            f"{where}: the plan's source-axis distance is {beam.sad_mm:g} mm, the model's "
            f"{machine.sad_mm:g} mm; they must be the same machine geometry"
        )


def _check_standing(beam: Beam, where: str) -> None:
    first = beam.control_points[0]
    for i, point in enumerate(beam.control_points):
        turned = abs((point.couch_deg - first.couch_deg + 180.0) % 360.0 - 180.0)
        if turned > _SAME_ANGLE_DEG:
            raise UnsupportedError(
                f"{where}: the couch turns from {first.couch_deg:g} to {point.couch_deg:g} degrees "
                f"at control point {i}; only a fixed couch is modelled"
            )
        if np.abs(np.subtract(point.isocentre, first.isocentre)).max() > _SAME_POSITION_MM:
            raise UnsupportedError(
                f"{where}: the isocentre moves from {first.isocentre} to {point.isocentre} mm at "
                f"control point {i}; only a fixed isocentre is modelled"
            )


def _check_jaws(
    beam: Beam, name: str, model: JawModel | None, field_max_mm: float, where: str
) -> None:
    stated = [getattr(point, name) for point in beam.control_points]
    positions = [pair for pair in stated if pair is not None]
    if not positions:
        return
    if model is None:
        # Some systems write jaws that the head does not have, wide open.
        if _wide_open(positions, field_max_mm):
            return
        covered = _covered_mm(beam, name)
        if covered is not None and covered <= _NOMINAL_MM:
            return
        if covered is not None:
            raise OutsideValidityError(
                f"{where}: the plan states {name} {positions[0]} mm, which cover up to "
                f"{covered:.1f} mm of the open leaves, but the model has no such jaws; choose the "
                "model of the planned machine"
            )
        raise OutsideValidityError(
            f"{where}: the plan states {name} {positions[0]} mm, but the model has no such jaws; "
            "choose the model of the planned machine"
        )
    low, high = model.range_mm
    for pair in positions:
        if pair[0] < low - _RANGE_SLACK_MM or pair[1] > high + _RANGE_SLACK_MM:
            raise OutsideValidityError(
                f"{where}: {name} at {pair} mm, the model allows {low:g} to {high:g} mm"
            )


def _wide_open(positions: Sequence[tuple[float, float]], field_max_mm: float) -> bool:
    half = field_max_mm / 2 - _RANGE_SLACK_MM
    return all(low <= -half and high >= half for low, high in positions)


def _covered_mm(beam: Beam, name: str) -> float | None:
    """Return how far jaws along the leaves' travel stand within an open leaf pair, mm, at most.

    Some systems write jaws for a head that has none on this axis, where the outermost leaves
    stand: they shape nothing. Between control points jaws and leaves move in a straight line, so
    that the ends decide. None where the jaws run across the leaves or a position is missing.
    """
    edges = beam.leaf_boundaries
    if edges is None or name != f"jaws_{beam.leaf_axis}":
        return None
    across = "jaws_y" if name == "jaws_x" else "jaws_x"
    most = -np.inf
    for point in beam.control_points:
        jaws, tips = getattr(point, name), point.leaves
        if jaws is None or tips is None:
            return None
        bottom, top = getattr(point, across) or (-np.inf, np.inf)
        is_open = (tips[1] - tips[0] > _CLOSED_MM) & (edges[1:] > bottom) & (edges[:-1] < top)
        if is_open.any():
            low, high = tips[0][is_open].min(), tips[1][is_open].max()
            most = max(most, jaws[0] - low, high - jaws[1])
    return float(most) if np.isfinite(most) else None


def _check_leaves(beam: Beam, machine: Machine, where: str) -> None:
    if beam.leaf_boundaries is None:
        return
    model = machine.mlc
    if model is None:
        raise OutsideValidityError(
            f"{where}: the plan has a multileaf collimator and the model has none; choose the "
            "model of the planned machine"
        )
    if beam.leaf_axis != model.axis:
        raise OutsideValidityError(
            f"{where}: the plan's leaves travel along {beam.leaf_axis}, the model's along "
            f"{model.axis}; choose the model of the planned machine"
        )
    planned, modelled = beam.leaf_boundaries, model.boundaries_mm
    if planned.size != modelled.size:
        raise OutsideValidityError(
            f"{where}: the plan has {planned.size - 1} leaf pairs, the model "
            f"{modelled.size - 1}; choose the model of the planned machine"
        )
    apart = np.abs(planned - modelled)
    if apart.max() > _SAME_LEAF_MM:
        i = int(apart.argmax())
        raise OutsideValidityError(
            f"{where}: leaf boundary {i + 1} is at {planned[i]:g} mm in the plan and at "
            f"{modelled[i]:g} mm in the model; they may differ by {_SAME_LEAF_MM} mm; choose the "
            "model of the planned machine"
        )
    tips = np.array([point.leaves for point in beam.control_points])
    low, high = model.range_mm
    if tips.min() < low - _RANGE_SLACK_MM or tips.max() > high + _RANGE_SLACK_MM:
        raise OutsideValidityError(
            f"{where}: leaf tips between {tips.min():g} and {tips.max():g} mm, the model allows "
            f"{low:g} to {high:g} mm"
        )


def _planned_motion(beam: Beam, machine: Machine) -> Motion | None:
    """Motion of all intervals with MU, leaf tips where the plan states them."""
    steps = np.diff([point.meterset_fraction for point in beam.control_points])
    parts = [Part(i, 0.0, 1.0, float(step)) for i, step in enumerate(steps) if step > 0]
    if not parts:
        return None
    motion = device_motion(beam_devices(beam, machine), parts)
    offset = machine.mlc.tip_offset_mm if machine.mlc and beam.leaf_boundaries is not None else 0.0
    return motion._replace(leaves=motion.leaves + offset * np.array([1.0, 1.0, -1.0, -1.0]))


def _check_field(beam: Beam, machine: Machine, where: str) -> None:
    motion = _planned_motion(beam, machine)
    box = None if motion is None else nominal_envelope(motion)
    if box is None:
        raise OutsideValidityError(f"{where}: jaws and leaves are closed whenever the beam is on")
    smallest, largest = machine.limits.field_min_mm, machine.limits.field_max_mm
    for name, (low, high) in zip(("along", "across"), box, strict=True):
        if high - low < smallest - _SAME_POSITION_MM:
            raise OutsideValidityError(
                f"{where}: the field is {high - low:.1f} mm wide {name} the leaves' travel, the "
                f"model holds from {smallest:g} mm up; use a model made for small fields"
            )
        if high - low > largest + 2 * _RANGE_SLACK_MM:
            raise OutsideValidityError(
                f"{where}: the field is {high - low:.1f} mm wide {name} the leaves' travel, the "
                f"model holds up to {largest:g} mm"
            )


def beam_notes(beam: Beam, machine: Machine) -> tuple[str, ...]:
    """Return what was assumed for a beam, in sentences to print; refuses what `check_beam` does."""
    check_beam(beam, machine)
    where = f"beam {beam.number} ({beam.name})"
    notes = [f"{where}: planned on {beam.machine_name!r}, calculated with model {machine.name!r}"]
    for name, model in (("X", machine.jaws_x), ("Y", machine.jaws_y)):
        missing = getattr(beam.control_points[0], f"jaws_{name.lower()}") is None
        if not missing and model is None:
            pairs = [getattr(point, f"jaws_{name.lower()}") for point in beam.control_points]
            if _wide_open([p for p in pairs if p is not None], machine.limits.field_max_mm):
                notes.append(
                    f"{where}: the plan states wide open {name} jaws, which the model has not"
                )
            else:
                notes.append(
                    f"{where}: the plan states {name} jaws at or beyond the outermost leaves, "
                    "which the model has not: taken as nominal, the leaves shape the field"
                )
        if missing and model is not None:
            low, high = model.range_mm
            notes.append(
                f"{where}: the plan states no {name} jaws; they are taken to stand at the "
                f"model's limits, {low:g} to {high:g} mm"
            )
    if machine.mlc is not None and beam.leaf_boundaries is None:
        notes.append(f"{where}: the plan states no leaves; they are taken as fully withdrawn")
    motion = _planned_motion(beam, machine)
    if motion is not None:
        small = _share_through_small_openings(motion, machine.limits.field_min_mm)
        if small > 0:
            notes.append(
                f"{where}: {100 * small:.0f} % of the MU pass openings of less area than a square "
                f"field of {machine.limits.field_min_mm:g} mm, the smallest the model was made for"
            )
    return tuple(notes)


def _share_through_small_openings(motion: Motion, side_mm: float) -> float:
    area = _areas(motion)
    return float(motion.weight[area < side_mm**2].sum() / motion.weight.sum())


def _areas(motion: Motion) -> NDArray[np.float64]:
    """Nominal open area (n,) in mm2 in the middle of each interval."""

    def middle(edges: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack((edges[..., 0:2].mean(axis=-1), edges[..., 2:4].mean(axis=-1)), axis=-1)

    along, across, leaves = middle(motion.along), middle(motion.across), middle(motion.leaves)
    low = np.maximum(leaves[..., 0], along[:, None, 0])
    high = np.minimum(leaves[..., 1], along[:, None, 1])
    bottom = np.maximum(motion.boundaries[:-1], across[:, None, 0])
    top = np.minimum(motion.boundaries[1:], across[:, None, 1])
    return np.asarray((np.clip(high - low, 0, None) * np.clip(top - bottom, 0, None)).sum(axis=1))
