"""Where compiled code is kept: one folder for each state of the compiled sources.

Numba looks only at the file of a function for changes, not at those of the functions it calls, so
that a cache beside the sources goes stale without a sign when one of them is edited or upgraded.
``python -m dosecalc.cli.cache`` prints the folder, for scripts that start Python themselves.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Return the folder for the sources as they are now."""
    core = Path(__file__).parents[1] / "core"
    digest = 0
    for path in sorted(core.rglob("*.py")):
        digest = zlib.crc32(path.read_bytes(), digest)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "dosecalc" / f"numba-{digest:08x}"


if __name__ == "__main__":
    print(cache_folder())  # noqa: T201
