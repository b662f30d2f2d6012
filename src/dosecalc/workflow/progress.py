"""How a job tells what it is doing, whoever listens: a terminal, a service, nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["Advance", "SilentStages", "Stages"]

Advance = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""


class Stages(Protocol):
    """The stages of a job: each is announced when it begins, and timed."""

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of every stage by its text, which the record of the job states."""
        ...

    def stage(self, text: str) -> AbstractContextManager[Advance]:
        """Begin a stage; the value to call with (what, done, total) tells how far it is."""
        ...


class SilentStages:
    """Measures how long the stages take and says nothing."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of every stage by its text."""
        return self._seconds

    @contextmanager
    def stage(self, text: str) -> Iterator[Advance]:
        """Time a stage."""
        start = time.perf_counter()
        yield lambda *_: None
        self._seconds[text] = self._seconds.get(text, 0.0) + time.perf_counter() - start
