"""The sensor's noise that reconstructed frames lack, so that they can stand beside real ones."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import percentile_filter
from scipy.optimize import nnls

from rvdtool.raw.bayer import denormalise, normalise
from rvdtool.raw.frame import RawFrame
from rvdtool.raw.move import NOISE_PROFILE
from rvdtool.reconstruct.statistics import (
    LOWEST_TENTH,
    POSITIONS,
    ROUNDING,
    Array,
    Curve,
    box,
    fine_power,
    noise_variance,
    per_position,
)

SEED = 0x52415721
"""With a frame's index, the seed of its grain."""

_STEP, _WINDOW = 9, 9
"""Noise is looked for in a window of 9×9 places, every ninth row and column (an odd step meets all
positions of the cell)."""


@dataclass(frozen=True)
class SensorNoise:
    """The noise of a camera at one ISO, on the grid of its frames.

    Attributes:
        curves: variance by normalised value, one for each position of the 2×2 cell.
        stated: whether the RAW states it (NoiseProfile); else it was measured.
    """

    curves: tuple[Curve, Curve, Curve, Curve]
    stated: bool

    @classmethod
    def of(cls, frame: RawFrame) -> Self:
        """By a true RAW's NoiseProfile, else from its flattest areas."""
        pairs = _profile(frame)
        if pairs is not None:
            colors = frame.phase.pattern.ravel()
            one, two, three, four = (_line(*pairs[color]) for color in colors)
            return cls((one, two, three, four), stated=True)
        values = normalise(frame.mosaic, frame.black, frame.white)
        level = per_position(values, lambda plane: box(plane, 5))
        unclipped = frame.mosaic < frame.white
        one, two, three, four = (_measured(values, level, unclipped, place) for place in POSITIONS)
        return cls((one, two, three, four), stated=False)

    def variance(self, values: Array) -> Array:
        """Of each photosite, [H, W], by its normalised value."""
        result = np.empty_like(values)
        for curve, (row, column) in zip(self.curves, POSITIONS, strict=True):
            result[row::2, column::2] = curve(values[row::2, column::2])
        return result


def with_grain(frame: RawFrame, noise: SensorNoise, index: int) -> RawFrame:
    """Add the noise that a reconstructed frame lacks: everywhere, all but what is there already.

    Photosites at the white level stay there, as the sensor's do.

    Args:
        frame: reconstructed.
        noise: of its camera.
        index: of the frame; every frame gets grain of its own, the same each time.
    """
    values = normalise(frame.mosaic, frame.black, frame.white)
    full = frame.mosaic >= frame.white
    variance = noise.variance(values)
    missing = variance * (1 - _present(values, variance, full))
    draw = np.random.default_rng((SEED, index)).standard_normal(values.shape, np.float32)
    grained = denormalise(values + draw * np.sqrt(missing), frame.black, frame.white)
    return frame.with_mosaic(np.where(full, frame.mosaic, grained))


def _present(values: Array, variance: Array, full: NDArray[np.bool_]) -> Array:
    """The fraction of the noise variance that is there already, 0..1, [H, W].

    As `noise_variance` does, it takes the tenth of the places around that varies least for flat;
    where none is, texture counts as noise, and hides that there is less.
    """
    ratio = fine_power(values) / (LOWEST_TENTH * np.maximum(variance, ROUNDING))
    ratio[full] = 1
    lowest = percentile_filter(ratio[::_STEP, ::_STEP], 10, _WINDOW, mode="reflect")
    height, width = values.shape
    return np.clip(cv2.resize(lowest, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)


def _profile(frame: RawFrame) -> list[tuple[float, float]] | None:
    """(Slope, offset) of the variance for red, green and blue; None if the RAW doesn't say, or says
    what can't be."""
    for tag in frame.profile.tags:
        if tag.code == NOISE_PROFILE and tag.count in (2, 6):
            pairs = list(zip(tag.value[::2], tag.value[1::2], strict=True))
            possible = all(slope >= 0 and abs(slope) + abs(offset) < 1 for slope, offset in pairs)
            return (pairs if len(pairs) == 3 else pairs * 3) if possible else None
    return None


def _measured(
    values: Array, level: Array, unclipped: NDArray[np.bool_], place: tuple[int, int]
) -> Curve:
    """The line (read noise, and shot noise that grows with the light) of one position.

    At a brightness without flat areas, texture is measured instead. Least squares of the relative
    error keep the line at the lowest values: what is far above it counts as 1 at most.
    """
    usable = np.zeros_like(unclipped)
    usable[place[0] :: 2, place[1] :: 2] = unclipped[place[0] :: 2, place[1] :: 2]
    found = noise_variance(values, level, usable)
    light, variance = (np.maximum(part.astype(float), 0) for part in (found.centers, found.values))
    terms = np.stack([light, np.ones_like(light)], axis=1) / variance[:, None]
    (slope, offset), _ = nnls(terms, np.ones_like(light))
    return _line(slope, offset)


def _line(slope: float, offset: float) -> Curve:
    ends = np.array([0, 1], np.float32)
    return Curve(ends, np.maximum(slope * ends + offset, 0).astype(np.float32))
