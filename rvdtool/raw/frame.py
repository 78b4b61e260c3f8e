"""The types for a RAW frame and its camera."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import RawError

Mosaic = NDArray[np.uint16]
"""One value per photosite, [H, W], in DN."""

Levels4 = tuple[float, float, float, float]
"""One value per position of the 2×2 CFA cell: (0,0), (0,1), (1,0), (1,1)."""

Matrix = tuple[tuple[float, ...], ...]


def levels4(values: Iterable[float]) -> Levels4:
    """Convert four values to `Levels4`.

    Raises:
        ValueError: there aren't exactly four values.
    """
    first, second, third, fourth = (float(value) for value in values)
    return first, second, third, fourth


class CfaPhase(Enum):
    """Colours of the 2×2 cell at the mosaic's top-left corner, row by row."""

    RGGB = "RGGB"
    BGGR = "BGGR"
    GRBG = "GRBG"
    GBRG = "GBRG"

    @property
    def pattern(self) -> NDArray[np.uint8]:
        """The cell's colours, uint8 [2, 2]: 0 red, 1 green, 2 blue."""
        return np.array(["RGB".index(c) for c in self.value], np.uint8).reshape(2, 2)


PHASES = frozenset(phase.value for phase in CfaPhase)
"""Names of the four Bayer phases."""


LARGEST_RATIONAL = 2**31
"""Numbers must be below this to be stored as rationals in a TIFF file, and positive ones above its
inverse."""

MAX_SIDE = 65_535
"""Largest number of rows or columns of a mosaic; LibRaw and the bundle format allow no more."""

MAX_PHOTOSITES = 2**28
"""Largest number of photosites of a mosaic: 268 megapixels, half a gigabyte. The largest Bayer
sensors have 200 megapixels."""


def is_rational(value: float | Fraction) -> bool:
    """Whether a number above 0 can be stored as a rational in a TIFF file, and not as 0."""
    return LARGEST_RATIONAL * value > 1 and value < LARGEST_RATIONAL


def levels_fit(black: Levels4, white: int, bits: int) -> bool:
    """Whether 0 ≤ black ≤ white − 1 and white < 2**bits."""
    return min(black) >= 0 and max(black) <= white - 1 and white < 2**bits


def _require_text(**texts: str | None) -> None:
    """Refuse texts that TIFF can't store: it ends them with a NUL."""
    for name, text in texts.items():
        if "\0" in (text or ""):
            raise RawError(f"{name} has a NUL character in it, so it can't be stored in a TIFF")


@dataclass(frozen=True)
class Rect:
    """A rectangle in pixels: rows top..top+height, columns left..left+width."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Tag:
    """A TIFF tag, with the fields of tifffile's `extratags`."""

    code: int
    dtype: int
    count: int
    value: Any


@dataclass(frozen=True)
class CameraProfile:
    """A camera's name, and what is needed to convert its values to colours.

    Attributes:
        make, model: names from the camera's file; may be empty.
        unique_model: DNG UniqueCameraModel; never empty.
        as_shot_neutral: the camera's response to white (R, G, B), largest usually 1.
        color_matrix: DNG ColorMatrix1, XYZ → camera, 3×3; None if unknown.
        illuminant: EXIF LightSource of `color_matrix` (21 = D65).
        tags: further DNG tags that describe the camera and are valid for reconstructed frames
            (second matrices, calibration, analog balance, baseline values, profile).
        dropped: names of tags and opcodes of the camera's file that don't apply on this grid.
    """

    unique_model: str
    as_shot_neutral: tuple[float, float, float]
    make: str = ""
    model: str = ""
    color_matrix: Matrix | None = None
    illuminant: int = 21
    tags: tuple[Tag, ...] = ()
    dropped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(map(is_rational, self.as_shot_neutral)):
            raise RawError(
                "a neutral is three numbers above 0 (2^-31 to 2^31, without these); got "
                f"{self.as_shot_neutral}"
            )
        values = [value for row in self.color_matrix or () for value in row]
        if not all(abs(value) < LARGEST_RATIONAL for value in values):
            raise RawError(f"a colour matrix holds numbers below 2^31; got {self.color_matrix}")
        _require_text(make=self.make, model=self.model, unique_model=self.unique_model)


@dataclass(frozen=True)
class Exposure:
    """The EXIF fields that are kept; None if the file doesn't have them."""

    time: Fraction | None = None
    """Exposure time in seconds."""
    f_number: Fraction | None = None
    iso: int | None = None
    focal_length: Fraction | None = None
    """Focal length in millimetres."""
    lens_model: str | None = None
    date_time_original: str | None = None
    """Date and time as in EXIF, `YYYY:MM:DD HH:MM:SS`."""

    def __post_init__(self) -> None:
        for name in ("time", "f_number", "focal_length"):
            value = getattr(self, name)
            if value is not None and not is_rational(value):
                raise RawError(f"an exposure's {name} is above 2^-31 and below 2^31; got {value}")
        _require_text(lens_model=self.lens_model, date_time_original=self.date_time_original)


def require_readable_size(size: tuple[int, int]) -> None:
    """Refuse sizes that only damaged or forged files have, before memory is allocated.

    Args:
        size: (height, width) from a file's header.

    Raises:
        RawError: the size is zero, or above MAX_SIDE or MAX_PHOTOSITES.
    """
    height, width = size
    if not (min(size) > 0 and max(size) <= MAX_SIDE and height * width <= MAX_PHOTOSITES):
        raise RawError(
            f"the file claims {width}×{height} photosites; at most {MAX_SIDE} on a side "
            f"and {MAX_PHOTOSITES} in all can be read"
        )


@dataclass(frozen=True, eq=False)
class RawFrame:
    """A RAW frame: the mosaic of the active area, with everything that is needed to interpret it.

    Attributes:
        mosaic: uint16 [H, W], DN, active area only. Height and width may be odd.
        phase: CFA phase at mosaic[0, 0].
        black: black level in DN, possibly fractional, per position of the 2×2 cell at mosaic[0, 0].
        white: the DN at which a photosite is saturated.
        bits: bits per DN; white < 2**bits.
        profile: the camera.
        orientation: TIFF orientation 1..8, to be applied to the mosaic for viewing.
        default_crop: the part to be shown, in mosaic coordinates; None for all of it.
        exposure: EXIF fields.
    """

    mosaic: Mosaic
    phase: CfaPhase
    black: Levels4
    white: int
    bits: int
    profile: CameraProfile
    orientation: int = 1
    default_crop: Rect | None = None
    exposure: Exposure = field(default_factory=Exposure)

    def __post_init__(self) -> None:
        if self.mosaic.ndim != 2 or self.mosaic.dtype != np.uint16:
            raise RawError(
                f"a mosaic is uint16 [H, W]; got {self.mosaic.dtype} {list(self.mosaic.shape)}"
            )
        if min(self.mosaic.shape) < 2:
            raise RawError(f"a mosaic needs at least 2×2 photosites; got {self.mosaic.shape}")
        if not 1 <= self.bits <= 16:
            raise RawError(f"bits must be 1..16; got {self.bits}")
        if not levels_fit(self.black, self.white, self.bits):
            raise RawError(
                f"levels must hold 0 ≤ black ≤ white − 1 and white < 2^bits; got black "
                f"{self.black}, white {self.white}, {self.bits} bits"
            )
        if self.orientation not in range(1, 9):
            raise RawError(f"orientation must be 1..8; got {self.orientation}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the mosaic."""
        return self.mosaic.shape[0], self.mosaic.shape[1]

    def with_mosaic(self, mosaic: Mosaic) -> Self:
        """A copy of the frame with another mosaic of the same size."""
        if mosaic.shape != self.mosaic.shape:
            raise RawError(f"expected a mosaic of {self.mosaic.shape}; got {mosaic.shape}")
        return replace(self, mosaic=mosaic)
