"""What a video file says of the clip as a whole: its start time code and when it was recorded."""

import re
from dataclasses import dataclass

from rvdtool.video.container import open_video
from rvdtool.video.source import ImageSource, VideoSource


@dataclass(frozen=True)
class ClipTags:
    """Tags of a file; None where it has none.

    Attributes:
        time_code: of the first picture, as its label: `14:23:11:05`, `14:23:11;05`.
        recorded: when, `YYYY-MM-DD HH:MM:SS`, by the camera's clock (in UTC, if it keeps it).
    """

    time_code: str | None = None
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
    codes = [place["timecode"] for place in places if place.get("timecode")]
    dates = [place["creation_time"] for place in places if place.get("creation_time")]
    recorded = re.match(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)", dates[0]) if dates else None
    return ClipTags(
        time_code=codes[0] if codes else None,
        recorded=f"{recorded[1]} {recorded[2]}" if recorded else None,
    )


def _lower(metadata: dict[str, str]) -> dict[str, str]:
    """Matroska's tags come in capitals."""
    return {name.lower(): value for name, value in metadata.items()}
