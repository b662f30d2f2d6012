"""Words to options, beams to machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from dosecalc.cli.main import REFUSED, main
from dosecalc.errors import InputError
from dosecalc.model import Beam, ControlPoint, PatientPosition, Plan
from dosecalc.patient.overrides import Override
from dosecalc.workflow.machines import machines_for
from dosecalc.workflow.request_parts import parse_override
from dosecalc.workflow.requests import DoseRequest


def plan(*qualities: tuple[float, str]) -> Plan:
    states = tuple(
        ControlPoint(f, 0.0, 0.0, 0.0, (0.0, 0.0, 0.0), (-50, 50), (-50, 50)) for f in (0.0, 1.0)
    )
    beams = tuple(
        Beam(i, f"B{i}", mv, mode, "TrueBeam1", 1000.0, 100.0, states)
        for i, (mv, mode) in enumerate(qualities, start=1)
    )
    return Plan(beams, PatientPosition.HFS)


MIXED = plan((6.0, "STANDARD"), (6.0, "FFF"), (15.0, "STANDARD"))


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("Lung=0.3", "Lung", Override(0.3, None)),
        ("Lung=lung", "Lung", Override(None, "lung")),
        ("Hip L=7.9:steel", "Hip L", Override(7.9, "steel")),
        ("a=b=1.05", "a=b", Override(1.05, None)),
    ],
)
def test_overrides_say_density_material_or_both(text, name, value):
    assert parse_override(text) == (name, value)


@pytest.mark.parametrize("text", ["Lung", "=1.0", "Lung=", "Lung=1.0:", "Lung=heavy:water"])
def test_overrides_of_another_form_are_refused(text):
    with pytest.raises(InputError, match="--override"):
        parse_override(text)


def test_an_override_said_twice_is_refused():
    with pytest.raises(InputError, match="twice"):
        DoseRequest.from_words(path=Path("x"), overrides=("a=1.0", "a=1.1"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"engine": "guess"}, "collapsed-cone"),
        ({"grid_mm": 0.0}, "0.1 to 50"),
        ({"hu_curve": "a", "config": Path("b.toml")}, "not both"),
        ({"hu_curve": "a", "inside": "water"}, "leaves the CT out"),
    ],
)
def test_options_that_contradict_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        DoseRequest.from_words(path=Path("x"), **words)


def test_what_says_more_goes_first():
    found = machines_for(
        MIXED, ("generic-15mv", "6x=generic-6mv", "6FFF=generic-6fff", "1=generic-6mv-agility")[:3]
    )
    assert {n: m.name for n, m in found.items()} == {
        1: "generic-6mv",
        2: "generic-6fff",
        3: "generic-15mv",
    }
    two = plan((6.0, "STANDARD"), (6.0, "STANDARD"))
    found = machines_for(two, ("6X=generic-6mv", "2=generic-6mv-agility"))
    assert [m.name for m in found.values()] == ["generic-6mv", "generic-6mv-agility"]


def test_nothing_is_assumed_about_machines():
    with pytest.raises(InputError) as caught:
        machines_for(MIXED, ("6X=generic-6mv",))
    text = str(caught.value)
    # It names the beam, what it was planned on, and what could be chosen.
    for part in ("beam 2 (B2)", "TrueBeam1", "6FFF", "generic-6fff", "--machine"):
        assert part in text
    with pytest.raises(InputError, match="none is assumed"):
        machines_for(MIXED, ())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("generic-6mv", "9=generic-6mv"), "no beam is left for it"),
        (("generic-6mv", "10X=generic-10mv"), "no beam is left for it"),
        (("generic-6mv", "generic-6fff"), "twice"),
        (("6X=generic-6mv", "6x=generic-6mv"), "twice"),
        (("=generic-6mv",), "write NAME"),
        (("6X=",), "write NAME"),
        (("TrueBeam=generic-6mv",), "neither a beam number nor a quality"),
        (("no-such-model",), "no machine model is named"),
    ],
)
def test_words_about_machines_that_fit_nothing_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        machines_for(plan((6.0, "STANDARD")), words)


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("calc", ["--directions", "16"], "16 directions: choose from 24 to 1000"),
        ("verify", ["--directions", "16"], "16 directions: choose from 24 to 1000"),
        ("verify", ["--engines", "pencil-beam,monte-carlo", "--histories", "1"], "1 histories"),
        ("calc", ["--engine", "monte-carlo", "--seed", "-1"], "seed -1"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_the_case_is_read(
    command, words, said, tmp_path, capsys
):
    """The folder holds no patient, which nobody has looked for yet."""
    (tmp_path / "patient").mkdir()
    words = [*words, "--out", str(tmp_path / "out"), "--no-progress"]
    assert main([command, str(tmp_path / "patient"), *words]) == REFUSED
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
