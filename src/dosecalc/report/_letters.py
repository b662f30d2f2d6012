"""Text of a patient's files in print and in pictures: only letters that the font has."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.font_manager import get_font

from dosecalc.text import LINE, paper_text

__all__ = ["font_file", "printed_text"]


def font_file(name: str = "DejaVuSans") -> Path:
    """Return the file of the font that pictures and print use."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(str(font_file())).get_charmap())


def printed_text(text: object, longest: int = LINE) -> str:
    """Return text for a PDF."""
    return paper_text(text, _letters(), longest)
