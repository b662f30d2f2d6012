"""One writer at a time, by a lock that ends with the process that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dosecalc.errors import InputError

__all__ = ["is_held", "one_writer"]

# A process that was killed holds its lock until the system has taken its memory back.
_PATIENCE_S = 3.0


@contextmanager
def one_writer(lock: Path, held: str, *, patience_s: float = _PATIENCE_S) -> Iterator[None]:
    """Hold a lock until the end; a process that is killed holds nothing any more.

    Parameters
    ----------
    lock : Path
        File of the lock, which is there while the lock is held. One that a killed process left
        keeps nobody out.
    held : str
        What is said where another process, or another thread, holds it.
    patience_s : float
        How long a lock that is held is asked for again, s.

    Raises
    ------
    InputError
        It is held, or its folder cannot be written.
    """
    # What only reads has no need of it.
    from filelock import FileLock, Timeout

    guard = FileLock(lock, timeout=patience_s)
    try:
        guard.acquire()
    except Timeout:
        raise InputError(held) from None
    except OSError as error:
        raise InputError(f"{lock.parent} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        # While it is held: whoever has opened it meanwhile finds that it is gone and begins anew.
        with suppress(OSError):
            lock.unlink(missing_ok=True)
        guard.release()


def is_held(lock: Path) -> bool:
    """Whether somebody holds a lock, or it cannot be asked."""
    if not lock.exists():
        return False
    try:
        with one_writer(lock, "", patience_s=0.0):
            return False
    except InputError:
        return True
