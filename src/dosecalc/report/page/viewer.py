"""The interactive part of the page: its data and the elements that its script fills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dosecalc.beam import beam_axes
from dosecalc.model import Beam, PatientPosition, Structure
from dosecalc.patient.coverage import contour_planes, slab_stack
from dosecalc.report.page._html import Html, element
from dosecalc.report.page.difference_colours import DIFFERENCE_STOPS, MARK_PERCENT, SCALE_PERCENT
from dosecalc.report.page.volumes import display_grid, packed_structure, packed_volumes
from dosecalc.report.page.words import LANGUAGES, Words, load_words
from dosecalc.text import name_text
from dosecalc.verification.verification import StructureRow, Verification

__all__ = ["Drawn", "bev_html", "drawn_structures", "toggles_html", "viewer_data", "viewer_html"]

_ORDER = {"target": 0, "organ": 1, "other": 2, "external": 3}
# Told apart on white and on a CT; neighbours also by eyes that see no red or no green.
_COLOURS = {
    "target": ("#d81b3c", "#e8710a", "#9c1aa8", "#c2185b"),
    "organ": (
        "#0072b2",
        "#00875a",
        "#8c564b",
        "#5e35b1",
        "#4a90d9",
        "#7a7a00",
        "#00838f",
        "#ad6a9c",
    ),
    "other": ("#7d6b4f", "#546e7a", "#6d4c41"),
    "external": ("#7a7a7a",),
}
_MOST_SHOWN = 12
_MOST_CORNERS = 40
_USUAL_SLICE_MM = 3.0
_AXES = ("axial", "coronal", "sagittal")


class Drawn(NamedTuple):
    """A structure in the order of legends: its number there, colour, and whether it is shown."""

    number: int
    row: StructureRow
    colour: str
    shown: bool


def drawn_structures(v: Verification) -> tuple[Drawn, ...]:
    """Return the structures, targets first, with the colours they have in every picture."""
    rows = sorted(v.rows, key=lambda row: _ORDER[row.kind])
    counts: dict[str, int] = {}
    drawn = []
    for number, row in enumerate(rows, start=1):
        place = counts.setdefault(row.kind, 0)
        counts[row.kind] += 1
        colours = _COLOURS[row.kind]
        shown = number <= _MOST_SHOWN and row.kind != "other"
        drawn.append(Drawn(number, row, colours[place % len(colours)], shown))
    return tuple(drawn)


def viewer_data(v: Verification, language: str) -> dict[str, Any]:
    """Return all that the page's script needs, as JSON values."""
    display = display_grid(v)
    spacing = _plane_spacing(v)
    drawn = drawn_structures(v)
    isocentre = v.plan.beams[0].control_points[0].isocentre if v.plan.beams else None
    gamma = v.gamma if v.gamma is not None and v.gamma.points > v.gamma.outside else None
    return {
        **packed_volumes(v, display),
        "steps": display.steps[::-1],
        "prescribed": v.prescribed_gy,
        "difference": {
            "stops": DIFFERENCE_STOPS,
            "scale": SCALE_PERCENT,
            "mark": MARK_PERCENT,
            "largest": 0.0 if v.largest is None else v.largest.percent_of_prescription,
        },
        "places": {
            "largest": None if v.largest is None else v.largest.point,
            "gamma": None if gamma is None else gamma.worst_position,
            "isocentre": isocentre,
        },
        "structures": [
            {
                "name": name_text(one.row.structure.name),
                "number": one.number,
                "kind": one.row.kind,
                "colour": one.colour,
                "shown": one.shown,
                "mask": packed_structure(one.row.structure, display, spacing),
            }
            for one in drawn
        ],
        "beams": [_beam(beam, v.plan.position) for beam in v.plan.beams],
        "targets": [
            _solid(one.row.structure, spacing) for one in drawn if one.row.kind == "target"
        ],
        "language": language,
        "words": {
            name: {"decimal": load_words(name).decimal, **load_words(name).texts}
            for name in LANGUAGES
        },
    }


def _plane_spacing(v: Verification) -> float:
    """Distance of contour planes, for structures that have only one."""
    return _USUAL_SLICE_MM if v.ct is None else v.ct.grid.spacing[2]


def _beam(beam: Beam, position: PatientPosition) -> dict[str, Any]:
    boundaries = beam.leaf_boundaries
    return {
        "number": beam.number,
        "name": name_text(beam.name),
        "mu": beam.mu,
        "sad": beam.sad_mm,
        "axis": beam.leaf_axis,
        "boundaries": None if boundaries is None else boundaries.round(2).tolist(),
        "points": [
            {
                "share": point.meterset_fraction,
                "angles": [point.gantry_deg, point.collimator_deg, point.couch_deg],
                "isocentre": point.isocentre,
                "jaws": [point.jaws_x, point.jaws_y],
                "leaves": None if point.leaves is None else point.leaves.round(2).tolist(),
                "axes": beam_axes(position, point.gantry_deg, point.collimator_deg, point.couch_deg)
                .round(6)
                .tolist(),
            }
            for point in beam.control_points
        ],
    }


def _solid(structure: Structure, plane_spacing: float) -> dict[str, Any]:
    """Contours of a target with few enough corners to project them at every control point."""
    spacing = structure.slice_spacing or plane_spacing
    planes = contour_planes(structure, plane_spacing=spacing)
    slabs = slab_stack(structure, plane_spacing=spacing).bounds.round(2).tolist()
    return {
        "contours": [
            {
                "slab": slab,
                "points": contour.points[:: _every(contour.points)].round(1).tolist(),
            }
            for (_, contours), slab in zip(planes, slabs, strict=True)
            for contour in contours
        ],
    }


def _every(points: NDArray[np.float64]) -> int:
    """Step through the corners of a contour that leaves few enough."""
    return -(-len(points) // _MOST_CORNERS)


def viewer_html(v: Verification, words: Words) -> Html:
    """Planes with their controls; the script fills canvases, read-out and legends."""
    return element(
        "section",
        _worded("h2", "viewer_title", words),
        _worded("p", "viewer_note", words, class_="note screen"),
        element("p", words("loading"), id="status", role="status"),
        element("noscript", element("p", words("no_script"), class_="alarm")),
        _toolbar(v, words),
        element("h3", "", id="print-title", class_="print"),
        element("div", *(_plane(name, words) for name in _AXES), _side(v, words), class_="planes"),
        element("p", "", id="grid-note", class_="note"),
        id="viewer",
    )


def _worded(name: str, key: str, words: Words, **attributes: str | bool | None) -> Html:
    """Return an element whose text the script can change to another language."""
    return element(name, words(key), data_word=key, **attributes)


def _toolbar(v: Verification, words: Words) -> Html:
    places = [("isocentre", "show_isocentre")]
    if v.gamma is not None:
        places.insert(0, ("gamma", "show_gamma"))
    if v.largest is not None:
        places.insert(0, ("largest", "show_largest"))
    doses = [("calculated", "name_calculated", "")]
    doses += [] if v.reference is None else [("reference", "name_reference", "")]
    doses += [(f"other:{name}", "", name) for name in v.others]
    compared = [] if v.reference is None else [("difference", "difference", "")]
    compared += [] if v.gamma is None else [("gamma", "gamma", "")]
    both = [] if v.reference is None else [("both", "lines_both", "")]
    windows = [(f"{name}", f"window_{name}", "") for name in ("soft", "lung", "bone", "wide")]
    if v.ct is None:
        windows = [("density", "density_window", "")]
    buttons = (_worded("button", key, words, type="button", data_go=to) for to, key in places)
    return element(
        "div",
        *buttons,
        _choice("wash", [("none", "wash_none", ""), *doses, *compared], "none", words),
        _choice("lines", [*both, *doses, ("none", "lines_none", "")], "", words),
        _choice("window", windows, "", words),
        _labelled("opacity", element("input", type="range", id="opacity", min="10", max="100",
                                     step="5", value="60"), words),
        _choice("zoom", [(n, "", f"{n} \u00d7") for n in ("1", "2", "4")], "1", words),
        class_="toolbar screen",
    )  # fmt: skip


def _choice(name: str, options: Sequence[tuple[str, str, str]], chosen: str, words: Words) -> Html:
    """Return a labelled list of (value, key of its word or nothing, text without a key)."""
    entries = (
        element(
            "option", words(key) if key else text, value=value, data_word=key or None,
            selected=value == chosen,
        )
        for value, key, text in options
    )  # fmt: skip
    return _labelled(name, element("select", *entries, id=name), words)


def _labelled(name: str, control: Html, words: Words) -> Html:
    return element("label", _worded("span", name, words), control)


def _plane(name: str, words: Words) -> Html:
    axis = "zyx"[_AXES.index(name)]
    return element(
        "figure",
        element("figcaption", _worded("span", name, words), " ",
                element("output", "", id=f"at-{name}")),
        element("canvas", "", id=f"plane-{name}", tabindex="0", role="img",
                aria_label=words("plane_image", plane=words(name))),
        element("input", type="range", id=f"slider-{name}", class_="screen", min="0", max="1",
                value="0", step="1",
                aria_label=words("slider_label", plane=words(name), axis=axis)),
        class_="plane",
    )  # fmt: skip


def _side(v: Verification, words: Words) -> Html:
    return element(
        "div",
        _worded("h3", "readout_title", words),
        element("table", element("tbody", "", id="readout"), class_="readout", aria_live="polite"),
        element("div", "", id="legend", class_="legend"),
        element("canvas", "", id="bar", width="560", height="84", class_="bar", hidden=True),
        element("p", "", id="bar-note", class_="note"),
        element("div", _worded("h3", "structures_shown", words), toggles_html(v, words),
                class_="screen"),
        class_="side",
    )  # fmt: skip


def toggles_html(v: Verification, words: Words) -> Html:
    """Return check boxes of the structures, in the order and with the numbers of the histograms."""
    if not v.rows:
        return element("p", words("none"), data_word="none")
    boxes = (
        element(
            "label",
            element("input", type="checkbox", data_structure=str(one.number), checked=one.shown),
            _swatch(one.colour),
            f"{one.number} {name_text(one.row.structure.name)}",
        )
        for one in drawn_structures(v)
    )
    every = (
        _worded("button", f"structures_{which}", words, type="button", data_every=which)
        for which in ("all", "none")
    )
    return element("div", *boxes, element("span", *every, class_="every"), class_="toggles")


def _swatch(colour: str) -> Html:
    drawing = element("rect", width="14", height="14", rx="2", fill=colour)
    return element("svg", drawing, width="14", height="14", aria_hidden="true")


def bev_html(v: Verification, words: Words) -> Html:
    """Beam's-eye views: a choice of beam and a slider over its control points."""
    if not v.plan.beams:
        return element("section", _worded("p", "bev_none", words), id="bev")
    options = (
        element("option", f"{beam.number} {name_text(beam.name)}", value=str(n))
        for n, beam in enumerate(v.plan.beams)
    )
    return element(
        "section",
        _worded("h2", "bev_title", words),
        _worded("p", "bev_note", words, class_="note"),
        element(
            "div",
            _labelled("bev_beam", element("select", *options, id="bev_beam"), words),
            _labelled("bev_point", element("input", type="range", id="bev_point", min="0",
                                           max="1", value="0", step="1"), words),
            element("output", "", id="bev-state"),
            class_="toolbar screen",
        ),
        element("div",
                element("canvas", "", id="bev-canvas", width="1000", height="1000", role="img"),
                class_="bev screen"),
        element("div", "", id="bev-print", class_="print bev-print"),
        id="bev",
    )  # fmt: skip
