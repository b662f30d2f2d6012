"""What a report says: which rules object, numbers that do not flatter, whose plan it is, French."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dosecalc.messages.findings import Finding, Outcome
from dosecalc.messages.message import Message, of_note
from dosecalc.report.page.build import page_text
from dosecalc.report.page.caveats import gathered
from dosecalc.report.page.contents import Contents, contents_of
from dosecalc.report.page.difference_colours import DIFFERENCE_STOPS, luminance
from dosecalc.report.page.picture import beyond_scale
from dosecalc.report.page.words import LANGUAGES, load_words
from dosecalc.verification.as_values import verification_values
from dosecalc.verification.parts import beam_part
from dosecalc.verification.tolerances import load_tolerances
from dosecalc.verification.verification import Verification
from tests.report.verifications import EVERY_OUTCOME, verification, without_reference

ENGLISH, FRENCH = (load_words(one) for one in LANGUAGES)
SHOWN = Finding(
    "independent MU check", Outcome.PASS, of_note("beam 1 (a): 1.000 Gy by tables (low density), "
    "0.900 Gy calculated (-10.0 %); not judged"), -10.0, "%", judged=False,
)  # fmt: skip
TURNED = Finding("beam fit", Outcome.PASS, of_note("turned"), -0.011891619, "degrees", 1.0, 5.0)


def said_of(*more: Finding, words: object = ENGLISH, v: Verification | None = None) -> Contents:
    full = verification() if v is None else v
    return contents_of(replace(full, findings=(*full.findings, *more)), words)  # type: ignore[arg-type]


def rows_of(said: Contents, key: str = "rules") -> list[dict[str, str]]:
    table = said.tables[key]
    heads = [column.heading for column in table.columns]
    return [dict(zip(heads, map(str, row), strict=True)) for row in table.rows]


def test_banner_names_the_rules_that_object() -> None:
    said = said_of(*EVERY_OUTCOME)
    assert said.objections == (
        "Refused: UID chain.",
        "Fails: monitor units.",
        "To review: independent MU check (3), goal.",
    )
    page = page_text(replace(verification(), findings=(*verification().findings, *EVERY_OUTCOME)))
    banner = page[page.index('class="verdict') : page.index('class="card largest')]
    for line in said.objections:
        assert line in banner
    assert not contents_of(without_reference(), ENGLISH).objections[0].startswith("Fails")


def test_rules_that_object_stand_above_the_lists() -> None:
    page = page_text(verification())
    places = [
        page.index(part)
        for part in ('class="verdict', 't-open"', 'list-not-checked"', 'list-caveats"', 't-rules"')
    ]
    assert places == sorted(places)
    said = said_of(*EVERY_OUTCOME)
    assert [row["rule"] for row in rows_of(said, "open")] == [
        "UID chain", "monitor units", *["independent MU check"] * 3, "goal",
    ]  # fmt: skip
    passes = [one for one in verification().findings if one.outcome is Outcome.PASS]
    clean = contents_of(replace(verification(), findings=tuple(passes)), ENGLISH)
    assert "open" not in clean.tables and not clean.objections


def test_many_objections_leave_room_for_what_was_not_checked() -> None:
    many = [Finding("beam fit", Outcome.FAIL, of_note(f"beam {n} is off")) for n in range(40)]
    said = said_of(*many)
    assert len(said.tables["open"].rows) == 12
    assert "32 more" in said.tables["open"].note
    assert len(said.tables["rules"].rows) == len(verification().findings) + 40


def test_caveats_of_one_kind_are_one_line() -> None:
    names = ("I1", "I2", "Lung: L", "GTV")
    lines = (
        "1 not DICOM files ignored: run.json",
        *(f"{n}: left out: 1 x POINT contour" for n in ("I1", "I2")),
        *(f"{n}: no closed contours: the structure is empty" for n in ("I1", "I2")),
        "GTV: left out: 85 x repeated contour",
        "GTV: physical properties not used: REL_ELEC_DENSITY = 1",
        "Lung: L: physical properties not used: REL_ELEC_DENSITY = 0.35",
        *(
            f"beam {n} (G): planned on 'a', calculated with model 'b'" for n in (1, 2)
        ),
        "GTV: contours overlap on z = 1 mm",
    )  # fmt: skip
    assert gathered(lines, names, ENGLISH) == (
        "1 not DICOM files ignored: run.json",
        "left out: 1 x POINT contour (I1, I2); 85 x repeated contour (GTV)",
        "no closed contours: the structure is empty (I1, I2)",
        "physical properties not used: REL_ELEC_DENSITY = 1 (GTV); REL_ELEC_DENSITY = 0.35 "
        "(Lung: L)",
        "planned on 'a', calculated with model 'b': beam 1 (G), beam 2 (G)",
        "GTV: contours overlap on z = 1 mm",
    )
    french = gathered(lines, names, FRENCH)
    assert (
        french[1] == "laissé de côté : 1 contour(s) POINT (I1, I2) ; 85 contour(s) répété(s) (GTV)"
    )
    assert french[4] == (
        "planifié sur 'a', calculé avec le modèle 'b' : faisceau 1 (G), faisceau 2 (G)"
    )
    assert french[5] == "GTV : des contours se recouvrent à z = 1 mm"


def test_largest_gamma_is_known_from_below_only() -> None:
    v = verification()
    assert v.gamma is not None and v.gamma.largest == pytest.approx(2.0, abs=1e-3)
    assert "the largest gamma is 2.00 or more, at x" in contents_of(v, ENGLISH).largest[1]
    assert "2,00 ou plus" in contents_of(v, FRENCH).largest[1]
    assert verification_values(v)["gamma"]["largest_is_lower_bound"] is True
    wide = replace(v, gamma=replace(v.gamma, criteria=replace(v.gamma.criteria, max_gamma=5.0)))
    assert "or more" not in contents_of(wide, ENGLISH).largest[1]
    assert verification_values(wide)["gamma"]["largest_is_lower_bound"] is False


def test_the_most_likely_cause_stands_beside_the_largest_discrepancy() -> None:
    cause = Finding(
        "beam fit", Outcome.FAIL, Message.of(
            "beam_fit.likely_cause",
            cause=Message.of("beam_fit.cause_mu", beams=beam_part(3, "c"), percent=-16.7),
            percent=96.0,
        ), -16.7, "%", 3.0, 10.0, details={"cause": "mu", "beam": 3},
    )  # fmt: skip
    assert said_of(cause).largest[-1] == f"Beam fit: {cause.sentence}"
    assert (
        said_of(cause, words=FRENCH)
        .largest[-1]
        .startswith("Ajustement des faisceaux : cause la plus")
    )
    assert not any("likely" in line for line in said_of(TURNED).largest)


def test_rates_are_not_rounded_to_all_or_nothing() -> None:
    shown = {99.991: "99.9", 99.9: "99.9", 100.0: "100.0", 94.96: "94.9", 0.04: "under 0.1",
             0.0: "0.0", 58.0: "58.0"}  # fmt: skip
    assert {value: ENGLISH.rate(value) for value in shown} == shown
    v = verification()
    assert v.gamma is not None
    gamma = v.gamma.gamma.copy()
    gamma[gamma > 0.9] = 0.5
    gamma[tuple(a[0] for a in (gamma > 0).nonzero())] = 1.5
    nearly = replace(v, gamma=replace(v.gamma, gamma=gamma))
    assert nearly.gamma is not None and 99.99 < nearly.gamma.pass_percent < 100
    assert "Gamma: 99.9 % of" in contents_of(nearly, ENGLISH).largest[1]
    said = said_of(Finding("gamma", Outcome.PASS, of_note("?"), 99.991, "%", 95.0, 90.0))
    assert [row["value"] for row in rows_of(said) if row["what was found"] == "?"] == [
        "99.9\u00a0%"
    ]


def test_values_have_no_false_precision_and_stay_on_their_side() -> None:
    shown = {-0.011891619: "\u22120.01", 11.3688: "11.4", 0.5773: "0.58", 209.104: "209", 0.0: "0"}
    assert {value: ENGLISH.measured(value) for value in shown} == shown
    assert ENGLISH.measured(3.0004, 3.0, 5.0) == "3.0004"
    (row,) = (r for r in rows_of(said_of(TURNED)) if r["what was found"] == "turned")
    assert (row["value"], row["review if"]) == ("\u22120.01\u00b0", "above 1\u00b0")


def test_limits_say_on_which_side_they_are() -> None:
    found = {row["rule"]: row for row in rows_of(said_of())}
    assert found["gamma"]["review if"] == "below 95\u00a0%"
    assert found["target mean"]["fail if"] == "above 5\u00a0%"
    single = (
        Finding("goal", Outcome.PASS, of_note("met"), 58.0, "Gy", None, 57.0),
        Finding("goal", Outcome.FAIL, of_note("missed"), 56.0, "Gy", None, 57.0),
        Finding("goal", Outcome.FAIL, of_note("too much"), 31.0, "%", None, 30.0),
    )
    fails = {row["what was found"]: row["fail if"] for row in rows_of(said_of(*single))}
    assert fails["met"] == fails["missed"] == "below 57\u00a0Gy"
    assert fails["too much"] == "above 30\u00a0%"


def test_what_is_not_judged_passes_nothing() -> None:
    said = said_of(SHOWN)
    assert said.counts == f"{said_of().counts}, 1 not judged"
    (row,) = (r for r in rows_of(said) if r["what was found"] == SHOWN.sentence)
    assert row["outcome"] == "not judged"
    page = page_text(replace(verification(), findings=(SHOWN,)))
    row_html = next(r for r in page.split("<tr>") if SHOWN.sentence in r).split("</tr>")[0]
    assert "not judged</td>" in row_html and "<svg" not in row_html
    assert verification_values(replace(verification(), findings=(SHOWN,)))["findings"][0][
        "judged"
    ] is False  # fmt: skip


def test_fields_axes_are_explained_where_they_are_spoken_of() -> None:
    assert "isocentre, in mm" in said_of(TURNED).tables["rules"].note
    assert said_of().tables["rules"].note == ""
    worse = replace(TURNED, outcome=Outcome.REVIEW)
    assert "collimator" in said_of(worse).tables["open"].note


def test_a_machine_of_one_name_is_named_once() -> None:
    v = verification()
    beams = tuple(replace(b, machine="generic-6mv as generic-6mv") for b in v.beams)
    said = contents_of(replace(v, beams=beams), ENGLISH)
    assert {row["machine, and its model"] for row in rows_of(said, "beams")} == {"generic-6mv"}
    french = rows_of(contents_of(v, FRENCH), "beams")
    assert {row["machine et modèle"] for row in french} == {"LINAC-2, calculé avec generic-6mv"}


def test_first_page_says_whose_plan_it_is_and_when() -> None:
    v = verification()
    assert contents_of(v, ENGLISH).identity == (
        "patient Phantom, Thorax",
        "patient ID THORAX-1",
        "plan LUNG 60 Gy",
        "calculated 2026-11-27 01:19 UTC+01:00",
    )
    assert " \u00b7 ".join(contents_of(v, ENGLISH).identity) in page_text(v)
    options = {"options": {"values": {"on": "2026-11-26"}}}
    day = contents_of(replace(v, record={"choices": options}), ENGLISH)
    assert day.identity[-1] == "calculated 2026-11-26"
    assert contents_of(replace(v, record={}), ENGLISH).identity[-1] == "the record states no date"


def test_facts_name_the_files() -> None:
    facts = {fact.key: fact.lines for fact in contents_of(verification(), ENGLISH).facts}
    assert facts["reference"] == (
        f"TPS.dcm, SHA-256 {'cd34' * 16}",
        "Maker TPS, on its own grid of 4 \u00d7 4 \u00d7 4 mm",
    )
    assert f"PLAN.dcm, SHA-256 {'ab12' * 16}" in facts["plan"]
    assert f"RTDOSE.dcm, SHA-256 {'ef56' * 16}" in facts["calculated"]
    # Without an entry in the record, the dose itself says where it is from.
    v = verification()
    assert v.reference is not None
    about = {"manufacturer": "Maker", "model": "TPS 7", "source": "RD.1.dcm"}
    alone = replace(v, record={}, reference=replace(v.reference, provenance=about))
    facts = {fact.key: fact.lines for fact in contents_of(alone, ENGLISH).facts}
    assert facts["reference"][0] == "RD.1.dcm"
    assert facts["reference"][1].startswith("Maker TPS 7, ")


def test_differences_beyond_the_colours_are_said() -> None:
    v = verification()
    assert v.largest is not None
    assert "\u221210.7 %, is beyond the scale" in beyond_scale(v, ENGLISH)
    small = replace(v, largest=replace(v.largest, percent_of_prescription=-9.9))
    assert beyond_scale(small, ENGLISH) == ""


def test_ends_of_the_difference_differ_in_grey() -> None:
    low, high = (luminance(DIFFERENCE_STOPS[k][1:]) for k in (0, -1))
    assert high - low > 80


def test_french_of_what_the_program_says() -> None:
    sources = {limit.source for limit in load_tolerances().limits.values()}
    lines = (
        *sources,
        "1 not DICOM files ignored: run.json",
        "GTV-1: physical properties not used: REL_ELEC_DENSITY = 1",
        "12686 CT voxels are below the curve's end at -1000 HU and were limited to 0.0012 g/cm3",
        "body: 'Patient'; outside it everything is replaced",
        "materials by the table 'tissue' version 1",
        "dose grid: default of 2.5 mm voxels",
        "beam 1 (a): the plan states no leaves; they are taken as fully withdrawn",
        "plan: fraction group 1 of 1, 2 read; the others are left out",
    )
    for line in lines:
        (said,) = gathered((line,), ("GTV-1",), FRENCH)
        assert said != line, line
        assert not re.search(r"\b(the|is|are|not|project)\b", said), said
    said = contents_of(replace(verification(), findings=(TURNED,)), FRENCH)
    assert said.verdict == "AUCUN ÉCART AUX RÈGLES (PASS)"
    (row,) = rows_of(said)
    assert "1\u00b0" in row["à examiner si"] and "degré" not in str(row)
    assert FRENCH("outcome_pass") == FRENCH("count_pass") == "sans écart"
