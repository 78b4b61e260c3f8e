"""Sequences of RAW frames that data sets are built from: folders and Magic Lantern videos."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rvdtool.errors import InputError
from rvdtool.raw.bayer import orient
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.mlv import read_mlv
from rvdtool.raw.read import read_raw
from rvdtool.raw.sequence import list_sequence


@dataclass(frozen=True)
class RawSequence:
    """A sequence of RAW frames.

    Attributes:
        name: name of the folder, or of the file without suffix; the video's name in the data set.
        count: number of frames.
        read: reads a frame by its index in the sequence. Raises InputError.
    """

    name: str
    count: int
    read: Callable[[int], RawFrame]

    def upright(self, index: int) -> RawFrame:
        """Frame `index` rotated upright, with the whole active area, so that it matches its sRGB.

        Raises:
            InputError: the frame can't be read.
        """
        return replace(orient(self.read(index)), default_crop=None)


def open_sequence(path: Path) -> RawSequence:
    """Open a folder of RAW frames or an .mlv file, without reading pixels.

    Raises:
        InputError: neither of these, without frames, or damaged.
    """
    if path.is_dir():
        frames = list_sequence(path)
        return RawSequence(path.resolve().name, len(frames), lambda index: read_raw(frames[index]))
    if path.suffix.lower() == ".mlv":
        video = read_mlv(path)
        return RawSequence(path.stem, len(video.frames), video.read)
    if path.exists():
        raise InputError(f"{path}: neither a folder of RAW frames (DNG) nor an .mlv file")
    raise InputError(f"{path}: no such folder or .mlv file")
