"""Write the tables of the hand check of monitor units for the generic machines.

Run ``python kernels/make_mu_tables.py`` to rewrite ``mu_tables/*.json`` from the machine
models and ``mu_tables/annuli.npz`` (seconds). Run it after every change of a machine model: a
table belongs to one version of one model. ``python kernels/make_mu_tables.py --annuli`` also
repeats the Monte Carlo run (about 2 minutes for each spectrum on one core).

A clinic measures these tables. Here they are calculated, none of it by the collapsed cone or
the pencil beam:

* Phantom scatter and TPR: by Monte Carlo. A parallel pencil of photons enters water; energy
  is scored in square annuli about it, layer by layer. Summed from inside out they are, by
  reciprocity, the dose on the axis of parallel square fields of every size at once. The
  field size at the point's depth counts, so TPR hardly depends on the distance from the
  source (Holt, Laughlin and Moroney, Radiology 96:437 (1970)). Annuli are weighted with
  the fluence and the softer spectrum of the machine off its axis.
* Field 0: primary photons alone, by attenuation of the spectrum, with electrons carried
  forward by their mean distance (first moment of the primary deposition kernel).
* Off-axis ratios of primary photons: profile, obliquity and softening of the model, with the
  collision kerma that is left at depth.
* Head scatter: the share of the model's extended source that the point on the axis sees
  through a square opening; jaws alone and leaves alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from dataclasses import replace
from math import erf, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.cross_sections import coefficients
from dosecalc.data.deposition import load_kernels
from dosecalc.data.machines import list_machines, load_machine, point_source_machine
from dosecalc.data.materials import load_material
from dosecalc.data.mu_tables import MU_TABLES_SCHEMA
from dosecalc.data.spectra import load_spectrum, spectrum_sha256
from dosecalc.engines.monte_carlo import MonteCarloSettings, compute
from dosecalc.model import (
    Beam,
    ControlPoint,
    Grid,
    JawModel,
    Machine,
    MlcModel,
    PatientPosition,
    Phantom,
    PhotonSource,
    Plan,
)

_FOLDER = Path(__file__).parent / "mu_tables"
_ANNULI = _FOLDER / "annuli.npz"

_VOXEL_MM, _ACROSS, _LAYERS, _PENCIL_MM, _FAR_MM = 5.0, 120, 94, 1.0, 1e5
_HISTORIES, _SEED = 400_000, 20261123

_FIELDS_MM = (20, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 350, 400, 450, 500, 560)
_DEPTHS_MM = (*range(20, 401, 10),)
_OFF_AXIS_MM = (0, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 220, 240, 260, 280, 290)
_OFF_AXIS_DEPTHS_MM = (0, 50, 100, 200, 300, 400)
_HEAD_MM = (0, 20, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 350, 400)
_REFERENCE_DEPTH_MM = 100
# Points this near to the depth of maximum dose, or nearer to the surface, are refused.
_BEHIND_MAXIMUM_MM = 5.0

Array = NDArray[np.float64]


def pencil_annuli(spectrum_name: str) -> Array:
    """Dose (annuli, layers), Gy cm2, on the axis of parallel square annuli of unit fluence.

    Annulus i lies between squares of half side i and i + 1 voxels.
    """
    machine = point_source_machine(load_spectrum(spectrum_name), _FAR_MM)
    first = -(_ACROSS - 1) / 2 * _VOXEL_MM
    grid = Grid((_ACROSS, _LAYERS, _ACROSS), (_VOXEL_MM,) * 3, (first, _VOXEL_MM / 2, first))
    shape = grid.shape
    water = Phantom(grid, np.ones(shape, np.float32), np.zeros(shape, np.uint8), ("water",))
    edges = (-_PENCIL_MM / 2, _PENCIL_MM / 2)
    start = ControlPoint(0.0, 0.0, 0.0, 0.0, (0.0, 0.0, 0.0), edges, edges)
    ends = (start, replace(start, meterset_fraction=1.0))
    beam = Beam(1, "pencil", machine.energy_mv, "STANDARD", "", machine.sad_mm, 1.0, ends)
    settings = MonteCarloSettings(histories=_HISTORIES, seed=_SEED)
    dose = compute(water, Plan((beam,), PatientPosition.HFS), machine, settings).gray
    half = _ACROSS // 2
    ring = np.abs(np.arange(_ACROSS) - half + 0.5).astype(int)
    index = np.maximum(ring[:, None], ring)
    summed = np.stack([dose[:, j, :].astype(np.float64) for j in range(_LAYERS)])
    annuli = np.stack([summed[:, index == i].sum(axis=1) for i in range(half)])
    return np.asarray(annuli * _VOXEL_MM**2 / _PENCIL_MM**2)


def write_annuli(spectra: list[str]) -> None:
    """Run the Monte Carlo for each spectrum and store what it scored."""
    found: dict[str, Any] = {}
    for name in spectra:
        found[name] = pencil_annuli(name).astype(np.float32)
        found[f"{name}_sha256"] = np.array(spectrum_sha256(name))
        print(name)
    np.savez_compressed(_ANNULI, **found)


def stored_annuli(spectrum_name: str) -> Array:
    """Annuli of a spectrum, as stored; refused where the spectrum changed since."""
    with np.load(_ANNULI) as data:
        if str(data[f"{spectrum_name}_sha256"]) != spectrum_sha256(spectrum_name):
            raise SystemExit(f"{spectrum_name} changed: run with --annuli")
        return np.asarray(data[spectrum_name], np.float64)


class _Beam:
    """Spectral quantities of one machine."""

    def __init__(self, machine: Machine) -> None:
        spectrum = machine.spectrum
        self.machine = machine
        self.energy = (spectrum.edges_low + spectrum.edges_high) / 2
        self.energy_fluence = spectrum.photons * self.energy
        water = coefficients(load_material("water"), self.energy)
        self.mu, self.transfer = water.total / 10, water.to_electrons / 10

    def primary_dose(self, depth_mm: Array) -> Array:
        """Dose of primary photons per unit photon fluence, Gy cm2, in a wide field."""
        kernels = load_kernels()
        primary = kernels.at("primary", self.energy)
        edges = np.radians(kernels.cone_edges_deg)
        forward = (np.cos(edges[:-1]) + np.cos(edges[1:])) / 2
        shell = 10 * (kernels.shell_edges_cm[:-1] + kernels.shell_edges_cm[1:]) / 2
        share = primary.sum(axis=(1, 2))
        ahead = np.einsum("ecs,c,s->e", primary, forward, shell) / share
        released = self.energy_fluence * self.mu * 10 * share
        ways = depth_mm[:, None] - ahead
        return np.asarray(1.602176634e-10 * np.exp(-self.mu * ways) @ released)

    def softened(self, radius_mm: Array) -> Array:
        """Energy fluence (radii, energies) off the axis, summing to 1 at each radius."""
        soft = self.machine.softening
        path = np.zeros_like(radius_mm) if soft is None else soft(radius_mm)
        # The path is in cm.
        share = self.energy_fluence * np.exp(10 * self.mu * path[:, None])
        return np.asarray(share / share.sum(axis=1, keepdims=True))

    def off_axis(self, radius_mm: Array, depth_mm: Array) -> Array:
        """Primary off-axis ratio (depths, radii) in planes across the beam."""
        model = self.machine
        profile = np.ones_like(radius_mm) if model.profile is None else model.profile(radius_mm)
        oblique = model.sad_mm**2 / (model.sad_mm**2 + radius_mm**2)
        left = self.transfer * np.exp(-self.mu * depth_mm[:, None])
        softer, axis = self.softened(radius_mm), self.softened(np.zeros(1))[0]
        return np.asarray(profile * oblique * (left @ softer.T) / (left @ axis)[:, None])

    def reaching_axis(self, radius_mm: float, layers: Array) -> Array:
        """Dose (energies, layers) that photons at a radius bring to the axis, per energy."""
        kernels = load_kernels()
        whole = sum(kernels.at(part, self.energy) for part in ("primary", "first", "later"))
        cones, shells = np.radians(kernels.cone_edges_deg), 10 * kernels.shell_edges_cm
        volume = np.outer(-np.diff(np.cos(cones)), np.diff(shells**3))
        ahead = np.arange(1 - layers.size, layers.size) * _VOXEL_MM
        cone = np.searchsorted(cones, np.arctan2(radius_mm, ahead), side="right") - 1
        shell = np.searchsorted(shells, np.hypot(radius_mm, ahead), side="right") - 1
        shell = np.minimum(shell, shells.size - 2)
        density = (np.asarray(whole) / volume)[:, np.minimum(cone, cones.size - 2), shell]
        released = self.mu[:, None] * np.exp(-np.outer(self.mu, layers))
        spread = [np.convolve(a, b) for a, b in zip(released, density, strict=True)]
        first = layers.size - 1
        energy = self.softened(np.zeros(1))[0]
        return np.asarray(energy[:, None] * np.array(spread)[:, first : first + layers.size])


def field_doses(beam: _Beam, spectrum_name: str) -> tuple[Array, float]:
    """Dose (depths, fields) on the axis of square fields, Gy cm2; depth of the maximum, mm."""
    annuli = stored_annuli(spectrum_name)
    layers: Array = (np.arange(_LAYERS, dtype=np.float64) + 0.5) * _VOXEL_MM
    summed = np.cumsum(annuli * annulus_weights(beam, len(annuli), layers), axis=0)
    doses = np.stack([summed[side // int(2 * _VOXEL_MM) - 1] for side in _FIELDS_MM])
    middle = doses[_FIELDS_MM.index(100)]
    top = int(np.argmax(middle))
    bend = np.polyfit(layers[top - 1 : top + 2], middle[top - 1 : top + 2], 2)
    smooth = np.stack([_smoothed(layers, dose, top) for dose in doses])
    wanted = np.array(_DEPTHS_MM, float)
    at = np.stack([np.exp(np.interp(wanted, layers, np.log(dose))) for dose in smooth])
    return at.T, float(-bend[1] / (2 * bend[0]))


def annulus_weights(beam: _Beam, count: int, layers: Array) -> Array:
    """Dose (annuli, layers) on the axis from annuli of the machine, relative to uniform ones.

    Off axis there is another fluence of another spectrum. What that does to the dose on the
    axis is taken from the deposition kernels: every energy is released along its way, and a
    kernel takes it to the axis.
    """
    machine = beam.machine
    weights = np.empty((count, layers.size))
    for index in range(count):
        along = (index + 0.5) * _VOXEL_MM
        radii = np.hypot(along, np.linspace(0.0, along, 9))
        on_axis = beam.reaching_axis(float(radii.mean()), layers)
        total = np.zeros(layers.size)
        for radius in radii:
            profile = 1.0 if machine.profile is None else float(machine.profile(radius))
            oblique = machine.sad_mm**2 / (machine.sad_mm**2 + radius**2)
            share = beam.softened(np.array([radius]))[0] / beam.softened(np.zeros(1))[0]
            total += profile * oblique * (share @ on_axis) / on_axis.sum(axis=0)
        weights[index] = total / radii.size
    return weights


def _smoothed(layers: Array, dose: Array, top: int) -> Array:
    """Dose with the noise taken off behind the maximum: cubics of its logarithm, up to 95 mm."""
    result = dose.copy()
    for i in range(top, layers.size):
        reach = min((i - top) // 2, 9)
        if reach >= 3:
            near = slice(i - reach, min(i + reach + 1, layers.size))
            result[i] = np.exp(
                np.polyval(np.polyfit(layers[near] - layers[i], np.log(dose[near]), 3), 0)
            )
    return result


def _seen(source: PhotonSource, device: JawModel | MlcModel, side_mm: float, sigma: float) -> float:
    """Share of a source's width that is seen through an opening from the isocentre."""
    upper, lower = device.distance_mm - source.distance_mm, 1000.0 - device.distance_mm
    blur = sigma * lower / upper
    half = side_mm / 2 * device.distance_mm / 1000.0 * (1000.0 - source.distance_mm) / upper
    return erf(half / (sqrt(2) * blur))


def _head(machine: Machine, x: tuple[Any, float], y: tuple[Any, float]) -> float:
    """Fluence on the axis through an opening; each axis has its device and its side, mm."""
    total = 0.0
    for source in machine.sources:
        seen = _seen(source, *x, source.sigma_x_mm) * _seen(source, *y, source.sigma_y_mm)
        # The focal spot is wholly seen by definition: its penumbra is no head scatter.
        total += source.weight * (1.0 if source.distance_mm == 0 else seen)
    return total


def head_scatter(machine: Machine) -> dict[str, Any]:
    """Head scatter factors, 1 for the reference field, and the exchange factor of rectangles."""
    x, y = machine.jaws_x or machine.mlc, machine.jaws_y or machine.mlc
    side = machine.calibration.field_mm
    unit = _head(machine, (x, side), (y, side))

    def jaws(a: float, b: float) -> float:
        return _head(machine, (x, a), (y, b)) / unit

    squares = [jaws(s, s) for s in _HEAD_MM]
    rectangles = [(a, b) for a in (40, 80, 150, 400) for b in (40, 80, 150, 400) if a != b]

    def misfit(k: float) -> float:
        fit = [
            np.interp((1 + k) * a * b / (k * a + b), _HEAD_MM, squares) - jaws(a, b)
            for a, b in rectangles
        ]
        return float(np.sum(np.square(fit)))

    exchange = min(np.arange(0.3, 3.01, 0.05), key=misfit)
    leaves = [_head(machine, (machine.mlc, s), (machine.mlc, s)) / unit for s in _HEAD_MM]
    return {
        "side_mm": list(_HEAD_MM),
        "jaws": _rounded(squares),
        "exchange": round(float(exchange), 2),
        "leaves": _rounded(leaves),
    }


def table_record(name: str) -> dict[str, Any]:
    """Return the content of one table file."""
    machine = load_machine(name)
    beam = _Beam(machine)
    depths = np.array(_DEPTHS_MM, float)
    doses, deepest = field_doses(beam, machine.spectrum.name)
    doses = np.column_stack((beam.primary_dose(depths), doses))
    row = doses[_DEPTHS_MM.index(_REFERENCE_DEPTH_MM)]
    buildup = float(np.ceil((deepest + _BEHIND_MAXIMUM_MM) / 5) * 5)
    keep = depths >= max(_DEPTHS_MM[0], np.floor(buildup / 10) * 10)
    off_axis = beam.off_axis(np.array(_OFF_AXIS_MM, float), np.array(_OFF_AXIS_DEPTHS_MM, float))
    calibration = machine.calibration
    mlc = machine.mlc
    return {
        "schema": MU_TABLES_SCHEMA,
        "machine": name,
        "machine_sha256": machine.provenance["machine_sha256"],
        "energy_mv": machine.energy_mv,
        "fluence_mode": machine.fluence_mode,
        "sad_mm": machine.sad_mm,
        "reference": {
            "gray_per_mu": calibration.gray_per_mu,
            "depth_mm": calibration.depth_mm,
            "ssd_mm": calibration.ssd_mm,
            "field_mm": calibration.field_mm,
        },
        "buildup_mm": buildup,
        "head_scatter": head_scatter(machine),
        "water": {
            "field_mm": [0, *_FIELDS_MM],
            "depth_mm": depths[keep].tolist(),
            "phantom_scatter": _rounded(row / row[1 + _FIELDS_MM.index(100)]),
            "tpr": [_rounded(line) for line in (doses / row)[keep]],
        },
        "off_axis": {
            "radius_mm": list(_OFF_AXIS_MM),
            "depth_mm": list(_OFF_AXIS_DEPTHS_MM),
            "ratio": [_rounded(line) for line in off_axis],
        },
        "transmission": {
            "jaws_x": None if machine.jaws_x is None else machine.jaws_x.transmission,
            "jaws_y": None if machine.jaws_y is None else machine.jaws_y.transmission,
            "leaves": None if mlc is None else mlc.transmission,
        },
        "leaf_tip_offset_mm": 0.0 if mlc is None else mlc.tip_offset_mm,
        "widest_mm": machine.limits.field_max_mm,
        "provenance": _provenance(machine),
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(v), 5) for v in values]


def _provenance(machine: Machine) -> dict[str, str]:
    digest = hashlib.sha256(_ANNULI.read_bytes()).hexdigest()
    return {
        "status": "calculated, not measured: a check with these tables shares no code with the "
        "engines, but the spectrum, the head model and the cross sections that both start from. "
        "It cannot find an error in those. A clinic must put its own measured tables here",
        "recipe": "kernels/make_mu_tables.py",
        "water": f"Monte Carlo of this project (core/transport): pencil of {machine.spectrum.name} "
        f"photons in water, {_HISTORIES} histories split 48-fold, {_VOXEL_MM:g} mm layers, summed "
        "over square annuli weighted with the machine's fluence off axis; noise about 0.1 %, "
        "smoothed behind the maximum",
        "water_sha256": digest,
        "field_0": "primary photons alone, by attenuation of the spectrum and first moment of the "
        "primary deposition kernel",
        "head_scatter": "share of the model's extended source seen from the isocentre",
        "off_axis": "profile, obliquity and softening of the model; collision kerma at depth",
        "transmission": "of the machine model",
    }


def main() -> None:
    """Write everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--annuli", action="store_true", help="repeat the Monte Carlo run")
    names = list_machines()
    if parser.parse_args().annuli:
        write_annuli(sorted({load_machine(name).spectrum.name for name in names}))
    for name in names:
        text = json.dumps(table_record(name), indent=2)
        text = re.sub(r"\[[^][{}]*\]", lambda found: re.sub(r"\s+", " ", found.group()), text)
        (_FOLDER / f"{name}.json").write_text(text.replace("[ ", "[").replace(" ]", "]") + "\n")


if __name__ == "__main__":
    main()
