"""Plans that were saved open again as what they were; opened plans are changed and recalculated."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dosecalc.beam.beamlets import contour_points, target_beamlets
from dosecalc.engines.monte_carlo import MonteCarloSettings
from dosecalc.io.dicom import read_dose_file
from dosecalc.model import Beam, Dose, PatientPosition, Plan
from dosecalc.patient.thorax import TARGET, TARGET_CENTRE
from dosecalc.planning import (
    PlanDose,
    PlanningCase,
    calculate,
    conformal_beam,
    make_plan,
    normalised,
    open_case,
    recalculate,
    save,
    step_and_shoot,
)
from dosecalc.planning.demo_patient import ThoraxPlan, write_thorax_patient
from dosecalc.workflow.engines import COMPUTE
from tests.outside import program

GRID_MM = 8.0
# Positions, MU and weights are decimal strings in the file; what is asked for is 0.1 % of Dmax.
SAME = 1e-3
KINDS = ("conformal", "step and shoot")


def opened(folder: Path) -> PlanningCase:
    return open_case(folder, machine="generic-6mv", hu_curve="generic-120kvp", grid_mm=GRID_MM)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reopen") / "patient"
    write_thorax_patient(place, wanted=ThoraxPlan(gantry_deg=(0.0,), mu=(100.0,), dose_gy=2.0))
    return place


@pytest.fixture(scope="module")
def case(folder: Path) -> PlanningCase:
    return opened(folder)


def conformal(case: PlanningCase) -> list[Beam]:
    """Three fields with all angles turned, none of a round number of MU."""
    angles = ((10.0, 90.0, 0.0), (200.5, 15.0, 0.0), (285.0, 350.0, 20.0))
    return [
        conformal_beam(
            case[TARGET],
            case.machine,
            number=number,
            gantry_deg=gantry,
            collimator_deg=collimator,
            couch_deg=couch,
            mu=100.0 / (number + 2),
            margin_mm=7.3,
            position=PatientPosition.HFS,
        )
        for number, (gantry, collimator, couch) in enumerate(angles, start=1)
    ]


def sequenced(case: PlanningCase) -> list[Beam]:
    """Two beams of segments whose leaves stand anywhere."""
    random = np.random.default_rng(20)
    beams = []
    for number, gantry in enumerate((0.0, 250.0), start=1):
        grid = target_beamlets(
            contour_points(case[TARGET]),
            case.ct.position,
            case.machine,
            isocentre=TARGET_CENTRE,
            gantry_deg=gantry,
        )
        weights = random.uniform(0.0, 3.0, grid.count)
        beams.append(step_and_shoot(grid, weights, case.machine, number=number, levels=5))
    return beams


@pytest.fixture(scope="module")
def planned(case: PlanningCase) -> dict[str, PlanDose]:
    made = {}
    for kind, beams in zip(KINDS, (conformal(case), sequenced(case)), strict=True):
        plan = make_plan(case, beams, target=TARGET, dose_gy=60.0, fractions=30, label=kind)
        made[kind] = normalised(case, calculate(case, plan, "pencil-beam"), TARGET, "D50", 60.0)
    return made


@pytest.fixture(scope="module")
def saved(
    case: PlanningCase,
    planned: dict[str, PlanDose],
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Folders of the patient with a saved plan and its dose in place of the first one."""
    places = {}
    for kind, one in planned.items():
        place = tmp_path_factory.mktemp("saved") / "patient"
        save(case, one, place)
        shutil.copytree(folder / "CT", place / "CT")
        shutil.copy(folder / "RTSTRUCT.dcm", place)
        places[kind] = place
    return places


@pytest.mark.parametrize("kind", KINDS)
def test_saved_plans_give_the_same_dose_again(
    kind: str, planned: dict[str, PlanDose], saved: dict[str, Path]
) -> None:
    before, again = planned[kind], opened(saved[kind])
    plan = again.source.plan
    assert plan is not None
    assert plan.fractions == 30
    assert [b.technique for b in plan.beams] == [b.technique for b in before.plan.beams]
    assert sum(b.mu for b in plan.beams) == pytest.approx(sum(b.mu for b in before.plan.beams))
    dose, first = calculate(again, plan, "pencil-beam").fraction, before.fraction
    highest = float(first.gray.max())
    np.testing.assert_allclose(dose.gray, first.gray, rtol=0, atol=SAME * highest)
    # The importer took the RTDOSE along as the dose of that plan, of all fractions.
    (stored,) = again.source.doses
    assert stored.dose.summation == "PLAN"
    np.testing.assert_allclose(stored.dose.gray, 30 * first.gray, atol=SAME * 30 * highest)


@pytest.mark.system
@pytest.mark.parametrize("kind", KINDS)
def test_saved_plans_pass_dciodvfy(kind: str, saved: dict[str, Path]) -> None:
    program("dciodvfy", "dicom3tools")
    words = ["dciodvfy", "-new", str(saved[kind] / "RTPLAN.dcm")]
    result = subprocess.run(words, capture_output=True, text=True)
    assert not [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert "RTPlan" in result.stderr, "the validator did not look at it as a plan"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the beams that the pencil beam calculates."""
    made: list[int] = []
    original = COMPUTE["pencil-beam"]

    def counting(phantom: object, plan: Plan, *others: object) -> object:
        made.extend(beam.number for beam in plan.beams)
        return original(phantom, plan, *others)

    monkeypatch.setitem(COMPUTE, "pencil-beam", counting)
    return made


def test_opened_plans_are_changed_and_only_what_changed_is_calculated(
    saved: dict[str, Path], calls: list[int], tmp_path: Path
) -> None:
    case = opened(saved["conformal"])
    plan = case.source.plan
    assert plan is not None
    before = calculate(case, plan, "pencil-beam")
    assert calls == [1, 2, 3]
    calls.clear()
    first, second, third = plan.beams
    less = replace(first, mu=first.mu / 2)
    turned = tuple(replace(p, gantry_deg=300.0) for p in third.control_points)
    fourth = conformal_beam(
        case[TARGET],
        case.machine,
        number=4,
        gantry_deg=180.0,
        mu=50.0,
        margin_mm=5.0,
        position=PatientPosition.HFS,
    )
    # Half the MU, unchanged, turned, and one more.
    changed = replace(plan, beams=(less, second, replace(third, control_points=turned), fourth))
    after = recalculate(case, before, changed)
    assert calls == [3, 4]
    fresh = calculate(case, changed, "pencil-beam").fraction.gray
    # Single precision: what was scaled was rounded once more.
    np.testing.assert_allclose(after.fraction.gray, fresh, rtol=1e-5, atol=1e-6)
    assert after.plan is changed
    # A beam that is left out takes its dose along, and nothing is calculated.
    calls.clear()
    fewer = recalculate(case, after, replace(changed, beams=changed.beams[1:]))
    assert calls == []
    np.testing.assert_allclose(
        fewer.fraction.gray + after.beams[1].gray, after.fraction.gray, rtol=1e-5, atol=1e-6
    )
    # What is written is another plan than the one that was opened, and says so.
    place = save(case, fewer, tmp_path / "changed")
    record = json.loads((place / "run.json").read_text(encoding="utf-8"))
    assert record["plan"]["uid"] != plan.uid
    assert read_dose_file(place / "RTDOSE.dcm").references.plan_uid == record["plan"]["uid"]


def test_another_position_keeps_no_dose(
    case: PlanningCase, planned: dict[str, PlanDose], calls: list[int]
) -> None:
    plan = replace(planned["conformal"].plan, position=PatientPosition.HFP)
    recalculate(case, planned["conformal"], plan)
    assert calls == [1, 2, 3]


def test_what_is_said_of_a_beam_is_said_of_the_plan(planned: dict[str, PlanDose]) -> None:
    """The target lies in the lung: every field has its own caution."""
    one = planned["conformal"]
    cautions = one.fraction.provenance["cautions"]
    for beam in one.plan.beams:
        assert any(text.startswith(f"{beam.name}:") for text in cautions)
    assert set(cautions) <= set(one.fraction.provenance["notes"])


def test_every_beam_has_random_numbers_of_its_own(
    case: PlanningCase, planned: dict[str, PlanDose], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only independent noise adds up in squares; what one beam says is not lost in the sum.

    Something that draws by the seed stands in for Monte Carlo, whose calibration takes a minute.
    """
    shape = case.phantom.grid.shape
    spread = np.full(shape, 0.1, np.float32)

    def drawing(
        phantom: object, plan: Plan, machine: object, settings: MonteCarloSettings, *_: object
    ) -> Dose:
        noise = np.random.default_rng(settings.seed).normal(1.0, 0.1, shape).astype(np.float32)
        said = {"seed": settings.seed, "histories": 20, "notes": [], "machines": {}}
        said["stopped"] = "interrupted" if plan.beams[0].number == 2 else None
        return Dose(case.phantom.grid, noise, "medium", uncertainty=spread, provenance=said)

    monkeypatch.setitem(COMPUTE, "monte-carlo", drawing)
    plan = planned["conformal"].plan
    done = calculate(case, plan, "monte-carlo", MonteCarloSettings(seed=5))
    total, uncertainty = done.fraction, done.fraction.uncertainty
    assert uncertainty is not None
    # 0.1 times the root of 3; the scatter of thousands of voxels is known within 1 %.
    assert float(uncertainty[0, 0, 0]) == pytest.approx(0.1 * np.sqrt(3))
    assert float(total.gray.std()) == pytest.approx(0.1 * np.sqrt(3), rel=0.02)
    said = total.provenance
    assert len(set(said["seed"].values())) == 3
    assert said["histories"] == {"1": 20, "2": 20, "3": 20}
    assert said["stopped"] == "beam 2: interrupted"
    # The same seed gives the same numbers.
    again = calculate(case, plan, "monte-carlo", MonteCarloSettings(seed=5))
    np.testing.assert_array_equal(again.fraction.gray, total.gray)
