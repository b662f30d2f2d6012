"""Decisions of named persons on a record, bound to its contents by hashes.

``decisions.json`` beside the record holds a list to which entries are only added. Every entry
states the SHA-256 of record and outputs when it was made, and that of the entry before it, so
that a change of either shows. It shows *that* something was changed, not who did it: whoever can
write the file can write all of it anew. A name here is what somebody typed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dosecalc import __version__
from dosecalc.errors import InputError
from dosecalc.records.one_writer import one_writer
from dosecalc.records.record_file import RecordFile, changed_files

__all__ = [
    "DECISIONS_FILE",
    "DECISIONS_LOCK",
    "DECISIONS_NEW",
    "WORDS",
    "Decision",
    "problems",
    "read_decisions",
    "sign",
]

DECISIONS_FILE: str = "decisions.json"
DECISIONS_LOCK: str = f".{DECISIONS_FILE}.lock"
DECISIONS_NEW: str = f".{DECISIONS_FILE}.new"
"""What lies beside it for a moment, and stays where that moment was the process's last."""

_READ_AND_WRITE = 0o666
DECISIONS_SCHEMA = "dosecalc-decisions/1"
"""Value of "schema" in decisions.json; it changes when the meaning of an entry does."""

WORDS = ("accepted", "accepted-with-conditions", "rejected")
"""What can be decided. A closed list, so that decisions can be counted and compared; everything
particular, conditions above all, goes into the reason."""


@dataclass(frozen=True)
class Decision:
    """What a named person decided.

    Parameters
    ----------
    number : int
        From 1.
    name, role : str
        As they were typed.
    decision : str
        One of `WORDS`.
    reason : str
    outcome : str or None
        What the program had found; None of a calculation, which is not judged.
    time_utc : str
        By the clock of the machine.
    program : str
    files : mapping
        SHA-256 of record, outputs and report, by name.
    previous : str or None
        `sha256` of the decision before this one.
    """

    number: int
    name: str
    role: str
    decision: str
    reason: str
    outcome: str | None
    time_utc: str
    program: str
    files: Mapping[str, str]
    previous: str | None

    @property
    def sha256(self) -> str:
        """Hash of all of the entry, and through `previous` of all before it."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def sign(record: RecordFile, *, name: str, role: str, decision: str, reason: str) -> Decision:
    """Add a decision to those of a record and return it.

    Raises
    ------
    InputError
        There is no name or reason; the verification was REFUSED, so that there is nothing to
        decide; record, outputs or earlier decisions are not what they were; record and report
        contradict one another; or somebody else is signing.
    """
    words = {"name": name, "reason": reason, "role": role}
    for what, text in words.items():
        if not text.strip() and what != "role":
            raise InputError(f"--{what} is empty: a decision has a name and a reason")
        if not text.isprintable():
            raise InputError(f"--{what} {text!r} holds characters that cannot be printed")
    if decision not in WORDS:
        raise InputError(f"--decision {decision!r}: choose one of {', '.join(WORDS)}")
    if record.outcome == "REFUSED":
        raise InputError(
            f"{record.path}: the verification was REFUSED, so nothing was judged and there is "
            "nothing to decide on; mend what it names and verify again"
        )
    signing = f"somebody else is signing {record.folder}; try again when they have ended"
    with one_writer(record.folder / DECISIONS_LOCK, signing):
        earlier = read_decisions(record)
        said = problems(record, earlier)
        if said:
            raise InputError(
                f"{record.folder}: {'; '.join(said)}. No decision is added to what is not whole: "
                "get the original files back, or verify again into another folder"
            )
        said = record.contradictions()
        if said:
            raise InputError(
                f"{record.folder}: {'; '.join(said)}. One of them was altered, so it is not known "
                "what would be decided on: get the original files back, or verify again"
            )
        made = Decision(
            number=len(earlier) + 1,
            name=name.strip(),
            role=role.strip(),
            decision=decision,
            reason=reason.strip(),
            outcome=record.outcome,
            time_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            program=f"dosecalc {__version__}",
            files=record.contents(),
            previous=earlier[-1].sha256 if earlier else None,
        )
        _write(record, (*earlier, made))
    return made


def read_decisions(record: RecordFile) -> tuple[Decision, ...]:
    """Read the decisions on a record; none where there is no file.

    Raises
    ------
    InputError
        The file is no list of decisions, or an entry is not what was hashed.
    """
    path = record.folder / DECISIONS_FILE
    if not path.exists():
        return ()
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != DECISIONS_SCHEMA:
            raise InputError(f"{path}: schema is {content['schema']!r}, not {DECISIONS_SCHEMA!r}")
        entries = [(_decision(entry), entry["sha256"]) for entry in content["decisions"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is no list of decisions: {error}") from error
    for made, stated in entries:
        if made.sha256 != stated:
            raise InputError(
                f"{path}: decision {made.number} of {made.name!r} was altered, its hash is "
                f"{made.sha256[:12]} and not {str(stated)[:12]}; get the original file back"
            )
    return tuple(made for made, _ in entries)


def problems(record: RecordFile, decisions: Sequence[Decision]) -> list[str]:
    """Say what is not whole: seal, outputs, the chain of decisions, contents since each."""
    broken = record.broken_outputs()
    seal = record.broken_seal()
    said = [*([] if seal is None else [seal]), *broken.values()]
    before: Decision | None = None
    for number, made in enumerate(decisions, start=1):
        if made.number != number or made.previous != (before.sha256 if before else None):
            said.append(f"decision {made.number} does not follow on the one before it")
        before = made
        now = dict(made.files)
        stated = now.pop(record.path.name, None)
        # What is not even the record's any more has been said.
        others = {name: sha256 for name, sha256 in now.items() if name not in broken}
        since = list(changed_files(record.folder, others).values())
        if stated != record.sha256:
            since.insert(0, f"{record.path.name} is not the record that was decided on")
        said += [f"{one}, since decision {number}" for one in since]
    return said


def _decision(entry: Mapping[str, Any]) -> Decision:
    names = {field.name for field in fields(Decision)}
    if set(entry) != names | {"sha256"}:
        raise InputError(f"an entry has the keys {', '.join(sorted(entry))}")
    files = {str(name): str(sha256) for name, sha256 in entry["files"].items()}
    if any(Path(name).name != name for name in files):
        raise InputError(f"decision {entry['number']} names files that do not lie beside it")
    return Decision(**({name: entry[name] for name in names} | {"files": files}))


def _write(record: RecordFile, decisions: Sequence[Decision]) -> None:
    """Replace the file as a whole: whoever reads it sees the old one or the new one."""
    path = record.folder / DECISIONS_FILE
    content = {
        "schema": DECISIONS_SCHEMA,
        "decisions": [asdict(one) | {"sha256": one.sha256} for one in decisions],
    }
    temporary = record.folder / DECISIONS_NEW
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        # Whoever may read the record may read what was decided on it.
        temporary.chmod(record.path.stat().st_mode & _READ_AND_WRITE)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
