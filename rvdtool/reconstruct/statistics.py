"""Statistics of noise, signal and shrinkage, for the accuracy of estimates."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.compiled import in_strips

Array = NDArray[np.float32]
Where = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns of some photosites, in reading order."""
T = TypeVar("T")

POSITIONS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""The four positions of the 2×2 CFA cell; at each, a mosaic has a plane of one colour."""

ROUNDING = 1e-9
"""Lower limit of measured variances, about the square of the rounding error at 14 bits."""
LOWEST_TENTH = np.float32(0.63)
"""The 10 % quantile of `fine_power` of white noise, as a fraction of its variance (simulated)."""
BINS = 12
_MAX_SORTED = 50_000
_STEPS = 4096


@dataclass(frozen=True)
class Curve:
    """A quantity as a function of intensity: linear between `centers`, constant outside."""

    centers: Array
    values: Array

    @classmethod
    def mean(cls, intensity: Array, quantity: Array, *, lowest: float = 0.0) -> Self:
        """Mean of `quantity` in bins of `intensity` with about equal numbers of samples."""
        return cls._binned(intensity, quantity, lambda part: float(part.mean()), lowest)

    @classmethod
    def quantile(cls, intensity: Array, quantity: Array, q: float, *, lowest: float = 0.0) -> Self:
        """The `q`-quantile of `quantity` in the same bins as `mean`."""
        return cls._binned(intensity, quantity, lambda part: float(np.quantile(part, q)), lowest)

    @classmethod
    def _binned(
        cls, intensity: Array, quantity: Array, reduce: Callable[[Array], float], lowest: float
    ) -> Self:
        if intensity.size < 2 * BINS:
            value = reduce(quantity) if quantity.size else 0.0
            return cls(np.zeros(1, np.float32), np.full(1, max(value, lowest), np.float32))
        step = max(1, intensity.size // _MAX_SORTED)
        intensity, quantity = intensity[::step], quantity[::step]
        edges = [part[0] for part in np.array_split(np.arange(intensity.size), BINS)]
        parts = np.split(np.argpartition(intensity, edges), edges[1:])
        centers = np.array([intensity[part].mean() for part in parts], np.float32)
        values = np.array([reduce(quantity[part]) for part in parts], np.float32)
        return cls(centers, np.maximum(values, np.float32(lowest)))

    def __call__(self, intensity: Array) -> Array:
        """The quantity at each intensity; any shape."""
        table, low, scale = self.table
        index = (intensity - low) * scale
        return table[np.clip(index, 0, _STEPS - 1).astype(np.int16)]

    @cached_property
    def table(self) -> tuple[Array, np.float32, np.float32]:
        """Values at equal steps, the start of the steps, and steps per unit of intensity.

        `np.interp` for each photosite would take longer than the rest of the chain.
        """
        steps = np.arange(_STEPS, dtype=np.float32)
        low, high = (
            float(self.centers[0]),
            max(float(self.centers[-1]), float(self.centers[0]) + 1e-6),
        )
        table = np.interp(low + steps * ((high - low) / (_STEPS - 1)), self.centers, self.values)
        scale = np.float32((_STEPS - 1) / (high - low))
        return table.astype(np.float32), np.float32(low), scale


def box(image: Array, side: int, result: Array | None = None) -> Array:
    """Mean over `side`×`side` pixels around each pixel, written to `result` if given."""
    return cv2.boxFilter(image, -1, (side, side), result, borderType=cv2.BORDER_REFLECT_101)


def median_deviation(values: NDArray[Any]) -> float:
    """Median absolute deviation from the median; 0 if there are no values."""
    return float(np.median(np.abs(values - np.median(values)))) if values.size else 0.0


def per_position(mosaic: Array, function: Callable[[Array], Array]) -> Array:
    """Apply a filter to each colour plane of a mosaic [H, W] separately."""
    result = np.empty_like(mosaic)
    for row, column in POSITIONS:
        plane = np.ascontiguousarray(mosaic[row::2, column::2])
        result[row::2, column::2] = function(plane)
    return result


def at_positions(job: Callable[[tuple[int, int]], T]) -> list[T]:
    """The results of `job` for the four positions of the cell, computed in parallel."""
    found: dict[int, T] = {}

    def one(number: int, _end: int) -> None:
        found[number] = job(POSITIONS[number])

    in_strips(len(POSITIONS), one, step=1)
    return [found[number] for number in range(len(POSITIONS))]


def fine_power(mosaic: Array, side: int = 5) -> Array:
    """Local variance of the difference to a 3×3 mean, per colour: noise plus fine detail."""

    def power(plane: Array) -> Array:
        detail = plane - box(plane, 3)
        return box(detail * detail, side) * np.float32(9 / 8)

    return per_position(mosaic, power)


def noise_variance(mosaic: Array, intensity: Array, usable: NDArray[np.bool_]) -> Curve:
    """Noise variance by intensity, from flat areas, where fine power is only noise.

    The lowest tenth of the local powers represents the flat areas.
    """
    power = fine_power(mosaic)[usable] / LOWEST_TENTH
    # Saturated RAW has no noise.
    return Curve.quantile(intensity[usable], power, 0.1, lowest=ROUNDING)


def lag_covariance(mosaic: Array) -> Array:
    """Product of each photosite with the mean of its four neighbours of the same colour, [H, W].

    Its mean is the variance of the part that is smooth enough to be warped to another frame; for
    white noise it is 0.
    """

    def product(plane: Array) -> Array:
        cross = np.array([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]], np.float32)
        return plane * cv2.filter2D(plane, -1, cross, borderType=cv2.BORDER_REFLECT_101)

    return per_position(mosaic, product)


def shrink(mosaic: Array, noise: Array, side: int) -> Array:
    """Remove noise of known variance: shrink each value towards its local mean (Lee, 1980).

    Args:
        mosaic: [H, W], filtered in each colour plane separately.
        noise: noise variance per photosite, [H, W].
        side: window in photosites of one colour.
    """
    result = np.empty_like(mosaic)
    for row, column in POSITIONS:
        plane = np.ascontiguousarray(mosaic[row::2, column::2])
        mean = box(plane, side)
        variance = np.maximum(box(plane * plane, side) - mean * mean, 0)
        # The window's mean noise: with each photosite's own, bright ones would be shrunk more than
        # dark ones, and the result would be too dark.
        expected = box(np.ascontiguousarray(noise[row::2, column::2]), side)
        kept = np.maximum(variance - expected, 0) / (variance + np.float32(1e-12))
        result[row::2, column::2] = mean + kept * (plane - mean)
    return result
