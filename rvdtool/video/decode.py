"""Probe a video, and decode its frames one by one to display R'G'B'."""

import struct
from collections.abc import Iterator
from typing import cast

import av.error
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame as AvFrame
from av.video.stream import VideoStream

from rvdtool.errors import VideoError
from rvdtool.video.color import UNSPECIFIED, Assume, Property, StreamColor, interpret
from rvdtool.video.container import open_video, reason
from rvdtool.video.convert import RgbConverter
from rvdtool.video.frame import VideoFrame, VideoInfo
from rvdtool.video.images import probe_images, read_images
from rvdtool.video.source import ImageSource, VideoSource

HDR_METADATA = {
    "MASTERING_DISPLAY_METADATA",
    "CONTENT_LIGHT_LEVEL",
    "DYNAMIC_HDR_PLUS",
    "DOVI_RPU_BUFFER",
    "DOVI_METADATA",
}

DEINTERLACE = (
    "only progressive video is read: deinterlace it first "
    "(ffmpeg -i IN -vf bwdif -c:v ffv1 OUT.mkv)"
)

__all__ = ["Assume", "probe", "read_frames"]


def probe(source: VideoSource, assume: Assume = Assume()) -> VideoInfo:
    """Learn all about a video without decoding it: as fast as reading it.

    Frame count and timestamps come from every packet that the container wants shown (an edit list
    hides some; `stream.frames` knows nothing of that). One frame is decoded, as only a decoder
    knows size, pixel format, colour tags and interlacing for sure.

    Args:
        source: where the video is.
        assume: the user's word on colour, where the stream is silent or refused.

    Raises:
        InputError: there is no such file, or it may not be read.
        VideoError: not a video, no frames, damaged, interlaced, HDR, wide gamut, …
        UsageError: `assume` contradicts the video.
    """
    if isinstance(source, ImageSource):
        return probe_images(source, assume)
    with open_video(source) as (container, stream):
        # Before decoding: a decoder overwrites them with what the frames say, which may be nothing.
        declared = _tags(stream.codec_context)
        first, timestamps = _demux(container, stream, source.name)
        # Asking a stream after its container is closed crashes the interpreter (PyAV < 19).
        rate, time_base = stream.guessed_rate, stream.time_base
        codec = stream.codec_context.name
    if time_base is None or rate is None:
        raise VideoError(f"{source.name}: says nothing about its time; rewrap it as MP4 or MKV")
    _refuse_unreadable(first, source.name)
    return VideoInfo(
        width=first.width,
        height=first.height,
        timestamps=timestamps,
        time_base=time_base,
        rate=rate,
        rotation=_rotation_clockwise(first, source.name),
        codec=codec,
        pixel_format=first.format.name,
        bits=_bits(first),
        color=interpret(
            _stream_color(first, declared), assume, height=first.height, name=source.name
        ),
    )


def read_frames(
    source: VideoSource, info: VideoInfo, *, ahead: bool = True
) -> Iterator[VideoFrame]:
    """Decode all frames in display order, one at a time, unrotated.

    Args:
        source: where the video is.
        info: what `probe` said about it; its colour interpretation is applied.
        ahead: decode the next frames while one is used: quicker, but they take memory. For the
            first frame alone it is a waste.

    Yields:
        VideoFrame with uint8 R'G'B' from 8-bit streams and uint16 (0..65535) from deeper ones.

    Raises:
        InputError: there is no such file, or it may not be read.
        VideoError: count, timestamps, size or pixel format are not those of `info`: the file is
            damaged, truncated, or another.
    """
    if isinstance(source, ImageSource):
        yield from read_images(source, info)
        return
    to_rgb = RgbConverter(info)
    with open_video(source) as (container, stream):
        stream.thread_type = "AUTO" if ahead else "SLICE"
        # AVI has no display times: FFmpeg makes them up in decoding order.
        timed = container.format.name != "avi"
        frames = container.decode(stream)
        for index, timestamp in enumerate(info.timestamps):
            frame = _next_frame(frames, index, info, source.name)
            if frame is None or (timed and frame.pts != timestamp):
                raise _wrong_count(frames, frame, index, info, source.name)
            _refuse_changed(frame, index, info, source.name)
            yield VideoFrame(index, to_rgb(frame), timestamp)
        frame = _next_frame(frames, info.frame_count, info, source.name)
        if frame is not None:
            raise _wrong_count(frames, frame, info.frame_count, info, source.name)


def _demux(
    container: InputContainer, stream: VideoStream, name: str
) -> tuple[AvFrame, tuple[int, ...]]:
    """The first frame in display order, and the timestamps of all that will be shown."""
    first: AvFrame | None = None
    key: int | None = None
    shown: list[int] = []
    for packet in container.demux(stream):
        if first is None:
            first = next(iter(packet.decode()), None)
        if packet.size == 0:
            continue
        if packet.is_corrupt:
            raise VideoError(
                f"{name}: damaged or cut off at frame {len(shown)}; copy it again from the camera"
            )
        if packet.pts is None:
            raise VideoError(
                f"{name}: frame {len(shown)} has no timestamp; "
                "rewrap it (ffmpeg -i IN -c copy OUT.mkv)"
            )
        if key is None and packet.is_keyframe:
            key = packet.pts
        if not packet.is_discard:
            shown.append(packet.pts)
    if first is None or first.pts is None:
        raise VideoError(f"{name}: has no frame that can be decoded")
    return first, _from_first_decodable(shown, key, first.pts, name)


def _from_first_decodable(
    shown: list[int], key: int | None, first: int, name: str
) -> tuple[int, ...]:
    """Sort timestamps, without those of pictures that no decoder gives.

    A clip cut without re-encoding may start before its first key frame, or with pictures that are
    shown before it and lean on lost ones (HEVC: RASL). From the key frame on, all must be there.
    """
    if key is not None and any(key <= t < first for t in shown):
        raise VideoError(f"{name}: its first frames can't be decoded; the file is damaged")
    return tuple(sorted(t for t in shown if t >= first))


def _tags(of: VideoCodecContext | AvFrame) -> dict[Property, int]:
    """Code points; none where nothing is said."""
    codes: dict[Property, int] = {
        "matrix": of.colorspace,
        "transfer": of.color_trc,
        "primaries": of.color_primaries,
    }
    said = {name: code for name, code in codes.items() if code not in UNSPECIFIED}
    return said | ({"range": of.color_range} if of.color_range else {})


def _stream_color(frame: AvFrame, declared: dict[Property, int]) -> StreamColor:
    """What the frames say; where they say nothing, what the container declares."""
    tags = declared | _tags(frame)
    return StreamColor(
        matrix=tags.get("matrix"),
        range=tags.get("range"),
        transfer=tags.get("transfer"),
        primaries=tags.get("primaries"),
        is_rgb=frame.format.is_rgb,
        # Asked by name: PyAV 19 iterates over the types, older releases over the data.
        has_hdr_metadata=any(frame.side_data.get(name) is not None for name in HDR_METADATA),
    )


def _refuse_unreadable(frame: AvFrame, name: str) -> None:
    if frame.interlaced_frame:
        raise VideoError(f"{name}: interlaced; {DEINTERLACE}")
    form = frame.format
    is_float = "f16" in form.name or "f32" in form.name
    if form.has_palette or form.is_bayer or len(form.components) < 3 or is_float:
        raise VideoError(
            f"{name}: pixel format {form.name}; only colour video of 8 to 16 bits is read"
        )


def _bits(frame: AvFrame) -> int:
    return max(component.bits for component in frame.format.components)


def _rotation_clockwise(frame: AvFrame, name: str) -> int:
    """The display matrix's turn; FFmpeg reports it counter-clockwise."""
    matrix = cast(SideData | None, frame.side_data.get("DISPLAYMATRIX"))
    if matrix is not None:
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
        if a * d - b * c < 0:
            raise VideoError(
                f"{name}: to be shown mirrored, which isn't read; clear that flag "
                "(ffmpeg -display_rotation 0 -i IN -c copy OUT.mp4)"
            )
    rotation = -frame.rotation % 360
    if rotation % 90:
        raise VideoError(
            f"{name}: to be shown turned by {rotation}°; only 0, 90, 180, 270 are read"
        )
    return rotation


def _next_frame(
    frames: Iterator[AvFrame], index: int, info: VideoInfo, name: str
) -> AvFrame | None:
    """The next frame, None at the end."""
    try:
        frame = next(frames, None)
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{name}: damaged soon after frame {index} of {info.frame_count} "
            f"({reason(error)}); copy it again from the camera"
        ) from error
    if frame is not None and frame.is_corrupt:
        raise VideoError(
            f"{name}: frame {index} of {info.frame_count} is damaged; "
            "copy the file again from the camera"
        )
    return frame


def _wrong_count(
    frames: Iterator[AvFrame], frame: AvFrame | None, index: int, info: VideoInfo, name: str
) -> VideoError:
    """The error for frames that are missing or too many; decodes the rest to count them."""
    count = index
    while frame is not None:
        count += 1
        frame = _next_frame(frames, count, info, name)
    what = f"{count} frames could be decoded, but {info.frame_count} were expected"
    if count == info.frame_count:
        what = f"all {count} frames could be decoded, but from frame {index} on at other times"
    return VideoError(f"{name}: {what}; the file is damaged or cut off, or was altered")


def _refuse_changed(frame: AvFrame, index: int, info: VideoInfo, name: str) -> None:
    found = (frame.width, frame.height, frame.format.name)
    if found != (info.width, info.height, info.pixel_format):
        raise VideoError(
            f"{name}: frame {index} changes to {found[0]}×{found[1]} {found[2]} from "
            f"{info.width}×{info.height} {info.pixel_format}; only clips of one format are read"
        )
    if frame.interlaced_frame:
        raise VideoError(f"{name}: frame {index} is interlaced; {DEINTERLACE}")
