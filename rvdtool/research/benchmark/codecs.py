"""Codecs of the RAW frames themselves: what a camera could store instead of a bundle.

Lossy ones code the four positions of the CFA cell as pictures side by side (`raw.jpegxl`), by the
square root of the light, in 12 bits: shot noise is then the same everywhere.
"""

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any, TypeVar

import av
import imagecodecs
import numpy as np
from av.video.frame import VideoFrame as AvFrame
from numpy.typing import NDArray

from rvdtool.errors import UsageError
from rvdtool.raw.dng import Compression, encode_dng
from rvdtool.raw.frame import Mosaic, RawFrame
from rvdtool.raw.jpegxl import from_quarters, to_quarters
from rvdtool.raw.read import read_raw
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.method import Codec, Encoding, PredictedFrame

DNGS: dict[str, Compression] = {"ljpeg": "ljpeg", "log10": "log10", "jxl": "jxl"}
"""Compressions of DNGs by name."""

_TOP = 4095
"""Largest code of a companded value."""

_READ_NOISE = 1e-3
"""Light below which the square root becomes a straight line, as a fraction of the range: there,
read noise is larger than shot noise (as in `raw.companding`)."""

Real = TypeVar("Real", float, NDArray[np.floating[Any]])

_LARGEST_CRF = 51
_LARGEST_DISTANCE = 15


def compand(frame: RawFrame) -> Mosaic:
    """A frame's values as codes 0..4095, by the square root of the light; positions in quarters."""
    black, full, bottom, top = _ends(frame)
    light = (np.minimum(frame.mosaic, full) - black) / (full - black)
    codes = np.rint(_TOP * (_root(light) - bottom) / (top - bottom))
    return to_quarters(codes.astype(np.uint16))


def expand(codes: Mosaic, frame: RawFrame) -> Mosaic:
    """The mosaic of codes, in DN of `frame`'s levels; the inverse of `compand` but for rounding."""
    black, full, bottom, top = _ends(frame)
    light = _square(codes / _TOP * (top - bottom) + bottom)
    values = np.clip(np.rint(light * (full - black) + black), 0, full)
    return from_quarters(values.astype(np.uint16))


def _ends(frame: RawFrame) -> tuple[float, int, float, float]:
    """The black level and the highest value, in DN, and the roots of 0 DN and of that value."""
    black, full = sum(frame.black) / 4, 2**frame.bits - 1
    bottom, top = (_root((end - black) / (full - black)) for end in (0, full))
    return black, full, bottom, top


def _root(light: Real) -> Real:
    """The square root of light and `_READ_NOISE`, 0 in the dark; odd, for noise below black."""
    return np.sign(light) * (np.sqrt(_READ_NOISE + np.abs(light)) - np.sqrt(_READ_NOISE))


def _square(root: Real) -> Real:
    """The inverse of `_root`."""
    return np.sign(root) * ((np.abs(root) + np.sqrt(_READ_NOISE)) ** 2 - _READ_NOISE)


class FileCodec(Codec):
    """A codec that stores nothing but the RAW frames, so that it needs no sRGB video."""

    needs_video = False
    sources = ("research.benchmark.codecs", "raw")

    def encode(self, clip: BenchmarkClip, count: int, scratch: Path) -> Encoding:
        """As `Codec.encode`."""
        seconds = self.write(clip, count, scratch)
        size = sum(file.stat().st_size for file in scratch.iterdir())
        return Encoding({"raw": size}, seconds, self._decoded(clip, scratch))

    @abstractmethod
    def write(self, clip: BenchmarkClip, count: int, folder: Path) -> float:
        """Write files of the first `count` frames; return processor seconds."""

    @abstractmethod
    def read(self, clip: BenchmarkClip, folder: Path) -> Iterator[Mosaic]:
        """Decode the files that `write` has written; yield all frames."""

    def _decoded(self, clip: BenchmarkClip, folder: Path) -> Iterator[PredictedFrame]:
        index, start = 0, process_time()
        for mosaic in self.read(clip, folder):
            seconds = process_time() - start
            if index:
                yield PredictedFrame(index, mosaic, seconds)
            index, start = index + 1, process_time()


class FrameCodec(FileCodec):
    """A codec that stores a file for each frame."""

    def write(self, clip: BenchmarkClip, count: int, folder: Path) -> float:
        """As `FileCodec.write`."""
        seconds = 0.0
        for index in range(count):
            raw, start = clip.raw(index), process_time()
            (folder / f"{index:06d}").write_bytes(self.encode_frame(raw))
            seconds += process_time() - start
        return seconds

    def read(self, clip: BenchmarkClip, folder: Path) -> Iterator[Mosaic]:
        """As `FileCodec.read`."""
        for file in sorted(folder.iterdir()):
            yield self.decode_frame(file, clip.reference)

    @abstractmethod
    def encode_frame(self, frame: RawFrame) -> bytes:
        """A frame's file."""

    @abstractmethod
    def decode_frame(self, file: Path, reference: RawFrame) -> Mosaic:
        """The mosaic in a file, in DN of the levels of the clip's reference frame."""


class Dng(FrameCodec):
    """A DNG for each frame, as `derender` writes them: lossless, but for `log10`."""

    def __init__(self, compression: Compression) -> None:
        self.name = f"dng-{compression}"
        self._compression = compression

    def encode_frame(self, frame: RawFrame) -> bytes:
        """As `FrameCodec.encode_frame`."""
        return encode_dng(frame, compression=self._compression)

    def decode_frame(self, file: Path, reference: RawFrame) -> Mosaic:
        """As `FrameCodec.decode_frame`."""
        return read_raw(file).mosaic


class JpegXl(FrameCodec):
    """A lossy JPEG XL for each frame.

    Grey values of JPEG XL are sRGB's, whose curve is close to a square root.
    """

    def __init__(self, distance: float) -> None:
        """Set up the codec.

        Args:
            distance: Butteraugli distance; 1 is meant to look the same.

        Raises:
            UsageError: it isn't above 0, or above 15.
        """
        if not 0 < distance <= _LARGEST_DISTANCE:
            raise UsageError(f"jxl-{distance:g}: a distance is above 0 and at most 15; give jxl-1")
        self.name = f"jxl-{distance:g}"
        self._distance = distance

    def encode_frame(self, frame: RawFrame) -> bytes:
        """As `FrameCodec.encode_frame`."""
        codes = compand(frame) << 4
        return bytes(
            imagecodecs.jpegxl_encode(
                codes, distance=self._distance, bitspersample=16, numthreads=1
            )
        )

    def decode_frame(self, file: Path, reference: RawFrame) -> Mosaic:
        """As `FrameCodec.decode_frame`."""
        codes = imagecodecs.jpegxl_decode(file.read_bytes(), numthreads=1)
        return expand(np.rint(np.minimum(codes / 16, _TOP)).astype(np.uint16), reference)


class Hevc(FileCodec):
    """One HEVC stream, 12 bits, by x265 with its default preset, tuned for PSNR."""

    def __init__(self, crf: int) -> None:
        """Set up the codec.

        Args:
            crf: x265's constant rate factor, 0 (best) to 51.

        Raises:
            UsageError: it is outside that range.
        """
        if not 0 <= crf <= _LARGEST_CRF:
            raise UsageError(f"hevc-{crf}: a CRF is 0 to 51; give hevc-16")
        self.name = f"hevc-{crf}"
        self._crf = crf

    def write(self, clip: BenchmarkClip, count: int, folder: Path) -> float:
        """As `FileCodec.write`."""
        with av.open(folder / "clip.hevc", "w", format="hevc") as container:
            stream = container.add_stream("libx265", rate=24)
            stream.height, stream.width = clip.reference.size
            stream.pix_fmt = "gray12le"
            stream.options = {
                "crf": str(self._crf),
                "tune": "psnr",
                # As in video.encode; one frame at a time, so that bytes don't depend on timing.
                "x265-params": "log-level=none:pools=none:frame-threads=1",
            }
            seconds = 0.0
            for index in range(count):
                raw, start = clip.raw(index), process_time()
                container.mux(stream.encode(AvFrame.from_ndarray(compand(raw), format="gray12le")))
                seconds += process_time() - start
            start = process_time()
            container.mux(stream.encode(None))
            return seconds + process_time() - start

    def read(self, clip: BenchmarkClip, folder: Path) -> Iterator[Mosaic]:
        """As `FileCodec.read`."""
        with av.open(folder / "clip.hevc", format="hevc") as container:
            for frame in container.decode(video=0):
                yield expand(frame.to_ndarray().astype(np.uint16), clip.reference)
