"""Features of an sRGB frame for the inverse ISP: the columns of its regressions."""

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from rvdtool.reconstruct.compiled import STRIP, in_strips, kernel
from rvdtool.reconstruct.places import sample_small
from rvdtool.reconstruct.statistics import Array, Where
from rvdtool.video.frame import Rgb

Window = tuple[slice, slice]
EVERYWHERE = (slice(None), slice(None))
Indices = NDArray[np.intp]

CLIP = 253 / 255
"""Coded value from which a channel counts as clipped: lossy video changes 255 to 253…255."""
RADIUS = 2
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
MIDDLE = np.float32(0.4)
"""Subtracted from local brightness and distance, to centre them at 0."""
TONE_SCALES = (8, 32)
"""The local mean brightness is blurred by a Gaussian of sigma = frame height / scale."""
NEAR = (1, 3)
FAR, WIDEST = (1 / 50, 1 / 16), 1 / 6
"""Sigmas of the Gaussians for a clipped photosite's surroundings: NEAR in pixels, FAR and WIDEST as
fractions of the frame's height. Only `highlights` uses WIDEST."""
CONTEXTS = len(TONE_SCALES) + 1
NEIGHBOURS = (2 * RADIUS + 1) ** 2 - 1
_MIN_SIGMA = 4.0
"""Pictures are halved before a Gaussian as long as its sigma in pixels stays at least this."""
COLUMNS = 9 + 3 * NEIGHBOURS + 8 * CONTEXTS
"""Number of columns of `design`: coded channels, squares, linear channels, neighbours, contexts."""
LINEAR = 6
"""First column of the linear channels."""


def linearise(coded: Array) -> Array:
    """Invert BT.709's curve, 0..1 → 0..1. The fit compensates if the ISP's curve differs."""
    return np.where(coded < 0.081243, coded / 4.5, ((coded + 0.0993) / 1.0993) ** 2.2222).astype(
        np.float32
    )


class Features:
    """Features of one sRGB frame. All except the clip state are computed on demand.

    Attributes:
        rgb: the frame.
        size: (height, width) of the frame.
        values: each code as 0..1, [codes].
        table: linearised value of each code, [codes].
        clipped: clip state, [H, W].
    """

    def __init__(self, rgb: Rgb) -> None:
        peak = np.iinfo(rgb.dtype).max
        self.rgb = rgb if rgb.flags.c_contiguous else rgb.copy()
        self.size = rgb.shape[0], rgb.shape[1]
        self.values: Array = np.arange(peak + 1, dtype=np.float32) / np.float32(peak)
        self.table = linearise(self.values)
        self.clipped = np.empty(self.size, np.uint8)
        brightness = np.empty(self.size, np.float32)
        limit = int(np.ceil(CLIP * peak))

        def strip(first: int, last: int) -> None:
            _measure(self.rgb[first:last], limit, self.clipped[first:last], brightness[first:last])

        in_strips(rgb.shape[0], strip)
        small = _smaller(brightness / np.float32(peak), 8)
        self.tones: list[Array] = [_blurred(small, 1 / scale) for scale in TONE_SCALES]
        """The local mean brightness, one small map per scale."""

    @cached_property
    def context(self) -> list[Array]:
        """Local mean brightness and distance from the centre, centred at 0, one [H, W] map each."""
        height, width = self.size
        means = [cv2.resize(tone, (width, height)) - MIDDLE for tone in self.tones]
        return [*means, _distance(height, width)]

    def linear_of(self, window: Window) -> Array:
        """A window of the linearised channels, [h, w, 3]."""
        part = self.rgb[window]
        result = np.empty(part.shape, np.float32)
        _linearise(part, self.table, result)
        return result

    def states_of(self, window: Window) -> Array:
        """Whether R, G, B is clipped, 0 or 1, in a window, [h, w, 3]."""
        part = self.clipped[window]
        result = np.empty((*part.shape, 3), np.float32)
        _split_states(part, result)
        return result

    @cached_property
    def clipped_places(self) -> Where:
        """Rows and columns of the clipped pixels, in reading order."""
        rows, columns = np.nonzero(self.clipped)
        return rows, columns

    def around(self, rows: Indices, columns: Indices) -> list[Array]:
        """The linearised channels around some pixels, one [samples, 3] for each of NEAR, FAR."""
        far = [sample_small(one, self.size, rows, columns) for one in self.far[: len(FAR)]]
        return blurred_at(self.linear_of, self.size, NEAR, rows, columns) + far

    @cached_property
    def far(self) -> list[Array]:
        """Small copies of the linearised channels, blurred by FAR and WIDEST."""
        return blurred_far(self.linear_of(EVERYWHERE), (*FAR, WIDEST))


@kernel
def _measure(rgb: Rgb, limit: int, clipped: NDArray[np.uint8], brightness: Array) -> None:
    """Clip state and coded brightness of a strip."""
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            red, green, blue = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2]
            state = (red >= limit) + 2 * (green >= limit) + 4 * (blue >= limit)
            clipped[y, x] = state
            brightness[y, x] = (
                LUMA[0] * np.float32(red) + LUMA[1] * np.float32(green) + LUMA[2] * np.float32(blue)
            )


@kernel
def _linearise(codes: Rgb, table: Array, result: Array) -> None:
    for y in range(codes.shape[0]):
        for x in range(codes.shape[1]):
            for c in range(3):
                result[y, x, c] = table[codes[y, x, c]]


@kernel
def _split_states(clipped: NDArray[np.uint8], result: Array) -> None:
    for y in range(clipped.shape[0]):
        for x in range(clipped.shape[1]):
            for c in range(3):
                result[y, x, c] = np.float32((clipped[y, x] >> c) & 1)


def _smaller(image: Array, reduction: int) -> Array:
    size = (max(2, image.shape[1] // reduction), max(2, image.shape[0] // reduction))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _blurred(image: Array, share: float) -> Array:
    """Blur by a Gaussian whose sigma is a fraction of the image's height."""
    return cv2.GaussianBlur(image, (0, 0), max(0.5, share * image.shape[0]))


def blurred_far(image: Array, shares: Sequence[float]) -> list[Array]:
    """Small copies of an image, blurred by Gaussians: one for each of `shares`.

    Args:
        image: [H, W] or [H, W, C], up to four channels.
        shares: sigmas as fractions of the image's height, in ascending order. For larger sigmas
            the copies are smaller, and at most a quarter of the size.
    """
    small, result = _smaller(image, 4), []
    for share in shares:
        while share * small.shape[0] >= 2 * _MIN_SIGMA and min(small.shape[:2]) > 8:
            small = _smaller(small, 2)
        result.append(_blurred(small, share))
    return result


def blurred_at(
    image: Callable[[Window], Array],
    size: tuple[int, int],
    near: Sequence[float],
    rows: Indices,
    columns: Indices,
) -> list[Array]:
    """Values of an image blurred by Gaussians, at some pixels only.

    Args:
        image: a function that returns a window of the image, [h, w, C].
        size: (height, width) of the image.
        near: sigmas in pixels.
        rows, columns: indices of the pixels, in reading order.

    Returns:
        [samples, C] per sigma.
    """
    height, _ = size
    halo = 4 * math.ceil(max(near))
    found: dict[int, list[Array]] = {}
    edges = np.searchsorted(rows, np.arange(0, height + STRIP, STRIP))

    def strip(first: int, last: int) -> None:
        begin, end = edges[first // STRIP], edges[first // STRIP + 1]
        if begin == end:
            return
        y, x = rows[begin:end], columns[begin:end]
        top, left = max(int(y[0]) - halo, 0), max(int(x.min()) - halo, 0)
        bottom, right = int(y[-1]) + halo + 1, int(x.max()) + halo + 1
        part = image((slice(top, bottom), slice(left, right)))
        blurred = (cv2.GaussianBlur(part, (0, 0), sigma) for sigma in near)
        found[first] = [scale[y - top, x - left] for scale in blurred]

    in_strips(height, strip)
    parts = [found[first] for first in sorted(found)]
    return [np.concatenate(scale) for scale in zip(*parts, strict=True)]


def _distance(height: int, width: int) -> Array:
    """Squared distance to the frame's centre (1 at the corners), centred at 0: [H, W]."""
    x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    return (x * x + y * y) / (x[-1] ** 2 + y[-1] ** 2) - MIDDLE


def design(features: Features, at: tuple[int, int], keep: NDArray[np.bool_]) -> Array:
    """Design matrix [samples, columns] of the regression at one CFA position, for photosites in
    `keep`."""
    height, width = features.size
    y, x = (2 * index + first for index, first in zip(np.nonzero(keep), at, strict=True))
    pixels, codes = features.rgb.reshape(-1, 3), features.rgb[y, x]
    linear, coded = features.table[codes], features.values[codes]
    parts = [coded, coded * coded, linear]
    for dy in range(-RADIUS, RADIUS + 1):
        for dx in range(-RADIUS, RADIUS + 1):
            if dy or dx:
                near = _mirrored(y + dy, height) * width + _mirrored(x + dx, width)
                parts.append(features.table[pixels.take(near, axis=0)] - linear)
    for context in features.context:
        m = context[y, x][:, None]
        basis = np.concatenate([linear, np.ones_like(m)], axis=1)
        parts += [basis * m, basis * (m * m)]
    return np.concatenate(parts, axis=1)


def _mirrored(index: Indices, size: int) -> Indices:
    """Indices mirrored at 0 and size − 1, for at most `size` beyond them."""
    return size - 1 - np.abs(size - 1 - np.abs(index))
