"""Measure the time that each stage takes, summed over all threads."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Stages:
    """Seconds per stage, summed over the threads that ran it.

    Attributes:
        seconds: seconds by stage, in order of first use.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the `with` block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + taken

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Add the time that an iterable takes to produce its items to a stage."""
        iterator = iter(items)
        while True:
            try:
                with self(name):
                    item = next(iterator)
            except StopIteration:
                return
            yield item


stage = Stages()
"""The stages of this process."""
