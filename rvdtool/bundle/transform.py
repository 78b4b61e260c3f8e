"""Models of the transform from a RAW frame to the video's grid in a bundle's manifest."""

from typing import Annotated, Literal, Self

from pydantic import Field
from pydantic import model_validator as check

from rvdtool.bundle.fields import LensTerm, Offset, Row3, Side, StrictModel


class RectEntry(StrictModel):
    """A rectangle: rows top to top + height, columns left to left + width, the latter excluded."""

    top: Offset
    left: Offset
    height: Side
    width: Side


class CropAndTurn(StrictModel):
    """A transform from the RAW frame's active area to the video's grid: crop, mirror, then turn.

    Pixels keep their values and only change position, which changes the CFA phase.
    """

    kind: Literal["crop_and_turn"]
    sensor_height: Side
    """Rows of the active area."""
    sensor_width: Side
    """Columns of the active area."""
    crop: RectEntry
    """The part that the video shows, in active-area coordinates."""
    mirror: bool
    """Whether to swap left and right, before turning."""
    quarter_turns: Annotated[int, Field(ge=0, le=3)]
    """Number of clockwise quarter turns."""

    @property
    def grid_size(self) -> tuple[int, int]:
        """(height, width) of the grid."""
        size = self.crop.height, self.crop.width
        return size if self.quarter_turns % 2 == 0 else (size[1], size[0])

    @check(mode="after")
    def _is_inside(self) -> Self:
        bottom = self.crop.top + self.crop.height
        right = self.crop.left + self.crop.width
        if bottom > self.sensor_height or right > self.sensor_width:
            raise ValueError("the crop extends beyond the active area")
        return self


class Homography(StrictModel):
    """A transform between the video's grid and the RAW frame's active area at any scale and angle.

    The planes are resampled, colour by colour, onto an RGGB mosaic, as docs/formats/bundle.md
    describes.
    """

    kind: Literal["homography"]
    sensor_height: Side
    """Rows of the active area."""
    sensor_width: Side
    """Columns of the active area."""
    grid_height: Side
    """Rows of the video's grid."""
    grid_width: Side
    """Columns of the video's grid."""
    matrix: tuple[Row3, Row3, Row3]
    """Matrix from (x, y, 1) on the video's grid to (x, y, w) on the active area, to be divided by
    w; x points right, y down, and centres of pixels and photosites are at whole numbers."""
    lens: tuple[LensTerm, LensTerm] | None = None
    """Lens terms k₁, k₂: a point that the matrix puts at distance ρ from the active area's middle,
    in units of half the area's diagonal, is at ρ·(1 + k₁ρ² + k₂ρ⁴) on the sensor. Null if the video
    has the same distortion as the RAW. Not recorded by older writers."""

    @property
    def grid_size(self) -> tuple[int, int]:
        """(height, width) of the grid."""
        return self.grid_height, self.grid_width

    @check(mode="after")
    def _is_regular(self) -> Self:
        a, b, c = self.matrix[2]
        right, bottom = self.grid_width - 1, self.grid_height - 1
        if min(a * x + b * y + c for x in (0, right) for y in (0, bottom)) <= 0:
            raise ValueError("the homography turns a part of the grid inside out")
        return self


Transform = CropAndTurn | Homography
