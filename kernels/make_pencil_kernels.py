"""Make the pencil kernels of single photon energies from the energy deposition kernels.

Run ``python kernels/make_pencil_kernels.py`` (a minute) to write ``pencil_water.npz`` and
``pencil_water.json``. Nothing is fitted; the one sampled step has a fixed seed.

Photons enter water at depth 0 along z. In every layer they release energy, which the
deposition kernels spread; layers above depth 0 hold no water, and what would scatter there
is lost. Photons scattered twice or more are followed in two steps that both end there, as
the collapsed cone follows them. Layers are convolved with layers for one spatial
frequency k across the beam at a time: of a kernel that is symmetric about its axis, a layer's
transform is the mean of J0(k rho) over the energy that it holds at the distances rho.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from scipy.special import j0

from dosecalc import __version__
from dosecalc.data.cross_sections import coefficients
from dosecalc.data.deposition import load_kernels
from dosecalc.data.materials import load_material
from dosecalc.engines.rescatter import (
    onward_kernel,
    rescatter_kernel,
    second_step,
    shell_falls,
)
from dosecalc.engines.spectral import energy_shares

_HERE = Path(__file__).parent

ENERGIES_MEV = np.geomspace(0.1, 20.0, 34)
# Per cm: from fields much wider than any to a fraction of the range of slow electrons.
FREQUENCIES = np.concatenate(([0.0], np.geomspace(0.003, 300.0, 71)))
LAYER_CM, LAYERS = 0.05, 1200
_PLACES = 8  # per cone and per shell

Array = NDArray[np.float64]


def depth_layers() -> NDArray[np.int64]:
    """Return the layers that are kept: all of the first centimetre, then ever fewer."""
    wide = np.unique(np.rint(np.geomspace(20, LAYERS - 1, 48)).astype(int))
    return np.asarray(np.concatenate((np.arange(20), wide[wide >= 20])))


class _Places:
    """Places within the cells of the deposition kernels: layer, share in the next, J0(k rho)."""

    def __init__(self, cone_edges_deg: Array, shell_edges_cm: Array) -> None:
        cosines = np.cos(np.radians(cone_edges_deg))
        share = (np.arange(_PLACES) + 0.5) / _PLACES
        cosine = (cosines[:-1, None] + np.diff(cosines)[:, None] * share)[:, None, :, None]
        radius = (shell_edges_cm[:-1, None] + np.diff(shell_edges_cm)[:, None] * share)[:, None]
        self.shells = shell_edges_cm
        # From the middle of each shell, (24, places).
        self.offset = np.diff(shell_edges_cm)[:, None] * (share - 0.5)
        place = (cosine * radius / LAYER_CM + LAYERS).ravel()
        self.layer = place.astype(int)
        self.share = place - self.layer
        self.rho = (np.sqrt(1 - cosine**2) * radius).ravel()

    def transform(self, kernel: Array) -> Array:
        """Layers of a kernel (48, 24) at all frequencies, (nk, 2 * LAYERS + 1)."""
        weight = np.exp(-shell_falls(kernel, self.shells)[:, None] * self.offset)
        weight /= weight.sum(axis=1, keepdims=True)
        parts = (*kernel.shape, _PLACES, _PLACES)
        energy = np.broadcast_to(
            (kernel[:, :, None, None] / _PLACES) * weight[:, None, :], parts
        ).ravel()
        result = np.empty((FREQUENCIES.size, 2 * LAYERS + 1))
        for row, k in zip(result, FREQUENCIES, strict=True):
            held = energy * j0(k * self.rho)
            row[:] = np.bincount(self.layer, held * (1 - self.share), row.size)
            row[1:] += np.bincount(self.layer, held * self.share, row.size)[:-1]
        return result


def _spread(released: Array, layers: Array) -> Array:
    """Return what the layers in the water absorb; `released` per layer, (nk, LAYERS)."""
    size = released.shape[1] + layers.shape[1]
    both = irfft(rfft(released, size) * rfft(layers, size), size)
    return np.asarray(both[:, LAYERS : 2 * LAYERS])


def pencil(energy_mev: float) -> Array:
    """Energy absorbed per depth and photon, MeV/cm: (primary or scatter, nk, LAYERS)."""
    kernels, water = load_kernels(), load_material("water")
    energy = np.array([energy_mev])
    places = _Places(kernels.cone_edges_deg, kernels.shell_edges_cm)
    attenuation = float(coefficients(water, energy).total[0])
    primary_share, first_share, later_share = (
        float(share[0]) for share in energy_shares(water, kernels, energy)
    )
    released = energy_mev * -np.diff(np.exp(-attenuation * LAYER_CM * np.arange(LAYERS + 1)))
    everywhere = np.broadcast_to(released, (FREQUENCIES.size, LAYERS))

    def absorbed(source: Array, kernel: Array) -> Array:
        return _spread(source, places.transform(kernel / kernel.sum()))

    primary = primary_share * absorbed(everywhere, kernels.at("primary", energy)[0])
    scatter = first_share * absorbed(everywhere, kernels.at("first", energy)[0])
    onward = onward_kernel(kernels, water, energy, np.ones(1))
    alone = rescatter_kernel(kernels, energy, np.ones(1))
    later, stays = second_step(onward, alone, kernels.at("later", energy)[0], kernels)
    scatter += later_share / stays * absorbed(absorbed(everywhere, onward), later)
    return np.stack((primary, scatter)) / LAYER_CM


def main() -> None:
    """Make all energies and write kernels and record."""
    water, chosen = load_material("water"), depth_layers()
    depths = (chosen + 0.5) * LAYER_CM
    values = np.empty((ENERGIES_MEV.size, 2, FREQUENCIES.size, depths.size))
    for one, energy in zip(values, ENERGIES_MEV, strict=True):
        attenuation = float(coefficients(water, np.array([energy])).total[0])
        one[:] = pencil(float(energy))[..., chosen] * np.exp(attenuation * depths) / energy
        print(f"{energy:6.3f} MeV", flush=True)
    arrays: dict[str, Any] = {
        "energies_mev": ENERGIES_MEV,
        "frequencies_per_cm": FREQUENCIES,
        "depths_cm": depths,
        "primary": values[:, 0].astype(np.float32),
        "scatter": values[:, 1].astype(np.float32),
    }
    np.savez_compressed(_HERE / "pencil_water.npz", **arrays)
    record = {
        "name": "pencil_water",
        "version": 2,
        "sha256": hashlib.sha256((_HERE / "pencil_water.npz").read_bytes()).hexdigest(),
        "description": "Pencil beams of photons entering water (1 g/cm3) that fills a half space. "
        "Arrays [energy, frequency, depth] hold the Fourier transform across the beam of the "
        "energy absorbed per depth, per energy of the photons that are left there, 1/cm.",
        "components": {
            "primary": "charged particles set in motion by the first interaction",
            "scatter": "everything else",
        },
        "source": f"dosecalc {__version__}, kernels/edk_water.npz and NIST XCOM",
        "deposition_kernels_sha256": load_kernels().sha256,
        "recipe": "kernels/make_pencil_kernels.py",
    }
    (_HERE / "pencil_water.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
