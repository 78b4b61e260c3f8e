"""Access to the tags of a TIFF-like RAW file by name."""

import logging
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import tifffile

from rvdtool.errors import RawError
from rvdtool.raw.frame import Matrix, Tag
from rvdtool.raw.ifd import read_ifds
from rvdtool.raw.tiff import RATIONAL, SRATIONAL

DAMAGE = (
    tifffile.TiffFileError,
    struct.error,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Errors that tifffile and imagecodecs raise on damaged files (found by experiment)."""

TIFF_MAGIC = (b"II*\0", b"MM\0*")

_CODES = tifffile.TIFF.TAGS  # tag names ↔ codes
_NOWHERE = 0xFFFFFFFF  # Panasonic's StripOffsets; a tag of its own gives the offset

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it writes to stderr


class Ifd:
    """The tags of one IFD, by name. Values are checked when they are accessed.

    Attributes:
        tags: the tags by code.
    """

    def __init__(self, tags: Mapping[int, Tag]) -> None:
        self.tags = tags

    def tag(self, name: str) -> Tag | None:
        """The tag of that name; None if missing."""
        return self.tags.get(_CODES[name])

    def numbers(
        self, name: str, count: int | None = None, *, default: Iterable[int] = ()
    ) -> list[Fraction]:
        """A tag's values, or `default` if it is missing. Rationals with denominator 0 become 0.

        Raises:
            RawError: the values aren't numbers, or there aren't `count` of them.
        """
        tag = self.tag(name)
        if tag is None:
            return [Fraction(value) for value in default]
        values = tag.value if isinstance(tag.value, tuple | bytes) else (tag.value,)
        try:
            if tag.dtype in (RATIONAL, SRATIONAL):
                pairs = zip(values[::2], values[1::2], strict=True)
                numbers = [Fraction(n, d) if d else Fraction(0) for n, d in pairs]
            else:
                numbers = [Fraction(value) for value in values]
        except (ArithmeticError, TypeError, ValueError) as error:
            raise RawError(f"damaged: its {name} holds no numbers") from error
        if count is not None and len(numbers) != count:
            raise RawError(f"damaged: its {name} has {len(numbers)} values instead of {count}")
        return numbers

    def number(self, name: str, default: int | None = None) -> int:
        """A tag's single value as an integer, or `default` if the tag is missing.

        Raises:
            RawError: the tag is missing (without `default`) or isn't one number.
        """
        values = self.numbers(name, 1)
        if values:
            return int(values[0])
        if default is None:
            raise RawError(f"damaged: its {name} is missing")
        return default

    def text(self, name: str) -> str:
        """The text of an ASCII tag, without padding; empty if missing."""
        tag = self.tag(name)
        return tag.value if tag and isinstance(tag.value, str) else ""

    def matrix(self, name: str) -> Matrix | None:
        """A tag's value as a 3×3 matrix; None if missing.

        Raises:
            RawError: the value isn't nine numbers.
        """
        values = [float(value) for value in self.numbers(name, 9)]
        return tuple(tuple(values[i : i + 3]) for i in (0, 3, 6)) if values else None


@dataclass(frozen=True)
class Header:
    """The IFDs of a file that rvdtool uses.

    Attributes:
        first: IFD0, which describes the camera.
        images: the IFDs of main images (NewSubfileType 0), including IFD0 if it is one.
        exif: the EXIF IFD.
        size: the file's size in bytes.
    """

    first: Ifd
    images: tuple[Ifd, ...]
    exif: Mapping[str, Any]
    size: int

    @property
    def is_dng(self) -> bool:
        """Whether the file has a DNGVersion tag."""
        return self.first.tag("DNGVersion") is not None

    def require_whole(self) -> None:
        """Refuse a truncated file, since LibRaw may read the missing pixels as zeros.

        Raises:
            RawError: a strip or tile of a main image extends beyond the end of the file.
        """
        for ifd, part in product(self.images, ("Strip", "Tile")):
            offsets, counts = ifd.numbers(f"{part}Offsets"), ifd.numbers(f"{part}ByteCounts")
            places = zip(offsets, counts, strict=False)
            ends = (start + count for start, count in places if start != _NOWHERE)
            if max(ends, default=0) > self.size:
                raise RawError(
                    "cut short: the file ends before its pixels do; copy it from the card again"
                )


def read_header(path: Path) -> Header | None:
    """Read the tags of a TIFF-like RAW file; None if it isn't one (CR3, RAF, …).

    Raises:
        RawError: the file begins like a TIFF file, but its tags can't be read.
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    try:
        tree = read_ifds(path)
        if tree is None:
            return None
        images = tuple(ifd for ifd in map(Ifd, tree.pages) if ifd.number("NewSubfileType", 0) == 0)
    except RawError:
        if magic not in TIFF_MAGIC:  # Panasonic or Olympus: LibRaw may read it
            return None
        raise
    return Header(
        first=Ifd(tree.first),
        images=images,
        exif={
            tifffile.TIFF.EXIF_TAGS.get(code, str(code)): tag.value
            for code, tag in tree.exif.items()
        },
        size=path.stat().st_size,
    )
