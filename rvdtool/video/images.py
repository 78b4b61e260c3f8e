"""A folder of PNGs as a video."""

from collections.abc import Iterator

from rvdtool.errors import VideoError
from rvdtool.video.color import Assume, StreamColor, interpret
from rvdtool.video.frame import VideoFrame, VideoInfo
from rvdtool.video.png import COLOR_TYPES, RGB, PngHeader, decode_png, read_header
from rvdtool.video.source import ByteSource, ImageSource, open_bytes


def probe_images(source: ImageSource, assume: Assume) -> VideoInfo:
    """Read all headers; timestamps count frames.

    Raises:
        VideoError: not all are RGB PNGs of one size and depth.
    """
    headers = [_header(frame) for frame in source.frames]
    first = headers[0]
    for header, frame in zip(headers, source.frames, strict=True):
        if header.color_type != RGB or header.transparent:
            what = COLOR_TYPES.get(header.color_type, "strange")
            raise VideoError(
                f"{frame.name}: a {'transparent' if header.transparent else what} PNG; "
                "frames must be plain RGB, 8 or 16 bit"
            )
        if _describe(header) != _describe(first):
            raise VideoError(
                f"{frame.name}: {_describe(header)}, but {source.frames[0].name}: "
                f"{_describe(first)}; all frames of a clip must be alike"
            )
    color = StreamColor(
        matrix=0, range=2, transfer=first.transfer, primaries=first.primaries, is_rgb=True
    )
    return VideoInfo(
        width=first.width,
        height=first.height,
        timestamps=tuple(range(len(headers))),
        time_base=1 / source.rate,
        rate=source.rate,
        rotation=0,
        codec="png",
        pixel_format="rgb24" if first.bits == 8 else "rgb48be",
        bits=first.bits,
        color=interpret(color, assume, height=first.height, name=source.name),
    )


def read_images(source: ImageSource, info: VideoInfo) -> Iterator[VideoFrame]:
    """Decode one PNG after the other.

    Raises:
        VideoError: a frame is damaged, or not of `info`'s size and depth, or the count differs.
    """
    if len(source.frames) != info.frame_count:
        raise VideoError(
            f"{source.name}: {len(source.frames)} PNGs, but {info.frame_count} were expected"
        )
    for index, frame in enumerate(source.frames):
        with open_bytes(frame) as file:
            rgb = decode_png(file.read(), frame.name)
        expected = (info.height, info.width, 3), (info.bits + 7) // 8
        if (rgb.shape, rgb.dtype.itemsize) != expected:
            raise VideoError(f"{frame.name}: {rgb.dtype} {rgb.shape} is not what the clip has")
        yield VideoFrame(index, rgb, info.timestamps[index])


def _header(frame: ByteSource) -> PngHeader:
    with open_bytes(frame) as file:
        return read_header(file, frame.name)


def _describe(header: PngHeader) -> str:
    return f"{header.width}×{header.height}, {header.bits} bit"
