"""Probe a video, and decode its frames one by one to display R'G'B'."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from statistics import median

from av.container import InputContainer
from av.video.frame import VideoFrame as AvFrame
from av.video.stream import VideoStream

from rvdtool.errors import VideoError
from rvdtool.video.color import Assume, StreamColor, interpret
from rvdtool.video.container import open_video
from rvdtool.video.convert import RgbConverter
from rvdtool.video.frame import VideoFrame, VideoInfo
from rvdtool.video.images import probe_images, read_images
from rvdtool.video.source import ImageSource, VideoSource

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
        first, timestamps = _demux(container, stream, source.name)
        # Asking a stream after its container is closed crashes the interpreter (PyAV < 19).
        rate, time_base = stream.guessed_rate, stream.time_base
        codec = stream.codec_context.name
    if time_base is None:
        raise VideoError(f"{source.name}: its stream has no time base; rewrap it as MP4 or MKV")
    _refuse_unreadable(first, source.name)
    color = StreamColor(
        matrix=first.colorspace,
        range=first.color_range,
        transfer=first.color_trc,
        primaries=first.color_primaries,
        is_rgb=first.format.is_rgb,
    )
    return VideoInfo(
        width=first.width,
        height=first.height,
        timestamps=timestamps,
        time_base=time_base,
        rate=rate or _rate_from_timestamps(timestamps, time_base),
        rotation=_rotation_clockwise(first, source.name),
        codec=codec,
        pixel_format=first.format.name,
        bits=_bits(first),
        color=interpret(color, assume, height=first.height, name=source.name),
    )


def read_frames(source: VideoSource, info: VideoInfo) -> Iterator[VideoFrame]:
    """Decode all frames in display order, one at a time, unrotated.

    Args:
        source: where the video is.
        info: what `probe` said about it; its colour interpretation is applied.

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
    count = 0
    with open_video(source) as (container, stream):
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            pts = _check(frame, count, info, source.name)
            yield VideoFrame(count, to_rgb(frame), pts)
            count += 1
    if count != info.frame_count:
        raise VideoError(_count_message(source.name, count, info))


def _demux(
    container: InputContainer, stream: VideoStream, name: str
) -> tuple[AvFrame, tuple[int, ...]]:
    """The first frame in display order, and the timestamps of all that will be shown."""
    first: AvFrame | None = None
    shown: list[int] = []
    for packet in container.demux(stream):
        if first is None:
            first = next(iter(packet.decode()), None)
        if packet.size == 0 or packet.is_discard:
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
        shown.append(packet.pts)
    if first is None or first.pts is None:
        raise VideoError(f"{name}: not one frame can be decoded of {len(shown)}")
    # A clip cut without re-encoding may start with pictures that lean on lost ones; decoders
    # leave them out.
    start = first.pts
    return first, tuple(sorted(t for t in shown if t >= start))


def _refuse_unreadable(frame: AvFrame, name: str) -> None:
    if frame.interlaced_frame:
        raise VideoError(
            f"{name}: interlaced; only progressive video is read. Deinterlace it first "
            "(ffmpeg -i IN -vf bwdif -c:v ffv1 OUT.mkv)"
        )
    form = frame.format
    if form.has_palette or form.is_bayer or len(form.components) < 3 or _bits(frame) > 16:
        raise VideoError(
            f"{name}: pixel format {form.name}; only colour video of up to 16 bits is read"
        )


def _bits(frame: AvFrame) -> int:
    return max(component.bits for component in frame.format.components)


def _rotation_clockwise(frame: AvFrame, name: str) -> int:
    """FFmpeg reports the display matrix's turn counter-clockwise."""
    rotation = -frame.rotation % 360
    if rotation % 90:
        raise VideoError(
            f"{name}: to be shown turned by {rotation}°; only 0, 90, 180, 270 are read"
        )
    return rotation


def _rate_from_timestamps(timestamps: tuple[int, ...], time_base: Fraction) -> Fraction:
    steps = [b - a for a, b in pairwise(timestamps) if b > a]
    return 1 / (Fraction(median(steps)) * time_base) if steps else Fraction(1)


def _check(frame: AvFrame, index: int, info: VideoInfo, name: str) -> int:
    """The timestamp of a decoded frame, if it is the one that `probe` promised."""
    if index >= info.frame_count:
        raise VideoError(
            f"{name}: decoding gives more than the {info.frame_count} frames that it holds by its "
            "packets; the file is damaged, or was altered"
        )
    if frame.pts != info.timestamps[index]:
        raise VideoError(
            f"{name}: frame {index} is shown at {frame.pts} instead of {info.timestamps[index]}; "
            "frames are missing before it: the file is damaged, or was altered"
        )
    found = (frame.width, frame.height, frame.format.name)
    if found != (info.width, info.height, info.pixel_format):
        raise VideoError(
            f"{name}: frame {index} changes to {found[0]}×{found[1]} {found[2]} from "
            f"{info.width}×{info.height} {info.pixel_format}; only clips of one format are read"
        )
    return info.timestamps[index]


def _count_message(name: str, count: int, info: VideoInfo) -> str:
    return (
        f"{name}: {count} frames could be decoded, but {info.frame_count} were expected; "
        "the file is damaged or cut off: copy it again from the camera"
    )
