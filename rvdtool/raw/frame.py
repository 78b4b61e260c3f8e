"""The types that packages exchange: a RAW frame and the camera that it came from."""

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
    """Four levels as the type says it.

    Raises:
        ValueError: not four of them.
    """
    first, second, third, fourth = (float(value) for value in values)
    return first, second, third, fourth


class CfaPhase(Enum):
    """Which colours the 2×2 cell at the mosaic's top-left corner has, row by row."""

    RGGB = "RGGB"
    BGGR = "BGGR"
    GRBG = "GRBG"
    GBRG = "GBRG"

    @property
    def pattern(self) -> NDArray[np.uint8]:
        """[2, 2], 0 red, 1 green, 2 blue."""
        return np.array(["RGB".index(c) for c in self.value], np.uint8).reshape(2, 2)


PHASES = frozenset(phase.value for phase in CfaPhase)
"""The phases by name: no other arrangement of a 2×2 cell is Bayer."""


LARGEST_RATIONAL = 2**31
"""What a TIFF file can't hold as a rational any more."""

MAX_SIDE = 65_535
"""Rows or columns of a mosaic; LibRaw and the bundle's manifest know no more."""

MAX_PHOTOSITES = 2**28
"""Of a mosaic: 268 megapixels, half a gigabyte. The largest Bayer sensors have 200."""


@dataclass(frozen=True)
class Rect:
    """A rectangle in pixels: rows top..top+height, columns left..left+width."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Tag:
    """One TIFF tag to carry over: as tifffile's `extratags` takes it."""

    code: int
    dtype: int
    count: int
    value: Any


@dataclass(frozen=True)
class CameraProfile:
    """What is needed to turn a camera's numbers into colours, and the camera's name.

    Attributes:
        make, model: as the camera calls itself; may be empty.
        unique_model: DNG UniqueCameraModel; never empty.
        as_shot_neutral: the camera's response to white (R, G, B), largest usually 1.
        color_matrix: DNG ColorMatrix1, XYZ → camera, 3×3; None if unknown.
        illuminant: EXIF LightSource of `color_matrix` (21 = D65).
        tags: all further DNG tags that describe the camera and stay true for a reconstructed
            frame (second matrices, calibration, analog balance, baseline values, profile).
        dropped: what the camera's file says and a frame on this grid can't, by name.
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
        if not 0 < min(self.as_shot_neutral) <= max(self.as_shot_neutral) < LARGEST_RATIONAL:
            raise RawError(f"a neutral is three numbers above 0; got {self.as_shot_neutral}")
        values = [value for row in self.color_matrix or () for value in row]
        if not all(abs(value) < LARGEST_RATIONAL for value in values):
            raise RawError(f"a colour matrix holds numbers below 2^31; got {self.color_matrix}")


@dataclass(frozen=True)
class Exposure:
    """EXIF fields that are kept; None if the file doesn't have them."""

    time: Fraction | None = None
    """Seconds."""
    f_number: Fraction | None = None
    iso: int | None = None
    focal_length: Fraction | None = None
    """Millimetres."""
    lens_model: str | None = None
    date_time_original: str | None = None
    """`YYYY:MM:DD HH:MM:SS`, as in EXIF."""

    def __post_init__(self) -> None:
        for name in ("time", "f_number", "focal_length"):
            value = getattr(self, name)
            if value is not None and not 0 < value < LARGEST_RATIONAL:
                raise RawError(f"an exposure's {name} is above 0 and below 2^31; got {value}")


def require_readable_size(size: tuple[int, int]) -> None:
    """Refuse the sizes that only damaged or forged files state, before anything is allocated.

    Args:
        size: (height, width) as a file's header says it.

    Raises:
        RawError: beyond MAX_SIDE or MAX_PHOTOSITES, or nothing.
    """
    height, width = size
    if not (min(size) > 0 and max(size) <= MAX_SIDE and height * width <= MAX_PHOTOSITES):
        raise RawError(
            f"the file claims {width}×{height} photosites; at most {MAX_SIDE} on a side "
            f"and {MAX_PHOTOSITES} in all can be read"
        )


@dataclass(frozen=True, eq=False)
class RawFrame:
    """One RAW frame: the active area's mosaic and all that is needed to read it.

    Attributes:
        mosaic: uint16 [H, W], DN, active area only. Either side may be odd.
        phase: CFA phase at mosaic[0, 0].
        black: black level in DN per position of the 2×2 cell at mosaic[0, 0]; fractions kept.
        white: the DN at which a photosite is saturated.
        bits: how many bits a DN has; white < 2**bits.
        profile: the camera.
        orientation: TIFF orientation 1..8: how to turn the mosaic for viewing.
        default_crop: the part meant to be seen, in mosaic coordinates; None for all of it.
        exposure: EXIF worth carrying.
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
        if not 0 <= min(self.black) <= max(self.black) < self.white < 2**self.bits:
            raise RawError(
                f"levels must hold 0 ≤ black < white < 2^bits; got black {self.black}, "
                f"white {self.white}, {self.bits} bits"
            )
        if self.orientation not in range(1, 9):
            raise RawError(f"orientation must be 1..8; got {self.orientation}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the mosaic."""
        return self.mosaic.shape[0], self.mosaic.shape[1]

    def with_mosaic(self, mosaic: Mosaic) -> Self:
        """The same camera and levels with other pixels of the same size."""
        if mosaic.shape != self.mosaic.shape:
            raise RawError(f"expected a mosaic of {self.mosaic.shape}; got {mosaic.shape}")
        return replace(self, mosaic=mosaic)
