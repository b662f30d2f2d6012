"""Colours of a difference of doses, the same on paper and on screen.

Below zero they run to a dark blue, above to a light orange: printed in grey the ends differ.
In between a light and a dark grey can still be either, so pictures on paper hatch what lies
beyond the line that `MARK_PERCENT` draws, and write the sign.
"""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap

__all__ = ["DIFFERENCE_STOPS", "MARK_PERCENT", "SCALE_PERCENT", "difference_map", "luminance"]

SCALE_PERCENT = 10.0
"""Of the prescription, either way: differences beyond are shown alike."""

MARK_PERCENT = 3.0
"""Differences from here on are marked by lines or hatches, whatever colours can be seen."""

DIFFERENCE_STOPS: tuple[tuple[float, int, int, int], ...] = (
    (-10.0, 5, 30, 110),
    (-3.0, 70, 140, 215),
    (0.0, 247, 247, 247),
    (3.0, 255, 205, 110),
    (10.0, 240, 120, 0),
)
"""Percent of the prescription, red, green, blue (0 to 255)."""


def luminance(colour: tuple[int, int, int]) -> float:
    """Return how light a colour prints in grey, 0 black to 255 white (ITU-R BT.709 weights)."""
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), colour, strict=True))


def difference_map() -> LinearSegmentedColormap:
    """Return the colours as a map of matplotlib over the scale."""
    stops = [
        ((at + SCALE_PERCENT) / (2 * SCALE_PERCENT), (red / 255, green / 255, blue / 255))
        for at, red, green, blue in DIFFERENCE_STOPS
    ]
    return LinearSegmentedColormap.from_list("difference", stops)
