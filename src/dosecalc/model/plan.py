"""A treatment plan: beams, control points, prescription. Angles follow IEC 61217."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model.checks import finite, read_only, whole
from dosecalc.model.control_point import ControlPoint
from dosecalc.model.machine import Machine
from dosecalc.model.motion import technique_of

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

    @classmethod
    def static(
        cls,
        machine: Machine,
        *,
        mu: float,
        isocentre: tuple[float, float, float],
        jaws_x: tuple[float, float] | None = None,
        jaws_y: tuple[float, float] | None = None,
        leaves: NDArray[np.float64] | None = None,
        gantry_deg: float = 0.0,
        collimator_deg: float = 0.0,
        couch_deg: float = 0.0,
        number: int = 1,
        name: str = "",
    ) -> Beam:
        """Return a beam of a machine that stands still.

        Parameters
        ----------
        machine : Machine
            Gives quality, source-axis distance and leaf edges.
        mu : float
            Monitor units of one fraction.
        isocentre : (x, y, z), mm, LPS
        jaws_x, jaws_y : (float, float) or None, mm
            In the isocentre plane; None where the machine has no such jaws.
        leaves : (2, n) float64, mm, optional
            Leaf tips in the isocentre plane, as in `ControlPoint`. Without them the leaves are
            withdrawn: the jaws alone form the field.
        gantry_deg, collimator_deg, couch_deg : float, degrees
            IEC 61217.
        number : int
        name : str
            The gantry angle if none is given: "G090".

        Returns
        -------
        Beam

        Raises
        ------
        InputError
            Leaves for a machine that has none, or any value that cannot be.

        Examples
        --------
        >>> import dosecalc as dc
        >>> beam = dc.Beam.static(
        ...     dc.load_machine("generic-6mv"), mu=100.0, isocentre=(0.0, 0.0, 0.0),
        ...     jaws_x=(-50.0, 50.0), jaws_y=(-40.0, 40.0), gantry_deg=90.0,
        ... )
        >>> beam
        Beam(1, 'G090', 6 MV, STATIC, gantry 90 deg, 100 MU)
        >>> beam.is_arc
        False
        """
        start, stop = (
            ControlPoint(
                meterset_fraction=at,
                gantry_deg=gantry_deg,
                collimator_deg=collimator_deg,
                couch_deg=couch_deg,
                isocentre=isocentre,
                jaws_x=jaws_x,
                jaws_y=jaws_y,
                leaves=leaves,
            )
            for at in (0.0, 1.0)
        )
        return cls.of_machine(machine, (start, stop), mu=mu, number=number, name=name)

    @classmethod
    def of_machine(
        cls,
        machine: Machine,
        control_points: tuple[ControlPoint, ...],
        *,
        mu: float,
        number: int = 1,
        name: str = "",
    ) -> Beam:
        """Return a beam of a machine from its control points.

        Parameters
        ----------
        machine : Machine
            Gives quality, source-axis distance and leaf edges.
        control_points : tuple of ControlPoint
        mu : float
            Monitor units of one fraction.
        number : int
        name : str
            The gantry angle of the start if none is given: "G090".
        """
        mlc = machine.mlc if control_points[0].leaves is not None else None
        if mlc is None and control_points[0].leaves is not None:
            raise InputError(
                f"machine {machine.name!r} has no leaves; leave out the argument leaves"
            )
        return cls(
            number=number,
            name=name or f"G{control_points[0].gantry_deg:03.0f}",
            energy_mv=machine.energy_mv,
            fluence_mode=machine.fluence_mode,
            machine_name=machine.name,
            sad_mm=machine.sad_mm,
            mu=mu,
            control_points=control_points,
            leaf_boundaries=None if mlc is None else mlc.boundaries_mm,
            leaf_axis=None if mlc is None else mlc.axis,
            technique=technique_of(control_points),
        )

    @property
    def is_arc(self) -> bool:
        """Whether the gantry rotates while the beam is on, by the control points."""
        return technique_of(self.control_points) in ("ARC", "VMAT")

    def __repr__(self) -> str:
        start, stop = self.control_points[0], self.control_points[-1]
        gantry = f"{start.gantry_deg:g}"
        if start.gantry_deg != stop.gantry_deg:
            gantry += f" to {stop.gantry_deg:g}"
        mode = "" if self.fluence_mode == "STANDARD" else f" {self.fluence_mode}"
        return (
            f"Beam({self.number}, {self.name!r}, {self.energy_mv:g} MV{mode}, {self.technique}, "
            f"gantry {gantry} deg, {self.mu:g} MU)"
        )

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

    @property
    def is_to_target(self) -> bool:
        """Whether a dose is to be reached, in a volume or at a point: no limit of an organ."""
        return self.kind != "ORGAN_AT_RISK" and self.dose_gy > 0


@dataclass(frozen=True)
class LeftOutBeam:
    """A beam of the plan that is not calculated because the user said so; MU of one fraction."""

    number: int
    name: str
    mu: float | None = None


@dataclass(frozen=True)
class Plan:
    """Beams of one fraction, and how many fractions there are.

    Parameters
    ----------
    beams : tuple of Beam
    position : PatientPosition
    fractions : int or None
        None where the plan has no fraction scheme: whoever needs a total must then ask for it,
        never assume one.
    prescriptions : tuple of Prescription
    label : str
    uid, structure_set_uid, frame_of_reference_uid, patient_id, approval : str
        As the file of the plan states them; "" for none.
    notes : tuple of str
    left_out : tuple of LeftOutBeam
        Beams that the plan delivers and the user left out.

    Raises
    ------
    InputError
        Two beams have one number, or the number of fractions cannot be.

    Examples
    --------
    >>> import dosecalc as dc
    >>> from dosecalc.model import PatientPosition, Prescription
    >>> machine = dc.load_machine("generic-6mv")
    >>> beams = tuple(
    ...     dc.Beam.static(machine, number=n, mu=100.0, isocentre=(0.0, 0.0, 0.0),
    ...                    jaws_x=(-50.0, 50.0), jaws_y=(-50.0, 50.0), gantry_deg=gantry)
    ...     for n, gantry in enumerate((0.0, 180.0), start=1)
    ... )
    >>> plan = dc.Plan(beams, PatientPosition.HFS, fractions=25, label="AP-PA",
    ...                prescriptions=(Prescription("PTV", 50.0),))
    >>> plan
    Plan('AP-PA', 2 beams, 200 MU, 25 fractions, 50 Gy, HFS)
    >>> plan.isocentre
    (0.0, 0.0, 0.0)
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

    @property
    def target_prescriptions(self) -> tuple[Prescription, ...]:
        """Prescriptions of a dose to targets or points; limits of organs at risk are none."""
        return tuple(one for one in self.prescriptions if one.is_to_target)

    @property
    def prescribed_gy(self) -> float | None:
        """Largest dose prescribed to a target or point, all fractions, Gy; None without any."""
        return max((one.dose_gy for one in self.target_prescriptions), default=None)

    @property
    def isocentre(self) -> tuple[float, float, float]:
        """Isocentre (x, y, z) of all beams, mm, LPS.

        Raises
        ------
        InputError
            There is no beam, or the beams have several isocentres.
        """
        found = {cp.isocentre for beam in self.beams for cp in beam.control_points}
        if len(found) != 1:
            raise InputError(
                f"the plan has {len(found)} isocentres; take that of one beam: "
                "plan.beams[0].control_points[0].isocentre"
            )
        return found.pop()

    def __repr__(self) -> str:
        fractions = (
            "no number of fractions"
            if self.fractions is None
            else (f"{self.fractions} fraction{'' if self.fractions == 1 else 's'}")
        )
        mu = sum(beam.mu for beam in self.beams)
        prescribed = self.prescribed_gy
        goal = "" if prescribed is None else f", {prescribed:g} Gy"
        beams = f"{len(self.beams)} beam{'' if len(self.beams) == 1 else 's'}"
        return f"Plan({self.label!r}, {beams}, {mu:g} MU, {fractions}{goal}, {self.position.value})"
