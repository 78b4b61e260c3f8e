"""The planes member: a RAW frame on the video's grid as a TIFF that any program can open.

The TIFF is uncompressed and written without a library, so that no library's version can change its
bytes: packing the same input twice gives the same bundle.
"""

import io
import reprlib

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import BundleError, RawError
from rvdtool.raw.bayer import PLANES, to_planes
from rvdtool.raw.frame import CfaPhase, RawFrame, Tag
from rvdtool.raw.header import Ifd
from rvdtool.raw.ifd import ifds_in
from rvdtool.raw.tiff import ASCII, LONG, SHORT, encode_tiff

_MOST_BESIDE = 2**20
"""Largest number of bytes beyond the pixels, for tags and whatever other writers add to them."""

_DESCRIPTION = "samples: R, Gr, Gb, B of each RGGB cell, in DN"


def encode_planes(frame: RawFrame) -> bytes:
    """Encode the frame's planes R, Gr, Gb, B as TIFF: uint16, 4 samples per pixel, one strip."""
    pixels = np.ascontiguousarray(to_planes(frame.mosaic, frame.phase).transpose(1, 2, 0), "<u2")
    height, width, samples = pixels.shape
    tags = (
        Tag(254, LONG, 1, 0),  # NewSubfileType: the main image
        Tag(256, LONG, 1, width),  # ImageWidth
        Tag(257, LONG, 1, height),  # ImageLength
        Tag(258, SHORT, samples, (16,) * samples),  # BitsPerSample
        Tag(259, SHORT, 1, 1),  # Compression: none
        Tag(262, SHORT, 1, 1),  # PhotometricInterpretation: black is zero
        Tag(270, ASCII, len(_DESCRIPTION) + 1, _DESCRIPTION),  # ImageDescription
        Tag(277, SHORT, 1, samples),  # SamplesPerPixel
        Tag(278, LONG, 1, height),  # RowsPerStrip: one strip
        Tag(279, LONG, 1, pixels.nbytes),  # StripByteCounts
        Tag(284, SHORT, 1, 1),  # PlanarConfiguration: sample by sample
        Tag(338, SHORT, samples - 1, (0,) * (samples - 1)),  # ExtraSamples: unspecified
    )
    return b"".join((encode_tiff(tags, (), b""), pixels.data))  # copies the pixels only once


def require_planes_bytes(count: int, size: tuple[int, int]) -> None:
    """Refuse, before it is read, a planes member that can't hold uncompressed planes of `size`.

    Raises:
        BundleError: it is too small or too large.
    """
    pixels = 8 * size[0] * size[1]
    if not pixels < count <= pixels + _MOST_BESIDE:
        raise BundleError(f"it has {count} bytes; expected {pixels} and a short header")


def decode_planes(data: bytes, size: tuple[int, int]) -> NDArray[np.uint16]:
    """Decode planes [4, height, width], where `size` is (height, width).

    Raises:
        BundleError: the data isn't such a TIFF.
    """
    try:
        tree = ifds_in(io.BytesIO(data), len(data))
        if tree is None:
            raise RawError("it doesn't begin like one")
        ifd, height, width = Ifd(tree.first), size[0], size[1]
        count = 8 * height * width
        for name, wanted in (
            ("ImageLength", [height]),
            ("ImageWidth", [width]),
            ("BitsPerSample", [16] * 4),
            ("SamplesPerPixel", [4]),
            ("Compression", [1]),
            ("StripByteCounts", [count]),
        ):
            found = ifd.numbers(name)
            if found != wanted:
                shown = reprlib.repr([int(number) for number in found])
                raise BundleError(f"a TIFF whose {name} is {shown}; expected {wanted}")
        offset = ifd.number("StripOffsets")
    except RawError as error:
        raise BundleError(f"not a TIFF that can be read ({error})") from error
    pixels = data[offset : offset + count]
    if data[:2] != b"II" or len(pixels) != count:
        raise BundleError("not a TIFF that can be read (its pixels are cut off, or big-endian)")
    stored = np.frombuffer(pixels, "<u2").reshape(height, width, 4)
    return np.ascontiguousarray(stored.transpose(2, 0, 1), np.uint16)


def planes_size(phase: CfaPhase, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the planes of a mosaic of this size."""
    top, left, bottom, right = padding(phase, size)
    return (top + size[0] + bottom) // 2, (left + size[1] + right) // 2


def padding(phase: CfaPhase, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Numbers of rows above, columns left, rows below and columns right that `to_planes` adds."""
    top, left = PLANES[phase.value.index("R")]
    return top, left, (top + size[0]) % 2, (left + size[1]) % 2
