"""Write files without leaving partial ones and without overwriting anything by accident."""

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
"""Pattern of temporary names, which are random, so that they don't match existing files."""

_LOCK = re.compile(r"\.rvdtool-[0-9a-f]{16}\.lock")

_NEW = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_LOCKED_BYTE = 2**40
"""Offset of the byte that is locked on Windows: beyond the data, since locked bytes can't be read
by others."""


def describe(error: OSError) -> str:
    """The operating system's message of an error, without path and errno."""
    return error.strerror or str(error) or type(error).__name__


def require_file(path: Path, what: str) -> Path:
    """Return `path` if it is a readable file.

    Args:
        path: the path to check.
        what: what the file should be, for messages: `a video`.

    Raises:
        InputError: the path doesn't exist, is a folder, or can't be read.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, but {what} is a file")
    if not path.exists():
        raise InputError(f"{path}: no such file ({what} was expected)")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")
    return path


def make_folder(path: Path) -> None:
    """Create a folder and its parents, if they don't exist.

    Raises:
        OutputError: the folder can't be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: this folder can't be made: {describe(error)}") from error


@contextmanager
def write_beside(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, and rename it to `path` after success.

    The data are written to a new file with a random name in the same folder and flushed to the
    disk before it gets its final name, so a file of that name is always complete. Links are not
    followed. On an error, the temporary file is removed. Files left by a killed process are removed
    when rvdtool next writes to that folder.

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
            if os.name != "nt":  # renamed while locked, so that no other process removes it
                publish(part, path, overwrite)
        if os.name == "nt":  # Windows can't rename open files
            publish(part, path, overwrite)
        _sync_folder(path.parent)
    except OSError as error:
        _discard(part)
        raise OutputError(f"{path}: can't be written: {describe(error)}") from error
    except BaseException:
        _discard(part)
        raise


def create_part(folder: Path) -> tuple[Path, BinaryIO]:
    """Create a file with a random name, which is locked while it is open.

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
        if os.fstat(handle).st_nlink:  # else another process removed it before it was locked
            return part, os.fdopen(handle, "wb")
        os.close(handle)


def publish(part: Path, path: Path, overwrite: bool) -> None:
    """Give a complete file its final name, in one step.

    Raises:
        OutputError: a file of that name exists by now, and `overwrite` isn't set.
        OSError: the file can't be renamed.
    """
    if overwrite:
        part.replace(path)
        return
    try:
        os.link(part, path)  # unlike renaming, linking never replaces a file
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError:  # no hard links, as on exFAT
        _refuse_existing(path, overwrite)
        part.rename(path)
    else:
        _discard(part)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of processes that were killed.

    These are files whose names match those of `write_beside` and that no process has locked.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if _PART.fullmatch(path.name):
                _remove_if_left(path)


_remove_leftovers_once = cache(remove_leftovers)


@contextmanager
def exclusive(lock: Path, taken: str) -> Iterator[None]:
    """Hold a lock file. The lock is released when the process ends, even if it is killed.

    On a file system without locks (some network shares), nothing is locked.

    Args:
        lock: the lock file; created if it doesn't exist, and removed at the end if it is empty.
        taken: the message if another process holds the lock.

    Raises:
        OutputError: another process holds the lock, or the file can't be created.
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
        if os.name == "nt":  # Windows can't remove open files
            os.close(handle)
        if empty:
            _discard(lock)
        if os.name != "nt":
            os.close(handle)


def lock_of(path: Path) -> Path:
    """Path of the lock file for a file to be written."""
    return path.with_name(
        f".rvdtool-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.lock"
    )


def is_lock(path: Path) -> bool:
    """Whether a path is that of a lock file."""
    return _LOCK.fullmatch(path.name) is not None


def _hold(lock: Path) -> int | None:
    """Open and lock a file, and return its handle; None if another process holds the lock."""
    while True:
        handle = os.open(lock, _NEW, 0o666)
        try:
            held = _lock(handle)
        except OSError:  # a file system without locks
            return handle
        if not held:
            os.close(handle)
            return None
        try:  # the previous holder may have removed it
            if os.path.samestat(os.fstat(handle), lock.lstat()):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file; False if another process has locked it.

    Raises:
        OSError: the file system has no locks.
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
        if os.name == "nt":  # Windows can't remove open files
            part.unlink()
            return
        handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if _lock(handle):
                part.unlink()
        finally:
            os.close(handle)


def require_new(path: Path, overwrite: bool) -> None:
    """Refuse a file that can't be written, before any work is done for it.

    Raises:
        OutputError: its folder doesn't exist, or it exists (without `overwrite`), or is a folder.
    """
    if not path.parent.is_dir():
        raise OutputError(f"{path}: {path.parent} isn't a folder; create it first")
    _refuse_existing(path, overwrite)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    try:
        path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:  # for example, the name is too long
        raise OutputError(f"{path}: can't be written: {describe(error)}") from error
    if path.is_dir():
        raise OutputError(f"{path}: a folder, but a file is to be written; name a file")
    if not overwrite:
        raise _exists(path)


def _exists(path: Path) -> OutputError:
    return OutputError(f"{path}: already exists; choose another name, or use --overwrite")


def _discard(part: Path) -> None:
    """Remove a temporary file, if it exists."""
    with suppress(OSError):
        part.unlink()


def _sync_folder(folder: Path) -> None:
    """Flush a folder to the disk, where the system supports it, so that a rename is durable."""
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
