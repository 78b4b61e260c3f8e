"""Writing files so that nothing is ever half-written or overwritten by accident."""

import errno
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from rvdtool.errors import InputError, OutputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_PART = re.compile(r"\.rvdtool-[0-9a-f]{16}\.part")
"""Temporary names: drawn at random, so that they never match an existing file."""

_NEW = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_LOCKED_BYTE = 2**40
"""Where Windows locks a byte: beyond what is written, as its locks keep others from reading."""


def describe(error: OSError) -> str:
    """What went wrong, in the operating system's words but without the path and errno."""
    return error.strerror or str(error) or type(error).__name__


def require_file(path: Path, what: str) -> Path:
    """Return `path` if it is a readable file.

    Raises:
        InputError: it doesn't exist, is a folder, or may not be read.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, but {what} is a file")
    if not path.exists():
        raise InputError(f"{path}: no such file ({what} was expected)")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")
    return path


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if they aren't there.

    Raises:
        OutputError: it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: this folder can't be made: {describe(error)}") from error


@contextmanager
def write_beside(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a file beside `path`; give it that name only when all went well.

    The data go to a new file with a random name in the same folder, are flushed to the disk, and
    only then get the final name: a file under that name is always whole. Links are never
    followed. On any error the temporary file is removed; what a killed process left behind is
    removed when rvdtool next writes into that folder.

    Raises:
        OutputError: `path` exists (without `overwrite`, even if another process made it in the
            meantime) or is a folder, or its folder can't be written, or the disk is full.
    """
    _refuse_existing(path, overwrite)
    _remove_leftovers_once(path.parent)
    try:
        part, file = create_part(path.parent)
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {describe(error)}") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name != "nt":  # while it is open and locked, nobody takes it for a leftover
                publish(part, path, overwrite)
        if os.name == "nt":  # which renames no file that is open
            publish(part, path, overwrite)
        _sync_folder(path.parent)
    except OSError as error:
        _discard(part)
        raise OutputError(f"{path}: can't be written: {describe(error)}") from error
    except BaseException:
        _discard(part)
        raise


def create_part(folder: Path) -> tuple[Path, BinaryIO]:
    """A new file with a random name, locked while it is open.

    Raises:
        OSError: the folder can't be written.
    """
    while True:
        part = folder / f".rvdtool-{secrets.token_hex(8)}.part"
        try:
            handle = os.open(part, _NEW | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        with suppress(OSError):  # a file system without locks
            _lock(handle)
        if os.fstat(handle).st_nlink:  # else somebody took it for a leftover before it was locked
            return part, os.fdopen(handle, "wb")
        os.close(handle)


def publish(part: Path, path: Path, overwrite: bool) -> None:
    """Give a complete file its final name, in one step.

    Raises:
        OutputError: a file of that name has appeared, and `overwrite` isn't set.
        OSError: the name can't be given.
    """
    if overwrite:
        part.replace(path)
        return
    try:
        os.link(part, path)  # unlike renaming, this never replaces a file
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError:  # no hard links, as on exFAT
        _refuse_existing(path, overwrite)
        part.rename(path)
    else:
        _discard(part)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of processes that were killed.

    Only files with a name as `write_beside` draws it, and which no living process has locked.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if _PART.fullmatch(path.name):
                _remove_if_left(path)


_remove_leftovers_once = cache(remove_leftovers)


@contextmanager
def exclusive(lock: Path, taken: str) -> Iterator[None]:
    """Hold a lock file; the lock ends with the process, however that ends.

    On a file system without locks (some network shares), nothing is locked.

    Args:
        lock: made if it doesn't exist, and removed at the end if it is empty.
        taken: the message if another process holds it.

    Raises:
        OutputError: another process holds it, or it can't be made.
    """
    try:
        handle = _hold(lock)
    except OSError as error:
        raise OutputError(f"{lock.parent}: can't be written: {describe(error)}") from error
    if handle is None:
        raise OutputError(taken)
    try:
        yield
    finally:
        empty = os.fstat(handle).st_size == 0
        if os.name == "nt":  # which removes no file that is open
            os.close(handle)
        if empty:
            _discard(lock)
        if os.name != "nt":
            os.close(handle)


def lock_of(path: Path) -> Path:
    """The lock file for a file that is to be written."""
    return path.with_name(
        f".rvdtool-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.lock"
    )


def _hold(lock: Path) -> int | None:
    """A handle of the locked file; None if another process holds it."""
    while True:
        handle = os.open(lock, _NEW, 0o666)
        try:
            held = _lock(handle)
        except OSError:  # a file system without locks
            return handle
        if not held:
            os.close(handle)
            return None
        try:  # its last holder may have removed it in the meantime
            if os.path.samestat(os.fstat(handle), lock.lstat()):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file; False if another process has locked it.

    Raises:
        OSError: files can't be locked there.
    """
    try:
        if sys.platform == "win32":
            os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True


def _remove_if_left(part: Path) -> None:
    with suppress(OSError):
        if os.name == "nt":  # which removes no file that is open
            part.unlink()
            return
        handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if _lock(handle):
                part.unlink()
        finally:
            os.close(handle)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    try:
        path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:  # a name too long, for one
        raise OutputError(f"{path}: can't be written: {describe(error)}") from error
    if path.is_dir():
        raise OutputError(f"{path}: a folder, but a file is to be written; name a file")
    if not overwrite:
        raise _exists(path)


def _exists(path: Path) -> OutputError:
    return OutputError(f"{path}: already exists; choose another name, or use --overwrite")


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
