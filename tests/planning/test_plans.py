"""The planning interface on a patient folder, as a dosimetrist's script uses it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dosecalc.engines import pencil_beam
from dosecalc.errors import InputError
from dosecalc.io.dicom import import_folder, read_dose_file
from dosecalc.model import PatientPosition
from dosecalc.patient.thorax import TARGET
from dosecalc.planning import (
    PlanDose,
    PlanningCase,
    calculate,
    conformal_beam,
    dose_quantity,
    make_plan,
    normalised,
    open_case,
    recalculate,
    save,
    scaled,
)
from dosecalc.planning.demo_patient import ThoraxPlan, write_thorax_patient
from dosecalc.workflow.engines import COMPUTE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("planning") / "patient"
    write_thorax_patient(place, wanted=ThoraxPlan(gantry_deg=(0.0,), mu=(100.0,), dose_gy=2.0))
    return place


@pytest.fixture(scope="module")
def case(folder: Path) -> PlanningCase:
    return open_case(folder, machine="generic-6mv", hu_curve="generic-120kvp", grid_mm=6.0)


@pytest.fixture(scope="module")
def planned(case: PlanningCase) -> PlanDose:
    beams = [
        conformal_beam(
            case[TARGET],
            case.machine,
            number=n,
            gantry_deg=g,
            mu=60.0,
            margin_mm=8.0,
            position=PatientPosition.HFS,
        )
        for n, g in enumerate((0.0, 200.0, 280.0), start=1)
    ]
    plan = make_plan(case, beams, target=TARGET, dose_gy=60.0, fractions=30)
    return calculate(case, plan, "pencil-beam")


def test_beams_add_up_to_the_plan(case: PlanningCase, planned: PlanDose) -> None:
    whole = pencil_beam.compute(case.phantom, planned.plan, case.machine)
    assert planned.fraction.gray == pytest.approx(whole.gray, abs=1e-6)
    assert planned.total.gray == pytest.approx(30 * whole.gray, rel=1e-5, abs=1e-5)
    assert planned.total.summation == "PLAN"
    assert case.choices["body"] == "BODY"


@pytest.mark.parametrize("quantity", ["D95", "mean", "D50%", "max"])
def test_normalised_plans_have_what_was_asked_for(
    case: PlanningCase, planned: PlanDose, quantity: str
) -> None:
    done = normalised(case, planned, TARGET, quantity, 57.0)
    assert dose_quantity(done.dvh(case, TARGET), quantity) == pytest.approx(57.0, rel=1e-5)
    factors = {b.mu / a.mu for a, b in zip(planned.plan.beams, done.plan.beams, strict=True)}
    assert max(factors) == pytest.approx(min(factors))


def test_only_changed_beams_are_calculated_again(
    case: PlanningCase, planned: PlanDose, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counting(*args: object, **words: object) -> object:
        calls.append(args[1].beams[0].number)  # type: ignore[attr-defined]
        return pencil_beam.compute(*args, **words)  # type: ignore[arg-type]

    monkeypatch.setitem(COMPUTE, "pencil-beam", counting)
    beams = planned.plan.beams
    more = replace(beams[0], mu=90.0, name="more MU")
    wider = conformal_beam(
        case[TARGET],
        case.machine,
        number=3,
        gantry_deg=280.0,
        mu=60.0,
        margin_mm=15.0,
        position=PatientPosition.HFS,
    )
    changed = replace(planned.plan, beams=(more, beams[1], wider))
    again = recalculate(case, planned, changed)
    assert calls == [3]
    fresh = calculate(case, changed, "pencil-beam")
    assert again.fraction.gray == pytest.approx(fresh.fraction.gray, rel=1e-5, abs=1e-6)


def test_saved_plans_open_with_the_same_dose(
    case: PlanningCase, planned: PlanDose, folder: Path, tmp_path: Path
) -> None:
    done = normalised(case, planned, TARGET, "mean", 60.0)
    place = save(case, done, tmp_path / "out")
    record = json.loads((place / "run.json").read_text())
    assert set(record["outputs_sha256"]) == {"RTPLAN.dcm", "RTDOSE.dcm", "picture.png"}
    together = tmp_path / "together"
    together.mkdir()
    (together / "RTPLAN.dcm").write_bytes((place / "RTPLAN.dcm").read_bytes())
    for file in [*(folder / "CT").glob("*"), folder / "RTSTRUCT.dcm"]:
        (together / file.name).write_bytes(file.read_bytes())
    opened = import_folder(together)
    assert opened.plan is not None
    again = pencil_beam.compute(case.phantom, opened.plan, case.machine)
    # 0.1 %: positions and MU are decimal strings in the file.
    np.testing.assert_allclose(again.gray, done.fraction.gray, atol=1e-3 * float(again.gray.max()))
    read = read_dose_file(place / "RTDOSE.dcm").dose
    np.testing.assert_allclose(read.gray, done.total.gray, atol=1e-3 * float(read.gray.max()))


def test_what_makes_no_plan_is_refused(
    case: PlanningCase, planned: PlanDose, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="at least one beam"):
        make_plan(case, [], target=TARGET, dose_gy=60.0, fractions=30)
    with pytest.raises(InputError, match="guess"):
        calculate(case, planned.plan, "guess")
    with pytest.raises(InputError, match="above zero"):
        scaled(planned, 0.0)
    with pytest.raises(InputError, match="'D95'"):
        dose_quantity(planned.dvh(case, TARGET), "V20")
    with pytest.raises(InputError, match="exists already"):
        save(case, planned, tmp_path)
    with pytest.raises(InputError, match="curve"):
        open_case(folder, machine="generic-6mv", hu_curve="guess")


def test_saved_mu_are_rounded_and_the_dose_goes_with_them(
    case: PlanningCase, planned: PlanDose, tmp_path: Path
) -> None:
    """20.1234567 MU a beam: file, record and dose are those of 20.1235 MU."""
    odd = scaled(planned, 20.1234567 / 60.0)
    place = save(case, odd, tmp_path / "saved")
    group = pydicom.dcmread(place / "RTPLAN.dcm").FractionGroupSequence[0]
    assert [str(one.BeamMeterset) for one in group.ReferencedBeamSequence] == ["20.1235"] * 3
    record = json.loads((place / "run.json").read_text())
    assert [one["mu"] for one in record["plan"]["beams"]] == [20.1235] * 3
    gray = read_dose_file(place / "RTDOSE.dcm").dose.gray
    np.testing.assert_allclose(gray, odd.total.gray * (20.1235 / 20.1234567), rtol=2e-6)


def test_a_beam_beside_the_patient_is_refused(case, planned, tmp_path):
    beam = planned.plan.beams[0]
    beside = tuple(replace(p, isocentre=(900.0, 0.0, 0.0)) for p in beam.control_points)
    plan = replace(planned.plan, beams=(replace(beam, control_points=beside),))
    with pytest.raises(InputError, match=r"does not meet the patient.*accept_missing_beams=True"):
        calculate(case, plan, "pencil-beam")
    accepted = calculate(case, plan, "pencil-beam", accept_missing_beams=True)
    assert accepted.total.gray.max() == 0.0


def test_only_the_owner_enters_a_saved_folder(case, planned, tmp_path):
    assert save(case, planned, tmp_path / "saved").stat().st_mode & 0o077 == 0
