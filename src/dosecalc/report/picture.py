"""One picture of a result: three planes through the isocentre and a dose-volume histogram.

It is made to survive a black-and-white printer: isodoses differ by width and dash
and carry their percentage, curves differ by dash and carry their names.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dosecalc import __version__
from dosecalc.records.result import Result
from dosecalc.report._curves import draw_dvh, draw_profiles
from dosecalc.report._planes import Isodose, draw_planes, isodoses
from dosecalc.report.drawn_names import drawn

__all__ = ["draw_result"]

_DPI = 150
_NOT_FOR_CLINIC = "not for clinical use without commissioning"


def draw_result(result: Result, path: Path | str) -> Path:
    """Draw a result into a PNG file and return its path.

    Planes are shown as DICOM viewers show them: axial from the feet, coronal from
    the front, sagittal from the left side; positions in mm in the patient frame
    (LPS). Without structures, dose profiles through the isocentre take the place
    of the histogram.
    """
    figure = Figure(figsize=(11.7, 8.3), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(
        2,
        2,
        gridspec_kw={
            "left": 0.055, "right": 0.985, "top": 0.88, "bottom": 0.125,
            "wspace": 0.12, "hspace": 0.21,
        },
    )  # fmt: skip
    levels = isodoses(result)
    full = f"{result.full.gray:.4g} {result.dose.unit} ({result.full.meaning})"
    draw_planes(result, levels, (panels[0][0], panels[0][1], panels[1][0]))
    if any(s.dvh is not None for s in result.structures):
        left_out = draw_dvh(result, panels[1][1])
    else:
        left_out = draw_profiles(result, panels[1][1])
    figure.text(0.055, 0.975, drawn(result.label, 90), fontsize=14, weight="bold", va="top")
    figure.text(0.055, 0.94, _subtitle(result), fontsize=10, va="top")
    _draw_legend(figure, levels, full)
    footer = f"dosecalc {__version__}, {_NOT_FOR_CLINIC}. {left_out}"
    figure.text(0.055, 0.012, textwrap.shorten(footer, 190), fontsize=7.5, va="bottom")
    place = Path(path)
    figure.savefig(place, format="png", metadata={"Software": f"dosecalc {__version__}"})
    return place


def _draw_legend(figure: Figure, levels: tuple[Isodose, ...], full: str) -> None:
    if not levels:
        return
    figure.legend(
        handles=[
            Line2D([], [], color=level.colour, lw=level.width, ls=level.dash, label=level.text)
            for level in levels
        ],
        title=f"isodoses, 100 % = {full}",
        loc="lower center", bbox_to_anchor=(0.5, 0.03), ncol=len(levels), fontsize=9,
        title_fontsize=9, frameon=False, handlelength=3.2, columnspacing=1.6,
    )  # fmt: skip


def _subtitle(result: Result) -> str:
    """One line: what the dose is to, of what, by which engine, on which grid."""
    dose = result.dose
    sums = {
        "PLAN": "whole plan" if result.plan.fractions is None else
        f"whole plan, {result.plan.fractions} fraction{'s' * (result.plan.fractions > 1)}",
        "FRACTION": "one fraction",
        "BEAM": "one beam",
    }  # fmt: skip
    bare = dose.unit != "Gy"
    unit = "Gy cm² per unit photon fluence" if bare else "Gy"
    spacing = " x ".join(f"{s:g}" for s in dict.fromkeys(dose.grid.spacing))
    highest = result.maximum[0]
    parts = [
        f"dose to {dose.dose_to}, {unit}",
        *([] if bare else [sums.get(dose.summation, dose.summation.lower())]),
        f"{len(result.plan.beams)} beam{'s' * (len(result.plan.beams) > 1)}",
        str(dose.provenance.get("engine", "unknown engine")),
        f"voxels of {spacing} mm",
        f"maximum {highest:.4g}{'' if bare else ' Gy'}",
    ]
    return "  |  ".join(parts)
