"""Two doses beside each other: planes through the largest difference, and histograms."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dosecalc.model import Grid
from dosecalc.records.result import cut
from dosecalc.report.drawn_names import drawn
from dosecalc.report.page.difference_colours import MARK_PERCENT, SCALE_PERCENT, difference_map
from dosecalc.report.page.histogram import marker_place
from dosecalc.report.page.viewer import drawn_structures
from dosecalc.report.page.words import Words
from dosecalc.verification.verification import Verification
from dosecalc.verification.where import patient_voxels

__all__ = ["beyond_scale", "draw_comparison"]

_LEVELS = (20.0, 50.0, 80.0, 95.0)
# Percent of the prescription: below that in both doses no difference is coloured.
_LOWEST = 10.0


def draw_comparison(verification: Verification, words: Words) -> bytes:
    """Return a PNG: isodoses of both doses, the difference in colour, histograms of both.

    Planes cross at the largest difference, or at the first isocentre where there is no
    reference. Reference lines are dashed, calculated ones are not, and large differences are
    hatched by their sign, so that print in black and white says the same.
    """
    v = verification
    point = v.plan.beams[0].control_points[0].isocentre if v.largest is None else v.largest.point
    grid = v.calculated.grid
    calculated = 100 * v.calculated.gray / np.float32(v.prescribed_gy)
    density = cut(v.phantom.density, v.phantom.grid, point)
    planes = cut(calculated, grid, point)
    other = missing = patient = None
    if v.reference is not None:
        known = 100 * v.reference.on(grid) / v.prescribed_gy
        other = cut(np.nan_to_num(known, nan=0.0).astype(np.float32), grid, point)
        # The air around the patient counts in no rule.
        patient = cut(patient_voxels(v.phantom, grid, v.apart).astype(np.float32), grid, point)
        missing = cut(np.isnan(known).astype(np.float32), grid, point)
    figure = Figure(figsize=(11.7, 8.6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    for n, name in enumerate(("axial", "coronal", "sagittal")):
        axes, first = panels.flat[n], getattr(planes, name)
        extent, lines = _extent(grid, n)
        axes.imshow(
            getattr(density, name), cmap="gray", vmin=0, vmax=2, extent=extent, origin="lower"
        )
        if other is not None:
            second = getattr(other, name)
            hidden = (getattr(missing, name) > 0) | (np.maximum(first, second) < _LOWEST)
            hidden |= getattr(patient, name) == 0
            _difference(axes, np.ma.masked_where(hidden, first - second), extent, lines)
            axes.contour(*lines, second, levels=_LEVELS, colors="black", linestyles="dashed",
                         linewidths=0.9)  # fmt: skip
        drawn = axes.contour(*lines, first, levels=_LEVELS, colors="black", linewidths=0.9)
        axes.clabel(drawn, fmt="%g%%", fontsize=7)
        _label_plane(axes, n, name, point, words)
    if other is not None:
        _colour_bar(figure, panels[0, 1], v, words)
    _histograms(v, panels[1, 1], words)
    buffer = io.BytesIO()
    with rc_context({"hatch.linewidth": 0.5}):
        figure.savefig(buffer, format="png", metadata={"Software": "dosecalc"})
    return buffer.getvalue()


def _difference(
    axes: Axes,
    shown: np.ma.MaskedArray[Any, np.dtype[np.float32]],
    extent: tuple[float, float, float, float],
    lines: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    """Colour a plane of differences, the more the larger, and hatch by sign what is large."""
    strength = 0.75 * np.clip(np.abs(shown.filled(0.0)) / MARK_PERCENT, 0, 1)
    axes.imshow(
        shown, cmap=difference_map(), vmin=-SCALE_PERCENT, vmax=SCALE_PERCENT, alpha=strength,
        extent=extent, origin="lower",
    )  # fmt: skip
    for low, high, hatch in ((MARK_PERCENT, np.inf, "////"), (-np.inf, -MARK_PERCENT, "....")):
        if np.ma.count(np.ma.masked_outside(shown, low, high)):
            axes.contourf(*lines, shown, levels=[max(low, -1e6), min(high, 1e6)], colors="none",
                          hatches=[hatch])  # fmt: skip


def _label_plane(
    axes: Axes, plane: int, name: str, point: tuple[float, float, float], words: Words
) -> None:
    """Mark the point, and say where the plane lies."""
    across, along = ((0, 1), (0, 2), (1, 2))[plane]
    axes.plot(point[across], point[along], "+", color="black", ms=14)
    place = words.number(point[2 - plane], 1)
    axes.set(title=f"{words(name)}, {'zyx'[plane]} = {place} mm", aspect="equal")
    axes.set(xlabel=f"{'xyz'[across]}, mm", ylabel=f"{'xyz'[along]}, mm")
    if plane == 0:
        axes.invert_yaxis()


def _colour_bar(figure: Figure, axes: Axes, v: Verification, words: Words) -> None:
    """Explain colours and hatches, and say it where the largest difference is beyond them."""
    about = f"{words('readout_difference')}, % {words('readout_of_prescription')}"
    mark = words.number(MARK_PERCENT, 0)
    hatches = ",  ".join(words(f"hatch_{side}", percent=mark) for side in ("above", "below"))
    parts = [about, hatches, beyond_scale(v, words)]
    scale = ScalarMappable(Normalize(-SCALE_PERCENT, SCALE_PERCENT), difference_map())
    figure.colorbar(scale, ax=axes, extend="both")
    figure.supxlabel("    ".join(part for part in parts if part), fontsize=9)


def beyond_scale(v: Verification, words: Words) -> str:
    """Say that the largest difference is beyond the colours, "" where it is not."""
    if v.largest is None or abs(v.largest.percent_of_prescription) <= SCALE_PERCENT:
        return ""
    percent = words.number(v.largest.percent_of_prescription, 1, signed=True)
    return words("beyond_scale", percent=percent)


def _extent(
    grid: Grid, plane: int
) -> tuple[tuple[float, float, float, float], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    across, along = (("x", "y"), ("x", "z"), ("y", "z"))[plane]
    a, b = grid.centres(across), grid.centres(along)
    (da, db) = (grid.spacing["xyz".index(name)] / 2 for name in (across, along))
    return (a[0] - da, a[-1] + da, b[0] - db, b[-1] + db), (a, b)


def _histograms(v: Verification, axes: Axes, words: Words) -> None:
    for one in drawn_structures(v):
        if not one.shown:
            continue
        for dvh, dash in ((one.row.reference, "--"), (one.row.calculated, "-")):
            if dvh is None:
                continue
            name = f"{one.number} {drawn(one.row.structure.name)}"
            label = name if dash == "-" or one.row.calculated is None else None
            dvh.plot(axes, ls=dash, color=one.colour, lw=1.2, label=label)
        mark = marker_place(one)
        if mark is not None:
            # The number on a curve tells structures apart in black and white.
            frame = {"boxstyle": "circle,pad=0.2", "fc": "white", "ec": one.colour}
            axes.text(*mark, str(one.number), fontsize=7, ha="center", va="center", bbox=frame)
    axes.set(
        xlabel=words("dvh_dose"), ylabel=words("dvh_volume"), title=words("dvh_title"),
        xlim=(0, None), ylim=(0, 102),
    )  # fmt: skip
    if v.rows:
        axes.legend(fontsize=7)
