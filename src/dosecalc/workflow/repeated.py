"""What a record and its files say, beside the same calculation done again.

Some entries of a record cannot be the same again, or are compared elsewhere: when and on which
computer it ran (named as differences), the options (they are what is done again), the hashes of
reports that state the time. Everything else is compared, value by value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from dosecalc.errors import GeometryError
from dosecalc.records.record_file import RecordFile
from dosecalc.records.repeated_values import (
    NEARLY,
    SAME,
    Closeness,
    changed_text,
    changed_values,
)
from dosecalc.records.reproduction import DoseRepeat, repeat_of_dose
from dosecalc.records.seal import SEAL
from dosecalc.report.page.build import page_text
from dosecalc.report.page.printed import pdf_bytes
from dosecalc.report.page.words import LANGUAGES
from dosecalc.verification.verification import Verification
from dosecalc.workflow.doses import read_any_dose
from dosecalc.workflow.find_inputs import Found

__all__ = [
    "FileRepeat",
    "closeness",
    "repeat_of_files",
    "repeat_of_values",
    "report_language",
    "same_program",
]

_REPORTS = ("report.html", "report.pdf")
_DOSES = ("dose.npz", "RTDOSE.dcm")
# Read or chosen, not calculated: a dose that differs in its last digits leaves them as they are.
_OF_NO_DOSE = ("plan", "grid", "choices", "machine_models")
# Named as differences, or what the repetition itself was made of.
_NOT_OF_THE_RUN = {
    *("program", "host", "command", "physical_data_sha256", "outputs_sha256", "timings_s"),
    *("calculated_at", "inputs", SEAL),
}
_NOT_OF_THE_CASE = {SEAL, "outcome"}


@dataclass(frozen=True)
class FileRepeat:
    """One output beside the same output made again.

    Parameters
    ----------
    name : str
    equal : bool or None
        None where it could not be compared.
    said : str
    """

    name: str
    equal: bool | None
    said: str


def same_program(record: RecordFile, again: RecordFile) -> bool:
    """Whether both were written by the same sources with the same libraries."""
    return bool(record.run["program"] == again.run["program"])


def closeness(dose: DoseRepeat | str, *, same_words: bool) -> Closeness:
    """Return how close values must be: those of an identical dose are the same."""
    identical = isinstance(dose, DoseRepeat) and dose.identical
    return replace(SAME if identical else NEARLY, words=same_words)


def repeat_of_values(
    record: RecordFile, again: RecordFile, found: Found, close: Closeness
) -> tuple[str, ...]:
    """Say of each value that is not what was recorded what it was and what it is now."""
    # The folder has another name now; sentences may hold it.
    was = {str(one): "FOLDER" for one in _places(record)}
    now = {str(found.folder): "FOLDER", str(found.where): "FOLDER"}
    then = _without(_comparable(record, close), was)
    again_now = _without(_comparable(again, close), now)
    _leave_out_absent(then, again_now, [Path(name).name for name in found.absent])
    exact = tuple(_changed_whatever_the_dose(then, again_now, close))
    return (*exact, *changed_values(then, again_now, close), *_changed_inputs(record, again))


def _changed_whatever_the_dose(
    then: dict[str, Any], now: dict[str, Any], close: Closeness
) -> Iterator[str]:
    """Take out what no dose decides, which is the same however near the doses are, and compare."""
    where = "record." if "record" in then else ""
    run_then, run_now = then.get("record", then), now.get("record", now)
    for key in _OF_NO_DOSE:
        was, is_now = run_then.pop(key, None), run_now.pop(key, None)
        yield from changed_values(was, is_now, replace(SAME, words=close.words), where + key)


def _leave_out_absent(then: dict[str, Any], now: dict[str, Any], absent: Sequence[str]) -> None:
    """Leave out notes on files that were not used and are not there any more.

    For each, one note of the same words on other files is left out where the calculation was done
    again: it counts fewer.
    """
    run_then, run_now = then.get("record", then), now.get("record", now)
    pairs = [(run_then.get("notes"), run_now.get("notes"))]
    pairs.append((then.get("caveats"), now.get("caveats")))
    for was, is_now in pairs:
        for note in [one for one in was or () if any(name in one for name in absent)]:
            was.remove(note)
            alike = [one for one in is_now if _kind(one) == _kind(note)]
            if alike:
                is_now.remove(alike[0])


def _kind(note: str) -> str:
    return re.sub(r"\d+", "#", note.partition(":")[0])


def _places(record: RecordFile) -> Iterator[str]:
    asked = record.run["choices"]["options"]
    yield str(asked["place"]["absolute"])
    values = asked["values"]
    for one in values.get("calcs", [values]):
        yield str(one["path"])


def _comparable(record: RecordFile, close: Closeness) -> dict[str, Any]:
    run = {k: v for k, v in record.run.items() if k not in _NOT_OF_THE_RUN}
    run["choices"] = _choices(run["choices"])
    run["machine_models"] = {
        name: {k: v for k, v in about.items() if not k.endswith("_sha256")}
        for name, about in run["machine_models"].items()
    }
    if not close.words:
        # Those of another version are named as differences.
        run["engine"] = {
            k: v for k, v in run["engine"].items() if k in ("engine", "notes", "cautions")
        }
    if not record.is_verification:
        return run
    case = {k: v for k, v in record.values.items() if k not in _NOT_OF_THE_CASE}
    case["findings"] = [
        {k: v for k, v in one.items() if k != "outcome"} for one in case["findings"]
    ]
    return case | {"record": run}


def _choices(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says where files lay, and hashes that are named as differences."""
    kept: dict[str, Any] = {}
    for key, value in choices.items():
        if key == "options":
            continue
        if isinstance(value, Mapping) and "sha256" in value and key != "reference":
            value = {k: v for k, v in value.items() if k != "sha256"}
        if key == "reference" and isinstance(value, Mapping) and value.get("name"):
            value = {**value, "name": Path(value["name"]).name}
        kept[key] = value
    return kept


def _without(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for place in sorted(places, key=len, reverse=True):
            # A folder named "a" must not take letters out of words.
            if "/" in place or "\\" in place:
                value = value.replace(place, places[place])
        return value
    if isinstance(value, Mapping):
        return {key: _without(one, places) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without(one, places) for one in value]
    return value


def _changed_inputs(record: RecordFile, again: RecordFile) -> Iterator[str]:
    """Compare the files of the case by name; unused ones need not be there again."""
    then, now = (
        {str(f["name"]): f for f in one.run["inputs"] if f["kind"] not in ("option", "recipe")}
        for one in (record, again)
    )
    for name in dict.fromkeys((*then, *now)):
        was, is_now = then.get(name), now.get(name)
        if is_now is None and was is not None and not was["used"]:
            continue
        if was != is_now:
            yield f"inputs[{name}]: {was}, now {is_now}"
    options = {(Path(one["name"]).name, one["sha256"]) for one in _named(record)}
    for one in record.run["inputs"]:
        if one["kind"] == "option" and (Path(one["name"]).name, one["sha256"]) not in options:
            yield f"inputs[{one['name']}]: no option names a file with this name and SHA-256"


def _named(record: RecordFile) -> list[Mapping[str, Any]]:
    named: list[Mapping[str, Any]] = record.run["choices"]["options"]["files"]
    return named


def repeat_of_files(
    record: RecordFile,
    again: RecordFile,
    verification: Verification | None,
    close: Closeness,
) -> tuple[FileRepeat, ...]:
    """Compare every output: bytes first, then what is in it.

    Parameters
    ----------
    verification : Verification or None
        As it was found again: its reports are made anew with the recorded time and computer.
    close : Closeness
    """
    return tuple(_file(name, record, again, verification, close) for name in record.outputs)


def _file(
    name: str,
    record: RecordFile,
    again: RecordFile,
    verification: Verification | None,
    close: Closeness,
) -> FileRepeat:
    if verification is not None and name in _REPORTS:
        return _report(name, record, verification, close)
    if again.outputs.get(name) == record.outputs[name]:
        return FileRepeat(name, True, "identical, bit for bit")
    if name not in again.outputs:
        if any(
            one["used"] and one["sha256"] == record.outputs[name] for one in again.run["inputs"]
        ):
            return FileRepeat(name, True, "what was calculated; it was found unaltered")
        return FileRepeat(name, False, "the calculation does not write this file again")
    exact = close.floor == SAME.floor and close.words
    if name in _DOSES:
        return _dose_file(name, record, again, exact=exact)
    if exact:
        return FileRepeat(name, False, "it is not what the same program draws of the same dose")
    return FileRepeat(name, None, "another version or another dose: not compared")


def _dose_file(name: str, record: RecordFile, again: RecordFile, *, exact: bool) -> FileRepeat:
    then, now = (
        read_any_dose(one.folder / name, unit=None, axes="+x,+y,+z") for one in (record, again)
    )
    try:
        repeat = repeat_of_dose(then.dose, now.dose)
    except GeometryError as error:
        return FileRepeat(name, False, str(error))
    if not repeat.is_equal:
        return FileRepeat(name, False, f"largest difference {repeat.largest_percent:.4f} %")
    if (then.patient_id, then.frame_uid) != (now.patient_id, now.frame_uid):
        return FileRepeat(name, False, "it names another patient or frame of reference")
    if exact and repeat.identical:
        return FileRepeat(name, False, "the same dose, and other contents beside it")
    return FileRepeat(name, True, f"largest difference {repeat.largest_percent:.4f} %")


def report_language(record: RecordFile) -> str:
    """Return the language of a record's reports: that in which the page opens."""
    language = record.report_language
    return language if language in LANGUAGES else LANGUAGES[0]


def _report(
    name: str, record: RecordFile, verification: Verification, close: Closeness
) -> FileRepeat:
    """Make a report anew with the recorded time and computer, and compare."""
    language = report_language(record)
    outputs = {n: h for n, h in record.outputs.items() if n not in _REPORTS}
    # Caveats were compared as values; they may name folders and files that lie elsewhere now.
    told = replace(
        verification,
        caveats=tuple(str(one) for one in record.values["caveats"]),
        record={**record.run, "outputs_sha256": outputs},
    )
    stored = (record.folder / name).read_bytes()
    if name.endswith(".html"):
        made = page_text(told, language)
        if stored == made.encode():
            return FileRepeat(name, True, "identical, bit for bit")
        return _page(name, stored.decode("utf-8", "replace"), made, close)
    if stored == pdf_bytes(told, language):
        return FileRepeat(name, True, "identical, bit for bit")
    if close.floor == SAME.floor and close.words:
        return FileRepeat(name, False, "it is not the report of this calculation")
    return FileRepeat(name, None, "another version or another dose: not compared")


def _page(name: str, stored: str, made: str, close: Closeness) -> FileRepeat:
    if close.floor == SAME.floor and close.words:
        where = next(
            (f": {a!r}, now {b!r}" for a, b in zip(_texts(stored), _texts(made), strict=False)
             if a != b), "",
        )  # fmt: skip
        return FileRepeat(name, False, f"it is not the report of this calculation{where[:200]}")
    then, now = _texts(stored), _texts(made)
    if [_words(x) for x in then] != [_words(x) for x in now]:
        return FileRepeat(name, None, "another version puts it otherwise: not compared")
    for a, b in zip(then, now, strict=True):
        if changed_text(a, b, close):
            return FileRepeat(name, False, f"{a!r}, now {b!r}"[:200])
    return FileRepeat(name, True, "the same words and numbers")


def _words(text: str) -> str:
    return re.sub(r"[-+]?\d+(?:\.\d+)?", "#", text)


def _texts(page: str) -> list[str]:
    """Return the texts of a page, with numbers of both languages as programs write them."""
    reader = _Texts()
    reader.feed(page)
    plain = (one.replace("\u2212", "-") for one in reader.found)
    return [re.sub(r"(?<=\d),(?=\d)", ".", one) for one in plain]


class _Texts(HTMLParser):
    """The texts of a page, without scripts, styles and drawings."""

    _SKIPPED = ("script", "style", "svg")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._depth += tag in self._SKIPPED

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag in self._SKIPPED

    def handle_data(self, data: str) -> None:
        if not self._depth and data.strip():
            self.found.append(data.strip())
