"""``dosecalc sign``: the decision of a named person, bound to what was decided on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dosecalc.records.decisions import Decision
    from dosecalc.records.record_file import RecordFile

__all__ = ["sign"]

_WHOLE, _ALTERED, _UNDECIDED = 0, 1, 2
_WHOLE_SAID = "Record, outputs and decisions are unaltered."
# Whoever altered the record on purpose may have sealed it anew: a seal noted elsewhere shows that.
_UNDECIDED_SAID = (
    "Nobody has decided yet. {0} fits its seal and the outputs are those that it names. Compare "
    "the seal with the one that you noted (--seal)."
)


@click.command()
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--name", help="Who decides.")
@click.option(
    "--decision",
    metavar="WORD",
    help="accepted, accepted-with-conditions or rejected; conditions stand in the reason.",
)
@click.option("--reason", help="Why, and on what conditions.")
@click.option("--role", default="", help="As whom, for example medical physicist.")
@click.option("--check", is_flag=True, help="Show the decisions and whether all is unaltered.")
@click.option(
    "--seal",
    metavar="HASH",
    help="With --check: the seal of the last decision, or of the record where nobody has decided, "
    "as you noted it (8 characters or more).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")
def sign(
    record: Path,
    name: str | None,
    decision: str | None,
    reason: str | None,
    role: str,
    check: bool,
    seal: str | None,
    as_json: bool,
) -> int:
    """Add a decision on RECORD, a verification or calculation (its folder or .json file).

    The decision goes into decisions.json beside the record, with the hashes of record, dose and
    report. It binds a typed name to contents; it is no proof of who typed it. With --check
    nothing is written: exit code 0 all is unaltered, 1 something was altered, 2 nothing was
    altered and there is no decision. A record that does not fit the seal that it was written with
    is altered.
    """
    from dosecalc.errors import InputError
    from dosecalc.records.record_file import open_record

    given = {"--name": name, "--decision": decision, "--reason": reason}
    if check:
        words = [word for word, value in (*given.items(), ("--role", role)) if value]
        if words:
            raise InputError(f"--check only looks; leave {', '.join(words)} out")
        return _check(open_record(record), seal, as_json)
    missing = [word for word, value in given.items() if value is None]
    if missing or name is None or decision is None or reason is None:
        raise InputError(f"{', '.join(missing)}: needed to sign (--check shows decisions)")
    if seal is not None:
        raise InputError("--seal belongs to --check")
    return _sign(open_record(record), name, role, decision, reason, as_json)


def _sign(
    record: RecordFile, name: str, role: str, decision: str, reason: str, as_json: bool
) -> int:
    from dosecalc.cli._say import printing, say
    from dosecalc.records.decisions import sign

    made = sign(record, name=name, role=role, decision=decision, reason=reason)
    with printing(record.folder):
        if as_json:
            _print_json(record, (made,), [])
            return _WHOLE
        say(_found(record))
        say(_line(made))
        say(f"Bound to {', '.join(made.files)} as they are now, in {record.folder}/.")
        say(f"Seal of this decision, to be noted elsewhere: {made.sha256[:16]}")
    return _WHOLE


def _check(record: RecordFile, seal: str | None, as_json: bool) -> int:
    from dosecalc.cli._say import say
    from dosecalc.errors import InputError
    from dosecalc.records.decisions import problems, read_decisions

    decisions: tuple[Decision, ...] = ()
    try:
        decisions = read_decisions(record)
        said = problems(record, decisions) + record.contradictions()
    except InputError as error:
        said = [str(error)]
    if seal is not None:
        if len(seal) < 8:
            raise InputError(f"--seal {seal!r}: 8 characters or more are needed")
        stated = (record.seal, *(one.sha256 for one in decisions))
        if not stated[-1].startswith(seal.lower()):
            what = "the last decision" if decisions else record.path.name
            said.append(f"{what} does not have the seal {seal}")
    if as_json:
        _print_json(record, decisions, said)
    else:
        say(_found(record))
        for made in decisions:
            say(_line(made))
        for one in said:
            say(f"ALTERED: {one}")
        if not said:
            say(_WHOLE_SAID if decisions else _UNDECIDED_SAID.format(record.path.name))
        say(f"Seal of {record.path.name}: {record.seal[:16] or 'none'}")
    return _ALTERED if said else _WHOLE if decisions else _UNDECIDED


def _found(record: RecordFile) -> str:
    """Say what the program found, before what a person decides on it."""
    case = f"{record.values['case']} ({record.path})"
    if record.outcome is None:
        return f"{case}: a calculation alone; the program judged nothing"
    objecting = {
        str(one["rule"]): None
        for one in record.values["findings"]
        if one["outcome"] == record.outcome != "PASS"
    }
    rules = f" ({', '.join(objecting)})" if objecting else ""
    return f"{case}: the program found {record.outcome}{rules}"


def _line(made: Decision) -> str:
    role = f", {made.role}" if made.role else ""
    on = "a calculation" if made.outcome is None else f"outcome {made.outcome}"
    return (
        f"{made.number}. {made.time_utc}  {made.name}{role}: {made.decision.upper()} on {on}. "
        f"Reason: {made.reason}  [{made.sha256[:16]}]"
    )


def _print_json(record: RecordFile, decisions: tuple[Decision, ...], said: list[str]) -> None:
    from dataclasses import asdict

    from dosecalc.cli._say import say_json

    shown = {
        "record": str(record.path),
        "outcome": record.outcome,
        "seal": record.seal,
        "decisions": [asdict(one) | {"sha256": one.sha256} for one in decisions],
        "bound": bool(decisions),
        "altered": said,
    }
    say_json(shown)
