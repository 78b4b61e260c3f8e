"""Sources of a video: a file, a byte range of a file, or a folder of pictures.

A bundle stores the user's video as an uncompressed ZIP member, so that it can be decoded in place:
`SliceSource` gives the member's offset and size within the bundle.
"""

import io
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rvdtool.errors import UsageError, VideoError
from rvdtool.files import require_file
from rvdtool.notes import Say, keep_quiet
from rvdtool.video.listing import list_pictures

DEFAULT_IMAGE_RATE = Fraction(30)
"""Frames per second assumed for a folder of pictures if no rate is given."""


@dataclass(frozen=True)
class FileSource:
    """A whole file."""

    path: Path

    @property
    def name(self) -> str:
        """Name for messages."""
        return str(self.path)


@dataclass(frozen=True)
class SliceSource:
    """Bytes offset..offset+size of a file, such as an uncompressed member of a ZIP archive."""

    path: Path
    offset: int
    size: int

    @property
    def name(self) -> str:
        """Name for messages."""
        return str(self.path)


ByteSource = FileSource | SliceSource


@dataclass(frozen=True)
class ImageSource:
    """PNG, JPEG or TIFF files in display order, shown at `rate` frames per second."""

    frames: tuple[ByteSource, ...]
    rate: Fraction

    def __post_init__(self) -> None:
        if not self.frames:
            raise VideoError("a folder of pictures needs at least one frame")
        if self.rate <= 0:
            raise UsageError(f"frames per second must be above 0; got {self.rate}")

    @property
    def name(self) -> str:
        """Name for messages."""
        return str(self.frames[0].path.parent)


VideoSource = FileSource | SliceSource | ImageSource


def open_source(
    path: Path,
    *,
    rate: Fraction | None = None,
    as_listed: bool = False,
    say: Say = keep_quiet,
) -> VideoSource:
    """Make a source from a path: a video file, or a folder of PNG, JPEG or TIFF pictures.

    A folder's pictures are in natural order (`2.png` before `10.png`). Other files and hidden
    files are ignored.

    Args:
        path: the file or folder.
        rate: frames per second of a folder; DEFAULT_IMAGE_RATE if not given. Video files have
            their own.
        as_listed: accept the pictures even if numbers are missing or names follow several
            patterns; a missing number doesn't become a frame.
        say: called with a message about a default that is used.

    Raises:
        InputError: the file doesn't exist or can't be read.
        VideoError: the folder has no pictures, or they aren't one sequence.
        UsageError: `rate` is given for a video file.
    """
    if not path.is_dir():
        if rate is not None:
            raise UsageError(
                f"{path}: a video file has its own frame rate; leave out --rate (if it is "
                "variable, `rvdtool derender --rate` sets the DNGs' rate)"
            )
        return FileSource(require_file(path, "a video"))
    frames = list_pictures(path, as_listed=as_listed)
    if rate is None:
        rate = DEFAULT_IMAGE_RATE
        say(f"{path}: no frame rate given, so {rate} per second is assumed; --rate sets it")
    return ImageSource(tuple(FileSource(p) for p in frames), rate)


def open_bytes(source: ByteSource) -> io.RawIOBase:
    """Open a source as a seekable, read-only binary file. The caller closes it.

    Raises:
        InputError: the file doesn't exist or can't be read.
    """
    path = require_file(source.path, "a video")
    if isinstance(source, SliceSource):
        return _Window(path, source.offset, source.size)
    return _Window(path, 0, path.stat().st_size)


class _Window(io.RawIOBase):
    """A byte range of a file as a file. A read copies the data only once, for large videos."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._offset = offset
        self._size = size
        self._position = 0
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"can't seek to {start + offset}")
        self._position = start + offset
        self._file.seek(self._offset + self._position)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self._position)
        data = self._file.read(left if size < 0 else min(size, left)) or b""
        self._position += len(data)
        return data

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
