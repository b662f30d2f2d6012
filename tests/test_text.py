"""Text from files, made fit for each place where it is shown."""

from __future__ import annotations

import json

import pytest

from dosecalc.cli import _say
from dosecalc.report.tables import TextTable, fact_table
from dosecalc.text import (
    NAME,
    csv_text,
    csv_value,
    file_text,
    html_text,
    json_text,
    log_text,
    name_text,
    paper_text,
    terminal_text,
    visible,
)


def test_what_cannot_be_seen_is_an_escape() -> None:
    assert visible("a\nb\t\r\x00\x1b[2J\x7f\x9b") == r"a\nb\t\r\x00\x1b[2J\x7f\x9b"
    assert visible("\u202ex\u200b\u2066\u2028\ufeff\u3164\ud800") == (
        r"\u202ex\u200b\u2066\u2028\ufeff\u3164\ud800"
    )
    # Every writing stays, with as many marks as any has.
    for kept in ("Caf\u00e9 e\u0301", "\u80ba", "\u05d0\u05d1", "95\u00a0%", "\U0001f600"):
        assert visible(kept) == kept
    assert visible("e" + "\u0301" * 6) == "e" + "\u0301" * 4 + r"\u0301\u0301"
    # What pushes a word to a line of its own.
    assert visible("PTV" + " " * 77 + "verdict: PASS") == "PTV   verdict: PASS"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_terminal_gets_letters_that_it_has(encoding: str) -> None:
    line = terminal_text("PTV \u80ba \u00e9", encoding=encoding)
    line.encode(encoding)
    assert line.startswith("PTV ")


def test_long_names_keep_both_ends() -> None:
    name = name_text("A" * 60_000 + "_left")
    assert len(name) <= NAME and name.startswith("AAA") and name.endswith("_left")
    line = terminal_text("B" * 60_000 + ": mean 58.00 Gy")
    assert len(line) <= 4000 and line.endswith(": mean 58.00 Gy")


@pytest.mark.parametrize("text", ["=CMD|x", "+1+1", "-2;x", "@SUM(A1)", "  =1", "\uff1dA1"])
def test_formulas_are_quoted_in_tables_and_read_back(text: str) -> None:
    assert csv_text(text) == f"'{text}"
    assert csv_value(f"'{text}") == text


def test_numbers_and_other_text_stay_in_tables() -> None:
    for kept in ("-3.5", "+2,5", "-1e-3", "PTV", "'PTV", ""):
        assert csv_text(kept) == kept and csv_value(kept) == kept
    assert csv_text(-3.5) == -3.5
    assert csv_text("a\nb") == r"a\nb"


def test_html_is_cleaned_and_escaped() -> None:
    assert html_text("<b>\x00\u202e&\"'") == "&lt;b&gt;\\x00\\u202e&amp;&quot;&#x27;"


def test_json_says_the_same_with_nothing_to_obey() -> None:
    values = {"name": "\x1b[2J\x9b\u202e\u2028\x7f\u80ba\U000e0001\ud800"}
    text = json.dumps(values, ensure_ascii=False)
    for ascii_only in (False, True):
        made = json_text(text, ascii_only=ascii_only)
        assert json.loads(made) == values
        assert made.isprintable()
        assert made.isascii() == ascii_only
        assert ("\u80ba" in made) != ascii_only


def test_names_of_files_are_names_of_files() -> None:
    for text in ("../../etc/passwd", "a/b\\c:d", "CON", "", "...", "n" * 60_000, "x\ny\x00\u202e"):
        name = file_text(text)
        assert name and not set(name) & set('/\\:*?"<>|\n\x00') and len(name.encode()) <= 200
        assert not name.startswith(".") and name.upper() != "CON"
    assert file_text("case 1_A-b.2") == "case 1_A-b.2"


def test_print_has_letters_of_its_font() -> None:
    known = set(map(ord, "\u00e9"))
    assert paper_text("A\u00e9\u80ba", known) == "A\u00e9\\u80ba"


def test_lines_of_a_log_are_marked() -> None:
    assert log_text("a\nverdict: PASS\x1b\n") == "| a\n| verdict: PASS\\x1b"


def test_tables_in_a_pipe_lose_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    table = TextTable("[/2] title\nverdict: PASS")
    table.head("structure", bold=True)
    table.head(*(f"column {n}\nGy" for n in range(20)), numeric=True)
    table.put("PTV[/2][red]x[/red]:smile:", *(f"{n}.25" for n in range(20)))
    _say.show(table)
    _say.show(fact_table([("plan", "word " * 60 + "end")]))
    lines = capsys.readouterr().out.split("\n")
    (row,) = (line for line in lines if "PTV[/2][red]x[/red]:smile:" in line)
    assert all(f" {n}.25" in row for n in range(20))
    assert sum("column" in line for line in lines) == 1
    assert any(line.rstrip().endswith("end") and "plan" in line for line in lines)


def test_what_goes_wrong_in_print_takes_nothing_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("no such letter")

    monkeypatch.setattr(_say, "show", broken)
    with _say.printing("out"):
        _say.show()  # type: ignore[call-arg]
    assert "complete in out, but could not be printed" in capsys.readouterr().err
