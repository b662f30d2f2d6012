"""What a user asks for, checked word by word: a dose, or a verification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

from dosecalc.errors import InputError
from dosecalc.patient.overrides import Override
from dosecalc.patient.recipe import list_recipes
from dosecalc.workflow.doses import check_plane_spacing
from dosecalc.workflow.reference import Reading

__all__ = ["ENGINES", "OF_ENGINE", "CalcOptions", "VerifyOptions", "is_recipe", "parse_override"]

ENGINES = ("pencil-beam", "collapsed-cone", "monte-carlo")

# Options that mean nothing for the other engine.
OF_ENGINE = {
    "collapsed-cone": ("directions",),
    "monte-carlo": ("histories", "uncertainty", "seed"),
}

# Options that mean nothing for a recipe, which states all of this itself.
_FOR_PATIENTS = {
    "machines": "--machine",
    "hu_curve": "--hu-curve",
    "config": "--config",
    "body": "--body",
    "overrides": "--override",
    "recorded_densities": "--recorded-densities",
    "couch": "--couch",
    "bolus": "--bolus",
    "plane_spacing": "--plane-spacing",
    "inside": "--inside",
    "plan_uid": "--plan",
    "fraction_group": "--fraction-group",
    "without_beams": "--without-beam",
    "structure_set_uid": "--structures",
    "ct_series_uid": "--series",
    "position": "--position",
    "fractions": "--fractions",
    "incomplete": "--incomplete",
    "same_patient": "--same-patient",
}

# Options that records of earlier versions lack: those did what their defaults do.
_ADDED = {
    *("fraction_group", "without_beams", "structure_set_uid", "ct_series_uid"),
    *("position", "fractions", "same_patient", "accept_missing_beams"),
    "plane_spacing",
    *("beams_apart", "settings"),
}

# What only scripts ask for: a record names it where they did.
_OF_SCRIPTS = ("beams_apart", "settings")

# Where and whether to write, which changes nothing of the dose.
_NOT_RECORDED = {"out", "force"}

_FILES = ("reference", "template", "tolerances")
# How a .3ddose reference is read; records of earlier versions lack it.
_READING = ("reference_unit", "reference_axes")


@dataclass(frozen=True)
class CalcOptions:
    """The options of ``dosecalc calc``; see its help for what each means.

    `overrides` are parsed; `machines` are kept as typed, because what they match
    depends on the plan. Scripts have two more: `beams_apart` calculates every beam for itself and
    adds the doses; `settings` are further settings of the engine, by their names.
    """

    path: Path
    out: Path | None = None
    force: bool = False
    engine: str = "collapsed-cone"
    grid_mm: float | None = None
    machines: tuple[str, ...] = ()
    hu_curve: str | None = None
    config: Path | None = None
    body: str | None = None
    overrides: Mapping[str, Override] = field(default_factory=dict)
    recorded_densities: bool = False
    couch: tuple[str, ...] = ()
    bolus: tuple[str, ...] = ()
    plane_spacing: float | None = None
    inside: str | None = None
    directions: int | None = None
    histories: int | None = None
    uncertainty: float | None = None
    seed: int | None = None
    dose_to: str = "medium"
    plan_uid: str | None = None
    fraction_group: int | None = None
    without_beams: tuple[int, ...] = ()
    structure_set_uid: str | None = None
    ct_series_uid: str | None = None
    position: str | None = None
    fractions: int | None = None
    incomplete: bool = False
    per_fraction: bool = False
    same_patient: str | None = None
    accept_missing_beams: bool = False
    beams_apart: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise InputError(f"no engine is named {self.engine!r}; there are: {', '.join(ENGINES)}")
        for engine, words in OF_ENGINE.items():
            given = [f"--{word}" for word in words if getattr(self, word) is not None]
            if given and engine != self.engine:
                raise InputError(f"{', '.join(given)}: only for --engine {engine}")
        if self.histories is not None and self.uncertainty is not None:
            raise InputError("give --histories or --uncertainty, not both")
        if self.grid_mm is not None and not 0.1 <= self.grid_mm <= 50:
            raise InputError(f"--grid {self.grid_mm:g} mm: choose a voxel size from 0.1 to 50 mm")
        if self.plane_spacing is not None:
            check_plane_spacing(self.plane_spacing)
        if self.hu_curve is not None and self.config is not None:
            raise InputError("give --hu-curve or --config, not both")
        if self.inside is not None and (self.hu_curve is not None or self.config is not None):
            raise InputError("--inside leaves the CT out; a HU curve has nothing to convert")
        if self.inside is not None and (self.couch or self.bolus):
            raise InputError(
                "--inside fills the body alone, without --couch and --bolus; leave these out, or "
                "calculate on the CT"
            )
        if self.fractions is not None and self.fractions < 1:
            raise InputError(f"--fractions {self.fractions}: at least 1 is needed")
        if self.without_beams and len(set(self.without_beams)) < len(self.without_beams):
            raise InputError("--without-beam names a beam twice; give it once")

    @classmethod
    def from_words(cls, *, overrides: tuple[str, ...] = (), **words: Any) -> CalcOptions:
        """Make the options from words as they were typed.

        Raises
        ------
        InputError
            An option has no meaning, or contradicts another.
        """
        parsed: dict[str, Override] = {}
        for text in overrides:
            name, value = parse_override(text)
            if name in parsed:
                raise InputError(f"--override names {name!r} twice; give it once")
            parsed[name] = value
        return cls(overrides=parsed, **words)

    @property
    def named_structures(self) -> tuple[str, ...]:
        """Names of the structures that are body, couch, bolus or have an override."""
        body = () if self.body in (None, "none") else (self.body,)
        return tuple(str(n) for n in (*body, *self.couch, *self.bolus, *self.overrides))

    def to_record(self) -> dict[str, Any]:
        """Return what decides the dose as plain JSON values; where it is written does not."""
        values: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _OF_SCRIPTS and not value:
                continue
            if one.name not in _NOT_RECORDED:
                values[one.name] = list(value) if isinstance(value, tuple) else value
        paths = {"path": str(self.path), "config": None if not self.config else str(self.config)}
        return values | paths | {"overrides": {n: o._asdict() for n, o in self.overrides.items()}}

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> CalcOptions:
        """Make the options from what `to_record` returned.

        Raises
        ------
        InputError
            The record says what this version does not know, or not what it needs.
        """
        known = {one.name for one in fields(cls)} - _NOT_RECORDED
        odd_ones = set(values) ^ known
        if odd_ones - (_ADDED - set(values)):
            odd = ", ".join(sorted(odd_ones - (_ADDED - set(values))))
            raise InputError(f"the record's options and those of this version differ in {odd}")
        words: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in values.items()
        }
        words["overrides"] = {n: Override(**v) for n, v in values["overrides"].items()}
        words["path"] = Path(values["path"])
        words["config"] = None if values["config"] is None else Path(values["config"])
        return cls(**words)

    def refuse_patient_options(self) -> None:
        """Refuse options that a recipe cannot follow, so that none is ignored in silence."""
        given = [word for name, word in _FOR_PATIENTS.items() if getattr(self, name)]
        if given:
            raise InputError(
                f"{', '.join(given)}: only for patient folders; {self.path} is a recipe, which "
                "states machine and materials itself"
            )


@dataclass(frozen=True)
class VerifyOptions:
    """The options of ``dosecalc verify``; `calcs` holds what each engine is asked to do.

    `on` is the day on which machine models and HU curves must be valid.
    """

    calcs: tuple[CalcOptions, ...]
    reference: Path | None = None
    template: Path | None = None
    tolerances: Path | None = None
    reference_unit: str | None = None
    reference_axes: str = Reading().axes
    on: date = field(default_factory=date.today)
    language: str = "en"

    @classmethod
    def from_words(
        cls,
        *,
        engines: str = "collapsed-cone",
        reference: Path | None = None,
        template: Path | None = None,
        tolerances: Path | None = None,
        reference_unit: str | None = None,
        reference_axes: str = Reading().axes,
        language: str = "en",
        **words: Any,
    ) -> VerifyOptions:
        """Make the options from words as they were typed.

        Raises
        ------
        InputError
            An option has no meaning for any of the engines, or contradicts another.
        """
        if is_recipe(Path(words["path"])):
            raise InputError(f"{words['path']} is a recipe: only a patient's plan is verified")
        names = tuple(dict.fromkeys(name.strip() for name in engines.split(",")))
        special = {word for known in OF_ENGINE.values() for word in known}
        wanted = {word for name in names for word in OF_ENGINE.get(name, ())}
        useless = [w for w in sorted(special - wanted) if words.get(w) is not None]
        if useless:
            raise InputError(f"--{useless[0]}: none of the engines {', '.join(names)} has it")
        calcs = []
        for name in names:
            foreign = special - set(OF_ENGINE.get(name, ()))
            own = {key: value for key, value in words.items() if key not in foreign}
            calcs.append(CalcOptions.from_words(engine=name, **own))
        reading = (reference_unit, reference_axes)
        return cls(tuple(calcs), reference, template, tolerances, *reading, language=language)

    @property
    def reading(self) -> Reading:
        """How numbers and axes of a .3ddose reference are taken."""
        return Reading(self.reference_unit, self.reference_axes)

    def to_record(self) -> dict[str, Any]:
        """Return what decides dose and verdict as plain JSON values."""
        files = {name: getattr(self, name) for name in _FILES}
        return {
            "calcs": [one.to_record() for one in self.calcs],
            **{name: None if path is None else str(path) for name, path in files.items()},
            **{name: getattr(self, name) for name in _READING},
            "on": self.on.isoformat(),
        }

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> VerifyOptions:
        """Make the options from what `to_record` returned.

        Raises
        ------
        InputError
            The record says what this version does not know, or not what it needs.
        """
        known = {"calcs", "on", *_FILES}
        if set(values) - set(_READING) != known:
            odd = ", ".join(sorted((set(values) - set(_READING)) ^ known))
            raise InputError(f"the record's options and those of this version differ in {odd}")
        reference, template, tolerances = (
            None if values[name] is None else Path(values[name]) for name in _FILES
        )
        return cls(
            tuple(CalcOptions.from_record(one) for one in values["calcs"]),
            reference,
            template,
            tolerances,
            reference_unit=values.get("reference_unit"),
            reference_axes=values.get("reference_axes", Reading().axes),
            on=date.fromisoformat(values["on"]),
        )


def is_recipe(path: Path) -> bool:
    """Whether a path means a recipe: a .toml file, or a shipped one's name that is no folder."""
    return path.suffix == ".toml" or (not path.exists() and str(path) in list_recipes())


def parse_override(text: str) -> tuple[str, Override]:
    """Read ``ROI=DENSITY``, ``ROI=MATERIAL`` or ``ROI=DENSITY:MATERIAL``.

    Raises
    ------
    InputError
        The text has another form.
    """
    name, equals, value = text.rpartition("=")
    first, colon, material = value.partition(":")
    if not (name and equals and value) or (colon and not material):
        raise InputError(
            f"--override {text!r}: write ROI=DENSITY, ROI=MATERIAL or ROI=DENSITY:MATERIAL, "
            "density in g/cm3"
        )
    try:
        return name, Override(float(first), material or None)
    except ValueError:
        if colon:
            raise InputError(f"--override {text!r}: {first!r} is no density in g/cm3") from None
        return name, Override(None, value)
