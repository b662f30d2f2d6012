"""What the compiled transport reads: matter, cross sections, source."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cuts", "ElectronTables", "Matter", "PhotonTables", "Source"]


class Matter(NamedTuple):
    """Voxels; place is measured in cm from the lower corner of the grid.

    density : (nz, ny, nx) float32, g/cm3
    material : (nz, ny, nx) uint8
    spacing : (3,) float64, x, y, z, cm
    """

    density: NDArray[np.float32]
    material: NDArray[np.uint8]
    spacing: NDArray[np.float64]


class PhotonTables(NamedTuple):
    """Photon cross sections on an even grid of ln E.

    first, per_step : ln of the lowest energy, MeV, and nodes per unit of ln E
    total : (nmaterials, ne) float64, cm2/g
    shares : (nmaterials, ne, 3) float64
        Of incoherent scattering, photoelectric effect and coherent scattering in the total;
        what is left is pair production.
    form : (nmaterials, ne) float64
        s of `rayleigh_cosine`, the forward bias of coherent scattering.
    binding : (nmaterials,) float64, 1/MeV2
        Of `compton`, by the square of the photon's energy.
    """

    first: float
    per_step: float
    total: NDArray[np.float64]
    shares: NDArray[np.float64]
    form: NDArray[np.float64]
    binding: NDArray[np.float64]


class ElectronTables(NamedTuple):
    """What happens to electrons, on an even grid of ln of the kinetic energy.

    first, per_step : ln of the lowest energy, MeV, and nodes per unit of ln E
    rates : (2 nmaterials, ne, 6), of electrons, then of positrons, side by side so that they
        are read together:
        stopping power by all that is not followed one by one, MeV cm2/g;
        inverse transport mean free path, cm2/g;
        cross section of collisions that are followed one by one, cm2/g;
        share of knock-on electrons in it, and of annihilation, the rest being photons;
        length of path, g/cm2, down to the cut-off if no collision is hard
    screening : (nmaterials,), limit of the argument of the logarithm in bremsstrahlung
    strength : (ne,), transport mean free paths in a step that starts at this energy
    deflection : (nmaterials, ne, nodes), 1 - cosine after such a step, by -ln(1 - r)
    largest_log : last node of -ln(1 - r)
    """

    first: float
    per_step: float
    rates: NDArray[np.float64]
    screening: NDArray[np.float64]
    strength: NDArray[np.float64]
    deflection: NDArray[np.float64]
    largest_log: float


class Cuts(NamedTuple):
    """Energies, MeV, below which particles are absorbed on the spot, and the splitting.

    electron, photon : kinetic energy, energy
    knock_on, bremsstrahlung : least energy of those followed one by one
    confined : kinetic energy
        An electron below it that cannot leave its voxel is absorbed there, and sets no
        photons free.
    splitting : int
        Interactions that each photon has on its way, each with that share of its weight.
    """

    electron: float
    photon: float
    knock_on: float
    bremsstrahlung: float
    confined: float
    splitting: int


class Source(NamedTuple):
    """Photons from a point through the pixels of a map.

    place : (3,) float64, x, y, z, cm, from the lower corner of the grid
    axes : (3, 3) float64, rows u, v, w
    distance : of the map from the source, cm
    cumulative : (npixels,) float64, rising to 1; pixels in rows of `columns`
    columns : int
    u0, v0, pixel_u, pixel_v : cm
    energies : (ne,) float64, MeV, of the spectrum's bins, lower edge
    widths : (ne,) float64, MeV, zero for lines
    radii : (nr,) float64, cm
    spectrum : (nr, ne) float64
        Cumulative share of photons per bin at a radius in the map.
    """

    place: NDArray[np.float64]
    axes: NDArray[np.float64]
    distance: float
    cumulative: NDArray[np.float64]
    columns: int
    u0: float
    v0: float
    pixel_u: float
    pixel_v: float
    energies: NDArray[np.float64]
    widths: NDArray[np.float64]
    radii: NDArray[np.float64]
    spectrum: NDArray[np.float64]
