"""Open a video file with FFmpeg: only as a video, never as something that opens other files."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import av
import av.error
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from rvdtool.errors import VideoError
from rvdtool.video.source import ByteSource, open_bytes

# FFmpeg also "plays" text, playlists and pictures. Playlists may name files and servers, and a
# bundle may come from a stranger: hence a list.
FORMATS = ("mov", "mp4", "matroska", "webm", "avi", "mxf", "mpegts")

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"

BUFFER = 1 << 20
"""Bytes per read: so large that Python's part in reading costs next to nothing."""

# Tags that aren't UTF-8 must not stop a video from opening. PyAV 19 takes them and has no such
# option; older releases need to be told.
_TAG_OPTIONS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)


@contextmanager
def open_video(source: ByteSource) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video and its main video stream; both end with the context.

    Raises:
        InputError: there is no such file, or it may not be read.
        VideoError: not a video, no video stream, or damage that FFmpeg stumbles over, here or
            while the caller demuxes and decodes.
    """
    with open_bytes(source) as file:
        _require_whole(file, source.name)
        try:
            container = av.open(
                file,
                "r",
                container_options={"format_whitelist": ",".join(FORMATS)},
                buffer_size=BUFFER,
                **_TAG_OPTIONS,
            )
        except av.error.EOFError as error:
            raise VideoError(
                f"{source.name}: cut off, or without frames; copy it again from the camera"
            ) from error
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(
                f"{source.name}: can't be opened as a video ({reason(error)}); it must be a whole "
                "MP4, MOV, MKV, WebM, AVI, MXF or MPEG-TS file"
            ) from error
        with container:
            try:
                yield container, _main_stream(container, source.name)
            except (av.error.FFmpegError, OSError) as error:
                raise VideoError(
                    f"{source.name}: damaged ({reason(error)}); copy it again from the camera"
                ) from error


def reason(error: Exception) -> str:
    """What FFmpeg or the system says, without number and file name."""
    return getattr(error, "strerror", None) or str(error)


def _main_stream(container: InputContainer, name: str) -> VideoStream:
    """The video stream; cover art in a sound file is none."""
    streams = [
        s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise VideoError(f"{name}: has no video stream")
    if cast(VideoCodecContext | None, streams[0].codec_context) is None:
        raise VideoError(f"{name}: its video is in a codec that FFmpeg can't decode")
    return streams[0]


def _require_whole(file: io.RawIOBase, name: str) -> None:
    """Refuse empty files, and Matroska files shorter than they say.

    FFmpeg reports a cut-off MP4, MOV or AVI, but reads a Matroska file to its early end in silence.
    """
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise VideoError(f"{name}: empty; copy it again from the camera")
    file.seek(0)
    end = _matroska_end(file.read(4096) or b"")
    file.seek(0)
    if end is not None and end > size:
        raise VideoError(
            f"{name}: cut off: {size} bytes of {end}; copy it again, or rewrap what is left of it "
            "(ffmpeg -i IN -c copy OUT.mkv)"
        )


def _matroska_end(head: bytes) -> int | None:
    """Where a Matroska file should end (RFC 9559); None if it isn't one, or doesn't say."""
    if not head.startswith(EBML):
        return None
    length, start = _ebml_size(head, len(EBML))
    segment = start + (length or 0)
    if head[segment : segment + len(SEGMENT)] != SEGMENT:
        return None
    length, start = _ebml_size(head, segment + len(SEGMENT))
    return None if length is None else start + length


def _ebml_size(data: bytes, position: int) -> tuple[int | None, int]:
    """An element's size (RFC 8794, 5 and 6; None if unknown) and where its content starts."""
    width = 9 - data[position].bit_length() if position < len(data) else 9
    content = position + width
    if width > 8 or content > len(data):
        return None, content
    bits = 7 * width
    size = int.from_bytes(data[position:content]) & ((1 << bits) - 1)
    return (None if size == (1 << bits) - 1 else size), content
