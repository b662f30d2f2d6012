"""Whether files are of one person: PatientID, PatientName, PatientBirthDate and PatientSex.

Two identifiers tell who a patient is. The PatientID must agree; the name may be spelt in another
way, which is noted, and may be another name where the birth date agrees too, which is a doubt that
a verification reports. Everything else is refused, unless the user says that it is one person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from pydicom.dataset import Dataset

from dosecalc.errors import DicomError, InputError
from dosecalc.io.dicom._common import text
from dosecalc.io.dicom._names import in_other_letters, same_entry, same_in_part, same_name
from dosecalc.messages.message import Message, Value

__all__ = ["Doubt", "Identity", "Person", "identify", "person_of"]

_SHOWN = 4
# Of more persons than this, nothing is compared name by name.
_MANY = 40


class Doubt(NamedTuple):
    """What a person must confirm before a dose is used, and the rule that asks for it."""

    rule: str
    message: Message


class Person(NamedTuple):
    """Who a file says that its patient is, "" where it does not say; and which file."""

    number: str
    name: str
    birth_date: str
    sex: str
    where: str


@dataclass(frozen=True)
class Identity:
    """What is to be said of files that are of one person.

    notes : what is written in different ways
    doubts : what a person must confirm, beside the notes
    """

    notes: tuple[str, ...] = ()
    doubts: tuple[Message, ...] = ()


class _Pair(NamedTuple):
    """What was found of two files: which attribute, whose reader must act, and a reason.

    reason : of a problem the end of the refusal, of a doubt the code of a remark
    """

    kind: str
    keyword: str
    reason: str = ""


def person_of(dataset: Dataset, where: str) -> Person:
    """Return who a data set says that its patient is."""
    keywords = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
    number, name, birth_date, sex = (text(dataset, keyword, where) for keyword in keywords)
    return Person(number, name if name.strip("^= ") else "", birth_date, sex, where)


def identify(
    people: Iterable[Person],
    *,
    what: str,
    same_patient: str | None = None,
    advice: str = "separate them",
) -> Identity:
    """Compare what files say of their patient.

    Parameters
    ----------
    people : iterable of Person
    what : str
        What they are of, as the refusal starts: "the folder holds".
    same_patient : str or None
        Why the files are of one person, where the user says so though they differ.
    advice : str
        What the refusal says to do with the files.

    Raises
    ------
    DicomError
        They are of several patients.
    InputError
        The reason is empty.
    """
    if same_patient is not None and not (isinstance(same_patient, str) and same_patient.strip()):
        raise InputError("--same-patient needs the reason why the files are of one person")
    different: dict[tuple[str, ...], Person] = {}
    for one in people:
        different.setdefault(one[:-1], one)
    persons = list(different.values())
    if len(persons) > _MANY and same_patient is None:
        raise DicomError(f"{what} {len(persons)} patients: {_listed(persons, 'PatientID')}")
    found = [_compared(a, b) for a, b in combinations(persons[:_MANY], 2)]
    problems = [pair for pair in found if pair.kind == "problem"]
    if problems and same_patient is None:
        # The PatientID says more than the name, whichever files come first.
        worst = min(problems, key=lambda p: p.keyword != "PatientID")
        n = len(_values(persons, worst.keyword))
        raise DicomError(
            f"{what} {n} patients by {worst.keyword}: {_listed(persons, worst.keyword)}"
            f"{worst.reason}; {advice}, or say why they are one person with "
            "--same-patient REASON"
        )
    notes, doubts = [], []
    for kind, keyword, reason in dict.fromkeys(pair for pair in found if pair.kind):
        if kind == "problem":
            values = {**_shown(persons, keyword), "reason": same_patient}
            doubts.append(Message("patient.taken_as_one", values))
        elif kind == "doubt":
            remark = Message(reason) if reason else None
            values = {**_shown(persons, keyword), "remark": remark}
            doubts.append(Message("patient.differs", values))
        elif kind == "note":
            notes.append(f"{keyword} is written in different ways: {_listed(persons, keyword)}")
    return Identity(tuple(dict.fromkeys(notes)), tuple(dict.fromkeys(doubts)))


def _compared(a: Person, b: Person) -> _Pair:
    numbered = bool(a.number and b.number)
    if numbered and a.number.casefold() != b.number.casefold():
        return _Pair("problem", "PatientID")
    against = _contradiction(a, b)
    if a.name and b.name and not same_entry(a.name, b.name):
        if not numbered:
            return _Pair("problem", "PatientName", ", and no PatientID says that they are one")
        if against:
            return _Pair("problem", "PatientName", f", and {against} differs too")
        if same_name(a.name, b.name):
            return _Pair("note", "PatientName")
        if a.birth_date and b.birth_date:
            return _Pair("doubt", "PatientName", "patient.birth_date_agrees")
        if same_in_part(a.name, b.name):
            return _Pair("doubt", "PatientName", "patient.names_agree_in_part")
        if in_other_letters(a.name, b.name):
            return _Pair("doubt", "PatientName", "patient.names_in_other_letters")
        return _Pair("problem", "PatientName", ", which are not spellings of one name")
    if against:
        return _Pair("doubt", against)
    if a.number != b.number and numbered:
        return _Pair("note", "PatientID")
    return _Pair("", "")


def _contradiction(a: Person, b: Person) -> str:
    dates = ["".join(c for c in date if c.isdigit()) for date in (a.birth_date, b.birth_date)]
    if all(dates) and dates[0] != dates[1]:
        return "PatientBirthDate"
    if {a.sex.upper(), b.sex.upper()} == {"M", "F"}:
        return "PatientSex"
    return ""


def _values(persons: Iterable[Person], keyword: str) -> dict[str, str]:
    """Return the first file of each value of an attribute."""
    field = {"PatientID": 0, "PatientName": 1, "PatientBirthDate": 2, "PatientSex": 3}[keyword]
    files: dict[str, str] = {}
    for one in persons:
        if one[field]:
            files.setdefault(one[field], one.where)
    return files


def _shown(persons: Iterable[Person], keyword: str) -> dict[str, Value]:
    """Name an attribute with its first values, for a message."""
    files = _values(persons, keyword)
    listed = tuple(Message.of("patient.value", value=v, file=f) for v, f in files.items())
    more = len(listed) - _SHOWN
    return {
        "attribute": keyword,
        "values": listed[:_SHOWN],
        "more": Message.of("patient.more", number=more) if more > 0 else None,
    }


def _listed(persons: Iterable[Person], keyword: str) -> str:
    shown = [f"{value!r} in {file}" for value, file in _values(persons, keyword).items()]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
