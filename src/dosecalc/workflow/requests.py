"""What a user asks for, checked word by word: a dose, or a verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

from dosecalc.errors import InputError
from dosecalc.patient.overrides import Override
from dosecalc.patient.recipe import list_recipes
from dosecalc.workflow.reference import Reading
from dosecalc.workflow.request_parts import (
    OF_ENGINE,
    EngineRequest,
    FolderRequest,
    OutputRequest,
    PhantomRequest,
    read_overrides,
)

__all__ = ["DoseRequest", "VerificationRequest", "is_recipe"]

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

_FILES = ("reference", "template", "tolerances")
# How a .3ddose reference is read; records of earlier versions lack it.
_READING = ("reference_unit", "reference_axes")


_PARTS = {
    "folder": FolderRequest,
    "phantom": PhantomRequest,
    "engine": EngineRequest,
    "output": OutputRequest,
}
_NAMES = {part: tuple(one.name for one in fields(kind)) for part, kind in _PARTS.items()}

# Entries of a record, in their order: where it is written changes nothing of the dose.
_RECORDED = (
    *("path", "engine", "grid_mm", "machines", "hu_curve", "config", "body", "overrides"),
    *("recorded_densities", "couch", "bolus", "plane_spacing", "inside", "directions"),
    *("histories", "uncertainty", "seed", "dose_to", "plan_uid", "fraction_group"),
    *("without_beams", "structure_set_uid", "ct_series_uid", "position", "fractions"),
    *("incomplete", "per_fraction", "same_patient", "accept_missing_beams", *_OF_SCRIPTS),
)


@dataclass(frozen=True)
class DoseRequest:
    """A dose that is asked for.

    Parameters
    ----------
    path : Path
        Patient folder or recipe.
    machines : tuple of str
        As typed, because what they match depends on the plan; see `workflow.machines`.
    folder : FolderRequest
    phantom : PhantomRequest
    engine : EngineRequest
    output : OutputRequest
    per_fraction : bool
        Of one fraction instead of the whole plan.
    accept_missing_beams : bool
        Calculate although a beam does not meet the patient.
    """

    path: Path
    machines: tuple[str, ...] = ()
    folder: FolderRequest = field(default_factory=FolderRequest)
    phantom: PhantomRequest = field(default_factory=PhantomRequest)
    engine: EngineRequest = field(default_factory=EngineRequest)
    output: OutputRequest = field(default_factory=OutputRequest)
    per_fraction: bool = False
    accept_missing_beams: bool = False

    @classmethod
    def from_words(
        cls,
        path: Path,
        *,
        overrides: Sequence[str] | Mapping[str, Override] = (),
        engine: str = "collapsed-cone",
        **words: Any,
    ) -> DoseRequest:
        """Make the request from words as they are typed, each by the name of its part's field.

        Raises
        ------
        InputError
            An option has no meaning, or contradicts another.
        """
        words |= {"overrides": read_overrides(overrides), "name": engine}
        parts = {}
        for part, kind in _PARTS.items():
            own = {name: words.pop(name) for name in _NAMES[part] if name in words}
            parts[part] = kind(**own)
        return cls(path, **parts, **words)

    def _flat(self) -> dict[str, Any]:
        """Return every word by its name."""
        found: dict[str, Any] = {"path": self.path, "machines": self.machines}
        for part, names in _NAMES.items():
            found |= {name: getattr(getattr(self, part), name) for name in names}
        found["engine"] = found.pop("name")
        own = ("per_fraction", "accept_missing_beams")
        return found | {name: getattr(self, name) for name in own}

    def to_record(self) -> dict[str, Any]:
        """Return what decides the dose as plain JSON values; where it is written does not."""
        values, given = {}, self._flat()
        for name in _RECORDED:
            value = given[name]
            if name in _OF_SCRIPTS and not value:
                continue
            values[name] = list(value) if isinstance(value, tuple) else value
        config, overrides = self.phantom.config, self.phantom.overrides
        paths = {"path": str(self.path), "config": None if not config else str(config)}
        return values | paths | {"overrides": {n: o._asdict() for n, o in overrides.items()}}

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> DoseRequest:
        """Make the request from what `to_record` returned.

        Raises
        ------
        InputError
            The record says what this version does not know, or not what it needs.
        """
        odd_ones = set(values) ^ set(_RECORDED)
        if odd_ones - (_ADDED - set(values)):
            odd = ", ".join(sorted(odd_ones - (_ADDED - set(values))))
            raise InputError(f"the record's options and those of this version differ in {odd}")
        words: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in values.items()
        }
        words["overrides"] = {n: Override(**v) for n, v in values["overrides"].items()}
        words["path"] = Path(values["path"])
        words["config"] = None if values["config"] is None else Path(values["config"])
        return cls.from_words(**words)

    def refuse_patient_options(self) -> None:
        """Refuse options that a recipe cannot follow, so that none is ignored in silence."""
        words = self._flat()
        given = [word for name, word in _FOR_PATIENTS.items() if words[name]]
        if given:
            raise InputError(
                f"{', '.join(given)}: only for patient folders; {self.path} is a recipe, which "
                "states machine and materials itself"
            )


@dataclass(frozen=True)
class VerificationRequest:
    """The options of ``dosecalc verify``; `calcs` holds what each engine is asked to do.

    `on` is the day on which machine models and HU curves must be valid.
    """

    calcs: tuple[DoseRequest, ...]
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
    ) -> VerificationRequest:
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
            calcs.append(DoseRequest.from_words(engine=name, **own))
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
    def from_record(cls, values: Mapping[str, Any]) -> VerificationRequest:
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
            tuple(DoseRequest.from_record(one) for one in values["calcs"]),
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
