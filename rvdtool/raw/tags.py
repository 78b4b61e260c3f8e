"""Interpret a DNG's tags (Adobe DNG 1.7.1, TIFF 6.0, Exif 2.3)."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from rvdtool.errors import RawError
from rvdtool.raw.black import BlackMap
from rvdtool.raw.carried import CARRIED, require_carried
from rvdtool.raw.color import neutral_of_white, white_xy
from rvdtool.raw.frame import (
    PHASES,
    CameraProfile,
    CfaPhase,
    Exposure,
    Rect,
    Tag,
    is_rational,
    require_readable_size,
)
from rvdtool.raw.header import Header, Ifd
from rvdtool.raw.move import DEFAULT_SCALE
from rvdtool.raw.opcodes import opcode_names
from rvdtool.raw.tiff import RATIONAL

PICTURES_OWN = ("ProfileGainTableMap", "ProfileGainTableMap2")
"""Tags whose value depends on the content of one picture, so that it is wrong for other frames."""

_CFA, _LINEAR_RAW = 32803, 34892
_UNCOMPRESSED, _LOSSLESS_JPEG, _LOSSY_JPEG, _JPEG_XL = 1, 7, 34892, 52546
_LARGEST_REPEAT = 64
"""Largest number of rows or columns of BlackLevelRepeatDim; real sensors have far fewer."""

_CONVERT = "convert it with Adobe DNG Converter"


@dataclass(frozen=True)
class JpegXl:
    """Location of a mosaic's JPEG XL data, and whether its cell positions are in quarters."""

    offset: int
    size: int
    quarters: bool


@dataclass(frozen=True)
class DngMetadata:
    """Everything in a RawFrame but the mosaic, and the mosaic's location in the stored image."""

    stored_size: tuple[int, int]
    active_area: Rect
    phase: CfaPhase
    black: BlackMap
    white: int
    bits: int
    profile: CameraProfile
    orientation: int
    default_crop: Rect | None
    exposure: Exposure
    jpeg_xl: JpegXl | None


def dng_metadata(header: Header) -> DngMetadata:
    """Interpret a DNG's tags.

    Raises:
        RawError: not 2×2 Bayer, damaged, truncated, or without white level or neutral.
    """
    ifd = _bayer_image(header)
    size = (ifd.number("ImageLength"), ifd.number("ImageWidth"))
    area = _active_area(ifd, size)
    white = _white(ifd, "IFD0" if ifd.tags == header.first.tags else "SubIFD")
    return DngMetadata(
        stored_size=size,
        active_area=area,
        phase=_phase(ifd),
        black=_black(ifd, area),
        white=white,
        # BitsPerSample is the storage width, often 16, and not the bit depth.
        bits=white.bit_length(),
        profile=_profile(header, ifd, whole=area == Rect(0, 0, *size)),
        orientation=_orientation(header.first),
        default_crop=_default_crop(ifd, area),
        exposure=_exposure(header),
        jpeg_xl=_jpeg_xl(ifd),
    )


def _bayer_image(header: Header) -> Ifd:
    """The IFD of the Bayer mosaic; raises a RawError that says what the file has instead."""
    mosaics = [ifd for ifd in header.images if ifd.number("PhotometricInterpretation", 0) == _CFA]
    if not mosaics:
        raise RawError(_what_instead_of_mosaic(header))
    ifd = mosaics[0]
    if ifd.number("Compression", 1) == _JPEG_XL and _jpeg_xl(ifd) is None:
        raise RawError(
            f"its mosaic is in a form of JPEG XL that can't be read; {_CONVERT}, set to DNG 1.6 or "
            "older"
        )
    if ifd.number("SampleFormat", 1) == 3:
        raise RawError("its mosaic is in floating point; the camera's integer RAW is needed")
    _require_all_parts(ifd)
    _require_room(ifd)
    header.require_whole()
    return ifd


def _jpeg_xl(ifd: Ifd) -> JpegXl | None:
    """The JPEG XL data, if stored as by `raw.dng`; None for other compressions, tiles, or with a
    linearization table."""
    offsets, sizes = ifd.numbers("StripOffsets"), ifd.numbers("StripByteCounts")
    factors = ifd.number("RowInterleaveFactor", 1), ifd.number("ColumnInterleaveFactor", 1)
    if (
        ifd.number("Compression", 1) != _JPEG_XL
        or len(offsets) != 1
        or len(sizes) != 1
        or factors not in ((1, 1), (2, 2))
        or ifd.tag("LinearizationTable")
    ):
        return None
    return JpegXl(int(offsets[0]), int(sizes[0]), quarters=factors == (2, 2))


def _what_instead_of_mosaic(header: Header) -> str:
    linear = [
        ifd for ifd in header.images if ifd.number("PhotometricInterpretation", 0) == _LINEAR_RAW
    ]
    if not linear:
        return "a DNG without a RAW image; the camera's original is needed"
    kind = (
        "monochrome"
        if linear[0].number("SamplesPerPixel", 1) == 1
        else "linear RGB, already demosaiced"
    )
    if linear[0].number("Compression", 1) == _LOSSY_JPEG:
        return (
            "a lossy DNG, as Lightroom and DNG Converter make with lossy compression: "
            "demosaiced, then compressed as a JPEG, which can't be undone; use the "
            "camera's original, or convert it without lossy compression"
        )
    codec = ", in JPEG XL" if linear[0].number("Compression", 1) == _JPEG_XL else ""
    return (
        f"a DNG without a Bayer mosaic but {kind}{codec} (as from ProRAW, Expert RAW, HDR merges, "
        "monochrome cameras); only 2×2 Bayer can be used: choose the camera's plain RAW"
    )


def _require_room(ifd: Ifd) -> None:
    """Refuse sizes that are implausible for the stored bytes, before memory is allocated.

    Uncompressed photosites take their stored width; in lossless JPEG, at least one bit each.

    Raises:
        RawError: there are too few bytes for the size, or it is too large to be read.
    """
    height, width = ifd.number("ImageLength"), ifd.number("ImageWidth")
    require_readable_size((height, width))
    stored = 8 * sum(ifd.numbers("StripByteCounts") or ifd.numbers("TileByteCounts"))
    bits = int(max(ifd.numbers("BitsPerSample"), default=0))
    each = {_UNCOMPRESSED: bits, _LOSSLESS_JPEG: 1}.get(ifd.number("Compression", 1), 0)
    if height * width * each > stored:
        raise RawError(
            f"damaged: {width}×{height} photosites can't be in {stored // 8} bytes; copy it from "
            "the card again"
        )


def _require_all_parts(ifd: Ifd) -> None:
    """Refuse missing strips or tiles, since LibRaw reads them as zeros."""
    height, width = ifd.number("ImageLength"), ifd.number("ImageWidth")
    if ifd.tag("TileOffsets"):
        offsets, counts = ifd.numbers("TileOffsets"), ifd.numbers("TileByteCounts")
        expected = -(-height // max(1, ifd.number("TileLength"))) * -(
            -width // max(1, ifd.number("TileWidth"))
        )
    else:
        offsets, counts = ifd.numbers("StripOffsets"), ifd.numbers("StripByteCounts")
        expected = -(-height // max(1, ifd.number("RowsPerStrip", height)))
    if len(offsets) != expected or len(counts) != expected or min(counts, default=0) < 1:
        raise RawError("damaged: parts of its pixels are missing; copy it from the card again")


def _phase(ifd: Ifd) -> CfaPhase:
    """The CFA phase at the corner of the active area (DNG 1.7.1, CFARepeatPatternDim)."""
    repeat = [int(number) for number in ifd.numbers("CFARepeatPatternDim")]
    if repeat != [2, 2]:
        shape = "×".join(map(str, repeat)) or "missing"
        kind = {"6×6": "X-Trans", "4×4": "quad-Bayer"}.get(shape, "unknown")
        raise RawError(
            f"its CFA pattern is {shape} ({kind}); only 2×2 Bayer is supported: if the "
            "camera can bin to plain Bayer, choose that"
        )
    colors = [int(number) for number in ifd.numbers("CFAPattern", 4)]
    pattern = "".join("RGB"[color] if color in (0, 1, 2) else "?" for color in colors)
    planes = [int(number) for number in ifd.numbers("CFAPlaneColor", default=(0, 1, 2))]
    if planes != [0, 1, 2] or pattern not in PHASES or ifd.number("CFALayout", 1) != 1:
        raise RawError(
            f"its CFA pattern is {pattern or 'missing'}, colours {planes}, layout "
            f"{ifd.number('CFALayout', 1)}; only RGB Bayer on a square grid is supported"
        )
    return CfaPhase(pattern)


def _active_area(ifd: Ifd, size: tuple[int, int]) -> Rect:
    top, left, bottom, right = map(int, ifd.numbers("ActiveArea", 4, default=(0, 0, *size)))
    if not (0 <= top <= bottom - 2 <= size[0] - 2 and 0 <= left <= right - 2 <= size[1] - 2):
        raise RawError(f"damaged: its active area {top, left, bottom, right} isn't inside {size}")
    return Rect(top, left, bottom - top, right - left)


def _black(ifd: Ifd, area: Rect) -> BlackMap:
    """BlackLevel with BlackLevelDeltaH and -V, relative to the corner of the active area."""
    rows, columns = (max(1, int(n)) for n in ifd.numbers("BlackLevelRepeatDim", 2, default=(1, 1)))
    if max(rows, columns) > _LARGEST_REPEAT:
        raise RawError(f"damaged: its black level repeats after {rows}×{columns} photosites")
    values = ifd.numbers("BlackLevel", rows * columns, default=[0] * (rows * columns))
    across = ifd.numbers("BlackLevelDeltaH", area.width, default=[0] * area.width)
    down = ifd.numbers("BlackLevelDeltaV", area.height, default=[0] * area.height)
    return BlackMap(
        pattern=np.array(values, float).reshape(rows, columns),
        across=np.array(across, float),
        down=np.array(down, float),
    )


def _white(ifd: Ifd, group: str) -> int:
    """WhiteLevel. It is required, since DNG's default, the largest stored value, is often wrong."""
    if not ifd.tag("WhiteLevel"):
        raise RawError(
            "it has no WhiteLevel, so where it clips is unknown; if you know: exiftool "
            f"-{group}:WhiteLevel=… FILE"
        )
    return int(ifd.numbers("WhiteLevel", 1)[0])


def _profile(header: Header, ifd: Ifd, *, whole: bool) -> CameraProfile:
    camera = Ifd({**ifd.tags, **header.first.tags})
    tags, dropped = _carried(camera)
    # OpcodeList1 is relative to the stored image, so it is wrong if the active area is smaller.
    first_list = camera.tag("OpcodeList1")
    dropped += [name for name in PICTURES_OWN if camera.tag(name)]
    if first_list and not whole:
        tags = [tag for tag in tags if tag != first_list]
        dropped += opcode_names(first_list)
    make, model = camera.text("Make"), camera.text("Model")
    return CameraProfile(
        unique_model=camera.text("UniqueCameraModel")
        or f"{make} {model}".strip()
        or "unknown camera",
        as_shot_neutral=_neutral(camera),
        make=make,
        model=model,
        color_matrix=camera.matrix("ColorMatrix1"),
        illuminant=camera.number("CalibrationIlluminant1", 0),
        tags=(*tags, *_default_scale(ifd)),
        dropped=tuple(dropped),
    )


def _carried(camera: Ifd) -> tuple[list[Tag], list[str]]:
    """The tags to copy, and the names of those with invalid values."""
    tags, dropped = [], []
    for code, form in CARRIED.items():
        tag = camera.tags.get(code)
        if tag is None or code == DEFAULT_SCALE:
            continue
        try:
            require_carried(tag)
        except RawError:
            dropped.append(form.name)
        else:
            tags.append(tag)
    return tags, dropped


def _default_scale(ifd: Ifd) -> tuple[Tag, ...]:
    """DefaultScale, if pixels aren't square; else nothing."""
    scale = ifd.numbers("DefaultScale", 2)
    if len(set(scale)) < 2 or min(scale) <= 0:
        return ()
    across, down = (value.limit_denominator(1_000_000).as_integer_ratio() for value in scale)
    return (Tag(DEFAULT_SCALE, RATIONAL, 2, (*across, *down)),)


def _neutral(camera: Ifd) -> tuple[float, float, float]:
    """AsShotNeutral, or the neutral computed from AsShotWhiteXY and the matrices."""
    neutral = [float(value) for value in camera.numbers("AsShotNeutral")]
    if white := camera.numbers("AsShotWhiteXY", 2):
        matrices = (
            (camera.matrix("ColorMatrix1"), "CalibrationIlluminant1"),
            (camera.matrix("ColorMatrix2"), "CalibrationIlluminant2"),
        )
        calibrations = (camera.matrix("CameraCalibration1"), camera.matrix("CameraCalibration2"))
        neutral = neutral or neutral_of_white(
            (float(white[0]), float(white[1])),
            [(np.array(m), camera.number(light, 0)) for m, light in matrices if m],
            [np.array(m) for m in calibrations if m],
            np.array(camera.numbers("AnalogBalance", 3, default=(1, 1, 1)), float),
        )
    if len(neutral) != 3 or not all(map(is_rational, neutral)):
        raise RawError(
            "it has no usable AsShotNeutral, so its white balance is unknown; if you "
            "know it (the camera's R G B of a white object): exiftool "
            '-IFD0:AsShotNeutral="… … …" FILE'
        )
    red, green, blue = neutral
    return red, green, blue


def neutral_at(profile: CameraProfile, kelvin: float) -> tuple[float, float, float]:
    """The camera's response to white light of a colour temperature (R, G, B), largest 1.

    Raises:
        RawError: the camera's colour matrix isn't known.
    """
    camera = Ifd({tag.code: tag for tag in profile.tags})
    matrices = (
        (profile.color_matrix, profile.illuminant),
        (camera.matrix("ColorMatrix2"), camera.number("CalibrationIlluminant2", 0)),
    )
    calibrations = (camera.matrix("CameraCalibration1"), camera.matrix("CameraCalibration2"))
    neutral = neutral_of_white(
        white_xy(kelvin),
        [(np.array(matrix), light) for matrix, light in matrices if matrix],
        [np.array(matrix) for matrix in calibrations if matrix],
        np.array(camera.numbers("AnalogBalance", 3, default=(1, 1, 1)), float),
    )
    if len(neutral) != 3 or min(neutral) <= 0:
        raise RawError(
            f"no usable colour matrix, so what white looks like at {kelvin:g} K is unknown"
        )
    red, green, blue = neutral
    return red, green, blue


def _orientation(first: Ifd) -> int:
    value = first.number("Orientation", 1)
    return value if value in range(1, 9) else 1


def _default_crop(ifd: Ifd, area: Rect) -> Rect | None:
    """DefaultCropOrigin and -Size, relative to the corner of the active area; None for all."""
    origin, size = ifd.numbers("DefaultCropOrigin", 2), ifd.numbers("DefaultCropSize", 2)
    if not origin or not size:
        return None
    left, top, width, height = (round(value) for value in (*origin, *size))
    rect = Rect(top, left, height, width)
    fits = left >= 0 and top >= 0 and top + height <= area.height and left + width <= area.width
    if not fits or min(height, width) < 1 or rect == Rect(0, 0, area.height, area.width):
        return None
    return rect


def _exposure(header: Header) -> Exposure:
    """The EXIF fields that are kept. Impossible values stand for unknown ones."""
    exif = header.exif

    def fraction(name: str) -> Fraction | None:
        value = exif.get(name)
        if isinstance(value, tuple) and len(value) == 2 and min(value) > 0:
            found = Fraction(value[0], value[1])
            return found if is_rational(found) else None
        return None

    def text(name: str) -> str | None:
        value = exif.get(name)
        return (value or None) if isinstance(value, str) else None

    iso = exif.get("ISOSpeedRatings")
    iso = iso[0] if isinstance(iso, tuple) and iso else iso
    return Exposure(
        time=fraction("ExposureTime"),
        f_number=fraction("FNumber"),
        iso=iso if isinstance(iso, int) and iso > 0 else None,
        focal_length=fraction("FocalLength"),
        lens_model=text("LensModel"),
        date_time_original=text("DateTimeOriginal"),
    )
