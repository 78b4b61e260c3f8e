"""What a video file says of the clip as a whole: its start time code and when it was recorded."""

import re
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer

from rvdtool.errors import UsageError
from rvdtool.raw.timecode import TimeCode
from rvdtool.video.container import open_video
from rvdtool.video.source import ImageSource, VideoSource

BASES = (24, 25, 30, 48, 50, 60, 72, 96, 100, 120)
"""Frame numbers in a second that time code tracks have."""


@dataclass(frozen=True)
class ClipTags:
    """Tags of a file; None where it has none.

    Attributes:
        time_code: of the first picture, as its label: `14:23:11:05`, `14:23:11;05`.
        base: frame numbers in a second of `time_code`, where they need not be the video's: cameras
            of 50 and 60 frames a second may number pairs of them.
        recorded: when, `YYYY-MM-DD HH:MM:SS`, by the camera's clock (in UTC, if it keeps it).
    """

    time_code: str | None = None
    base: int | None = None
    recorded: str | None = None


def read_clip_tags(source: VideoSource, stream: int | None) -> ClipTags:
    """Read a video file's tags.

    The time code is the video stream's own (QuickTime's tmcd track, which FFmpeg gives as its
    tag), the file's (MXF's material package, Matroska), or another stream's.

    Args:
        source: the video.
        stream: the number of its video stream; None for the first.

    Raises:
        InputError: the file can't be read.
        VideoError: it can't be opened as a video, or has no such stream.
    """
    if isinstance(source, ImageSource):
        return ClipTags()
    with open_video(source, stream) as (container, video):
        places = [_lower(video.metadata), _lower(container.metadata)]
        places += [_lower(other.metadata) for other in container.streams]
        counter = _counter(container)
    codes = [place["timecode"] for place in places if place.get("timecode")]
    dates = [place["creation_time"] for place in places if place.get("creation_time")]
    recorded = re.match(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)", dates[0]) if dates else None
    return ClipTags(
        time_code=codes[0] if codes else None,
        base=_base(codes[0], counter) if codes and counter is not None else None,
        recorded=f"{recorded[1]} {recorded[2]}" if recorded else None,
    )


def _counter(container: InputContainer) -> int | None:
    """The frame's number since midnight, as the first time code track of a MOV or MP4 has it."""
    for stream in container.streams.data:
        if "timecode" in _lower(stream.metadata):
            packet = next(container.demux(stream), None)
            return int.from_bytes(bytes(packet)) if packet and packet.size == 4 else None
    return None


def _base(label: str, counter: int) -> int | None:
    """How many frame numbers a second has, if this label counts so; None if it can't be told."""
    fits = set()
    for base in BASES:
        rate = Fraction(base * 1000, 1001) if base % 30 == 0 else Fraction(base)
        with suppress(UsageError):
            if TimeCode.parse(label, rate).number == counter:
                fits.add(base)
    return fits.pop() if len(fits) == 1 else None


def _lower(metadata: dict[str, str]) -> dict[str, str]:
    """Matroska's tags come in capitals."""
    return {name.lower(): value for name, value in metadata.items()}
