"""Two doses beside each other: planes through the largest difference, and histograms."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dosecalc.model import Grid
from dosecalc.report.page.histogram import marker_place
from dosecalc.report.page.viewer import drawn_structures
from dosecalc.report.page.words import Words
from dosecalc.report.result import cut
from dosecalc.verify.difference import on_grid
from dosecalc.verify.verification import Verification

__all__ = ["draw_comparison"]

_LEVELS = (20.0, 50.0, 80.0, 95.0)
# Of the prescription, either way: differences beyond are shown alike.
_SCALE_PERCENT = 5.0


def draw_comparison(verification: Verification, words: Words) -> bytes:
    """Return a PNG: isodoses of both doses, the difference in colour, histograms of both.

    Planes cross at the largest difference, or at the first isocentre where there is no
    reference. Reference lines are dashed, calculated ones are not, so that print in black and
    white says the same.
    """
    v = verification
    point = v.plan.beams[0].control_points[0].isocentre if v.largest is None else v.largest.point
    grid = v.calculated.grid
    calculated = 100 * v.calculated.gray / np.float32(v.prescribed_gy)
    density = cut(v.phantom.density, v.phantom.grid, point)
    planes = cut(calculated, grid, point)
    other = None
    if v.reference is not None:
        known = 100 * on_grid(v.reference, grid) / v.prescribed_gy
        other = cut(np.nan_to_num(known, nan=0.0).astype(np.float32), grid, point)
        missing = cut(np.isnan(known).astype(np.float32), grid, point)
    figure = Figure(figsize=(11.7, 8.6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    image = None
    for n, name in enumerate(("axial", "coronal", "sagittal")):
        axes = panels.flat[n]
        first = getattr(planes, name)
        extent, lines = _extent(grid, n)
        axes.imshow(
            getattr(density, name), cmap="gray", vmin=0, vmax=2, extent=extent, origin="lower"
        )
        if other is not None:
            second = getattr(other, name)
            shown = np.ma.masked_where(
                (getattr(missing, name) > 0) | (np.maximum(first, second) < 10), first - second
            )
            image = axes.imshow(
                shown, cmap="RdBu_r", vmin=-_SCALE_PERCENT, vmax=_SCALE_PERCENT, alpha=0.6,
                extent=extent, origin="lower",
            )  # fmt: skip
            axes.contour(*lines, second, levels=_LEVELS, colors="black", linestyles="dashed",
                         linewidths=0.9)  # fmt: skip
        drawn = axes.contour(*lines, first, levels=_LEVELS, colors="black", linewidths=0.9)
        axes.clabel(drawn, fmt="%g%%", fontsize=7)
        across, along = ((0, 1), (0, 2), (1, 2))[n]
        axes.plot(point[across], point[along], "+", color="black", ms=14)
        axes.set(
            title=f"{words(name)}, {'zyx'[n]} = {words.number(point[2 - n], 1)} mm", aspect="equal"
        )
        axes.set(xlabel=f"{'xyz'[across]}, mm", ylabel=f"{'xyz'[along]}, mm")
        if n == 0:
            axes.invert_yaxis()
    if image is not None:
        figure.colorbar(
            image,
            ax=panels[0, 1],
            label=f"{words('readout_difference')}, % {words('readout_of_prescription')}",
        )
    _histograms(v, panels[1, 1], words)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "dosecalc"})
    return buffer.getvalue()


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
            doses = np.linspace(0, dvh.maximum_gy, 200)
            name = f"{one.number} {one.row.structure.name}"
            label = name if dash == "-" or one.row.calculated is None else None
            axes.plot(
                doses, dvh.percent_at_dose(doses), dash, color=one.colour, lw=1.2, label=label
            )
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
