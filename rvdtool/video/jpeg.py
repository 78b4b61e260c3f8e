"""Read JPEG files as frames: 8-bit Y'CbCr or R'G'B', decoded by FFmpeg like motion JPEG."""

import io
import struct
from dataclasses import replace

import av.error
from av.codec.context import CodecContext
from av.packet import Packet
from av.video.frame import VideoFrame as AvFrame

from rvdtool.errors import RawError, VideoError
from rvdtool.raw.header import Ifd
from rvdtool.raw.ifd import ifds_in
from rvdtool.video.icc import profile_name
from rvdtool.video.picture import PictureHeader, rotation_of

SIGNATURE = b"\xff\xd8\xff"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of frame headers, SOF0 to SOF15 (ITU-T T.81, table B.1)."""
_BASELINE_TO_PROGRESSIVE = (0xC0, 0xC1, 0xC2)
_APP1, _EXIF = 0xE1, b"Exif\0\0"
_APP2, _ICC = 0xE2, b"ICC_PROFILE\0"
_MOST_PROFILE = 2**22
_DAMAGED = "damaged or cut off; copy it again"


def read_header(file: io.RawIOBase, name: str) -> PictureHeader:
    """Read all segments before the image data.

    Raises:
        VideoError: damaged, or not three components of 8 bits.
    """
    file.seek(2)
    rotation, profile = 0, b""
    while True:
        head = file.read(4) or b""
        if len(head) < 4 or head[0] != 0xFF:
            raise VideoError(f"{name}: a JPEG that is {_DAMAGED}")
        marker, length = struct.unpack(">xBH", head)
        if marker in _FRAME_HEADERS:
            header = _frame_header(marker, file.read(length - 2) or b"", name)
            named = profile_name(profile) if profile else None
            return replace(header, rotation=rotation, profile=named)
        if marker == 0xFF:  # a fill byte
            file.seek(-3, io.SEEK_CUR)
        elif marker == _APP1:
            rotation = _exif_rotation(file.read(length - 2) or b"", name) or rotation
        elif marker == _APP2 and len(profile) < _MOST_PROFILE:
            segment = file.read(length - 2) or b""
            if segment.startswith(_ICC):
                profile += segment[len(_ICC) + 2 :]  # after the part number and count
        else:
            file.seek(length - 2, io.SEEK_CUR)


def decode_jpeg(data: bytes, name: str) -> AvFrame:
    """Decode a picture; the result keeps the file's pixel format.

    Raises:
        VideoError: the file is damaged.
    """
    decoder = CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode+bitstream+buffer"}  # otherwise it conceals errors
    decoder.thread_count = 1
    try:
        frames = [*decoder.decode(Packet(data)), *decoder.decode(None)]
    except av.error.FFmpegError as error:
        raise VideoError(f"{name}: a JPEG that is {_DAMAGED}") from error
    if len(frames) != 1 or not isinstance(frames[0], AvFrame):
        raise VideoError(f"{name}: a JPEG without one picture in it")
    return frames[0]


def _exif_rotation(segment: bytes, name: str) -> int:
    """Degrees clockwise by which EXIF's Orientation rotates the picture."""
    if not segment.startswith(_EXIF):
        return 0
    data = segment[len(_EXIF) :]
    try:
        tree = ifds_in(io.BytesIO(data), len(data))
        orientation = 1 if tree is None else Ifd(tree.first).number("Orientation", 1)
    except RawError:
        return 0  # as all viewers do
    return rotation_of(orientation, name)


def _frame_header(marker: int, data: bytes, name: str) -> PictureHeader:
    try:
        bits, height, width, count = struct.unpack_from(">BHHB", data)
        sampling = [divmod(data[7 + 3 * k], 16) for k in range(count)]
    except (struct.error, IndexError) as error:
        raise VideoError(f"{name}: a JPEG that is {_DAMAGED}") from error
    if count != 3 or bits != 8 or marker not in _BASELINE_TO_PROGRESSIVE or not height:
        raise VideoError(
            f"{name}: a JPEG of {count} component{'s' if count != 1 else ''} of {bits} bits; "
            "frames must be colour JPEGs (baseline or progressive) of 8 bits"
        )
    layout = "components " + " ".join(f"{across}×{down}" for across, down in sampling)
    return PictureHeader(width, height, bits, layout)
