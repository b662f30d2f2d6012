"""A record calculated again, and what came of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dosecalc import __version__
from dosecalc.errors import GeometryError, InputError
from dosecalc.records.decisions import problems, read_decisions
from dosecalc.records.record import to_json
from dosecalc.records.record_file import RecordFile, open_record
from dosecalc.records.reproduction import (
    TOLERANCE_PERCENT,
    TOLERANCE_SOURCE,
    DoseRepeat,
    VerdictRepeat,
    repeat_of_dose,
    repeat_of_verdict,
)
from dosecalc.verification.verification import Verification
from dosecalc.workflow.calculate import calculate
from dosecalc.workflow.doses import read_any_dose
from dosecalc.workflow.find_inputs import Found, find_inputs
from dosecalc.workflow.output import check_output, output_folder
from dosecalc.workflow.progress import Stages
from dosecalc.workflow.recorded import check_repeatable, recorded_options
from dosecalc.workflow.repeated import (
    FileRepeat,
    closeness,
    repeat_of_files,
    repeat_of_values,
    report_language,
    same_program,
)
from dosecalc.workflow.requests import VerificationRequest
from dosecalc.workflow.verify import verify_case

__all__ = ["Reproduction", "reproduce"]

REPRODUCTION_SCHEMA = "dosecalc-reproduction/2"
"""Value of "schema" in reproduction.json; it changes when the meaning of an entry does."""

_PLAIN = {"version": "dosecalc", "sources_sha256": "dosecalc's source files"}

# With most digits first: the archive holds the dose as it was calculated.
_DOSES = ("dose.npz", "RTDOSE.dcm")


@dataclass(frozen=True)
class Reproduction:
    """What came of a record that was calculated again.

    Parameters
    ----------
    record : RecordFile
    where : Path
        Where the inputs were found.
    dose : DoseRepeat or str
        A sentence where the two doses cannot be compared, which is not equal.
    verdict : VerdictRepeat or None
        None of a calculation.
    values : tuple of str
        Every value of the record that is not what it was: what it was, what it is now.
    files : tuple of FileRepeat
        The outputs: dose, picture, reports.
    differences : tuple of str
        Of program, machine models, data and settings: what may explain that it is not equal.
    notes : tuple of str
    """

    record: RecordFile
    where: Path
    dose: DoseRepeat | str
    verdict: VerdictRepeat | None
    values: tuple[str, ...]
    files: tuple[FileRepeat, ...]
    differences: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether dose, verdict, every value and every output are what was recorded."""
        same = isinstance(self.dose, DoseRepeat) and self.dose.is_equal
        same = same and (self.verdict is None or self.verdict.is_equal)
        return same and not self.values and all(one.equal is not False for one in self.files)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """Names of the outputs that could not be compared."""
        return tuple(one.name for one in self.files if one.equal is None)

    def to_values(self) -> dict[str, Any]:
        """Return all of it as plain JSON values."""
        dose, verdict = self.dose, self.verdict
        return {
            "schema": REPRODUCTION_SCHEMA,
            "record": {"path": str(self.record.path), "sha256": self.record.sha256},
            "program": f"dosecalc {__version__}",
            "inputs_found_in": str(self.where),
            "equal": self.is_equal,
            "dose": {"equal": False, "reason": dose}
            if isinstance(dose, str)
            else asdict(dose) | {"equal": dose.is_equal},
            "tolerance": {"percent_of_maximum": TOLERANCE_PERCENT, "source": TOLERANCE_SOURCE},
            "verdict": None if verdict is None else asdict(verdict) | {"equal": verdict.is_equal},
            "values": {"equal": not self.values, "changes": list(self.values)},
            "files": [asdict(one) for one in self.files],
            "differences": list(self.differences),
            "notes": list(self.notes),
        }


def reproduce(
    path: Path, *, case: Path | None, out: Path | None, force: bool, stages: Stages
) -> Reproduction:
    """Find the inputs of a record, calculate again with its options, and compare.

    Parameters
    ----------
    path : Path
        A record or its folder.
    case : Path or None
        Where to look for the inputs before the recorded places.
    out : Path or None
        Folder for the results and ``reproduction.json``; nothing is kept if None.
    force : bool
        Whether an earlier output there is replaced.
    stages : Stages

    Raises
    ------
    DosecalcError
        The record's dose or an input is missing or altered, or the calculation is refused.
    """
    record = open_record(path)
    recorded = recorded_options(record)
    check_repeatable(record)
    # Covers the record itself where somebody has signed it: nothing else holds its hash.
    broken = problems(record, read_decisions(record))
    if broken:
        raise InputError(
            f"{record.folder}: {'; '.join(broken)}. There is nothing whole to compare with: "
            "get the original files back"
        )
    stopped = record.run["engine"].get("stopped")
    if stopped:
        raise InputError(
            f"{record.path}: that run was {stopped}, which cannot be done again; calculate anew"
        )
    if out is not None:
        check_output(out, force=force)
        if out.resolve() == record.folder.resolve():
            raise InputError(f"{out} holds the record itself; name another folder with --out")
    with tempfile.TemporaryDirectory(prefix="dosecalc-") as name:
        with stages.stage("finding the inputs by their contents"):
            found = find_inputs(record, recorded, case, Path(name))
        with _place(out, force) as folder:
            again, verification = _calculated(found, folder, report_language(record), stages)
            done = _compared(record, again, found, verification)
            text = to_json(done.to_values())
            (folder / "reproduction.json").write_text(text, encoding="utf-8")
    return done


@contextmanager
def _place(out: Path | None, force: bool) -> Iterator[Path]:
    if out is not None:
        with output_folder(out, force=force) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="dosecalc-") as name:
        yield Path(name)


def _calculated(
    found: Found, folder: Path, language: str, stages: Stages
) -> tuple[RecordFile, Verification | None]:
    """Calculate into a folder by the way of the command that wrote the record."""
    verification = None
    if isinstance(found.options, VerificationRequest):
        options = replace(found.options, language=language)
        verification = verify_case(options, folder, stages).verification
    else:
        calculate(found.options, folder, stages)
    return open_record(folder), verification


def _compared(
    record: RecordFile, again: RecordFile, found: Found, verification: Verification | None
) -> Reproduction:
    verdict = repeat_of_verdict(record.values, again.values) if record.is_verification else None
    dose = _dose(record, again)
    close = closeness(dose, same_words=same_program(record, again))
    return Reproduction(
        record=record,
        where=found.where,
        dose=dose,
        verdict=verdict,
        values=repeat_of_values(record, again, found, close),
        files=repeat_of_files(record, again, verification, close),
        differences=tuple(_differences(record.run, again.run)),
        notes=found.notes,
    )


def _dose(record: RecordFile, again: RecordFile) -> DoseRepeat | str:
    # Both as they were written, so that both have been rounded alike.
    name = next((n for n in _DOSES if n in record.outputs), None)
    if name is None or name not in again.outputs:
        return f"the record names no dose ({' or '.join(_DOSES)}) that is there again"
    then, now = (
        read_any_dose(one.folder / name, unit=None, axes="+x,+y,+z").dose for one in (record, again)
    )
    try:
        return repeat_of_dose(then, now)
    except GeometryError as error:
        return str(error)


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Name what is not as it was: versions, data, models, settings."""
    for what, a, b in (
        ("", then["program"], now["program"]),
        ("physical data ", then["physical_data_sha256"], now["physical_data_sha256"]),
        ("machine ", _models(then), _models(now)),
        ("", _chosen(then), _chosen(now)),
        ("engine setting ", _settings(then), _settings(now)),
        ("host ", then["host"], now["host"]),
    ):
        for key in dict.fromkeys((*a, *b)):
            if a.get(key) != b.get(key) and key != "executable":
                name = _PLAIN.get(key, key)
                yield f"{what}{name}: {_short(a.get(key))}, now {_short(b.get(key))}"


def _models(run: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, about in run["machine_models"].items():
        for key in ("machine_sha256", "spectrum_sha256"):
            found[f"{name} {key.replace('_sha256', '')}"] = about.get(key)
    return found


def _chosen(run: Mapping[str, Any]) -> dict[str, Any]:
    """HU curve, tolerances and template by their hashes."""
    choices = run["choices"]
    named = {key: choices.get(key) for key in ("hu_curve", "tolerances", "template")}
    return {key: one.get("sha256") for key, one in named.items() if isinstance(one, Mapping)}


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = run["engine"].get("settings", {})
    return settings


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    is_hash = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return f"SHA-256 {text[:12]}" if is_hash else text
