"""Extract one RAW frame from a user's file as a file of its own, for the bundle."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from rvdtool.errors import RawError
from rvdtool.files import describe, require_file
from rvdtool.raw.mlv import MlvVideo, read_mlv
from rvdtool.raw.mlv_blocks import FILE_HEADER, find_chunks, is_mlv, walk_blocks
from rvdtool.raw.sequence import list_sequence

_NOT_COPIED = frozenset({b"VIDF", b"AUDF", b"WAVI", b"XREF", b"NULL", b"BKUP"})
"""Blocks that aren't copied: other frames, sound, the index of the whole file, and padding."""

_LARGEST = 65_536
"""Largest number of bytes of a metadata block; the largest specified one has some hundreds."""

_BLOCK_HEAD = 16

_ALONE = {1: FILE_HEADER.size, 4: 0, 5: 1, 8: 0, 9: 1, 10: 0}
"""Header fields to set, by index: header size, file number, number of files, audio class, number
of video frames, number of audio frames."""


@contextmanager
def one_frame_file(path: Path) -> Iterator[Path]:
    """Yield a file that contains only the frame that `read_raw(path)` reads.

    For a file with one frame, it is that file; for a folder (CinemaDNG), the file of its first
    frame. A Magic Lantern recording, which may have gigabytes, is cut to its first frame: the
    result is a temporary file of the same name, deleted when the context ends. It contains the
    camera's own blocks, byte for byte; only the header is changed, to one frame in one file
    without audio.

    Raises:
        InputError: the file or folder doesn't exist or can't be read.
        RawError: a folder without RAW frames, or a recording whose first frame is incomplete.
    """
    if path.is_dir():
        yield list_sequence(path)[0]
        return
    require_file(path, "a RAW frame")
    if not is_mlv(path):
        yield path
        return
    video = read_mlv(path, first_only=True)
    with TemporaryDirectory() as folder:
        alone = Path(folder) / path.name
        try:
            alone.write_bytes(_first_frame_alone(video))
        except OSError as error:
            raise RawError(f"{path}: can't be read: {describe(error)}") from error
        yield alone


def _first_frame_alone(video: MlvVideo) -> bytes:
    """The bytes of a recording of the first frame only, with the block of each kind that applies
    to it."""
    metadata: dict[bytes, bytes] = {}
    first, pixels, header = video.frames[0], b"", b""
    for path in (video.path, *find_chunks(video.path)):
        with path.open("rb") as file:
            header = header or file.read(FILE_HEADER.size)
            for name, offset, size in walk_blocks(file, path.name, to_damage=True):
                at_first = path == first.path and offset <= first.offset <= offset + size
                if name == b"VIDF" and at_first:
                    pixels = _block(file, offset, size)
                # Exposure may change while recording; the last block before the frame is valid.
                later = pixels or name != b"EXPO"
                if name in _NOT_COPIED or size > _LARGEST or (later and name in metadata):
                    continue
                metadata[name] = _block(file, offset, size)
    fields = list(FILE_HEADER.unpack(header))
    for field, value in _ALONE.items():
        fields[field] = value
    return b"".join((FILE_HEADER.pack(*fields), *metadata.values(), pixels))


def _block(file: BinaryIO, offset: int, size: int) -> bytes:
    """A block with its header, unchanged."""
    file.seek(offset - _BLOCK_HEAD)
    return file.read(_BLOCK_HEAD + size)
