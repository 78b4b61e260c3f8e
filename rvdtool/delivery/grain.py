"""Adds the sensor noise that reconstructed frames lack, so that they look like real ones.

SciPy takes a quarter of a second to import, so it is imported only where grain is added.
"""

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.bundle.store import Bundle
from rvdtool.notes import Say
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

GRAINED = "noise of the sensor added by rvdtool derender --grain"
"""ImageDescription tag of frames with grain."""

SEED = 0x52415721
"""Seed of the grain, combined with the frame's index."""

_STEP, _WINDOW = 9, 9
"""Existing noise is measured at every ninth row and column, in windows of 9×9 such places. An odd
step reaches all positions of the cell."""


@dataclass(frozen=True)
class ReferenceNoise:
    """The noise of a camera at one ISO, on the grid of its frames.

    Attributes:
        curves: variance by normalised value, for each position of the 2×2 cell.
        stated: whether the RAW states it (NoiseProfile); otherwise it was measured.
    """

    curves: tuple[Curve, Curve, Curve, Curve]
    stated: bool

    @classmethod
    def of(cls, frame: RawFrame) -> Self:
        """The noise of a true RAW, from its NoiseProfile or else measured in its flattest areas."""
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
        """Noise variance of each photosite from its normalised value, [H, W]."""
        result = np.empty_like(values)
        for curve, (row, column) in zip(self.curves, POSITIONS, strict=True):
            result[row::2, column::2] = curve(values[row::2, column::2])
        return result


class Grain:
    """Adds grain to the frames of a clip: the noise of the previous reference, or, before the first
    one, of that."""

    def __init__(self, bundle: Bundle, span: range, say: Say) -> None:
        """Measure the noise of the references that frames in `span` need."""
        self._noise: dict[int, ReferenceNoise] = {}
        references = list(zip(bundle.references, bundle.manifest.references, strict=True))
        start = max((one.index for one, _ in references if one.index <= span.start), default=0)
        needed = [pair for pair in references if start <= pair[0].index < span.stop]
        for one, entry in needed or references[:1]:
            # A copy of the reference, since the bundle's own would keep its frame in memory.
            noise = self._noise[one.index] = ReferenceNoise.of(replace(one).frame)
            how = "its NoiseProfile" if noise.stated else "measurements in it"
            say(f"--grain: reconstructed frames get the noise of {entry.raw.name}, from {how}")

    def add(self, frame: RawFrame, index: int) -> RawFrame:
        """Add the grain of a frame with this index."""
        source = max((k for k in self._noise if k <= index), default=min(self._noise))
        return with_grain(frame, self._noise[source], index)


def with_grain(frame: RawFrame, noise: ReferenceNoise, index: int) -> RawFrame:
    """Add the noise that a reconstructed frame lacks, compared with the sensor's.

    Photosites at the white level stay there, as in a sensor.

    Args:
        frame: the reconstructed frame.
        noise: noise of its camera.
        index: index of the frame. Frames get different grain, which is the same in every run.
    """
    values = normalise(frame.mosaic, frame.black, frame.white)
    full = frame.mosaic >= frame.white
    variance = noise.variance(values)
    missing = variance * (1 - _present(values, variance, full))
    draw = np.random.default_rng((SEED, index)).standard_normal(values.shape, np.float32)
    grained = denormalise(values + draw * np.sqrt(missing), frame.black, frame.white)
    return frame.with_mosaic(np.where(full, frame.mosaic, grained))


def _present(values: Array, variance: Array, full: NDArray[np.bool_]) -> Array:
    """The fraction of the noise variance that a frame already has, 0..1, [H, W].

    Like `noise_variance`, it assumes that the tenth of the surrounding places that varies least is
    flat. If none is, texture counts as noise, so the fraction is overestimated.
    """
    from scipy.ndimage import percentile_filter

    ratio = fine_power(values) / (LOWEST_TENTH * np.maximum(variance, ROUNDING))
    ratio[full] = 1
    lowest = percentile_filter(ratio[::_STEP, ::_STEP], 10, _WINDOW, mode="reflect")
    height, width = values.shape
    return np.clip(cv2.resize(lowest, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)


def _profile(frame: RawFrame) -> list[tuple[float, float]] | None:
    """(Slope, offset) of the variance for red, green and blue; None if the RAW has no NoiseProfile,
    or an impossible one."""
    for tag in frame.profile.tags:
        if tag.code == NOISE_PROFILE and tag.count in (2, 6):
            pairs = list(zip(tag.value[::2], tag.value[1::2], strict=True))
            possible = all(slope >= 0 and abs(slope) + abs(offset) < 1 for slope, offset in pairs)
            return (pairs if len(pairs) == 3 else pairs * 3) if possible else None
    return None


def _measured(
    values: Array, level: Array, unclipped: NDArray[np.bool_], place: tuple[int, int]
) -> Curve:
    """The variance at a position of the cell: a line of read noise plus shot noise.

    At a brightness without flat areas, texture is measured instead. Least squares of the relative
    error keep the line near the lowest values: values far above it count as 1 at most.
    """
    from scipy.optimize import nnls

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
