"""Small beams and machines the tests of this package share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam import Fluence, beam_fluences
from dosecalc.data.machines import point_source_machine
from dosecalc.data.spectra import monoenergetic
from dosecalc.model import (
    Beam,
    ControlPoint,
    JawModel,
    Limits,
    Machine,
    MlcModel,
    PatientPosition,
    PhotonSource,
)

LEAF_EDGES = np.array([-30.0, -20.0, -10.0, -4.0, 3.0, 10.0, 20.0, 30.0])


def machine(**changes: Any) -> Machine:
    """Ideal machine: point source, opaque sharp jaws and leaves along x."""
    bare = point_source_machine(monoenergetic(1.25), 1000.0)
    mlc = MlcModel(
        axis="x",
        boundaries_mm=LEAF_EDGES,
        transmission=0.0,
        tip_offset_mm=0.0,
        distance_mm=510.0,
        range_mm=(-200.0, 200.0),
    )
    jaws = {
        "jaws_x": JawModel(distance_mm=445.0, transmission=0.0, range_mm=(-200.0, 200.0)),
        "jaws_y": JawModel(distance_mm=357.0, transmission=0.0, range_mm=(-200.0, 200.0)),
    }
    ideal = replace(bare, name="ideal", mlc=mlc, limits=Limits(1.0, 400.0, 1000.0), **jaws)
    return replace(ideal, **changes)


FOCAL = (PhotonSource(1.0, 1.2, 1.2),)
FOCAL_AND_FILTER = (PhotonSource(0.9, 1.2, 0.8), PhotonSource(0.1, 15.0, 12.0, 125.0))


def point(fraction: float, **changes: Any) -> ControlPoint:
    """Control point at gantry 0 with a 10 x 10 cm2 field."""
    state: dict[str, Any] = {
        "gantry_deg": 0.0,
        "collimator_deg": 0.0,
        "couch_deg": 0.0,
        "isocentre": (0.0, 0.0, 0.0),
        "jaws_x": (-50.0, 50.0),
        "jaws_y": (-50.0, 50.0),
    }
    return ControlPoint(meterset_fraction=fraction, **{**state, **changes})


def beam(*points: ControlPoint, mu: float = 100.0, **changes: Any) -> Beam:
    """Beam for `machine` with the leaf geometry of its control points; one is held still."""
    states = points if len(points) > 1 else (points[0], replace(points[0], meterset_fraction=1.0))
    leaves = points[0].leaves is not None
    values: dict[str, Any] = {
        "number": 1,
        "name": "AP",
        "energy_mv": 1.25,
        "fluence_mode": "STANDARD",
        "machine_name": "TB1",
        "sad_mm": 1000.0,
        "leaf_boundaries": LEAF_EDGES if leaves else None,
        "leaf_axis": "x" if leaves else None,
    }
    return Beam(mu=mu, control_points=states, **{**values, **changes})


def leaves(low: Any, high: Any, rows: int = LEAF_EDGES.size - 1) -> NDArray[np.float64]:
    """Leaf positions (2, rows) from one value or one per row and bank."""
    return np.array([np.broadcast_to(low, rows), np.broadcast_to(high, rows)], dtype=float)


def only(found: tuple[Fluence, ...]) -> Fluence:
    """Return the single map of a beam that stands still."""
    (fluence,) = found
    return fluence


def fluence_of(planned: Beam, model: Machine, **settings: Any) -> Fluence:
    return only(beam_fluences(planned, PatientPosition.HFS, model, **settings))


def edges_u(fluence: Fluence) -> NDArray[np.float64]:
    return fluence.u0 + fluence.pixel_u * np.arange(fluence.values.shape[1] + 1)


def edges_v(fluence: Fluence) -> NDArray[np.float64]:
    return fluence.v0 + fluence.pixel_v * np.arange(fluence.values.shape[0] + 1)


def centres(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    return (edges[:-1] + edges[1:]) / 2


def value_at(fluence: Fluence, u: float, v: float) -> float:
    """Value of the pixel that holds (u, v); 0 outside the map."""
    i = int(np.floor((u - fluence.u0) / fluence.pixel_u))
    j = int(np.floor((v - fluence.v0) / fluence.pixel_v))
    rows, columns = fluence.values.shape
    return float(fluence.values[j, i]) if 0 <= i < columns and 0 <= j < rows else 0.0


def integral(fluence: Fluence) -> float:
    """Integral of the map, MU mm2."""
    return float(fluence.values.sum(dtype=float) * fluence.pixel_u * fluence.pixel_v)


def covered(edges: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Share of each pixel between two edges."""
    inside = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
    return np.clip(inside, 0, None) / np.diff(edges)
