"""Where the time goes: seconds per stage, over all threads."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Stages:
    """Seconds that stages took, summed over the threads that ran them.

    Attributes:
        seconds: by stage, in order of first use.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what runs inside for a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + taken

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Count the time that an iterable takes to give its items."""
        iterator = iter(items)
        while True:
            try:
                with self(name):
                    item = next(iterator)
            except StopIteration:
                return
            yield item


stage = Stages()
"""Of this process."""
