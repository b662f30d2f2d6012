"""Jaws and leaves of a beam: which there are, and where they stand at each control point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dosecalc.errors import DicomError, UnsupportedError
from dosecalc.io.dicom._common import integer, items, require, text, vector

__all__ = ["Aperture", "Devices", "apertures", "read_devices"]

_JAWS = {"X": "x", "ASYMX": "x", "Y": "y", "ASYMY": "y"}
_MLCS = {"MLCX": "x", "MLCY": "y"}
_OVERLAP_MM = 0.01
"""Opposing leaves or jaws may cross by this much: closed pairs are written rounded."""
_SAME_MM = 1e-3
"""Two statements of one position that differ by less agree."""


class Devices(NamedTuple):
    """Beam limiting devices a beam declares.

    `jaw_axes` holds "x" and "y" where the beam has such jaws. `mlc` is "MLCX",
    "MLCY" or "" (none), `boundaries` the (n + 1,) leaf edges in mm or None.
    """

    jaw_axes: frozenset[str]
    mlc: str
    boundaries: NDArray[np.float64] | None

    @property
    def leaf_axis(self) -> str | None:
        """Direction of leaf travel, "x" or "y"; None without leaves."""
        return _MLCS.get(self.mlc)


class Aperture(NamedTuple):
    """Jaws and leaves at one control point, as `ControlPoint` holds them."""

    jaws_x: tuple[float, float] | None
    jaws_y: tuple[float, float] | None
    leaves: NDArray[np.float64] | None


def read_devices(beam: Dataset, where: str) -> Devices:
    """Return the devices of a beam.

    Raises
    ------
    UnsupportedError
        More than one multileaf collimator or layer of leaves, or an unknown device.
    DicomError
        No device at all, leaf boundaries missing or out of order.
    """
    declared = items(beam, "BeamLimitingDeviceSequence", where)
    types = [_type(item, where) for item in declared]
    if not types:
        raise DicomError(
            f"{where}: BeamLimitingDeviceSequence (300A,00B6) is missing or empty; "
            "without jaws or leaves the field is unknown"
        )
    _refuse_unmodelled(types, where)
    jaw_axes, mlc, boundaries = set(), "", None
    for item, kind in zip(declared, types, strict=True):
        pairs = integer(item, "NumberOfLeafJawPairs", f"{where}, {kind}")
        if kind in _MLCS:
            mlc, boundaries = kind, _boundaries(item, pairs, f"{where}, {kind}")
        elif pairs != 1:
            raise DicomError(f"{where}: {pairs} pairs of {kind} jaws; one is needed")
        else:
            jaw_axes.add(_JAWS[kind])
    return Devices(frozenset(jaw_axes), mlc, boundaries)


def _type(item: Dataset, place: str) -> str:
    require(item, "RTBeamLimitingDeviceType", place)
    return text(item, "RTBeamLimitingDeviceType", place)


def _refuse_unmodelled(types: list[str], where: str) -> None:
    mlcs = [kind for kind in types if kind.startswith("MLC")]
    if len(mlcs) > 1 and {"MLCX", "MLCY"} != set(mlcs):
        raise UnsupportedError(
            f"{where}: two-layer multileaf collimator ({', '.join(mlcs)}), as Halcyon, Ethos and "
            "MRIdian have; only single-layer collimators are modelled"
        )
    if len(mlcs) > 1:
        raise UnsupportedError(
            f"{where}: two multileaf collimators ({', '.join(mlcs)}); only one is modelled"
        )
    for kind in types:
        if kind not in _JAWS and kind not in _MLCS:
            raise UnsupportedError(
                f"{where}: RTBeamLimitingDeviceType (300A,00B8) is {kind!r}; "
                f"modelled are {', '.join((*_JAWS, *_MLCS))}"
            )
    repeated = [kind for kind, n in Counter(types).items() if n > 1]
    if repeated:
        raise DicomError(f"{where}: the device {repeated[0]} is declared more than once")


def _boundaries(item: Dataset, pairs: int, place: str) -> NDArray[np.float64]:
    if pairs < 1:
        raise DicomError(f"{place}: NumberOfLeafJawPairs (300A,00BC) is {pairs}")
    edges = vector(item, "LeafPositionBoundaries", pairs + 1, place)
    if (np.diff(edges) <= 0).any():
        raise DicomError(
            f"{place}: LeafPositionBoundaries (300A,00BE) do not rise: "
            f"{edges[:3].tolist()} ... {edges[-1]:g} mm"
        )
    return edges


def apertures(
    points: Sequence[Dataset], devices: Devices, where: str, notes: list[str]
) -> list[Aperture]:
    """Return jaws and leaves at every control point, inherited where a point repeats nothing.

    A device keeps its position until a control point states another (PS3.3,
    C.8.8.14.5). Leaf positions are stored bank by bank: all leaves on the
    negative side (101, 102 ...), then all on the positive side (201, 202 ...).

    Raises
    ------
    DicomError
        A declared device without a position at the first control point, a wrong
        number of positions, crossed jaws or leaves, contradictory statements.
    """
    current: dict[str, NDArray[np.float64]] = {}
    found = []
    for index, point in enumerate(points):
        place = f"{where}, control point {index}"
        stated = _stated_positions(point, devices, place)
        if index == 0:
            _check_complete(stated, devices, place)
        current.update(stated)
        found.append(_aperture(current, place))
    absent = [axis.upper() for axis in "xy" if axis not in devices.jaw_axes]
    if absent:
        notes.append(f"no {' and '.join(absent)} jaws in the plan")
    jaws = [kind for kind in current if kind in _JAWS]
    if len(jaws) > len(devices.jaw_axes):
        notes.append(f"one pair of jaws under two names, in agreement: {', '.join(jaws)}")
    return found


def _stated_positions(
    point: Dataset, devices: Devices, place: str
) -> dict[str, NDArray[np.float64]]:
    stated: dict[str, NDArray[np.float64]] = {}
    for item in items(point, "BeamLimitingDevicePositionSequence", place):
        kind = _type(item, place)
        if kind != devices.mlc and _JAWS.get(kind) not in devices.jaw_axes:
            raise DicomError(
                f"{place}: positions of {kind!r}, which BeamLimitingDeviceSequence does not declare"
            )
        edges = devices.boundaries
        count = 2 * (edges.size - 1) if kind in _MLCS and edges is not None else 2
        positions = vector(item, "LeafJawPositions", count, f"{place}, {kind}").reshape(2, -1)
        _refuse_crossed(positions, kind, place)
        if kind in stated:
            raise DicomError(f"{place}: positions of {kind} are stated twice")
        stated[kind] = positions
    return stated


def _refuse_crossed(positions: NDArray[np.float64], kind: str, place: str) -> None:
    crossing = positions[0] - positions[1]
    worst = int(np.argmax(crossing))
    if crossing[worst] <= _OVERLAP_MM:
        return
    what = f"leaf pair {worst + 1} of {kind}" if kind in _MLCS else f"{kind} jaws"
    raise DicomError(
        f"{place}: the {what} cross: {positions[0, worst]:g} mm on the negative side, "
        f"{positions[1, worst]:g} mm on the positive side"
    )


def _check_complete(stated: dict[str, NDArray[np.float64]], devices: Devices, place: str) -> None:
    axes = {_JAWS[kind] for kind in stated if kind in _JAWS}
    missing = [f"{axis.upper()} jaws" for axis in sorted(devices.jaw_axes - axes)]
    if devices.mlc and devices.mlc not in stated:
        missing.append(devices.mlc)
    if missing:
        raise DicomError(f"{place}: no position for the declared {' and '.join(missing)}")


def _aperture(current: dict[str, NDArray[np.float64]], place: str) -> Aperture:
    jaws: dict[str, tuple[float, float]] = {}
    leaves = None
    for kind, positions in current.items():
        if kind in _MLCS:
            leaves = positions
            continue
        # Crossed by less than the tolerance: closed.
        low, high = float(positions[0, 0]), float(max(positions[0, 0], positions[1, 0]))
        axis = _JAWS[kind]
        other = jaws.get(axis)
        if other is not None and max(abs(other[0] - low), abs(other[1] - high)) > _SAME_MM:
            raise DicomError(
                f"{place}: contradictory {axis.upper()} jaws: {other} mm and "
                f"({low:g}, {high:g}) mm as {kind}"
            )
        jaws[axis] = other or (low, high)
    return Aperture(jaws.get("x"), jaws.get("y"), leaves)
