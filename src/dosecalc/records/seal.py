"""The seal of a record: a hash of its contents, written into it when the record is written.

A record that was changed afterwards does not fit its seal. The seal is no secret: whoever changes
the record on purpose can make another one, which shows only against the seal that was noted
elsewhere, or when the record is calculated again (``dosecalc reproduce``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dosecalc.records.record import to_json

__all__ = ["SEAL", "seal_of", "sealed"]

SEAL = "seal"
"""Key of the seal, at the top of ``run.json`` and ``verification.json``."""


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as plain JSON values, with its seal as the last entry."""
    plain = {key: value for key, value in json.loads(to_json(values)).items() if key != SEAL}
    return plain | {SEAL: seal_of(plain)}


def seal_of(values: Mapping[str, Any]) -> str:
    """SHA-256 of all values but the seal itself, whatever the order of keys and the layout."""
    plain = {key: value for key, value in values.items() if key != SEAL}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
