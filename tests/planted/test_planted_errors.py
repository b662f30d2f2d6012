"""A right plan passes; none of the planted errors may."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from dosecalc.cli import _examine
from dosecalc.cli._examine import VerifyOptions, examine
from dosecalc.cli._options import CalcOptions
from dosecalc.cli._prepare import Prepared
from dosecalc.cli._show import Stages
from dosecalc.data.machines import load_machine
from dosecalc.errors import DosecalcError
from dosecalc.verify.outcome import Outcome
from dosecalc.verify.verification import Verification
from tests.planted.errors import CLIPPED, DICOM_ERRORS, PLAN_ERRORS, Planted
from tests.planted.patients import Patient, lung_patient, thorax_patient


@pytest.fixture(scope="module")
def thorax(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    return thorax_patient(tmp_path_factory.mktemp("thorax") / "patient")


@pytest.fixture(scope="module")
def lung(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Patient:
    return lung_patient(samples, tmp_path_factory.mktemp("lung") / "patient")


@pytest.fixture(scope="module", autouse=True)
def calculated_once() -> Iterator[None]:
    """Errors that leave plan and patient as they are get the dose that was calculated before."""
    known: dict[bytes, object] = {}
    original = _examine._calculated

    def remembered(prepared: Prepared, options: CalcOptions, stages: Stages) -> object:
        phantom, plan = prepared.phantom, prepared.plan
        given = (plan.beams, plan.position, plan.fractions, phantom.grid, options)
        digest = hashlib.sha256(pickle.dumps(replace_path(given)))
        for array in (phantom.density, phantom.material):
            digest.update(array.tobytes())
        key = digest.digest()
        if key not in known:
            known[key] = original(prepared, options, stages)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_examine, "_calculated", remembered)
        yield


def replace_path(given: tuple[object, ...]) -> tuple[object, ...]:
    """Leave out where the patient lies, which decides nothing."""
    *others, options = given
    assert isinstance(options, CalcOptions)
    return (*others, replace(options, path=Path("patient")))


@pytest.fixture(params=["thorax", pytest.param("lung", marks=pytest.mark.samples)])
def patient(request: pytest.FixtureRequest) -> Patient:
    """Phantom and real CT, one after the other."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Patient)
    return found


def verified(folder: Path, words: dict[str, object]) -> Verification:
    return examine(VerifyOptions.from_words(path=folder, **words), Stages(shown=False))[1]  # type: ignore[arg-type]


def planted_in(patient: Patient, error: Planted, place: Path) -> Verification:
    # Linked, not copied: `patients.edit` puts new files in place of those it changes.
    shutil.copytree(patient.folder, place, copy_function=os.link)
    error.plant(place)
    return verified(place, patient.words | error.words)


def spoken(found: Verification) -> set[str]:
    return {finding.rule for finding in found.findings if finding.outcome != Outcome.PASS}


def test_the_right_plan_passes(patient: Patient) -> None:
    found = verified(patient.folder, patient.words)
    assert spoken(found) == set()
    assert found.outcome == Outcome.PASS


@pytest.mark.parametrize("error", PLAN_ERRORS, ids=lambda e: e.name)
def test_errors_that_calculate_are_found(patient: Patient, error: Planted, tmp_path: Path) -> None:
    try:
        found = planted_in(patient, error, tmp_path / "patient")
    except DosecalcError:
        return
    assert found.outcome in (Outcome.REVIEW, Outcome.FAIL)
    assert spoken(found) & set(error.rules)


@pytest.mark.parametrize("error", DICOM_ERRORS, ids=lambda e: e.name)
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
    options = VerifyOptions.from_words(path=thorax.folder, tolerances=own, **thorax.words)
    found = examine(options, Stages(shown=False))[1]
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
