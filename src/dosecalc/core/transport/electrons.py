"""Electrons and positrons through voxels by condensed history.

Deflections and small losses are taken together over steps of a given scattering strength (Berger,
Methods Comput Phys 1:135 (1963)); the whole deflection of a step happens at one
random place in it, which gets the mean displacements right (the random hinge of
Sempau, Wilderman and Bielajew, Phys Med Biol 45:2263 (2000)). Strength is used up along the
way at the rate of each material, so a step knows nothing of voxel faces. Knock-on
electrons and photons above the cut-offs are set free one by one.
"""

from __future__ import annotations

import numpy as np

from dosecalc.core._jit import jit, jit_inline
from dosecalc.core.transport.random import uniform
from dosecalc.core.transport.sampling import (
    MASS,
    annihilation,
    azimuth,
    bhabha,
    bremsstrahlung,
    moller,
    turn,
)
from dosecalc.core.transport.tally import deposit, deposit_along

__all__ = ["CHARGE", "ENERGY", "WEIGHT", "follow_electrons", "new_stacks", "push"]

# Columns of a stack: place, direction, voxel, kinetic energy, charge, weight.
AT_X, AT_Y, AT_Z, WAY_U, WAY_V, WAY_W, VOXEL_I, VOXEL_J, VOXEL_K, ENERGY, CHARGE, WEIGHT = range(12)
# Electrons of 30 MeV in all, none below 50 keV, are 600. Photons may be softer: beyond that
# height electrons set none free and keep the energy, so that those of pairs find room.
_DEPTH, _MOST_PHOTONS = 1000, 800

_FAR = 1e30

# What ends a straight piece of a track.
_WALL, _SCATTER, _COLLISION, _PAUSE = 0, 1, 2, 3

# No piece loses a larger share of its energy: rates are taken to change evenly along it.
_LARGEST_LOSS = 0.2


@jit
def new_stacks(count):
    """Stacks for particles that wait: (count, depth, 12) float64; row 0 holds their number."""
    return np.zeros((count, _DEPTH, 12), np.float64)


@jit
def push(stack, place, direction, voxel, energy, charge, weight):
    """Put a particle on a stack. Row 0 holds the count."""
    top = int(stack[0, 0]) + 1
    stack[0, 0] = top
    row = stack[top]
    row[AT_X], row[AT_Y], row[AT_Z] = place
    row[WAY_U], row[WAY_V], row[WAY_W] = direction
    row[VOXEL_I], row[VOXEL_J], row[VOXEL_K] = voxel
    row[ENERGY], row[CHARGE], row[WEIGHT] = energy, charge, weight


@jit_inline
def _towards(direction):
    """Inverse of a direction's component, large where it is zero, and its step in voxels."""
    if direction > 0:
        return 1.0 / direction, 1
    if direction < 0:
        return 1.0 / direction, -1
    return _FAR, 0


@jit_inline
def _wall(place, inverse, step, index, spacing):
    """Distance to the next face on one axis."""
    if step == 0:
        return _FAR
    return max(0.0, ((index + (step > 0)) * spacing - place) * inverse)


@jit_inline
def _deflect(table, material, node, largest_log, stream):
    """Sample 1 - cosine from a row of a deflection table."""
    nodes = table.shape[2]
    position = -np.log(uniform(stream)) / largest_log * (nodes - 1)
    lower = min(int(position), nodes - 2)
    share = min(position - lower, 1.0)
    value = table[material, node, lower]
    return value + share * (table[material, node, lower + 1] - value)


@jit
def _annihilate(place, voxel, weight, cuts, stream, photons):
    """Send off the two photons of a positron at rest; one in `splitting` goes on."""
    if uniform(stream) * cuts.splitting >= 1.0:
        return
    cosine = 2.0 * uniform(stream) - 1.0
    c, s = azimuth(stream)
    sine = np.sqrt(1.0 - cosine * cosine)
    u, v = sine * c, sine * s
    whole = weight * cuts.splitting
    push(photons, place, (u, v, cosine), voxel, MASS, 0.0, whole)
    push(photons, place, (-u, -v, -cosine), voxel, MASS, 0.0, whole)


@jit
def _annihilate_in_flight(place, direction, voxel, energy, weight, cuts, stream, photons):
    """Send off the two photons of a positron that moves."""
    if uniform(stream) * cuts.splitting >= 1.0:
        return
    first, cosine, second, other_cosine = annihilation(stream, energy)
    u, v, w = direction
    c, s = azimuth(stream)
    whole = weight * cuts.splitting
    push(photons, place, turn(u, v, w, cosine, (c, s)), voxel, first, 0.0, whole)
    push(photons, place, turn(u, v, w, other_cosine, (-c, -s)), voxel, second, 0.0, whole)


@jit
def _knock_on(place, direction, voxel, energy, charge, weight, cuts, stream, electrons):
    """Set free an electron; returns energy and direction of the particle after it."""
    u, v, w = direction
    c, s = azimuth(stream)
    if charge > 0:
        freed, cosine, own = bhabha(stream, energy, cuts.knock_on)
    else:
        freed, cosine, own = moller(stream, energy, cuts.knock_on)
    push(electrons, place, turn(u, v, w, cosine, (c, s)), voxel, freed, -1.0, weight)
    return energy - freed, turn(u, v, w, own, (-c, -s))


@jit
def _collide(place, direction, voxel, particle, shares, cuts, stream, screening, stacks):
    """One hard collision; returns energy, charge (0 if it is gone) and direction after it."""
    energy, charge, weight = particle
    electrons, photons = stacks
    chance = uniform(stream)
    if chance < shares[0]:
        if energy > (1.0 if charge > 0 else 2.0) * cuts.knock_on:
            energy, direction = _knock_on(
                place, direction, voxel, energy, charge, weight, cuts, stream, electrons
            )
    elif chance < shares[0] + shares[1]:
        _annihilate_in_flight(place, direction, voxel, energy, weight, cuts, stream, photons)
        return 0.0, 0.0, direction
    elif energy > cuts.bremsstrahlung and photons[0, 0] < _MOST_PHOTONS:
        photon, cosine = bremsstrahlung(stream, energy, cuts.bremsstrahlung, screening)
        if uniform(stream) * cuts.splitting < 1.0:
            u, v, w = direction
            ahead = turn(u, v, w, cosine, azimuth(stream))
            push(photons, place, ahead, voxel, photon, 0.0, weight * cuts.splitting)
        energy -= photon
    return energy, charge, direction


@jit_inline
def _rate(rates, material, at, which):
    """One of the rates of `ElectronTables` at a place on the grid of ln E, and its slope per node.

    The slope reaches down a node farther than the place, where the rest of a piece will be.
    """
    lower = min(max(int(at), 1), rates.shape[1] - 2)
    value, above = rates[material, lower, which], rates[material, lower + 1, which]
    slope = 0.5 * (above - rates[material, lower - 1, which])
    return value + (at - lower) * (above - value), slope


@jit_inline
def _nearest_face(place, voxel, spacing):
    """Distance to the nearest face of a voxel."""
    nearest = _FAR
    for axis in range(3):
        above = place[axis] - voxel[axis] * spacing[axis]
        nearest = min(nearest, min(above, spacing[axis] - above))
    return nearest


@jit_inline
def _bend(rate, per_node, fall, within):
    """Half the change of a rate per length; one that falls stays above zero within a length.

    The rate of what happens along a piece of a track changes with the energy. One taken
    from where the piece starts would make the dose depend on the size of voxels, whose
    faces end pieces.
    """
    bend = -per_node * fall
    return bend if bend * within >= -0.49 * rate else -0.49 * rate / within


@jit_inline
def _reach(wanted, rate, bend, within):
    """Length after which (rate + bend length) length is `wanted`, or `within` if that is less."""
    if wanted >= (rate + bend * within) * within:
        return within
    return 2.0 * wanted / (rate + np.sqrt(rate * rate + 4.0 * bend * wanted))


@jit
def _follow(matter, tables, cuts, stream, electrons, photons, tally):
    """Follow the electron on top of the stack to its end; returns the energy that left the grid."""
    top = int(electrons[0, 0])
    row = electrons[top]
    electrons[0, 0] = top - 1
    x, y, z = row[AT_X], row[AT_Y], row[AT_Z]
    u, v, w = row[WAY_U], row[WAY_V], row[WAY_W]
    i, j, k = int(row[VOXEL_I]), int(row[VOXEL_J]), int(row[VOXEL_K])
    energy, charge, weight = row[ENERGY], row[CHARGE], row[WEIGHT]
    hx, hy, hz = matter.spacing
    nz, ny, nx = matter.density.shape
    # Taken out once: each time that an array is taken from where threads share it, they
    # meet at its count of references.
    densities, materials = matter.density, matter.material
    rates, deflections, strengths = tables.rates, tables.deflection, tables.strength
    last, kinds = strengths.size - 1, deflections.shape[0]
    hard = -np.log(uniform(stream))
    (to_x, step_x), (to_y, step_y), (to_z, step_z) = _towards(u), _towards(v), _towards(w)
    at = (np.log(max(energy, cuts.electron)) - tables.first) * tables.per_step
    # Of the strength of a step, which share is used up before the hinge is drawn evenly.
    node = min(int(at + uniform(stream)), last)
    left = strengths[node] * uniform(stream)
    behind = strengths[node] - left
    turned = True
    while True:
        if energy <= cuts.electron or charge == 0:
            deposit(tally, energy * weight, (i, j, k), (x, y, z), (u, v, w))
            if charge > 0:
                _annihilate((x, y, z), (i, j, k), weight, cuts, stream, photons)
            return 0.0
        m, rho = int(materials[k, j, i]), float(densities[k, j, i])
        if turned and energy < cuts.confined and charge < 0:
            nearest = _nearest_face((x, y, z), (i, j, k), (hx, hy, hz))
            if _rate(rates, m, at, 5)[0] < nearest * rho:
                deposit(tally, energy * weight, (i, j, k), (x, y, z), (u, v, w))
                return 0.0
        turned = False
        wall_x = _wall(x, to_x, step_x, i, hx)
        wall_y = _wall(y, to_y, step_y, j, hy)
        wall_z = _wall(z, to_z, step_z, k, hz)
        length, event = min(wall_x, min(wall_y, wall_z)), _WALL
        if rho > 0:
            per_path = rho * tables.per_step / energy
            rates_of = m + kinds if charge > 0 else m
            stopping, slope = _rate(rates, rates_of, at, 0)
            scatter, per_node = _rate(rates, rates_of, at, 1)
            fall = 0.5 * stopping * per_path
            scatter, bend = scatter * rho, _bend(scatter, per_node, fall, length) * rho
            rate, per_node = _rate(rates, rates_of, at, 2)
            rate, bow = rate * rho, _bend(rate, per_node, fall, length) * rho
            reach = _reach(left, scatter, bend, length)
            if reach < length:
                length, event = reach, _SCATTER
            reach = _reach(hard, rate, bow, length)
            if reach < length:
                length, event = reach, _COLLISION
            longest = _LARGEST_LOSS * energy / (stopping * rho)
            if longest < length:
                length, event = longest, _PAUSE
            # By the stopping power halfway along the path.
            lost = stopping * rho * length * (1.0 - 0.5 * slope * per_path * length)
            if lost >= energy - cuts.electron:
                length *= (energy - cuts.electron) / lost
                deposit_along(
                    tally, energy * weight, (i, j, k), (x, y, z), (u, v, w), length, stream
                )
                if charge > 0:
                    place = (x + u * length, y + v * length, z + w * length)
                    _annihilate(place, (i, j, k), weight, cuts, stream, photons)
                return 0.0
            deposit_along(tally, lost * weight, (i, j, k), (x, y, z), (u, v, w), length, stream)
            energy -= lost
            at = (np.log(energy) - tables.first) * tables.per_step
            left -= (scatter + bend * length) * length
            hard -= (rate + bow * length) * length
        x += u * length
        y += v * length
        z += w * length
        if event == _WALL:
            if length == wall_x:
                i += step_x
            elif length == wall_y:
                j += step_y
            else:
                k += step_z
            if i < 0 or j < 0 or k < 0 or i >= nx or j >= ny or k >= nz:
                # A positron that leaves takes its rest energy and an electron's with it.
                return (energy + (2.0 * MASS if charge > 0 else 0.0)) * weight
        elif event != _PAUSE:
            if event == _SCATTER:
                deflection = _deflect(deflections, m, node, tables.largest_log, stream)
                u, v, w = turn(u, v, w, 1.0 - deflection, azimuth(stream))
                # What is left of this step, and the next up to its hinge.
                node = min(int(at + uniform(stream)), last)
                ahead = strengths[node] * uniform(stream)
                left, behind = behind + ahead, strengths[node] - ahead
                turned = True
            else:
                hard = -np.log(uniform(stream))
                shares = (_rate(rates, rates_of, at, 3)[0], _rate(rates, rates_of, at, 4)[0])
                energy, charge, (u, v, w) = _collide(
                    (x, y, z),
                    (u, v, w),
                    (i, j, k),
                    (energy, charge, weight),
                    shares,
                    cuts,
                    stream,
                    tables.screening[m],
                    (electrons, photons),
                )
                at = (np.log(max(energy, cuts.electron)) - tables.first) * tables.per_step
            (to_x, step_x), (to_y, step_y), (to_z, step_z) = _towards(u), _towards(v), _towards(w)


@jit
def follow_electrons(matter, tables, cuts, stream, electrons, photons, tally):
    """Follow all electrons on the stack and those they set free; returns the energy that left."""
    left = 0.0
    while electrons[0, 0] > 0:
        left += _follow(matter, tables, cuts, stream, electrons, photons, tally)
    return left
