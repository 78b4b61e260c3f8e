"""Where a RAW frame lies on the video's grid, as a bundle's manifest says it."""

from typing import Annotated, Literal, Self

from pydantic import Field
from pydantic import model_validator as check

from rvdtool.bundle.fields import LensTerm, Offset, Row3, Side, StrictModel


class RectEntry(StrictModel):
    """Rows top..top+height, columns left..left+width."""

    top: Offset
    left: Offset
    height: Side
    width: Side


class CropAndTurn(StrictModel):
    """From the RAW frame's active area to the video's grid: cut, then mirror, then turn.

    No pixel changes its value; what changes is its place, and with it the CFA phase.
    """

    kind: Literal["crop_and_turn"]
    sensor_height: Side
    """Rows of the active area."""
    sensor_width: Side
    """Columns of the active area."""
    crop: RectEntry
    """The part that the video shows, in active-area coordinates."""
    mirror: bool
    """Swap left and right, before turning."""
    quarter_turns: Annotated[int, Field(ge=0, le=3)]
    """Quarter turns clockwise."""

    @property
    def grid_size(self) -> tuple[int, int]:
        """(height, width) after the transform."""
        size = self.crop.height, self.crop.width
        return size if self.quarter_turns % 2 == 0 else (size[1], size[0])

    @check(mode="after")
    def _is_inside(self) -> Self:
        bottom = self.crop.top + self.crop.height
        right = self.crop.left + self.crop.width
        if bottom > self.sensor_height or right > self.sensor_width:
            raise ValueError("the crop reaches beyond the active area")
        return self


class Homography(StrictModel):
    """Where the video's grid lies on the RAW frame's active area, whatever its scale and angle.

    The planes are resampled, colour by colour, onto an RGGB mosaic; docs/formats/bundle.md says
    how.
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
    """(x, y, 1) on the video's grid → (x, y, w) on the active area: x to the right, y down, centres
    of pixels and photosites at whole numbers, divided by w."""
    lens: tuple[LensTerm, LensTerm] | None = None
    """k₁, k₂: what lies at distance ρ from the active area's middle after the matrix, in units of
    half the area's diagonal, lies at ρ·(1 + k₁ρ² + k₂ρ⁴) on the sensor; null where the video is
    distorted as the RAW is. Bundles of older writers don't say it."""

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
