"""The tables of a report, as cells of text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dosecalc.analysis.dvh import Dvh
from dosecalc.messages.findings import Finding, Outcome
from dosecalc.model import Dose
from dosecalc.model.checks import known
from dosecalc.report.page.words import Words
from dosecalc.verification.verification import BeamRow, StructureRow, Verification

__all__ = ["Cell", "Column", "Table", "all_tables", "is_judged"]

Cell = str | Outcome

# So many rows leave room on a printed first page for what was not checked.
_MOST_OPEN = 12


@dataclass(frozen=True)
class Column:
    """A heading, whether its cells are numbers, and its share of a printed line."""

    heading: str
    numeric: bool = False
    share: float = 1.0


@dataclass(frozen=True)
class Table:
    """A table; cells of type `Outcome` are drawn as sign and word."""

    key: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def all_tables(v: Verification, words: Words) -> Iterable[Table]:
    """Return the tables that have something to say; rules always have."""
    if any(one.outcome is not Outcome.PASS for one in v.findings):
        yield _open_rules(v, words)
    yield _rules(v, words)
    if v.goals:
        yield _goals(v, words)
    if v.rows:
        yield _structures(v, words)
    if any(row.calculated_fit or row.reference_fit for row in v.rows):
        yield _conformity(v, words)
    yield _beams(v, words)
    if v.points:
        yield _points(v, words)
    if v.others:
        yield _engines(v, words)


def _table(
    key: str, words: Words, columns: str, rows: Iterable[tuple[Cell, ...]], note: str = ""
) -> Table:
    """Make a table of columns written "key", "key:share" or "#key:share" (numbers)."""
    heads = []
    for column in columns.split():
        name, _, share = column.lstrip("#").partition(":")
        heads.append(Column(words(f"col_{name}"), column.startswith("#"), float(share or 1)))
    return Table(key, words(f"table_{key}"), note, tuple(heads), tuple(rows))


def _rules(v: Verification, words: Words) -> Table:
    columns = "outcome:1.35 rule:1.5 found:5 #value:1 review:1.5 fail:1.4 source:2.8"
    rows = (
        (
            _outcome(one, words),
            words.rule(one.rule),
            words.message(one.message),
            _value(one, words),
            *_limits(one, words),
            words.sentence(one.source),
        )
        for one in _ranked(v.findings)
    )
    return _table("rules", words, columns, rows, _beam_note(v.findings, words))


def _open_rules(v: Verification, words: Words) -> Table:
    """List the rules that do not pass, the worst first, short enough for a first page."""
    found = [one for one in _ranked(v.findings) if one.outcome is not Outcome.PASS]
    rows: list[tuple[Cell, ...]] = [
        (one.outcome, words.rule(one.rule), words.message(one.message), *_limits(one, words))
        for one in found[:_MOST_OPEN]
    ]
    notes = [_beam_note(found, words)]
    if len(found) > _MOST_OPEN:
        notes.append(words("and_more", n=str(len(found) - _MOST_OPEN)))
    columns = "outcome:1.2 rule:1.6 found:5.4 review:1.4 fail:1.3"
    return _table("open", words, columns, rows, " ".join(note for note in notes if note))


def _ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Sort the worst first, what is not judged last."""
    return sorted(findings, key=lambda one: (-one.outcome, not is_judged(one)))


def is_judged(finding: Finding) -> bool:
    """Whether a finding was held against a limit; a number that is only shown passes nothing."""
    return finding.judged or finding.outcome is not Outcome.PASS


def _outcome(one: Finding, words: Words) -> Cell:
    return one.outcome if is_judged(one) else words("not_judged")


def _value(one: Finding, words: Words) -> str:
    if one.value is None:
        return ""
    rate = one.unit == "%" and one.rule.partition(",")[0] == "gamma"
    text = words.rate(one.value) if rate else words.measured(one.value, one.review, one.fail)
    return words.with_unit(text, one.unit)


def _limits(one: Finding, words: Words) -> list[str]:
    """Say beyond what the rule asks for a look and beyond what it fails, and on which side."""
    key = "limit_below" if _is_least(one) else "limit_above"
    return [
        "" if limit is None else words(key, value=words.with_unit(words.short(limit), one.unit))
        for limit in (one.review, one.fail)
    ]


def _is_least(one: Finding) -> bool:
    """Whether a number must be above its limits: then review is asked for before, at more."""
    if one.review is not None and one.fail is not None and one.review != one.fail:
        return one.review > one.fail
    limit = one.fail if one.review is None else one.review
    if limit is None or one.value is None:
        return False
    return (abs(one.value) > limit) == (one.outcome is Outcome.PASS)


def _beam_note(findings: Iterable[Finding], words: Words) -> str:
    """Explain u and v where they are spoken of."""
    return words("note_single_beam") if any(f.rule == "beam fit" for f in findings) else ""


def _goals(v: Verification, words: Words) -> Table:
    rows = (
        (
            goal.outcome,
            goal.structure,
            words.message(goal.goal),
            _with_unit(goal.calculated, goal.unit, words),
            _with_unit(goal.reference, goal.unit, words),
            goal.source,
        )
        for goal in v.goals
    )
    columns = "outcome:1.2 structure:1.5 goal:3 #by_calculated:1.2 #by_reference:1.2 source:3"
    return _table("goals", words, columns, rows)


def _with_unit(value: float | None, unit: str, words: Words) -> str:
    """Return a goal's value; four digits do not make 100 % of what is less."""
    text = words.short(value)
    if value is None:
        return text
    if unit == "%" and value < 100 <= float(f"{value:.4g}"):
        text = words.rate(value)
    return words.with_unit(text, unit)


def _structures(v: Verification, words: Words) -> Table:
    columns = (
        "structure:2 kind:1.2 #volume:1.2 #d98:1.9 #d50:1.9 #d2:1.9 #mean:1.9 #hi:1.7 remark:3"
    )
    rows = (_structure(row, words) for row in v.rows)
    return _table("structures", words, columns, rows, words("note_structures"))


def _structure(row: StructureRow, words: Words) -> tuple[Cell, ...]:
    known = row.calculated or row.reference
    volume = words.number(None if known is None else known.total_cm3, 1)
    both = (row.calculated, row.reference)
    doses = (
        _pair([None if dvh is None else getattr(dvh, name) for dvh in both], words)
        for name in ("near_minimum_gy", "median_gy", "near_maximum_gy", "mean_gy")
    )
    hi = _pair([_homogeneity(dvh) for dvh in both], words) if row.kind == "target" else ""
    kind = words(f"kind_{row.kind}")
    return (row.structure.name, kind, volume, *doses, hi, words.sentence(row.remark))


def _conformity(v: Verification, words: Words) -> Table:
    def pair(row: StructureRow, name: str) -> str:
        both = (row.calculated_fit, row.reference_fit)
        return _pair([None if fit is None else getattr(fit, name) for fit in both], words)

    rows = (
        (
            row.structure.name,
            words.short(
                next(f.prescribed_gy for f in (row.calculated_fit, row.reference_fit) if f)
            ),
            *(pair(row, name) for name in ("isodose_cm3", "rtog", "paddick", "gradient")),
        )
        for row in v.rows
        if row.calculated_fit or row.reference_fit
    )
    columns = "structure:2 #prescribed:1 #isodose:1.5 #rtog:1.5 #paddick:1.5 #gradient:1.5"
    return _table("conformity", words, columns, rows, words("note_conformity"))


def _pair(values: list[float | None], words: Words) -> str:
    return " | ".join(words.number(value) for value in values)


def _homogeneity(dvh: Dvh | None) -> float | None:
    """(D2 - D98) / D50, None where there is no dose."""
    if dvh is None or dvh.median_gy <= 0:
        return None
    return (dvh.near_maximum_gy - dvh.near_minimum_gy) / dvh.median_gy


def _beams(v: Verification, words: Words) -> Table:
    columns = (
        "beam:1.5 machine:2 quality:1 #mu:1 gantry:1.1 collimator:1 couch:.8 #stated:1 "
        "#reference:1 #calculated:1 #by_hand:1 #to_stated:1 remark:2"
    )
    rows = (_beam(beam, words) for beam in v.beams)
    return _table("beams", words, columns, rows, words("note_beams"))


def _beam(beam: BeamRow, words: Words) -> tuple[Cell, ...]:
    doses = (beam.stated_gy, beam.reference_gy, beam.calculated_gy, beam.by_hand_gy)
    angles = (words.sentence(one) for one in (beam.gantry, beam.collimator, beam.couch))
    return (
        f"{beam.number} {beam.name}",
        _machine(beam.machine, words),
        f"{beam.quality} {beam.technique}",
        words.number(beam.mu, 1),
        *angles,
        *(words.number(dose, 3) for dose in doses),
        _percent(beam.calculated_gy, beam.stated_gy, words),
        words.sentence(beam.remark),
    )


def _machine(text: str, words: Words) -> str:
    """Say a machine and its model, once where both have one name."""
    planned, said, model = text.partition(" as ")
    if not said:
        return text
    return model if planned == model else words("model_as", planned=planned, model=model)


def _percent(value: float | None, base: float | None, words: Words) -> str:
    if value is None or base is None or base <= 0:
        return words.number(None)
    return f"{words.number(100 * (value / base - 1), 1, signed=True)} %"


def _points(v: Verification, words: Words) -> Table:
    rows = (
        (
            words.message(one.label),
            ", ".join(words.number(p, 1) for p in one.point),
            words.number(one.reference_gy),
            words.number(one.calculated_gy),
            _percent(one.calculated_gy, one.reference_gy, words),
        )
        for one in v.points
    )
    columns = "point:2.5 position:2 #reference:1 #calculated:1 #difference:1"
    return _table("points", words, columns, rows, words("note_points"))


def _engines(v: Verification, words: Words) -> Table:
    """List the judged engine and the others: largest dose, and doses at the first named points."""
    shown = v.points[:3]
    doses: list[tuple[str, Dose]] = [
        (str(v.calculated.provenance.get("engine", "?")), v.calculated)
    ]
    doses += list(v.others.items())
    if v.reference is not None:
        doses.append((words("name_reference"), v.reference))
    rows = (
        (
            name,
            words(f"dose_to_{dose.dose_to}"),
            words.number(dose.maximum),
            words("parts_apart").join(words.number(known(dose.at(one.point))) for one in shown),
        )
        for name, dose in doses
    )
    note = words(
        "note_engines", points=words("parts_apart").join(words.message(one.label) for one in shown)
    )
    return _table("engines", words, "engine:2 dose_to:1 #maximum:1 #at_points:3", rows, note)
