"""Magic Lantern videos written from scratch, following the structures of its mlv.h and raw.h."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

Mosaics = Sequence[NDArray[np.uint16]]

MATRIX = (6722, -635, -963, -4287, 12460, 2028, -908, 2162, 5668)
GUID = 0x1234567890ABCDEF


@dataclass(frozen=True)
class Clip:
    """What tests vary; everything else is fixed."""

    bits: int = 14
    black: int = 2048
    white: int = 15000
    cfa: int = 0x02010100
    video_class: int = 1
    jpeg: int = 0
    """Components of lossless JPEG; 0 for none."""
    prefix: bytes = b""
    """Put before each frame's pixels."""
    space: int = 96
    first: int = 0
    file_count: int = 1
    balance: tuple[int, int, int, int, int] = (6, 0, 500, 1024, 640)
    matrix: tuple[int, ...] = MATRIX


def random_mosaics(count: int, size: tuple[int, int] = (24, 32), bits: int = 14) -> Mosaics:
    rng = np.random.default_rng(bits)
    return [rng.integers(0, 2**bits, size).astype(np.uint16) for _ in range(count)]


def pack_bits(mosaic: NDArray[np.uint16], bits: int) -> bytes:
    """One long number, cut into 16-bit words, each with its bytes swapped."""
    text = "".join(f"{value:0{bits}b}" for value in mosaic.ravel().tolist())
    words = [int(text[k : k + 16].ljust(16, "0"), 2) for k in range(0, len(text), 16)]
    return struct.pack(f"<{len(words)}H", *words)


def block(name: bytes, content: bytes, timestamp: int = 0) -> bytes:
    return struct.pack("<4sIQ", name, 16 + len(content), timestamp) + content


def file_header(clip: Clip, count: int, number: int = 0, guid: int = GUID) -> bytes:
    kind = clip.video_class | (0x20 if clip.jpeg else 0)
    return struct.pack(
        "<4sI8sQHHIHHIIII",
        *(b"MLVI", 52, b"v2.0\0\0\0\0", guid, number, clip.file_count, 0),
        *(kind, 0, count, 0, 23976, 1000),
    )


def metadata(clip: Clip, size: tuple[int, int]) -> list[bytes]:
    height, width = size
    pairs = [part for value in clip.matrix for part in (value, 10000)]
    info = (1, 0, height, width, width * clip.bits // 8, 0, clip.bits, clip.black, clip.white)
    area = (0, 0, width, height, 0, 0, height, width, 0, 0)
    raw = struct.pack("<HH40i", width, height, *info, *area, clip.cfa, 1, *pairs, 1100)
    return [
        block(b"RAWI", raw),
        block(b"IDNT", struct.pack("<32sI32s", b"Canon EOS 5D Mark III", 0x80000285, b"1")),
        block(b"RTCI", struct.pack("<10H8s", 5, 4, 3, 2, 0, 124, 2, 1, 0, 0, b"")),
        block(b"LENS", struct.pack("<3H2B2I32s32s", 35, 0, 280, 0, 0, 0, 0, b"EF35mm f/2", b"")),
        block(b"WBAL", struct.pack("<7I", *clip.balance, 0, 0)),
        block(b"EXPO", struct.pack("<4IQ", 0, 400, 400, 0, 20000)),
        block(b"NULL", bytes(40)),
    ]


def frame(clip: Clip, mosaic: NDArray[np.uint16], number: int) -> bytes:
    if clip.jpeg:
        height, width = mosaic.shape
        samples = mosaic.reshape(height, width // clip.jpeg, clip.jpeg)
        pixels = imagecodecs.jpeg_encode(samples, lossless=True, predictor=1, bitspersample=14)
        pixels = bytes(pixels) + bytes(7)
    else:
        pixels = pack_bits(mosaic, clip.bits)
    head = struct.pack("<I4HI", number, 0, 0, 0, 0, clip.space)
    return block(b"VIDF", head + b"\xaa" * clip.space + clip.prefix + pixels)


def mlv_bytes(mosaics: Mosaics, clip: Clip | None = None, order: Iterable[int] = ()) -> bytes:
    """A complete recording; `order` is the order of its frames in the file."""
    clip = clip or Clip()
    places = list(order) or range(len(mosaics))
    frames = [frame(clip, mosaics[k], clip.first + k) for k in places]
    head = [file_header(clip, len(mosaics)), *metadata(clip, mosaics[0].shape)]
    return b"".join([*head, *frames])


def write_mlv(path: Path, mosaics: Mosaics, clip: Clip | None = None) -> Path:
    path.write_bytes(mlv_bytes(mosaics, clip))
    return path
