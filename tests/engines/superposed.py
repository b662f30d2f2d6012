"""Superposition of deposition kernels by plain integration: what collapsed cones approximate.

Unlimited water, a point source, a square field and one photon energy. Nothing of the engines
is used: the kernels' table is integrated over spheres about the point of interest.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dosecalc.data.cross_sections import coefficients
from dosecalc.data.deposition import load_kernels
from dosecalc.data.materials import load_material

__all__ = ["axis_dose"]

MEV_PER_G_TO_GRAY = 1.602176634e-10
_POLAR, _AZIMUTHS, _PARTS = 192, 32, 10


def axis_dose(
    depth_cm: float, energy_mev: float, half_cm: float, sad_cm: float, ssd_cm: float
) -> float:
    """Dose on the axis, Gy cm2 per photon and cm2 in air at the isocentre.

    Kernel axes follow the rays. Between the middles of kernel cells energy per solid angle is
    linear in angle, and its logarithm, per distance, linear in distance.
    """
    kernels, energy = load_kernels(), np.array([energy_mev])
    kernel = sum(kernels.at(part, energy)[0] for part in ("primary", "first", "later"))
    mu = float(coefficients(load_material("water"), energy).total[0])
    cones, shells = np.radians(kernels.cone_edges_deg), kernels.shell_edges_cm
    solid_angle = 2 * np.pi * -np.diff(np.cos(cones))
    middles = (shells[1:] + shells[:-1]) / 2
    fall = np.log(np.maximum(kernel / np.diff(shells), 1e-30))

    edges = np.cos(np.linspace(0, np.pi, _POLAR + 1))
    cosine, share = (edges[1:] + edges[:-1]) / 2, -np.diff(edges) * 2 * np.pi / _AZIMUTHS
    azimuth = 2 * np.pi * (np.arange(_AZIMUTHS) + 0.5) / _AZIMUTHS
    sine = np.sqrt(1 - cosine**2)
    # From where energy is released to the point, (polar, azimuth, 3).
    way = np.stack(
        np.broadcast_arrays(
            sine[:, None] * np.cos(azimuth), sine[:, None] * np.sin(azimuth), cosine[:, None]
        ),
        axis=-1,
    )
    point = np.array([0.0, 0.0, ssd_cm + depth_cm])
    total = 0.0
    for shell, (low, high) in enumerate(pairwise(shells)):
        radii = low + (high - low) * (np.arange(_PARTS) + 0.5) / _PARTS
        parts = np.array([np.exp(np.interp(radii, middles, row)) for row in fall])
        parts *= (kernel[:, shell] / solid_angle / parts.sum(axis=1))[:, None]
        for part, radius in enumerate(radii):
            origin = point - radius * way
            x, y, z = np.moveaxis(origin, -1, 0)
            distance = np.linalg.norm(origin, axis=-1)
            with np.errstate(divide="ignore", invalid="ignore"):
                inside = z > ssd_cm
                inside &= np.maximum(np.abs(x), np.abs(y)) / z * sad_cm < half_cm
                path = distance * (1 - ssd_cm / z)
            released = np.where(
                inside,
                energy_mev
                * mu
                * (sad_cm / distance) ** 2
                * np.exp(-mu * np.where(inside, path, 0)),
                0.0,
            )
            turned = np.arccos(np.clip((origin * way).sum(axis=-1) / distance, -1, 1))
            place = np.clip(turned / cones[1] - 0.5, 0, cones.size - 2 - 1e-9)
            lower = place.astype(int)
            upper = place - lower
            spread = (1 - upper) * parts[lower, part] + upper * parts[lower + 1, part]
            total += float((released * spread * share[:, None]).sum())
    return total * MEV_PER_G_TO_GRAY
