"""Checks the bytes between a bundle's members: ZIP headers as the format fixes them.

zipfile writes and reads the archive, but ignores many header fields (dates, versions, attributes,
disk numbers). This module builds the expected headers from the members (PKWARE's APPNOTE.TXT, 4.3),
so that `verify` detects any change to them.
"""

import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from rvdtool.bundle.archive import Slice

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s4B4H3I5H2I")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64 = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")

_PLAIN, _ZIP64 = 20, 45
"""Versions needed to extract: 2.0, or 4.5 if numbers are in ZIP64 fields."""

_UNIX, _READABLE_FILE = 3, 0o100644 << 16
_DATE = 0x21
"""1980-01-01, ZIP's zero date; the time is 0."""

_UTF8_NAME = 0x800
_ELSEWHERE = 0xFFFFFFFF
"""Placeholder for a number that is in a ZIP64 field."""


def first_altered_byte(path: Path, slices: Iterable[Slice]) -> int | None:
    """Find the first byte between members that differs from what rvdtool writes.

    Args:
        path: path of the bundle.
        slices: the bundle's members, in their order in the file.

    Returns:
        The byte's offset in the file; None if all bytes are as expected.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        for offset, expected in _headers(tuple(slices)):
            file.seek(offset)
            found = file.read(len(expected)).ljust(len(expected))
            if found != expected:
                same = (one == two for one, two in zip(found, expected, strict=True))
                return offset + list(same).index(False)
        return file.tell() - 1 if file.read(1) else None


def _headers(slices: tuple[Slice, ...]) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each member's header, and of the directory after the last member."""
    position, directory = 0, b""
    for member in slices:
        yield position, _local(member)
        directory += _central(member, position)
        position = member.offset + member.size
    yield position, directory + _end(len(slices), len(directory), position)


def _announced_large(member: Slice) -> bool:
    """Whether a member's header is ZIP64: zipfile decides that in advance, with a margin of 5 %."""
    return member.size * 1.05 > zipfile.ZIP64_LIMIT


def _flags_and_name(member: Slice) -> tuple[int, bytes]:
    return (0 if member.name.isascii() else _UTF8_NAME), member.name.encode()


def _local(member: Slice) -> bytes:
    flags, name = _flags_and_name(member)
    version, size, extra = _PLAIN, member.size, b""
    if _announced_large(member):
        version, size = _ZIP64, _ELSEWHERE
        extra = struct.pack("<2H2Q", 1, 16, member.size, member.size)
    fields = (b"PK\3\4", version, flags, 0, 0, _DATE, member.crc, size, size)
    return _LOCAL.pack(*fields, len(name), len(extra)) + name + extra


def _central(member: Slice, position: int) -> bytes:
    flags, name = _flags_and_name(member)
    large: list[int] = []
    size, place = member.size, position
    if size > zipfile.ZIP64_LIMIT:
        large, size = [size, size], _ELSEWHERE
    if place > zipfile.ZIP64_LIMIT:
        large, place = [*large, place], _ELSEWHERE
    extra = struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    version = _ZIP64 if large or _announced_large(member) else _PLAIN
    fields = (b"PK\1\2", version, _UNIX, version, 0, flags, 0, 0, _DATE, member.crc, size, size)
    lengths = (len(name), len(extra), 0, 0, 0)
    return _CENTRAL.pack(*fields, *lengths, _READABLE_FILE, place) + name + extra


def _end(count: int, size: int, start: int) -> bytes:
    """The end of the directory, preceded by ZIP64's if one is needed."""
    large = b""
    if count > zipfile.ZIP_FILECOUNT_LIMIT or max(start, size) > zipfile.ZIP64_LIMIT:
        rest = _END64.size - 12
        large = _END64.pack(b"PK\6\6", rest, _ZIP64, _ZIP64, 0, 0, count, count, size, start)
        large += _LOCATOR64.pack(b"PK\6\7", 0, start + size, 1)
    few = min(count, 0xFFFF)
    near = (min(size, _ELSEWHERE), min(start, _ELSEWHERE))
    return large + _END.pack(b"PK\5\6", 0, 0, few, few, *near, 0)
