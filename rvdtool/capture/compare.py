"""Measures the similarity between a RAW frame and a video frame from their greys, without OpenCV.

A RAW's grey is the square root of its green; a video's is its luma. Camera green is close to
luminance, and a square root is close to a video's curve. Whatever else an ISP does (gain, curve,
local tone mapping, shading) varies slowly over the picture, so only fine detail is compared.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.frame import RawFrame
from rvdtool.video.frame import Rgb

Grey = NDArray[np.float32]
"""[H, W], 0..1, gamma-coded."""

_LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of R, G, B (ITU-R BT.709)."""

_RADIUS = 4
"""Radius, in values, of the neighbourhood whose mean is subtracted to give detail."""

_TILES = 3
"""Tiles along each side in which displacement is measured."""
_SMALLEST_TILE = 32
"""Approximate smallest side of a tile, in values."""
_GAIN = 0.003
"""Smallest rise in correlation that counts as a displacement."""


@dataclass(frozen=True, eq=False)
class GreyPicture:
    """A frame's grey: one value per step×step pixels (or photosites), from the top left."""

    grey: Grey
    step: int

    def coarser(self, block: int) -> "GreyPicture":
        """This picture reduced by averaging block×block values."""
        return GreyPicture(block_means(self.grey, block), self.step * block)


def raw_picture(frame: RawFrame, step: int) -> GreyPicture:
    """Picture of the RAW's greens. `step` must be even, so that every value covers whole cells."""
    greens = np.zeros((frame.size[0] // 2, frame.size[1] // 2), np.float32)
    for (row, column), color in np.ndenumerate(frame.phase.pattern):
        if color == 1:
            black = np.float32(frame.black[2 * row + column])
            sites = frame.mosaic[row::2, column::2][: greens.shape[0], : greens.shape[1]]
            greens += (sites - black) / (2 * (np.float32(frame.white) - black))
    return GreyPicture(np.sqrt(np.clip(block_means(greens, step // 2), 0, 1)), step)


def video_picture(rgb: Rgb, step: int) -> GreyPicture:
    """Picture of the video's luma."""
    luma = np.zeros((rgb.shape[0] // step, rgb.shape[1] // step), np.float32)
    largest = 255 if rgb.dtype == np.uint8 else 65535
    for channel, weight in enumerate(_LUMA):
        luma += np.float32(weight / largest) * block_means(rgb[..., channel], step)
    return GreyPicture(luma, step)


def block_means(values: NDArray[Any], block: int) -> Grey:
    """Means of block×block values; incomplete blocks at the right and bottom are left out."""
    height, width = values.shape[0] // block, values.shape[1] // block
    total = np.zeros((height, width), np.float32)
    for row in range(block):
        for column in range(block):
            total += values[row : height * block : block, column : width * block : block]
    total /= np.float32(block * block)
    return total


def detail(grey: Grey) -> Grey:
    """Difference from the neighbourhood's mean, divided by the local contrast.

    The divisor is never less than a quarter of the picture's average contrast, so that noise in
    flat areas counts less than edges. A picture without detail gives all zeros.
    """
    difference = grey - _local_mean(grey)
    local = _local_mean(difference * difference)
    floor = np.float32(0.25**2) * local.mean()
    if floor < _FLAT:
        return np.zeros_like(grey)
    return np.asarray(difference / np.sqrt(np.maximum(local, 0) + floor), np.float32)


_FLAT = np.float32(1e-10)
"""Variance of detail at or below which only rounding errors remain."""


def correlation(first: Grey, second: Grey) -> float:
    """Pearson's correlation, -1..1; 0 if either is flat. If sizes differ, only the common part
    counts."""
    height, width = (min(a, b) for a, b in zip(first.shape, second.shape, strict=True))
    first, second = (values[:height, :width] for values in (first, second))
    first, second = first - first.mean(), second - second.mean()
    spread = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    return float(np.clip(np.vdot(first, second) / spread, -1, 1)) if spread else 0.0


def displacement(first: GreyPicture, second: GreyPicture) -> float:
    """Displacement between two pictures in pixels: the median over up to 3×3 tiles; inf if far.

    In each tile and along each axis, a parabola is fitted to the correlations at shifts of -1, 0
    and 1. A peak that is hardly above the correlation at 0 counts as no displacement: the picture
    is too smooth, or the tile too small, to tell.
    """
    one, two = detail(first.grey), detail(second.grey)
    height, width = min(len(one), len(two)), min(one.shape[1], two.shape[1])
    tiles = min(_TILES, 1 + min(height, width) // _SMALLEST_TILE)
    rows = np.array_split(np.arange(1, height - 1), tiles)
    columns = np.array_split(np.arange(1, width - 1), tiles)
    found = [_shift(one, two, y, x) for y in rows for x in columns if len(y) and len(x)]
    return float(np.median(found)) * first.step if found else 0.0


def _shift(one: Grey, two: Grey, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> float:
    def at(dy: int, dx: int) -> float:
        return correlation(
            one[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1],
            two[rows[0] + dy : rows[-1] + 1 + dy, columns[0] + dx : columns[-1] + 1 + dx],
        )

    centre = at(0, 0)
    down, right = _peak(at(-1, 0), centre, at(1, 0)), _peak(at(0, -1), centre, at(0, 1))
    return math.hypot(down, right)


def _peak(before: float, centre: float, after: float) -> float:
    """Position of the maximum of a parabola through values at -1, 0, 1; inf if outside ±1."""
    bend = before - 2 * centre + after
    if bend >= 0:
        return 0.0 if max(before, after) - centre < _GAIN else math.inf
    peak = (before - after) / (2 * bend)
    if -bend * peak * peak / 2 < _GAIN:
        return 0.0
    return peak if abs(peak) <= 1 else math.inf


def _local_mean(image: Grey) -> Grey:
    """Means over the neighbourhood, with mirrored borders."""
    side = 2 * _RADIUS + 1
    for axis in (0, 1):
        pad = [(_RADIUS + 1, _RADIUS) if a == axis else (0, 0) for a in (0, 1)]
        sums = np.pad(image.astype(np.float64), pad, mode="symmetric").cumsum(axis)
        ahead = np.take(sums, range(side, sums.shape[axis]), axis)
        behind = np.take(sums, range(sums.shape[axis] - side), axis)
        image = ((ahead - behind) / side).astype(np.float32)
    return image
