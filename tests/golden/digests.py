"""`python -m tests.golden.digests`: SHA-256 of every golden dose as it is calculated now.

Golden doses are compared within a tolerance, because processors round differently. On one machine,
equal lists before and after a change of the code show that no bit of a dose has moved.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterator

from tests.golden.cases import CASES, case_dose

__all__ = ["digests"]


def digests() -> Iterator[tuple[str, str]]:
    """Name and SHA-256 (float32, little endian, [z, y, x]) of each array of each case."""
    for case in CASES:
        dose = case_dose(case)
        for what, values in (("gray", dose.gray), ("uncertainty", dose.uncertainty)):
            if values is not None:
                raw = values.astype("<f4", order="C").tobytes()
                yield f"{case.name} {what}", hashlib.sha256(raw).hexdigest()


if __name__ == "__main__":
    for name, digest in digests():
        sys.stdout.write(f"{digest}  {name}\n")
    sys.stderr.write(f"{platform.machine()}, {platform.platform()}\n")
