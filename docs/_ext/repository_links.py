"""Links that work in the repository, made to work in the site.

The chapters are read on a forge as well, where `../benchmarks/README.md` is a file. In the site
it is a page, or, for source files, plain text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PAGES = {
    "../benchmarks/README.md": "benchmarks.md",
    "../examples/README.md": "examples.md",
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
}
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)\s#]+)(#[^)\s]*)?\)")


def rewritten(text: str) -> str:
    """Return the text with links out of `docs` turned to pages, or to plain text."""

    def one(found: re.Match[str]) -> str:
        words, path, place = found[1], found[2], found[3] or ""
        return f"[{words}]({PAGES[path]}{place})" if path in PAGES else words

    return _LINK.sub(one, text)


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Rewrite a chapter as it is read."""
    if "/" not in name:
        source[0] = rewritten(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the rewriting."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
