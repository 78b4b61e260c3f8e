"""Read a video file's metadata for the whole clip: start time code, recording time, and other
content."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer
from av.stream import Disposition

from rvdtool.errors import UsageError
from rvdtool.raw.timecode import TimeCode
from rvdtool.video.container import open_video
from rvdtool.video.source import ImageSource, VideoSource

BASES = (24, 25, 30, 48, 50, 60, 72, 96, 100, 120)
"""Frame numbers per second that time code tracks use."""


@dataclass(frozen=True)
class ClipTags:
    """Metadata of a video file; None if the file doesn't have it.

    Attributes:
        time_code: of the first frame, as text: `14:23:11:05`, or `14:23:11;05` for drop-frame.
        base: frame numbers per second of `time_code`, if known. They may differ from the frame
            rate: at 50 or 60 frames per second, cameras may give two frames one number.
        recorded: recording time by the camera's clock (usually UTC), `YYYY-MM-DD HH:MM:SS`.
        others: descriptions of the file's content other than video, audio and time code.
    """

    time_code: str | None = None
    base: int | None = None
    recorded: str | None = None
    others: tuple[str, ...] = ()


def read_clip_tags(source: VideoSource, stream: int | None) -> ClipTags:
    """Read a video file's start time code and recording time.

    The time code comes from the video stream (FFmpeg reports QuickTime's tmcd track there), else
    from the container (MXF's material package, Matroska), else from any other stream.

    Args:
        source: the video.
        stream: index of the video stream; None for the first.

    Raises:
        InputError: the file can't be read.
        VideoError: the file can't be opened as a video, or has no such stream.
    """
    if isinstance(source, ImageSource):
        return ClipTags()
    with open_video(source, stream) as (container, video):
        places = [_lower(video.metadata), _lower(container.metadata)]
        places += [_lower(other.metadata) for other in container.streams]
        counter = _counter(container)
        others = tuple(_others(container, video.index))
    codes = [place["timecode"] for place in places if place.get("timecode")]
    dates = [place["creation_time"] for place in places if place.get("creation_time")]
    recorded = re.match(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)", dates[0]) if dates else None
    return ClipTags(
        time_code=codes[0] if codes else None,
        base=_base(codes[0], counter) if codes and counter is not None else None,
        recorded=f"{recorded[1]} {recorded[2]}" if recorded else None,
        others=others,
    )


_KINDS = {"subtitle": "subtitles", "data": "data", "attachment": "attachment", "video": "video"}


def _others(container: InputContainer, video: int) -> Iterator[str]:
    """Streams that are neither the video nor sound nor time code; chapters; the position."""
    for stream in container.streams:
        tags = _lower(stream.metadata)
        is_code = stream.type == "data" and "timecode" in tags
        if stream.index == video or stream.type == "audio" or is_code:
            continue
        kind = _KINDS.get(stream.type, stream.type)
        if stream.disposition & Disposition.attached_pic:
            kind = "cover art"
        name = tags.get("filename") or tags.get("title") or tags.get("handler_name")
        yield f"stream {stream.index} ({kind}{f', {name}' if name else ''})"
    count = len(container.chapters())
    if count:
        yield f"{count} chapter{'s' if count > 1 else ''}"
    if any("location" in name for name in _lower(container.metadata)):
        yield "GPS position"


def _counter(container: InputContainer) -> int | None:
    """First frame number of the first time code track of a MOV or MP4, counted from midnight."""
    for stream in container.streams.data:
        if "timecode" in _lower(stream.metadata):
            packet = next(container.demux(stream), None)
            return int.from_bytes(bytes(packet)) if packet and packet.size == 4 else None
    return None


def _base(label: str, counter: int) -> int | None:
    """Frame numbers per second for which `label` is frame number `counter`; None if ambiguous."""
    fits = set()
    for base in BASES:
        rate = Fraction(base * 1000, 1001) if base % 30 == 0 else Fraction(base)
        with suppress(UsageError):
            if TimeCode.parse(label, rate).number == counter:
                fits.add(base)
    return fits.pop() if len(fits) == 1 else None


def _lower(metadata: dict[str, str]) -> dict[str, str]:
    """Tags with lower-case names; Matroska's are upper-case."""
    return {name.lower(): value for name, value in metadata.items()}
