"""Find the blocks of Magic Lantern RAW video, and the files that a recording is split into."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rvdtool.errors import RawError
from rvdtool.files import describe

MAGIC = b"MLVI"
FILE_HEADER = struct.Struct("<4sI8sQHHIHHIIII")

_BLOCK = struct.Struct("<4sIQ")  # type, size with this header, timestamp in µs
_CHUNKS = 100


def is_mlv(path: Path) -> bool:
    """Whether a file is a Magic Lantern recording, by its first bytes.

    Raises:
        RawError: the file can't be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise RawError(f"{path}: can't be read: {describe(error)}") from error


def walk_blocks(
    file: BinaryIO, name: str, *, to_damage: bool = False
) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over the blocks after the first: (type, offset of the content, size of the content).

    When a block is yielded, the file's position is at its content.

    Args:
        file: a file of a recording.
        name: its name, for messages.
        to_damage: stop at an incomplete block instead of raising an error.

    Raises:
        RawError: a block is incomplete.
    """
    end = file.seek(0, 2)
    file.seek(0)
    position = 0
    while position < end:
        file.seek(position)
        head = file.read(_BLOCK.size)
        size = _BLOCK.unpack(head)[1] if len(head) == _BLOCK.size else end
        if to_damage and not _BLOCK.size <= size <= end - position:
            return
        if size < _BLOCK.size:
            raise RawError(f"{name}: damaged at byte {position}: a block of {size} bytes")
        if position + size > end:
            raise RawError(
                f"{name} is cut short at byte {end}; copy it from the card again, or repair it "
                "with MLV App"
            )
        if head[:4] != MAGIC:
            yield head[:4], position + _BLOCK.size, size - _BLOCK.size
        position += size


def find_chunks(path: Path) -> Iterator[Path]:
    """The existing files NAME.M00, NAME.M01, … (or .m00, …) of a recording, in order."""
    for index in range(_CHUNKS):
        names = [path.with_suffix(f".{letter}{index:02d}") for letter in "Mm"]
        found = next((name for name in names if name.is_file()), None)
        if found is None:
            return
        yield found
