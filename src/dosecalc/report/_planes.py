"""Axial, coronal and sagittal plane with isodoses, structures, letters and a scale."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from dosecalc.beam import beam_axes
from dosecalc.model import Grid
from dosecalc.records.result import Result, cut
from dosecalc.report._labels import Labels
from dosecalc.report.drawn_names import drawn

__all__ = ["Isodose", "draw_planes", "isodoses"]

_WINDOW_HU = (-1000.0, 600.0)
_LARGEST_DENSITY = 2.0
_SCALE_MM = 50.0
_MOST_ARROWS = 12
_ARROW_MM = 24.0
# Places tried for a name within an outline, and how many voxels apart in order of depth.
_TRIES, _TRY_EVERY = 60, 7


def _halo(width: float, colour: str) -> list[AbstractPathEffect]:
    return [withStroke(linewidth=width, foreground=colour)]


class Isodose(NamedTuple):
    """A level, in percent and in the dose's unit, and how it is drawn."""

    percent: float
    gray: float
    colour: str
    width: float
    dash: Any
    text: str


# Percent of the full dose: colour, width in points, dash. Neighbours differ in all three.
_STYLES: tuple[tuple[float, str, float, Any], ...] = (
    (107.0, "#67000d", 2.2, (0, (1, 1))),
    (100.0, "#a50f15", 2.0, "-"),
    (95.0, "#d94801", 1.6, (0, (6, 2))),
    (80.0, "#6a3d9a", 1.4, (0, (3, 1.5))),
    (50.0, "#08519c", 1.4, "-"),
    (30.0, "#006d2c", 1.1, (0, (6, 2, 1, 2))),
    (10.0, "#303030", 1.0, (0, (1, 2))),
)


class _View(NamedTuple):
    """One plane: name, the axes across it and up it, which way up rises, letters at its sides.

    letters : left, right, bottom, top. Across always rises to the right.
    """

    name: str
    normal: str
    across: str
    upward: str
    up_sign: int
    letters: tuple[str, str, str, str]


_VIEWS = (
    _View("axial", "z", "x", "y", -1, ("R", "L", "P", "A")),
    _View("coronal", "y", "x", "z", 1, ("R", "L", "F", "H")),
    _View("sagittal", "x", "y", "z", 1, ("A", "P", "F", "H")),
)


def isodoses(result: Result) -> tuple[Isodose, ...]:
    """Return the levels that occur in a result, hottest first."""
    highest = result.maximum[0]
    full = result.full.gray
    unit = " Gy" if result.dose.unit == "Gy" else ""
    return tuple(
        Isodose(
            percent,
            percent / 100 * full,
            colour,
            width,
            dash,
            f"{percent:g} %  {percent / 100 * full:.3g}{unit}",
        )
        for percent, colour, width, dash in _STYLES
        if percent / 100 * full < highest * (1 - 1e-6)
    )


def draw_planes(
    result: Result, levels: tuple[Isodose, ...], panels: tuple[Axes, Axes, Axes]
) -> None:
    """Draw the three planes through `result.centre` into three panels."""
    if result.ct is not None:
        grid, limits = result.ct.grid, _WINDOW_HU
        picture = cut(result.ct.hu, grid, result.centre)
    else:
        grid, limits = result.phantom.grid, (0.0, _LARGEST_DENSITY)
        picture = cut(result.phantom.density, grid, result.centre)
    dose = cut(result.dose.gray, result.dose.grid, result.centre)
    for i, (view, panel) in enumerate(zip(_VIEWS, panels, strict=True)):
        panel.imshow(
            picture[i], cmap="gray", vmin=limits[0], vmax=limits[1], extent=_extent(view, grid),
            origin="lower", interpolation="bilinear", aspect="equal",
        )  # fmt: skip
        _frame(panel, view, result)
        labels = Labels(panel)
        centre = (result.centre["xyz".index(view.across)], result.centre["xyz".index(view.upward)])
        labels.keep_free(centre, "+", 12)
        _draw_scale(panel, labels)
        _draw_letters(panel, view, result, labels)
        _draw_arrows(panel, view, result, labels)
        _draw_outlines(panel, view, result, i)
        _draw_isodoses(panel, view, dose[i], result.dose.grid, levels, labels)
        _name_outlines(view, result, i, labels)


def _extent(view: _View, grid: Grid) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of an image whose first row is at the lowest position."""
    across, upward = "xyz".index(view.across), "xyz".index(view.upward)
    return (grid.lower[across], grid.upper[across], grid.lower[upward], grid.upper[upward])


def _frame(panel: Axes, view: _View, result: Result) -> None:
    left, right, bottom, top = _extent(view, result.dose.grid)
    panel.set_xlim(left, right)
    panel.set_ylim((bottom, top) if view.up_sign > 0 else (top, bottom))
    panel.set_xlabel(f"{view.across} / mm", fontsize=8, labelpad=1)
    panel.set_ylabel(f"{view.upward} / mm", fontsize=8, labelpad=1)
    panel.tick_params(labelsize=7, length=2)
    normal = "xyz".index(view.normal)
    panel.set_title(f"{view.name}, {view.normal} = {result.centre[normal]:.1f} mm", fontsize=10)
    across, upward = (result.centre["xyz".index(a)] for a in (view.across, view.upward))
    panel.plot(
        [across], [upward], marker="+", ms=9, mew=1.2, color="black",
        path_effects=_halo(2.6, "white"), zorder=6,
    )  # fmt: skip


def _draw_scale(panel: Axes, labels: Labels) -> None:
    left, right = panel.get_xlim()
    bottom, top = panel.get_ylim()
    x, y = left + 0.04 * (right - left), bottom + 0.05 * (top - bottom)
    panel.plot(
        [x, x + _SCALE_MM], [y, y], color="white", lw=3, solid_capstyle="butt",
        path_effects=_halo(5, "black"),
    )  # fmt: skip
    middle = (x + _SCALE_MM / 2, y + 0.045 * (top - bottom))
    labels.put(middle, f"{_SCALE_MM / 10:g} cm", size=7.5, colour="white", halo="black")
    for share in (0.0, 0.5, 1.0):
        labels.keep_free((x + share * _SCALE_MM, y), "00", 7.5)


def _draw_letters(panel: Axes, view: _View, result: Result, labels: Labels) -> None:
    if result.ct is None and not result.structures:
        return
    left, right = panel.get_xlim()
    bottom, top = panel.get_ylim()
    places = ((0.025, 0.5), (0.975, 0.5), (0.5, 0.045), (0.5, 0.955))
    for letter, (x, y) in zip(view.letters, places, strict=True):
        point = (left + x * (right - left), bottom + y * (top - bottom))
        labels.put(point, letter, size=12, colour="white", halo="black", weight="bold")


def _draw_arrows(panel: Axes, view: _View, result: Result, labels: Labels) -> None:
    """Show where the beams come from that lie in an axial plane."""
    if view.name != "axial" or len(result.plan.beams) > _MOST_ARROWS:
        return
    (left, right), heights = panel.get_xlim(), sorted(panel.get_ylim())
    low, high = np.array([left, heights[0]]) + 3.0, np.array([right, heights[1]]) - 3.0
    for beam in result.plan.beams:
        point = beam.control_points[0]
        axes = beam_axes(result.plan.position, point.gantry_deg, 0.0, point.couch_deg)
        towards = axes[2]
        if abs(towards[2]) > 0.02 or beam.is_arc:
            continue
        centre, back = np.array(point.isocentre[:2]), -towards[:2]
        with np.errstate(divide="ignore"):
            ends = np.where(back > 0, high - centre, low - centre) / back
        way = float(np.abs(ends).min())
        start = centre + way * back
        tip = start - min(_ARROW_MM, way) * back
        panel.annotate(
            "", xy=tuple(tip), xytext=tuple(start), zorder=5,
            arrowprops={"arrowstyle": "-|>", "lw": 1.4, "color": "white",
                        "path_effects": _halo(3.2, "black"), "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        for share in (0.2, 0.6, 1.0):
            spot = start + share * (tip - start)
            labels.keep_free((float(spot[0]), float(spot[1])), "|", 7)
        middle = (start + tip) / 2
        labels.near(
            (float(middle[0]), float(middle[1])),
            f"G{point.gantry_deg:g}",
            size=7,
            colour="white",
            halo="black",
        )


def _draw_outlines(panel: Axes, view: _View, result: Result, index: int) -> None:
    """Outline structures where half of a voxel is inside; targets thicker."""
    grid = result.dose.grid
    for one in result.structures:
        if one.planes is None or float(one.planes[index].max()) < 0.5:
            continue
        width = 1.6 if one.structure.is_target else 1.0
        lines = panel.contour(
            grid.centres(view.across), grid.centres(view.upward), one.planes[index],
            levels=[0.5], colors="white", linewidths=width,
        )  # fmt: skip
        lines.set_path_effects(_halo(width + 1.2, "black"))


def _name_outlines(view: _View, result: Result, index: int, labels: Labels) -> None:
    """Write names into large structures and beside small ones, small first; a body needs none."""
    grid = result.dose.grid
    shown = [
        (one.planes[index] >= 0.5, one)
        for one in result.structures
        if one.planes is not None and one.structure.kind != "EXTERNAL"
    ]
    across, upward = grid.centres(view.across), grid.centres(view.upward)
    used = np.zeros((upward.size, across.size), dtype=bool)
    for inside, one in sorted(shown, key=lambda pair: int(pair[0].sum())):
        if not inside.any():
            continue
        own = inside & ~used
        used |= inside
        depth = np.asarray(distance_transform_edt(np.pad(own, 1)))[1:-1, 1:-1]
        deepest = np.argsort(-depth, axis=None)[: _TRIES * _TRY_EVERY : _TRY_EVERY]
        rows, columns = np.unravel_index(deepest[depth.ravel()[deepest] > 0], depth.shape)
        room = [
            (float(x), float(y), float(d) * min(grid.spacing))
            for x, y, d in zip(across[columns], upward[rows], depth[rows, columns], strict=True)
        ]
        if labels.within(room, drawn(one.structure.name)):
            continue
        rows, columns = np.nonzero(inside)
        chosen = [columns.argmax(), columns.argmin(), rows.argmax(), rows.argmin()]
        ends = [(float(across[columns[i]]), float(upward[rows[i]])) for i in chosen]
        labels.beside(ends, drawn(one.structure.name), far=one.structure.is_target)


def _draw_isodoses(
    panel: Axes,
    view: _View,
    plane: NDArray[np.float32],
    grid: Grid,
    levels: tuple[Isodose, ...],
    labels: Labels,
) -> None:
    for level in levels:
        if not float(plane.min()) < level.gray < float(plane.max()):
            continue
        lines = panel.contour(
            grid.centres(view.across), grid.centres(view.upward), plane,
            levels=[level.gray], colors=level.colour, linewidths=level.width,
            linestyles=[level.dash],
        )  # fmt: skip
        lines.set_path_effects(_halo(level.width + 1.4, "white"))
        for text in panel.clabel(lines, fmt=f"{level.percent:g}", fontsize=7, inline=True):
            text.set_path_effects(_halo(2.6, "white"))
            labels.keep_free(text.get_position(), text.get_text(), 7)
