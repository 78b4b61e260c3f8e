"""Y'CbCr ↔ R'G'B' by FFmpeg's scaler, with matrix, range and quality always given."""

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
"""Full precision for chroma, and the same result on every machine."""


class RgbConverter:
    """Decoded frames of one video to R'G'B', as its `VideoInfo` says.

    Raises:
        VideoError: it names a pixel format, matrix or range that FFmpeg doesn't know (a bundle's
            manifest may name anything).
    """

    def __init__(self, info: VideoInfo) -> None:
        is_rgb = info.color.matrix.value == "rgb"
        deep = info.bits > 8
        self._format = info.pixel_format
        if info.color.range.value == "limited":
            # The scaler takes these formats as full range, whatever `in_range` says.
            self._format = self._format.replace("yuvj", "yuv")
        # For RGB input it needs no matrix, but a valid name.
        matrix = "bt709" if is_rgb else info.color.matrix.value
        colors = f"in_color_matrix={matrix}:in_range={info.color.range.value}:out_range=full"
        output = "rgb48" if deep else "rgb24"
        try:
            if not (matrix + info.color.range.value).isalnum():  # else an option more, or other
                raise ValueError
            self._graph = scale_graph(info.width, info.height, self._format, colors, output)
        except (av.error.FFmpegError, ValueError) as error:
            raise VideoError(
                f"pixel format {self._format!r}, matrix {matrix!r} or range "
                f"{info.color.range.value!r}: FFmpeg knows none of that name"
            ) from error
        self._levels = _full_scale(info) if deep and not is_rgb else None

    def __call__(self, frame: AvFrame) -> Rgb:
        """[H, W, 3]: uint8 for 8-bit video, else uint16."""
        if frame.format.name != self._format:
            frame = _relabel(frame, self._format)
        self._graph.vpush(frame)
        rgb = cast(Rgb, self._graph.vpull().to_ndarray())
        return rgb if self._levels is None else self._levels[rgb]


def _relabel(frame: AvFrame, pixel_format: str) -> AvFrame:
    """The same samples under the name of another planar 8-bit format."""
    relabelled = AvFrame(frame.width, frame.height, pixel_format)
    for source, target in zip(frame.planes, relabelled.planes, strict=True):
        np.copyto(_samples(target), _samples(source))
    return relabelled


def _samples(plane: VideoPlane) -> NDArray[np.uint8]:
    """[H, W], a view."""
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
            time_base=Fraction(1, 1000),  # of no consequence: the filters keep no time
        ),
        graph.add("scale", f"{colors}:flags={FLAGS}"),
        graph.add("format", f"pix_fmts={output_format}"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _full_scale(info: VideoInfo) -> NDArray[np.uint16]:
    """[65536] swscale's 16-bit value → 0..65535.

    From Y'CbCr, swscale doesn't fill 16 bits: white comes out at 255·2⁸ from limited range (as if
    from 8 bits), and at the stream's own white shifted left from full range. The error would be
    four codes of a 10-bit stream. (Measured; tests/video/test_color_patches.py guards it.)
    """
    limited = info.color.range.value == "limited"
    white = 255 << 8 if limited else (2**info.bits - 1) << (16 - info.bits)
    values = np.arange(65536) * (65535 / white)
    levels: NDArray[np.uint16] = np.clip(np.rint(values), 0, 65535).astype(np.uint16)
    return levels
