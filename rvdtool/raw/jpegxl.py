"""Lossless JPEG XL compression of a mosaic (DNG 1.7.1, Compression 52546).

The four positions of the CFA cell are stored as four pictures, one in each quarter of the image
(RowInterleaveFactor and ColumnInterleaveFactor 2), since neighbours of the same colour predict
each other well.
"""

import imagecodecs
import numpy as np

from rvdtool.errors import RawError, brief
from rvdtool.raw.frame import Mosaic
from rvdtool.raw.header import DAMAGE

_EFFORT = 2
"""Encoder effort: as fast as lossless JPEG. 3 takes twice as long and saves 1 to 4 %."""


def encode(mosaic: Mosaic) -> bytes:
    """Encode a mosaic [H, W] as a JPEG XL file, with the cell positions in quarters."""
    return bytes(
        imagecodecs.jpegxl_encode(
            to_quarters(mosaic), lossless=True, effort=_EFFORT, bitspersample=16, numthreads=1
        )
    )


def decode(data: bytes, size: tuple[int, int], *, quarters: bool) -> Mosaic:
    """Decode a mosaic of `size` from a JPEG XL file.

    Args:
        data: the file.
        size: (height, width) of the mosaic.
        quarters: whether the cell positions are in quarters, or the mosaic is stored as it is.

    Raises:
        RawError: the file can't be decoded, or isn't one 16-bit channel of that size.
    """
    stored = np.empty(size, np.uint16)
    try:  # a picture of another size is refused before it is decoded
        imagecodecs.jpegxl_decode(data, out=stored, numthreads=1)
    except (imagecodecs.JpegxlError, *DAMAGE) as error:
        raise RawError(f"damaged: its JPEG XL can't be decoded ({brief(error)})") from error
    return from_quarters(stored) if quarters else stored


def to_quarters(mosaic: Mosaic) -> Mosaic:
    """Rearrange a mosaic [H, W]: each of the four cell positions becomes a picture in a quarter."""
    rows = [np.concatenate([mosaic[y::2, x::2] for x in (0, 1)], 1) for y in (0, 1)]
    return np.ascontiguousarray(np.concatenate(rows, 0))


def from_quarters(quarters: Mosaic) -> Mosaic:
    """Rearrange quarters [H, W] into the mosaic; the inverse of `to_quarters`."""
    mosaic = np.empty_like(quarters)
    height, width = quarters.shape
    middle = ((height + 1) // 2, (width + 1) // 2)
    for y, rows in enumerate((slice(None, middle[0]), slice(middle[0], None))):
        for x, columns in enumerate((slice(None, middle[1]), slice(middle[1], None))):
            mosaic[y::2, x::2] = quarters[rows, columns]
    return mosaic
