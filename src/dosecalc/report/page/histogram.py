"""Dose-volume histograms as one drawing: calculated solid, reference dashed, numbered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dosecalc.analysis.dvh import Dvh
from dosecalc.report.page._html import Html, element
from dosecalc.report.page.viewer import Drawn, drawn_structures, toggles_html
from dosecalc.report.page.words import Words
from dosecalc.text import name_text
from dosecalc.verification.verification import Verification

__all__ = ["LEVELS", "dose_ticks", "histogram_html", "histogram_svg", "marker_place"]

_WIDTH, _HEIGHT = 940.0, 470.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 16.0, 22.0, 52.0
LEVELS = 240
"""Points of a drawn curve."""

# Volumes (percent) at which numbers stand on the curves, in turn, so that few of them meet.
_MARKS = (88.0, 62.0, 36.0, 75.0, 49.0, 23.0)


def histogram_html(v: Verification, words: Words) -> Html:
    """Return the section with the drawing and its toggles."""
    if all(row.calculated is None and row.reference is None for row in v.rows):
        return Html("")
    return element(
        "section",
        element("h2", words("dvh_title"), data_word="dvh_title"),
        element("p", words("dvh_note"), class_="note", data_word="dvh_note"),
        element(
            "div",
            histogram_svg(v, words),
            element("div", toggles_html(v, words), element("p", "", id="dvh-pointer")),
            class_="dvh",
        ),
        id="dvh",
    )


def dose_ticks(largest: float) -> list[float]:
    """Round doses from 0 to beyond the largest, 5 to 10 of them, Gy."""
    if largest <= 0:
        return [0.0, 1.0]
    step = 10.0 ** np.floor(np.log10(largest / 5))
    step *= next((n for n in (1, 2, 5) if largest / (n * step) <= 10), 10)
    return [float(n * step) for n in range(int(np.ceil(1.02 * largest / step)) + 1)]


def largest_dose(drawn: Sequence[Drawn]) -> float:
    """Largest dose of any histogram, Gy."""
    curves = [dvh for one in drawn for dvh in (one.row.calculated, one.row.reference)]
    return max((dvh.maximum_gy for dvh in curves if dvh is not None), default=0.0)


def marker_place(one: Drawn) -> tuple[float, float] | None:
    """Dose and volume percent at which the number of a structure stands."""
    dvh = one.row.calculated or one.row.reference
    if dvh is None:
        return None
    percent = _MARKS[(one.number - 1) % len(_MARKS)]
    return dvh.dose_at_volume(percent), percent


def histogram_svg(v: Verification, words: Words) -> Html:
    """Draw the histograms; every structure is a group that the script can hide."""
    drawn = drawn_structures(v)
    ticks = dose_ticks(max(largest_dose(drawn), v.prescribed_gy))
    curves = (_curve(one, ticks[-1]) for one in drawn)
    return element(
        "svg",
        *_axes(ticks, v.prescribed_gy, words),
        *curves,
        element("line", id="dvh-cursor", class_="cursor", y1=_n(_TOP), y2=_n(_HEIGHT - _BOTTOM),
                x1="-9", x2="-9"),
        id="dvh-drawing", viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}", role="img",
        aria_label=words("dvh_title"),
        data_box=f"{_LEFT} {_TOP} {_WIDTH - _RIGHT} {_HEIGHT - _BOTTOM}",
        data_dose=f"{ticks[-1]:g}",
    )  # fmt: skip


def _n(value: float) -> str:
    return f"{value:.1f}"


def _x(gray: float, most: float) -> float:
    return _LEFT + gray / most * (_WIDTH - _LEFT - _RIGHT)


def _y(percent: float) -> float:
    return _HEIGHT - _BOTTOM - percent / 100 * (_HEIGHT - _TOP - _BOTTOM)


def _axes(ticks: Sequence[float], prescribed: float, words: Words) -> list[Html]:
    most, parts = ticks[-1], []
    for tick in ticks:
        x = _n(_x(tick, most))
        parts.append(element("line", x1=x, x2=x, y1=_n(_y(0)), y2=_n(_y(100)), class_="mesh"))
        parts.append(
            element("text", words.short(tick), x=x, y=_n(_y(0) + 18), text_anchor="middle",
                    data_number=f"{tick:g}")
        )  # fmt: skip
    for percent in range(0, 101, 20):
        y = _n(_y(percent))
        parts.append(
            element("line", x1=_n(_LEFT), x2=_n(_x(most, most)), y1=y, y2=y, class_="mesh")
        )
        parts.append(
            element("text", str(percent), x=_n(_LEFT - 7), y=_n(_y(percent) + 5), text_anchor="end")
        )
    x = _n(_x(prescribed, most))
    parts.append(element("line", x1=x, x2=x, y1=_n(_y(0)), y2=_n(_y(100)), class_="prescribed"))
    parts.append(
        element("text", words("dvh_prescribed"), x=x, y=_n(_TOP - 7), text_anchor="middle",
                data_word="dvh_prescribed")
    )  # fmt: skip
    middle = _n((_LEFT + _WIDTH - _RIGHT) / 2)
    parts.append(
        element("text", words("dvh_dose"), x=middle, y=_n(_HEIGHT - 12), text_anchor="middle",
                data_word="dvh_dose")
    )  # fmt: skip
    parts.append(
        element("text", words("dvh_volume"), transform=f"translate(16 {_n(_y(50))}) rotate(-90)",
                text_anchor="middle", data_word="dvh_volume")
    )  # fmt: skip
    return parts


def _curve(one: Drawn, most: float) -> Html:
    lines = [
        _line(dvh, most, one.colour, name, wide=one.row.kind == "target")
        for name, dvh in (("reference", one.row.reference), ("calculated", one.row.calculated))
        if dvh is not None
    ]
    mark = marker_place(one)
    if mark is not None:
        x, y = _x(mark[0], most), _y(mark[1])
        lines.append(element("circle", cx=_n(x), cy=_n(y), r="9", stroke=one.colour, class_="mark"))
        lines.append(element("text", str(one.number), x=_n(x), y=_n(y + 4), class_="mark"))
    return element(
        "g", element("title", name_text(one.row.structure.name)), *lines,
        data_curve=str(one.number), class_=None if one.shown else "off",
    )  # fmt: skip


def _line(dvh: Dvh, most: float, colour: str, name: str, *, wide: bool) -> Html:
    points = zip(*dvh.curve(LEVELS), strict=True)
    corners = [f"{_n(_x(d, most))},{_n(_y(p))}" for d, p in points]
    corners.append(f"{_n(_x(dvh.maximum_gy, most))},{_n(_y(0))}")
    return element(
        "polyline",
        points=" ".join(corners),
        stroke=colour,
        class_=f"{name}{' wide' if wide else ''}",
    )
