"""Read RAW files into a RawFrame: DNG, camera RAW, Magic Lantern, and plain 16-bit mosaics.

LibRaw (rawpy) decodes the pixels. Levels, colour and geometry of a DNG come from its own tags,
since LibRaw rounds black levels, indexes them by colour, replaces matrices by its own, loses a row
of odd active areas, and reads 4×4 patterns as 2×2. Only for camera RAW, whose tags are proprietary,
are LibRaw's levels used.
"""

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import rawpy
import tifffile
from numpy.typing import NDArray

from rvdtool.errors import RawError, UsageError, brief
from rvdtool.files import describe, require_file
from rvdtool.raw import fits, jpegxl
from rvdtool.raw.frame import (
    PHASES,
    CameraProfile,
    CfaPhase,
    Exposure,
    Levels4,
    Mosaic,
    RawFrame,
    Rect,
    is_rational,
    levels4,
    require_readable_size,
)
from rvdtool.raw.header import DAMAGE, TIFF_MAGIC, Header, read_header
from rvdtool.raw.maker import camera_name, raw_kind
from rvdtool.raw.mlv import read_mlv
from rvdtool.raw.mlv_blocks import is_mlv
from rvdtool.raw.move import scale_tag
from rvdtool.raw.sequence import list_sequence
from rvdtool.raw.tags import JpegXl, dng_metadata

_PNG_MAGIC = b"\x89PNG"

_NOT_RAW = (
    (b"\xff\xd8\xff", "a JPEG, a picture the camera has already developed"),
    (b"FOVb", "a Foveon X3F, which has three full colours per pixel and no Bayer pattern"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"GIF8", "a GIF"),
    (b"RIFF", "an AVI video or WebP picture"),
    (b"PK\x03\x04", "a ZIP archive or bundle"),
    (b"%PDF", "a PDF"),
)
"""First bytes of other file types that may be given by mistake."""

_ALWAYS_READ = 2**26
"""Frames with up to this many photosites (67 megapixels) are decoded however small the file is: a
dark frame in lossy JPEG XL takes a few kilobytes. Decoding takes at most 5 bytes of memory for each
photosite."""

_LEAST_BITS = 1
"""Smallest number of bits per photosite of larger frames: a black frame in lossless JPEG. So no
file of less than 8 MB can make this program use more than 500 MB."""

_PLAIN_COMPRESSIONS = {1: "none", 5: "LZW", 8: "deflate", 32773: "PackBits", 32946: "deflate"}

_LIBRAW_FLIPS = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}
"""LibRaw's flip (bits: mirror columns, mirror rows, transpose) → TIFF orientation."""


@dataclass(frozen=True)
class MosaicLevels:
    """Levels and CFA phase of a plain 16-bit mosaic, which its file doesn't state.

    Attributes:
        black: DN per position of the 2×2 cell at the image's top-left corner.
        white: the DN at which a photosite is saturated.
        phase: CFA phase at the image's top-left corner.
        bits: bits per DN; white < 2**bits.
    """

    black: Levels4
    white: int
    phase: CfaPhase
    bits: int


def read_raw(path: Path, *, levels: MosaicLevels | None = None) -> RawFrame:
    """Read one RAW frame: the mosaic of the active area in DN, and its metadata.

    Args:
        path: a DNG or a camera's RAW file; with `levels`, a 16-bit one-channel TIFF, PNG or FITS.
            Of a Magic Lantern recording or a folder of frames (CinemaDNG), the first frame is read.
        levels: levels and CFA phase of a plain mosaic. Its camera is unknown: the neutral is
            (1, 1, 1), and there is no matrix.

    Raises:
        InputError: the file doesn't exist or can't be read.
        RawError: not RAW, not 2×2 Bayer, damaged, or without levels or neutral. The message says
            what the file is and what to do.
        UsageError: `levels` is given for a file that states its own.
    """
    if path.is_dir():
        path = list_sequence(path)[0]
    require_file(path, "a RAW frame")
    if is_mlv(path):
        if levels:
            raise UsageError(
                f"{path}: a recording states its own levels; leave out --black, --white, "
                "--phase and --bits"
            )
        return read_mlv(path, first_only=True).read(0)
    try:
        return _read_plain(path, levels) if levels else _read_camera(path)
    except OSError as error:
        raise RawError(f"{path}: can't be read: {describe(error)}") from error
    except RawError as error:
        raise RawError(f"{path}: {error}") from error


def _read_camera(path: Path) -> RawFrame:
    """Read a DNG or a camera's own RAW file."""
    _refuse_other_formats(path)
    header = read_header(path)
    return _read_dng(path, header) if header and header.is_dng else _read_maker(path, header)


def _refuse_other_formats(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise RawError("an empty file; was the copy from the card interrupted?")
    if start.startswith(_PNG_MAGIC):
        raise RawError(
            "a PNG; a 16-bit mosaic can be read if its levels and CFA phase are given "
            "(--black, --white, --phase, --bits)"
        )
    if start.startswith(fits.MAGIC):
        raise RawError(
            "a FITS file; its 16-bit mosaic can be read if its levels and CFA phase are given "
            "(--black, --white, --phase, --bits)"
        )
    for magic, what in _NOT_RAW:
        if start.startswith(magic):
            raise RawError(f"{what}; a DNG or the camera's RAW file is needed")
    if start[4:8] == b"ftyp" and start[8:12] != b"crx ":  # crx: Canon's CR3
        raise RawError("an MP4/MOV video or HEIF picture; a DNG or the camera's RAW file is needed")


def _read_dng(path: Path, header: Header) -> RawFrame:
    meta = dng_metadata(header)
    if meta.jpeg_xl:
        stored = _decode_jpeg_xl(path, meta.jpeg_xl, meta.stored_size)
    else:
        stored = _decode_by_libraw(path, meta.stored_size)
    mosaic, black = meta.black.levelled(
        np.ascontiguousarray(_part(stored, meta.active_area)), meta.white
    )
    return RawFrame(
        mosaic=mosaic,
        phase=meta.phase,
        black=black,
        white=meta.white,
        bits=meta.bits,
        profile=meta.profile,
        orientation=meta.orientation,
        default_crop=meta.default_crop,
        exposure=meta.exposure,
    )


def _decode_by_libraw(path: Path, size: tuple[int, int]) -> Mosaic:
    with _opened(path) as raw:
        _require_flat(raw)
        if raw.raw_image.shape != size:
            raise RawError(
                f"its tags say {size} photosites but {raw.raw_image.shape} were decoded; "
                "convert it with Adobe DNG Converter"
            )
        return np.array(raw.raw_image)  # LibRaw's memory goes with the file


def _decode_jpeg_xl(path: Path, place: JpegXl, size: tuple[int, int]) -> Mosaic:
    """Decode JPEG XL here, since the LibRaw in rawpy's wheels can't."""
    _require_filled(size, place.size)
    with path.open("rb") as file:
        file.seek(place.offset)
        return jpegxl.decode(file.read(place.size), size, quarters=place.quarters)


def _read_maker(path: Path, header: Header | None) -> RawFrame:
    """Read a camera's own RAW file, with pixels and levels from LibRaw."""
    if header:
        header.require_whole()
        if not header.first.text("Make"):  # LibRaw opens some plain TIFFs as RAW
            raise RawError(
                "a TIFF without a camera's name (Make), so it isn't RAW; a 16-bit mosaic can "
                "be read if its levels and CFA phase are given (--black, --white, --phase, "
                "--bits)"
            )
    with _opened(path) as raw:
        _require_flat(raw)
        sizes = raw.sizes
        area = Rect(sizes.top_margin, sizes.left_margin, sizes.height, sizes.width)
        colors = _bayer_colors(raw, area)
        black = raw.black_level_per_channel
        white = int(raw.white_level)
        mosaic = _part(raw.raw_image, area).copy()  # LibRaw's memory goes with the file
        if not mosaic[-1].any():
            raise RawError("cut short: its last row is all zeros; copy it from the card again")
        return RawFrame(
            mosaic=mosaic,
            phase=CfaPhase("".join("RGBG"[color] for color in colors)),
            black=levels4(black[color] for color in colors),
            white=white,
            bits=white.bit_length(),
            profile=_maker_profile(raw, path, header),
            orientation=_LIBRAW_FLIPS[sizes.flip],
            default_crop=_libraw_crop(sizes),
            exposure=_exposure(raw),
        )


def _bayer_colors(raw: Any, area: Rect) -> list[int]:
    """LibRaw's colours (0 R, 1 G, 2 B, 3 second G) of the cell at the area's corner."""
    try:
        cell = raw.raw_pattern
    except NotImplementedError:  # rawpy raises it for patterns other than 2×2 and 6×6
        cell = None
    sites = [(area.top + y, area.left + x) for y in (0, 1) for x in (0, 1)]
    colors = [] if cell is None else [raw.raw_color(row, column) for row, column in sites]
    names = b"".join(raw.color_desc[color : color + 1] for color in colors).decode("latin-1")
    if cell is None or cell.shape != (2, 2) or names not in PHASES or len(set(colors)) < 4:
        kind = "unknown" if cell is None else "X-Trans" if cell.shape == (6, 6) else names
        raise RawError(
            f"its CFA pattern ({kind}) isn't 2×2 RGB Bayer, the only one supported; if "
            "the camera can bin to plain Bayer, choose that"
        )
    return colors


def _maker_profile(raw: Any, path: Path, header: Header | None) -> CameraProfile:
    balance = [float(gain) for gain in raw.camera_whitebalance[:3]]
    if min(balance) <= 0:
        raise RawError("it has no as-shot white balance; convert it with Adobe DNG Converter")
    red, green, blue = (min(balance) / gain for gain in balance)
    matrix = raw.rgb_xyz_matrix[:3]
    if header:
        make, model = header.first.text("Make"), header.first.text("Model")
    else:
        make, model = camera_name(path)
    aspect = Fraction(raw.sizes.pixel_aspect).limit_denominator(1000)
    return CameraProfile(
        unique_model=f"{make} {model}".strip() or "unknown camera",
        as_shot_neutral=(red, green, blue),
        make=make,
        model=model,
        color_matrix=tuple(map(tuple, matrix.tolist())) if matrix.any() else None,
        tags=() if aspect == 1 else (scale_tag(aspect),),
    )


def _libraw_crop(sizes: Any) -> Rect | None:
    """The camera's own crop; LibRaw gives it relative to the corner of the full image."""
    top, left = sizes.crop_top_margin - sizes.top_margin, sizes.crop_left_margin - sizes.left_margin
    rect = Rect(top, left, sizes.crop_height, sizes.crop_width)
    fits = top >= 0 and left >= 0 and top + rect.height <= sizes.height
    return rect if fits and rect.height and 0 < left + rect.width <= sizes.width else None


def _exposure(raw: Any) -> Exposure:
    other = raw.other
    return Exposure(
        time=_fraction(other.shutter_speed),
        f_number=_fraction(other.aperture),
        iso=round(other.iso_speed) or None if 0 < other.iso_speed < 2**32 else None,
        focal_length=_fraction(other.focal_length),
        lens_model=raw.lens.model or None,
        date_time_original=_date(other.timestamp),
    )


def _fraction(value: float) -> Fraction | None:
    """A value from EXIF; None if it is impossible, as of an unknown one."""
    found = Fraction(value).limit_denominator(100_000) if math.isfinite(value) else Fraction(0)
    return found if is_rational(found) else None


def _date(timestamp: datetime) -> str | None:
    """Date in EXIF's format; None if unknown, for which LibRaw gives 1970 (± time zone)."""
    return f"{timestamp:%Y:%m:%d %H:%M:%S}" if timestamp.year > 1971 else None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open and decode a file with LibRaw; its errors are raised as RawError."""
    try:
        with rawpy.RawPy() as raw:
            raw.open_file(str(path))
            size = raw.sizes.raw_height, raw.sizes.raw_width
            _require_filled(size, path.stat().st_size)
            raw.unpack()
            yield raw
    except rawpy.LibRawError as error:
        kind = raw_kind(path)
        if kind:
            raise RawError(
                f"{kind} that LibRaw can't open: it is cut short or damaged, or its camera is "
                "newer than LibRaw; copy it from the card again, or convert it with Adobe DNG "
                "Converter"
            ) from error
        if isinstance(error, rawpy.LibRawFileUnsupportedError):
            raise RawError(
                "not a RAW file that LibRaw can read; if it is one, convert it with Adobe DNG "
                "Converter"
            ) from error
        raise RawError(
            f"damaged or incomplete ({_libraw_says(error)}); copy it from the card again"
        ) from error


def _require_filled(size: tuple[int, ...], stored: int) -> None:
    """Refuse sizes that would take much memory for the file's size, before it is allocated.

    Args:
        size: (height, width) from the file's header.
        stored: the file's size in bytes.

    Raises:
        RawError: the picture is too large to be read, or the file is too small for it.
    """
    require_readable_size((size[0], size[1]))
    if size[0] * size[1] > _ALWAYS_READ and size[0] * size[1] * _LEAST_BITS > 8 * stored:
        raise RawError(
            f"it claims {size[1]}×{size[0]} photosites in {stored} bytes. More than {_ALWAYS_READ} "
            "need at least a bit each: copy it from the card again, or save it without lossy "
            "compression"
        )


def _libraw_says(error: Exception) -> str:
    what = error.args[0] if error.args else type(error).__name__
    return what.decode(errors="replace") if isinstance(what, bytes) else str(what)


def _require_flat(raw: Any) -> None:
    if raw.raw_type != rawpy.RawType.Flat or raw.raw_image.dtype != np.uint16:
        raise RawError(
            "it has full colours at every pixel (linear RGB or Foveon) and no Bayer pattern; "
            "the camera's mosaic RAW is needed"
        )


def _part(image: NDArray[np.uint16], area: Rect) -> Mosaic:
    return image[area.top : area.top + area.height, area.left : area.left + area.width]


def _read_plain(path: Path, levels: MosaicLevels) -> RawFrame:
    """Read a 16-bit one-channel TIFF, PNG or FITS."""
    with path.open("rb") as file:
        start = file.read(4)
    try:
        if start in TIFF_MAGIC:
            mosaic = _read_tiff(path)
        elif start == _PNG_MAGIC:
            mosaic = _read_png(path)
        elif start == fits.MAGIC[:4]:
            mosaic = fits.read_fits(path, levels.phase)
        else:
            raise RawError("neither a TIFF, a PNG nor a FITS file; levels are given only for those")
    except (*DAMAGE, imagecodecs.PngError) as error:
        raise RawError(f"damaged or incomplete ({brief(error)})") from error
    _require_mosaic(mosaic.dtype, mosaic.shape)
    if int(mosaic.max()) >= 2**levels.bits:
        raise RawError(f"it has values up to {mosaic.max()}, but {levels.bits} bits were given")
    return RawFrame(
        mosaic=np.ascontiguousarray(mosaic, np.uint16),  # big-endian TIFFs keep their byte order
        phase=levels.phase,
        black=levels.black,
        white=levels.white,
        bits=levels.bits,
        profile=CameraProfile(unique_model="unknown camera", as_shot_neutral=(1.0, 1.0, 1.0)),
    )


def read_mosaic_tiff(path: Path) -> Mosaic:
    """Read a 16-bit one-channel TIFF, as stored: uint16 [H, W].

    Raises:
        RawError: not such a TIFF, or a damaged one.
        OSError: it can't be read.
    """
    try:
        mosaic = _read_tiff(path)
        _require_mosaic(mosaic.dtype, mosaic.shape)
    except (RawError, *DAMAGE) as error:
        raise RawError(f"{path}: not a TIFF that can be read: {brief(error)}") from error
    return np.ascontiguousarray(mosaic, np.uint16)


def _read_tiff(path: Path) -> NDArray[Any]:
    header = read_header(path)
    if header is None:
        raise RawError("damaged: its tags can't be read")
    if header.is_dng:
        raise UsageError(
            f"{path}: a DNG states its own levels; leave out --black, --white, --phase and --bits"
        )
    if len(header.images) != 1:
        raise RawError(f"a mosaic is one image with one channel; this is {len(header.images)}")
    with tifffile.TiffFile(path, is_ndpi=False) as tiff:
        page = tiff.pages.first
        if int(page.compression) not in _PLAIN_COMPRESSIONS:
            names = ", ".join(sorted(set(_PLAIN_COMPRESSIONS.values())))
            raise RawError(f"its compression is {page.compression!r}; supported are {names}")
        _require_mosaic(page.dtype, page.shape)
        stored = path.stat().st_size
        _require_filled(page.shape, stored)
        if page.is_tiled:  # a tile is decoded even where it lies outside the picture
            _require_filled((page.tilelength, page.tilewidth), stored)
        return page.asarray()


def _read_png(path: Path) -> NDArray[Any]:
    data = path.read_bytes()
    width, height = struct.unpack_from(">II", data, 16)
    _require_filled((height, width), len(data))
    return imagecodecs.png_decode(data)


def _require_mosaic(dtype: Any, shape: tuple[int, ...]) -> None:
    kind = np.dtype(dtype)
    if (kind.kind, kind.itemsize, len(shape)) != ("u", 2, 2) or not all(shape):
        raise RawError(
            f"a mosaic is a 16-bit image with one channel; this one is {kind} {list(shape)}"
        )
