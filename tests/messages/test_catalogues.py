"""Every message is said in each language, with the same values, and none is said by nobody."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

import dosecalc
from dosecalc.errors import InputError
from dosecalc.messages.message import LANGUAGES, Message, Value, load_catalogue, of_note, say
from tests.report.french import english_in

PACKAGE = Path(dosecalc.__file__).parent
_NUMBER = re.compile(r"\+?(\.\d)?[fg]")
_BETWEEN = ("; ", ", ", " or ")
CODES = sorted(load_catalogue("en").texts)


def placeholders(text: str) -> dict[str, str]:
    """Formats of the values of a text by their names."""
    return {name: form or "" for _, name, form, _ in Formatter().parse(text) if name is not None}


@cache
def texts_of_sources() -> tuple[set[str], set[str]]:
    """All texts of the sources; those that are given to Message or Message.of as codes."""
    every: set[str] = set()
    given: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                every.add(node.value)
            if isinstance(node, ast.Call) and node.args and is_message(node.func):
                given |= set(constants(node.args[0]))
    return every, given


def is_message(called: ast.expr) -> bool:
    name = called.value if isinstance(called, ast.Attribute) and called.attr == "of" else called
    return isinstance(name, ast.Name) and name.id == "Message"


def constants(node: ast.expr) -> Iterator[str]:
    """Texts that an argument may be."""
    for one in [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]:
        if isinstance(one, ast.Constant):
            yield str(one.value)


def test_every_code_of_the_sources_is_in_the_catalogues_and_none_is_unused() -> None:
    every, given = texts_of_sources()
    assert len(given) > 50
    for language in LANGUAGES:
        texts = load_catalogue(language).texts
        assert not given - texts.keys()
        assert not texts.keys() - every


def test_languages_have_the_same_codes_and_values() -> None:
    english = load_catalogue("en").texts
    for language in LANGUAGES[1:]:
        other = load_catalogue(language).texts
        assert other.keys() == english.keys()
        for code, text in english.items():
            own = placeholders(other[code])
            assert own.keys() == placeholders(text).keys(), code
            for name, form in placeholders(text).items():
                # What joins a list or stands before a part is of the language; numbers are not.
                assert _NUMBER.fullmatch(form) is None or own[name] == form, f"{code}, {name}"


@pytest.mark.parametrize("code", CODES)
def test_every_entry_is_said_in_every_language(code: str) -> None:
    """Numbers where there are formats of numbers, names elsewhere; no placeholder is left."""
    form_of = placeholders(load_catalogue("en").texts[code])
    values: dict[str, Value] = {
        name: -1.25 if _NUMBER.fullmatch(form) else ("A",) if form in _BETWEEN else "NAME"
        for name, form in form_of.items()
    }
    said = {language: say(Message(code, values), language) for language in LANGUAGES}
    for language, text in said.items():
        assert "{" not in text and "}" not in text
        assert code == "situation.none" or text
        if language != "en":
            assert not english_in(text), text
    if any(isinstance(value, float) for value in values.values()):
        assert "." not in "".join(c for c in said["fr"] if c in "0123456789.")
        assert "\u2212" in said["fr"] and "-1" in said["en"]


def test_numbers_are_written_as_the_language_does() -> None:
    moved = Message.of("beam_fit.best_shift", beam=Message.of("part.beam", number=2, name="a.b"),
                       u=-0.004, v=-1.5)  # fmt: skip
    assert say(moved) == str(moved)
    assert (
        say(moved) == "beam 2 (a.b): calculated would fit the reference best moved by u 0.00, "
        "v -1.50 mm"
    )
    assert "faisceau 2 (a.b)\u00a0: déplacée de u 0,00, v \u22121,50\u00a0mm" in say(moved, "fr")
    nothing = Message.of("structure.dose", structure="PTV", quantity="D98", calculated=2.0,
                         reference=0.0, percent=float("nan"))  # fmt: skip
    assert say(nothing) == "PTV: D98 2.00 Gy, reference 0.00 Gy (\u2013 %)"
    assert nothing.as_json()["values"]["percent"] is None


def test_parts_and_lists() -> None:
    part = Message("part.not_judged")
    values: dict[str, Value] = {"beams": 2.0, "fractions": 30, "total": 60.0, "prescribed": 60.0,
                                "percent": 0.0}  # fmt: skip
    assert say(Message("closure.stated", {**values, "remark": part})).endswith(
        "(0.0 %); not judged"
    )
    assert say(Message("closure.stated", {**values, "remark": None})).endswith("(0.0 %)")
    goal = Message("goal.text", {"structures": ("A", "B"), "quantity": "D0.1cc", "sign": "<=",
                                 "limit": 4.5, "unit": "Gy"})  # fmt: skip
    assert say(goal) == "A or B D0.1cc <= 4.5 Gy"
    assert say(goal, "fr") == "A ou B D0.1cc <= 4,5\u00a0Gy"
    assert goal.as_json()["values"]["structures"] == ["A", "B"]
    assert Message.of("goal.no_dose", goal=goal, structures=()).as_json()["values"]["goal"] == (
        goal.as_json()
    )


def test_what_has_no_code_yet_is_said_as_it_is_told() -> None:
    caution = Message.of("engine.caution", caution=of_note("a note"))
    assert say(caution) == "a note: this engine cannot clear the plan"
    said = say(caution, "fr", {"a note": "une note"}.__getitem__)
    assert said == "une note\u00a0: ce moteur ne peut pas valider le plan"


def test_bad_values_and_languages_are_refused() -> None:
    for value in (True, b"x", {"a": 1}, [1]):
        with pytest.raises(TypeError, match=r"gamma\.pass_rate, percent"):
            Message("gamma.pass_rate", {"percent": value})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="'de'"):
        load_catalogue("de")
    with pytest.raises(KeyError):
        say(Message("no.code"))


_APART = ("startswith", "endswith", "split", "partition", "removeprefix", "find", "replace")


def looks_into_a_sentence(node: ast.AST) -> bool:
    """Whether a source asks what a sentence holds, as `x in one.sentence` does."""
    if isinstance(node, ast.Attribute) and node.attr in _APART:
        return isinstance(node.value, ast.Attribute) and node.value.attr == "sentence"
    return isinstance(node, ast.Compare) and any(
        isinstance(one, ast.Attribute) and one.attr == "sentence"
        for one in (node.left, *node.comparators)
    )


def test_no_module_reads_a_sentence_to_learn_something() -> None:
    assert looks_into_a_sentence(ast.parse("'a' in f.sentence", mode="eval").body)
    reading = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"  # type: ignore[attr-defined]
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if looks_into_a_sentence(node)
    ]
    assert not reading
