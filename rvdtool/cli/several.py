"""Helps commands that take several files: continues after a failure and sums up at the end."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rvdtool.cli import console
from rvdtool.errors import RvdError


class SeveralError(RvdError):
    """Some of several files failed. The reasons have been printed."""

    exit_code = 6


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
