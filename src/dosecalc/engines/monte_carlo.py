"""The Monte Carlo engine: photons and electrons followed one by one, with an honest uncertainty.

It shares geometry, materials and the fluence map with the deterministic engines and no dose
kernel. Batches of histories have tallies of their own; the dose is their mean and its
uncertainty comes from their scatter. See docs/physics-monte-carlo.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc import __version__
from dosecalc.beam import Fluence, beam_fluences, beam_notes, check_bolus
from dosecalc.core.threads import thread_count
from dosecalc.core.transport.batch import run_batches
from dosecalc.core.transport.tables import Cuts, Matter, Source
from dosecalc.data.electrons import water_to_medium
from dosecalc.engines.calibration import monte_carlo_fluence_per_mu
from dosecalc.engines.machines import machines_of
from dosecalc.engines.mc_tables import HIGHEST_MEV, electron_tables, photon_tables, source_tables
from dosecalc.errors import InputError, UnsupportedError
from dosecalc.model import Dose, Machine, Phantom, Plan

__all__ = ["MonteCarloSettings", "compute"]

MEV_PER_G_TO_GRAY = 1.602176634e-10

# Fewer batches would not tell their own scatter well (to 16 % of it at 20).
_LEAST_BATCHES = 20

# All tallies at work together take no more than this many bytes; threads wait instead.
_TALLY_BYTES = 4e9
# g/cm3; what is thinner counts as air.
_AIR = 0.05


@dataclass(frozen=True)
class MonteCarloSettings:
    """Settings of the Monte Carlo engine.

    Parameters
    ----------
    uncertainty : float
        Stop when the root mean square of the relative standard uncertainty, of the voxels
        above half the maximum, is no more than this; voxels of air do not count.
    histories : int or None
        Photons from the source, instead of `uncertainty`.
    batch : int
        Histories per batch; fewer where `histories` would not fill 20 batches.
    seed : int
        Of all random numbers. Equal settings give equal results on any number of threads.
    electron_cut_mev, photon_cut_mev : float
        Kinetic energy below which electrons are absorbed where they are, and photons likewise.
    knock_on_mev, bremsstrahlung_mev : float
        Least energy of the electrons and photons set free that are followed on their own.
    confined_mev : float
        Electrons of less than this kinetic energy that cannot leave their voxel are absorbed
        there.
    splitting : int
        Interactions per photon, each with that share of its weight.
    arc_bin_deg, fluence_pixel_mm : float
        Of the fluence model, as in the collapsed cone.
    dose_to : {"medium", "water"}
    """

    uncertainty: float = 0.01
    histories: int | None = None
    batch: int = 10_000
    seed: int = 1
    electron_cut_mev: float = 0.2
    photon_cut_mev: float = 0.01
    knock_on_mev: float = 0.2
    bremsstrahlung_mev: float = 0.05
    confined_mev: float = 1.0
    splitting: int = 48
    arc_bin_deg: float = 4.0
    fluence_pixel_mm: float = 1.0
    dose_to: str = "medium"

    def __post_init__(self) -> None:
        if not 1e-4 <= self.uncertainty <= 0.5:
            raise InputError(f"uncertainty {self.uncertainty:g}: choose from 0.0001 to 0.5")
        if self.histories is not None and self.histories < _LEAST_BATCHES:
            raise InputError(f"{self.histories} histories: {_LEAST_BATCHES} or more are needed")
        if self.batch < 1 or not 1 <= self.splitting <= 1000:
            raise InputError("histories per batch must be 1 or more, splitting from 1 to 1000")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed {self.seed}: choose from 0 to 2^63 - 1")
        # The tables begin at 0.05 and 0.005 MeV.
        for name, least in (
            ("electron_cut_mev", 0.05),
            ("photon_cut_mev", 0.006),
            ("knock_on_mev", 0.05),
            ("bremsstrahlung_mev", 0.006),
        ):
            if not least <= getattr(self, name) <= 1.0:
                raise InputError(f"{name} = {getattr(self, name)}: choose from {least:g} to 1 MeV")
        if not 0 <= self.confined_mev <= 5.0:
            raise InputError(f"confined_mev = {self.confined_mev:g}: choose from 0 to 5 MeV")
        if self.knock_on_mev < self.electron_cut_mev:
            raise InputError("knock-on electrons below the electron cut-off could not be followed")
        if self.bremsstrahlung_mev < self.photon_cut_mev:
            raise InputError("bremsstrahlung below the photon cut-off could not be followed")
        if self.dose_to not in ("medium", "water"):
            raise InputError(f"dose_to = {self.dose_to!r}: choose 'medium' or 'water'")
        for name in ("arc_bin_deg", "fluence_pixel_mm"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} = {getattr(self, name)}: it must be above zero")

    @property
    def cuts(self) -> Cuts:
        """The settings in the form that the transport takes."""
        return Cuts(
            self.electron_cut_mev,
            self.photon_cut_mev,
            self.knock_on_mev,
            self.bremsstrahlung_mev,
            self.confined_mev,
            self.splitting,
        )


Progress = Callable[[str, int, int], None]


class _Beam(NamedTuple):
    """A source, how many photons it stands for, times what turns its dose into Gy, and its share.

    share : of the histories, relative to the other sources
    """

    source: Source
    photons: float
    share: float


class _Run:
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


def compute(
    phantom: Phantom,
    plan: Plan,
    machine: Machine | Mapping[int, Machine],
    settings: MonteCarloSettings | None = None,
    progress: Progress | None = None,
) -> Dose:
    """Dose of one fraction of a plan, with its standard uncertainty per voxel.

    Parameters
    ----------
    phantom : Phantom
    plan : Plan
    machine : Machine or mapping of beam number to Machine
        One beam model for all beams, or one each.
    settings : MonteCarloSettings
    progress : callable(state, batches done, batches expected), optional

    Returns
    -------
    Dose
        On the phantom's grid; Gy for one fraction, or Gy cm2 per unit fluence for a bare
        point source. If it is interrupted (KeyboardInterrupt) after a batch or more, what there
        is, and provenance["stopped"] says so.
    """
    settings = settings or MonteCarloSettings()
    beams, machines = _beams(phantom, plan, machine, settings)
    run, stopped = _simulate(phantom, beams, settings, progress)
    mean, deviation = run.mean_and_deviation()
    mass = phantom.mass_g
    to_gray = np.divide(MEV_PER_G_TO_GRAY, mass, out=np.zeros_like(mean), where=mass > 0)
    if settings.dose_to == "water":
        to_gray *= water_to_medium(phantom.materials)[phantom.material]
    unit = "Gy cm2" if next(iter(machines.values())).calibration.per_fluence else "Gy"
    return Dose(
        grid=phantom.grid,
        gray=(mean * to_gray).astype(np.float32),
        uncertainty=(deviation * to_gray).astype(np.float32),
        dose_to=settings.dose_to,
        unit=unit,
        summation="FRACTION",
        fractions=plan.fractions,
        provenance={
            "program": f"dosecalc {__version__}",
            "engine": "monte-carlo",
            "settings": asdict(settings),
            "seed": settings.seed,
            "batches": run.batches,
            "histories": run.batches * _batch_size(settings),
            "uncertainty_above_half_maximum": run.uncertainty(phantom),
            "share_of_energy_that_left": float(run.balance[1] / run.balance[0]),
            "stopped": stopped,
            "machines": {
                str(n): dict(m.provenance) | {"name": m.name} for n, m in machines.items()
            },
            "notes": [
                *([f"{stopped}: the dose is less certain than was asked for"] if stopped else []),
                *(note for b in plan.beams for note in beam_notes(b, machines[b.number])),
            ],
        },
    )


def bare_dose(
    phantom: Phantom, fluences: Sequence[Fluence], settings: MonteCarloSettings
) -> NDArray[np.float64]:
    """Dose to the medium, Gy cm2 per unit of the maps, each of which gets as many histories."""
    beams = [_Beam(*source_tables(fluence, phantom.grid), 1.0) for fluence in fluences]
    run, stopped = _simulate(phantom, beams, settings, None)
    if stopped is not None:
        raise KeyboardInterrupt
    mean, _ = run.mean_and_deviation()
    mass = phantom.mass_g
    return np.divide(MEV_PER_G_TO_GRAY * mean, mass, out=np.zeros_like(mean), where=mass > 0)


def _beams(
    phantom: Phantom,
    plan: Plan,
    machine: Machine | Mapping[int, Machine],
    settings: MonteCarloSettings,
) -> tuple[list[_Beam], dict[int, Machine]]:
    machines = machines_of(plan, machine)
    check_bolus(plan, phantom.bolus)
    beams = []
    for beam in plan.beams:
        model = machines[beam.number]
        highest = float(model.spectrum.edges_high.max())
        if highest > HIGHEST_MEV:
            raise UnsupportedError(
                f"machine {model.name!r} has photons of {highest:g} MeV; the tables of the Monte "
                f"Carlo engine end at {HIGHEST_MEV:g} MeV"
            )
        factor = (
            1.0 if model.calibration.per_fluence else monte_carlo_fluence_per_mu(model, settings)
        )
        for fluence in beam_fluences(
            beam,
            plan.position,
            model,
            pixel_mm=settings.fluence_pixel_mm,
            arc_bin_deg=settings.arc_bin_deg,
        ):
            if fluence.values.any():
                source, photons = source_tables(fluence, phantom.grid)
                beams.append(_Beam(source, photons * factor, photons * factor))
    if not beams:
        raise InputError("no photon leaves the collimators in any beam of the plan")
    return beams, machines


def _batch_size(settings: MonteCarloSettings) -> int:
    if settings.histories is None:
        return settings.batch
    return min(settings.batch, settings.histories // _LEAST_BATCHES)


def _simulate(
    phantom: Phantom, beams: list[_Beam], settings: MonteCarloSettings, progress: Progress | None
) -> tuple[_Run, str | None]:
    """Run batches until there are enough; returns them, and why it stopped early if it did."""
    names = phantom.materials
    matter = Matter(phantom.density, phantom.material, np.array(phantom.grid.spacing) / 10)
    tables = photon_tables(names), electron_tables(names, settings.cuts)
    size = _batch_size(settings)
    shares = np.array([beam.share for beam in beams])
    counts = np.maximum(1, np.rint(size * shares / shares.sum())).astype(int)
    together = max(1, min(thread_count(), int(_TALLY_BYTES / (8 * phantom.density.size))))
    wanted = None if settings.histories is None else -(-settings.histories // size)
    run, start = _Run(phantom.grid.shape), time.perf_counter()
    enough = wanted or _LEAST_BATCHES
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


def _enough(run: _Run, target: float, phantom: Phantom) -> int:
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
