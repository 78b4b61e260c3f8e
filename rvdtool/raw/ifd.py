"""Read the IFDs of a TIFF-like file (TIFF 6.0, section 2) and the values of their tags.

A damaged or forged file can't cause more reading than its own size, and no IFD is read twice.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from rvdtool.errors import RawError
from rvdtool.raw.frame import Tag
from rvdtool.raw.tiff import ASCII, BYTE, FORMATS, UNDEFINED

SUB_IFDS, EXIF_IFD = 330, 34665

MOST_NUMBERS = 2**18
"""Largest number of values of a tag; the largest colour tables have this many."""

MOST_BYTES = 2**20
"""Largest number of bytes of a tag of bytes or text. Larger ones are previews or maker notes."""

_VERSIONS = (42, 0x55, 0x4F52, 0x5352)
"""Version numbers in the header: TIFF, Panasonic, and two of Olympus."""

_MOST_TAGS = 4096
_MOST_IFDS = 1000
_SHARED = 2**20
"""Bytes that may be read more than once, since tags may share values."""


@dataclass(frozen=True)
class Tree:
    """The IFDs of a file that rvdtool uses; each maps tag codes to tags.

    Attributes:
        first: IFD0.
        pages: IFD0, its SubIFDs, the next IFD, its SubIFDs, …
        exif: the EXIF IFD that IFD0 points to; empty if there is none.
    """

    first: dict[int, Tag]
    pages: tuple[dict[int, Tag], ...]
    exif: dict[int, Tag]


def read_ifds(path: Path) -> Tree | None:
    """Read all IFDs of the file at `path`; see `ifds_in`."""
    with path.open("rb") as file:
        return ifds_in(file, path.stat().st_size)


def ifds_in(file: BinaryIO | io.RawIOBase, size: int) -> Tree | None:
    """Read all IFDs; None if the file doesn't begin like a TIFF.

    Tags of an unknown type, with values beyond the end of the file, or with more values than
    MOST_NUMBERS or MOST_BYTES are left out.

    Raises:
        RawError: there is no IFD, there are far too many, or they form a loop.
        OSError: the file can't be read.
    """
    reader = _Reader.of(file, size)
    if reader is None:
        return None
    pages: list[dict[int, Tag]] = []
    for top in reader.chain(reader.first):
        pages.append(top)
        for offset in _offsets(top.get(SUB_IFDS)):
            pages += reader.chain(offset)
    if not pages:
        raise RawError("damaged: its tags can't be read")
    exif = [reader.ifd(offset)[0] for offset in _offsets(pages[0].get(EXIF_IFD))[:1]]
    return Tree(pages[0], tuple(pages), exif[0] if exif else {})


def _offsets(tag: Tag | None) -> tuple[int, ...]:
    """A tag's values as offsets."""
    value = () if tag is None or isinstance(tag.value, str | bytes) else tag.value
    values = value if isinstance(value, tuple) else (value,)
    return tuple(one for one in values if isinstance(one, int))


class _Reader:
    """Reads IFDs, and limits the total number of bytes read."""

    def __init__(self, file: BinaryIO | io.RawIOBase, size: int, order: str) -> None:
        self._file = file
        self._size = size
        self._order = order
        self._seen: set[int] = set()
        self._left = size + _SHARED
        self.first = int(struct.unpack(order + "I", file.read(4) or b"")[0])

    @classmethod
    def of(cls, file: BinaryIO | io.RawIOBase, size: int) -> Self | None:
        """A reader for the file; None if it doesn't begin like a TIFF."""
        head = file.read(4) or b""
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or size < 8 or struct.unpack(order + "H", head[2:])[0] not in _VERSIONS:
            return None
        return cls(file, size, order)

    def chain(self, offset: int) -> Iterator[dict[int, Tag]]:
        """The IFD at `offset` and those linked from it."""
        while 8 <= offset <= self._size - 6:
            tags, offset = self.ifd(offset)
            yield tags

    def ifd(self, offset: int) -> tuple[dict[int, Tag], int]:
        """An IFD's tags, and the offset of the next IFD."""
        if offset in self._seen or len(self._seen) >= _MOST_IFDS:
            raise RawError("damaged: its list of images is a loop or never ends")
        self._seen.add(offset)
        count = struct.unpack(self._order + "H", self._read(offset, 2).ljust(2, b"\0"))[0]
        if count > _MOST_TAGS:
            raise RawError(f"damaged: one of its images has {count} tags")
        table = self._read(offset + 2, 12 * count + 4)
        tags = {}
        for start in range(0, min(len(table), 12 * count) // 12 * 12, 12):
            tag = self._tag(table[start : start + 12])
            if tag is not None:
                tags[tag.code] = tag
        following = table[12 * count :]
        end = struct.unpack(self._order + "I", following)[0] if len(following) == 4 else 0
        return tags, int(end)

    def _tag(self, entry: bytes) -> Tag | None:
        """A tag with its value; None if it is to be left out."""
        code, dtype, count, offset = struct.unpack(self._order + "HHII", entry)
        layout = FORMATS.get(dtype)
        if layout is None or not count:
            return None
        bytewise = dtype in (BYTE, ASCII, UNDEFINED)
        size = count * struct.calcsize("<" + layout)
        beyond = size > 4 and not 8 <= offset <= self._size - size
        if beyond or count > (MOST_BYTES if bytewise else MOST_NUMBERS):
            return None
        data = entry[8 : 8 + size] if size <= 4 else self._read(offset, size)
        if len(data) < size:
            return None
        if dtype == ASCII:
            text = _text(data)
            return Tag(code, dtype, len(text.encode()) + 1, text)
        if bytewise:
            return Tag(code, dtype, count, data)
        value = struct.unpack(self._order + layout * count, data)
        return Tag(code, dtype, count, value[0] if len(value) == 1 else value)

    def _read(self, offset: int, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise RawError("damaged: its tags refer to the same bytes again and again")
        self._file.seek(offset)
        return self._file.read(size) or b""


def _text(data: bytes) -> str:
    """Decode text up to its first NUL. TIFF allows ASCII only, but many programs write UTF-8."""
    text = data.split(b"\0", 1)[0]
    try:
        return text.decode().strip()
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace").strip()
