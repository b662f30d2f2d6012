"""The site: chapters in Markdown (MyST), API from docstrings (numpydoc), notebooks that run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import dosecalc

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
# Notebooks call the command of this very environment.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

project = "dosecalc"
author = "The dosecalc contributors"
project_copyright = author
version = release = dosecalc.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "mathml",
    "generated",
    "repository_links",
]
exclude_patterns = ["_build", "_generated/*.md", "notebooks/*/**"]
templates_path = ["_templates"]

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
math_number_all = False
math_eqref_format = "({number})"
html_math_renderer = "mathml"
# Chapters begin with a heading, but `include`d READMEs have their own.
suppress_warnings = ["myst.header"]

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_ipywidgets_js = {}

html_theme = "furo"
html_title = f"dosecalc {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
