"""Open a video file with FFmpeg: only as a video, never as something that opens other files."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from rvdtool.errors import VideoError
from rvdtool.video.source import ByteSource, open_bytes

# FFmpeg also "plays" text, playlists and pictures. Playlists may name files and servers, and a
# bundle may come from a stranger: hence a list.
FORMATS = ("mov", "mp4", "matroska", "webm", "avi", "mxf", "mpegts")

BUFFER = 1 << 18
"""Bytes per read: large enough that Python's part of reading costs little."""


@contextmanager
def open_video(source: ByteSource) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video and its main video stream; both end with the context.

    Raises:
        InputError: there is no such file, or it may not be read.
        VideoError: not a video, no video stream, or damage that FFmpeg stumbles over, here or
            while the caller demuxes and decodes.
    """
    with open_bytes(source) as file:
        if not file.read(1):
            raise VideoError(f"{source.name}: empty; copy it again from the camera")
        file.seek(0)
        try:
            container = av.open(
                file,
                "r",
                container_options={"format_whitelist": ",".join(FORMATS)},
                metadata_errors="replace",
                buffer_size=BUFFER,
                io_open=_refuse_to_open,
            )
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(
                f"{source.name}: can't be opened as a video ({_reason(error)}); it must be a "
                f"whole {', '.join(FORMATS)} file"
            ) from error
        with container:
            try:
                yield container, _main_stream(container, source.name)
            except (av.error.FFmpegError, OSError) as error:
                raise VideoError(
                    f"{source.name}: damaged ({_reason(error)}); copy it again from the camera"
                ) from error


def _main_stream(container: InputContainer, name: str) -> VideoStream:
    """The video stream; cover art in a sound file is none."""
    streams = [
        s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise VideoError(f"{name}: has no video stream")
    return streams[0]


def _refuse_to_open(url: str, flags: int, options: dict[str, str]) -> Any:
    raise PermissionError(f"a video file may not open others ({url})")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
