"""The facts of a report's first page: plan, prescription, machine, engine, reference, date."""

from __future__ import annotations

from dataclasses import dataclass

from dosecalc.model import Dose, Plan
from dosecalc.report.page import origin
from dosecalc.report.page.words import Words
from dosecalc.verification.verification import Verification

__all__ = ["Fact", "all_facts", "identity"]


@dataclass(frozen=True)
class Fact:
    """A topic, and what is to say of it, line by line."""

    key: str
    topic: str
    lines: tuple[str, ...]


def all_facts(v: Verification, words: Words) -> tuple[Fact, ...]:
    """Return the facts, in the order in which they are read."""
    return tuple(
        Fact(key, words(f"fact_{key}"), tuple(line for line in lines if line))
        for key, lines in (
            ("plan", _plan_lines(v, words)),
            ("prescription", (words.sentence(v.prescription),)),
            ("units", _unit_lines(v, words)),
            ("machine", _machine_lines(v, words)),
            ("engine", (_engine_line(v.calculated, words),)),
            ("calculated", (_when(v, words), _file_line(origin.dose_file(v), words))),
            ("reference", _reference_lines(v, words)),
            ("dose_to", _dose_to_lines(v, words)),
        )
    )


def identity(v: Verification, words: Words) -> tuple[str, ...]:
    """Whose plan it is, which one, and when it was calculated: what a printed page must say."""
    name, number = origin.patient(v)
    # DICOM parts family and given names by carets.
    family, _, given = name.partition("^")
    given = " ".join(given.split("^")).strip()
    name = f"{family}, {given}" if given else family
    known = (("patient_name", name), ("patient_id", number), ("plan_label", v.plan.label))
    parts = [f"{words(key)} {value}" for key, value in known if value]
    when = origin.calculated_on(v)
    said = words("no_date") if when is None else words("calculated_at", when=_when(v, words))
    return (*parts, said)


def _when(v: Verification, words: Words) -> str:
    return origin.written_date(origin.calculated_on(v), words)


def _file_line(file: origin.File, words: Words) -> str:
    return words("file_line", name=file.name, sha256=file.sha256) if file.sha256 else file.name


def _plan_lines(v: Verification, words: Words) -> tuple[str, ...]:
    plan: Plan = v.plan
    known = (("plan_label", plan.label), ("position", plan.position.value),
             ("approval", plan.approval))  # fmt: skip
    first = ", ".join(f"{words(key)} {value}" for key, value in known if value)
    uid = f"UID {plan.uid}" if plan.uid else ""
    return first, uid, _file_line(origin.plan_file(v), words)


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
        if plan.target_prescriptions:
            total = v.prescribed_gy
            lines.append(
                words("dose_line", n=str(n), gray=words.short(total / n), total=words.short(total))
            )
    closing = [words.message(f.message) for f in v.findings if f.rule == "prescription"]
    return (*lines, *closing)


def _machine_lines(v: Verification, words: Words) -> tuple[str, ...]:
    """Each model once, with its hash and the beams it was used for."""
    planned = ", ".join(dict.fromkeys(beam.machine_name for beam in v.plan.beams))
    lines = [words("planned_machine", name=planned)] if planned else []
    for (name, digest), beams in origin.machine_models(v).items():
        lines.append(words("model_line", name=name, beams=", ".join(beams)))
        lines.append(f"SHA-256 {digest}" if digest else words("no_hash"))
    return tuple(lines) or (words("no_model"),)


def _engine_line(dose: Dose, words: Words) -> str:
    about = dose.provenance
    parts = [str(about.get("engine", "?")), str(about.get("program", "")), _spacing(dose, words)]
    if about.get("histories"):
        parts.append(words("histories", n=str(about["histories"])))
    return ", ".join(part for part in parts if part)


def _spacing(dose: Dose, words: Words) -> str:
    return " \u00d7 ".join(words.short(s) for s in dose.grid.spacing) + " mm"


def _reference_lines(v: Verification, words: Words) -> tuple[str, ...]:
    """Say which file was compared, who made it, and its grid."""
    if v.reference is None:
        return (words("no_reference"),)
    maker = origin.reference_maker(v) or words("nobody")
    grid = words("reference_line", spacing=_spacing(v.reference, words).removesuffix(" mm"))
    return _file_line(origin.reference_file(v), words), f"{maker}, {grid}"


def _dose_to_lines(v: Verification, words: Words) -> tuple[str, ...]:
    calculated = words(f"dose_to_{v.calculated.dose_to}")
    if v.reference is None:
        return (words("dose_to_one", calculated=calculated),)
    reference = words(f"dose_to_{v.reference.dose_to}")
    line = words("dose_to_both", calculated=calculated, reference=reference)
    same = v.reference.dose_to == v.calculated.dose_to
    return line, "" if same else words("dose_to_differ")
