"""Verify plans, one or a list of them, and validate an engine."""

from __future__ import annotations

import inspect
import numbers
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypedDict, Unpack

from dosecalc.analysis.gamma import GammaResult
from dosecalc.api.doses import Machines, machine_words
from dosecalc.errors import InputError
from dosecalc.messages.findings import Findings, Outcome
from dosecalc.model import Dose, PatientPosition
from dosecalc.model.pictures import fact_table_html
from dosecalc.report.tables import Comparison
from dosecalc.validation.agreement import compare
from dosecalc.validation.cases import CASES, case_for, load_extract
from dosecalc.verification.verification import Verification
from dosecalc.workflow.engines import calculate_dose
from dosecalc.workflow.prepare import prepare
from dosecalc.workflow.progress import SilentStages
from dosecalc.workflow.requests import DoseRequest, VerificationRequest
from dosecalc.workflow.verify import Examination, examined

__all__ = ["PatientChoices", "VerifiedPlan", "validate", "verify"]


class PatientChoices(TypedDict, total=False):
    """Choices that few plans need; each is the option of the same name of ``dosecalc verify``."""

    plan_uid: str
    fraction_group: int
    without_beams: Sequence[int]
    structure_set_uid: str
    ct_series_uid: str
    position: str
    fractions: int
    incomplete: bool
    same_patient: str
    plane_spacing: float
    recorded_densities: bool
    inside: str
    config: Path | str
    dose_to: str
    directions: int
    histories: int
    uncertainty: float
    seed: int
    reference_unit: str
    reference_axes: str


# What a word's value must be: its Python types, and how a message calls them.
_KINDS: tuple[tuple[tuple[type, ...], str, tuple[str, ...]], ...] = (
    ((numbers.Integral,), "a whole number",
     ("fraction_group", "fractions", "directions", "histories", "seed")),
    ((numbers.Real,), "a number", ("grid_mm", "plane_spacing", "uncertainty")),
    ((bool,), "True or False", ("incomplete", "recorded_densities")),
    ((str,), "a text", ("body", "plan_uid", "structure_set_uid", "ct_series_uid", "position",
     "same_patient", "inside", "dose_to", "reference_unit", "reference_axes")),
    ((str, Path), "a path", ("goals", "tolerances", "reference", "config", "hu_curve")),
    ((Mapping,), "a mapping of structure name to density or material", ("overrides",)),
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class VerifiedPlan:
    """A plan beside its independent calculation, judged rule by rule; see `verify`.

    Parameters
    ----------
    examination : Examination
        What was asked for and all that came of it.
    """

    examination: Examination

    @property
    def verification(self) -> Verification:
        """All numbers: beams, points, structures, goals, caveats."""
        return self.examination.verification

    @property
    def outcome(self) -> Outcome:
        """The worst of all findings. PASS means that no rule found anything: a person decides."""
        return self.verification.outcome

    @property
    def findings(self) -> Findings:
        """What each rule found; `findings.failing` are those that fail."""
        return Findings(self.verification.findings)

    @property
    def gamma(self) -> GammaResult | None:
        """Gamma against the planning system's dose; None where there is none."""
        return self.verification.gamma

    @property
    def calculated(self) -> Dose:
        """Calculated dose of the whole plan."""
        return self.verification.calculated

    @property
    def reference(self) -> Dose | None:
        """The planning system's dose of the whole plan, if there is one."""
        return self.verification.reference

    def write_report(
        self, folder: Path | str, *, language: str = "en", force: bool = False
    ) -> Path:
        """Write what ``dosecalc verify`` writes: reports, dose and the record.

        The record can be signed, reproduced and opened like that of the command.

        Parameters
        ----------
        folder : Path or str
            A new folder, or an empty one.
        language : {"en", "fr"}
            Of the PDF, and in which the page opens.
        force : bool
            Replace an earlier output in the folder.

        Returns
        -------
        Path
            The folder, with report.html, report.pdf, verification.json and RTDOSE.dcm.

        Raises
        ------
        InputError
            The folder cannot be written, holds something, or an input has changed since.
        """
        return self.examination.write(Path(folder), language=language, force=force).folder

    def __repr__(self) -> str:
        counts = f"{len(self.findings.failing)} failing, {len(self.findings.to_review)} to review"
        rate = "" if self.gamma is None else f", gamma {self.gamma.pass_rate:.1f} %"
        return f"VerifiedPlan({self.verification.label!r}: {self.outcome.name}{rate}, {counts})"

    def _repr_html_(self) -> str:
        found = sorted(self.findings, key=lambda one: -one.outcome)
        rows = [(f"{one.outcome.name} {one.rule}", one.sentence) for one in found]
        return fact_table_html(f"{self.verification.label}: {self.outcome.name}", rows)


def verify(
    folder: Path | str,
    *,
    machines: Machines,
    hu_curve: str | Path | None = None,
    goals: Path | str | None = None,
    tolerances: Path | str | None = None,
    reference: Path | str | None = None,
    engines: Sequence[str] | str = "collapsed-cone",
    grid_mm: float = 2.5,
    body: str | None = None,
    overrides: Mapping[str, float | str] | None = None,
    couch: Sequence[str] = (),
    bolus: Sequence[str] = (),
    **choices: Unpack[PatientChoices],
) -> VerifiedPlan:
    """Calculate the plan of a patient folder again and judge it against its RTDOSE.

    Parameters
    ----------
    folder : Path or str
        CT, structures, plan and, as a rule, the planning system's dose.
    machines : mapping, str or Path
        As in `calculate`, but names and paths only: the record states the files.
    hu_curve : str or Path
        Name or file of the HU curve; none is assumed.
    goals : Path or str, optional
        TOML file with the goals of targets and organs (docs/verification.md).
    tolerances : Path or str, optional
        TOML file with limits in place of the shipped ones.
    reference : Path or str, optional
        Dose file to compare with; the folder's dose of the plan if left out.
    engines : str or sequence of str
        The first one is judged by every rule, the others are compared beside it.
    grid_mm : float, mm
        Voxels of the dose grid.
    body : str, optional
        Body contour; the one of type EXTERNAL if left out.
    overrides : mapping of structure name to density (g/cm3) or material, optional
    couch, bolus : sequence of str
        Structures outside the body that stay.
    **choices
        See `PatientChoices`.

    Returns
    -------
    VerifiedPlan
        With `outcome`, `gamma`, `findings` and `write_report`.

    Raises
    ------
    DosecalcError
        The folder cannot be read or the plan not be calculated. Messages name the options of
        ``dosecalc verify``, which have the names of the arguments here.

    Examples
    --------
    >>> import dosecalc as dc
    >>> v = dc.verify("patient/", machines={"6X": "generic-6mv"}, hu_curve="generic-120kvp",
    ...               grid_mm=8.0, directions=24)
    >>> v.outcome.name
    'REVIEW'
    >>> [one.rule for one in v.findings.failing]
    []
    >>> v.write_report("0042/", language="fr").name
    '0042'
    """
    _check_kinds(
        {"grid_mm": grid_mm, "body": body, "goals": goals, "tolerances": tolerances,
         "reference": reference, "hu_curve": hu_curve, "overrides": overrides, **choices}
    )  # fmt: skip
    words, models = machine_words(machines)
    if models:
        raise InputError(
            "machines: a verification states the file of each machine in its record; give the "
            "name of a shipped machine or the path of a .json file"
        )
    given = _choices(choices)
    options = VerificationRequest.from_words(
        engines=engines if isinstance(engines, str) else ",".join(engines),
        reference=_path(reference),
        template=_path(goals),
        tolerances=_path(tolerances),
        path=Path(folder),
        machines=words,
        hu_curve=None if hu_curve is None else str(hu_curve),
        grid_mm=grid_mm,
        body=body,
        overrides=tuple(f"{name}={value}" for name, value in (overrides or {}).items()),
        couch=(couch,) if isinstance(couch, str) else tuple(couch),
        bolus=(bolus,) if isinstance(bolus, str) else tuple(bolus),
        **given,
    )
    return VerifiedPlan(examined(options, SilentStages()))


def _check_kinds(words: Mapping[str, Any]) -> None:
    """Refuse a value of the wrong type by its word; None is what was left out."""
    for types, called, names in _KINDS:
        for name in names:
            value = words.get(name)
            # True and False are whole numbers in Python.
            strange = isinstance(value, bool) and bool not in types
            if value is not None and (strange or not isinstance(value, types)):
                raise InputError(f"{name} is {value!r}; {called} is needed")


def _choices(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return choices as a request has them; a word that no choice has is refused."""
    known = (*inspect.signature(verify).parameters, *PatientChoices.__annotations__)
    for word in choices:
        if word not in PatientChoices.__annotations__:
            near = get_close_matches(word, known, n=1)
            hint = f". Did you mean {near[0]!r}?" if near else "."
            allowed = ", ".join(one for one in known if one not in ("folder", "choices"))
            raise InputError(f"verify has no argument {word!r}{hint} There are {allowed}")
    given = dict(choices)
    beams = given.get("without_beams") or ()
    given["without_beams"] = (beams,) if isinstance(beams, int) else tuple(beams)
    for beam in given["without_beams"]:
        if not isinstance(beam, numbers.Integral):
            raise InputError(f"without_beams holds {beam!r}; numbers of beams are needed")
    if given.get("config") is not None:
        given["config"] = Path(given["config"])
    if given.get("position") is not None:
        names = [one.value for one in PatientPosition]
        given["position"] = str(given["position"]).upper()
        if given["position"] not in names:
            raise InputError(
                f"position {choices['position']!r} is not known; there are {', '.join(names)}"
            )
    return given


def _path(name: Path | str | None) -> Path | None:
    return None if name is None else Path(name)


def validate(
    engine: str = "collapsed-cone",
    cases: Sequence[str] | None = None,
    *,
    grid_mm: float | None = None,
    directions: int | None = None,
    uncertainty: float | None = None,
) -> tuple[Comparison, ...]:
    """Calculate reference cases with an engine and compare them with EGSnrc, in absolute dose.

    Parameters
    ----------
    engine : {"collapsed-cone", "pencil-beam", "monte-carlo"}
    cases : sequence of str, optional
        Short names such as "S1"; all if left out.
    grid_mm : float, mm, optional
        Voxels; the recipes' own if left out.
    directions : int, optional
        Of the collapsed cone: cones per sphere.
    uncertainty : float, optional
        Of Monte Carlo: relative standard uncertainty, such as 0.01.

    Returns
    -------
    tuple of Comparison
        Each with `case`, `agreement` (`agreement.within` says whether its tolerance is kept),
        `seconds` and `cautions`.

    Raises
    ------
    InputError
        There is no such engine or case.

    Examples
    --------
    >>> import dosecalc as dc
    >>> [found] = dc.validate("pencil-beam", ["S1"])
    >>> found.agreement.within
    True
    """
    unknown = [name for name in cases or () if name not in CASES]
    if unknown:
        raise InputError(f"no case {', '.join(unknown)}; there are: {', '.join(CASES)}")
    return tuple(
        _compared(short, engine, grid_mm, directions, uncertainty) for short in cases or CASES
    )


def _compared(
    short: str,
    engine: str,
    grid_mm: float | None,
    directions: int | None,
    uncertainty: float | None,
) -> Comparison:
    case = case_for(short, engine)
    options = DoseRequest.from_words(
        path=Path(case.recipe),
        engine=engine,
        grid_mm=grid_mm,
        directions=directions,
        uncertainty=uncertainty,
    )
    prepared = prepare(options, SilentStages())
    start = time.perf_counter()
    dose = calculate_dose(prepared, options.engine, lambda *_: None)
    seconds, extract = time.perf_counter() - start, load_extract(case.name)
    cautions = tuple(dose.provenance.get("cautions", ()))
    return Comparison(case, extract, compare(dose, extract, case.tolerance), seconds, cautions)
