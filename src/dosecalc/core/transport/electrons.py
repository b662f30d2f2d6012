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

from dosecalc.core._jit import jit
from dosecalc.core.transport.random import uniform
from dosecalc.core.transport.sampling import MASS, bremsstrahlung, moller, turn

__all__ = ["CHARGE", "ENERGY", "WEIGHT", "follow_electrons", "new_stack", "push"]

# Columns of a stack: place, direction, voxel, kinetic energy, charge, weight.
AT_X, AT_Y, AT_Z, WAY_U, WAY_V, WAY_W, VOXEL_I, VOXEL_J, VOXEL_K, ENERGY, CHARGE, WEIGHT = range(12)
_DEPTH = 1000

_FAR = 1e30


@jit
def new_stack():
    """Particles that wait; the top is the number of them, in the first place of row 0."""
    return np.zeros((_DEPTH, 12), np.float64)


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


@jit
def _wall(place, direction, index, spacing):
    """Distance to the next face on one axis."""
    if direction > 0:
        return max(0.0, ((index + 1) * spacing - place) / direction)
    if direction < 0:
        return max(0.0, (index * spacing - place) / direction)
    return _FAR


@jit
def _deflect(table, row, largest_log, stream):
    """Sample 1 - cosine from a row of a deflection table."""
    nodes = table.shape[2]
    position = -np.log(uniform(stream)) / largest_log * (nodes - 1)
    lower = min(int(position), nodes - 2)
    share = min(position - lower, 1.0)
    values = table[row[0], row[1]]
    return values[lower] + share * (values[lower + 1] - values[lower])


@jit
def _annihilate(place, voxel, weight, cuts, stream, photons):
    """Send off the two photons of a positron at rest; one in `splitting` goes on."""
    if uniform(stream) * cuts.splitting >= 1.0:
        return
    cosine = 2.0 * uniform(stream) - 1.0
    phi = 2.0 * np.pi * uniform(stream)
    sine = np.sqrt(1.0 - cosine * cosine)
    u, v = sine * np.cos(phi), sine * np.sin(phi)
    whole = weight * cuts.splitting
    push(photons, place, (u, v, cosine), voxel, MASS, 0.0, whole)
    push(photons, place, (-u, -v, -cosine), voxel, MASS, 0.0, whole)


@jit
def _collide(material, place, direction, voxel, energy, share, cuts, stream, particle, stacks):
    """Set free a knock-on electron or a photon; returns energy and direction after it."""
    weight, screening = particle
    electrons, photons = stacks
    phi = 2.0 * np.pi * uniform(stream)
    u, v, w = direction
    if uniform(stream) < share:
        if energy <= 2.0 * cuts.knock_on:
            return energy, direction
        freed, cosine, own = moller(stream, energy, cuts.knock_on)
        push(electrons, place, turn(u, v, w, cosine, phi), voxel, freed, -1.0, weight)
        return energy - freed, turn(u, v, w, own, phi + np.pi)
    if energy <= cuts.bremsstrahlung:
        return energy, direction
    photon, cosine = bremsstrahlung(stream, energy, cuts.bremsstrahlung, screening)
    if uniform(stream) * cuts.splitting < 1.0:
        ahead = turn(u, v, w, cosine, phi)
        push(photons, place, ahead, voxel, photon, 0.0, weight * cuts.splitting)
    return energy - photon, direction


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
    last = tables.stopping.shape[1] - 2
    hard = -np.log(uniform(stream))
    while True:
        # One step: half of its strength is not the same before and behind the hinge.
        at = (np.log(energy) - tables.first) * tables.per_step
        node = min(max(int(at + uniform(stream)), 0), last + 1)
        left = tables.strength[node]
        behind = left * uniform(stream)
        left -= behind
        hinge_ahead = True
        while True:
            if energy <= cuts.electron:
                tally[k, j, i] += energy * weight
                if charge > 0:
                    _annihilate((x, y, z), (i, j, k), weight, cuts, stream, photons)
                return 0.0
            m, rho = int(matter.material[k, j, i]), matter.density[k, j, i]
            wall_x, wall_y = _wall(x, u, i, hx), _wall(y, v, j, hy)
            wall_z = _wall(z, w, k, hz)
            wall = min(wall_x, min(wall_y, wall_z))
            length, event = wall, 0
            rate = scatter = 0.0
            if rho > 0:
                at = (np.log(energy) - tables.first) * tables.per_step
                node_at = min(max(int(at), 0), last)
                share = at - node_at
                stopping = tables.stopping[m]
                slope = stopping[node_at + 1] - stopping[node_at]
                loss = (stopping[node_at] + share * slope) * rho
                values = tables.scattering[m]
                scatter = rho * (values[node_at] + share * (values[node_at + 1] - values[node_at]))
                values = tables.hard[m]
                rate = rho * (values[node_at] + share * (values[node_at + 1] - values[node_at]))
                if left < scatter * length:
                    length, event = left / scatter, 1
                if hard < rate * length:
                    length, event = hard / rate, 2
                lost = loss * length
                # The stopping power halfway, from its slope against ln E.
                lost -= 0.5 * lost * lost / energy * slope * tables.per_step * rho / loss
                if lost >= energy - cuts.electron:
                    # Ends in this voxel: what is left at the cut-off goes here as well.
                    lost = max(energy - cuts.electron, 0.0)
                tally[k, j, i] += lost * weight
                energy -= lost
                left -= scatter * length
                hard -= rate * length
            x += u * length
            y += v * length
            z += w * length
            if event == 0:
                if wall == wall_x:
                    i += 1 if u > 0 else -1
                elif wall == wall_y:
                    j += 1 if v > 0 else -1
                else:
                    k += 1 if w > 0 else -1
                if i < 0 or j < 0 or k < 0 or i >= nx or j >= ny or k >= nz:
                    # A positron that leaves takes its rest energy and an electron's with it.
                    return (energy + (2.0 * MASS if charge > 0 else 0.0)) * weight
            elif event == 2:
                hard = -np.log(uniform(stream))
                if energy > cuts.electron:
                    portion = tables.moller[m]
                    portion_at = portion[node_at] + share * (
                        portion[node_at + 1] - portion[node_at]
                    )
                    energy, (u, v, w) = _collide(
                        m,
                        (x, y, z),
                        (u, v, w),
                        (i, j, k),
                        energy,
                        portion_at,
                        cuts,
                        stream,
                        (weight, tables.screening[m]),
                        (electrons, photons),
                    )
            elif hinge_ahead:
                deflection = _deflect(tables.deflection, (m, node), tables.largest_log, stream)
                u, v, w = turn(u, v, w, 1.0 - deflection, 2.0 * np.pi * uniform(stream))
                left = behind
                hinge_ahead = False
            else:
                break


@jit
def follow_electrons(matter, tables, cuts, stream, electrons, photons, tally):
    """Follow all electrons on the stack and those they set free; returns the energy that left."""
    left = 0.0
    while electrons[0, 0] > 0:
        left += _follow(matter, tables, cuts, stream, electrons, photons, tally)
    return left
