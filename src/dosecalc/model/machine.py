"""The beam model of a linear accelerator, one photon quality each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model.checks import positive, read_only

__all__ = [
    "Calibration",
    "JawModel",
    "Limits",
    "Machine",
    "MlcModel",
    "PhotonSource",
    "RadialProfile",
    "Spectrum",
]


@dataclass(frozen=True)
class Spectrum:
    """Photon number spectrum as a histogram, or lines where an edge pair coincides.

    Parameters
    ----------
    edges_low, edges_high : (n,) float64, MeV
        Bounds of each bin; equal bounds are a line.
    photons : (n,) float64
        Number of photons in each bin; normalised to a sum of 1 when made.
    name : str
    """

    edges_low: NDArray[np.float64]
    edges_high: NDArray[np.float64]
    photons: NDArray[np.float64]
    name: str

    def __post_init__(self) -> None:
        low = read_only(self.edges_low, np.float64, what="spectrum lower edges", ndim=1)
        high = read_only(self.edges_high, np.float64, what="spectrum upper edges", ndim=1)
        photons = read_only(self.photons, np.float64, what="spectrum photons", ndim=1)
        if not low.size == high.size == photons.size > 0:
            raise InputError(
                f"spectrum {self.name!r}: {low.size}, {high.size}, {photons.size} bins"
            )
        if (low < 0).any() or (high < low).any() or (high <= 0).any():
            raise InputError(
                f"spectrum {self.name!r}: bin edges must be 0 <= low <= high, high > 0"
            )
        if (photons < 0).any() or photons.sum() <= 0:
            raise InputError(f"spectrum {self.name!r}: photon numbers must be >= 0, not all zero")
        normalised = photons / photons.sum()
        normalised.flags.writeable = False
        for name, array in (("edges_low", low), ("edges_high", high), ("photons", normalised)):
            object.__setattr__(self, name, array)

    @property
    def mean_energy_mev(self) -> float:
        """Photon-number mean energy, MeV."""
        return float(np.sum(self.photons * (self.edges_low + self.edges_high) / 2))


@dataclass(frozen=True)
class PhotonSource:
    """A Gaussian photon source seen through the collimators.

    Parameters
    ----------
    weight : share of the open-field energy fluence on the axis; all sources sum to 1.
    sigma_x_mm, sigma_y_mm : standard deviation in the plane of the source,
        beam limiting device axes at collimator 0.
    distance_mm : distance of that plane below the target (0 for the focal spot).
    """

    weight: float
    sigma_x_mm: float
    sigma_y_mm: float
    distance_mm: float = 0.0


@dataclass(frozen=True)
class RadialProfile:
    """A quantity against distance from the axis in the isocentre plane; linear between points."""

    radius_mm: NDArray[np.float64]
    value: NDArray[np.float64]

    def __post_init__(self) -> None:
        radius = read_only(self.radius_mm, np.float64, what="profile radius", ndim=1)
        value = read_only(self.value, np.float64, what="profile value", ndim=1)
        if radius.size != value.size or radius.size < 2 or radius[0] != 0:
            raise InputError(
                "a radial profile needs equal numbers of radii and values, from radius 0"
            )
        if (np.diff(radius) <= 0).any():
            raise InputError("the radii of a radial profile must rise")
        object.__setattr__(self, "radius_mm", radius)
        object.__setattr__(self, "value", value)

    def __call__(self, radius_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Value at radii, mm; constant beyond the last."""
        return np.interp(radius_mm, self.radius_mm, self.value)


@dataclass(frozen=True)
class JawModel:
    """A pair of jaws: distance of its lower face from the target (mm) and transmitted fraction.

    `range_mm` bounds the positions the pair can take in the isocentre plane.
    """

    distance_mm: float
    transmission: float
    range_mm: tuple[float, float]


@dataclass(frozen=True)
class MlcModel:
    """A single-layer multileaf collimator.

    Parameters
    ----------
    axis : {"x", "y"}
        Leaf travel, beam limiting device frame.
    boundaries_mm : (n + 1,) float64
        Leaf edges in the isocentre plane.
    transmission : float
        Mean over leaf and inter-leaf gap.
    tip_offset_mm : float
        Each rounded tip behaves as if withdrawn by this much in the isocentre
        plane (half the dosimetric leaf gap).
    distance_mm : float
        Of the leaf centre from the target.
    """

    axis: str
    boundaries_mm: NDArray[np.float64]
    transmission: float
    tip_offset_mm: float
    distance_mm: float
    range_mm: tuple[float, float]

    def __post_init__(self) -> None:
        edges = read_only(self.boundaries_mm, np.float64, what="leaf boundaries", ndim=1)
        if self.axis not in ("x", "y") or edges.size < 2 or (np.diff(edges) <= 0).any():
            raise InputError("an MLC needs axis 'x' or 'y' and rising leaf boundaries")
        object.__setattr__(self, "boundaries_mm", edges)


@dataclass(frozen=True)
class Calibration:
    """What one MU is.

    Either `gray_per_mu` in water at `depth_mm` on the axis of a square field of
    side `field_mm` defined at `sad_mm`, with the surface at `ssd_mm`; or, with
    `per_fluence` set, one "MU" is one photon per cm2 in air at the isocentre and
    doses come out in Gy cm2.
    """

    gray_per_mu: float = 0.01
    depth_mm: float = 100.0
    ssd_mm: float = 900.0
    field_mm: float = 100.0
    per_fluence: bool = False

    def __post_init__(self) -> None:
        positive(
            (self.gray_per_mu, self.depth_mm, self.ssd_mm, self.field_mm), "machine calibration"
        )


@dataclass(frozen=True)
class Limits:
    """What the model was made for; a plan outside is refused."""

    field_min_mm: float = 10.0
    field_max_mm: float = 400.0
    sad_mm: float = 1000.0


@dataclass(frozen=True)
class Machine:
    """One photon beam quality of one accelerator.

    `softening` gives, against radius, the multiple k(r) with which the
    spectrum changes off axis: S(E, r) is proportional to
    S(E) exp(+k(r) mu_w(E)), k in cm of water removed from the beam's path
    (the flattening filter is thinner off axis, so the beam is softer).
    None means the same spectrum everywhere.
    """

    name: str
    energy_mv: float
    fluence_mode: str
    spectrum: Spectrum
    sad_mm: float
    sources: tuple[PhotonSource, ...]
    profile: RadialProfile | None
    softening: RadialProfile | None
    jaws_x: JawModel | None
    jaws_y: JawModel | None
    mlc: MlcModel | None
    calibration: Calibration
    limits: Limits = field(default_factory=Limits)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.fluence_mode not in ("STANDARD", "FFF"):
            raise InputError(f"machine {self.name!r}: fluence mode {self.fluence_mode!r}")
        positive((self.energy_mv, self.sad_mm), f"machine {self.name!r}: energy and SAD")
        total = sum(s.weight for s in self.sources)
        if not self.sources or abs(total - 1) > 1e-6:
            raise InputError(f"machine {self.name!r}: source weights sum to {total}, not 1")
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))
