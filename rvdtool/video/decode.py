"""Probe a video, and decode it frame by frame to display R'G'B'."""

from collections.abc import Iterator

import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame as AvFrame
from av.video.stream import VideoStream

from rvdtool.errors import VideoError
from rvdtool.notes import Say, keep_quiet
from rvdtool.video.color import Assume, interpret
from rvdtool.video.container import (
    choose_stream,
    cut_within_packet,
    fraction,
    open_container,
    open_video,
    reason,
    video_streams,
)
from rvdtool.video.convert import RgbConverter
from rvdtool.video.frame import VideoFrame, VideoInfo
from rvdtool.video.images import probe_images, read_images
from rvdtool.video.source import ImageSource, VideoSource
from rvdtool.video.tags import refuse_unreadable, rotation_clockwise, stream_color, tags_of

DEINTERLACE = (
    "only progressive video is supported. Deinterlace it, frame by frame (ffmpeg "
    "-i IN -vf bwdif=mode=send_frame -c:v ffv1 -c:a copy OUT.mkv), or, if its "
    "frames are whole pictures and only flagged as interlaced: --assume "
    "progressive"
)

__all__ = ["Assume", "probe", "read_frames"]


def probe(
    source: VideoSource,
    assume: Assume = Assume(),
    *,
    stream: int | None = None,
    say: Say = keep_quiet,
) -> VideoInfo:
    """Find a video's size, timing and colour. Takes about as long as reading the file.

    Frame count and timestamps come from the packets of all frames that are shown (an edit list may
    hide some, which `stream.frames` ignores). One frame is decoded, since only the decoder reliably
    knows size, pixel format, colour tags and interlacing.

    Args:
        source: where the video is.
        assume: the user's overrides of the stream's colour tags.
        stream: index in the file of the video stream to use; by default, the largest of those
            flagged as default, or of all.
        say: called with a message about each automatic choice and about missing frames.

    Raises:
        InputError: the file doesn't exist or can't be read.
        VideoError: not a video, no frames, damaged, interlaced, HDR, wide gamut, …
        UsageError: `assume` contradicts the video, or there is no such stream.
    """
    if isinstance(source, ImageSource):
        return probe_images(source, assume)
    name = source.name
    with open_container(source) as container:
        chosen = choose_stream(video_streams(container, name), stream, name, say)
        # Before decoding, as the decoder overwrites them with the frames' own tags, or clears them.
        declared = tags_of(chosen.codec_context)
        first, timestamps, undecodable = _demux(container, chosen, name)
        # Access to a stream after its container is closed crashes the interpreter (PyAV < 19).
        rate, time_base = fraction(chosen.guessed_rate), fraction(chosen.time_base)
        is_stream = container.format.name == "mpegts"
        codec, index = chosen.codec_context.name, chosen.index
        aspect = fraction(chosen.sample_aspect_ratio)
    if time_base is None or rate is None:
        raise VideoError(f"{name}: has no time information; rewrap it as MP4 or MKV")
    refuse_unreadable(first, name)
    if first.interlaced_frame and not assume.progressive:
        raise VideoError(f"{name}: interlaced; {DEINTERLACE}")
    if undecodable:
        say(
            f"{name}: doesn't start with a key frame (cut without re-encoding?); its first "
            f"{undecodable} pictures can't be decoded and are left out"
        )
    if is_stream and cut_within_packet(source):
        say(
            f"{name}: cut off within a packet, so its last frames may be missing or damaged; "
            "copy it again from the camera"
        )
    return VideoInfo(
        width=first.width,
        height=first.height,
        timestamps=timestamps,
        time_base=time_base,
        rate=rate,
        rotation=rotation_clockwise(first, name),
        codec=codec,
        pixel_format=first.format.name,
        bits=_bits(first),
        color=interpret(stream_color(first, declared), assume, height=first.height, name=name),
        stream=index,
        sample_aspect=aspect,
        taken_as_progressive=assume.progressive,
        undecodable=undecodable,
    )


def read_frames(
    source: VideoSource, info: VideoInfo, *, ahead: bool = True
) -> Iterator[VideoFrame]:
    """Decode all frames in display order, one at a time, unrotated.

    Args:
        source: where the video is.
        info: the result of `probe`; its colour interpretation is applied.
        ahead: decode the next frames in the background while the caller uses one: faster, but
            takes memory. Turn it off to read the first frame only.

    Yields:
        VideoFrame with uint8 R'G'B' from 8-bit streams and uint16 (0..65535) from deeper ones.

    Raises:
        InputError: the file doesn't exist or can't be read.
        VideoError: count, timestamps, size or pixel format differ from `info`: the file is
            damaged, truncated, or not the one that was probed.
    """
    if isinstance(source, ImageSource):
        yield from read_images(source, info)
        return
    to_rgb = RgbConverter(info)
    with open_video(source, info.stream) as (container, stream):
        stream.thread_type = "AUTO" if ahead else "SLICE"
        # AVI stores no timestamps: FFmpeg makes them up in decoding order.
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
) -> tuple[AvFrame, tuple[int, ...], int]:
    """The first frame in display order, the timestamps of all shown frames, and the number of
    undecodable pictures before the first frame."""
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
                f"{name}: frame {len(shown)} has no timestamp; re-encode it losslessly "
                "(ffmpeg -i IN -c:v ffv1 -c:a copy OUT.mkv)"
            )
        if key is None and packet.is_keyframe:
            key = packet.pts
        if not packet.is_discard:
            shown.append(packet.pts)
    if first is None or first.pts is None:
        raise VideoError(f"{name}: has no frame that can be decoded")
    timestamps = _from_first_decodable(shown, key, first.pts, name)
    return first, timestamps, len(shown) - len(timestamps)


def _from_first_decodable(
    shown: list[int], key: int | None, first: int, name: str
) -> tuple[int, ...]:
    """Sort timestamps, and leave out those of pictures before `first` that can't be decoded.

    A clip that was cut without re-encoding may start with pictures before its first key frame, or
    with leading pictures that refer to frames which were cut away (HEVC: RASL pictures). All
    frames from the key frame on must be there.
    """
    if key is not None and any(key <= t < first for t in shown):
        raise VideoError(f"{name}: its first frames can't be decoded; the file is damaged")
    return tuple(sorted(t for t in shown if t >= first))


def _bits(frame: AvFrame) -> int:
    return max(component.bits for component in frame.format.components)


def _next_frame(
    frames: Iterator[AvFrame], index: int, info: VideoInfo, name: str
) -> AvFrame | None:
    """The next frame; None at the end."""
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
    """The error for missing or surplus frames; decodes the remaining frames to count them."""
    count = index
    while frame is not None:
        count += 1
        frame = _next_frame(frames, count, info, name)
    what = f"{count} frames could be decoded, but {info.frame_count} were expected"
    if count == info.frame_count:
        what = f"all {count} frames could be decoded, but at different times from frame {index} on"
    return VideoError(f"{name}: {what}; the file is damaged or cut off, or was altered")


def _refuse_changed(frame: AvFrame, index: int, info: VideoInfo, name: str) -> None:
    found = (frame.width, frame.height, frame.format.name)
    if found != (info.width, info.height, info.pixel_format):
        raise VideoError(
            f"{name}: frame {index} changes to {found[0]}×{found[1]} {found[2]} from "
            f"{info.width}×{info.height} {info.pixel_format}; the format must stay the "
            "same"
        )
    if frame.interlaced_frame and not info.taken_as_progressive:
        raise VideoError(f"{name}: frame {index} is interlaced; {DEINTERLACE}")
