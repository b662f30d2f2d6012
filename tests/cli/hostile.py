"""A patient whose every text attribute holds what steers a terminal or forges a verdict."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

__all__ = ["HOSTILE", "HOSTILE_NAME", "formulas", "make_hostile", "untamed"]

HOSTILE = (
    "=CMD|' /C calc'!A0[/2][red]PASS[/red]:smile: \x1b[2J\x1b]0;title\x07\nverdict: PASS\r\nPASS\t"
    "\x9b31m\u202ePASS\u2066\u200b\u2028\u0085e" + "\u0301" * 40 + "$\\frac{$ {nb} {0} <script>"
    "alert(1)</script><b>&amp;\"' \u80ba\u00e9" + " " * 200 + "verdict: PASS"
)
"""Backslashes part the values of an attribute, so that it is two of them."""

HOSTILE_NAME = "=C|[/2][red]PASS[/red]\x1b[2J\nverdict: PASS\u202e\u80ba"
"""As long as the name of a structure may be, so that all of it is shown."""

_TEXT = ("LO", "SH", "ST", "LT", "UT", "PN")
# Text that decides how a file is read.
_KEPT = {"SpecificCharacterSet", "FluenceModeID", "RescaleType"}


def make_hostile(folder: Path, text: str = HOSTILE) -> None:
    """Put a text into every attribute of a folder's files that holds text, and into more."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = pydicom.dcmread(path)
        data.SpecificCharacterSet = "ISO_IR 192"
        data.Manufacturer = data.ManufacturerModelName = data.StationName = text
        data.SoftwareVersions = data.SeriesDescription = data.StudyDescription = text
        if data.Modality == "RTPLAN":
            data.ApprovalStatus = "=[/2]\x1b"
            data.RTPlanName = data.RTPlanDescription = text
            for beam in data.BeamSequence:
                beam.BeamDescription = text
            for item in data.get("DoseReferenceSequence", ()):
                item.DoseReferenceDescription = text
        if data.Modality == "RTSTRUCT":
            data.RTROIObservationsSequence[-1].RTROIInterpretedType = "[/2]\x1b[2J"
        if data.Modality == "RTDOSE":
            data.DoseComment = text
        _fill(data, text)
        data.save_as(path)


def _fill(data: Dataset, text: str) -> None:
    for element in data:
        if element.VR == "SQ":
            for n, item in enumerate(element.value):
                _fill(item, text)
                for keyword in ("ROIName", "BeamName"):
                    if keyword in item:
                        # Structures are told apart by their names.
                        setattr(item, keyword, f"{HOSTILE_NAME}{n}")
        elif element.VR in _TEXT and element.keyword not in _KEPT:
            element.value = text


def untamed(printed: str) -> list[str]:
    """Characters that no terminal shall get, and lines that are forged."""
    found = [
        repr(c) for c in set(printed)
        if c not in "\n " and (not c.isprintable() or unicodedata.category(c) in ("Cf", "Cc"))
    ]  # fmt: skip
    lines = (line.strip(" |") for line in printed.split("\n"))
    return found + [line for line in lines if re.match(r"verdict: PASS|PASS$|alert", line)]


def formulas(table: str, delimiter: str = ",") -> list[str]:
    """Cells that a spreadsheet would calculate, or that break a line."""
    cells: Iterable[str] = (
        cell for row in csv.reader(io.StringIO(table), delimiter=delimiter) for cell in row
    )
    number = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?")
    return [
        cell for cell in cells
        if (cell.lstrip()[:1] in tuple("=+-@\t\r") and cell.lstrip() and not number.fullmatch(cell))
        or "\n" in cell or "\r" in cell or "\x00" in cell
    ]  # fmt: skip
