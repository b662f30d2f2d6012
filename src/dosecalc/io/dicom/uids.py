"""Unique identifiers for the files this program writes."""

from __future__ import annotations

import hashlib
import uuid

__all__ = ["IMPLEMENTATION_CLASS_UID", "new_uid"]

_NAMESPACE = uuid.UUID("6d0a6c5e-6f2e-5c0b-9d0e-3c1f1a5b7a10")
IMPLEMENTATION_CLASS_UID = f"2.25.{uuid.uuid5(_NAMESPACE, 'dosecalc implementation class').int}"


def new_uid(*content: str | bytes) -> str:
    """Return a UID under the root 2.25 (UUID-derived, DICOM PS3.5 annex B.2).

    With `content`, the UID is a function of it (SHA-256, then a name-based
    UUID): the same plan, structures and CT written twice carry the same UIDs,
    so outputs can be compared byte for byte. Each piece is length-prefixed, so
    ``("ab", "c")`` and ``("a", "bc")`` differ. Without `content` it is random.
    """
    if not content:
        return f"2.25.{uuid.uuid4().int}"
    digest = hashlib.sha256()
    for piece in content:
        data = piece.encode() if isinstance(piece, str) else piece
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return f"2.25.{uuid.uuid5(_NAMESPACE, digest.hexdigest()).int}"
