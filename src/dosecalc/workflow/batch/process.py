"""A command run in a process of its own, so that what ends it ends nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

__all__ = ["GROUP_READABLE", "Told", "group_may_read", "in_a_process"]

GROUP_READABLE = "DOSECALC_GROUP_READABLE"
"""Variable of the environment that lets the group read what is written."""

Told = Callable[[str], None]
"""Gets every line that the command says while it runs."""

_SECONDS_TO_END = 60.0
_OWNER_ONLY, _GROUP_READS = 0o077, 0o040


def group_may_read() -> bool:
    """Whether the group may read what is written now."""
    mask = os.umask(_OWNER_ONLY)
    os.umask(mask)
    return not mask & _GROUP_READS


def in_a_process(words: list[str], tell: Told) -> tuple[int, str]:
    """Run a command in a process of its own; its lines go to `tell`."""
    command = [sys.executable, "-m", "dosecalc.cli.main", *words]
    child = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=os.environ
        | {"PYTHONIOENCODING": "utf-8", GROUP_READABLE: "1" if group_may_read() else "0"},
    )
    said = []
    try:
        for line in child.stderr or ():
            said.append(line)
            tell(line.strip())
        code = child.wait()
    except BaseException as error:
        # Ctrl-C reaches both, and a command writes what it has; any other signal is passed on.
        _end(child, ask=not isinstance(error, KeyboardInterrupt))
        raise
    if code < 0:
        said.append(f"ended by signal {-code}" + (", for want of memory?" if code == -9 else ""))
    return code, "".join(said)


def _end(child: subprocess.Popen[str], *, ask: bool) -> None:
    """Wait for a command that is ending, asking it to if need be, so that it leaves nothing."""
    if not ask:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_SECONDS_TO_END)
            return
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(_SECONDS_TO_END)
        return
    child.kill()
    child.wait()
