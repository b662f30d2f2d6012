"""What a report says, in words: verdict, facts, tables and lists, for the page and for print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dosecalc import __version__
from dosecalc.model import Dose, Plan
from dosecalc.report.page.tables import Table, all_tables
from dosecalc.report.page.words import Words
from dosecalc.verify.outcome import Outcome
from dosecalc.verify.verification import Largest, Verification

__all__ = ["Contents", "Fact", "Listing", "contents_of"]


@dataclass(frozen=True)
class Fact:
    """A topic, and what is to say of it, line by line."""

    key: str
    topic: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """A list under a title; `note` says what it means, also where the list is empty."""

    key: str
    title: str
    note: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Contents:
    """All that a report says in words, in one language."""

    title: str
    outcome: Outcome
    verdict: str
    meaning: str
    signing: str
    counts: str
    largest: tuple[str, ...]
    facts: tuple[Fact, ...]
    tables: Mapping[str, Table]
    lists: Mapping[str, Listing]
    footer: str


def contents_of(verification: Verification, words: Words) -> Contents:
    """Put a verification into words."""
    v, outcome = verification, verification.outcome
    counts = Counter(finding.outcome for finding in v.findings)
    parts = [
        f"{counts[one]} {words(f'count_{one.name.lower()}')}"
        for one in sorted(Outcome, reverse=True)
        if counts[one]
    ]
    return Contents(
        title=v.label,
        outcome=outcome,
        verdict=words(f"verdict_{outcome.name.lower()}"),
        meaning=words(f"meaning_{outcome.name.lower()}"),
        signing=words("signing"),
        counts=f"{words('rules_asked')} {', '.join(parts) or '0'}",
        largest=_largest(v, words),
        facts=_facts(v, words),
        tables={table.key: table for table in all_tables(v, words)},
        lists={one.key: one for one in _lists(v, words)},
        footer=words("footer", version=__version__),
    )


def _largest(v: Verification, words: Words) -> tuple[str, ...]:
    if v.largest is None:
        return (words("nothing_compared"),)
    lines = [_largest_line(v.largest, words)]
    if v.gamma is not None and v.gamma.points > v.gamma.outside:
        gamma = v.gamma
        lines.append(
            words(
                "gamma_line",
                percent=words.number(gamma.pass_percent, 1),
                points=str(gamma.points),
                criteria=words.sentence(gamma.criteria.label),
                largest=words.number(gamma.largest, 2),
                at=position(gamma.worst_position, words),
            )
        )
    return tuple(lines)


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


def _facts(v: Verification, words: Words) -> tuple[Fact, ...]:
    return tuple(
        Fact(key, words(f"fact_{key}"), tuple(line for line in lines if line))
        for key, lines in (
            ("plan", _plan_lines(v.plan, words)),
            ("prescription", (words.sentence(v.prescription),)),
            ("units", _unit_lines(v, words)),
            ("machine", _machine_lines(v, words)),
            ("engine", (_engine_line(v.calculated, words),)),
            ("reference", (_reference_line(v, words),)),
            ("dose_to", _dose_to_lines(v, words)),
        )
    )


def _plan_lines(plan: Plan, words: Words) -> tuple[str, ...]:
    known = (("plan_label", plan.label), ("patient_id", plan.patient_id),
             ("position", plan.position.value), ("approval", plan.approval))  # fmt: skip
    first = ", ".join(f"{words(key)} {value}" for key, value in known if value)
    return first, f"UID {plan.uid}" if plan.uid else ""


def _unit_lines(v: Verification, words: Words) -> tuple[str, ...]:
    """MU x fractions, dose per fraction x fractions, and what the calculation makes of them."""
    plan, lines = v.plan, []
    mu = sum(beam.mu for beam in plan.beams)
    if plan.fractions is None:
        lines.append(words("mu_only", mu=words.number(mu, 1)))
    else:
        n = plan.fractions
        numbers = {"n": str(n), "mu": words.number(mu, 1), "total": words.number(mu * n, 1)}
        lines.append(words("mu_line", **numbers))
        if any(p.dose_gy > 0 and p.kind != "ORGAN_AT_RISK" for p in plan.prescriptions):
            total = v.prescribed_gy
            lines.append(
                words("dose_line", n=str(n), gray=words.short(total / n), total=words.short(total))
            )
    closing = [words.sentence(f.sentence) for f in v.findings if f.rule == "prescription"]
    return (*lines, *closing)


def _machine_lines(v: Verification, words: Words) -> tuple[str, ...]:
    """Each model once, with its hash and the beams it was used for."""
    used: dict[tuple[str, str], list[str]] = {}
    models: Mapping[str, Any] = v.calculated.provenance.get("machines", {})
    for number, about in models.items():
        key = (str(about.get("name", "?")), str(about.get("machine_sha256", "")))
        used.setdefault(key, []).append(str(number))
    planned = ", ".join(dict.fromkeys(beam.machine_name for beam in v.plan.beams))
    lines = [words("planned_machine", name=planned)] if planned else []
    for (name, digest), beams in used.items():
        lines.append(words("model_line", name=name, beams=", ".join(beams)))
        lines.append(f"SHA-256 {digest}" if digest else words("no_hash"))
    return tuple(lines) or (words("no_model"),)


def _engine_line(dose: Dose, words: Words) -> str:
    about = dose.provenance
    spacing = " \u00d7 ".join(words.short(s) for s in dose.grid.spacing)
    parts = [str(about.get("engine", "?")), str(about.get("program", "")), f"{spacing} mm"]
    if about.get("histories"):
        parts.append(words("histories", n=str(about["histories"])))
    return ", ".join(part for part in parts if part)


def _reference_line(v: Verification, words: Words) -> str:
    if v.reference is None:
        return words("no_reference")
    spacing = " \u00d7 ".join(words.short(s) for s in v.reference.grid.spacing)
    return words("reference_line", spacing=spacing)


def _dose_to_lines(v: Verification, words: Words) -> tuple[str, ...]:
    calculated = words(f"dose_to_{v.calculated.dose_to}")
    if v.reference is None:
        return (words("dose_to_one", calculated=calculated),)
    reference = words(f"dose_to_{v.reference.dose_to}")
    line = words("dose_to_both", calculated=calculated, reference=reference)
    same = v.reference.dose_to == v.calculated.dose_to
    return line, "" if same else words("dose_to_differ")


def _lists(v: Verification, words: Words) -> tuple[Listing, ...]:
    said = [*v.caveats, *(() if v.gamma is None else v.gamma.notes)]
    said += [str(note) for note in v.calculated.provenance.get("notes", ())]
    lists = (
        ("not_checked", v.not_checked),
        ("shared", v.shared_inputs),
        ("caveats", tuple(dict.fromkeys(said))),
    )
    return tuple(
        Listing(
            key, words(f"list_{key}"), words(f"note_{key}"), tuple(words.sentence(x) for x in lines)
        )
        for key, lines in lists
    )
