"""Radial lens distortion that was corrected in the video, but not in the RAW.

Phones, action cameras and drones correct their video for the lens and store the RAW as the sensor
saw it. A place at distance ρ from the active area's middle, in units of half its diagonal, is
moved to 1 + k₁ρ² + k₂ρ⁴ times that distance (Brown 1966, the radial part).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import RawError

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Lens:
    """From where a place would lie without distortion to where it lies on the sensor.

    Attributes:
        terms: (k₁, k₂).
        size: (height, width) of the active area.
    """

    terms: tuple[float, float]
    size: tuple[int, int]

    @property
    def middle(self) -> tuple[float, float]:
        """(x, y) of the active area's middle."""
        return (self.size[1] - 1) / 2, (self.size[0] - 1) / 2

    @property
    def radius(self) -> float:
        """Half the active area's diagonal, in photosites."""
        return float(np.sqrt(self.size[0] * self.size[0] + self.size[1] * self.size[1]) / 2)

    def squared(self, x: Array, y: Array) -> Array:
        """ρ² of places on the active area."""
        (column, row), scale = self.middle, 1 / (self.radius * self.radius)
        return np.asarray(((x - column) * (x - column) + (y - row) * (y - row)) * scale)

    def bend(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Where places lie on the sensor: x and y in photosites, whole numbers at centres."""
        (column, row), square = self.middle, self.squared(x, y)
        factor = square * (self.terms[0] + square * self.terms[1])
        return x + (x - column) * factor, y + (y - row) * factor

    def require_regular(self, x: Array, y: Array) -> None:
        """Refuse a lens that folds the picture: two places must not become one.

        Args:
            x, y: places; what holds for the outermost holds for all between them and the middle.

        Raises:
            RawError: the distance after bending doesn't rise with the distance before it.
        """
        first, second = self.terms
        outermost = float(np.max(self.squared(x, y)))
        turning = -3 * first / (10 * second) if second else 0.0
        places = [outermost, *([turning] if 0 < turning < outermost else [])]
        if not min(1 + t * (3 * first + t * 5 * second) for t in places) > 0:
            raise RawError(f"a lens with the terms {first:g} and {second:g} folds the picture")
