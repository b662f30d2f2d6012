"""Cuts, point values, what 100 % is, and the record."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from dosecalc.model import (
    Beam,
    Contour,
    ControlPoint,
    Dose,
    Grid,
    PatientPosition,
    Phantom,
    Plan,
    Prescription,
    Structure,
    StructureSet,
)
from dosecalc.records.record import NOT_CHECKED, file_sha256, run_record, to_json
from dosecalc.records.result import cut, evaluate, full_dose

GRID = Grid((8, 10, 12), (2.5, 3.0, 4.0), (-11.0, -13.5, -22.0))


def linear(grid: Grid = GRID) -> np.ndarray:
    z, y, x = np.meshgrid(grid.centres("z"), grid.centres("y"), grid.centres("x"), indexing="ij")
    return (100 + x + 2 * y + 3 * z).astype(np.float32)


def plan(*, fractions: int | None = 30, prescribed: float | None = 60.0) -> Plan:
    states = tuple(
        ControlPoint(f, 0.0, 0.0, 0.0, (0.0, 0.0, -8.0), (-50, 50), (-50, 50)) for f in (0.0, 1.0)
    )
    beam = Beam(1, "AP", 6.0, "STANDARD", "linac", 1000.0, 100.0, states)
    wanted = () if prescribed is None else (Prescription("PTV", prescribed),)
    organ = Prescription("cord", 70.0, "ORGAN_AT_RISK")
    return Plan((beam,), PatientPosition.HFS, fractions, (*wanted, organ))


def structure_set() -> StructureSet:
    square = np.array([[-6.0, -6.0], [6.0, -6.0], [6.0, 6.0], [-6.0, 6.0]])
    contours = tuple(Contour(z, square) for z in (-14.0, -10.0, -6.0))
    far = tuple(Contour(z, square) for z in (500.0, 504.0))
    return StructureSet(
        (
            Structure(1, "PTV", "PTV", contours),
            Structure(2, "elsewhere", "ORGAN", far),
            Structure(3, "empty", "ORGAN"),
        )
    )


def result(dose: Dose | None = None, **words):
    phantom = Phantom(
        GRID, np.ones(GRID.shape, np.float32), np.zeros(GRID.shape, np.uint8), ("water",)
    )
    return evaluate("case", dose or Dose(GRID, linear(), "medium"), phantom, plan(), **words)


def test_cuts_go_through_the_point():
    planes = cut(linear(), GRID, (1.0, 2.0, -5.0))
    x, y, z = (GRID.centres(axis) for axis in "xyz")
    assert planes.axial == pytest.approx(100 + x + 2 * y[:, None] - 15.0, abs=1e-4)
    assert planes.coronal == pytest.approx(100 + x + 4.0 + 3 * z[:, None], abs=1e-4)
    assert planes.sagittal == pytest.approx(101 + 2 * y + 3 * z[:, None], abs=1e-4)


@pytest.mark.parametrize(
    ("summation", "prescribed", "fractions", "gray", "meaning"),
    [
        ("PLAN", 60.0, 30, 60.0, "prescription"),
        ("FRACTION", 60.0, 30, 2.0, "prescription per fraction"),
        ("FRACTION", 60.0, None, 154.5, "maximum"),
        ("PLAN", None, 30, 154.5, "maximum"),
    ],
)
def test_what_100_percent_is(summation, prescribed, fractions, gray, meaning):
    dose = Dose(GRID, linear(), "medium", summation=summation)
    full = full_dose(plan(fractions=fractions, prescribed=prescribed), dose)
    assert full.meaning == meaning
    assert full.gray == pytest.approx(float(linear().max()) if meaning == "maximum" else gray)


def test_structures_have_histograms_or_a_remark():
    found = {s.structure.name: s for s in result(structures=structure_set()).structures}
    assert set(found) == {"PTV", "elsewhere"}
    dvh = found["PTV"].dvh
    assert dvh is not None
    # Linear dose: the mean is the dose at the middle of the box, (0, 0, -10); voxels cut by its
    # faces stand for their part inside with the dose of their centre.
    assert dvh.mean_gy == pytest.approx(70.0, abs=0.05)
    assert found["PTV"].structure.is_target
    assert found["elsewhere"].dvh is None
    assert "outside the dose grid" in found["elsewhere"].remark


def test_the_record_counts_voxels_and_states_the_histograms_own_ends():
    """A box of 12 x 12 x 12 mm3 touches 6 x 4 x 3 voxels; its hottest corner has 106 Gy."""
    found = result(structures=structure_set())
    record = run_record(
        found, command=(), inputs=(), outputs={}, timings_s={}, choices={}, not_checked=()
    )
    ptv = record["structures"][0]
    dvh = found.structures[0].dvh
    assert ptv["voxels"] == 6 * 4 * 3
    assert ptv["volume_cm3"] == pytest.approx(1.728, rel=1e-6)
    # 100 + x + 2 y + 3 z at the corners (6, 6, -4) and (-6, -6, -16) mm, which the cells of the
    # histogram reach to within some tenths of a millimetre.
    assert ptv["maximum"] == pytest.approx(106.0, abs=1.0)
    assert ptv["minimum"] == pytest.approx(34.0, abs=1.0)
    assert (ptv["maximum"], ptv["minimum"]) == (dvh.maximum_gy, dvh.minimum_gy)


def test_a_recipe_is_shown_where_its_axis_is_hottest():
    y = GRID.centres("y")
    gray = np.broadcast_to(np.exp(-(((y - 4.5) / 5) ** 2))[:, None], GRID.shape)
    shown = result(Dose(GRID, gray, "medium"))
    assert shown.isocentre == (0.0, 0.0, -8.0)
    # To the step of the search, one voxel.
    assert shown.centre[1] == pytest.approx(4.5, abs=2.5)
    assert shown.centre[0] == 0.0
    assert result(Dose(GRID, gray, "medium"), structures=structure_set()).centre == shown.isocentre


def test_the_record_holds_what_it_takes_to_repeat(tmp_path):
    file = tmp_path / "in.dcm"
    file.write_bytes(b"content")
    shown = replace(result(structures=structure_set()), notes=("a note",))
    record = run_record(
        shown,
        command=["dosecalc", "calc"],
        inputs=[{"name": "in.dcm", "sha256": file_sha256(file)}],
        outputs={"RTDOSE.dcm": "0" * 64},
        timings_s={"stage": 1.23456},
        choices={"machines": {"1": "generic-6mv"}},
        not_checked=NOT_CHECKED,
    )
    loaded = json.loads(to_json(record))
    assert loaded["program"]["version"]
    assert {"python", "numpy", "numba"} <= set(loaded["program"])
    assert loaded["inputs"][0]["sha256"] == (
        "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    )
    assert all(len(digest) == 64 for digest in loaded["physical_data_sha256"].values())
    assert loaded["grid"] == {
        "voxels_xyz": [12, 10, 8],
        "spacing_mm": [2.5, 3.0, 4.0],
        "first_centre_mm": [-11.0, -13.5, -22.0],
    }
    assert loaded["dose"]["maximum"] == shown.maximum[0]
    assert loaded["dose"]["at_isocentre"] == pytest.approx(76.0, abs=1e-3)
    assert loaded["plan"]["mu_total"] == 3000.0
    assert loaded["structures"][0]["mean"] == shown.structures[0].dvh.mean_gy
    assert loaded["timings_s"] == {"stage": 1.235}
    assert loaded["notes"] == ["a note"]
    assert loaded["not_checked"]


def test_a_number_that_is_none_never_enters_a_record():
    with pytest.raises(ValueError, match="JSON"):
        to_json({"dose": float("nan")})
