"""The archive of a bundle: a ZIP file whose members are stored, one after the other, no gaps.

`ArchiveWriter` writes one and hashes on the way; `read_archive` finds the members in one and
refuses what can't be a bundle. Nothing here depends on what the members mean.
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
"""Bytes at a time: small enough to stay in the processor's cache between hashing and writing."""

Advance = Callable[[int], None]
"""Called with how many more bytes are done."""

_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
"""ZIP's zero. Not the clock, so that packing twice gives the same bytes; not the files' own dates,
so that a copy of the input packs to the same bytes too."""

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
"""Bytes of the list of members: zipfile reads it as a whole, so it must not be absurd."""


@dataclass(frozen=True)
class InputFile:
    """A user's file and how it looked when packing began."""

    path: Path
    size: int
    mtime_ns: int

    @classmethod
    def at(cls, path: Path, what: str) -> Self:
        """Look at the file, which is called `what` in messages.

        Raises:
            InputError: there is no such file, it is empty, or it may not be read.
        """
        state = require_file(path, what).stat()
        if state.st_size == 0:
            raise InputError(f"{path}: an empty file ({what} was expected)")
        return cls(path, state.st_size, state.st_mtime_ns)

    def require_unchanged(self) -> None:
        """Make sure that the file hasn't changed since it was opened.

        Raises:
            InputError: size or modification time differ, or the file has gone.
        """
        try:
            state = self.path.stat()
        except OSError as error:
            raise InputError(f"{self.path}: vanished while being packed") from error
        if (state.st_size, state.st_mtime_ns) != (self.size, self.mtime_ns):
            raise InputError(f"{self.path}: changed while being packed; wait until it is complete")


class ArchiveWriter:
    """Writes members one after the other; a context manager that completes the archive.

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
        """Add a member that lies in memory."""
        self._zip.writestr(_entry(name, len(data)), data)
        return Member(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def add_file(self, name: str, source: InputFile) -> Member:
        """Add a copy of a user's file: read once, hashed in a second thread while it is written.

        Raises:
            InputError: the file can't be read, or changed since `source` looked at it.
            OSError: the archive can't be written.
        """
        digest = hashlib.sha256()
        # Two buffers take turns: one is hashed while the other is read and written.
        buffers = cycle((bytearray(CHUNK), bytearray(CHUNK)))
        with (
            _opened(source.path) as file,
            self._zip.open(_entry(name, source.size), "w") as member,
            ThreadPoolExecutor(1) as hasher,
        ):
            hashed = hasher.submit(digest.update, b"")
            copied = 0  # a file that grows meanwhile would be copied for ever
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
    """A member: where its bytes lie in the archive's file, and the CRC-32 they should have."""

    name: str
    offset: int
    size: int
    crc: int


def read_archive(path: Path) -> dict[str, Slice]:
    """Find the members of an archive, in the order in which they lie there.

    Raises:
        InputError: there is no such file, or it may not be read.
        BundleError: it is not a ZIP file, is cut short, or is not laid out as a bundle is (a
            member compressed or encrypted, headers that disagree, gaps, bytes around it).
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
    """All bytes of a member.

    Raises:
        InputError: the file can't be read.
        BundleError: the member's bytes are not those that were written.
    """
    data = b"".join(member_chunks(path, member))
    if zlib.crc32(data) != member.crc:
        raise BundleError(f"{path}: {member.name} is damaged; see `rvdtool verify`")
    return data


def member_chunks(path: Path, member: Slice) -> Iterator[bytes]:
    """A member's bytes in pieces of at most CHUNK.

    Raises:
        InputError: the file can't be read.
        BundleError: it ends before the member does.
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
    """A member's header; the same on every system, at every time."""
    entry = zipfile.ZipInfo(name, _FIXED_DATE)
    entry.create_system = _UNIX
    entry.external_attr = _READABLE_FILE
    entry.compress_type = zipfile.ZIP_STORED
    entry.file_size = size  # decides whether the header is ZIP64
    return entry


def _opened(path: Path) -> FileIO:
    """Open a user's file, so that its errors can't be mistaken for the archive's.

    Raises:
        InputError: it can't be opened.
    """
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {describe(error)}") from error


def _read_into(file: FileIO, buffer: bytearray, path: Path) -> memoryview:
    """Fill the buffer with what comes next; empty at the file's end."""
    try:
        return memoryview(buffer)[: file.readinto(buffer)]
    except OSError as error:
        raise InputError(f"{path}: can't be read: {describe(error)}") from error


def _require_whole(path: Path, file: BinaryIO) -> None:
    """Distinguish a truncated bundle from a file that never was one.

    Raises:
        BundleError: it is either.
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
    """The file as zipfile reads it, which takes the list of members into memory as a whole."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As a file does.

        Raises:
            BundleError: what is read is longer, or has more members, than a bundle's list can.
        """
        wanted = -1 if size is None else size
        data = super().read(min(wanted, _MAX_DIRECTORY + 1))
        if len(data) > _MAX_DIRECTORY or data.count(_ENTRY_MAGIC) > _MAX_MEMBERS:
            raise BundleError(f"it lists more members than a bundle can have ({_MAX_MEMBERS})")
        return data


def _lay_out(file: BinaryIO, infos: list[zipfile.ZipInfo], end: int) -> dict[str, Slice]:
    """Check each member's local header and that members fill the file up to `end`, without gaps."""
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
    """Where a member's bytes begin: behind its local header, which must agree with the list."""
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
    """A name for a message, without control characters and shortened."""
    return repr(name if len(name) <= _MAX_QUOTED else f"{name[:_MAX_QUOTED]}…")
