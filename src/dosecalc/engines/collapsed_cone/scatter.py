"""Dose through photons that left the first interaction.

In two steps (see `rescatter`): photons that left the first interaction, then the
energy that they send on from where they interact, on a lattice coarser still.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.deposition import EnergyDepositionKernels
from dosecalc.engines.collapsed_cone.kernels import UPRIGHT, TiltGrid, make_cone_table
from dosecalc.engines.collapsed_cone.lattice import (
    Lattice,
    coarser,
    finer,
    per_mass,
    spread,
    unblurred,
)
from dosecalc.engines.spectral import Channels

__all__ = ["scatter_per_mass"]

_LATER_VOXEL_RATIO = 2.0


def scatter_per_mass(
    first: Lattice,
    channels: Channels,
    kernels: EnergyDepositionKernels,
    tilts: TiltGrid,
    directions: int,
) -> NDArray[np.float32]:
    """Energy absorbed per water-equivalent mass, MeV/g, on the lattice given.

    Parameters
    ----------
    first : Lattice
        With the energy that photons carry away from first interactions.
    channels : Channels
    kernels : EnergyDepositionKernels
    tilts : TiltGrid
    directions : int
        About how many cones; half as many for the later scatter.
    """
    table = make_cone_table(channels.scatter_kernels, kernels, tilts, directions, "delayed")
    result = unblurred(per_mass(first, spread(first, tilts, table)), first, table)
    later = coarser(first, _LATER_VOXEL_RATIO * float(first.geometry.spacing.max()))
    fewer = max(24, directions // 2)
    result += finer(
        _later_per_mass(later, channels, kernels, tilts, fewer),
        later.geometry,
        first.geometry,
        result.shape,
    )
    return result


def _later_per_mass(
    lattice: Lattice,
    channels: Channels,
    kernels: EnergyDepositionKernels,
    tilts: TiltGrid,
    directions: int,
) -> NDArray[np.float32]:
    """Energy absorbed per mass, MeV/g, through photons scattered twice or more."""
    sent = lattice._replace(released=lattice.released[:1] * np.float32(channels.later_ratio))
    table = make_cone_table(channels.onward_kernel, kernels, tilts, directions, "delayed")
    # The fit may leave a trace of negative energy next to a source; it cannot scatter.
    onward = np.maximum(spread(sent, tilts, table), 0)[None]
    table = make_cone_table(channels.later_kernel, kernels, UPRIGHT, directions, "delayed")
    absorbed = spread(lattice._replace(released=onward), UPRIGHT, table)
    return unblurred(per_mass(lattice, absorbed), lattice, table)
