"""A treatment plan: beams, control points, prescription. Angles follow IEC 61217."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model.checks import finite, read_only, whole

__all__ = ["Beam", "ControlPoint", "LeftOutBeam", "PatientPosition", "Plan", "Prescription"]


class PatientPosition(Enum):
    """The eight patient positions of DICOM (0018,5100)."""

    HFS = "HFS"
    HFP = "HFP"
    FFS = "FFS"
    FFP = "FFP"
    HFDR = "HFDR"
    HFDL = "HFDL"
    FFDR = "FFDR"
    FFDL = "FFDL"


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


@dataclass(frozen=True)
class Beam:
    """A treatment beam of photons.

    Parameters
    ----------
    number : int
    name : str
    energy_mv : float
        Nominal energy, MV.
    fluence_mode : {"STANDARD", "FFF"}
    machine_name : str
        As the plan names it; nothing is looked up by it silently.
    sad_mm : float
        Source-axis distance stated by the plan.
    mu : float
        Monitor units of one fraction.
    control_points : tuple of ControlPoint
        At least two; meterset fractions rise from 0 to 1.
    leaf_boundaries : (n + 1,) float64 or None, mm
        Edges of the leaves in the isocentre plane.
    leaf_axis : {"x", "y", None}
        Direction in which the leaves travel, beam limiting device frame.
    technique : {"STATIC", "STEP_AND_SHOOT", "SLIDING_WINDOW", "ARC", "VMAT"}
    prescribed_dose_gy : float or None
        Beam dose of the plan (300A,0084), Gy at its specification point.
    bolus : tuple of int
        ROI numbers of the boluses that the plan puts into the beam. The dose is
        calculated in a phantom that holds them, or not at all.
    """

    number: int
    name: str
    energy_mv: float
    fluence_mode: str
    machine_name: str
    sad_mm: float
    mu: float
    control_points: tuple[ControlPoint, ...]
    leaf_boundaries: NDArray[np.float64] | None = None
    leaf_axis: str | None = None
    technique: str = "STATIC"
    prescribed_dose_gy: float | None = None
    dose_point: tuple[float, float, float] | None = None
    notes: tuple[str, ...] = field(default=())
    bolus: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        where = f"beam {self.number} ({self.name})"
        whole(self.number, f"{where}: its number")
        if self.fluence_mode not in ("STANDARD", "FFF"):
            raise InputError(f"{where}: fluence mode {self.fluence_mode!r} is not STANDARD or FFF")
        if finite(self.mu, f"{where}: MU") < 0:
            raise InputError(f"{where}: {self.mu} MU; it cannot be negative")
        if len(self.control_points) < 2:
            raise InputError(f"{where}: {len(self.control_points)} control points; two are needed")
        fractions = [cp.meterset_fraction for cp in self.control_points]
        if fractions[0] != 0 or abs(fractions[-1] - 1) > 1e-6:
            raise InputError(
                f"{where}: meterset runs {fractions[0]} to {fractions[-1]}, not 0 to 1"
            )
        if any(b < a for a, b in pairwise(fractions)):
            raise InputError(f"{where}: the cumulative meterset falls between control points")
        self._check_leaves(where)

    def _check_leaves(self, where: str) -> None:
        counts = {None if cp.leaves is None else cp.leaves.shape[1] for cp in self.control_points}
        if len(counts) != 1:
            raise InputError(f"{where}: control points differ in their number of leaves: {counts}")
        count = counts.pop()
        if (count is None) != (self.leaf_boundaries is None):
            raise InputError(f"{where}: leaf positions and leaf boundaries must come together")
        if self.leaf_boundaries is not None:
            edges = read_only(self.leaf_boundaries, np.float64, what="leaf boundaries", ndim=1)
            if count is None or edges.size != count + 1 or (np.diff(edges) <= 0).any():
                raise InputError(
                    f"{where}: {edges.size} leaf boundaries for {count} pairs; "
                    "one more than pairs, rising, is needed"
                )
            if self.leaf_axis not in ("x", "y"):
                raise InputError(f"{where}: leaf axis {self.leaf_axis!r} is not 'x' or 'y'")
            object.__setattr__(self, "leaf_boundaries", edges)


@dataclass(frozen=True)
class Prescription:
    """One dose reference: what is prescribed to which target or point, Gy over all fractions."""

    description: str
    dose_gy: float
    kind: str = "TARGET"
    structure_number: int | None = None
    point: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        what = f"prescription to {self.description!r}"
        if finite(self.dose_gy, f"{what}: dose") < 0:
            raise InputError(f"{what}: {self.dose_gy:g} Gy; it cannot be negative")


@dataclass(frozen=True)
class LeftOutBeam:
    """A beam of the plan that is not calculated because the user said so; MU of one fraction."""

    number: int
    name: str
    mu: float | None = None


@dataclass(frozen=True)
class Plan:
    """Beams of one fraction, and how many fractions there are.

    `fractions` is None where the plan has no fraction scheme: whoever needs a
    total must then ask for it, never assume one. `left_out` are beams that the
    plan delivers and the user left out.
    """

    beams: tuple[Beam, ...]
    position: PatientPosition
    fractions: int | None = None
    prescriptions: tuple[Prescription, ...] = field(default=())
    label: str = ""
    uid: str = ""
    structure_set_uid: str = ""
    frame_of_reference_uid: str = ""
    patient_id: str = ""
    approval: str = ""
    notes: tuple[str, ...] = field(default=())
    left_out: tuple[LeftOutBeam, ...] = ()

    def __post_init__(self) -> None:
        numbers = [b.number for b in self.beams]
        if len(set(numbers)) != len(numbers):
            raise InputError(f"beam numbers {numbers} are not unique; renumber the beams")
        if self.fractions is not None:
            planned = whole(self.fractions, "fractions planned")
            object.__setattr__(self, "fractions", planned)
            if planned < 1:
                raise InputError(f"{planned} fractions planned; at least one is needed")
