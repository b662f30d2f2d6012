"""Water by way of a CT beside water by way of a recipe: the same dose, or the curve is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dosecalc.data.hu_curves import load_hu_curve
from dosecalc.model import CtImage, Grid, PatientPosition, Phantom
from dosecalc.model.interpolation import at_points
from dosecalc.patient.phantom import phantom_from_ct
from dosecalc.workflow.engines import calculate_dose
from dosecalc.workflow.prepare import prepare
from dosecalc.workflow.progress import Stages
from dosecalc.workflow.requests import DoseRequest

__all__ = ["CURVE", "TOLERANCE_PERCENT", "WaterCheck", "check_water"]

CURVE = "water-equivalent-phantom"
TOLERANCE_PERCENT = 0.2
"""Project default: a fifth of what a table of output factors is known to."""

_RECIPE = "calibration-water"
_STATED_GY = 1.0
_DEPTH_MM = 100.0
_CT_MM = 5.0
_DEPTHS_MM = (5.0, 250.0)


@dataclass(frozen=True)
class WaterCheck:
    """10 x 10 cm2, SSD 90 cm, 100 MU: dose on the axis in both phantoms.

    Parameters
    ----------
    recipe_gy, ct_gy : float, Gy
        10 cm deep, where the machine model states 1 Gy.
    largest_percent : float
        Largest difference on the axis, 5 to 250 mm deep, % of the recipe's maximum there.
    """

    recipe_gy: float
    ct_gy: float
    largest_percent: float

    @property
    def within(self) -> bool:
        """Whether both agree with each other."""
        at_depth = 100 * abs(self.ct_gy / self.recipe_gy - 1) if self.recipe_gy > 0 else np.inf
        return max(at_depth, self.largest_percent) <= TOLERANCE_PERCENT

    @property
    def sentence(self) -> str:
        """What was found, for a reader."""
        return (
            f"CT of water with the HU curve {CURVE!r} against the recipe {_RECIPE!r}, "
            f"{_STATED_GY:g} Gy stated: {self.ct_gy:.4f} and {self.recipe_gy:.4f} Gy 10 cm deep; "
            f"largest difference on the axis {self.largest_percent:.3f} % of its maximum "
            f"({TOLERANCE_PERCENT:g} % asked): {'ok' if self.within else 'NOT OK'}"
        )


def check_water(options: DoseRequest, stages: Stages) -> WaterCheck:
    """Calculate both with the engine and the grid that the options name."""
    recipe = prepare(replace(options, path=Path(_RECIPE)), stages)
    scanned = replace(recipe, phantom=_scanned(recipe.phantom.grid))
    doses = []
    for one, name in ((recipe, "recipe"), (scanned, "CT")):
        with stages.stage(f"calculating water, {name}") as advance:
            doses.append(calculate_dose(one, options.engine, advance))
    depths = np.arange(_DEPTHS_MM[0], _DEPTHS_MM[1], recipe.phantom.grid.spacing[1])
    on_axis = [[_at(dose.gray, dose.grid, depth) for depth in depths] for dose in doses]
    given, found = (np.array(values) for values in on_axis)
    at_depth = [_at(dose.gray, dose.grid, _DEPTH_MM) for dose in doses]
    largest = 100 * float(np.abs(found - given).max() / given.max())
    return WaterCheck(at_depth[0], at_depth[1], largest)


def _at(gray: np.typing.NDArray[np.float32], grid: Grid, depth: float) -> float:
    return float(np.nan_to_num(at_points(gray, grid, (0.0, depth, 0.0))))


def _scanned(grid: Grid) -> Phantom:
    """Phantom of a scan of the recipe's water: 0 HU throughout, from the surface at y = 0 on."""
    low = np.array(grid.lower)
    size = np.ceil((np.array(grid.upper) - low) / _CT_MM).astype(int)
    nx, ny, nz = (int(n) for n in size)
    first = low + _CT_MM / 2
    ct_grid = Grid((nz, ny, nx), (_CT_MM,) * 3, (float(first[0]), float(first[1]), float(first[2])))
    ct = CtImage(ct_grid, np.zeros(ct_grid.shape, np.float32), PatientPosition.HFS)
    return phantom_from_ct(ct, None, curve=load_hu_curve(CURVE), grid=grid, body="none")
