"""The parts of a request: what is read, of what the phantom is made, which engine, where to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dosecalc.errors import InputError
from dosecalc.patient.overrides import Override
from dosecalc.workflow.doses import check_plane_spacing

__all__ = [
    "ENGINES",
    "OF_ENGINE",
    "EngineRequest",
    "FolderRequest",
    "OutputRequest",
    "PhantomRequest",
    "parse_override",
    "read_overrides",
]

ENGINES = ("pencil-beam", "collapsed-cone", "monte-carlo")

# Options that mean nothing for the other engine.
OF_ENGINE = {
    "collapsed-cone": ("directions",),
    "monte-carlo": ("histories", "uncertainty", "seed"),
}


@dataclass(frozen=True)
class FolderRequest:
    """What is taken from a patient folder that holds several of something, or does not say it.

    Parameters
    ----------
    plan_uid, structure_set_uid, ct_series_uid : str or None
    fraction_group : int or None
    without_beams : tuple of int
        Numbers of the beams that are left out.
    position : str or None
        How the patient lies, such as "HFS".
    fractions : int or None
        How many there are, for a plan that does not say.
    plane_spacing : float or None, mm
        Distance of the slices that structures were drawn on; that of the CT if None.
    incomplete : bool
        Accept a plan without structures or without CT.
    same_patient : str or None
        Why the files are of one person.
    """

    plan_uid: str | None = None
    fraction_group: int | None = None
    without_beams: tuple[int, ...] = ()
    structure_set_uid: str | None = None
    ct_series_uid: str | None = None
    position: str | None = None
    fractions: int | None = None
    plane_spacing: float | None = None
    incomplete: bool = False
    same_patient: str | None = None

    def __post_init__(self) -> None:
        if self.plane_spacing is not None:
            check_plane_spacing(self.plane_spacing)
        if self.fractions is not None and self.fractions < 1:
            raise InputError(f"--fractions {self.fractions}: at least 1 is needed")
        if self.without_beams and len(set(self.without_beams)) < len(self.without_beams):
            raise InputError("--without-beam names a beam twice; give it once")


@dataclass(frozen=True)
class PhantomRequest:
    """Of what the phantom is made, and on which grid.

    Parameters
    ----------
    grid_mm : float or None
        Voxels of the dose grid.
    hu_curve : str or None
        Name or file of the HU curve.
    config : Path or None
        File that maps scanner and kVp to a curve, instead of one.
    body : str or None
        Body contour; the one EXTERNAL structure if None, all of the CT if "none".
    overrides : mapping of structure name to Override
    recorded_densities : bool
        Whether densities count that the planning system stored with the structures.
    couch, bolus : tuple of str
        Structures that are kept outside of the body.
    inside : str or None
        Material that fills the body in place of the CT.
    """

    grid_mm: float | None = None
    hu_curve: str | None = None
    config: Path | None = None
    body: str | None = None
    overrides: Mapping[str, Override] = field(default_factory=dict)
    recorded_densities: bool = False
    couch: tuple[str, ...] = ()
    bolus: tuple[str, ...] = ()
    inside: str | None = None

    def __post_init__(self) -> None:
        if self.grid_mm is not None and not 0.1 <= self.grid_mm <= 50:
            raise InputError(f"--grid {self.grid_mm:g} mm: choose a voxel size from 0.1 to 50 mm")
        if self.hu_curve is not None and self.config is not None:
            raise InputError("give --hu-curve or --config, not both")
        if self.inside is not None and (self.hu_curve is not None or self.config is not None):
            raise InputError("--inside leaves the CT out; a HU curve has nothing to convert")
        if self.inside is not None and (self.couch or self.bolus):
            raise InputError(
                "--inside fills the body alone, without --couch and --bolus; leave these out, or "
                "calculate on the CT"
            )

    @property
    def named_structures(self) -> tuple[str, ...]:
        """Names of the structures that are body, couch, bolus or have an override."""
        body = () if self.body in (None, "none") else (self.body,)
        return tuple(str(n) for n in (*body, *self.couch, *self.bolus, *self.overrides))


@dataclass(frozen=True)
class EngineRequest:
    """Which engine calculates, and what it is told; None leaves a setting at its default.

    Parameters
    ----------
    name : {"pencil-beam", "collapsed-cone", "monte-carlo"}
    directions : int or None
        Of the collapsed cone.
    histories, uncertainty, seed : int or float or None
        Of Monte Carlo.
    dose_to : {"medium", "water"}
    beams_apart : bool
        Calculate every beam for itself and add the doses, as scripts do.
    settings : mapping
        Further settings of the engine, by their names.
    """

    name: str = "collapsed-cone"
    directions: int | None = None
    histories: int | None = None
    uncertainty: float | None = None
    seed: int | None = None
    dose_to: str = "medium"
    beams_apart: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise InputError(f"no engine is named {self.name!r}; there are: {', '.join(ENGINES)}")
        for engine, words in OF_ENGINE.items():
            given = [f"--{word}" for word in words if getattr(self, word) is not None]
            if given and engine != self.name:
                raise InputError(f"{', '.join(given)}: only for --engine {engine}")
        if self.histories is not None and self.uncertainty is not None:
            raise InputError("give --histories or --uncertainty, not both")


@dataclass(frozen=True)
class OutputRequest:
    """Where results go, and whether they replace an earlier output there."""

    out: Path | None = None
    force: bool = False


def read_overrides(given: Sequence[str] | Mapping[str, Override]) -> Mapping[str, Override]:
    """Read overrides as they were typed; those that were read already stay."""
    if isinstance(given, Mapping):
        return dict(given)
    parsed: dict[str, Override] = {}
    for text in given:
        name, value = parse_override(text)
        if name in parsed:
            raise InputError(f"--override names {name!r} twice; give it once")
        parsed[name] = value
    return parsed


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
