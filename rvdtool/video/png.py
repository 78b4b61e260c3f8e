"""PNG files: lossless R'G'B' frames of 8 or 16 bit."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import imagecodecs
import numpy as np

from rvdtool.errors import UsageError, VideoError
from rvdtool.files import write_beside
from rvdtool.video.frame import Rgb

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB = 2
COLOR_TYPES = {0: "grey", RGB: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


@dataclass(frozen=True)
class PngHeader:
    """A PNG's IHDR chunk (PNG specification, 11.2.1)."""

    width: int
    height: int
    bits: int
    color_type: int

    @classmethod
    def parse(cls, data: bytes, name: str) -> "PngHeader":
        """Read the header from a file's first 26 bytes.

        Raises:
            VideoError: not a PNG.
        """
        if len(data) < 26 or data[:8] != SIGNATURE or data[12:16] != b"IHDR":
            raise VideoError(f"{name}: not a PNG, whatever its name says")
        return cls(*struct.unpack(">IIBB", data[16:26]))


def decode_png(data: bytes, name: str) -> Rgb:
    """[H, W, 3] uint8 or uint16, exactly as stored.

    Raises:
        VideoError: damaged.
    """
    try:
        return cast(Rgb, imagecodecs.png_decode(data))
    except imagecodecs.PngError as error:
        raise VideoError(f"{name}: damaged PNG ({error})") from error


def write_png(rgb: Rgb, path: Path, *, overwrite: bool = False) -> None:
    """Write a frame losslessly.

    Args:
        rgb: [H, W, 3], uint8 or uint16.
        path: the new file.
        overwrite: replace an existing file.

    Raises:
        UsageError: not such an array.
        OutputError: exists, or can't be written.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"a PNG frame is uint8 or uint16 [H, W, 3]; got {rgb.dtype} {rgb.shape}")
    # Level 1: at level 9, frames get a few percent smaller and take many times longer.
    data = imagecodecs.png_encode(rgb, level=1)
    with write_beside(path, overwrite=overwrite) as file:
        file.write(data)
