"""Helps commands that take several files: continues after a failure and sums up at the end."""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from rvdtool.cli import console
from rvdtool.errors import RvdError

T = TypeVar("T")


class SeveralError(RvdError):
    """Some of several files failed. The reasons have been printed."""

    exit_code = 6


class Ahead(Generic[T]):
    """Begins the work on several files, some of them ahead of the one that is waited for."""

    def __init__(self, paths: Sequence[Path], begin: Callable[[Path], T], count: int) -> None:
        """Nothing is begun yet.

        Args:
            paths: the files.
            begin: called with each, in this order; raises an `RvdError` if it fails.
            count: how many are begun at the same time.
        """
        self._waiting, self._begin, self._count = iter(paths), begin, count
        self._begun: deque[T | RvdError] = deque()

    def take(self) -> T:
        """What `begin` returned for the next file.

        Raises:
            RvdError: what it raised for it.
        """
        for path in islice(self._waiting, self._count - len(self._begun)):
            try:
                self._begun.append(self._begin(path))
            except RvdError as error:
                self._begun.append(error)
        first = self._begun.popleft()
        if isinstance(first, RvdError):
            raise first
        return first


def for_each(paths: Sequence[Path], work: Callable[[Path], None]) -> None:
    """Process one file or several, one after the other.

    Args:
        paths: the files.
        work: called with each file; raises an `RvdError` on failure.

    Raises:
        RvdError: the file's own error, if there is only one file.
        SeveralError: any of several files failed; raised after the last one.
    """
    if len(paths) == 1:
        work(paths[0])
        return
    failed: list[str] = []
    for path in paths:
        try:
            work(path)
        except console.InterruptedRunError:
            raise
        except RvdError as error:
            failed.append(str(path))
            console.note(f"error: {error}")
    sum_up(failed, len(paths))


def sum_up(failed: Sequence[str], total: int) -> None:
    """Print that all files are done, or report those that failed.

    Args:
        failed: names of the files that failed.
        total: number of files.

    Raises:
        SeveralError: any failed.
    """
    if failed:
        raise SeveralError(f"{len(failed)} of {total} failed: {', '.join(failed)}")
    console.note(f"all {total} done")
