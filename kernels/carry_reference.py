"""Carry EGSnrc reference results into the package as small data files with provenance.

Run ``python kernels/carry_reference.py ../shared/reference`` to write

* ``xcom_photon.csv``: photon cross sections, elements of the shipped materials only;
* ``radiative_stopping.csv``: radiative stopping powers of electrons in water and aluminium;
* ``reference/*.npz``: axis curves and profiles of the validation cases.

The originals are too large to ship and do not change; this records how the shipped
extracts came from them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

_HERE = Path(__file__).parent
_ELEMENTS = {1, 6, 7, 8, 11, 12, 13, 15, 16, 17, 18, 19, 20, 22, 26, 29, 30, 53, 74, 82}


def carry_cross_sections(reference: Path) -> None:
    """Keep the elements that materials are made of, from 1 keV to 60 MeV."""
    kept = []
    for line in (reference / "xcom_photon.csv").read_text().splitlines():
        if line.startswith(("#", "Z,")):
            kept.append(line)
            continue
        z, _, energy, _ = line.split(",")
        if int(z) in _ELEMENTS and 0.00099 <= float(energy) <= 60:
            kept.append(line)
    (_HERE / "xcom_photon.csv").write_text("\n".join(kept) + "\n")


def carry_radiative_losses(reference: Path) -> None:
    """Keep the radiative stopping powers of the two media between which others are interpolated."""
    lines = (reference / "electron_stopping.csv").read_text().splitlines()
    losses: dict[str, dict[float, str]] = {"water": {}, "aluminium": {}}
    for line in lines:
        cells = line.split(",")
        if cells[0] in losses:
            losses[cells[0]][float(cells[3])] = cells[5].strip()
    rows = [
        f"{energy:g},{losses['water'][energy]},{losses['aluminium'][energy]}"
        for energy in losses["water"]
    ]
    header = [
        "# Radiative mass stopping powers of electrons",
        "# units: MeV, MeV cm2/g",
        "# source: integrated from NIST bremsstrahlung data (EGSnrc "
        "HEN_HOUSE/data/nist_brems.data, git 9edee3eb), by the project's reference run "
        "(electron_stopping.csv)",
        "kinetic_MeV,water,aluminium",
    ]
    (_HERE / "radiative_stopping.csv").write_text("\n".join(header + rows) + "\n")


def carry_case(reference: Path, case: str) -> None:
    """Keep the depth curve on the axis, cross profiles at five depths and a diagonal one."""
    with np.load(reference / f"{case}.npz") as data:
        x, y, z = (data[f"{a}_edges"] for a in "xyz")
        dose, unc = data["dose"], data["rel_unc"]
    record = json.loads((reference / f"{case}.json").read_text())
    near = [np.flatnonzero(np.abs((e[1:] + e[:-1]) / 2) < 0.26) for e in (x, y)]
    depths = [int(np.searchsorted(z, d)) for d in (1.6, 5.1, 10.1, 15.1, 20.1)]
    profile = dose[:, near[1]][:, :, depths].mean(axis=1)
    profile_unc = unc[:, near[1]][:, :, depths].mean(axis=1) / np.sqrt(near[1].size)
    np.savez_compressed(
        _HERE / "reference" / f"{case}.npz",
        z_edges_cm=z,
        axis=dose[np.ix_(*near)].mean(axis=(0, 1)),
        # The voxels about the axis are mirror images of one another, so their mean is
        # as uncertain as one of them.
        axis_rel_unc=unc[np.ix_(*near)].mean(axis=(0, 1)),
        x_edges_cm=x,
        near_y_cm=y[[near[1][0], near[1][-1] + 1]],
        near_x_cm=x[[near[0][0], near[0][-1] + 1]],
        profile_depth_edges_cm=np.array([[z[k], z[k + 1]] for k in depths]),
        profiles=profile.T,
        profiles_rel_unc=profile_unc.T,
    )
    (_HERE / "reference" / f"{case}.json").write_text(
        json.dumps(
            {
                "case": case,
                "description": record["description"],
                "unit": "Gy cm2 per unit photon fluence in air at the foot of the axis on the "
                "surface plane",
                "source": "EGSnrc DOSXYZnrc, git 9edee3ebfda3d81d0e8eb033a7e76bf9a70e41ef",
                "histories": record["histories"],
                "original_sha256": hashlib.sha256(
                    (reference / f"{case}.npz").read_bytes()
                ).hexdigest(),
                "recipe": "kernels/carry_reference.py",
            },
            indent=1,
        )
        + "\n"
    )


def main() -> None:
    """Write all data files from the folder named on the command line."""
    reference = Path(sys.argv[1])
    carry_cross_sections(reference)
    carry_radiative_losses(reference)
    for path in sorted(reference.glob("S*.npz")):
        carry_case(reference, path.stem)


if __name__ == "__main__":
    main()
