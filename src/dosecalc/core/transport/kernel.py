"""Photons forced to interact at the centre of a sphere: where their energy goes, part by part."""

from __future__ import annotations

import numpy as np
from numba import prange

from dosecalc.core._jit import jit, jit_parallel
from dosecalc.core.transport.electrons import (
    AT_X,
    AT_Y,
    AT_Z,
    CHARGE,
    ENERGY,
    WAY_U,
    WAY_V,
    WAY_W,
    follow_electrons,
    new_stacks,
)
from dosecalc.core.transport.photons import atom, interact, interaction
from dosecalc.core.transport.random import STREAM_WORDS, restart, uniform
from dosecalc.core.transport.tally import Sphere

__all__ = ["FIRST", "MULTIPLE", "PRIMARY", "RADIATIVE", "SECOND", "run_kernels"]

# Parts of the energy: by the electrons of the first interaction, by photons scattered once, twice
# and more often, by photons that electrons and positrons make.
PRIMARY, FIRST, SECOND, MULTIPLE, RADIATIVE = range(5)


@jit
def _label(photons, before, part):
    """Say of photons above a height of the stack what part of the energy they carry."""
    for number in range(before + 1, int(photons[0, 0]) + 1):
        photons[number, CHARGE] = part


@jit
def _interact_at(place, direction, energy, part, world, cuts, stream, stacks, tally):
    """Let a photon interact and follow its electrons; new photons are left on the stack."""
    matter, tables, electron_tables = world
    electrons, photons = stacks
    at = (np.log(energy) - tables.first) * tables.per_step
    node = min(max(int(at), 0), tables.total.shape[1] - 2)
    share = at - node
    kind = interaction(tables, 0, (node, share), energy, stream)
    tally.part[0] = part
    height = int(photons[0, 0])
    interact(
        kind,
        energy,
        atom(tables, 0, (node, share), energy),
        place,
        direction,
        (0, 0, 0),
        1.0,
        1.0,
        cuts,
        stream,
        (electrons, photons),
        tally,
    )
    _label(photons, height, RADIATIVE if part == RADIATIVE else min(part + 1, MULTIPLE))
    height = int(photons[0, 0])
    follow_electrons(matter, electron_tables, cuts, stream, electrons, photons, tally)
    _label(photons, height, RADIATIVE)


@jit
def _follow(world, cuts, stream, stacks, tally):
    """Follow the photon on top of the stack to its next interaction inside the sphere."""
    matter, tables, _ = world
    _, photons = stacks
    row = photons[int(photons[0, 0])]
    photons[0, 0] -= 1
    x, y, z = row[AT_X], row[AT_Y], row[AT_Z]
    u, v, w = row[WAY_U], row[WAY_V], row[WAY_W]
    energy, part = row[ENERGY], int(row[CHARGE])
    at = (np.log(energy) - tables.first) * tables.per_step
    node = min(max(int(at), 0), tables.total.shape[1] - 2)
    total = tables.total[0, node]
    total += (at - node) * (tables.total[0, node + 1] - total)
    way = -np.log(uniform(stream)) / (total * matter.density[0, 0, 0])
    x, y, z = x + way * u, y + way * v, z + way * w
    off_x, off_y, off_z = x - tally.centre[0], y - tally.centre[1], z - tally.centre[2]
    if off_x * off_x + off_y * off_y + off_z * off_z < tally.radii[-1] ** 2:
        _interact_at((x, y, z), (u, v, w), energy, part, world, cuts, stream, stacks, tally)


@jit
def _run(world, cuts, energy, seed, first, count, memory, tally):
    stream, photons, electrons = memory
    centre = (tally.centre[0], tally.centre[1], tally.centre[2])
    for number in range(count):
        restart(stream, np.uint64(seed), np.uint64(first + number))
        stacks = (electrons, photons)
        _interact_at(centre, (0.0, 0.0, 1.0), energy, PRIMARY, world, cuts, stream, stacks, tally)
        while photons[0, 0] > 0:
            _follow(world, cuts, stream, stacks, tally)


@jit_parallel
def run_kernels(
    matter,
    photon_tables,
    electron_tables,
    cuts,
    energy,
    seed,
    firsts,
    count,
    centre,
    radii,
    energies,
):
    """Run batches of photons that interact at the centre of a sphere.

    Parameters
    ----------
    matter : Matter
        One voxel of one material that holds the sphere.
    photon_tables : PhotonTables
    electron_tables : ElectronTables
    cuts : Cuts
        Without splitting.
    energy : float, MeV
    seed : int
    firsts : (n,) int64
        Number of the first history of each batch.
    count : int
        Histories per batch.
    centre : (3,) float64, cm
    radii : (nshells + 1,) float64, cm
    energies : (n, 5, ncones, nshells) float64, MeV
        Energy absorbed per part and cell is added.
    """
    n = firsts.size
    streams = np.zeros((n, STREAM_WORDS), np.uint64)
    parts = np.zeros((n, 1), np.int64)
    photons, electrons = new_stacks(n), new_stacks(n)
    for b in prange(n):
        tally = Sphere(energies[b], parts[b], centre, radii)
        _run(
            (matter, photon_tables, electron_tables),
            cuts,
            energy,
            seed,
            firsts[b],
            count,
            (streams[b], photons[b], electrons[b]),
            tally,
        )
