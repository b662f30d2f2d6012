"""Where a report comes from: when, whose, and of which files, as the run's record states it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any, NamedTuple

from dosecalc.report.page.words import Words
from dosecalc.verification.verification import Verification

__all__ = [
    "File",
    "calculated_on",
    "dose_file",
    "footer_files",
    "machine_models",
    "patient",
    "plan_file",
    "reference_file",
    "reference_maker",
    "written_date",
]

_SHORT = 16
"""Hex digits of a SHA-256 that a printed page shows: enough to tell runs apart by eye."""


class File(NamedTuple):
    """A file's name and SHA-256, "" where the record does not state it."""

    name: str
    sha256: str


def calculated_on(v: Verification) -> datetime | None:
    """Return when the dose was calculated; the day alone where the record has no time."""
    options = _part(_part(_part(v.record, "choices"), "options"), "values")
    for stated in (v.record.get("calculated_at"), options.get("on")):
        try:
            return datetime.fromisoformat(str(stated))
        except ValueError:
            continue
    return None


def written_date(when: datetime | None, words: Words) -> str:
    """Return day, time and its zone in words; a day alone has neither."""
    if when is None:
        return words("no_date")
    if when.tzinfo is None:
        return f"{when:%Y-%m-%d}" if when.time() == when.time().min else f"{when:%Y-%m-%d %H:%M}"
    zone = f"{when:%z}"
    zone = "" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return f"{when:%Y-%m-%d %H:%M} UTC{zone}"


def patient(v: Verification) -> tuple[str, str]:
    """Return name and identifier of the patient, "" where neither plan nor record has them."""
    stated = _part(v.record, "patient")
    return str(stated.get("name", "")), str(stated.get("id") or v.plan.patient_id)


def plan_file(v: Verification) -> File:
    """Return the plan's file."""
    return _input(v, "RTPLAN", v.plan.uid)


def dose_file(v: Verification) -> File:
    """Return the calculated dose's file."""
    name = "RTDOSE.dcm"
    return File(name, str(_part(v.record, "outputs_sha256").get(name, "")))


def reference_file(v: Verification) -> File:
    """Return the file of the dose that was compared."""
    if v.reference is None:
        return File("", "")
    chosen = _part(_part(v.record, "choices"), "reference")
    if chosen.get("name"):
        return File(PurePath(str(chosen["name"])).name, str(chosen.get("sha256", "")))
    about = v.reference.provenance
    found = _input(v, "RTDOSE", str(about.get("sop_instance_uid", "")))
    return found if found.name else File(str(about.get("source", "")), "")


def reference_maker(v: Verification) -> str:
    """Return manufacturer and model of the system that made the reference, "" if unknown."""
    if v.reference is None:
        return ""
    chosen = _part(_part(v.record, "choices"), "reference")
    about = v.reference.provenance
    parts = [str(about[key]) for key in ("manufacturer", "model", "software") if about.get(key)]
    return " ".join(dict.fromkeys(parts)) or str(chosen.get("maker", ""))


def machine_models(v: Verification) -> dict[tuple[str, str], list[str]]:
    """Return numbers of the beams by the model, its name and SHA-256, that they were given."""
    used: dict[tuple[str, str], list[str]] = {}
    for number, about in _part(v.calculated.provenance, "machines").items():
        key = (str(about.get("name", "?")), str(about.get("machine_sha256", "")))
        used.setdefault(key, []).append(str(number))
    return used


def footer_files(v: Verification, words: Words) -> str:
    """Return the beginnings of the hashes that tie a printed page to a run."""
    models = ", ".join(_begin(sha256) for _, sha256 in machine_models(v)) or _begin("")
    return words(
        "footer_files",
        plan=_begin(plan_file(v).sha256),
        model=models,
        dose=_begin(dose_file(v).sha256),
        reference=_begin(reference_file(v).sha256),
    )


def _begin(sha256: str) -> str:
    return sha256[:_SHORT] or "\u2013"


def _part(values: Any, key: str) -> Mapping[str, Any]:
    """Return a mapping within another, an empty one where there is none."""
    found = values.get(key) if isinstance(values, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _input(v: Verification, kind: str, uid: str) -> File:
    """Return a file that was read, by its UID, else the only one of its kind."""
    listed = v.record.get("inputs", ())
    entries = [one for one in listed if isinstance(one, Mapping) and one.get("kind") == kind]
    used = [one for one in entries if one.get("used", True)]
    chosen = [one for one in used if uid and one.get("uid") == uid] or used
    if len(chosen) != 1:
        return File("", "")
    return File(str(chosen[0].get("name", "")), str(chosen[0].get("sha256", "")))
