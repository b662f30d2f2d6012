"""Equations as MathML, made when the site is built: no script, no font, no request when it is read.

Docutils brings the converter; browsers have drawn MathML themselves since 2023.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator


# The converter sets names of functions close to their arguments.
_SPACES = (
    (re.compile(r"(?<=[\w}])\s+(?=\\(?:ln|cos|sin)\b)"), r" \\, "),
    (re.compile(r"(\\(?:ln|cos|sin)(?:\^\w)?)(?![a-z])\s*(?=[\w\\])(?!\\right)"), r"\1 \\, "),
)


def mathml(tex: str, *, block: bool) -> str:
    """Return the MathML of a formula, or end the build with the formula that has none."""
    for pattern, spaced in _SPACES:
        tex = pattern.sub(spaced, tex)
    try:
        return str(tex2mathml(tex, as_block=block))
    except (MathError, SyntaxError) as error:
        raise ExtensionError(f"formula {tex!r}: {error}") from error


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    self.body.append(mathml(node.astext(), block=False))
    raise SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own, with its number and a link to it."""
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(mathml(node.astext(), block=True))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>")
    raise SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer; `html_math_renderer = "mathml"` chooses it."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
