"""Read Magic Lantern RAW video (.mlv, version 2.0): build an index, then read frames by number.

A file is a sequence of blocks, each with a four-letter type, a size and a timestamp, all
little-endian. They are specified in Magic Lantern's mlv.h and raw.h. Read here are MLVI (the file),
RAWI (size, levels, CFA, colour matrix), IDNT (camera), EXPO, LENS, WBAL, RTCI and VIDF (one frame).
Recordings above 4 GB continue in files .M00, .M01, … beside the first.

FFmpeg's demuxer isn't used, since it treats every CFA as RGGB and drops or damages frames without
a message. The tests compare the values of both.
"""

import struct
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import RawError
from rvdtool.files import describe, require_file
from rvdtool.raw.color import neutral_of_white
from rvdtool.raw.frame import (
    PHASES,
    CameraProfile,
    CfaPhase,
    Exposure,
    RawFrame,
    require_readable_size,
)
from rvdtool.raw.mlv_blocks import FILE_HEADER, MAGIC, find_chunks, walk_blocks
from rvdtool.raw.mlv_pixels import decode_lossless, unpack

_RAWI = struct.Struct("<HH 7i 2i 8i 2i i i 18i i")
_VIDF = struct.Struct("<I4HI")  # number, crop and pan position, bytes before the pixels
_EXPO = struct.Struct("<4IQ")
_LENS = struct.Struct("<3H2B2I32s")
_WBAL = struct.Struct("<5I")
_RTCI = struct.Struct("<6H")
_IDNT = struct.Struct("<32s")

_RAW_CLASS = 1
_LJ92 = 0x20
_PACKED = (10, 12, 14)

_LONGEST = 3600 * 1_000_000
"""Limit of a plausible exposure time in µs: an hour."""

_MOST_BYTES, _MOST_PADDING = 4, 2**20
"""Largest number of bytes of a frame per photosite, and of padding. Both are far above real ones;
they keep a damaged file's sizes from filling the memory."""

_CUSTOM = 6
_KELVIN_MODES = (0, 9)
_PRESETS = {1: 5500, 2: 6000, 3: 3200, 4: 4000, 5: 5500, 8: 7000}
"""WBAL's mode (sunny, cloudy, tungsten, fluorescent, flash, shade) → kelvin."""


@dataclass(frozen=True)
class MlvFrame:
    """Location of one frame (`size` bytes at `offset` of `path`), its number and its exposure."""

    number: int
    path: Path
    offset: int
    size: int
    exposure: Exposure


@dataclass(frozen=True)
class MlvVideo:
    """An indexed recording, whose frames are read one at a time.

    Attributes:
        path: the recording's first file.
        rate: nominal frames per second; None if not stated.
        size: (height, width) of the mosaic.
        bits: bits per DN: 10, 12 or 14.
        black, white: levels in DN.
        phase: CFA phase.
        profile: the camera.
        lossless_jpeg: whether frames are compressed (LJ92).
        frames: the frames, in recording order.
    """

    path: Path
    rate: Fraction | None
    size: tuple[int, int]
    bits: int
    black: int
    white: int
    phase: CfaPhase
    profile: CameraProfile
    lossless_jpeg: bool
    frames: tuple[MlvFrame, ...]

    def read(self, index: int) -> RawFrame:
        """Read frame `index` with its original DN.

        Raises:
            RawError: the frame is damaged or can't be read.
        """
        where = self.frames[index]
        try:
            with where.path.open("rb") as file:
                file.seek(where.offset)
                data = file.read(where.size)
            if len(data) < where.size:
                raise RawError("cut short since it was opened")
            decode = decode_lossless if self.lossless_jpeg else unpack
            mosaic = decode(data, self.size, self.bits)
        except OSError as error:
            raise RawError(f"{where.path}: can't be read: {describe(error)}") from error
        except RawError as error:
            raise RawError(f"{where.path}: frame {where.number}: {error}") from error
        return RawFrame(
            mosaic=mosaic,
            phase=self.phase,
            black=(self.black,) * 4,
            white=self.white,
            bits=self.bits,
            profile=self.profile,
            exposure=where.exposure,
        )


def read_mlv(path: Path, *, first_only: bool = False) -> MlvVideo:
    """Index a recording with all the files it is split into, without reading pixels.

    Args:
        path: the recording's first file.
        first_only: index the first frame only. Dropped frames and truncation after it are then
            no error.

    Raises:
        InputError: the file doesn't exist or can't be read.
        RawError: not Magic Lantern RAW video, damaged, truncated, frames or files missing, or a
            compression other than lossless JPEG.
    """
    require_file(path, "a Magic Lantern video")
    try:
        return _Index(path, first_only).video()
    except OSError as error:
        raise RawError(f"{path}: can't be read: {describe(error)}") from error
    except RawError as error:
        raise RawError(f"{path}: {error}") from error


@dataclass
class _Index:
    """The contents of a recording's blocks, collected file by file."""

    path: Path
    first_only: bool
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    places: list[tuple[int, Path, int, int, bytes]] = field(default_factory=list)
    exposures: list[bytes] = field(default_factory=list)

    def video(self) -> MlvVideo:
        """The indexed recording, after checks for consistency."""
        header = self._scan(self.path)
        _, _, _, guid, _, file_count, _, kind, _, frame_count, _, numerator, denominator = header
        if kind & ~_LJ92 != _RAW_CLASS:
            raise RawError(
                f"its video class is {kind:#x}; only plain RAW and lossless JPEG (LJ92) can be "
                "read: convert it with MLV App"
            )
        self._scan_chunks(guid, file_count)
        self.places.sort(key=lambda place: place[0])
        if self.first_only:
            self._keep_first(frame_count)
        else:
            self._require_all(frame_count)
        raw = self._take(b"RAWI", _RAWI)
        if raw is None:
            raise RawError("no RAWI block, so size and levels aren't known")
        width, height, bits, black, white, cfa = *raw[:2], *raw[8:11], raw[21]
        if bits not in _PACKED or not width or not height:
            raise RawError(f"{width}×{height} at {bits} bits; expected 10, 12 or 14 bits")
        if not 0 <= black < white < 2**bits:
            raise RawError(
                f"black level {black} and white level {white} are impossible at {bits} bits"
            )
        require_readable_size((height, width))
        lossless = bool(kind & _LJ92)
        self._require_room(width * height, 1 if lossless else bits, lossless)
        return MlvVideo(
            path=self.path,
            rate=Fraction(numerator, denominator) if numerator and denominator else None,
            size=(height, width),
            bits=bits,
            black=black,
            white=white,
            phase=_phase(cfa),
            profile=self._profile(raw),
            lossless_jpeg=lossless,
            frames=self._frames(),
        )

    def _scan_chunks(self, guid: int, file_count: int) -> None:
        """Add the files in which the recording continues."""
        files = 1
        for chunk in find_chunks(self.path):
            if self._scan(chunk)[3] != guid:
                raise RawError(f"{chunk.name} beside it belongs to another recording; move it away")
            files += 1
        lowest = min((place[0] for place in self.places), default=-1)
        if files < file_count and not (self.first_only and lowest == 0):
            raise RawError(
                f"it is split into {file_count} files, but {files} are here; put the others "
                f"({self.path.stem}.M00, …) beside it"
            )

    def _scan(self, path: Path) -> tuple[Any, ...]:
        """Add one file's blocks; return its MLVI block."""
        with path.open("rb") as file:
            start = file.read(FILE_HEADER.size)
            if len(start) < FILE_HEADER.size or start[:4] != MAGIC:
                raise RawError(f"{path.name} isn't a Magic Lantern video (no MLVI block)")
            header = FILE_HEADER.unpack(start)
            if not header[2].startswith(b"v2.0"):
                raise RawError(f"{path.name} has version {header[2]!r}; only v2.0 is known")
            for name, offset, size in walk_blocks(file, path.name, to_damage=self.first_only):
                self._note(name, file.read(min(size, 256)), path, offset, size)
        return header

    def _note(self, name: bytes, content: bytes, path: Path, offset: int, size: int) -> None:
        if name == b"VIDF":
            if len(content) < _VIDF.size:
                raise RawError(f"{path.name}: a frame without header at byte {offset}")
            number, *_, space = _VIDF.unpack_from(content)
            skip = _VIDF.size + space
            latest = self.exposures[-1] if self.exposures else b""
            self.places.append((number, path, offset + skip, size - skip, latest))
        elif name == b"EXPO":
            self.exposures.append(content)
        elif self.blocks.setdefault(name, content) != content and name == b"RAWI":
            raise RawError("size or levels change within the recording")

    def _keep_first(self, stated: int) -> None:
        if not self.places:
            raise RawError("it has no complete frame; copy it from the card again")
        number = self.places[0][0]
        if number and len(self.places) < stated:
            raise RawError(
                f"cut short or damaged: its first complete frame has the number {number}; "
                "copy it from the card again"
            )
        self.places = self.places[:1]

    def _require_all(self, stated: int) -> None:
        numbers = [place[0] for place in self.places]
        if len(numbers) < max(stated, 1):
            raise RawError(f"it has {len(numbers)} frames instead of {max(stated, 1)}")
        for one, two in pairwise(numbers):
            if two != one + 1:
                raise RawError(
                    f"frame {two} follows frame {one}: frames were dropped while recording, or a "
                    "file of the recording is missing; export a range without dropped frames in "
                    "MLV App"
                )

    def _require_room(self, photosites: int, bits: int, lossless: bool) -> None:
        """Check frame sizes; lossless JPEG takes at least one bit for each photosite.

        Raises:
            RawError: a frame has too few or too many bytes for its number of photosites.
        """
        need = photosites * bits // 8
        most = _MOST_BYTES * photosites + _MOST_PADDING
        for number, _, _, size, _ in self.places:
            if size > most:
                raise RawError(
                    f"frame {number} claims {size} bytes; more than {most} is impossible"
                )
            if size < need:
                kind = "compressed " if lossless else ""
                raise RawError(
                    f"{kind}frame {number} has {max(size, 0)} bytes; at least {need} are needed"
                )

    def _take(self, name: bytes, form: struct.Struct) -> tuple[Any, ...] | None:
        content = self.blocks.get(name, b"")
        return form.unpack_from(content) if len(content) >= form.size else None

    def _text(self, name: bytes, form: struct.Struct) -> str:
        found = self._take(name, form)
        return _text(found[-1]) if found else ""

    def _frames(self) -> tuple[MlvFrame, ...]:
        first = self.exposures[0] if self.exposures else b""
        return tuple(
            MlvFrame(number, path, offset, size, self._exposure(latest or first))
            for number, path, offset, size, latest in self.places
        )

    def _exposure(self, content: bytes) -> Exposure:
        """The exposure in an EXPO block, with the date on which the recording started."""
        expo = _EXPO.unpack_from(content) if len(content) >= _EXPO.size else (0,) * 5
        lens = self._take(b"LENS", _LENS) or (0,) * 8
        date = self._take(b"RTCI", _RTCI)
        return Exposure(
            time=Fraction(expo[4], 1_000_000) if 0 < expo[4] < _LONGEST else None,
            f_number=Fraction(lens[2], 100) or None,
            iso=expo[1] or None,
            focal_length=Fraction(lens[0]) or None,
            lens_model=self._text(b"LENS", _LENS) or None,
            date_time_original=_date(date) if date else None,
        )

    def _profile(self, raw: tuple[int, ...]) -> CameraProfile:
        """The camera. RAWI stores the matrix XYZ → camera as nine pairs of integers, by rows."""
        name = self._text(b"IDNT", _IDNT)
        pairs = np.array(raw[23:41], np.float64).reshape(9, 2)
        known = bool(pairs[:, 1].all() and pairs[:, 0].any())
        matrix = (pairs[:, 0] / pairs[:, 1]).reshape(3, 3) if known else None
        return CameraProfile(
            unique_model=name or "unknown camera",
            as_shot_neutral=_neutral(self._take(b"WBAL", _WBAL), matrix),
            make=name.split(" ")[0],
            model=name,
            color_matrix=None if matrix is None else tuple(map(tuple, matrix.tolist())),
            illuminant=raw[22] if 0 < raw[22] < 256 else 21,
        )


def _phase(cfa: int) -> CfaPhase:
    """The CFA phase of RAWI's code: DNG's CFAPattern, lowest byte first (0x02010100: RGGB)."""
    codes = (cfa & 0xFFFFFFFF).to_bytes(4, "little")
    name = "".join("RGB"[code] if code < 3 else "?" for code in codes)
    if name not in PHASES:
        raise RawError(f"its CFA pattern is {cfa & 0xFFFFFFFF:#010x}, which isn't Bayer")
    return CfaPhase(name)


def _neutral(
    balance: tuple[int, ...] | None, matrix: NDArray[np.float64] | None
) -> tuple[float, float, float]:
    """The camera's neutral, from custom white balance gains or from the colour temperature that
    was set; daylight if neither is given."""
    mode, kelvin, *gains = balance or (1, 0, 0, 0, 0)
    if mode == _CUSTOM and min(gains) > 0:  # stored as the camera's response to white
        red, green, blue = (gain / max(gains) for gain in gains)
        return red, green, blue
    temperature = kelvin if mode in _KELVIN_MODES else _PRESETS.get(mode, 0)
    white = _daylight(float(np.clip(temperature or 5500, 2500, 10000)))
    known = [] if matrix is None else [(matrix, 21)]
    found = neutral_of_white(white, known, [], np.ones(3))
    if not found or min(found) <= 0:
        raise RawError("neither a custom white balance nor a colour matrix that can be used")
    red, green, blue = found
    return red, green, blue


def _daylight(kelvin: float) -> tuple[float, float]:
    """Chromaticity of CIE daylight, or below 4000 K of a black body (Kim et al. 2002; ≥ 2222 K)."""
    t = 1000 / kelvin
    if kelvin < 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
        return x, -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    if kelvin <= 7000:
        x = -4.6070 * t**3 + 2.9678 * t**2 + 0.09911 * t + 0.244063
    else:
        x = -2.0064 * t**3 + 1.9018 * t**2 + 0.24748 * t + 0.237040
    return x, -3.000 * x**2 + 2.870 * x - 0.275


def _date(parts: tuple[int, ...]) -> str | None:
    """Date in EXIF's format; in MLV, months count from 0, years from 1900. None if invalid."""
    second, minute, hour, day, month, year = parts
    try:
        return f"{datetime(1900 + year, month + 1, day, hour, minute, second):%Y:%m:%d %H:%M:%S}"
    except ValueError:
        return None


def _text(value: bytes) -> str:
    """Decode a null-terminated string."""
    return value.split(b"\0")[0].decode("ascii", "replace").strip()
