"""TIFF files as frames: R'G'B' of 8 or 16 bits."""

import io
from typing import cast

import numpy as np
import tifffile

from rvdtool.errors import VideoError
from rvdtool.raw.frame import require_readable_size
from rvdtool.raw.header import DAMAGE
from rvdtool.video.frame import Rgb
from rvdtool.video.picture import PictureHeader, rotation_of

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RGB = 2


def read_header(file: io.RawIOBase, name: str) -> PictureHeader:
    """Read the tags, but not the pixels.

    Raises:
        VideoError: damaged, several pictures, or not plain R'G'B' of 8 or 16 bits.
    """
    try:
        with tifffile.TiffFile(io.BufferedReader(file)) as tiff:
            return _header(tiff, name)
    except DAMAGE as error:
        raise VideoError(f"{name}: damaged TIFF ({error})") from error


def decode_tiff(data: bytes, name: str) -> Rgb:
    """[H, W, 3] uint8 or uint16, exactly as stored.

    Raises:
        VideoError: damaged.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            header = _header(tiff, name)
            pixels = tiff.pages.first.asarray(maxworkers=1)
            if tiff.pages.first.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
                pixels = np.moveaxis(pixels, 0, 2)
    except DAMAGE as error:
        raise VideoError(f"{name}: damaged TIFF ({error})") from error
    if pixels.shape != (header.height, header.width, 3):
        raise VideoError(f"{name}: damaged TIFF (its pixels are {pixels.shape})")
    return cast(Rgb, np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")))


def _header(tiff: tifffile.TiffFile, name: str) -> PictureHeader:
    if len(tiff.pages) != 1:
        raise VideoError(f"{name}: a TIFF of {len(tiff.pages)} pictures; a frame is one")
    page = tiff.pages.first
    bits, is_integer = page.bitspersample, page.sampleformat == 1
    if page.samplesperpixel != 3 or page.photometric != _RGB or bits not in (8, 16):
        kind = getattr(page.photometric, "name", str(page.photometric))
        what = f"{page.samplesperpixel} × {bits} bit, {kind}"
        raise VideoError(
            f"{name}: a TIFF of {what}; frames must be plain RGB, 8 or 16 bit. Convert each "
            f"(ffmpeg -i IN.tiff -pix_fmt {'rgb24' if bits == 8 else 'rgb48le'} OUT.tiff)"
        )
    if not is_integer:
        raise VideoError(f"{name}: a TIFF in floating point; frames must be RGB, 8 or 16 bit")
    require_readable_size((page.imagelength, page.imagewidth))
    rotation = rotation_of(int(page.tags.valueof(274, 1)), name)
    return PictureHeader(page.imagewidth, page.imagelength, bits, "RGB", rotation=rotation)
