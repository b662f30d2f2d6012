"""One night at a time in a folder of results."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dosecalc.errors import InputError

__all__ = ["LOCK", "only_one"]

LOCK = ".dosecalc.lock"


@contextmanager
def only_one(out: Path) -> Iterator[Callable[[int], None]]:
    """Hold the folder of results until the end; gives what notes the process of a case.

    The lock names the processes that write there. One that was left behind counts as long as any
    of them runs: of a night that was killed the case it was at may go on by itself.

    Raises
    ------
    InputError
        Another night holds it, or the folder cannot be written.
    """
    path = out / LOCK
    _drop_stale(path)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        raise InputError(_held(path, "another night")) from None
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}") from error
    try:
        _note(path, [os.getpid()])
        yield lambda child: _note(path, [os.getpid(), child])
    finally:
        path.unlink(missing_ok=True)


def _note(path: Path, processes: list[int]) -> None:
    text = json.dumps({"host": platform.node(), "processes": processes})
    path.write_text(text, encoding="utf-8")


def _drop_stale(path: Path) -> None:
    """Remove a lock none of whose processes is there any more; refuse where one is."""
    try:
        found = json.loads(path.read_bytes())
        host, processes = str(found["host"]), [int(one) for one in found["processes"]]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(_held(path, "somebody")) from None
    if host != platform.node():
        # What runs on another machine cannot be seen from here.
        raise InputError(_held(path, f"a night on the machine {host}"))
    running = [one for one in processes if _runs(one)]
    if running:
        what = (
            "a night" if running[0] == processes[0] else "the last case of a night that was ended"
        )
        raise InputError(_held(path, f"{what} (process {running[0]})"))
    path.unlink(missing_ok=True)


def _held(path: Path, who: str) -> str:
    return (
        f"{path.parent}: {who} is writing there; wait until it has ended, or name another folder "
        f"with --out. If nothing runs there, remove {path}"
    )


def _runs(process: int) -> bool:
    """Whether a process is there and has not ended; where that cannot be asked, it is."""
    if os.name == "nt":
        # There the signal 0 is Ctrl-C.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:
        about = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    # One that ended and that nobody has waited for.
    return about.rpartition(")")[2].split()[:1] != ["Z"]
