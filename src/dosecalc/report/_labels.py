"""Words in a panel that do not cover one another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

__all__ = ["Labels"]

Point = tuple[float, float]

# A letter's size in units of the font's: DejaVu Sans, wide enough for capitals.
_WIDE, _HIGH = 0.66, 1.15
# Distances from an outline at which a name is tried, points.
_DISTANCES = (8.0, 14.0, 22.0, 32.0)
_FAR = (30.0, 38.0, 46.0, 22.0, 14.0)
_NAME_SIZE = 6.5


class Labels:
    """Places words in one panel and remembers which room is taken.

    Room is counted in points (1/72 inch) from the panel's lower left corner; the size
    of a word is estimated from its letters.
    """

    def __init__(self, panel: Axes) -> None:
        self._panel = panel
        self._taken: list[tuple[float, float, float, float]] = []
        panel.apply_aspect()
        box = panel.get_window_extent()
        self._per_pixel = 72.0 / panel.figure.dpi
        self._corner = np.array([box.x0, box.y0])
        self._size = np.array([box.width, box.height]) * self._per_pixel

    def _points(self, position: Point) -> NDArray[np.float64]:
        pixels = np.asarray(self._panel.transData.transform(position))
        return np.asarray((pixels - self._corner) * self._per_pixel)

    @staticmethod
    def _box(
        centre: NDArray[np.float64], text: str, size: float
    ) -> tuple[float, float, float, float]:
        half_width, half_height = _WIDE * size * len(text) / 2, _HIGH * size / 2
        return (
            centre[0] - half_width,
            centre[0] + half_width,
            centre[1] - half_height,
            centre[1] + half_height,
        )

    def _free(self, box: tuple[float, float, float, float]) -> bool:
        inside = box[0] >= 0 and box[1] <= self._size[0] and box[2] >= 0 and box[3] <= self._size[1]
        return inside and all(
            box[1] < other[0] or box[0] > other[1] or box[3] < other[2] or box[2] > other[3]
            for other in self._taken
        )

    def keep_free(self, position: Point, text: str, size: float) -> None:
        """Mark the room that a word at a position, in data units, takes."""
        self._taken.append(self._box(self._points(position), text, size))

    def put(
        self,
        position: Point,
        text: str,
        *,
        size: float,
        colour: str,
        halo: str,
        weight: str = "normal",
    ) -> None:
        """Write a word centred on a position, whatever is there."""
        self.keep_free(position, text, size)
        self._panel.text(
            *position, text, fontsize=size, weight=weight, color=colour, ha="center",
            va="center", path_effects=[withStroke(linewidth=2.2, foreground=halo)], zorder=7,
            clip_on=True,
        )  # fmt: skip

    def near(self, position: Point, text: str, *, size: float, colour: str, halo: str) -> None:
        """Write a word as near to a position as there is room; not at all where there is none."""
        at = self._points(position)
        steps = [d for d in product((0, 9, -9, 16, -16, 24, -24), repeat=2) if d != (0, 0)]
        for shift in sorted(steps, key=lambda d: d[0] ** 2 + d[1] ** 2):
            box = self._box(at + np.array(shift), text, size)
            if self._free(box):
                self._write(position, shift, text, size, (colour, halo), line=False)
                self._taken.append(box)
                return

    def within(self, room: Sequence[tuple[float, float, float]], text: str) -> bool:
        """Write a structure's name inside its outline, and tell whether there was room.

        Parameters
        ----------
        room : sequence of (x, y, depth)
            Positions to try, in data units, and how far they are from the outline.
        """
        origin = self._points((0.0, 0.0))
        unit = float(np.abs(self._points((1.0, 1.0)) - origin).min())
        needed = float(np.hypot(_WIDE * len(text), _HIGH)) * _NAME_SIZE / 2
        for x, y, depth in room:
            box = self._box(self._points((x, y)), text, _NAME_SIZE)
            if depth * unit > needed and self._free(box):
                self._write((x, y), (0.0, 0.0), text, _NAME_SIZE, ("white", "black"), line=False)
                self._taken.append(box)
                return True
        return False

    def beside(self, ends: Sequence[Point], text: str, *, far: bool) -> None:
        """Write a structure's name off one of the ends of its outline, with a line to it.

        `far` keeps the name away from the outline, where isodoses crowd.
        """
        directions = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
        distances = _FAR if far else _DISTANCES
        order = directions[::-1] if far else directions
        for distance, direction, end in product(distances, order, ends):
            half = np.array([_WIDE * len(text), _HIGH]) * _NAME_SIZE / 2
            shift = np.array(direction) * (distance + half)
            box = self._box(self._points(end) + shift, text, _NAME_SIZE)
            if self._free(box):
                self._write(end, shift, text, _NAME_SIZE, ("white", "black"), line=True)
                self._taken.append(box)
                return

    def _write(
        self,
        position: Point,
        shift: Sequence[float] | NDArray[np.float64],
        text: str,
        size: float,
        colours: tuple[str, str],
        *,
        line: bool,
    ) -> None:
        colour, halo = colours
        leader = {"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 0, "shrinkB": 0}
        self._panel.annotate(
            text, position, xytext=(float(shift[0]), float(shift[1])),
            textcoords="offset points", fontsize=size, color=colour, ha="center", va="center",
            path_effects=[withStroke(linewidth=1.8, foreground=halo)], zorder=7,
            arrowprops=leader if line else None, annotation_clip=True,
        )  # fmt: skip
