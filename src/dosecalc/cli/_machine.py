"""What the machine does to a command: full disks, little memory, signals, readable files."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

__all__ = [
    "ended_by_signals",
    "kept_private",
    "let_group_read",
    "refusal_of_machine",
    "silence",
]

_OWNER_ONLY, _OWNER_AND_GROUP = 0o077, 0o027

# What the system says of itself, not of the program: each with what to do about it.
_FULL = "free space there and run it again"
_FORBIDDEN = "allow it, or name another place, and run it again"
_ADVICE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "raise the limit of the file size (ulimit -f) and run it again",
    errno.EROFS: _FORBIDDEN,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EIO: "the disk or the network drive has a fault; look at it and run it again",
    errno.ESTALE: "the network drive has lost the file; look at it and run it again",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and run it again",
    errno.ENFILE: "close other programs and run it again",
}


def refusal_of_machine(error: BaseException) -> str | None:
    """Say why the machine does not let a command go on; None where that is not the reason."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or _is(seen, errno.ENOMEM):
            about = f" ({seen})" if str(seen) else ""
            return (
                f"there is too little memory for this calculation{about}. "
                "Larger voxels or fewer structures need less, or run it on a machine with more"
            )
        if isinstance(seen, OSError) and seen.errno in _ADVICE:
            place = f"{seen.filename}: " if seen.filename else ""
            return f"{place}{seen.strerror}; {_ADVICE[seen.errno]}"
        seen = seen.__cause__ or seen.__context__
    return None


def _is(error: BaseException, number: int) -> bool:
    return isinstance(error, OSError) and error.errno == number


def silence(error: BaseException) -> None:
    """Let Python not try again, when it ends, to write what standard output did not take."""
    if isinstance(error, OSError):
        try:
            sys.stdout.flush()
        except OSError:
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, sys.stdout.fileno())
                os.close(nowhere)


@contextmanager
def kept_private() -> Iterator[None]:
    """Let only the owner read what is written meanwhile: it names patients."""
    before = os.umask(_OWNER_ONLY)
    try:
        yield
    finally:
        os.umask(before)


def let_group_read() -> None:
    """Let the owner's group read what is written from here on."""
    os.umask(_OWNER_AND_GROUP)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn the signals that end a job into an exit, on whose way temporary folders are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Whoever ignores a signal (nohup) goes on doing so.
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    # A second one must not end what the first one began to remove.
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
