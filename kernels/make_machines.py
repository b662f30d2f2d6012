"""Write the generic machine models and the spectrum of the filter-free one.

Run ``python kernels/make_machines.py`` to rewrite ``machines/*.json`` and
``spectra/mohan6-unfiltered.csv``. The models describe no real accelerator: each number
is published geometry, rounded, or an assumption, and says which in its provenance.
Two things are calculated here:

* the filter-free 6 MV spectrum: Mohan's flattened one with the attenuation of 2.3 cm of
  iron on the axis, the order of a 6 MV flattening filter, taken back;
* the off-axis softening k(r): the water that must be taken from the path of the axial
  spectrum so that its half-value layer in water, in collision kerma and narrow beam, falls
  as Tailor et al., Med Phys 25:662 (1998), found for many accelerators:
  mu(theta) / mu(0) = 1 + 0.00181 theta + 0.00202 theta^2 - 0.0000942 theta^3, theta in degrees.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dosecalc.data.cross_sections import coefficients
from dosecalc.data.machines import MACHINE_SCHEMA
from dosecalc.data.materials import load_material
from dosecalc.data.spectra import load_spectrum

_HERE = Path(__file__).parent
_FILTER_CM = 2.3
_SOFTENING_RADII_MM = (0, 25, 50, 75, 100, 125, 150, 175, 200, 250)

_PROFILE_FLAT = {
    "radius_mm": [0, 20, 50, 100, 150, 200, 250, 290],
    "value": [1.0, 1.005, 1.016, 1.035, 1.055, 1.07, 1.07, 1.06],
}
_PROFILE_FFF = {
    "radius_mm": [0, 10, 20, 30, 50, 75, 100, 150, 200, 250, 290],
    "value": [1.0, 0.996, 0.985, 0.969, 0.929, 0.868, 0.804, 0.686, 0.592, 0.52, 0.475],
}

_TEXT = {
    "status": "generic: made from published numbers and assumptions, fitted to no accelerator; "
    "for research, teaching and tests, not for clinical decisions before commissioning",
    "recipe": "kernels/make_machines.py",
    "sources": "focal spot: Gaussian, sigma 0.9 mm (about 2 mm FWHM, the upper end of "
    "measured spots, e.g. Sawkey and Faddegon, Med Phys 36:5622 (2009)). Second source: one "
    "Gaussian for scatter from filter and primary collimator at 125 mm; weight and width are "
    "assumptions chosen so that fluence on the axis rises by about 7 % (flattened) from 4 to "
    "40 cm square, as head scatter factors of such machines do",
    "calibration": "0.01 Gy/MU in water at 10 cm depth, SSD 90 cm, 10x10 cm2 at the isocentre: "
    "a convention, to be replaced by that of the machine",
    "limits": "fields from 1 to 40 cm: below 1 cm the source model is not good enough",
}
_TEXT_FLAT = {
    "profile": "energy fluence per solid angle relative to the axis: mild horns, generic "
    "assumption; the inverse square to a plane is not part of it",
    "softening": "k(r) in cm of water such that the half-value layer follows Tailor et al., Med "
    "Phys 25:662 (1998); coefficients as commonly quoted, solved by the recipe",
}
_TEXT_FFF = {
    "spectrum": "Mohan 6 MV with the attenuation of 2.3 cm of iron taken back on the axis "
    "(kernels/make_machines.py): softened, and stated to be no measured spectrum",
    "profile": "energy fluence per solid angle relative to the axis: peaked as filter-free 6 MV "
    "beams are (Georg, Knoos and McClean, Med Phys 38:1280 (2011)), generic assumption",
    "softening": "none: without a flattening filter the spectrum hardly changes off axis",
}

_MILLENNIUM: dict[str, Any] = {
    "jaws_x": {"distance_mm": 445.0, "transmission": 0.001, "range_mm": [-200.0, 200.0]},
    "jaws_y": {"distance_mm": 357.0, "transmission": 0.001, "range_mm": [-200.0, 200.0]},
    "mlc": {
        "axis": "x",
        "boundaries_mm": [*range(-200, -100, 10), *range(-100, 100, 5), *range(100, 201, 10)],
        "transmission": 0.015,
        "tip_offset_mm": 0.85,
        "distance_mm": 510.0,
        "range_mm": [-200.0, 200.0],
    },
}
_TEXT_MILLENNIUM = {
    "geometry": "like a Varian head with Millennium 120 leaves: upper (Y) and lower (X) jaws end "
    "at 357 and 445 mm, leaf centres at 510 mm, 40 inner pairs of 5 mm and 2 x 10 outer pairs of "
    "10 mm; published values, rounded",
    "transmission": "jaws 0.1 %; leaves 1.5 % with the gaps between them; dosimetric leaf gap "
    "1.7 mm (tip offset 0.85 mm): typical published values, generic assumption",
}
_AGILITY: dict[str, Any] = {
    "jaws_x": None,
    "jaws_y": {"distance_mm": 508.0, "transmission": 0.001, "range_mm": [-200.0, 200.0]},
    "mlc": {
        "axis": "x",
        "boundaries_mm": [*range(-200, 201, 5)],
        "transmission": 0.004,
        "tip_offset_mm": 0.1,
        "distance_mm": 354.0,
        "range_mm": [-200.0, 200.0],
    },
}
_TEXT_AGILITY = {
    "geometry": "like an Elekta Agility head: 80 pairs of 5 mm, leaf centres at 354 mm, one pair "
    "of diaphragms (Y) that ends at 508 mm, no X jaws; published values, rounded",
    "transmission": "leaves 0.4 % (at most 0.44 % at 6 MV was measured, Thompson et al., Med "
    "Phys 41:031713 (2014)), diaphragms 0.1 %; tip offset 0.1 mm because the "
    "vendor's leaf positions refer to the radiation field: generic assumptions",
}

_QUALITIES: dict[str, dict[str, Any]] = {
    "6mv": {"energy_mv": 6.0, "fluence_mode": "STANDARD", "spectrum": "mohan6"},
    "6fff": {"energy_mv": 6.0, "fluence_mode": "FFF", "spectrum": "mohan6-unfiltered"},
    "10mv": {"energy_mv": 10.0, "fluence_mode": "STANDARD", "spectrum": "mohan10"},
    "15mv": {"energy_mv": 15.0, "fluence_mode": "STANDARD", "spectrum": "mohan15"},
}


def write_unfiltered_spectrum() -> None:
    """Take the attenuation of the flattening filter back from Mohan's 6 MV spectrum."""
    flat = load_spectrum("mohan6")
    middle = (flat.edges_low + flat.edges_high) / 2
    iron = load_material("iron")
    thickness = _FILTER_CM * iron.density_g_cm3
    photons = flat.photons * np.exp(coefficients(iron, middle).total * thickness)
    photons /= photons.sum()
    lines = [
        "# 6 MV without flattening filter, derived: no measured or simulated spectrum",
        f"# source: mohan6 times exp(+mu t), t = {_FILTER_CM:g} cm of iron, mu at the middle of "
        "each bin (kernels/make_machines.py); histogram, uniform within bin; normalised to 1",
        "E_low_MeV,E_high_MeV,probability",
    ]
    rows = zip(flat.edges_low, flat.edges_high, photons, strict=True)
    lines += [f"{low:g},{high:g},{share:.6g}" for low, high, share in rows]
    (_HERE / "spectra" / "mohan6-unfiltered.csv").write_text("\n".join(lines) + "\n")


def _half_value_layer(weights: NDArray[np.float64], mu: NDArray[np.float64]) -> float:
    """Water, g/cm2, that halves a narrow beam; weights are the kerma per energy bin."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        if np.sum(weights * np.exp(-mu * middle)) > 0.5 * weights.sum():
            low = middle
        else:
            high = middle
    return low


def _softening(spectrum_name: str) -> dict[str, list[float]]:
    """Solve for k at each radius, cm of water."""
    spectrum = load_spectrum(spectrum_name)
    energies = (spectrum.edges_low + spectrum.edges_high) / 2
    water = coefficients(load_material("water"), energies)
    kerma = spectrum.photons * energies * water.to_electrons
    on_axis = _half_value_layer(kerma, water.total)
    result = []
    for radius in _SOFTENING_RADII_MM:
        theta = float(np.degrees(np.arctan(radius / 1000.0)))
        ratio = 1 + 0.00181 * theta + 0.00202 * theta**2 - 0.0000942 * theta**3
        low, high = 0.0, 100.0
        for _ in range(60):
            k = (low + high) / 2
            softer = _half_value_layer(kerma * np.exp(k * water.total), water.total)
            low, high = (k, high) if softer > on_axis / ratio else (low, k)
        result.append(round(low, 2))
    return {"radius_mm": [float(r) for r in _SOFTENING_RADII_MM], "value": result}


def machine_record(quality: str, suffix: str) -> dict[str, Any]:
    """Return the content of one machine file."""
    fff = _QUALITIES[quality]["fluence_mode"] == "FFF"
    extra = 0.03 if fff else 0.08
    geometry, text = (
        (_AGILITY, _TEXT_AGILITY) if suffix == "-agility" else (_MILLENNIUM, _TEXT_MILLENNIUM)
    )
    return {
        "schema": MACHINE_SCHEMA,
        "name": f"generic-{quality}{suffix}",
        **_QUALITIES[quality],
        "sad_mm": 1000.0,
        "sources": [
            {"weight": 1 - extra, "sigma_x_mm": 0.9, "sigma_y_mm": 0.9, "distance_mm": 0.0},
            {"weight": extra, "sigma_x_mm": 22.0, "sigma_y_mm": 22.0, "distance_mm": 125.0},
        ],
        "profile": _PROFILE_FFF if fff else _PROFILE_FLAT,
        "softening": None if fff else _softening(_QUALITIES[quality]["spectrum"]),
        **geometry,
        "calibration": {
            "gray_per_mu": 0.01,
            "depth_mm": 100.0,
            "ssd_mm": 900.0,
            "field_mm": 100.0,
            "per_fluence": False,
        },
        "limits": {"field_min_mm": 10.0, "field_max_mm": 400.0, "sad_mm": 1000.0},
        "provenance": {**_TEXT, **text, **(_TEXT_FFF if fff else _TEXT_FLAT)},
    }


def _one_line(found: re.Match[str]) -> str:
    return re.sub(r"\s+", " ", found.group()).replace("[ ", "[").replace(" ]", "]")


def main() -> None:
    """Write everything."""
    write_unfiltered_spectrum()
    for quality in _QUALITIES:
        for suffix in ("", "-agility"):
            record = machine_record(quality, suffix)
            path = _HERE / "machines" / f"{record['name']}.json"
            text = re.sub(r"\[[^][{}]*\]", _one_line, json.dumps(record, indent=2))
            path.write_text(text + "\n")


if __name__ == "__main__":
    main()
