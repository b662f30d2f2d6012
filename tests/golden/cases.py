"""The golden cases: three engines, five scenes each, small enough to be calculated in a second.

What they need of the library is imported here and nowhere else in this folder, so that a move of
modules touches one place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.machines import load_machine
from dosecalc.engines import collapsed_cone, monte_carlo, pencil_beam
from dosecalc.model import Beam, ControlPoint, Dose, Grid, Machine, PatientPosition, Phantom, Plan

__all__ = ["CASES", "Case", "case_dose", "dense"]

MACHINE = "generic-6mv"

# Water behind 12 mm of air at the front, with air on both sides; the isocentre in its middle.
_GRID = Grid(
    shape=(20, 22, 20), spacing=(6.0, 6.0, 6.0), origin=(-57.0, -69.0, -57.0)
)  # shape is z, y, x; spacing and origin are x, y, z
_MATERIALS = ("air", "water", "lung", "cortical_bone")
_AIR, _WATER, _LUNG, _BONE = range(4)
_MU = 120.0
_JAWS_X, _JAWS_Y = (-34.0, 38.0), (-30.0, 34.0)

# Few cones, few histories, coarse maps: what is guarded is that nothing moves, not accuracy.
# The uncertainty decides how long Monte Carlo calibrates.
_ENGINES: dict[str, Callable[..., Dose]] = {
    "collapsed-cone": partial(
        collapsed_cone.compute,
        settings=collapsed_cone.CollapsedConeSettings(
            directions=24, primary_voxel_mm=3.0, fluence_pixel_mm=2.0
        ),
    ),
    "pencil-beam": partial(
        pencil_beam.compute, settings=pencil_beam.PencilBeamSettings(fluence_pixel_mm=2.0)
    ),
    "monte-carlo": partial(
        monte_carlo.compute,
        settings=monte_carlo.MonteCarloSettings(
            histories=2_000, uncertainty=0.5, seed=20260101, fluence_pixel_mm=2.0
        ),
    ),
}


@dataclass(frozen=True)
class Case:
    """One engine on one scene; `name` is that of its file."""

    engine: str
    scene: str

    @property
    def name(self) -> str:
        return f"{self.engine}-{self.scene}"


def phantom(slab: int | None = None) -> Phantom:
    """Water in air; with a slab of lung (0.26 g/cm3) or bone (1.85 g/cm3) across the beam."""
    x, y = _GRID.centres("x")[None, None, :], _GRID.centres("y")[None, :, None]
    shape = np.ones(_GRID.shape, bool)
    material = np.where(shape & (y > -60) & (abs(x) < 54), _WATER, _AIR)
    density = np.where(material == _WATER, 1.0, 0.0012)
    if slab is not None:
        # Lung: 36 mm from 36 mm deep. Bone: 18 mm from 24 mm deep.
        first, last, dense = (-24, 12, 0.26) if slab == _LUNG else (-36, -18, 1.85)
        inside = (material == _WATER) & (y > first) & (y < last)
        material, density = np.where(inside, slab, material), np.where(inside, dense, density)
    return Phantom(
        _GRID, density.astype(np.float32), material.astype(np.uint8), materials=_MATERIALS
    )


def dense(case: Case) -> NDArray[np.bool_]:
    """Voxels of a case that are not air, (nz, ny, nx): the largest dose is that of one of them."""
    return np.asarray(phantom(_SCENES[case.scene][0]).material != _AIR)


def _leaves(machine: Machine, low: float, high: float, slant: float = 0.0) -> NDArray[np.float64]:
    """Leaf tips, mm, (2, n): a window from low to high, moved by `slant` per mm across it."""
    assert machine.mlc is not None
    edges = machine.mlc.boundaries_mm
    middles = (edges[1:] + edges[:-1]) / 2
    moved = slant * np.clip(middles, *_JAWS_Y)
    return np.array([low + moved, high + moved])


def _beam(machine: Machine, *points: ControlPoint) -> Beam:
    assert machine.mlc is not None
    return Beam(
        number=1,
        name="golden",
        energy_mv=machine.energy_mv,
        fluence_mode=machine.fluence_mode,
        machine_name=machine.name,
        sad_mm=machine.sad_mm,
        mu=_MU,
        control_points=points,
        leaf_boundaries=machine.mlc.boundaries_mm,
        leaf_axis=machine.mlc.axis,
    )


def _still(machine: Machine, **changes: float) -> Beam:
    """A still field with slanting edges, nowhere symmetric."""
    angles = {"gantry_deg": 0.0, "collimator_deg": 0.0, "couch_deg": 0.0} | changes
    point = ControlPoint(
        meterset_fraction=0.0,
        isocentre=(0.0, 0.0, 0.0),
        jaws_x=_JAWS_X,
        jaws_y=_JAWS_Y,
        leaves=_leaves(machine, -24.0, 28.0, slant=0.2),
        **angles,
    )
    return _beam(machine, point, replace(point, meterset_fraction=1.0))


def _sliding_window(machine: Machine) -> Beam:
    """A gap of 16 mm, later 24 mm, that crosses the field with unequal steps of MU."""
    still = _still(machine, gantry_deg=20.0, collimator_deg=10.0).control_points[0]
    steps = [(0.0, -36.0, -20.0), (0.3, -16.0, 0.0), (0.75, 0.0, 24.0), (1.0, 20.0, 36.0)]
    return _beam(
        machine,
        *(
            replace(still, meterset_fraction=at, leaves=_leaves(machine, low, high, slant=0.1))
            for at, low, high in steps
        ),
    )


def _arc(machine: Machine) -> Beam:
    """50 degrees clockwise through 0 in six control points, leaves moving, unequal MU."""
    still = _still(machine, collimator_deg=15.0).control_points[0]
    metersets = (0.0, 0.1, 0.35, 0.5, 0.85, 1.0)
    points = [
        replace(
            still,
            meterset_fraction=at,
            gantry_deg=(335.0 + 10.0 * n) % 360,
            gantry_direction="CW" if at < 1 else "NONE",
            leaves=_leaves(machine, -24.0 + 4 * n, 8.0 + 4 * n, slant=0.1),
        )
        for n, at in enumerate(metersets)
    ]
    assert all(a.meterset_fraction < b.meterset_fraction for a, b in pairwise(points))
    return _beam(machine, *points)


_SCENES: dict[str, tuple[int | None, Callable[[Machine], Beam]]] = {
    "static": (None, partial(_still, gantry_deg=25.0, collimator_deg=30.0, couch_deg=15.0)),
    "sliding-window": (None, _sliding_window),
    "arc": (None, _arc),
    "lung": (_LUNG, _still),
    "bone": (_BONE, _still),
}

CASES = tuple(Case(engine, scene) for engine in _ENGINES for scene in _SCENES)


def case_dose(case: Case, *, denser: float = 1.0) -> Dose:
    """Dose of one fraction of a case, Gy; `denser` multiplies all densities."""
    machine = load_machine(MACHINE)
    slab, beam = _SCENES[case.scene]
    matter = phantom(slab)
    matter = replace(matter, density=matter.density * np.float32(denser))
    plan = Plan(beams=(beam(machine),), position=PatientPosition.HFS)
    return _ENGINES[case.engine](matter, plan, machine)
