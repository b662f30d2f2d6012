"""A dose distribution with what it takes to trust and repeat it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model.checks import read_only
from dosecalc.model.grid import Grid

__all__ = ["Dose"]


@dataclass(frozen=True)
class Dose:
    """Absorbed dose on a grid.

    Parameters
    ----------
    grid : Grid
    gray : (nz, ny, nx) float32
        Dose, in `unit`.
    dose_to : {"medium", "water", "unknown"}
        "unknown" only for doses read from files that do not say.
    unit : {"Gy", "Gy cm2"}
        "Gy cm2" is dose per unit photon fluence at the reference point
        (1/cm2), as the recipes with a bare point source give it.
    uncertainty : (nz, ny, nx) float32 or None
        One standard deviation, in `unit`; None where the engine has no statistical noise.
    summation : {"PLAN", "BEAM", "FRACTION", ...}
        DICOM Dose Summation Type: PLAN is all fractions, FRACTION is one.
    provenance : mapping
        Program version, engine, settings, SHA-256 of inputs and data, seed.
    """

    grid: Grid
    gray: NDArray[np.float32]
    dose_to: str
    unit: str = "Gy"
    uncertainty: NDArray[np.float32] | None = None
    summation: str = "PLAN"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dose_to not in ("medium", "water", "unknown"):
            raise InputError(f"dose_to is {self.dose_to!r}; say 'medium' or 'water'")
        if self.unit not in ("Gy", "Gy cm2"):
            raise InputError(f"dose unit {self.unit!r} is not 'Gy' or 'Gy cm2'")
        for name in ("gray", "uncertainty"):
            values = getattr(self, name)
            if values is None:
                continue
            array = read_only(values, np.float32, what=f"dose ({name})", ndim=3)
            if array.shape != self.grid.shape:
                raise InputError(f"dose {name} has shape {array.shape}, its grid {self.grid.shape}")
            object.__setattr__(self, name, array)
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    def scaled(self, factor: float, *, summation: str | None = None) -> Dose:
        """Return this dose times a factor, with its uncertainty times the same factor.

        Parameters
        ----------
        factor : float, >= 0
            Such as the number of fractions: every fraction repeats the same calculated dose, so
            the relative uncertainty stays.
        summation : str, optional
            What the result is; as before if left out.

        Raises
        ------
        InputError
            The factor is negative or not finite.
        """
        if not (math.isfinite(factor) and factor >= 0):
            raise InputError(f"a dose times {factor}: the factor must be zero or more")
        times = np.float32(factor)
        return replace(
            self,
            gray=self.gray * times,
            uncertainty=None if self.uncertainty is None else self.uncertainty * times,
            summation=self.summation if summation is None else summation,
        )
