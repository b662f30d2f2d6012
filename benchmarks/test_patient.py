"""From a patient folder to a phantom, on the thorax CT of the samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Baseline, Timing
from benchmarks.machine import Limits, median_seconds
from dosecalc.data.hu_curves import load_hu_curve
from dosecalc.io.dicom import Case, import_folder
from dosecalc.patient.coverage import volume_fraction
from dosecalc.patient.dose_grid import dose_grid
from dosecalc.patient.phantom import phantom_from_ct

_PATIENT = "lung1-001-tcia"
_CURVE = "generic-120kvp"


@pytest.fixture(scope="module")
def case(samples: Path) -> Case:
    return import_folder(samples / _PATIENT, incomplete_ok=True)


@pytest.mark.samples
def test_ct_import(timed: Timing, samples: Path) -> None:
    folder = samples / _PATIENT
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)

    def info(median: float) -> dict[str, Any]:
        return {"files": len(files), "mb_per_s": size / median / 1e6}

    reading = median_seconds(lambda: [path.read_bytes() for path in files], 3)
    baseline = Baseline("reading the bytes of its files", reading)
    timed(lambda: import_folder(folder, incomplete_ok=True), baseline, info)


@pytest.mark.samples
def test_phantom(timed: Timing, limits: Limits, all_threads: int, case: Case) -> None:
    ct, structures = case.ct, case.structures
    assert ct is not None
    assert structures is not None
    curve = load_hu_curve(_CURVE)
    (body,) = structures.of_kind("EXTERNAL")
    grid = dose_grid(body, spacing=2.5, ct=ct)

    def info(median: float) -> dict[str, Any]:
        return {"ct_voxels": ct.hu.size, "ns_per_ct_voxel": 1e9 * median / ct.hu.size}

    text = "reading the CT numbers and writing densities"
    baseline = Baseline(text, limits.memory_seconds(2 * ct.hu.nbytes, all_threads))
    timed(lambda: phantom_from_ct(ct, structures, curve=curve, grid=grid), baseline, info)


@pytest.mark.samples
def test_volume_fraction(timed: Timing, limits: Limits, all_threads: int, case: Case) -> None:
    ct, structures = case.ct, case.structures
    assert ct is not None
    assert structures is not None
    (body,) = structures.of_kind("EXTERNAL")
    spacing = ct.grid.spacing[2]
    grid = dose_grid(body, spacing=2.5, ct=ct)
    size = 4 * grid.shape[0] * grid.shape[1] * grid.shape[2]
    corners = sum(len(contour.points) for contour in body.contours)

    def info(median: float) -> dict[str, Any]:
        return {"voxels": size // 4, "corners": corners, "ns_per_voxel": 4e9 * median / size}

    baseline = Baseline("writing the result", limits.memory_seconds(size, all_threads))
    timed(lambda: volume_fraction(body, grid, plane_spacing=spacing), baseline, info, seconds=1.0)
