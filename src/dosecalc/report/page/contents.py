"""What a report says, in words: verdict, facts, tables and lists, for the page and for print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dosecalc import __version__
from dosecalc.analysis.gamma import GammaResult
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.report.page.caveats import gathered
from dosecalc.report.page.facts import Fact, all_facts, identity
from dosecalc.report.page.origin import calculated_on, footer_files
from dosecalc.report.page.tables import Table, all_tables, is_judged
from dosecalc.report.page.words import Words
from dosecalc.text import CELL, LINE, shortened, visible
from dosecalc.verification.as_values import gamma_is_capped
from dosecalc.verification.verification import Largest, Verification

__all__ = ["Contents", "Fact", "Listing", "contents_of"]

# What the beam fit says of the whole difference.
_OF_CAUSES = ("beam_fit.likely_cause", "beam_fit.little_explained", "beam_fit.unexplained")


@dataclass(frozen=True)
class Listing:
    """A list under a title; `note` says what it means, also where the list is empty."""

    key: str
    title: str
    note: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Contents:
    """All that a report says in words, in one language.

    Parameters
    ----------
    title : str
    identity : tuple of str
        Whose plan it is, which one, when it was calculated.
    outcome : Outcome
    verdict, meaning, counts, signing : str
    objections : tuple of str
        Which rules refuse, fail or want a look, a line each; empty where all pass.
    largest : tuple of str
    facts : tuple of Fact
    tables, lists : mappings by key
    footer, files : str
        What every page has to say; hashes that tie a page to its run.
    written : datetime or None
        When the dose was calculated.
    """

    title: str
    identity: tuple[str, ...]
    outcome: Outcome
    verdict: str
    meaning: str
    counts: str
    signing: str
    objections: tuple[str, ...]
    largest: tuple[str, ...]
    facts: tuple[Fact, ...]
    tables: Mapping[str, Table]
    lists: Mapping[str, Listing]
    footer: str
    files: str
    written: datetime | None


def contents_of(
    verification: Verification, words: Words, shown: Callable[[str, int], str] | None = None
) -> Contents:
    """Put a verification into words.

    Parameters
    ----------
    verification : Verification
    words : Words
    shown : callable(text, longest) -> str, optional
        Makes text from files fit for where it is shown; `dosecalc.text.visible` if left out.
    """
    v, outcome = verification, verification.outcome
    clean = shown or _visible
    said = Contents(
        title=v.label,
        identity=identity(v, words),
        outcome=outcome,
        verdict=words(f"verdict_{outcome.name.lower()}"),
        meaning=words(f"meaning_{outcome.name.lower()}"),
        counts=_counts(v.findings, words),
        signing=words("signing"),
        objections=_objections(v.findings, words),
        largest=_largest(v, words),
        facts=all_facts(v, words),
        tables={table.key: table for table in all_tables(v, words)},
        lists={one.key: one for one in _lists(v, words)},
        footer=words("footer", version=__version__),
        files=footer_files(v, words),
        written=calculated_on(v),
    )
    return replace(
        said,
        title=clean(said.title, CELL),
        identity=tuple(clean(part, CELL) for part in said.identity),
        objections=tuple(clean(line, LINE) for line in said.objections),
        largest=tuple(clean(line, LINE) for line in said.largest),
        facts=tuple(replace(f, lines=tuple(clean(x, LINE) for x in f.lines)) for f in said.facts),
        tables={key: _clean_table(one, clean) for key, one in said.tables.items()},
        lists={
            key: replace(one, lines=tuple(clean(line, LINE) for line in one.lines))
            for key, one in said.lists.items()
        },
        files=clean(said.files, LINE),
    )


def _visible(text: str, longest: int) -> str:
    return shortened(visible(text), longest)


def _clean_table(table: Table, clean: Callable[[str, int], str]) -> Table:
    rows = tuple(
        tuple(cell if isinstance(cell, Outcome) else clean(cell, CELL) for cell in row)
        for row in table.rows
    )
    return replace(table, note=clean(table.note, LINE), rows=rows)


def _counts(findings: Sequence[Finding], words: Words) -> str:
    """Count the findings by outcome; what was not judged passes nothing."""
    counts = Counter(finding.outcome for finding in findings if is_judged(finding))
    parts = [
        f"{counts[one]} {words(f'count_{one.name.lower()}')}"
        for one in sorted(Outcome, reverse=True)
        if counts[one]
    ]
    shown = len(findings) - counts.total()
    if shown:
        parts.append(words("count_not_judged", n=str(shown)))
    return f"{words('rules_asked')} {', '.join(parts) or '0'}"


def _objections(findings: Sequence[Finding], words: Words) -> tuple[str, ...]:
    """Name the rules that do not pass, the worst first, each once with its number of findings."""
    lines = []
    for outcome in (Outcome.REFUSED, Outcome.FAIL, Outcome.REVIEW):
        found = Counter(one.rule for one in findings if one.outcome is outcome)
        names = [words.rule(rule) + (f" ({n})" if n > 1 else "") for rule, n in found.items()]
        if names:
            lines.append(words(f"names_{outcome.name.lower()}", names=", ".join(names)))
    return tuple(lines)


def _largest(v: Verification, words: Words) -> tuple[str, ...]:
    if v.largest is None:
        return (words("nothing_compared"),)
    lines = [_largest_line(v.largest, words)]
    if v.gamma is not None and v.gamma.points > v.gamma.outside:
        gamma = v.gamma
        lines.append(
            words(
                "gamma_line",
                percent=words.rate(gamma.pass_percent),
                points=str(gamma.points),
                criteria=words.message(gamma.criteria.message),
                largest=_largest_gamma(gamma, words),
                at=position(gamma.worst_position, words),
            )
        )
    lines += _likely_cause(v.findings, words)
    return tuple(lines)


def _likely_cause(findings: Sequence[Finding], words: Words) -> list[str]:
    """Return the most likely cause, which a reader looks for first, where one was found."""
    likely = (f for f in findings if f.message.code in _OF_CAUSES)
    return [
        words("topic_line", topic=words.rule(f.rule).capitalize(), text=words.message(f.message))
        for f in likely
    ][:1]


def _largest_gamma(gamma: GammaResult, words: Words) -> str:
    """Return the largest gamma; at the end of the search it is known from below only."""
    text = words.number(gamma.largest, 2)
    return words("gamma_over", value=text) if gamma_is_capped(gamma) else text


def _largest_line(largest: Largest, words: Words) -> str:
    return words(
        "largest_line",
        percent=words.number(largest.percent_of_prescription, 1, signed=True),
        calculated=words.number(largest.calculated_gy),
        reference=words.number(largest.reference_gy),
        at=position(largest.point, words),
        where=", ".join(largest.structures) or words("no_structure"),
    )


def position(point: tuple[float, float, float], words: Words) -> str:
    """Patient coordinates of a point in words."""
    return ", ".join(f"{a} {words.number(p, 1)}" for a, p in zip("xyz", point, strict=True)) + " mm"


def _lists(v: Verification, words: Words) -> tuple[Listing, ...]:
    said = [*v.caveats, *(() if v.gamma is None else v.gamma.notes)]
    said += [str(note) for note in v.calculated.provenance.get("notes", ())]
    names = [one.name for one in v.structures or ()]
    lists = (
        ("not_checked", tuple(words.sentence(x) for x in v.not_checked)),
        ("shared", tuple(words.sentence(x) for x in v.shared_inputs)),
        ("caveats", gathered(said, names, words)),
    )
    return tuple(
        Listing(key, words(f"list_{key}"), words(f"note_{key}"), lines) for key, lines in lists
    )
