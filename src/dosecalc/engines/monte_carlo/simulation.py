"""Batches of histories with tallies of their own: their mean, and its uncertainty."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam import Fluence
from dosecalc.core.threads import thread_count
from dosecalc.core.transport.batch import run_batches
from dosecalc.core.transport.tables import Matter, Source
from dosecalc.engines.monte_carlo.settings import LEAST_BATCHES, MonteCarlo
from dosecalc.engines.monte_carlo.tables import electron_tables, photon_tables, source_tables
from dosecalc.model import Phantom

__all__ = [
    "MEV_PER_G_TO_GRAY",
    "Progress",
    "Run",
    "WeightedSource",
    "bare_dose",
    "batch_size",
    "simulate",
]

MEV_PER_G_TO_GRAY = 1.602176634e-10

# All tallies at work together take no more than this many bytes; threads wait instead.
_TALLY_BYTES = 4e9
# g/cm3; what is thinner counts as air.
_AIR = 0.05

Progress = Callable[[str, int, int], None]


class WeightedSource(NamedTuple):
    """A source, how many photons it stands for, times what turns its dose into Gy, and its share.

    share : of the histories, relative to the other sources
    """

    source: Source
    photons: float
    share: float


class Run:
    """Batches done so far: their number, and sums over them of energy per voxel and its square."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.batches = 0
        self.total = np.zeros(shape)
        self.squares = np.zeros(shape)
        self.balance = np.zeros(2)

    def add(self, tallies: NDArray[np.float64], balance: NDArray[np.float64]) -> None:
        """Add batches one after the other, so that rounding does not depend on the threads."""
        for tally in tallies:
            self.total += tally
            self.squares += tally * tally
        self.balance += balance.sum(axis=0)
        self.batches += len(tallies)

    def mean_and_deviation(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean energy per voxel and the standard deviation of the mean."""
        mean = self.total / self.batches
        if self.batches == 1:
            return mean, mean.copy()
        variance = np.maximum(self.squares / self.batches - mean * mean, 0.0)
        return mean, np.sqrt(variance / (self.batches - 1))

    def uncertainty(self, phantom: Phantom) -> float:
        """Root mean square relative deviation of the voxels above half the largest dose.

        Air does not count where there is anything denser: in matter so thin the dose of a voxel
        is that of the few electrons that cross it, and the largest dose would be the largest
        noise.
        """
        mean, deviation = self.mean_and_deviation()
        mass = phantom.mass_g
        dense = phantom.density > _AIR
        counts = dense if dense.any() else mass > 0
        dose = np.divide(mean, mass, out=np.zeros_like(mean), where=counts)
        high = dose > dose.max() / 2
        if not high.any():
            return 1.0
        return float(np.sqrt(np.mean((deviation[high] / mean[high]) ** 2)))


def bare_dose(
    phantom: Phantom, fluences: Sequence[Fluence], settings: MonteCarlo
) -> NDArray[np.float64]:
    """Dose to the medium, Gy cm2 per unit of the maps, each of which gets as many histories."""
    beams = [WeightedSource(*source_tables(fluence, phantom.grid), 1.0) for fluence in fluences]
    run, stopped = simulate(phantom, beams, settings, None)
    if stopped is not None:
        raise KeyboardInterrupt
    mean, _ = run.mean_and_deviation()
    mass = phantom.mass_g
    return np.divide(MEV_PER_G_TO_GRAY * mean, mass, out=np.zeros_like(mean), where=mass > 0)


def batch_size(settings: MonteCarlo) -> int:
    """Histories of a batch."""
    if settings.histories is None:
        return settings.batch
    return min(settings.batch, settings.histories // LEAST_BATCHES)


def simulate(
    phantom: Phantom,
    beams: list[WeightedSource],
    settings: MonteCarlo,
    progress: Progress | None,
) -> tuple[Run, str | None]:
    """Run batches until there are enough; returns them, and why it stopped early if it did."""
    names = phantom.materials
    matter = Matter(phantom.density, phantom.material, np.array(phantom.grid.spacing) / 10)
    tables = photon_tables(names), electron_tables(names, settings.cuts)
    size = batch_size(settings)
    shares = np.array([beam.share for beam in beams])
    counts = np.maximum(1, np.rint(size * shares / shares.sum())).astype(int)
    together = max(1, min(thread_count(), int(_TALLY_BYTES / (8 * phantom.density.size))))
    wanted = None if settings.histories is None else -(-settings.histories // size)
    run, start = Run(phantom.grid.shape), time.perf_counter()
    enough = wanted or LEAST_BATCHES
    try:
        while run.batches < enough:
            numbers = np.arange(run.batches, min(run.batches + together, enough))
            tallies = np.zeros((numbers.size, *phantom.grid.shape))
            balance = np.zeros((numbers.size, 2))
            for index, (beam, count) in enumerate(zip(beams, counts, strict=True)):
                # Histories are numbered so that no two share their random numbers.
                firsts = (numbers * len(beams) + index) << 32
                weight = beam.photons / int(count)
                run_batches(
                    matter,
                    *tables,
                    beam.source,
                    settings.cuts,
                    settings.seed,
                    firsts,
                    int(count),
                    weight,
                    tallies,
                    balance,
                )
            run.add(tallies, balance)
            if wanted is None and run.batches >= enough:
                enough = _enough(run, settings.uncertainty, phantom)
            if progress is not None:
                progress(_time_left(start, run.batches, enough), run.batches, enough)
    except KeyboardInterrupt:
        if run.batches == 0:
            raise
        return run, f"interrupted after {run.batches} of about {enough} batches"
    return run, None


def _enough(run: Run, target: float, phantom: Phantom) -> int:
    """How many batches it takes, by what the scatter of those that are done says.

    Looked at again no later than at half of those that seem to be missing.
    """
    ratio = (run.uncertainty(phantom) / target) ** 2
    if ratio <= 1:
        return run.batches
    missing = run.batches * (ratio - 1)
    return run.batches + max(1, int(np.ceil(missing if missing < run.batches else missing / 2)))


def _time_left(start: float, done: int, expected: int) -> str:
    seconds = (time.perf_counter() - start) * (expected - done) / done
    return f"about {seconds:.0f} s left"
