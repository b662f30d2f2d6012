"""What tests need from outside of the project: private data, system programs and libraries.

A fork without them is green: those tests skip and say why. The project's own CI sets
``DOSECALC_REQUIRE_DATA=1``, which makes each absence a failure.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE = "DOSECALC_REQUIRE_DATA"


def absent(what: str) -> NoReturn:
    """Skip a test because `what` is absent, or fail it where nothing may be absent.

    Parameters
    ----------
    what : str
        What is absent and how to get it: the reason of the skip.
    """
    if os.environ.get(REQUIRE, "") not in ("", "0"):
        pytest.fail(f"{what} ({REQUIRE} is set)", pytrace=False)
    pytest.skip(what)


def outside_folder(variable: str, default: Path, what: str) -> Path:
    """Return the folder of private data that `variable` of the environment or `default` names."""
    folder = Path(os.environ.get(variable, default))
    if not folder.is_dir():
        absent(f"{what} not found at {folder}; set {variable} to the folder that holds them")
    return folder


def program(name: str, package: str) -> str:
    """Return the path of a system program, which the Debian `package` installs."""
    found = shutil.which(name)
    if found is None:
        absent(f"{name} is not installed (Debian package {package})")
    return found
