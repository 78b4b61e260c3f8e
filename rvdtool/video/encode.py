"""Encode R'G'B' frames as a video: for simulation, examples and previews."""

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
from rvdtool.video.frame import Rgb
from rvdtool.video.png import write_png

__all__ = ["VideoCodec", "encode_video", "write_png"]

VideoCodec = Literal["h264", "hevc", "ffv1", "prores", "dnxhr"]
Transfer = Literal["bt709", "srgb", "unspecified"]

# Code points of ITU-T H.273; the ranges are FFmpeg's.
BT709 = 1
UNSPECIFIED = 2
RGB_MATRIX = 0
SRGB = 13
TRANSFERS: dict[Transfer, int] = {"bt709": BT709, "srgb": SRGB, "unspecified": UNSPECIFIED}
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

_DEPTHS = {True: ("uint8",), False: ("uint8", "uint16")}
"""Supported types of frames, by whether the encoder is lossless RGB."""

_SCALER_LEVELS = np.rint(np.arange(65536) * ((255 << 8) / 65535)).astype(np.uint16)
"""16-bit values as swscale requires them for limited range: its white is 255·2⁸, see `convert`."""

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}


@dataclass(frozen=True)
class _Encoder:
    """FFmpeg's encoder for a codec, with the settings used here."""

    name: str
    pixel_format: str
    suffixes: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)
    codec_tag: str | None = None
    is_rgb: bool = False


ENCODERS: dict[VideoCodec, _Encoder] = {
    "h264": _Encoder(
        "libx264",
        "yuv420p",
        (".mp4", ".mov", ".mkv"),
        # For reproducible bytes: otherwise x264's decisions depend on thread timing.
        {"x264-params": "cpu-independent=1"},
    ),
    # x265 prints to the terminal by default. With clips of few frames its thread pool sometimes
    # crashes, and B-frames get random decoding times. Apple's players need hvc1.
    "hevc": _Encoder(
        "libx265",
        "yuv420p",
        (".mp4", ".mov", ".mkv"),
        {"x265-params": "log-level=none:pools=none:bframes=0"},
        "hvc1",
    ),
    "ffv1": _Encoder("ffv1", "bgr0", (".mkv",), is_rgb=True),
    "prores": _Encoder("prores_ks", "yuv422p10le", (".mov", ".mkv"), {"profile": "hq"}),
    "dnxhr": _Encoder("dnxhd", "yuv422p10le", (".mov",), {"profile": "dnxhr_hqx"}),
}


def encode_video(
    frames: Iterable[Rgb],
    path: Path,
    *,
    rate: Fraction,
    codec: VideoCodec = "h264",
    transfer: Transfer = "bt709",
    crf: int = 18,
    preset: str = "medium",
    overwrite: bool = False,
) -> int:
    """Encode frames, one at a time, as BT.709 Y'CbCr of limited range (FFV1: RGB, lossless).

    Args:
        frames: uint8 [H, W, 3], all of one size; width and height must be even for h264, hevc and
            prores, as their chroma is subsampled.
        path: the new file; `.mp4`, `.mov` or `.mkv`.
        rate: frames per second.
        codec: h264 and hevc are 8-bit 4:2:0, prores is 10-bit 4:2:2, ffv1 is 8-bit RGB.
        crf: quality of h264 and hevc, 0 (best) to 51.
        preset: speed of h264 and hevc, x264's names.
        overwrite: replace an existing file.

    Returns:
        Number of frames written.

    Raises:
        UsageError: the codec doesn't support the file's suffix or the size, or there are no frames.
        MismatchError: frames differ in size.
        OutputError: the file exists or can't be written, or FFmpeg lacks the encoder.
    """
    encoder = ENCODERS[codec]
    if rate <= 0 or not 0 <= crf <= 51 or preset not in PRESETS:
        raise UsageError(
            f"{path}: rate must be above 0, crf 0..51 and preset one of {', '.join(PRESETS)}; "
            f"got {rate}, {crf}, {preset}"
        )
    if path.suffix.lower() not in encoder.suffixes:
        raise UsageError(f"{path}: {codec} goes into {', '.join(encoder.suffixes)}")
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise UsageError(f"{path}: no frames to encode")
    height, width = first.shape[:2]
    if first.shape != (height, width, 3) or first.dtype not in _DEPTHS[encoder.is_rgb]:
        raise UsageError(
            f"{path}: {codec} takes frames [H, W, 3] of "
            f"{' or '.join(map(str, _DEPTHS[encoder.is_rgb]))}; got {first.dtype} "
            f"{list(first.shape)}"
        )
    if not encoder.is_rgb and (width % 2 or height % 2):
        raise UsageError(f"{path}: {codec} needs even sizes, not {width}×{height}; use ffv1")
    with write_beside(path, overwrite=overwrite) as file:
        output = OutputFile(file)
        try:
            with av.open(output, "w", format=CONTAINERS[path.suffix.lower()]) as container:
                stream = _add_stream(container, encoder, width, height, rate, transfer)
                stream.options = dict(encoder.options)
                if codec in ("h264", "hevc"):
                    stream.options |= {"crf": str(crf), "preset": preset}
                return _encode(chain([first], frames), container, stream, path)
        except UnknownCodecError as error:
            raise OutputError(
                f"{path}: this FFmpeg has no encoder {encoder.name}; "
                f"choose another codec than {codec}, or install PyAV from PyPI"
            ) from error
        except av.error.FFmpegError as error:
            if output.error is not None:
                raise output.error from error
            raise OutputError(f"{path}: can't be encoded: {reason(error)}") from error


class OutputFile:
    """A file that keeps the error of a failed write, since FFmpeg may not pass it on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise


def _add_stream(
    container: OutputContainer,
    encoder: _Encoder,
    width: int,
    height: int,
    rate: Fraction,
    transfer: Transfer,
) -> VideoStream:
    stream = cast(VideoStream, container.add_stream(encoder.name, rate=rate))
    context = stream.codec_context
    context.width, context.height = width, height
    context.pix_fmt = encoder.pixel_format
    context.time_base = 1 / rate
    context.color_primaries = BT709
    if encoder.is_rgb:
        context.colorspace, context.color_trc, context.color_range = RGB_MATRIX, SRGB, FULL
    else:
        context.colorspace, context.color_range = BT709, LIMITED
        context.color_trc = TRANSFERS[transfer]
        if transfer == "unspecified":
            context.color_primaries = UNSPECIFIED
    if encoder.codec_tag is not None and container.format.name != "matroska":
        context.codec_tag = encoder.codec_tag
    return stream


def _encode(
    frames: Iterable[Rgb],
    container: OutputContainer,
    stream: VideoStream,
    path: Path,
) -> int:
    context, frames = stream.codec_context, iter(frames)
    first = next(frames)
    layout = "rgb24" if first.dtype == np.uint8 else "rgb48le"
    to_stream = scale_graph(
        context.width,
        context.height,
        layout,
        "in_range=full:out_color_matrix=bt709:out_range=limited",
        stream.format.name,
    )
    count = 0
    for rgb in chain([first], frames):
        if rgb.shape != first.shape or rgb.dtype != first.dtype:
            raise MismatchError(
                f"{path}: frame {count} is {rgb.dtype} {list(rgb.shape)}; "
                f"expected {first.dtype} {list(first.shape)}"
            )
        levels = rgb if rgb.dtype == np.uint8 else _SCALER_LEVELS[rgb]
        contiguous = cast(NDArray[np.uint8], np.ascontiguousarray(levels))
        to_stream.vpush(AvFrame.from_ndarray(contiguous, format=layout))
        frame = to_stream.vpull()
        frame.pts, frame.time_base = count, context.time_base
        # Some encoders (ProRes) read these two from the frame, not from the stream.
        frame.color_primaries, frame.color_trc = context.color_primaries, context.color_trc
        container.mux(stream.encode(frame))
        count += 1
    container.mux(stream.encode(None))
    return count
