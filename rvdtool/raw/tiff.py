"""Build a TIFF file: one image in one strip, with given tags and an EXIF sub-IFD.

tifffile can't write an EXIF sub-IFD, nor an already compressed strip with fewer than 16 bits per
sample, and DNGs need both. The format is that of TIFF 6.0, section 2.
"""

import struct
from collections.abc import Iterable, Sequence

from rvdtool.errors import RawError
from rvdtool.raw.frame import Tag

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL = 1, 2, 3, 4, 5, 7, 10
"""TIFF data types."""

FORMATS = {
    1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii", 11: "f",
    12: "d", 13: "I",
}  # fmt: skip
"""TIFF data type → format character of `struct`."""

_STRIP_OFFSETS, _EXIF_IFD = 273, 34665


def encode_tiff(tags: Iterable[Tag], exif: Iterable[Tag], strip: bytes) -> bytes:
    """Return a little-endian TIFF file: IFD0, the EXIF IFD (if any tag is given), the strip.

    StripOffsets and the pointer to the EXIF IFD are added; the caller gives all other tags. The
    same input always gives the same bytes.

    Raises:
        RawError: a value doesn't fit its tag's type or count.
    """
    exif = list(exif)
    entries = [*tags, Tag(_STRIP_OFFSETS, LONG, 1, 0)]
    if exif:
        entries.append(Tag(_EXIF_IFD, LONG, 1, 0))
    exif_at = 8 + len(_encode_ifd(entries, 8))
    exif_ifd = _encode_ifd(exif, exif_at) if exif else b""
    places = {_STRIP_OFFSETS: exif_at + len(exif_ifd), _EXIF_IFD: exif_at}
    placed = [Tag(t.code, t.dtype, t.count, places.get(t.code, t.value)) for t in entries]
    return b"".join((b"II*\0\x08\0\0\0", _encode_ifd(placed, 8), exif_ifd, strip))


def _encode_ifd(tags: Sequence[Tag], offset: int) -> bytes:
    """An IFD for position `offset` in the file, followed by values that don't fit in an entry."""
    ordered = sorted(tags, key=lambda tag: tag.code)
    entries = [struct.pack("<H", len(ordered))]
    values: list[bytes] = []
    position = offset + 2 + 12 * len(ordered) + 4
    for tag in ordered:
        value = encode_value(tag)
        entry = struct.pack("<HHI", tag.code, tag.dtype, tag.count)
        if len(value) <= 4:
            entries.append(entry + value.ljust(4, b"\0"))
            continue
        entries.append(entry + struct.pack("<I", position))
        value += b"\0" * (len(value) % 2)  # values begin on a word boundary
        values.append(value)
        position += len(value)
    return b"".join((*entries, bytes(4), *values))


def encode_value(tag: Tag) -> bytes:
    """Encode a tag's value for a little-endian TIFF file.

    Raises:
        RawError: the value doesn't fit the tag's type or count.
    """
    if isinstance(tag.value, bytes):
        return tag.value
    if isinstance(tag.value, str) and tag.dtype == ASCII:
        return tag.value.encode() + b"\0"
    numbers = tag.value if isinstance(tag.value, Sequence) else (tag.value,)
    try:
        return struct.pack(f"<{FORMATS[tag.dtype] * tag.count}", *numbers)
    except (KeyError, OverflowError, struct.error) as error:
        raise RawError(
            f"the value of tag {tag.code} isn't {tag.count} of TIFF type {tag.dtype}"
        ) from error
