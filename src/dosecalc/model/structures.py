"""Structures: named volumes drawn as closed planar contours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model._checks import read_only

__all__ = ["Contour", "Structure", "StructureSet"]


@dataclass(frozen=True)
class Contour:
    """One closed polygon in a plane of constant z.

    Parameters
    ----------
    z : float, mm, LPS
    points : (n, 2) float64, mm, LPS
        x and y of the corners, n >= 3; the last joins the first.
    """

    z: float
    points: NDArray[np.float64]

    def __post_init__(self) -> None:
        points = read_only(self.points, np.float64, what="contour", ndim=2)
        if points.shape[0] < 3 or points.shape[1] != 2:
            raise InputError(
                f"contour at z = {self.z} mm has shape {points.shape}, not (n >= 3, 2)"
            )
        object.__setattr__(self, "points", points)


@dataclass(frozen=True)
class Structure:
    """A region of interest.

    `contours` on one plane combine by the even-odd rule (XOR), which covers
    separate pieces, holes drawn as their own contour, and keyholes.
    `density` is the physical mass density in g/cm3 that the planning system
    recorded for it (ROI Physical Properties), None where there is none.
    """

    number: int
    name: str
    kind: str = ""
    contours: tuple[Contour, ...] = field(default=())
    density: float | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn."""
        return not self.contours


@dataclass(frozen=True)
class StructureSet:
    """Structures that share one frame of reference."""

    structures: tuple[Structure, ...]
    label: str = ""
    uid: str = ""
    frame_of_reference_uid: str = ""
    image_series_uid: str = ""
    patient_id: str = ""
    notes: tuple[str, ...] = field(default=())

    def __iter__(self) -> Iterator[Structure]:
        return iter(self.structures)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the set."""
        return tuple(s.name for s in self.structures)

    def __getitem__(self, name: str) -> Structure:
        found = [s for s in self.structures if s.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"{len(found)} structures are named {name!r}; rename all but one")
        raise InputError(f"no structure is named {name!r}; there are: {', '.join(self.names)}")

    def of_kind(self, kind: str) -> tuple[Structure, ...]:
        """Structures whose RT ROI Interpreted Type is `kind` (EXTERNAL, PTV, ORGAN ...)."""
        return tuple(s for s in self.structures if s.kind == kind)
