"""Contours of one plane beside each other: which are the same, and which overlap.

Only contours whose boxes meet are compared, so the time grows with the number of contours
and not with its square, however many islands there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dosecalc.core.coverage import edge_moments, even_odd_edges, outlines_agree
from dosecalc.model import Contour

__all__ = ["Outlines", "overlaps", "same_outline", "signed_edges", "without_repeats"]

# A contour stored twice agrees with itself to this distance (mm).
_SAME = 0.1
# Overlaps thinner than this (mm) along the shorter outline are rounding.
_THIN = 0.01
# Nobody draws a shell as thin as this (mm): one contour was stored twice, a little larger.
_SHELL = 0.5


def same_outline(first: Contour, second: Contour) -> bool:
    """Whether two contours follow the same line: nowhere more than 0.1 mm apart."""
    a, b = first.box, second.box
    if abs(a[0] - b[0]) > _SAME or abs(a[1] - b[1]) > _SAME:
        return False
    if abs(a[2] - b[2]) > _SAME or abs(a[3] - b[3]) > _SAME:
        return False
    return bool(outlines_agree(first.points, second.points, _SAME))


class Outlines:
    """Contours of one plane, among which one that is the same as another is found at once."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], list[Contour]] = {}

    def find(self, contour: Contour) -> Contour | None:
        """Return the contour that is the same as this one."""
        if not self._cells:
            return None
        i, j = _cell(contour)
        for key in ((i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)):
            for other in self._cells.get(key, ()):
                if same_outline(contour, other):
                    return other
        return None

    def add(self, contour: Contour) -> None:
        """Add a contour."""
        self._cells.setdefault(_cell(contour), []).append(contour)

    def remove(self, contour: Contour) -> None:
        """Take a contour out again."""
        cell = self._cells[_cell(contour)]
        cell[:] = [one for one in cell if one is not contour]


def _cell(contour: Contour) -> tuple[int, int]:
    x, y = contour.box[:2]
    return round(x / (2 * _SAME)), round(y / (2 * _SAME))


def without_repeats(contours: Sequence[Contour]) -> tuple[Contour, ...]:
    """Contours of one plane, each once."""
    if len(contours) == 1:
        return tuple(contours)
    kept, known = [], Outlines()
    for contour in contours:
        if known.find(contour) is None:
            known.add(contour)
            kept.append(contour)
    return tuple(kept)


def signed_edges(contours: Sequence[Contour]) -> NDArray[np.float64]:
    """Signed pieces of the contours of one plane, see `core.coverage.even_odd_edges`."""
    points = np.concatenate([c.points for c in contours])
    starts = np.cumsum([0, *(len(c.points) for c in contours)], dtype=np.int64)
    return np.asarray(even_odd_edges(points, starts))


def overlaps(contours: Sequence[Contour]) -> bool:
    """Whether contours of one plane overlap in part, or one overlaps itself.

    Contours beside each other and one within another do not, and both may share corners
    and edges; a contour that follows another from within, less than 0.5 mm away, does. By the
    even-odd rule, what two of them share is outside.
    """
    areas = [float(edge_moments(signed_edges((c,)))[0]) for c in contours]
    for contour, area in zip(contours, areas, strict=True):
        if abs(_turned_area(contour.points)) - area > _THIN * _length(contour.points):
            return True
    for i, j in _meeting(contours):
        both = float(edge_moments(signed_edges((contours[i], contours[j])))[0])
        common = (areas[i] + areas[j] - both) / 2
        length = min(_length(contours[k].points) for k in (i, j))
        least, most = sorted((areas[i], areas[j]))
        if _THIN * length < common < least - _THIN * length:
            return True
        if common > 0 and common >= least - _THIN * length and most - least < _SHELL * length:
            return True
    return False


def _turned_area(points: NDArray[np.float64]) -> float:
    """Area that a closed line goes round, as often as it does, mm2."""
    x, y = (points - points[0]).T
    return float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2


def _length(points: NDArray[np.float64]) -> float:
    dx, dy = (points - np.roll(points, 1, axis=0)).T
    return float(np.hypot(dx, dy).sum())


def _meeting(contours: Sequence[Contour]) -> Iterator[tuple[int, int]]:
    """Pairs of contours whose boxes have area in common."""
    if len(contours) < 2:
        return
    boxes = np.array([c.box for c in contours])
    # Sweep along the axis on which the boxes are spread out the most.
    axis = int(np.ptp(boxes[:, 1]) > np.ptp(boxes[:, 0]))
    order = np.argsort(boxes[:, axis], kind="stable")
    active = np.empty(0, dtype=np.int64)
    for n in order:
        active = active[boxes[active, axis + 2] > boxes[n, axis]]
        other = 1 - axis
        meets = (boxes[active, other] < boxes[n, other + 2]) & (
            boxes[active, other + 2] > boxes[n, other]
        )
        for m in active[meets]:
            yield int(m), int(n)
        active = np.append(active, n)
