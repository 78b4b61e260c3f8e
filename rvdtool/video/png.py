"""Read and write PNG files: lossless R'G'B' frames of 8 or 16 bits."""

import io
import struct
import zlib
from pathlib import Path
from typing import cast

import imagecodecs
import numpy as np

from rvdtool.errors import UsageError, VideoError, brief
from rvdtool.files import write_beside
from rvdtool.video.color import UNSPECIFIED
from rvdtool.video.frame import Rgb
from rvdtool.video.icc import profile_name
from rvdtool.video.picture import PictureHeader

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CRC_SIZE = 4
MOST_PROFILE = 2**22
"""Largest ICC profile in bytes, after decompression."""
SRGB = 1, 13
"""H.273 code points of sRGB's primaries and transfer."""
RGB = 2
COLOR_TYPES = {
    0: "grey",
    RGB: "RGB",
    3: "of colours from a palette",
    4: "grey with an alpha channel",
    6: "RGB with an alpha channel",
}


def read_header(file: io.RawIOBase, name: str) -> PictureHeader:
    """Read all chunks before the image data.

    Raises:
        VideoError: not a PNG, cut off, or not plain RGB of 8 or 16 bits.
    """
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise VideoError(f"{name}: not a PNG, despite its name")
    chunks: dict[bytes, bytes] = {}
    while b"IDAT" not in chunks:
        head = file.read(8) or b""
        if len(head) < 8:
            raise VideoError(f"{name}: a PNG without pixels; it is cut off")
        length, kind = struct.unpack(">I4s", head)
        wanted = kind in (b"IHDR", b"tRNS", b"cICP") or (kind == b"iCCP" and length <= MOST_PROFILE)
        chunks[kind] = (file.read(length) or b"") if wanted else b""
        file.seek(CRC_SIZE if wanted else length + CRC_SIZE, io.SEEK_CUR)
    try:
        width, height, bits, color_type = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
        primaries, transfer = SRGB if b"sRGB" in chunks else (None, None)
        if b"cICP" in chunks:
            codes = struct.unpack("BB", chunks[b"cICP"][:2])
            primaries, transfer = (None if code in UNSPECIFIED else code for code in codes)
    except (KeyError, struct.error) as error:
        raise VideoError(f"{name}: a damaged PNG") from error
    if color_type != RGB or b"tRNS" in chunks:
        what = (
            "RGB with a transparent colour"
            if b"tRNS" in chunks
            else COLOR_TYPES.get(color_type, "of an unknown kind")
        )
        deep = "rgb48be" if bits == 16 else "rgb24"
        raise VideoError(
            f"{name}: is {what}; frames must be plain RGB, 8 or 16 bit. Convert each "
            f"(ffmpeg -i IN.png -pix_fmt {deep} OUT.png)"
        )
    profile = None
    if b"iCCP" in chunks and b"cICP" not in chunks:
        profile = _profile(chunks[b"iCCP"])
    return PictureHeader(width, height, bits, "RGB", transfer, primaries, profile=profile)


def _profile(chunk: bytes) -> str:
    """The ICC profile's own name; if it has none, the name in the chunk."""
    label, _, packed = chunk.partition(b"\0")
    try:
        profile = zlib.decompressobj().decompress(packed[1:], MOST_PROFILE)
    except zlib.error:
        profile = b""
    name = profile_name(profile)
    return label.decode("latin-1") if name == "unnamed" and label else name


def decode_png(data: bytes, name: str) -> Rgb:
    """Decode a PNG to uint8 or uint16 [H, W, 3], exactly as stored.

    Raises:
        VideoError: the file is damaged.
    """
    try:
        return cast(Rgb, imagecodecs.png_decode(data))
    except (imagecodecs.PngError, ValueError) as error:
        raise VideoError(f"{name}: damaged PNG ({brief(error)})") from error


def write_png(rgb: Rgb, path: Path, *, overwrite: bool = False) -> None:
    """Write a frame as a PNG.

    Args:
        rgb: [H, W, 3], uint8 or uint16.
        path: the new file.
        overwrite: replace an existing file.

    Raises:
        UsageError: the array has another type or shape.
        OutputError: the file exists (without `overwrite`) or can't be written.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"a PNG frame is uint8 or uint16 [H, W, 3]; got {rgb.dtype} {rgb.shape}")
    # Level 9 makes 1080p frames 3 to 15 % smaller than level 1, but takes up to 24 times as long.
    data = imagecodecs.png_encode(rgb, level=1)
    with write_beside(path, overwrite=overwrite) as file:
        file.write(data)
