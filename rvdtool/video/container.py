"""Open a video file with FFmpeg, restricted to container formats that can't open other files."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, cast

import av
import av.error
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from rvdtool.errors import UsageError, VideoError
from rvdtool.notes import Say
from rvdtool.video.picture import most_bytes
from rvdtool.video.source import ByteSource, open_bytes

# FFmpeg also opens text, playlists and pictures. A playlist can refer to local files and servers,
# and bundles may come from untrusted sources, so only these formats are allowed.
FORMATS = ("mov", "mp4", "matroska", "webm", "avi", "mxf", "mpegts")

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"

TS_MARK = 0x47
"""The first byte of every packet of an MPEG transport stream."""

BUFFER = 1 << 20
"""Bytes per read: large enough that the overhead of Python's read calls is negligible."""

# A video must open even if its tags aren't UTF-8. PyAV before 19 needs this option for that; PyAV
# 19 no longer has it.
_TAG_OPTIONS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)


@contextmanager
def open_container(source: ByteSource) -> Iterator[InputContainer]:
    """Open a video file; it is closed when the context ends.

    Raises:
        InputError: the file doesn't exist or can't be read.
        VideoError: not a video, or FFmpeg finds damage, either here or while the caller demuxes
            and decodes.
    """
    with open_bytes(source) as file:
        _require_whole(file, source.name)
        # FFmpeg decodes a frame already when it opens a file.
        most = most_bytes(file.seek(0, io.SEEK_END)) // 6
        file.seek(0)
        try:
            container = av.open(
                file,
                "r",
                container_options={"format_whitelist": ",".join(FORMATS)},
                options={"max_pixels": str(most)},
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
            for stream in container.streams.video:
                _require_plausible(stream, most, source.name)
            try:
                yield container
            except (av.error.FFmpegError, OSError) as error:
                raise VideoError(
                    f"{source.name}: damaged ({reason(error)}); copy it again from the camera"
                ) from error


def _require_plausible(stream: VideoStream, most: int, name: str) -> None:
    """Refuse a stream whose frames are much too large for the file; also limit the decoder.

    Raises:
        VideoError: the stream claims such a size.
    """
    context = cast(VideoCodecContext | None, stream.codec_context)
    if context is None:
        return
    if context.width * context.height > most:
        raise VideoError(
            f"{name}: claims frames of {context.width}×{context.height} pixels, which is not "
            "plausible for a file of its size; it is damaged or forged"
        )
    context.options = {"max_pixels": str(most)}


@contextmanager
def open_video(
    source: ByteSource, index: int | None = None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file and choose one of its video streams; closed when the context ends.

    Args:
        source: the file.
        index: index of the stream in the file; None for the first video stream.

    Raises:
        InputError, VideoError: as `open_container`; or there is no such video stream.
    """
    with open_container(source) as container:
        yield container, _stream_of_index(video_streams(container, source.name), index, source.name)


def video_streams(container: InputContainer, name: str) -> list[VideoStream]:
    """The video streams, without attached pictures such as cover art.

    Raises:
        VideoError: the file has no video stream.
    """
    streams = [
        s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise VideoError(f"{name}: has no video stream")
    return streams


def choose_stream(
    streams: list[VideoStream], wanted: int | None, name: str, say: Say
) -> VideoStream:
    """The stream with the given index; else the largest of those flagged as default, or of all.

    Raises:
        VideoError: FFmpeg can't decode the stream.
        UsageError: no video stream has that index.
    """
    if wanted is not None:
        return _stream_of_index(streams, wanted, name)
    flagged = [s for s in streams if s.disposition & av.stream.Disposition.default]
    chosen = max(flagged or streams, key=_area)  # of several equally large ones, the first
    if len(streams) > 1:
        say(
            f"{name}: has several video streams, {_list(streams)}; stream {chosen.index} "
            f"is used ({('flagged as default' if len(flagged) == 1 else 'the largest')}); "
            "--stream chooses another"
        )
    return _decodable(chosen, name)


def _stream_of_index(streams: list[VideoStream], index: int | None, name: str) -> VideoStream:
    if index is None:
        return _decodable(streams[0], name)
    for stream in streams:
        if stream.index == index:
            return _decodable(stream, name)
    raise UsageError(f"{name}: stream {index} is not a video stream; it has {_list(streams)}")


def _decodable(stream: VideoStream, name: str) -> VideoStream:
    if cast(VideoCodecContext | None, stream.codec_context) is None:
        raise VideoError(f"{name}: its video is in a codec that FFmpeg can't decode")
    return stream


def _area(stream: VideoStream) -> int:
    context = cast(VideoCodecContext | None, stream.codec_context)
    return 0 if context is None else context.width * context.height


def _list(streams: list[VideoStream]) -> str:
    """Indices and sizes of the streams, for a message."""
    sizes = []
    for stream in streams:
        context = cast(VideoCodecContext | None, stream.codec_context)
        what = "unknown codec" if context is None else f"{context.width}×{context.height}"
        sizes.append(f"{stream.index} ({what})")
    return ", ".join(sizes)


def fraction(value: Fraction | None) -> Fraction | None:
    """One of PyAV's rationals as a Fraction; None if it is missing or zero.

    PyAV 19 has a type of its own for them, which lacks some of Fraction's methods and rounds to 32
    bits in arithmetic.
    """
    return Fraction(value.numerator, value.denominator) if value else None


def reason(error: Exception) -> str:
    """The message of an FFmpeg or system error, without error number and file name."""
    return getattr(error, "strerror", None) or str(error)


def _require_whole(file: io.RawIOBase, name: str) -> None:
    """Refuse empty files, and Matroska files that are shorter than their header says.

    FFmpeg reports truncated MP4, MOV and AVI files, but not truncated Matroska files.
    """
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise VideoError(f"{name}: empty; copy it again from the camera")
    file.seek(0)
    end = _matroska_end(file.read(4096) or b"")
    file.seek(0)
    if end is not None and end > size:
        raise VideoError(
            f"{name}: cut off: {size} bytes of {end}; copy it again, or rewrap what is there "
            "(ffmpeg -i IN -c copy OUT.mkv)"
        )


def cut_within_packet(source: ByteSource) -> bool:
    """Whether the source is an MPEG transport stream whose last packet is incomplete.

    FFmpeg drops such a packet without a message. A packet has 188 bytes (ISO/IEC 13818-1, 2.4.3),
    preceded by 4 bytes in cameras' .mts and .m2ts files, or followed by 16 bytes of error
    correction.
    """
    with open_bytes(source) as file:
        head = file.read(1024) or b""
        size = file.seek(0, io.SEEK_END)
    for packet, start in ((188, 0), (192, 4), (204, 0)):
        marks = head[start::packet]
        if len(marks) >= 4 and set(marks) == {TS_MARK}:
            return size % packet != 0
    return False


def _matroska_end(head: bytes) -> int | None:
    """Size in bytes that a Matroska file states (RFC 9559); None if it isn't one or has no size."""
    if not head.startswith(EBML):
        return None
    length, start = _ebml_size(head, len(EBML))
    segment = start + (length or 0)
    if head[segment : segment + len(SEGMENT)] != SEGMENT:
        return None
    length, start = _ebml_size(head, segment + len(SEGMENT))
    return None if length is None else start + length


def _ebml_size(data: bytes, position: int) -> tuple[int | None, int]:
    """An EBML element's size (RFC 8794, 5 and 6; None if unknown) and its content's offset."""
    width = 9 - data[position].bit_length() if position < len(data) else 9
    content = position + width
    if width > 8 or content > len(data):
        return None, content
    bits = 7 * width
    size = int.from_bytes(data[position:content]) & ((1 << bits) - 1)
    return (None if size == (1 << bits) - 1 else size), content
