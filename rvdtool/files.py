"""Writing files so that nothing is ever half-written or overwritten by accident."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from rvdtool.errors import InputError, OutputError

PART_SUFFIX = ".part"


def describe(error: OSError) -> str:
    """What went wrong, in the operating system's words but without the path and errno."""
    return error.strerror or str(error) or type(error).__name__


def require_file(path: Path, what: str) -> Path:
    """Return `path` if it is a readable file.

    Raises:
        InputError: it doesn't exist, is a folder, or may not be read.
    """
    if path.is_dir():
        raise InputError(f"{path}: a folder, but {what} is a file")
    if not path.exists():
        raise InputError(f"{path}: no such file ({what} was expected)")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")
    return path


@contextmanager
def write_beside(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a file beside `path`; give it that name only when all went well.

    The data go to `<name>.part` in the same folder, are flushed to the disk, and then renamed, so
    that a file under the final name is always whole. On any error, the part file is removed.

    Raises:
        OutputError: `path` exists (without `overwrite`) or is a folder, or its folder can't be
            written, or the disk is full.
    """
    _refuse_existing(path, overwrite)
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        _discard(part)
        raise OutputError(f"{path}: can't be written: {describe(error)}") from error
    except BaseException:
        _discard(part)
        raise


def _refuse_existing(path: Path, overwrite: bool) -> None:
    try:
        if path.is_dir():
            raise OutputError(f"{path}: a folder, but a file is to be written; name a file")
        if path.exists() and not overwrite:
            raise OutputError(
                f"{path}: already exists; choose another name, or overwrite it on purpose"
            )
    except OSError as error:  # a name too long, for one
        raise OutputError(f"{path}: can't be written: {describe(error)}") from error


def _discard(part: Path) -> None:
    """Remove a part file; where there is none, or can't be one, there is nothing to remove."""
    with suppress(OSError):
        part.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system can do that for a folder."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)
