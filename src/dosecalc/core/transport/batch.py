"""Histories in batches, each with a tally of its own."""

from __future__ import annotations

import numpy as np
from numba import prange

from dosecalc.core._jit import jit, jit_parallel
from dosecalc.core.transport.electrons import new_stacks, push
from dosecalc.core.transport.photons import enter, follow_photons
from dosecalc.core.transport.random import STREAM_WORDS, restart, uniform

__all__ = ["run_batches"]


@jit
def _emit(source, number, count, stream):
    """Direction and energy of photon `number` of `count`: the map's pixels are drawn evenly."""
    pixel = np.searchsorted(source.cumulative, (number + uniform(stream)) / count)
    pixel = min(pixel, source.cumulative.size - 1)
    u = source.u0 + (pixel % source.columns + uniform(stream)) * source.pixel_u
    v = source.v0 + (pixel // source.columns + uniform(stream)) * source.pixel_v
    length = np.sqrt(u * u + v * v + source.distance * source.distance)
    a = source.axes
    direction = (
        (a[0, 0] * u + a[1, 0] * v + a[2, 0] * source.distance) / length,
        (a[0, 1] * u + a[1, 1] * v + a[2, 1] * source.distance) / length,
        (a[0, 2] * u + a[1, 2] * v + a[2, 2] * source.distance) / length,
    )
    radius = np.sqrt(u * u + v * v)
    row = int(np.searchsorted(source.radii, radius))
    row = min(max(row, 1), source.radii.size - 1)
    span = source.radii[row] - source.radii[row - 1]
    nearer = min(max((source.radii[row] - radius) / span, 0.0), 1.0)
    if uniform(stream) < nearer:
        row -= 1
    spectrum = source.spectrum[row]
    bin_number = min(np.searchsorted(spectrum, uniform(stream)), spectrum.size - 1)
    energy = source.energies[bin_number] + uniform(stream) * source.widths[bin_number]
    return direction, energy


@jit
def _run(
    matter,
    photon_tables,
    electron_tables,
    source,
    cuts,
    seed,
    first,
    count,
    weight,
    memory,
    tally,
):
    """Do `count` histories, the first with number `first`; returns energy emitted and left over."""
    stream, photons, electrons = memory
    nz, ny, nx = matter.density.shape
    emitted = left = 0.0
    for number in range(count):
        restart(stream, np.uint64(seed), np.uint64(first + number))
        direction, energy = _emit(source, number, count, stream)
        emitted += energy * weight
        place = (source.place[0], source.place[1], source.place[2])
        distance = enter(matter, place, direction)
        if distance < 0:
            left += energy * weight
            continue
        x = place[0] + direction[0] * distance
        y = place[1] + direction[1] * distance
        z = place[2] + direction[2] * distance
        voxel = (
            min(max(int(x / matter.spacing[0]), 0), nx - 1),
            min(max(int(y / matter.spacing[1]), 0), ny - 1),
            min(max(int(z / matter.spacing[2]), 0), nz - 1),
        )
        push(photons, (x, y, z), direction, voxel, energy, 0.0, weight)
        left += follow_photons(
            matter, photon_tables, electron_tables, cuts, stream, photons, electrons, tally
        )
    return emitted, left


@jit_parallel
def run_batches(
    matter,
    photon_tables,
    electron_tables,
    source,
    cuts,
    seed,
    firsts,
    count,
    weight,
    tallies,
    balance,
):
    """Run batches of histories, at the same time if there are threads.

    Parameters
    ----------
    matter : Matter
    photon_tables : PhotonTables
    electron_tables : ElectronTables
    source : Source
    cuts : Cuts
    seed : int
    firsts : (n,) int64
        Number of the first history of each batch: it says what random numbers it gets.
    count : int
        Histories per batch.
    weight : float
        Photons that one history stands for.
    tallies : (n, nz, ny, nx) float64, MeV
        Energy absorbed per voxel is added.
    balance : (n, 2) float64, MeV
        Energy emitted, and energy that left the grid, are added.
    """
    # Made here and not in each batch: to the loop they are bare memory, and no references to
    # them are counted, which would cost more than the arithmetic in the functions that
    # use them.
    n = firsts.size
    streams = np.zeros((n, STREAM_WORDS), np.uint64)
    photons, electrons = new_stacks(n), new_stacks(n)
    for b in prange(n):
        emitted, left = _run(
            matter,
            photon_tables,
            electron_tables,
            source,
            cuts,
            seed,
            firsts[b],
            count,
            weight,
            (streams[b], photons[b], electrons[b]),
            tallies[b],
        )
        balance[b, 0] += emitted
        balance[b, 1] += left
