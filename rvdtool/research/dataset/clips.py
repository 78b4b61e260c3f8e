"""What sets are built from: folders of RAW frames and Magic Lantern videos, read alike."""

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
class Clip:
    """A sequence of RAW frames.

    Attributes:
        name: of the folder, or of the file without suffix; the video's name in the set.
        count: how many frames it has.
        read: frame by its place in the sequence. Raises InputError.
    """

    name: str
    count: int
    read: Callable[[int], RawFrame]

    def upright(self, index: int) -> RawFrame:
        """Frame `index`, turned upright, all of the active area: so RAW and sRGB lie alike.

        Raises:
            InputError: it can't be read.
        """
        return replace(orient(self.read(index)), default_crop=None)


def open_clip(path: Path) -> Clip:
    """Open a folder of RAW frames or an .mlv file; no pixel is read.

    Raises:
        InputError: neither, no frames in it, or damaged.
    """
    if path.is_dir():
        frames = list_sequence(path)
        return Clip(path.resolve().name, len(frames), lambda index: read_raw(frames[index]))
    if path.suffix.lower() == ".mlv":
        video = read_mlv(path)
        return Clip(path.stem, len(video.frames), video.read)
    if path.exists():
        raise InputError(f"{path}: neither a folder of RAW frames (DNG) nor an .mlv file")
    raise InputError(f"{path}: no such folder or .mlv file")
