"""Small pictures of doses, and what a notebook shows of a value."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from dosecalc.errors import DosecalcError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from dosecalc.model.dose import Dose

__all__ = ["draw_plane", "fact_table_html", "needed_library", "picture_html"]

_PLANES = {"z": ("x", "y"), "y": ("x", "z"), "x": ("y", "z")}
_NAMES = {"z": "axial", "y": "coronal", "x": "sagittal"}


def needed_library(name: str, what: str) -> Any:
    """Import a library that is not part of every installation.

    Parameters
    ----------
    name : str
        Of the module.
    what : str
        What it is needed for, such as "Dose.plot".

    Raises
    ------
    DosecalcError
        It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise DosecalcError(
            f"{what} needs {package}, which is not installed; install it with: "
            f"pip install {package}"
        ) from error


def draw_plane(dose: Dose, axis: str, position: float, axes: Axes) -> AxesImage:
    """Draw a dose in the plane of one position along an axis, and return the image.

    Parameters
    ----------
    dose : Dose
    axis : {"x", "y", "z"}
        Across the plane.
    position : float, mm
    axes : matplotlib Axes
    """
    across, along = _PLANES[axis]
    k = "zyx".index(axis)
    place = (position - dose.grid.origin[2 - k]) / dose.grid.spacing[2 - k]
    plane = np.take(dose.gray, int(np.clip(np.rint(place), 0, dose.grid.shape[k] - 1)), axis=k)
    (left, *_, right), (bottom, *_, top) = dose.grid.edges(across), dose.grid.edges(along)
    image = axes.imshow(
        plane, extent=(left, right, bottom, top), origin="lower", cmap="inferno", vmin=0.0,
        vmax=float(dose.gray.max()) or 1.0, interpolation="nearest",
    )  # fmt: skip
    if axis == "z":
        # As a physician sees it: anterior is up.
        axes.invert_yaxis()
    axes.set(
        xlabel=f"{across} / mm", ylabel=f"{along} / mm",
        title=f"{_NAMES[axis]}, {axis} = {position:.1f} mm",
    )  # fmt: skip
    return image


def picture_html(dose: Dose) -> str:
    """Return the axial plane through the largest dose as an HTML image; "" without matplotlib."""
    try:
        backend = needed_library("matplotlib.backends.backend_agg", "the picture of a dose")
        figures = needed_library("matplotlib.figure", "the picture of a dose")
    except DosecalcError:
        return ""
    figure = figures.Figure(figsize=(3.2, 2.6), dpi=80, layout="constrained")
    backend.FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = draw_plane(dose, "z", dose.maximum_point[2], axes)
    figure.colorbar(image, ax=axes, label=dose.unit)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    content = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="axial plane of the dose" src="data:image/png;base64,{content}"/>'


def fact_table_html(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return facts about a value as a small HTML table."""
    lines = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(text)}</td></tr>"
        for name, text in rows
    )
    return f"<table><caption><b>{escape(title)}</b></caption>{lines}</table>"
