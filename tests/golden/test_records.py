"""Records and reports that stay as they are until somebody says otherwise (`--update-golden`)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dosecalc.cli.main import PASSED, REFUSED, main
from dosecalc.planning.demo_patient import ThoraxPlan, write_thorax_patient
from tests.golden.files import HOW_TO_UPDATE, NOT_FUSED, RECORDS, fused
from tests.golden.records import normalised, page_text, text_difference, value_differences

TEMPLATE = """
name = "golden"
version = "1"
source = "tests/golden"
[[goal]]
structure = "PTV"
quantity = "D95%"
at_least = 50.0
review = 57.0
[[goal]]
structure = ["NO SUCH", "SPINAL_CORD"]
quantity = "D0.1cc"
at_most = 45.0
"""
RECIPE = """
name = "golden"
[grid]
spacing = 10
lower = [-60, 0, -60]
upper = [60, 120, 60]
[background]
material = "water"
[source]
kind = "point"
energy_mev = 2.0
ssd = 1000
field = [-30, 20, -30, 30]
"""
WORDS = [
    *("--machine", "generic-6mv", "--hu-curve", "generic-120kvp", "--grid", "8"),
    *("--override", "SPINE=1.2:bone_spongiosa", "--no-progress"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a patient, a dose by the pencil beam, and its verification by the collapsed cone.

    Two engines, so that findings are of a size and no number is rounding alone.
    """
    if not fused():
        pytest.skip(NOT_FUSED)
    folder = tmp_path_factory.mktemp("golden").resolve()
    patient = folder / "patient"
    wanted = ThoraxPlan(gantry_deg=(0.0, 235.0), mu=(98.0, 101.0), dose_gy=60.0)
    write_thorax_patient(patient, wanted=wanted)
    pencil = ["--engine", "pencil-beam", "--out", str(folder / "calc")]
    assert main(["calc", str(patient), *WORDS, *pencil]) == PASSED
    shutil.copyfile(folder / "calc" / "RTDOSE.dcm", patient / "RTDOSE.dcm")
    (folder / "goals.toml").write_text(TEMPLATE)
    cones = ["--directions", "24", "--template", str(folder / "goals.toml")]
    code = main(["verify", str(patient), *WORDS, *cones, "--out", str(folder / "verify")])
    assert code != REFUSED
    (folder / "golden.toml").write_text(RECIPE)
    coarse = ["--directions", "24", "--no-progress", "--out", str(folder / "recipe")]
    assert main(["calc", str(folder / "golden.toml"), *coarse]) == PASSED
    return folder


def guard(
    path: Path,
    now: str,
    differences: Callable[[str, str], list[str]],
    rewrite: Callable[..., bool],
) -> None:
    """Compare a text with that of a golden file, or write it anew where that was asked for."""
    told = ["no golden file"]
    if path.is_file():
        told = differences(now, path.read_text(encoding="utf-8"))
    if told and rewrite(path, lambda: path.write_text(now, encoding="utf-8")):
        return
    if told:
        said = "\n".join(told)
        pytest.fail(f"{path.name}: {len(told)} differences\n{said}\n{HOW_TO_UPDATE}", pytrace=False)


def json_differences(now: str, golden: str) -> list[str]:
    return value_differences(json.loads(now), json.loads(golden))


@pytest.mark.parametrize("name", ["calc/run", "recipe/run", "verify/verification"])
def test_record_is_the_golden_one(name: str, runs: Path, rewrite: Callable[..., bool]) -> None:
    values = normalised(json.loads((runs / f"{name}.json").read_text(encoding="utf-8")), runs)
    now = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    guard(RECORDS / f"{name.replace('/', '-')}.json", now, json_differences, rewrite)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_report_says_what_the_golden_one_says(
    language: str, runs: Path, rewrite: Callable[..., bool]
) -> None:
    page = (runs / "verify" / "report.html").read_text(encoding="utf-8")
    now = page_text(page, language, runs)
    assert now.count("\n") > 200
    guard(RECORDS / f"report-{language}.txt", now, text_difference, rewrite)


def test_every_golden_record_belongs_to_a_test() -> None:
    names = {"calc-run.json", "recipe-run.json", "verify-verification.json"}
    assert {p.name for p in RECORDS.iterdir()} == names | {"report-en.txt", "report-fr.txt"}


def test_every_difference_of_records_is_told() -> None:
    def record(**changes: Any) -> dict[str, Any]:
        whole = {"outcome": "PASS", "gamma": 1.0, "findings": [{"rule": "gamma", "value": 98.0}]}
        return whole | changes

    assert not value_differences(record(gamma=1 + 5e-6), record())
    more = [{"rule": "displacement", "value": 0.1}, {"rule": "gamma", "value": 97.0}]
    found = value_differences(record(gamma=1 + 2e-5, findings=more), record())
    assert found == [
        "findings[displacement].rule: new, 'displacement'",
        "findings[displacement].value: new, 0.1",
        "gamma: 1.00002, golden 1.0",
        "findings[gamma].value: 97.0, golden 98.0",
    ]
    assert value_differences(record(outcome=None), record()) == ["outcome: None, golden 'PASS'"]
    # True is no 1: a flag that became a number is a difference.
    assert value_differences({"judged": 1}, {"judged": True})


def test_records_of_two_folders_and_days_are_one(tmp_path: Path) -> None:
    def record(place: str, day: str, digit: str) -> dict[str, Any]:
        return {
            "command": [place],
            "program": {"name": "dosecalc", "version": digit, "sources_sha256": digit * 64},
            "inputs": [
                {"name": f"{place}/a.dcm", "kind": "CT", "sha256": digit * 64},
                {"name": "b.dcm", "kind": "CT", "uid": f"2.25.{digit}"},
            ],
            "outputs_sha256": {"RTDOSE.dcm": digit * 64},
            "timings_s": {"reading": float(digit)},
            "calculated_at": day,
            "notes": [f"read {place}/a.dcm, moved by -0.00 mm", f"by dosecalc 0.{digit}.0"],
            "physical_data_sha256": {"materials.json": "7" * 64},
        }

    one = normalised(record("/a/b", "2026-11-28T13:02:44+00:00", "1"), Path("/a/b"))
    other = normalised(record("/c", "2027-01-01T01:01:01+00:00", "2"), Path("/c"))
    assert not value_differences(one, other)
    assert one["physical_data_sha256"]["materials.json"] == "7" * 64
    assert one["notes"] == ["read <folder>/a.dcm, moved by 0.00 mm", "by dosecalc <version>"]
