"""Collapsed cone and pencil beam against EGSnrc; absolute, nothing renormalised."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from dosecalc.engines import collapsed_cone, pencil_beam
from dosecalc.model import Dose
from dosecalc.patient.recipe import build_case, load_recipe
from tests.reference_gamma import gamma_3d

pytestmark = pytest.mark.reference


class Case(NamedTuple):
    """Recipe, engine, criteria of gamma (% of the axis maximum and mm), and of the axis in %."""

    recipe: str
    engine: str
    percent: float
    mm: float
    axis: float


RECIPES = {
    "S1_water_6MV_10x10": "water-6mv-10x10",
    "S2_water_6MV_3x3": "water-6mv-3x3",
    "S5_water_15MV_10x10": "water-15mv-10x10",
    "S3_slab_lung_6MV_5x5": "slab-lung-6mv-5x5",
    "S4_slab_bone_6MV_5x5": "slab-bone-6mv-5x5",
}
# What the project asks of each; in slabs of lung and bone nothing is asked of a pencil beam but
# that its error is known, and this is what it was measured to keep.
IN_WATER = {"cone": (1.0, 1.0, 1.0), "pencil": (2.0, 1.0, 1.0)}
IN_SLABS = {"S3": (2.0, 2.0, 2.0), "S4": (2.0, 2.0, 3.0)}
CASES = {
    f"{engine} {name}": Case(recipe, engine, *(IN_SLABS.get(name[:2]) or IN_WATER[engine]))
    for engine in ("cone", "pencil")
    for name, recipe in RECIPES.items()
}


class Reference(NamedTuple):
    """Monte Carlo dose [x, y, z] with z along the beam: +x, +z and +y of the recipes; mm."""

    dose: NDArray[np.float64]
    relative_sigma: NDArray[np.float64]
    edges: tuple[NDArray[np.float64], ...]
    axis: NDArray[np.float64]
    axis_sigma: NDArray[np.float64]

    @property
    def centres(self) -> tuple[NDArray[np.float64], ...]:
        return tuple((e[1:] + e[:-1]) / 2 for e in self.edges)

    @property
    def near_axis(self) -> list[NDArray[np.intp]]:
        """Columns whose centre is within 2.6 mm of the axis."""
        return [np.flatnonzero(np.abs(c) < 2.6) for c in self.centres[:2]]

    def points(self) -> NDArray[np.float64]:
        """Voxel centres (nx, ny, nz, 3) in the frame of the recipes."""
        x, z, depth = np.meshgrid(*self.centres, indexing="ij")
        return np.stack([x, depth, z], axis=-1)


def load(folder: Path, name: str) -> Reference:
    with np.load(folder / f"{name}.npz") as data:
        dose, sigma = data["dose"].astype(float), data["rel_unc"].astype(float)
        edges = tuple(10 * data[f"{a}_edges"] for a in "xyz")
    found = Reference(dose, sigma, edges, np.empty(0), np.empty(0))
    columns = np.ix_(*found.near_axis)
    # Columns that are mirror images of each other hold the same histories: one sigma for all.
    return found._replace(
        axis=dose[columns].mean(axis=(0, 1)),
        axis_sigma=(dose * sigma)[columns].mean(axis=(0, 1)),
    )


@cache
def calculated(case: Case) -> Dose:
    compute = {"cone": collapsed_cone.compute, "pencil": pencil_beam.compute}[case.engine]
    return compute(*build_case(load_recipe(case.recipe)))


def at(dose: Dose, points: NDArray[np.float64]) -> NDArray[np.float64]:
    index = np.moveaxis(dose.grid.index_of(points), -1, 0)
    return np.asarray(map_coordinates(dose.gray.astype(float), index, order=1, mode="nearest"))


@pytest.mark.parametrize("name", CASES)
def test_depth_dose(name: str, reference: Path) -> None:
    case = CASES[name]
    wanted = load(reference, name.split()[1])
    dose = at(calculated(case), wanted.points())[np.ix_(*wanted.near_axis)].mean(axis=(0, 1))
    depth = wanted.centres[2]
    # From 3 mm, where the electrons that the head would send and the steep build-up matter
    # less, to 25 cm, 5 cm from the end of the phantom.
    inside = (depth > 3) & (depth < 250)
    beyond_noise = np.abs(dose - wanted.axis) - 2 * wanted.axis_sigma
    worst = 100 * beyond_noise[inside].max() / wanted.axis.max()
    mean = 100 * (dose - wanted.axis)[inside].mean() / wanted.axis.max()
    # Project tolerances: 1 % of Dmax in water, 2 % in lung, 3 % in bone. In bone the
    # reference has steps at the faces, dose to bone being less than to water.
    assert worst < case.axis
    assert abs(mean) < 0.5  # no bias: half of the tolerance in water


@pytest.mark.parametrize("name", CASES)
def test_gamma(name: str, reference: Path) -> None:
    case = CASES[name]
    wanted = load(reference, name.split()[1])
    points, largest = wanted.points(), wanted.axis.max()
    known = (wanted.dose > 0.1 * largest) & (wanted.relative_sigma < 0.01)
    known &= points[..., 1] > 2  # mm deep
    gamma = gamma_3d(
        points[known],
        wanted.dose[known],
        calculated(case),
        dose_criterion=case.percent / 100 * largest,
        distance_mm=case.mm,
    )
    share = 100 * (gamma <= 1).mean()
    # Project criterion; measured for the collapsed cone 98.9, 98.3, 98.2, 100 and 100 %, for the
    # pencil beam 100, 100, 99.99, 99.94 and 98.85 % in the order above.
    # Reference voxels with up to 1 % of noise use up part of it.
    assert share >= 98.0
