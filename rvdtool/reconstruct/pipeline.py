"""Read ahead and write behind in threads, with limited queues; errors reach the caller."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class _End:
    """Marks the end of the items."""


class ReadAhead(Generic[T]):
    """A context manager that yields an iterable's items; a thread computes some of them ahead."""

    def __init__(self, items: Iterable[T], depth: int = 2) -> None:
        """Nothing is read before the context is entered.

        Args:
            items: iterated in a thread. If it raises an error, the items before are yielded first.
            depth: number of items that are computed or being computed while one is used.
        """
        self._items = iter(items)
        self._depth = depth
        self._coming: deque[Future[T | _End]] = deque()

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1)
        for _ in range(self._depth):
            self._read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self._coming.popleft().result()
            if isinstance(item, _End):
                return
            self._read()
            only_reference = [item]
            del item
            yield only_reference.pop()  # keep no reference to it

    def _read(self) -> None:
        self._coming.append(self._thread.submit(next, self._items, _End()))


class WriteBehind:
    """A context manager that runs jobs in threads, at most `depth` at a time, and waits for all."""

    def __init__(self, threads: int = 2, depth: int = 4) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._depth = depth
        self._jobs: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def submit(self, job: Callable[[], None]) -> None:
        """Submit a job; waits while too many are unfinished. Raises an earlier job's error."""
        while len(self._jobs) >= self._depth:
            self._jobs.popleft().result()
        self._jobs.append(self._pool.submit(job))

    def wait(self) -> None:
        """Wait until all jobs are done. Raises the first error among them."""
        while self._jobs:
            self._jobs.popleft().result()
