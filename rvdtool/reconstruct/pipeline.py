"""Read ahead and write behind in threads, a few items at a time and without losing errors."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

_POLL = 0.1


class _End:
    """Marks the end of the items, with the error that ended them, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class ReadAhead(Generic[T]):
    """A context manager that reads items from an iterable in a thread, at most `depth` ahead."""

    def __init__(self, items: Iterable[T], depth: int = 2) -> None:
        self._queue: Queue[T | _End] = Queue(depth)
        self._stopped = Event()
        self._thread = Thread(target=self._fill, args=(items,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                item = self._queue.get(timeout=_POLL)
            except Empty:
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _fill(self, items: Iterable[T]) -> None:
        end = _End(None)
        try:
            for item in items:
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001 - handed over to whoever iterates
            end = _End(error)
        self._put(end)

    def _put(self, item: T | _End) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_POLL)
            except Full:
                continue
            return True
        return False


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
