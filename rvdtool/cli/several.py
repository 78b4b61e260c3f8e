"""Commands that take several files: they go on after a file that fails, and sum up at the end."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rvdtool.cli import console
from rvdtool.errors import RvdError


class SeveralError(RvdError):
    """Some of several files failed; the reasons were printed before."""

    exit_code = 6


def for_each(paths: Sequence[Path], work: Callable[[Path], None]) -> None:
    """Do the same for one file or several, one after the other.

    Args:
        paths: the files.
        work: called with each; raises an `RvdError` if it fails.

    Raises:
        RvdError: the file's own error, if there is only one file.
        SeveralError: after the last of several files, if any failed.
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
    """Say how many were done.

    Args:
        failed: names of those that failed.
        total: how many there were.

    Raises:
        SeveralError: any failed.
    """
    if failed:
        raise SeveralError(f"{len(failed)} of {total} failed: {', '.join(failed)}")
    console.note(f"all {total} done")
