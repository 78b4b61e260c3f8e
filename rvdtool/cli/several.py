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
    if failed:
        raise SeveralError(f"{len(failed)} of {len(paths)} failed: {', '.join(failed)}")
    console.note(f"all {len(paths)} done")
