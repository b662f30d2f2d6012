"""Print the oldest allowed version of each dependency, as constraints for pip.

``python .ci/oldest_versions.py > oldest.txt; PIP_CONSTRAINT=oldest.txt ./test`` runs the tests
with what `pyproject.toml` promises to work with.
"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
for requirement in project["project"]["dependencies"]:
    found = re.fullmatch(r"([\w.-]+)\s*>=\s*([\w.]+)", requirement.split(";")[0].strip())
    if found is None:
        sys.exit(f"pyproject.toml: {requirement!r} does not state its oldest version as name>=x.y")
    sys.stdout.write(f"{found[1]}=={found[2]}\n")
