"""Read colour tags and rotation from a decoded frame."""

import struct
from typing import cast

from av.sidedata.sidedata import SideData
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame as AvFrame

from rvdtool.errors import VideoError
from rvdtool.video.color import UNSPECIFIED, Property, StreamColor

HDR_METADATA = {
    "MASTERING_DISPLAY_METADATA",
    "CONTENT_LIGHT_LEVEL",
    "DYNAMIC_HDR_PLUS",
    "DOVI_RPU_BUFFER",
    "DOVI_METADATA",
}


def tags_of(of: VideoCodecContext | AvFrame) -> dict[Property, int]:
    """The stated H.273 code points; unspecified ones are left out."""
    codes: dict[Property, int] = {
        "matrix": of.colorspace,
        "transfer": of.color_trc,
        "primaries": of.color_primaries,
    }
    stated = {name: code for name, code in codes.items() if code not in UNSPECIFIED}
    return stated | ({"range": of.color_range} if of.color_range else {})


def stream_color(frame: AvFrame, declared: dict[Property, int]) -> StreamColor:
    """The frame's colour tags, completed with those of the container."""
    tags = declared | tags_of(frame)
    return StreamColor(
        matrix=tags.get("matrix"),
        range=tags.get("range"),
        transfer=tags.get("transfer"),
        primaries=tags.get("primaries"),
        is_rgb=frame.format.is_rgb,
        has_hdr_metadata=any(_side_data(frame, name) is not None for name in HDR_METADATA),
    )


def _side_data(frame: AvFrame, name: str) -> bytes | None:
    """Side data by FFmpeg's name without its prefix; None if the frame doesn't have it."""
    try:
        # Looked up by name: iteration gives types in PyAV 19, but data in older releases.
        found = cast(SideData | None, frame.side_data.get(name))
    except ValueError:  # PyAV 18.1 has no name for EXIF, which JPEG frames have; they have no HDR
        return None
    return None if found is None else bytes(found)


def refuse_unreadable(frame: AvFrame, name: str) -> None:
    """Refuse frames that aren't colour with integer samples.

    Raises:
        VideoError: RAW, palette, greyscale or floating-point video.
    """
    form = frame.format
    if form.is_bayer:
        raise VideoError(f"{name}: RAW video ({form.name}); pack the sRGB video that belongs to it")
    is_float = "f16" in form.name or "f32" in form.name
    if form.has_palette or len(form.components) < 3 or is_float:
        raise VideoError(
            f"{name}: pixel format {form.name}; only colour video of 8 to 16 bits is supported"
        )


def rotation_clockwise(frame: AvFrame, name: str) -> int:
    """Rotation of the display matrix in degrees clockwise; FFmpeg reports it counter-clockwise.

    Raises:
        VideoError: mirrored, or not a multiple of 90°.
    """
    matrix = _side_data(frame, "DISPLAYMATRIX")
    if matrix is not None:
        a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
        if a * d - b * c < 0:
            raise VideoError(
                f"{name}: flagged as mirrored, which isn't supported; let FFmpeg mirror its "
                "pixels (ffmpeg -i IN -c:v ffv1 -c:a copy OUT.mkv)"
            )
    rotation = -frame.rotation % 360
    if rotation % 90:
        raise VideoError(
            f"{name}: flagged as rotated by {rotation}°; only 0, 90, 180, 270 are supported"
        )
    return rotation
