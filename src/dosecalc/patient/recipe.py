"""Cases written as TOML: a phantom of simple solids, and what shines on it.

All lengths are in mm in the patient frame (LPS), densities in g/cm3, angles in
degrees after IEC 61217. For a patient lying on the back, head first (the default
position), a beam at gantry 0 runs along +y, and at collimator 0 the x axis of the
field is +x and its y axis is +z. So depth in a slab phantom is y.

::

    name = "two-layers"
    description = "what it is for"
    position = "HFS"                    # may be left out

    [grid]
    spacing = 2.5                       # or [sx, sy, sz]
    lower = [-150, 0, -150]             # outer corner; or origin, the first voxel's centre
    upper = [150, 300, 150]             # outer corner; or voxels = [nx, ny, nz]

    [background]
    material = "water"                  # density may be given; else the nominal one

    [[solid]]                           # later solids take the place of earlier ones
    kind = "slab"                       # slab, box, cylinder, sphere or half_space
    material = "lung"
    density = 0.26
    axis = "y"                          # or a vector
    from = 40
    to = 120

    [source]                            # either a bare point source ...
    kind = "point"
    spectrum = "mohan6"                 # or energy_mev = 1.25
    ssd = 1000                          # from the source to the isocentre
    field = [-50, 50, -50, 50]          # x1, x2, y1, y2 in the isocentre plane
    gantry_deg = 0                      # collimator_deg, couch_deg, isocentre likewise

    [machine]                           # ... or a machine
    name = "generic-6mv"
    fractions = 1

    [[beam]]
    mu = 100
    isocentre = [0, 100, 0]
    jaws_x = [-50, 50]
    jaws_y = [-50, 50]
    gantry_deg = 0                      # name, collimator_deg, couch_deg, leaves likewise

With a point source, doses are per unit photon fluence in air at the isocentre,
which is [0, 0, 0] unless stated and usually lies on the surface.

Keys of the solids: box has lower and upper, or centre and size, and may have
rotation_axis and rotation_deg (right-hand rule, about its centre); cylinder has
centre, axis, radius and, unless endless, length; sphere has centre and radius;
half_space has a point on its face and the direction of its inside.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dosecalc.data import toml_tables as toml
from dosecalc.data.machines import load_machine, point_source_machine
from dosecalc.data.spectra import load_spectrum, monoenergetic
from dosecalc.errors import InputError
from dosecalc.model import Beam, Grid, Machine, PatientPosition, Phantom, Plan
from dosecalc.patient._recipe_solids import read_filling, read_grid, read_solid
from dosecalc.patient.solids import Filling, Solid, fill_solids

__all__ = [
    "Aim",
    "MachineBeam",
    "MachineSource",
    "PointSource",
    "Recipe",
    "build_case",
    "list_recipes",
    "load_recipe",
]

_ORIGIN = (0.0, 0.0, 0.0)
_TOP_KEYS = (
    "name", "description", "position", "grid", "background", "solid", "source", "machine", "beam",
)  # fmt: skip
_ANGLE_KEYS = ("gantry_deg", "collimator_deg", "couch_deg", "isocentre")

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Aim:
    """Machine angles, degrees, and isocentre, mm, of one beam."""

    gantry_deg: float
    collimator_deg: float
    couch_deg: float
    isocentre: Vector


@dataclass(frozen=True)
class PointSource:
    """A bare point source: a spectrum's name or a single energy (MeV), and a rectangular field.

    Parameters
    ----------
    ssd : mm, from the source to the isocentre
    field : x1, x2, y1, y2, mm, in the isocentre plane
    """

    spectrum: str | None
    energy_mev: float | None
    ssd: float
    field: tuple[float, float, float, float]
    aim: Aim


@dataclass(frozen=True)
class MachineBeam:
    """A static beam of a machine."""

    name: str
    mu: float
    jaws_x: tuple[float, float]
    jaws_y: tuple[float, float]
    aim: Aim
    leaves: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class MachineSource:
    """A machine by name, or by the path of its file, and its beams."""

    machine: str
    fractions: int
    beams: tuple[MachineBeam, ...]


@dataclass(frozen=True)
class Recipe:
    """A phantom and what shines on it, as read and checked; `sha256` is that of the file."""

    name: str
    description: str
    position: PatientPosition
    grid: Grid
    background: Filling
    solids: tuple[Solid, ...]
    source: PointSource | MachineSource
    sha256: str = field(default="")


def list_recipes() -> tuple[str, ...]:
    """Names of the shipped recipes."""
    found = files("dosecalc.data.phantoms").iterdir()
    return tuple(sorted(f.name[:-5] for f in found if f.name.endswith(".toml")))


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe from the path of its ``.toml`` file, or a shipped one by its name.

    Raises
    ------
    InputError
        There is no such file or recipe, or its content breaks the schema of this module.
    """
    name = str(path)
    if isinstance(path, Path) or name.endswith(".toml"):
        folder, where = Path(path).parent, name
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"recipe {name} cannot be read: {error}") from error
    elif name in list_recipes():
        folder, where = Path(), f"shipped recipe {name!r}"
        content = (files("dosecalc.data.phantoms") / f"{name}.toml").read_bytes()
    else:
        raise InputError(
            f"no recipe is named {name!r}; shipped: {', '.join(list_recipes())}. "
            "Name one of them or give the path of a .toml file"
        )
    return _parse(content, where, folder)


def build_case(recipe: Recipe) -> tuple[Phantom, Plan, Machine]:
    """Make the phantom, the plan and the machine of a recipe.

    A point source becomes the machine of `point_source_machine` at a source-axis
    distance of `ssd`, with one beam of 1 MU, which stands for unit fluence.
    """
    note = f"recipe {recipe.name!r}, SHA-256 {recipe.sha256}"
    phantom = fill_solids(recipe.grid, recipe.background, recipe.solids, notes=(note,))
    source = recipe.source
    if isinstance(source, PointSource):
        spectrum = (
            load_spectrum(source.spectrum)
            if source.spectrum is not None
            else monoenergetic(source.energy_mev or 0.0)
        )
        machine = point_source_machine(spectrum, source.ssd)
        x1, x2, y1, y2 = source.field
        beams: tuple[MachineBeam, ...] = (
            MachineBeam("field", 1.0, (x1, x2), (y1, y2), source.aim),
        )
        fractions = 1
    else:
        machine, beams, fractions = load_machine(source.machine), source.beams, source.fractions
    plan = Plan(
        beams=tuple(_beam(i, b, machine) for i, b in enumerate(beams, 1)),
        position=recipe.position,
        fractions=fractions,
        label=recipe.name,
    )
    return phantom, plan, machine


def _beam(index: int, beam: MachineBeam, machine: Machine) -> Beam:
    if beam.leaves is not None and machine.mlc is None:
        raise InputError(f"beam {index} ({beam.name}): {machine.name} has no leaves to position")
    return Beam.static(
        machine,
        mu=beam.mu,
        isocentre=beam.aim.isocentre,
        jaws_x=beam.jaws_x,
        jaws_y=beam.jaws_y,
        leaves=beam.leaves,
        gantry_deg=beam.aim.gantry_deg,
        collimator_deg=beam.aim.collimator_deg,
        couch_deg=beam.aim.couch_deg,
        number=index,
        name=beam.name,
    )


def _parse(content: bytes, where: str, folder: Path) -> Recipe:
    try:
        top = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not TOML: {error}") from error
    toml.check_keys(top, _TOP_KEYS, where)
    position = toml.text(top, "position", where, "HFS")
    if position not in PatientPosition.__members__:
        raise InputError(
            f"{where}: position {position!r}; one of {', '.join(PatientPosition.__members__)}"
        )
    background = toml.table(top, "background", where)
    toml.check_keys(background, ("material", "density"), f"{where}, [background]")
    return Recipe(
        name=toml.text(top, "name", where),
        description=toml.text(top, "description", where, ""),
        position=PatientPosition[position],
        grid=read_grid(toml.table(top, "grid", where), f"{where}, [grid]"),
        background=read_filling(background, f"{where}, [background]"),
        solids=tuple(
            read_solid(s, f"{where}, [[solid]] number {i}")
            for i, s in enumerate(toml.tables(top, "solid", where), 1)
        ),
        source=_source(top, where, folder),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _source(top: toml.Table, where: str, folder: Path) -> PointSource | MachineSource:
    if toml.one_of(top, ("source", "machine"), where) == "machine":
        return _machine_source(top, where, folder)
    if "beam" in top:
        raise InputError(
            f"{where}: [[beam]] belongs to a [machine]; a [source] states its own field"
        )
    content, place = toml.table(top, "source", where), f"{where}, [source]"
    toml.check_keys(
        content, ("kind", "spectrum", "energy_mev", "ssd", "field", *_ANGLE_KEYS), place
    )
    kind = toml.text(content, "kind", place)
    if kind != "point":
        raise InputError(f"{place}: kind {kind!r}; only 'point' is known")
    spectrum, energy = None, None
    if toml.one_of(content, ("spectrum", "energy_mev"), place) == "spectrum":
        spectrum = toml.text(content, "spectrum", place)
    else:
        energy = _positive(content, "energy_mev", place)
    x, y = _field(content, place)
    ssd = _positive(content, "ssd", place)
    return PointSource(spectrum, energy, ssd, (*x, *y), _aim(content, place, _ORIGIN))


def _machine_source(top: toml.Table, where: str, folder: Path) -> MachineSource:
    content, place = toml.table(top, "machine", where), f"{where}, [machine]"
    toml.check_keys(content, ("name", "fractions"), place)
    name = toml.text(content, "name", place)
    fractions = toml.number(content, "fractions", place)
    if fractions < 1 or fractions != int(fractions):
        raise InputError(f"{place}: fractions {fractions:g}; a whole number from 1 up is needed")
    tables = toml.tables(top, "beam", where)
    if not tables:
        raise InputError(f"{where}: a [machine] needs one [[beam]] or more")
    beams = tuple(
        _machine_beam(b, f"{where}, [[beam]] number {i}", f"beam {i}")
        for i, b in enumerate(tables, 1)
    )
    path = str(folder / name) if name.endswith(".json") else name
    return MachineSource(path, int(fractions), beams)


def _machine_beam(content: toml.Table, where: str, default_name: str) -> MachineBeam:
    toml.check_keys(content, ("name", "mu", "jaws_x", "jaws_y", "leaves", *_ANGLE_KEYS), where)
    x1, x2 = toml.numbers(content, "jaws_x", where, 2)
    y1, y2 = toml.numbers(content, "jaws_y", where, 2)
    _check_field((x1, x2, y1, y2), where)
    return MachineBeam(
        name=toml.text(content, "name", where, default_name),
        mu=_positive(content, "mu", where),
        jaws_x=(x1, x2),
        jaws_y=(y1, y2),
        aim=_aim(content, where, None),
        leaves=_leaves(content, where),
    )


def _leaves(content: toml.Table, where: str) -> NDArray[np.float64] | None:
    if "leaves" not in content:
        return None
    try:
        leaves = np.array(content["leaves"], dtype=np.float64)
    except (TypeError, ValueError):
        leaves = np.empty(0)
    if leaves.ndim != 2 or leaves.shape[0] != 2:
        raise InputError(
            f"{where}: leaves must be two lists of positions, one number per leaf pair"
        )
    return leaves


def _aim(content: toml.Table, where: str, isocentre: Vector | None) -> Aim:
    return Aim(
        gantry_deg=toml.number(content, "gantry_deg", where, 0.0),
        collimator_deg=toml.number(content, "collimator_deg", where, 0.0),
        couch_deg=toml.number(content, "couch_deg", where, 0.0),
        isocentre=toml.vector(content, "isocentre", where, isocentre),
    )


def _field(content: toml.Table, where: str) -> tuple[tuple[float, float], tuple[float, float]]:
    x1, x2, y1, y2 = toml.numbers(content, "field", where, 4)
    _check_field((x1, x2, y1, y2), where)
    return (x1, x2), (y1, y2)


def _check_field(edges: tuple[float, float, float, float], where: str) -> None:
    if edges[0] >= edges[1] or edges[2] >= edges[3]:
        raise InputError(f"{where}: field from x1, x2, y1, y2 = {list(edges)} mm is empty")


def _positive(content: toml.Table, key: str, where: str) -> float:
    value = toml.number(content, key, where)
    if value <= 0:
        raise InputError(f"{where}: {key} is {value:g}; it must be above zero")
    return value
