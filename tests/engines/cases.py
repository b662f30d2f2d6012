"""Small phantoms and beams for the tests of dose engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.machines import point_source_machine
from dosecalc.data.spectra import load_spectrum, monoenergetic
from dosecalc.engines.collapsed_cone import CollapsedConeSettings, compute
from dosecalc.model import Beam, ControlPoint, Grid, Machine, PatientPosition, Phantom, Plan

# Fewer cones and coarser lattices than by default: for what must hold at any setting.
QUICK = CollapsedConeSettings(directions=48, primary_voxel_mm=2.5, fluence_pixel_mm=2.0)
SIX_MV = point_source_machine(load_spectrum("mohan6"), 1000.0)


def mono(energy_mev: float) -> Machine:
    return point_source_machine(monoenergetic(energy_mev), 1000.0)


def cube(n: int = 60, spacing: float = 5.0, materials: tuple[str, ...] = ("water",)) -> Phantom:
    """Cube of unit density of the first material, centred on the origin."""
    first = -(n - 1) / 2 * spacing
    return Phantom(
        grid=Grid((n, n, n), (spacing,) * 3, (first,) * 3),
        density=np.ones((n, n, n), np.float32),
        material=np.zeros((n, n, n), np.uint8),
        materials=materials,
    )


def with_solid(
    phantom: Phantom, where: NDArray[np.bool_], material: int, density: float
) -> Phantom:
    return replace(
        phantom,
        density=np.where(where, density, phantom.density).astype(np.float32),
        material=np.where(where, material, phantom.material).astype(np.uint8),
    )


def places(phantom: Phantom) -> tuple[NDArray[np.float64], ...]:
    """Voxel centres x, y, z, mm, each of the phantom's shape but for axes of length 1."""
    x, y, z = (phantom.grid.centres(a) for a in "xyz")
    return x[None, None, :], y[None, :, None], z[:, None, None]


def cylinder(n: int, spacing: float, radius: float) -> Phantom:
    """Water cylinder about z in vacuum; a voxel on its face holds the share inside."""
    phantom = cube(n, spacing)
    x, y, _ = places(phantom)
    parts = ((np.arange(10) + 0.5) / 10 - 0.5) * spacing
    share = np.zeros((1, n, n))
    for dx in parts:
        for dy in parts:
            share += np.hypot(x + dx, y + dy) < radius
    density = np.broadcast_to(share / parts.size**2, phantom.grid.shape)
    return replace(phantom, density=density.astype(np.float32))


def beam(
    machine: Machine,
    field: tuple[float, float, float, float] = (-50, 50, -50, 50),
    *,
    gantry_deg: float = 0.0,
    mu: float = 1.0,
    number: int = 1,
    isocentre: tuple[float, float, float] = (0.0, 0.0, 0.0),
    arc_to_deg: float | None = None,
    **changes: Any,
) -> Beam:
    """Beam of a field x1, x2, y1, y2, mm; still, or an arc clockwise."""
    state = ControlPoint(
        meterset_fraction=0.0,
        gantry_deg=gantry_deg,
        collimator_deg=0.0,
        couch_deg=0.0,
        isocentre=isocentre,
        jaws_x=field[:2] if machine.jaws_x is not None else None,
        jaws_y=field[2:] if machine.jaws_y is not None else None,
    )
    state = replace(state, **changes)
    end = replace(state, meterset_fraction=1.0)
    if arc_to_deg is not None:
        state = replace(state, gantry_direction="CW")
        end = replace(end, gantry_deg=arc_to_deg)
    leaves = state.leaves is not None and machine.mlc is not None
    return Beam(
        number=number,
        name=f"field {number}",
        energy_mv=machine.energy_mv,
        fluence_mode=machine.fluence_mode,
        machine_name=machine.name,
        sad_mm=machine.sad_mm,
        mu=mu,
        control_points=(state, end),
        leaf_boundaries=machine.mlc.boundaries_mm if leaves and machine.mlc else None,
        leaf_axis=machine.mlc.axis if leaves and machine.mlc else None,
    )


def plan(*beams: Beam, position: PatientPosition = PatientPosition.HFS) -> Plan:
    return Plan(beams=beams, position=position)


def dose(
    phantom: Phantom,
    beams: Plan | Beam,
    machine: Machine,
    settings: CollapsedConeSettings = QUICK,
) -> NDArray[np.float64]:
    """Dose as an array of float64."""
    wanted = plan(beams) if isinstance(beams, Beam) else beams
    return compute(phantom, wanted, machine, settings).gray.astype(np.float64)
