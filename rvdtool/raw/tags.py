"""What a RAW file's tags say (TIFF 6.0, Exif 2.3, Adobe DNG 1.7.1), read with tifffile."""

import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from rvdtool.errors import RawError
from rvdtool.raw.color import neutral_of_white
from rvdtool.raw.frame import CameraProfile, CfaPhase, Exposure, Levels4, Matrix, Rect, Tag, levels4
from rvdtool.raw.tiff import ASCII, RATIONAL, SRATIONAL

DAMAGE = (tifffile.TiffFileError, struct.error, ValueError, IndexError, KeyError, RuntimeError)
"""What tifffile and imagecodecs raise at a damaged file."""

TIFF_MAGIC = (b"II*\0", b"MM\0*")

Ifd = Mapping[int, Tag]

CARRIED_TAGS = frozenset(
    (
        # colour: second and third matrices, calibration, balance
        50722, 50723, 50724, 50727, 50779, 50931, 50932, 50964, 50965,
        52529, 52530, 52531, 52532, 52533, 52534, 52535,
        # baseline: exposure, noise, sharpness, green split, linear limit, shadow, offset
        50730, 50731, 50732, 50733, 50734, 50738, 50739, 50780, 51109,
        # profile: name, hue/saturation maps, tone curve, look table, policy, copyright, rendering
        50936, 50937, 50938, 50939, 50940, 50941, 50942, 50981, 50982, 51107, 51108, 51110, 52537,
        # lens and pixel shape
        50736, 50718,
    )
)  # fmt: skip
"""Tags that describe the camera and stay true for a reconstructed frame."""

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it writes to stderr

OPCODE_LISTS = (51008, 51009, 51022)
"""Lens corrections: 1 on the whole stored image, 2 and 3 on the active area."""

_CFA, _LINEAR_RAW = 32803, 34892
_JPEG_XL = 52546
_NOWHERE = 0xFFFFFFFF  # Panasonic's StripOffsets, whose data begin at a tag of its own
_CONVERT = "convert it with Adobe DNG Converter"


@dataclass(frozen=True)
class Header:
    """A TIFF file's tags: those of the first IFD, of the EXIF IFD, and of every full-size image.

    Attributes:
        first: IFD0, where the camera is described.
        images: the IFDs of main images (NewSubfileType 0), IFD0 among them if it is one.
        exif: EXIF tags by name, as tifffile gives them.
        size: of the file in bytes.
    """

    first: Ifd
    images: tuple[Ifd, ...]
    exif: Mapping[str, Any]
    size: int

    @property
    def is_dng(self) -> bool:
        """Whether it has a DNGVersion."""
        return 50706 in self.first

    def text(self, code: int) -> str:
        """An ASCII tag of IFD0 without padding; empty if missing."""
        tag = self.first.get(code)
        return tag.value.strip("\0 ") if tag and isinstance(tag.value, str) else ""

    def require_whole(self) -> None:
        """Refuse a file that ends before its pixels do: LibRaw may read the rest as zeros.

        Raises:
            RawError: a strip or tile of a main image reaches beyond the file's end.
        """
        for ifd, (offsets, counts) in product(self.images, ((273, 279), (324, 325))):
            places = zip(_numbers(ifd, offsets), _numbers(ifd, counts), strict=False)
            ends = (start + count for start, count in places if start != _NOWHERE)
            if max(ends, default=0) > self.size:
                raise RawError(
                    "cut short: the file ends before its pixels do; copy it from the card again"
                )


@dataclass(frozen=True)
class DngMetadata:
    """All of a RawFrame but its mosaic, and where that lies in the stored image."""

    stored_size: tuple[int, int]
    active_area: Rect
    phase: CfaPhase
    black: Levels4
    white: int
    bits: int
    profile: CameraProfile
    orientation: int
    default_crop: Rect | None
    exposure: Exposure


def read_header(path: Path) -> Header | None:
    """Read the tags of a TIFF-like RAW file; None if it isn't one (CR3, RAF, …).

    Raises:
        RawError: it begins like a TIFF file but its tags can't be read.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    try:
        with tifffile.TiffFile(path) as tiff:
            first = tiff.pages.first
            pages = [page for top in tiff.pages for page in (top, *(top.pages or ()))]
            images = tuple(_ifd(page) for page in pages if _number_or(page, 254, 0) == 0)
            exif = first.tags[34665].value if 34665 in first.tags else {}
            return Header(_ifd(first), images, exif, path.stat().st_size)
    except DAMAGE as error:
        if magic not in TIFF_MAGIC:  # Panasonic's and Olympus's TIFFs have other numbers
            return None
        raise RawError(f"damaged: its tags can't be read ({error})") from error


def dng_metadata(header: Header) -> DngMetadata:
    """Interpret a DNG's tags.

    Raises:
        RawError: it isn't 2×2 Bayer, is cut short, or lacks levels or neutral.
    """
    ifd = _bayer_image(header)
    size = (int(_number(ifd, 257)), int(_number(ifd, 256)))
    area = _active_area(ifd, size)
    white = _white(ifd)
    return DngMetadata(
        stored_size=size,
        active_area=area,
        phase=_phase(ifd),
        black=_black(ifd, area),
        white=white,
        bits=white.bit_length(),
        profile=_profile(header, ifd, whole=area == Rect(0, 0, *size)),
        orientation=_orientation(header),
        default_crop=_default_crop(ifd, area),
        exposure=exif_exposure(header),
    )


def exif_exposure(header: Header) -> Exposure:
    """The EXIF tags worth carrying."""
    exif = header.exif

    def fraction(name: str) -> Fraction | None:
        value = exif.get(name)
        if not isinstance(value, tuple) or len(value) != 2 or not value[0] or not value[1]:
            return None
        return Fraction(*value)

    iso = exif.get("ISOSpeedRatings")
    iso = iso[0] if isinstance(iso, tuple) else iso
    return Exposure(
        time=fraction("ExposureTime"),
        f_number=fraction("FNumber"),
        iso=iso if isinstance(iso, int) and iso > 0 else None,
        focal_length=fraction("FocalLength"),
        lens_model=_clean(exif.get("LensModel")),
        date_time_original=_clean(exif.get("DateTimeOriginal")),
    )


def _ifd(page: Any) -> Ifd:
    """A page's tags with plain values, so that they outlive the file and can be written again."""
    return {int(tag.code): _tag(tag) for tag in page.tags}


def _tag(tag: Any) -> Tag:
    code, dtype, value = int(tag.code), int(tag.dtype), tag.value
    if dtype == ASCII and isinstance(value, str):
        return Tag(code, dtype, len(value.encode()) + 1, value)
    if isinstance(value, np.ndarray):
        value = tuple(value.ravel().tolist())
    return Tag(code, dtype, int(tag.count), value)


def _number_or(page: Any, code: int, default: int) -> int:
    tag = page.tags.get(code)
    return int(tag.value) if tag is not None else default


def _numbers(ifd: Ifd, code: int) -> list[Fraction]:
    """A numeric tag's values; empty if missing."""
    tag = ifd.get(code)
    if tag is None:
        return []
    values = tag.value if isinstance(tag.value, tuple | bytes) else (tag.value,)
    if tag.dtype in (RATIONAL, SRATIONAL):
        pairs = zip(values[::2], values[1::2], strict=True)
        return [Fraction(n, d) if d else Fraction(0) for n, d in pairs]
    return [Fraction(value) for value in values]


def _number(ifd: Ifd, code: int, default: int | None = None) -> Fraction:
    """A tag's first value."""
    values = _numbers(ifd, code)
    if not values and default is None:
        raise RawError(f"damaged: its TIFF tag {code} is missing; copy it from the card again")
    return values[0] if values else Fraction(default or 0)


def _clean(value: object) -> str | None:
    text = value.strip("\0 ") if isinstance(value, str) else ""
    return text or None


def _bayer_image(header: Header) -> Ifd:
    """The IFD with the Bayer mosaic; clear words for all that is none."""
    mosaics = [ifd for ifd in header.images if _numbers(ifd, 262) == [_CFA]]
    if not mosaics:
        linear = [ifd for ifd in header.images if _numbers(ifd, 262) == [_LINEAR_RAW]]
        if not linear:
            raise RawError("a DNG without a RAW image; the camera's original is needed")
        colors = _number(linear[0], 277, 1)
        kind = "linear RGB, already demosaiced" if colors > 1 else "monochrome"
        codec = " in JPEG XL" if _numbers(linear[0], 259) == [_JPEG_XL] else ""
        raise RawError(
            f"a DNG with a {kind} image{codec} (ProRAW, Expert RAW, HDR merges and some scanners "
            "write such); a Bayer mosaic is needed: switch the camera to plain RAW"
        )
    ifd = mosaics[0]
    if _numbers(ifd, 259) == [_JPEG_XL]:
        raise RawError(
            f"its mosaic is in JPEG XL, which LibRaw can't open; {_CONVERT} to 1.6 or older"
        )
    if _numbers(ifd, 339) == [3]:
        raise RawError("its mosaic is in floating point; an integer RAW is needed")
    _require_all_parts(ifd)
    header.require_whole()
    return ifd


def _require_all_parts(ifd: Ifd) -> None:
    """All strips or tiles must be there: LibRaw reads what is missing as zeros."""
    height, width = int(_number(ifd, 257)), int(_number(ifd, 256))
    if 324 in ifd:
        offsets, counts = _numbers(ifd, 324), _numbers(ifd, 325)
        expected = -(-height // int(_number(ifd, 323))) * -(-width // int(_number(ifd, 322)))
    else:
        offsets, counts = _numbers(ifd, 273), _numbers(ifd, 279)
        expected = -(-height // int(_number(ifd, 278, height)))
    if len(offsets) != expected or len(counts) != expected or min(counts, default=0) < 1:
        raise RawError("damaged: parts of its pixels are missing; copy it from the card again")


def _phase(ifd: Ifd) -> CfaPhase:
    """CFAPattern, which begins at the active area's corner (DNG 1.7.1, CFARepeatPatternDim)."""
    repeat = [int(n) for n in _numbers(ifd, 33421)]
    if repeat != [2, 2]:
        kind = {6: "X-Trans", 4: "quad-Bayer"}.get(repeat[0] if repeat else 0, "unknown")
        shape = "×".join(map(str, repeat)) or "no"
        raise RawError(
            f"its CFA pattern is {shape} ({kind}); only 2×2 Bayer can be used: "
            "if the camera can bin to plain Bayer, choose that"
        )
    planes = [int(n) for n in _numbers(ifd, 50710)] or [0, 1, 2]
    pattern = "".join("RGB"[n] if n < 3 else "?" for n in map(int, _numbers(ifd, 33422)))
    names = [phase.value for phase in CfaPhase]
    if planes != [0, 1, 2] or pattern not in names or _numbers(ifd, 50711) not in ([], [1]):
        raise RawError(f"its 2×2 CFA pattern isn't red, green, green, blue but {pattern}")
    return CfaPhase(pattern)


def _active_area(ifd: Ifd, size: tuple[int, int]) -> Rect:
    top, left, bottom, right = (int(n) for n in _numbers(ifd, 50829) or (0, 0, *size))
    if not (0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]):
        raise RawError(f"damaged: its active area {top, left, bottom, right} isn't inside {size}")
    return Rect(top, left, bottom - top, right - left)


def _black(ifd: Ifd, area: Rect) -> Levels4:
    """BlackLevel of the four positions; BlackLevelDeltaH/V only where they fit in there."""
    rows, columns = (int(n) for n in _numbers(ifd, 50713) or (1, 1))
    values = _numbers(ifd, 50714) or [Fraction(0)] * (rows * columns)
    if len(values) != rows * columns:
        raise RawError(f"damaged: {len(values)} black levels for a pattern of {rows}×{columns}")
    base = np.array([float(v) for v in values]).reshape(rows, columns)
    across = np.array([float(v) for v in _numbers(ifd, 50715)] or [0.0] * area.width)
    down = np.array([float(v) for v in _numbers(ifd, 50716)] or [0.0] * area.height)
    if (down.size, across.size) != (area.height, area.width):
        raise RawError("damaged: its black level deltas don't have the active area's size")
    pattern = np.tile(base, (2, 2))
    cells = [(pattern[y::2, x::2], down[y::2], across[x::2]) for y in (0, 1) for x in (0, 1)]
    spread = max(sum(float(np.ptp(part)) for part in cell) for cell in cells)
    if spread > 1:  # half a DN to either side: no mosaic of whole numbers can tell
        raise RawError(
            f"its black level varies by {spread:g} DN over the image (BlackLevelDelta or a pattern "
            f"beyond 2×2), which can't be carried to other frames; {_CONVERT}"
        )
    return levels4(sum(float(part.mean()) for part in cell) for cell in cells)


def _white(ifd: Ifd) -> int:
    values = _numbers(ifd, 50717)
    if not values:
        raise RawError(
            "it has no WhiteLevel, so nobody knows where it clips; add what the camera's maker "
            "says: exiftool -WhiteLevel=… FILE"
        )
    return int(values[0])


def _profile(header: Header, ifd: Ifd, *, whole: bool) -> CameraProfile:
    camera = {**ifd, **header.first}
    tags = [camera[code] for code in sorted(CARRIED_TAGS & camera.keys())]
    # OpcodeList1 counts from the stored image's corner: it moves when that isn't the active area's.
    opcodes = OPCODE_LISTS if whole else OPCODE_LISTS[1:]
    tags += [ifd[code] for code in opcodes if code in ifd]
    make, model = header.text(271), header.text(272)
    return CameraProfile(
        unique_model=header.text(50708) or f"{make} {model}".strip() or "unknown camera",
        as_shot_neutral=_neutral(camera),
        make=make,
        model=model,
        color_matrix=_matrix(camera, 50721),
        illuminant=int(_number(camera, 50778, 0)),
        tags=tuple(tags),
    )


def _neutral(camera: Ifd) -> tuple[float, float, float]:
    neutral = [float(v) for v in _numbers(camera, 50728)]
    if not neutral and (xy := _numbers(camera, 50729)):
        matrices = [
            (_matrix(camera, m), _numbers(camera, i)) for m, i in ((50721, 50778), (50722, 50779))
        ]
        neutral = neutral_of_white(
            (float(xy[0]), float(xy[1])),
            [(np.array(m), int(i[0]) if i else 0) for m, i in matrices if m],
            [np.array(m) for m in (_matrix(camera, 50723), _matrix(camera, 50724)) if m],
            np.array([float(v) for v in _numbers(camera, 50727)] or [1.0] * 3),
        )
    if len(neutral) != 3 or min(neutral) <= 0:
        raise RawError(
            "it has no AsShotNeutral, so nobody knows its white balance; add one "
            '(exiftool -AsShotNeutral="0.5 1 0.6" FILE) or ' + _CONVERT
        )
    red, green, blue = neutral
    return red, green, blue


def _matrix(camera: Ifd, code: int) -> Matrix | None:
    values = [float(v) for v in _numbers(camera, code)]
    if len(values) != 9:
        return None
    return tuple(tuple(values[i : i + 3]) for i in (0, 3, 6))


def _orientation(header: Header) -> int:
    values = [int(n) for n in _numbers(header.first, 274)]
    return values[0] if values and values[0] in range(1, 9) else 1


def _default_crop(ifd: Ifd, area: Rect) -> Rect | None:
    """DefaultCropOrigin and -Size, which count from the active area's corner; None for all."""
    origin, size = _numbers(ifd, 50719), _numbers(ifd, 50720)
    if len(origin) != 2 or len(size) != 2:
        return None
    left, top, width, height = (round(v) for v in (*origin, *size))
    fits = left >= 0 and top >= 0 and top + height <= area.height and left + width <= area.width
    rect = Rect(top, left, height, width)
    if not fits or min(height, width) < 1 or rect == Rect(0, 0, area.height, area.width):
        return None
    return rect
