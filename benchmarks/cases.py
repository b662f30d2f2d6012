"""What is calculated: the water box W1 at any voxel size, and calls caught on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from dosecalc.beam import beam_fluences
from dosecalc.beam.fluence import Fluence
from dosecalc.engines.collapsed_cone import CollapsedConeSettings, engine, fluence_dose
from dosecalc.engines.collapsed_cone import release as cone_release
from dosecalc.model import Grid, Phantom
from dosecalc.patient.recipe import build_case, load_recipe

__all__ = ["DEFAULT", "PLAIN", "Box", "Calls", "caught", "replaced", "stage_calls", "water_box"]

DEFAULT = CollapsedConeSettings()
# The dose grid itself for the electrons too, as programs do that do not divide voxels.
PLAIN = CollapsedConeSettings(directions=96, primary_voxel_mm=2.5)

_SIDE_MM = 300.0


@dataclass(frozen=True)
class Box:
    """A phantom and the one stationary beam that shines on it."""

    phantom: Phantom
    fluence: Fluence

    @property
    def voxels(self) -> int:
        """Voxels of the dose grid."""
        return self.phantom.density.size


def water_box(voxels: int = 120) -> Box:
    """W1, the cube of water of 30 cm with 10 x 10 cm2 of 6 MV, in voxels^3."""
    recipe = load_recipe("w1-water-box")
    step = _SIDE_MM / voxels
    grid = Grid.covering(recipe.grid.lower, recipe.grid.upper, (step, step, step))
    if grid.shape != (voxels, voxels, voxels):
        raise ValueError(f"the box came out as {grid.shape} voxels instead of {voxels}^3")
    phantom, plan, machine = build_case(replace(recipe, grid=grid))
    (fluence,) = beam_fluences(plan.beams[0], plan.position, machine)
    return Box(phantom, fluence)


@contextmanager
def replaced(module: ModuleType, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Put another function in the place of a module's for a while."""
    original = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, original)


@dataclass
class Calls:
    """Calls of one function, with which it can be timed alone."""

    function: Callable[..., Any]
    arguments: list[tuple[Any, ...]] = field(default_factory=list)

    def again(self) -> None:
        """Repeat all calls."""
        for arguments in self.arguments:
            self.function(*arguments)


@contextmanager
def caught(module: ModuleType, name: str) -> Iterator[Calls]:
    """Collect the calls that a module makes of one of its functions."""
    calls = Calls(getattr(module, name))

    def catch(*arguments: Any) -> Any:
        calls.arguments.append(arguments)
        return calls.function(*arguments)

    with replaced(module, name, catch):
        yield calls


def stage_calls(box: Box, settings: CollapsedConeSettings) -> dict[str, Calls]:
    """Run the engine once and return the calls of its stages."""
    with (
        caught(cone_release, "voxel_fluence") as fluence,
        caught(cone_release, "attenuate") as terma,
        caught(engine, "bright_dose") as primary,
        caught(engine, "scatter_per_mass") as scatter,
    ):
        fluence_dose(box.phantom, box.fluence, settings)
    return {"fluence": fluence, "terma": terma, "primary": primary, "scatter": scatter}
