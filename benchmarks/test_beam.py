"""From control points to photon fluence: a sliding-window beam of a treatment plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.conftest import Baseline, Timing
from benchmarks.machine import Limits
from dosecalc.beam import beam_fluences
from dosecalc.data.machines import load_machine
from dosecalc.io.dicom import read_dataset, read_plan

_PIXEL_MM = 1.0


@pytest.mark.samples
def test_sliding_window(timed: Timing, limits: Limits, samples: Path) -> None:
    plan = read_plan(read_dataset(samples / "breast-swin-imrt" / "rtplan.dcm"))
    beam = max((b for b in plan.beams if b.energy_mv == 6), key=lambda b: len(b.control_points))
    machine = load_machine("generic-6mv")
    (fluence,) = beam_fluences(beam, plan.position, machine, pixel_mm=_PIXEL_MM)
    intervals = len(beam.control_points) - 1
    pixels = fluence.values.size

    def info(median: float) -> dict[str, Any]:
        return {
            "pixels": pixels,
            "intervals": intervals,
            "sources": len(machine.sources),
            "ns_per_pixel_and_interval": 1e9 * median / (pixels * intervals),
        }

    text = "updating the map once per control-point interval"
    baseline = Baseline(text, limits.memory_seconds(2 * 4 * pixels * intervals, 1))
    timed(lambda: beam_fluences(beam, plan.position, machine, pixel_mm=_PIXEL_MM), baseline, info)
