"""Decode the pixels of one Magic Lantern frame: packed bits, or lossless JPEG."""

import struct

import imagecodecs
import numpy as np

from rvdtool.errors import RawError, brief
from rvdtool.raw.frame import Mosaic

_START, _END, _SOF3 = b"\xff\xd8", b"\xff\xd9", 0xC3


def unpack(data: bytes, size: tuple[int, int], bits: int) -> Mosaic:
    """Unpack photosites from a bit stream in 16-bit little-endian words, highest bit first.

    Args:
        data: at least height · width · bits / 8 bytes.
        size: (height, width).
        bits: bits per photosite: 10, 12 or 14. Eight photosites fill bits / 2 words.

    Returns:
        uint16 [H, W], DN.
    """
    count = size[0] * size[1]
    groups = -(-count // 8)
    padded = data[: groups * bits].ljust(groups * bits, b"\0")
    words = np.frombuffer(padded, "<u2").reshape(groups, bits // 2)
    values = np.empty((groups, 8), np.uint16)
    for k in range(8):
        word, shift = divmod(k * bits, 16)
        value = words[:, word].astype(np.uint32) << 16
        if shift + bits > 16:
            value |= words[:, word + 1]
        values[:, k] = (value >> (32 - bits - shift)) & (2**bits - 1)
    return values.ravel()[:count].reshape(size)


def decode_lossless(data: bytes, size: tuple[int, int], bits: int) -> Mosaic:
    """Decode a lossless JPEG whose samples are the photosites in order: uint16 [H, W], DN.

    Cameras write two components of half the width, other programs one; both are supported. It is
    decoded by libjpeg, since liblj92 (imagecodecs.ljpeg_decode) crashes on damaged files.

    Raises:
        RawError: not a complete lossless JPEG of that many samples, or values above `bits` bits.
    """
    if data[4:6] == _START:
        raise RawError("compressed in tiles by an old mlv_dump; decompress it with mlv_dump")
    end = data.rfind(_END)  # cameras pad; decoders don't notice a missing end
    if end < 0 or _announced(data) != size[0] * size[1]:
        raise RawError(f"not a complete lossless JPEG of {size[1]}×{size[0]} photosites")
    try:
        samples = np.asarray(imagecodecs.jpeg_decode(data[: end + 2]))
    except (imagecodecs.Jpeg8Error, ValueError) as error:
        raise RawError(f"damaged lossless JPEG ({brief(error)})") from error
    if samples.size != size[0] * size[1] or int(samples.max()) >= 2**bits:
        raise RawError(f"damaged lossless JPEG, or values of more than {bits} bits")
    return samples.astype(np.uint16, copy=False).reshape(size)


def _announced(data: bytes) -> int:
    """Number of samples stated in the frame header (SOF3; ITU-T T.81, B.2.2); 0 without one."""
    position = 2 if data.startswith(_START) else len(data)
    while position + 10 <= len(data) and data[position] == 0xFF:
        if data[position + 1] == _SOF3:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return int(height * width * data[position + 9])
        position += 2 + int.from_bytes(data[position + 2 : position + 4])
    return 0
