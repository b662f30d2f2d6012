"""Names of structures and plans as pictures show them."""

from __future__ import annotations

from dosecalc.report._letters import printed_text

__all__ = ["drawn"]

_MOST_LETTERS = 40


def drawn(name: str, most: int = _MOST_LETTERS) -> str:
    """Return a name in one line of at most `most` letters that matplotlib takes as it is.

    It takes text between two dollar signs for mathematics, leaves what begins with an underscore
    out of a legend, and needs minutes for ten thousands of letters. What cannot be seen, and
    letters that the font lacks, are escapes.
    """
    text = printed_text(name[: 10 * most])
    if len(text) > most:
        text = text[: most - 3] + "..."
    # A space of no width: the name stays whole.
    shown = f"\u200b{text}" if text.startswith("_") else text
    return shown.replace("$", r"\$")
