"""Convert Y'CbCr ↔ R'G'B' with FFmpeg's scaler, with explicit matrix, range and quality."""

from fractions import Fraction
from typing import cast

import av
import av.error
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame as AvFrame
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from rvdtool.errors import VideoError
from rvdtool.video.frame import Rgb, VideoInfo

FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
"""Scaler flags for full-precision chroma and identical results on all machines."""


class RgbConverter:
    """Converts decoded frames of one video to R'G'B', as its `VideoInfo` specifies.

    Raises:
        VideoError: FFmpeg doesn't know the pixel format, matrix or range. (`VideoInfo` may come
            from a bundle's manifest, which can contain any text.)
    """

    def __init__(self, info: VideoInfo) -> None:
        is_rgb = info.color.matrix.value == "rgb"
        deep = info.bits > 8
        self._format = info.pixel_format
        if info.color.range.value == "limited":
            # The scaler treats these formats as full range and ignores `in_range`.
            self._format = self._format.replace("yuvj", "yuv")
        # RGB input needs no matrix, but the option needs a valid name.
        matrix = "bt709" if is_rgb else info.color.matrix.value
        colors = f"in_color_matrix={matrix}:in_range={info.color.range.value}:out_range=full"
        output = "rgb48" if deep else "rgb24"
        try:
            if not (matrix + info.color.range.value).isalnum():  # could add options
                raise ValueError
            self._graph = scale_graph(info.width, info.height, self._format, colors, output)
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(
                f"pixel format {self._format!r}, matrix {matrix!r} or range "
                f"{info.color.range.value!r}: not known to FFmpeg"
            ) from error
        self._levels = _full_scale(info) if deep and not is_rgb else None

    def __call__(self, frame: AvFrame) -> Rgb:
        """Convert one frame to R'G'B' [H, W, 3]: uint8 for 8-bit video, else uint16."""
        if frame.format.name != self._format:
            frame = _relabel(frame, self._format)
        self._graph.vpush(frame)
        rgb = cast(Rgb, self._graph.vpull().to_ndarray())
        return rgb if self._levels is None else self._levels[rgb]


def _relabel(frame: AvFrame, pixel_format: str) -> AvFrame:
    """A frame with the same samples, labelled as another planar 8-bit format."""
    relabelled = AvFrame(frame.width, frame.height, pixel_format)
    for source, target in zip(frame.planes, relabelled.planes, strict=True):
        np.copyto(_samples(target), _samples(source))
    return relabelled


def _samples(plane: VideoPlane) -> NDArray[np.uint8]:
    """The plane's samples [H, W], as a view."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def scale_graph(
    width: int, height: int, input_format: str, colors: str, output_format: str
) -> Graph:
    """A filter graph that converts pixel formats at the same size.

    Args:
        width, height: pixels.
        input_format, output_format: FFmpeg's pixel format names.
        colors: matrix and range options of FFmpeg's `scale` filter.
    """
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=width,
            height=height,
            format=av.VideoFormat(input_format),
            time_base=Fraction(1, 1000),  # any value: these filters ignore time
        ),
        graph.add("scale", f"{colors}:flags={FLAGS}"),
        graph.add("format", f"pix_fmts={output_format}"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _full_scale(info: VideoInfo) -> NDArray[np.uint16]:
    """Lookup table [65536] from swscale's 16-bit values to 0..65535.

    For Y'CbCr input, swscale's white isn't 65535: from limited range it is 255·2⁸ (as from 8
    bits), from full range it is the stream's white shifted left to 16 bits. Uncorrected, the error
    is four code values of a 10-bit stream (measured; tests/video/test_color_patches.py tests it).
    """
    limited = info.color.range.value == "limited"
    white = 255 << 8 if limited else (2**info.bits - 1) << (16 - info.bits)
    values = np.arange(65536) * (65535 / white)
    levels: NDArray[np.uint16] = np.clip(np.rint(values), 0, 65535).astype(np.uint16)
    return levels
