"""Make the energy deposition kernels in water with the Monte Carlo engine's own transport.

Run ``python kernels/make_deposition_kernels.py`` (ten minutes on two cores) to write
``edk_water.npz`` and ``edk_water.json``. The same seed gives the same bits on any number of
threads.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc import __version__
from dosecalc.core.transport.kernel import run_kernels
from dosecalc.core.transport.tables import Cuts, Matter
from dosecalc.engines.monte_carlo.tables import electron_tables, photon_tables

_HERE = Path(__file__).parent

ENERGIES_MEV = (
    0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25,
    1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0,
)  # fmt: skip
CONE_EDGES_DEG = np.linspace(0, 180, 49)
SHELL_EDGES_CM = np.array([
    0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0,
])  # fmt: skip
PARTS = ("primary", "first_scatter", "second_scatter", "multiple_scatter", "radiative")

SEED, BATCHES, HISTORIES = 1, 20, 1_000_000
# Finer than for doses: the innermost shells and the cones near the axis ask for it.
CUTS = Cuts(0.05, 0.01, 0.1, 0.01, 0.0, 1)
STRENGTH, LOSS = 0.03, 0.03
_HALF_CM = 100.0


def kernel(
    energy_mev: float,
    histories: int = HISTORIES,
    *,
    number: int = 0,
    cuts: Cuts = CUTS,
    batches: int = BATCHES,
) -> NDArray[np.float64]:
    """Share of a photon's energy per batch, part, cone and shell, (batches, 5, 48, 24).

    Parameters
    ----------
    energy_mev : float
    histories : int
    number : int
        Of the energy: each has random numbers of its own.
    cuts : Cuts
    batches : int
    """
    world = Matter(
        np.ones((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.uint8), np.full(3, 2 * _HALF_CM)
    )
    count = histories // batches
    found = np.zeros((batches, len(PARTS), CONE_EDGES_DEG.size - 1, SHELL_EDGES_CM.size - 1))
    run_kernels(
        world,
        photon_tables(("water",)),
        electron_tables(("water",), cuts, STRENGTH, LOSS),
        cuts,
        energy_mev,
        SEED,
        (number * batches + np.arange(batches)) << 32,
        count,
        np.full(3, _HALF_CM),
        SHELL_EDGES_CM,
        found,
    )
    return found / (count * energy_mev)


def main() -> None:
    """Run all energies and write kernels and record."""
    kernels, deviations = [], []
    for number, energy in enumerate(ENERGIES_MEV):
        batches = kernel(energy, number=number)
        kernels.append(batches.mean(axis=0))
        sums = batches.sum(axis=(2, 3))
        deviations.append(sums.std(axis=0, ddof=1) / np.sqrt(BATCHES))
        print(f"{energy:5.2f} MeV  {kernels[-1].sum():.4f} of the energy in the sphere", flush=True)
    values, sigma = np.array(kernels), np.array(deviations)
    arrays: dict[str, Any] = {
        "energies_mev": np.array(ENERGIES_MEV),
        "cone_edges_deg": CONE_EDGES_DEG,
        "shell_edges_cm": SHELL_EDGES_CM,
        **{name: values[:, part].astype(np.float32) for part, name in enumerate(PARTS)},
    }
    np.savez_compressed(_HERE / "edk_water.npz", **arrays)
    record = {
        "name": "edk_water",
        "version": 2,
        "sha256": hashlib.sha256((_HERE / "edk_water.npz").read_bytes()).hexdigest(),
        "description": "Energy deposition kernels in water (H2O, 1 g/cm3). A photon travelling "
        "along +z is forced to interact at the centre of a sphere of 60 cm radius; arrays "
        "[energy, cone, shell] hold the fraction of its energy deposited in a cell. Cone 0 is "
        "forward.",
        "components": {
            "primary": "charged particles set in motion by the first interaction",
            "first_scatter": "by first-scattered photons",
            "second_scatter": "by second-scattered photons",
            "multiple_scatter": "by photons scattered more than twice",
            "radiative": "bremsstrahlung and annihilation photons",
        },
        "source": f"dosecalc {__version__}, core/transport/kernel.py",
        "histories_per_energy": HISTORIES,
        "seed": SEED,
        "settings_mev": dict(zip(Cuts._fields[:4], CUTS[:4], strict=True)),
        "largest_step": {"strength": STRENGTH, "loss": LOSS},
        "standard_deviation_of_a_part": float(f"{sigma.max():.1g}"),
        "recipe": "kernels/make_deposition_kernels.py",
    }
    (_HERE / "edk_water.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
