"""Read a folder of PNGs, JPEGs or TIFFs as a video."""

import io
from collections.abc import Callable, Iterator
from typing import Literal

from rvdtool.errors import VideoError
from rvdtool.video import jpeg, png, tiff
from rvdtool.video.color import Assume, StreamColor, interpret
from rvdtool.video.convert import RgbConverter
from rvdtool.video.frame import Rgb, VideoFrame, VideoInfo
from rvdtool.video.icc import is_srgb
from rvdtool.video.picture import PictureHeader, require_plausible
from rvdtool.video.source import ByteSource, ImageSource, open_bytes
from rvdtool.video.tags import refuse_unreadable, stream_color

Codec = Literal["png", "mjpeg", "tiff"]


def probe_images(source: ImageSource, assume: Assume) -> VideoInfo:
    """Read the headers of all pictures. Timestamps are the frame numbers.

    Raises:
        VideoError: the pictures aren't all colour pictures of one file type, size and bit depth.
    """
    codec = _codec(source.frames[0])
    headers = [_header(frame, codec) for frame in source.frames]
    first = headers[0]
    for header, frame in zip(headers, source.frames, strict=True):
        if header != first:
            raise VideoError(
                f"{frame.name}: {header}, but {source.frames[0].name}: {first}; all frames of a "
                "clip must be alike"
            )
    _refuse_profile(first.profile, assume, source.frames[0].name)
    color = StreamColor(
        matrix=0, range=2, transfer=first.transfer, primaries=first.primaries, is_rgb=True
    )
    pixel_format = "rgb24" if first.bits == 8 else "rgb48be"
    if codec == "mjpeg":
        picture = jpeg.decode_jpeg(_bytes(source.frames[0]), source.frames[0].name)
        refuse_unreadable(picture, source.name)
        color = stream_color(picture, {})
        pixel_format = picture.format.name
    return VideoInfo(
        width=first.width,
        height=first.height,
        timestamps=tuple(range(len(headers))),
        time_base=1 / source.rate,
        rate=source.rate,
        rotation=first.rotation,
        codec=codec,
        pixel_format=pixel_format,
        bits=first.bits,
        color=interpret(color, assume, height=first.height, name=source.name),
    )


def read_images(source: ImageSource, info: VideoInfo) -> Iterator[VideoFrame]:
    """Decode one picture after the other.

    Raises:
        VideoError: a picture is damaged, or type, size, bit depth or count differ from `info`.
    """
    if len(source.frames) != info.frame_count:
        raise VideoError(
            f"{source.name}: {len(source.frames)} pictures, but {info.frame_count} were expected"
        )
    decode = _decoder(info)
    for index, frame in enumerate(source.frames):
        header = _header(frame, _codec(frame))
        if (header.width, header.height) != (info.width, info.height):
            raise VideoError(
                f"{frame.name}: {header}; the clip has {info.width}×{info.height}, {info.bits} bit"
            )
        rgb = decode(_bytes(frame), frame.name)
        expected = (info.height, info.width, 3), (info.bits + 7) // 8
        if (rgb.shape, rgb.dtype.itemsize) != expected:
            raise VideoError(f"{frame.name}: {rgb.dtype} {rgb.shape} differs from the clip")
        yield VideoFrame(index, rgb, info.timestamps[index])


def _refuse_profile(profile: str | None, assume: Assume, name: str) -> None:
    """Refuse pictures whose ICC profile isn't sRGB, unless the user overrides it.

    Raises:
        VideoError: the profile isn't sRGB, and `assume` doesn't give transfer and primaries.
    """
    overridden = assume.transfer is not None and assume.primaries is not None
    if profile is None or is_srgb(profile) or overridden:
        return
    raise VideoError(
        f"{name}: its colours are those of the ICC profile {profile!r}; only sRGB is "
        "supported. Convert it, or read it as sRGB anyway: --assume "
        "transfer=iec61966-2-1,primaries=bt709"
    )


def _decoder(info: VideoInfo) -> Callable[[bytes, str], Rgb]:
    if info.codec == "png":
        return png.decode_png
    if info.codec == "tiff":
        return tiff.decode_tiff
    to_rgb = RgbConverter(info)

    def decode(data: bytes, name: str) -> Rgb:
        picture = jpeg.decode_jpeg(data, name)
        found = picture.width, picture.height, picture.format.name
        if found != (info.width, info.height, info.pixel_format):
            raise VideoError(
                f"{name}: {found[0]}×{found[1]} {found[2]}, but the clip is "
                f"{info.width}×{info.height} {info.pixel_format}"
            )
        return to_rgb(picture)

    return decode


def _codec(frame: ByteSource) -> Codec:
    """The file type by the first bytes, since pictures in a bundle have no file names."""
    with open_bytes(frame) as file:
        head = file.read(4) or b""
    if head.startswith(jpeg.SIGNATURE):
        return "mjpeg"
    return "tiff" if head in tiff.SIGNATURES else "png"


def _header(frame: ByteSource, codec: Codec) -> PictureHeader:
    read = {"png": png.read_header, "mjpeg": jpeg.read_header, "tiff": tiff.read_header}[codec]
    if _codec(frame) != codec and codec != "png":  # the PNG reader has its own message
        raise VideoError(f"{frame.name}: another kind of picture than the clip's first")
    with open_bytes(frame) as file:
        header = read(file, frame.name)
        return require_plausible(header, file.seek(0, io.SEEK_END), frame.name)


def _bytes(frame: ByteSource) -> bytes:
    with open_bytes(frame) as file:
        return file.read() or b""
