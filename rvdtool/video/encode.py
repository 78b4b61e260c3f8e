"""Write R'G'B' frames as a video or as PNGs: for simulation, examples and previews."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal, cast

import av
import av.error
import numpy as np
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer
from av.video.frame import VideoFrame as AvFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from rvdtool.errors import MismatchError, OutputError, UsageError
from rvdtool.files import write_beside
from rvdtool.video.container import reason
from rvdtool.video.convert import scale_graph
from rvdtool.video.png import write_png

__all__ = ["VideoCodec", "encode_video", "write_png"]

VideoCodec = Literal["h264", "hevc", "ffv1", "prores"]

# Code points of ITU-T H.273; the ranges are FFmpeg's.
BT709 = 1
RGB_MATRIX = 0
SRGB = 13
LIMITED, FULL = 1, 2

PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}


@dataclass(frozen=True)
class _Encoder:
    """FFmpeg's encoder for a codec, and how we use it."""

    name: str
    pixel_format: str
    suffixes: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)
    codec_tag: str | None = None
    is_rgb: bool = False


ENCODERS: dict[VideoCodec, _Encoder] = {
    "h264": _Encoder("libx264", "yuv420p", (".mp4", ".mov", ".mkv")),
    # x265 prints to the terminal unless told not to; players of Apple want the tag hvc1.
    "hevc": _Encoder(
        "libx265", "yuv420p", (".mp4", ".mov", ".mkv"), {"x265-params": "log-level=none"}, "hvc1"
    ),
    "ffv1": _Encoder("ffv1", "bgr0", (".mkv",), is_rgb=True),
    "prores": _Encoder("prores_ks", "yuv422p10le", (".mov", ".mkv")),
}


def encode_video(
    frames: Iterable[NDArray[np.uint8]],
    path: Path,
    *,
    rate: Fraction,
    codec: VideoCodec = "h264",
    crf: int = 18,
    preset: str = "medium",
    overwrite: bool = False,
) -> int:
    """Encode frames, one at a time, with BT.709 limited-range tags (FFV1: RGB, lossless).

    Args:
        frames: uint8 [H, W, 3], all of one size; even sides for h264, hevc and prores, as their
            chroma is subsampled.
        path: the new file; `.mp4`, `.mov` or `.mkv`.
        rate: frames per second.
        codec: h264 and hevc as 8-bit 4:2:0, prores as 10-bit 4:2:2, ffv1 as 8-bit RGB.
        crf: quality of h264 and hevc, 0 (best) to 51.
        preset: speed of h264 and hevc, x264's names.
        overwrite: replace an existing file.

    Returns:
        How many frames were written.

    Raises:
        UsageError: codec, suffix and size don't fit each other, or there are no frames.
        MismatchError: frames differ in size.
        OutputError: the file exists or can't be written, or FFmpeg lacks the encoder.
    """
    if rate <= 0 or not 0 <= crf <= 51 or preset not in PRESETS:
        raise UsageError(
            f"{path}: rate must be above 0, crf 0..51 and preset one of {', '.join(PRESETS)}; "
            f"got {rate}, {crf}, {preset}"
        )
    encoder = ENCODERS[codec]
    if path.suffix.lower() not in encoder.suffixes:
        raise UsageError(f"{path}: {codec} goes into {', '.join(encoder.suffixes)}")
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise UsageError(f"{path}: no frames to encode")
    height, width = first.shape[:2]
    if codec != "ffv1" and (width % 2 or height % 2):
        raise UsageError(f"{path}: {codec} takes even sizes only, not {width}×{height}; use ffv1")
    options = dict(encoder.options)
    if codec in ("h264", "hevc"):
        options |= {"crf": str(crf), "preset": preset}
    with write_beside(path, overwrite=overwrite) as file:
        try:
            return _encode(
                chain([first], frames), (height, width), file, path, rate, encoder, options
            )
        except UnknownCodecError as error:
            raise OutputError(
                f"{path}: this FFmpeg has no encoder {encoder.name}; "
                f"choose another codec than {codec}, or install PyAV from PyPI"
            ) from error
        except av.error.FFmpegError as error:
            raise OutputError(f"{path}: can't be encoded: {reason(error)}") from error


def _encode(
    frames: Iterable[NDArray[np.uint8]],
    size: tuple[int, int],
    file: BinaryIO,
    path: Path,
    rate: Fraction,
    encoder: _Encoder,
    options: dict[str, str],
) -> int:
    height, width = size
    to_stream = scale_graph(
        width,
        height,
        "rgb24",
        "in_range=full:out_color_matrix=bt709:out_range=limited",
        encoder.pixel_format,
    )
    count = 0
    with av.open(file, "w", format=CONTAINERS[path.suffix.lower()]) as container:
        stream = _add_stream(container, size, rate, encoder, options)
        for rgb in frames:
            if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
                raise MismatchError(
                    f"{path}: frame {count} is {rgb.dtype} {list(rgb.shape)}; "
                    f"expected uint8 {[height, width, 3]}"
                )
            to_stream.vpush(AvFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24"))
            frame = to_stream.vpull()
            frame.pts, frame.time_base = count, 1 / rate
            # Some encoders (ProRes) take these two from the frame, not from the stream.
            frame.color_primaries = stream.codec_context.color_primaries
            frame.color_trc = stream.codec_context.color_trc
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode(None))
    return count


def _add_stream(
    container: OutputContainer,
    size: tuple[int, int],
    rate: Fraction,
    encoder: _Encoder,
    options: dict[str, str],
) -> VideoStream:
    stream = cast(VideoStream, container.add_stream(encoder.name, rate=rate, options=options))
    context = stream.codec_context
    context.height, context.width = size
    context.pix_fmt = encoder.pixel_format
    context.time_base = 1 / rate
    context.color_primaries = BT709
    if encoder.is_rgb:
        context.colorspace, context.color_trc, context.color_range = RGB_MATRIX, SRGB, FULL
    else:
        context.colorspace, context.color_trc, context.color_range = BT709, BT709, LIMITED
    if encoder.codec_tag is not None and container.format.name != "matroska":
        context.codec_tag = encoder.codec_tag
    return stream
