"""The collimators of a beam at its control points, as the machine model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam.segments import Part
from dosecalc.core.aperture import WIDE_OPEN, Motion
from dosecalc.errors import InputError
from dosecalc.model import Beam, ControlPoint, JawModel, Machine

__all__ = ["Devices", "beam_devices", "device_motion", "nominal_envelope"]


@dataclass(frozen=True)
class Devices:
    """Collimator edges at n control points, mm in the isocentre plane.

    Absent collimators stand at plus and minus `WIDE_OPEN`; a beam without leaves
    has one leaf pair that is wide open.

    Parameters
    ----------
    axis : {"x", "y"}
        Leaf travel, called "along"; the other axis is "across".
    along, across : (n, 2) float64
        Low and high jaw.
    leaves : (n, rows, 2) float64
        Low and high tip where a sharp tip would stand: `MlcModel.tip_offset_mm`
        further back than the plan says.
    boundaries : (rows + 1,) float64
    along_model, across_model : JawModel or None
    has_leaves : bool
    """

    axis: str
    along: NDArray[np.float64]
    across: NDArray[np.float64]
    leaves: NDArray[np.float64]
    boundaries: NDArray[np.float64]
    along_model: JawModel | None
    across_model: JawModel | None
    has_leaves: bool


def beam_devices(beam: Beam, machine: Machine) -> Devices:
    """Return the collimators of a beam that the machine can deliver (see `check_beam`).

    Jaws that the plan does not state stand at the machine's limits, and jaws that the
    machine does not have are absent.

    Raises
    ------
    InputError
        A pair of jaws is stated at some control points only.
    """
    axis = beam.leaf_axis or "x"
    jaws = {name: _jaws(beam, f"jaws_{name}", getattr(machine, f"jaws_{name}")) for name in "xy"}
    models = {"x": machine.jaws_x, "y": machine.jaws_y}
    other = "y" if axis == "x" else "x"
    leaves, boundaries = _leaves(beam, machine)
    return Devices(
        axis=axis,
        along=jaws[axis],
        across=jaws[other],
        leaves=leaves,
        boundaries=boundaries,
        along_model=models[axis],
        across_model=models[other],
        has_leaves=beam.leaf_boundaries is not None,
    )


def _jaws(beam: Beam, name: str, model: JawModel | None) -> NDArray[np.float64]:
    stated = [getattr(point, name) for point in beam.control_points]
    missing = sum(pair is None for pair in stated)
    if missing not in (0, len(stated)):
        raise InputError(
            f"beam {beam.number} ({beam.name}): {name} are stated at some control points and "
            f"missing at {missing}; state them at all or none"
        )
    if missing == 0 and model is not None:
        return np.array(stated, dtype=np.float64)
    pair = (-WIDE_OPEN, WIDE_OPEN) if model is None else model.range_mm
    return np.tile(np.array(pair, dtype=np.float64), (len(stated), 1))


def _leaves(beam: Beam, machine: Machine) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    bank = np.array([-WIDE_OPEN, WIDE_OPEN])
    if beam.leaf_boundaries is None or machine.mlc is None:
        return np.tile(bank, (len(beam.control_points), 1, 1)), bank
    tips = np.array([_tips(point) for point in beam.control_points])
    offset = machine.mlc.tip_offset_mm * np.array([-1.0, 1.0])
    return tips + offset, machine.mlc.boundaries_mm


def _tips(point: ControlPoint) -> NDArray[np.float64]:
    """Tips (rows, 2) of one control point of a beam with leaves."""
    if point.leaves is None:
        raise InputError("a control point has no leaf positions although the beam has leaves")
    return point.leaves.T


def device_motion(devices: Devices, parts: Sequence[Part]) -> Motion:
    """Motion of the collimators during parts of control-point intervals; weights in MU."""
    first = np.array([part.interval for part in parts])
    start = np.array([part.start for part in parts])
    stop = np.array([part.stop for part in parts])

    def ends(edges: NDArray[np.float64]) -> NDArray[np.float64]:
        shape = (-1,) + (1,) * (edges.ndim - 1)
        before, way = edges[first], edges[first + 1] - edges[first]
        at_start = before + start.reshape(shape) * way
        at_stop = before + stop.reshape(shape) * way
        stacked = np.stack((at_start, at_stop), axis=-1)
        return np.ascontiguousarray(stacked.reshape(*stacked.shape[:-2], 4))

    return Motion(
        weight=np.array([part.mu for part in parts]),
        along=ends(devices.along),
        across=ends(devices.across),
        leaves=ends(devices.leaves),
        boundaries=np.ascontiguousarray(devices.boundaries),
    )


def nominal_envelope(motion: Motion) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Box around everything that is open at the ends of any interval.

    Returns
    -------
    (low, high) along and (low, high) across the leaves' travel, mm, or None where
    everything is closed.
    """
    low = np.maximum(motion.leaves[..., 0:2], motion.along[:, None, 0:2])
    high = np.minimum(motion.leaves[..., 2:4], motion.along[:, None, 2:4])
    bottom = np.maximum(motion.boundaries[:-1, None], motion.across[:, None, 0:2])
    top = np.minimum(motion.boundaries[1:, None], motion.across[:, None, 2:4])
    is_open = (high > low) & (top > bottom)
    if not is_open.any():
        return None
    return (
        (float(low[is_open].min()), float(high[is_open].max())),
        (float(bottom[is_open].min()), float(top[is_open].max())),
    )
