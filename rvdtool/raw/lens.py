"""Radial lens distortion that was corrected in the video, but not in the RAW.

Phones, action cameras and drones correct lens distortion in the video, but not in the RAW. A point
at distance ρ from the centre of the active area, in units of half its diagonal, moves to
(1 + k₁ρ² + k₂ρ⁴) · ρ (the radial terms of Brown 1966).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import RawError

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Lens:
    """Maps undistorted positions to distorted positions on the sensor.

    Attributes:
        terms: (k₁, k₂).
        size: (height, width) of the active area.
    """

    terms: tuple[float, float]
    size: tuple[int, int]

    @property
    def middle(self) -> tuple[float, float]:
        """(x, y) of the centre of the active area."""
        return (self.size[1] - 1) / 2, (self.size[0] - 1) / 2

    @property
    def radius(self) -> float:
        """Half the active area's diagonal, in photosites."""
        return float(np.sqrt(self.size[0] * self.size[0] + self.size[1] * self.size[1]) / 2)

    def squared(self, x: Array, y: Array) -> Array:
        """ρ² of positions in the active area."""
        (column, row), scale = self.middle, 1 / (self.radius * self.radius)
        return np.asarray(((x - column) * (x - column) + (y - row) * (y - row)) * scale)

    def bend(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Distorted positions: x and y in photosites; integers are photosites' centres."""
        (column, row), square = self.middle, self.squared(x, y)
        factor = square * (self.terms[0] + square * self.terms[1])
        return x + (x - column) * factor, y + (y - row) * factor

    def require_regular(self, x: Array, y: Array) -> None:
        """Refuse distortion that folds the picture, mapping two positions to one.

        Args:
            x, y: positions; all positions between the outermost and the centre are checked.

        Raises:
            RawError: the distorted distance doesn't increase with the undistorted distance.
        """
        first, second = self.terms
        outermost = float(np.max(self.squared(x, y)))
        turning = -3 * first / (10 * second) if second else 0.0
        places = [outermost, *([turning] if 0 < turning < outermost else [])]
        if not min(1 + t * (3 * first + t * 5 * second) for t in places) > 0:
            raise RawError(f"a lens with the terms {first:g} and {second:g} folds the picture")
