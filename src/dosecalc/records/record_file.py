"""A record as it lies in a folder: what it says, its hash, and whether its outputs are whole."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dosecalc.errors import InputError
from dosecalc.messages.findings import Limit, Outcome
from dosecalc.records.record import RECORD_SCHEMA, VERIFICATION_SCHEMA, file_sha256
from dosecalc.records.seal import SEAL, seal_of

__all__ = ["RecordFile", "changed_files", "mildest_outcome", "open_record"]

_NAMES = ("verification.json", "run.json")
_REPORT = "report.html"
_OUTCOMES = tuple(Outcome.__members__)
# What the page states for programs, once in each language: text that a file brought in cannot
# hold an element.
_VERDICT = re.compile(r'<section class="verdict [a-z]+" data-outcome="([A-Z]+)"')
_LANGUAGE = re.compile(r'<html lang="([a-z]+)"')


@dataclass(frozen=True)
class RecordFile:
    """A record that was read.

    Parameters
    ----------
    path : Path
    sha256 : str
        Of the very bytes that `values` were read from.
    values : mapping
        The whole file: of a verification, or of a run.
    """

    path: Path
    sha256: str
    values: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """Where the record and its outputs lie."""
        return self.path.parent

    @property
    def is_verification(self) -> bool:
        """Whether it judges a plan; else it is the record of a calculation alone."""
        return bool(self.values["schema"] == VERIFICATION_SCHEMA)

    @property
    def run(self) -> Mapping[str, Any]:
        """The record of the run: program, inputs, choices, outputs."""
        found: Mapping[str, Any] = self.values["record"] if self.is_verification else self.values
        return found

    @property
    def outcome(self) -> str | None:
        """What a verification found, such as "REVIEW"; None of a calculation, which judges none."""
        return str(self.values["outcome"]) if self.is_verification else None

    @property
    def outputs(self) -> Mapping[str, str]:
        """SHA-256 of the files written beside the record, by name, as the record states them."""
        found: Mapping[str, str] = self.run["outputs_sha256"]
        return found

    def contents(self) -> dict[str, str]:
        """SHA-256, as it is now, of the record, its outputs and its report.

        Raises
        ------
        InputError
            An output is missing or is not what the record states.
        """
        broken = self.broken_outputs()
        if broken:
            raise InputError(
                f"{self.folder}: {'; '.join(broken.values())}. These are not the results that "
                f"{self.path.name} describes: get the original files back, or calculate again"
            )
        found = {self.path.name: self.sha256, **self.outputs}
        report = self.folder / _REPORT
        # Reports of earlier versions are not in the record; they are bound as they are found.
        if self.is_verification and report.is_file():
            found.setdefault(_REPORT, file_sha256(report))
        return found

    @property
    def seal(self) -> str:
        """The seal that the record states; "" where it states none."""
        return str(self.values.get(SEAL, ""))

    def broken_seal(self) -> str | None:
        """Say that the record is not what was written, or that nothing tells; None if it is."""
        if not self.seal:
            return (
                f"{self.path.name} has no seal: an older dosecalc wrote it, or it was altered; "
                "calculate again"
            )
        now = seal_of(self.values)
        if now == self.seal:
            return None
        return (
            f"{self.path.name} was altered since it was written: its contents have the hash "
            f"{now[:12]}, its seal is {self.seal[:12]}"
        )

    @property
    def report_language(self) -> str | None:
        """Language that the report opens in; None where it does not say."""
        found = _LANGUAGE.search(self._report()[:1000])
        return None if found is None else found[1]

    def contradictions(self) -> list[str]:
        """Say where a verification contradicts its own findings or the report beside it.

        A finding contradicts itself where its value is beyond a limit that its outcome keeps.
        """
        if not self.is_verification:
            return []
        name, said = self.path.name, []
        for one in self.values["findings"]:
            if Outcome[str(one["outcome"])] < mildest_outcome(one):
                said.append(
                    f"{name}: {one['rule']} is {one['outcome']}, its value {one['value']:g} and "
                    f"limits (review {one.get('review')}, fail {one.get('fail')}) say otherwise"
                )
        found = [str(one["outcome"]) for one in self.values["findings"]]
        worst = max(found, key=_OUTCOMES.index, default=Outcome.REFUSED.name)
        if worst != self.outcome:
            said.append(f"{name} says {self.outcome}, the worst of its findings is {worst}")
        stated = set(_VERDICT.findall(self._report())) - {self.outcome}
        said += [f"{_REPORT} says {one}, {name} says {self.outcome}" for one in sorted(stated)]
        return said

    def _report(self) -> str:
        try:
            return (self.folder / _REPORT).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def broken_outputs(self) -> dict[str, str]:
        """Say of each output, by name, that is missing or not what the record states, what is."""
        return changed_files(self.folder, self.outputs)


def mildest_outcome(finding: Mapping[str, Any]) -> Outcome:
    """Return the mildest outcome that a finding's value and limits allow; PASS without them."""
    value = finding.get("value") if finding.get("held") is None else finding["held"]
    limits = [finding.get(key) for key in ("review", "fail")]
    if not _is_number(value) or not any(map(_is_number, limits)) or not finding.get("judged", True):
        return Outcome.PASS
    at_least = bool(finding.get("at_least", False))
    review, fail = (float(one) if _is_number(one) else None for one in limits)  # type: ignore[arg-type]
    size = float(value) if at_least else abs(float(value))  # type: ignore[arg-type]
    try:
        return Limit(review, fail, "", "", at_least).judge(size)
    except InputError:
        # Limits the wrong way round are none that the program writes.
        return Outcome.REFUSED


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def changed_files(folder: Path, stated: Mapping[str, str]) -> dict[str, str]:
    """Say of each file of a folder that is missing, or has another SHA-256 than stated, so."""
    said = {}
    for name, sha256 in stated.items():
        path = folder / name
        if not path.is_file():
            said[name] = f"{name} is missing"
        elif file_sha256(path) != sha256:
            now = file_sha256(path)[:12]
            said[name] = f"{name} was altered: SHA-256 {now}, not {sha256[:12]}"
    return said


def open_record(path: Path | str) -> RecordFile:
    """Read a record, or the one of a folder (verification.json, else run.json).

    Parameters
    ----------
    path : Path or str

    Returns
    -------
    RecordFile
        With `values`, `outcome`, `run` and `sha256`.

    Raises
    ------
    InputError
        There is none, or it is no record that this version reads.

    Examples
    --------
    >>> import dosecalc as dc
    >>> record = dc.open_record("verified/")
    >>> record.outcome
    'REVIEW'
    >>> record.run["choices"]["engines"]
    ['collapsed-cone']
    """
    path = Path(path)
    file = path
    if path.is_dir():
        there = [path / name for name in _NAMES if (path / name).is_file()]
        if not there:
            raise InputError(f"{path} holds no record ({' or '.join(_NAMES)}); name one")
        file = there[0]
    what = f"name {' or '.join(_NAMES)}, or the folder that holds one"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(
            f"record {file} cannot be read: {error.strerror or error}; {what}"
        ) from error
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        why = f": {error}" if file.suffix == ".json" else ""
        raise InputError(f"{file} is not a record{why}; {what}") from error
    _check(values, file)
    return RecordFile(file, hashlib.sha256(content).hexdigest(), values)


def _check(values: Any, file: Path) -> None:
    """Refuse what lacks something that every reader of a record looks at."""
    found = values.get("schema") if isinstance(values, dict) else None
    if found not in (RECORD_SCHEMA, VERIFICATION_SCHEMA):
        raise InputError(
            f"{file}: schema is {found!r}; this version reads {VERIFICATION_SCHEMA!r} "
            f"(dosecalc verify) and {RECORD_SCHEMA!r} (dosecalc calc)"
        )
    run = values.get("record") if found == VERIFICATION_SCHEMA else values
    if not isinstance(run, dict) or not isinstance(run.get("outputs_sha256"), dict):
        raise InputError(f"{file}: it states no hashes of its outputs, so it binds nothing")
    outputs = run["outputs_sha256"]
    if not all(isinstance(sha256, str) for sha256 in outputs.values()):
        raise InputError(
            f"{file}: its outputs_sha256 holds what is no hash; it was altered by hand"
        )
    if any(Path(name).name != name for name in outputs):
        raise InputError(f"{file}: its outputs do not lie beside it; it was written by hand")
    if not isinstance(values.get("case"), str):
        raise InputError(f"{file}: {_not('case', values.get('case'), 'a text')}")
    if found == VERIFICATION_SCHEMA:
        _check_verdict(values, file)


def _check_verdict(values: Mapping[str, Any], file: Path) -> None:
    outcome, findings = values.get("outcome"), values.get("findings")
    if outcome not in _OUTCOMES:
        wanted = f"one of {', '.join(_OUTCOMES)}"
        raise InputError(f"{file}: {_not('outcome', outcome, wanted)}")
    if not isinstance(findings, list):
        raise InputError(f"{file}: {_not('findings', findings, 'a list')}")
    for number, one in enumerate(findings, start=1):
        known = isinstance(one, dict) and one.get("outcome") in _OUTCOMES
        if not known or not all(isinstance(one.get(k), str) for k in ("rule", "sentence")):
            raise InputError(
                f"{file}: {_not(f'finding {number}', one, 'rule, outcome and sentence')}"
            )


def _not(what: str, value: Any, wanted: str) -> str:
    text = repr(value)
    shown = text if len(text) <= 60 else text[:57] + "..."
    return f"{what} is {shown}, not {wanted}: it was altered by hand; get the original file back"
