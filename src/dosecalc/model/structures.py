"""Structures: named volumes drawn as closed planar contours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model.checks import read_only

__all__ = ["Contour", "Structure", "StructureSet"]

_TARGETS = ("GTV", "CTV", "PTV")


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

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Lowest x and y, highest x and y, mm."""
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


@dataclass(frozen=True)
class Structure:
    """A region of interest.

    `contours` on one plane combine by the even-odd rule (XOR), which covers
    separate pieces, holes drawn as their own contour, and keyholes.
    `density` is the physical mass density in g/cm3 that the planning system
    recorded for it (ROI Physical Properties), None where there is none.
    `slice_spacing` is the distance in mm of the image slices it was drawn on, None where
    that is not known. `left_out` says why a structure that was drawn cannot be used; it then
    has no contours.
    """

    number: int
    name: str
    kind: str = ""
    contours: tuple[Contour, ...] = field(default=())
    density: float | None = None
    notes: tuple[str, ...] = field(default=())
    slice_spacing: float | None = None
    left_out: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn."""
        return not self.contours

    @property
    def is_target(self) -> bool:
        """Whether its type is GTV, CTV or PTV; without a type, whether its name begins so."""
        return self.kind in _TARGETS if self.kind else self.name.upper().startswith(_TARGETS)

    def __repr__(self) -> str:
        kind = f" {self.kind}" if self.kind else ""
        return f"Structure({self.number}, {self.name!r}{kind}, {len(self.contours)} contours)"


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
            if found[0].left_out:
                raise InputError(self.refusal(name))
            return found[0]
        if found:
            raise InputError(f"{len(found)} structures are named {name!r}; rename all but one")
        raise InputError(f"no structure is named {name!r}; there are: {', '.join(self.names)}")

    @property
    def bodies(self) -> tuple[Structure, ...]:
        """Drawn structures of type EXTERNAL.

        Raises
        ------
        InputError
            There is none, because one could not be read.
        """
        external = self.of_kind("EXTERNAL")
        drawn = tuple(s for s in external if not s.is_empty)
        broken = [s for s in external if s.left_out]
        if broken and not drawn:
            raise InputError(f"the body: {self.refusal(broken[0].name)}")
        return drawn

    @property
    def body(self) -> Structure:
        """The body contour: the one drawn structure of type EXTERNAL.

        Raises
        ------
        InputError
            There is none, there are several, or the one there is could not be read.
        """
        found = self.bodies
        if len(found) != 1:
            names = ", ".join(repr(s.name) for s in (found or self.structures))
            raise InputError(
                f"{len(found)} structures are of the type EXTERNAL; name the body contour, one "
                f"of: {names}"
            )
        return found[0]

    @property
    def targets(self) -> tuple[Structure, ...]:
        """Drawn targets (see `Structure.is_target`), in the order of the set."""
        return tuple(s for s in self.structures if s.is_target and not s.is_empty)

    def __repr__(self) -> str:
        return f"StructureSet({self.label!r}, {len(self.structures)}: {', '.join(self.names)})"

    def refusal(self, name: str) -> str:
        """Say why a structure that was left out cannot be used."""
        why = next(s.left_out for s in self.structures if s.name == name and s.left_out)
        return f"structure {name!r} cannot be used: {why}"

    def of_kind(self, kind: str) -> tuple[Structure, ...]:
        """Structures whose RT ROI Interpreted Type is `kind` (EXTERNAL, PTV, ORGAN ...)."""
        return tuple(s for s in self.structures if s.kind == kind)
