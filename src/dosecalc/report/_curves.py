"""Dose-volume histograms, or dose profiles where there are no structures."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dosecalc.records.result import Result, StructureResult
from dosecalc.report.drawn_names import drawn

__all__ = ["draw_dvh", "draw_profiles"]

_MOST_CURVES = 10
# Dashes and colours: neighbours differ in both, and in print by dash alone.
_STYLES: tuple[tuple[str, Any], ...] = (
    ("#a50f15", "-"),
    ("#08519c", (0, (6, 2))),
    ("#006d2c", (0, (2, 1.5))),
    ("#6a3d9a", (0, (6, 2, 1, 2))),
    ("#d94801", (0, (1, 1))),
    ("#303030", (0, (10, 3))),
    ("#1b9e77", (0, (6, 2, 1, 2, 1, 2))),
    ("#7a5230", (0, (3, 3))),
    ("#c51b8a", (0, (1, 3))),
    ("#636363", "-"),
)


def draw_dvh(result: Result, panel: Axes) -> str:
    """Draw cumulative histograms; return a sentence on structures that are not shown.

    Targets come first, then the other structures from the highest D2 down.
    """
    curves = [s for s in result.structures if s.dvh is not None]
    curves.sort(key=_rank)
    shown = curves[:_MOST_CURVES]
    most = 1.05 * (result.maximum[0] or 1.0)
    for i, one in enumerate(shown):
        dvh = one.dvh
        if dvh is None:
            continue
        colour, dash = _STYLES[i % len(_STYLES)]
        name = drawn(one.structure.name) + ("" if dvh.is_complete else " (part)")
        width = 2.2 if one.structure.is_target else 1.4
        dvh.plot(panel, most_gy=most, color=colour, ls=dash, lw=width, label=name)
    if result.full.meaning != "maximum":
        panel.axvline(result.full.gray, color="black", lw=0.8, ls=(0, (4, 3)))
        panel.text(
            result.full.gray, 106, f"{result.full.gray:.4g} {result.dose.unit}", fontsize=7.5,
            ha="center", va="bottom",
        )  # fmt: skip
    panel.set_xlim(0, most)
    panel.set_ylim(0, 105)
    panel.set_yticks(range(0, 101, 20))
    panel.set_xlabel(f"dose / {result.dose.unit}", fontsize=8, labelpad=1)
    panel.set_ylabel("volume receiving at least this dose / %", fontsize=8, labelpad=1)
    panel.set_title("dose-volume histogram", fontsize=10)
    _finish(panel)
    return _left_out(result, curves)


def _rank(one: StructureResult) -> tuple[bool, float]:
    return (not one.structure.is_target, 0.0 if one.dvh is None else -one.dvh.dose_at_volume(2))


def _left_out(result: Result, curves: list[StructureResult]) -> str:
    parts = []
    if len(curves) > _MOST_CURVES:
        parts.append(f"{_MOST_CURVES} of {len(curves)} structures in the histogram")
    outside = [drawn(s.structure.name) for s in result.structures if s.dvh is None]
    if outside:
        parts.append(f"outside the dose grid: {', '.join(outside)}")
    cut_off = [
        drawn(s.structure.name) for s in curves if s.dvh is not None and not s.dvh.is_complete
    ]
    if cut_off:
        parts.append(f"partly outside the dose grid: {', '.join(cut_off)}")
    return "; ".join(parts) + ("." if parts else "")


def draw_profiles(result: Result, panel: Axes) -> str:
    """Draw the dose along x, y and z through the cross of the planes, in percent."""
    grid, gray = result.dose.grid, result.dose.gray
    index = [
        int(np.clip(np.rint(i), 0, n - 1))
        for i, n in zip(grid.index_of(result.centre), grid.shape, strict=True)
    ]
    lines = {
        "x": gray[index[0], index[1], :],
        "y": gray[index[0], :, index[2]],
        "z": gray[:, index[1], index[2]],
    }
    for (axis, line), (colour, dash) in zip(lines.items(), _STYLES, strict=False):
        percent = 100 * line / result.full.gray
        panel.plot(
            grid.centres(axis), percent, color=colour, ls=dash, lw=1.5, label=f"along {axis}"
        )
    panel.set_xlabel("position / mm", fontsize=8, labelpad=1)
    panel.set_ylabel(f"dose / % of {result.full.meaning}", fontsize=8, labelpad=1)
    panel.set_ylim(bottom=0)
    panel.set_title("profiles through the voxel at the cross", fontsize=10)
    _finish(panel)
    return ""


def _finish(panel: Axes) -> None:
    panel.tick_params(labelsize=7, length=2)
    panel.grid(visible=True, color="0.85", lw=0.6)
    panel.set_axisbelow(True)
    panel.legend(fontsize=7.5, handlelength=3.6, framealpha=0.9)
