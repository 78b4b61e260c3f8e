"""The archive of a bundle: a ZIP file with uncompressed members and no gaps between them.

`ArchiveWriter` writes members and hashes them at the same time; `read_archive` locates members and
refuses files that can't be bundles. This module doesn't know what the members mean.
"""

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from rvdtool.bundle.fields import MAX_IMAGES, MAX_REFERENCES
from rvdtool.bundle.manifest import Member
from rvdtool.errors import BundleError, InputError
from rvdtool.files import describe, require_file

MIMETYPE_MEMBER = "mimetype"
MIMETYPE = b"application/vnd.rvdtool.bundle+zip"

CHUNK = 2**20
"""Bytes per read: few enough to stay in the processor's cache between hashing and writing."""

Advance = Callable[[int], None]
"""Called with the number of bytes done since the last call."""

_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
"""ZIP's zero date. Neither the current time, so that packing twice gives the same bytes, nor the
files' own dates, so that copies of the input also give the same bytes."""

_UNIX = 3
_READABLE_FILE = 0o100644 << 16

_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_MAGIC = b"PK\3\4"
_ENTRY_MAGIC = b"PK\1\2"
_END_MAGIC = b"PK\5\6"
_END_SIZE = 22
_UTF8_NAME = 0x800

_MAX_MEMBERS = MAX_IMAGES + 2 * MAX_REFERENCES + 2
_MAX_NAME = 1024
_MAX_QUOTED = 100
_MAX_DIRECTORY = 128 * 2**20
"""Largest size in bytes of the list of members, which zipfile reads into memory as a whole."""


@dataclass(frozen=True)
class InputFile:
    """A user's file, with its size and modification time when packing began."""

    path: Path
    size: int
    mtime_ns: int

    @classmethod
    def at(cls, path: Path, what: str) -> Self:
        """Record a file's state. Messages call the file `what`.

        Raises:
            InputError: the file doesn't exist, is empty or can't be read.
        """
        state = require_file(path, what).stat()
        if state.st_size == 0:
            raise InputError(f"{path}: an empty file ({what} was expected)")
        return cls(path, state.st_size, state.st_mtime_ns)

    def require_unchanged(self) -> None:
        """Require that the file hasn't changed since its state was recorded.

        Raises:
            InputError: its size or modification time differ, or it no longer exists.
        """
        try:
            state = self.path.stat()
        except OSError as error:
            raise InputError(f"{self.path}: vanished while being packed") from error
        if (state.st_size, state.st_mtime_ns) != (self.size, self.mtime_ns):
            raise InputError(f"{self.path}: changed while being packed; wait until it is complete")


class ArchiveWriter:
    """Writes members in sequence. A context manager that completes the archive on exit.

    Args:
        file: a new, seekable file.
        advance: called while files are copied.
    """

    def __init__(self, file: BinaryIO, advance: Advance | None = None) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=False)
        self._advance = advance

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    def add_bytes(self, name: str, data: bytes) -> Member:
        """Add a member from memory."""
        self._zip.writestr(_entry(name, len(data)), data)
        return Member(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def add_file(self, name: str, source: InputFile) -> Member:
        """Add a copy of a user's file. It is read once, and hashed in a second thread meanwhile.

        Raises:
            InputError: the file can't be read, or has changed since `source` was recorded.
            OSError: the archive can't be written.
        """
        digest = hashlib.sha256()
        # Two buffers alternate: one is hashed while the other is filled and written.
        buffers = cycle((bytearray(CHUNK), bytearray(CHUNK)))
        with (
            _opened(source.path) as file,
            self._zip.open(_entry(name, source.size), "w") as member,
            ThreadPoolExecutor(1) as hasher,
        ):
            hashed = hasher.submit(digest.update, b"")
            copied = 0  # limits the copy: a growing file would be copied forever
            while copied <= source.size and (chunk := _read_into(file, next(buffers), source.path)):
                hashed.result()
                hashed = hasher.submit(digest.update, chunk)
                copied += member.write(chunk)
                if self._advance is not None:
                    self._advance(len(chunk))
        source.require_unchanged()
        return Member(name=name, size=source.size, sha256=digest.hexdigest())


@dataclass(frozen=True)
class Slice:
    """A member's name, the position and size of its bytes in the archive, and their CRC-32."""

    name: str
    offset: int
    size: int
    crc: int


def read_archive(path: Path) -> dict[str, Slice]:
    """Locate the members of an archive, in their order in the file.

    Raises:
        InputError: the file doesn't exist or can't be read.
        BundleError: the file isn't a ZIP file, is truncated, or isn't laid out like a bundle (a
            member is compressed or encrypted, headers disagree, or there are gaps or extra bytes).
    """
    require_file(path, "a bundle")
    with _ListReader(path) as file:
        _require_whole(path, file)
        try:
            with zipfile.ZipFile(file) as archive:
                infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
                return _lay_out(file, infos, archive.start_dir)
        except BundleError as error:
            raise BundleError(f"{path}: {error}") from error
        except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError) as error:
            raise BundleError(f"{path}: damaged: its list of members can't be read") from error


def read_member(path: Path, member: Slice) -> bytes:
    """Read all bytes of a member.

    Raises:
        InputError: the file can't be read.
        BundleError: the bytes have changed since they were written.
    """
    data = b"".join(member_chunks(path, member))
    if zlib.crc32(data) != member.crc:
        raise BundleError(f"{path}: {member.name} is damaged; see `rvdtool verify`")
    return data


def member_chunks(path: Path, member: Slice) -> Iterator[bytes]:
    """Yield a member's bytes in pieces of at most CHUNK.

    Raises:
        InputError: the file can't be read.
        BundleError: the file ends before the member does.
    """
    left = member.size
    with _opened(path) as file:
        file.seek(member.offset)
        while left:
            try:
                chunk = file.read(min(CHUNK, left))
            except OSError as error:
                raise InputError(f"{path}: can't be read: {describe(error)}") from error
            if not chunk:
                raise BundleError(f"{path}: cut short while it was being read")
            left -= len(chunk)
            yield chunk


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    """The ZIP entry of a member, which doesn't depend on the system or the time."""
    entry = zipfile.ZipInfo(name, _FIXED_DATE)
    entry.create_system = _UNIX
    entry.external_attr = _READABLE_FILE
    entry.compress_type = zipfile.ZIP_STORED
    entry.file_size = size  # zipfile uses ZIP64 headers if this is large
    return entry


def _opened(path: Path) -> FileIO:
    """Open a user's file, so that its errors can be told from the archive's.

    Raises:
        InputError: the file can't be opened.
    """
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {describe(error)}") from error


def _read_into(file: FileIO, buffer: bytearray, path: Path) -> memoryview:
    """Fill the buffer from the file; return the filled part, which is empty at the end."""
    try:
        return memoryview(buffer)[: file.readinto(buffer)]
    except OSError as error:
        raise InputError(f"{path}: can't be read: {describe(error)}") from error


def _require_whole(path: Path, file: BinaryIO) -> None:
    """Refuse truncated bundles and files that aren't bundles, with different messages.

    Raises:
        BundleError: the file is one of these.
    """
    start = file.read(_LOCAL_HEADER.size + len(MIMETYPE_MEMBER) + len(MIMETYPE))
    if not start.endswith(MIMETYPE_MEMBER.encode() + MIMETYPE):
        raise BundleError(f"{path}: not a bundle; `rvdtool pack` makes one")
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_SIZE))
    end = file.read()
    if len(end) < _END_SIZE or not end.startswith(_END_MAGIC) or end[-2:] != b"\0\0":
        raise BundleError(
            f"{path}: its end is missing or damaged (cut short at {size} bytes?); copy it again"
        )


class _ListReader(FileIO):
    """A file for zipfile that limits how much is read at once, as the list of members is."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read from the file.

        Raises:
            BundleError: the data is longer, or has more members, than a bundle's list may.
        """
        wanted = -1 if size is None else size
        data = super().read(min(wanted, _MAX_DIRECTORY + 1))
        if len(data) > _MAX_DIRECTORY or data.count(_ENTRY_MAGIC) > _MAX_MEMBERS:
            raise BundleError(f"it lists more members than a bundle can have ({_MAX_MEMBERS})")
        return data


def _lay_out(file: BinaryIO, infos: list[zipfile.ZipInfo], end: int) -> dict[str, Slice]:
    """Check the members' local headers, and that members fill the file up to `end` without gaps."""
    slices: dict[str, Slice] = {}
    position = 0
    for info in infos:
        name = info.orig_filename
        if len(name) > _MAX_NAME:
            raise BundleError(f"damaged: a member's name is {len(name)} characters long")
        if info.header_offset != position:
            raise BundleError(f"damaged: unexpected bytes before member {quoted(name)}")
        plain = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not plain or info.flag_bits & ~_UTF8_NAME:
            raise BundleError(
                f"member {quoted(name)} is compressed or encrypted; a bundle's members are "
                "stored as they are"
            )
        if name in slices:
            raise BundleError(f"has member {quoted(name)} twice")
        offset = _data_offset(file, info)
        slices[name] = Slice(name, offset, info.file_size, info.CRC)
        position = offset + info.file_size
    if position != end:
        raise BundleError("damaged: members don't end where the list of members begins")
    return slices


def _data_offset(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Offset of a member's bytes, after its local header, which must agree with the list."""
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) == _LOCAL_HEADER.size:
        magic, _, flags, method, _, _, crc, _, _, names, extras = _LOCAL_HEADER.unpack(header)
        name = file.read(names).decode("utf-8" if flags & _UTF8_NAME else "cp437", "replace")
        if (magic, flags, method, crc, name) == (
            _LOCAL_MAGIC,
            info.flag_bits,
            info.compress_type,
            info.CRC,
            info.orig_filename,
        ):
            return info.header_offset + _LOCAL_HEADER.size + int(names) + int(extras)
    raise BundleError(f"damaged: the header of member {quoted(info.orig_filename)}")


def quoted(name: str) -> str:
    """A name for a message, shortened and without control characters."""
    return repr(name if len(name) <= _MAX_QUOTED else f"{name[:_MAX_QUOTED]}…")
