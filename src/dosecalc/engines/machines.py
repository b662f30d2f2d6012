"""Which beam model calculates which beam of a plan, and when two of them share tables."""

from __future__ import annotations

from collections.abc import Mapping

from dosecalc.beam.fluence import Fluence
from dosecalc.errors import InputError
from dosecalc.model import Machine, Plan

__all__ = ["BeamQuality", "machines_of"]


def machines_of(plan: Plan, machine: Machine | Mapping[int, Machine]) -> dict[int, Machine]:
    """Return the machine of every beam number.

    Raises
    ------
    InputError
        The plan has no beams, a beam has no machine, or beams per MU and per unit fluence meet.
    """
    if not plan.beams:
        raise InputError("the plan has no beam to calculate")
    machines = {}
    for beam in plan.beams:
        if isinstance(machine, Machine):
            machines[beam.number] = machine
        elif beam.number in machine:
            machines[beam.number] = machine[beam.number]
        else:
            raise InputError(f"no machine is given for beam {beam.number}; name one for every beam")
    if len({m.calibration.per_fluence for m in machines.values()}) > 1:
        raise InputError("beams per MU and beams per unit fluence cannot be added in one plan")
    return machines


class BeamQuality:
    """A beam's spectrum and softening as a key: equal where the tables made of them are."""

    def __init__(self, fluence: Fluence) -> None:
        self.spectrum = fluence.spectrum
        self.softening = fluence.softening
        arrays = [self.spectrum.edges_low, self.spectrum.edges_high, self.spectrum.photons]
        if self.softening is not None:
            arrays += [self.softening.radius_mm, self.softening.value]
        self.key = tuple(array.tobytes() for array in arrays)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BeamQuality) and self.key == other.key
