"""Which machine model each beam is calculated with: what the user said, nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dosecalc.data.machines import list_machines, load_machine
from dosecalc.errors import InputError
from dosecalc.model import Beam, Machine, Plan

__all__ = ["machines_for"]

_QUALITY = re.compile(r"(\d+(?:\.\d+)?)\s*(X|MV|FFF)", re.IGNORECASE)


def machines_for(
    plan: Plan, words: Sequence[str], given: Mapping[str, Machine] | None = None
) -> dict[int, Machine]:
    """Return the machine model of every beam, by beam number.

    Parameters
    ----------
    plan : Plan
    words : sequence of str
        ``NAME`` for all beams, ``6X=NAME`` or ``6FFF=NAME`` for those of one nominal
        energy (MV) and fluence mode, ``3=NAME`` for one beam; what says more goes first.
    given : mapping of name to Machine, optional
        Models that are there already; others are loaded.

    Raises
    ------
    InputError
        A beam is left without a model, a word fits no beam or says the same twice, or
        there is no such model.
    """
    choices: dict[str, str] = {}
    for word in words:
        key, equals, name = word.partition("=")
        key, name = (key.strip(), name.strip()) if equals else ("", word.strip())
        if not name or (equals and not key):
            raise InputError(f"--machine {word!r}: write NAME, 6X=NAME or BEAMNUMBER=NAME")
        if key.upper() in choices:
            raise InputError(f"--machine says {key or 'for all beams'} twice; say it once")
        choices[key.upper()] = name
    chosen, used = {}, set()
    for beam in plan.beams:
        fitting = [key for key in choices if _fits(key, beam)]
        if not fitting:
            raise InputError(_missing(plan, beam))
        key = min(fitting, key=_rank)
        used.add(key)
        chosen[beam.number] = choices[key]
    unused = [key or "NAME" for key in choices if key not in used]
    if unused:
        raise InputError(
            f"--machine {', '.join(unused)}: no beam is left for it; the plan has {_beams(plan)}"
        )
    there = given or {}
    models = {
        name: there[name] if name in there else load_machine(name) for name in set(chosen.values())
    }
    return {number: models[name] for number, name in chosen.items()}


def _fits(key: str, beam: Beam) -> bool:
    if key == "":
        return True
    if key.isdigit():
        return int(key) == beam.number
    quality = _QUALITY.fullmatch(key)
    if quality is None:
        raise InputError(
            f"--machine {key}=...: {key!r} is neither a beam number nor a quality like 6X or 6FFF"
        )
    fff = quality[2].upper() == "FFF"
    return float(quality[1]) == beam.energy_mv and fff == (beam.fluence_mode == "FFF")


def _rank(key: str) -> int:
    """Order of precedence: one beam, one quality, all beams."""
    return 0 if key.isdigit() else 1 if key else 2


def _missing(plan: Plan, beam: Beam) -> str:
    return (
        f"no machine model for beam {beam.number} ({beam.name}), planned on "
        f"{beam.machine_name or 'an unnamed machine'} with {_quality(beam)}; none is assumed. "
        f"The plan has {_beams(plan)}. Shipped models: {', '.join(list_machines())}. "
        f"Say for example --machine {_quality(beam)}=NAME"
    )


def _beams(plan: Plan) -> str:
    return ", ".join(f"beam {b.number} ({_quality(b)})" for b in plan.beams)


def _quality(beam: Beam) -> str:
    return f"{beam.energy_mv:g}{'FFF' if beam.fluence_mode == 'FFF' else 'X'}"
