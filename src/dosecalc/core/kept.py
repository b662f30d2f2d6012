"""Where compiled code is kept: one folder for each state of the compiled sources.

Numba looks only at the file of a function for changes, not at those of the functions that it
calls. In one folder for all states, a function would go on with what its callees were before an
edit or an upgrade, without a sign. The decorators of `_jit` therefore choose the folder, whatever
is imported first and whoever starts Python.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import FunctionCache

from dosecalc.errors import DosecalcWarning, InputError

__all__ = ["compile_and_keep", "kept_in", "remove_stale"]

_OTHERS_KEPT = 3
"""Folders of other states that stay: those last used."""

# What changes the code that Numba makes and is not in its own index, which knows its version, the
# processor and the types.
_SETTINGS = ("BOUNDSCHECK", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "DEBUGINFO_DEFAULT")
_PATIENCE_S = 60.0

_config: Any = numba.config
# Decorating sets a variable of Numba for a moment.
_one_at_a_time = threading.RLock()


@cache
def kept_in() -> Path:
    """Return the folder of these sources: in NUMBA_CACHE_DIR, or in the user's folder for caches.

    It is made if need be, and folders of earlier states of the sources are removed then.

    Raises
    ------
    InputError
        It cannot be written.
    """
    asked = _config.CACHE_DIR
    try:
        home = asked or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(home).absolute() / "dosecalc" / f"numba-{_state()}"
        new = not folder.is_dir()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        os.utime(folder)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        place = getattr(error, "filename", None) or "the user's folder for caches"
        raise InputError(
            f"compiled code cannot be kept, {place}: {reason}; set NUMBA_CACHE_DIR to a folder "
            "that can be written"
        ) from error
    if new:
        remove_stale(folder)
    return folder


def _state() -> str:
    """Return a hash of all that the compiled code is made from."""
    core = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(core.rglob("*.py")):
        digest.update(path.relative_to(core).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    about = [sys.version, numba.__version__, llvmlite.__version__, np.__version__]
    about += [f"{name}={getattr(_config, name, None)}" for name in _SETTINGS]
    digest.update("\n".join(about).encode())
    return digest.hexdigest()[:16]


def remove_stale(folder: Path) -> None:
    """Keep the folders that were used last, so that caches do not grow with every edit."""
    found = []
    for other in folder.parent.glob("numba-*"):
        try:
            found.append((other.stat().st_mtime, other))
        except OSError:
            continue
    others = [other for _, other in sorted(found, reverse=True) if other != folder]
    for stale in others[_OTHERS_KEPT:]:
        shutil.rmtree(stale, ignore_errors=True)


class _SharedCache(FunctionCache):
    """Numba's cache of a function, for several processes that compile at once.

    Numba writes what it compiled for two sets of types into one file where two processes do so at
    the same moment, and a third then runs the wrong one.
    """

    def load_overload(self, *arguments: Any) -> Any:
        try:
            with _one_process():
                return super().load_overload(*arguments)
        except OSError:
            return None

    def save_overload(self, *arguments: Any) -> None:
        try:
            with _one_process():
                super().save_overload(*arguments)
        except OSError as error:
            # The code is there and runs; only the next process has to compile it again.
            said = f"compiled code is not kept: {error}"
            warnings.warn(said, DosecalcWarning, stacklevel=2)


@contextmanager
def _one_process() -> Iterator[None]:
    # Needed where something is calculated only.
    from filelock import FileLock

    with FileLock(kept_in().parent / "numba.lock", timeout=_PATIENCE_S):
        yield


def compile_and_keep(
    compiler: Callable[[Callable[..., Any]], Any], function: Callable[..., Any]
) -> Callable[..., Any]:
    """Apply a decorator of Numba's and let the code be kept in the folder of these sources."""
    compiled: Callable[..., Any] = compiler(function)
    if not hasattr(compiled, "enable_caching"):
        # Without compilation (NUMBA_DISABLE_JIT) it is the function itself.
        return compiled
    with _one_at_a_time:
        usual = _config.CACHE_DIR
        _config.CACHE_DIR = str(kept_in())
        try:
            compiled._cache = _SharedCache(function)  # type: ignore[attr-defined]
        finally:
            _config.CACHE_DIR = usual
    return compiled
