"""Limits, goals and what a finding makes of a number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dosecalc.analysis.dvh import Dvh
from dosecalc.errors import InputError
from dosecalc.messages.findings import Finding, Limit, Outcome, combined
from dosecalc.messages.message import Message, of_note
from dosecalc.verification.goals import judge_goals, load_template
from dosecalc.verification.tolerances import load_tolerances


def test_numbers_at_a_limit_keep_it() -> None:
    limit = Limit(3.0, 5.0, "%", "somewhere")
    judged = [limit.judge(value) for value in (3.0, 3.01, 5.0, 5.01, float("nan"))]
    assert judged == [Outcome.PASS, Outcome.REVIEW, Outcome.REVIEW, Outcome.FAIL, Outcome.FAIL]
    rate = Limit(95.0, 90.0, "%", "somewhere", at_least=True)
    assert [rate.judge(v) for v in (95.0, 94.9, 90.0, 89.9)] == [
        Outcome.PASS, Outcome.REVIEW, Outcome.REVIEW, Outcome.FAIL,
    ]  # fmt: skip
    assert limit.finding("dose", of_note("-4 %"), -4.0).outcome is Outcome.REVIEW


def test_the_worst_finding_is_the_verdict() -> None:
    findings = [Finding("a", outcome, of_note("b")) for outcome in (Outcome.PASS, Outcome.FAIL)]
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
    # What is missing within a limit is the shipped limit's, too.
    assert (own.limits["target_mean"].review, own.limits["target_mean"].fail) == (2.0, 5.0)
    assert own.limits["point"] == load_tolerances().limits["point"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[limits.target_men]\nreview = 1.0", "target_men"),
        ('[limits.point]\nreview = 1.0\nunit = "%"', "source"),
        ('[limits.point]\nreview = 6.0\nfail = 5.0\nunit = "%"\nsource = "x"', "wrong way round"),
        ('[limits.point]\nreview = 6.0\nsource = "x"', r"\[limits.point\].* wrong way round; give"),
        ('[limits.point]\nrevew = 6.0\nunit = "%"\nsource = "x"', "point.*Did you mean 'review'"),
        (
            "[limits.gamma]\nreview = 80.0",
            r"\[limits.gamma\]: review is 80.0 .*'source' is missing",
        ),
        (
            '[limits.gamma]\nreview = "95"\nsource = "x"',
            r"gamma\]: review is '95'; a finite number",
        ),
        ('[limits.gamma]\nreview = true\nsource = "x"', "review is True"),
        ('[limits.gamma]\nreview = nan\nsource = "x"', "review is nan"),
        ('[limits.gamma]\nreview = 195.0\nsource = "x"', "from 0 to 100"),
        ('[limits.point]\nreview = -1.0\nsource = "x"', "0 or more"),
        ('[limits.point]\nfail = inf\nsource = "x"', "fail is inf"),
        ('[limits.point]\nfail = 6.0\nsource = ""', "source is empty"),
        ("[limits.point]\nfail = 6.0\nsource = 4", "source is 4; a text in quotes"),
        ('[limits.point]\nunit = "mm"\nsource = "x"', "unit is 'mm' and cannot be changed"),
        ("[limits.gamma]\nat_least = false", "at_least is False and cannot be changed"),
        ("[limits]\ngamma = 3", r"\[limits.gamma\] is 3; write a table"),
        ("limits = 3", r"a table \[limits\] is needed"),
        ("gamma = 3", r"a table \[gamma\] is needed"),
        ('[gamma]\ndistance_mm = "2 mm"', r"\[gamma\]: distance_mm is '2 mm'; a finite number"),
        ("[gamma]\ndistance_mm = -2.0", r"\[gamma\]: gamma criteria"),
        ('[gamma]\nlocal = "no"', "local is 'no'; write true or false"),
        ("name = 3", "name is 3; a text in quotes"),
        ('name = ""', "name is empty"),
        ("commissioned = 3", "commissioned must be written as"),
        ('[[commissioned]]\nlinac = "A"', "sha256, valid_until is missing"),
        ('[[commissioned]]\nlinac = 3\nsha256 = "a"\nvalid_until = 2027-01-01', "linac is 3"),
        (
            '[[commissioned]]\nlinac = "A"\nsha256 = "a"\nvalid_until = "2027-01-01"',
            "valid_until is '2027-01-01'; write a date",
        ),
        ("[gama]\n", "gama"),
        ("name = ", "cannot be read"),
    ],
)
def test_wrong_tolerances_are_refused(text: str, match: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=match):
        load_tolerances(file)


def test_a_limit_keeps_what_a_file_does_not_say(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[limits.gamma]\nreview = 80\nfail = 75\nsource = "our protocol"\n')
    own, shipped = (load_tolerances(place).limits["gamma"] for place in (file, None))
    assert (own.review, own.fail, own.source) == (80.0, 75.0, "our protocol")
    assert (own.unit, own.at_least) == (shipped.unit, shipped.at_least) == ("%", True)


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
    assert findings[0].source == "protocol 3"
    assert [f.sentence for f in findings] == [
        "PTV1 D95% >= 57 Gy: 57.56 Gy",
        "Cord max <= 45 Gy: 46 Gy",
        "Lung V20Gy <= 30 %: no dose of Lung is known",
    ]
    assert rows[0].text == "PTV1 D95% >= 57 Gy"


def test_goals_that_a_small_structure_cannot_answer(tmp_path: Path) -> None:
    goal = '[[goal]]\nstructure = "Cord"\nquantity = "D2cc"\nat_most = 45.0\n'
    goals = load_template(template(tmp_path, goal)).goals
    small = Dvh("Cord", 1, np.array([46.0]), np.array([0.5]))
    rows, (finding,) = judge_goals(goals, {}, {"Cord": small})
    assert not rows and finding.outcome is Outcome.REVIEW
    assert finding.message.code == "goal.no_value"
    # The planning system's dose may hold less of it: then its value is not known.
    rows, _ = judge_goals(goals, {"Cord": small}, {"Cord": dvh("Cord", 0.0, 40.0)})
    assert rows[0].reference is None


GOAL = '[[goal]]\nstructure = "PTV"\nquantity = "D95%"\n'


@pytest.mark.parametrize(
    ("goals", "match"),
    [
        ("", "goal"),
        ('[[goal]]\nstructure = "PTV"\nquantity = "D95%"', "at_least"),
        ('[[goal]]\nstructure = "PTV"\nquantity = "D95%"\nat_leest = 3.0\nat_most = 1.0', "leest"),
        ('[[goal]]\nstructure = "P"\nquantity = "max"\nat_most = 3.0\nreview = 4.0', "beyond"),
        ("goal = 3", r"\[\[goal\]\] tables"),
        ("[goal]\nstructure = 3", r"\[\[goal\]\] tables"),
        (
            GOAL + 'at_least = "57 Gy"',
            "at_least is '57 Gy'; a finite number is needed, without quotes",
        ),
        (GOAL + "at_least = true", "at_least is True"),
        (GOAL + "at_least = inf", "at_least is inf"),
        (GOAL + "at_least = -1", "at_least is -1; D95% is 0 or more"),
        (GOAL + 'at_least = 57\nreview = "58"', "review is '58'"),
        (GOAL + 'at_least = 57\noptional = "no"', "optional is 'no'; write true or false"),
        (GOAL + "at_least = 57\nsource = 4", "source is 4"),
        ('[[goal]]\nstructure = 4\nquantity = "max"\nat_most = 3.0', "structure is 4"),
        ('[[goal]]\nstructure = ["a", 4]\nquantity = "max"\nat_most = 3.0', "structure is"),
        ('[[goal]]\nstructure = "P"\nquantity = "D95Gy"\nat_most = 3.0', "'D95Gy' is no quantity"),
        ('[[goal]]\nstructure = "P"\nquantity = 95\nat_most = 3.0', "quantity is 95"),
        ('[[goal]]\nstructure = "P"\nquantity = "V20Gy"\nat_most = 300', "from 0 to 100 %"),
    ],
)
def test_wrong_templates_are_refused(goals: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=match):
        load_template(template(tmp_path, goals))


@pytest.mark.parametrize(
    ("head", "match"),
    [
        ('name = 3\nversion = "1"', "name is 3; a text in quotes"),
        ('name = "lung"\nversion = 2', "version is 2; a text in quotes"),
        ('name = "lung"', "'version' is missing"),
        ('name = "lung"\nversion = ""', "version is empty"),
        ('name = "lung"\nversion = "1"\ngoals = 3', "unknown key 'goals'. Did you mean 'goal'"),
    ],
)
def test_the_head_of_a_template_is_read_with_care(head: str, match: str, tmp_path: Path) -> None:
    file = tmp_path / "goals.toml"
    file.write_text(f"{head}\n{GOAL}at_least = 57.0\n")
    with pytest.raises(InputError, match=match):
        load_template(file)


def test_shares_of_the_prescription_are_of_the_structures_own(tmp_path: Path) -> None:
    """PTV1 from 57 to 61 Gy of 60 Gy; the boost's 66 Gy are those of a structure without one."""
    goals = load_template(
        template(
            tmp_path,
            '[[goal]]\nstructure = "PTV1"\nquantity = "V95%"\nat_least = 95.0\n'
            '[[goal]]\nstructure = "PTV1"\nquantity = "D2% %"\nat_most = 107.0\n'
            '[[goal]]\nstructure = "Cord"\nquantity = "V50% cc"\nat_most = 1.0\n',
        )
    ).goals
    calculated = {"PTV1": dvh("PTV1", 57.0, 61.0), "Cord": dvh("Cord", 0.0, 30.0)}
    prescribed = {"PTV1": 60.0, "": 66.0}
    rows, findings = judge_goals(goals, {}, calculated, prescribed)
    assert [row.outcome for row in rows] == [Outcome.PASS] * 3
    assert [row.unit for row in rows] == ["%", "%", "cm3"]
    assert rows[0].calculated == pytest.approx(100.0)
    assert rows[1].calculated == pytest.approx(100 * 60.92 / 60, abs=0.1)
    assert rows[2].calculated == 0.0
    assert findings[0].message.values["of"] == Message.of("part.prescribed", gray=60.0)
    assert findings[2].message.values["of"] == Message.of("part.prescribed", gray=66.0)
    rows, findings = judge_goals(goals, {}, calculated)
    assert rows == [] and [one.outcome for one in findings] == [Outcome.REVIEW] * 3
    assert findings[0].message.code == "goal.no_prescription"
