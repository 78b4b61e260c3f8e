"""Parses the user's assignment of RAW files to frames of the video.

first.dng               a frame near the start, to be found
120=second.dng          frame 120 (counted from 0)
4.5s=second.dng         the frame shown 4.5 seconds after the first
*=stills/IMG_*.dng      the last number in each file's name is its frame: IMG_0120.dng
*s=stills/T*.dng        the last number in each file's name is its time in seconds: T4.500.dng
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from rvdtool.errors import InputError, UsageError
from rvdtool.video.frame import VideoInfo

_HOW = (
    "give FRAME=FILE (120=second.dng; frames are counted from 0), SECONDSs=FILE "
    "(4.5s=second.dng), or *=PATTERN or *s=PATTERN for many files whose names end in their frame "
    "or time"
)
_NUMBER = r"\d{1,12}(?:\.\d{1,9})?"


@dataclass(frozen=True)
class Still:
    """A RAW file and the frame it belongs to.

    Attributes:
        path: path of the file.
        frame: index of the frame, from 0; None if only `seconds` is known, or neither.
        seconds: time at which the frame is shown, counted from the video's first frame.
    """

    path: Path
    frame: int | None = None
    seconds: Fraction | None = None

    def index(self, info: VideoInfo) -> int | None:
        """Index of the frame in a video; None if it is to be found.

        Raises:
            UsageError: the video has no such frame, or none at that time.
        """
        index = self.frame if self.seconds is None else _nearest(self.seconds, info)
        if index is not None and not 0 <= index < info.frame_count:
            raise UsageError(
                f"{self.path}: given for frame {index}, but the video has frames 0 to "
                f"{info.frame_count - 1} (counted from 0)"
            )
        return index


def parse_stills(texts: Iterable[str]) -> list[Still]:
    """Parse `KEY=FILE` arguments. Patterns are expanded in the order of the files' names.

    Raises:
        UsageError: an argument has another form.
        InputError: no file matches a pattern.
    """
    return [still for text in texts for still in _parse(text)]


def _parse(text: str) -> list[Still]:
    key, separator, name = text.partition("=")
    if not separator or not name:
        raise UsageError(f"--raw {text}: {_HOW}")
    if key not in ("*", "*s"):
        return [_still(text, Path(name), key)]
    anchor = Path(name).anchor
    pattern = name[len(anchor) :]
    try:
        paths = sorted(Path(anchor).glob(pattern))
    except (ValueError, NotImplementedError) as error:
        raise UsageError(f"--raw {text}: not a pattern of file names") from error
    if not paths:
        raise InputError(f"{name}: no such files")
    unit = key[1:]
    stills = []
    for path in paths:
        # In a time, a point is part of the number; in a frame's name, it is a separator.
        numbers = re.findall(_NUMBER if unit else r"\d{1,12}", path.stem)
        if not numbers:
            raise UsageError(f"{path}: has no number in its name; {_HOW}")
        stills.append(_still(text, path, numbers[-1] + unit))
    return stills


def _still(text: str, path: Path, key: str) -> Still:
    if re.fullmatch(r"\d{1,12}", key):
        return Still(path, frame=int(key))
    if re.fullmatch(_NUMBER + "s", key):
        return Still(path, seconds=Fraction(Decimal(key[:-1])))
    raise UsageError(f"--raw {text}: {key!r} is not a frame; {_HOW}")


def _nearest(seconds: Fraction, info: VideoInfo) -> int:
    """Index of the frame shown closest to a time.

    Raises:
        UsageError: no frame is within half a frame of it.
    """
    tick = info.timestamps[0] + seconds / info.time_base
    index = min(range(info.frame_count), key=lambda i: abs(info.timestamps[i] - tick))
    away = abs(info.timestamps[index] - tick) * info.time_base
    if away > 1 / (2 * info.rate) + info.time_base:
        raise UsageError(
            f"{float(seconds):g} s: no frame is shown at that time; the nearest is "
            f"{float(away):g} s away"
        )
    return index
