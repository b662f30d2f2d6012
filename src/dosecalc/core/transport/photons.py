"""Photons through voxels: each has many interactions, each with a share of its weight."""

from __future__ import annotations

import numpy as np

from dosecalc.core._jit import jit, jit_inline
from dosecalc.core.transport.electrons import (
    AT_X,
    AT_Y,
    AT_Z,
    ENERGY,
    VOXEL_I,
    VOXEL_J,
    VOXEL_K,
    WAY_U,
    WAY_V,
    WAY_W,
    WEIGHT,
    follow_electrons,
    push,
)
from dosecalc.core.transport.random import uniform
from dosecalc.core.transport.sampling import (
    MASS,
    azimuth,
    compton,
    pair,
    pair_cosine,
    photoelectron_cosine,
    rayleigh_cosine,
    turn,
)
from dosecalc.core.transport.tally import deposit

__all__ = ["atom", "enter", "follow_photons", "interact", "interaction"]

_FAR = 1e30

# What photons do, in the order of the shares in `PhotonTables`; what is left are pairs.
COMPTON, PHOTOELECTRIC, COHERENT, PAIR = 0, 1, 2, 3

# Photons of less energy, MeV, have fewer interactions in proportion: those matter less.
_WHOLE_SPLITTING = 1.0


@jit
def enter(matter, place, direction):
    """Distance at which a ray from outside (or inside) is first in the grid; negative if never."""
    near, far = 0.0, _FAR
    nz, ny, nx = matter.density.shape
    size = (nx, ny, nz)
    for axis in range(3):
        upper = size[axis] * matter.spacing[axis]
        if direction[axis] == 0.0:
            if place[axis] < 0.0 or place[axis] >= upper:
                return -1.0
            continue
        a = -place[axis] / direction[axis]
        b = (upper - place[axis]) / direction[axis]
        near, far = max(near, min(a, b)), min(far, max(a, b))
    return near if near < far else -1.0


@jit
def _set_free(kinetic, charge, place, direction, voxel, weight, cuts, tally, electrons):
    """Put an electron on the stack, or absorb it here if it is below the cut-off and negative."""
    if kinetic <= cuts.electron and charge < 0:
        deposit(tally, kinetic * weight, voxel, place, direction)
        return
    push(electrons, place, direction, voxel, max(kinetic, 0.0), charge, weight)


@jit
def interaction(tables, material, at, energy, stream):
    """Choose one of the four interactions; `at` is the node of ln E below and the share above."""
    node, share = at
    chance = uniform(stream)
    for kind in (COMPTON, PHOTOELECTRIC, COHERENT):
        lower = tables.shares[material, node, kind]
        chance -= lower + share * (tables.shares[material, node + 1, kind] - lower)
        if chance < 0:
            return kind
    return PAIR if energy > 2.0 * MASS else PHOTOELECTRIC


@jit_inline
def atom(tables, material, at, energy):
    """Forward bias of coherent scattering and binding in incoherent scattering."""
    node, share = at
    lower = tables.form[material, node]
    form = lower + share * (tables.form[material, node + 1] - lower)
    return form, tables.binding[material] * energy * energy


@jit
def interact(
    kind, energy, atom, place, direction, voxel, weight, goes_on, cuts, stream, stacks, tally
):
    """One interaction of a part `weight` of a photon, of a kind that `interaction` names.

    atom : what `rayleigh_cosine` and `compton` have to know of it, see `atom`.

    A scattered photon goes on with `goes_on`, the photon's whole weight, or not at all if that
    is zero.
    """
    electrons, photons = stacks
    u, v, w = direction
    around = azimuth(stream)
    opposite = (-around[0], -around[1])
    if kind == COHERENT:
        if goes_on > 0:
            way = turn(u, v, w, rayleigh_cosine(stream, atom[0]), around)
            push(photons, place, way, voxel, energy, 0.0, goes_on)
    elif kind == COMPTON:
        scattered, cosine, electron_cosine = compton(stream, energy, atom[1])
        electron_way = turn(u, v, w, electron_cosine, opposite)
        freed = energy - scattered
        _set_free(freed, -1.0, place, electron_way, voxel, weight, cuts, tally, electrons)
        if scattered <= cuts.photon:
            deposit(tally, scattered * weight, voxel, place, turn(u, v, w, cosine, around))
        elif goes_on > 0:
            way = turn(u, v, w, cosine, around)
            push(photons, place, way, voxel, scattered, 0.0, goes_on)
    elif kind == PHOTOELECTRIC:
        way = direction
        if energy > cuts.electron:
            way = turn(u, v, w, photoelectron_cosine(stream, energy), around)
        _set_free(energy, -1.0, place, way, voxel, weight, cuts, tally, electrons)
    else:
        first, second = pair(stream, energy)
        way = turn(u, v, w, pair_cosine(stream, first), around)
        _set_free(first, -1.0, place, way, voxel, weight, cuts, tally, electrons)
        way = turn(u, v, w, pair_cosine(stream, second), opposite)
        _set_free(second, 1.0, place, way, voxel, weight, cuts, tally, electrons)


@jit
def _follow(matter, tables, electron_tables, cuts, stream, photons, electrons, tally):
    """Follow the photon on top of the stack; returns the energy that left the grid.

    Where its interactions are is drawn evenly from the exponential distribution: number n of N
    at the optical depth -ln(1 - (r + n) / N), with one r for all. Of the N scattered
    photons one, drawn at random, goes on with the whole weight (Kawrakow, Rogers
    and Walters, Med Phys 31:2883 (2004)).
    """
    top = int(photons[0, 0])
    row = photons[top]
    photons[0, 0] = top - 1
    x, y, z = row[AT_X], row[AT_Y], row[AT_Z]
    u, v, w = row[WAY_U], row[WAY_V], row[WAY_W]
    i, j, k = int(row[VOXEL_I]), int(row[VOXEL_J]), int(row[VOXEL_K])
    energy, weight = row[ENERGY], row[WEIGHT]
    at = (np.log(energy) - tables.first) * tables.per_step
    node = min(max(int(at), 0), tables.total.shape[1] - 2)
    share = at - node
    hx, hy, hz = matter.spacing
    densities, materials, totals = matter.density, matter.material, tables.total
    nz, ny, nx = densities.shape
    parts = min(cuts.splitting, 1 + int(cuts.splitting * energy / _WHOLE_SPLITTING))
    offset = uniform(stream)
    chosen = int(uniform(stream) * parts)
    number, depth = 0, 0.0
    target = -np.log(1.0 - offset / parts)
    known, total = -1, 0.0
    step_x, step_y, step_z = 1 if u > 0 else -1, 1 if v > 0 else -1, 1 if w > 0 else -1
    next_x = ((i + (u > 0)) * hx - x) / u if u != 0 else _FAR
    next_y = ((j + (v > 0)) * hy - y) / v if v != 0 else _FAR
    next_z = ((k + (w > 0)) * hz - z) / w if w != 0 else _FAR
    gap_x = hx / abs(u) if u != 0 else _FAR
    gap_y = hy / abs(v) if v != 0 else _FAR
    gap_z = hz / abs(w) if w != 0 else _FAR
    travelled, left = 0.0, 0.0
    while True:
        m = int(materials[k, j, i])
        if m != known:
            known = m
            total = totals[m, node] + share * (totals[m, node + 1] - totals[m, node])
        rate = total * densities[k, j, i]
        end = min(next_x, min(next_y, next_z))
        depth_behind = depth + rate * (end - travelled)
        while target < depth_behind:
            distance = travelled + (target - depth) / rate
            place = (x + u * distance, y + v * distance, z + w * distance)
            kind = interaction(tables, m, (node, share), energy, stream)
            interact(
                kind,
                energy,
                atom(tables, m, (node, share), energy),
                place,
                (u, v, w),
                (i, j, k),
                weight / parts,
                weight if number == chosen else 0.0,
                cuts,
                stream,
                (electrons, photons),
                tally,
            )
            left += follow_electrons(
                matter, electron_tables, cuts, stream, electrons, photons, tally
            )
            number += 1
            if number == parts:
                return left
            target = -np.log(1.0 - (offset + number) / parts)
        depth, travelled = depth_behind, end
        if end == next_x:
            i += step_x
            next_x += gap_x
        elif end == next_y:
            j += step_y
            next_y += gap_y
        else:
            k += step_z
            next_z += gap_z
        if i < 0 or j < 0 or k < 0 or i >= nx or j >= ny or k >= nz:
            # The part that would have interacted farther on.
            return left + energy * weight * (parts - number) / parts


@jit
def follow_photons(matter, tables, electron_tables, cuts, stream, photons, electrons, tally):
    """Follow all photons on the stack and what they set free; returns the energy that left."""
    left = 0.0
    while photons[0, 0] > 0:
        left += _follow(matter, tables, electron_tables, cuts, stream, photons, electrons, tally)
    return left
