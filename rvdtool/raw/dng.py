"""Write DNGs that all readers interpret correctly (Adobe DNG 1.4 and the CinemaDNG tags).

The tags are listed in `_ifd0`. The RAW image is in IFD0 and in one strip, as LibRaw and DaVinci
Resolve need it. All DNG readers support lossless JPEG, if a JPEG row is an image row: joining two
rows into one would make liblj92 a third faster, but darktable refuses such files.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import imagecodecs
import numpy as np

from rvdtool._version import __version__
from rvdtool.errors import RawError
from rvdtool.files import write_beside
from rvdtool.raw import companding, jpegxl
from rvdtool.raw.carried import require_carried
from rvdtool.raw.companding import CompandingCurve, companding_curve
from rvdtool.raw.frame import CameraProfile, Exposure, RawFrame, Rect, Tag
from rvdtool.raw.tiff import (
    ASCII,
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    encode_tiff,
)
from rvdtool.raw.timecode import TimeCode

Compression = Literal["ljpeg", "none", "log10", "jxl"]

SMALLEST = 22
"""Smallest number of rows or columns: LibRaw and dcraw refuse smaller RAW images."""

_COMPRESSION_TAG = {"none": 1, "ljpeg": 7, "log10": 7, "jxl": 52546}
FRAME_RATE = 51044
_CFA = 32803
_SMALL = Fraction(1, 1000)
"""Smaller numbers get larger denominators."""
_D65 = 21
_UNKNOWN_CAMERA_MATRIX = (
    (3.2406, -1.5372, -0.4986),
    (-0.9689, 1.8758, 0.0415),
    (0.0557, -0.204, 1.057),
)
"""XYZ → linear sRGB (IEC 61966-2-1), if the camera's is unknown: Adobe's readers refuse a DNG
without ColorMatrix1."""


def encode_dng(
    frame: RawFrame,
    *,
    compression: Compression = "ljpeg",
    rate: Fraction | None = None,
    time_code: TimeCode | None = None,
    reel: str | None = None,
    description: str | None = None,
) -> bytes:
    """Return the frame as the bytes of a DNG file; the same input always gives the same bytes.

    Args:
        frame: the frame, of any CFA phase and at least 22×22, since LibRaw refuses smaller ones.
            Odd sizes are allowed.
        compression: lossless JPEG; none; `log10`, lossless JPEG after companding to 10 bits with
            steps below the noise (`raw.companding`); or lossless JPEG XL, which few programs read.
        rate: nominal frames per second, for the FrameRate tag.
        time_code: time code of this frame, for the TimeCodes tag.
        reel: the clip's name, for the ReelName tag.
        description: text for the ImageDescription tag.

    Raises:
        RawError: the frame is too small.
    """
    if min(frame.size) < SMALLEST:
        raise RawError(
            f"a DNG of {frame.size[0]}×{frame.size[1]} opens in few programs: "
            f"both sides need at least {SMALLEST} pixels"
        )
    strip = _encode_strip(frame, compression)
    clip = list(_clip_tags(rate, time_code, reel))
    if description:
        clip.append(_text(270, description))  # ImageDescription
    tags = [*_ifd0(frame, compression, len(strip)), *_profile_tags(frame.profile), *clip]
    return encode_tiff(tags, _exif_tags(frame.exposure), strip)


def write_dng(
    frame: RawFrame,
    path: Path,
    *,
    compression: Compression = "ljpeg",
    rate: Fraction | None = None,
    time_code: TimeCode | None = None,
    reel: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a frame as a DNG. On an error, no file is left. For the arguments, see `encode_dng`.

    Raises:
        RawError: the frame is too small.
        OutputError: `path` exists (without `overwrite`) or can't be written.
    """
    data = encode_dng(frame, compression=compression, rate=rate, time_code=time_code, reel=reel)
    with write_beside(path, overwrite=overwrite) as file:
        file.write(data)


def _curve(frame: RawFrame) -> CompandingCurve:
    return companding_curve(sum(frame.black) / 4, frame.white)


def _encode_strip(frame: RawFrame, compression: Compression) -> bytes:
    if compression == "none":
        return frame.mosaic.astype("<u2").tobytes()
    if compression == "jxl":
        return jpegxl.encode(frame.mosaic)
    mosaic, bits = frame.mosaic, 16
    if compression == "log10":
        mosaic, bits = _curve(frame).encode(frame.mosaic), companding.BITS
    # With two components, each sample is predicted from the nearest one of its own colour.
    height, width = frame.size
    components = 1 if width % 2 else 2
    samples = np.ascontiguousarray(mosaic).reshape(height, width // components, components)
    return bytes(imagecodecs.jpeg_encode(samples, lossless=True, predictor=1, bitspersample=bits))


def _ifd0(frame: RawFrame, compression: Compression, strip_size: int) -> Iterator[Tag]:
    """The tags of IFD0: image, CFA, levels, camera and clip."""
    height, width = frame.size
    seen = frame.default_crop or Rect(0, 0, height, width)
    black, black_type = _level_values(frame.black)
    carried = {tag.code for tag in frame.profile.tags}
    bits = companding.BITS if compression == "log10" else 16
    yield from (
        # Baseline TIFF
        Tag(254, LONG, 1, 0),  # NewSubfileType: the main image
        Tag(256, LONG, 1, width),  # ImageWidth
        Tag(257, LONG, 1, height),  # ImageLength
        Tag(258, SHORT, 1, bits),  # BitsPerSample as stored; WhiteLevel gives the depth
        Tag(259, SHORT, 1, _COMPRESSION_TAG[compression]),  # Compression
        Tag(262, SHORT, 1, _CFA),  # PhotometricInterpretation
        Tag(274, SHORT, 1, frame.orientation),  # Orientation
        Tag(277, SHORT, 1, 1),  # SamplesPerPixel
        Tag(278, LONG, 1, height),  # RowsPerStrip: one strip
        Tag(279, LONG, 1, strip_size),  # StripByteCounts
        Tag(284, SHORT, 1, 1),  # PlanarConfiguration: chunky
        _text(305, f"rvdtool {__version__}"),  # Software
        # CFA
        Tag(33421, SHORT, 2, (2, 2)),  # CFARepeatPatternDim
        Tag(33422, BYTE, 4, frame.phase.pattern.tobytes()),  # CFAPattern
        Tag(50710, BYTE, 3, (0, 1, 2)),  # CFAPlaneColor: red, green, blue
        Tag(50711, SHORT, 1, 1),  # CFALayout: rectangular
        # Active area and crop
        Tag(50829, LONG, 4, (0, 0, height, width)),  # ActiveArea: top, left, bottom, right
        Tag(50719, LONG, 2, (seen.left, seen.top)),  # DefaultCropOrigin
        Tag(50720, LONG, 2, (seen.width, seen.height)),  # DefaultCropSize
        # Levels
        Tag(50713, SHORT, 2, (2, 2)),  # BlackLevelRepeatDim
        Tag(50714, black_type, 4, black),  # BlackLevel
        Tag(50717, LONG, 1, frame.white),  # WhiteLevel
    )
    # DNG version, and the version that a reader must support
    if compression == "jxl":
        yield Tag(50975, SHORT, 1, 2)  # RowInterleaveFactor
        yield Tag(52547, SHORT, 1, 2)  # ColumnInterleaveFactor
        yield Tag(50706, BYTE, 4, (1, 7, 1, 0))  # DNGVersion
        yield Tag(50707, BYTE, 4, (1, 7, 1, 0))  # DNGBackwardVersion: 1.7.1 introduced both
    else:
        yield Tag(50706, BYTE, 4, (1, 4, 0, 0))  # DNGVersion
        yield Tag(50707, BYTE, 4, (1, 3, 0, 0))  # DNGBackwardVersion: 1.3 introduced opcode lists
    if compression == "log10":
        table = _curve(frame).table.tolist()
        yield Tag(50712, SHORT, len(table), tuple(table))  # LinearizationTable
    if 50718 not in carried:
        yield Tag(50718, RATIONAL, 2, (1, 1, 1, 1))  # DefaultScale: square pixels
    if frame.exposure.date_time_original:
        # DateTime: when the picture was taken, so that repeated runs give the same bytes
        yield _text(306, frame.exposure.date_time_original)


def _profile_tags(profile: CameraProfile) -> Iterator[Tag]:
    """The tags for camera and colour, and all tags that are copied from the camera's file."""
    if profile.make:
        yield _text(271, profile.make)  # Make
    if profile.model:
        yield _text(272, profile.model)  # Model
    yield _text(50708, profile.unique_model)  # UniqueCameraModel
    matrix = profile.color_matrix or _UNKNOWN_CAMERA_MATRIX
    yield Tag(50721, SRATIONAL, 9, _rationals([v for row in matrix for v in row]))  # ColorMatrix1
    illuminant = profile.illuminant if profile.color_matrix else _D65
    yield Tag(50778, SHORT, 1, illuminant)  # CalibrationIlluminant1
    yield Tag(50728, RATIONAL, 3, _rationals(profile.as_shot_neutral))  # AsShotNeutral
    for tag in profile.tags:
        require_carried(tag)
        yield tag


def _exif_tags(exposure: Exposure) -> Iterator[Tag]:
    """The tags of the EXIF sub-IFD (Exif 2.3, section 4.6.5)."""
    yield Tag(36864, UNDEFINED, 4, b"0230")  # ExifVersion
    rationals = (
        (33434, exposure.time),  # ExposureTime
        (33437, exposure.f_number),  # FNumber
        (37386, exposure.focal_length),  # FocalLength
    )
    for code, value in rationals:
        if value is not None:
            yield Tag(code, RATIONAL, 1, _rationals([value]))
    if exposure.iso is not None:
        yield Tag(34855, SHORT, 1, min(exposure.iso, 65535))  # ISOSpeedRatings
    if exposure.date_time_original:
        yield _text(36867, exposure.date_time_original)  # DateTimeOriginal
    if exposure.lens_model:
        yield _text(42036, exposure.lens_model)  # LensModel


def _clip_tags(
    rate: Fraction | None, time_code: TimeCode | None, reel: str | None
) -> Iterator[Tag]:
    """Frame rate, time code and reel (CinemaDNG 1.1)."""
    if rate is not None:
        yield Tag(FRAME_RATE, SRATIONAL, 1, _rationals([rate]))
    if time_code is not None:
        yield Tag(51043, BYTE, 8, time_code.encode())  # TimeCodes
    if reel:
        yield _text(51081, reel)  # ReelName


def _level_values(black: tuple[float, ...]) -> tuple[tuple[int, ...], int]:
    """Black levels and their TIFF type: integers if all are integers, else rationals."""
    if all(float(level).is_integer() for level in black):
        return tuple(int(level) for level in black), LONG
    return _rationals(black), RATIONAL


def _rationals(values: Iterable[float | Fraction]) -> tuple[int, ...]:
    """Alternating numerators and denominators of 31 bits; short decimals are kept exactly."""
    parts: list[int] = []
    for value in (Fraction(value) for value in values):
        most = 1_000_000 if abs(value) > _SMALL else 2**31 - 1
        largest = max(1, min(most, (2**31 - 1) // (int(abs(value)) + 1)))
        parts += value.limit_denominator(largest).as_integer_ratio()
    return tuple(parts)


def _text(code: int, value: str) -> Tag:
    return Tag(code, ASCII, len(value.encode()) + 1, value)
