"""Read TIFF files as frames: R'G'B' of 8 or 16 bits."""

import io
from typing import cast

import numpy as np
import tifffile

from rvdtool.errors import RawError, VideoError, brief
from rvdtool.raw.frame import require_readable_size
from rvdtool.raw.header import DAMAGE, TIFF_MAGIC, Ifd
from rvdtool.raw.ifd import ifds_in
from rvdtool.video.frame import Rgb
from rvdtool.video.icc import profile_name
from rvdtool.video.picture import PictureHeader, rotation_of

SIGNATURES = TIFF_MAGIC

_RGB = 2
_COMPRESSIONS = {1: 1, 5: 1000, 8: 1100, 32773: 130, 32946: 1100}
"""Supported compressions (none, LZW, Deflate, PackBits, Deflate), and the largest ratio of each:
decompressed bytes per stored byte."""


def read_header(file: io.RawIOBase, name: str) -> PictureHeader:
    """Read the tags without decoding the pixels.

    Raises:
        VideoError: damaged, several pictures, or not plain R'G'B' of 8 or 16 bits.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        tree = ifds_in(file, size)
        if tree is None:
            raise RawError("damaged: its tags can't be read")
        return _header([Ifd(tags) for tags in tree.pages], size, name)
    except RawError as error:
        raise VideoError(f"{name}: a TIFF that can't be a frame: {brief(error)}") from error


def decode_tiff(data: bytes, name: str) -> Rgb:
    """Decode a TIFF to uint8 or uint16 [H, W, 3], exactly as stored.

    Raises:
        VideoError: the file is damaged.
    """
    file = io.BytesIO(data)
    header = read_header(file, name)  # type: ignore[arg-type]
    file.seek(0)
    try:
        with tifffile.TiffFile(file, is_ndpi=False) as tiff:
            page = tiff.pages.first
            pixels = page.asarray(maxworkers=1)
            if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
                pixels = np.moveaxis(pixels, 0, 2)
    except DAMAGE as error:
        raise VideoError(f"{name}: damaged TIFF ({brief(error)})") from error
    if pixels.shape != (header.height, header.width, 3):
        raise VideoError(f"{name}: damaged TIFF (its pixels are {pixels.shape})")
    return cast(Rgb, np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")))


def _header(pages: list[Ifd], size: int, name: str) -> PictureHeader:
    """Check and interpret the tags.

    Raises:
        RawError: a tag is damaged or has an impossible value.
        VideoError: the file isn't one plain R'G'B' picture.
    """
    if len(pages) != 1:
        raise VideoError(f"{name}: a TIFF with {len(pages)} pages; a frame has one")
    page = pages[0]
    bits = {int(value) for value in page.numbers("BitsPerSample", default=(1,))}
    samples = page.number("SamplesPerPixel", 1)
    is_whole = {int(value) for value in page.numbers("SampleFormat", default=(1,))} == {1}
    photometric = page.number("PhotometricInterpretation", 0)
    if samples != 3 or photometric != _RGB or not is_whole or bits not in ({8}, {16}):
        what = f"{samples} × {max(bits)} bit{'' if is_whole else ', floating point or signed'}"
        raise VideoError(
            f"{name}: a TIFF of {what}; frames must be plain RGB, 8 or 16 bit. Convert each "
            f"(ffmpeg -i IN.tiff -pix_fmt {'rgb24' if max(bits) == 8 else 'rgb48le'} OUT.tiff)"
        )
    compression = page.number("Compression", 1)
    if compression not in _COMPRESSIONS:
        raise VideoError(
            f"{name}: a TIFF with compression {compression}; supported are uncompressed, "
            "LZW, Deflate and PackBits"
        )
    height, width = page.number("ImageLength"), page.number("ImageWidth")
    require_readable_size((height, width))
    if page.tag("TileWidth"):  # a tile is decoded even where it lies outside the picture
        require_readable_size((page.number("TileLength"), page.number("TileWidth")))
    if height * width * 3 * max(bits) // 8 > size * _COMPRESSIONS[compression]:
        raise RawError(f"{width}×{height} pixels can't be in {size} bytes")
    rotation = rotation_of(page.number("Orientation", 1), name)
    icc = page.tag("InterColorProfile")
    profile = profile_name(icc.value) if icc and isinstance(icc.value, bytes) else None
    return PictureHeader(width, height, max(bits), "RGB", rotation=rotation, profile=profile)
