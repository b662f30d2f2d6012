"""Real files of other planning systems: each is imported, left aside, or refused with a sentence.

``docs/dicom-samples.md`` says what becomes of them; these tests hold it to that.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from dosecalc.errors import DosecalcError
from dosecalc.io.dicom._common import text
from dosecalc.io.dicom._files import read_file
from dosecalc.io.dicom.ct import read_ct
from dosecalc.io.dicom.dose import import_dose
from dosecalc.io.dicom.folder import import_folder
from dosecalc.io.dicom.plan import read_plan
from dosecalc.io.dicom.structures import read_structures
from dosecalc.model import PatientPosition

_DOCS = Path(__file__).resolve().parents[3] / "docs" / "dicom-samples.md"
_READERS: dict[str, Any] = {
    "RTPLAN": read_plan,
    "RTSTRUCT": read_structures,
    "RTDOSE": import_dose,
}


class Outcome(NamedTuple):
    group: str
    kind: str
    outcome: str
    sentence: str


def _group(path: Path, root: Path) -> str:
    """The folder of a file as the documentation lists it: quirks by what is in them."""
    parts = path.relative_to(root).parts[:-1]
    return "/".join(parts[:2] if parts[:1] == ("quirks",) else parts[:1]) or "."


def _outcomes(root: Path) -> Iterator[Outcome]:
    """Read every file the way the importer does; anything but a DosecalcError escapes."""
    series: dict[tuple[Path, str], list[Any]] = defaultdict(list)
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        group = _group(path, root)
        try:
            found = read_file(path, root)
        except DosecalcError as error:
            yield Outcome(group, "damaged", "refused", str(error))
            continue
        kind, dataset = found.source.kind, found.dataset
        if kind in ("other DICOM", "not DICOM") or dataset is None:
            yield Outcome(group, kind, "left aside", found.source.remark)
        elif kind == "CT":
            series[path.parent, text(dataset, "SeriesInstanceUID")].append((group, dataset))
        else:
            yield Outcome(group, kind, *_try(_READERS[kind], dataset))
    for members in series.values():
        outcome = _try(read_ct, [dataset for _, dataset in members])
        yield from (Outcome(group, "CT", *outcome) for group, _ in members)


def _try(read: Any, what: Any) -> tuple[str, str]:
    try:
        read(what)
    except DosecalcError as error:
        return "refused", str(error)
    return "imported", ""


@pytest.fixture(scope="module")
def outcomes(samples: Path) -> list[Outcome]:
    return list(_outcomes(samples))


def _table(heading: str) -> list[list[str]]:
    """Rows of the table under a heading of the documentation, without its two header lines."""
    section = _DOCS.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in rows[2:]]


@pytest.mark.samples
def test_the_documentation_says_what_becomes_of_every_file(outcomes: list[Outcome]) -> None:
    counted = Counter((o.group, o.kind, o.outcome) for o in outcomes)
    stated = {
        (folder.strip("`"), kind, outcome): int(count)
        for folder, kind, outcome, count, _ in _table("What becomes of each file")
    }
    assert dict(counted) == stated


@pytest.mark.samples
def test_every_refusal_has_the_documented_reason(outcomes: list[Outcome]) -> None:
    """Each refused file matches exactly the number of files documented for its phrase."""
    refused = [o for o in outcomes if o.outcome == "refused"]
    left = list(refused)
    for folder, kind, count, cell in _table("Why files are refused"):
        phrase = re.findall(r"`([^`]+)`", cell)[0]
        matching = [
            o
            for o in left
            if o.group == folder.strip("`") and o.kind == kind and phrase in o.sentence
        ]
        assert len(matching) == int(count), f"{folder}, {kind}: {phrase}"
        left = [o for o in left if o not in matching]
    assert not left


@pytest.mark.samples
def test_refusals_are_sentences(outcomes: list[Outcome]) -> None:
    for one in outcomes:
        if one.outcome == "refused":
            assert len(one.sentence.split()) >= 5, one.sentence
            assert "Traceback" not in one.sentence


@pytest.mark.samples
def test_the_water_cube_in_the_archive(samples: Path, tmp_path: Path) -> None:
    """A whole case: 503 slices, plan and structures that refer to each other."""
    (archive,) = (samples / "raystation-water").glob("*.zip")
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(tmp_path)  # a known archive of the sample collection
    case = import_folder(tmp_path)
    assert case.ct is not None
    assert case.plan is not None
    assert case.structures is not None
    assert case.ct.grid.shape == (503, 503, 503)
    assert case.ct.grid.spacing == (1.0, 1.0, 1.0)
    assert case.ct.position is case.plan.position is PatientPosition.HFS
    (beam,) = case.plan.beams
    assert beam.mu == pytest.approx(100.0)
    assert beam.prescribed_dose_gy == pytest.approx(0.798, abs=5e-4)  # as published with it
    inside = case.ct.hu[200:300, 200:300, 200:300]
    np.testing.assert_allclose(inside, 0, atol=1)  # drawn as water
    assert all(f.used for f in case.files)
