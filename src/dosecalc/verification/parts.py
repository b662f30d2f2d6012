"""Parts of sentences that several rules say: a beam, a place, how hard a case is for tables."""

from __future__ import annotations

from dosecalc.messages.message import Message

__all__ = ["beam_part", "isocentre_part", "median_part", "place_part", "situation_part"]

_SITUATIONS = {
    "": "situation.none",
    "simple": "situation.simple",
    "off axis": "situation.off_axis",
    "small field": "situation.small_field",
    "modulated": "situation.modulated",
    "blocked": "situation.blocked",
    "low density": "situation.low_density",
}


def beam_part(number: int, name: str) -> Message:
    """Say a beam by its number and name."""
    return Message.of("part.beam", number=number, name=name)


def isocentre_part(number: int) -> Message:
    """Say the isocentre of a beam by the beam's number."""
    return Message.of("part.isocentre", number=number)


def median_part(structure: str) -> Message:
    """Say the median dose of a structure by its name."""
    return Message.of("part.median", structure=structure)


def place_part(point: tuple[float, float, float]) -> Message:
    """Say where a point (x, y, z) of the patient lies, mm."""
    x, y, z = point
    return Message.of("part.place", x=float(x), y=float(y), z=float(z))


def situation_part(situation: str) -> Message:
    """Say how hard a case is for tables, see `HandDose`."""
    return Message(_SITUATIONS[situation])
