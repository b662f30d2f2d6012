"""Chapters and READMEs: their links lead to files, as the site's build and a forge need."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    (
        *ROOT.glob("*.md"),
        *ROOT.glob("benchmarks/*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/start/*.md"),
        *ROOT.glob("docs/notebooks/*.md"),
    )
)
# A changelog names what was there then.
TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
# Made by the build of the site.
_MADE = {ROOT / "docs" / "api.md", ROOT / "docs" / "_generated"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    targets = [found[1] for found in _LINK.finditer(text) if "://" not in found[1]]
    paths = [(page.parent / target).resolve() for target in targets]
    made = [p for p in paths if _MADE & {p, *p.parents}]
    assert [str(p) for p in paths if p not in made and not p.exists()] == []


@pytest.mark.parametrize("page", TODAY, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_are_named_exist(page: Path) -> None:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    named = re.findall(
        r"`((?:src|tests|docs|kernels|phantoms|benchmarks|examples)/[\w./-]+)`", text
    )
    built = re.compile(r"docs/(build|_build/.*)")
    assert [n for n in named if not built.fullmatch(n) and not (ROOT / n).exists()] == []


def test_modules_that_are_named_exist() -> None:
    """Names of modules and of what is in them, in the text and in examples."""
    for page in TODAY:
        text = page.read_text(encoding="utf-8")
        for module in re.findall(r"^\s*from (dosecalc[\w.]*) import", text, re.MULTILINE):
            assert importlib.util.find_spec(module) is not None, f"{page.name}: {module}"
        for name in re.findall(r"`(dosecalc(?:\.[A-Za-z]\w*)+)`", text):
            module, _, last = name.rpartition(".")
            try:
                found = hasattr(importlib.import_module(module), last)
                assert found or importlib.import_module(name), f"{page.name}: {name}"
            except ImportError:
                pytest.fail(f"{page.name}: there is no {name}")


def test_every_chapter_is_in_the_site() -> None:
    """A chapter that no list of contents names is found by nobody."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    entries = set(re.findall(r"^[\w/-]+$", index, re.MULTILINE))
    docs = ROOT / "docs"
    pages = {
        str(p.relative_to(docs).with_suffix(""))
        for p in PAGES
        if docs in p.parents and p not in _MADE
    }
    assert pages - entries == {"index"}
