"""A right plan passes; none of the planted errors may."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pytest

from dosecalc.data.machines import load_machine
from dosecalc.errors import DosecalcError
from dosecalc.messages.findings import Outcome
from dosecalc.workflow.examine import examine
from dosecalc.workflow.progress import SilentStages
from dosecalc.workflow.requests import VerificationRequest
from tests.planted.errors import CLIPPED, DICOM_ERRORS, PLAN_ERRORS, Planted
from tests.planted.patients import Patient
from tests.planted.verifying import planted_in, spoken, verified

BOTH = ("thorax", pytest.param("lung", marks=pytest.mark.samples))


@pytest.fixture
def patient(request: pytest.FixtureRequest) -> Patient:
    """Phantom or real CT."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Patient)
    return found


def in_turn(errors: Sequence[Planted]) -> pytest.MarkDecorator:
    """Each error in one of the two patients; docs/verification.md has all of them in both."""
    cases = []
    for n, error in enumerate(errors):
        name, marks = ("thorax", ()) if n % 2 == 0 else ("lung", (pytest.mark.samples,))
        cases.append(pytest.param(name, error, id=f"{name}: {error.name}", marks=marks))
    return pytest.mark.parametrize(("patient", "error"), cases, indirect=["patient"])


@pytest.mark.parametrize("patient", BOTH, indirect=True)
def test_the_right_plan_passes(patient: Patient) -> None:
    found = verified(patient.folder, patient.words)
    assert spoken(found) == set()
    assert found.outcome == Outcome.PASS


@in_turn(PLAN_ERRORS)
def test_errors_that_calculate_are_found(patient: Patient, error: Planted, tmp_path: Path) -> None:
    if error.refusal:
        with pytest.raises(DosecalcError, match=error.refusal):
            planted_in(patient, error, tmp_path / "patient")
        return
    found = planted_in(patient, error, tmp_path / "patient")
    assert found.outcome in (Outcome.REVIEW, Outcome.FAIL)
    assert error.rules and spoken(found) >= set(error.rules)


@in_turn(DICOM_ERRORS)
def test_errors_that_must_not_calculate_are_refused(
    patient: Patient, error: Planted, tmp_path: Path
) -> None:
    assert error.refusal
    with pytest.raises(DosecalcError, match=error.refusal):
        planted_in(patient, error, tmp_path / "patient")


@pytest.mark.parametrize("lost", ["recorded_densities", "couch", "bolus"])
def test_lost_densities_are_found(thorax: Patient, lost: str, tmp_path: Path) -> None:
    """Couch, bolus or overrides that the planning system used and the calculation did not."""
    words = {key: value for key, value in thorax.words.items() if key != lost}
    if lost == "recorded_densities":
        words |= {"overrides": ("BOLUS=1.0", "COUCH=0.4")}
    assert "densities" in spoken(verified(thorax.folder, words))


def test_another_scanners_curve_is_found(thorax: Patient, tmp_path: Path) -> None:
    shipped = files("dosecalc.data.kernels.hu_curves").joinpath("generic-120kvp.json")
    curve = json.loads(shipped.read_text()) | {"manufacturer": "Another", "kvp": 80}
    own = tmp_path / "other-scanner.json"
    own.write_text(json.dumps(curve))
    found = verified(thorax.folder, thorax.words | {"hu_curve": str(own)})
    assert spoken(found) >= {"HU curve"} and found.outcome != Outcome.PASS


@pytest.mark.parametrize(
    ("sha256", "until", "outcome"),
    [(None, "2999-12-31", Outcome.PASS), (None, "2020-01-01", Outcome.FAIL),
     ("0" * 64, "2999-12-31", Outcome.FAIL)],
    ids=["commissioned", "past its day", "another model file"],
)  # fmt: skip
def test_stale_models_are_found(
    thorax: Patient, sha256: str | None, until: str, outcome: Outcome, tmp_path: Path
) -> None:
    digest = sha256 or load_machine("generic-6mv").provenance["machine_sha256"]
    own = tmp_path / "tolerances.toml"
    own.write_text(
        f'[[commissioned]]\nlinac = "generic-6mv"\nsha256 = "{digest}"\nvalid_until = {until}\n'
    )
    options = VerificationRequest.from_words(path=thorax.folder, tolerances=own, **thorax.words)
    found = examine(options, SilentStages())[1]
    assert found.outcome == outcome
    assert {f.outcome for f in found.findings if f.rule == "machine model"} == {outcome}


def test_order_of_the_files_changes_nothing(thorax: Patient, tmp_path: Path) -> None:
    """Slices are sorted by where they lie: names say nothing."""
    place = tmp_path / "patient"
    shutil.copytree(thorax.folder, place)
    slices = sorted((place / "CT").iterdir())
    for number, path in enumerate(slices):
        path.rename(path.with_name(f"renamed{(number * 37) % len(slices):04d}.dcm"))
    assert verified(place, thorax.words).outcome == Outcome.PASS


@pytest.mark.samples
def test_clipped_ct_numbers_are_found(lung: Patient, tmp_path: Path) -> None:
    """The phantom's CT has no numbers to clip."""
    assert spoken(planted_in(lung, CLIPPED, tmp_path / "patient")) >= {"CT numbers"}
