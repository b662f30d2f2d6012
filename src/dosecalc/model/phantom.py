"""What the dose is calculated in: density and material per voxel."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dosecalc.errors import InputError
from dosecalc.model.checks import read_only
from dosecalc.model.grid import Grid
from dosecalc.model.pictures import fact_table_html

__all__ = ["Phantom", "VoxelSource"]


class VoxelSource:
    """Where a voxel's density came from: the codes of `Phantom.source`."""

    RECIPE = 0
    CT_CURVE = 1
    OVERRIDE = 2
    OUTSIDE_BODY = 3
    OUTSIDE_CT = 4


@dataclass(frozen=True)
class Phantom:
    """Mass density and material on a grid.

    Parameters
    ----------
    grid : Grid
    density : (nz, ny, nx) float32, g/cm3, >= 0
    material : (nz, ny, nx) uint8
        Index into `materials`.
    materials : tuple of str
        Names known to `dosecalc.data`.
    source : (nz, ny, nx) uint8, optional
        `VoxelSource` code of each voxel.
    notes : tuple of str
        What a reader must know about how the phantom was made (curve and its
        version, voxels limited, overrides applied).
    bolus : tuple of int
        ROI numbers of the boluses that are in it.

    Raises
    ------
    InputError
        Arrays that do not fit the grid or one another, or a density below zero.

    Examples
    --------
    A cube of water in which 4 cm of lung lie:

    >>> import numpy as np
    >>> import dosecalc as dc
    >>> grid = dc.Grid.covering((-100, 0, -100), (100, 200, 100), spacing=(5.0, 5.0, 5.0))
    >>> density, material = np.ones(grid.shape), np.zeros(grid.shape, np.uint8)
    >>> lung = (grid.centres("y") > 60) & (grid.centres("y") < 100)
    >>> density[:, lung], material[:, lung] = 0.26, 1
    >>> phantom = dc.Phantom(grid, density, material, materials=("water", "lung"))
    >>> phantom
    Phantom(40 x 40 x 40 voxels of 5 x 5 x 5 mm, 0.26 to 1 g/cm3, water, lung)
    """

    grid: Grid
    density: NDArray[np.float32]
    material: NDArray[np.uint8]
    materials: tuple[str, ...]
    source: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = field(default=())
    bolus: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        density = read_only(self.density, np.float32, what="phantom density", ndim=3)
        material = read_only(self.material, np.uint8, what="phantom material", ndim=3)
        arrays = {"density": density, "material": material}
        if self.source is not None:
            arrays["source"] = read_only(self.source, np.uint8, what="phantom source", ndim=3)
        for name, array in arrays.items():
            if array.shape != self.grid.shape:
                raise InputError(
                    f"phantom {name} has shape {array.shape}, its grid {self.grid.shape}"
                )
            object.__setattr__(self, name, array)
        if float(density.min()) < 0:
            raise InputError(f"phantom density is negative ({density.min()} g/cm3) somewhere")
        if int(material.max()) >= len(self.materials):
            raise InputError(
                f"phantom material index {material.max()} has no entry in {self.materials}"
            )

    def __repr__(self) -> str:
        low, high = float(self.density.min()), float(self.density.max())
        present = ", ".join(self.materials[n] for n in np.unique(self.material))
        return f"Phantom({self.grid.voxels_text}, {low:.3g} to {high:.3g} g/cm3, {present})"

    def _repr_html_(self) -> str:
        rows = [
            ("grid", self.grid.voxels_text),
            ("density", f"{self.density.min():.3g} to {self.density.max():.3g} g/cm3"),
            ("materials", ", ".join(self.materials[n] for n in np.unique(self.material))),
            *(("note", note) for note in self.notes),
        ]
        return fact_table_html("Phantom", rows)

    @property
    def mass_g(self) -> NDArray[np.float64]:
        """Mass per voxel, g."""
        return self.density.astype(np.float64) * self.grid.voxel_volume_cm3
