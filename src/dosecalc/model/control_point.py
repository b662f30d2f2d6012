"""The state of the machine at one instant of a beam. Angles follow IEC 61217."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model.checks import finite, read_only

__all__ = ["ControlPoint"]


@dataclass(frozen=True)
class ControlPoint:
    """The state of the machine at one instant, with nothing left to inherit.

    Parameters
    ----------
    meterset_fraction : float, 0 to 1
        Share of the beam's MU delivered when this state is reached.
    gantry_deg, collimator_deg, couch_deg : float, degrees
        IEC 61217 gantry, beam limiting device and patient support angles, 0 <= angle < 360.
    isocentre : (x, y, z), mm, LPS
    jaws_x, jaws_y : (float, float) or None, mm
        Lower and upper jaw position in the isocentre plane, IEC beam limiting
        device axes. None where the plan has no such device.
    leaves : (2, n) float64 or None, mm
        Leaf tip positions in the isocentre plane: row 0 the bank on the
        negative side (X1 or Y1), row 1 the other; column i is leaf pair i, from
        the negative end of the axis across the leaves.
    gantry_direction, collimator_direction : {"CW", "CC", "NONE"}
        Sense of rotation from here to the next control point, as DICOM states
        it. Angles alone cannot tell a full turn from standing still: equal
        angles with "CW" or "CC" are a full turn. `model.motion` turns angles
        and sense into signed degrees.
    """

    meterset_fraction: float
    gantry_deg: float
    collimator_deg: float
    couch_deg: float
    isocentre: tuple[float, float, float]
    jaws_x: tuple[float, float] | None
    jaws_y: tuple[float, float] | None
    leaves: NDArray[np.float64] | None = None
    gantry_direction: str = "NONE"
    collimator_direction: str = "NONE"

    def __post_init__(self) -> None:
        for name in ("gantry_direction", "collimator_direction"):
            if getattr(self, name) not in ("CW", "CC", "NONE"):
                raise InputError(f"{name} {getattr(self, name)!r} is not CW, CC or NONE")
        fraction = finite(self.meterset_fraction, "meterset fraction")
        if not -1e-9 <= fraction <= 1 + 1e-9:
            raise InputError(f"meterset fraction {fraction} is not between 0 and 1")
        object.__setattr__(self, "meterset_fraction", min(max(fraction, 0.0), 1.0))
        for name in ("gantry_deg", "collimator_deg", "couch_deg"):
            object.__setattr__(self, name, finite(getattr(self, name), name) % 360.0)
        isocentre = tuple(finite(v, "isocentre (mm)") for v in self.isocentre)
        if len(isocentre) != 3:
            raise InputError(f"isocentre {self.isocentre} needs x, y and z in mm")
        object.__setattr__(self, "isocentre", isocentre)
        for name in ("jaws_x", "jaws_y"):
            jaws = getattr(self, name)
            if jaws is not None:
                low, high = (finite(v, name) for v in jaws)
                if low > high:
                    raise InputError(f"{name} {jaws} mm: the lower jaw is beyond the upper one")
                object.__setattr__(self, name, (low, high))
        if self.leaves is not None:
            leaves = read_only(self.leaves, np.float64, what="leaf positions", ndim=2)
            if leaves.shape[0] != 2:
                raise InputError(f"leaf positions have shape {leaves.shape}, not (2, n)")
            if (leaves[0] > leaves[1] + 0.01).any():
                pair = int(np.argmax(leaves[0] - leaves[1]))
                raise InputError(
                    f"leaf pair {pair + 1} overlaps: {leaves[0, pair]} and {leaves[1, pair]} mm"
                )
            object.__setattr__(self, "leaves", leaves)
