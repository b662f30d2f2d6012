"""Limits, goals and what a finding makes of a number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dosecalc.errors import InputError
from dosecalc.verify.dvh import Dvh
from dosecalc.verify.outcome import Finding, Outcome, combined
from dosecalc.verify.template import judge_goals, load_template
from dosecalc.verify.tolerances import Limit, load_tolerances


def test_numbers_at_a_limit_keep_it() -> None:
    limit = Limit(3.0, 5.0, "%", "somewhere")
    judged = [limit.judge(value) for value in (3.0, 3.01, 5.0, 5.01, float("nan"))]
    assert judged == [Outcome.PASS, Outcome.REVIEW, Outcome.REVIEW, Outcome.FAIL, Outcome.FAIL]
    rate = Limit(95.0, 90.0, "%", "somewhere", at_least=True)
    assert [rate.judge(v) for v in (95.0, 94.9, 90.0, 89.9)] == [
        Outcome.PASS, Outcome.REVIEW, Outcome.REVIEW, Outcome.FAIL,
    ]  # fmt: skip
    assert limit.finding("dose", "-4 %", -4.0).outcome is Outcome.REVIEW


def test_the_worst_finding_is_the_verdict() -> None:
    findings = [Finding("a", outcome, "b") for outcome in (Outcome.PASS, Outcome.FAIL)]
    assert combined(findings) is Outcome.FAIL
    assert combined([]) is Outcome.REFUSED  # nothing was checked
    codes = [o.exit_code for o in (Outcome.PASS, Outcome.FAIL, Outcome.REVIEW, Outcome.REFUSED)]
    assert codes == [0, 1, 2, 3]


def test_every_shipped_limit_has_a_source() -> None:
    shipped = load_tolerances()
    assert all(len(limit.source) > 10 and limit.unit for limit in shipped.limits.values())
    assert shipped.gamma.label == "3 % global / 2 mm, above 10 %"


def test_own_limits_take_the_place_of_shipped_ones(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        'name = "ours"\nversion = "7"\n[gamma]\ndistance_mm = 3.0\n'
        '[limits.target_mean]\nreview = 2.0\nunit = "%"\nsource = "our protocol"\n'
    )
    own = load_tolerances(file)
    assert (own.name, own.version) == ("ours", "7")
    assert own.sha256 != load_tolerances().sha256
    assert own.gamma.distance_mm == 3.0 and own.gamma.dose_percent == 3.0
    assert own.limits["target_mean"].fail is None
    assert own.limits["point"] == load_tolerances().limits["point"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[limits.target_men]\nreview = 1.0", "target_men"),
        ('[limits.point]\nreview = 1.0\nunit = "%"', "source"),
        ('[limits.point]\nreview = 6.0\nfail = 5.0\nunit = "%"\nsource = "x"', "wrong way round"),
        ('[limits.point]\nunit = "%"\nsource = "x"', "review"),
        ('[limits.point]\nrevew = 6.0\nunit = "%"\nsource = "x"', "point"),
        ("[gama]\n", "gama"),
        ("name = ", "cannot be read"),
    ],
)
def test_wrong_tolerances_are_refused(text: str, match: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=match):
        load_tolerances(file)


def dvh(name: str, low: float, high: float) -> Dvh:
    return Dvh(name, 1, np.linspace(high, low, 101), np.ones(101))


def template(tmp_path: Path, goals: str) -> Path:
    file = tmp_path / "goals.toml"
    file.write_text(f'name = "lung"\nversion = "1"\nsource = "protocol 3"\n{goals}')
    return file


def test_goals_are_judged_by_the_calculated_dose(tmp_path: Path) -> None:
    found = load_template(
        template(
            tmp_path,
            '[[goal]]\nstructure = ["PTV", "PTV1"]\nquantity = "D95%"\nat_least = 57.0\n'
            "review = 58.0\n"
            '[[goal]]\nstructure = "Cord"\nquantity = "max"\nat_most = 45.0\n'
            '[[goal]]\nstructure = "Heart"\nquantity = "mean"\nat_most = 20.0\noptional = true\n'
            '[[goal]]\nstructure = "Lung"\nquantity = "V20Gy"\nat_most = 30.0\n',
        )
    )
    calculated = {"PTV1": dvh("PTV1", 57.4, 61.0), "Cord": dvh("Cord", 0.0, 46.0)}
    rows, findings = judge_goals(found.goals, {"Cord": dvh("Cord", 0.0, 44.0)}, calculated)
    assert [row.outcome for row in rows] == [Outcome.REVIEW, Outcome.FAIL]
    assert rows[1].reference == pytest.approx(44.0) and rows[0].reference is None
    # What must be there and is not fails; what may be missing is left out.
    assert [f.outcome for f in findings] == [Outcome.REVIEW, Outcome.FAIL, Outcome.FAIL]
    assert "Lung" in findings[2].sentence and findings[0].source == "protocol 3"


@pytest.mark.parametrize(
    ("goals", "match"),
    [
        ("", "goal"),
        ('[[goal]]\nstructure = "PTV"\nquantity = "D95%"', "at_least"),
        ('[[goal]]\nstructure = "PTV"\nquantity = "D95%"\nat_leest = 3.0\nat_most = 1.0', "leest"),
        ('[[goal]]\nstructure = "P"\nquantity = "max"\nat_most = 3.0\nreview = 4.0', "beyond"),
    ],
)
def test_wrong_templates_are_refused(goals: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=match):
        load_template(template(tmp_path, goals))
